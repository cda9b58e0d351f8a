r"""MGCN: Multi-View Graph Convolutional Network (Yu et al., ACM MM 2023, https://doi.org/10.1145/3581783.3613915).

Notation: users and items are the n nodes, f is the embedding size, M the number of modalities. The behaviour view is
LightGCN on ID embeddings. A modality's view starts from ID embeddings *purified* by content,
:math:`id_i \odot \sigma(W_2 (W_1 c_i + b_1) + b_2)`, so that only the part of the content that behaviour speaks of
passes, and is propagated among similar items. A fuser takes what the views share and what each has of its own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.models.contrasted_views import ContrastedViews
from recbole_sheaf.models.item_graph import SimilarityGraph
from recbole_sheaf.models.multimodal import refuse_no_modality, xavier
from recbole_sheaf.settings.config import TEMPERATURES, ModelSettings, cache_folder
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS


@dataclass(frozen=True)
class MGCNSettings(ModelSettings):
    """Settings of MGCN; every field is a key of ``properties/model/MGCN.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=0)
    item_graph_neighbours: int = setting(10, low=1)
    item_graph_layers: int = setting(1, low=1)
    contrast_weight: float = setting(0.01, low=0)
    temperature: float = setting(0.2, **TEMPERATURES)
    reg_weight: float = setting(0.0001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class PurifiedView(nn.Module):
    """One modality's view of the items: ID embeddings purified by content, propagated among similar items."""

    def __init__(self, features: ModalityFeatures, size: int, similar: SimilarityGraph, num_layers: int) -> None:
        super().__init__()
        self.project = ModalityProjection(features.matrix, features.present, size)
        self.gate = nn.Linear(size, size)
        nn.init.xavier_uniform_(self.gate.weight)
        self.similar, self.num_layers = similar, num_layers

    def purified(self, id_embedding: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        r""":math:`id_i \odot \sigma(W_2 c_i + b_2)` of the projected content c."""
        return id_embedding * torch.sigmoid(self.gate(self.project()))

    def forward(self, id_embedding: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        x = self.purified(id_embedding)
        for _ in range(self.num_layers):
            x = self.similar(x)
        return x


class BehaviourAwareFuser(nn.Module):
    r"""What M views share, and what each has of its own as far as behaviour asks for it.

    :math:`e_* = \sum_m a_m e_m` with :math:`a = \mathrm{softmax}_m\, q^T \tanh(W_3 e_m + b_3)` over the views that a
    node has, and :math:`\frac{1}{M + 1} (e_* + \sum_m \sigma(W_m x + b_m) \odot (e_m - e_*))` with x the behaviour
    view. A single view shares nothing with others: all of it is its own, :math:`\sigma(W_1 x + b_1) \odot e_1`.
    """

    def __init__(self, size: int, num_views: int) -> None:
        super().__init__()
        self.asks = nn.ModuleList(nn.Linear(size, size) for _ in range(num_views))
        self.attend = nn.Linear(size, size) if num_views > 1 else None
        self.query = nn.Linear(size, 1, bias=False) if num_views > 1 else None

    def forward(
        self, behaviour: Float[Tensor, "n f"], views: Float[Tensor, "n M f"], has: Bool[Tensor, "n M"]
    ) -> Float[Tensor, "n f"]:
        asked = torch.sigmoid(torch.stack([ask(behaviour) for ask in self.asks], dim=1))
        if self.attend is None:
            return (asked * views).squeeze(1)
        shared = (self.attention(views, has).unsqueeze(2) * views).sum(dim=1)
        own = (views - shared.unsqueeze(1)) * has.unsqueeze(2)
        return (shared + (asked * own).sum(dim=1)) / (len(self.asks) + 1)

    def attention(self, views: Float[Tensor, "n M f"], has: Bool[Tensor, "n M"]) -> Float[Tensor, "n M"]:
        """Shares of the views, summing to 1 over those a node has; zeros for a node that has none."""
        if self.attend is None or self.query is None:
            return has.to(views.dtype)
        logits = self.query(torch.tanh(self.attend(views))).squeeze(2)
        return torch.softmax(logits.masked_fill(~has, torch.finfo(logits.dtype).min), dim=1) * has


class MGCN(ContrastedViews):
    """Behaviour view plus fused modality views; BPR, a contrast of the two, and an L2 penalty on the batch's sums.

    Where paper and published code differ we follow the code: temperature 0.2 (0.5 is declared), cosine-weighted
    neighbours with the item itself among them, and a fused view divided by M + 1. We depart from both in three points:
    content stays as given (the code trains on the feature vectors themselves), the item itself comes on top of its
    ``item_graph_neighbours`` nearest, and a user or item that is in a batch twice is contrasted once. An item without
    a row in a modality lacks that view; a user lacks it if all their items do. Under ``loss: softmax`` the contrast is
    that of the batch's users and of their items, 4,096 of them where there are more.
    """

    settings_class = MGCNSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = MGCNSettings.from_recbole(config)
        refuse_no_modality(self)
        self.contrast_weight, self.temperature = settings.contrast_weight, settings.temperature
        self.reg_weight, size = settings.reg_weight, settings.embedding_size
        self.id_embedding = xavier(self.n_users + self.n_items, size)
        self.propagate = LightPropagation(self.graph, settings.n_layers)
        self.views = nn.ModuleList(self._view(config, settings, features) for features in self.modalities.values())
        self.fuse = BehaviourAwareFuser(size, len(self.views))
        self.register_buffer("has", self._has_view(), persistent=False)

    def _view(self, config: Any, settings: MGCNSettings, features: ModalityFeatures) -> PurifiedView:
        similar = SimilarityGraph(
            features,
            settings.item_graph_neighbours,
            cache_folder(config),
            settings.message_passing,
            config["device"],
        )
        return PurifiedView(features, settings.embedding_size, similar, settings.item_graph_layers)

    def _has_view(self) -> Bool[Tensor, "n M"]:
        items = torch.stack([features.present for features in self.modalities.values()], dim=1).to(self.graph.device)
        nodes = torch.cat([items.new_zeros(self.n_users, items.shape[1]), items])
        users = self.graph.sum_neighbours(nodes.float())[: self.n_users] > 0
        return torch.cat([users, items])

    def both_views(self) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n f"]]:
        """The behaviour view, and the modality views fused."""
        behaviour = self.propagate(self.id_embedding)
        id_embedding = self.id_embedding[self.n_users :]
        views = self.with_users(torch.cat([view(id_embedding) for view in self.views], dim=1))
        return behaviour, self.fuse(behaviour, views.unflatten(1, (len(self.views), -1)), self.has)
