"""A user given by items is the user that the model would have seen there."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from recbole_sheaf.embeddings.embeddings import TRAIN
from recbole_sheaf.embeddings.new_users import with_clicks, with_users
from recbole_sheaf.embeddings.ranking import PieceScores
from recbole_sheaf.embeddings.reading import embeddings_of, model_scores
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.plugin.recbole_factors import in_pieces
from tests.embeddings.toys import SOME_COLD, history_of, restored, scores_by_definition


def histories_as_lists(embeddings):
    """Training items of every user who has some, under another name."""
    lists = {}
    for row, token in enumerate(embeddings.users.tolist()):
        items = embeddings.items[history_of(embeddings, row, (TRAIN,))].tolist()
        if items:
            lists[f"new-{token}"] = items
    return lists


@pytest.mark.parametrize("name, chosen", [("ItemSheaf", {}), ("ItemSheaf", {"item_sheaf_neighbours": 5}), ("EASE", {})])
def test_histories_as_lists_give_the_models_own_scores(toy_settings, name, chosen):
    found = restored(name, {**toy_settings, **SOME_COLD, **chosen})
    embeddings = embeddings_of(found)
    lists = histories_as_lists(embeddings)
    scores = PieceScores(with_users(embeddings, lists))(np.arange(len(lists)))
    rows = embeddings.user_rows([token[4:] for token in lists])
    own = model_scores(found.model, rows)
    np.testing.assert_allclose(scores, own, rtol=1e-4, atol=1e-5 * np.abs(own).max())


@pytest.mark.parametrize(
    "name, chosen",
    [
        ("MMSheaf", {"n_layers": 3, "step_size": 0.6}),
        ("MMSheaf", {"n_layers": 2, "loss": "bpr"}),
        ("LightGCN", {"n_layers": 3}),
        ("LightGCN", {"n_layers": 2, "loss": "softmax"}),
        ("LightGCN", {"n_layers": 2, "loss": "softmax", "softmax_popularity": 1.0}),
    ],
)
def test_vectors_are_those_of_a_node_that_joins_the_graph(toy_settings, name, chosen):
    """By the definition of a step, the new node hearing its items of the same layer, one user after another."""
    found = restored(name, {**toy_settings, **SOME_COLD, **chosen})
    embeddings, model = embeddings_of(found), found.model
    lists = {"a": ["i3", "i5", "i8", "i3"], "b": ["i1"]}
    placed = with_users(embeddings, lists)
    signals = [rows[model.n_users + 1 :].double() for rows in in_pieces(model).layer_signals()]
    step_size = chosen.get("step_size", 1.0)
    degree = np.bincount(found.split.parts[0].inter_feat["item_id"].numpy(), minlength=model.n_items)[1:]
    for row, items in enumerate(lists.values()):
        chosen_items = sorted(set(embeddings.item_rows(items).tolist()))
        x = total = torch.zeros(signals[0].shape[1], dtype=torch.float64)
        for signal in signals[:-1]:
            heard = sum(signal[i] / np.sqrt(max(degree[i], 1) * len(chosen_items)) for i in chosen_items)
            x = (1 - step_size) * x + step_size * heard
            total = total + x
        vector = total / len(signals)
        if embeddings.metadata["compared_by"] == "cosine":
            vector = normalize(vector, dim=0) / getattr(model, "temperature", 1.0) ** 0.5
        if name == "MMSheaf":  # as much louder than a user of one interaction as a trained user of so many would be
            lengths = np.bincount(found.split.parts[0].inter_feat["user_id"].numpy(), minlength=model.n_users)[1:]
            vector = vector * len(chosen_items) ** 0.5 * (1 / lengths[lengths > 0] ** 0.5).mean()
        got = placed.user_vectors[row, : embeddings.width]
        np.testing.assert_allclose(got[: len(vector)], vector.detach().numpy(), rtol=1e-3, atol=1e-5)
        popular = chosen.get("softmax_popularity", float(name == "MMSheaf" and "loss" not in chosen))
        assert got[len(vector) :].tolist() == [1.0] * bool(popular)  # everyone's in the column of popularity


def test_new_users_stand_alone_beside_the_same_items(toy_settings):
    embeddings = embeddings_of(restored("MMSheaf", toy_settings))
    placed = with_users(embeddings, {"a": ["i3"], "b": ["i4", "i5"]})
    assert placed.users.tolist() == ["a", "b"] and placed.items is embeddings.items
    assert sorted(embeddings.items[history_of(placed, 1)]) == ["i4", "i5"]
    assert placed.user_vectors.shape == (2, embeddings.user_vectors.shape[1])


@pytest.mark.parametrize(
    "lists, message",
    [
        ({"u3": ["i1"]}, "user 'u3' is in the data already"),
        ({"a": []}, "user 'a' has no item"),
        ({"a": ["i1", "i9x"]}, "knows no item 'i9x'"),
    ],
)
def test_lists_that_make_no_user_are_refused(toy_settings, lists, message):
    embeddings = embeddings_of(restored("ItemSheaf", toy_settings))
    with pytest.raises(DataError, match=message):
        with_users(embeddings, lists)


@pytest.mark.parametrize("name, chosen", [("VBPR", {}), ("MMSheaf", {"restriction_map": "factored"}), ("BPR", {})])
def test_a_model_whose_users_are_trained_alone_is_refused(toy_settings, name, chosen):
    embeddings = embeddings_of(restored(name, {**toy_settings, **chosen}))
    with pytest.raises(ConfigError, match=f"{name} has no rule by which a user follows from items"):
        with_users(embeddings, {"a": ["i1"]})


CLICKED = ["i2", "i40", "i57", "i40"]


def longer_history(embeddings, user, items):
    return sorted({*history_of(embeddings, user), *embeddings.item_rows(items).tolist()})


@pytest.mark.parametrize("name, chosen", [("ItemSheaf", {}), ("ItemSheaf", {"item_sheaf_neighbours": 5}), ("EASE", {})])
def test_clicks_count_in_maps_as_if_the_history_had_them(toy_settings, name, chosen):
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD, **chosen}))
    alone = scores_by_definition(with_users(embeddings, {f"has {item}": [item] for item in embeddings.items.tolist()}))
    user = int(embeddings.user_rows(["u4"])[0])
    clicked = with_clicks(embeddings, "u4", CLICKED)
    history = longer_history(embeddings, user, CLICKED)
    assert sorted(history_of(clicked, 0)) == history and clicked.users.tolist() == ["u4"]
    assert set(history_of(clicked, 0, (1, 2))) == set(history_of(embeddings, user, (1, 2))) - set(history)
    expected = sum(alone[item] for item in history)  # a score is a sum over the history
    np.testing.assert_allclose(PieceScores(clicked)(np.array([0]))[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name, chosen", [("LightGCN", {"n_layers": 3}), ("MMSheaf", {"n_layers": 2, "loss": "bpr"})])
def test_clicks_diffuse_to_a_user_while_all_others_stay(toy_settings, name, chosen):
    """By the definition of a step, from the user's own vector, in each layer over the items of the longer history."""
    found = restored(name, {**toy_settings, **SOME_COLD, **chosen})
    embeddings, model = embeddings_of(found), found.model
    user = int(embeddings.user_rows(["u4"])[0])
    signals = [rows.double() for rows in in_pieces(model).layer_signals()]
    step_size = float(found.config["step_size"]) if name == "MMSheaf" else 1.0
    degree = np.bincount(found.split.parts[0].inter_feat["item_id"].numpy(), minlength=model.n_items)[1:]
    history = longer_history(embeddings, user, CLICKED)
    x = total = signals[0][1 + user]
    for signal in signals[:-1]:
        items = signal[model.n_users + 1 :]
        heard = sum(items[i] / np.sqrt(max(degree[i], 1) * len(history)) for i in history)
        x = (1 - step_size) * x + step_size * heard
        total = total + x
    vector = (total / len(signals)).detach().numpy()
    if name == "MMSheaf":  # as much louder as a trained user of so many items would be
        lengths = np.bincount(found.split.parts[0].inter_feat["user_id"].numpy(), minlength=model.n_users)[1:]
        vector = vector * len(history) ** 0.5 * (1 / lengths[lengths > 0] ** 0.5).mean()
    clicked = with_clicks(embeddings, "u4", CLICKED)
    np.testing.assert_allclose(clicked.user_vectors[0, : len(vector)], vector, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name, chosen", [("MMSheaf", {}), ("LightGCN", {"loss": "softmax"}), ("LightGCN", {})])
def test_clicks_on_the_history_change_nothing(toy_settings, name, chosen):
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD, **chosen}))
    row = embeddings.user_rows(["u4"])
    again = with_clicks(embeddings, "u4", embeddings.items[history_of(embeddings, row[0])].tolist())
    np.testing.assert_allclose(again.user_vectors[0], embeddings.user_vectors[row[0]], rtol=1e-3, atol=1e-5)


def test_under_the_cosine_a_user_without_a_vector_of_its_own_is_the_placed_one(toy_settings):
    """One whose vector is what the rule makes of the history, as if trained so."""
    embeddings = embeddings_of(restored("MMSheaf", {**toy_settings, **SOME_COLD}))
    row = int(embeddings.user_rows(["u4"])[0])
    history = embeddings.items[history_of(embeddings, row)].tolist()
    placed = with_users(embeddings, {"before": history, "after": [*history, *CLICKED]})
    embeddings.user_vectors[row] = placed.user_vectors[0]
    clicked = with_clicks(embeddings, "u4", CLICKED)
    np.testing.assert_allclose(clicked.user_vectors[0], placed.user_vectors[1], rtol=1e-3, atol=1e-5)


def test_vectors_that_training_alone_gives_stay_and_the_maps_take_notice(toy_settings):
    embeddings = embeddings_of(restored("MMSheaf", {**toy_settings, **SOME_COLD, "restriction_map": "factored"}))
    row = int(embeddings.user_rows(["u4"])[0])
    clicked = with_clicks(embeddings, "u4", CLICKED)
    width = embeddings.width
    assert np.array_equal(clicked.user_vectors[0, :width], embeddings.user_vectors[row, :width])
    added = np.abs(scores_by_definition(clicked)[0] - scores_by_definition(embeddings)[row])
    assert added.max() > 1e-3


@pytest.mark.parametrize(
    "name, user, items, kind, message",
    [
        ("BPR", "u4", ["i1"], ConfigError, "BPR has no rule by which clicks move a user"),
        ("ItemSheaf", "u4x", ["i1"], DataError, "knows no user 'u4x'"),
        ("ItemSheaf", "u4", ["i1x"], DataError, "knows no item 'i1x'"),
        ("ItemSheaf", "u4", [], DataError, "user 'u4' has clicked nothing"),
    ],
)
def test_clicks_that_move_nobody_are_refused(toy_settings, name, user, items, kind, message):
    with pytest.raises(kind, match=message):
        with_clicks(embeddings_of(restored(name, toy_settings)), user, items)
