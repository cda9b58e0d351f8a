"""The sheaf that is looked at is the one that the model diffuses by."""

import pytest
import torch

from recbole_sheaf.models.node_sheaf import restriction_maps, step_energies
from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS
from tests.models.dense import UNEQUAL_DEGREES, dense_delta, restriction_map
from tests.models.test_mmsheaf import moved

SMALL = {
    **{"stalk_dim": 2, "map_features": 3, "n_layers": 3, "map_mix": 0.6, "step_size": 0.7, "map_dropout": 0.9},
    **{"feature_dropout": 0.9, **UNEQUAL_DEGREES},
}


@pytest.mark.parametrize("source", ["content", "signal"])
@pytest.mark.parametrize("family", RESTRICTION_MAPS)
def test_maps_and_energies_are_those_of_the_familys_definition(toy_settings, family, source):
    model, x = moved({**toy_settings, **SMALL, "restriction_map": family, "map_source": source}, "SheafRec")
    h, (half, arcs) = model.content if source == "content" else x.flatten(1), (model.graph.num_arcs // 2, [0, 5, 40])
    arcs = [*arcs, *(half + arc for arc in arcs)]
    model.train()
    written, energies = restriction_maps(model, arcs), step_energies(model)
    assert model.training and model.maps.training
    for arc, found in zip(arcs, written):
        u, v = int(model.graph.src[arc]), int(model.graph.dst[arc])
        torch.testing.assert_close(found, restriction_map(model.maps, family, 0.6, h[u], h[v]))
    delta = dense_delta(model.graph, model.maps, family, 0.6, h)
    delta, signal, expected = delta.detach(), x.flatten(0, 1), []
    for _ in range(1 + 3):
        expected.append(float((signal * (delta @ signal)).sum()))
        signal = signal - 0.7 * delta @ signal
    assert energies == pytest.approx(expected, rel=1e-9)
    assert all(after < before for before, after in zip(energies, energies[1:])) and energies[-1] > 0


def test_maps_of_several_modalities_join_all_stalks(toy_settings):
    """One map for all stalks of a node: what a modality holds reaches the edge's coordinates of another."""
    model, _ = moved({**toy_settings, **SMALL, "restriction_map": "factored"})
    (made,) = restriction_maps(model, [0])
    assert model.stalks.names == ["id", "image", "text"] and made.shape == (6, 6)
    blocks = made.abs().unflatten(0, (3, 2)).unflatten(2, (3, 2)).amax(dim=(1, 3))
    assert blocks.min() > 0.01


def test_a_model_in_evaluation_mode_stays_in_it(toy_settings):
    model, _ = moved({**toy_settings, **SMALL}, "SheafRec")
    restriction_maps(model, [0]), step_energies(model)
    assert not model.training and not model.maps.training
