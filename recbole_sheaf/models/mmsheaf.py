"""MMSheaf: multimodal sheaf diffusion on the user-item graph.

A node's stalk is a direct sum, F(v) = R^d (identity) + R^d (modality 1) + ... + R^d (modality M), of c channels. All
of them restrict into one edge stalk, where the modalities meet, by maps learnt from content and kept near the
identity; with identity maps the model is a multimodal LightGCN. Diffusion is that of Neural Sheaf Diffusion (Bodnar
et al. 2022, https://arxiv.org/abs/2202.04579) without its weights and nonlinearity, as LightGCN is a GCN without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from recbole_sheaf.config import BACKENDS, RESTRICTION_MAPS, ModelSettings, setting
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.sheaf_conv import SheafConv
from recbole_sheaf.models.item_graph import ItemGraph
from recbole_sheaf.models.learnt_maps import LearntMaps
from recbole_sheaf.models.multimodal import MultimodalRecommender
from recbole_sheaf.models.node_content import node_content
from recbole_sheaf.registration import cache_folder


@dataclass(frozen=True)
class MMSheafSettings(ModelSettings):
    """Settings of MMSheaf; every field is a key of ``properties/model/MMSheaf.yaml``."""

    embedding_size: int = setting(64, low=1)
    stalk_dim: int = setting(4, low=1, high=64)
    n_layers: int = setting(2, low=0)
    restriction_map: str = setting("factored", choices=RESTRICTION_MAPS)
    use_id_stalk: bool = setting(True)
    step_size: float = setting(1.0, above=0, high=1)
    map_mix: float = setting(0.5, low=0, high=1)
    map_source: str = setting("content", choices=("content", "signal"))
    map_features: int = setting(16, low=1)
    map_dropout: float = setting(0.2, low=0, high=1)
    map_weight_decay: float = setting(0.001, low=0)
    item_graph_neighbours: int = setting(10, low=0)
    item_graph_layers: int = setting(1, low=0)
    feature_dropout: float = setting(0.1, low=0, high=1)
    reg_weight: float = setting(0.001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_size % self.stalk_dim:
            raise ConfigError(
                f"embedding_size {self.embedding_size} is no multiple of stalk_dim {self.stalk_dim}; "
                f"choose stalk_dim among the divisors of embedding_size"
            )


class StalkEmbeddings(nn.Module):
    """What the nodes hold before diffusion, x of shape (n, D, c) with D = stalk_dim times the number of stalks.

    The identity stalk is free for users and items. A modality's stalk is a free preference for users and a projection
    of the content for items; an item without a row starts with zeros there and receives what its users hold.
    """

    def __init__(
        self, modalities: Mapping[str, ModalityFeatures], n_users: int, n_items: int, settings: MMSheafSettings
    ) -> None:
        super().__init__()
        self.stalk_dim, self.feature_dropout = settings.stalk_dim, settings.feature_dropout
        size = settings.embedding_size
        self.identity = _xavier(n_users + n_items, size) if settings.use_id_stalk else None
        self.preference = _xavier(n_users, size * len(modalities)) if modalities else None
        self.project = nn.ParameterList(_xavier(features.dim, size) for features in modalities.values())
        self.names: list[str] = ["id"] * settings.use_id_stalk + list(modalities)
        for m, features in enumerate(modalities.values()):
            self.register_buffer(f"content{m}", normalize(features.matrix), persistent=False)

    @property
    def stalk_size(self) -> int:
        """D, the dimension of a node's whole stalk."""
        return self.stalk_dim * len(self.names)

    def forward(self) -> Float[Tensor, "n D c"]:
        """Stalk vectors of all nodes, users first; rows of zeros in a modality stay zeros."""
        stalks = [] if self.identity is None else [self.identity]
        if self.preference is not None:
            items = torch.cat([self._content(m) @ weight for m, weight in enumerate(self.project)], dim=1)
            stalks.append(torch.cat([self.preference, items]))
        x = torch.cat(stalks, dim=1)
        return x.view(len(x), self.stalk_size, -1)

    def _content(self, m: int) -> Float[Tensor, "n_items dim"]:
        return dropout(self.get_buffer(f"content{m}"), self.feature_dropout, self.training)


class MMSheaf(MultimodalRecommender):
    """Multimodal sheaf diffusion with common maps; see the module's docstring.

    Users and items are ranked by the inner product of their mean signal over the diffusion steps; items add the mean
    of their nearest neighbours in content. The loss is a softmax of cosines over all items, or BPR and inner products,
    with an L2 penalty on the batch's stalk vectors and one on the maps' distance from the identity.
    """

    settings_class = MMSheafSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = self.settings_class.from_recbole(config)
        if not self.modalities and not settings.use_id_stalk:
            raise ConfigError("MMSheaf has neither a modality nor the identity stalk; set modalities or use_id_stalk")
        self.reg_weight, self.map_weight_decay = settings.reg_weight, settings.map_weight_decay
        self.stalks = StalkEmbeddings(self.modalities, self.n_users, self.n_items, settings)
        self.item_graph = self._build_item_graph(config, settings)
        self.learn_from_signal = settings.map_source == "signal"
        self.register_buffer("content", self._content(settings), persistent=False)
        sources = settings.embedding_size * len(self.stalks.names) if self.learn_from_signal else self.content.shape[1]
        self.maps = LearntMaps(
            settings.restriction_map, sources, self.stalks.stalk_size, settings.map_mix, settings.map_dropout
        )
        self.steps = nn.ModuleList(SheafConv(self.maps.family, settings.step_size) for _ in range(settings.n_layers))

    def _content(self, settings: MMSheafSettings) -> Float[Tensor, "n p"]:
        if settings.restriction_map == "identity" or self.learn_from_signal:
            return torch.zeros(self.graph.num_nodes, 0)
        if not self.modalities:
            raise ConfigError(
                f"restriction_map '{settings.restriction_map}' is learnt from content, but modalities is empty; "
                "name modalities, or set map_source: signal or restriction_map: identity"
            )
        return node_content(self.graph, self.modalities.values(), self.n_users, settings.map_features)

    def _build_item_graph(self, config: Any, settings: MMSheafSettings) -> Any:
        if not (self.modalities and settings.item_graph_neighbours and settings.item_graph_layers):
            return None
        return ItemGraph(
            self.modalities,
            settings.item_graph_neighbours,
            settings.item_graph_layers,
            cache_folder(config),
            settings.message_passing,
            config["device"],
        )

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Mean over the diffusion steps, plus each item's neighbours in content."""
        return self._diffuse(self.stalks())

    def _diffuse(self, x: Float[Tensor, "n D c"]) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        maps, frames = self.maps(self.graph, x.flatten(1) if self.learn_from_signal else self.content)
        total = signal = frames.rotate(x)
        for step in self.steps:
            signal = step(self.graph, signal, *maps)
            total = total + signal
        nodes = frames.rotate_back(total / (1 + len(self.steps))).flatten(1)
        users, items = nodes[: self.n_users], nodes[self.n_users :]
        if self.item_graph is not None:
            items = items + self.item_graph(x[self.n_users :].flatten(1))
        return users, items

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss and the penalties."""
        users, chosen, sampled = self.triples(interaction)
        x = self.stalks()
        user_all, item_all = self._diffuse(x)
        loss = self.ranking_loss(user_all, item_all, (users, chosen, sampled))
        nodes = torch.cat([users, self.n_users + chosen, self.n_users + sampled])
        penalty = self.reg_weight * self.squared_norms(nodes, x.flatten(1)) / (2 * max(len(users), 1))
        return loss + penalty + self.map_weight_decay * self.maps.distance()


def _xavier(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns)))
