"""Top lists from pieces, exactly, for as many users as there are: batches of users, one matrix product each.

Memory is bounded by ``SCORES_AT_ONCE`` floats, beside the pieces themselves.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from tqdm import tqdm

from recbole_sheaf.embeddings.embeddings import DISLIKED, DISLIKED_LATER, PARTS, TRAIN, Embeddings
from recbole_sheaf.errors import ConfigError

SCORES_AT_ONCE = 2**24  # 64 MiB
DENSE_FROM = 0.1  # share of coefficients that are there, from which they are held as a matrix
SEEN = ("masked", "at_test", "kept")

Scores = Callable[[Int[np.ndarray, " b"]], Float[np.ndarray, "b n"]]  # of rows of users, for all items


@dataclass(frozen=True)
class Lists:
    """Items of some users, best first; an item of which the score is -inf is none.

    Attributes:
        rows: of the users.
        items: rows of items.
    """

    rows: Int[np.ndarray, " b"]
    items: Int[np.ndarray, "b k"]
    scores: Float[np.ndarray, "b k"]

    def __iter__(self) -> Iterator[tuple[int, Int[np.ndarray, " _"], Float[np.ndarray, " _"]]]:
        """Row, items and scores of one user after another, without the places that hold no item."""
        for row, items, scores in zip(self.rows, self.items, self.scores):
            kept = np.isfinite(scores)
            yield int(row), items[kept], scores[kept]


@dataclass(frozen=True, eq=False)
class AtMost:
    """How many items of a group a list may have.

    Attributes:
        groups: of each item; those of -1 are in none, of which a list may have any number.
    """

    groups: Int[np.ndarray, " n"]
    most: int


class PieceScores:
    """Scores of users for all items or some, from their vectors, their histories and the coefficients.

    Args:
        only: rows of the items to score; None is all.

    Time O(b n f), and O(h n) for full coefficients where h is the length of the histories of b users.
    """

    def __init__(self, embeddings: Embeddings, only: Optional[Int[np.ndarray, " m"]] = None) -> None:
        self.histories, self.n_items = embeddings.histories, len(embeddings.items)
        self.users = embeddings.user_vectors
        vectors = embeddings.item_vectors if only is None else embeddings.item_vectors[only]
        self.items = vectors.astype(np.float32, copy=False)
        self.by_item: Optional[sparse.csr_matrix] = None
        self.matrix: Optional[Float[np.ndarray, "n m"]] = None
        for_item = coefficients_for_item(embeddings)
        if for_item is None:
            return
        by_item = (for_item if only is None else for_item[:, only]).tocsr()
        if by_item.nnz >= DENSE_FROM * self.n_items * len(self.items):
            self.matrix = by_item.toarray()
        else:
            self.by_item = by_item

    def of(self, embeddings: Embeddings) -> "PieceScores":
        """The same for other users of the same items (:func:`~.new_users.with_users`), at no cost."""
        other = copy.copy(self)
        other.users, other.histories = embeddings.user_vectors, embeddings.histories
        return other

    def __call__(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b m"]:
        scores = self.users[rows].astype(np.float32, copy=False) @ self.items.T
        if self.matrix is None and self.by_item is None:
            return scores
        histories = self.histories.matrix(rows, [TRAIN], self.n_items)
        if self.matrix is None:
            return scores + (histories @ self.by_item).toarray()
        return scores + histories @ self.matrix


def coefficients_for_item(embeddings: Embeddings) -> Optional[sparse.csc_matrix]:
    """The coefficients into each item, a column for each, in float32; None where there are none."""
    held = embeddings.coefficients
    if held is None or not len(held.data):
        return None
    parts = (held.data.astype(np.float32, copy=False), held.indices, held.indptr)
    return sparse.csc_matrix(parts, shape=held.shape)


def coefficients_by_item(embeddings: Embeddings) -> Optional[sparse.csr_matrix]:
    """The same from each item of a history, a row for each."""
    held = coefficients_for_item(embeddings)
    return None if held is None else held.tocsr()


def top_lists(
    embeddings: Embeddings,
    rows: Int[np.ndarray, " b"],
    k: int,
    scores: Optional[Scores] = None,
    seen: str = "masked",
    allowed: Optional[Bool[np.ndarray, " n"]] = None,
    show_progress: bool = False,
    at_most: Optional[AtMost] = None,
) -> Iterator[Lists]:
    """The k best items of each user.

    Args:
        embeddings: of users and items, with their histories.
        rows: of the users.
        scores: where they come from; None takes the pieces.
        seen: which items of a user are left out: ``masked`` all that the data hold, ``at_test`` those that the test
            of the model left out, ``kept`` none.
        allowed: items that may be listed; None is all.
        at_most: how many of a group: a list takes the best item that still may come, again and again.

    Raises:
        ConfigError: at once, not with the first list, if there are fewer than k items, or ``seen`` is none of these.
    """
    check_k(k, len(embeddings.items) if allowed is None else int(allowed.sum()))
    masked = masked_parts(seen, embeddings.metadata.get("seen_at_test", PARTS[:2]))
    scores = PieceScores(embeddings) if scores is None else scores
    return _top_lists(embeddings, rows, k, scores, masked, allowed, show_progress, at_most)


def users_at_once(n_items: int) -> int:
    """Users whose scores are made together; in other company their last digits may be others."""
    return max(1, SCORES_AT_ONCE // n_items)


def _top_lists(
    embeddings: Embeddings,
    rows: Int[np.ndarray, " b"],
    k: int,
    scores: Scores,
    masked: list[int],
    allowed: Optional[Bool[np.ndarray, " n"]],
    show_progress: bool,
    at_most: Optional[AtMost],
) -> Iterator[Lists]:
    n_items = len(embeddings.items)
    batch = users_at_once(n_items)
    with tqdm(total=len(rows), unit=" users", disable=not show_progress) as bar:
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            found = scores(some)
            refuse_unranked(found)
            user, item = embeddings.histories.matrix(some, masked, n_items).nonzero()
            found[user, item] = -np.inf
            if allowed is not None:
                found[:, ~allowed] = -np.inf
            yield Lists(some, *(best_first(found, k) if at_most is None else best_of_groups(found, k, at_most)))
            bar.update(len(some))


def best_first(scores: Float[np.ndarray, "b n"], k: int) -> tuple[Int[np.ndarray, "b k"], Float[np.ndarray, "b k"]]:
    """The k highest scores of each row, highest first, and their places; time O(b (n + k log k))."""
    best = np.argpartition(scores, -k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    places = np.take_along_axis(best, order, axis=1)
    return places, np.take_along_axis(scores, places, axis=1)


def best_of_groups(
    scores: Float[np.ndarray, "b n"], k: int, at_most: AtMost
) -> tuple[Int[np.ndarray, "b k"], Float[np.ndarray, "b k"]]:
    """The same with no more than so many of a group, equal ones in their order; what is left over scores -inf.

    Time O(b (n + k log k)) where few groups are full, at most O(b n log n).
    """
    places = np.zeros((len(scores), k), dtype=np.int64)
    best = np.full((len(scores), k), -np.inf, dtype=scores.dtype)
    for row, own in enumerate(scores):
        kept = _kept_of_groups(own, k, at_most)
        places[row, : len(kept)], best[row, : len(kept)] = kept, own[kept]
    return places, best


def _kept_of_groups(scores: Float[np.ndarray, " n"], k: int, at_most: AtMost) -> Int[np.ndarray, " _"]:
    """Of the highest scores first, and of more of them until k are kept."""
    looked_at = min(len(scores), 8 * k)
    while True:
        some = np.flatnonzero(scores >= np.partition(scores, -looked_at)[-looked_at])
        order = some[np.argsort(-scores[some], kind="stable")]
        groups = at_most.groups[order]
        side_by_side = np.argsort(groups, kind="stable")
        first = np.searchsorted(groups[side_by_side], groups[side_by_side])
        nth = np.empty(len(order), dtype=np.int64)
        nth[side_by_side] = np.arange(len(order)) - first
        kept = order[(groups < 0) | (nth < at_most.most)][:k]
        if len(kept) == k or looked_at == len(scores):
            return kept
        looked_at = min(len(scores), 8 * looked_at)


def popular_lists(
    embeddings: Embeddings,
    count: int,
    k: int,
    allowed: Optional[Bool[np.ndarray, " n"]] = None,
    at_most: Optional[AtMost] = None,
) -> Iterator[Lists]:
    """For ``count`` users of whom nothing is known: items by the number of their training interactions, their score.

    Raises:
        ConfigError: if there are fewer than k items.
    """
    histories, n_items = embeddings.histories, len(embeddings.items)
    check_k(k, n_items if allowed is None else int(allowed.sum()))
    chosen = np.bincount(histories.items[histories.parts == TRAIN], minlength=n_items)
    scores = chosen[None].astype(np.float32)
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    every = AtMost(np.full(n_items, -1), 1) if at_most is None else at_most  # sorts ties by the items' rows
    places, best = best_of_groups(scores, k, every)
    for row in range(count):
        yield Lists(np.array([row]), places, best)


def refuse_unranked(scores: Float[np.ndarray, "b n"]) -> None:
    """Refuse scores of which some are NaN or infinite: a list would be of nothing.

    Raises:
        ConfigError: naming the number of users.
    """
    odd = int((~(np.isfinite(scores.min(axis=1)) & np.isfinite(scores.max(axis=1)))).sum())
    if odd:
        raise ConfigError(
            f"scores of {odd} of {len(scores)} users are NaN or beyond float32, so nothing ranks; train again with a "
            "lower learning_rate, or with settings nearer to the defaults"
        )


def check_k(k: int, n_items: int) -> None:
    """Refuse a length of lists that no catalogue fills.

    Raises:
        ConfigError: naming both numbers.
    """
    if not 1 <= k <= n_items:
        raise ConfigError(f"k is {k}, but there are {n_items} items to choose from; give a whole number from 1 to that")


def masked_parts(seen: str, at_test: Iterable[str]) -> list[int]:
    """Parts of the data whose items are left out of a user's list; dislikes always, at test those that it knew.

    Raises:
        ConfigError: if ``seen`` is unknown.
    """
    if seen not in SEEN:
        raise ConfigError(f"seen is '{seen}', expected one of {', '.join(SEEN)}")
    named = {"masked": PARTS, "at_test": tuple(at_test), "kept": ()}[seen]
    disliked = [DISLIKED] if seen == "at_test" else [DISLIKED, DISLIKED_LATER]
    return [*disliked, *(PARTS.index(name) for name in named)]
