"""The three forms of a report hold the same, and nothing that somebody called a model becomes markup."""

import re
from html.parser import HTMLParser

import pytest

from recbole_sheaf.report.assembling import assemble
from recbole_sheaf.report.document import Cell, Document, Listing, Paragraph, Section, Table
from recbole_sheaf.report.escaping import in_code, in_latex, in_markdown
from recbole_sheaf.report.rendering import as_html, as_latex, as_markdown, figure_files, latex_columns
from recbole_sheaf.report.words import LANGUAGES, Words
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.report.stores import MARKUP, add, add_search, at_once


class Page(HTMLParser):
    """Tags of a page, those left open, and what would be fetched."""

    VOID = frozenset({"meta", "link", "input", "br", "path", "use"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.fetched, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.fetched += [value for key, value in attributes if key in ("src", "href", "xlink:href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("hostile") / "store.duckdb")
    names = {"dataset": MARKUP, "experiment": MARKUP, "ablation": MARKUP}
    with at_once(store):
        for seed in (1, 2):
            add(store, MARKUP, seed, 0.3, model=MARKUP, **{**names, "ablation": "real"})
            add(store, MARKUP, seed, 0.2, model=MARKUP, note=MARKUP, **names)
            add(store, "other", seed, 0.2, model=MARKUP, learning_rate=MARKUP, **{**names, "ablation": "real"})
        store.add_failure("x", MARKUP, MARKUP, MARKUP + "\n" + MARKUP)
        add_search(store, model=MARKUP, dataset=MARKUP)
    return assemble(read_material(store, {}), Words("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_is_whole_and_needs_nothing_beside_itself(documents, language):
    page = Page(as_html(documents[language]))
    assert not page.open and page.tags.count("svg") == 1 + len(documents[language].figures) > 9, "and the letters"
    assert all(link.startswith(("#", "data:")) for link in page.fetched)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.fetched if link.startswith("#")} <= set(page.ids)


def test_every_figure_has_a_sentence_in_every_form(documents):
    for language, document in documents.items():
        html, markdown = as_html(document), as_markdown(document)
        for figure in document.figures:
            assert figure.sees.endswith(".") and len(figure.sees) > 20
            assert f"figure-{figure.name}" in html
            assert f"(figures/{language}/{figure.name}.svg)" in markdown
        files = figure_files(document)
        assert files["figures.pdf"].startswith(b"%PDF")
        assert set(files) == {f"{figure.name}.svg" for figure in document.figures} | {"figures.pdf"}


def test_names_with_markup_are_texts_on_the_page(hostile):
    html = as_html(hostile)
    page = Page(html)
    assert page.tags.count("script") == 1 and "&lt;script&gt;" in html and "{{b}}" in html
    assert "\u202e" not in html


def test_names_with_markup_are_texts_in_markdown(hostile):
    text = as_markdown(hostile)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert "\\<script\\>" in prose and not re.search(r"(?<!\\)<script", prose)
    assert "\\[c\\](d)" in prose and "\\$x\\_1\\$" in prose
    rows = [line for line in prose.splitlines() if line.startswith("|")]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in rows if "script" in line}
    assert cells and all(count >= 3 for count in cells)


def test_names_with_markup_are_texts_in_latex(hostile):
    text = as_latex(hostile)
    assert "\\input{a}" not in text and r"\textbackslash{}input\{a\}" in text and r"\$x\_" in text


@pytest.mark.parametrize(
    "text, markdown, latex",
    [
        ("a|b", r"a\|b", r"a\textbar{}b"),
        ("# x", r"\# x", r"\# x"),
        ("- x", r"\- x", "{-} x"),
        ("1. x", r"1\. x", "1. x"),
        ("0.5", "0.5", "0.5"),
        ("a\nb", "a b", "a b"),
        ("50 %", "50 %", r"50 \%"),
        ("▲±−", "▲±−", r"$\blacktriangle$$\pm$$-$"),
        ("слой", "слой", "слой"),
        ("中", "中", r"\texttt{U+4E2D}"),
    ],
)
def test_texts_are_escaped(text, markdown, latex):
    assert (in_markdown(text), in_latex(text)) == (markdown, latex)


def test_a_listing_ends_no_fence():
    assert "```" not in in_code("a\n```\nb") and in_code("a: 1\n  b: 2") == "a: 1\n  b: 2"


def test_columns_of_latex_are_no_wider_than_the_line():
    rows = [[Cell("x" * 300), Cell("1", 1.0), Cell("y" * 80)]]
    shares = [float(share) for share in re.findall(r"dimexpr([\d.]+)", latex_columns(Table("t", "abc", rows)))]
    assert len(shares) == 3 and sum(shares) <= 1.001
    assert latex_columns(Table("t", ["a", "b"], [])).count("dimexpr") == 2


def test_best_cells_are_strong_in_every_form():
    table = Table("t", ["a"], [[Cell("0.5", 0.5, True)]])
    section = Section("s", "S", [Paragraph("p"), table, Listing("l", "x")])
    document = Document("en", "T", "L", [section])
    assert "<strong>0.5</strong>" in as_html(document)
    assert "| **0.5** |" in as_markdown(document) and r"\textbf{0.5}" in as_latex(document)
