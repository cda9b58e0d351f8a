"""Items like an item from an index of embeddings, instead of from all items."""

from collections.abc import Iterator
from time import perf_counter

import numpy as np
from jaxtyping import Int

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.embeddings.item_index import AT_ONCE, ItemIndex, enough
from recbole_sheaf.embeddings.ranking import Lists, check_k
from recbole_sheaf.embeddings.recall import recall, spaced
from recbole_sheaf.embeddings.similarity import chosen_by, similar_items
from recbole_sheaf.errors import ConfigError


class ApproximateSimilar:
    """Items like items by the cosine of their embeddings.

    Raises:
        ConfigError: if the model has no embeddings or coefficients are asked for, or there are not k other items.
    """

    def __init__(self, embeddings: Embeddings, k: int, by: str = "auto") -> None:
        check_k(k, len(embeddings.items) - 1)
        if chosen_by(embeddings, by) != "embeddings":
            raise ConfigError("an index searches embeddings, not coefficients; leave --approximate out")
        self.embeddings, self.k = embeddings, k
        rows = embeddings.embeddings.astype(np.float32, copy=False)
        self.unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        seconds = perf_counter()
        self.index = ItemIndex(self.unit)
        self.seconds = perf_counter() - seconds

    def lists(self, rows: Int[np.ndarray, " b"]) -> Iterator[Lists]:
        """The k items most like each, the item itself left out."""
        count = enough(self.k) + 1
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            near = self.index.candidates(self.unit[some], count)
            found = np.einsum("bf,bcf->bc", self.unit[some], self.unit[near])
            found[(near < 0) | (near == some[:, None])] = -np.inf
            best = np.argsort(-found, axis=1, kind="stable")[:, : self.k]
            yield Lists(some, np.take_along_axis(near, best, 1), np.take_along_axis(found, best, 1))

    def said(self, rows: Int[np.ndarray, " b"]) -> str:
        """How lists are made and how much of the exact ones they hold, in a sentence."""
        sample = spaced(rows)
        share = recall(self.lists(sample), similar_items(self.embeddings, sample, self.k, "embeddings"))
        return (
            f"approximate: an HNSW index over {self.unit.shape[1]} columns of {len(self.unit):,} items, built in "
            f"{self.seconds:.0f} s; lists hold {share:.1%} of the exact top {self.k}, measured on {len(sample)} items"
        )
