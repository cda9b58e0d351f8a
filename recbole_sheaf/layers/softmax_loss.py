r"""A softmax of cosines over the whole catalogue, or over a weighted sample of it, for batches of users.

Notation: b users of a batch, n_items items with RecBole's padding at 0, f numbers wide; :math:`s_{ui} = \cos(u, i) /
\tau + o_{ui}` with a temperature :math:`\tau` and an offset o that is usually absent. The p training interactions of
the batch are pairs (row of the user in the batch, item), each once. Items are 1 to n_items - 1 in every sum.
"""

from typing import Any, NamedTuple, Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding, normalize

from recbole_sheaf.errors import ConfigError, ShapeError

CHUNK_ENTRIES = 1 << 22  # logits held at once


class Draw(NamedTuple):
    """Items drawn for a step, in ascending order, and the logarithm of the probability that each had to be drawn.

    Examples:
        >>> Draw(torch.tensor([3, 7]), torch.tensor([0.5, 0.25]).log()).items.tolist()
        [3, 7]
    """

    items: Int[Tensor, " N"]
    log_probability: Float[Tensor, " N"]


def softmax_loss(
    users: Float[Tensor, "b f"],
    items: Float[Tensor, "n_items f"],
    pairs: tuple[Int[Tensor, " p"], Int[Tensor, " p"]],
    temperature: float,
    offset: Optional[Float[Tensor, "#b n_items"]] = None,
    draw: Optional[Draw] = None,
    weight: Optional[Float[Tensor, " p"]] = None,
) -> Float[Tensor, ""]:
    r"""Softmax loss over all items: how badly the batch's users find theirs, the weighted mean over the p pairs of

    .. math:: -s_{ui} + \ln Z_u, \qquad Z_u = \sum_{j \ge 1} \exp s_{uj}.

    Every pair counts once, or its weight, so a user with many counts for more. With a draw, :math:`Z_u` is estimated
    without bias (its logarithm is not) from the drawn items, by Horvitz and Thompson 1952: the user's own items as they
    are, each other drawn j divided by its probability :math:`\pi_j`, which is the correction :math:`s_{uj} - \ln
    \pi_j` (Bengio & Senécal 2008; Yi et al. 2019). If every item is drawn with probability 1 the two forms are equal.

    Args:
        users: the batch's users, not yet of unit length; those without a pair do not count.
        items: all items, the padding included.
        pairs: row of the user and item of each interaction; no pair twice.
        temperature: divides the cosines.
        offset: constants that are added to the logits, one row or a row for each user; no gradient. -inf takes an item
            out of the sum, and is not for an item of a pair.
        draw: of :class:`ItemSampler`; None sums over all items.
        weight: what each pair counts, not negative; None is 1.

    Returns:
        The loss; zero, with a gradient of zeros, if there are no pairs.

    Raises:
        ConfigError: if the temperature is not above 0.
        ShapeError: if users and items differ in width, the offset has other rows or columns, or the weights are not one
            of each pair.

    Over all items: three products of b n_items f; a few times 16 MiB of logits at once whatever b and n_items are,
    never a matrix b x n_items, beside unit items and their gradient, 4 n_items f floats. Sampled: three products of
    b N f and about 4 (b N + p f) floats, beside the gradient of the items. Measured: benchmarks/softmax.md.

    Examples:
        >>> users, items = torch.tensor([[1.0, 0.0]]), torch.tensor([[9.0, 9.0], [2.0, 0.0], [0.0, 3.0]])
        >>> one_pair = torch.tensor([0]), torch.tensor([1])  # row 0 of the batch, item 1; item 0 is the padding
        >>> softmax_loss(users, items, one_pair, temperature=1.0)  # -1 + ln(e + 1)
        tensor(0.3133)
        >>> two_pairs = torch.tensor([0, 0]), torch.tensor([1, 2])  # the loss of the second is ln(e + 1)
        >>> softmax_loss(users, items, two_pairs, temperature=1.0, weight=torch.tensor([0.75, 0.25]))
        tensor(0.5633)
    """
    _refuse(users, items, temperature, offset)
    row, item = pairs
    if weight is None:
        weight = users.new_ones(len(row), dtype=torch.float32)
    elif weight.shape != row.shape:
        raise ShapeError(f"{len(row)} pairs came with weights of shape {tuple(weight.shape)}; give one of each pair")
    with torch.autocast(users.device.type, enabled=False):  # cosines over a small temperature need all their digits
        users = normalize(users.float() if users.dtype.itemsize < 4 else users) / temperature
        items = items.float() if items.dtype.itemsize < 4 else items
        offset = None if offset is None else offset.detach().to(users)
        weight = weight.to(users)
        if draw is None:
            offset = None if offset is None else offset[:, 1:]
            return _AllItems.apply(users, normalize(items[1:]), row, item - 1, offset, weight)
        return _sampled(users, items, pairs, offset, draw, weight)


def _refuse(users: Tensor, items: Tensor, temperature: float, offset: Optional[Tensor]) -> None:
    if not temperature > 0:
        raise ConfigError(f"the temperature of a softmax is {temperature}, expected a number above 0, such as 0.2")
    if users.shape[1] != items.shape[1]:
        raise ShapeError(
            f"users of shape {tuple(users.shape)} and items of shape {tuple(items.shape)} differ in width; "
            "give both the same number of columns"
        )
    if offset is not None and offset.shape not in ((1, len(items)), (len(users), len(items))):
        raise ShapeError(
            f"offset has shape {tuple(offset.shape)}, expected ({len(users)}, {len(items)}) or (1, {len(items)}): "
            "a column for each item, the padding's first"
        )


class _AllItems(torch.autograd.Function):
    """The loss over all items with its gradient computed on the way, so that only a few rows of logits ever exist."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, row: Tensor, item: Tensor, offset: Optional[Tensor], weight: Tensor
    ) -> Tensor:
        differentiate = any(ctx.needs_input_grad)
        d_users, d_items = torch.zeros_like(users), torch.zeros_like(items)
        mass = _summed(weight, row, len(users))
        order = row.argsort(stable=True)
        row, item, weight = row[order], item[order], weight[order]
        ends = torch.bincount(row, minlength=len(users)).cumsum(0).tolist()
        loss, step, done = users.new_zeros(()), max(1, CHUNK_ENTRIES // max(len(items), 1)), 0
        for start in range(0, len(users), step):
            stop = min(start + step, len(users))
            of = slice(done, ends[stop - 1])
            own, counts, done = (row[of] - start, item[of]), weight[of], ends[stop - 1]
            if not len(counts):
                continue
            logits = users[start:stop] @ items.T
            if offset is not None:
                logits += offset[start:stop] if len(offset) > 1 else offset
            log_z = logits.logsumexp(dim=1)
            loss += mass[start:stop] @ log_z - counts @ logits[own]
            if differentiate:
                gradient = logits.sub_(log_z.unsqueeze(1)).exp_().mul_(mass[start:stop].unsqueeze(1))
                gradient[own] -= counts
                torch.mm(gradient, items, out=d_users[start:stop])
                d_items.addmm_(gradient.T, users[start:stop])
        total = _total(weight)
        ctx.save_for_backward(d_users.div_(total), d_items.div_(total))
        return loss / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Optional[Tensor], ...]:
        d_users, d_items = ctx.saved_tensors
        return gradient * d_users, gradient * d_items, None, None, None, None


def _sampled(
    users: Tensor, items: Tensor, pairs: tuple[Tensor, Tensor], offset: Optional[Tensor], draw: Draw, weight: Tensor
) -> Tensor:
    """The loss with each user's own items in full and the drawn others weighted; ``users`` are divided by tau."""
    row, item = pairs
    own_items, place = item.unique(return_inverse=True)
    rows = normalize(embedding(torch.cat([draw.items, own_items]), items))  # one gradient of all items, not two
    drawn, own = rows[: len(draw.items)], rows[len(draw.items) :]
    logits = users @ drawn.T - draw.log_probability
    s = (embedding(row, users) * embedding(place, own)).sum(dim=1)
    if offset is not None:
        logits = logits + offset[:, draw.items]
        s = s + offset[row if len(offset) > 1 else torch.zeros_like(row), item]
    hit, column = _columns_of(item, draw.items)
    logits = logits.index_put((row[hit], column[hit]), logits.new_tensor(-torch.inf))  # own items are counted apart
    log_z = _log_sum_exp(logits, row, s)
    return (_summed(weight, row, len(users)) @ log_z - weight @ s) / _total(weight)


def _summed(weight: Tensor, row: Tensor, n_rows: int) -> Tensor:
    return weight.new_zeros(n_rows).index_add_(0, row, weight)


def _total(weight: Tensor) -> Tensor:
    """Of all weights, 1 where there are none, so that nothing is divided by zero."""
    total = weight.sum()
    return torch.where(total > 0, total, 1)


def _columns_of(item: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Which items are among the drawn ones, and in which column."""
    column = torch.searchsorted(drawn, item).clamp(max=max(len(drawn) - 1, 0))
    return (drawn[column] == item if len(drawn) else torch.zeros_like(item, dtype=torch.bool)), column


def _log_sum_exp(logits: Tensor, row: Tensor, s: Tensor) -> Tensor:
    """Per row, of its logits and of its own s; a row without any is 0 and passes no gradient."""
    highest = logits.detach().amax(dim=1) if logits.shape[1] else logits.new_full((len(logits),), -torch.inf)
    highest = highest.scatter_reduce(0, row, s.detach(), "amax")
    highest = highest.nan_to_num(neginf=0.0)
    total = (logits - highest.unsqueeze(1)).exp().sum(dim=1)
    total = total.index_add(0, row, (s - highest[row]).exp())
    return torch.where(total > 0, total, 1).log() + highest


class ItemSampler(nn.Module):
    r"""Sampler of about N items a step, each drawn on its own with a probability that never changes (Poisson sampling).

    :math:`\pi_j = \min(1, c (\frac{1}{2 n} + \frac{1}{2} f_j))` with n items, :math:`f_j` an item's share of the
    training interactions, and c such that the probabilities sum to N: frequent items, which are the hard ones, are
    drawn more often, and none so seldom that its weight :math:`1 / \pi_j` exceeds :math:`2 n / N`. An item is drawn at
    most once. Draws come from PyTorch's global generator, which RecBole seeds, unless another is given.

    Examples:
        >>> sampler = ItemSampler(counts=torch.tensor([0, 5, 3, 0]), draws=3)  # as many as there are
        >>> sampler.draw().items.tolist()
        [1, 2, 3]
    """

    probability: Tensor

    def __init__(self, counts: Int[Tensor, " n_items"], draws: int) -> None:
        super().__init__()
        self.register_buffer("probability", inclusion_probabilities(counts, draws), persistent=False)

    def draw(self, generator: Optional[torch.Generator] = None) -> Draw:
        """Items of one step. Time O(n_items), for n_items uniform numbers."""
        chance = torch.rand(self.probability.shape, generator=generator, device=self.probability.device)
        drawn = (chance < self.probability).nonzero().squeeze(1)
        return Draw(drawn, self.probability[drawn].log())


def inclusion_probabilities(counts: Int[Tensor, " n_items"], draws: int) -> Float[Tensor, " n_items"]:
    r"""Probabilities :math:`\pi` of :class:`ItemSampler` for items that occur ``counts`` times; 0 for the padding.

    Raises:
        ConfigError: if ``draws`` is below 1.

    Examples:
        >>> inclusion_probabilities(torch.tensor([0, 6, 2, 0, 0]), draws=2)  # they sum to 2
        tensor([0.0000, 1.0000, 0.5000, 0.2500, 0.2500])
    """
    if draws < 1:
        raise ConfigError(f"{draws} items cannot stand for all; sample at least 1, such as 4096")
    n = len(counts) - 1
    probability = torch.zeros(len(counts))
    if draws >= n:
        probability[1:] = 1
        return probability
    share = counts[1:].double()
    weight = 0.5 / n + 0.5 * share / share.sum().clamp(min=1)
    certain = torch.zeros(n, dtype=torch.bool)
    while True:  # those above 1 are drawn for certain, and the others share what is left
        scaled = weight * (draws - certain.sum()) / weight[~certain].sum()
        above = (scaled >= 1) & ~certain
        if not above.any():
            break
        certain |= above
    probability[1:] = torch.where(certain, 1.0, scaled).float()
    return probability
