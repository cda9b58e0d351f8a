"""LightGCN's propagation against the dense matrix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.message_passing import ArcGraph
from tests.layers.problems import random_arcs


def dense_mean(src, dst, x, num_layers):
    """Mean of the powers of the normalised adjacency, applied one after the other."""
    adjacency = torch.zeros(len(x), len(x), dtype=x.dtype)
    adjacency[dst, src] = 1
    inverse = torch.where(adjacency.sum(1) > 0, adjacency.sum(1).clamp(min=1) ** -0.5, 0.0)
    matrix = inverse[:, None] * adjacency * inverse
    return sum(torch.linalg.matrix_power(matrix, power) @ x for power in range(num_layers + 1)) / (num_layers + 1)


@pytest.mark.parametrize("backend", ["dgl", "torch"])
@settings(deadline=None)  # the first call imports DGL
@given(n=st.integers(2, 8), e=st.integers(0, 20), layers=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_equals_the_dense_mean(backend, n, e, layers, seed):
    src, dst, generator = random_arcs(n, e, seed)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    propagate = LightPropagation(ArcGraph(src, dst, n, backend), layers)
    torch.testing.assert_close(propagate(x), dense_mean(src, dst, x, layers), atol=1e-6, rtol=1e-6)


def test_gradient_reaches_the_signal():
    src, dst, _ = random_arcs(5, 6, 0)
    propagate = LightPropagation(ArcGraph(src, dst, 5, "torch"), 2).double()
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(propagate, (x,))
