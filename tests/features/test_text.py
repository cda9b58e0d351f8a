"""Text vectors: who is missing, how many components, and a cache that follows the content."""

import numpy as np
import pytest

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features import text
from recbole_sheaf.features.text import possible_text_modalities, text_features

ITEMS = """item_id:token\ttitle:token_seq\tgenre:token_seq
10\tred apple\tfruit
2\tgreen apple\tfruit
33\tred car\tvehicle
4\tgreen car\tvehicle
5\tNA\t
6\t"Unheard"\tfruit
"""


@pytest.fixture
def item_file(tmp_path):
    path = tmp_path / "x.item"
    path.write_text(ITEMS)
    return path


def vectors(item_file, name="title", columns=("title",), dim=3):
    tokens, rows = text_features(item_file, name, columns, dim, item_file.parent / "cache")
    return dict(zip(tokens, rows))


def test_items_without_a_shared_word_are_missing(item_file):
    assert list(vectors(item_file)) == ["10", "2", "33", "4"]
    assert list(vectors(item_file, "genre", ["genre"])) == ["10", "2", "33", "4", "6"]
    assert list(vectors(item_file, "both", ["title", "genre"])) == ["10", "2", "33", "4", "6"]


def test_of_an_item_that_stands_there_twice_the_first_row_stays_and_the_log_says_so(item_file, caplog):
    once = vectors(item_file)
    assert not caplog.records
    item_file.write_text(ITEMS + "2\tred car\tfruit\n33\tred apple\tfruit\n")
    again = vectors(item_file)
    assert "2 of 8 rows of x.item repeat the item_id of an earlier row (first: '2') and are left out" in caplog.text
    assert list(again) == list(once) and all(np.array_equal(again[token], once[token]) for token in once)


def test_same_words_same_vector_and_shared_words_are_nearer(item_file):
    genre = vectors(item_file, "genre", ["genre"])
    np.testing.assert_allclose(genre["10"], genre["6"], atol=1e-6)
    title = vectors(item_file)
    assert title["10"] @ title["2"] > title["10"] @ title["4"] + 0.1


@pytest.mark.parametrize("dim, expected", [(1, 1), (2, 2), (64, 3)])  # four words are known
def test_components_are_bounded_by_the_vocabulary(item_file, dim, expected):
    assert vectors(item_file, dim=dim)["10"].shape == (expected,)


def test_one_known_word_gives_one_component(tmp_path):
    (tmp_path / "x.item").write_text("item_id:token\tgenre:token\n1\ta\n2\ta\n3\tb\n")
    assert set(vectors(tmp_path / "x.item", "genre", ["genre"])) == {"1", "2"}


def test_cache_is_used_and_gives_identical_bits(item_file, monkeypatch):
    first = vectors(item_file)
    monkeypatch.setattr(text, "encode_texts", None)  # any further encoding would fail
    again = vectors(item_file)
    assert {token: row.tobytes() for token, row in again.items()} == {
        token: row.tobytes() for token, row in first.items()
    }


@pytest.mark.parametrize(
    "change", [dict(name="other"), dict(columns=("title", "genre")), dict(dim=2)], ids=lambda change: next(iter(change))
)
def test_cache_follows_every_setting(item_file, monkeypatch, change):
    vectors(item_file)
    monkeypatch.setattr(text, "encode_texts", None)
    with pytest.raises(TypeError):
        vectors(item_file, **change)


def test_cache_follows_the_text_of_its_own_columns_only(item_file, monkeypatch):
    vectors(item_file)
    item_file.write_text(ITEMS.replace("vehicle", "machine"))
    monkeypatch.setattr(text, "encode_texts", None)
    vectors(item_file)
    item_file.write_text(ITEMS.replace("red car", "blue car"))
    with pytest.raises(TypeError):
        vectors(item_file)


@pytest.mark.parametrize("damage", [b"", b"garbage", "cut", "flip"])
def test_a_damaged_entry_is_made_again(item_file, damage):
    first = vectors(item_file)
    (entry,) = (item_file.parent / "cache" / "text").iterdir()
    content = bytearray(entry.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 255
    entry.write_bytes({"cut": content[:-100], "flip": content}.get(damage, damage))
    again = vectors(item_file)
    assert all(np.array_equal(again[token], first[token]) for token in first)
    with np.load(entry, allow_pickle=False) as mended:
        assert len(mended["feature"]) == 4


def test_a_cache_that_cannot_be_written_costs_no_run(item_file):
    (item_file.parent / "cache").write_text("a file where the folder should be")
    assert vectors(item_file)


def test_possible_modalities_need_all_their_columns(item_file, tmp_path):
    wanted = {"title": ["title", "year"], "genre": ["genre"], "nothing": []}
    assert possible_text_modalities(item_file, wanted) == ["genre"]
    assert possible_text_modalities(tmp_path / "absent.item", wanted) == []


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(columns=["plot"]), r"x.item has no column \['plot'\]; its columns are \['item_id', 'title', 'genre'\]"),
        (dict(columns=["item_id"]), "no two of 6 items share a word; choose other columns"),
        (dict(dim=0), "was given 0 dimensions; set feature_dim_text to 1 or more"),
    ],
)
def test_what_cannot_be_made_is_said(item_file, settings, message):
    with pytest.raises(FeatureError, match=message):
        vectors(item_file, **settings)
