"""Vectors in a Parquet file: a column of ids, and one column of lists or a column of numbers for each dimension.

The ids are the column ``item_id``, else the only one of text. The vectors are the column ``feature``, else the only one
of lists, else all other columns of numbers in their order. A row without a vector, null, is an item without one.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recbole_sheaf.errors import FeatureError, counted, shown
from recbole_sheaf.extras import from_extra
from recbole_sheaf.files.arrays import LARGE, MOST_UNFOLDED
from recbole_sheaf.files.parquet_pages import chunks_of, unfolded_bytes
from recbole_sheaf.files.regular_files import open_regular, refuse_beyond_memory

IDS, VECTORS = "item_id", "feature"


def import_pyarrow(instead: str = "") -> Any:
    """pyarrow with its Parquet.

    Args:
        instead: what else may be done where it is not installed.

    Raises:
        EnvironmentMismatch: if it is not installed.
    """
    with from_extra("parquet", "Parquet", instead):
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    return pyarrow


@dataclass(frozen=True)
class _Columns:
    """Names of the columns that are read."""

    ids: str
    vectors: list[str]
    listed: bool  # one column of lists, not one of numbers for each dimension


def read_parquet(path: Path) -> tuple[list[str], np.ndarray, int]:
    """Tokens, rows and the number of rows that were left out because they have no vector.

    Raises:
        FeatureError: if the file is damaged, would unfold beyond bounds, or its columns are not of these kinds.

    Memory O(rows dim), one row group beside it.
    """
    pyarrow = import_pyarrow()
    with open_regular(path, FeatureError) as file:
        try:
            parquet = pyarrow.parquet.ParquetFile(file)
            columns = _columns(pyarrow, path.name, parquet.schema_arrow)
            _refuse_bomb(path, file, parquet.metadata)
            if is_text(
                pyarrow, parquet.schema_arrow.field(columns.ids).type
            ):  # each text once, however often it stands
                parquet = pyarrow.parquet.ParquetFile(file, read_dictionary=[columns.ids])
            size = os.fstat(file.fileno()).st_size
            parts = list(_parts(pyarrow, path.name, parquet, columns, size))
        except (pyarrow.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FeatureError(f"{path.name} cannot be read ({reason}); expected Parquet, so write it anew") from error
    widths = {matrix.shape[1] for _, matrix, _ in parts if len(matrix)}
    if len(widths) > 1:
        raise _ragged(path.name, widths)
    tokens = [token for part, _, _ in parts for token in part]
    filled = [matrix for _, matrix, _ in parts if len(matrix)]
    matrix = np.concatenate(filled) if filled else np.zeros((0, max(widths, default=1)), np.float32)
    return tokens, matrix, sum(left for _, _, left in parts)


def is_text(pyarrow: Any, kind: Any) -> bool:
    """Whether a column is of text, written with a dictionary or without."""
    plain = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return bool(pyarrow.types.is_string(plain) or pyarrow.types.is_large_string(plain))


def text_bytes(pyarrow: Any, column: Any) -> int:
    """Bytes of the texts of a column with a dictionary, each counted as often as it stands there."""
    lengths = pyarrow.compute.binary_length(column.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
    return int(lengths[column.indices.drop_null().to_numpy(zero_copy_only=False)].sum())


def _columns(pyarrow: Any, source: str, schema: Any) -> _Columns:
    types = {field.name: field.type for field in schema}
    if len(types) < len(schema):
        raise FeatureError(f"{source} names a column twice; name each column once")
    kinds = pyarrow.types
    texts = [name for name, kind in types.items() if kinds.is_string(kind) or kinds.is_large_string(kind)]
    ids = IDS if IDS in types else texts[0] if len(texts) == 1 else None
    lists = [name for name, kind in types.items() if _is_list(kinds, kind)]
    lists = [VECTORS] if VECTORS in lists else lists
    numbers = [name for name, kind in types.items() if name != ids and _is_number(kinds, kind)]
    if ids is None or len(lists) > 1 or not (lists or numbers):
        raise FeatureError(
            f"{source} has the columns {_described(types)}; expected '{IDS}' (ids) and either '{VECTORS}' (lists of "
            "numbers) or a column of numbers for each dimension: rename or drop columns"
        )
    return _Columns(ids, lists or numbers, bool(lists))


def _is_list(kinds: Any, kind: Any) -> bool:
    return kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind)


def _is_number(kinds: Any, kind: Any) -> bool:
    return kinds.is_floating(kind) or kinds.is_integer(kind)


def _described(types: dict[str, Any]) -> str:
    some = ", ".join(f"{shown(name)} ({kind})" for name, kind in list(types.items())[:10])
    return f"{some} and {len(types) - 10} others" if len(types) > 10 else some


def _refuse_bomb(path: Path, file: BinaryIO, metadata: Any) -> None:
    """Few bytes may stand for many values, all alike; what the file says of itself and its pages bounds them."""
    size = os.fstat(file.fileno()).st_size
    chunks = chunks_of(path.name, file, size)
    values = sum(chunk.values for chunk in chunks)
    unfolded = max(4 * values, unfolded_bytes(path.name, file, chunks, size))
    if min(values, metadata.num_rows, 0) < 0 or unfolded > max(LARGE, MOST_UNFOLDED * size):
        raise FeatureError(
            f"{path.name} claims that {size:,} bytes unfold into {unfolded:,}; write it without compression"
        )
    refuse_beyond_memory(path.name, unfolded, FeatureError)


def _parts(
    pyarrow: Any, source: str, parquet: Any, columns: _Columns, size: int
) -> Iterator[tuple[list[str], np.ndarray, int]]:
    """Tokens and rows of each row group, and how many of its rows have no vector; ``size`` is that of the file."""
    for number in range(parquet.num_row_groups):
        table = parquet.read_row_group(number, columns=[columns.ids, *columns.vectors]).combine_chunks()
        there = table.column(columns.vectors[0]).is_valid()
        table = table.filter(there) if columns.listed else table
        matrix = _lists(source, table, columns) if columns.listed else _numbers(source, table, columns)
        yield (
            _tokens(pyarrow, source, table.column(columns.ids).combine_chunks(), size),
            matrix,
            len(there) - len(table),
        )


def _tokens(pyarrow: Any, source: str, column: Any, size: int) -> list[str]:
    kinds, kind = pyarrow.types, column.type
    if column.null_count:
        raise FeatureError(
            f"{source} has {counted(column.null_count, 'row')} without an item id; write one in each row"
        )
    if kinds.is_dictionary(kind):
        if is_text(pyarrow, kind) and text_bytes(pyarrow, column) > max(LARGE, MOST_UNFOLDED * size):
            raise FeatureError(f"{source} has item ids that take far more memory than its {size:,} bytes; shorten them")
        column, kind = column.cast(kind.value_type), kind.value_type
    if not (is_text(pyarrow, kind) or kinds.is_integer(kind)):
        raise FeatureError(f"{source} has item ids of type {kind}; expected text or whole numbers")
    return [str(token) for token in column.to_pylist()]


def _lists(source: str, table: Any, columns: _Columns) -> np.ndarray:
    if not len(table):
        return np.zeros((0, 1), np.float32)
    lists = table.column(columns.vectors[0]).combine_chunks()
    values = _values(source, lists.flatten())
    widths = set(np.unique(lists.value_lengths().to_numpy(zero_copy_only=False)).tolist())
    if len(widths) > 1:
        raise _ragged(source, widths)
    return values.reshape(len(lists), -1)


def _numbers(source: str, table: Any, columns: _Columns) -> np.ndarray:
    return np.stack([_values(source, table.column(name)) for name in columns.vectors], axis=1)


def _values(source: str, column: Any) -> np.ndarray:
    if column.null_count:
        raise FeatureError(
            f"{source} has {counted(column.null_count, 'number that is', 'numbers that are')} null; leave the "
            "rows of those items out, or make the whole list null"
        )
    return np.asarray(column.to_numpy())


def _ragged(source: str, widths: set[int]) -> FeatureError:
    some = ", ".join(map(str, sorted(widths)[:5]))
    return FeatureError(f"{source} has lists of different lengths ({some}); expected as many numbers for every item")
