"""Inverse square roots that stay finite, with finite gradients, for singular and degenerate input.

For t = 0 and for eigenvalues that are zero to working precision the result is zero, the Moore-Penrose choice, so an
isolated node or a rank-deficient map yields no NaN and leaves the undetermined directions of the stalk undiffused.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def scalar_inverse_sqrt(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """``t^-1/2`` of non-negative numbers, one by one; 0, with gradient 0, where t is 0 to working precision.

    Examples:
        >>> scalar_inverse_sqrt(torch.tensor([4.0, 0.0]))
        tensor([0.5000, 0.0000])
    """
    positive = t > _smallest(t)
    return torch.where(positive, torch.where(positive, t, 1.0).rsqrt(), 0.0)


def matrix_inverse_sqrt(matrices: Float[Tensor, "n d d"]) -> Float[Tensor, "n d d"]:
    """``M^-1/2`` of symmetric positive semidefinite matrices on the range of M, zero on its kernel.

    Eigenvalues up to ``d eps max(eigenvalue)`` count as zero. The gradient is exact for perturbations that keep the
    rank, also when eigenvalues repeat, where differentiating the eigenvectors divides by zero. Time O(n d^3).

    Examples:
        >>> matrix_inverse_sqrt(torch.diag(torch.tensor([4.0, 0.0])).unsqueeze(0))
        tensor([[[0.5000, 0.0000],
                 [0.0000, 0.0000]]])
    """
    if matrices.shape[-1] == 1:
        return scalar_inverse_sqrt(matrices)
    return _MatrixInverseSqrt.apply(matrices)


def _smallest(t: Float[Tensor, "..."]) -> float:
    """Zero to working precision: small enough never to matter, large enough for ``t^-3/2`` to be representable."""
    return torch.finfo(t.dtype).tiny ** 0.5


class _MatrixInverseSqrt(torch.autograd.Function):
    """Daleckii-Krein: in the eigenbasis the differential of f(M) is multiplied by f's divided differences.

    For f(x) = x^-1/2 they are ``-1 / (sqrt(x) sqrt(y) (sqrt(x) + sqrt(y)))``, free of any difference of eigenvalues;
    between a kept x and an eigenvalue taken as zero ``x^-3/2``; among zeros 0 (Higham, Functions of Matrices, 3.2).
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        value, vector = torch.linalg.eigh(matrices)
        rtol = matrices.shape[-1] * torch.finfo(matrices.dtype).eps
        kept = value > (rtol * value[..., -1:]).clamp(min=_smallest(value))
        inverse_root = torch.where(kept, torch.where(kept, value, 1.0).rsqrt(), 0.0)
        ctx.save_for_backward(vector, inverse_root, kept)
        return (vector * inverse_root.unsqueeze(-2)) @ vector.mT

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        vector, inverse_root, kept = ctx.saved_tensors
        rotated = vector.mT @ (0.5 * (grad + grad.mT)) @ vector
        return vector @ (_divided_differences(inverse_root, kept) * rotated) @ vector.mT


def _divided_differences(r: Float[Tensor, "n d"], kept: Tensor) -> Float[Tensor, "n d d"]:
    """Divided differences of ``x^-1/2`` at all pairs of eigenvalues, from ``r = x^-1/2``."""
    r_i, r_j = r.unsqueeze(-1), r.unsqueeze(-2)
    both = kept.unsqueeze(-1) & kept.unsqueeze(-2)
    product = r_i * r_j
    between_kept = -product * (product / torch.where(both, r_i + r_j, 1.0))
    return torch.where(both, between_kept, (r_i + r_j) ** 3)
