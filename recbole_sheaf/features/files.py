"""Feature files: one modality's vectors with the token of the item that each belongs to.

``.npz`` holds ``item_id`` (tokens) and ``feature`` (rows, dim); ``.npy``, the convention of MMRec folders, holds the
rows alone, row r for the item with token ``str(r)``. Everything is checked here, once, so that whoever comes after can
rely on finite numbers and distinct tokens.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recbole_sheaf.errors import FeatureError, shown
from recbole_sheaf.features.arrays import read_npy, read_npz
from recbole_sheaf.features.cache import save_arrays

TOKENS, VECTORS = "item_id", "feature"
PADDING = "[PAD]"


def read_features(path: Path) -> tuple[list[str], Float[np.ndarray, "rows dim"]]:
    """Read and check a feature file.

    Args:
        path: ``.npz`` with ``item_id`` and ``feature``, or ``.npy`` whose row r belongs to the token ``str(r)``.

    Returns:
        Tokens and vectors, row by row, in the file's order and float type (whole numbers become float32).

    Raises:
        FeatureError: if the file cannot be read, holds pickled objects, lacks an array, is not 2-D or has no column,
            has more or fewer tokens than rows, a token twice, or a NaN or Inf.

    Time and memory O(rows dim).
    """
    path = Path(path)
    if path.suffix == ".npy":
        matrix = read_array(path)
        tokens = [str(row) for row in range(len(matrix))] if matrix.ndim else []
    else:
        raw_tokens, matrix = read_npz(path, (TOKENS, VECTORS), f"an .npz with arrays '{TOKENS}' and '{VECTORS}'")
        tokens = _as_tokens(path.name, raw_tokens)
    return tokens, check_features(path.name, tokens, matrix)


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
    return matrix


def read_array(path: Path) -> np.ndarray:
    """Read an ``.npy`` without ever unpickling.

    Raises:
        FeatureError: if it is damaged, or claims more than the file holds.
    """
    return read_npy(path, "an .npy array of numbers with one row per item")


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
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf, and is refused as such
        values = matrix.astype(np.float32, copy=False)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.flatnonzero(bad.any(axis=1))[0])
        raise FeatureError(
            f"{source} has {int(bad.sum())} values that are NaN or Inf in float32 "
            f"in {int(bad.any(axis=1).sum())} rows (first: item {shown(tokens[row])}); "
            "encode those items again or leave their rows out"
        )
