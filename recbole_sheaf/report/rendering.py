"""A document into HTML, Markdown and LaTeX, by the templates of this room."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.report.document import Cell, Document, Figure, Listing, Paragraph, Table
from recbole_sheaf.report.drawing import as_pdf
from recbole_sheaf.report.escaping import in_code, in_latex, in_markdown
from recbole_sheaf.report.words import Words

TEMPLATES = Path(__file__).with_name("templates")
KINDS = {Paragraph: "paragraph", Table: "table", Figure: "figure", Listing: "listing"}
ALL_FIGURES = "figures.pdf"
FONT, LETTER = "DejaVuSans-", "letter-"  # begin the ids of a letter's outline, in a drawing and on a page
LONG_CELL = 26  # characters, above which a column of LaTeX breaks lines
SMALLEST = r"\tiny"
LATEX_SIZES = {r"\small": 84, r"\footnotesize": 98, r"\scriptsize": 120, SMALLEST: 150}  # letters of a line


def as_html(document: Document) -> str:
    """A document as one HTML page that needs nothing beside itself."""
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("report.css", "tables.js"))
    letters, drawings = shared_letters(document.figures)
    template = _environment(autoescape=True, finalize=_in_html).get_template("report.html")
    return template.render(
        **_given(document),
        style=style,
        script=script,
        letters=Markup(letters),
        drawing=lambda figure: Markup(drawings[figure.name]),
        code=_html_lines,
    )


def shared_letters(figures: Sequence[Figure]) -> tuple[str, dict[str, str]]:
    """The outlines of letters that drawings use, once for the whole page, and the drawings by name without their own.

    Every drawing brings the letters that it needs, so that its file stands alone; on a page they are half of its size.
    """
    outlines: dict[str, str] = {}
    drawings = {}
    for figure in figures:
        prefix = f"{figure.name}-{FONT}"
        for letter, outline in re.findall(rf'<path id="{re.escape(prefix)}([0-9a-f]+)"([^>]*)/>', figure.svg):
            outlines.setdefault(letter, f'<path id="{LETTER}{letter}"{outline}/>')
        own = re.sub(rf'<path id="{re.escape(prefix)}[0-9a-f]+"[^>]*/>\s*', "", figure.svg)
        own = re.sub(r"<defs>\s*</defs>\s*", "", own)
        drawings[figure.name] = re.sub(rf'#{re.escape(prefix)}(?=[0-9a-f]+")', f"#{LETTER}", own)
    if not outlines:
        return "", drawings
    inside = "\n".join(outline for _, outline in sorted(outlines.items()))
    return f'<svg class="letters" width="0" height="0" aria-hidden="true"><defs>{inside}</defs></svg>', drawings


def _in_html(value: Any) -> Any:
    """Texts without what turns lines around; jinja2 escapes the rest."""
    return one_line(value) if type(value) is str else value


def _html_lines(text: str) -> Markup:
    return Markup("\n").join(one_line(line) for line in text.splitlines())


def as_markdown(document: Document) -> str:
    """A document as Markdown, with the drawings in files beside it."""
    return (
        _environment(autoescape=False)
        .get_template("report.md")
        .render(**_given(document), md=in_markdown, code=in_code)
    )


def as_latex(document: Document) -> str:
    """A document as LaTeX for ``pdflatex``, with the drawings in files beside it."""
    environment = _environment(
        autoescape=False,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    given = {**_given(document), "tex": in_latex, "code": in_code, "columns": latex_columns, "size": latex_size}
    given["pages"] = {figure.name: page for page, figure in enumerate(document.figures, start=1)}
    return environment.get_template("report.tex").render(**given)


def _environment(**settings: Any) -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, **settings
    )


def _given(document: Document) -> dict[str, Any]:
    return {
        "document": document,
        "words": Words(document.language),
        "kind": lambda block: KINDS[type(block)],
        "is_number": is_number,
        "sort_key": sort_key,
        "kind_of": kind_of,
    }


def is_number(cell: Cell) -> bool:
    """Whether a cell is a number, which stands at the right of its column."""
    return cell.value is not None


def sort_key(cell: Cell) -> str:
    """The value that a cell sorts by, in as many digits as tell any two apart that were not measured alike."""
    return f"{cell.value:.9g}"


def kind_of(cell: Cell) -> str:
    """The CSS class of a cell that is no number: empty, or a text that may be broken anywhere."""
    if is_number(cell):
        return ""
    return "empty" if not cell.text else "long" if len(cell.text) > LONG_CELL else ""


def _widths(table: Table) -> list[int]:
    """Characters of the widest cell of each column, of the widest word for headings, and one for the gap."""
    columns = zip(*table.rows) if table.rows else [[] for _ in table.heads]
    return [
        max([len(cell.text) for cell in column] + [len(word) for word in head.split()] + [3]) + 1
        for head, column in zip(table.heads, columns)
    ]


def latex_columns(table: Table) -> str:
    """The column widths of a ``longtable``: as wide as the texts want, all together no wider than the line."""
    widths = [min(width, 4 * LONG_CELL) for width in _widths(table)]
    first = table.rows[0] if table.rows else [Cell("")] * len(widths)
    total = max(sum(widths), _letters(table))
    sides = [r"\raggedleft" if is_number(cell) else r"\raggedright" for cell in first]
    return "".join(
        rf">{{{side}\arraybackslash}}p{{\dimexpr{width / total:.4f}\linewidth-2\tabcolsep\relax}}"
        for side, width in zip(sides, widths)
    )


def latex_size(table: Table) -> str:
    """The font size of a table in LaTeX, the smaller the wider the table is."""
    return next((size for size, letters in LATEX_SIZES.items() if _wanted(table) <= letters), SMALLEST)


def _letters(table: Table) -> int:
    """How many letters of its size fit on a line."""
    return LATEX_SIZES[latex_size(table)]


def _wanted(table: Table) -> int:
    return sum(_widths(table))


def figure_files(document: Document) -> dict[str, bytes]:
    """Names and contents of the drawings: an SVG each for Markdown, and all of them as pages of a PDF for LaTeX."""
    files = {f"{figure.name}.svg": figure.svg.encode() for figure in document.figures}
    return {**files, ALL_FIGURES: as_pdf(document.figures)} if files else {}
