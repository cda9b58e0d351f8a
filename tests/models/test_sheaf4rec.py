"""Sheaf4Rec's layer against the dense Laplacian of its sheaf, with stalks of dimension 1."""

import torch

from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.models.sheaf4rec import ScalarSheafLayer, scalar_delta
from recbole_sheaf.sheaf import Sheaf, laplacian, undirected_graph
from tests.layers.problems import random_arcs
from tests.models.test_contract import build


def random_graph(n=9, e=20, seed=0):
    src, dst, _ = random_arcs(n, e, seed)
    return ArcGraph(src, dst, n, backend="torch")


def test_the_flow_is_the_normalised_laplacian_of_the_sheaf():
    graph = random_graph()
    maps, x = torch.randn(graph.num_arcs, 1), torch.randn(9, 4)
    sheaf = Sheaf(undirected_graph(torch.stack([graph.dst, graph.src]), 9), maps)
    dense = laplacian(sheaf, torch.eye(9).unsqueeze(1)).squeeze(1)
    root = (dense.diagonal() + 1).rsqrt()
    torch.testing.assert_close(scalar_delta(graph, x, maps), root.unsqueeze(1) * (dense @ (root.unsqueeze(1) * x)))


def test_gradients_reach_maps_and_signal():
    graph = random_graph(n=5, e=6)
    maps = torch.randn(graph.num_arcs, 1, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, maps: scalar_delta(graph, x, maps), (x, maps))


def test_a_map_is_learnt_from_both_ends_its_own_first():
    graph, layer, x = random_graph(), ScalarSheafLayer(4, 0.5), torch.randn(9, 4)
    maps = layer.maps(graph, x)
    for arc, (u, v) in enumerate(zip(graph.src.tolist(), graph.dst.tolist())):
        torch.testing.assert_close(maps[arc], torch.tanh(layer.at_dst(x[v]) + layer.at_src(x[u])))
    flow = scalar_delta(graph, layer.linear(x), maps)
    torch.testing.assert_close(layer(graph, x), x - 0.5 * flow)


def test_users_and_items_are_the_mean_over_the_layers(toy_settings):
    model, _, _ = build("Sheaf4Rec", {**toy_settings, "n_layers": 2})
    one = model.layers[0](model.graph, model.id_embedding)
    two = model.layers[1](model.graph, one)
    torch.testing.assert_close(torch.cat(model.forward()), (model.id_embedding + one + two) / 3)
