"""Laws of the sheaf Laplacian, for every family of restriction maps, on random graphs with isolated nodes."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from recbole_sheaf.sheaf import (
    Sheaf,
    cellular_sheaf,
    coboundary,
    coboundary_transpose,
    dirichlet_energy,
    laplacian,
    normalise,
    orthonormal_columns,
    pair_arcs,
    stalk_degree,
    undirected_graph,
)
from tests.sheaf.helpers import FAMILIES, apply_dense, as_matrices, dense_laplacian, random_problem, sizes

every_family = pytest.mark.parametrize("family", FAMILIES)
few = settings(max_examples=15, deadline=None)


def dense_normalised(sheaf, augmented):
    """``B^-1/2 L B^-1/2`` by one eigendecomposition of the whole block diagonal."""
    matrix, d = dense_laplacian(sheaf), sheaf.stalk_dim
    blocks = matrix * torch.block_diag(*[torch.ones(d, d)] * sheaf.graph.num_nodes)
    value, vector = torch.linalg.eigh(blocks + augmented * torch.eye(len(matrix)).double())
    root = vector @ torch.diag(torch.where(value > 1e-9, value, torch.inf).rsqrt()) @ vector.T
    return root @ matrix @ root


@every_family
@few
@given(sizes)
def test_equals_dense_definition(family, size):
    sheaf, x = random_problem(family, **size)
    torch.testing.assert_close(laplacian(sheaf, x), apply_dense(dense_laplacian(sheaf), x))


@every_family
@few
@given(sizes)
def test_normalised_equals_dense_definition(family, size):
    sheaf, x = random_problem(family, **size)
    for augmented in (False, True):
        expected = apply_dense(dense_normalised(sheaf, augmented), x)
        torch.testing.assert_close(laplacian(normalise(sheaf, "block", augmented), x), expected, rtol=1e-6, atol=1e-6)


@every_family
@few
@given(sizes)
def test_energy_is_squared_disagreement(family, size):
    sheaf, x = random_problem(family, **size)
    energy = dirichlet_energy(sheaf, x)
    torch.testing.assert_close((x * laplacian(sheaf, x)).sum(), energy)
    torch.testing.assert_close(energy, coboundary(sheaf, x).square().sum())


@every_family
@few
@given(sizes)
def test_symmetric(family, size):
    sheaf, x = random_problem(family, **size)
    sheaf, y = normalise(sheaf), torch.randn_like(x)
    torch.testing.assert_close((y * laplacian(sheaf, x)).sum(), (x * laplacian(sheaf, y)).sum())


@every_family
@few
@given(sizes)
def test_spectrum_of_normalised_within_0_and_2(family, size):
    sheaf, _ = random_problem(family, **size)
    for augmented in (False, True):
        value = torch.linalg.eigvalsh(dense_laplacian(normalise(sheaf, "block", augmented)))
        assert value.min() > -1e-7 and value.max() < 2 + 1e-7


@every_family
@few
@given(sizes)
def test_stalk_degree_is_block_diagonal(family, size):
    sheaf, _ = random_problem(family, **size)
    n, d = sheaf.graph.num_nodes, sheaf.stalk_dim
    blocks = dense_laplacian(sheaf).view(n, d, n, d)[torch.arange(n), :, torch.arange(n)]
    torch.testing.assert_close(as_matrices(stalk_degree(sheaf)), blocks)


@every_family
@few
@given(sizes)
def test_gauge_equivariance(family, size):
    """Change the basis of each stalk by an orthogonal matrix: the result changes by that basis only."""
    sheaf, x = random_problem(family, **size)
    n, d = sheaf.graph.num_nodes, sheaf.stalk_dim
    basis = orthonormal_columns(torch.randn(n, d, d).double())
    turned = Sheaf(sheaf.graph, as_matrices(sheaf.maps) @ basis[sheaf.graph.row].mT)
    for augmented in (False, True):
        expected = basis @ laplacian(normalise(sheaf, "block", augmented), x)
        got = laplacian(normalise(turned, "block", augmented), basis @ x)
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@every_family
@few
@given(sizes)
def test_arc_and_node_permutation_equivariance(family, size):
    sheaf, x = random_problem(family, **size)
    n, arcs = sheaf.graph.num_nodes, len(sheaf.graph.row)
    order, rename = torch.randperm(arcs), torch.randperm(n)
    permuted = cellular_sheaf(rename[sheaf.graph.arcs[:, order]], n, sheaf.maps[order])
    y = torch.empty_like(x)
    y[rename] = x
    torch.testing.assert_close(laplacian(normalise(permuted), y)[rename], laplacian(normalise(sheaf), x))


@every_family
@few
@given(sizes)
def test_isolated_nodes_keep_their_value(family, size):
    sheaf, x = random_problem(family, **size)
    isolated = sheaf.graph.degree == 0
    for normalisation in ("none", "block", "degree"):
        for augmented in (False, True):
            change = laplacian(normalise(sheaf, normalisation, augmented), x)
            assert change.isfinite().all() and (change[isolated] == 0).all()


@few
@given(sizes)
def test_adjoint_of_coboundary(size):
    sheaf, x = random_problem("tall", **size)
    y = torch.randn_like(coboundary(sheaf, x))
    torch.testing.assert_close((coboundary(sheaf, x) * y).sum(), (x * coboundary_transpose(sheaf, y)).sum())


@few
@given(sizes)
def test_identity_maps_are_lightgcn(size):
    """``x - Delta x`` is LightGCN's propagation ``deg^-1/2 A deg^-1/2 x``, and L the graph Laplacian of each entry."""
    sheaf, x = random_problem("identity", **size)
    n = sheaf.graph.num_nodes
    adjacency = torch.zeros(n, n).double().index_put((sheaf.graph.row, sheaf.graph.col), torch.tensor(1.0).double())
    degree = adjacency.sum(1)
    torch.testing.assert_close(laplacian(sheaf, x), torch.einsum("vw,wdc->vdc", torch.diag(degree) - adjacency, x))
    root = torch.where(degree > 0, degree, torch.inf).rsqrt()
    propagated = torch.einsum("vw,wdc->vdc", root[:, None] * adjacency * root, x)
    connected = degree > 0
    torch.testing.assert_close((x - laplacian(normalise(sheaf), x))[connected], propagated[connected])


@pytest.mark.usefixtures("unchecked_shapes")  # so many calls, of functions that other tests call checked
@every_family
@pytest.mark.parametrize("normalisation", ["none", "block", "degree"])
def test_gradients(family, normalisation):
    sheaf, x = random_problem(family, n=5, num_edges=6, d=2, seed=3)
    keeps_rank = family not in ("factored",)  # D_v of k < d is singular: its rank changes under general perturbations

    def step(maps, x):
        return laplacian(normalise(replace(sheaf, maps=maps), normalisation, augmented=not keeps_rank), x)

    assert torch.autograd.gradcheck(step, (sheaf.maps.clone().requires_grad_(), x.requires_grad_()))


def test_normalise_leaves_sheaf_alone_when_asked():
    sheaf, _ = random_problem("general", n=4, num_edges=4, d=2, seed=0)
    assert normalise(sheaf, "none") is sheaf


def test_pair_arcs_makes_ends_slices():
    sheaf, _ = random_problem("diagonal", n=7, num_edges=9, d=2, seed=1)
    graph = sheaf.graph
    paired = pair_arcs(graph)
    assert paired.paired and not graph.paired
    assert torch.equal(paired.arcs[:, :9], graph.arcs[:, graph.upper])
    for ours, theirs in zip(paired.ends(paired.row), graph.ends(graph.row)):
        assert torch.equal(ours, theirs)


def test_undirected_graph_pairs_arcs():
    graph = undirected_graph(torch.tensor([[2, 0, 1, 1], [1, 1, 0, 2]]), 4)
    assert graph.reverse.tolist() == [3, 2, 1, 0]
    assert graph.upper.tolist() == [1, 3] and graph.degree.tolist() == [1, 2, 1, 0]
