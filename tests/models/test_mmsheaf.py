"""MMSheaf's diffusion against its definition, dense and slow, with maps far from the identity at which they start."""

import pytest
import torch
from torch.nn.functional import normalize

from recbole_sheaf.config import RESTRICTION_MAPS
from recbole_sheaf.models.node_content import node_content
from tests.models.dense import UNEQUAL_DEGREES, dense_delta, item_matrix, perturb
from tests.models.test_contract import build

SMALL = {"stalk_dim": 2, "map_features": 3, "n_layers": 2, "item_graph_neighbours": 3, **UNEQUAL_DEGREES}


def moved(settings, name="MMSheaf"):
    """A model with each parameter away from its start, and what its nodes hold."""
    model = perturb(build(name, settings)[0], 0.3)
    return model, model.stalks().detach()


def dense_diffusion(model, x, family, beta, step_size, n_layers, h):
    """Mean over the steps of (I - eta Delta)^l x, one row per node."""
    step = torch.eye(len(x) * x.shape[1], dtype=x.dtype) - step_size * dense_delta(
        model.graph, model.maps, family, beta, h
    )
    powers = [torch.linalg.matrix_power(step, power) @ x.flatten(0, 1) for power in range(n_layers + 1)]
    return (sum(powers) / len(powers)).view(len(x), -1)


@pytest.mark.parametrize("source", ["content", "signal"])
@pytest.mark.parametrize("family", RESTRICTION_MAPS)
def test_diffusion_is_its_definition(toy_settings, family, source):
    chosen = {"restriction_map": family, "map_source": source, "map_mix": 0.6, "step_size": 0.7, "item_graph_layers": 2}
    model, x = moved({**toy_settings, **SMALL, **chosen})
    h = x.flatten(1) if source == "signal" else model.content
    nodes = dense_diffusion(model, x, family, 0.6, 0.7, 2, h)
    features = list(model.modalities.values())
    similar = torch.linalg.matrix_power(item_matrix(features, 3, model.item_graph.trust), 2)
    users, items = model._diffuse(x)
    torch.testing.assert_close(users, nodes[: model.n_users])
    undiffused = x[model.n_users :].flatten(1)
    torch.testing.assert_close(items, nodes[model.n_users :] + similar @ undiffused)
    if family != "identity":
        control = dense_diffusion(model, x, "identity", 0.6, 0.7, 2, h)
        assert (nodes - control).abs().max() > 0.05


def test_gradients_of_the_diffusion_are_those_of_its_definition(toy_settings):
    """In the default family, to the signal and to all that is learnt of the maps."""
    model, x = moved({**toy_settings, **SMALL, "restriction_map": "factored", "map_mix": 0.6})
    x.requires_grad_()
    inputs = [x, *model.maps.parameters()]
    probe = torch.randn(len(x), x[0].numel(), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    similar = item_matrix(list(model.modalities.values()), 3, model.item_graph.trust.detach())
    nodes = dense_diffusion(model, x, "factored", 0.6, 1.0, 2, model.content)
    expected = torch.cat([nodes[: model.n_users], nodes[model.n_users :] + similar @ x[model.n_users :].flatten(1)])
    wanted, got = (torch.autograd.grad((y * probe).sum(), inputs) for y in (expected, torch.cat(model._diffuse(x))))
    assert all(gradient.any() for gradient in wanted)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("source", ["content", "signal"])
def test_identities_alone_diffuse_along_maps_of_their_own(toy_settings, source):
    """Without a modality there is no item graph, and only the signal to learn maps from."""
    settings = {**toy_settings, **SMALL, "modalities": [], "map_source": source}
    settings["restriction_map"] = "factored" if source == "signal" else "identity"
    model, x = moved(settings)
    nodes = dense_diffusion(model, x, settings["restriction_map"], 0.5, 1.0, 2, x.flatten(1))
    torch.testing.assert_close(torch.cat(model._diffuse(x)), nodes)


def test_maps_are_learnt_from_the_nodes_content(toy_settings):
    model, _ = moved({**toy_settings, **SMALL})
    content = node_content(model.graph, model.modalities.values(), model.n_users, 3)
    torch.testing.assert_close(model.content, content.double())
    assert content.shape == (model.graph.num_nodes, 6)


def test_stalks_are_identity_preference_and_projected_content(toy_settings):
    """Of nodes that have everything: a free identity, and per modality a user's preference or an item's content."""
    model, x = moved({**toy_settings, **SMALL})
    assert x.shape == (model.graph.num_nodes, 6, 4)
    linked = model.graph.in_degrees > 0
    for m, (features, weight) in enumerate(zip(model.modalities.values(), model.stalks.project)):
        stalk = x[:, 2 * m + 2 : 2 * m + 4].flatten(1)
        items = stalk[model.n_users :]
        full = linked[model.n_users :] & features.present
        rows = normalize(features.matrix).double()
        torch.testing.assert_close(items[full], torch.stack([row @ weight for row in rows[full]]))
        assert not items[~features.present].any()
        preference = model.stalks.preference[:, 8 * m : 8 * m + 8]
        torch.testing.assert_close(stalk[: model.n_users][linked[: model.n_users]], preference[linked[: model.n_users]])
    everything = linked.clone()
    for features in model.modalities.values():
        everything[model.n_users :] &= features.present
    torch.testing.assert_close(x[:, :2].flatten(1)[everything], model.stalks.identity[everything])
