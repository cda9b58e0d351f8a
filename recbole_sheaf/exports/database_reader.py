"""Exports in DuckDB, read; :mod:`.database` says what they hold and writes them.

A database is a program too: a view may read another file or never end, and a macro may take the name of any function.
So it is attached to an empty one, whose functions are DuckDB's own, other files are out of reach, memory is bounded,
and columns of tables alone are read.
"""

import json
import math
import os
import re
from pathlib import Path
from typing import Any, Union

import duckdb
import numpy as np

from recbole_sheaf.embeddings.embeddings import LARGE
from recbole_sheaf.errors import DataError, shown
from recbole_sheaf.exports.array_checks import (
    BYTES_OF_TOKEN,
    kind_of,
    no_embeddings,
    parsed,
    refusal,
    refuse_unfolded,
    token_array,
    unreadable,
)
from recbole_sheaf.files.regular_files import open_regular

PAIRS = {  # tables of compressed matrices: row, place, value
    "history": ("interactions", "user_id", "item_id", "part"),
    "coefficient": ("coefficients", "for_item_id", "item_id", "value"),
}
_VECTOR = re.compile(r"FLOAT\[([1-9]\d{0,5})\]")
_SIZES = {"BIGINT": 8, "INTEGER": 4, "TINYINT": 1, "FLOAT": 4, "BOOLEAN": 1, "VARCHAR": BYTES_OF_TOKEN, "BLOB": 8}
_TABLES = {  # columns and their types; VECTOR is FLOAT of a fixed number
    "users": {"row_id": "BIGINT", "token": "VARCHAR", "vector": "VECTOR"},
    "items": {"row_id": "BIGINT", "token": "VARCHAR", "vector": "VECTOR", "is_new": "BOOLEAN", "rarity": "FLOAT"},
    "interactions": {"user_id": "INTEGER", "item_id": "INTEGER", "part": "TINYINT"},
    "coefficients": {"for_item_id": "INTEGER", "item_id": "INTEGER", "value": "FLOAT"},
    "arrays": {"name": "VARCHAR", "dtype": "VARCHAR", "shape": "VARCHAR", "data": "BLOB"},
    "metadata": {"key": "VARCHAR", "value": "VARCHAR"},
}
_MEMORY = LARGE << 2  # bytes that DuckDB may take beside four times those of the file
_ALONE: dict[str, Union[str, bool, int, float, list[str]]] = {
    "threads": 1,
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata.

    Raises:
        DataError: if the file is no database of embeddings, a table is a view or has other columns than ours, or it
            would unfold beyond bounds.

    Memory O(values), and no more than a bound by the size of the file.
    """
    with open_regular(path, DataError) as file:
        size = os.fstat(file.fileno()).st_size
    quoted = str(path.resolve()).replace("'", "''")
    try:
        with duckdb.connect(config={**_ALONE, "memory_limit": f"{(_MEMORY + 4 * size) >> 20}MiB"}) as db:
            db.execute(f"ATTACH '{quoted}' AS export (TYPE duckdb, READ_ONLY)")
            db.execute("SET enable_external_access = false; SET lock_configuration = true")
            return _read(db, path, size)
    except (duckdb.Error, RuntimeError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def _read(db: duckdb.DuckDBPyConnection, path: Path, size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    source = path.name
    columns = _columns(db)
    if not columns.keys() & {"users", "items", "metadata"}:
        raise no_embeddings(path)
    refuse_unfolded(source, sum(_unfolded(db, source, table, columns) for table in _TABLES), size)
    metadata = _metadata(db, source)
    arrays = _others(db, source)
    rows = {}
    for kind in ("user", "item"):
        arrays[f"{kind}_tokens"], arrays[f"{kind}_vectors"] = _rows(db, source, kind, size)
        rows[kind] = len(arrays[f"{kind}_tokens"])
    arrays.update(_compressed(db, source, "history", "parts", rows["user"]))
    coefficients = _compressed(db, source, "coefficient", "values", rows["item"])
    arrays.update(coefficients if len(coefficients["coefficient_values"]) else {})
    return arrays, metadata


def _columns(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Columns and their types by table; views have none, nor have tables with columns that are computed."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in db.execute(
        "SELECT c.table_name, c.column_name, c.data_type FROM duckdb_columns() c SEMI JOIN duckdb_tables() t ON "
        "c.table_oid = t.table_oid AND c.schema_oid = t.schema_oid AND c.database_oid = t.database_oid AND "
        "NOT contains(upper(t.sql), 'GENERATED ALWAYS') "
        "WHERE c.database_name = 'export' AND c.schema_name = 'main' ORDER BY c.column_index"
    ).fetchall():
        found.setdefault(table, {})[column] = kind
    return found


def _unfolded(db: duckdb.DuckDBPyConnection, source: str, table: str, columns: dict[str, dict[str, str]]) -> int:
    """Bytes of the values of a table, once its columns are those that we write."""
    found = columns.get(table)
    if found is None:
        raise refusal(source, f"has no table {table}, or a view or computed columns in its place")
    vector = _VECTOR.fullmatch(found.get("vector", ""))
    if {**found, **({"vector": "VECTOR"} if vector else {})} != _TABLES[table]:
        raise refusal(source, f"has a table {table} with the columns {shown(found)}")
    lengths = [
        f"coalesce(sum({'strlen' if kind == 'VARCHAR' else 'octet_length'}({name})), 0)"
        for name, kind in found.items()
        if kind in ("VARCHAR", "BLOB")
    ]
    ((rows, *letters),) = db.execute(f"SELECT {', '.join(['count(*)', *lengths])} FROM export.main.{table}").fetchall()
    width = 4 * int(vector[1]) + BYTES_OF_TOKEN if vector else 0
    return int(rows) * (width + sum(_SIZES.get(kind, 0) for kind in found.values())) + int(sum(letters))


def _metadata(db: duckdb.DuckDBPyConnection, source: str) -> dict[str, Any]:
    texts = db.execute("SELECT value FROM export.main.metadata WHERE key = 'json'").fetchall()
    if len(texts) != 1 or not isinstance(texts[0][0], str):
        raise refusal(source, f"has {len(texts)} texts of JSON in its table metadata, expected one")
    return parsed(source, texts[0][0])


def _others(db: duckdb.DuckDBPyConnection, source: str) -> dict[str, np.ndarray]:
    """What lies as bytes in the table arrays."""
    arrays: dict[str, np.ndarray] = {}
    for name, dtype, shape, data in db.execute("SELECT name, dtype, shape, data FROM export.main.arrays").fetchall():
        kind = kind_of(name) if isinstance(name, str) else None
        if kind is None or name in arrays or dtype not in kind.types or not isinstance(data, bytes):
            raise refusal(source, f"has {shown(name)} of type {shown(dtype)} in its table arrays")
        values, rest = divmod(len(data), np.dtype(dtype).itemsize)
        if rest:
            raise refusal(source, f"has {len(data):,} bytes of {name} in its table arrays, no multiple of {dtype}")
        arrays[name] = np.frombuffer(data, dtype=dtype).reshape(_shape(source, name, shape, values))
    return arrays


def _shape(source: str, name: str, text: Any, count: int) -> tuple[int, ...]:
    """Of so many values, from its JSON."""
    try:
        shape = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        shape = None
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) != count:
        raise refusal(source, f"has {count:,} values of {name} in its table arrays, and the shape {shown(text)}")
    return tuple(shape)


def _rows(db: duckdb.DuckDBPyConnection, source: str, kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and vectors by ``row_id``; vectors are null where they have no column."""
    found = db.execute(f"SELECT row_id, token, vector FROM export.main.{kind}s").fetchnumpy()
    numbers = _filled(source, f"row_id of {kind}s", found["row_id"])
    if not len(numbers):
        raise refusal(source, f"has no {kind}")
    order = np.argsort(numbers, kind="stable")
    if not np.array_equal(numbers[order], np.arange(len(numbers))):
        raise refusal(source, f"has {len(numbers):,} {kind}s whose row_id is not 0 to {len(numbers) - 1:,}")
    tokens = _filled(source, f"token of {kind}s", found["token"])[order].tolist()
    vectors = found["vector"]
    if isinstance(vectors, np.ma.MaskedArray) and vectors.mask.all():
        stacked = np.zeros((len(numbers), 0), dtype=np.float32)
    else:
        listed = list(_filled(source, f"vector of {kind}s", vectors))
        if any(isinstance(vector, np.ma.MaskedArray) for vector in listed):
            raise refusal(source, f"has a null in a vector of its {kind}s")
        stacked = np.stack(listed).astype(np.float32)[order] if listed else np.zeros((0, 0), dtype=np.float32)
    return token_array(source, kind, tokens, size), stacked


def _compressed(
    db: duckdb.DuckDBPyConnection, source: str, matrix: str, value: str, rows: int
) -> dict[str, np.ndarray]:
    """The arrays of a table of pairs, by row and then in the order of the table."""
    table, *columns = PAIRS[matrix]
    found = db.execute(f"SELECT {', '.join(columns)} FROM export.main.{table}").fetchnumpy()
    row, items, values = (_filled(source, f"{column} of {table}", found[column]) for column in columns)
    if len(row) and (row.min() < 0 or row.max() >= rows):
        raise refusal(source, f"has {columns[0]} {row.min()} to {row.max()} in {table}, expected 0 to {rows - 1}")
    order = np.argsort(row, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int64)
    return {f"{matrix}_offsets": offsets, f"{matrix}_items": items[order], f"{matrix}_{value}": values[order]}


def _filled(source: str, column: str, values: Any) -> np.ndarray:
    """A column without nulls."""
    if isinstance(values, np.ma.MaskedArray):
        if values.mask.any():
            raise refusal(source, f"has a null among the {column}")
        return np.asarray(values.data)
    return np.asarray(values)
