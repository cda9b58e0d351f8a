"""What is read out of a model is what it scores by, for every model whose scores have pieces."""

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import normalize

from recbole_sheaf.embeddings import reading
from recbole_sheaf.embeddings.embeddings import POPULARITY
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of, model_scores
from recbole_sheaf.errors import ConfigError, NoPieces
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import prepare
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.sheaf.item_maps import COLD
from tests.embeddings.toys import SOME_COLD, history_of, restored, scores_by_definition, untrained
from tests.models.test_contract import LOSSES

OURS = [(name, {"loss": loss}) for name in sorted(set(MODELS) - {"BRIDGE"}) for loss in LOSSES[name]]
OURS += [("BRIDGE", {"behaviour_weight": 0.0}), ("MMGF", {"filter_coefficients": [2, -1]})]
THEIRS = [(name, {"loss": loss}) for name in ("BPR", "LightGCN", "NGCF") for loss in ("bpr", "softmax")]
OURS += [("VBPR", {"loss": "softmax", "softmax_popularity": 1.0})]
THEIRS += [("LightGCN", {"loss": "softmax", "softmax_popularity": 1.0, "popularity_kept": 0.25})]
THEIRS += [
    (name, {}) for name in ("SGL", "SpectralCF", "ENMF", "SimpleX", "LINE", "NCEPLRec", "Pop", "EASE", "ItemKNN")
]
SHEAVES = [
    ("MMSheaf", {"item_sheaf_weight": 0.0}),
    ("MMSheaf", {"item_sheaf_rarity": 0.0}),
    ("MMSheaf", {"item_sheaf_neighbours": 5}),
    ("MMSheaf", {"item_sheaf_neighbours": 5, "item_sheaf_content": 0.0}),
    ("MMSheaf", {"item_sheaf_map": "identity"}),
    ("MMSheaf", {"item_sheaf_map": "identity", "item_sheaf_neighbours": 5}),
    ("MMSheaf", {"item_sheaf_cold_ridge": 0.0}),
    ("MMSheaf", {"restriction_map": "factored", "item_graph_neighbours": 3}),
    ("MMSheaf", {"modalities": [], "item_sheaf_content": 0.0}),
    ("ItemSheaf", {"item_sheaf_neighbours": 5}),
    ("ItemSheaf", {"restriction_map": "identity"}),
]


@pytest.mark.parametrize("name, chosen", [("MMSheaf", {}), ("ItemSheaf", {"item_sheaf_neighbours": 5})])
def test_maps_into_cold_items_may_be_a_block_of_vectors(toy_settings, name, chosen, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.sheaf.item_maps.smaller_as_coefficients", lambda *sizes: False)
    test_the_pieces_are_the_score(toy_settings, name, chosen)
    blocks = embeddings_of(restored(name, {**toy_settings, **SOME_COLD, **chosen})).blocks
    assert blocks[-1].name == COLD and blocks[-1].history


@pytest.mark.parametrize("name, chosen", [*OURS, *THEIRS, *SHEAVES])
def test_the_pieces_are_the_score(toy_settings, name, chosen):
    """Of all users for all items, some of these cold, by the formula that the metadata say."""
    found = restored(name, {**toy_settings, **SOME_COLD, **chosen})
    embeddings = embeddings_of(found)
    users = torch.arange(1, found.model.n_users)
    own = found.model.full_sort_predict(Interaction({"user_id": users})).detach().view(len(users), -1)[:, 1:]
    largest = float(own.abs().max())
    assert largest > 0
    np.testing.assert_allclose(scores_by_definition(embeddings), own.numpy(), rtol=0, atol=1e-5 * largest)
    assert embeddings.metadata["checked_against_the_model"]["largest_error"] <= 1e-5
    stops = [block.stop for block in embeddings.blocks]
    assert [block.start for block in embeddings.blocks] == [0, *stops][:-1]
    assert embeddings.item_vectors.shape[1] == (stops[-1] if stops else 0)


@pytest.mark.parametrize(  # the others' pieces are the score on the toy dataset above
    "name, chosen",
    [("MMSheaf", {}), *(pytest.param(name, {}, marks=pytest.mark.slow) for name in ("ItemSheaf", "LightGCN", "VBPR"))],
)
def test_the_pieces_rank_ml_100k_as_the_model_does(workplace, name, chosen):
    """The top 20 of all users, with what the test leaves out left out."""
    settings = {"show_progress": False, "state": "WARNING", "cache_dir": str(workplace / "cache"), **chosen}
    (config,) = resolve_configs([name], "ml-100k", [], settings)
    split = load_split(config)
    found = untrained(config, split, prepare(config, split))
    embeddings = embeddings_of(found)
    rows = np.arange(len(embeddings.users))
    assert len(rows) == 943
    ours = np.concatenate([some.items for some in top_lists(embeddings, rows, 20, seen="at_test")])
    by_model = top_lists(embeddings, rows, 20, lambda some: model_scores(found.model, some), seen="at_test")
    theirs = np.concatenate([some.items for some in by_model])
    same = (ours == theirs).all(axis=1)
    if not same.all():  # scores that agree to float32's last digits may change places
        scores = np.concatenate([model_scores(found.model, some) for some in np.array_split(rows[~same], 2)])
        at = [np.take_along_axis(scores, lists[~same], axis=1) for lists in (ours, theirs)]
        np.testing.assert_allclose(*at, rtol=1e-5)
    assert same.mean() > 0.99


@pytest.mark.parametrize("name", ["MultiVAE", "NeuMF", "BRIDGE"])
def test_a_model_of_other_scores_is_refused_in_a_sentence(toy_settings, name):
    with pytest.raises(NoPieces, match=f"{name} makes its scores neither of vectors nor of coefficients"):
        embeddings_of(restored(name, toy_settings))


def test_pieces_that_are_not_what_a_model_ranks_by_are_refused(toy_settings, monkeypatch):
    found = restored("BPR", toy_settings)
    full_sort_predict = found.model.full_sort_predict
    monkeypatch.setattr(found.model, "full_sort_predict", lambda batch: full_sort_predict(batch) + 0.1)
    with pytest.raises(NoPieces, match="the pieces of BPR miss its own scores by"):
        embeddings_of(found)


def test_tokens_and_histories_are_those_of_the_data(toy_settings):
    found = restored("BPR", {**toy_settings, **SOME_COLD})
    embeddings, dataset = embeddings_of(found), found.split.dataset
    assert embeddings.users.tolist() == dataset.field2id_token["user_id"][1:].tolist()
    assert embeddings.items.tolist() == dataset.field2id_token["item_id"][1:].tolist()
    for number, part in enumerate(found.split.parts):
        pairs = set(zip((part.inter_feat["user_id"] - 1).tolist(), (part.inter_feat["item_id"] - 1).tolist()))
        mine = {(u, i) for u in range(len(embeddings.users)) for i in history_of(embeddings, u, [number])}
        assert mine == pairs


NO_GRAPH = {"item_graph_neighbours": 0}  # whose part of an item is none of its stalks nor of the diffusion


def test_columns_of_mmsheaf_are_its_stalks_and_its_fused_embeddings_are_kept(toy_settings):
    found = restored("MMSheaf", {**toy_settings, **SOME_COLD, **NO_GRAPH})
    embeddings, model = embeddings_of(found), found.model
    trained = [block for block in embeddings.blocks if not block.history]
    named = [("id", 0), ("image", 8), ("text", 16), (POPULARITY, 24)]
    assert [(block.name, block.start) for block in trained] == named
    assert (embeddings.user_vectors[:, 24] == 1).all() and embeddings.embeddings is embeddings.item_embeddings
    unit = normalize(model.forward()[1]).detach()[1:]
    np.testing.assert_allclose(embeddings.item_embeddings * model.temperature**0.5, unit.numpy(), atol=1e-6)
    cold = (model.graph.in_degrees[model.n_users + 1 :] == 0).numpy()
    assert cold.any() and not embeddings.item_embeddings[cold][:, trained[0].columns].any()
    assert embeddings.item_embeddings[cold][:, trained[1].columns].any(axis=1).all()
    np.testing.assert_allclose(embeddings.item_rarity[cold], 1.0)


def test_layers_average_to_the_vectors(toy_settings):
    for name, chosen in [("LightGCN", {}), ("MMSheaf", {"loss": "bpr", "item_sheaf_weight": 0.0, **NO_GRAPH})]:
        embeddings = embeddings_of(restored(name, {**toy_settings, **chosen}), layers=True)
        count = len(embeddings.layers) // 2
        assert count == 3
        for kind, vectors in (("user", embeddings.user_vectors), ("item", embeddings.item_vectors)):
            mean = sum(embeddings.layers[f"{kind}_layer_{number}"] for number in range(count)) / count
            np.testing.assert_allclose(mean, vectors, atol=1e-6)
    with pytest.raises(ConfigError, match="BPR has no layers"):
        embeddings_of(restored("BPR", toy_settings), layers=True)


def test_metadata_say_what_it_is_and_where_nothing_lay(toy_settings):
    metadata = embeddings_of(restored("MMSheaf", toy_settings)).metadata
    assert (metadata["model"], metadata["dataset"]) == ("MMSheaf", "toy")
    assert metadata["settings"]["stalk_dim"] == 4 and "data_path" not in metadata["settings"]
    assert metadata["package"].startswith("recbole-sheaf ") and "user_vector[u] . item_vector[i]" in metadata["score"]
    assert reading.PARTS == ("train", "valid", "test")
