"""Interactions and content into graphs, as arc lists in NumPy; whoever passes messages makes its own graph of them.

An arc runs from ``src`` to ``dst``. The undirected graphs here list both arcs of every edge, in two halves: of E arcs,
arc i and arc i + E/2 are each other's reverse.
"""

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int, Int64
from tqdm import tqdm

from recbole_sheaf.errors import ConfigError, GraphError
from recbole_sheaf.features.modality import ModalityFeatures
from recbole_sheaf.files.cache import cached_arrays, content_key

logger = logging.getLogger(__name__)

Arcs = tuple[Int64[np.ndarray, " arcs"], Int64[np.ndarray, " arcs"]]
WeightedArcs = tuple[Int64[np.ndarray, " arcs"], Int64[np.ndarray, " arcs"], Float32[np.ndarray, " arcs"]]

FORMAT_VERSION = "knn-1"
DECIMALS = 6  # similarities closer than this are ties: equal rows must not be told apart by the order of a sum
CHUNK_BYTES = 1 << 26  # of similarities held at once
SLOW = 1e11  # multiplications, from which on a progress bar is shown
EXACT_UP_TO = 50_000  # items; among more an item's nearest are looked for in the groups around it
GROUPS_AROUND = 8  # its own among them
LEAST_AROUND = 1_000  # items in them


def bipartite_arcs(
    user_ids: Int[np.ndarray, " interactions"], item_ids: Int[np.ndarray, " _"], n_users: int, n_items: int
) -> Arcs:
    """The user-item graph: user u is node u, item i is node ``n_users + i``.

    Args:
        user_ids: user of each interaction, in [0, n_users).
        item_ids: item of each interaction, as many, in [0, n_items).
        n_users: RecBole's number of users, padding included.
        n_items: RecBole's number of items, padding included.

    Returns:
        (src, dst); the first half are the distinct arcs user -> item, by user and then item, the second their reverses.

    Raises:
        GraphError: if an id is out of range or there are not as many users as items.

    Time O(interactions log interactions).
    """
    users, items = np.asarray(user_ids, np.int64), np.asarray(item_ids, np.int64)
    if users.shape != items.shape:
        raise GraphError(f"{users.size} user ids came with {items.size} item ids; give one of each per interaction")
    _refuse_out_of_range("user", users, n_users)
    _refuse_out_of_range("item", items, n_items)
    users, items = np.divmod(np.unique(users * n_items + items), max(n_items, 1))
    items += n_users
    return np.concatenate([users, items]), np.concatenate([items, users])


def knn_arcs(features: ModalityFeatures, k: int) -> WeightedArcs:
    r"""Each present item's k most similar present items, exactly among up to ``EXACT_UP_TO`` of them.

    Among more they are grouped by k-means into as many groups as a group has items, and an item's nearest are looked
    for in the ``GROUPS_AROUND`` groups whose centres are nearest to its own group's (inverted lists, Jégou et al.
    2011).

    By the cosine :math:`x_i \cdot x_j / (|x_i| |x_j|)`, which is 0 where a row is all zeros. Of equally similar items
    (to 6 decimals) those with the lower id are taken.

    Args:
        features: of one modality; missing items take part neither as src nor as dst.
        k: neighbours of an item; all others where there are fewer.

    Returns:
        (src, dst, similarity): src is a neighbour of dst, by dst and then from the nearest to the farthest.

    Raises:
        ConfigError: if k is below 1.

    Time O(n^2 dim) for n present items, O(n^1.5 dim) among more; memory O(n dim) and 64 MB: one second for 3,700 items
    and 384 dimensions.
    """
    _check_knn(k)
    items = np.flatnonzero(features.present.cpu().numpy())
    rows = _at_unit_length(features.matrix.cpu().numpy()[items].astype(np.float64))
    k = min(k, len(items) - 1)
    if k < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    groups = [(np.arange(len(items)), np.arange(len(items)))] if len(items) <= EXACT_UP_TO else _grouped(rows, k)
    near, similarity = np.empty((len(items), k), np.int64), np.empty((len(items), k), np.float32)
    with tqdm(
        total=len(items),
        desc=f"{k} nearest items by {features.name}",
        disable=sum(len(own) * len(around) for own, around in groups) * features.dim < SLOW,
    ) as bar:
        for own, around in groups:
            theirs, step = rows if len(around) == len(rows) else rows[around], max(1, CHUNK_BYTES // (8 * len(around)))
            for some in (own[start : start + step] for start in range(0, len(own), step)):
                places, similarity[some] = _nearest(rows[some], theirs, np.searchsorted(around, some), k)
                near[some] = around[places]
                bar.update(len(some))
    return items[near.ravel()], np.repeat(items, k), similarity.ravel()


def _grouped(rows: Float64[np.ndarray, "n dim"], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of each group, and of those in the groups around it, ascending."""
    from sklearn.cluster import MiniBatchKMeans

    count = int(len(rows) ** 0.5)
    means = MiniBatchKMeans(count, batch_size=4 * count, max_iter=20, n_init=1, random_state=0).fit(rows)
    label, centres = means.predict(rows), means.cluster_centers_
    by_group = np.argsort(label, kind="stable")
    ends = np.searchsorted(label[by_group], np.arange(count + 1))
    members = [by_group[ends[group] : ends[group + 1]] for group in range(count)]
    squares = (centres**2).sum(axis=1)
    nearest = np.argsort(squares - 2 * (centres @ centres.T), axis=1, kind="stable")
    return [(own, _around(members, order, max(LEAST_AROUND, k))) for own, order in zip(members, nearest) if len(own)]


def _around(members: list[np.ndarray], order: np.ndarray, least: int) -> np.ndarray:
    """Those of the nearest groups; of further ones, until there are more than so many."""
    taken: list[np.ndarray] = []
    for group in order:
        if len(taken) >= GROUPS_AROUND and sum(map(len, taken)) > least:
            break
        taken.append(members[group])
    return np.sort(np.concatenate(taken))


def cached_knn_arcs(features: ModalityFeatures, k: int, cache_dir: Path) -> WeightedArcs:
    """As :func:`knn_arcs`, kept under a hash of the features themselves and k, never of k alone."""
    _check_knn(k)
    among = [] if int(features.present.sum()) <= EXACT_UP_TO else [f"{GROUPS_AROUND} groups"]
    key = content_key([FORMAT_VERSION, features.digest, str(k), "cosine", *among])

    def build() -> dict[str, np.ndarray]:
        logger.info("modality '%s': looking for the %d nearest items of each", features.name, k)
        return dict(zip(("src", "dst", "similarity"), knn_arcs(features, k)))

    arrays = cached_arrays(Path(cache_dir) / "knn" / f"{features.name}-{key}.npz", ("src", "dst", "similarity"), build)
    return arrays["src"], arrays["dst"], arrays["similarity"]


def _check_knn(k: int) -> None:
    if k < 1:
        raise ConfigError(f"{k} nearest neighbours were asked for; give 1 or more, or leave the item graph out")


def _refuse_out_of_range(kind: str, ids: Int64[np.ndarray, " interactions"], n: int) -> None:
    bad = (ids < 0) | (ids >= n)
    if bad.any():
        raise GraphError(
            f"{int(bad.sum())} {kind} ids are outside 0 to {n - 1} (first: {ids[bad][0]}); check n_{kind}s"
        )


def _at_unit_length(rows: Float64[np.ndarray, "n dim"]) -> Float64[np.ndarray, "n dim"]:
    """Rows over their lengths; one of zeros stays."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _nearest(
    rows: Float64[np.ndarray, "b dim"],
    among: Float64[np.ndarray, "a dim"],
    own: Int64[np.ndarray, " b"],
    k: int,
) -> tuple[Int64[np.ndarray, "b k"], Float64[np.ndarray, "b k"]]:
    """Places and similarities of the k nearest of each row, from near to far; it is itself at its own place."""
    similarity = np.round(rows @ among.T, DECIMALS)
    similarity[np.arange(len(rows)), own] = -np.inf  # no item is its own neighbour
    threshold = np.partition(similarity, -k, axis=1)[:, -k, None]
    row, col = np.nonzero(similarity >= threshold)  # k in each row, or more where the last ones tie
    order = np.lexsort((col, -similarity[row, col], row))
    row, col = row[order], col[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    row, col = row[rank < k], col[rank < k]
    return col.reshape(-1, k), similarity[row, col].reshape(-1, k)
