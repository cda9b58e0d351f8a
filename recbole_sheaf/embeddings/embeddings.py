r"""What a model scores by, as arrays: vectors of users and items, coefficients between items, histories.

u users, n items, f columns, t interactions. Users and items are rows, in the order of their tokens; there is no
padding.

.. math:: s_{ui} = \langle p_u, q_i \rangle + \sum_{j \in H_u} S_{ji}

p and q are the vectors, S the coefficients, H_u the history of u: the interactions the model was trained on. Columns of
the vectors lie in blocks. In a *history* block a user's numbers are the sum of what the items of H_u *add*, their
*source* factors, and an item's are its *target* factor, so that the block is a matrix of coefficients too, of low rank.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Optional

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

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


TRAIN, VALID, TEST = 0, 1, 2  # parts of the data that an interaction is in
PARTS = ("train", "valid", "test")
DISLIKED, DISLIKED_LATER = -1, -2  # in the place of a part: what a user has in a relation, and no test knew the later
POPULARITY = "item popularity"  # name of the block, one column, in which every user has 1
LARGE, MOST_UNFOLDED = 1 << 26, 32  # bytes from which on so many bytes may come of one that is given, at most
FORMULA = (
    "score(u, i) = user_vector[u] . item_vector[i] + the sum over j in history[u] of coefficient[j, i]; the history of "
    "a user is the interactions of part 0 (train), and where there are no coefficients the sum is 0"
)


@dataclass(frozen=True)
class Block:
    """Columns of the vectors from ``start`` to ``stop``, whose inner product is the part ``name`` of a score."""

    name: str
    start: int
    stop: int
    history: bool = False

    @property
    def columns(self) -> slice:
        """Of an array with f columns."""
        return slice(self.start, self.stop)


class Widths(NamedTuple):
    """Of columns: all, those that were trained, which come first, and of these those of fused embeddings."""

    all: int
    trained: int
    embedded: int

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> "Widths":
        """From blocks one after another: those of histories come last, that of popularity last before them."""
        every = blocks[-1].stop if blocks else 0
        trained = next((block.start for block in blocks if block.history), every)
        return cls(every, trained, trained - any(block.name == POPULARITY for block in blocks))


@dataclass(frozen=True, eq=False)
class Histories:
    """Interactions of each user, compressed: those of row u are ``offsets[u]`` to ``offsets[u + 1]``.

    Attributes:
        items: rows of items.
        parts: of the data, ``TRAIN``, ``VALID`` or ``TEST``; new users have ``TRAIN`` alone. Below 0 an item is none
            of the history: ``DISLIKED``, or ``DISLIKED_LATER`` than the training.
    """

    offsets: Int[np.ndarray, " users_and_one"]
    items: Int[np.ndarray, " t"]
    parts: Int[np.ndarray, " t"]

    def matrix(self, rows: Int[np.ndarray, " b"], parts: Iterable[int], n_items: int) -> sparse.csr_matrix:
        """Rows of zeros and ones over the items, float32, from interactions of the given parts."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        ends = np.cumsum(lengths)
        positions = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.offsets[rows] - (ends - lengths), lengths)
        kept = np.isin(self.parts[positions], list(parts))
        row = np.repeat(np.arange(len(rows)), lengths)[kept]
        ones = np.ones(len(row), dtype=np.float32)
        return sparse.csr_matrix((ones, (row, self.items[positions][kept])), shape=(len(rows), n_items))

    @classmethod
    def of(cls, n_users: int, users: np.ndarray, items: np.ndarray, parts: np.ndarray) -> "Histories":
        """From interactions in any order; one that is listed twice is kept once, in its first part, dislikes last."""
        order = np.lexsort((np.where(parts < TRAIN, len(PARTS) - parts, parts), items, users))
        users, items, parts = users[order], items[order], parts[order]
        first = np.ones(len(users), dtype=bool)
        first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        counts = np.bincount(users[first], minlength=n_users)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(offsets, items[first].astype(np.int32), parts[first].astype(np.int8))


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The pieces of a model's scores; see the module's docstring.

    Attributes:
        users, items: tokens.
        user_vectors, item_vectors: p and q.
        blocks: of the columns of p and q, one after another; () where f is 0.
        item_sources: what an item of the history adds to a user's vector, in the columns of the history blocks.
        histories: of the users; with the coefficients, their part of a score.
        coefficients: S; column i holds those into item i, signed. None is zeros.
        item_sources_trained: the same for the columns before them, of which a new user's are made; None where training
            alone gives these.
        item_embeddings: fused embeddings of the items where q is another: q draws rare items to their mean, and has a
            column of popularity.
        item_rarity: how far, in [0, 1].
        item_is_new: items that the model was not trained with.
        layers: vectors after each layer, by names such as ``user_layer_0``.
        metadata: of what model on what data; plain values, as JSON holds them.
    """

    users: np.ndarray
    items: np.ndarray
    user_vectors: Float[np.ndarray, "u f"]
    item_vectors: Float[np.ndarray, "n f"]
    blocks: tuple[Block, ...]
    item_sources: Float[np.ndarray, "n _"]
    histories: Histories
    coefficients: Optional[sparse.csc_matrix] = None
    item_sources_trained: Optional[Float[np.ndarray, "n _"]] = None
    item_embeddings: Optional[Float[np.ndarray, "n _"]] = None
    item_rarity: Optional[Float[np.ndarray, " n"]] = None
    item_is_new: Optional[Bool[np.ndarray, " n"]] = None
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Columns before the first history block: the vectors that were trained."""
        return Widths.of(self.blocks).trained

    @property
    def embedded(self) -> int:
        """Columns of the fused embeddings: those that were trained but the last, of popularity, where there is one."""
        return Widths.of(self.blocks).embedded

    @property
    def embeddings(self) -> Float[np.ndarray, "n _"]:
        """By what items are alike: fused embeddings; no column where nothing was trained but coefficients."""
        return self.item_vectors[:, : self.embedded] if self.item_embeddings is None else self.item_embeddings

    @cached_property
    def _user_rows(self) -> TokenRows:
        return TokenRows("user", self.users)

    @cached_property
    def _item_rows(self) -> TokenRows:
        return TokenRows("item", self.items)

    def user_rows(self, tokens: Iterable[str]) -> Int[np.ndarray, " b"]:
        """Rows of users.

        Raises:
            DataError: naming the unknown tokens and those near them.
        """
        return self._user_rows(tokens)

    def item_rows(self, tokens: Iterable[str]) -> Int[np.ndarray, " b"]:
        """Rows of items.

        Raises:
            DataError: naming the unknown tokens and those near them.
        """
        return self._item_rows(tokens)

    def knows_user(self, token: str) -> bool:
        """Whether a user of this token is there."""
        return token in self._user_rows

    def knows_item(self, token: str) -> bool:
        """Whether an item of this token is there."""
        return token in self._item_rows

    def with_floats(self, dtype: str, coefficients: Optional[str] = None) -> "Embeddings":
        """The same in float32 or float16; half the size, and a score keeps three digits.

        Args:
            coefficients: their type, where it is another than that of all vectors.

        Vectors or coefficients of which one is beyond float16, 65504, stay float32, and so do all of their kind.
        """
        vectors = dtype if self.fits(dtype) else "float32"
        coefficients = dtype if coefficients is None else coefficients
        if not self.coefficients_fit(coefficients):
            coefficients = "float32"

        def cast(array: np.ndarray) -> np.ndarray:
            return array.astype(vectors, copy=False)

        def cast_any(array: Optional[np.ndarray]) -> Optional[np.ndarray]:
            return None if array is None else cast(array)

        held = self.coefficients
        if held is not None and held.data.dtype != coefficients:
            held = csc_of(held.data.astype(coefficients), held.indices, held.indptr, len(self.items))
        return replace(
            self,
            user_vectors=cast(self.user_vectors),
            item_vectors=cast(self.item_vectors),
            coefficients=held,
            item_sources=cast(self.item_sources),
            item_sources_trained=cast_any(self.item_sources_trained),
            item_embeddings=cast_any(self.item_embeddings),
            item_rarity=cast_any(self.item_rarity),
            layers={name: cast(array) for name, array in self.layers.items()},
            metadata={**self.metadata, "dtype": vectors},
        )

    def fits(self, dtype: str) -> bool:
        """Whether every number of the vectors is one of this type."""
        own = (self.user_vectors, self.item_vectors, self.item_sources, self.item_sources_trained, self.item_embeddings)
        return all(_within(array, dtype) for array in (*own, *self.layers.values()) if array is not None)

    def coefficients_fit(self, dtype: str) -> bool:
        """Whether every coefficient is a number of this type."""
        return self.coefficients is None or _within(self.coefficients.data, dtype)


def _within(array: np.ndarray, dtype: str) -> bool:
    return max(float(array.max(initial=0)), -float(array.min(initial=0))) <= float(np.finfo(dtype).max)


def csc_of(values: np.ndarray, rows: np.ndarray, offsets: np.ndarray, n: int) -> sparse.csc_matrix:
    """A square matrix from its compressed columns, of any float type: SciPy's constructor refuses float16."""
    out = sparse.csc_matrix((n, n), dtype=np.float32)
    out.data, out.indices, out.indptr = values, rows, offsets
    return out
