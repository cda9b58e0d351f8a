r"""Which items are neighbours: the arcs on which a local item sheaf is learnt, without a matrix of all pairs.

M and Lambda as in :mod:`recbole_sheaf.sheaf.item_sheaf`. Regressing item i on item j alone lowers the ridge loss by
:math:`M_{ij}^2 / (M_{jj} + \Lambda_{jj})`; the K items j that lower it most are the neighbours of i. Neither cosines,
which rare items win by chance, nor counts, which popular ones win always, choose well where both kinds are there.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.sheaf.item_signals import ItemSignals, chunks, entries_of_rows


def choose_neighbours(
    signals: ItemSignals, ridge: Float[Tensor, " n"], neighbours: int, chunk_pairs: int = 2**24
) -> Int[Tensor, "n K"]:
    """The K best neighbours of each item by common histories and neighbourhoods, best first; -1 where there are fewer.

    Args:
        ridge: diagonal of Lambda.
        neighbours: K, how many neighbours of an item.
        chunk_pairs: how many pairs of interactions are held at once; memory O(chunk_pairs), unless one item alone has
            more.

    Raises:
        ConfigError: if K is below 1 or not below the number of items.

    Time O(s log s), s the sum over users of their squared history lengths, neighbourhoods read as such.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 1, 2])
        >>> signals = item_signals(users, items, n_users=3, n_items=4)
        >>> choose_neighbours(signals, torch.ones(4), neighbours=2).tolist()  # nobody chose item 3
        [[1, -1], [0, 2], [1, -1], [-1, -1]]
    """
    chosen = torch.full((signals.n_items, neighbours), -1)
    for rows in arc_chunks(signals, neighbours, chunk_pairs):
        chosen[rows] = neighbours_of(signals, ridge, neighbours, rows)
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
    signals: ItemSignals, ridge: Float[Tensor, " n"], neighbours: int, rows: Int[Tensor, " b"]
) -> Int[Tensor, "b K"]:
    """Rows of :func:`choose_neighbours` for some items: a chunk of :func:`arc_chunks`, so that sums are the same.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 1, 2])
        >>> signals = item_signals(users, items, n_users=3, n_items=4)
        >>> neighbours_of(signals, torch.ones(4), 2, torch.tensor([1, 3])).tolist()
        [[0, 2], [-1, -1]]
    """
    scale = (signals.diagonal + ridge).rsqrt()
    i, j, m = _cooccurrences(signals, rows)
    order = torch.argsort(m * scale[j], descending=True, stable=True)
    order = order[torch.argsort(i[order], stable=True)]
    i, j = i[order], j[order]
    rank = torch.arange(len(i)) - torch.searchsorted(i, torch.arange(len(rows)))[i]
    best = rank < neighbours
    chosen = torch.full((len(rows), neighbours), -1)
    chosen[i[best], rank[best]] = j[best]
    return chosen


def _cooccurrences(
    signals: ItemSignals, rows: Int[Tensor, " b"]
) -> tuple[Int[Tensor, " h"], Int[Tensor, " h"], Float[Tensor, " h"]]:
    """Row (its place among the given ones), column and value of each nonzero of M without C off the diagonal."""
    n = signals.n_items
    within, positions = entries_of_rows(signals.item_offsets, rows)
    rows_there = signals.rows_of_item[positions]
    own = signals.row_weight[rows_there] * signals.values_of_item[positions]
    entry, positions = entries_of_rows(signals.row_offsets, rows_there)
    pairs, order = torch.sort(within[entry] * n + signals.items_of_row[positions])
    unique, which = torch.unique_consecutive(pairs, return_inverse=True)
    products = (own[entry] * signals.values_of_row[positions])[order]
    values = own.new_zeros(len(unique)).index_add(0, which, products)
    i, j = unique // n, unique % n
    others = rows[i] != j
    return i[others], j[others], values[others]


def _item_of_entry(signals: ItemSignals) -> Int[Tensor, " t"]:
    return torch.repeat_interleave(torch.arange(signals.n_items), signals.item_offsets.diff())
