"""Checks of arrays and cut-offs that the modules of this room share."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from recbole_sheaf.errors import ConfigError, DataError


def check_whole(name: str, values: np.ndarray, dimensions: int) -> None:
    """Refuse arrays of ids, offsets or counts that are no whole numbers from 0 on.

    Raises:
        DataError: if ``values`` has other dimensions, another kind of dtype, or a negative entry.
    """
    if values.ndim != dimensions or not np.issubdtype(values.dtype, np.integer):
        raise DataError(
            f"{name} has {values.ndim} dimensions and dtype {values.dtype}; expected {dimensions} and whole numbers"
        )
    if values.size and values.min() < 0:
        raise DataError(f"{name} holds {values.min()}; expected whole numbers from 0 on")


def check_counts(name: str, counts: Int[np.ndarray, " n"], ids: Int[np.ndarray, "..."]) -> None:
    """Refuse counts per id that are no counts or end before the largest of ``ids``.

    Raises:
        DataError: if so.
    """
    check_whole(name, counts, 1)
    if ids.max() >= len(counts):
        raise DataError(
            f"{name} counts ids 0 to {len(counts) - 1} but the rankings hold id {ids.max()}; give one count for every "
            "id, RecBole's padding id 0 included"
        )


def check_topk(places: int, topk: Sequence[int]) -> None:
    """Refuse cut-offs that lists of so many places cannot answer.

    Raises:
        ConfigError: if there is none, or one is below 1 or beyond the lists.
    """
    if not len(topk) or min(topk) < 1 or max(topk) > places:
        raise ConfigError(
            f"topk {list(topk)} does not fit lists of {places} places; choose cut-offs from 1 to {places}"
        )
