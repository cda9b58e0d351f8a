"""Factored maps ``F_{v<e} = diag(s_{v,e}) R_v``: a general sheaf at the price of a diagonal one.

a arcs, n nodes, d node stalk, k <= d edge stalk, c channels; R_v has orthonormal rows, ``R_v R_v^T = I``. With
``t_v = sum_e s_{v,e}^2`` the degree block is ``D_v = R_v^T diag(t_v) R_v``, so its inverse square root, and with it

    Delta x_v = R_v^T (y_v - t_v^-1/2 sum_w s_{v,e} s_{w,e} t_w^-1/2 y_w),    y_v = R_v x_v,

need no eigendecomposition. Whatever of ``x_v`` lies outside the rows of ``R_v`` is not diffused.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.sheaf.graph import UndirectedGraph
from recbole_sheaf.sheaf.inverse_sqrt import scalar_inverse_sqrt


def factored_weights(
    graph: UndirectedGraph, scale: Float[Tensor, "a k"], augmented: bool = False
) -> tuple[Float[Tensor, "a k"], Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Coefficients of the normalised Laplacian in edge-stalk coordinates.

    Returns:
        ``m_e = s_{v,e} s_{w,e}`` on the arcs, the same on both arcs of an edge; ``r_v = t_v^-1/2`` at the nodes
        (``(t_v + 1)^-1/2`` if augmented; zero where no edge reaches); and the diagonal ``t_v r_v^2``.
    """
    t = scale.new_zeros(graph.num_nodes, scale.shape[1]).index_add(0, graph.row, scale.square())
    r = scalar_inverse_sqrt(t + augmented)
    return scale * scale[graph.reverse], r, t * r.square()


def factored_laplacian(
    graph: UndirectedGraph,
    scale: Float[Tensor, "..."],
    frame: Float[Tensor, "n k d"],
    x: Float[Tensor, "..."],
    augmented: bool = False,
) -> Float[Tensor, "n d c"]:
    """Apply the block-normalised Laplacian ``Delta x`` of a factored sheaf, in closed form.

    Args:
        scale: s_{v,e}, of shape (a, k), one row for each arc (v, w).
        frame: R_v with orthonormal rows; not checked, see :func:`recbole_sheaf.sheaf.orthonormal_rows`.
        x: signal of shape (n, d, c).
        augmented: normalise by ``D_v + I``.

    Raises:
        ShapeError: if frames and signal, or scales and frames, do not fit.

    Time O(n k d c + a k c), memory O(a k c): this is the definition on which fused kernels are measured.
    """
    _check(graph, scale, frame, x)
    m, r, diagonal = factored_weights(graph, scale, augmented)
    y = frame @ x
    z = r.unsqueeze(-1) * y
    received = torch.zeros_like(y).index_add(0, graph.row, m.unsqueeze(-1) * z[graph.col])
    return frame.mT @ (diagonal.unsqueeze(-1) * y - r.unsqueeze(-1) * received)


def _check(graph: UndirectedGraph, scale: Tensor, frame: Tensor, x: Tensor) -> None:
    if frame.shape[2] != x.shape[1] or len(frame) != len(x) or len(x) != graph.num_nodes:
        n = graph.num_nodes
        raise ShapeError(f"frames {tuple(frame.shape)} and x {tuple(x.shape)} are not (n, k, d) and (n, d, c), n = {n}")
    if scale.shape != (len(graph.row), frame.shape[1]):
        raise ShapeError(
            f"scale has shape {tuple(scale.shape)}, expected ({len(graph.row)}, {frame.shape[1]}): arcs by edge stalk"
        )
