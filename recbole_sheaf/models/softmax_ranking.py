r"""The softmax of cosines as a recommender trains with it: a user's training interactions, settings, sampled items.

Our models hold one (:class:`~recbole_sheaf.models.multimodal.EmbeddingRecommender`), RecBole's that we serve hold the
same (:mod:`~recbole_sheaf.plugin.recbole_softmax`), so all of them train by the same code.

**Popularity.** A cosine is bounded, and what a rare and a popular item differ by takes much of its range. With
``softmax_popularity`` :math:`\alpha` the logits of training gain :math:`\alpha \ln(1 + d_i)`, d_i the item's training
interactions, a prior that the cosines need not learn then (as a bias by class frequency in Menon et al. 2021,
https://arxiv.org/abs/2007.07314). Ranking keeps a share :math:`\pi` of it, ``popularity_kept``, which validation
chooses when the epochs are over: all of it ranks as the training interactions say, none of it by cosines alone. It pays
where histories are short: a free vector that few interactions train does not learn what all users have in common.
``auto`` is :math:`\alpha = 1` where half of the users have 10 interactions or fewer, else 0
(docs/results/search-log.md).

**Temperature.** What few interactions train must not tell items apart too sharply: ``softmax_temperature: auto`` is .15
where half of the users have more than 40 interactions, else .2 (likewise there).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple
from typing import Any, Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from recbole_sheaf.layers.softmax_loss import ItemSampler, softmax_loss
from recbole_sheaf.models.score_factors import ScoreFactors
from recbole_sheaf.models.sheaf_targets import SheafTargets
from recbole_sheaf.models.weighing import Weighing, weighings
from recbole_sheaf.settings.config import LossSettings
from recbole_sheaf.settings.rules import Choices

SHORT_HISTORY = 10  # interactions; where half of the users have so many or fewer, training takes popularity in
LONG_HISTORY = 40  # where half of them have more, cosines are told apart more sharply
Pairs = tuple[Int[Tensor, " p"], Int[Tensor, " p"]]


class SoftmaxRanking(nn.Module):
    """What ``loss: softmax`` adds to a recommender; no parameters, nothing that a checkpoint keeps.

    An interaction that the data hold more than once counts once, as in the graphs.
    """

    counts: Tensor
    starts: Tensor
    items: Tensor
    popularity: Tensor

    def __init__(self, settings: LossSettings, dataset: Any) -> None:
        super().__init__()
        users, items = (dataset.inter_feat[field].long() for field in (dataset.uid_field, dataset.iid_field))
        distinct = (users * dataset.item_num + items).unique()  # sorted by user, then by item
        users, items = distinct // dataset.item_num, distinct % dataset.item_num
        self.register_buffer("counts", torch.bincount(users, minlength=dataset.user_num), persistent=False)
        self.register_buffer("starts", self.counts.cumsum(0) - self.counts, persistent=False)
        self.register_buffer("items", items, persistent=False)
        draws = settings.sampled(dataset.item_num - 1)
        frequency = torch.bincount(items, minlength=dataset.item_num)
        self.sampler = None if draws is None else ItemSampler(frequency, draws)
        given = settings.softmax_temperature
        self.temperature = auto_temperature(self.counts) if given == "auto" else float(given)
        given = settings.softmax_popularity
        self.popularity_weight = popularity_weight(self.counts) if given == "auto" else float(given)
        self.popularity_kept = settings.popularity_kept if self.popularity_weight else 0.0
        self.register_buffer("popularity", self.popularity_weight * frequency.float().log1p(), persistent=False)

    def kept(self, weighing: Weighing) -> Optional[Float[Tensor, " n_items"]]:
        """What popularity adds to the score of each item under a weighing, in logits; None where it adds nothing."""
        share = weighing.popularity_kept
        return share * self.popularity if share and self.popularity_weight else None

    def pairs(self, users: Int[Tensor, " b"]) -> Pairs:
        """All training interactions of the users, those of a user side by side; O(p)."""
        counts = self.counts[users]
        before = counts.cumsum(0) - counts
        shift = (self.starts[users] - before).repeat_interleave(counts)
        return users.repeat_interleave(counts), self.items[shift + torch.arange(len(shift), device=shift.device)]

    def loss(
        self,
        user_all: Float[Tensor, "n_users f"],
        item_all: Float[Tensor, "n_items f"],
        pairs: Pairs,
        offset: Optional[Float[Tensor, "#b n_items"]] = None,
        targets: Optional[SheafTargets] = None,
    ) -> Float[Tensor, ""]:
        """The softmax of the pairs; those of a user share one row of logits.

        Args:
            user_all: all users.
            item_all: all items.
            pairs: user and item of each interaction, those of a user side by side.
            offset: of the logits, beside that of popularity, see
                :func:`~recbole_sheaf.layers.softmax_loss.softmax_loss`; one row, or a row for each user of the pairs in
                their order.
            targets: items beside those of the pairs that share their mass; None leaves it to the pairs.
        """
        users, row = pairs[0].unique_consecutive(return_inverse=True)
        item, weight = pairs[1], None
        if targets is not None:
            row, item, weight = targets.soften(users, row, item)
        draw = None if self.sampler is None else self.sampler.draw()
        if self.popularity_weight:
            offset = self.popularity.unsqueeze(0) if offset is None else offset + self.popularity
        rows = nn.functional.embedding(users, user_all)
        return softmax_loss(rows, item_all, (row, item), self.temperature, offset, draw, weight)


def median_history(lengths: Int[Tensor, " n_users"]) -> int:
    """Training interactions of the median user; empty histories do not count, and 0 says that all are empty."""
    histories = lengths[lengths > 0]
    return int(histories.median()) if len(histories) else 0


def short_histories(lengths: Int[Tensor, " n_users"]) -> bool:
    """Whether half of the users have ``SHORT_HISTORY`` training interactions or fewer."""
    return 0 < median_history(lengths) <= SHORT_HISTORY


def popularity_weight(lengths: Int[Tensor, " n_users"]) -> float:
    """Alpha of ``softmax_popularity: auto`` for training histories of these lengths."""
    return 1.0 if short_histories(lengths) else 0.0


def auto_temperature(lengths: Int[Tensor, " n_users"]) -> float:
    """Tau of ``softmax_temperature: auto`` for training histories of these lengths."""
    return 0.15 if median_history(lengths) > LONG_HISTORY else 0.2


class SoftmaxRanked:
    """How a model ranks that may train by :class:`SoftmaxRanking`: by its embeddings and a share of the popularity.

    Mixed into our models and put into RecBole's. They have ``softmax``, which may be None, and ``all_embeddings`` of
    users and items, and are weighed on validation (:mod:`recbole_sheaf.models.weighing`) where something is open.

    Attributes:
        splits_batches: whether processes may share a batch of users: its loss is the mean over its pairs, beside what
            depends on parameters alone, and no random draw depends on which users it has.
        weighings: what validation chooses among, that of training first.
    """

    splits_batches: bool = False
    softmax: Optional[SoftmaxRanking]
    all_embeddings: Callable[[], tuple[Tensor, Tensor]]
    training: bool
    _compared: Optional[tuple[Tensor, Tensor]]
    weighings: list[Weighing]
    weighing_numbers: Tensor

    def leave_open(self: Any, **settings: Choices) -> None:
        """Leave to validation how a score is weighed; a checkpoint says what is in use where there is a choice.

        Args:
            settings: of the parts that a model has beside popularity, see
                :func:`~recbole_sheaf.models.weighing.weighings`.
        """
        kept = 0.0 if self.softmax is None else self.softmax.popularity_kept
        self.weighings = weighings(popularity_kept=kept, **settings)
        numbers = torch.tensor(astuple(self.weighings[0]), dtype=torch.float64)
        self.register_buffer("weighing_numbers", numbers, persistent=len(self.weighings) > 1)

    @property
    def weighing(self) -> Weighing:
        """How the parts of a score are weighed: as validation chose, or as training began."""
        return Weighing(*self.weighing_numbers.tolist())

    @property
    def chosen(self) -> dict[str, float]:
        """What validation chose, or what training began with where it has not yet; settings that were given are not."""
        named, (first, *others) = asdict(self.weighing), [asdict(each) for each in self.weighings]
        return {name: named[name] for name in first if any(each[name] != first[name] for each in others)}

    def weigh(self, weighing: Weighing) -> None:
        """Weigh the parts of a score otherwise; training goes on from where it was."""
        self.weighing_numbers.copy_(torch.tensor(astuple(weighing), dtype=torch.float64))

    def compared_embeddings(self: Any) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Embeddings as they are compared, unit ones under the softmax; kept until the model trains or loads again."""
        if self._compared is not None:
            return self._compared
        users, items = self.all_embeddings()
        compared = (users, items) if self.softmax is None else (normalize(users), normalize(items))
        if not self.training:
            self._compared = compared
        return compared

    def kept_popularity(self, weighing: Weighing) -> Optional[Float[Tensor, " n_items"]]:
        """What popularity adds to the score of each item under a weighing, in logits; None where it adds nothing."""
        return None if self.softmax is None else self.softmax.kept(weighing)

    def ranked_embeddings(self: Any) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Embeddings whose inner products rank: those that are compared, and a column of popularity where it counts."""
        users, items = self.compared_embeddings()
        kept = self.kept_popularity(self.weighing)
        return (users, items) if kept is None else with_popularity(users, items, kept * self.softmax.temperature)

    def predict(self: Any, interaction: Any) -> Float[Tensor, " b"]:
        """Scores of b user-item pairs."""
        users, items = self.ranked_embeddings()
        return (users[interaction[self.USER_ID]] * items[interaction[self.ITEM_ID]]).sum(dim=1)

    def full_sort_predict(self: Any, interaction: Any) -> Float[Tensor, " scores"]:
        """Scores of b users for every item, flattened as RecBole wants them."""
        users, items = self.ranked_embeddings()
        return (users[interaction[self.USER_ID]] @ items.T).flatten()

    def scored_by(
        self, weighings: Sequence[Weighing]
    ) -> Callable[[Int[Tensor, " b"]], Iterator[Float[Tensor, "b n_items"]]]:
        """Gives users' scores for every item under one weighing after another."""
        user_all, item_all = self.compared_embeddings()
        temperature = 1.0 if self.softmax is None else self.softmax.temperature

        def scored(users: Int[Tensor, " b"]) -> Iterator[Tensor]:
            cosines = user_all[users.to(user_all.device)] @ item_all.mT
            for weighing in weighings:
                kept = self.kept_popularity(weighing)
                yield cosines.clone() if kept is None else cosines + kept * temperature

        return scored


def ranked_factors(model: Any, blocks: Sequence[tuple[str, int]] = (), **more: Any) -> ScoreFactors:
    """What a model ranks by that is a :class:`SoftmaxRanked`.

    Args:
        blocks: of its embeddings; () is one.
        more: of :class:`~recbole_sheaf.models.score_factors.ScoreFactors`.
    """
    (users, items), compared = model.ranked_embeddings(), model.compared_embeddings()[1]
    popularity = compared.shape[1] < items.shape[1]
    return ScoreFactors(
        users,
        items,
        list(blocks) or [("embedding", compared.shape[1])],
        popularity,
        cosine=model.softmax is not None,
        item_embeddings=compared if popularity else None,
        **more,
    )


def with_popularity(
    users: Float[Tensor, "n_users f"], items: Float[Tensor, "n_items f"], popularity: Float[Tensor, " n_items"]
) -> tuple[Float[Tensor, "n_users g"], Float[Tensor, "n_items g"]]:
    """Vectors of one more column, so that inner products gain each item's popularity."""
    return torch.cat([users, torch.ones_like(users[:, :1])], 1), torch.cat([items, popularity.to(items)[:, None]], 1)


def squared_norms(rows: Int[Tensor, " p"], table: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
    """Sum of the squared norms of rows of a table, each as often as it is named; O(n f + p) and nothing (p, f)."""
    counts = torch.bincount(rows, minlength=len(table)).to(table)
    return counts @ table.square().sum(dim=1)
