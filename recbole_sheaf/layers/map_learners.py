"""Restriction maps learnt from node features, each starting at the identity.

n nodes, a arcs, d node stalk, k edge stalk, f features. Arc scales are computed at the nodes and meet
on the arcs, so no arc ever holds features; frames belong to nodes. Dropout here is the maps' own, apart from the
signal's.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.layers._arc_autograd import ScaleEnds
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.reflections import Reflections


class ArcScales(nn.Module):
    """Scales on arcs, ``s = 1 + beta tanh(P h_src + Q h_dst + b)``, owned by the arc's destination; 1 at the start.

    Args:
        in_features: f, how many features a node has.
        stalk_dim: k, one scale for each edge-stalk coordinate.
        beta: in (0, 1], how far a scale may leave 1; below 1 no scale can reach 0.
        dropout: of the features.

    Raises:
        ConfigError: if beta is outside (0, 1].

    Examples:
        >>> graph = ArcGraph(torch.tensor([0, 1]), torch.tensor([1, 0]), num_nodes=2, backend="torch")
        >>> scales = ArcScales(in_features=4, stalk_dim=2)
        >>> scales(graph, torch.randn(2, 4)).tolist()  # untrained
        [[1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(self, in_features: int, stalk_dim: int, beta: float = 1.0, dropout: float = 0.0):
        super().__init__()
        _check_beta(beta)
        self.beta, self.dropout = beta, dropout
        self.ends = nn.Linear(in_features, 2 * stalk_dim)
        nn.init.zeros_(self.ends.weight)
        nn.init.zeros_(self.ends.bias)

    def forward(self, graph: ArcGraph, h: Float[Tensor, "n f"]) -> Float[Tensor, "a k"]:
        """Scales of all arcs. Time O(n f k + a k), memory O(a k).

        Raises:
            ShapeError: unless h has a row per node.
        """
        if h.dim() != 2 or h.shape != (graph.num_nodes, self.ends.in_features):
            raise ShapeError(
                f"features have shape {tuple(h.shape)}, expected ({graph.num_nodes}, {self.ends.in_features}): one row "
                "per node"
            )
        at_src, at_dst = self.ends(dropout(h, self.dropout, self.training)).chunk(2, dim=1)
        return ScaleEnds.apply(at_src.contiguous(), at_dst.contiguous(), self.beta, graph.kernels)


class HouseholderFrames(nn.Module):
    """Orthonormal node frames, products of reflections whose axes are read off the features; the identity at the start.

    ``R_v = (I - 2 u_1 u_1^T) (I - 2 u_2 u_2^T)`` with u_i along ``w_i + W_i h_v``. The two reflections are equal at the
    start, and cancel.

    Args:
        in_features: f, how many features a node has.
        stalk_dim: dimension d of the node stalks.
        dropout: of the features.

    Examples:
        >>> x, frames = torch.randn(5, 3, 2), HouseholderFrames(in_features=4, stalk_dim=3)
        >>> bool(torch.allclose(frames(torch.randn(5, 4)).rotate(x), x, atol=1e-6))  # untrained
        True
    """

    def __init__(self, in_features: int, stalk_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stalk_dim, self.dropout = stalk_dim, dropout
        self.axes = nn.Linear(in_features, 2 * stalk_dim)
        nn.init.zeros_(self.axes.weight)
        start = nn.functional.normalize(torch.randn(1, stalk_dim), dim=1)
        with torch.no_grad():
            self.axes.bias.copy_(start.repeat_interleave(2, dim=0).flatten())

    def forward(self, h: Float[Tensor, "n f"]) -> Reflections:
        """Frames as reflections, not multiplied out. Time O(n f d)."""
        axes = self.axes(dropout(h, self.dropout, self.training)).view(len(h), -1, self.stalk_dim)
        return Reflections(nn.functional.normalize(axes, dim=2))


def _check_beta(beta: float) -> None:
    if not 0 < beta <= 1:
        raise ConfigError(f"beta {beta} is outside (0, 1], the share of the learnt maps beside the identity")
