"""Lists from candidates instead of from all items, with how much of the exact lists they hold.

No index searches the sum of an inner product and of coefficients over a history. So the inner product is searched
approximately, what the history says is summed exactly (that is sparse), the best by either are candidates, and these
are scored exactly: an item is missed only if it is among the best by neither, or the index misses it.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import Optional

import numpy as np
from jaxtyping import Bool, Int
from scipy import sparse
from tqdm import tqdm

from recbole_sheaf.embeddings.embeddings import PARTS, TRAIN, Embeddings
from recbole_sheaf.embeddings.item_index import AT_ONCE, ItemIndex, enough
from recbole_sheaf.embeddings.ranking import Lists, check_k, coefficients_by_item, masked_parts, top_lists
from recbole_sheaf.embeddings.similarity import chosen_by, similar_items
from recbole_sheaf.errors import ConfigError


class ApproximateLists:
    """Lists of users, from an index that is built here.

    Args:
        allowed: items that may be listed; None is all.

    Raises:
        ConfigError: if there are no vectors to search, or fewer than k items.
    """

    def __init__(
        self, embeddings: Embeddings, k: int, seen: str = "masked", allowed: Optional[Bool[np.ndarray, " n"]] = None
    ) -> None:
        self.embeddings, self.k, self.seen, self.allowed = embeddings, k, seen, allowed
        self.places = np.arange(len(embeddings.items)) if allowed is None else np.flatnonzero(allowed)
        check_k(k, len(self.places))
        if not embeddings.item_vectors.shape[1]:
            raise ConfigError(
                f"{embeddings.metadata.get('model', 'this model')} has no vectors that an index could search; leave "
                "approximate=True out"
            )
        self.masked = masked_parts(seen, embeddings.metadata.get("seen_at_test", PARTS[:2]))
        self.by_item = coefficients_by_item(embeddings)
        seconds = perf_counter()
        self.index = ItemIndex(embeddings.item_vectors if allowed is None else embeddings.item_vectors[self.places])
        self.seconds = perf_counter() - seconds

    def lists(self, rows: Int[np.ndarray, " b"], show_progress: bool = False) -> Iterator[Lists]:
        """The k best of each user's candidates; places that no candidate fills have the score -inf."""
        with tqdm(total=len(rows), unit=" users", disable=not show_progress) as bar:
            for start in range(0, len(rows), AT_ONCE):
                some = rows[start : start + AT_ONCE]
                yield self._of(some, self.embeddings.histories.matrix(some, self.masked, len(self.embeddings.items)))
                bar.update(len(some))

    def sentence(self, rows: Int[np.ndarray, " b"]) -> str:
        """How lists are made and how much of the exact ones they hold, in a sentence."""
        sample = spaced(rows)
        exact = top_lists(self.embeddings, sample, self.k, seen=self.seen, allowed=self.allowed)
        share = recall(self.lists(sample), exact)
        width, count = self.embeddings.item_vectors.shape[1], enough(self.k)
        by_history = f", the {count} best by the item sheaf" if self.by_item is not None else ""
        return (
            f"approximate: an HNSW index over {width} columns of {len(self.places):,} items, built in "
            f"{self.seconds:.0f} s; {count} candidates by the inner product{by_history}, scored exactly; "
            f"they hold {share:.1%} of the exact top {self.k}, measured on {len(sample)} users"
        )

    def _of(self, rows: Int[np.ndarray, " b"], seen: sparse.csr_matrix) -> Lists:
        longest = int(np.diff(seen.indptr).max(initial=0))
        users = self.embeddings.user_vectors[rows].astype(np.float32, copy=False)
        near = self.index.candidates(users, enough(self.k) + longest)
        sums = self._sums(rows)
        items = np.zeros((len(rows), self.k), dtype=np.int64)
        scores = np.full((len(rows), self.k), -np.inf, dtype=np.float32)
        for place, user in enumerate(users):
            found = self.places[near[place][near[place] >= 0]]
            left_out = seen.indices[seen.indptr[place] : seen.indptr[place + 1]]
            sums_of_user = None if sums is None else sums[place]
            best, their = self._scored(user, found, left_out, sums_of_user)
            items[place, : len(best)], scores[place, : len(best)] = best, their
        return Lists(rows, items, scores)

    def _scored(
        self, user: np.ndarray, found: np.ndarray, left_out: np.ndarray, sums_of_user: Optional[sparse.csr_matrix]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best candidates and their scores."""
        largest = np.zeros(0, dtype=np.int64) if sums_of_user is None else self._largest_sums(sums_of_user, left_out)
        candidates = np.setdiff1d(np.union1d(found, largest), left_out)
        scores = self.embeddings.item_vectors[candidates].astype(np.float32, copy=False) @ user
        if sums_of_user is not None:
            order = np.searchsorted(sums_of_user.indices, candidates)
            there = order < len(sums_of_user.indices)
            there[there] = sums_of_user.indices[order[there]] == candidates[there]
            scores[there] += sums_of_user.data[order[there]]
        best = np.argsort(-scores, kind="stable")[: self.k]
        return candidates[best], scores[best]

    def _largest_sums(self, sums_of_user: sparse.csr_matrix, left_out: np.ndarray) -> np.ndarray:
        """Items of the largest sums, among those that may be listed."""
        kept = ~np.isin(sums_of_user.indices, left_out)
        if self.allowed is not None:
            kept &= self.allowed[sums_of_user.indices]
        items, values = sums_of_user.indices[kept], sums_of_user.data[kept]
        if len(items) <= enough(self.k):
            return items
        return items[np.argpartition(-values, enough(self.k))[: enough(self.k)]]

    def _sums(self, rows: Int[np.ndarray, " b"]) -> Optional[sparse.csr_matrix]:
        if self.by_item is None:
            return None
        sums = self.embeddings.histories.matrix(rows, [TRAIN], len(self.embeddings.items)) @ self.by_item
        sums.sort_indices()
        return sums


class ApproximateSimilar:
    """Items like items by the cosine of their embeddings.

    Raises:
        ConfigError: if the model has no embeddings or coefficients are asked for, or there are not k other items.
    """

    def __init__(self, embeddings: Embeddings, k: int, by: str = "auto") -> None:
        check_k(k, len(embeddings.items) - 1)
        if chosen_by(embeddings, by) != "embeddings":
            raise ConfigError("an index searches embeddings, not coefficients; leave approximate=True out")
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

    def sentence(self, rows: Int[np.ndarray, " b"]) -> str:
        """How lists are made and how much of the exact ones they hold, in a sentence."""
        sample = spaced(rows)
        share = recall(self.lists(sample), similar_items(self.embeddings, sample, self.k, "embeddings"))
        return (
            f"approximate: an HNSW index over {self.unit.shape[1]} columns of {len(self.unit):,} items, built in "
            f"{self.seconds:.0f} s; lists hold {share:.1%} of the exact top {self.k}, measured on {len(sample)} items"
        )


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
