"""Embeddings as one Parquet table, a row for each user and each item.

``kind`` is ``user`` or ``item``; ``token`` and ``vector`` are there for both. Lists hold rows of items, counted from 0
among the rows of kind ``item``. The file's metadata, key ``metadata``, is JSON. Two row groups: users, items.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from recbole_sheaf.embeddings.arrays import as_arrays, as_metadata
from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.embeddings.files import METADATA, unreadable
from recbole_sheaf.errors import DataError
from recbole_sheaf.features.parquet_file import import_pyarrow

_RAGGED = {"history": ("items", "parts"), "coefficient": ("items", "values")}  # arrays with offsets; lists in a row
_OF_USERS = "history"


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


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata.

    Raises:
        DataError: if the file is damaged or holds no embeddings.
    """
    pyarrow = import_pyarrow("name an .npz")
    try:
        file = pyarrow.parquet.ParquetFile(path)
        metadata = (file.schema_arrow.metadata or {}).get(METADATA.encode())
        if metadata is None:
            raise DataError(f"{path} holds no embeddings; give a file that 'recbole-sheaf export' wrote")
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    arrays: dict[str, np.ndarray] = {}
    for group in groups:
        arrays.update(_arrays(group))
    return arrays, json.loads(metadata)


def _columns(pyarrow: Any, kind: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Columns of users or of items, by name."""
    tokens = arrays[f"{kind}_tokens"]
    out = {"kind": pyarrow.array([kind] * len(tokens)), "token": pyarrow.array(tokens.tolist(), pyarrow.string())}
    for name, array in arrays.items():
        if name.startswith(f"{kind}_") and not name.endswith("_tokens"):
            out[_short(kind, name)] = _column(pyarrow, array, fixed=name.endswith("_vectors"))
    for name, parts in _RAGGED.items():
        if (name == _OF_USERS) == (kind == "user") and f"{name}_offsets" in arrays:
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


def _arrays(group: Any) -> dict[str, np.ndarray]:
    """Arrays from the rows of one kind."""
    kind = group.column("kind")[0].as_py() if len(group) else ""
    out = {f"{kind}_tokens": np.array(group.column("token").to_pylist(), dtype=str)}
    for name in group.column_names:
        column = group.column(name).combine_chunks()
        if name in ("kind", "token") or column.null_count == len(column):
            continue
        ragged = name.partition("_")[0]
        if ragged in _RAGGED:
            out[f"{ragged}_offsets"] = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
            out[name] = column.values.to_numpy(zero_copy_only=False)
        else:
            out[_long(kind, name)] = _matrix(column)
    return out


def _long(kind: str, name: str) -> str:
    return f"{kind}_vectors" if name == "vector" else f"{kind}_{name}" if name.startswith("layer_") else name


def _matrix(column: Any) -> np.ndarray:
    if "list" not in str(column.type):
        return column.to_numpy(zero_copy_only=False)
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), len(values) // max(len(column), 1))
