"""Vectors of a published log's items, written a block at a time into the features of a dataset folder."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt32

MODALITY = "content"  # in the dataset's folder


def write_ids(features: Path, ids: UInt32[np.ndarray, " rows"]) -> None:
    """Write the item of each row, one a line."""
    with open(features / f"{MODALITY}.ids.txt", "w", encoding="utf-8") as file:
        for start in range(0, len(ids), 1 << 16):
            file.writelines(f"{item}\n" for item in ids[start : start + (1 << 16)].tolist())


def begin_rows(file: BinaryIO, kind: np.dtype, shape: tuple[int, int]) -> None:
    """Write what an ``.npy`` begins with; its rows come after that."""
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
