r"""FREEDOM: freezing and denoising graph structures (Zhou & Shen, ACM MM 2023, https://arxiv.org/abs/2211.06924).

Notation: users and items are the n nodes; x are their ID embeddings, f wide. A is the user-item graph and
:math:`A_\rho` what is left of it in an epoch; S is the *frozen* item graph, :math:`S = \sum_m \alpha_m S_m`, where
:math:`S_m` averages over an item's k most similar in modality m.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import embedding, logsigmoid

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.edge_dropout import keep_edges_by_degree
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.item_graph import knn_graph, modality_shares
from recbole_sheaf.models.multimodal import MultimodalRecommender, Triples, refuse_no_modality, xavier
from recbole_sheaf.settings.config import ModelSettings, cache_folder
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS


@dataclass(frozen=True)
class FREEDOMSettings(ModelSettings):
    """Settings of FREEDOM; every field is a key of ``properties/model/FREEDOM.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=0)
    item_graph_neighbours: int = setting(10, low=2)
    item_graph_layers: int = setting(1, low=1)
    first_modality_weight: float = setting(1.0, above=0)
    edge_dropout: float = setting(0.8, low=0, high=0.99)
    modality_loss_weight: float = setting(0.001, low=0)
    reg_weight: float = setting(0.0, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class FrozenItemGraph(nn.Module):
    r"""``L`` rounds of :math:`y \leftarrow \sum_m \alpha_m S_m y`, nothing trained.

    Row i of :math:`S_m` holds 1/k at i itself and at the k - 1 items nearest to it. The weights :math:`\alpha` are
    shared out among the modalities in which an item has a row; an item without any becomes zeros.
    """

    share: Tensor

    def __init__(
        self,
        modalities: Mapping[str, ModalityFeatures],
        weights: Float[Tensor, " M"],
        neighbours: int,
        num_layers: int,
        cache_dir: Path,
        backend: str = "auto",
        device: Optional[torch.device] = None,
    ) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.graphs = [knn_graph(each, neighbours - 1, cache_dir, backend, device) for each in modalities.values()]
        has = torch.stack([features.present for features in modalities.values()])
        alpha = modality_shares(weights.log(), has).to(self.graphs[0].device)
        counts = torch.stack([graph.in_degrees + 1 for graph in self.graphs])
        self.register_buffer("share", (alpha / counts).unsqueeze(2), persistent=False)

    def forward(self, y: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Time O(M k n_items f) per round."""
        for _ in range(self.num_layers):
            parts = (share * (y + graph.sum_neighbours(y)) for share, graph in zip(self.share, self.graphs))
            y = sum(parts, y.new_zeros(()))
        return y


class FREEDOM(MultimodalRecommender):
    r"""LightGCN on a graph that is denoised anew in each epoch, plus ID embeddings averaged over a frozen item graph.

    The loss is BPR plus ``modality_loss_weight`` times a BPR for each modality, in which the projected content stands
    for the item. Each epoch keeps a share of the interactions, drawn by the degrees of their ends; ranking takes them
    all. Paper and published code agree on the graphs: an item is among its own k most similar, similarities are cut to
    0 and 1, and every weight is 1/k. Where the code departs we follow the paper: content stays as given (the code
    trains the feature vectors themselves), at unit length. The paper's weight of one modality in two is here the first
    modality's against 1 for each other. An L2 penalty, ``reg_weight``, is ours and off by default. An item without a
    row in a modality is not in that modality's graph, and pairs with it are left out of that modality's BPR. Under
    ``loss: softmax`` each modality has a softmax of its own, of the users with the projected content of its items.
    """

    settings_class = FREEDOMSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = FREEDOMSettings.from_recbole(config)
        refuse_no_modality(self)
        self.modality_loss_weight, self.reg_weight = settings.modality_loss_weight, settings.reg_weight
        self.n_layers, self.keep = settings.n_layers, 1 - settings.edge_dropout
        size = settings.embedding_size
        self.id_embedding = xavier(self.n_users + self.n_items, size)
        self.projections: ModuleList[ModalityProjection] = ModuleList(
            ModalityProjection(features.matrix, features.present, size) for features in self.modalities.values()
        )
        self.item_graph = self._build_item_graph(config, settings)
        self.propagate = LightPropagation(self.graph, self.n_layers)
        self._denoised: Optional[LightPropagation] = None

    def _build_item_graph(self, config: Any, settings: FREEDOMSettings) -> FrozenItemGraph:
        weights = torch.ones(len(self.modalities))
        weights[0] = settings.first_modality_weight
        return FrozenItemGraph(
            self.modalities,
            weights,
            settings.item_graph_neighbours,
            settings.item_graph_layers,
            cache_folder(config),
            settings.message_passing,
            config["device"],
        )

    def train(self, mode: bool = True) -> "FREEDOM":
        """Switch between training and evaluation; the next batch of training draws the graph of a new epoch."""
        self._denoised = None
        return super().train(mode)

    def propagation(self) -> LightPropagation:
        """On all interactions for ranking, in training on those kept for this epoch."""
        if not self.training or self.keep == 1:
            return self.propagate
        if self._denoised is None:
            self._denoised = LightPropagation(self.denoised_graph(), self.n_layers)
        return self._denoised

    def denoised_graph(self) -> ArcGraph:
        """A draw of interactions, both arcs of each, with degrees of its own; time O(arcs log arcs)."""
        half = self.graph.num_arcs // 2  # the second half are the reverses
        u, v = self.graph.src[:half], self.graph.dst[:half]
        kept = keep_edges_by_degree(u, v, self.graph.in_degrees, self.keep)
        return ArcGraph.from_edges(u[kept], v[kept], self.graph.num_nodes, backend=self.graph.backend)

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Users by their interactions, items by theirs plus their like in content."""
        x = self.propagation()(self.id_embedding)
        return x[: self.n_users], x[self.n_users :] + self.item_graph(self.id_embedding[self.n_users :])

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss, one for each modality, and the penalty."""
        triples = self.triples(interaction)
        user_all, item_all = self.forward()
        loss = self.ranking_loss(user_all, item_all, triples)
        for project in self.projections:
            loss = loss + self.modality_loss_weight * self.content_loss(project, user_all, triples)
        if not self.reg_weight:
            return loss
        return loss + self.penalty(self.reg_weight, triples, self.id_embedding)

    def content_loss(
        self, project: ModalityProjection, user_all: Float[Tensor, "n_users f"], triples: Triples
    ) -> Float[Tensor, ""]:
        """The ranking loss with an item's projected content in its place; pairs with a missing row cost 0."""
        if self.softmax is None:
            return modality_loss(project, user_all, triples)
        users, chosen, sampled = triples
        present = project.present.squeeze(1)
        kept = present[chosen]
        absent = torch.zeros_like(present, dtype=user_all.dtype).masked_fill(~present, -torch.inf).unsqueeze(0)
        mean = self.ranking_loss(user_all, project(), (users[kept], chosen[kept], sampled), absent)
        return mean * kept.sum() / max(len(kept), 1)


def modality_loss(
    project: ModalityProjection, user_all: Float[Tensor, "n_users f"], triples: Triples
) -> Float[Tensor, ""]:
    """BPR with an item's projected content in its place; pairs with a missing row cost 0."""
    users, chosen, sampled = triples
    items, u = project(), embedding(users, user_all)
    gap = (u * (embedding(chosen, items) - embedding(sampled, items))).sum(dim=1)
    both = (project.present[chosen] & project.present[sampled]).squeeze(1)
    return -(logsigmoid(gap) * both).mean()
