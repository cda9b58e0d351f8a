"""New items are to a model what its own cold items are, and nothing old moves."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_sheaf.embeddings.new_items import place_items, read_new_items
from recbole_sheaf.embeddings.new_users import with_users
from recbole_sheaf.embeddings.ranking import PieceScores
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import ConfigError, FeatureError
from recbole_sheaf.exports.arrays import as_arrays
from recbole_sheaf.features import read_features, write_features
from recbole_sheaf.sheaf.item_maps import COLD
from tests.embeddings.toys import SOME_COLD, history_of, restored

NO_GRAPH = {"item_graph_neighbours": 0}  # on the graph an item's nearest is its twin, which the item itself has not
PLACED = [
    ("MMSheaf", NO_GRAPH),
    ("MMSheaf", {**NO_GRAPH, "item_sheaf_rarity": 0.0}),
    ("MMSheaf", {**NO_GRAPH, "item_sheaf_weight": 0.0, "loss": "bpr"}),
    ("MMSheaf", {**NO_GRAPH, "item_sheaf_neighbours": 5}),
    ("MMSheaf", {**NO_GRAPH, "restriction_map": "factored", "step_size": 0.7}),
    ("MMSheaf", {**NO_GRAPH, "modalities": ["text"], "use_id_stalk": False}),
    ("ItemSheaf", {}),
    ("ItemSheaf", {"item_sheaf_neighbours": 5, "modality_weights": {"text": 3.0}}),
    ("SheafRec", {}),
]


def written_again(found, rows, folder, prefix="new-"):
    """Feature files with the content of items of the catalogue under new names."""
    tokens = found.split.dataset.field2id_token["item_id"]
    for name, features in found.model.modalities.items():
        has = [row for row in rows if features.present[row + 1]]
        named = [f"{prefix}{tokens[row + 1]}" for row in has]
        write_features(folder / f"{name}.npz", named, features.matrix[[row + 1 for row in has]].numpy())
    return folder


def cold_rows(found):
    degree = np.bincount(found.split.parts[0].inter_feat["item_id"].numpy(), minlength=found.model.n_items)
    return np.flatnonzero(degree[1:] == 0)


def placed_from(found, rows, folder, prefix="new-"):
    embeddings = embeddings_of(found)
    return embeddings, place_items(
        found, embeddings, read_new_items(written_again(found, rows, folder, prefix), found, embeddings)
    )


@pytest.fixture(params=["coefficients", "block"])
def maps_into_cold_items(request, monkeypatch):
    """Both ways to hold them, whichever is smaller."""
    for module in ("sheaf.item_maps", "embeddings.cold_columns"):
        smaller = f"recbole_sheaf.{module}.smaller_as_coefficients"
        monkeypatch.setattr(smaller, lambda *sizes: request.param == "coefficients")
    return request.param


@pytest.mark.parametrize("name, chosen", PLACED)
def test_the_content_of_a_cold_item_is_placed_where_the_model_has_that_item(
    toy_settings, tmp_path, name, chosen, maps_into_cold_items
):
    found = restored(name, {**toy_settings, **SOME_COLD, **chosen})
    rows = cold_rows(found)
    assert len(rows) > 2
    embeddings, placed = placed_from(found, rows, tmp_path / "content")
    new = placed.item_rows([f"new-{token}" for token in embeddings.items[rows]])
    scores = PieceScores(placed)(np.arange(len(placed.users)))
    assert np.abs(scores[:, rows]).max() > 0
    np.testing.assert_allclose(scores[:, new], scores[:, rows], atol=1e-5 * np.abs(scores).max())
    np.testing.assert_allclose(placed.embeddings[new], placed.embeddings[rows], atol=1e-5)
    assert placed.item_is_new[new].all() and placed.item_is_new.sum() == len(new)


@pytest.mark.parametrize("name, chosen", [*PLACED, ("MMSheaf", {}), ("VBPR", {}), ("VBPR", {"loss": "softmax"})])
@pytest.mark.parametrize("split", [{}, SOME_COLD])
def test_no_bit_of_the_old_moves(toy_settings, tmp_path, name, chosen, split, maps_into_cold_items):
    found = restored(name, {**toy_settings, **split, **chosen})
    embeddings, placed = placed_from(found, [4, 9], tmp_path / "content")
    old, n = as_arrays(embeddings), len(embeddings.items)
    for key, array in as_arrays(placed).items():
        if key.startswith("coefficient_offsets"):
            assert np.array_equal(array[: n + 1], old[key])
        elif key.startswith("coefficient_"):
            assert np.array_equal(array[: len(old[key])], old[key])
        elif key.startswith("item_"):
            assert np.array_equal(array[:n] if array.ndim == 1 else array[:n, : old[key].shape[1]], old[key])
        elif key == "user_vectors":
            assert np.array_equal(array[:, : old[key].shape[1]], old[key])
        else:
            assert np.array_equal(array, old[key])
    width = embeddings.item_vectors.shape[1]
    assert not placed.item_vectors[:n, width:].any()  # a block for new items alone: the old hear nothing there


def test_a_new_item_hears_its_nearest_in_the_catalogue_on_the_item_graph(toy_settings, tmp_path):
    """By hand: the projections of its content, and the mean of the three nearest items' stalks, of both modalities."""
    found = restored("MMSheaf", {**toy_settings, "item_graph_neighbours": 3}, moved=0.5)
    model, row = found.model, 4
    _embeddings, placed = placed_from(found, [row], tmp_path / "content")
    stalks = model.stalks()[model.n_users :].flatten(1).detach()
    trust = model.item_graph.trust.detach().exp()
    heard = torch.zeros_like(stalks[0])
    for share, features in zip(trust / trust.sum(), model.modalities.values()):
        rows = features.matrix / features.matrix.norm(dim=1, keepdim=True).clamp(min=1e-12)
        near = (rows @ rows[row + 1]).masked_fill(~features.present, -2.0).topk(3).indices
        assert near[0] == row + 1  # its twin
        heard += share * stalks[near].mean(dim=0)
    own = stalks[row + 1].clone()
    own[: model.stalks.id_embedding.shape[1]] = 0.0
    expected = torch.nn.functional.normalize(own + heard, dim=0) / model.temperature**0.5
    np.testing.assert_allclose(placed.item_embeddings[-1], expected.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("neighbours", [0, 5])
def test_a_catalogue_without_cold_items_gets_maps_into_new_ones(
    toy_settings, tmp_path, neighbours, maps_into_cold_items
):
    """Alone as in company; loud as rare items are; and whoever likes its kind is offered a new item first."""
    found = restored("ItemSheaf", {**toy_settings, "item_sheaf_neighbours": neighbours})
    assert not len(cold_rows(found)) and found.model.sheaf.cold_items is None
    embeddings, both = placed_from(found, [4, 9], tmp_path / "both")
    _, alone = placed_from(found, [9], tmp_path / "alone")
    assert not any(block.name == COLD for block in embeddings.blocks)
    assert any(block.name == COLD for block in both.blocks) == (maps_into_cold_items == "block")
    trained_on = np.stack([both.item_sources[history_of(both, user)].sum(axis=0) for user in range(len(both.users))])
    np.testing.assert_allclose(both.user_vectors[:, both.width :], trained_on, rtol=1e-4, atol=1e-5)
    scores = PieceScores(both)(np.arange(len(both.users)))
    np.testing.assert_allclose(both.item_vectors[-1], alone.item_vectors[-1], rtol=1e-5, atol=1e-8)
    old, new = scores[:, :-2], scores[:, -2:]
    assert 0.2 < np.sqrt((new**2).mean() / (old**2).mean()) < 5
    np.testing.assert_allclose(old, PieceScores(embeddings)(np.arange(len(both.users))), rtol=1e-4, atol=1e-5)
    for column, row in ((0, 4), (1, 9)):  # even users like even items
        like = np.array([int(user[1:]) % 2 == int(embeddings.items[row][1:]) % 2 for user in embeddings.users])
        assert new[like, column].mean() > new[~like, column].mean()


def test_users_by_items_are_offered_new_items(toy_settings, tmp_path):
    found = restored("ItemSheaf", {**toy_settings, **SOME_COLD})
    embeddings, placed = placed_from(found, cold_rows(found), tmp_path / "content")
    user = int(np.argmax(np.diff(embeddings.histories.offsets)))
    mine = embeddings.histories.matrix(np.array([user]), [0], len(embeddings.items)).indices
    visitor = with_users(placed, {"visitor": embeddings.items[mine].tolist()})
    np.testing.assert_allclose(
        PieceScores(visitor)(np.array([0]))[0], PieceScores(placed)(np.array([user]))[0], atol=1e-5
    )


def test_rows_of_known_items_are_left_and_counted(toy_settings, tmp_path):
    found = restored("ItemSheaf", toy_settings)
    folder = written_again(found, [4, 9], tmp_path / "content")
    matrix = found.model.modalities["image"].matrix[[5, 5]].numpy()
    write_features(folder / "image.npz", ["i3", "fresh"], matrix)
    items = read_new_items(folder, found, embeddings_of(found))
    tokens = found.split.dataset.field2id_token["item_id"]
    assert items.known == 1 and items.tokens.tolist() == ["fresh", f"new-{tokens[5]}", f"new-{tokens[10]}"]
    assert items.coverage == {"image": 1, "text": 2}


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "holds no <modality>.npz; expected some of image, text"),
        ({"imag": (["a"], 8)}, "no modality 'imag' .did you mean 'image'"),
        ({"image": (["a"], 9)}, "image.npz has 9 columns, but the model was trained with 8"),
        ({"image": (["i1", "i2"], 8)}, "every item in .* is known to the model"),
    ],
)
def test_content_that_does_not_fit_is_refused(toy_settings, tmp_path, files, message):
    found = restored("ItemSheaf", toy_settings)
    for name, (tokens, width) in files.items():
        write_features(tmp_path / "content" / f"{name}.npz", tokens, np.ones((len(tokens), width), dtype=np.float32))
    with pytest.raises(FeatureError, match=message):
        read_new_items(tmp_path / "content", found, embeddings_of(found))


@pytest.mark.parametrize(
    "name, chosen, message",
    [
        ("FREEDOM", {}, "FREEDOM has no maps that place an item by content alone"),
        ("LightGCN", {}, "LightGCN was trained without item content"),
        ("MMSheaf", {"modalities": []}, "MMSheaf was trained without item content"),
        ("MMSheaf", {"item_graph_arcs": "item_sheaf"}, "diffuse along the item sheaf"),
        ("MMSheaf", {"item_sheaf_map": "identity"}, "no maps into items without interactions"),
        ("ItemSheaf", {"cold_ridge": 0.0}, "no maps into items without interactions"),
    ],
)
def test_a_model_without_maps_from_content_is_refused(toy_settings, tmp_path, name, chosen, message):
    found = restored(name, {**toy_settings, **chosen})
    folder = Path(tmp_path / "content")
    write_features(folder / "image.npz", ["a"], np.ones((1, 8), dtype=np.float32))
    with pytest.raises(ConfigError, match=message):
        embeddings = embeddings_of(found)
        place_items(found, embeddings, read_new_items(folder, found, embeddings))


def test_a_modality_that_was_made_of_text_takes_no_file(toy_settings, tmp_path):
    """Coordinates of TF-IDF are fitted to the texts that were there: numbers of the right width would mean nothing."""
    folder = Path(toy_settings["data_path"]) / "toy"
    lines = [f"i{item}\t{'odd' if item % 2 else 'even'} tale {item % 7} of {item % 5}" for item in range(60)]
    (folder / "toy.item").write_text("item_id:token\ttitle:token_seq\n" + "\n".join(lines) + "\n")
    text = {"modalities": ["title"], "text_modalities": {"title": ["title"]}}
    found = restored("ItemSheaf", {**toy_settings, **text})
    width = found.model.modalities["title"].dim
    write_features(tmp_path / "content" / "title.npz", ["a"], np.ones((1, width), dtype=np.float32))
    with pytest.raises(FeatureError, match="'title' was made of the columns title of toy.item"):
        read_new_items(tmp_path / "content", found, embeddings_of(found))


def test_columns_that_an_entry_names_are_text_though_a_file_has_the_name(toy_settings, tmp_path):
    folder = Path(toy_settings["data_path"]) / "toy"
    lines = [f"i{item}\t{'odd' if item % 2 else 'even'} tale {item % 7} of {item % 5}" for item in range(60)]
    (folder / "toy.item").write_text("item_id:token\ttitle:token_seq\n" + "\n".join(lines) + "\n")
    found = restored("ItemSheaf", {**toy_settings, "modalities": [{"name": "image", "columns": ["title"]}]})
    width = found.model.modalities["image"].dim
    write_features(tmp_path / "content" / "image.npz", ["a"], np.ones((1, width), dtype=np.float32))
    with pytest.raises(FeatureError, match="'image' was made of the columns title of toy.item"):
        read_new_items(tmp_path / "content", found, embeddings_of(found))


@pytest.mark.parametrize("how", ["rows", "columns"])
def test_new_rows_are_normalised_as_the_old_ones_were(toy_settings, tmp_path, how):
    features = Path(toy_settings["data_path"]) / "toy" / "features"
    chosen = [{"name": name, "file": f"{name}.npz", "normalise": how} for name in ("image", "text")]
    for name in ("image", "text"):
        tokens, rows = read_features(features / f"{name}.npz")
        write_features(features / f"{name}.npz", tokens, 3 * rows + 2)
    found = restored("ItemSheaf", {**toy_settings, **SOME_COLD, "modalities": chosen})
    known = found.split.dataset.field2token_id["item_id"]
    for name, own in found.model.modalities.items():
        tokens, rows = read_features(features / f"{name}.npz")
        write_features(tmp_path / "content" / f"{name}.npz", [f"new-{token}" for token in tokens], rows)
        assert not np.allclose(own.matrix[[known[token] for token in tokens]], rows, atol=0.1)
    items = read_new_items(tmp_path / "content", found, embeddings_of(found))
    old = [known[token.removeprefix("new-")] for token in items.tokens]
    for name, own in found.model.modalities.items():
        np.testing.assert_allclose(items.modalities[name].matrix[1:], own.matrix[old], atol=1e-6)
