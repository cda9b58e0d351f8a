r"""An item sheaf as a module: scores of users are their histories, transported to every item.

:math:`s_u = x_u^\top B`, with B learnt in closed form (:mod:`recbole_sheaf.sheaf.item_sheaf`) or the cosines of the
control. n items. Nothing here has a gradient: :func:`fit_item_sheaf` does in one step what training would. Columns of B
into cold items are :math:`(I + B) K` of :mod:`recbole_sheaf.sheaf.cold_items`.

The transport is held in buffers that are not saved. It follows from the training interactions, the content and the
settings, which a checkpoint needs anyway to be loaded, and is fitted again in seconds; saved, it would add n^2 floats
(576 MB at 12,000 items) to every checkpoint of every trial.
"""

from collections.abc import Callable
from typing import Optional, Union

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.settings.vocabulary import ITEM_SHEAF_MAPS
from recbole_sheaf.sheaf.cold_items import ColdMaps, cold_maps, content_regression, content_share, target_factors
from recbole_sheaf.sheaf.item_arcs import choose_neighbours
from recbole_sheaf.sheaf.item_maps import CONTENT, ItemMaps
from recbole_sheaf.sheaf.item_sheaf import (
    cosine_transport,
    precision,
    ridge_diagonal,
    scores,
    unit_scale,
)
from recbole_sheaf.sheaf.item_signals import Gram, ItemSignals, entries_of_rows, gram_matrix, spaced_users
from recbole_sheaf.sheaf.local_item_sheaf import LocalMaps, arc_cosines, content_hubs, local_transport, whole_gram

FULL_UP_TO = 12_000  # items: M, P and what Cholesky holds beside them then take 1.7 GB
LOCAL_NEIGHBOURS = 200
RARE = 10  # training interactions, up to which an item is one that cold ones are measured by
LEVEL_SCORES = 2**26  # of users for items, from which that is measured
COLD_ENTRIES = 2**24  # of transports into cold items, made at once where their largest are sought
MESSAGES = 2**24  # along arcs out of the items of histories, held at once

LearnsLocalMaps = Callable[[ItemSignals, Tensor, int, Optional[Gram]], LocalMaps]


class ItemSheaf(nn.Module):
    """Base of both forms: histories of users, their scores and sparse vectors, and the maps into cold items.

    Args:
        signals: of the items.
        cold: maps into cold items; None leaves these to the form's own maps.

    Attributes:
        ridge_loss: mean over the items of what their regressions leave, ridge included, ``1 / P_ii``; 0 for identity
            maps, which are not learnt.
        cold_level: by what content was multiplied in the maps into cold items.
        message_passing: the backend in use, ``dgl`` or ``torch``; None where no messages are passed.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> signals = item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]), n_users=2, n_items=3)
        >>> ItemSheaf(signals, cold=None).histories(torch.tensor([1, 0]))
        tensor([[0., 1., 0.],
                [1., 0., 1.]])
    """

    ridge_loss = 0.0
    cold_level = 1.0
    message_passing: Optional[str] = None
    user_offsets: Tensor
    items_of_user: Tensor
    user_weight: Tensor
    cold_items: Optional[Tensor]
    cold_source_factors: Optional[Tensor]
    cold_target_factors: Optional[Tensor]

    def __init__(self, signals: ItemSignals, cold: Optional[ColdMaps]) -> None:
        super().__init__()
        self.n_items = signals.n_items
        for name in ("user_offsets", "items_of_user", "user_weight"):
            self.register_buffer(name, getattr(signals, name), persistent=False)
        for name in ("items", "source_factors", "target_factors"):
            self.register_buffer(f"cold_{name}", None if cold is None else getattr(cold, name), persistent=False)

    @property
    def cold(self) -> Optional[ColdMaps]:
        """Maps into cold items, on the device of the module; None if there are none."""
        items, sources, targets = self.cold_items, self.cold_source_factors, self.cold_target_factors
        return None if items is None or sources is None or targets is None else ColdMaps(items, sources, targets)

    def forward(self, histories: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Histories, or any signals on items, transported to all items: ``x^T B``."""
        return self._with_cold_items(histories, self.between_items(histories))

    def between_items(self, histories: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Signals transported by the form's own maps, as if every item were warm."""
        raise NotImplementedError

    def through_warm(self, columns: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
        """``(I + B) columns``, B as if every item were warm: what an item adds by itself and by those it is carried to.

        Of the source factor of maps into cold items it makes what a history is multiplied by.
        """
        raise NotImplementedError

    def warm_maps(self) -> ItemMaps:
        """B as if every item were warm."""
        raise NotImplementedError

    def maps(self) -> ItemMaps:
        """B, in its smallest form; memory O(n^2) for the full form, 8 bytes a coefficient, else O(n (K + c))."""
        found, cold = self.warm_maps(), self.cold
        if cold is None:
            return found
        return found.with_low_rank_into(
            cold.items, self.through_warm(cold.source_factors), cold.target_factors, len(self.user_weight)
        )

    def _with_cold_items(self, histories: Float[Tensor, "b n"], scores: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Scores with those of cold items replaced, in place; time O(b n c)."""
        cold = self.cold
        if cold is not None:
            scores[:, cold.items] = ((histories + scores) @ cold.source_factors) @ cold.target_factors.mT
        return scores

    def item_vectors(self, size: int) -> tuple[Int[Tensor, "n size"], Float[Tensor, "n size"]]:
        """The ``size`` neighbours of each item with the largest coefficients by absolute value, and these coefficients.

        Where there are fewer neighbours, -1 and 0.
        """
        raise NotImplementedError

    def histories(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n"]:
        """Training interactions of users, as rows of zeros and ones."""
        rows, positions = entries_of_rows(self.user_offsets, users)
        out = self.user_weight.new_zeros(len(users), self.n_items)
        out[rows, self.items_of_user[positions]] = 1.0
        return out

    def scores(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n"]:
        """Scores of users for every item; zeros for a user without a history."""
        return self(self.histories(users))

    def user_vectors(
        self, users: Int[Tensor, " b"], size: int
    ) -> tuple[Int[Tensor, "b size"], Float[Tensor, "b size"]]:
        """The ``size`` items of each user with the largest scores by absolute value, and these scores."""
        return _largest(self.scores(users), size)


class FullItemSheaf(ItemSheaf):
    """Item sheaf on all pairs of items. Memory O(n^2).

    Args:
        signals: of the items.
        precision: P, for learnt maps.
        transport: B, for others; give one of the two.
        cold: see :class:`ItemSheaf`.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> signals = item_signals(torch.tensor([0]), torch.tensor([0]), n_users=1, n_items=2)
        >>> FullItemSheaf(signals, transport=torch.tensor([[0.0, 0.5], [0.25, 0.0]])).scores(torch.tensor([0]))
        tensor([[0.0000, 0.5000]])
    """

    precision: Optional[Tensor]
    transport: Optional[Tensor]

    def __init__(
        self,
        signals: ItemSignals,
        precision: Optional[Float[Tensor, "n n"]] = None,
        transport: Optional[Float[Tensor, "n n"]] = None,
        cold: Optional[ColdMaps] = None,
    ) -> None:
        super().__init__(signals, cold)
        if precision is not None:
            self.ridge_loss = float(precision.diagonal().reciprocal().mean())
        self.register_buffer("precision", precision, persistent=False)
        self.register_buffer("transport", transport, persistent=False)

    def between_items(self, histories: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Signals ``x^T B``. Time O(b n^2)."""
        return scores(self._held, histories) if self.transport is None else histories @ self.transport

    @property
    def _whole(self) -> Float[Tensor, "n n"]:
        """B; memory O(n^2) where P was given."""
        held = self._held
        return held if self.precision is None else (-held / held.diagonal()).fill_diagonal_(0.0)

    def through_warm(self, columns: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
        """``(I + B) columns``; time O(n^2 q)."""
        return columns + self._whole @ columns

    def warm_maps(self) -> ItemMaps:
        """A coefficient for each pair of items."""
        return ItemMaps(sparse.csc_matrix(self._whole.cpu().numpy()))

    @property
    def _held(self) -> Tensor:
        """P or B, the one that was given."""
        held = self.precision if self.transport is None else self.transport
        if held is None:
            raise ConfigError("a full item sheaf got neither precision nor transport; give one of the two")
        return held

    def scores(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n"]:
        """Scores of users for every item. Time O(h n + b n c), h the length of all their histories."""
        rows, positions = entries_of_rows(self.user_offsets, users)
        lengths = torch.bincount(rows, minlength=len(users))
        starts = lengths.cumsum(0) - lengths
        summed = embedding_bag(self.items_of_user[positions], self._held, starts, mode="sum")
        if self.precision is None and self.cold_items is None:
            return summed
        histories = self.histories(users)
        own = summed if self.precision is None else histories - summed / self.precision.diagonal()
        return self._with_cold_items(histories, own)

    def item_vectors(self, size: int) -> tuple[Int[Tensor, "n size"], Float[Tensor, "n size"]]:
        """Of each item its neighbours with the coefficients largest in size, signed; memory O(n^2)."""
        transport, cold = self._whole, self.cold
        if cold is not None:
            into_cold = (cold.source_factors + transport @ cold.source_factors) @ cold.target_factors.mT
            transport = transport.index_copy(1, cold.items, into_cold)
        return _largest(transport.mT, size)


class LocalItemSheaf(ItemSheaf):
    r"""Item sheaf on K neighbours of each item, by message passing, and content through c hubs.

    .. math:: s_i = \sum_{j \in N_i} w_{ji} x_j + h^{out}_i \cdot \Bigl(\sum_j h^{in}_j x_j - h^{in}_i x_i\Bigr).

    Args:
        signals: of the items.
        neighbours: N_i; -1 is none.
        weights: w_{ji} on the arc from the k-th neighbour of i.
        hubs_in, hubs_out: source and target factors of the maps through hubs, h^{in} and h^{out}.
        cold: see :class:`ItemSheaf`.
        backend: of the messages.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> signals = item_signals(torch.tensor([0, 0]), torch.tensor([0, 1]), n_users=1, n_items=3)
        >>> near, weights, hubs = torch.tensor([[1], [-1], [0]]), torch.tensor([[0.5], [9.9], [0.2]]), torch.zeros(3, 0)
        >>> LocalItemSheaf(signals, near, weights, hubs, hubs).scores(torch.tensor([0])) + 0.0
        tensor([[0.5000, 0.0000, 0.2000]])
    """

    weights: Tensor
    arcs_by_source: Tensor
    source_offsets: Tensor
    hubs_in: Tensor
    hubs_out: Tensor
    own: Tensor

    def __init__(
        self,
        signals: ItemSignals,
        neighbours: Int[Tensor, "n K"],
        weights: Float[Tensor, "n K"],
        hubs_in: Float[Tensor, "n c"],
        hubs_out: Float[Tensor, "n c"],
        cold: Optional[ColdMaps] = None,
        backend: str = "auto",
        device: Optional[Union[str, torch.device]] = None,
    ) -> None:
        super().__init__(signals, cold)
        there, n = neighbours >= 0, signals.n_items
        source, into_each = neighbours[there], there.sum(1)
        self.register_buffer("weights", weights[there].view(-1, 1, 1), persistent=False)
        by_source, offsets = _by_source(source, into_each)
        self.register_buffer("arcs_by_source", by_source, persistent=False)
        self.register_buffer("source_offsets", offsets, persistent=False)
        item = torch.arange(n, device=source.device).repeat_interleave(into_each)
        self.graph = ArcGraph(source, item, n, backend=backend, device=device, undirected=False, distinct=True)
        self.register_buffer("hubs_in", hubs_in, persistent=False)
        self.register_buffer("hubs_out", hubs_out, persistent=False)
        self.register_buffer("own", (hubs_in * hubs_out).sum(1), persistent=False)  # through hubs to itself

    def between_items(self, histories: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Signals transported by the equation above. Time O(b n (K + c)), memory O(b n)."""
        over_arcs = self.graph.weighted_sum(histories.mT.unsqueeze(1).contiguous(), self.weights)
        return over_arcs.squeeze(1).mT + (histories @ self.hubs_in) @ self.hubs_out.mT - histories * self.own

    def scores(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n"]:
        """Scores of users for every item. Time O(h K + b n c), h the length of all their histories.

        Messages leave the items of the histories alone: most of a batch of histories is zeros.
        """
        rows, positions = entries_of_rows(self.user_offsets, users)
        items, histories = self.items_of_user[positions], self.histories(users)
        at_hubs = self.hubs_in.new_zeros(len(users), self.hubs_in.shape[1]).index_add_(0, rows, self.hubs_in[items])
        out = torch.addmm(histories * -self.own, at_hubs, self.hubs_out.mT)
        weights, flat = self.weights.flatten(), out.view(-1)
        at_once = max(1, MESSAGES // max(1, int(self.source_offsets.diff().max())))
        for some, of_items in zip(rows.split(at_once), items.split(at_once)):
            which, places = entries_of_rows(self.source_offsets, of_items)
            arcs = self.arcs_by_source[places].long()
            flat.index_add_(0, some[which] * self.n_items + self.graph.dst[arcs], weights[arcs])
        return self._with_cold_items(histories, out)

    def item_vectors(self, size: int) -> tuple[Int[Tensor, "n size"], Float[Tensor, "n size"]]:
        """As :meth:`ItemSheaf.item_vectors`, coefficients of arcs and hubs together, over an item's neighbours alone.

        A cold item has no neighbours, and its coefficients over all items are looked through. Memory O(n size).
        """
        src, dst = self.graph.src, self.graph.dst
        values = self.weights.flatten() + (self.hubs_in[src] * self.hubs_out[dst]).sum(1)
        order = torch.argsort(values.abs(), descending=True, stable=True)
        order = order[torch.argsort(dst[order], stable=True)]
        src, dst, values = src[order], dst[order], values[order]
        starts = torch.searchsorted(dst, torch.arange(self.n_items, device=dst.device))
        rank = torch.arange(len(dst), device=dst.device) - starts[dst]
        kept = rank < size
        items = torch.full((self.n_items, size), -1, device=dst.device)
        out = self.weights.new_zeros(self.n_items, size)
        items[dst[kept], rank[kept]], out[dst[kept], rank[kept]] = src[kept], values[kept]
        cold = self.cold
        if cold is not None:
            sources = self.through_warm(cold.source_factors)
            rows = max(1, COLD_ENTRIES // self.n_items)
            for some, targets in zip(cold.items.split(rows), cold.target_factors.split(rows)):
                items[some], out[some] = _largest(targets @ sources.mT, size)
        return items, out

    def through_warm(self, columns: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
        """``(I + B) columns``, messages against the arcs; time O(n q (K + c))."""
        ends = torch.stack([self.graph.src, self.graph.dst])
        arcs = torch.sparse_coo_tensor(
            ends, self.weights.flatten(), (self.n_items, self.n_items), check_invariants=True
        )
        by_hubs = self.hubs_in @ (self.hubs_out.mT @ columns)
        return columns + (arcs @ columns + by_hubs - self.own.unsqueeze(1) * columns)

    def warm_maps(self) -> ItemMaps:
        """Coefficients on the arcs, and the hubs as factors, with what they carry from an item to itself taken off."""
        items = torch.arange(self.n_items)
        source, target = (torch.cat([ends.cpu(), items]).numpy() for ends in (self.graph.src, self.graph.dst))
        values = torch.cat([self.weights.flatten(), -self.own]).cpu().numpy()
        between = sparse.csc_matrix((values, (source, target)), shape=(self.n_items, self.n_items))
        between.eliminate_zeros()
        if not self.hubs_in.shape[1]:
            return ItemMaps(between)
        return ItemMaps(between, {CONTENT: self.hubs_in}, {CONTENT: self.hubs_out})

    @property
    def message_passing(self) -> str:  # type: ignore[override]  # the other form passes none
        """The backend in use, ``dgl`` or ``torch``."""
        return self.graph.backend


def fit_item_sheaf(
    signals: ItemSignals,
    restriction_map: str = "learnt",
    neighbours: int = -1,
    ridge: float = 50.0,
    map_dropout: float = 0.2,
    cold_ridge: float = 20.0,
    backend: str = "auto",
    device: Optional[Union[str, torch.device]] = None,
    local_maps: Optional[LearnsLocalMaps] = None,
    gram: Optional[Gram] = None,
) -> ItemSheaf:
    """Item sheaf learnt in closed form, on the CPU, and put on a device.

    Args:
        signals: of the items.
        restriction_map: ``learnt``, or ``identity``, the control: cosines on the same arcs.
        neighbours: K of the local form; 0 is the full form; -1 the full form up to ``FULL_UP_TO`` items, above it the
            local one with ``LOCAL_NEIGHBOURS``.
        ridge: lambda, on a scale where an interaction of a user with one item is 1.
        map_dropout: p, the share of signal that is dropped, in [0, 1).
        cold_ridge: of the learnt maps into cold items, on a scale where an item's content is 1; 0 fits those maps as
            all others. Identity maps into cold items are cosines anyway.
        local_maps: learns the maps of the local form from the signals, Lambda, K and the users' part of M where it is
            at hand; None does it here, :class:`~recbole_sheaf.models.local_shards.LocalShards` on many workers.
        gram: what :func:`users_gram` makes of the signals, where it is at hand; the full form has no use for it.

    Raises:
        ConfigError: for unknown maps, settings out of range, or a system that is not positive definite.

    Time O(n^3) in full; locally O(n K^3 + n c (K + c)) and that of choosing arcs, which grows with the interactions.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 0, 1, 0])
        >>> sheaf = fit_item_sheaf(item_signals(users, items, n_users=3, n_items=3), ridge=1.0, map_dropout=0.0)
        >>> sheaf.scores(torch.tensor([2]))  # user 2 has item 0; into item 1 its coefficient is 2 / (3 + 1)
        tensor([[0.0000, 0.5000, 0.0000]])
    """
    if restriction_map not in ITEM_SHEAF_MAPS:
        raise ConfigError(f"restriction_map is {restriction_map!r}, expected one of {', '.join(ITEM_SHEAF_MAPS)}")
    neighbours = arcs_into_each(signals.n_items, neighbours)
    lambdas = ridge_diagonal(signals.diagonal, ridge, map_dropout)
    if not neighbours:
        gram = gram_matrix(signals)
        if restriction_map == "identity":
            return FullItemSheaf(signals, transport=cosine_transport(gram)).to(device)
        full = FullItemSheaf(signals, precision=precision(gram, lambdas), cold=cold_maps(signals, cold_ridge))
        return _with_cold_items_level(full, signals).to(device)
    if gram is None and signals.n_items <= FULL_UP_TO:
        gram = users_gram(signals)
    loss, cold = 0.0, None
    if restriction_map == "identity":
        near = choose_neighbours(signals, lambdas, neighbours, gram=gram)
        unit = signals.content * unit_scale(signals.diagonal).unsqueeze(1)
        parts = (arc_cosines(signals, near, gram, content=False), unit, unit)
    else:
        maps = (local_maps or _local_maps)(signals, lambdas, neighbours, gram)
        near = maps.neighbours
        hubs = content_hubs(maps, signals.content)
        loss = float(hubs.variance.reciprocal().mean())
        weights = maps.weights.mul_((maps.variance / hubs.variance).unsqueeze(1))  # in place: gigabytes
        parts = (weights, hubs.factor, hubs.factor / hubs.variance.unsqueeze(1))
        cold = cold_maps(signals, cold_ridge)
    sheaf = LocalItemSheaf(signals, near, *parts, cold, backend=backend, device=device).to(device)
    sheaf.ridge_loss = loss
    return _with_cold_items_level(sheaf, signals)


def users_gram(signals: ItemSignals) -> Optional[Gram]:
    """M without linear content, of which the local form is learnt; None where it is too large to be made whole.

    Whatever the ridge, and whatever linear content is beside it, it is the same.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users_gram(item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), n_users=2, n_items=2))
        tensor([[1., 1.],
                [1., 2.]])
    """
    return gram_matrix(signals, content=False) if signals.n_items <= FULL_UP_TO else whole_gram(signals)


def _local_maps(signals: ItemSignals, ridge: Float[Tensor, " n"], neighbours: int, gram: Optional[Gram]) -> LocalMaps:
    gram = whole_gram(signals) if gram is None else gram
    near = choose_neighbours(signals, ridge, neighbours, gram=gram)
    return local_transport(signals, near, ridge, gram, content=False)


def arcs_into_each(n_items: int, neighbours: int) -> int:
    """Number K of neighbours of the local form, 0 for the full one, where -1 leaves the choice to ``n_items``.

    -1 takes the full form up to ``FULL_UP_TO`` items, and above it ``LOCAL_NEIGHBOURS``.

    Examples:
        >>> arcs_into_each(1000, -1), arcs_into_each(50_000, -1), arcs_into_each(1000, 20)
        (0, 200, 20)
    """
    if neighbours >= 0:
        return neighbours
    return 0 if n_items <= FULL_UP_TO else min(LOCAL_NEIGHBOURS, n_items - 1)


def rare_items(signals: ItemSignals) -> Bool[Tensor, " n"]:
    """Which warm items are rare: those of at most ``RARE`` interactions, or of the fewest there are.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> items = torch.tensor([0] * 11 + [1] * 3)  # nobody chose item 2, which is cold
        >>> rare_items(item_signals(torch.arange(14), items, n_users=14, n_items=3))
        tensor([False,  True, False])
    """
    degree = signals.degree
    return (degree > 0) & (degree <= max(RARE, int(degree[degree > 0].min())))


def _with_cold_items_level(sheaf: ItemSheaf, signals: ItemSignals) -> ItemSheaf:
    """Scale the maps into cold items: their scores get the root mean square of rare items' times :func:`content_share`.

    A regression on content orders users for an item and does not know how seldom it is chosen: where interactions
    shrink the maps into rare items, those into cold ones must not give larger scores. Where content is missing, the
    little that is there must not give scores as if histories were known in full (docs/results/search-log.md).
    """
    cold = sheaf.cold
    if cold is None:
        return sheaf
    rare = rare_items(signals)
    of_rare, of_cold = 0.0, 0.0
    for some in _level_users(signals).to(cold.source_factors.device).split(max(1, COLD_ENTRIES // sheaf.n_items)):
        scores = sheaf.scores(some)
        of_rare += float(scores[:, rare.to(scores.device)].square().sum())
        of_cold += float(scores[:, cold.items].square().sum())
    if of_cold:
        sheaf.cold_level = _level(signals, of_rare / int(rare.sum()), of_cold / len(cold.items))
        cold.target_factors.mul_(sheaf.cold_level)
    return sheaf


def maps_into_new(
    sheaf: ItemSheaf, signals: ItemSignals, content: Float[Tensor, "k c"], ridge: float
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "k c"]]:
    """Maps into k items that were not there, ``through_warm(source) @ target.mT``, as those into cold items are.

    Where the catalogue has cold items, new ones are at their level. Where it has none, the level is measured: rare warm
    items with content, through the maps into cold ones and by users who do not have them, become as loud as by the item
    sheaf's own maps, times :func:`content_share`. It depends on the catalogue alone, so that an item is placed alike
    whatever is placed beside it.

    Args:
        signals: that the sheaf was fitted to.
        content: coordinates of the items' content, in the catalogue's directions.
        ridge: ``cold_ridge`` of the fit.

    Returns:
        source, target, on the CPU.

    Examples:
        Into two new items, one with the content of item 0 and one with that of item 1. Item 2 is like item 0:

        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> content = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
        >>> chosen = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 2])
        >>> signals = item_signals(*chosen, n_users=2, n_items=3, content=content)
        >>> sheaf = fit_item_sheaf(signals, neighbours=0, ridge=1.0)
        >>> source, target = maps_into_new(sheaf, signals, content[:2], ridge=1.0)
        >>> (sheaf.through_warm(source) @ target.mT).round(decimals=2)
        tensor([[ 0.3500, -0.0500],
                [ 0.0200,  0.3400],
                [ 0.3100,  0.1200]])
    """
    source, factor = content_regression(signals, ridge)
    level = sheaf.cold_level if sheaf.cold is not None else _level_by_rare_items(sheaf, signals, source, factor)
    return source, level * target_factors(content, factor)


def _level_by_rare_items(
    sheaf: ItemSheaf, signals: ItemSignals, source: Float[Tensor, "n c"], factor: Float[Tensor, "c c"]
) -> float:
    rare = (rare_items(signals) & signals.has_content).nonzero().squeeze(1)
    target = target_factors(signals.content[rare], factor)
    own, through_content = 0.0, 0.0
    for some in _level_users(signals).split(256):
        histories = sheaf.histories(some.to(sheaf.user_weight.device))
        scores = sheaf(histories).cpu()
        histories = histories.cpu()
        others = histories[:, rare] == 0
        own += float(scores[:, rare][others].square().sum())
        through_content += float((((histories + scores) @ source) @ target.mT)[others].square().sum())
    return _level(signals, own, through_content) if through_content else 0.0


def _level_users(signals: ItemSignals) -> Int[Tensor, " s"]:
    """Some users with a history, by whose scores a level is measured."""
    active = (signals.user_offsets.diff() > 0).nonzero().squeeze(1)
    return spaced_users(active, signals.n_items, LEVEL_SCORES)


def _level(signals: ItemSignals, wanted: float, there: float) -> float:
    """What brings scores of the mean square ``there`` to ``wanted``, times the share that content tells."""
    return content_share(signals) * (wanted / there) ** 0.5


def _by_source(
    source: Int[Tensor, " arcs"], into_each: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " arcs"], Int[Tensor, " n_and_one"]]:
    """Arcs, listed by target, in the order of their sources, and where those out of each item start.

    As the columns of a matrix: no sort of numbers of 8 bytes, which takes 5 times the memory.
    """
    n, place = len(into_each), np.arange(len(source), dtype=np.int32 if len(source) < 2**31 else np.int64)
    offsets = pad(into_each.cumsum(0), (1, 0)).cpu().numpy()
    columns = sparse.csr_matrix((place, source.cpu().numpy(), offsets), shape=(n, n)).tocsc()
    arcs, starts = torch.from_numpy(columns.data), torch.from_numpy(columns.indptr).long()
    return arcs.to(source.device), starts.to(source.device)


def _largest(rows: Float[Tensor, "b n"], size: int) -> tuple[Int[Tensor, "b size"], Float[Tensor, "b size"]]:
    places = rows.abs().topk(size, dim=1).indices
    return places, rows.gather(1, places)
