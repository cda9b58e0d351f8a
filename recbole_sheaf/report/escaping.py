"""Plain texts into Markdown and LaTeX, where nothing that somebody called a model becomes markup.

HTML is escaped by jinja2 itself.
"""

import re

from recbole_sheaf.files.plain_text import one_line

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")
_STARTS_A_BLOCK = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_\allowbreak{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",
    "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "±": r"$\pm$",
    "−": r"$-$",
    "₂": "$_2$",
    "∈": r"$\in$",
    "×": r"$\times$",
    "→": r"$\to$",
    "…": r"\ldots{}",
    "—": "---",
    "–": "--",
    "\u00a0": "~",
    "°": r"\textdegree{}",
}
_LETTERS = re.compile(r"[\x20-\x7e\u00c0-\u017f\u0400-\u045f«»ёЁ]")  # that the fonts of T1 and T2A have


def in_markdown(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    escaped = _MARKDOWN.sub(r"\\\1", one_line(text))
    return _STARTS_A_BLOCK.sub(r"\1\\\2", escaped) if not escaped[:1].isdigit() else _numbered(escaped)


def _numbered(text: str) -> str:
    """``1.`` at the start of a line would number it."""
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", text)


def in_latex(text: str) -> str:
    """A text that LaTeX typesets as it is; a letter that its fonts lack is named by its code point."""
    return "".join(_letter(letter) for letter in one_line(text))


def _letter(letter: str) -> str:
    if letter in _LATEX:
        return _LATEX[letter]
    return letter if _LETTERS.match(letter) else rf"\texttt{{U+{ord(letter):04X}}}"


def in_code(text: str) -> str:
    """Lines of a listing, which end no fence and no environment."""
    lines = [one_line(line) for line in text.splitlines()]
    return "\n".join(lines).replace("```", "'''").replace(r"\end{", r"\ end{")
