"""Vectors in a ``.safetensors`` file: one tensor of rows, and the tokens of their items.

The tensor is called ``feature``, or is the only one with two dimensions. Tokens are a list in JSON under ``item_id`` in
the file's metadata, or a tensor ``item_id``: whole numbers, or UTF-8 text of type uint8, a token a line. Without either
they lie beside the file, as ``id_files`` says. The rows are mapped, not read.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np

from recbole_sheaf.errors import FeatureError, shown
from recbole_sheaf.files.arrays import map_values
from recbole_sheaf.files.regular_files import open_regular, refuse_beyond_memory

TOKENS, VECTORS = "item_id", "feature"
MOST_HEADER = 1 << 27  # bytes, more than the library itself reads
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
NUMPY |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "BOOL": "?"}


def read_safetensors(path: Path) -> tuple[Optional[list[str]], np.ndarray]:
    """Tokens (None where the file holds none) and the rows, mapped from the file.

    Raises:
        FeatureError: if the file is damaged, holds no such tensor or several, or one of a type that NumPy lacks.
    """
    header, start = read_header(path)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    name = _name_of_rows(path.name, tensors)
    return _tokens(path, header, start), read_tensor(path, name, tensors[name], start)


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a file that the safetensors library itself accepts, and the offset at which values begin.

    Raises:
        FeatureError: if the file is no regular one or no safetensors.
    """
    from safetensors import SafetensorError, safe_open

    with open_regular(path, FeatureError) as file:
        length = file.read(8)
        claimed = struct.unpack("<Q", length)[0] if len(length) == 8 else MOST_HEADER + 1
        if claimed > MOST_HEADER:
            raise _damaged(path, "it has no header of this format")
        text = file.read(claimed)
    try:
        with safe_open(path, framework="numpy") as whole:  # refuses what overlaps, is cut short or has a gap
            whole.keys()
        return json.loads(text), 8 + claimed
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise _damaged(path, " ".join(str(error).split())) from error


def _name_of_rows(source: str, tensors: Mapping[str, Any]) -> str:
    if VECTORS in tensors:
        return VECTORS
    wide = [name for name, entry in tensors.items() if len(entry["shape"]) == 2]
    if len(wide) != 1:
        raise FeatureError(
            f"{source} has {len(wide)} tensors of two dimensions among {', '.join(map(shown, tensors)) or 'nothing'}; "
            f"expected one of shape (rows, dim), called '{VECTORS}'"
        )
    return wide[0]


def _tokens(path: Path, header: Mapping[str, Any], start: int) -> Optional[list[str]]:
    listed = (header.get("__metadata__") or {}).get(TOKENS)
    if listed is not None:
        return _from_json(path.name, listed)
    if TOKENS not in header:
        return None
    array = read_tensor(path, TOKENS, header[TOKENS], start)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise FeatureError(
            f"{path.name} has item_id of type {array.dtype} and shape {array.shape}; expected whole numbers, or UTF-8 "
            "text of type uint8, a token a line"
        )
    if array.dtype != np.uint8:
        return [str(token) for token in array.tolist()]
    try:
        return array.tobytes().decode("utf-8").removesuffix("\n").split("\n") if array.size else []
    except UnicodeDecodeError as error:
        raise FeatureError(f"{path.name} has item_id of type uint8 that is no UTF-8 text ({error})") from error


def _from_json(source: str, text: str) -> list[str]:
    try:
        tokens = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FeatureError(f"{source} has item_id in its metadata that is no JSON ({error}); write a list") from error
    if not isinstance(tokens, list) or not all(isinstance(t, (str, int)) and t is not True for t in tokens):
        raise FeatureError(f"{source} has item_id {shown(tokens)} in its metadata; expected a JSON list of tokens")
    return [str(token) for token in tokens]


def read_tensor(path: Path, name: str, entry: Mapping[str, Any], start: int) -> np.ndarray:
    """A tensor that the header lists, mapped and read-only.

    Raises:
        FeatureError: if NumPy lacks its type, or the machine the memory.
    """
    if entry["dtype"] not in NUMPY:
        raise FeatureError(
            f"{path.name} has '{name}' of type {entry['dtype']}, which NumPy does not know; save it as float16 or "
            "float32"
        )
    shape, dtype, (begin, end) = tuple(entry["shape"]), np.dtype(NUMPY[entry["dtype"]]), entry["data_offsets"]
    refuse_beyond_memory(path.name, end - begin, FeatureError)
    if begin == end:
        return np.zeros(shape, dtype)
    with open_regular(path, FeatureError) as file:
        return map_values(file, start + begin, shape, dtype)


def _damaged(path: Path, reason: str) -> FeatureError:
    return FeatureError(f"{path.name} cannot be read ({reason[:200]}); expected safetensors, so write or copy it anew")
