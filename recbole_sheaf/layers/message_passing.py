"""Message passing over the arcs of a graph, on DGL kernels or on PyTorch's, with the same results.

n nodes, arcs u -> v, d stalk dimension, c channels. An undirected edge is two arcs, each the ``reverse`` of the other.

Whose map an arc carries, here and everywhere: **that of its destination v**, the map F_{v<e} of the node that receives
the message; F_{u<e} is on the reverse. In a matrix the arc is row v, column u, so an arc (row, col) of
:mod:`recbole_sheaf.sheaf` and :mod:`recbole_sheaf.nsd`, whose map is its row's, is the arc col -> row.

``sum_neighbours`` moves no arc value and is an order of magnitude cheaper than ``weighted_sum``: fold whatever weight
belongs to a node into the nodes, before and after.
"""

import logging
import math
from functools import cache, cached_property
from typing import Any, Optional, Union

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.errors import BackendError, GraphError, ShapeError
from recbole_sheaf.layers._arc_autograd import AddEnds, CopySum, Kernels, MulEnds, SoftmaxArcs, SumArcs, WeightedSum
from recbole_sheaf.layers._arc_checks import check_arcs, refuse_duplicates, reverse_arcs
from recbole_sheaf.layers._dgl_kernels import DGLKernels, why_dgl_cannot_serve
from recbole_sheaf.layers._torch_kernels import TorchKernels
from recbole_sheaf.settings.vocabulary import BACKENDS

logger = logging.getLogger(__name__)

KERNELS: dict[str, Union[type[DGLKernels], type[TorchKernels]]] = {"dgl": DGLKernels, "torch": TorchKernels}


class EdgePairs:
    """The two arcs of each undirected edge, and the kernels on the first ones; slices if arc i and i + e are reverses.

    Attributes:
        src, dst: ends u and v of each edge's first arc, u -> v; its second goes v -> u.
        sliced: whether the first arcs are the first half of all arcs and their reverses the second, in the same order.

    Examples:
        >>> graph = ArcGraph(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), num_nodes=3, backend="torch")
        >>> first, second = graph.pairs.ends(torch.tensor([10.0, 20.0, 30.0, 40.0]))
        >>> first.tolist(), second.tolist()
        ([10.0, 30.0], [20.0, 40.0])
    """

    def __init__(self, graph: "ArcGraph", kernels: Union[type[DGLKernels], type[TorchKernels]]) -> None:
        e = graph.num_arcs // 2
        places = torch.arange(graph.num_arcs, device=graph.device)
        reverse = graph.required_reverse()
        first = torch.nonzero(places < reverse).flatten()
        second = reverse[first]
        self.sliced = torch.equal(first, places[:e]) and torch.equal(second, places[e:])
        self.given: Optional[tuple[Tensor, Tensor]] = None if self.sliced else (first, second)
        self.src, self.dst = graph.src[first], graph.dst[first]
        self.kernels = kernels(self.src, self.dst, graph.num_nodes)

    def ends(self, s: Float[Tensor, "a *k"]) -> "tuple[Tensor, Tensor]":
        """Values of the first arc (owned by v) and of the second (owned by u) of each edge."""
        if self.given is None:
            first, second = s.unflatten(0, (2, len(self.src))).unbind(0)
            return first, second
        return s.index_select(0, self.given[0]), s.index_select(0, self.given[1])

    def empty_ends(self, like: Float[Tensor, "a *k"]) -> "tuple[Tensor, Tensor, Tensor]":
        """An empty tensor for all arcs, and two to write its :meth:`ends` into: views of it if they are slices."""
        out = torch.empty_like(like)
        if self.sliced:
            return out, *self.ends(out)
        return out, out.new_empty(len(self.src), *out.shape[1:]), out.new_empty(len(self.src), *out.shape[1:])

    def join(self, out: Float[Tensor, "a *k"], first: Float[Tensor, "e *k"], second: Float[Tensor, "e *k"]) -> Tensor:
        """The tensor of :meth:`empty_ends`, with what was written to the ends."""
        if self.given is None:
            return out
        return out.index_copy_(0, self.given[0], first).index_copy_(0, self.given[1], second)

    def product(self, p: Float[Tensor, "e k"], x: Float[Tensor, "n k c"]) -> Float[Tensor, "n k c"]:
        """Symmetric product, ``out[v] = sum over edges {u, v} of p[edge] * x[u]``."""
        return self.kernels.weighted_sum(x, p).add_(self.kernels.weighted_sum(x, p, transposed=True))

    def dots(self, x: Float[Tensor, "n k c"], y: Float[Tensor, "n k c"]) -> Float[Tensor, "e k"]:
        """Inner products ``x_u . y_v + y_u . x_v`` over the channels, both arcs of an edge in one pass."""
        return self.kernels.dots(_side_by_side(x, y), _side_by_side(y, x))


class ArcGraph:
    """A graph as arcs, checked and laid out once, so that no step sorts, checks or rebuilds.

    Values on arcs keep the order of ``src`` and ``dst``; the order of :meth:`from_edges` saves sheaf products their
    permutations. A graph never changes: copies share it. Building takes O(arcs log arcs) time.

    Args:
        src, dst: ends of each arc.
        num_nodes: number of nodes; nodes without arcs are allowed.
        backend: ``"dgl"``, ``"torch"``, or ``"auto"``: dgl where it can serve the device, else torch.
        device: where the graph lives; None leaves it where ``src`` is.
        undirected: require every arc's reverse, once.
        distinct: no arc is listed twice, which is not looked for then.
        weights: kernels that multiply arc weights, ``"dgl"``, ``"torch"`` or ``"auto"``. On a CPU DGL's broadcasting
            kernels were measured 5 to 8 times slower than one MKL product per stalk coordinate, so ``"auto"`` takes
            torch there under either backend, and the backend's own kernels elsewhere.

    Attributes:
        backend: the one taken, ``"dgl"`` or ``"torch"``; ``weights`` likewise.
        reverse: index of each arc's reverse; None if directed.
        in_degrees: number of arcs into each node, int64.

    Raises:
        GraphError: for ends out of range or of other kinds, self loops, duplicates, an arc without its reverse.
        BackendError: for an unknown backend, or dgl on a device or platform that it cannot serve.

    Examples:
        >>> path = ArcGraph.from_edges(torch.tensor([0, 1]), torch.tensor([1, 2]), num_nodes=3)
        >>> path.sum_neighbours(torch.tensor([[1.0], [10.0], [100.0]])).flatten()
        tensor([ 10., 101.,  10.])
    """

    def __init__(
        self,
        src: Int[Tensor, " arcs"],
        dst: Int[Tensor, " arcs"],
        num_nodes: int,
        backend: str = "auto",
        device: Optional[Union[str, torch.device]] = None,
        undirected: bool = True,
        weights: str = "auto",
        distinct: bool = False,
    ):
        check_arcs(src, dst, num_nodes)
        self.device = torch.device(device) if device is not None else src.device
        self.src, self.dst, self.num_nodes = src.to(self.device), dst.to(self.device), num_nodes
        self.num_arcs, self.undirected = len(src), undirected
        if not distinct:
            refuse_duplicates(self.src, self.dst, num_nodes)
        self.reverse = reverse_arcs(self.src, self.dst, num_nodes) if undirected else None
        self.in_degrees = torch.bincount(self.dst, minlength=num_nodes)
        self._asked = (backend, weights)
        self.backend = _choose("message passing backend", backend, self.device)
        by_default = "torch" if self.device.type == "cpu" else self.backend
        self.weights = by_default if weights == "auto" else _choose("arc weight kernel", weights, self.device)

    @classmethod
    def from_edges(
        cls, u: Int[Tensor, " e"], v: Int[Tensor, " e"], num_nodes: int, backend: str = "auto", **options: Any
    ) -> "ArcGraph":
        """Graph of undirected edges, with arc i + e the reverse of arc i: the cheapest order for arc maps.

        The first e arcs are u -> v sorted by destination; list the users as u and the items as v.
        """
        check_arcs(u, v, num_nodes)
        order = torch.argsort(v * num_nodes + u)
        u, v = u[order], v[order]
        return cls(torch.cat([u, v]), torch.cat([v, u]), num_nodes, backend, **options)

    @cached_property
    def kernels(self) -> Kernels:
        """Kernels of the backend on all arcs, laid out on first use."""
        return KERNELS[self.backend](self.src, self.dst, self.num_nodes)

    @cached_property
    def weight_kernels(self) -> Kernels:
        """Kernels for arc weights on all arcs, laid out on first use."""
        if self.weights == self.backend:
            return self.kernels
        return KERNELS[self.weights](self.src, self.dst, self.num_nodes)

    @cached_property
    def pairs(self) -> EdgePairs:
        """The two arcs of each edge, with kernels for symmetric products, laid out on first use."""
        return EdgePairs(self, KERNELS[self.weights])

    def required_reverse(self) -> Int[Tensor, " arcs"]:
        """Index of each arc's reverse.

        Raises:
            GraphError: if the graph is directed.
        """
        if self.reverse is None:
            raise GraphError("no arc of a directed graph has a reverse, and here each needs one; build it undirected")
        return self.reverse

    def to(self, device: Union[str, torch.device]) -> "ArcGraph":
        """This graph on a device, itself if it is there; ``auto`` chooses anew."""
        device = torch.device(device)
        if device == self.device:
            return self
        backend, weights = self._asked
        return ArcGraph(self.src, self.dst, self.num_nodes, backend, device, self.undirected, weights, distinct=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ArcGraph":
        return self

    def __reduce__(self) -> tuple[type["ArcGraph"], tuple[Any, ...]]:
        backend, weights = self._asked
        return ArcGraph, (self.src, self.dst, self.num_nodes, backend, self.device, self.undirected, weights, True)

    def __repr__(self) -> str:
        return f"ArcGraph({self.num_nodes} nodes, {self.num_arcs} arcs, {self.backend} on {self.device})"

    def sum_neighbours(self, x: Float[Tensor, "n *c"]) -> Float[Tensor, "n *c"]:
        """Sum over the arcs into each node, ``out[v] = sum over u -> v of x[u]``; zero without any. Time O(arcs c)."""
        self._check(x, self.num_nodes, "x", "nodes")
        flat = CopySum.apply(_rows(x), self.kernels, self.undirected)
        return flat.view(x.shape)

    def weighted_sum(self, x: Float[Tensor, "n d c"], w: Float[Tensor, "arcs d 1"]) -> Float[Tensor, "n d c"]:
        """Weighted sum over the arcs into each node, ``out[v] = sum over u -> v of w[arc] * x[u]``; gradients to both.

        Time O(arcs d c); memory O(arcs d), never (arcs, d, c).
        """
        self._check(x, self.num_nodes, "x", "nodes")
        self._check(w, self.num_arcs, "w", "arcs")
        if x.ndim != 3 or w.shape[1:] != (x.shape[1], 1):
            raise ShapeError(
                f"arc weights of shape {tuple(w.shape)} do not fit a signal of shape {tuple(x.shape)}; give (arcs, d, "
                "1) and (n, d, c)"
            )
        return WeightedSum.apply(x, w.squeeze(-1), self.weight_kernels)

    def sum_arcs(self, a: Float[Tensor, "arcs *c"]) -> Float[Tensor, "n *c"]:
        """Sum of arc values at their destination; zero at nodes without arcs into them. Time O(arcs c)."""
        self._check(a, self.num_arcs, "a", "arcs")
        return SumArcs.apply(_rows(a), self.kernels, self.dst).view(self.num_nodes, *a.shape[1:])

    def add_ends(self, at_src: Float[Tensor, "n *c"], at_dst: Float[Tensor, "n *c"]) -> Float[Tensor, "arcs *c"]:
        """Sum ``at_src[src] + at_dst[dst]`` on each arc: a linear map of both ends' features, computed at the nodes."""
        self._check_ends(at_src, at_dst)
        summed = AddEnds.apply(_rows(at_src), _rows(at_dst), self.kernels)
        return summed.view(self.num_arcs, *at_src.shape[1:])

    def mul_ends(self, at_src: Float[Tensor, "n *c"], at_dst: Float[Tensor, "n *c"]) -> Float[Tensor, "arcs *c"]:
        """Product ``at_src[src] * at_dst[dst]`` on each arc."""
        self._check_ends(at_src, at_dst)
        product = MulEnds.apply(_rows(at_src), _rows(at_dst), self.kernels, self.src, self.dst)
        return product.view(self.num_arcs, *at_src.shape[1:])

    def softmax_arcs(self, a: Float[Tensor, "arcs *c"]) -> Float[Tensor, "arcs *c"]:
        """Softmax over the arcs into each destination, for each trailing entry apart."""
        self._check(a, self.num_arcs, "a", "arcs")
        return SoftmaxArcs.apply(_rows(a), self.kernels, self.dst).view(a.shape)

    def _check(self, tensor: Tensor, rows: int, name: str, what: str) -> None:
        if tensor.ndim == 0 or len(tensor) != rows:
            raise ShapeError(f"{name} has shape {tuple(tensor.shape)}, the graph has {rows} {what}; give a row each")

    def _check_ends(self, at_src: Tensor, at_dst: Tensor) -> None:
        self._check(at_src, self.num_nodes, "at_src", "nodes")
        if at_src.shape != at_dst.shape:
            raise ShapeError(f"at_src {tuple(at_src.shape)} and at_dst {tuple(at_dst.shape)} differ; give equal shapes")


def _rows(x: Tensor) -> Tensor:
    """Flatten what follows the first dimension, the form every kernel takes."""
    return x.reshape(len(x), math.prod(x.shape[1:])).contiguous()


def _choose(what: str, asked: str, device: torch.device) -> str:
    """Resolve ``auto`` and refuse what cannot serve the device."""
    if asked not in BACKENDS:
        raise BackendError(f"{what} {asked!r} is unknown; choose one of {', '.join(BACKENDS)}")
    if asked == "torch":
        return "torch"
    obstacle = why_dgl_cannot_serve(device)
    if obstacle and asked == "dgl":
        raise BackendError(f"{what} 'dgl' cannot serve {device}: {obstacle}; choose 'torch' or 'auto'")
    if obstacle is None:
        return "dgl"
    _say_once(f"{what}: auto takes torch on {device.type}, with the same results: {obstacle}")
    return "torch"


@cache
def _say_once(line: str) -> None:
    logger.info(line)


def _side_by_side(x: Float[Tensor, "n k c"], y: Float[Tensor, "n k c"]) -> Float[Tensor, "n k 2*c"]:
    """Channels of x, then of y; in memory coordinate by coordinate, as the kernels take them one after the other."""
    return torch.cat([x.transpose(0, 1), y.transpose(0, 1)], dim=2).transpose(0, 1)
