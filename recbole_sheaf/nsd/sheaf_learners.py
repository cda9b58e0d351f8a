"""Sheaf learners: restriction maps from the features at both ends of an edge.

n nodes, a arcs, f features at a node. For an arc (v, w) the learners of Neural Sheaf Diffusion (Bodnar et al. 2022,
https://arxiv.org/abs/2202.04579) are ``sigma(W [x_v | x_w])``. With W = [A | B] that is ``sigma(A x_v + B x_w)``: both
products are taken once at each node and only their sum, as wide as the map, on the arcs, so no (a, 2f) tensor exists.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.sheaf.graph import UndirectedGraph

SHEAF_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "elu": F.elu, "id": lambda maps: maps}


class LocalConcatLearner(nn.Module):
    """``F_{v<e} = sigma(W [x_v | x_w])``.

    Args:
        in_channels: f.
        out_shape: shape of what one arc gets: (d,), (p,) or (d, d).
        activation: ``tanh``, ``elu`` or ``id``.

    Raises:
        ConfigError: if the activation is unknown.
    """

    def __init__(self, in_channels: int, out_shape: tuple[int, ...], activation: str = "tanh"):
        super().__init__()
        self.out_shape = out_shape
        self.activation = sheaf_activation(activation)
        self.linear1 = nn.Linear(2 * in_channels, math.prod(out_shape), bias=False)

    def forward(self, x: Float[Tensor, "n f"], graph: UndirectedGraph) -> Float[Tensor, "a ..."]:
        """One map for each arc. Time O(n f p + a p) for p numbers on an arc, memory O((n + a) p)."""
        of_row, of_col = self.linear1.weight.chunk(2, dim=1)
        maps = combine_ends(x @ of_row.t(), x @ of_col.t(), graph)
        return self.activation(maps).view(-1, *self.out_shape)


class StalkSumLearner(nn.Module):
    """The sparse learner: ``sigma(W s_{v,w})`` with s summed over the stalk, so that W is d times smaller.

    The stalk coordinates of v followed by those of w are 2d rows of h channels; s holds the sum of the even rows and
    the sum of the odd ones. Both sums are taken at the nodes: for odd d, w's even rows count as odd.

    Args:
        stalk_dim: d, fixed channels included.
        hidden_channels: h.
        out_shape, activation: as for :class:`LocalConcatLearner`.
    """

    def __init__(self, stalk_dim: int, hidden_channels: int, out_shape: tuple[int, ...], activation: str = "tanh"):
        super().__init__()
        self.stalk_dim, self.out_shape = stalk_dim, out_shape
        self.activation = sheaf_activation(activation)
        self.linear1 = nn.Linear(2 * hidden_channels, math.prod(out_shape), bias=False)

    def forward(self, x: Float[Tensor, "n f"], graph: UndirectedGraph) -> Float[Tensor, "a ..."]:
        """One map for each arc, from x of shape (n, d h). Time O(n d h + n h p + a p)."""
        rows = x.view(len(x), self.stalk_dim, -1)
        even, odd = rows[:, 0::2].sum(1), rows[:, 1::2].sum(1)
        first, second = (odd, even) if self.stalk_dim % 2 else (even, odd)
        for_even, for_odd = self.linear1.weight.chunk(2, dim=1)
        of_row = even @ for_even.t() + odd @ for_odd.t()
        of_col = first @ for_even.t() + second @ for_odd.t()
        return self.activation(combine_ends(of_row, of_col, graph)).view(-1, *self.out_shape)


class EdgeWeightLearner(nn.Module):
    """Edge weights ``w_e = sigmoid(W [x_v | x_w]) sigmoid(W [x_w | x_v])``, the same on both arcs of an edge."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.linear1 = nn.Linear(2 * in_channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "n f"], graph: UndirectedGraph) -> Float[Tensor, "a 1"]:
        """One weight for each arc."""
        of_row, of_col = self.linear1.weight.chunk(2, dim=1)
        one_way = torch.sigmoid(combine_ends(x @ of_row.t(), x @ of_col.t(), graph))
        if graph.paired:
            v, w = graph.ends(one_way)
            return (v * w).repeat(2, 1)
        return one_way * one_way.index_select(0, graph.reverse)


def combine_ends(
    of_row: Float[Tensor, "n p"], of_col: Float[Tensor, "n p"], graph: UndirectedGraph
) -> Float[Tensor, "a p"]:
    """``of_row_v + of_col_w`` on every arc (v, w).

    Raises:
        ShapeError: if there is not one row for each node.
    """
    if len(of_row) != graph.num_nodes:
        raise ShapeError(f"features of {len(of_row)} nodes arrived, but the graph has {graph.num_nodes}")
    return of_row.index_select(0, graph.row) + of_col.index_select(0, graph.col)


def sheaf_activation(name: str) -> Callable[[Tensor], Tensor]:
    """Elementwise function by name (ConfigError if unknown)."""
    if name not in SHEAF_ACTIVATIONS:
        raise ConfigError(f"sheaf activation {name!r} is unknown; choose one of {', '.join(SHEAF_ACTIVATIONS)}")
    return SHEAF_ACTIVATIONS[name]
