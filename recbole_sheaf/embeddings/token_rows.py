"""Rows of users or items by their tokens, and a sentence that names the nearest where a token is unknown."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Int

from recbole_sheaf.errors import DataError, nearest, shown

NAMES_COMPARED = 10_000  # with a token that is unknown; comparing a million takes seconds


class TokenRows:
    """Tokens of one kind, ``user`` or ``item``, in the order of their rows."""

    def __init__(self, kind: str, tokens: np.ndarray) -> None:
        self.kind = kind
        self._row = {token: row for row, token in enumerate(tokens.tolist())}

    def __contains__(self, token: str) -> bool:
        return token in self._row

    def __call__(self, tokens: Iterable[str]) -> Int[np.ndarray, " b"]:
        """Rows of tokens.

        Raises:
            DataError: naming the unknown ones and those near them.
        """
        tokens = list(tokens)
        unknown = [token for token in tokens if token not in self._row]
        if unknown:
            listed = ", ".join(f"{shown(token)}{nearest(token, self._near(token))}" for token in unknown[:3])
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise DataError(
                f"the model knows no {self.kind} {listed}{more}; give tokens as they stand in the interactions it was "
                "trained on"
            )
        return np.fromiter((self._row[token] for token in tokens), np.int64, len(tokens))

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._row)

    def _near(self, token: str) -> Sequence[str]:
        """All tokens, or of many those that stand around it in their order: they begin alike."""
        at = bisect_left(self._sorted, token)
        start = max(0, min(at, len(self._sorted) - NAMES_COMPARED // 2) - NAMES_COMPARED // 2)
        return self._sorted[start : start + NAMES_COMPARED]
