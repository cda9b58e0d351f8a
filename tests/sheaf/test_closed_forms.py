"""Closed forms of node-wise maps equal the block-normalised Laplacian of the same maps written out."""

import pytest
import torch
from hypothesis import given, settings

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.sheaf import (
    Sheaf,
    factored_laplacian,
    factored_maps,
    laplacian,
    normalise,
    orthonormal_columns,
    orthonormal_rows,
    wide_laplacian,
    wide_maps,
)
from tests.sheaf.helpers import random_problem, sizes

few = settings(max_examples=30, deadline=None)


def frames(graph, k, d, seed):
    matrices = torch.randn(graph.num_nodes, k, d, generator=torch.Generator().manual_seed(seed)).double()
    return orthonormal_rows(matrices) if k <= d else orthonormal_columns(matrices)


@pytest.mark.parametrize("augmented", [False, True])
@few
@given(sizes)
def test_factored(augmented, size):
    sheaf, x = random_problem("diagonal", **size)
    graph, d = sheaf.graph, sheaf.stalk_dim
    for k in range(1, d + 1):
        scale, frame = sheaf.maps[:, :k], frames(graph, k, d, size["seed"])
        written_out = Sheaf(graph, factored_maps(graph.row, scale, frame))
        expected = laplacian(normalise(written_out, "block", augmented), x)
        got = factored_laplacian(graph, scale, frame, x, augmented)
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("augmented", [False, True])
@few
@given(sizes)
def test_wide(augmented, size):
    sheaf, x = random_problem("diagonal", **size)
    graph, d = sheaf.graph, sheaf.stalk_dim
    for k in (d + 1, 2 * d):
        frame = frames(graph, k, d, size["seed"])
        expected = laplacian(normalise(Sheaf(graph, wide_maps(graph.row, frame)), "block", augmented), x)
        torch.testing.assert_close(wide_laplacian(graph, frame, x, augmented), expected)


def test_unit_scales_and_square_frames_of_one_matrix_are_a_flat_sheaf():
    """The same rotation everywhere cancels: what is left is the graph Laplacian."""
    sheaf, x = random_problem("identity", n=6, num_edges=8, d=3, seed=0)
    frame = frames(sheaf.graph, 3, 3, 0)[:1].expand(6, 3, 3)
    flat = laplacian(normalise(sheaf), x)
    torch.testing.assert_close(factored_laplacian(sheaf.graph, sheaf.maps, frame, x), flat)


def test_gradients():
    sheaf, x = random_problem("diagonal", n=5, num_edges=6, d=3, seed=0)
    graph, raw = sheaf.graph, torch.randn(5, 2, 3).double().requires_grad_()
    scale = sheaf.maps[:, :2].clone().requires_grad_()
    x = x.requires_grad_()
    tall = torch.randn(5, 4, 3).double().requires_grad_()

    def factored(scale, raw, x):
        return factored_laplacian(graph, scale, orthonormal_rows(raw), x)

    assert torch.autograd.gradcheck(factored, (scale, raw, x))
    assert torch.autograd.gradcheck(lambda u, x: wide_laplacian(graph, orthonormal_columns(u), x), (tall, x))


def test_misfits_are_named():
    sheaf, x = random_problem("diagonal", n=5, num_edges=6, d=3, seed=0)
    graph, frame = sheaf.graph, frames(sheaf.graph, 2, 3, 0)
    with pytest.raises(ShapeError, match=r"frames \(5, 2, 3\) and x \(5, 2, 2\) are not \(n, k, d\)"):
        factored_laplacian(graph, sheaf.maps[:, :2], frame, x[:, :2])
    with pytest.raises(ShapeError, match=r"scale has shape \(12, 3\), expected \(12, 2\)"):
        factored_laplacian(graph, sheaf.maps, frame, x)
    with pytest.raises(ShapeError, match=r"frames \(5, 2, 3\) and x \(4, 3, 2\)"):
        wide_laplacian(graph, frame, x[:4])
    with pytest.raises(ShapeError, match="2 x 3 matrices cannot have orthonormal columns"):
        orthonormal_columns(frame)
    with pytest.raises(ShapeError, match="3 x 2 matrices cannot have orthonormal rows"):
        orthonormal_rows(frame.mT)
