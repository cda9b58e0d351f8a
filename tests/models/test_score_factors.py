"""What a model says of its scores is what it scores by, and what it has not it refuses in a sentence."""

import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_sheaf.errors import ConfigError, NoPieces
from recbole_sheaf.plugin.registration import MODELS
from tests.embeddings.toys import SOME_COLD, restored
from tests.sheaf.test_item_maps import dense

NO_GRAPH = {"item_graph_neighbours": 0}  # whose part of an item is none of its stalks nor of the diffusion
VARIANTS = [*((name, {}) for name in sorted(set(MODELS) - {"BRIDGE"})), ("BRIDGE", {"behaviour_weight": 0.0})]
VARIANTS += [("MMSheaf", {"item_sheaf_neighbours": 5}), ("VBPR", {"loss": "softmax", "softmax_popularity": 1.0})]


@pytest.mark.parametrize("name, chosen", VARIANTS)
def test_vectors_and_maps_are_the_score(toy_settings, name, chosen):
    found = restored(name, {**toy_settings, **SOME_COLD, **chosen})
    model, train = found.model, found.split.parts[0].inter_feat
    histories = torch.zeros(model.n_users, model.n_items)
    histories[train["user_id"], train["item_id"]] = 1.0
    with torch.no_grad():
        factors, maps = model.score_factors(), model.item_maps()
        own = model.full_sort_predict(Interaction({"user_id": torch.arange(model.n_users)})).view(histories.shape)
    widths = [width for _, width in factors.blocks]
    assert factors.items.shape[1] == sum(widths) + factors.popularity
    scores = factors.users @ factors.items.mT + (0 if maps is None else histories @ dense(maps))
    torch.testing.assert_close(scores[1:, 1:], own[1:, 1:], rtol=0, atol=1e-5 * float(own[1:, 1:].abs().max()))


def test_columns_are_named_by_what_they_hold(toy_settings):
    assert restored("MMSheaf", toy_settings).model.score_factors().blocks == [("id", 8), ("image", 8), ("text", 8)]
    blocks = restored("VBPR", {**toy_settings, "embedding_size": 8, "content_size": 5}).model.score_factors().blocks
    assert blocks == [("factors", 8), ("content", 5), ("bias", 1)]


@pytest.mark.parametrize(
    "name, ask, error, message",
    [
        ("BRIDGE", lambda model: model.score_factors(), NoPieces, "BRIDGE makes its scores neither of vectors nor"),
        ("FREEDOM", lambda model: model.layer_signals(), ConfigError, "FREEDOM has no layers that can be shown"),
        ("FREEDOM", lambda model: model.place(model.modalities), ConfigError, "FREEDOM has no maps that place an item"),
        ("L3AE", lambda model: model.place(model.modalities), ConfigError, "L3AE has no maps that place an item"),
    ],
)
def test_what_a_model_has_not_it_refuses(toy_settings, name, ask, error, message):
    with pytest.raises(error, match=message):
        ask(restored(name, toy_settings).model)


def test_layers_of_learnt_maps_are_shown_in_the_nodes_own_basis(toy_settings):
    model = restored("MMSheaf", {**toy_settings, **NO_GRAPH, "restriction_map": "factored"}, moved=0.5).model
    signals = model.layer_signals()
    torch.testing.assert_close(signals[0], model.stalks().flatten(1))
    mean = sum(signals) / len(signals)
    torch.testing.assert_close(mean, torch.cat(model.forward()))


@pytest.mark.parametrize("rarity", [0.0, 4.0])
def test_a_new_item_of_a_cold_items_content_is_that_item(toy_settings, rarity):
    """Its vector, and what the maps into it count, to the last bit but one of a product."""
    chosen = {**NO_GRAPH, "item_sheaf_rarity": rarity, "item_sheaf_weight": 0.7}
    model = restored("MMSheaf", {**toy_settings, **SOME_COLD, **chosen}).model
    with torch.no_grad():
        factors, placed = model.score_factors(), model.place(model.modalities)
        cold = model.item_sheaf.cold_items
        source = placed.maps.source()
        into_new = source @ placed.maps.target[cold - 1].mT * placed.map_weight
        maps = dense(model.item_maps())[:, cold]
    width = placed.vectors.shape[1]
    assert len(cold) > 2 and maps.abs().max() > 0 and len(source) == model.n_items
    torch.testing.assert_close(placed.vectors[cold - 1], factors.items[cold, :width])
    torch.testing.assert_close(into_new, maps)
    assert placed.item_rarity == float(rarity > 0)


def test_an_item_sheaf_is_no_embedding_recommender(toy_settings):
    """It has no vectors that could be asked for, none are kept, and nothing of a softmax is in its checkpoint."""
    model = restored("ItemSheaf", toy_settings).model
    assert not any(hasattr(model, name) for name in ("all_embeddings", "ranked_embeddings", "softmax", "weighings"))
    assert model.score_factors().users.shape == (model.n_users, 0)
