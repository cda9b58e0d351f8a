"""Content at any scale of float32: lists are those of the same rows times any factor; what cannot be is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from recbole_sheaf.embeddings.new_items import place_items, read_new_items
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features import read_features, write_features
from recbole_sheaf.features.item_columns import column_features
from recbole_sheaf.features.modality import join_by_token
from recbole_sheaf.features.normalisation import fit_normalisation
from recbole_sheaf.sheaf.item_signals import content_coordinates
from recbole_sheaf.sheaf.unit_length import unit_length
from tests.conftest import CLOSED_FORM, write_toy
from tests.embeddings.toys import SOME_COLD, restored

ITEMS = [f"i{item}" for item in range(12)]
TOKEN2ID = {"[PAD]": 0, **{token: number for number, token in enumerate(ITEMS, start=1)}}
ROWS = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
WITHOUT_ITEM_SHEAF = {"MMSheaf": {"item_sheaf_weight": 0}}  # which centres rows, so that their lengths count
SIZES = (2.0**-110, 2.0**-70, 2.0**-41, 2.0**-10, 2.0**30, 2.0**63, 2.0**66, 2.0**125)  # ROWS are of 0.002 to 2.4


def joined(rows, how="none"):
    features = join_by_token("x", ITEMS, rows, TOKEN2ID, 13)
    return features.normalised(fit_normalisation(how, features.matrix, features.present, "x"))


@given(exponent=st.integers(-100, 125), seed=st.integers(0, 99))
def test_unit_length_is_that_of_float64(exponent, seed):
    rows = np.random.default_rng(seed).standard_normal((4, 3)) * 2.0 ** np.array([[exponent], [0], [-90], [90]])
    rows[1, 1:] = 0
    rows = rows.astype(np.float32)
    exact = rows.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(unit_length(torch.from_numpy(rows)).numpy(), exact, rtol=3e-7)


def test_rows_of_ordinary_size_are_pytorchs_to_the_last_bit():
    rows = torch.from_numpy(ROWS * 10.0 ** np.arange(-5, 7, dtype=np.float32)[:, None])
    rows[3] = 0
    assert torch.equal(unit_length(rows), normalize(rows))
    assert unit_length(torch.zeros(3, 0)).shape == (3, 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["none", "rows", "columns"])
def test_a_modality_is_its_rows_times_a_power_of_two(how, size):
    """Bit for bit up to one exponent, which is 0 for ordinary rows."""
    one, other = joined(ROWS, how), joined(ROWS * np.float32(size), how)
    assert one.normalisation.exponent == 0
    ratio = 1.0 if how != "none" else size * 2.0**other.normalisation.exponent
    assert torch.equal(other.matrix, one.matrix * ratio) and torch.equal(one.present, other.present)
    assert 2.0**-45 < other.matrix.abs().max() < 2.0**45


@pytest.mark.parametrize("how", ["none", "rows"])
def test_rows_of_very_different_lengths_keep_their_directions(how):
    lengths = 10.0 ** np.linspace(-25, 8, 12)[:, None]
    found = joined((ROWS * lengths).astype(np.float32), how)
    np.testing.assert_allclose(
        unit_length(found.matrix)[1:].numpy(), ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True), rtol=1e-5, atol=1e-7
    )


def with_row(size, dtype=np.float32):
    rows = ROWS.astype(dtype).copy()
    rows[7] = size
    return rows


@pytest.mark.parametrize(
    "rows, said",
    [
        (with_row(1e-39), r"x.npz has 1 row without a value of 1.2e-38 or more \(first: item 'i7'\)"),
        (
            with_row(1e-300, np.float64),
            r"has 1 row without a value of 1.2e-38 .* 'i7'.*; multiply all rows by one factor",
        ),
        (ROWS * np.float32(1e-40), r"x.npz has 12 rows without a value .* \(first: item 'i0'\)"),
    ],
)
def test_what_float32_does_not_hold_whole_is_refused_and_counted(tmp_path, rows, said):
    np.savez(tmp_path / "x.npz", item_id=np.array(ITEMS), feature=rows)
    with pytest.raises(FeatureError, match=said):
        read_features(tmp_path / "x.npz")


def test_a_row_of_zeros_and_a_small_value_beside_others_are_no_defect(tmp_path):
    rows = with_row(0)
    rows[3, 0] = 1e-42
    write_features(tmp_path / "x.npz", ITEMS, rows)
    assert np.array_equal(read_features(tmp_path / "x.npz")[1], rows)


def test_numbers_in_a_column_are_read_before_they_are_rounded(tmp_path):
    (tmp_path / "toy.item").write_text("item_id:token\tv:float_seq\na\t1e-50 2e-50\nb\t1 2\n")
    with pytest.raises(FeatureError, match="1 row without a value of .* .first: item 'a'"):
        column_features(tmp_path / "toy.item", "v")


def test_rows_that_cannot_be_held_beside_the_others_are_refused_and_counted():
    rows = ROWS * np.float32(1e30)
    rows[[2, 5]] = ROWS[[2, 5]] * np.float32(1e-20)
    with pytest.raises(FeatureError, match="2 rows of modality 'x' are so much longer or shorter than the others"):
        joined(rows)


def test_a_column_that_hardly_varies_is_refused_and_counted():
    rows = ROWS.copy()
    rows[:, 3] *= np.float32(1e-39)
    with pytest.raises(FeatureError, match="1 columns of modality 'x' vary by so little"):
        joined(rows, "columns")


def test_centred_rows_keep_their_directions_below_the_epsilon_of_normalize():
    """Of a modality in the ordinary range, to the last bit."""
    rows, present = torch.from_numpy(ROWS), torch.ones(12, dtype=torch.bool)
    one = content_coordinates([(rows, present)], [1.0])
    assert torch.equal(content_coordinates([(rows * 2.0**-42, present)], [1.0]), one)


MODELS = ("ItemSheaf", "MMSheaf", "L3AE", "VBPR", "FREEDOM", "MMGCN")


@pytest.mark.parametrize("name", [*MODELS[:2], *(pytest.param(n, marks=pytest.mark.slow) for n in MODELS[2:])])
@pytest.mark.parametrize("size", [1e-35, 3e37])
def test_lists_are_those_of_ordinary_rows(toy, toy_settings, name, size):
    settings = {**toy_settings, **SOME_COLD}
    if name in CLOSED_FORM:
        settings.pop("embedding_size", None)
    before = scores_of(restored(name, settings))
    for path in (toy / "toy" / "features").glob("*.npz"):
        tokens, rows = read_features(path)
        write_features(path, tokens, rows * np.float32(size))
    torch.testing.assert_close(scores_of(restored(name, settings)), before, rtol=1e-4, atol=1e-5)


READERS_OF_DIRECTIONS = ("VBPR", "L3AE", "MMSheaf", "FREEDOM", "MMGCN")


@pytest.mark.parametrize(
    "name", ["VBPR", *(pytest.param(name, marks=pytest.mark.slow) for name in READERS_OF_DIRECTIONS[1:])]
)
def test_an_item_says_the_same_at_any_length_of_its_row(toy, toy_settings, name):
    """To the last bit: lengths are changed by powers of two."""
    settings = {**toy_settings, **SOME_COLD, **WITHOUT_ITEM_SHEAF.get(name, {})}
    before = scores_of(restored(name, settings))
    for path in (toy / "toy" / "features").glob("*.npz"):
        tokens, rows = read_features(path)
        rows[[9, 11]] *= np.float32([[2.0**-50], [2.0**35]])
        write_features(path, tokens, rows)
    assert torch.equal(scores_of(restored(name, settings)), before)


def scores_of(found):
    from recbole.data.interaction import Interaction

    users = torch.arange(1, found.model.n_users)
    with torch.no_grad():
        return found.model.full_sort_predict(Interaction({"user_id": users})).view(len(users), -1)[:, 1:]


@pytest.mark.parametrize("size", [1e-35, 3e37])
def test_new_items_are_read_at_the_scale_of_the_old(toy, toy_settings, tmp_path, size):
    """A copy of a known item without training interactions has its vector; one of another scale is refused."""
    for path in (toy / "toy" / "features").glob("*.npz"):
        tokens, rows = read_features(path)
        write_features(path, tokens, rows * np.float32(size))
        write_features(tmp_path / "new" / path.name, ["new"], rows[[9]] * np.float32(size))
        write_features(tmp_path / "far" / path.name, ["far"], rows[[9]] * np.float32(1 / size))
    found = restored("VBPR", {**toy_settings, **SOME_COLD})
    embeddings = embeddings_of(found)
    items = read_new_items(tmp_path / "new", found, embeddings)
    old = found.split.dataset.field2token_id["item_id"]["i9"]
    for name, own in found.model.modalities.items():
        assert torch.equal(items.modalities[name].matrix[1], own.matrix[old])
    assert np.isfinite(place_items(found, embeddings, items).item_vectors).all()
    with pytest.raises(FeatureError, match="1 rows of modality 'image' are so much longer or shorter"):
        read_new_items(tmp_path / "far", found, embeddings)


@pytest.mark.parametrize("name", ["VBPR", "MMSheaf"])
def test_a_new_item_has_its_direction_at_any_length(toy, toy_settings, tmp_path, name):
    for path in (toy / "toy" / "features").glob("*.npz"):
        rows = read_features(path)[1][[9]]
        write_features(
            tmp_path / "new" / path.name, ["one", "short"], np.concatenate([rows, rows * np.float32(2**-50)])
        )
    found = restored(name, {**toy_settings, **SOME_COLD, **WITHOUT_ITEM_SHEAF.get(name, {})})
    embeddings = embeddings_of(found)
    placed = place_items(found, embeddings, read_new_items(tmp_path / "new", found, embeddings))
    assert placed.items[-2:].tolist() == ["one", "short"]
    np.testing.assert_array_equal(placed.item_vectors[-1], placed.item_vectors[-2])


def test_the_toy_is_left_as_it_is(tmp_path):
    """Nothing of ordinary content changes: its exponent is 0 and its rows are the file's."""
    write_toy(tmp_path / "toy")
    tokens, rows = read_features(tmp_path / "toy" / "features" / "image.npz")
    ids = {"[PAD]": 0, **{token: place for place, token in enumerate(tokens, start=1)}}
    found = join_by_token("image", tokens, rows, ids, len(ids))
    assert fit_normalisation("none", found.matrix, found.present, "image").exponent == 0
    assert np.array_equal(found.matrix[1:].numpy(), rows)
