"""The local item sheaf in shards of items on many workers: arcs, then maps, those of one process to the last digit.

A shard is some of the chunks that one process works off one after another, so that every sum has the same order and
every batched product the same shape. Workers read the signals from where they are shared, once for a machine.
"""

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Optional

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from recbole_sheaf.sheaf.item_arcs import arc_chunks, neighbours_of
from recbole_sheaf.sheaf.item_signals import Gram, ItemSignals
from recbole_sheaf.sheaf.local_item_sheaf import LocalMaps, block_chunks, transport_of, whole_gram
from recbole_sheaf.workers.in_order import in_order
from recbole_sheaf.workers.pools import Workers
from recbole_sheaf.workers.shared import Shared
from recbole_sheaf.workers.threads import threads_limited

CHUNK_PAIRS, CHUNK_BYTES = 2**24, 2**28  # of one process, by default
_ARRAYS = tuple(each.name for each in fields(ItemSignals) if each.name != "n_users")
_OF_PAIRS = ("data", "indices", "indptr")

Opened = tuple[ItemSignals, Tensor, Optional[Gram]]


@dataclass(frozen=True)
class LocalShards:
    """Learns local maps on workers; ``local_maps`` of :func:`~recbole_sheaf.layers.item_sheaf.fit_item_sheaf`.

    Attributes:
        workers: entered already.
        threads: of each worker; None takes those of this process, by which the digits are the same.
        chunk_pairs, chunk_bytes: as of ``choose_neighbours`` and ``local_transport``.

    A worker holds one chunk at a time, some ``64 * chunk_pairs`` bytes for arcs (1 GiB) and ``chunk_bytes`` for maps,
    unless one item alone needs more. The signals, and M where it is made whole, are held once for each machine. Here
    are the arcs and coefficients of all items, 12 n K bytes.
    """

    workers: Workers
    threads: Optional[int] = None
    chunk_pairs: int = CHUNK_PAIRS
    chunk_bytes: int = CHUNK_BYTES

    def __call__(
        self,
        signals: ItemSignals,
        ridge: Float[Tensor, " n"],
        neighbours: int,
        gram: Optional[Gram] = None,
    ) -> LocalMaps:
        """Arcs and maps of all items, without linear content.

        Raises:
            ConfigError: as ``choose_neighbours`` and ``local_transport``.
            WorkersGone: as :func:`~recbole_sheaf.workers.in_order.in_order`.
        """
        threads = torch.get_num_threads() if self.threads is None else self.threads
        gram = whole_gram(signals) if gram is None else gram
        shared, at_hand = self.workers.share(_arrays(signals, ridge, gram)), gram is not None
        del gram  # gigabytes, which the workers have now
        about = (shared, signals.n_users, threads)
        near = torch.full((signals.n_items, neighbours), -1)
        chunks = arc_chunks(signals, neighbours, self.chunk_pairs)
        arcs = in_order(self.workers, arcs_of_shard, ((*about, neighbours, rows.numpy()) for rows in chunks))
        for found, rows in zip(arcs, chunks):
            near[rows] = _tensor(found)
        weights, variance = signals.content.new_zeros(near.shape), torch.zeros_like(ridge)
        chunks = block_chunks(signals, near, at_hand, False, self.chunk_bytes)
        shards = ((*about, rows.numpy(), near[rows].numpy()) for rows in chunks)
        for (some, own), rows in zip(in_order(self.workers, maps_of_shard, shards), chunks):
            weights[rows], variance[rows] = _tensor(some), _tensor(own)
        return LocalMaps(near, weights, variance)


def arcs_of_shard(
    shared: Shared, n_users: int, threads: int, neighbours: int, rows: Int[np.ndarray, " b"]
) -> Int[np.ndarray, "b K"]:
    """Neighbours of some items, on a worker."""
    signals, ridge, gram = _opened(shared, n_users)
    with threads_limited(threads):
        return neighbours_of(signals, ridge, neighbours, torch.from_numpy(rows), gram).numpy()


def maps_of_shard(
    shared: Shared, n_users: int, threads: int, rows: Int[np.ndarray, " b"], near: Int[np.ndarray, "b K"]
) -> tuple[Float[np.ndarray, "b K"], Float[np.ndarray, " b"]]:
    """Coefficients and variance of some items on their arcs, on a worker."""
    signals, ridge, gram = _opened(shared, n_users)
    with threads_limited(threads):
        found = transport_of(signals, torch.from_numpy(near), torch.from_numpy(rows), ridge, gram, content=False)
    return found[0].numpy(), found[1].numpy()


def _arrays(signals: ItemSignals, ridge: Tensor, gram: Optional[Gram]) -> dict[str, np.ndarray]:
    found = {name: getattr(signals, name).numpy() for name in _ARRAYS}
    found["ridge"] = ridge.numpy()
    if isinstance(gram, sparse.csr_matrix):
        return found | {f"pairs_{name}": getattr(gram, name) for name in _OF_PAIRS}
    return found if gram is None else found | {"gram": gram.numpy()}


@functools.lru_cache(maxsize=1)
def _opened(shared: Shared, n_users: int) -> Opened:
    arrays = shared.open()
    tensors = {name: _tensor(array) for name, array in arrays.items() if not name.startswith("pairs_")}
    signals = ItemSignals(n_users=n_users, **{name: tensors[name] for name in _ARRAYS})
    if "pairs_data" not in arrays:
        return signals, tensors["ridge"], tensors.get("gram")
    parts: Sequence[np.ndarray] = [arrays[f"pairs_{name}"] for name in _OF_PAIRS]
    return signals, tensors["ridge"], sparse.csr_matrix(tuple(parts), shape=(signals.n_items, signals.n_items))


def _tensor(array: np.ndarray) -> Tensor:
    """An array that is only read, though PyTorch knows no such thing: over the same memory, without its warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
