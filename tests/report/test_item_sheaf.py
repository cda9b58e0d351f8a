"""The section on the item sheaf of an export, whose coefficients are written by hand."""

import numpy as np
import pytest
from scipy import sparse

from recbole_sheaf.embeddings import Block, Embeddings, Histories
from recbole_sheaf.errors import DataError
from recbole_sheaf.exports import write_embeddings
from recbole_sheaf.report.document import Figure, Paragraph, Table
from recbole_sheaf.report.exported import read_exported
from recbole_sheaf.report.sections.item_sheaf import item_sheaf
from recbole_sheaf.report.words import Words

ITEMS = [f"i{n}" for n in range(8)]


def exported_to(path, coefficients):
    """Two users with six of eight items in common; an inner product of 1 for all pairs, and given coefficients."""
    histories = Histories.of(2, np.repeat([0, 1], 6), np.tile(np.arange(6), 2), np.zeros(12, dtype=np.int8))
    embeddings = Embeddings(
        users=np.array(["u0", "u1"]),
        items=np.array(ITEMS),
        user_vectors=np.ones((2, 1), dtype=np.float32),
        item_vectors=np.ones((8, 1), dtype=np.float32),
        blocks=(Block("id", 0, 1),),
        item_sources=np.zeros((8, 0), dtype=np.float32),
        histories=histories,
        coefficients=coefficients,
        metadata={"model": "ItemSheaf", "dataset": "toy", "seen_at_test": ["train", "valid"]},
    )
    write_embeddings(embeddings, path)
    return path


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    matrix = np.zeros((8, 8), dtype=np.float32)
    matrix[:6, 7] = [3.0, -1.0, 2.0, 0.5, 0.25, 0.25]  # what the history says for item 7: 5 in all, one item against
    return exported_to(tmp_path_factory.mktemp("export") / "x.npz", sparse.csc_matrix(matrix))


@pytest.fixture
def titles(tmp_path):
    path = tmp_path / "toy.item"
    rows = [f"{item}\tclass\tTitle of {item}" for item in ITEMS[:7]]
    path.write_text("item_id:token\tclass:token\tmovie_title:token_seq\n" + "\n".join(rows), encoding="utf-8")
    return path


def test_signs_lengths_and_parts_are_those_of_the_coefficients(export, titles):
    blocks = item_sheaf(read_exported(export, titles), Words("en"))
    (figure,) = [block for block in blocks if isinstance(block, Figure)]
    assert "Of the coefficients 16.7\u00a0% are negative and have 14.3\u00a0% of the absolute weight" in figure.sees
    parts = next(block for block in blocks if isinstance(block, Table))
    assert [[cell.text for cell in row] for row in parts.rows] == [
        ["ID stalk", "1.0000", "16.7\u00a0%"],
        ["item sheaf", "5.0000", "83.3\u00a0%"],
    ]


def test_examples_go_by_title_and_say_who_is_loudest(export, titles):
    blocks = item_sheaf(read_exported(export, titles), Words("ru"))
    text = next(block.text for block in blocks if isinstance(block, Paragraph) and "u0" in block.text)
    assert "«i7», оценка 6,00" in text and "Объектов в истории: 6, из них против: 1." in text, "i7 has no title"
    table = [block for block in blocks if isinstance(block, Table)][1]
    assert [[cell.text for cell in row] for row in table.rows[:3]] == [
        ["Title of i0", "+3,000"],
        ["Title of i2", "+2,000"],
        ["Title of i1", "−1,000"],
    ]


def test_a_model_without_maps_has_a_sentence(tmp_path):
    blocks = item_sheaf(read_exported(exported_to(tmp_path / "x.npz", None)), Words("en"))
    assert [block.text for block in blocks] == ["The exported model ItemSheaf has no maps between items."]
    assert item_sheaf(None, Words("en")) == []


@pytest.mark.parametrize(
    "content, message",
    [
        (b"item_id:token\tyear:token\n1\t2", "has the columns item_id, year, expected item_id and one with 'title'"),
        (b"item_id:token\ttitle:token\n1", "line 2 of .* has 1 columns, its heading 2"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"", "has the columns none"),
    ],
)
def test_titles_that_are_none_are_refused(export, tmp_path, content, message):
    (tmp_path / "x.item").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_exported(export, tmp_path / "x.item")
