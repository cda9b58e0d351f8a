"""Feature files: one modality's vectors with the token of the item that each belongs to.

- ``.npz``: arrays ``feature`` (rows, dim) and ``item_id``.
- ``.npy``: the array, mapped; tokens in ``<modality>.ids.txt`` beside it, else row r belongs to the token ``str(r)``,
  as in MMRec folders.
- ``.safetensors``: the tensor ``feature``, mapped; ``item_id`` in the metadata, as a tensor, or beside it.
- ``.parquet``: a column of lists or columns of numbers, and the column ``item_id``.

Everything is checked here, once, so that whoever comes after can rely on finite numbers and distinct tokens.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Optional

import numpy as np
from jaxtyping import Float, Float32

from recbole_sheaf.errors import FeatureError, counted, shown
from recbole_sheaf.files.arrays import read_npy, read_npz
from recbole_sheaf.files.blocks import in_blocks
from recbole_sheaf.files.cache import save_arrays
from recbole_sheaf.files.id_files import ids_beside, read_ids
from recbole_sheaf.files.parquet_file import read_parquet
from recbole_sheaf.files.safetensors_file import read_safetensors
from recbole_sheaf.files.tokens import PADDING

logger = logging.getLogger(__name__)

TOKENS, VECTORS = "item_id", "feature"
Rows = tuple[Optional[list[str]], np.ndarray]  # tokens, None where the file holds none, and the row of each


def read_array(path: Path) -> np.ndarray:
    """Read an ``.npy`` without ever unpickling.

    Raises:
        FeatureError: if it is damaged, or claims more than the file holds.
    """
    return read_npy(path, "an .npy array of numbers with one row per item")


def _from_npz(path: Path) -> Rows:
    tokens, matrix = read_npz(path, (TOKENS, VECTORS), f"an .npz with arrays '{TOKENS}' and '{VECTORS}'")
    return _as_tokens(path.name, tokens), matrix


def _from_npy(path: Path) -> Rows:
    return None, read_array(path)


def _from_parquet(path: Path) -> Rows:
    tokens, matrix, left = read_parquet(path)
    if left:
        logger.info("%s: %d rows have no vector and are left out", path.name, left)
    return tokens, matrix


READERS: Mapping[str, Callable[[Path], Rows]] = {  # by the ending of the file; what they give is checked afterwards
    ".npz": _from_npz,
    ".npy": _from_npy,
    ".parquet": _from_parquet,
    ".safetensors": read_safetensors,
}
ENDINGS = tuple(READERS)


def read_features(path: Path, ids: Optional[Path] = None) -> tuple[list[str], Float[np.ndarray, "rows dim"]]:
    """Read and check a feature file.

    Args:
        path: a file of one of the endings above.
        ids: the file of tokens of an ``.npy`` or ``.safetensors`` without any, if it does not lie beside it.

    Returns:
        Tokens and vectors, row by row, in the file's order and float type (whole numbers become float32). The vectors
        of ``.npy`` and ``.safetensors`` are mapped, so they take no memory of their own, and are read-only.

    Raises:
        FeatureError: if the file cannot be read, holds pickled objects, lacks an array, is not 2-D or has no column,
            has more or fewer tokens than rows, no row, a token twice, or a NaN or Inf, or ``ids`` is given for a file
            that holds its own.
        EnvironmentMismatch: if Parquet is read without pyarrow.

    Time O(rows dim); memory the same for ``.npz`` and ``.parquet``, O(rows) for the others.
    """
    path = Path(path)
    if path.is_file() and not path.stat().st_size:
        raise FeatureError(f"{path.name} is empty, 0 bytes; expected vectors of items, so write or copy it anew")
    tokens, matrix = READERS.get(path.suffix, _from_npz)(path)
    if tokens is None:
        tokens = _tokens_beside(path, matrix, ids)
    elif ids is not None:
        raise FeatureError(f"{path.name} holds the ids of its rows, but {ids} is given for them; leave that out")
    return tokens, check_features(path.name, tokens, matrix)


def _tokens_beside(path: Path, matrix: np.ndarray, ids: Optional[Path]) -> list[str]:
    """From the file of ids; the numbers of the rows where an ``.npy`` has none."""
    beside = ids or ids_beside(path)
    if beside is None and path.suffix != ".npy":
        raise FeatureError(f"{path.name} has no item_id; add them to its metadata, or as {path.stem}.ids.txt beside it")
    if beside is None:
        return [str(row) for row in range(len(matrix))] if matrix.ndim else []
    tokens = read_ids(beside)
    if matrix.ndim and len(tokens) != len(matrix):
        raise FeatureError(
            f"{beside.name} has {len(tokens)} item ids but {path.name} has {len(matrix)} rows; write one id a line for "
            "each row, in the same order"
        )
    return tokens


def write_features(path: Path, tokens: Sequence[str], matrix: Float[np.ndarray, "rows dim"]) -> None:
    """Write vectors as an ``.npz`` that :func:`read_features` takes back; the same checks, then one atomic step.

    Raises:
        FeatureError: as :func:`read_features`, and if ``path`` does not end in ``.npz``.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise FeatureError(f"features are written as .npz but the path is '{path.name}'; name it '{path.stem}.npz'")
    tokens = [str(token) for token in tokens]
    matrix = check_features(path.name, tokens, np.asarray(matrix))
    save_arrays(path, **{TOKENS: np.array(tokens, dtype=str), VECTORS: matrix})


def check_features(source: str, tokens: Sequence[str], matrix: np.ndarray) -> Float[np.ndarray, "rows dim"]:
    """Refuse what cannot be joined to items; ``source`` names the file in the messages."""
    matrix = _as_matrix(source, matrix)
    if len(tokens) != len(matrix):
        raise FeatureError(
            f"{source} has {len(tokens)} item_id tokens but {len(matrix)} rows of feature; "
            "write one token for each row, in the same order"
        )
    if PADDING in tokens:
        raise FeatureError(f"{source} has a row for {PADDING}, RecBole's name for no item; leave that row out")
    if repeated := _repeated(tokens):
        raise FeatureError(
            f"{source} has {len(repeated)} item_id tokens more than once (first: {shown(repeated[0])}); "
            "keep one row per item"
        )
    _refuse_non_finite(source, tokens, matrix)
    _refuse_vanishing(source, tokens, matrix)
    return matrix


def _as_tokens(source: str, array: np.ndarray) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "Uiu":
        raise FeatureError(
            f"{source} has item_id of type {array.dtype} and shape {array.shape}; expected one text token per row, "
            "such as np.array(['12', '7'])"
        )
    return [str(token) for token in array.tolist()]


def _as_matrix(source: str, array: np.ndarray) -> Float[np.ndarray, "rows dim"]:
    if array.ndim != 2:
        raise FeatureError(
            f"{source} has feature of shape {array.shape}; expected two dimensions, (rows, dim): reshape it"
        )
    if not len(array):
        raise FeatureError(f"{source} has feature of shape {array.shape}, with no row; encode the items again")
    if not array.shape[1]:
        raise FeatureError(f"{source} has feature of shape {array.shape}, with no column; encode the items again")
    if array.dtype.kind not in "fiub":
        raise FeatureError(
            f"{source} has feature of type {array.dtype}; expected floats: save it with astype('float32')"
        )
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def _repeated(tokens: Sequence[str]) -> list[str]:
    """Tokens that occur more than once, in the order of their second appearance."""
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for token in tokens:
        if token in seen:
            repeated[token] = None
        seen.add(token)
    return list(repeated)


def _refuse_non_finite(source: str, tokens: Sequence[str], matrix: Float[np.ndarray, "rows dim"]) -> None:
    bad = {row: count for start, block in in_blocks(matrix) for row, count in _non_finite(start, block)}
    if bad:
        raise FeatureError(
            f"{source} has {counted(sum(bad.values()), 'value that is', 'values that are')} NaN or Inf in float32 "
            f"in {counted(len(bad), 'row')} (first: item {shown(tokens[next(iter(bad))])}); "
            "encode those items again or leave their rows out"
        )


def _refuse_vanishing(source: str, tokens: Sequence[str], matrix: Float[np.ndarray, "rows dim"]) -> None:
    """Refuse rows that float32 holds with fewer digits than others, or as zeros."""
    found: list[int] = []
    for start, block in in_blocks(matrix):
        small = np.maximum(block.max(axis=1), -block.min(axis=1)) < np.finfo(np.float32).tiny
        rows = start + np.flatnonzero(small)
        found += rows[matrix[rows].any(axis=1)].tolist()
    if found:
        raise FeatureError(
            f"{source} has {counted(len(found), 'row')} without a value of {np.finfo(np.float32).tiny:.2g} or more "
            f"(first: item {shown(tokens[found[0]])}), which float32 does not hold whole; multiply all rows by one "
            "factor"
        )


def _non_finite(start: int, block: Float32[np.ndarray, "rows dim"]) -> Iterator[tuple[int, int]]:
    """Row and number of such values, for each row with any."""
    counts = block.shape[1] - np.isfinite(block).sum(axis=1)
    yield from ((start + int(row), int(counts[row])) for row in np.flatnonzero(counts))
