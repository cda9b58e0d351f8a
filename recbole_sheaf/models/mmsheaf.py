r"""MMSheaf: stalks of several modalities diffused on the user-item graph, plus a sheaf on the items.

Two sheaves score together, :math:`s_{ui} = h_u \langle \hat y_u, \hat y_i \rangle / \tau + \omega \, (x_u^\top B)_i`:

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

.. math:: s_{ui} = \frac{h_u}{\tau} \langle \hat y_u, (1 - \rho_i) \hat y_i + \rho_i \bar y \rangle
    + (\omega + \rho_i \nu) (x_u^\top B)_i, \qquad h_u \propto |x_u|^\gamma,

with :math:`\bar y` the mean of the items' vectors weighed by their shares, so that rare items keep the height they had
among others, and :math:`\nu` the ratio of the two spreads. It stays a dense vector and a sparse one per item.

**A long history must not drown the stalks.** :math:`x_u^\top B` is a sum over a history and grows with it, a cosine
does not: with one weight for all, users of many interactions are served by the item sheaf alone, and rare items, whose
part of it is stretched, fill their lists. So the stalks' part grows with the history too, as its length to the power
:math:`\gamma`, the mean of 1 / h over users being 1; of a ranking only the ratio of the parts counts.

**What popularity says is no stalk's.** Logits of training gain :math:`\alpha \ln(1 + d_i)`, of which a score keeps a
share :math:`\pi`, one term more than above (:mod:`recbole_sheaf.models.softmax_ranking`).

**Validation weighs.** :math:`\omega`, :math:`\kappa`, :math:`\gamma` and :math:`\pi` act on what training gave, so
that they are chosen when the epochs are over (:mod:`recbole_sheaf.models.weighing`), as is, before them, what the
closed form is made of (:mod:`recbole_sheaf.models.item_sheaf_forms`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Union

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from torch.nn.functional import normalize

from recbole_sheaf.data.co_choice import co_choice_lift
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.item_sheaf import ItemSheaf
from recbole_sheaf.layers.sheaf_conv import SheafConv
from recbole_sheaf.models.item_graph import ItemGraph, ItemSheafGraph
from recbole_sheaf.models.item_sheaf_forms import Auto, ClosedForm, Fitting, open_forms
from recbole_sheaf.models.learnt_maps import LearntMaps
from recbole_sheaf.models.multimodal import MultimodalRecommender, xavier
from recbole_sheaf.models.node_content import node_content
from recbole_sheaf.models.rare_items import rarity, spreads_of_products, spreads_of_scores
from recbole_sheaf.models.score_factors import PlacedItems, ScoreFactors
from recbole_sheaf.models.sheaf_targets import SheafTargets, sheaf_targets
from recbole_sheaf.models.softmax_ranking import short_histories, with_popularity
from recbole_sheaf.models.weighing import Weighing
from recbole_sheaf.settings.config import ModelSettings, cache_folder
from recbole_sheaf.settings.rules import Choices, choices, setting
from recbole_sheaf.settings.vocabulary import BACKENDS, ITEM_GRAPH_ARCS, ITEM_SHEAF_MAPS, MAP_SOURCES, RESTRICTION_MAPS
from recbole_sheaf.sheaf.item_maps import ItemMaps
from recbole_sheaf.sheaf.item_signals import spaced_users
from recbole_sheaf.sheaf.new_user import user_sources
from recbole_sheaf.sheaf.unit_length import unit_length

AUTO_NEIGHBOURS = 10  # of an item graph
LEAST_LIFT = 1.2  # of neighbours in content, 1 being chance, 1.5 the least seen of real content
GRAPH_FROM_RIDGE = 50.0  # of the item sheaf, from which there is one with `item_graph_neighbours: auto`
AUTO_TARGETS = 3.0  # interactions, where users and items have few; docs/results/search-log.md
SHEAF_SCORES_KEPT = 2**28  # floats, 1 GiB
SAMPLED_SCORES = 2**24  # floats, of the users whose scores say how wide these spread
SHEAF_WEIGHTS = ("item_sheaf_weight", "item_sheaf_rarity", "item_sheaf_user_power")
FORM_SETTINGS = {
    "content": "item_sheaf_content",
    "neighbourhoods": "item_sheaf_neighbourhoods",
    "ridge": "item_sheaf_ridge",
    "map_dropout": "item_sheaf_dropout",
    "lift_power": "item_sheaf_lift_power",
}


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
    item_graph_neighbours: Union[str, int] = setting("auto", kind=int, low=0, words=("auto",))
    item_graph_layers: int = setting(1, low=0)
    item_graph_arcs: str = setting("content", choices=ITEM_GRAPH_ARCS)
    feature_dropout: float = setting(0.1, low=0, high=1)
    reg_weight: float = setting(0.0, low=0)
    item_sheaf_weight: Choices = choices("auto")
    item_sheaf_map: str = setting("learnt", choices=ITEM_SHEAF_MAPS)
    item_sheaf_neighbours: int = setting(-1, low=-1)
    item_sheaf_ridge: Auto = setting("auto", kind=float, low=0, words=("auto",))
    item_sheaf_dropout: Auto = setting("auto", kind=float, low=0, high=0.99, words=("auto",))
    item_sheaf_cold_ridge: float = setting(20.0, low=0)
    item_sheaf_history_power: float = setting(0.5, low=0, high=1)
    item_sheaf_content: Auto = setting("auto", kind=float, low=0, words=("auto",))
    item_sheaf_neighbourhoods: Auto = setting("auto", kind=float, low=0, words=("auto",))
    item_sheaf_nearest: int = setting(10, low=1)
    item_sheaf_lift_power: Auto = setting("auto", kind=float, low=0, words=("auto",))
    item_sheaf_rarity: Choices = choices("auto")
    item_sheaf_user_power: Choices = choices("auto", high=1)
    item_sheaf_targets: Auto = setting("auto", kind=float, low=0, words=("auto",))
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
        self.id_embedding = xavier(n_users + n_items, size) if settings.use_id_stalk else None
        self.preference = xavier(n_users, size * len(modalities)) if modalities else None
        self.project = nn.ParameterList(xavier(features.dim, size) for features in modalities.values())
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


class Weighed(NamedTuple):
    """The parts of a score under one weighing.

    Attributes:
        users, items: vectors whose inner products are the stalks' part, rare items drawn to their mean; a last
            column is that of popularity, ones for users, where it counts.
        item_weights: omega + rho nu, what an item's transported histories count.
        rarity: rho; zeros where the item sheaf says nothing, or without one.
    """

    users: Float[Tensor, "n_users f"]
    items: Float[Tensor, "n_items f"]
    item_weights: Float[Tensor, " n_items"]
    rarity: Float[Tensor, " n_items"]


class Balance(NamedTuple):
    """What kappa and gamma make of the two parts of a score: rho of the items, nu, and h of the users."""

    rarity: Float[Tensor, " n_items"]
    stretch: Float[Tensor, ""]
    growth: Float[Tensor, " n_users"]


class MMSheaf(MultimodalRecommender):
    """Multimodal sheaf diffusion with common maps, and an item sheaf; see the module's docstring.

    Users and items have the mean of their signal over the diffusion steps; items may add the mean of their nearest
    neighbours in content. Users and items are compared by the cosine under ``loss: softmax``, by the inner product
    under ``loss: bpr``. Penalties: L2 on the batch's stalk vectors, and the maps' distance from the identity.

    Attributes:
        closed_form: fits the sheaf on the items; None where ``item_sheaf_weight`` is 0.
    """

    settings_class = MMSheafSettings
    splits_batches = True
    content: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.settings = settings = self.settings_class.from_recbole(config)
        if not self.modalities and not settings.use_id_stalk:
            raise ConfigError("MMSheaf has neither a modality nor the ID stalk; set modalities or use_id_stalk")
        self.reg_weight, self.map_weight_decay = settings.reg_weight, settings.map_weight_decay
        chosen = self.graph.in_degrees[self.n_users :] > 0
        self.stalks = StalkEmbeddings(self.modalities, self.n_users, self.n_items, chosen, settings)
        drops = settings.use_id_stalk and len(self.stalks.names) > 1  # an item keeps one stalk at least
        self.stalk_dropout = settings.stalk_dropout if drops else 0.0
        self.content_graph = self._content_graph(config, settings)
        self.learn_from_signal = settings.map_source == "signal"
        self.register_buffer("content", self._content(settings), persistent=False)
        sources = settings.embedding_size * len(self.stalks.names) if self.learn_from_signal else self.content.shape[1]
        self.maps = LearntMaps(
            settings.restriction_map, sources, self.stalks.stalk_size, settings.map_mix, settings.map_dropout
        )
        self.steps = nn.ModuleList(SheafConv(self.maps.family, settings.step_size) for _ in range(settings.n_layers))
        self.temperature = 1.0 if self.softmax is None else self.softmax.temperature
        left_out = settings.item_sheaf_weight == 0
        self.closed_form = None if left_out else self._closed_form(config, dataset, settings)
        self._along_sheaf: Optional[tuple[int, ItemSheafGraph]] = None  # no part of the module, as the sheaf is none
        if left_out and self.diffuses_along_item_sheaf:
            raise ConfigError(
                f"item_graph_arcs is {settings.item_graph_arcs}, but item_sheaf_weight is 0, so there is no item sheaf "
                "to diffuse along; set it above 0, or item_graph_arcs: content"
            )
        self.targets_worth = self._worth_of_targets(settings)
        self._targets: Optional[tuple[ItemSheaf, SheafTargets]] = None
        self._foretells: Optional[bool] = None
        self._sheaf_scores: Optional[tuple[ItemSheaf, Tensor]] = None
        self._weighed: Optional[tuple[tuple[Any, ...], Weighed]] = None
        self._balances: Optional[tuple[tuple[Any, ...], dict[tuple[float, float], Balance]]] = None
        if self.closed_form is not None:
            self.leave_open(**{name: getattr(settings, name) for name in SHEAF_WEIGHTS})

    def _worth_of_targets(self, settings: MMSheafSettings) -> float:
        asked, without, softmax = settings.item_sheaf_targets, settings.item_sheaf_weight == 0, self.softmax
        if asked == "auto":
            served = softmax is not None and softmax.sampler is None and not without
            users, items = self.graph.in_degrees[: self.n_users], self.graph.in_degrees[self.n_users :]
            return AUTO_TARGETS if served and short_histories(users) and short_histories(items) else 0.0
        if asked and (without or softmax is None):
            lacks = "item_sheaf_weight is 0" if without else "loss is bpr"
            raise ConfigError(
                f"item_sheaf_targets is {asked}, but {lacks}; the item sheaf gives targets to the softmax alone: set "
                "loss: softmax and item_sheaf_weight above 0, or item_sheaf_targets: 0"
            )
        return float(asked)

    def _closed_form(self, config: Any, dataset: Any, settings: MMSheafSettings) -> ClosedForm:
        fitting = Fitting(
            settings.item_sheaf_map,
            settings.item_sheaf_neighbours,
            settings.item_sheaf_cold_ridge,
            settings.item_sheaf_history_power,
            settings.item_sheaf_nearest,
            {},
        )
        forms = open_forms(
            settings.item_sheaf_content,
            settings.item_sheaf_neighbourhoods,
            settings.item_sheaf_ridge,
            settings.item_sheaf_dropout,
        )
        return ClosedForm(config, dataset, self.modalities, fitting, forms, settings.item_sheaf_lift_power)

    @property
    def item_sheaf(self) -> Optional[ItemSheaf]:
        """The sheaf on the items, in its form; None where ``item_sheaf_weight`` is 0."""
        return None if self.closed_form is None else self.closed_form.sheaf

    def _content(self, settings: MMSheafSettings) -> Float[Tensor, "n p"]:
        if settings.restriction_map == "identity" or self.learn_from_signal:
            return torch.zeros(self.graph.num_nodes, 0)
        if not self.modalities:
            raise ConfigError(
                f"restriction_map '{settings.restriction_map}' is learnt from content, but modalities is empty; "
                "name modalities, or set map_source: signal or restriction_map: identity"
            )
        return node_content(self.graph, self.modalities.values(), self.n_users, settings.map_features)

    @property
    def _item_graph_size(self) -> int:
        """K of an item graph, if it is there; 0 where there never is one."""
        given = self.settings.item_graph_neighbours
        return (AUTO_NEIGHBOURS if given == "auto" else int(given)) * (self.settings.item_graph_layers > 0)

    def _content_graph(self, config: Any, settings: MMSheafSettings) -> Optional[ItemGraph]:
        size = self._item_graph_size
        if not (self.modalities and size and settings.item_graph_arcs == "content"):
            return None
        return ItemGraph(
            self.modalities,
            size,
            settings.item_graph_layers,
            cache_folder(config),
            settings.message_passing,
            config["device"],
        )

    @property
    def diffuses_along_item_sheaf(self) -> bool:
        """Whether items' stalks walk the arcs of the item sheaf rather than those of content."""
        return self.settings.item_graph_arcs != "content" and self._item_graph_size > 0

    @property
    def item_graph(self) -> Union[ItemGraph, ItemSheafGraph, None]:
        """By what items receive of one another beside the user-item graph; None where they do not.

        With ``item_graph_neighbours: auto`` they receive of their nearest in content where the item sheaf takes a ridge
        of at least ``GRAPH_FROM_RIDGE``, as validation chose, and content foretells what is chosen together; without an
        item sheaf everywhere. A large ridge is best where histories say little, and so is an item graph
        (docs/results/search-log.md).
        """
        if self.closed_form is None:
            return self.content_graph
        if not self.diffuses_along_item_sheaf:
            asked = self.settings.item_graph_neighbours != "auto"
            pays = asked or self.closed_form.form.ridge >= GRAPH_FROM_RIDGE and self._content_foretells()
            return self.content_graph if pays else None
        number = int(self.closed_form.number)
        if self._along_sheaf is None or self._along_sheaf[0] != number:
            identity = self.settings.item_graph_arcs == "identity"
            sheaf = self.closed_form.fit("identity") if identity else self.closed_form.sheaf
            graph = ItemSheafGraph(
                sheaf,
                self._item_graph_size,
                self.settings.item_graph_layers,
                self.settings.message_passing,
                self.device,
            )
            self._along_sheaf = (number, graph)
        return self._along_sheaf[1]

    def _content_foretells(self) -> bool:
        """Whether nearest items of a modality are chosen together ``LEAST_LIFT`` times as often as by chance."""
        if self._foretells is None:
            graphs = [] if self.content_graph is None else self.content_graph.graphs
            arcs = [(graph.src.cpu().numpy(), graph.dst.cpu().numpy()) for graph in graphs]
            pairs = self.training_pairs()
            self._foretells = any(
                co_choice_lift(*each, *pairs, self.n_users, self.n_items) >= LEAST_LIFT for each in arcs
            )
        return self._foretells

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
        graph = self.item_graph
        if graph is not None:
            items = items + graph(x[self.n_users :].flatten(1))
        return users, items

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss and the penalties."""
        triples, x = self.triples(interaction), self.stalks()
        user_all, item_all = self._diffuse(x)
        loss = self.ranking_loss(user_all, self._without_id_stalk(item_all), triples, targets=self.targets)
        if self.reg_weight:
            loss = loss + self.penalty(self.reg_weight, triples, x.flatten(1))
        return loss + self.map_weight_decay * self.maps.distance()

    @property
    def targets(self) -> Optional[SheafTargets]:
        """What the item sheaf adds to the targets of the softmax; None where it adds nothing."""
        sheaf = self.item_sheaf
        if self.targets_worth == 0 or sheaf is None:
            return None
        if self._targets is None or self._targets[0] is not sheaf:
            self._targets = (sheaf, sheaf_targets(sheaf, self.targets_worth, self.n_users))
        return self._targets[1]

    def _without_id_stalk(self, items: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Items of which a random share lacks the ID stalk, as one without training interactions does.

        Only what is compared with users lacks it: users still receive it by diffusion, or they would change with it.
        """
        if not (self.training and self.stalk_dropout):
            return items
        width = items.shape[1] // len(self.stalks.names)
        kept = (torch.rand(len(items), 1, device=items.device) >= self.stalk_dropout).to(items.dtype)
        return torch.cat([items[:, :width] * kept, items[:, width:]], dim=1)

    @property
    def chosen(self) -> dict[str, float]:
        """What validation chose, or what training began with where it has not yet; settings that were given are not."""
        weighed = super().chosen
        if self.closed_form is None:
            return weighed
        found = {**weighed, **self.closed_form.chosen(FORM_SETTINGS)}
        if self.content_graph is not None and self.settings.item_graph_neighbours == "auto":
            found["item_graph_neighbours"] = float(self.content_graph.neighbours if self.item_graph else 0)
        return found

    def ranked_embeddings(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Dense vectors of a score, whose inner product is the stalks' part; see :class:`Weighed`."""
        return self.weighed.users, self.weighed.items

    @property
    def weighed(self) -> Weighed:
        """What is ranked by, kept until the model trains, loads, or is weighed or fitted otherwise."""
        made_of = (self.compared_embeddings(), self.weighing, self.item_sheaf)
        if self._weighed is not None and _same(self._weighed[0], made_of):
            return self._weighed[1]
        found = self._weighed_by(made_of[0], made_of[1])
        if not self.training:
            self._weighed = (made_of, found)
        return found

    def _weighed_by(self, compared: tuple[Tensor, Tensor], weighing: Weighing) -> Weighed:
        """The parts of a score; the temperature is shared out to users and items."""
        users, items = (vectors / self.temperature**0.5 for vectors in compared)
        rho, stretch, growth = self._balance(compared, weighing)
        if rho.any():
            items = torch.lerp(items, _mean(items, rho), rho.unsqueeze(1))
        users, kept = users * growth.unsqueeze(1), self.kept_popularity(weighing)
        if kept is not None:
            users, items = with_popularity(users, items, kept)
        return Weighed(users, items, weighing.item_sheaf_weight + rho * stretch, rho)

    def _balance(self, compared: tuple[Tensor, Tensor], weighing: Weighing) -> Balance:
        """What of a weighing does not depend on omega, kept until the vectors or the item sheaf are others."""
        if self._balances is None or not _same(self._balances[0], (compared, self.item_sheaf)):
            self._balances = ((compared, self.item_sheaf), {})
        kept, key = self._balances[1], (weighing.item_sheaf_rarity, weighing.item_sheaf_user_power)
        if self.training:
            self._balances = None
        if key not in kept:
            kept[key] = self._balance_of(compared, *key)
        return kept[key]

    @torch.no_grad()
    def _balance_of(self, compared: tuple[Tensor, Tensor], kappa: float, gamma: float) -> Balance:
        users, items = compared
        growth = self._growth(gamma).to(users)
        if self.closed_form is not None and kappa:
            share, some = rarity(self.graph.in_degrees[self.n_users :], kappa).to(items), self._sampled_users()
            spread = (spreads_of_scores(self.item_sheaf_scores(some), share) / growth[some]).mean()
            if spread:
                spread_of_stalks = spreads_of_products(users[some], items, share).mean() / self.temperature
                return Balance(share, spread_of_stalks / spread, growth)
        return Balance(items.new_zeros(self.n_items), items.new_zeros(()), growth)

    def _growth(self, power: float) -> Float[Tensor, " n_users"]:
        """h of the users, whose inverse is 1 in the mean over users with a history."""
        inverse = self._inverse_growth(power)
        return inverse[self.graph.in_degrees[: self.n_users] > 0].mean() / inverse

    def _inverse_growth(self, power: float) -> Float[Tensor, " n_users"]:
        return self.graph.in_degrees[: self.n_users].clamp(min=1).float().pow(-power)

    def score_factors(self) -> ScoreFactors:
        """Stalks side by side; of items also those before rare ones are drawn to their mean, who would all be alike."""
        weighed, own = self.weighed, self._fused_items()
        popularity, rare = own.shape[1] < weighed.items.shape[1], bool(weighed.rarity.any())
        power = self.weighing.item_sheaf_user_power
        mean = float(self._inverse_growth(power)[self.graph.in_degrees[: self.n_users] > 0].mean())
        return ScoreFactors(
            weighed.users,
            weighed.items,
            [(name, own.shape[1] // len(self.stalks.names)) for name in self.stalks.names],
            popularity,
            cosine=self.softmax is not None,
            temperature=self.temperature,
            growth_with_history=(mean, power) if power else None,
            item_embeddings=own if rare or popularity else None,
            item_rarity=weighed.rarity if rare else None,
            user_sources=self._user_sources(
                lambda: [signal[self.n_users :] for signal in self.layer_signals()],
                self.graph.in_degrees[self.n_users :],
            ),
        )

    def item_maps(self) -> Optional[ItemMaps]:
        """B, those into an item times what its transported histories count."""
        return None if self.item_sheaf is None else self.item_sheaf.maps().times(self.weighed.item_weights)

    def layer_signals(self) -> list[Float[Tensor, "nodes f"]]:
        """Stalks before the diffusion and after each step, in the nodes' own basis."""
        x = self.stalks()
        maps, frames = self.maps(self.graph, x.flatten(1) if self.learn_from_signal else self.content)
        signals = [frames.rotate(x)]
        for step in self.steps:
            signals.append(step(self.graph, signals[-1], *maps))
        return [frames.rotate_back(signal).flatten(1) for signal in signals]

    def place(self, modalities: Mapping[str, ModalityFeatures]) -> PlacedItems:
        """As items of the catalogue without training interactions: by the stalks of their content and no ID stalk.

        Diffusion leaves these alone at a node without arcs; what items receive of their nearest in content is added.

        Raises:
            ConfigError: if stalks diffuse along the item sheaf, or that has no maps into cold items.
        """
        if self.diffuses_along_item_sheaf:
            raise ConfigError(
                "MMSheaf was trained with stalks that diffuse along the item sheaf, into which an item that was not "
                "there has no arcs; train with item_graph_arcs: content to place new items"
            )
        content = [unit_length(features.matrix[1:]) for features in modalities.values()]
        rows = [each.to(weight) @ weight for each, weight in zip(content, self.stalks.project)]
        absent = [torch.zeros_like(rows[0])] * (self.stalks.id_embedding is not None)
        x = fused = torch.cat([*absent, *rows], dim=1)
        if isinstance(graph := self.item_graph, ItemGraph):
            held = self.stalks()[self.n_users :].flatten(1)
            fused = x + graph.for_new_items(self.modalities, modalities, held)
        own = (fused if self.softmax is None else normalize(fused)) / self.temperature**0.5
        sources = self._user_sources(lambda: [x] * (1 + len(self.steps)), x.new_zeros(len(x)))
        maps = None if self.closed_form is None else self.closed_form.maps_into_new(modalities)
        weight, rho = self.weighing.item_sheaf_weight, self.weighed.rarity
        if not rho.any():
            return PlacedItems(own, own, sources, maps=maps, map_weight=weight)
        stretch = self._balance(self.compared_embeddings(), self.weighing).stretch
        mean = _mean(self._fused_items(), rho).expand_as(own)
        return PlacedItems(mean, own, sources, 1.0, maps, float(weight + stretch))

    def _fused_items(self) -> Float[Tensor, "n_items f"]:
        """Diffused stalks of the items as a score compares them, rare items as they are, over the root of tau."""
        return self.compared_embeddings()[1] / self.temperature**0.5

    def _user_sources(
        self, signals: Callable[[], list[Float[Tensor, "k f"]]], degree: Num[Tensor, " k"]
    ) -> Optional[Float[Tensor, "k f"]]:
        """What items add to a new user's vector, by their signals; None where nothing steps or maps are learnt.

        Learnt maps are maps of the user too, which training alone gives.
        """
        identity = self.settings.restriction_map == "identity" and len(self.steps)
        return user_sources(signals(), degree, self.settings.step_size) if identity else None

    def scored_by(self, weighings: Sequence[Weighing]) -> Callable[[Int[Tensor, " b"]], Iterator[Tensor]]:
        """Gives users' scores for every item, (b, n_items), under one weighing after another.

        The two sheaves are asked once for all of them. Without an item sheaf the scores are cosines, which rank alike.
        """
        if self.closed_form is None:
            return super().scored_by(weighings)
        compared = self.compared_embeddings()

        def scored(users: Int[Tensor, " b"]) -> Iterator[Tensor]:
            users = users.to(self.device)
            stalks = (compared[0][users] @ compared[1].mT) / self.temperature
            sheaf = self.item_sheaf_scores(users)
            for weighing in weighings:
                rho, stretch, growth = self._balance(compared, weighing)
                height = stalks @ (rho / rho.sum()) if rho.any() else stalks.new_zeros(len(stalks))
                drawn = torch.addcmul(stalks * (1 - rho), height.unsqueeze(1), rho)
                drawn *= growth[users].unsqueeze(1)
                drawn.addcmul_(sheaf, weighing.item_sheaf_weight + rho * stretch)
                kept = self.kept_popularity(weighing)
                yield drawn if kept is None else drawn.add_(kept)

        return scored

    def stalk_scores(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n_items"]:
        """Scores by the stalks alone, and popularity as far as it is kept: the item sheaf left out."""
        return next(super().scored_by([self.weighing])(users))

    def _sampled_users(self) -> Int[Tensor, " s"]:
        """Users with training interactions, evenly spaced, few enough that all their scores are soon made."""
        active = (self.graph.in_degrees[: self.n_users] > 0).nonzero().squeeze(1)
        return spaced_users(active, self.n_items, SAMPLED_SCORES)

    def predict(self, interaction: Any) -> Float[Tensor, " b"]:
        """Scores of b user-item pairs, both parts."""
        stalks = super().predict(interaction)
        if self.closed_form is None:
            return stalks
        users, rows = torch.unique(interaction[self.USER_ID], return_inverse=True)
        items = interaction[self.ITEM_ID]
        return stalks + self.weighed.item_weights[items] * self.item_sheaf_scores(users)[rows, items]

    def full_sort_predict(self, interaction: Any) -> Float[Tensor, " scores"]:
        """Scores of b users for every item, both parts, flattened as RecBole wants them."""
        stalks = super().full_sort_predict(interaction)
        if self.closed_form is None:
            return stalks
        sheaf = self.item_sheaf_scores(interaction[self.USER_ID])
        return stalks.view(sheaf.shape).addcmul_(sheaf, self.weighed.item_weights).flatten()

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
        if self._sheaf_scores is None or self._sheaf_scores[0] is not sheaf:
            everyone = torch.arange(self.n_users, device=self.device).split(1024)
            self._sheaf_scores = (sheaf, torch.cat([sheaf.scores(some) for some in everyone]))
        return self._sheaf_scores[1][users]


def _mean(items: Float[Tensor, "n f"], share: Float[Tensor, " n"]) -> Float[Tensor, " f"]:
    return share @ items / share.sum()


def _same(kept: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether a cache was made of what there is now: the same objects, or an equal weighing."""
    return all(one is other or isinstance(one, Weighing) and one == other for one, other in zip(kept, now))
