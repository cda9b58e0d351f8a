"""Embeddings as one DuckDB file that recommends by plain SQL.

| table          | columns                                                            |
|----------------|--------------------------------------------------------------------|
| `users`        | row_id, token, vector FLOAT[f]                                     |
| `items`        | row_id, token, vector FLOAT[f], is_new, rarity                     |
| `interactions` | user_id, item_id (row_ids), part: 0 train, 1 validation, 2 test, below 0 a dislike |
| `coefficients` | item_id, for_item_id, value: what an item in a history says for another |
| `arrays`       | name, dtype, shape, data: what else an export holds, as bytes      |
| `metadata`     | key, value                                                         |

`SELECT * FROM recommend('some user', 20)` gives the best items that the user does not have; `seen_parts := 2` leaves
out those of training and validation alone, as a test does, and 0 none; dislikes are always left out. The macro is the
formula of a score, so that it can be read there: `SELECT value FROM metadata WHERE key = 'score'` says it in words.
"""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import first_line
from recbole_sheaf.exports.arrays import as_arrays, as_metadata
from recbole_sheaf.exports.database_reader import PAIRS

_INNER = "COALESCE(array_inner_product(u.vector, i.vector), 0)"
_RECOMMEND = """
CREATE MACRO recommend(user_token, k, seen_parts := 3) AS TABLE
WITH u AS (SELECT * FROM users WHERE token = user_token),
     said AS (SELECT c.for_item_id, sum(c.value) AS value FROM interactions h JOIN u ON h.user_id = u.row_id
              JOIN coefficients c ON c.item_id = h.item_id WHERE h.part = 0 GROUP BY c.for_item_id)
SELECT i.token AS item, {inner} + COALESCE(said.value, 0) AS score
FROM u CROSS JOIN items i LEFT JOIN said ON said.for_item_id = i.row_id
WHERE i.row_id NOT IN (SELECT item_id FROM interactions h JOIN u ON h.user_id = u.row_id
                       WHERE h.part < seen_parts)
ORDER BY score DESC LIMIT k
"""
_IN_TABLES = ("_tokens", "_vectors", "history_", "coefficient_")


def write(embeddings: Embeddings, path: Path) -> None:
    """Write to a path that does not exist; vectors are float32.

    Raises:
        OSError: if it cannot be written.
    """
    try:
        _write(embeddings, path)
    except (duckdb.OperationalError, duckdb.FatalException) as error:  # what DuckDB calls a disk that is full
        raise OSError(first_line(error)) from error


def _write(embeddings: Embeddings, path: Path) -> None:
    floats = embeddings.with_floats("float32")
    arrays, metadata = as_arrays(floats), as_metadata(floats)
    width = floats.item_vectors.shape[1]
    with duckdb.connect(str(path)) as db:
        _table(db, "users", _rows(floats.users, floats.user_vectors), width)
        items = _rows(floats.items, floats.item_vectors)
        items["is_new"] = arrays.get("item_is_new", np.zeros(len(items), dtype=bool))
        items["rarity"] = arrays.get("item_rarity", np.zeros(len(items), dtype=np.float32))
        _table(db, "items", items, width)
        _pairs(db, arrays, "history", "parts")
        _pairs(db, arrays, "coefficient", "values")
        _others(db, {name: array for name, array in arrays.items() if not any(part in name for part in _IN_TABLES)})
        values = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in metadata.items()]
        db.execute("CREATE TABLE metadata (key VARCHAR, value VARCHAR)")
        db.executemany("INSERT INTO metadata VALUES (?, ?)", [*values, ("json", json.dumps(metadata))])
        db.execute(_RECOMMEND.format(inner=_INNER if width else "0"))
        db.execute("CHECKPOINT")  # on closing, DuckDB would do it and say nothing of a disk that is full


def _rows(tokens: np.ndarray, vectors: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"row_id": np.arange(len(tokens)), "token": tokens.tolist(), "vector": list(vectors)})


def _table(db: Any, name: str, rows: pd.DataFrame, width: int) -> None:
    """A table of the rows, with vectors of a fixed size; nulls where there is no column."""
    vector = f"vector::FLOAT[{width}]" if width else "NULL::FLOAT[1]"
    db.register("rows", rows)
    db.execute(f"CREATE TABLE {name} AS SELECT * REPLACE ({vector} AS vector) FROM rows")
    db.unregister("rows")


def _pairs(db: Any, arrays: dict[str, np.ndarray], matrix: str, value: str) -> None:
    """A table of a compressed matrix: row, place, value; empty where the arrays are not there."""
    name, *columns = PAIRS[matrix]
    offsets = arrays.get(f"{matrix}_offsets", np.zeros(1, dtype=np.int64))
    row = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    items = arrays.get(f"{matrix}_items", np.zeros(0)).astype(np.int32, copy=False)
    values = arrays.get(f"{matrix}_{value}", np.zeros(0, dtype=np.float32))
    db.register("pairs", pd.DataFrame(dict(zip(columns, (row, items, values)))))
    db.execute(f"CREATE TABLE {name} AS SELECT * FROM pairs")
    db.unregister("pairs")


def _others(db: Any, arrays: dict[str, np.ndarray]) -> None:
    db.execute("CREATE TABLE arrays (name VARCHAR, dtype VARCHAR, shape VARCHAR, data BLOB)")
    for name, array in arrays.items():
        row = (name, str(array.dtype), json.dumps(array.shape), np.ascontiguousarray(array).tobytes())
        db.execute("INSERT INTO arrays VALUES (?, ?, ?, ?)", row)
