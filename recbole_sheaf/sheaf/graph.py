"""Undirected graphs as arc lists, checked once where they enter.

n nodes, e undirected edges, a = 2e arcs. Every edge {v, w} is two arcs, (row, col) = (v, w) and (w, v), places in a
matrix: along (v, w) node v receives the message of w, so that as a message the arc runs from col to row. What belongs
to an arc, a restriction map above all, belongs to its *row* node, where that message arrives; ``reverse`` leads to what
the other end owns.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from recbole_sheaf.errors import GraphError, ShapeError


@dataclass(frozen=True)
class UndirectedGraph:
    """An undirected simple graph with both directions of every edge listed; made by :func:`undirected_graph`.

    Attributes:
        num_nodes: n, isolated nodes included.
        arcs: (row, col) of every arc, in the caller's order.
        reverse: position of the arc (col, row) for every arc (row, col).
        upper: positions of the arcs with row < col, one for each undirected edge, in increasing order.
        paired: whether those arcs come first and their reverses after them in the same order.

    Examples:
        >>> graph = undirected_graph(torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2]]), num_nodes=3)
        >>> graph.degree.tolist(), graph.reverse.tolist()
        ([1, 2, 1], [1, 0, 3, 2])
    """

    num_nodes: int
    arcs: Int[Tensor, "2 a"]
    reverse: Int[Tensor, " a"]
    upper: Int[Tensor, " e"]
    paired: bool = False

    @property
    def row(self) -> Int[Tensor, " a"]:
        """The node that owns each arc: the destination of its message."""
        return self.arcs[0]

    @property
    def col(self) -> Int[Tensor, " a"]:
        """The node at the other end of each arc: the source of its message."""
        return self.arcs[1]

    @property
    def degree(self) -> Int[Tensor, " n"]:
        """Number of edges at each node."""
        return torch.bincount(self.row, minlength=self.num_nodes)

    def ends(self, values: Shaped[Tensor, "a ..."]) -> tuple[Shaped[Tensor, "e ..."], Shaped[Tensor, "e ..."]]:
        """Values of the arcs (v, w) with v < w, and those of their reverses; two views if the arcs are paired."""
        if self.paired:
            half = len(self.upper)
            return values[:half], values[half:]
        return values.index_select(0, self.upper), values.index_select(0, self.reverse[self.upper])


def undirected_graph(edge_index: Int[Tensor, "..."], num_nodes: int) -> UndirectedGraph:
    """Graph of an arc list, in which every arc is paired with its reverse.

    Args:
        edge_index: (row, col) of every arc, shape (2, a), each undirected edge in both directions, in any order.
        num_nodes: n; nodes that no arc touches are isolated.

    Raises:
        ShapeError: if ``edge_index`` is not of shape (2, a).
        GraphError: if an arc leaves the node range, is a self-loop, is listed twice or lacks its reverse.

    Time O(a log a), memory O(a).

    Examples:
        >>> undirected_graph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        Traceback (most recent call last):
        recbole_sheaf.errors.GraphError: 2 of 2 arcs lack their reverse (first: (0, 1)); list every edge in both ...
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ShapeError(f"edge_index has shape {tuple(edge_index.shape)}, expected (2, arcs); transpose an edge list")
    row, col = edge_index
    _check_range(row, col, num_nodes)
    key, order = torch.sort(row * num_nodes + col)
    _check_repeats(key, num_nodes)
    reverse_key = col * num_nodes + row
    position = torch.searchsorted(key, reverse_key).clamp(max=max(len(key) - 1, 0))
    _check_reverse(key[position] != reverse_key, row, col)
    reverse, upper = order[position], (row < col).nonzero().flatten()
    return UndirectedGraph(num_nodes, edge_index, reverse, upper, _are_paired(upper, reverse))


def pair_arcs(graph: UndirectedGraph) -> UndirectedGraph:
    """The same graph with the arcs row < col first and their reverses after them: the ends of edges become slices.

    Examples:
        >>> graph = undirected_graph(torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2]]), num_nodes=3)
        >>> graph.paired, pair_arcs(graph).arcs.tolist()
        (False, [[0, 1, 1, 2], [1, 2, 0, 1]])
    """
    order = torch.cat([graph.upper, graph.reverse[graph.upper]])
    return undirected_graph(graph.arcs[:, order], graph.num_nodes)


def both_directions(edges: Int[Tensor, "e 2"]) -> Int[Tensor, "2 a"]:
    """Arc list of undirected edges that are listed once each, the reversed arcs after the given ones.

    Examples:
        >>> both_directions(torch.tensor([[0, 1], [1, 2]])).tolist()
        [[0, 1, 1, 2], [1, 2, 0, 1]]
    """
    return torch.cat([edges, edges.flip(1)]).t().contiguous()


def _are_paired(upper: Int[Tensor, " e"], reverse: Int[Tensor, " a"]) -> bool:
    half = len(upper)
    first = torch.arange(half, device=upper.device)
    return torch.equal(upper, first) and torch.equal(reverse[:half], first + half)


def _check_range(row: Int[Tensor, " a"], col: Int[Tensor, " a"], num_nodes: int) -> None:
    outside = (torch.minimum(row, col) < 0) | (torch.maximum(row, col) >= num_nodes)
    if outside.any():
        k = int(outside.nonzero()[0])
        raise GraphError(
            f"arc {k} joins nodes {int(row[k])} and {int(col[k])}, but the graph has {num_nodes} nodes "
            f"(0 to {num_nodes - 1}); renumber the nodes or raise num_nodes"
        )
    if (row == col).any():
        k = int((row == col).nonzero()[0])
        raise GraphError(f"arc {k} is a self-loop at node {int(row[k])}; a sheaf edge joins two nodes, drop self-loops")


def _check_repeats(sorted_key: Int[Tensor, " a"], num_nodes: int) -> None:
    repeated = sorted_key[1:] == sorted_key[:-1]
    if repeated.any():
        key = int(sorted_key[1:][repeated][0])
        raise GraphError(f"arc ({key // num_nodes}, {key % num_nodes}) is listed more than once; drop repeated arcs")


def _check_reverse(missing: Tensor, row: Int[Tensor, " a"], col: Int[Tensor, " a"]) -> None:
    if missing.any():
        k = int(missing.nonzero()[0])
        raise GraphError(
            f"{int(missing.sum())} of {len(row)} arcs lack their reverse (first: ({int(row[k])}, {int(col[k])})); "
            "list every edge in both directions, for instance with both_directions"
        )
