r"""LGMRec: Local and Global Graph Learning for Multimodal Recommendation (Guo et al., AAAI 2024,
https://arxiv.org/abs/2312.16400).

Notation: users and items are the n nodes, f is the embedding size, M the number of modalities, K the number of
hyperedges. *Local* embeddings come from the user-item graph: LightGCN on ID embeddings, beside content propagated on
its own. *Global* ones come from hypergraphs, one per modality, whose K hyperedges are attributes that content decides:
:math:`H_m` holds how much each node belongs to each of them.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.contrastive import info_nce
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.models.multimodal import MultimodalRecommender, refuse_no_modality, xavier
from recbole_sheaf.settings.config import TEMPERATURES, ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS


@dataclass(frozen=True)
class LGMRecSettings(ModelSettings):
    """Settings of LGMRec; every field is a key of ``properties/model/LGMRec.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=0)
    modality_layers: int = setting(2, low=0)
    n_hyperedges: int = setting(4, low=2)
    hyper_layers: int = setting(1, low=1)
    hyper_dropout: float = setting(0.5, low=0, high=1)
    global_weight: float = setting(0.3, above=0)
    temperature: float = setting(0.2, **TEMPERATURES)
    contrast_weight: float = setting(0.0001, low=0)
    reg_weight: float = setting(0.0001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class ModalityHypergraph(nn.Module):
    r"""One modality's hypergraph: its memberships, and messages along its hyperedges.

    An item's logits are its projected content, a user's the sum over their items; memberships are a softmax of logits
    plus Gumbel noise over ``temperature``, in evaluation of the logits alone. An item without a row belongs to none.
    """

    def __init__(self, features: ModalityFeatures, settings: LGMRecSettings) -> None:
        super().__init__()
        self.settings = settings
        self.attributes = ModalityProjection(features.matrix, features.present, settings.n_hyperedges)

    def memberships(
        self, graph: ArcGraph, n_users: int
    ) -> tuple[Float[Tensor, "n_users K"], Float[Tensor, "n_items K"]]:
        """How much users and items belong to each hyperedge; rows sum to 1, or to 0 for an item without a row."""
        items = self.attributes()
        users = graph.sum_neighbours(torch.cat([items.new_zeros(n_users, items.shape[1]), items]))[:n_users]
        return self._softmax(users), self._softmax(items) * self.attributes.present

    def forward(self, graph: ArcGraph, x: Float[Tensor, "n_items f"], n_users: int) -> Float[Tensor, "n f"]:
        r"""Messages :math:`H_u H_i^T x` of the last layer to users and :math:`H_i H_i^T x` to items; O(n K f)."""
        users, items = (
            dropout(h, self.settings.hyper_dropout, self.training) for h in self.memberships(graph, n_users)
        )
        for _ in range(self.settings.hyper_layers):
            edges = items.T @ x
            x = items @ edges
        return torch.cat([users @ edges, x])

    def _softmax(self, logits: Float[Tensor, "r K"]) -> Float[Tensor, "r K"]:
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        return torch.softmax(logits / self.settings.temperature, dim=1)


class LGMRec(MultimodalRecommender):
    r"""Local embeddings plus ``global_weight`` times global ones of unit length; BPR, a contrast and an L2 penalty.

    Local are the mean over LightGCN's layers on ID embeddings and, of unit length, each modality's last layer; there a
    user starts as the mean of their items. Global are the sum over modalities of the hypergraphs' messages, which
    carry the items' collaborative embeddings. The contrast pulls a node's messages in each two modalities together;
    with one modality there is none.

    We follow the published code in Gumbel noise on the memberships and in their dropout. We depart from it in four
    points: evaluation draws no noise, so that scores are the same twice; negatives of the contrast are the batch's
    users and items, each once, instead of all; features enter at unit length with a bias beside them; the penalty is
    half the squared norm of the batch's ID embeddings. A missing row is zeros in the local part, and no member of that
    modality's hyperedges. Under ``loss: softmax`` the contrast is that of the batch's users and of their items, 4,096
    of them where there are more.
    """

    settings_class = LGMRecSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = LGMRecSettings.from_recbole(config)
        refuse_no_modality(self)
        self.settings, size = settings, settings.embedding_size
        self.id_embedding = xavier(self.n_users + self.n_items, size)
        self.propagate = LightPropagation(self.graph, settings.n_layers)
        self.projections = nn.ModuleList(
            ModalityProjection(features.matrix, features.present, size) for features in self.modalities.values()
        )
        self.hypergraphs = nn.ModuleList(
            ModalityHypergraph(features, settings) for features in self.modalities.values()
        )

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Local plus global embeddings."""
        x, _ = self.local_and_global()
        return x[: self.n_users], x[self.n_users :]

    def local_and_global(self) -> tuple[Float[Tensor, "n f"], list[Float[Tensor, "n f"]]]:
        """What ranks, and each modality's messages along hyperedges."""
        collaborative = self.propagate(self.id_embedding)
        items = collaborative[self.n_users :]
        messages = [hypergraph(self.graph, items, self.n_users) for hypergraph in self.hypergraphs]
        local = collaborative + self.modality_embeddings()
        return local + self.settings.global_weight * normalize(sum(messages)), messages

    def modality_embeddings(self) -> Float[Tensor, "n f"]:
        """Content propagated on the user-item graph, the sum over modalities of its last layer at unit length."""
        items = torch.cat([project() for project in self.projections], dim=1)
        nodes = torch.cat([items.new_zeros(self.n_users, items.shape[1]), items])
        degrees = self.graph.in_degrees[: self.n_users].clamp(min=1).unsqueeze(1)
        x = torch.cat([self.graph.sum_neighbours(nodes)[: self.n_users] / degrees, items])
        for _ in range(self.settings.modality_layers):
            x = self.propagate.step(x)
        return normalize(x.unflatten(1, (len(self.projections), -1)), dim=2).sum(dim=1)

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss, the contrast of the modalities' messages and the penalty."""
        users, chosen, _ = triples = self.triples(interaction)
        x, messages = self.local_and_global()
        loss = self.ranking_loss(x[: self.n_users], x[self.n_users :], triples)
        loss = loss + self.penalty(self.settings.reg_weight, triples, self.id_embedding)
        for batch in (self.contrasted(users), self.n_users + self.contrasted(chosen)):
            loss = loss + self.settings.contrast_weight * self.contrast([embedding(batch, y) for y in messages])
        return loss

    def contrast(self, messages: list[Float[Tensor, "b f"]]) -> Float[Tensor, ""]:
        """InfoNCE of the same nodes' messages, summed over the pairs of modalities; 0 with one modality."""
        pairs = (info_nce(one, other, self.settings.temperature) for one, other in combinations(messages, 2))
        return sum(pairs, messages[0].new_zeros(()))
