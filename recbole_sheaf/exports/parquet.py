"""Embeddings as one Parquet table, a row for each user and each item.

``kind`` is ``user`` or ``item``; ``token`` and ``vector`` are there for both. Lists hold rows of items, counted from 0
among the rows of kind ``item``. The file's metadata, key ``metadata``, is JSON. Two row groups: users, items.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.exports.array_files import METADATA
from recbole_sheaf.exports.arrays import as_arrays, as_metadata
from recbole_sheaf.exports.parquet_reader import COMPRESSED
from recbole_sheaf.files.parquet_file import import_pyarrow


def write(embeddings: Embeddings, path: Path) -> None:
    """Write to a path that does not exist; memory O(that of the embeddings)."""
    pyarrow = import_pyarrow("name an .npz")
    arrays = as_arrays(embeddings)
    columns = {kind: _columns(pyarrow, kind, arrays) for kind in ("user", "item")}
    types = {name: array.type for kind in columns.values() for name, array in kind.items()}
    metadata = {METADATA: json.dumps(as_metadata(embeddings))}
    schema = pyarrow.schema(list(types.items()), metadata=metadata)
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for kind in columns.values():
            size = len(kind["token"])
            filled = [kind.get(name, pyarrow.nulls(size, type_)) for name, type_ in types.items()]
            writer.write_table(pyarrow.table(filled, schema=schema), row_group_size=max(size, 1))


def _columns(pyarrow: Any, kind: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Columns of users or of items, by name."""
    tokens = arrays[f"{kind}_tokens"]
    out = {"kind": pyarrow.array([kind] * len(tokens)), "token": pyarrow.array(tokens.tolist(), pyarrow.string())}
    for name, array in arrays.items():
        if name.startswith(f"{kind}_") and not name.endswith("_tokens"):
            out[_short(kind, name)] = _column(pyarrow, array, fixed=name.endswith("_vectors"))
    for name, (of, parts) in COMPRESSED.items():
        if of == kind and f"{name}_offsets" in arrays:
            offsets = pyarrow.array(arrays[f"{name}_offsets"], pyarrow.int64())
            for part in parts:
                values = pyarrow.array(arrays[f"{name}_{part}"])
                out[f"{name}_{part}"] = pyarrow.LargeListArray.from_arrays(offsets, values)
    return out


def _short(kind: str, name: str) -> str:
    """``vector`` for what both kinds have, else the array's own name."""
    return "vector" if name.endswith("_vectors") else name[len(kind) + 1 :] if "_layer_" in name else name


def _column(pyarrow: Any, array: np.ndarray, fixed: bool) -> Any:
    """Rows of a matrix as lists, of a fixed size where no row is null: Parquet's readers fail on nulls among these."""
    if array.ndim == 1:
        return pyarrow.array(array)
    width = array.shape[1]
    values = pyarrow.array(np.ascontiguousarray(array).ravel())
    if fixed and width:
        return pyarrow.FixedSizeListArray.from_arrays(values, width)
    offsets = pyarrow.array(np.arange(len(array) + 1, dtype=np.int64) * width)
    return pyarrow.LargeListArray.from_arrays(offsets, values)
