"""Pieces as named arrays, what every file of them holds, and back.

| array                                      | shape          | what |
|--------------------------------------------|----------------|---------------------------------------------------------|
| ``user_tokens``, ``item_tokens``           | u, n           | tokens, in the order of all rows |
| ``user_vectors``, ``item_vectors``         | (u, f), (n, f) | their inner product is the first part of a score |
| ``history_offsets``                        | u + 1          | where the interactions of each user start and end |
| ``history_items``, ``history_parts``       | t, t           | rows of items; part of the data, below 0 dislikes |
| ``coefficient_offsets``                    | n + 1          | where the coefficients for each item start and end |
| ``coefficient_items``, ``_values``         | s, s           | what other items in a history say for it |
| ``item_told``, ``item_told_trained``       | (n, _)         | what items of a history add to a user's vector |
| ``item_embeddings``, ``item_rarity``       | (n, _), n      | fused, before rare items were drawn to their mean |
| ``item_is_new``                            | n              | placed by content; the model never trained on them |
| ``user_layer_0``, ``item_layer_0``, ...    | (u, _), (n, _) | vectors after each layer |
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from recbole_sheaf.embeddings.embeddings import Embeddings, Histories, csc_of
from recbole_sheaf.errors import DataError, shown
from recbole_sheaf.exports.array_checks import (
    OPTIONAL,
    check_arrays,
    check_metadata,
    checked_blocks,
    refuse_other_names,
)

FORMAT = 1
MARK = "recbole_sheaf_embeddings"  # key of the format's number, by which a file is known


def as_arrays(embeddings: Embeddings) -> dict[str, np.ndarray]:
    """Every array under its name; what is absent is left out."""
    histories, coefficients = embeddings.histories, embeddings.coefficients
    found = {
        "user_tokens": embeddings.users,
        "item_tokens": embeddings.items,
        "user_vectors": embeddings.user_vectors,
        "item_vectors": embeddings.item_vectors,
        "item_told": embeddings.item_sources,
        "history_offsets": histories.offsets,
        "history_items": histories.items,
        "history_parts": histories.parts,
        **{name: array for name, own in OPTIONAL.items() if (array := getattr(embeddings, own)) is not None},
        **embeddings.layers,
    }
    if coefficients is not None:
        found["coefficient_offsets"] = coefficients.indptr.astype(np.int64)
        found["coefficient_items"] = coefficients.indices.astype(
            np.uint16 if len(embeddings.items) <= 1 << 16 else np.int32
        )
        found["coefficient_values"] = coefficients.data
    return found


def as_metadata(embeddings: Embeddings) -> dict[str, Any]:
    """Metadata with the blocks of the columns and the mark of the format."""
    return {MARK: FORMAT, **embeddings.metadata, "blocks": [asdict(block) for block in embeddings.blocks]}


def from_arrays(source: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any], size: int) -> Embeddings:
    """Pieces from their arrays.

    Args:
        source: name of the file, of ``size`` bytes.

    Raises:
        DataError: if the file is of another format, lacks an array, or holds what none does (:mod:`.array_checks`).
    """
    if metadata.get(MARK) != FORMAT:
        raise DataError(
            f"{source} is of format {shown(metadata.get(MARK))}, expected {FORMAT}; export the checkpoint again by "
            "this version"
        )
    refuse_other_names(source, list(arrays))
    blocks = checked_blocks(source, metadata.get("blocks"))
    check_arrays(source, arrays, blocks, size)
    trained = arrays.get("item_told_trained")
    check_metadata(source, metadata, folds_in=trained is not None and trained.shape[1] > 0)
    arrays = {name: array if array.flags.writeable else array.copy() for name, array in arrays.items()}
    coefficients = None
    if "coefficient_values" in arrays:
        values, rows, offsets = (arrays[f"coefficient_{name}"] for name in ("values", "items", "offsets"))
        coefficients = csc_of(values, rows.astype(np.int32, copy=False), offsets, len(arrays["item_tokens"]))
    return Embeddings(
        users=arrays["user_tokens"],
        items=arrays["item_tokens"],
        user_vectors=arrays["user_vectors"],
        item_vectors=arrays["item_vectors"],
        item_sources=arrays["item_told"],
        blocks=blocks,
        histories=Histories(*(arrays[f"history_{name}"] for name in ("offsets", "items", "parts"))),
        coefficients=coefficients,
        **{own: arrays[name] for name, own in OPTIONAL.items() if name in arrays},
        layers={name: array for name, array in arrays.items() if "_layer_" in name},
        metadata={key: value for key, value in metadata.items() if key not in (MARK, "blocks")},
    )
