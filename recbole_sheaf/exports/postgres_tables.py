"""Embeddings as tables of PostgreSQL with pgvector, and the queries that rank by them.

Each column of coefficients is a sparse vector of its item, and a user's history one of zeros and ones, so that the
whole score is two inner products (pgvector's ``<#>`` is the negative of one).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from recbole_sheaf.embeddings.embeddings import TRAIN, Embeddings
from recbole_sheaf.errors import DataError
from recbole_sheaf.exports.arrays import as_metadata

MOST_COLUMNS, MOST_COEFFICIENTS = 16_000, 16_000  # of pgvector's vector and halfvec, and of its sparsevec
KINDS = {"float32": "vector", "float16": "halfvec"}
SCORE = "COALESCE(-(u.vector <#> i.vector), 0) + COALESCE(-(u.history <#> i.coefficients), 0)"
FUNCTIONS = """
CREATE OR REPLACE FUNCTION {schema}.recommend(user_token text, k integer DEFAULT 20, seen_parts integer DEFAULT 3)
RETURNS TABLE (item text, score double precision) LANGUAGE sql STABLE AS $$
SELECT i.token, {score} AS score
FROM {schema}.users u CROSS JOIN {schema}.items i
WHERE u.token = user_token
  AND i.row_id NOT IN (SELECT h.item_id FROM {schema}.interactions h
                       WHERE h.user_id = u.row_id AND h.part < seen_parts)
ORDER BY 2 DESC LIMIT k
$$;
CREATE OR REPLACE FUNCTION {schema}.similar_items(item_token text, k integer DEFAULT 20)
RETURNS TABLE (item text, similarity double precision) LANGUAGE sql STABLE AS $$
SELECT i.token, 1 - (a.embedding <=> i.embedding) AS similarity
FROM {schema}.items a CROSS JOIN {schema}.items i
WHERE a.token = item_token AND i.row_id <> a.row_id
ORDER BY 2 DESC LIMIT k
$$
"""


class Table(NamedTuple):
    """A table: its columns with their types, what follows them, and its rows."""

    columns: dict[str, str]
    constraints: str
    rows: Iterator[tuple[Any, ...]]


def tables_of(embeddings: Embeddings, schema: str) -> dict[str, Table]:
    """What is to be written, rows made while they are.

    Raises:
        DataError: if the vectors or the coefficients of an item are more than pgvector holds.
    """
    kind = KINDS[embeddings.metadata["dtype"]]
    coefficients = _coefficients(embeddings)
    widths = embeddings.item_vectors.shape[1], embeddings.embeddings.shape[1]
    _refuse_larger(embeddings, max(widths), coefficients)
    vector, embedding = (f"{kind}({max(width, 1)})" for width in widths)
    row = {"row_id": "integer", "token": "text"}
    keys = "PRIMARY KEY (row_id), UNIQUE (token)"
    users = {**row, "vector": vector, "history": "sparsevec"}
    items = {**row, "vector": vector, "embedding": embedding, "coefficients": "sparsevec"}
    items |= {"rarity": "real", "is_new": "boolean"}
    interactions = {"user_id": "integer", "item_id": "integer", "part": "smallint"}
    # The sparse vectors' columns leave their size open, so that tomorrow's catalogue fits today's tables.
    return {
        "users": Table(users, keys, _users(embeddings)),
        "items": Table(items, keys, _items(embeddings, coefficients)),
        "interactions": Table(interactions, "PRIMARY KEY (user_id, item_id)", _interactions(embeddings)),
        "metadata": Table({"key": "text", "value": "jsonb"}, "PRIMARY KEY (key)", _metadata(embeddings, schema)),
    }


def _coefficients(embeddings: Embeddings) -> sparse.csc_matrix:
    """Those that are there, as float32; none is a matrix of zeros."""
    coefficients, n = embeddings.coefficients, len(embeddings.items)
    if coefficients is None:
        return sparse.csc_matrix((n, n), dtype=np.float32)
    parts = (coefficients.data.astype(np.float32, copy=False), coefficients.indices, coefficients.indptr)
    return sparse.csc_matrix(parts, shape=coefficients.shape)


def _refuse_larger(embeddings: Embeddings, width: int, coefficients: sparse.csc_matrix) -> None:
    most = max(np.diff(coefficients.indptr), default=0)
    longest = max(np.diff(embeddings.histories.offsets), default=0)
    if width > MOST_COLUMNS or max(most, longest) > MOST_COEFFICIENTS:
        raise DataError(
            f"the vectors have {width:,} columns, an item up to {most:,} coefficients and a user up to {longest:,} "
            f"items, but pgvector holds {MOST_COLUMNS:,} columns and {MOST_COEFFICIENTS:,} numbers of a sparse vector; "
            "export to a .duckdb file"
        )


def _users(embeddings: Embeddings) -> Iterator[tuple[Any, ...]]:
    pack = _packer(embeddings)
    rows = np.arange(len(embeddings.users))
    history = embeddings.histories.matrix(rows, [TRAIN], len(embeddings.items))
    for row, (token, vector) in enumerate(zip(embeddings.users.tolist(), embeddings.user_vectors)):
        yield row, token, pack(vector), _sparse(history, row)


def _items(embeddings: Embeddings, coefficients: sparse.csc_matrix) -> Iterator[tuple[Any, ...]]:
    pack, n = _packer(embeddings), len(embeddings.items)
    rarity = np.zeros(n) if embeddings.item_rarity is None else embeddings.item_rarity
    is_new = np.zeros(n, dtype=bool) if embeddings.item_is_new is None else embeddings.item_is_new
    for row, (token, vector, embedding) in enumerate(
        zip(embeddings.items.tolist(), embeddings.item_vectors, embeddings.embeddings)
    ):
        into_item = _sparse(coefficients, row) if coefficients.nnz else None
        yield row, token, pack(vector), pack(embedding), into_item, float(rarity[row]), bool(is_new[row])


def _interactions(embeddings: Embeddings) -> Iterator[tuple[Any, ...]]:
    histories = embeddings.histories
    users = np.repeat(np.arange(len(embeddings.users)), np.diff(histories.offsets))
    return zip(users.tolist(), histories.items.tolist(), histories.parts.tolist())


def _metadata(embeddings: Embeddings, schema: str) -> Iterator[tuple[Any, ...]]:
    from psycopg.types.json import Jsonb

    queries = {
        "query": f"SELECT * FROM {schema}.recommend('{_first(embeddings.users)}', 20)",
        "similar_query": f"SELECT * FROM {schema}.similar_items('{_first(embeddings.items)}', 20)",
        "score_in_sql": f"SELECT {SCORE} AS score FROM {schema}.users u, {schema}.items i WHERE u.token = .. AND ..",
        "index": _index(embeddings, schema),
    }
    for key, value in {**as_metadata(embeddings), **queries}.items():
        yield key, Jsonb(value)


def _first(tokens: np.ndarray) -> str:
    return str(tokens[0]).replace("'", "''") if len(tokens) else ""


def _index(embeddings: Embeddings, schema: str) -> str:
    kind = KINDS[embeddings.metadata["dtype"]]
    return (
        f"CREATE INDEX ON {schema}.items USING hnsw (vector {kind}_ip_ops) serves the inner product alone: "
        f"SELECT token FROM {schema}.items ORDER BY vector <#> (SELECT vector FROM {schema}.users WHERE token = ..) "
        "LIMIT 200"
    )


def _packer(embeddings: Embeddings) -> Any:
    """Rows into what pgvector's client sends; nothing of no columns."""
    from pgvector import HalfVector, Vector

    kind = Vector if embeddings.metadata["dtype"] == "float32" else HalfVector
    return lambda row: kind(row) if len(row) else None


def _sparse(matrix: Any, row: int) -> Any:
    """A row of a compressed matrix, or a column of one compressed by columns."""
    from pgvector import SparseVector

    mine = slice(matrix.indptr[row], matrix.indptr[row + 1])
    values = dict(zip(matrix.indices[mine].tolist(), matrix.data[mine].tolist()))
    return SparseVector(values, max(matrix.shape[1], 1))
