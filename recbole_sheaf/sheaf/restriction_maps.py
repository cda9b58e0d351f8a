"""Restriction maps: one linear map F_{v<e} : R^d -> R^k for each arc (v, e), by family.

==============  =======================================  ==============================================
family          map on arc (v, e)                        parameters
==============  =======================================  ==============================================
``identity``    I                                        none
``diagonal``    ``diag(a)``                              a of shape (arcs, d)
``orthogonal``  an orthogonal matrix                     (arcs, p), see :mod:`.orthogonal`, or the matrices
``general``     any matrix                               (arcs, k, d)
``factored``    ``diag(s_{v,e}) R_v``, orthonormal rows  scales (arcs, k), frames (n, k, d) with k <= d
``wide``        ``U_v``, orthonormal columns             frames (n, k, d) with k >= d
==============  =======================================  ==============================================

Identity and diagonal maps are kept as their diagonals, of shape (arcs, d); all others as matrices (arcs, k, d).
"""

from typing import Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS
from recbole_sheaf.sheaf.inverse_sqrt import matrix_inverse_sqrt
from recbole_sheaf.sheaf.orthogonal import num_orthogonal_parameters


def num_arc_parameters(restriction_map: str, stalk_dim: int, orthogonal_map: str = "householder") -> int:
    """Number of parameters on one arc, when node and edge stalks are both R^d.

    Raises:
        ConfigError: if ``restriction_map`` or ``orthogonal_map`` is unknown.
        ShapeError: for Euler angles with d > 3.

    Examples:
        >>> [num_arc_parameters(family, 4) for family in ("identity", "diagonal", "orthogonal", "general")]
        [0, 4, 6, 16]
    """
    check_family(restriction_map)
    if restriction_map == "orthogonal":
        return num_orthogonal_parameters(stalk_dim, orthogonal_map)
    if restriction_map == "general":
        return stalk_dim * stalk_dim
    return stalk_dim if restriction_map in ("diagonal", "factored") else 0


def check_family(restriction_map: str) -> None:
    """Refuse an unknown family of maps.

    Raises:
        ConfigError: if so, naming the families.

    Examples:
        >>> check_family("diag")
        Traceback (most recent call last):
        recbole_sheaf.errors.ConfigError: restriction_map 'diag' is unknown; choose one of ...
    """
    if restriction_map not in RESTRICTION_MAPS:
        names = ", ".join(RESTRICTION_MAPS)
        raise ConfigError(f"restriction_map {restriction_map!r} is unknown; choose one of {names}")


def identity_maps(num_arcs: int, stalk_dim: int, like: Optional[Tensor] = None) -> Float[Tensor, "a d"]:
    """Diagonals of identity maps, with the dtype and device of ``like``: the sheaf of LightGCN.

    Examples:
        >>> identity_maps(num_arcs=2, stalk_dim=3)
        tensor([[1., 1., 1.],
                [1., 1., 1.]])
    """
    return torch.ones(num_arcs, stalk_dim) if like is None else like.new_ones(num_arcs, stalk_dim)


def factored_maps(
    row: Int[Tensor, " a"], scale: Float[Tensor, "a k"], frame: Float[Tensor, "n k d"]
) -> Float[Tensor, "a k d"]:
    """Maps ``F_{v<e} = diag(s_{v,e}) R_v``, written out for every arc. Memory O(a k d): a reference for tests.

    Args:
        row: node that owns each arc.
        scale: s, one factor for each row of R.
        frame: R, one k x d matrix for each node.

    Examples:
        >>> factored_maps(torch.tensor([0]), torch.tensor([[2.0, 3.0]]), torch.eye(2).unsqueeze(0))
        tensor([[[2., 0.],
                 [0., 3.]]])
    """
    return scale.unsqueeze(-1) * frame[row]


def wide_maps(row: Int[Tensor, " a"], frame: Float[Tensor, "n k d"]) -> Float[Tensor, "a k d"]:
    """Maps ``F_{v<e} = U_v``, the same on all arcs of a node, written out. Memory O(a k d): a reference for tests.

    Examples:
        >>> frame = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]]])  # of node 0 and of node 1
        >>> wide_maps(torch.tensor([1, 0, 1]), frame).squeeze(2).tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """
    return frame[row]


def orthonormal_columns(matrices: Float[Tensor, "n k d"]) -> Float[Tensor, "n k d"]:
    """Frames with orthonormal columns nearest to the given matrices, ``U (U^T U)^-1/2``, k >= d.

    A matrix of deficient rank gives a partial isometry, never NaN.

    Raises:
        ShapeError: if k < d.

    Examples:
        >>> frame = orthonormal_columns(torch.tensor([[[2.0, 1.0], [0.0, 1.0], [1.0, 1.0]]]))
        >>> (frame.mT @ frame).round(decimals=3).abs()
        tensor([[[1., 0.],
                 [0., 1.]]])
    """
    k, d = matrices.shape[-2:]
    if k < d:
        raise ShapeError(f"{k} x {d} matrices cannot have orthonormal columns; use orthonormal_rows")
    return matrices @ matrix_inverse_sqrt(matrices.mT @ matrices)


def orthonormal_rows(matrices: Float[Tensor, "n k d"]) -> Float[Tensor, "n k d"]:
    """Frames with orthonormal rows nearest to the given matrices, ``(R R^T)^-1/2 R``, k <= d. A reference for tests.

    Raises:
        ShapeError: if k > d.

    Examples:
        >>> frame = orthonormal_rows(torch.tensor([[[3.0, 0.0, 4.0]]]))
        >>> frame.round(decimals=4)
        tensor([[[0.6000, 0.0000, 0.8000]]])
    """
    k, d = matrices.shape[-2:]
    if k > d:
        raise ShapeError(f"{k} x {d} matrices cannot have orthonormal rows; use orthonormal_columns")
    return orthonormal_columns(matrices.mT).mT
