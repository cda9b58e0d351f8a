r"""How good item vectors are as vectors: what near items have in common, and one kind of them found from another.

n items, d columns, g groups, q items that ask, k neighbours. Near is near by cosine. A group is whatever several items
may be in: a user who chose them, a genre, a category. Two items *share* where some group holds both.

.. math::

    \mathrm{share}_i = \frac 1k \sum_{j \in N_k(i)} s_{ij},
    \qquad s_{ij} = \Bigl[\, \textstyle\sum_g m_{ig}\, m_{jg} > 0 \Bigr]

beside its chance, the mean of :math:`s_{ij}` over all others j, and its chance *among equals*: each neighbour gives way
to the mean over items of its own stratum, such as its popularity, since what many chose shares users with anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from recbole_sheaf.errors import ConfigError, DataError

AT_ONCE = 2**22  # similarities, 16 MiB
LEAST = 1e-12  # a length below it is that of no vector
EQUAL = 1e-6  # cosines that are nearer to each other are equal
RIDGE = 1.0


@dataclass(frozen=True, eq=False)
class Shared:
    """Of each item that asked: the share of its neighbours with which it shares a group, and both chances of it.

    Examples:
        >>> halves = Shared(np.array([0.5, 1.0]), chance=np.array([0.25, 0.25]), among_equals=np.array([0.5, 0.5]))
        >>> float((halves.share - halves.among_equals).mean())
        0.25
    """

    share: Float[np.ndarray, " q"]
    chance: Float[np.ndarray, " q"]
    among_equals: Float[np.ndarray, " q"]


@dataclass(frozen=True, eq=False)
class Found:
    """Of each item that asked: whether its own row is among the k nearest, and one over its place.

    Rows that are equally near stand in any order, of which these are the means.

    Examples:
        >>> first_and_third = Found(recall=np.array([1.0, 1.0]), reciprocal_rank=np.array([1.0, 1 / 3]))
        >>> round(float(first_and_third.reciprocal_rank.mean()), 3)
        0.667
    """

    recall: Float[np.ndarray, " q"]
    reciprocal_rank: Float[np.ndarray, " q"]


def unit_rows(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows at length 1, float32; rows of zeros stay.

    Examples:
        >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, LEAST)).astype(np.float32)


def nearest_rows(
    vectors: Float[np.ndarray, "n d"], asking: Int[np.ndarray, " q"], k: int
) -> Iterator[tuple[Int[np.ndarray, " b"], Int[np.ndarray, "b k"]]]:
    """The k rows nearest to each of some by cosine, itself left out, some at a time; of equals the first.

    Args:
        asking: rows, in whose order they come.

    Raises:
        ConfigError: at the first piece, if there are not k others.

    Time O(q n d), memory of ``AT_ONCE`` similarities beside the vectors.

    Examples:
        >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
        >>> [near.tolist() for _, near in nearest_rows(vectors, np.array([0, 1]), k=1)]
        [[[2], [2]]]
    """
    if not 1 <= k < len(vectors):
        raise ConfigError(f"k is {k}, but there are {len(vectors)} items, so that each has {len(vectors) - 1} others")
    unit = unit_rows(vectors)
    for some in _pieces(asking, len(unit)):
        likeness = unit[some] @ unit.T
        likeness[np.arange(len(some)), some] = -np.inf
        best = np.sort(np.argpartition(-likeness, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(-np.take_along_axis(likeness, best, axis=1), axis=1, kind="stable")
        yield some, np.take_along_axis(best, order, axis=1)


def shared_with_nearest(
    vectors: Float[np.ndarray, "n d"],
    members: sparse.csr_matrix,
    asking: Int[np.ndarray, " q"],
    k: int,
    strata: Optional[Int[np.ndarray, " n"]] = None,
) -> Shared:
    """Share of the k nearest items with which an item shares a group.

    Args:
        members: items by groups; what is not zero is in.
        asking: rows of items; each in a group, or its share is 0.
        strata: a number for each item, of those who are equals; None is all.

    Raises:
        ConfigError: if there are not k other items.
        DataError: if arrays do not fit each other.

    Time O(q n d + q n), memory of ``AT_ONCE`` similarities beside the arrays.

    Examples:
        Items 0 and 1 are near and of one genre, 2 and 3 near and of two:

        >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> genres = sparse.csr_matrix([[1, 0], [1, 0], [1, 0], [0, 1]])
        >>> found = shared_with_nearest(vectors, genres, np.arange(4), k=1)
        >>> found.share.tolist(), found.chance.round(2).tolist()
        ([1.0, 1.0, 0.0, 0.0], [0.67, 0.67, 0.67, 0.0])
    """
    n = len(vectors)
    strata = np.zeros(n, dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1].ravel()
    if members.shape[0] != n or len(strata) != n:
        raise DataError(
            f"there are {n} vectors, {members.shape[0]} rows of members and {len(strata)} strata; give one of each for "
            "every item"
        )
    held = sparse.csr_matrix(members != 0, dtype=np.float32)
    in_stratum = sparse.csr_matrix((np.ones(n, np.float32), (np.arange(n), strata)))
    sizes = np.asarray(in_stratum.sum(axis=0)).ravel()
    parts = [
        _shared(held, in_stratum, sizes, strata, some, near) for some, near in nearest_rows(vectors, asking, k)
    ] or [np.zeros((3, 0))]
    return Shared(*np.concatenate(parts, axis=1))


def _shared(
    held: sparse.csr_matrix,
    in_stratum: sparse.csr_matrix,
    sizes: Float[np.ndarray, " s"],
    strata: Int[np.ndarray, " n"],
    some: Int[np.ndarray, " b"],
    near: Int[np.ndarray, "b k"],
) -> Float[np.ndarray, "3 b"]:
    """The share of some items, its chance, and that among equals."""
    shares = (held[some] @ held.T).toarray() > 0
    shares[np.arange(len(some)), some] = False
    by_stratum = np.asarray(shares.astype(np.float32) @ in_stratum)
    others = np.tile(sizes, (len(some), 1))
    others[np.arange(len(some)), strata[some]] -= 1
    equals = np.take_along_axis(by_stratum / np.maximum(others, 1), strata[near], axis=1)
    own = np.take_along_axis(shares, near, axis=1)
    return np.stack([own.mean(axis=1), shares.sum(axis=1) / max(held.shape[0] - 1, 1), equals.mean(axis=1)])


def ridge_map(
    source: Float[np.ndarray, "n d"], target: Float[np.ndarray, "n c"], ridge: float = RIDGE
) -> tuple[Float[np.ndarray, "d c"], Float[np.ndarray, " d"], Float[np.ndarray, " c"]]:
    r"""The linear map from one kind of rows to another, and the means of both.

    :math:`W = (X^\top X + \lambda I)^{-1} X^\top Y` of centred rows, so that a row is taken to
    :math:`(x - \bar x)\, W + \bar y`.

    Raises:
        ConfigError: if ``ridge`` is not above 0.

    Time O(n d^2 + d^3).

    Examples:
        >>> map, _, _ = ridge_map(np.array([[1.0], [-1.0]]), np.array([[2.0], [-2.0]]), ridge=2.0)
        >>> map.tolist()
        [[1.0]]
    """
    if not ridge > 0:
        raise ConfigError(f"ridge is {ridge}, expected a number above 0")
    before, after = source.mean(axis=0, dtype=np.float64), target.mean(axis=0, dtype=np.float64)
    x, y = source - before, target - after
    return np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y), before, after


def found_across(
    source: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "n c"],
    fitted: Int[np.ndarray, " m"],
    asking: Int[np.ndarray, " q"],
    k: int,
    ridge: float = RIDGE,
) -> Found:
    """Items' own rows of one kind, found from those of another by a ridge map fitted on other items.

    Rows are taken at length 1, and less the mean of the fitted ones both kinds are compared by cosine.

    Args:
        fitted: rows on which the map is fitted.
        asking: rows that are looked for, each among all of them; none is fitted.
        k: places of a list, for its recall.

    Raises:
        DataError: if an item that asks was fitted, or nothing is to be fitted.

    Time O(m d^2 + d^3 + q^2 c).

    Examples:
        A kind that is the other turned round is found:

        >>> rows = np.random.default_rng(0).normal(size=(200, 4))
        >>> found = found_across(rows, rows[:, ::-1], np.arange(100), np.arange(100, 200), k=1)
        >>> bool(found.recall.mean() > 0.9)
        True
    """
    if not len(fitted) or np.intersect1d(fitted, asking).size:
        raise DataError(f"{len(fitted)} items are fitted and some of them may ask; fit on some, and ask for others")
    x, y = unit_rows(source), unit_rows(target)
    weights, before, after = ridge_map(x[fitted], y[fitted], ridge)
    guessed = unit_rows((x[asking] - before) @ weights)
    there = unit_rows(y[asking] - after)
    places = np.arange(len(asking))
    parts = [_places(guessed[some] @ there.T, some) for some in _pieces(places, len(places))]
    above, equal = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0))
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(places) + 1))])
    first, last = above.astype(np.int64), (above + equal + 1).astype(np.int64)
    return Found(
        recall=np.clip((k - above) / (equal + 1), 0.0, 1.0),
        reciprocal_rank=(harmonic[last] - harmonic[first]) / (equal + 1),
    )


def chance_of_finding(count: int, k: int) -> tuple[float, float]:
    """Recall at k and mean reciprocal rank of items in a random order.

    Examples:
        >>> chance_of_finding(4, k=2)
        (0.5, 0.5208333333333333)
    """
    return min(k / count, 1.0), float(np.mean(1 / np.arange(1, count + 1)))


def principal_rows(vectors: Float[np.ndarray, "n d"], width: int) -> Float[np.ndarray, "n w"]:
    """Rows in their first principal components, as many as ``width`` or as there are.

    Time O(n d^2 + d^3).

    Examples:
        >>> np.abs(principal_rows(np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 1)).tolist()
        [[2.0], [2.0], [0.0], [0.0]]
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return centred @ directions[:, ::-1][:, :width]


def _places(likeness: Float[np.ndarray, "b q"], some: Int[np.ndarray, " b"]) -> Float[np.ndarray, "2 b"]:
    """How many rows are nearer than an item's own, and how many others are as near."""
    own = likeness[np.arange(len(some)), some][:, None]
    above = (likeness > own + EQUAL).sum(axis=1)
    return np.stack([above, (np.abs(likeness - own) <= EQUAL).sum(axis=1) - 1]).astype(np.float64)


def _pieces(rows: Int[np.ndarray, " q"], n: int) -> Iterator[Int[np.ndarray, " b"]]:
    size = max(1, AT_ONCE // max(n, 1))
    return (rows[start : start + size] for start in range(0, len(rows), size))
