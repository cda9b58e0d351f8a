"""One modality's vectors in RecBole's item order, and the join by token that puts them there.

RecBole numbers items in order of appearance and keeps 0 for padding, so row r of a file is hardly ever item r: rows
meet items through their tokens only.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt64
from torch import Tensor

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features.normalisation import NONE, Normalisation
from recbole_sheaf.files.blocks import in_blocks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ModalityFeatures:
    """Vectors of one modality; a missing item is zeros *and* not present, a real row of zeros is present.

    Attributes:
        name: of the modality, such as ``"title"``.
        matrix: float32, row i for RecBole's internal item i; row 0 (padding) and missing rows are zeros.
        present: False for padding and for items without a row.
        normalisation: what was done to the rows, for rows that come later.

    Raises:
        FeatureError: if shapes or types differ from these, padding is present, or a missing row is not zeros.
    """

    name: str
    matrix: Float[Tensor, "n_items dim"]
    present: Bool[Tensor, " n_items"]
    normalisation: Normalisation = NONE

    def __post_init__(self) -> None:
        if self.matrix.dtype != torch.float32 or self.matrix.ndim != 2 or self.present.shape != self.matrix.shape[:1]:
            raise FeatureError(
                f"modality '{self.name}' has a {self.matrix.dtype} matrix of shape {tuple(self.matrix.shape)} "
                f"and a mask of shape {tuple(self.present.shape)}; give float32 (n_items, dim) and (n_items,)"
            )
        if self.present[:1].any() or self.matrix[~self.present].any():
            raise FeatureError(
                f"modality '{self.name}' has values at padding or at an item marked missing; zero those rows"
            )

    @property
    def dim(self) -> int:
        """Length of one item's vector."""
        return self.matrix.shape[1]

    def normalised(self, normalisation: Normalisation) -> "ModalityFeatures":
        """The same features with a normalisation applied to the matrix in its place, which may have gigabytes.

        Raises:
            FeatureError: as :meth:`Normalisation.apply_`.
        """
        normalisation.apply_(self.matrix, self.present, self.name)
        return replace(self, normalisation=normalisation)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of name, matrix and mask in hex, to key caches with; computed once, O(n_items dim)."""
        content = hashlib.sha256(f"{self.name}\0{tuple(self.matrix.shape)}\0".encode())
        for array in (self.matrix, self.present):
            content.update(np.ascontiguousarray(array.detach().cpu().numpy()).data)
        return content.hexdigest()

    @cached_property
    def row_hashes(self) -> UInt64[np.ndarray, " n_items"]:
        """A hash of each item's row, which tells a missing row from one of zeros; computed once, O(n_items dim)."""
        rows, present = (array.detach().cpu().numpy() for array in (self.matrix, self.present))
        hashes = (hashlib.blake2b(row.tobytes(), digest_size=8) for row in rows)
        return np.where(present, np.frombuffer(b"".join(each.digest() for each in hashes), np.uint64), 0)


def join_by_token(
    name: str, tokens: Sequence[str], rows: Float[np.ndarray, "rows dim"], token2id: Mapping[str, int], n_items: int
) -> ModalityFeatures:
    """Put row r, the vector of item ``tokens[r]``, where RecBole keeps that item; rows of other items are left out.

    Args:
        name: of the modality.
        tokens: distinct item tokens, one a row.
        rows: their vectors, of any float type.
        token2id: RecBole's internal id of each token, ``"[PAD]": 0`` included.
        n_items: RecBole's number of items, padding included.

    Time and memory O(n_items dim), beside one look-up a row: the result and 16 MB, whatever the rows are.
    """
    row, item = _matches(tokens, token2id)
    matrix = torch.zeros(n_items, rows.shape[1])
    present = torch.zeros(n_items, dtype=torch.bool)
    for start, block in in_blocks(rows, row):
        matrix[item[start : start + len(block)]] = torch.from_numpy(block)
    present[item] = True
    share = len(item) / max(n_items - 1, 1)
    logger.info("modality '%s': %d dimensions, present for %.1f %% of the items", name, rows.shape[1], 100 * share)
    return ModalityFeatures(name, matrix, present)


def _matches(tokens: Sequence[str], token2id: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Positions in ``tokens`` of the dataset's items, and those items' ids; padding matches nothing."""
    ids = np.fromiter((token2id.get(token, 0) for token in tokens), np.int64, len(tokens))
    row = np.flatnonzero(ids)
    return row, ids[row]
