"""Items like an item: by the cosine of their embeddings, or by what an item says for others."""

from collections.abc import Iterator
from functools import cached_property
from typing import Optional

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.embeddings.ranking import SCORES_AT_ONCE, Lists, best_first, check_k, coefficients_for_item
from recbole_sheaf.errors import ConfigError

BY = ("auto", "embeddings", "coefficients")


def similar_items(
    embeddings: Embeddings,
    rows: Int[np.ndarray, " b"],
    k: int,
    by: str = "auto",
    allowed: Optional[Bool[np.ndarray, " n"]] = None,
    likeness: Optional["Likeness"] = None,
) -> Iterator[Lists]:
    """The k items most like each of some items, the item itself left out.

    Args:
        by: ``embeddings``, the cosine of fused embeddings; ``coefficients``, what an item in a history adds to the
            scores of others, which may be unlike it and often chosen with it; ``auto``, the first where there are any.
        likeness: of these embeddings, for who asks often; None makes it.

    Raises:
        ConfigError: at once, not with the first list, if there are not k other items, or the model lacks what ``by``
            names.
    """
    others = len(embeddings.items) if allowed is None else int(allowed.sum())
    check_k(k, others - 1)
    by = chosen_by(embeddings, by)
    return _similar_items(rows, k, by, allowed, Likeness(embeddings) if likeness is None else likeness)


def _similar_items(
    rows: Int[np.ndarray, " b"], k: int, by: str, allowed: Optional[Bool[np.ndarray, " n"]], likeness: "Likeness"
) -> Iterator[Lists]:
    batch = max(1, SCORES_AT_ONCE // len(likeness.embeddings.items))
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        found = likeness(some, by)
        found[np.arange(len(some)), some] = -np.inf
        if allowed is not None:
            found[:, ~allowed] = -np.inf
        yield Lists(some, *best_first(found, k))


class Likeness:
    """How alike items are, with what is the same for all made once, when it is first asked for."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings

    @cached_property
    def _unit(self) -> Float[np.ndarray, "n _"]:
        rows = _floats(self.embeddings.embeddings)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)

    @cached_property
    def _coefficients(self) -> "CoefficientRows":
        return CoefficientRows(self.embeddings)

    def __call__(self, rows: Int[np.ndarray, " b"], by: str) -> Float[np.ndarray, "b n"]:
        """Of some items to all, by ``embeddings`` or by ``coefficients``."""
        return self._coefficients(rows) if by == "coefficients" else self._unit[rows] @ self._unit.T


class CoefficientRows:
    """What items in a history add to the scores of others: sparse coefficients and history blocks together."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.sources = _floats(embeddings.item_sources)
        self.targets = _floats(embeddings.item_vectors[:, embeddings.width :])
        self.for_item = coefficients_for_item(embeddings)

    @cached_property
    def by_item(self) -> Optional[sparse.csr_matrix]:
        """The coefficients by rows; half a second for ten million, so only where rows are asked for."""
        return None if self.for_item is None else self.for_item.tocsr()

    def __call__(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b n"]:
        found = self.sources[rows] @ self.targets.T
        return found if self.by_item is None else found + self.by_item[rows].toarray()

    def between(self, history: Int[np.ndarray, " h"], items: Int[np.ndarray, " k"]) -> Float[np.ndarray, "h k"]:
        """What the items of a history add to the scores of some items; time O(h k) and the coefficients for these."""
        found = self.sources[history] @ self.targets[items].T
        return found if self.for_item is None else found + self.for_item[:, items][history].toarray()


def chosen_by(embeddings: Embeddings, by: str) -> str:
    """What ``auto`` stands for.

    Raises:
        ConfigError: if the model lacks what ``by`` names.
    """
    if by not in BY:
        raise ConfigError(f"by is '{by}', expected one of {', '.join(BY)}")
    there = {
        "embeddings": embeddings.embeddings.shape[1] > 0,
        "coefficients": embeddings.coefficients is not None or embeddings.width < embeddings.item_vectors.shape[1],
    }
    if by != "auto" and there[by]:
        return by
    first = next((name for name, has in there.items() if has), None)
    model = embeddings.metadata.get("model", "this model")
    if first is None:
        raise ConfigError(f"{model} has neither embeddings nor coefficients, so no item is like another to it")
    if by != "auto":
        raise ConfigError(f"{model} has no {by}; take by={first}")
    return first


def _floats(rows: np.ndarray) -> Float[np.ndarray, "n _"]:
    return np.ascontiguousarray(rows, dtype=np.float32)
