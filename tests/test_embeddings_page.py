"""The figures of docs/results/embeddings.md are those of the rows beside it."""

import re

import pandas as pd
import pytest

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "results" / "embeddings.md"
# The dataset of each section, and the splits of its warm and of its cold items.
SECTIONS = {
    "ml-100k": ("ml-100k", "random", "cold_items"),
    "Amazon Baby": ("baby", "published", "published"),
    "ml-1m": ("ml-1m", "random", "random"),
    "MicroLens": ("microlens-50k", "published", "published"),
}
MEASURES = {name: name for name in ("audience", "category", "recall@10", "MRR")} | {"year": "release_year"}


@pytest.fixture(scope="module")
def rows():
    table = pd.read_csv(PAGE.with_suffix(".csv"))
    return table.set_index(["dataset", "split", "items", "vectors", "measure"]).sort_index()


def cells():
    """Each filled cell of the page's tables: section, warm or cold, vectors, what it is, and its text."""
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        for head, body in re.findall(r"^(\| (?:vectors|from, to) .*)\n\|:.*\n((?:\|.*\n)+)", section, re.MULTILINE):
            items, columns = "", []
            for heading in head.strip("| ").split(" | ")[1:]:
                items, what = heading.split(": ") if ": " in heading else (items, heading)
                columns.append((items, what))
            for line in body.splitlines():
                vectors, *texts = (text.strip() for text in line.strip("|").split("|"))
                yield from ((name, *place, vectors, text) for place, text in zip(columns, texts, strict=True) if text)


CELLS = list(cells())


def expected(rows, section, items, what, vectors):
    """The numbers that a cell holds."""
    dataset, *splits = SECTIONS[section]
    measures = {**MEASURES, "genre": "class" if dataset == "ml-100k" else "genre"}
    place = (dataset, splits[items == "cold"], items)
    if vectors == "chance":
        return [rows.loc[(*place, "fused", measures[what]), "chance"]]
    row = rows.loc[(*place, vectors, measures.get(what, "audience"))]
    if what == "among equals":
        return [row["among_equals"]]
    if what == "times":
        return [row["value"] / row["among_equals"]]
    return [row["value"], row["error"]] if what in ("audience", "recall@10") else [row["value"]]


def test_every_section_has_both_tables():
    assert {name for name, *_ in CELLS} == set(SECTIONS) and len(CELLS) > 100


@pytest.mark.parametrize("section", SECTIONS)
def test_figures_are_those_of_the_rows(rows, section):
    for name, items, what, vectors, text in CELLS:
        if name == section:
            numbers = text.split(" ± ")
            known = expected(rows, section, items, what, vectors)
            written = [
                f"{value:.{len(number.partition('.')[2])}f}" for value, number in zip(known, numbers, strict=True)
            ]
            assert [value.removeprefix("0") for value in written] == numbers, f"{section}: {vectors}, {items} {what}"


def test_figures_in_sentences_are_those_of_a_table_or_of_a_row(rows):
    """A cell, a chance, or what a value is beyond items as popular."""
    known = {number for *_, text in CELLS for number in text.split(" ± ")}
    for numbers in (rows["chance"], rows["value"] - rows["among_equals"]):
        known |= {f"{value:.{digits}f}".removeprefix("0") for value in numbers for digits in (3, 4)}
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if not line.startswith("|")]
    said = set(re.findall(r"(?<![\w.])\.\d{3,4}\b", "\n".join(lines)))
    assert len(said) > 20 and said <= known
