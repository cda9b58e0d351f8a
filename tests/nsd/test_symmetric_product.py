"""Products with symmetric sparse matrices equal dense ones, with their gradients."""

import pytest
import torch

from recbole_sheaf.nsd.symmetric_product import SymmetricProduct
from recbole_sheaf.sheaf import LaplacianOptions, laplacian_pattern
from tests.sheaf.helpers import random_graph


@pytest.fixture(params=["diagonal", "general"])
def pattern(request):
    graph = random_graph(6, 7, torch.Generator().manual_seed(0))
    return laplacian_pattern(graph, 2, request.param, LaplacianOptions(add_lp=True))


def dense(pattern, upper, diagonal):
    value = torch.cat([upper, upper, diagonal])
    return value.new_zeros(pattern.size, pattern.size).index_put(tuple(pattern.index), value)


def random_values(pattern):
    rest = pattern.index.shape[1] - 2 * pattern.num_upper
    values = torch.randn(pattern.num_upper), torch.randn(rest), torch.randn(pattern.size, 3)
    return [value.double().requires_grad_() for value in values]


def symmetric_diagonal(pattern, diagonal):
    """Make the diagonal blocks symmetric, as the product takes them to be."""
    count = diagonal.numel()
    index = pattern.index[:, 2 * pattern.num_upper :]
    matrix = diagonal.new_zeros(pattern.size, pattern.size).index_put(tuple(index), diagonal)
    matrix = 0.5 * (matrix + matrix.T)
    return matrix[index[0], index[1]].view(count)


def test_equals_dense(pattern):
    upper, diagonal, x = random_values(pattern)
    diagonal = symmetric_diagonal(pattern, diagonal)
    out = SymmetricProduct(pattern)(upper, diagonal, x)
    torch.testing.assert_close(out, dense(pattern, upper, diagonal) @ x)


def test_equals_message_passing(pattern):
    """The same product as one ``u_mul_e, sum`` over the entries as arcs, with its gradients."""
    dgl = pytest.importorskip("dgl")
    upper, diagonal, x = random_values(pattern)
    fixed = symmetric_diagonal(pattern, diagonal).detach()
    entries = dgl.graph((pattern.index[1], pattern.index[0]), num_nodes=pattern.size)
    passed = dgl.ops.u_mul_e_sum(entries, x, torch.cat([upper, upper, fixed]).unsqueeze(1))
    product = SymmetricProduct(pattern)(upper, fixed, x)
    torch.testing.assert_close(product, passed)
    weight = torch.randn_like(x)
    for ours, theirs in zip(*(torch.autograd.grad((out * weight).sum(), [upper, x]) for out in (product, passed))):
        torch.testing.assert_close(ours, theirs)


def test_gradients(pattern):
    product = SymmetricProduct(pattern)
    upper, diagonal, x = random_values(pattern)
    assert torch.autograd.gradcheck(lambda u, d, x: product(u, symmetric_diagonal(pattern, d), x), (upper, diagonal, x))


def test_gradient_of_the_signal_alone(pattern):
    upper, diagonal, x = random_values(pattern)
    fixed = symmetric_diagonal(pattern, diagonal).detach()
    SymmetricProduct(pattern)(upper.detach(), fixed, x).sum().backward()
    torch.testing.assert_close(x.grad, dense(pattern, upper, fixed).T @ torch.ones_like(x))


def test_structure_is_not_saved(pattern):
    assert not SymmetricProduct(pattern).state_dict()
