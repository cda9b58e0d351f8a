"""A score taken apart: what each stalk and the item sheaf have of it, and which of the user's items speak for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recbole_sheaf.embeddings.embeddings import PARTS, TRAIN, Embeddings
from recbole_sheaf.embeddings.ranking import PieceScores
from recbole_sheaf.embeddings.similarity import CoefficientRows
from recbole_sheaf.errors import ConfigError

HISTORY = "item sheaf"
RARE = "mean of rare items"


@dataclass(frozen=True)
class Explanation:
    """Parts of a user's score of an item; they add up to it.

    Attributes:
        parts: by name; those of the trained vectors, then ``item sheaf``, what the user's items say.
        spoken: each of the user's items and what it says, signed, the loudest first; they add up to their part.
        rarity: the share of the item's vectors that gave way to the mean of rare items; 0 where none did.
        rank: from 1, among the items that the user does not have.
    """

    user: str
    item: str
    score: float
    rank: int
    parts: dict[str, float]
    spoken: list[tuple[str, float]]
    rarity: float
    in_history: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        spoken = [{"item": item, "says": value} for item, value in self.spoken]
        return {**self.__dict__, "spoken": spoken}


def explain(embeddings: Embeddings, user: str, item: str) -> Explanation:
    """Take the score of a user for an item apart.

    A rare item's vector is drawn to the mean of such items; what the mean has of the score is a part of its own, since
    it says nothing of this item.

    Raises:
        DataError: if user or item is unknown.
        ConfigError: if the model's scores have no parts.
    """
    if not embeddings.blocks and embeddings.coefficients is None:
        model = embeddings.metadata.get("model", "this model")
        raise ConfigError(f"the scores of {model} have no parts that could be shown; take MMSheaf or ItemSheaf")
    row, place = int(embeddings.user_rows([user])[0]), int(embeddings.item_rows([item])[0])
    scores = PieceScores(embeddings)(np.array([row]))[0]
    has = embeddings.histories.matrix(np.array([row]), range(len(PARTS)), len(embeddings.items)).indices
    above = scores > scores[place]
    above[torch.from_numpy(has).long()] = False
    parts = _trained_parts(embeddings, row, place)
    spoken: list[tuple[str, float]] = []
    if embeddings.coefficients is not None or embeddings.width < embeddings.item_vectors.shape[1]:
        history = embeddings.histories.matrix(np.array([row]), [TRAIN], len(embeddings.items)).indices
        said = CoefficientRows(embeddings).column(place).numpy()[history]
        order = np.argsort(-np.abs(said), kind="stable")
        spoken = [(str(embeddings.items[history[at]]), float(said[at])) for at in order]
        parts[HISTORY] = float(said.sum(dtype=np.float64))
    return Explanation(
        user=user,
        item=item,
        score=float(scores[place]),
        rank=int(above.sum()) + 1,
        parts=parts,
        spoken=spoken,
        rarity=0.0 if embeddings.item_rarity is None else float(embeddings.item_rarity[place]),
        in_history=bool((has == place).any()),
    )


def _trained_parts(embeddings: Embeddings, row: int, place: int) -> dict[str, float]:
    """Inner products block by block; of a rare item those of its own vector first, then that of the mean."""
    user = embeddings.user_vectors[row].astype(np.float64)
    item = embeddings.item_vectors[place].astype(np.float64)
    own = item
    if embeddings.item_embeddings is not None and embeddings.item_rarity is not None:
        own = (1 - float(embeddings.item_rarity[place])) * embeddings.item_embeddings[place].astype(np.float64)
    blocks = [block for block in embeddings.blocks if not block.history]
    parts = {block.name: float(user[block.columns] @ own[block.columns]) for block in blocks}
    if own is not item:
        trained = slice(0, embeddings.width)
        parts[RARE] = float(user[trained] @ (item[trained] - own[trained]))
    return parts
