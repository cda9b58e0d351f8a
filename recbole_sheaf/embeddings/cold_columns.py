"""What new items take of a user's history: columns of the block of maps into cold items, or coefficients.

Whichever is smaller, where the catalogue has no such block yet.
"""

from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.embeddings.embeddings import TRAIN, Block, Embeddings
from recbole_sheaf.models.score_factors import MapsIntoNewItems
from recbole_sheaf.sheaf.item_maps import COLD, smaller_as_coefficients


@dataclass(frozen=True, eq=False)
class ColdColumns:
    """What k new items take of n old ones, and the embeddings with a block for it, where it is one.

    Attributes:
        history: columns of the history blocks.
        coefficients: what each old item adds; None where the block holds that.
    """

    embeddings: Embeddings
    history: Float[np.ndarray, "k h"]
    coefficients: Optional[Float[np.ndarray, "n k"]] = None


def cold_columns(embeddings: Embeddings, maps: Optional[MapsIntoNewItems], count: int) -> ColdColumns:
    """Maps into ``count`` new items: in the block of those into cold ones, or as coefficients; zeros without maps."""
    if maps is None:
        return ColdColumns(embeddings, _zeros(embeddings, count))
    block = next((block for block in embeddings.blocks if block.name == COLD), None)
    if block is None:
        source = maps.source()[1:]
        if smaller_as_coefficients(count, len(embeddings.items), len(embeddings.users), source.shape[1]):
            return ColdColumns(embeddings, _zeros(embeddings, count), _floats(source @ maps.target.to(source).mT))
        embeddings = _with_cold_block(embeddings, _floats(source))
        block = embeddings.blocks[-1]
    history = _zeros(embeddings, count)
    history[:, block.start - embeddings.width : block.stop - embeddings.width] = _floats(maps.target)
    return ColdColumns(embeddings, history)


def _zeros(embeddings: Embeddings, count: int) -> Float[np.ndarray, "k h"]:
    return np.zeros((count, embeddings.item_vectors.shape[1] - embeddings.width), dtype=np.float32)


def _floats(rows: Float[Tensor, "n _"]) -> Float[np.ndarray, "n _"]:
    return rows.cpu().float().numpy()


def _with_cold_block(embeddings: Embeddings, source: Float[np.ndarray, "n c"]) -> Embeddings:
    """A last block, of which all old items take nothing."""
    chosen = embeddings.histories.matrix(np.arange(len(embeddings.users)), [TRAIN], len(embeddings.items))
    width = embeddings.item_vectors.shape[1]
    return replace(
        embeddings,
        blocks=(*embeddings.blocks, Block(COLD, width, width + source.shape[1], history=True)),
        user_vectors=np.concatenate([embeddings.user_vectors, chosen @ source], axis=1),
        item_vectors=np.concatenate([embeddings.item_vectors, np.zeros_like(source)], axis=1),
        item_sources=np.concatenate([embeddings.item_sources, source], axis=1),
    )
