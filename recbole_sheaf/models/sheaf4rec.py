r"""Sheaf4Rec: sheaf neural networks for recommendation (Purificato et al., TORS 2025, https://arxiv.org/abs/2304.09097).

Notation: users and items are the n nodes of the interaction graph, x their signal, f wide. The sheaf has stalks of
dimension 1: at the end v of an edge e to w the restriction map is a number :math:`a_{v,e}`, learnt from the signal at
both ends. L is the sheaf Laplacian, :math:`(L x)_v = \sum_{e = vw} a_{v,e} (a_{v,e} x_v - a_{w,e} x_w)`, and t its
diagonal, :math:`t_v = \sum_e a_{v,e}^2`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.models.multimodal import GraphRecommender
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS


@dataclass(frozen=True)
class Sheaf4RecSettings(ModelSettings):
    """Settings of Sheaf4Rec; every field is a key of ``properties/model/Sheaf4Rec.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=1)
    step_size: float = setting(1.0, above=0, high=1)
    reg_weight: float = setting(0.001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class ScalarSheafLayer(nn.Module):
    r"""A step of diffusion, :math:`x' = x - \eta\, \Delta (W x + b)`, on a sheaf learnt from x itself.

    :math:`\Delta = (t + 1)^{-1/2} L (t + 1)^{-1/2}` and :math:`a_{v,e} = \tanh(p \cdot x_v + q \cdot x_w)`. An arc
    carries the map of its destination.
    """

    def __init__(self, size: int, step_size: float) -> None:
        super().__init__()
        self.step_size = step_size
        self.linear = nn.Linear(size, size)
        self.at_src = nn.Linear(size, 1, bias=False)
        self.at_dst = nn.Linear(size, 1, bias=False)

    def forward(self, graph: ArcGraph, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Time O(n f^2 + arcs f), memory O(n f + arcs)."""
        return x - self.step_size * scalar_delta(graph, self.linear(x), self.maps(graph, x))

    def maps(self, graph: ArcGraph, x: Float[Tensor, "n f"]) -> Float[Tensor, "arcs 1"]:
        """The restriction map of each arc's destination."""
        return torch.tanh(graph.add_ends(self.at_src(x), self.at_dst(x)))


def scalar_delta(graph: ArcGraph, x: Float[Tensor, "n f"], maps: Float[Tensor, "arcs 1"]) -> Float[Tensor, "n f"]:
    r""":math:`(t + 1)^{-1/2} L (t + 1)^{-1/2} x`; the 1 keeps nodes whose maps vanish, or who have no arcs, finite."""
    t = graph.sum_arcs(maps.square())
    root = (t + 1).rsqrt()
    z = root * x
    coupling = (maps * maps.index_select(0, graph.required_reverse())).unsqueeze(2)
    return root * (t * z - graph.weighted_sum(z.unsqueeze(1), coupling).squeeze(1))


class Sheaf4Rec(GraphRecommender):
    """Diffusion of ID embeddings on learnt sheaves, one a layer; a collaborative model that reads no content.

    Users and items are the mean of the signal over the layers, the ID embeddings counted as the first; the loss is BPR
    with an L2 penalty on the batch's ID embeddings. The paper has stalks of any dimension and an activation on the
    flow; we follow the published code, which has neither: maps are numbers, the flow is linear, and 1 is added to the
    Laplacian's diagonal before it normalises.
    """

    settings_class = Sheaf4RecSettings
    splits_batches = True

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = Sheaf4RecSettings.from_recbole(config)
        self.reg_weight, size = settings.reg_weight, settings.embedding_size
        self.id_embedding = nn.Parameter(0.1 * torch.randn(self.n_users + self.n_items, size))
        self.layers = nn.ModuleList(ScalarSheafLayer(size, settings.step_size) for _ in range(settings.n_layers))

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Mean of the signal over the layers."""
        x = total = self.id_embedding
        for layer in self.layers:
            x = layer(self.graph, x)
            total = total + x
        mean = total / (len(self.layers) + 1)
        return mean[: self.n_users], mean[self.n_users :]

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss and the penalty."""
        triples = self.triples(interaction)
        loss = self.ranking_loss(*self.forward(), triples)
        return loss + self.penalty(self.reg_weight, triples, self.id_embedding)
