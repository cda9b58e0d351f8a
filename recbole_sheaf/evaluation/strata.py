"""Metrics of groups of users and of items: who is served, and which items are found.

A group's edges are quantiles of a training count. Equal counts always share a group, so groups may differ in size, and
there may be fewer of them than asked for.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from scipy.stats import rankdata

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.evaluation._checks import check_counts
from recbole_sheaf.evaluation.ranking import Rankings, per_user_metrics

COLUMNS = ("kind", "stratum", "users", "pairs", "metric", "value")


def user_strata(
    rankings: Rankings,
    user_history: Int[np.ndarray, " n_users"],
    metrics: Sequence[str],
    topk: Sequence[int],
    groups: int = 5,
) -> pd.DataFrame:
    """Metrics of users grouped by how many training interactions they have; a value is the mean over the group.

    Args:
        rankings: lists and held-out items of one evaluation.
        user_history: training interactions of each user id.
        metrics: names that :func:`per_user_metrics` knows.
        topk: cut-offs.
        groups: how many groups of about as many evaluated users each.

    Returns:
        A row per stratum, shortest histories first, and metric: kind ``user history``, stratum (such as
        ``history 1-3``), its users, their (user, held-out item) pairs, metric (such as ``recall@20``), value.

    Raises:
        DataError: if ``user_history`` holds no counts, or none for some user.
        ConfigError: if a metric is unknown, a cut-off does not fit the lists, or ``groups`` is below 1.

    Time O(u log u) beside that of :func:`per_user_metrics`.

    Examples:
        >>> top = np.array([[5, 1], [4, 3]])  # user 0 finds item 1 of two, user 1 finds its only one
        >>> rankings = Rankings(np.array([0, 1]), top, np.array([0, 2, 3]), np.array([1, 9, 4]))
        >>> user_strata(rankings, np.array([3, 50]), ["Recall"], [2], groups=2)[["stratum", "value"]].values.tolist()
        [['history 3', 0.5], ['history 50', 1.0]]
    """
    check_counts("user_history", user_history, rankings.users)
    values = per_user_metrics(rankings, metrics, topk)
    history = user_history[rankings.users]
    rows = []
    for name, members in _groups("history", history, groups):
        pairs = int(rankings.n_relevant[members].sum())
        rows += _rows("user history", name, int(members.sum()), pairs, values[members].mean())
    return pd.DataFrame(rows, columns=list(COLUMNS))


def item_strata(
    rankings: Rankings,
    item_popularity: Int[np.ndarray, " n_items"],
    metrics: Sequence[str],
    topk: Sequence[int],
    groups: int = 10,
) -> pd.DataFrame:
    """Metrics of held-out items grouped by how many training interactions they have, ``cold`` where they have none.

    In a stratum only its own items count as held out; the lists stay as they are, other items filling their places.
    So recall@k is the share of a user's held-out items of that stratum that the first k places show, and NDCG's ideal
    list shows just these; a value is the mean over the users who hold out an item of the stratum. The other groups are
    quantiles over all items with training interactions, held out or not, so deciles by default.

    Args:
        rankings: lists and held-out items of one evaluation.
        item_popularity: training interactions of each item id.
        metrics: names that :func:`per_user_metrics` knows.
        topk: cut-offs.
        groups: how many groups of about as many trained items each.

    Returns:
        Rows as in :func:`user_strata` with kind ``item popularity``; ``cold`` comes first, then the rarest (such as
        ``popularity 1-3``). A stratum in which nobody holds out an item has 0 users, 0 pairs and the value NaN.

    Raises:
        DataError: if ``item_popularity`` holds no counts, or none for some item.
        ConfigError: if a metric is unknown, a cut-off does not fit the lists, or ``groups`` is below 1.

    Time that of :func:`per_user_metrics` on each stratum's users.

    Examples:
        >>> rankings = Rankings(np.array([0]), np.array([[2, 1]]), np.array([0, 2]), np.array([2, 3]))
        >>> table = item_strata(rankings, np.array([0, 9, 4, 0]), ["Recall"], [2], groups=1)
        >>> table[["stratum", "value"]].values.tolist()  # item 3, which is cold, is not in the list
        [['cold', 0.0], ['popularity 4-9', 1.0]]
    """
    check_counts("item_popularity", item_popularity, rankings.relevant_items)
    trained = item_popularity > 0
    strata = [("cold", ~trained)]
    for name, members in _groups("popularity", item_popularity[trained], groups):
        stratum = np.zeros(len(item_popularity), dtype=bool)
        stratum[np.flatnonzero(trained)[members]] = True
        strata.append((name, stratum))
    rows = []
    for name, stratum in strata:
        pairs = stratum[rankings.relevant_items]
        values = _restricted_metrics(rankings, pairs, metrics, topk)
        rows += _rows("item popularity", name, len(values), int(pairs.sum()), values.mean())
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _restricted_metrics(
    rankings: Rankings, pairs: Bool[np.ndarray, " r"], metrics: Sequence[str], topk: Sequence[int]
) -> pd.DataFrame:
    """Each user's metrics with only the chosen pairs held out; no row where a user has none."""
    if not pairs.any():
        return per_user_metrics(rankings, metrics, topk).head(0)
    return per_user_metrics(rankings.restricted_to(pairs), metrics, topk)


def _groups(name: str, counts: Int[np.ndarray, " n"], groups: int) -> list[tuple[str, Bool[np.ndarray, " n"]]]:
    """Name and members of each group, smallest counts first; a group is chosen by the middle rank of equal counts."""
    if groups < 1:
        raise ConfigError(f"groups {groups} is below 1; choose how many groups to form")
    numbers = np.floor(groups * (rankdata(counts) - 0.5) / max(len(counts), 1))
    members = [numbers == number for number in np.unique(numbers)]
    return [(f"{name} {_interval(counts[chosen])}", chosen) for chosen in members]


def _interval(counts: Int[np.ndarray, " n"]) -> str:
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low}-{high}"


def _rows(kind: str, stratum: str, users: int, pairs: int, means: pd.Series) -> list[tuple]:
    return [(kind, stratum, users, pairs, metric, value) for metric, value in means.items()]
