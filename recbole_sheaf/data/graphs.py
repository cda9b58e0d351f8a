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
    r"""Each present item's k most similar present items, exactly.

    By the cosine :math:`x_i \cdot x_j / (|x_i| |x_j|)`, which is 0 where a row is all zeros. Of equally similar items
    (to 6 decimals) those with the lower id are taken.

    Args:
        features: of one modality; missing items take part neither as src nor as dst.
        k: neighbours of an item; all others where there are fewer.

    Returns:
        (src, dst, similarity): src is a neighbour of dst, by dst and then from the nearest to the farthest.

    Raises:
        ConfigError: if k is below 1.

    Time O(n^2 dim) for n present items, memory O(n dim) and 64 MB: one second for 3,700 items and 384 dimensions.
    """
    _check_knn(k)
    items = np.flatnonzero(features.present.cpu().numpy())
    rows = _at_unit_length(features.matrix.cpu().numpy()[items].astype(np.float64))
    k = min(k, len(items) - 1)
    if k < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    step = max(1, CHUNK_BYTES // (8 * len(items)))
    chunks = tqdm(
        range(0, len(items), step),
        desc=f"{k} nearest items by {features.name}",
        disable=len(items) ** 2 * features.dim < SLOW,
    )
    found = [_nearest(rows, start, min(start + step, len(items)), k) for start in chunks]
    near, similarity = np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])
    return items[near], np.repeat(items, k), similarity.astype(np.float32)


def cached_knn_arcs(features: ModalityFeatures, k: int, cache_dir: Path) -> WeightedArcs:
    """As :func:`knn_arcs`, kept under a hash of the features themselves and k, never of k alone."""
    _check_knn(k)
    key = content_key([FORMAT_VERSION, features.digest, str(k), "cosine"])

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
    rows: Float64[np.ndarray, "n dim"], start: int, stop: int, k: int
) -> tuple[Int64[np.ndarray, " arcs"], Float64[np.ndarray, " arcs"]]:
    """Positions and similarities of the k nearest of rows start to stop, each row's from near to far."""
    similarity = np.round(rows[start:stop] @ rows.T, DECIMALS)
    similarity[np.arange(stop - start), np.arange(start, stop)] = -np.inf  # no item is its own neighbour
    threshold = np.partition(similarity, -k, axis=1)[:, -k, None]
    row, col = np.nonzero(similarity >= threshold)  # k in each row, or more where the last ones tie
    order = np.lexsort((col, -similarity[row, col], row))
    row, col = row[order], col[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    kept = rank < k
    return col[kept].astype(np.int64), similarity[row[kept], col[kept]]
