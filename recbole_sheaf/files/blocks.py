"""Rows a few at a time, so that a file of gigabytes costs what is made of it and no second copy."""

from collections.abc import Iterator
from typing import Optional

import numpy as np
from jaxtyping import Float32, Int, Num

BLOCK_BYTES = 1 << 24  # of float32 values held at once


def in_blocks(
    matrix: Num[np.ndarray, "rows dim"], rows: Optional[Int[np.ndarray, " _"]] = None
) -> Iterator[tuple[int, Float32[np.ndarray, "_ dim"]]]:
    """Blocks of the given rows, of all by default, in float32 and writable, each with the place of its first row.

    What is beyond float32 becomes infinite without a warning.
    """
    count = len(matrix) if rows is None else len(rows)
    step = max(1, BLOCK_BYTES // (4 * max(1, matrix.shape[1])))
    for start in range(0, count, step):
        chosen = slice(start, start + step) if rows is None else rows[start : start + step]
        with np.errstate(over="ignore"):
            yield start, matrix[chosen].astype(np.float32)
