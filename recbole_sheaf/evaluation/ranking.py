"""Lists of one evaluation beside the held-out items, and each user's metrics from these.

u users, k places in a list, r pairs of a user and a held-out item. User j's held-out items are
``relevant_items[relevant_offsets[j]:relevant_offsets[j + 1]]``; ranks count from 1. The metrics are those of RecBole
1.2.1 (``recbole/evaluator/metrics.py``), one value per user, so that users can be grouped and models compared user by
user: their mean over the users is RecBole's own number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from recbole_sheaf.errors import ConfigError, DataError, nearest
from recbole_sheaf.evaluation._checks import check_topk, check_whole


@dataclass(frozen=True)
class Rankings:
    """Top lists of one evaluation beside each user's held-out items; checked where it is made.

    Time O(u k log k + r log r) to check, memory O(u k + r).

    Attributes:
        users: id of each user, all different.
        top: item ids, best first; an item at most once in a list. Ids that nobody holds out are never looked up, so a
            list that ran out of items may be filled with any of them, each once.
        relevant_offsets: where each user's held-out items start and end; every user has at least one.
        relevant_items: the held-out items, an item at most once for a user, in any order.

    Raises:
        DataError: if the arrays do not fit each other in this way.

    Examples:
        >>> top = np.array([[5, 1, 2], [4, 3, 1]])  # user 7 holds out items 1 and 9, user 8 item 4
        >>> rankings = Rankings(np.array([7, 8]), top, np.array([0, 2, 3]), np.array([1, 9, 4]))
        >>> rankings.ranks.tolist()
        [2, 0, 1]
    """

    users: Int[np.ndarray, " u"]
    top: Int[np.ndarray, "u k"]
    relevant_offsets: Int[np.ndarray, " u+1"]
    relevant_items: Int[np.ndarray, " r"]

    def __post_init__(self) -> None:
        for name, dimensions in (("users", 1), ("top", 2), ("relevant_offsets", 1), ("relevant_items", 1)):
            check_whole(name, getattr(self, name), dimensions)
        u = len(self.users)
        if not u or not self.top.shape[1]:
            raise DataError(f"{u} users with lists of {self.top.shape[1]} places; rankings need one of each at least")
        if len(self.top) != u or len(self.relevant_offsets) != u + 1:
            raise DataError(
                f"{u} users but {len(self.top)} lists and {len(self.relevant_offsets)} offsets; expected {u} lists and "
                f"{u + 1} offsets, the first one 0"
            )
        if self.relevant_offsets[0] != 0 or self.relevant_offsets[-1] != len(self.relevant_items):
            raise DataError(
                f"offsets run from {self.relevant_offsets[0]} to {self.relevant_offsets[-1]} but there are "
                f"{len(self.relevant_items)} held-out items; expected 0 to {len(self.relevant_items)}"
            )
        if lacking := int((self.n_relevant < 1).sum()):
            raise DataError(f"{lacking} of {u} users have no held-out item; no metric is defined there: drop them")
        self._check_repeats()

    def _check_repeats(self) -> None:
        if repeated := len(self.users) - len(np.unique(self.users)):
            raise DataError(f"{repeated} of {len(self.users)} users are listed twice; give each user one list")
        if repeated := int((np.diff(self._sorted_keys(self.top), axis=1) == 0).any(axis=1).sum()):
            raise DataError(f"{repeated} of {len(self.users)} lists hold an item twice; an item takes one place")
        if repeated := len(self.relevant_items) - len(np.unique(self._pair_keys)):
            raise DataError(f"{repeated} held-out items are listed twice for their user; list each once")

    @cached_property
    def n_relevant(self) -> Int[np.ndarray, " u"]:
        """Number of held-out items of each user."""
        return np.diff(self.relevant_offsets)

    @cached_property
    def pair_rows(self) -> Int[np.ndarray, " r"]:
        """Row, in ``users`` and ``top``, of the user of each (user, held-out item) pair."""
        return np.repeat(np.arange(len(self.users)), self.n_relevant)

    @cached_property
    def ranks(self) -> Int[np.ndarray, " r"]:
        """Rank, from 1, of the held-out item of each pair in its user's list; 0 if it is not in the list.

        Time O((u k + r) log(u k)), memory O(u k + r).
        """
        u, k = self.top.shape
        order = np.argsort(self.top, axis=1)
        keys = self._sorted_keys(self.top).ravel()
        found = np.minimum(np.searchsorted(keys, self._pair_keys), u * k - 1)
        return np.where(keys[found] == self._pair_keys, order.ravel()[found] + 1, 0)

    @cached_property
    def hits(self) -> Bool[np.ndarray, "u k"]:
        """Whether each place of each list holds one of its user's held-out items."""
        hits = np.zeros(self.top.shape, dtype=bool)
        listed = self.ranks > 0
        hits[self.pair_rows[listed], self.ranks[listed] - 1] = True
        return hits

    def restricted_to(self, pairs: Bool[np.ndarray, " r"]) -> "Rankings":
        """The same lists with only the chosen pairs held out; users without any of them are left out.

        Raises:
            DataError: if no pair is chosen.
        """
        counts = np.bincount(self.pair_rows[pairs], minlength=len(self.users))
        kept = counts > 0
        offsets = np.concatenate([[0], np.cumsum(counts[kept])])
        return Rankings(self.users[kept], self.top[kept], offsets, self.relevant_items[pairs])

    @property
    def _pair_keys(self) -> Int[np.ndarray, " r"]:
        return self.pair_rows * self._n_ids + self.relevant_items

    def _sorted_keys(self, ids: Int[np.ndarray, "u k"]) -> Int[np.ndarray, "u k"]:
        """One number for each (row, id), increasing along the flattened array."""
        return np.arange(len(ids))[:, None] * self._n_ids + np.sort(ids, axis=1)

    @property
    def _n_ids(self) -> int:
        return 1 + max(int(self.top.max()), int(self.relevant_items.max()))


def per_user_metrics(rankings: Rankings, metrics: Sequence[str], topk: Sequence[int]) -> pd.DataFrame:
    """Each user's metrics as RecBole defines them, at every cut-off.

    With R held-out items of a user, and h_j = 1 where place j holds one of them, at a cut-off k:

    - Recall ``Σ_{j≤k} h_j / R``, Precision ``P@k = Σ_{j≤k} h_j / k``, Hit ``max_{j≤k} h_j``, MRR ``max_{j≤k} h_j / j``;
    - NDCG ``DCG(h) / DCG(min(R, k) ones)`` with ``DCG(h) = Σ_{j≤k} h_j / log₂(j + 1)``;
    - MAP ``Σ_{j≤k} h_j P@j / min(R, k)``.

    Args:
        rankings: lists of at least max(topk) places.
        metrics: names in :data:`METRICS`, in any case.
        topk: cut-offs k.

    Returns:
        A row per user, indexed by ``user`` id in the order of ``rankings``; columns such as ``recall@20``, metric by
        metric, in float64 and in [0, 1]. Their means are what RecBole reports before it rounds.

    Raises:
        ConfigError: if a metric is unknown, or a cut-off is below 1 or beyond the lists.

    Time and memory O(u k) for each metric.

    Examples:
        >>> top = np.array([[5, 1, 2], [4, 3, 1]])  # user 7 holds out items 1 and 9, user 8 item 4
        >>> rankings = Rankings(np.array([7, 8]), top, np.array([0, 2, 3]), np.array([1, 9, 4]))
        >>> per_user_metrics(rankings, ["Recall", "MRR"], topk=[2]).loc[7].to_dict()
        {'recall@2': 0.5, 'mrr@2': 0.5}
    """
    check_topk(rankings.top.shape[1], topk)
    hits = rankings.hits.astype(np.float64)
    columns = {}
    for name in metrics:
        values = _METRICS[_known(name)](hits, rankings.n_relevant[:, None])
        columns.update({f"{name.lower()}@{k}": values[:, k - 1] for k in topk})
    return pd.DataFrame(columns, index=pd.Index(rankings.users, name="user"))


def _known(name: str) -> str:
    if name.lower() in _METRICS:
        return name.lower()
    raise ConfigError(f"there is no metric {name!r}{nearest(name, METRICS)}; known are {', '.join(METRICS)}")


# Each gives the metric at every cut-off, column k - 1 for k, from hits of shape (u, k) and |R| of shape (u, 1).
_Hits = Float[np.ndarray, "u k"]
_Counts = Int[np.ndarray, "u 1"]


def _places(hits: _Hits) -> Float[np.ndarray, " k"]:
    return np.arange(1, hits.shape[1] + 1, dtype=np.float64)


def _recall(hits: _Hits, n_relevant: _Counts) -> _Hits:
    return hits.cumsum(axis=1) / n_relevant


def _precision(hits: _Hits, n_relevant: _Counts) -> _Hits:
    return hits.cumsum(axis=1) / _places(hits)


def _hit(hits: _Hits, n_relevant: _Counts) -> _Hits:
    return np.maximum.accumulate(hits, axis=1)


def _mrr(hits: _Hits, n_relevant: _Counts) -> _Hits:
    return np.maximum.accumulate(hits / _places(hits), axis=1)


def _ndcg(hits: _Hits, n_relevant: _Counts) -> _Hits:
    gains = 1 / np.log2(_places(hits) + 1)
    ideal = np.cumsum(gains)
    return (hits * gains).cumsum(axis=1) / ideal[_findable(hits, n_relevant) - 1]


def _map(hits: _Hits, n_relevant: _Counts) -> _Hits:
    return (hits * _precision(hits, n_relevant)).cumsum(axis=1) / _findable(hits, n_relevant)


def _findable(hits: _Hits, n_relevant: _Counts) -> Int[np.ndarray, "u k"]:
    """min(|R|, k), the most held-out items that k places can show."""
    return np.minimum(n_relevant, np.arange(1, hits.shape[1] + 1))


METRICS = ("Recall", "NDCG", "Precision", "MRR", "Hit", "MAP")
_METRICS: dict[str, Callable[[_Hits, _Counts], _Hits]] = dict(
    zip((name.lower() for name in METRICS), (_recall, _ndcg, _precision, _mrr, _hit, _map))
)
