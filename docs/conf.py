"""How the documentation becomes a site, from the repository's folder, in seconds and without a network::

    python -m sphinx -E -W --keep-going -c docs . site

Sources are the Markdown files as they lie in the repository, README included, and the docstrings, which the pages of
``docs/reference/`` take in, so that nothing is written twice and every link between them is checked. The site asks no
other host for anything: its theme brings what it needs, and formulas become MathML while it is built. Sphinx, because
MkDocs 1 has had no release since August 2024.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.errors import ExtensionError

DOCS = Path(__file__).parent
PAGES = {
    "Use it": {
        "Start": "start",
        "A coursework in 30 minutes": "coursework",
        "Install": "install",
        "Bring your data": "bring-your-data",
        "Take the embeddings away": "take-away",
        "Serve it": "serve",
        "In production": "production",
        "How far it scales": "scale",
        "Many runs": "experiments",
        "Settings": "settings",
        "A model of your own": "own-model",
    },
    "Understand it": {
        "Models": "models",
        "The mathematics": "mathematics",
        "How a run flows": "how-a-run-flows",
        "Extending the package": "extend",
    },
    "Reference": {
        "Sheaves": "reference/sheaf",
        "Layers": "reference/layers",
        "Evaluation": "reference/evaluation",
        "Model classes": "reference/models",
        "From Python": "reference/python",
    },
    "Figures": {
        "All results": "results/README",
        "The report": "report/README",
        "The report, its page": "report/report",
        "MMSheaf and the softmax": "results/softmax",
        "Today's defaults": "results/defaults",
        "Embeddings as embeddings": "results/embeddings",
        "Published figures": "results/published",
        "What was tried": "results/search-log",
        "tiktok, tuned": "results/tiktok-tuned",
        "ml-100k, tuned": "results/ml-100k-tuned",
        "ml-1m, tuned": "results/ml-1m-tuned",
        "ml-1m, before": "results/ml-1m",
        "ml-100k, one seed": "results/ml-100k",
        "tiktok, one seed": "results/tiktok",
        "Node classification": "results/node-classification",
        "RecBole's own models": "recbole-models",
    },
    "По-русски": {
        "Содержание": "ru/index",
        "Начало": "ru/start",
        "Курсовая за 30 минут": "ru/coursework",
        "Установка": "ru/install",
        "Свои данные": "ru/bring-your-data",
        "Забрать эмбеддинги": "ru/take-away",
        "Отвечать на запросы": "ru/serve",
        "В эксплуатации": "ru/production",
        "Много запусков": "ru/experiments",
        "Настройки": "ru/settings",
        "Модели": "ru/models",
        "Математика": "ru/mathematics",
        "Результаты": "ru/results",
        "Как это устроено": "ru/contributing",
    },
    "The repository": {
        "README": "../README",
        "README, русский": "../README.ru",
        "Changes": "../CHANGELOG",
        "Contributing": "../CONTRIBUTING",
        "Security": "../SECURITY",
    },
}

project = "recbole-sheaf"
copyright = "the authors of recbole-sheaf"
root_doc = "docs/index"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/ru/*.md",
    "docs/reference/*.rst",
    "docs/results/*.md",
    "docs/report/*.md",
    "benchmarks/*.md",
]
exclude_patterns = [".*", "*.egg-info", "build", "dist", "site", "recbole_sheaf", "tests"]  # not even walked through
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # fenced as GitHub wants it
myst_heading_anchors = 4
myst_dmath_allow_digits = False  # "$5 and $6" are prices

# Docstrings, in the order of the code; shapes stand in the signatures, a long one with a line for each argument.
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False
napoleon_custom_sections = [("Attributes", "params_style")]  # a list, in which several names share a line
maximum_signature_line_length = 100

html_theme = "furo"
html_title = "recbole-sheaf"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_additional_pages = {"index": "to_the_docs.html"}
html_copy_source = False
html_show_copyright = False
pygments_style = "default"


def files_of(page: str) -> list[Path]:
    """Where a page may be: in Markdown, or in reStructuredText, where docstrings are taken in."""
    return [DOCS / f"{page}.md", DOCS / f"{page}.rst"]


def navigation() -> str:
    """Tables of contents for the side of every page; what is not there yet, such as the report, is left out."""
    blocks = []
    for caption, pages in PAGES.items():
        there = [f"{title} <{page}>" for title, page in pages.items() if any(map(Path.is_file, files_of(page)))]
        blocks.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *there, "```"]))
    timings = "\n".join(f"../benchmarks/{path.stem}" for path in sorted((DOCS.parent / "benchmarks").glob("*.md")))
    blocks.append(f"```{{toctree}}\n:hidden:\n:caption: Speed\n\n{timings}\n```")
    return "\n\n" + "\n\n".join(blocks) + "\n"


def adapt(app: Any, page: str, source: list[str]) -> None:
    """Give a page what only a site needs, so that its Markdown stays free of it.

    The first page gets the navigation. A link to a folder leads to its README, as where repositories are browsed.
    """
    folder = (DOCS.parent / page).parent

    def readme(link: "re.Match[str]") -> str:
        return f"]({link[1]}README.md)" if (folder / link[1] / "README.md").is_file() else link[0]

    source[0] = re.sub(r"\]\(((?!\w+:)[^()#\s]*/)\)", readme, source[0])
    if page == root_doc:
        source[0] += navigation()


def leave_out_fields(app: Any, kind: str, name: str, thing: Any, skipped: bool, options: Any) -> Any:
    """Leave out a named tuple's fields, which its docstring describes; None leaves anything else to autodoc."""
    return True if str(thing.__doc__).startswith("Alias for field number") else None


def readable(app: Any, kind: str, name: str, thing: Any, options: Any, arguments: Any, returned: Any) -> Any:
    """A signature that Sphinx can take apart: the default of a dataclass's field that is made anew is no Python."""
    return arguments and arguments.replace("<factory>", "..."), returned


def mathml(latex: str, display: str) -> str:
    """A formula as MathML.

    Raises:
        ExtensionError: if the formula holds a command that the converter does not know and would print as it stands.
    """
    formula = convert(latex, display=display)
    if "\\" in formula:
        raise ExtensionError(f"the formula {latex!r} holds a LaTeX command that latex2mathml does not know")
    return str(formula)


def visit_inline(writer: Any, node: Any) -> None:
    """Write a formula in a line."""
    writer.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(writer: Any, node: Any) -> None:
    """Write a formula by itself, which scrolls where it is wider than the screen."""
    writer.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def refuse_other_hosts(app: Any, error: Any) -> None:
    """Look through what was written for anything that a browser would fetch from another host.

    Raises:
        ExtensionError: naming the first such file.
    """
    fetched = re.compile(
        r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)\s*=\s*["']?(?:https?:)?//"""
        r"""|url\(\s*["']?(?:https?:)?//|@import\s+["'](?:https?:)?//"""
    )
    for path in () if error else sorted(Path(app.outdir).rglob("*.[hc][ts]*")):
        if path.suffix in (".html", ".css") and fetched.search(path.read_text(encoding="utf-8")):
            raise ExtensionError(f"{path} fetches something from another host; a page must do without a network")


def setup(app: Any) -> None:
    """Tell Sphinx of the above."""
    app.connect("autodoc-process-signature", readable)
    app.connect("autodoc-skip-member", leave_out_fields)
    app.connect("build-finished", refuse_other_hosts)
    app.connect("source-read", adapt)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
