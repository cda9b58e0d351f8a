"""Orthogonal d x d matrices from free parameters, one matrix for each of a arcs.

Householder, Cayley and matrix exponential fill the lower triangle of a d x d matrix, row by row, with the parameters:
Householder the part strictly below the diagonal, the other two the diagonal as well (where it cancels in the
skew-symmetric A). Euler takes angles in turns. The conventions are those of Neural Sheaf Diffusion
(Bodnar et al. 2022, https://arxiv.org/abs/2202.04579, section 5), so that learnt parameters can be exchanged.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ConfigError, ShapeError

ORTHOGONAL_MAPS = ("householder", "cayley", "matrix_exp", "euler")


def num_orthogonal_parameters(stalk_dim: int, orthogonal_map: str) -> int:
    """Number of parameters of one matrix.

    d(d-1)/2 for ``householder`` and ``euler``, d(d+1)/2 for ``cayley`` and ``matrix_exp``.

    Raises:
        ConfigError: if ``orthogonal_map`` is unknown.
        ShapeError: for Euler angles with d > 3.

    Examples:
        >>> num_orthogonal_parameters(3, "householder"), num_orthogonal_parameters(3, "cayley")
        (3, 6)
    """
    _check_name(orthogonal_map, stalk_dim)
    sign = 1 if orthogonal_map in ("cayley", "matrix_exp") else -1
    return stalk_dim * (stalk_dim + sign) // 2


def orthogonal_maps(params: Float[Tensor, "a p"], stalk_dim: int, orthogonal_map: str) -> Float[Tensor, "a d d"]:
    """Orthogonal matrices, one from each row of ``params``.

    Args:
        params: free parameters, p of them as :func:`num_orthogonal_parameters` says.
        stalk_dim: size d of the matrices.
        orthogonal_map: one of ``ORTHOGONAL_MAPS``.

    Raises:
        ShapeError: if p does not fit, or Euler angles are asked for with d > 3.
        ConfigError: if ``orthogonal_map`` is unknown.

    Time O(a d^3), memory O(a d^2).

    Examples:
        >>> q = orthogonal_maps(torch.tensor([[0.3, -1.2, 2.0]]), 3, "householder")
        >>> bool(torch.allclose(q @ q.mT, torch.eye(3), atol=1e-6))
        True
    """
    expected = num_orthogonal_parameters(stalk_dim, orthogonal_map)
    if params.shape[-1] != expected:
        raise ShapeError(
            f"{orthogonal_map} matrices of size {stalk_dim} take {expected} parameters each, got {params.shape[-1]}"
        )
    build = {"householder": householder, "cayley": cayley, "matrix_exp": matrix_exp, "euler": euler}[orthogonal_map]
    return build(params, stalk_dim)


def householder(params: Float[Tensor, "a p"], d: int) -> Float[Tensor, "a d d"]:
    """Product ``H_1 ... H_d`` of reflections ``H_i = I - 2 v_i v_i^T / |v_i|^2``; determinant (-1)^d.

    ``v_i`` is column i of the unit lower triangular matrix of the parameters. In the compact WY form the product is
    ``I - V T^-1 V^T`` with T upper triangular, ``T_ii = |v_i|^2 / 2`` and ``T_ij = v_i^T v_j`` for i < j
    (Joffrain et al. 2006, https://doi.org/10.1145/1141885.1141886): one triangular solve instead of d sweeps.

    Examples:
        >>> householder(torch.tensor([[0.0]]), 2)  # reflections at both axes
        tensor([[[-1.,  0.],
                 [ 0., -1.]]])
    """
    eye = torch.eye(d, dtype=params.dtype, device=params.device)
    v = _lower_triangular(params, d, offset=-1) + eye
    gram = v.mT @ v
    upper = gram.triu(1) + 0.5 * gram * eye
    return eye - v @ torch.linalg.solve_triangular(upper, v.mT, upper=True)


def cayley(params: Float[Tensor, "a p"], d: int) -> Float[Tensor, "a d d"]:
    """Cayley transform ``(I - A/2)^-1 (I + A/2)`` of the skew-symmetric A; determinant 1.

    Examples:
        >>> cayley(torch.tensor([[0.0, 2.0, 0.0]]), 2) + 0.0  # a quarter turn
        tensor([[[ 0., -1.],
                 [ 1.,  0.]]])
    """
    eye = torch.eye(d, dtype=params.dtype, device=params.device)
    half = 0.5 * _skew(params, d)
    return torch.linalg.solve(eye - half, eye + half)


def matrix_exp(params: Float[Tensor, "a p"], d: int) -> Float[Tensor, "a d d"]:
    """Exponential ``exp(A)`` of the skew-symmetric A; determinant 1, onto SO(d).

    One Newton-Schulz step ``Q (3 I - Q^T Q) / 2`` squares what rounding left of ``Q^T Q - I`` after large A in float32.

    Examples:
        >>> matrix_exp(torch.tensor([[0.0, math.pi, 0.0]]), 2).round(decimals=4) + 0.0  # half a turn
        tensor([[[-1.,  0.],
                 [ 0., -1.]]])
    """
    q = torch.matrix_exp(_skew(params, d))
    return 1.5 * q - 0.5 * q @ (q.mT @ q)


def euler(params: Float[Tensor, "a p"], d: int) -> Float[Tensor, "a d d"]:
    """Rotations by angles in turns: one angle for d = 2, ``R_z(alpha) R_y(beta) R_x(gamma)`` for d = 3, 1 for d = 1.

    Examples:
        >>> euler(torch.tensor([[0.25]]), 2).round(decimals=4) + 0.0  # a quarter turn
        tensor([[[ 0., -1.],
                 [ 1.,  0.]]])
    """
    if d == 1:
        return params.new_ones(len(params), 1, 1)
    cos, sin = torch.cos(2 * math.pi * params), torch.sin(2 * math.pi * params)
    if d == 2:
        return torch.cat([cos, -sin, sin, cos], dim=-1).view(-1, 2, 2)
    (ca, cb, cg), (sa, sb, sg) = cos.unbind(-1), sin.unbind(-1)
    entries = [ca * cb, ca * sb * sg - sa * cg, ca * sb * cg + sa * sg]
    entries += [sa * cb, sa * sb * sg + ca * cg, sa * sb * cg - ca * sg]
    entries += [-sb, cb * sg, cb * cg]
    return torch.stack(entries, dim=-1).view(-1, 3, 3)


def _lower_triangular(params: Float[Tensor, "a p"], d: int, offset: int) -> Float[Tensor, "a d d"]:
    """Place parameters row by row in the lower triangle; ``offset`` -1 leaves the diagonal zero."""
    row, col = torch.tril_indices(d, d, offset, device=params.device)
    flat = params.new_zeros(len(params), d * d).index_copy(1, row * d + col, params)
    return flat.view(-1, d, d)


def _skew(params: Float[Tensor, "a p"], d: int) -> Float[Tensor, "a d d"]:
    lower = _lower_triangular(params, d, offset=0)
    return lower - lower.mT


def _check_name(orthogonal_map: str, stalk_dim: int) -> None:
    if orthogonal_map not in ORTHOGONAL_MAPS:
        raise ConfigError(f"orthogonal_map {orthogonal_map!r} is unknown; choose one of {', '.join(ORTHOGONAL_MAPS)}")
    if orthogonal_map == "euler" and stalk_dim > 3:
        raise ShapeError(f"Euler angles describe rotations up to d = 3, got d = {stalk_dim}; use householder instead")
