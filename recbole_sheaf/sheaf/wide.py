"""Wide maps ``F_{v<e} = U_v``: one frame at each node, into an edge stalk at least as large as the node stalk.

n nodes, d node stalk, k >= d edge stalk, c channels; U_v has orthonormal columns, ``U_v^T U_v = I``. Then
``D_v = deg_v I``, and the normalised Laplacian needs nothing on the arcs:

    Delta x_v = x_v - U_v^T deg_v^-1/2 sum_w deg_w^-1/2 U_w x_w.

The transport ``U_v^T U_w`` is a contraction that depends on both ends, so the sheaf need not be flat.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.sheaf.graph import UndirectedGraph
from recbole_sheaf.sheaf.inverse_sqrt import scalar_inverse_sqrt


def wide_laplacian(
    graph: UndirectedGraph, frame: Float[Tensor, "n k d"], x: Float[Tensor, "..."], augmented: bool = False
) -> Float[Tensor, "n d c"]:
    """Apply the block-normalised Laplacian ``Delta x`` of a wide sheaf, in closed form.

    Args:
        frame: U_v with orthonormal columns; not checked, see :func:`recbole_sheaf.sheaf.orthonormal_columns`.
        x: signal of shape (n, d, c).
        augmented: normalise by ``D_v + I = (deg_v + 1) I``.

    Raises:
        ShapeError: if frames and signal do not fit.

    Zero at isolated nodes. Time O(n k d c + a k c), memory O(a k c), of which a fused sum needs only O(n k c).
    """
    if frame.shape[2] != x.shape[1] or len(frame) != len(x) or len(x) != graph.num_nodes:
        n = graph.num_nodes
        raise ShapeError(f"frames {tuple(frame.shape)} and x {tuple(x.shape)} are not (n, k, d) and (n, d, c), n = {n}")
    degree = graph.degree.to(x.dtype).view(-1, 1, 1)
    r = scalar_inverse_sqrt(degree + augmented)
    sent = frame @ (r * x)
    received = torch.zeros_like(sent).index_add(0, graph.row, sent[graph.col])
    return degree * r.square() * x - r * (frame.mT @ received)
