"""Rank-deficient, repeated and zero maps: finite results, finite and right gradients."""

import pytest
import torch

from recbole_sheaf.sheaf import Sheaf, laplacian, matrix_inverse_sqrt, normalise, scalar_inverse_sqrt
from tests.sheaf.helpers import random_problem


def step(sheaf, maps, x, augmented):
    return laplacian(normalise(Sheaf(sheaf.graph, maps), "block", augmented), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("spoil", ["zero", "rank one", "zero column", "identity", "tiny", "huge"])
def test_finite_value_and_gradient(dtype, augmented, spoil):
    sheaf, x = random_problem("general", n=6, num_edges=7, d=3, seed=5, dtype=dtype)
    maps = (
        {
            "zero": torch.zeros_like(sheaf.maps),
            "rank one": sheaf.maps[:, :, :1] @ sheaf.maps[:, :1, :],
            "zero column": sheaf.maps * torch.tensor([1.0, 1.0, 0.0], dtype=dtype),
            "identity": torch.eye(3, dtype=dtype).expand_as(sheaf.maps),
            "tiny": 1e-12 * sheaf.maps,
            "huge": 1e6 * sheaf.maps,
        }[spoil]
        .clone()
        .requires_grad_()
    )
    out = step(sheaf, maps, x, augmented)
    out.square().sum().backward()
    assert out.isfinite().all() and maps.grad.isfinite().all()


def test_repeated_eigenvalues_have_exact_gradient():
    """With all eigenvalues equal the differential of M^-1/2 is -1/2 m^-3/2 times the perturbation."""
    matrix = (4 * torch.eye(3)).double().expand(2, 3, 3).clone().requires_grad_()
    weight = torch.randn(2, 3, 3).double()
    weight = weight + weight.mT
    (matrix_inverse_sqrt(matrix) * weight).sum().backward()
    torch.testing.assert_close(matrix.grad, -0.5 / 8 * weight)


def test_nearly_repeated_eigenvalues():
    root = torch.diag(torch.tensor([1.0, 1.0 + 1e-13, 2.0])).double().unsqueeze(0)
    turn = torch.linalg.qr(torch.randn(3, 3).double())[0]
    matrix = (turn @ root @ turn.T).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: matrix_inverse_sqrt(0.5 * (m + m.mT)), matrix)


def test_singular_gradient_along_the_same_rank():
    """M = A A^T with A of two columns: perturbing A keeps the rank, where the pseudo-inverse is smooth."""
    factor = torch.randn(2, 3, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: matrix_inverse_sqrt(a @ a.mT), factor, atol=1e-4)


def test_inverse_sqrt_is_an_inverse_square_root():
    factor = torch.randn(5, 4, 4).double()
    matrix = factor @ factor.mT + 0.1 * torch.eye(4)
    root = matrix_inverse_sqrt(matrix)
    torch.testing.assert_close(root @ matrix @ root, torch.eye(4).double().expand(5, 4, 4))


def test_scalar_inverse_sqrt_of_zero_is_zero_with_zero_gradient():
    t = torch.tensor([0.0, 4.0], requires_grad=True)
    scalar_inverse_sqrt(t).sum().backward()
    assert scalar_inverse_sqrt(t).tolist() == [0.0, 0.5] and t.grad.tolist() == [0.0, -0.0625]
