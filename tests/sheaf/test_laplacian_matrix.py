"""The explicit matrix equals the matrix-free operator, family by family and option by option."""

import itertools

import pytest
import torch
from hypothesis import given, settings

from recbole_sheaf.sheaf import ORTHOGONAL_MAPS, Sheaf, laplacian, normalise, sheaf_laplacian_matrix
from tests.sheaf.helpers import FAMILIES, apply_dense, dense_from_entries, random_problem, sizes

few = settings(max_examples=10, deadline=None)


def family_name(family):
    """Textbook family of a test family."""
    return {"tall": "general"}.get(family, "orthogonal" if family in ORTHOGONAL_MAPS else family)


@pytest.mark.parametrize("family", FAMILIES)
@few
@given(sizes)
def test_equals_matrix_free(family, size):
    sheaf, x = random_problem(family, **size)
    graph = sheaf.graph
    for augmented, normalisation in itertools.product([False, True], ["none", "block", "degree"]):
        if normalisation == "degree" and family in ORTHOGONAL_MAPS:
            continue  # D_v is the degree: covered by block
        index, value = sheaf_laplacian_matrix(
            graph.arcs,
            graph.num_nodes,
            sheaf.maps,
            restriction_map=family_name(family),
            normalised=normalisation == "block",
            deg_normalised=normalisation == "degree",
            augmented=augmented,
        )
        matrix = dense_from_entries(index, value, graph.num_nodes * sheaf.stalk_dim)
        expected = laplacian(normalise(sheaf, normalisation, augmented), x)
        torch.testing.assert_close(apply_dense(matrix, x), expected, rtol=1e-6, atol=1e-6)


@few
@given(sizes)
def test_fixed_channels_are_signed_graph_laplacians(size):
    sheaf, _ = random_problem("diagonal", **size)
    graph, d = sheaf.graph, sheaf.stalk_dim
    index, value = sheaf_laplacian_matrix(
        graph.arcs, graph.num_nodes, sheaf.maps, restriction_map="diagonal", add_lp=True, add_hp=True
    )
    n = graph.num_nodes
    matrix = dense_from_entries(index, value, n * (d + 2)).view(n, d + 2, n, d + 2)
    adjacency = torch.zeros(n, n).double().index_put((graph.row, graph.col), torch.tensor(1.0).double())
    degree = torch.diag(adjacency.sum(1))
    torch.testing.assert_close(matrix[:, d, :, d], degree + adjacency)
    torch.testing.assert_close(matrix[:, d + 1, :, d + 1], degree - adjacency)
    assert matrix[:, d, :, :d].count_nonzero() == 0 and matrix[:, :d, :, d + 1].count_nonzero() == 0


@few
@given(sizes)
def test_edge_weight_multiplies_both_maps(size):
    sheaf, _ = random_problem("cayley", **size)
    graph = sheaf.graph
    weight = torch.rand(len(graph.row), 1).double()
    weight = weight * weight[graph.reverse]
    index, value = sheaf_laplacian_matrix(
        graph.arcs, graph.num_nodes, sheaf.maps, "orthogonal", edge_weight=weight, normalised=True, augmented=False
    )
    matrix = dense_from_entries(index, value, graph.num_nodes * sheaf.stalk_dim)
    x = torch.randn(graph.num_nodes, sheaf.stalk_dim, 1).double()
    weighted = Sheaf(graph, sheaf.maps * weight.unsqueeze(-1))
    torch.testing.assert_close(apply_dense(matrix, x), laplacian(normalise(weighted), x))


@pytest.mark.usefixtures("unchecked_shapes")  # so many calls, of functions that other tests call checked
@pytest.mark.parametrize("restriction_map", ["diagonal", "orthogonal", "general"])
@pytest.mark.parametrize("augmented", [False, True])
def test_gradients(restriction_map, augmented):
    family = {"orthogonal": "householder"}.get(restriction_map, restriction_map)
    sheaf, _ = random_problem(family, n=4, num_edges=5, d=2, seed=1)
    graph = sheaf.graph

    def values(maps):
        return sheaf_laplacian_matrix(
            graph.arcs, 4, maps, restriction_map, normalised=True, augmented=augmented, add_lp=True
        )[1]

    assert torch.autograd.gradcheck(values, sheaf.maps.clone().requires_grad_())
