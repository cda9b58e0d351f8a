r"""Signals on items and their Gram matrix, from which an item sheaf is learnt.

n items, t interactions. A user u's signal is the history x_u, ones at the items chosen, counted with the weight
:math:`w_u = |x_u|^{-b}` (:math:`|x_u|` items): with b = 0 every interaction counts alike (EASE, Steck 2019,
https://arxiv.org/abs/1905.03375), with b = 1 every user does. Each of the c coordinates of content is one signal more
(CEASE, Jeunen et al. 2020, https://doi.org/10.1145/3383313.3412480), and so is what a user has in a relation r beside
choosing, such as dislikes: the row u of :math:`X_r`, counted with :math:`w_{ru} = \omega_r |x_{ru}|^{-b}`. Together

.. math:: M = X^\top W X + \sum_r X_r^\top W_r X_r + \sum_m \beta_m N_m^\top N_m + C C^\top, \qquad
    W = \mathrm{diag}(w).

As :math:`\omega_r \ge 0`, M is positive semidefinite whatever is added. Items that the same users dislike are alike in
that, as those are that the same users choose; who dislikes them is said by no sign (docs/results/search-log.md).

Content enters in two ways. C is linear: two items are alike as far as their vectors point the same way, near or far.
Row i of :math:`N_m` is a neighbourhood, 1 at item i and at its K nearest in modality m shares that sum to 1: it reads
as the history of somebody who chose an item and, by a share each, what is nearest to it. Neighbourhoods leave out pairs
that are far apart, where distances of encoders mean little, and they are sparse, so that the local form takes them as
it takes users. Which of the two helps more depends on the vectors (docs/results/search-log.md).

Why weights: a history of 600 items holds 180,000 pairs, a history of two holds one. On a dataset where 1 % of the users
hold 70 % of the interactions, 99.8 % of the pairs are theirs, and no neighbourhood is found for the others.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional, Union

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor
from torch.nn.functional import normalize

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.sheaf.unit_length import unit_length

Gram = Union[Float[Tensor, "n n"], sparse.csr_matrix]  # M, or what it is without linear content
SPACED_USERS = 2048  # at most, where something is measured from users' scores


@dataclass(frozen=True)
class ItemSignals:
    """Histories of users and content of items, as signals on the items; built by :func:`item_signals`.

    Sparse signals are rows over the items: first the history of each user, ones, then the neighbourhoods, then the
    relations of users.

    Attributes:
        row_offsets, items_of_row, values_of_row: row r holds ``values_of_row[row_offsets[r] : row_offsets[r + 1]]``.
        item_offsets, rows_of_item, values_of_item: the same entries by item.
        row_weight: of each row, w of users, beta of neighbourhoods, and w_r of users in a relation.
        n_users: number of users, those without a history included.
        content: C, weights folded in; a row of zeros is an item without content. c may be 0.
        diagonal: of M.

    Examples:
        >>> signals = item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), n_users=2, n_items=3)
        >>> signals.degree.tolist(), signals.items_of_user[signals.user_offsets[0] : signals.user_offsets[1]].tolist()
        ([1, 2, 0], [0, 1])
    """

    row_offsets: Int[Tensor, " rows_and_one"]
    items_of_row: Int[Tensor, " t"]
    values_of_row: Float[Tensor, " t"]
    item_offsets: Int[Tensor, " n_and_one"]
    rows_of_item: Int[Tensor, " t"]
    values_of_item: Float[Tensor, " t"]
    row_weight: Float[Tensor, " rows"]
    n_users: int
    content: Float[Tensor, "n c"]
    diagonal: Float[Tensor, " n"]

    @property
    def n_rows(self) -> int:
        """Number of sparse signals: users, neighbourhoods and what users have in relations."""
        return len(self.row_weight)

    @property
    def n_items(self) -> int:
        """Number of items, those nobody chose included."""
        return len(self.content)

    @property
    def user_offsets(self) -> Int[Tensor, " users_and_one"]:
        """History of user u is ``items_of_user[user_offsets[u] : user_offsets[u + 1]]``."""
        return self.row_offsets[: self.n_users + 1]

    @property
    def items_of_user(self) -> Int[Tensor, " interactions"]:
        """Items of all histories, side by side."""
        return self.items_of_row[: int(self.row_offsets[self.n_users])]

    @property
    def user_weight(self) -> Float[Tensor, " users"]:
        """Weight w of each user."""
        return self.row_weight[: self.n_users]

    @property
    def degree(self) -> Int[Tensor, " n"]:
        """Number of users who chose each item."""
        return torch.bincount(self.items_of_user, minlength=self.n_items)

    @functools.cached_property
    def weighed_by_item(self) -> sparse.csr_matrix:
        """The sparse signals as a matrix of items by rows, times the weight of each row. Memory O(t), made once."""
        values = self.values_of_item * self.row_weight[self.rows_of_item]
        return _csr(values, self.rows_of_item, self.item_offsets, self.n_rows)

    @functools.cached_property
    def by_row(self) -> sparse.csr_matrix:
        """The sparse signals as a matrix of rows by items, without weights. Memory O(t), made once."""
        return _csr(self.values_of_row, self.items_of_row, self.row_offsets, self.n_items)

    @property
    def has_content(self) -> Bool[Tensor, " n"]:
        """Whether each item has content."""
        return self.content.square().sum(1) > 0


class Neighbourhoods(NamedTuple):
    """Nearest items of some items in one modality, and how much a neighbourhood counts.

    Attributes:
        item, neighbour: one neighbour of an item in each place.
        share: how much of its item's neighbourhood; they sum to 1 over an item's neighbours.
        weight: beta.

    Examples:
        >>> Neighbourhoods(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([0.25, 0.75]), weight=2.0).weight
        2.0
    """

    item: Int[Tensor, " p"]
    neighbour: Int[Tensor, " p"]
    share: Float[Tensor, " p"]
    weight: float


class RelationSignals(NamedTuple):
    """What users have in a relation beside choosing, such as dislikes, and how much it counts.

    Attributes:
        users, items: the pairs, each once.
        weight: omega of the relation.

    Examples:
        >>> RelationSignals(torch.tensor([0, 0]), torch.tensor([1, 2]), weight=0.5).weight
        0.5
    """

    users: Int[Tensor, " p"]
    items: Int[Tensor, " p"]
    weight: float


def neighbourhoods(
    neighbour: Int[Tensor, " p"], item: Int[Tensor, " p"], similarity: Float[Tensor, " p"], n_items: int, weight: float
) -> Neighbourhoods:
    """Neighbourhoods with shares in proportion to similarities.

    Negative similarities count as zero; an item without a positive one has no neighbourhood.

    Args:
        neighbour, item: pairs, such as the K nearest of each item.
        similarity: of each pair.
        weight: beta.

    Raises:
        ConfigError: if the weight is negative.

    Examples:
        >>> nearest, item = torch.tensor([1, 2, 0]), torch.tensor([0, 0, 1])
        >>> neighbourhoods(nearest, item, torch.tensor([0.2, 0.6, -0.5]), n_items=3, weight=1.0).share
        tensor([0.2500, 0.7500])
    """
    if weight < 0:
        raise ConfigError(f"the weight of neighbourhoods is {weight}, expected a number >= 0; 0 leaves them out")
    positive = similarity.clamp(min=0)
    total = positive.new_zeros(n_items).index_add(0, item, positive)
    kept = positive > 0
    item, neighbour, positive = item[kept], neighbour[kept], positive[kept]
    return Neighbourhoods(item, neighbour, positive / total[item], weight)


def item_signals(
    users: Int[Tensor, " t"],
    items: Int[Tensor, " t"],
    n_users: int,
    n_items: int,
    content: Optional[Float[Tensor, "n c"]] = None,
    history_power: float = 0.0,
    near: Sequence[Neighbourhoods] = (),
    relations: Sequence[RelationSignals] = (),
) -> ItemSignals:
    """Signals on items, from interactions and content.

    Args:
        users, items: the interactions; one that is listed twice counts once.
        content: see :func:`content_coordinates`; None is none. Its dtype is that of all results.
        history_power: exponent b of the weights; 0 counts interactions, 1 counts users.
        near: the neighbourhoods in each modality.
        relations: what users have beside choosing.

    Raises:
        ShapeError: if an end is out of range, or content has not n_items rows.
        ConfigError: if b is outside [0, 1], or the weight of a relation is negative.

    Time O(t log t + n c), t the interactions, the neighbours and the pairs of relations.

    Examples:
        >>> users, items = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 1, 2, 3, 0])
        >>> item_signals(users, items, n_users=2, n_items=4, history_power=0.5).user_weight
        tensor([0.5000, 1.0000])

        User 1 dislikes items 2 and 3:

        >>> dislikes = RelationSignals(torch.tensor([1, 1]), torch.tensor([2, 3]), weight=0.5)
        >>> gram_matrix(item_signals(users, items, n_users=2, n_items=4, relations=[dislikes]))[2:, 2:]
        tensor([[1.5000, 1.5000],
                [1.5000, 1.5000]])
    """
    content = torch.zeros(n_items, 0) if content is None else content
    if not 0 <= history_power <= 1:
        raise ConfigError(f"history_power is {history_power}, expected 0 (interactions vote) to 1 (users vote)")
    if len(content) != n_items:
        raise ShapeError(f"content has {len(content)} rows, the items are {n_items}; give a row each, zeros if missing")
    _check_ends(users, items, n_users, n_items)
    pairs = torch.unique(users * n_items + items)  # sorted by user, then item
    users, items = pairs // n_items, pairs % n_items
    weight = torch.bincount(users, minlength=n_users).clamp(min=1).to(content.dtype).pow(-history_power)
    rows, columns, values, weights = [users], [items], [content.new_ones(len(users))], [weight]
    for each in near:
        own, places = torch.unique(each.item, return_inverse=True)
        start = sum(len(some) for some in weights)
        rows += [start + torch.arange(len(own)), start + places]
        columns += [own, each.neighbour]
        values += [content.new_ones(len(own)), each.share.to(content)]
        weights.append(content.new_full((len(own),), each.weight))
    for relation in relations:
        if not relation.weight >= 0:
            raise ConfigError(f"the weight of a relation is {relation.weight}, expected a number >= 0")
        _check_ends(relation.users, relation.items, n_users, n_items)
        own, places, lengths = torch.unique(relation.users, return_inverse=True, return_counts=True)
        rows.append(sum(len(some) for some in weights) + places)
        columns.append(relation.items)
        values.append(content.new_ones(len(places)))
        weights.append(relation.weight * lengths.to(content.dtype).pow(-history_power))
    return _compressed(torch.cat(rows), torch.cat(columns), torch.cat(values), torch.cat(weights), n_users, content)


def _compressed(
    rows: Int[Tensor, " t"],
    items: Int[Tensor, " t"],
    values: Float[Tensor, " t"],
    weight: Float[Tensor, " rows"],
    n_users: int,
    content: Float[Tensor, "n c"],
) -> ItemSignals:
    n = len(content)
    order = torch.argsort(rows * n + items, stable=True)
    rows, items, values = rows[order], items[order], values[order]
    by_item = torch.argsort(items, stable=True)
    return ItemSignals(
        row_offsets=_offsets(torch.bincount(rows, minlength=len(weight))),
        items_of_row=items,
        values_of_row=values,
        item_offsets=_offsets(torch.bincount(items, minlength=n)),
        rows_of_item=rows[by_item],
        values_of_item=values[by_item],
        row_weight=weight,
        n_users=n_users,
        content=content,
        diagonal=content.square().sum(1).index_add(0, items, weight[rows] * values.square()),
    )


def content_coordinates(
    modalities: Sequence[tuple[Float[Tensor, "n _"], Bool[Tensor, " n"]]], weights: Sequence[float]
) -> Float[Tensor, "n c"]:
    r"""Content of all modalities side by side, so that :math:`C C^\top = \sum_m \alpha_m \hat Z_m \hat Z_m^\top`.

    Rows are centred over the present ones and put to unit length, their directions are damped (:func:`damping_of`), and
    they are put to unit length again: an item's coordinates of a modality have the squared length ``alpha_m``, whatever
    its units. Missing rows are zeros and change nothing, the mean included.

    Args:
        modalities: matrix and which rows are there, for each.
        weights: alpha_m, for each.

    Raises:
        ConfigError: if a weight is negative.

    Time O(n d^2 + d^3) for a modality of d columns.

    Examples:
        >>> image = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.0, 5.0], [0.0, 0.0]])
        >>> there = torch.tensor([True, True, True, False])
        >>> content_coordinates([(image, there)], weights=[4.0]).norm(dim=1)  # the last row is missing
        tensor([2., 2., 2., 0.])
    """
    if negative := [weight for weight in weights if weight < 0]:
        raise ConfigError(f"a content weight is {negative[0]}, expected a number >= 0; 0 leaves the modality out")
    blocks = [
        coordinates_of(matrix, present, weight).coordinates(matrix, present)
        for (matrix, present), weight in zip(modalities, weights)
        if weight > 0
    ]
    return torch.cat(blocks, dim=1) if blocks else torch.zeros(len(modalities[0][0]) if modalities else 0, 0)


@dataclass(frozen=True)
class ModalityCoordinates:
    """Map from rows of one modality to content coordinates, learnt from a catalogue: see :func:`content_coordinates`.

    Attributes:
        mean: of the rows that are there.
        damping: see :func:`damping_of`.
        weight: alpha.

    Examples:
        >>> learnt = ModalityCoordinates(torch.tensor([1.0, 0.0]), torch.eye(2), weight=4.0)
        >>> learnt.coordinates(torch.tensor([[4.0, 4.0]]), torch.tensor([True]))  # (3, 4) at length 2
        tensor([[1.2000, 1.6000]])
    """

    mean: Float[Tensor, " d"]
    damping: Float[Tensor, "d d"]
    weight: float

    def coordinates(self, matrix: Float[Tensor, "n d"], present: Bool[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Coordinates of rows, of the catalogue or not; zeros where no row is there."""
        return self.weight**0.5 * normalize(unit_length(_centred(matrix, present, self.mean)) @ self.damping)


def coordinates_of(matrix: Float[Tensor, "n d"], present: Bool[Tensor, " n"], weight: float) -> ModalityCoordinates:
    """Map to content coordinates that is learnt from the rows that are there. Time O(n d^2 + d^3).

    Examples:
        >>> rows, present = torch.tensor([[2.0, 0.0], [4.0, 0.0], [9.0, 9.0]]), torch.tensor([True, True, False])
        >>> coordinates_of(rows, present, weight=1.0).mean
        tensor([3., 0.])
    """
    has = present.unsqueeze(1)
    mean = matrix.where(has, torch.zeros_like(matrix)).sum(0) / has.sum().clamp(min=1)
    return ModalityCoordinates(mean, damping_of(unit_length(_centred(matrix, present, mean))), weight)


def _centred(matrix: Tensor, present: Tensor, mean: Tensor) -> Tensor:
    has = present.unsqueeze(1)
    return (matrix.where(has, torch.zeros_like(matrix)) - mean).where(has, torch.zeros_like(matrix))


def damping_of(rows: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    r"""Matrix that whitens rows Z halfway, :math:`(Z^\top Z + \bar\sigma I)^{-1/2}` up to a rotation.

    For rows of zeros it is the identity.

    Sigma-bar is the mean eigenvalue of :math:`Z^\top Z`. Encoders put most of their variance into a few directions, in
    which all items are alike or opposite. They are cut down to the others; directions weaker than the mean stay weak,
    so noise is not raised.

    Examples:
        >>> rows = torch.tensor([[10.0, 0.0], [0.0, 1.0]])
        >>> (rows @ damping_of(rows)).norm(dim=1).round(decimals=2)  # 10 : 1 before
        tensor([0.8200, 0.1400])
    """
    values, vectors = torch.linalg.eigh(rows.mT @ rows)
    values = values.clamp(min=0)
    scale = (values + values.mean()).clamp(min=torch.finfo(rows.dtype).tiny).rsqrt()
    return vectors * scale if values.mean() > 0 else torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)


def gram_matrix(signals: ItemSignals, content: bool = True, block: int = 1024) -> Float[Tensor, "n n"]:
    """Gram matrix M of the signals, dense, or without its linear content. Time O(t n + n^2 c), memory O(n^2).

    Examples:
        >>> users, items, content = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([[3.0], [0.0]])
        >>> gram_matrix(item_signals(users, items, n_users=2, n_items=2, content=content))
        tensor([[10.,  1.],
                [ 1.,  2.]])
        >>> gram_matrix(item_signals(users, items, n_users=2, n_items=2, content=content), content=False)[0, 0]
        tensor(1.)
    """
    n, m = signals.n_items, signals.n_rows
    weighed = signals.row_weight[signals.rows_of_item] * signals.values_of_item
    by_item = torch.sparse_csr_tensor(signals.item_offsets, signals.rows_of_item, weighed, (n, m))
    gram = signals.content.new_empty(n, n)
    for start in range(0, n, block):
        stop = min(start + block, n)
        columns, positions = entries_of_rows(signals.item_offsets, torch.arange(start, stop))
        some = gram.new_zeros(m, stop - start)
        some[signals.rows_of_item[positions], columns] = signals.values_of_item[positions]
        gram[:, start:stop] = by_item @ some
    return gram.addmm_(signals.content, signals.content.mT) if content else gram


def sparse_gram(signals: ItemSignals) -> sparse.csr_matrix:
    """M without its linear content, as a sparse matrix in order: for data where most pairs of items share no signal.

    Time and memory O(t), t the sum over rows of their squared numbers of items.

    Examples:
        >>> users, items = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
        >>> signals = item_signals(users, items, n_users=2, n_items=3, history_power=1.0)
        >>> sparse_gram(signals).toarray().tolist()  # user 0 has two items and so the weight 1 / 2
        [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    pairs = signals.weighed_by_item @ signals.by_row
    pairs.sort_indices()
    return pairs


def gram_blocks(signals: ItemSignals, nodes: Int[Tensor, "g m"], content: bool = True) -> Float[Tensor, "g m m"]:
    """Blocks M[N, N] of g groups of m nodes without M; -1 stands for no node, whose row and column are zeros.

    Only rows with an entry at two nodes of a group meet off the diagonal, so the others are dropped before the product.
    Time O(h log h + g p m^2), memory O(h + g p m), h the entries at all nodes, p the most such rows in a group.

    Examples:
        >>> signals = item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), n_users=2, n_items=2)
        >>> gram_blocks(signals, torch.tensor([[1, 0], [1, -1]])).tolist()
        [[[2.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]]]
    """
    groups, m = nodes.shape
    there = nodes >= 0
    safe = nodes.clamp(min=0)
    slots = torch.arange(groups * m).masked_select(there.flatten())
    within, positions = entries_of_rows(signals.item_offsets, safe.flatten()[slots])
    slot = slots[within]
    meeting, order = torch.sort(slot // m * signals.n_rows + signals.rows_of_item[positions])  # (group, row)
    slot, value = slot[order], signals.values_of_item[positions[order]]
    _, which, count = torch.unique_consecutive(meeting, return_inverse=True, return_counts=True)
    shared = count[which] > 1
    meeting, slot, value = meeting[shared], slot[shared], value[shared]
    unique, which = torch.unique_consecutive(meeting, return_inverse=True)
    group = unique // signals.n_rows
    per_group = torch.bincount(group, minlength=groups)
    rank = torch.arange(len(unique)) - _offsets(per_group)[group]
    votes = signals.content.new_zeros(groups, int(per_group.max()) if len(unique) else 0, m)
    votes[group[which], rank[which], slot % m] = value * signals.row_weight[meeting % signals.n_rows].sqrt()
    blocks = votes.mT @ votes
    return _completed(blocks, signals, nodes, content)


def blocks_of_gram(
    pairs: sparse.csr_matrix, signals: ItemSignals, nodes: Int[Tensor, "g m"], content: bool = True
) -> Float[Tensor, "g m m"]:
    """Blocks as of :func:`gram_blocks`, out of :func:`sparse_gram`.

    Time O(g m^2 log r), r the pairs that an item has, and once that of a look at all pairs.

    Examples:
        >>> signals = item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), n_users=2, n_items=2)
        >>> blocks_of_gram(sparse_gram(signals), signals, torch.tensor([[1, 0], [1, -1]])).tolist()
        [[[2.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]]]
    """
    g, m = nodes.shape
    near, there = nodes.clamp(min=0).numpy().astype(pairs.indices.dtype), nodes >= 0
    values = pairs[near.repeat(m), np.tile(near, m).ravel()]
    blocks = torch.from_numpy(np.asarray(values)).view(g, m, m)
    blocks *= there.unsqueeze(2) & there.unsqueeze(1)
    return _completed(blocks, signals, nodes, content)


def _completed(
    blocks: Float[Tensor, "g m m"], signals: ItemSignals, nodes: Int[Tensor, "g m"], content: bool
) -> Float[Tensor, "g m m"]:
    """Blocks of rows that meet, with M's diagonal, and with linear content or without it."""
    safe, mask = nodes.clamp(min=0), (nodes >= 0).to(blocks.dtype)
    diagonal = signals.diagonal
    if content:
        rows = signals.content[safe] * mask.unsqueeze(2)
        blocks.baddbmm_(rows, rows.mT)
    else:
        diagonal = diagonal - signals.content.square().sum(1)
    blocks.diagonal(dim1=1, dim2=2).copy_(diagonal[safe] * mask)
    return blocks


def entries_of_rows(offsets: Int[Tensor, " _"], rows: Int[Tensor, " b"]) -> tuple[Int[Tensor, " h"], Int[Tensor, " h"]]:
    """Entries of some rows of a compressed matrix: for each, which of the rows it is in, and its position.

    Args:
        offsets: where the rows of the matrix start and end.
        rows: rows, in any order.

    Examples:
        >>> entries_of_rows(torch.tensor([0, 2, 2, 5]), torch.tensor([2, 0]))
        (tensor([0, 0, 0, 1, 1]), tensor([2, 3, 4, 0, 1]))
    """
    lengths = offsets[rows + 1] - offsets[rows]
    within = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), lengths)
    return within, torch.arange(len(within), device=rows.device) - (_offsets(lengths)[:-1] - offsets[rows])[within]


def spaced_users(active: Int[Tensor, " a"], n_items: int, scores: int) -> Int[Tensor, " s"]:
    """Evenly spaced users: at most 2,048, and at most so many ``scores`` for all items, but not below 16.

    Examples:
        >>> spaced_users(torch.arange(100), n_items=1000, scores=20_000).tolist()  # twenty of a hundred
        [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95]
    """
    most = max(16, min(SPACED_USERS, scores // n_items))
    return active[:: max(1, -(-len(active) // most))]


def chunks(cost: Int[Tensor, " n"], budget: int) -> Iterator[Int[Tensor, " _"]]:
    """Groups of rows of similar cost, the costliest first; size times costliest row of a group is within a budget.

    Examples:
        >>> [group.tolist() for group in chunks(torch.tensor([1, 9, 2, 5]), budget=10)]
        [[1], [3, 2], [0]]
    """
    order = torch.argsort(cost, descending=True, stable=True)
    start = 0
    while start < len(order):
        size = max(1, budget // max(int(cost[order[start]]), 1))
        yield order[start : start + size]
        start += size


def _csr(
    values: Float[Tensor, " t"], columns: Int[Tensor, " t"], offsets: Int[Tensor, " _"], n_columns: int
) -> sparse.csr_matrix:
    return sparse.csr_matrix((values.numpy(), columns.numpy(), offsets.numpy()), (len(offsets) - 1, n_columns))


def _offsets(lengths: Int[Tensor, " _"]) -> Int[Tensor, " _"]:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def _check_ends(users: Tensor, items: Tensor, n_users: int, n_items: int) -> None:
    if users.shape != items.shape:
        raise ShapeError(f"{len(users)} users and {len(items)} items are not pairs; give one of each an interaction")
    for name, ends, count in (("user", users, n_users), ("item", items, n_items)):
        if len(ends) and (int(ends.min()) < 0 or int(ends.max()) >= count):
            raise ShapeError(f"{name} {int(ends.max())} (least {int(ends.min())}) is outside 0 to {count - 1}")
