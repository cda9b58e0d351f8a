r"""Maps from item to item, as coefficients and as history blocks.

A full item sheaf is a matrix of coefficients. On K neighbours it is sparse coefficients on the arcs and content through
c hubs; maps into cold items are of rank c in either form. What has a low rank stays in its factors,
:math:`T V^\top`, row j of T what item j tells, row i of V what item i hears: as a matrix it would hold n coefficients
for each item. Maps into a few cold items are smaller as such coefficients, and then are these.
"""

from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from recbole_sheaf.layers.item_sheaf import FullItemSheaf, ItemSheaf, LocalItemSheaf

CONTENT, COLD = "item sheaf: content", "item sheaf: cold items"


@dataclass(frozen=True, eq=False)
class ItemMaps:
    """Of n items, RecBole's padding among them.

    Attributes:
        coefficients: S, the sparse or full part.
        told, heard: T and V by the names of their blocks.
    """

    coefficients: Optional[sparse.csc_matrix]
    told: dict[str, Float[Tensor, "n _"]] = field(default_factory=dict)
    heard: dict[str, Float[Tensor, "n _"]] = field(default_factory=dict)


def of_item_sheaf(sheaf: ItemSheaf, weights: Float[Tensor, " n"]) -> ItemMaps:
    """The maps of an item sheaf, those into item i times ``weights[i]``.

    Memory O(n^2) for the full form, 8 bytes a coefficient; O(n (K + c)) for the local one.
    """
    between = between_items(sheaf)
    told: dict[str, Tensor] = {}
    heard: dict[str, Tensor] = {}
    if isinstance(sheaf, LocalItemSheaf) and sheaf.hubs_in.shape[1]:
        told[CONTENT], heard[CONTENT] = sheaf.hubs_in, sheaf.hubs_out.clone()
    if (cold := sheaf.cold) is not None:
        tells = cold_told(between, cold.source_factors, told.get(CONTENT), heard.get(CONTENT))
        between = _without_columns(between, cold.items)
        for rows in heard.values():
            rows[cold.items] = 0.0
        if smaller_as_coefficients(len(cold.items), sheaf.n_items, len(sheaf.user_weight), tells.shape[1]):
            between = between + columns_at(cold.items, tells @ cold.target_factors.mT)
        else:
            told[COLD] = tells
            heard[COLD] = torch.zeros_like(tells).index_copy(0, cold.items, cold.target_factors)
    weighed = {name: rows * weights.unsqueeze(1) for name, rows in heard.items()}
    return ItemMaps(_weigh_columns(between, weights.cpu().numpy()), told, weighed)


def smaller_as_coefficients(cold: int, n_items: int, n_users: int, width: int) -> bool:
    """Whether maps into some items of n take fewer bytes as coefficients, 8 each, than as a block of vectors."""
    return 8 * cold * n_items < 4 * width * (n_users + 2 * n_items)


def columns_at(places: Int[Tensor, " k"], columns: Float[Tensor, "n k"]) -> sparse.csc_matrix:
    """A matrix of n items with these columns, all others zero."""
    n = len(columns)
    there = (np.tile(np.arange(n), len(places)), np.repeat(places.cpu().numpy(), n))
    return sparse.csc_matrix((columns.mT.flatten().cpu().numpy(), there), shape=(n, n))


def cold_told(
    between: sparse.csc_matrix,
    told: Float[Tensor, "n c"],
    hubs_in: Optional[Float[Tensor, "n _"]] = None,
    hubs_out: Optional[Float[Tensor, "n _"]] = None,
) -> Float[Tensor, "n c"]:
    """``(I + B) told``: what an item tells cold ones is what it tells itself and what the warm items it suits tell."""
    through = torch.from_numpy(between @ told.cpu().numpy()).to(told)
    if hubs_in is not None and hubs_out is not None:
        through += hubs_in @ (hubs_out.mT @ told)
    return told + through


def of_similarity(matrix: Any) -> ItemMaps:
    """The maps of a model whose scores are histories times a matrix, such as EASE's."""
    columns = sparse.csc_matrix(matrix, dtype=np.float32)
    columns.eliminate_zeros()
    return ItemMaps(columns)


def between_items(sheaf: ItemSheaf) -> sparse.csc_matrix:
    """B as if every item were warm; of the local form what its hubs say is left out, but for an item's of itself."""
    if isinstance(sheaf, FullItemSheaf):
        full = sheaf.transport
        if sheaf.precision is not None:
            full = (-sheaf.precision / sheaf.precision.diagonal()).fill_diagonal_(0.0)
        assert full is not None
        return sparse.csc_matrix(full.cpu().numpy())
    assert isinstance(sheaf, LocalItemSheaf)
    src, dst, weights = (each.cpu().numpy() for each in (sheaf.graph.src, sheaf.graph.dst, sheaf.weights.flatten()))
    own = -(sheaf.hubs_in * sheaf.hubs_out).sum(1).cpu().numpy()
    items = np.arange(sheaf.n_items)
    values = (np.concatenate([weights, own]), (np.concatenate([src, items]), np.concatenate([dst, items])))
    between = sparse.csc_matrix(values, shape=(sheaf.n_items, sheaf.n_items))
    between.eliminate_zeros()
    return between


def _without_columns(matrix: sparse.csc_matrix, columns: Tensor) -> sparse.csc_matrix:
    kept = np.ones(matrix.shape[1], dtype=np.float32)
    kept[columns.cpu().numpy()] = 0.0
    matrix = _weigh_columns(matrix, kept)
    matrix.eliminate_zeros()
    return matrix


def _weigh_columns(matrix: sparse.csc_matrix, weights: np.ndarray) -> sparse.csc_matrix:
    matrix.data *= np.repeat(weights, np.diff(matrix.indptr)).astype(matrix.data.dtype)
    return matrix
