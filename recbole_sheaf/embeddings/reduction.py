"""Embeddings made smaller: fewer coefficients into each item, numbers in 16 bits, and what that costs in lists.

It is measured on the users of the validation part, as validation does it: their training items are left out. Where
there is no validation, the lists of a test show how many of their items are exchanged; of its hits nothing is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Optional, Union

import numpy as np
from jaxtyping import Int

from recbole_sheaf.embeddings.embeddings import PARTS, TRAIN, VALID, Embeddings, csc_of
from recbole_sheaf.embeddings.ranking import SCORES_AT_ONCE, PieceScores, best_first, masked_parts
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.evaluation.ranking import Rankings, per_user_metrics

AUTO, ALL = "auto", "all"
WHOLE, HALF = "float32", "float16"
TRIED = (3200, 1600, 800, 400, 200, 100, 50)  # coefficients into an item, one after another while they cost little
MOST_LOST = {"cut": 0.002, "rounded": 0.0002}  # of Recall@20 and of NDCG@20
MOST_EXCHANGED = {"cut": 0.02, "rounded": 0.002}  # of the lists' items, where no validation says what is lost
METRICS, PLACES = ("Recall", "NDCG"), 20
JUDGED, SCORES_JUDGED = 10_000, 2**29  # users, and their scores, at most


class Change(NamedTuple):
    """A metric of whole embeddings and of smaller ones, and the standard error of the difference over users."""

    whole: float
    smaller: float
    error: float

    def is_below(self, share: float) -> bool:
        """Whether less is lost than this share."""
        return self.whole - self.smaller <= share * self.whole


@dataclass(frozen=True)
class Cost:
    """What smaller embeddings lose beside whole ones.

    Attributes:
        exchanged: share of the lists' items that are others.
        metrics: on validation, by name; none without it.
    """

    exchanged: float
    metrics: Mapping[str, Change]

    def is_small(self, what: str) -> bool:
        """Whether it is below the most that a cut, or rounding, may cost."""
        if not self.metrics:
            return self.exchanged <= MOST_EXCHANGED[what]
        return all(change.is_below(MOST_LOST[what]) for change in self.metrics.values())

    def in_words(self) -> str:
        """For people."""
        changes = [
            f"{name} {of.whole:.4f} to {of.smaller:.4f} ({of.smaller / of.whole - 1:+.2%} ± {of.error / of.whole:.2%})"
            if of.whole
            else f"{name} {of.whole:.4f} to {of.smaller:.4f}"
            for name, of in self.metrics.items()
        ]
        return ", ".join([*changes, f"{self.exchanged:.1%} of the lists' items exchanged"])


class ListsBeside:
    """Lists of some users by whole embeddings, beside which those of smaller ones are judged.

    Time O(u n (f + h)) for the lists of u users with histories of length h, and again for each that is judged.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        histories, n_users, n_items = embeddings.histories, len(embeddings.users), len(embeddings.items)
        chosen = histories.matrix(np.arange(n_users), [VALID], n_items)
        self.on_validation = chosen.nnz > 0
        at_test = masked_parts("at_test", embeddings.metadata.get("seen_at_test", PARTS[:2]))
        self.masked = [TRAIN] if self.on_validation else at_test
        rows = np.flatnonzero(np.diff(chosen.indptr)) if self.on_validation else np.arange(n_users)
        most = min(JUDGED, max(1, SCORES_JUDGED // n_items), len(rows))
        self.rows = rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(np.int64))]
        self.held_out = chosen[self.rows]
        self.embeddings, self.k = embeddings, min(PLACES, n_items)

    def cost_of(self, smaller: Embeddings) -> Cost:
        """What these lose, of the same users and items."""
        found = self._lists(smaller)
        both = np.sort(np.concatenate([self._whole, found], axis=1), axis=1)
        exchanged = 1 - float((both[:, 1:] == both[:, :-1]).sum()) / found.size
        return Cost(exchanged, self._changes(found) if self.on_validation else {})

    def in_words(self) -> str:
        """On whom it is measured, for people."""
        where = "on validation" if self.on_validation else "on the lists of a test, as there is no validation"
        return f"{where}, {len(self.rows):,} users"

    @cached_property
    def _whole(self) -> Int[np.ndarray, "u k"]:
        return self._lists(self.embeddings)

    def _lists(self, embeddings: Embeddings) -> Int[np.ndarray, "u k"]:
        scores, n_items = PieceScores(embeddings), len(embeddings.items)
        batch, out = max(1, SCORES_AT_ONCE // n_items), []
        for start in range(0, len(self.rows), batch):
            some = self.rows[start : start + batch]
            found = scores(some)
            found[embeddings.histories.matrix(some, self.masked, n_items).nonzero()] = -np.inf
            out.append(best_first(found, self.k)[0])
        return np.concatenate(out)

    def _changes(self, found: Int[np.ndarray, "u k"]) -> dict[str, Change]:
        offsets, items = (array.astype(np.int64) for array in (self.held_out.indptr, self.held_out.indices))
        whole, smaller = (
            per_user_metrics(Rankings(self.rows, lists, offsets, items), METRICS, [self.k])
            for lists in (self._whole, found)
        )
        errors = (whole - smaller).sem().fillna(0.0)  # of one user nothing is known
        means = zip(whole.mean(), smaller.mean(), errors)
        return {f"{name}@{self.k}": Change(*map(float, each)) for name, each in zip(METRICS, means)}


@dataclass(frozen=True)
class Reduction:
    """How embeddings become smaller.

    Attributes:
        coefficients: at most so many into each item, the largest by magnitude; None keeps all.
        types: of vectors and of coefficients.
        measured: what that costs, as metadata hold it; empty where all stays as it is.
        said: the same in sentences.
    """

    coefficients: Optional[int]
    types: tuple[str, str]
    measured: Mapping[str, Any]
    said: tuple[str, ...]

    def of(self, embeddings: Embeddings) -> Embeddings:
        """The smaller embeddings; coefficients into new items, of which nothing can be measured, stay as they are."""
        smaller = _smaller(embeddings, self.coefficients, self.types)
        about = {"reduced": dict(self.measured)} if self.measured else {}
        return replace(smaller, metadata={**smaller.metadata, **about})


def reduction_of(embeddings: Embeddings, coefficients: Union[int, str] = AUTO, dtype: str = AUTO) -> Reduction:
    """How to make embeddings smaller, and what that costs.

    Args:
        coefficients: into each item; ``all`` keeps them, ``auto`` goes down ``TRIED`` from half of the most there are,
            as long as less than .2 % of Recall@20 and of NDCG@20 is lost.
        dtype: ``float32``, ``float16``, or ``auto``: 16 bits where they cost less than .02 %.

    Raises:
        ConfigError: if a number of coefficients is not positive, or the model has none.

    Time that of the lists of ``JUDGED`` users at most, up to a dozen times, two or three where both are named, and none
    where nothing becomes smaller.
    """
    _refuse_number(embeddings, coefficients)
    beside, most, types, cost = ListsBeside(embeddings), None, (WHOLE, WHOLE), None
    for tried in _types(embeddings, dtype):
        found = beside.cost_of(_smaller(embeddings, None, tried))
        if dtype != AUTO or found.is_small("rounded"):
            types, cost = tried, found
            break
    for number in _numbers(embeddings, coefficients):
        found = beside.cost_of(_smaller(embeddings, number, types))
        if coefficients == AUTO and not found.is_small("cut"):
            break  # fewer that cost little would do so by chance
        most, cost = number, found
    smaller, said = _smaller(embeddings, most, types), []
    done = _in_words(embeddings, smaller, most)
    if cost is not None and done:
        said.append(f"{done}: {cost.in_words()}; {beside.in_words()}")
    if most is None and coefficients == AUTO and _numbers(embeddings, AUTO):
        said.append(
            "all coefficients are kept: half of them or fewer may cost .2 % of Recall@20 or of NDCG@20; name a number "
            "to have no more, and what it costs"
        )
    if dtype != WHOLE:
        said += _in_32_bits(embeddings, types)
    return Reduction(most, types, _measured(embeddings, smaller, most, beside, cost), tuple(said))


def _smaller(embeddings: Embeddings, most: Optional[int], types: tuple[str, str]) -> Embeddings:
    return _with_fewer(embeddings, most).with_floats(*types)


def _with_fewer(embeddings: Embeddings, most: Optional[int]) -> Embeddings:
    """At most so many coefficients into each item that is not new, the largest by magnitude; time O(coefficients)."""
    held = embeddings.coefficients
    if most is None or held is None:
        return embeddings
    kept = np.ones(len(held.data), dtype=bool)
    for column in np.flatnonzero(_lengths(embeddings) > most):
        mine = slice(held.indptr[column], held.indptr[column + 1])
        kept[mine] = False
        kept[mine.start + np.argpartition(np.abs(held.data[mine]), -most)[-most:]] = True
    offsets = np.concatenate([[0], np.cumsum(kept)])[held.indptr]
    return replace(embeddings, coefficients=csc_of(held.data[kept], held.indices[kept], offsets, len(embeddings.items)))


def _lengths(embeddings: Embeddings) -> Int[np.ndarray, " n"]:
    """Coefficients into each item; 0 for a new one, whose stay."""
    if embeddings.coefficients is None:
        return np.zeros(len(embeddings.items), dtype=np.int64)
    lengths = np.diff(embeddings.coefficients.indptr)
    return lengths if embeddings.item_is_new is None else np.where(embeddings.item_is_new, 0, lengths)


def _longest(embeddings: Embeddings) -> int:
    return int(_lengths(embeddings).max(initial=0))


def _numbers(embeddings: Embeddings, coefficients: Union[int, str]) -> list[int]:
    """Of coefficients into an item, those to be judged: below what there is, unasked at most half of it."""
    if coefficients == AUTO:
        return [number for number in TRIED if 2 * number <= _longest(embeddings)]
    return [number for number in ([] if coefficients == ALL else [int(coefficients)]) if number < _longest(embeddings)]


def _types(embeddings: Embeddings, dtype: str) -> list[tuple[str, str]]:
    """Those to be judged, of vectors and of coefficients: not all in 32 bits."""
    if dtype == WHOLE:
        return []
    halved = [(HALF, HALF)]
    return halved if dtype == HALF or embeddings.coefficients is None else [*halved, (WHOLE, HALF)]


def _refuse_number(embeddings: Embeddings, coefficients: Union[int, str]) -> None:
    if coefficients in (AUTO, ALL):
        return
    if int(coefficients) < 1:
        raise ConfigError(
            f"coefficients={coefficients} is below 1; give a whole number from 1, or coefficients=all to keep them"
        )
    if embeddings.coefficients is None:
        model = embeddings.metadata.get("model", "this model")
        raise ConfigError(
            f"coefficients={coefficients} is given, but {model} has no coefficients between items; leave it out"
        )


def _kinds(embeddings: Embeddings) -> dict[str, str]:
    """Types of what there is."""
    held = embeddings.coefficients
    vectors = {"vectors": embeddings.metadata["dtype"]} if embeddings.item_vectors.shape[1] else {}
    return {**vectors, **({} if held is None else {"coefficients": str(held.data.dtype)})}


def _in_words(whole: Embeddings, smaller: Embeddings, most: Optional[int]) -> str:
    done = []
    if most is not None:
        done.append(f"at most {most:,} coefficients into an item, {_count(smaller):,} of {_count(whole):,}")
    halves = [kind for kind, dtype in _kinds(smaller).items() if dtype == HALF]
    return ", ".join([*done, *[f"{' and '.join(halves)} in 16 bits"] * bool(halves)])


def _count(embeddings: Embeddings) -> int:
    """Of coefficients."""
    return 0 if embeddings.coefficients is None else len(embeddings.coefficients.data)


def _in_32_bits(embeddings: Embeddings, types: tuple[str, str]) -> list[str]:
    """Sentences on what stays in 32 bits though 16 were wanted, and why."""
    said = []
    fit = {"vectors": embeddings.fits(HALF), "coefficients": embeddings.coefficients_fit(HALF)}
    for kind, dtype in zip(("vectors", "coefficients"), types):
        if kind in _kinds(embeddings) and not (fit[kind] and dtype == HALF):
            why = "16 may cost .02 % of Recall@20 or of NDCG@20" if fit[kind] else "a number is beyond 65504"
            said.append(f"{kind} stay in 32 bits: {why}")
    return said


def _measured(
    whole: Embeddings, smaller: Embeddings, most: Optional[int], beside: ListsBeside, cost: Optional[Cost]
) -> dict[str, Any]:
    if cost is None:
        return {}
    cut = {} if most is None else {"coefficients_into_an_item": most, "coefficients_of_the_model": _count(whole)}
    return {
        **cut,
        "types": _kinds(smaller),
        "measured_on": {"part": PARTS[VALID] if beside.on_validation else None, "users": len(beside.rows)},
        **{name.lower(): change._asdict() for name, change in cost.metrics.items()},
        "exchanged": cost.exchanged,
    }
