"""Input that is no graph, no sheaf or no signal is refused with one clear sentence."""

import pytest
import torch

from recbole_sheaf.errors import ConfigError, GraphError, ShapeError
from recbole_sheaf.sheaf import (
    LaplacianOptions,
    cellular_sheaf,
    identity_maps,
    laplacian,
    normalise,
    num_arc_parameters,
    orthogonal_maps,
    sheaf_laplacian_matrix,
    undirected_graph,
)

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


@pytest.mark.parametrize(
    "arcs, message",
    [
        ([[0, 1], [1, 3]], r"arc 1 joins nodes 1 and 3, but the graph has 3 nodes \(0 to 2\)"),
        ([[0, -1], [1, 0]], "arc 1 joins nodes -1 and 0"),
        ([[0, 1, 2], [1, 0, 1]], r"1 of 3 arcs lack their reverse \(first: \(2, 1\)\)"),
        ([[0, 1, 2], [1, 0, 2]], "arc 2 is a self-loop at node 2"),
        ([[0, 1, 0], [1, 0, 1]], r"arc \(0, 1\) is listed more than once"),
    ],
)
def test_bad_arcs(arcs, message):
    with pytest.raises(GraphError, match=message):
        undirected_graph(torch.tensor(arcs), 3)


def test_edge_list_instead_of_arc_list():
    with pytest.raises(ShapeError, match=r"edge_index has shape \(4, 2\), expected \(2, arcs\); transpose"):
        undirected_graph(PATH.t(), 3)


@pytest.mark.parametrize("shape", [(3, 2), (4,), (4, 2, 2, 1)])
def test_maps_of_wrong_shape(shape):
    with pytest.raises(ShapeError, match=r"maps have shape \(.*\), expected \(4, d\) diagonals or \(4, k, d\)"):
        cellular_sheaf(PATH, 3, torch.ones(shape))


def test_maps_that_are_not_finite():
    maps = torch.ones(4, 2)
    maps[1, 0] = torch.nan
    with pytest.raises(ShapeError, match=r"restriction maps hold 1 values that are not finite \(first at \(1, 0\)\)"):
        sheaf_laplacian_matrix(PATH, 3, maps, "diagonal")


def test_signal_that_does_not_fit():
    sheaf = cellular_sheaf(PATH, 3, identity_maps(4, 2))
    with pytest.raises(ShapeError, match=r"x has shape \(3, 4, 1\), .* 3 nodes and stalk dimension 2; reshape x"):
        laplacian(sheaf, torch.zeros(3, 4, 1))
    with pytest.raises(ShapeError, match=r"x hold 2 values that are not finite \(first at \(0, 0, 0\)\)"):
        laplacian(sheaf, torch.tensor([torch.inf, 1.0, torch.nan]).view(3, 1, 1).repeat(1, 2, 1)[:, :, :1][[0, 1, 1]])


@pytest.mark.parametrize(
    "family, maps, message",
    [
        ("diagonal", torch.ones(4, 2, 2), r"diagonal maps have shape \(4, 2, 2\), expected \(arcs, d\) diagonals"),
        ("general", torch.ones(4, 2), r"general maps have shape \(4, 2\), expected \(arcs, k, d\) matrices"),
        ("orthogonal", 2 * torch.eye(2).expand(4, 2, 2), r"maps are off orthogonality by 3.0e\+00; use"),
        ("orthogonal", torch.ones(4, 3, 2), r"orthogonal maps are square, got shape \(4, 3, 2\)"),
    ],
)
def test_maps_of_another_family(family, maps, message):
    with pytest.raises(ShapeError, match=message):
        sheaf_laplacian_matrix(PATH, 3, maps, family)


def test_euler_beyond_three_dimensions():
    with pytest.raises(ShapeError, match="Euler angles describe rotations up to d = 3, got d = 4; use householder"):
        orthogonal_maps(torch.zeros(2, 6), 4, "euler")
    with pytest.raises(ShapeError, match="Euler angles describe rotations up to d = 3"):
        sheaf_laplacian_matrix(PATH, 3, torch.zeros(4, 6), "orthogonal", orthogonal_map="euler")


def test_parameters_that_make_no_matrix():
    with pytest.raises(ShapeError, match="householder matrices of size 3 take 3 parameters each, got 2"):
        sheaf_laplacian_matrix(PATH, 3, torch.zeros(4, 2), "orthogonal", orthogonal_map="householder")


def test_edge_weights():
    maps = torch.zeros(4, 1)
    with pytest.raises(ShapeError, match=r"edge_weight has shape \(3, 1\), expected \(4, 1\)"):
        sheaf_laplacian_matrix(PATH, 3, maps, "orthogonal", "householder", edge_weight=torch.ones(3, 1))
    with pytest.raises(ShapeError, match="edge_weight differs between the two arcs of an edge"):
        sheaf_laplacian_matrix(PATH, 3, maps, "orthogonal", "householder", edge_weight=torch.arange(4.0)[:, None])


def test_unknown_names():
    sheaf = cellular_sheaf(PATH, 3, identity_maps(4, 2))
    with pytest.raises(ConfigError, match="restriction_map 'diag' is unknown; choose one of identity, diagonal"):
        num_arc_parameters("diag", 2)
    with pytest.raises(ConfigError, match="orthogonal_map 'qr' is unknown; choose one of householder"):
        orthogonal_maps(torch.zeros(1, 1), 2, "qr")
    with pytest.raises(ConfigError, match="normalisation 'rows' is unknown; choose one of none, block, degree"):
        normalise(sheaf, "rows")
    with pytest.raises(ConfigError, match="normalised and deg_normalised exclude each other"):
        LaplacianOptions(normalised=True, deg_normalised=True)
