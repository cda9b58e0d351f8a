r"""Normalised sheaf Laplacians :math:`\Delta x = D^{-1/2} L D^{-1/2} x` by message passing, one function per family.

n nodes, a = 2e arcs, d node stalk, k edge stalk, c channels; deg_v the number of edges at v. An arc carries the map of
its destination (:mod:`.message_passing`; Bodnar et al. 2022, https://arxiv.org/abs/2202.04579). The slow definitions
are in :mod:`recbole_sheaf.sheaf`, to which each function here is held. Delta x is zero at nodes without edges and, like
there, in directions in which D_v is singular. Families whose maps belong to nodes move no arc
value (``sum_neighbours`` alone); arc maps cost memory O(a k) or O(a d^2), never O(a d c).
"""

from collections.abc import Callable, Sequence
from typing import Union

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers._edge_products import ScaledLaplacian, TransportSum
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.transports import Transports
from recbole_sheaf.sheaf.inverse_sqrt import scalar_inverse_sqrt


def identity_delta(graph: ArcGraph, x: Float[Tensor, "n *dc"]) -> Float[Tensor, "n *dc"]:
    """Graph Laplacian :math:`x - D^{-1/2} A D^{-1/2} x`; x minus it is LightGCN's propagation. Time O(a d c).

    Examples:
        >>> path = ArcGraph.from_edges(torch.tensor([0, 1]), torch.tensor([1, 2]), num_nodes=3)
        >>> sqrt_degree = torch.tensor([1.0, 2.0, 1.0]).sqrt().view(3, 1, 1)
        >>> identity_delta(path, sqrt_degree).flatten().round(decimals=4)  # a global section
        tensor([0., 0., 0.])
    """
    q, r = _degree_scales(graph, x)
    return torch.addcmul(q * x, r, graph.sum_neighbours(r * x), value=-1)


def wide_delta(graph: ArcGraph, x: Float[Tensor, "n d c"], frame: Float[Tensor, "n k d"]) -> Float[Tensor, "n d c"]:
    """Delta x for node frames U_v with orthonormal columns, ``x_v - deg_v^-1/2 U_v^T sum_w deg_w^-1/2 U_w x_w``.

    Also right for orthogonal frames, k = d. Time O(n k d c + a k c).

    Raises:
        ShapeError: if frame and x do not fit.

    Examples:
        >>> edge = ArcGraph.from_edges(torch.tensor([0]), torch.tensor([1]), num_nodes=2)
        >>> frame = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]]])  # of node 0 and 1, at right angles
        >>> wide_delta(edge, torch.tensor([5.0, 7.0]).view(2, 1, 1), frame).flatten()  # nothing is shared
        tensor([5., 7.])
    """
    _check_frame(graph, x, frame)
    q, r = _degree_scales(graph, x)
    return q * x - r * (frame.mT @ graph.sum_neighbours(frame @ (r * x)))


def diagonal_delta(graph: ArcGraph, x: Float[Tensor, "n d c"], maps: Float[Tensor, "a d"]) -> Float[Tensor, "n d c"]:
    """Delta x for diagonal arc maps, ``x_v - t_v^-1/2 sum_w a_{v,e} a_{w,e} t_w^-1/2 x_w``, ``t_v = sum_e a_{v,e}^2``.

    Time O(a d c); extra memory at most 3 floats for each arc and stalk coordinate.

    Raises:
        ShapeError: if maps and x do not fit.
        GraphError: on a directed graph.

    Examples:
        >>> edge = ArcGraph.from_edges(torch.tensor([0]), torch.tensor([1]), num_nodes=2)
        >>> maps = torch.tensor([[1.0, 1.0], [1.0, -1.0]])  # the second coordinate changes its sign
        >>> diagonal_delta(edge, torch.ones(2, 2, 1), maps).squeeze(2)
        tensor([[0., 2.],
                [0., 2.]])
    """
    _check_signal(graph, x)
    _check_shape("maps", maps, (graph.num_arcs, x.shape[1]), "one diagonal per arc")
    return ScaledLaplacian.apply(x, maps.contiguous(), graph)


def factored_delta(
    graph: ArcGraph, x: Float[Tensor, "n d c"], scale: Float[Tensor, "a k"], frame: Float[Tensor, "n k d"]
) -> Float[Tensor, "n d c"]:
    """Delta x for factored maps ``diag(s_{v,e}) R_v`` with orthonormal rows: :func:`diagonal_delta` in node frames.

    ``R_v^T (y_v - t_v^-1/2 sum_w s_{v,e} s_{w,e} t_w^-1/2 y_w)`` with ``y_v = R_v x_v`` and ``t_v = sum_e s_{v,e}^2``.
    Rows are not checked to be orthonormal. Costs and errors are those of :func:`diagonal_delta`.

    Examples:
        >>> edge = ArcGraph.from_edges(torch.tensor([0]), torch.tensor([1]), num_nodes=2)
        >>> frame = torch.stack([torch.eye(2), torch.eye(2).flip(0)])  # node 1 swaps its coordinates
        >>> x = torch.tensor([[3.0, 5.0], [5.0, 3.0]]).unsqueeze(2)
        >>> factored_delta(edge, x, torch.ones(2, 2), frame).abs().sum().item()  # the two agree
        0.0
    """
    _check_frame(graph, x, frame)
    return frame.mT @ diagonal_delta(graph, frame @ x, scale)


def orthogonal_delta(
    graph: ArcGraph, x: Float[Tensor, "n d c"], maps: Union[Float[Tensor, "a d d"], Transports]
) -> Float[Tensor, "n d c"]:
    """Delta x for orthogonal arc maps, ``x_v - deg_v^-1/2 sum_w F_{v<e}^T F_{w<e} deg_w^-1/2 x_w``; D_v is the degree.

    Time O(a d^2 c), memory O(a d^2); less where several steps share what is made of their maps
    (:class:`~recbole_sheaf.layers.transports.Transports`).

    Raises:
        ShapeError: if maps and x do not fit.
        GraphError: on a directed graph.

    Examples:
        >>> edge = ArcGraph.from_edges(torch.tensor([0]), torch.tensor([1]), num_nodes=2)
        >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # the map of the first arc's destination, node 1
        >>> x = torch.stack([turn @ torch.tensor([3.0, 5.0]), torch.tensor([3.0, 5.0])]).unsqueeze(2)
        >>> orthogonal_delta(edge, x, torch.stack([turn, torch.eye(2)])).abs().sum().item()
        0.0
    """
    made = _transports(graph, x, maps, orthogonal=True)
    q, r = _degree_scales(graph, x)
    return q * x - r * TransportSum.apply((r * x).contiguous(), made.blocks, graph.pairs)


def general_delta(
    graph: ArcGraph, x: Float[Tensor, "n d c"], maps: Union[Float[Tensor, "a k d"], Transports]
) -> Float[Tensor, "n d c"]:
    """Delta x for any arc maps, ``D_v^-1/2 (D_v z_v - sum_w F_{v<e}^T F_{w<e} z_w)`` with ``z = D^-1/2 x``.

    ``D_v^-1/2`` is taken on the range of D_v, so that rank-deficient maps give finite results and gradients.
    Time O(a d^2 (c + k) + n d^3), memory O(a d (k + d)); less where several steps share what is made of their maps
    (:class:`~recbole_sheaf.layers.transports.Transports`).

    Raises:
        ShapeError: if maps and x do not fit.
        GraphError: on a directed graph.

    Examples:
        >>> edge = ArcGraph.from_edges(torch.tensor([0]), torch.tensor([1]), num_nodes=2)
        >>> maps = torch.tensor([2.0, 3.0]).view(2, 1, 1)
        >>> general_delta(edge, torch.tensor([1.0, -1.0]).view(2, 1, 1), maps).flatten()  # size of maps cancels
        tensor([ 2., -2.])
    """
    made = _transports(graph, x, maps, orthogonal=False)
    degree, root = made.degree_and_root
    z = root @ x
    return root @ (degree @ z - TransportSum.apply(z.contiguous(), made.blocks, graph.pairs))


DELTAS: dict[str, Callable[..., Tensor]] = {
    "identity": identity_delta,
    "diagonal": diagonal_delta,
    "orthogonal": orthogonal_delta,
    "general": general_delta,
    "factored": factored_delta,
    "wide": wide_delta,
}


def _transports(graph: ArcGraph, x: Tensor, maps: Union[Tensor, Transports], orthogonal: bool) -> Transports:
    """Those given, or those of the maps given."""
    _check_signal(graph, x)
    if isinstance(maps, Tensor):
        _check_maps(graph, x, maps)
        return Transports.of(graph, maps, orthogonal)
    return maps


def _degree_scales(graph: ArcGraph, x: Tensor) -> "tuple[Tensor, Tensor]":
    """1 where a node has edges, else 0; and ``deg^-1/2``, else 0; both broadcast over x."""
    degree = graph.in_degrees.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
    return (degree > 0).to(x.dtype), scalar_inverse_sqrt(degree)


def _check_signal(graph: ArcGraph, x: Tensor) -> None:
    if x.dim() != 3 or len(x) != graph.num_nodes:
        raise ShapeError(f"x has shape {tuple(x.shape)}, expected (n, d, c) with n = {graph.num_nodes} nodes")


def _check_frame(graph: ArcGraph, x: Tensor, frame: Tensor) -> None:
    _check_signal(graph, x)
    if frame.dim() != 3 or len(frame) != len(x) or frame.shape[2] != x.shape[1]:
        raise ShapeError(f"frame has shape {tuple(frame.shape)}, expected (n, k, d) for x of shape {tuple(x.shape)}")


def _check_maps(graph: ArcGraph, x: Tensor, maps: Tensor) -> None:
    if maps.dim() != 3 or len(maps) != graph.num_arcs or maps.shape[2] != x.shape[1]:
        raise ShapeError(
            f"maps have shape {tuple(maps.shape)}, expected ({graph.num_arcs}, k, {x.shape[1]}): one matrix per arc"
        )


def _check_shape(name: str, tensor: Tensor, shape: Sequence[int], meaning: str) -> None:
    if tensor.shape != torch.Size(shape):
        raise ShapeError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}: {meaning}")
