"""Vectors as people have them: a feature file with or without ids, or a folder with an array for each item."""

import logging
from pathlib import Path
from typing import Optional

import numpy as np

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.files.arrays import read_npy
from recbole_sheaf.files.cache import write_npz
from recbole_sheaf.files.feature_files import ENDINGS, TOKENS, VECTORS, check_features, read_features
from recbole_sheaf.files.id_files import write_ids
from recbole_sheaf.files.tokens import fault_of

logger = logging.getLogger(__name__)

LARGE = 1 << 28  # bytes from which on features are written as .npy, which is mapped when it is read

Vectors = tuple[list[str], np.ndarray]


def read_vectors(path: Path, ids: Optional[Path] = None) -> Vectors:
    """Tokens and rows of a feature file, or of a folder of ``<item>.npy`` as Ducho writes one, vectors or frames.

    Tokens are without blanks around them, as those of tables are.

    Raises:
        FeatureError: if the path is neither, the file does not stand the checks of every feature file, or a token is no
            id.
    """
    path = Path(path)
    if path.is_dir() and ids is not None:
        raise FeatureError(f"{path} is a folder, whose files are named after items, but {ids} is given; leave that out")
    tokens, rows = _array_for_each_item(path) if path.is_dir() else _of_file(path, ids)
    stripped = [token.strip() for token in tokens]
    for row, token in enumerate(stripped):
        if fault := fault_of(token):
            raise FeatureError(f"the item id of row {row + 1} of {path.name}, {token[:60]!a}, {fault}; mend it")
    return stripped, rows if stripped == tokens else check_features(path.name, stripped, rows)


def _of_file(path: Path, ids: Optional[Path]) -> Vectors:
    if path.suffix not in ENDINGS:
        raise FeatureError(
            f"{path} is no feature file; expected {', '.join(ENDINGS)} or a folder with <item>.npy for each item"
        )
    return read_features(path, ids)


def write_vectors(features: Path, name: str, vectors: Vectors) -> None:
    """Write a modality into a folder: an ``.npz``, or an ``.npy`` and its ids where it is large."""
    tokens, matrix = vectors
    features.mkdir(exist_ok=True)
    if matrix.nbytes < LARGE:
        write_npz(features / f"{name}.npz", {TOKENS: np.array(tokens, dtype=str), VECTORS: np.asarray(matrix)})
        return
    write_ids(features / f"{name}.ids.txt", tokens)
    step = max(1, (1 << 24) // (matrix.itemsize * matrix.shape[1]))
    header = {"descr": np.lib.format.dtype_to_descr(matrix.dtype), "fortran_order": False, "shape": matrix.shape}
    with open(features / f"{name}.npy", "wb") as file:  # not mapped: a full disk would end the process by a signal
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(matrix), step):
            file.write(np.ascontiguousarray(matrix[start : start + step]).data)


def _array_for_each_item(folder: Path) -> Vectors:
    paths = sorted(path for path in folder.glob("*.npy") if not path.name.startswith("."))
    if not paths:
        raise FeatureError(f"{folder} holds no .npy; expected <item>.npy for each item, or name a feature file")
    rows: list[np.ndarray] = []
    framed = 0
    for path in paths:
        array = read_npy(path, "an .npy array with the vector of one item")
        row = _one_vector(array)
        if row is None or (rows and row.size != rows[0].size):
            raise FeatureError(
                f"{path} has the shape {array.shape}, expected one vector, or frames of vectors"
                + (f", of the {rows[0].size} numbers that {paths[0].name} has" if rows else "")
                + "; encode it anew"
            )
        framed += array.size != row.size
        rows.append(row)
    if framed:
        logger.warning("%s: %d of %d arrays hold frames, whose mean is the item's vector", folder, framed, len(rows))
    tokens = [path.stem for path in paths]
    return tokens, check_features(str(folder), tokens, np.stack(rows))


def _one_vector(array: np.ndarray) -> Optional[np.ndarray]:
    """(d), of (d), (1, d) or (d, 1, 1); of frames (t, d) or (1, t, d), as of sounds, their mean; else None."""
    if max(array.shape, default=0) == array.size:
        return array.ravel()
    frames = array[0] if array.ndim == 3 and len(array) == 1 else array
    return frames.mean(axis=0, dtype=np.float64).astype(array.dtype) if frames.ndim == 2 and len(frames) else None
