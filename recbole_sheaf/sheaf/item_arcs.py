r"""Which items are neighbours: the arcs on which a local item sheaf is learnt, without a matrix of all pairs.

M and Lambda as in :mod:`recbole_sheaf.sheaf.item_sheaf`. Regressing item i on item j alone lowers the ridge loss by
:math:`M_{ij}^2 / (M_{jj} + \Lambda_{jj})`; the K items j that lower it most are the neighbours of i. Neither cosines,
which rare items win by chance, nor counts, which popular ones win always, choose well where both kinds are there.
"""

from typing import Optional

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy import sparse
from torch import Tensor

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.sheaf.item_signals import Gram, ItemSignals, chunks


def choose_neighbours(
    signals: ItemSignals,
    ridge: Float[Tensor, " n"],
    neighbours: int,
    chunk_pairs: int = 2**24,
    gram: Optional[Gram] = None,
) -> Int[Tensor, "n K"]:
    """The K best neighbours of each item by common histories and neighbourhoods, best first; -1 where there are fewer.

    Args:
        ridge: diagonal of Lambda.
        neighbours: K, how many neighbours of an item.
        chunk_pairs: how many pairs of interactions are held at once; memory O(chunk_pairs), unless one item alone has
            more.
        gram: M without linear content; its rows are taken where it is sparse, and else made chunk by chunk.

    Raises:
        ConfigError: if K is below 1 or not below the number of items.

    Time O(s), s the sum over users of their squared history lengths, neighbourhoods read as such, beside O(n K log n).

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 1, 2])
        >>> signals = item_signals(users, items, n_users=3, n_items=4)
        >>> choose_neighbours(signals, torch.ones(4), neighbours=2).tolist()  # nobody chose item 3
        [[1, -1], [0, 2], [1, -1], [-1, -1]]
    """
    chosen = torch.full((signals.n_items, neighbours), -1)
    for rows in arc_chunks(signals, neighbours, chunk_pairs):
        chosen[rows] = neighbours_of(signals, ridge, neighbours, rows, gram)
    return chosen


def arc_chunks(signals: ItemSignals, neighbours: int, chunk_pairs: int = 2**24) -> list[Int[Tensor, " _"]]:
    """Items whose neighbours are chosen together, the costliest first; arguments are of :func:`choose_neighbours`.

    Raises:
        ConfigError: if K is below 1 or not below the number of items.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
        >>> signals = item_signals(users, items, n_users=2, n_items=2)
        >>> [rows.tolist() for rows in arc_chunks(signals, neighbours=1, chunk_pairs=3)]
        [[1], [0]]
    """
    n = signals.n_items
    if not 1 <= neighbours < n:
        raise ConfigError(
            f"item_sheaf_neighbours is {neighbours}, but there are {n} items; expected 1 to {n - 1}, or 0 for all pairs"
        )
    length = signals.row_offsets.diff()
    cost = torch.zeros(n, dtype=torch.long)
    cost.index_add_(0, _item_of_entry(signals), length[signals.rows_of_item])
    return list(chunks(cost, chunk_pairs))


def neighbours_of(
    signals: ItemSignals,
    ridge: Float[Tensor, " n"],
    neighbours: int,
    rows: Int[Tensor, " b"],
    gram: Optional[Gram] = None,
) -> Int[Tensor, "b K"]:
    """Rows of :func:`choose_neighbours` for some items: a chunk of :func:`arc_chunks`, so that sums are the same.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 1, 2])
        >>> signals = item_signals(users, items, n_users=3, n_items=4)
        >>> neighbours_of(signals, torch.ones(4), 2, torch.tensor([1, 3])).tolist()
        [[0, 2], [-1, -1]]
    """
    scale = (signals.diagonal + ridge).rsqrt().numpy()
    asked = rows.numpy()
    if isinstance(gram, sparse.csr_matrix):
        common = gram[asked]  # rows of M without C
    else:
        common = signals.weighed_by_item[asked] @ signals.by_row
    lengths = np.diff(common.indptr)
    score = _rows(common.data * scale[common.indices], lengths, neighbours, -np.inf)
    items = _rows(common.indices, lengths, neighbours, -1)
    score[items == asked[:, None]] = -np.inf
    last_chosen = torch.from_numpy(score).topk(neighbours, dim=1).values[:, -1:].numpy()
    kept = (score >= last_chosen) & (score > -np.inf)
    lengths = kept.sum(1)
    score, items = _rows(score[kept], lengths, neighbours, -np.inf), _rows(items[kept], lengths, neighbours, -1)
    order = np.lexsort((items, -score))[:, :neighbours]  # of equals the first item, as there may be more than places
    return torch.from_numpy(np.take_along_axis(items, order, axis=1).astype(np.int64))


def _rows(values: Shaped[np.ndarray, " t"], lengths: Int[np.ndarray, " b"], least: int, none: float) -> np.ndarray:
    """Rows of these lengths one below the other, filled up to the longest, and to ``least``, with ``none``."""
    there = np.arange(max(least, lengths.max(initial=0))) < lengths[:, None]
    out = np.full(there.shape, none, dtype=values.dtype)
    out[there] = values
    return out


def _item_of_entry(signals: ItemSignals) -> Int[Tensor, " t"]:
    return torch.repeat_interleave(torch.arange(signals.n_items), signals.item_offsets.diff())
