"""Exports in Parquet, read; :mod:`.parquet` says what they hold and writes them."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recbole_sheaf.errors import DataError, shown
from recbole_sheaf.exports.array_checks import (
    BYTES_OF_TOKEN,
    as_data_error,
    kind_of,
    no_embeddings,
    parsed,
    refusal,
    refuse_other_names,
    refuse_unfolded,
    token_array,
    unreadable,
)
from recbole_sheaf.exports.array_files import METADATA
from recbole_sheaf.files.parquet_file import import_pyarrow, is_text, text_bytes
from recbole_sheaf.files.parquet_pages import chunks_of, unfolded_bytes
from recbole_sheaf.files.regular_files import open_regular


class Compressed(NamedTuple):
    """Arrays of a compressed matrix: lists of unequal length in the rows of users or of items."""

    of: str
    parts: tuple[str, str]


COMPRESSED = {"history": Compressed("user", ("items", "parts")), "coefficient": Compressed("item", ("items", "values"))}
TEXTS = ("kind", "token")
GROUPS = ("user", "item")  # row groups, in their order


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata.

    Raises:
        DataError: if the file is damaged, would unfold beyond bounds, or holds no embeddings.

    Memory O(values), and no more than a bound by the size of the file.
    """
    pyarrow = import_pyarrow("name an .npz")
    with as_data_error(), open_regular(path, DataError) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            parquet = pyarrow.parquet.ParquetFile(file)
            given = (parquet.schema_arrow.metadata or {}).get(METADATA.encode())
            if given is None:
                raise no_embeddings(path)
            metadata = parsed(path.name, given.decode("utf-8"))
            _refuse_columns(pyarrow, path.name, parquet.schema_arrow)
            if parquet.num_row_groups != len(GROUPS):
                raise refusal(
                    path.name, f"has {parquet.num_row_groups} row groups, expected one of users, one of items"
                )
            refuse_unfolded(path.name, _unfolded(path.name, file, parquet.metadata, size), size)
            folded = pyarrow.parquet.ParquetFile(file, read_dictionary=list(TEXTS))
            tables = [folded.read_row_group(number) for number in range(len(GROUPS))]
            arrays: dict[str, np.ndarray] = {}
            for kind, table in zip(GROUPS, tables):
                arrays.update(_arrays(pyarrow, path.name, kind, table, size))
        except (pyarrow.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
            raise unreadable(path, error) from error
    refuse_other_names(path.name, list(arrays))
    return arrays, metadata


def _unfolded(source: str, file: Any, metadata: Any, size: int) -> int:
    """By the footer or by the pages, whichever claims more."""
    chunks = chunks_of(source, file, size)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if min(*(chunk.values for chunk in chunks), *(group.num_rows for group in groups), 0) < 0:
        raise refusal(source, f"claims to have {metadata.num_rows} rows")
    return max(4 * sum(chunk.values for chunk in chunks), unfolded_bytes(source, file, chunks, size))


def _refuse_columns(pyarrow: Any, source: str, schema: Any) -> None:
    """Refuse columns of other names and types than those that :mod:`.parquet` writes."""
    types = {field.name: field.type for field in schema}
    if len(types) < len(schema) or not set(types) >= {*TEXTS, "vector"}:
        raise refusal(source, f"has the columns {shown(list(schema.names))}, expected kind, token and vector once each")
    for name, found in types.items():
        kinds = [kind for kind in (kind_of(_long(of, name)) for of in GROUPS) if kind is not None]
        wanted = TEXTS if name in TEXTS else kinds[0].types if kinds else ()
        if not wanted:
            raise refusal(source, f"has a column {shown(name)}, which no export has")
        if not (is_text(pyarrow, found) if name in TEXTS else _holds(pyarrow, found, name, kinds[0])):
            raise refusal(source, f"has the column {name} of type {shown(str(found))}")


def _holds(pyarrow: Any, found: Any, name: str, kind: Any) -> bool:
    """Whether a column holds numbers of an array's types, lists of them where a row has several."""
    types = pyarrow.types
    listed = types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
    if listed != (kind.dimensions == 2 or name.partition("_")[0] in COMPRESSED):
        return False
    value = found.value_type if listed else found
    if name.partition("_")[0] in COMPRESSED and types.is_fixed_size_list(found):
        return False
    return any(value == pyarrow.from_numpy_dtype(np.dtype(wanted)) for wanted in kind.types)


def _arrays(pyarrow: Any, source: str, kind: str, table: Any, size: int) -> dict[str, np.ndarray]:
    """Arrays from the rows of one kind."""
    if not len(table):
        raise refusal(source, f"has no {kind}")
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    kinds, tokens = (_texts(pyarrow, source, columns.pop(name), size) for name in TEXTS)
    if other := [given for given in kinds if given != kind]:
        raise refusal(source, f"has a row of kind {shown(other[0])} where its {kind}s should be")
    out = {f"{kind}_tokens": token_array(source, kind, tokens, size)}
    for name, column in columns.items():
        if column.null_count == len(column):
            continue
        matrix = name.partition("_")[0]
        if column.null_count or kind != (COMPRESSED[matrix].of if matrix in COMPRESSED else _long(kind, name)[:4]):
            raise refusal(source, f"has {name} for {len(column) - column.null_count:,} of {len(column):,} {kind}s")
        if matrix not in COMPRESSED:
            out[_long(kind, name)] = _matrix(source, name, column)
            continue
        ends = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        if not np.array_equal(out.setdefault(f"{matrix}_offsets", ends), ends):
            raise refusal(source, f"has lists of different lengths in the columns of {matrix}")
        out[name] = _numbers(source, name, column.values)
    return out


def _texts(pyarrow: Any, source: str, column: Any, size: int) -> list[str]:
    """Texts of a column, of which many may be one text of the file."""
    if pyarrow.types.is_dictionary(column.type):
        refuse_unfolded(source, text_bytes(pyarrow, column) + BYTES_OF_TOKEN * len(column), size)
    if column.null_count:
        raise refusal(source, f"has {column.null_count:,} rows without a kind or a token")
    return column.to_pylist()


def _matrix(source: str, name: str, column: Any) -> np.ndarray:
    if "list" not in str(column.type):
        return _numbers(source, name, column)
    values = _numbers(source, name, column.flatten())
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if lengths.min() != lengths.max():
        raise refusal(
            source, f"has lists of {lengths.min()} to {lengths.max()} numbers in {name}, expected equally long ones"
        )
    return values.reshape(len(column), int(lengths[0]))


def _numbers(source: str, name: str, column: Any) -> np.ndarray:
    if column.null_count:
        raise refusal(source, f"has {column.null_count:,} numbers in {name} that are null")
    return column.to_numpy(zero_copy_only=False)


def _long(kind: str, name: str) -> str:
    return f"{kind}_vectors" if name == "vector" else f"{kind}_{name}" if name.startswith("layer_") else name
