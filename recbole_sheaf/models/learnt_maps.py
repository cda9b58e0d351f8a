"""The restriction maps of a recommender's sheaf, learnt from node content and starting at the identity."""

from typing import Union

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.layers.map_learners import ArcScales, HouseholderFrames
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.reflections import Reflections
from recbole_sheaf.layers.transports import Transports
from recbole_sheaf.sheaf.orthogonal import orthogonal_maps
from recbole_sheaf.sheaf.restriction_maps import orthonormal_columns


class WideFrames(nn.Module):
    r"""Node maps into an edge stalk wider than the node stalk, :math:`U_v = [I; \beta B(h_v)]` made orthonormal.

    The transport :math:`(I + B_v^T B_v)^{-1/2} (I + B_v^T B_w) (I + B_w^T B_w)^{-1/2}` (beta left out) is the identity
    at B = 0 and otherwise a contraction that depends on both ends, like attention through a kernel, at no cost on arcs.
    """

    def __init__(self, in_features: int, stalk_dim: int, extra_dim: int, beta: float, dropout: float) -> None:
        super().__init__()
        self.stalk_dim, self.beta, self.dropout = stalk_dim, beta, nn.Dropout(dropout)
        self.block = nn.Linear(in_features, extra_dim * stalk_dim, bias=False)
        nn.init.normal_(self.block.weight, std=0.1 / in_features**0.5)  # at exactly zero the gradient vanishes

    def forward(self, h: Float[Tensor, "n p"]) -> Float[Tensor, "n k D"]:
        """Frames with orthonormal columns, k = D + extra. Time O(n (p k D + D^3))."""
        block = self.beta * self.block(self.dropout(h)).view(len(h), -1, self.stalk_dim)
        top = torch.eye(self.stalk_dim, dtype=h.dtype, device=h.device).expand(len(h), -1, -1)
        return orthonormal_columns(torch.cat([top, block], dim=1))


class ArcMatrices(nn.Module):
    r"""A d x d map on every arc from both of its ends, the identity at the start.

    General maps are :math:`I + \beta \tanh(P h_{src} + Q h_{dst})`; orthogonal ones are the Cayley transform of such
    numbers, ``O(d)`` maps at a cost of O(d^3) on every arc. An arc carries its destination's map.
    """

    def __init__(self, in_features: int, stalk_dim: int, orthogonal: bool, beta: float, dropout: float) -> None:
        super().__init__()
        self.stalk_dim, self.orthogonal, self.beta = stalk_dim, orthogonal, beta
        self.dropout = nn.Dropout(dropout)
        self.num_parameters = stalk_dim * (stalk_dim + 1) // 2 if orthogonal else stalk_dim**2
        self.ends = nn.Linear(in_features, 2 * self.num_parameters, bias=False)
        nn.init.zeros_(self.ends.weight)

    def forward(self, graph: ArcGraph, h: Float[Tensor, "n p"]) -> Transports:
        """What steps need of the maps. Time O(n p D^2 + a D^3), memory O(a D^2)."""
        at_src, at_dst = self.ends(self.dropout(h)).chunk(2, dim=1)
        return Transports.learnt(graph, at_src, at_dst, self.maps, self.orthogonal)

    def maps(self, numbers: Float[Tensor, "some q"]) -> Float[Tensor, "some D D"]:
        """The map of an arc, of what its ends say together."""
        numbers = self.beta * torch.tanh(numbers)
        if self.orthogonal:
            return orthogonal_maps(numbers, self.stalk_dim, "cayley")
        eye = torch.eye(self.stalk_dim, dtype=numbers.dtype, device=numbers.device)
        return eye + numbers.view(-1, self.stalk_dim, self.stalk_dim)


class LearntMaps(nn.Module):
    """Maps for the steps of a :class:`~recbole_sheaf.layers.sheaf_conv.SheafConv`, and the frames in which it steps.

    Factored maps are diagonal in orthonormal frames that belong to the nodes: a signal that is rotated into them once
    and back once needs no rotation at the steps between.

    Args:
        family: ``identity``, ``diagonal`` (scales on the arcs), ``orthogonal`` or ``general`` (matrices on the arcs),
            ``factored`` (scales on the arcs in each node's own orthonormal frame) or ``wide`` (node frames only).
        in_features: p, numbers from which a node's maps are learnt.
        stalk_size: D, dimension of a node's stalk.
        beta: how far the maps may leave the identity, in [0, 1].
        dropout: on the content coordinates.

    Attributes:
        family: of the steps.
    """

    def __init__(self, family: str, in_features: int, stalk_size: int, beta: float, dropout: float) -> None:
        super().__init__()
        family = family if beta > 0 else "identity"
        matrices, orthogonal = family in ("orthogonal", "general"), family == "orthogonal"
        scaled, framed = family in ("diagonal", "factored"), family == "factored"
        self.stalk_size, self.family = stalk_size, "diagonal" if framed else family
        self.matrices = ArcMatrices(in_features, stalk_size, orthogonal, beta, dropout) if matrices else None
        self.scales = ArcScales(in_features, stalk_size, beta, dropout) if scaled else None
        self.frames = HouseholderFrames(in_features, stalk_size, dropout=dropout) if framed else None
        self.wide = WideFrames(in_features, stalk_size, stalk_size, beta, dropout) if family == "wide" else None

    def forward(
        self, graph: ArcGraph, h: Float[Tensor, "n p"]
    ) -> tuple[tuple[Union[Tensor, Transports], ...], Reflections]:
        """What the steps take after the signal, and the frames; frames of no reflections where there are none."""
        on_arcs: list[Union[Tensor, Transports]] = [
            learner(graph, h) for learner in (self.matrices, self.scales) if learner is not None
        ]
        at_nodes = [] if self.wide is None else [self.wide(h)]
        none = Reflections(h.new_zeros(len(h), 0, self.stalk_size))
        return (*on_arcs, *at_nodes), none if self.frames is None else self.frames(h)

    def distance(self) -> Float[Tensor, ""]:
        """Sum of the squared weights that carry the maps away from the identity."""
        weights = [layer.weight for layer in self.modules() if isinstance(layer, nn.Linear)]
        return sum((weight.square().sum() for weight in weights), torch.zeros(()))
