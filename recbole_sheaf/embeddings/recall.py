"""How much of the exact lists others hold, measured on some of the owners."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from recbole_sheaf.embeddings.ranking import Lists

MEASURED = 100  # owners of lists on whom recall is measured


def spaced(rows: Int[np.ndarray, " b"], most: int = MEASURED) -> Int[np.ndarray, " m"]:
    """Some of the rows, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))]


def recall(lists: Iterator[Lists], exact: Iterator[Lists]) -> float:
    """Share of the exact lists' items that are in the others; 1 where there are none."""
    ours, theirs = (
        [set(items[np.isfinite(scores)].tolist()) for some in both for items, scores in zip(some.items, some.scores)]
        for both in (lists, exact)
    )
    wanted = sum(len(items) for items in theirs)
    return sum(len(mine & items) for mine, items in zip(ours, theirs)) / wanted if wanted else 1.0
