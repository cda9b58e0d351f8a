"""A score taken apart: what each stalk and the item sheaf have of it, and what each of the user's items adds to it."""

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from jaxtyping import Float, Int

from recbole_sheaf.embeddings.embeddings import PARTS, TRAIN, Embeddings
from recbole_sheaf.embeddings.ranking import PieceScores, masked_parts
from recbole_sheaf.embeddings.similarity import CoefficientRows
from recbole_sheaf.errors import ConfigError

HISTORY = "item sheaf"
RARE = "mean of rare items"


@dataclass(frozen=True)
class Explanation:
    """Parts of a user's score of an item; they add up to it.

    Attributes:
        parts: by name; those of the trained vectors, then ``item sheaf``, what the user's items say.
        contributions: of each of the user's items to the score, signed, the largest first; they add up to their part.
        rarity: the share of the item's vectors that gave way to the mean of rare items; 0 where none did.
        rank: from 1, among the items that the user does not have, nor dislikes.
    """

    user: str
    item: str
    score: float
    rank: int
    parts: dict[str, float]
    contributions: list[tuple[str, float]]
    rarity: float
    in_history: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        given = [{"item": item, "contribution": value} for item, value in self.contributions]
        return {**self.__dict__, "contributions": given}


@dataclass(frozen=True, eq=False)
class Contributions:
    """Parts of one user's scores of k items.

    Attributes:
        parts: by name, in the order of :class:`Explanation`; they add up to the scores.
        history: rows of the user's items; none where the model has no item sheaf.
        of_items: contribution of each of them to each of the k scores, signed; over the history they add up to their
            part.
    """

    parts: dict[str, Float[np.ndarray, " k"]]
    history: Int[np.ndarray, " h"]
    of_items: Float[np.ndarray, "h k"]


def contributions(
    embeddings: Embeddings, row: int, places: Int[np.ndarray, " k"], coefficients: Optional[CoefficientRows] = None
) -> Contributions:
    """Take the scores of a user for some items apart.

    Args:
        coefficients: of these items, for who asks often; None makes them.

    Raises:
        ConfigError: if the model's scores have no parts.

    Time O(k f + h k) and the coefficients for the k items.
    """
    if not embeddings.blocks and embeddings.coefficients is None:
        model = embeddings.metadata.get("model", "this model")
        raise ConfigError(f"the scores of {model} have no parts that could be shown; take MMSheaf or ItemSheaf")
    parts = _trained_parts(embeddings, row, places)
    if embeddings.coefficients is None and embeddings.width == embeddings.item_vectors.shape[1]:
        return Contributions(parts, np.zeros(0, dtype=np.int32), np.zeros((0, len(places)), dtype=np.float32))
    history = embeddings.histories.matrix(np.array([row]), [TRAIN], len(embeddings.items)).indices
    each = (CoefficientRows(embeddings) if coefficients is None else coefficients).between(history, places)
    parts[HISTORY] = each.sum(axis=0, dtype=np.float64)
    return Contributions(parts, history, each)


def explain(embeddings: Embeddings, user: str, item: str) -> Explanation:
    """Take the score of a user for an item apart.

    A rare item's vector is drawn to the mean of such items; what the mean has of the score is a part of its own, since
    it says nothing of this item.

    Raises:
        DataError: if user or item is unknown.
        ConfigError: if the model's scores have no parts.
    """
    row, place = int(embeddings.user_rows([user])[0]), int(embeddings.item_rows([item])[0])
    scores = PieceScores(embeddings)(np.array([row]))[0]
    has = embeddings.histories.matrix(np.array([row]), range(len(PARTS)), len(embeddings.items)).indices
    above = scores > scores[place]
    left_out = embeddings.histories.matrix(np.array([row]), masked_parts("masked", ()), len(embeddings.items))
    above[left_out.indices] = False
    found = contributions(embeddings, row, np.array([place]))
    added = found.of_items[:, 0]
    order = np.argsort(-np.abs(added), kind="stable")
    return Explanation(
        user=user,
        item=item,
        score=float(scores[place]),
        rank=int(above.sum()) + 1,
        parts={name: float(values[0]) for name, values in found.parts.items()},
        contributions=[(str(embeddings.items[found.history[at]]), float(added[at])) for at in order],
        rarity=0.0 if embeddings.item_rarity is None else float(embeddings.item_rarity[place]),
        in_history=bool((has == place).any()),
    )


def _trained_parts(
    embeddings: Embeddings, row: int, places: Int[np.ndarray, " k"]
) -> dict[str, Float[np.ndarray, " k"]]:
    """Inner products block by block; of a rare item those of its own vector first, then that of the mean."""
    user = embeddings.user_vectors[row].astype(np.float64)
    items = embeddings.item_vectors[places].astype(np.float64)
    own = items
    if embeddings.item_embeddings is not None and embeddings.item_rarity is not None:
        kept, own = 1 - embeddings.item_rarity[places].astype(np.float64), items.copy()
        own[:, : embeddings.embedded] = kept[:, None] * embeddings.item_embeddings[places].astype(np.float64)
    blocks = [block for block in embeddings.blocks if not block.history]
    parts = {block.name: own[:, block.columns] @ user[block.columns] for block in blocks}
    if own is not items:
        trained = slice(0, embeddings.width)
        parts[RARE] = (items[:, trained] - own[:, trained]) @ user[trained]
    return parts
