"""What recommenders share, each part apart: ranking by embeddings and its cache, item content, the interaction graph.

A model takes the parts it needs: VBPR content alone, Sheaf4Rec the graph alone, the multimodal graph models both.
n_users and n_items count RecBole's padding at 0. Nodes are users first, then items: item i is node n_users + i.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import torch
from jaxtyping import Float, Int
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn.functional import embedding

from recbole_sheaf.data import bipartite_arcs
from recbole_sheaf.data.identity import data_read
from recbole_sheaf.data.mmrec import origin_of
from recbole_sheaf.errors import ConfigError, FeatureError, nearest
from recbole_sheaf.features import FeatureAblation, ModalityFeatures, load_modalities
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.models.score_factors import ScoreFactors, ScoresInPieces
from recbole_sheaf.models.sheaf_targets import SheafTargets
from recbole_sheaf.models.softmax_ranking import SoftmaxRanked, SoftmaxRanking, ranked_factors, squared_norms
from recbole_sheaf.settings.config import LossSettings, cache_folder
from recbole_sheaf.settings.vocabulary import LOSSES

Triples = tuple[Int[Tensor, " b"], Int[Tensor, " b"], Int[Tensor, " s"]]  # users, chosen items, sampled ones

CONTRASTED = 4096  # nodes in one contrast under the softmax


class EmbeddingRecommender(SoftmaxRanked, ScoresInPieces, GeneralRecommender):
    """A RecBole general recommender that ranks by inner products of user and item embeddings, or by their cosines.

    A subclass defines ``forward``, which gives the embeddings of all users and items, and ``calculate_loss``. Ranking
    runs ``forward`` once per evaluation, not once per batch of users.

    ``loss: bpr`` is the loss the model was published with, on batches of interactions with sampled items. ``loss:
    softmax`` puts a softmax of cosines over all items in the place of its ranking loss, on batches of users, and ranks
    by cosine and a share of the popularity that the loss was given; the model's other losses stay. A subclass that is
    not ready for it says ``losses = ("bpr",)``.

    Attributes:
        losses: what ``loss`` may be.
        softmax: what the softmax needs; None under ``loss: bpr``.
    """

    input_type = InputType.PAIRWISE
    losses: tuple[str, ...] = LOSSES

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = LossSettings.from_recbole(config)
        self.softmax = SoftmaxRanking(settings, dataset) if settings.loss == "softmax" else None
        self.leave_open()
        self._compared: Optional[tuple[Tensor, Tensor]] = None

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Embeddings of all users and of all items; their inner product, or under the softmax their cosine, ranks."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "EmbeddingRecommender":
        """Switch between training and evaluation; either way the embeddings kept for ranking are forgotten."""
        self._compared = None
        return super().train(mode)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load parameters and forget the embeddings kept for ranking."""
        self._compared = None
        return super().load_state_dict(*args, **kwargs)

    def all_embeddings(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Those of ``forward``."""
        return self.forward()

    def score_factors(self) -> ScoreFactors:
        """The embeddings, as they rank."""
        return ranked_factors(self)

    def triples(self, interaction: Any) -> Triples:
        """Users, items they chose and sampled items of a batch.

        Under the softmax a batch names users: then these are all their training interactions, those of a user side by
        side, and nothing is sampled.
        """
        if self.softmax is not None:
            users, chosen = self.softmax.pairs(interaction[self.USER_ID])
            return users, chosen, chosen[:0]
        return interaction[self.USER_ID], interaction[self.ITEM_ID], interaction[self.NEG_ITEM_ID]

    def ranking_loss(
        self,
        user_all: Float[Tensor, "n_users f"],
        item_all: Float[Tensor, "n_items f"],
        triples: Triples,
        offset: Optional[Float[Tensor, "#b n_items"]] = None,
        targets: Optional[SheafTargets] = None,
    ) -> Float[Tensor, ""]:
        """BPR of a batch, or the softmax of its interactions; only that takes an offset of its logits, and targets.

        Rows are gathered by ``embedding``, whose gradient is summed in a fixed order.
        """
        users, chosen, sampled = triples
        if self.softmax is not None:
            return self.softmax.loss(user_all, item_all, (users, chosen), offset, targets)
        u = embedding(users, user_all)
        i, j = embedding(torch.cat([chosen, sampled]), item_all).chunk(2)  # one gradient of all items, not two
        return bpr_loss((u * i).sum(dim=1), (u * j).sum(dim=1))

    def squared_norms(self, rows: Int[Tensor, " r"], table: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        """Sum of the squared norms of a batch's rows of a table, each as often as it is named, for an L2 penalty."""
        if self.softmax is not None:
            return squared_norms(rows, table)
        return embedding(rows, table).square().sum()

    def contrasted(self, nodes: Int[Tensor, " r"]) -> Int[Tensor, " distinct"]:
        """The distinct nodes of a batch, for a contrast of two views of each.

        Under the softmax at most 4,096 of them, drawn anew for each batch: a contrast holds a square of them, and a
        batch of users may name the whole catalogue.
        """
        nodes = nodes.unique()
        if self.softmax is None or len(nodes) <= CONTRASTED:
            return nodes
        return nodes[torch.randperm(len(nodes), device=nodes.device)[:CONTRASTED]]


class GraphRecommender(EmbeddingRecommender):
    """With ``self.graph``, the user-item graph of the training interactions."""

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.graph = interaction_graph(config, dataset, self.n_users, self.n_items)

    @property
    def message_passing(self) -> str:
        """The backend in use, ``dgl`` or ``torch``."""
        return self.graph.backend

    def training_pairs(self) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """User and item of each training interaction, each pair once."""
        half = self.graph.num_arcs // 2  # the second half are the reverses
        users, items = (ends[:half].cpu().numpy() for ends in (self.graph.src, self.graph.dst))
        return users, items - self.n_users

    def penalty(
        self,
        weight: float,
        triples: Triples,
        nodes: Float[Tensor, "n f"],
        of_users: Sequence[Float[Tensor, "n_users _"]] = (),
    ) -> Float[Tensor, ""]:
        """``weight`` times half the mean, over a batch's interactions, of the squared norms of what they touch.

        Args:
            weight: such as ``reg_weight``.
            triples: of the batch; a node counts as often as it is named.
            nodes: a table of all nodes, users first, whose rows of the users, the chosen and the sampled items count.
            of_users: tables of the users, whose rows of the users count.
        """
        users, chosen, sampled = triples
        squares = self.squared_norms(torch.cat([users, self.n_users + chosen, self.n_users + sampled]), nodes)
        squares = squares + sum(self.squared_norms(users, table) for table in of_users)
        return weight * squares / (2 * max(len(users), 1))


class ItemContent(GeneralRecommender):
    """With ``self.modalities``, the items' content."""

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.modalities = read_modalities(config, dataset)

    @property
    def modality_coverage(self) -> dict[str, float]:
        """Share of items that have a row, per modality; rows that ``missing_share`` removed do not count."""
        return {name: features.present[1:].float().mean().item() for name, features in self.modalities.items()}


class ContentRecommender(ItemContent, EmbeddingRecommender):
    """An embedding recommender with the items' content."""


class MultimodalRecommender(ContentRecommender, GraphRecommender):
    """A recommender with the items' content and the user-item graph."""


def xavier(rows: int, columns: int) -> nn.Parameter:
    """A trainable table, uniform by Glorot & Bengio 2010."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns)))


def refuse_no_modality(model: Any, instead: Optional[str] = "LightGCN") -> None:
    """Refuse to build a model of content without any.

    Raises:
        ConfigError: naming the model, and what does without.
    """
    if not model.modalities:
        other = f", or take {instead}" if instead else ""
        raise ConfigError(f"{type(model).__name__} needs a modality, but modalities is empty; name one or more{other}")


def bpr_loss(chosen: Float[Tensor, " b"], sampled: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    r"""Bayesian personalised ranking, :math:`-\ln \sigma(s_{ui} - s_{uj})`, the batch's mean (Rendle et al. 2009)."""
    return -nn.functional.logsigmoid(chosen - sampled).mean()


def _naming_what_was_given(read: Callable) -> Callable:
    """Name in refusals the folder that was converted, not the one in the cache, where nobody but us put anything."""

    @functools.wraps(read)
    def wrapped(config: Any, dataset: Any) -> dict[str, ModalityFeatures]:
        try:
            return read(config, dataset)
        except FeatureError as error:
            folder = config["data_path"]
            raise type(error)(str(error).replace(folder, str(origin_of(Path(folder))))) from error

    return wrapped


@_naming_what_was_given
def read_modalities(config: Any, dataset: Any) -> dict[str, ModalityFeatures]:
    """The modalities that the settings name, rows in RecBole's item order, joined by token, ablated as they ask."""
    features_path = config["features_path"]
    read = data_read(config)
    read.features = load_modalities(
        folder=Path(config["data_path"]),
        dataset_name=config["dataset"],
        token2id=dataset.field2token_id[dataset.iid_field],
        n_items=dataset.item_num,
        modalities=config["modalities"],
        text_modalities=config["text_modalities"] or {},
        feature_dim_text=config["text_dim"],
        cache_dir=cache_folder(config),
        features_path=Path(features_path) if features_path else None,
        ablation=read_ablation(config),
        ordered=read.text,
    )
    return dict(read.features)


def read_ablation(config: Any) -> FeatureAblation:
    """What the settings do to content; a checkpoint from before these keys has none of them and keeps its content."""
    keys = {"kind": "features", "missing_share": "missing_share", "seed": "ablation_seed"}
    return FeatureAblation(**{name: config[key] for name, key in keys.items() if key in config})


def interaction_graph(config: Any, dataset: Any, n_users: int, n_items: int) -> ArcGraph:
    """The undirected graph of the training interactions, each once, on ``n_users + n_items`` nodes."""
    users = dataset.inter_feat[dataset.uid_field].numpy()
    items = dataset.inter_feat[dataset.iid_field].numpy()
    src, dst = bipartite_arcs(users, items, n_users, n_items)
    half = len(src) // 2  # the second half are the reverses
    return ArcGraph.from_edges(
        torch.from_numpy(src[:half]),
        torch.from_numpy(dst[:half]),
        n_users + n_items,
        backend=config["message_passing"],
        device=config["device"],
    )


def refuse_other_names(setting: str, given: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """Refuse a setting of modalities that names one which is not in use.

    Raises:
        ConfigError: with the nearest name, and those in use.
    """
    for name in given:
        if name not in names:
            used = f"expected one of {', '.join(names)}" if names else "and no modality is in use"
            raise ConfigError(f"{setting} names '{name}'{nearest(str(name), names)}, {used}")
