"""Properties of the lists that do not depend on who they are for: coverage, evenness, popularity, novelty.

Only the first k places count. n_i is the number of training interactions of item i and N their sum.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation._checks import check_counts, check_topk
from recbole_sheaf.evaluation.ranking import Rankings

HEAD_SHARE = 0.8


def beyond_accuracy(
    rankings: Rankings,
    item_popularity: Int[np.ndarray, " n_items"],
    topk: Sequence[int],
    head_share: float = HEAD_SHARE,
) -> dict[str, float]:
    """Coverage, evenness, popularity and novelty of the lists at every cut-off.

    - ``itemcoverage@k``: share of the n_items ids that some list shows; as RecBole's ItemCoverage.
    - ``giniindex@k``: Gini coefficient of how often each of the n_items ids is shown, 0 for evenly; as RecBole's.
    - ``averagepopularity@k``: mean n_i over all places; as RecBole's AveragePopularity.
    - ``popularityshare@k``: mean n_i / N over all places, which compares across datasets.
    - ``aplt@k``: average percentage of long-tail items, here as a share: the share of a user's k places that show
      items of :func:`long_tail`, averaged over users (Abdollahpouri et al. 2019, https://arxiv.org/abs/1901.07555).
    - ``novelty@k``: mean of -log₂ p(i) over all places, in bits (expected free discovery without discounts, Vargas &
      Castells 2011, https://doi.org/10.1145/2043932.2043955). With p(i) = n_i / N a cold item would be infinitely new;
      each item is given one interaction more, p(i) = (n_i + 1) / (N + n_items).

    Args:
        rankings: lists of an evaluation.
        item_popularity: n_i of each id. RecBole counts its padding id 0 among the items; so does n_items where the
            counts start with that id, and coverage and Gini are then RecBole's to the last digit.
        topk: cut-offs.
        head_share: see :func:`long_tail`.

    Returns:
        Each metric at each cut-off, keyed as above.

    Raises:
        DataError: if ``item_popularity`` holds no counts, none for some item of the lists, or nothing but zeros.
        ConfigError: if a cut-off does not fit the lists, or ``head_share`` is outside (0, 1).

    Time and memory O(u k + n_items log n_items).

    Examples:
        >>> top = np.array([[1, 2], [1, 3]])  # two users
        >>> rankings = Rankings(np.array([1, 2]), top, np.array([0, 1, 2]), np.array([1, 3]))
        >>> values = beyond_accuracy(rankings, np.array([0, 7, 2, 1]), topk=[1, 2])
        >>> values["itemcoverage@1"], values["itemcoverage@2"], values["averagepopularity@2"]
        (0.25, 0.75, 4.25)
    """
    check_counts("item_popularity", item_popularity, rankings.top)
    check_topk(rankings.top.shape[1], topk)
    tail = long_tail(item_popularity, head_share)
    total, n_items = item_popularity.sum(), len(item_popularity)
    information = -np.log2((item_popularity + 1) / (total + n_items))
    values: dict[str, float] = {}
    for k in topk:
        shown = rankings.top[:, :k]
        times = np.bincount(shown.ravel(), minlength=n_items)
        popularity = item_popularity[shown].mean()
        values[f"itemcoverage@{k}"] = int(np.count_nonzero(times)) / n_items
        values[f"giniindex@{k}"] = _gini(times)
        values[f"averagepopularity@{k}"] = float(popularity)
        values[f"popularityshare@{k}"] = float(popularity / total)
        values[f"aplt@{k}"] = float(tail[shown].mean())
        values[f"novelty@{k}"] = float(information[shown].mean())
    return values


def long_tail(
    item_popularity: Int[np.ndarray, " n_items"], head_share: float = HEAD_SHARE
) -> Bool[np.ndarray, " n_items"]:
    """Whether each item is in the long tail, outside of the head.

    The head takes items by falling popularity until it holds ``head_share`` of all interactions; items as popular as
    the last one taken belong to it as well, so equal items are treated alike. Cold items are in the tail.

    Raises:
        DataError: if no item has a training interaction.
        ConfigError: if ``head_share`` is outside (0, 1).

    Time O(n_items log n_items).

    Examples:
        >>> long_tail(np.array([70, 10, 10, 6, 4, 0]), head_share=0.8).tolist()  # the two of 10 tie
        [False, False, False, True, True, True]
    """
    if not 0 < head_share < 1:
        raise ConfigError(f"head_share {head_share} is outside (0, 1); it is the head's share of training interactions")
    gathered = np.sort(item_popularity)[::-1].cumsum()
    if not len(gathered) or not gathered[-1]:
        raise DataError(
            f"none of {len(gathered)} items has a training interaction; count them on the training split, "
            "where the head of the catalogue is defined"
        )
    last = np.searchsorted(gathered, head_share * gathered[-1])
    return item_popularity < np.sort(item_popularity)[::-1][last]


def _gini(times: Int[np.ndarray, " n_items"]) -> float:
    """Gini coefficient Σ_i (2i - n - 1) x_i / (n Σ_i x_i) of values in rising order, i from 1 to n."""
    n = len(times)
    weights: Float[np.ndarray, " n_items"] = 2.0 * np.arange(1, n + 1) - n - 1
    return float(weights @ np.sort(times) / (n * times.sum()))
