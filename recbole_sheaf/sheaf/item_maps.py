r"""Maps from item to item in the form in which they are smallest: sparse coefficients, and factors of a low rank.

What has a low rank stays in its factors, :math:`S T^\top`: row j of the *source* factor S is what item j of a history
sends, row i of the *target* factor T what item i takes of it. As a matrix it would hold n coefficients for each item.
Maps into a few items are smaller as such coefficients, and then are these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

CONTENT, COLD = "item sheaf: content", "item sheaf: cold items"  # names of blocks of low rank


@dataclass(frozen=True, eq=False)
class ItemMaps:
    """Maps between n items, RecBole's padding among them.

    Attributes:
        coefficients: the sparse or full part; column i holds the maps into item i.
        sources, targets: S and T by the names of their blocks.

    Examples:
        Maps into item 1 that are all coefficients, and what is doubled there:

        >>> maps = ItemMaps(sparse.csc_matrix([[0.0, 0.5], [0.0, 0.0]]))
        >>> maps.times(torch.tensor([1.0, 2.0])).coefficients.toarray()
        array([[0., 1.],
               [0., 0.]])
    """

    coefficients: sparse.csc_matrix
    sources: Mapping[str, Float[Tensor, "n _"]] = field(default_factory=dict)
    targets: Mapping[str, Float[Tensor, "n _"]] = field(default_factory=dict)

    def with_low_rank_into(
        self, items: Int[Tensor, " k"], source: Float[Tensor, "n c"], target: Float[Tensor, "k c"], n_users: int
    ) -> "ItemMaps":
        """The same but for the maps into k items, which become ``source @ target.mT``, in their smaller form."""
        coefficients = _without_columns(self.coefficients, items.cpu().numpy())
        targets = {name: rows.index_fill(0, items, 0.0) for name, rows in self.targets.items()}
        if smaller_as_coefficients(len(items), len(source), n_users, source.shape[1]):
            return ItemMaps(coefficients + _columns_at(items, source @ target.mT), self.sources, targets)
        return ItemMaps(
            coefficients,
            {**self.sources, COLD: source},
            {**targets, COLD: torch.zeros_like(source).index_copy(0, items, target)},
        )

    def times(self, weights: Float[Tensor, " n"]) -> "ItemMaps":
        """Those into item i times ``weights[i]``."""
        targets = {name: rows * weights.unsqueeze(1) for name, rows in self.targets.items()}
        held = self.coefficients
        values = held.data * np.repeat(weights.cpu().numpy(), np.diff(held.indptr)).astype(held.dtype, copy=False)
        return ItemMaps(sparse.csc_matrix((values, held.indices, held.indptr), shape=held.shape), self.sources, targets)


def smaller_as_coefficients(into: int, n_items: int, n_users: int, width: int) -> bool:
    """Whether maps into some items of n take fewer bytes as coefficients, 8 each, than as a block of vectors.

    Examples:
        Into one item of a hundred, and into all of them, beside vectors of 16 numbers:

        >>> smaller_as_coefficients(1, 100, 200, 16), smaller_as_coefficients(100, 100, 200, 16)
        (True, False)
    """
    return 8 * into * n_items < 4 * width * (n_users + 2 * n_items)


def _columns_at(places: Int[Tensor, " k"], columns: Float[Tensor, "n k"]) -> sparse.csc_matrix:
    """A matrix of n items with these columns, all others zero."""
    n = len(columns)
    there = (np.tile(np.arange(n), len(places)), np.repeat(places.cpu().numpy(), n))
    return sparse.csc_matrix((columns.mT.flatten().cpu().numpy(), there), shape=(n, n))


def _without_columns(matrix: sparse.csc_matrix, columns: Int[np.ndarray, " k"]) -> sparse.csc_matrix:
    lengths = np.diff(matrix.indptr)
    kept = np.ones(len(lengths), dtype=bool)
    kept[columns] = False
    there = np.repeat(kept, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths * kept)])
    return sparse.csc_matrix((matrix.data[there], matrix.indices[there], offsets), shape=matrix.shape)
