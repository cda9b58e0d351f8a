"""GRCN's own equations against dense references: routing, affinities, cut arcs, the convolution on what is left."""

import pytest
import torch
from torch.nn.functional import leaky_relu, normalize

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.models.grcn import ModalityRouting
from tests.models.test_contract import build

USERS, ITEMS = 3, 4
EDGES = torch.tensor([[0, 0, 1, 2, 2, 2], [1, 2, 2, 0, 1, 2]])  # item 3 and none of the users stay alone


@pytest.fixture(params=["dgl", "torch"])
def graphs(request):
    """The undirected graph, and its arcs into users alone."""
    u, v = EDGES[0], EDGES[1] + USERS
    graph = ArcGraph.from_edges(u, v, USERS + ITEMS, request.param)
    return graph, ArcGraph(v, u, USERS + ITEMS, request.param, undirected=False)


@pytest.fixture
def routing():
    torch.manual_seed(0)
    present = torch.tensor([False, True, True, True])
    features = ModalityFeatures("image", torch.randn(ITEMS, 3) * present.unsqueeze(1), present)
    return ModalityRouting(features, USERS, size=2, n_routings=2)


def slow_share(p, node, neighbours):
    """Softmax of the node's inner products with its neighbours."""
    scores = torch.stack([torch.exp(p[w] @ p[node]) for w in neighbours])
    return scores / scores.sum()


def slow_prototypes(routing):
    items = normalize(leaky_relu(routing.project()))
    users = normalize(routing.preference)
    for _ in range(routing.n_routings):
        moved = []
        for user in range(USERS):
            liked = EDGES[1][EDGES[0] == user]
            shares = slow_share(torch.cat([users, items]), user, liked + USERS)
            moved.append(users[user] + sum(share * items[item] for share, item in zip(shares, liked)))
        users = normalize(torch.stack(moved))
    return torch.cat([users, items])


def test_prototypes_are_found_by_routing_over_the_users_items(graphs, routing):
    torch.testing.assert_close(routing.prototypes(graphs[1]), slow_prototypes(routing))


def test_affinities_are_shares_of_each_destination(graphs, routing):
    graph = graphs[0]
    said, affinity = routing(*graphs)
    p = slow_prototypes(routing)
    for node in range(USERS + ITEMS):
        into = graph.dst == node
        neighbours = graph.src[into]
        if not len(neighbours):
            torch.testing.assert_close(said[node], p[node])
            continue
        shares = slow_share(p, node, neighbours)
        torch.testing.assert_close(affinity[into], shares)
        torch.testing.assert_close(said[node], p[node] + leaky_relu(shares @ p[neighbours]))


@pytest.mark.parametrize("backend", ["dgl", "torch"])
@pytest.mark.parametrize("prune", [True, False])
def test_the_refined_graph_is_the_strongest_modality_without_cut_arcs(toy_settings, backend, prune):
    model, _, _ = build("GRCN", {**toy_settings, "message_passing": backend, "prune": prune, "n_layers": 2})
    model.confidence.requires_grad_(False).normal_()
    affinities = torch.rand(model.graph.num_arcs, 2)
    dense = torch.zeros(model.graph.num_nodes, model.graph.num_nodes)
    for arc, (u, v) in enumerate(zip(model.graph.src.tolist(), model.graph.dst.tolist())):
        strongest = max(float(affinities[arc, m] * model.confidence[u, m]) for m in range(2))
        dense[v, u] = max(strongest, 0.0) if prune else strongest
    weights = model.refined_weights(affinities)
    torch.testing.assert_close(weights, dense[model.graph.dst, model.graph.src])
    assert bool((weights == 0).any()) == prune
    x = model.id_embedding
    torch.testing.assert_close(model.convolve(weights), x + dense @ x + dense @ dense @ x)


@pytest.mark.parametrize("fusion, width", [("concat", 3), ("id", 1)])
def test_what_ranks(toy_settings, fusion, width):
    model, batch, _ = build("GRCN", {**toy_settings, "fusion": fusion})
    users, items = model.forward()
    assert users.shape[1] == items.shape[1] == width * toy_settings["embedding_size"]
    model.calculate_loss(batch).backward()
    assert all(parameter.grad.any() for parameter in model.parameters())
