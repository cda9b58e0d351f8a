r"""Metrics that lists in random order are expected to have, without a draw.

Of n candidates, of which :math:`|R|` are held out, a list shows k in an order that is equally likely to be any. A place
holds a held-out item with probability :math:`|R| / n`, two places do with :math:`|R| (|R| - 1) / (n (n - 1))`, and the
first j hold none with :math:`S_j = \prod_{i \le j} (n - |R| - i + 1) / (n - i + 1)`. The metrics are those of
:func:`~recbole_sheaf.evaluation.ranking.per_user_metrics`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from recbole_sheaf.errors import DataError


def expected_metrics(
    n_candidates: Int[np.ndarray, " u"],
    n_relevant: Int[np.ndarray, " u"],
    metrics: Sequence[str],
    topk: Sequence[int],
) -> pd.DataFrame:
    """Each user's expected metrics under a random order of the candidates.

    Args:
        n_candidates: n, how many items may be in a user's list.
        n_relevant: how many of these are held out.
        metrics: names in :data:`~recbole_sheaf.evaluation.ranking.METRICS`, in any case.
        topk: cut-offs k; places beyond n are empty.

    Returns:
        A row per user, columns as of ``per_user_metrics``.

    Raises:
        DataError: if a user has no held-out item, or more of them than candidates.

    Time and memory O(u k).

    Examples:
        >>> expected_metrics(np.array([10]), np.array([1]), ["Recall", "MRR"], [2]).round(3).values.tolist()
        [[0.2, 0.15]]
    """
    if bool(((n_relevant < 1) | (n_relevant > n_candidates)).any()):
        raise DataError("a user holds out no candidate, or more than there are; leave such users out")
    n, r = n_candidates[:, None].astype(np.float64), n_relevant[:, None].astype(np.float64)
    places = np.arange(1, max(topk) + 1, dtype=np.float64)
    there = places <= n
    hit = np.where(there, r / n, 0.0)
    none_yet = np.cumprod(
        np.where(there, np.maximum(n - r - places + 1, 0) / np.maximum(n - places + 1, 1), 1.0), axis=1
    )
    first = -np.diff(none_yet, axis=1, prepend=1.0)
    gains = 1 / np.log2(places + 1)
    findable = np.minimum(n_relevant[:, None], np.arange(1, max(topk) + 1))
    precision_of_hits = (1 + (places - 1) * (r - 1) / np.maximum(n - 1, 1)) / places
    values: dict[str, Float[np.ndarray, "u k"]] = {
        "recall": hit.cumsum(axis=1) / r,
        "ndcg": (hit * gains).cumsum(axis=1) / np.cumsum(gains)[findable - 1],
        "precision": hit.cumsum(axis=1) / places,
        "mrr": (first / places).cumsum(axis=1),
        "hit": 1 - none_yet,
        "map": (hit * precision_of_hits).cumsum(axis=1) / findable,
    }
    return pd.DataFrame({f"{name.lower()}@{k}": values[name.lower()][:, k - 1] for name in metrics for k in topk})
