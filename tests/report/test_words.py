"""The catalogues say the same things, and numbers are written as each language does."""

import re
import string
from pathlib import Path

import pytest

from recbole_sheaf import report
from recbole_sheaf.report.document import Cell
from recbole_sheaf.report.words import LANGUAGES, Words, best_cells

EN, RU = Words("en"), Words("ru")
SOURCES = [path for path in Path(report.__file__).parent.rglob("*") if path.suffix in (".py", ".html", ".md", ".tex")]


def places(text):
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name})


def test_catalogues_have_the_same_keys_and_places():
    assert list(EN.catalogue) == list(RU.catalogue)
    for key in EN.catalogue:
        assert places(EN.catalogue[key]) == places(RU.catalogue[key]), key


def test_russian_is_russian():
    for key, text in RU.catalogue.items():
        bare = re.sub(r"\{\w+\}|--\w+|Gini|EASE|EDLAE|CEASE|Steck|Jeunen|ItemKNN", "", text)
        if re.search(r"[A-Za-z]{4,}", bare):
            raise AssertionError(f"{key}: {text}")


def test_every_key_that_the_code_names_is_there_and_none_is_idle():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = set(re.findall(r"""["']([a-z_]+\.[a-z_]+)["']""", sources)) | {"no_runs"}
    stems = set(re.findall(r"""f["']([a-z_]+\.)\{|f["']([a-z_]+\.[a-z_]+_)\{""", sources))
    stems = {stem for pair in stems for stem in pair if stem}
    said = set(re.findall(r'words\(\s*"([a-z_.]+)"', sources))
    assert said <= set(EN.catalogue)
    built = {".figure", ".table"}
    idle = [
        key
        for key in EN.catalogue
        if key not in named and not key.startswith(tuple(stems)) and not key.endswith(tuple(built))
    ]
    assert not idle


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_hold_no_markup(language):
    assert not re.search(r"[<>`*]|\\", "".join(Words(language).catalogue.values()).replace("p < 0", ""))


def test_numbers_are_written_as_each_language_does():
    assert (EN.number(1234.5, 2), RU.number(1234.5, 2)) == ("1,234.50", "1\u00a0234,50")
    assert EN.number(-0.25, 2) == "\u22120.25" and EN.number(-0.001, 2) == "0.00"
    assert EN.number(None) == EN.number(float("nan")) == "—"
    assert (EN.signed(0.5, 1), EN.signed(-0.5, 1), EN.signed(0.0, 1), EN.signed(0.01, 1)) == (
        "+0.5",
        "−0.5",
        "0.0",
        "0.0",
    )
    assert (EN.short(1234.0), EN.short(12.34), EN.short(0.01234)) == ("1,234", "12.3", "0.0123")
    assert EN.percent(0.1234) == "12.3\u00a0%" and RU.percent(0.1234) == "12,3\u00a0%"
    assert EN.interval(0.1, 0.2, 1) == "[0.1, 0.2]" and RU.interval(0.1, 0.2, 1) == "[0,1; 0,2]"
    assert (EN.seconds(4.0), EN.seconds(600), EN.seconds(7200)) == ("4.00 s", "10.0 min", "2.0 h")


def test_lists_are_joined():
    assert EN.listed([]) == "—" and EN.listed(["a"]) == "a" and EN.listed("abc") == "a, b and c"
    assert RU.listed("ab") == "a и b" and EN.listed("abcdefgh", 3) == "a, b, c and 5 more"


def test_values_with_braces_stay_as_they_are():
    assert "{label}" in EN("board.alone", label="{label}", metric="m", value="1")


def test_all_cells_that_read_as_the_best_stand_out_and_marks_do_not_count():
    cells = [Cell("0.41\u00a0±\u00a00.01", 0.412), Cell("0.41\u00a0▼", 0.409), Cell("0.40", 0.40), Cell("—", None)]
    assert [cell.strong for cell in best_cells(cells)] == [True, True, False, False]
    assert [cell.strong for cell in best_cells(cells, bigger=False)] == [False, False, True, False]
    assert not any(cell.strong for cell in best_cells(cells, bigger=None))
    assert not any(cell.strong for cell in best_cells(cells[:1]))
