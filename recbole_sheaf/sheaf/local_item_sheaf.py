"""An item sheaf on the arcs of K neighbours: maps learnt around each node, and content through hubs.

M, Lambda, P and B as in :mod:`recbole_sheaf.sheaf.item_sheaf`, whose full form this approximates without a matrix of
all pairs: time and memory are linear in the number of items.
"""

from dataclasses import dataclass
from typing import Optional, Union

import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.sheaf.item_sheaf import cholesky_factor, unit_scale
from recbole_sheaf.sheaf.item_signals import Gram, ItemSignals, blocks_of_gram, chunks, gram_blocks, sparse_gram

SPARSE_PAIRS = 2**29  # of items that share a signal, up to which M is made whole, as a sparse matrix of 4 GiB
SAMPLED_ITEMS = 1000  # by which it is told how many such pairs there are


@dataclass(frozen=True)
class LocalMaps:
    """Learnt maps on the arcs of K neighbours, without the linear content of :class:`ItemSignals`.

    Attributes:
        neighbours: N_i, best first; -1 is none.
        weights: coefficients of node i on its neighbours; zero where there is none.
        variance: the diagonal of P as node i has it, one over what its regression leaves.

    Examples:
        >>> LocalMaps(torch.tensor([[1], [-1]]), torch.tensor([[0.5], [0.0]]), torch.ones(2)).weights.flatten()
        tensor([0.5000, 0.0000])
    """

    neighbours: Int[Tensor, "n K"]
    weights: Float[Tensor, "n K"]
    variance: Float[Tensor, " n"]


def local_transport(
    signals: ItemSignals,
    neighbours: Int[Tensor, "n K"],
    ridge: Float[Tensor, " n"],
    gram: Optional[Gram] = None,
    content: bool = True,
    chunk_bytes: int = 2**28,
) -> LocalMaps:
    r"""Ridge regression of each node on its neighbours alone, :math:`w_i = (M + \Lambda)_{NN}^{-1} M_{Ni}`.

    With all other items as neighbours it is the full transport.

    Args:
        neighbours: N_i, distinct and without i; -1 is none.
        ridge: diagonal of Lambda.
        gram: M if it is at hand, without linear content where it is sparse or ``content`` is False; else it is made if
            it is small enough (:func:`whole_gram`), or its blocks one by one.
        content: whether content is among the signals.
        chunk_bytes: bounds what is held at once, unless one node alone needs more.

    Raises:
        ConfigError: if K is not below the number of items, or a block is not positive definite.

    Time O(n K^3) and that of M's blocks, O(n K r) where r is how many pairs an item has, or of :func:`gram_blocks`
    where they are too many.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 0, 1, 1])
        >>> signals = item_signals(users, items, n_users=3, n_items=2)
        >>> local_transport(signals, torch.tensor([[1], [0]]), ridge=torch.ones(2)).weights  # 2 / (3 + 1), 2 / (2 + 1)
        tensor([[0.5000],
                [0.6667]])
    """
    weights, variance = signals.content.new_zeros(neighbours.shape), torch.zeros_like(ridge)
    gram = whole_gram(signals) if gram is None else gram
    for rows in block_chunks(signals, neighbours, gram is not None, content, chunk_bytes):
        blocks = _blocks(signals, neighbours[rows], rows, gram, content)
        weights[rows], variance[rows] = _solved(signals, neighbours[rows], rows, ridge, blocks, content)
    return LocalMaps(neighbours, weights, variance)


def whole_gram(signals: ItemSignals) -> Optional[sparse.csr_matrix]:
    """M without linear content as a sparse matrix, where it is small enough to be made whole.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> signals = item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), n_users=2, n_items=2)
        >>> whole_gram(signals).toarray().tolist()
        [[1.0, 1.0], [1.0, 2.0]]
    """
    if int(signals.row_offsets.diff().square().sum()) > SPARSE_PAIRS:  # many are in several rows
        some = torch.randperm(signals.n_items, generator=torch.Generator().manual_seed(0))[:SAMPLED_ITEMS].numpy()
        if (signals.weighed_by_item[some] @ signals.by_row).nnz * (signals.n_items / len(some)) > SPARSE_PAIRS:
            return None
    return sparse_gram(signals)


def transport_of(
    signals: ItemSignals,
    near: Int[Tensor, "b K"],
    rows: Int[Tensor, " b"],
    ridge: Float[Tensor, " n"],
    gram: Optional[Gram],
    content: bool = True,
) -> tuple[Float[Tensor, "b K"], Float[Tensor, " b"]]:
    """Weights and variance of :func:`local_transport` for some items: a chunk of :func:`block_chunks`.

    Args:
        near: the neighbours of these items alone.
        gram: M, without linear content where it is sparse or ``content`` is False; None makes the blocks one by one.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 0, 1, 1])
        >>> signals = item_signals(users, items, n_users=3, n_items=2)
        >>> near, second = torch.tensor([[0]]), torch.tensor([1])
        >>> transport_of(signals, near, second, torch.ones(2), whole_gram(signals))[0]
        tensor([[0.6667]])
    """
    return _solved(signals, near, rows, ridge, _blocks(signals, near, rows, gram, content), content)


def _solved(
    signals: ItemSignals, near: Tensor, rows: Tensor, ridge: Tensor, blocks: Tensor, content: bool
) -> tuple[Float[Tensor, "b K"], Float[Tensor, " b"]]:
    own = signals.diagonal if content else signals.diagonal - signals.content.square().sum(1)
    regular, target = blocks[:, 1:, 1:].contiguous(), blocks[:, 1:, :1]
    absent = near < 0
    extra = torch.where(absent, torch.ones_like(ridge[:1]), ridge[near.clamp(min=0)])
    regular.diagonal(dim1=1, dim2=2).add_(extra)
    solved = torch.cholesky_solve(target, cholesky_factor(regular)).squeeze(2)
    weights = solved.masked_fill(absent, 0.0)
    return weights, 1 / (own[rows] + ridge[rows] - (target.squeeze(2) * weights).sum(1))


def arc_cosines(
    signals: ItemSignals,
    neighbours: Int[Tensor, "n K"],
    gram: Optional[Gram] = None,
    content: bool = True,
    chunk_bytes: int = 2**28,
) -> Float[Tensor, "n K"]:
    r"""Identity maps on the same arcs, the control: :math:`C_{ij} = M_{ij} / \sqrt{M_{ii} M_{jj}}`.

    M is without content in the numerator where ``content`` is False. An item without any signal has zeros. Arguments
    are those of :func:`local_transport`.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([0, 0, 0, 0, 1])
        >>> signals = item_signals(users, items, n_users=4, n_items=2)
        >>> arc_cosines(signals, torch.tensor([[1], [0]])).flatten()
        tensor([0.5000, 0.5000])
    """
    out = signals.content.new_zeros(neighbours.shape)
    scale = unit_scale(signals.diagonal)
    gram = whole_gram(signals) if gram is None else gram
    for rows in block_chunks(signals, neighbours, gram is not None, content, chunk_bytes):
        blocks = _blocks(signals, neighbours[rows], rows, gram, content)
        out[rows] = blocks[:, 0, 1:] * scale[neighbours[rows].clamp(min=0)] * scale[rows].unsqueeze(1)
    return out.masked_fill(neighbours < 0, 0.0)


@dataclass(frozen=True)
class Hubs:
    r"""Low-rank part of P: :math:`P \approx Q - H H^\top`, content as c further nodes that every item is joined to.

    Attributes:
        factor: H, a row for each item.
        variance: diag P, that is diag Q minus the squared lengths of the rows of H.

    Examples:
        >>> Hubs(factor=torch.tensor([[0.5], [0.0]]), variance=torch.tensor([0.75, 1.0])).factor.square().sum(1)
        tensor([0.2500, 0.0000])
    """

    factor: Float[Tensor, "n c"]
    variance: Float[Tensor, " n"]


def content_hubs(maps: LocalMaps, content: Float[Tensor, "n c"]) -> Hubs:
    r"""Hubs that add content to maps that were learnt on arcs without it, exactly (Woodbury).

    Content is dense: every item is near every other, and K neighbours alone would have to carry what the n - 1 of the
    full regression share, so rare items are scored far too high. But its rank c is small. With Q the inverse of
    :math:`X^\top W X + \Lambda` as far as the arcs give it (column i: ``variance_i`` times 1 at i, ``-w_i`` at N_i),

    .. math:: P = Q - Y G^{-1} Y^\top, \qquad Y = Q C, \qquad G = I + C^\top Q C, \qquad H = Y G^{-1/2},

    with the symmetric part of Q in Y. With all other items as neighbours Q and so P are exact.

    Raises:
        ConfigError: if G is not positive definite or a variance not positive, which a larger ridge avoids.

    Time O(n K c + n c^2 + c^3), memory O(n c).

    Examples:
        >>> no_arcs = LocalMaps(torch.tensor([[-1], [-1]]), torch.zeros(2, 1), torch.ones(2))  # Q = I
        >>> content_hubs(no_arcs, torch.tensor([[1.0], [0.0]])).variance  # P is the inverse of I + C C^T
        tensor([0.5000, 1.0000])
    """
    pulled = maps.variance.unsqueeze(1) * content
    for near, weights in zip(maps.neighbours.unbind(1), maps.weights.unbind(1)):  # nothing of shape (n, K) or (n, K, c)
        arcs = -(weights * maps.variance).masked_fill(near < 0, 0.0)  # Q[N_i, i]
        weight, near = arcs.unsqueeze(1) / 2, near.clamp(min=0)
        pulled += weight * content[near]
        pulled.index_add_(0, near, weight * content)
    gram = torch.eye(content.shape[1], dtype=content.dtype) + content.mT @ pulled
    root = cholesky_factor((gram + gram.mT) / 2)
    factor = torch.linalg.solve_triangular(root, pulled.mT, upper=False).mT.contiguous()
    variance = maps.variance - factor.square().sum(1)
    if bool((variance <= 0).any()):
        raise ConfigError(f"the maps of {int((variance <= 0).sum())} items leave no variance; raise ridge")
    return Hubs(factor, variance)


def block_chunks(
    signals: ItemSignals,
    neighbours: Int[Tensor, "n K"],
    at_hand: bool,
    content: bool = True,
    chunk_bytes: int = 2**28,
) -> list[Int[Tensor, " _"]]:
    """Items whose maps are learnt together, the costliest first; arguments are of :func:`local_transport`.

    Args:
        at_hand: whether M is there, whole, and no block is made from the signals.

    Raises:
        ConfigError: if K is not below the number of items.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> signals = item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), n_users=2, n_items=2)
        >>> [rows.tolist() for rows in block_chunks(signals, torch.tensor([[1], [0]]), at_hand=True, chunk_bytes=64)]
        [[0], [1]]
    """
    n, k = neighbours.shape
    if n != signals.n_items or k >= n:
        raise ConfigError(f"{k} neighbours for each of {n} nodes of {signals.n_items} items; expected fewer than items")
    length = signals.item_offsets.diff()
    entries = length.clone()
    for near in neighbours.unbind(1):  # nothing of shape (n, K) beside the neighbours
        entries += length[near.clamp(min=0)] * (near >= 0)
    cost: Union[int, Tensor] = 4 * (k + 1) ** 2 + (k + 1) * signals.content.shape[1] * content
    if not at_hand:  # sorted entries, and k + 1 votes of each row that may meet there
        cost = cost + (k + 1) * (entries // 2).clamp(max=signals.n_rows) + 12 * entries
    return list(chunks(torch.as_tensor(cost).expand(n), chunk_bytes // signals.content.element_size()))


def _blocks(
    signals: ItemSignals,
    near: Tensor,
    rows: Tensor,
    gram: Optional[Gram],
    content: bool,
) -> Float[Tensor, "g m m"]:
    """Blocks of M on some items and their neighbours, the item itself first."""
    nodes = torch.cat([rows.unsqueeze(1), near], dim=1)
    if gram is None:
        return gram_blocks(signals, nodes, content)
    if isinstance(gram, sparse.csr_matrix):
        return blocks_of_gram(gram, signals, nodes, content)
    safe, mask = nodes.clamp(min=0), (nodes >= 0).to(gram.dtype)
    return gram[safe[:, :, None], safe[:, None, :]] * mask[:, :, None] * mask[:, None, :]
