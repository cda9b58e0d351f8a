"""LATTICE's learnt similarity against its dense definition, and when it is learnt."""

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import normalize

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.lattice import LearntGraph, nearest_graph
from tests.models.test_contract import build
from tests.models.test_freedom import features_of


def dense_similarity(h, present, k):
    """D^-1/2 S D^-1/2 with S the k largest cosines of a row, the item's own among them, those below 0 set to 0."""
    cosine = normalize(h) @ normalize(h).T
    cosine[:, ~present] = -2
    kept = torch.zeros_like(cosine)
    for i in present.nonzero()[:, 0].tolist():
        nearest = cosine[i].topk(k).indices
        kept[i, nearest] = cosine[i, nearest].clamp(min=0)
    scale = kept.sum(dim=1).clamp(min=1).rsqrt()
    return scale.unsqueeze(1) * kept * scale


@pytest.mark.parametrize("k", [4, 30])
def test_the_learnt_graph_is_the_papers_with_gradient_to_the_map(k):
    features = features_of("a", 14, 5, [3, 7], 0)
    graph, x = LearntGraph(features, k - 1, 6, "torch"), torch.randn(14, 3)
    torch.nn.init.normal_(graph.project.linear.bias)
    expected = dense_similarity(graph.project(), features.present, min(k, 11)) @ x
    torch.testing.assert_close(graph(x), expected)
    weight = graph.project.linear.weight
    wanted, got = (torch.autograd.grad(out.square().sum(), weight)[0] for out in (expected, graph(x)))
    assert wanted.any()
    torch.testing.assert_close(got, wanted)


def test_neighbours_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    h, present = torch.randn(40, 6), torch.arange(40) % 5 > 0
    whole = nearest_graph(h, present, 3, "torch")
    monkeypatch.setattr("recbole_sheaf.models.lattice.CHUNK_ENTRIES", 100)
    chunked = nearest_graph(h, present, 3, "torch")
    assert torch.equal(whole.src, chunked.src) and torch.equal(whole.dst, chunked.dst)
    assert torch.equal(chunked.in_degrees, 3 * present)


@pytest.mark.parametrize("count", [0, 1])
def test_without_two_items_there_are_no_neighbours(count):
    assert nearest_graph(torch.randn(5, 2), torch.arange(5) < count, 3, "torch").num_arcs == 0


def test_neighbours_are_found_once_an_epoch_and_weighed_in_every_batch(toy_settings):
    model, batch, _ = build("LATTICE", toy_settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.train()
    graphs = []
    for _ in range(2):
        optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        assert all(graph.project.linear.weight.grad.any() for graph in model.learnt)
        optimizer.step()
        graphs.append(model.learnt[0]._graph)
    assert graphs[0] is graphs[1]
    model.train()
    model.calculate_loss(batch)
    assert model.learnt[0]._graph is not graphs[0]


def test_what_is_ranked_depends_on_parameters_alone(toy_settings):
    """Neighbours of an epoch's beginning do not live on in a ranking or under other parameters."""
    model, _, _ = build("LATTICE", toy_settings)
    other, _, _ = build("LATTICE", toy_settings)
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    model.eval(), other.eval()
    other.full_sort_predict(everyone)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.full_sort_predict(everyone), other.full_sort_predict(everyone))


def test_items_add_the_latent_graph_at_unit_length(toy_settings):
    model, _, _ = build("LATTICE", {**toy_settings, "skip_weight": 0.3, "modalities": ["image"]})
    items = model.id_embedding[model.n_users :]
    latent = 0.3 * model.given[0](items) + 0.7 * model.learnt[0](items)
    users, ranked = model.forward()
    torch.testing.assert_close(users, model.propagate(model.id_embedding)[: model.n_users])
    torch.testing.assert_close(ranked - model.propagate(model.id_embedding)[model.n_users :], normalize(latent))


def test_no_content_is_refused(toy_settings):
    with pytest.raises(ConfigError, match="LATTICE needs a modality, but modalities is empty"):
        build("LATTICE", {**toy_settings, "modalities": []})
