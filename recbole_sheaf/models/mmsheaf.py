r"""MMSheaf: stalks of several modalities diffused on the user-item graph, plus a sheaf on the items.

Two sheaves score together, :math:`s_{ui} = \langle \hat y_u, \hat y_i \rangle / \tau + \omega \, (x_u^\top B)_i`:

- On the user-item graph a node's stalk is a direct sum, F(v) = R^d (ID) + R^d (modality 1) + ... + R^d (modality
  M), of c channels. All of them restrict into one edge stalk by the maps of ``restriction_map``; with identity maps the
  diffusion is LightGCN's, in every stalk. It is that of Neural Sheaf Diffusion (Bodnar et al. 2022,
  https://arxiv.org/abs/2202.04579) without its weights and nonlinearity. y are the diffused stalks, trained by a
  softmax of their cosines at the temperature :math:`\tau` (:mod:`recbole_sheaf.layers.softmax_loss`).
- On the items, histories x and all modalities restrict into one edge space by the same scalar maps, learnt in closed
  form (:mod:`recbole_sheaf.sheaf.item_sheaf`); B carries a user's history to every item, to those that nobody chose
  by maps fitted to their content (:mod:`recbole_sheaf.sheaf.cold_items`). Its entries regress ones and
  zeros, so that its scores say by their own size how much is known of a user and of an item, and one weight
  :math:`\omega` serves sparse and dense data. The stalks are trained without it: trained on top of it, by its
  leave-one-out scores, they lose (docs/results/search-log.md).

A stalk that an item lacks is absent: it is zero, and the cosine renormalises what is there. An item without training
interactions lacks the ID stalk, and in each step of training a random share of the items does, so that content
learns to speak alone.

**Rare items are the item sheaf's.** Stalks of an item with few interactions are noise, and the closed form, which knows
its neighbours in content, shrinks its scores towards zero. So a share :math:`\rho_i` of the stalks' score, 1 where an
item has no training interaction and 1/2 at ``item_sheaf_rarity`` of them, gives way to the sheaf's score stretched to
the same spread (:mod:`recbole_sheaf.models.rare_items`):

.. math:: s_{ui} = \frac{1}{\tau} \langle \hat y_u, (1 - \rho_i) \hat y_i + \rho_i \bar y \rangle
    + (\omega + \rho_i \nu) (x_u^\top B)_i

with :math:`\bar y` the mean of the items' vectors weighed by their shares, so that rare items keep the height they had
among others, and :math:`\nu` the ratio of the two spreads. It stays a dense vector and a sparse one per item.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from recbole_sheaf.config import ModelSettings, cache_folder
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.item_sheaf import ItemSheaf, fit_item_sheaf
from recbole_sheaf.layers.sheaf_conv import SheafConv
from recbole_sheaf.models.item_graph import ItemGraph
from recbole_sheaf.models.itemsheaf import share_out, training_signals
from recbole_sheaf.models.learnt_maps import LearntMaps
from recbole_sheaf.models.multimodal import MultimodalRecommender
from recbole_sheaf.models.node_content import node_content
from recbole_sheaf.models.rare_items import rarity, spread_of_products, spread_of_scores
from recbole_sheaf.rules import setting
from recbole_sheaf.sheaf.item_signals import spaced_users
from recbole_sheaf.unit_length import unit_length
from recbole_sheaf.vocabulary import BACKENDS, ITEM_SHEAF_MAPS, MAP_SOURCES, RESTRICTION_MAPS

SHEAF_SCORES_KEPT = 2**27  # floats, 512 MiB


@dataclass(frozen=True)
class MMSheafSettings(ModelSettings):
    """Settings of MMSheaf; every field is a key of ``properties/model/MMSheaf.yaml``."""

    embedding_size: int = setting(64, low=1)
    stalk_dim: int = setting(4, low=1, high=64)
    n_layers: int = setting(2, low=0)
    restriction_map: str = setting("identity", choices=RESTRICTION_MAPS)
    use_id_stalk: bool = setting(True)
    stalk_dropout: float = setting(0.3, low=0, high=1)
    step_size: float = setting(1.0, above=0, high=1)
    map_mix: float = setting(0.5, low=0, high=1)
    map_source: str = setting("content", choices=MAP_SOURCES)
    map_features: int = setting(16, low=1)
    map_dropout: float = setting(0.2, low=0, high=1)
    map_weight_decay: float = setting(0.001, low=0)
    item_graph_neighbours: int = setting(0, low=0)
    item_graph_layers: int = setting(1, low=0)
    feature_dropout: float = setting(0.1, low=0, high=1)
    reg_weight: float = setting(0.0, low=0)
    item_sheaf_weight: float = setting(8.0, low=0)
    item_sheaf_map: str = setting("learnt", choices=ITEM_SHEAF_MAPS)
    item_sheaf_neighbours: int = setting(-1, low=-1)
    item_sheaf_ridge: float = setting(20.0, low=0)
    item_sheaf_dropout: float = setting(0.5, low=0, high=0.99)
    item_sheaf_cold_ridge: float = setting(20.0, low=0)
    item_sheaf_history_power: float = setting(0.5, low=0, high=1)
    item_sheaf_content: float = setting(5.0, low=0)
    item_sheaf_rarity: float = setting(3.0, low=0)
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

    The ID stalk is free for users and for items with training interactions, and zeros for other items. A
    modality's stalk is a free preference for users and a projection of the content for items; an item without a row
    starts with zeros there and receives what its users hold.

    Args:
        modalities: content of the items.
        n_users, n_items: padding included.
        chosen: which items have training interactions.
        settings: of the model.
    """

    has_id_stalk: Tensor

    def __init__(
        self,
        modalities: Mapping[str, ModalityFeatures],
        n_users: int,
        n_items: int,
        chosen: Bool[Tensor, " n_items"],
        settings: MMSheafSettings,
    ) -> None:
        super().__init__()
        self.stalk_dim, self.feature_dropout = settings.stalk_dim, settings.feature_dropout
        size = settings.embedding_size
        self.id_embedding = _xavier(n_users + n_items, size) if settings.use_id_stalk else None
        self.preference = _xavier(n_users, size * len(modalities)) if modalities else None
        self.project = nn.ParameterList(_xavier(features.dim, size) for features in modalities.values())
        self.names: list[str] = ["id"] * settings.use_id_stalk + list(modalities)
        for m, features in enumerate(modalities.values()):
            self.register_buffer(f"content{m}", unit_length(features.matrix), persistent=False)
        has_id_stalk = torch.cat([torch.ones(n_users), chosen.float()]).unsqueeze(1)
        self.register_buffer("has_id_stalk", has_id_stalk, persistent=False)

    @property
    def stalk_size(self) -> int:
        """D, the dimension of a node's whole stalk."""
        return self.stalk_dim * len(self.names)

    def forward(self) -> Float[Tensor, "n D c"]:
        """Stalk vectors of all nodes, users first; rows of zeros in a modality stay zeros."""
        stalks = [] if self.id_embedding is None else [self.id_embedding * self.has_id_stalk]
        if self.preference is not None:
            items = torch.cat([self._content(m) @ weight for m, weight in enumerate(self.project)], dim=1)
            stalks.append(torch.cat([self.preference, items]))
        x = torch.cat(stalks, dim=1)
        return x.view(len(x), self.stalk_size, -1)

    def _content(self, m: int) -> Float[Tensor, "n_items dim"]:
        return dropout(self.get_buffer(f"content{m}"), self.feature_dropout, self.training)


class MMSheaf(MultimodalRecommender):
    """Multimodal sheaf diffusion with common maps, and an item sheaf; see the module's docstring.

    Users and items have the mean of their signal over the diffusion steps; items may add the mean of their nearest
    neighbours in content. Users and items are compared by the cosine under ``loss: softmax``, by the inner product
    under ``loss: bpr``. Penalties: L2 on the batch's stalk vectors, and the maps' distance from the identity.

    Attributes:
        item_sheaf: the sheaf on the items; None where ``item_sheaf_weight`` is 0.
        item_sheaf_weight: omega.
        rarity: rho; zeros without an item sheaf, or one that says nothing.
    """

    settings_class = MMSheafSettings
    content: Tensor
    rarity: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = self.settings_class.from_recbole(config)
        if not self.modalities and not settings.use_id_stalk:
            raise ConfigError("MMSheaf has neither a modality nor the ID stalk; set modalities or use_id_stalk")
        self.reg_weight, self.map_weight_decay = settings.reg_weight, settings.map_weight_decay
        chosen = self.graph.in_degrees[self.n_users :] > 0
        self.stalks = StalkEmbeddings(self.modalities, self.n_users, self.n_items, chosen, settings)
        drops = settings.use_id_stalk and len(self.stalks.names) > 1  # an item keeps one stalk at least
        self.stalk_dropout = settings.stalk_dropout if drops else 0.0
        self.item_graph = self._build_item_graph(config, settings)
        self.learn_from_signal = settings.map_source == "signal"
        self.register_buffer("content", self._content(settings), persistent=False)
        sources = settings.embedding_size * len(self.stalks.names) if self.learn_from_signal else self.content.shape[1]
        self.maps = LearntMaps(
            settings.restriction_map, sources, self.stalks.stalk_size, settings.map_mix, settings.map_dropout
        )
        self.steps = nn.ModuleList(SheafConv(self.maps.family, settings.step_size) for _ in range(settings.n_layers))
        self.temperature = 1.0 if self.softmax is None else self.softmax.temperature
        self.item_sheaf_weight = settings.item_sheaf_weight
        self.item_sheaf = self._fit_item_sheaf(config, dataset, settings) if settings.item_sheaf_weight else None
        self._sheaf_scores: Optional[Tensor] = None
        self._item_weights = torch.empty(0)  # until something is ranked
        self.sheaf_spread = 0.0
        rho = rarity(self.graph.in_degrees[self.n_users :], settings.item_sheaf_rarity)
        if self.item_sheaf is not None and rho.any():
            self.sheaf_spread = float(spread_of_scores(self.item_sheaf.scores(self._sampled_users()), rho))
        self.register_buffer("rarity", rho if self.sheaf_spread else torch.zeros_like(rho), persistent=False)

    def _fit_item_sheaf(self, config: Any, dataset: Any, settings: MMSheafSettings) -> ItemSheaf:
        weights = share_out(settings.item_sheaf_content, {}, self.modalities)
        return fit_item_sheaf(
            training_signals(
                dataset, self.modalities, weights, settings.item_sheaf_history_power, self.n_users, self.n_items
            ),
            restriction_map=settings.item_sheaf_map,
            neighbours=settings.item_sheaf_neighbours,
            ridge=settings.item_sheaf_ridge,
            map_dropout=settings.item_sheaf_dropout,
            cold_ridge=settings.item_sheaf_cold_ridge,
            backend=settings.message_passing,
            device=config["device"],
        )

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
        item_all = self._without_id_stalk(item_all)
        loss = self.ranking_loss(user_all, item_all, (users, chosen, sampled))
        if self.reg_weight:
            nodes = torch.cat([users, self.n_users + chosen, self.n_users + sampled])
            loss = loss + self.reg_weight * self.squared_norms(nodes, x.flatten(1)) / (2 * max(len(users), 1))
        return loss + self.map_weight_decay * self.maps.distance()

    def _without_id_stalk(self, items: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Items of which a random share lacks the ID stalk, as one without training interactions does.

        Only what is compared with users lacks it: users still receive it by diffusion, or they would change with it.
        """
        if not (self.training and self.stalk_dropout):
            return items
        width = items.shape[1] // len(self.stalks.names)
        kept = (torch.rand(len(items), 1, device=items.device) >= self.stalk_dropout).to(items.dtype)
        return torch.cat([items[:, :width] * kept, items[:, width:]], dim=1)

    def ranked_embeddings(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Dense vectors of a score, kept until the model trains or loads again; the temperature is shared out to both.

        Their inner product is the stalks' part: cosines over the temperature, with rare items drawn to their mean.
        """
        if self._ranked is not None:
            return self._ranked
        users, items = (vectors / self.temperature**0.5 for vectors in super().ranked_embeddings())
        stretch: Union[float, Tensor] = 0.0
        if self.rarity.any():
            with torch.no_grad():
                stretch = spread_of_products(users[self._sampled_users()], items, self.rarity) / self.sheaf_spread
            mean = self.rarity @ items / self.rarity.sum()
            items = torch.lerp(items, mean, self.rarity.unsqueeze(1))
        self._item_weights = self.item_sheaf_weight + self.rarity * stretch
        if not self.training:
            self._ranked = (users, items)
        return users, items

    def _sampled_users(self) -> Int[Tensor, " s"]:
        """Users with training interactions, evenly spaced, few enough that all their scores are soon made."""
        active = (self.graph.in_degrees[: self.n_users] > 0).nonzero().squeeze(1)
        return spaced_users(active, self.n_items, SHEAF_SCORES_KEPT // 8)

    def item_sheaf_weights(self) -> Float[Tensor, " n_items"]:
        """Of each item what its transported histories count, omega + rho nu; its sparse vector is so many times B's."""
        self.ranked_embeddings()
        return self._item_weights

    def predict(self, interaction: Any) -> Float[Tensor, " b"]:
        """Scores of b user-item pairs, both parts."""
        stalks = super().predict(interaction)
        if self.item_sheaf is None:
            return stalks
        users, rows = torch.unique(interaction[self.USER_ID], return_inverse=True)
        items = interaction[self.ITEM_ID]
        return stalks + self.item_sheaf_weights()[items] * self.item_sheaf_scores(users)[rows, items]

    def full_sort_predict(self, interaction: Any) -> Float[Tensor, " scores"]:
        """Scores of b users for every item, both parts, flattened as RecBole wants them."""
        stalks = super().full_sort_predict(interaction)
        if self.item_sheaf is None:
            return stalks
        sheaf = self.item_sheaf_scores(interaction[self.USER_ID])
        return stalks.view(sheaf.shape).addcmul_(sheaf, self.item_sheaf_weights()).flatten()

    def item_sheaf_scores(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n_items"]:
        """What the item sheaf says of b users.

        It does not change while the stalks train, so that it is computed once where it fits ``SHEAF_SCORES_KEPT``
        floats, and for the users asked for otherwise.

        Raises:
            ConfigError: if the model has no item sheaf.
        """
        sheaf = self.item_sheaf
        if sheaf is None:
            raise ConfigError("item_sheaf_weight is 0, so there is no item sheaf to score with; set it above 0")
        if self.n_users * self.n_items > SHEAF_SCORES_KEPT:
            return sheaf.scores(users)
        if self._sheaf_scores is None:
            everyone = torch.arange(self.n_users, device=self.device).split(1024)
            self._sheaf_scores = torch.cat([sheaf.scores(some) for some in everyone])
        return self._sheaf_scores[users]


def _xavier(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns)))
