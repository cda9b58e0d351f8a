"""Columns of published Parquet files: held to the types that they may have, and written into what DuckDB is asked."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from recbole_sheaf.errors import DataError, first_line
from recbole_sheaf.files.regular_files import open_regular

REFUSED = "refused: "  # before what a query of ours refuses
LARGEST_ID = 2**32 - 1
AS_PUBLISHED = "take the file as it was published"

INTEGERS = frozenset(f"{sign}{kind}" for sign in ("", "U") for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"))
NUMBERS = INTEGERS | {"FLOAT", "DOUBLE"}
LOGICAL = frozenset({"BOOLEAN"})
WORDS = frozenset({"VARCHAR"})
_IN_WORDS = {
    INTEGERS: "whole numbers",
    NUMBERS: "numbers",
    LOGICAL: "true or false",
    INTEGERS | LOGICAL: "0 and 1",
    WORDS: "words",
}

Database = duckdb.DuckDBPyConnection


def text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"


def types_of(db: Database, path: Path) -> dict[str, str]:
    """DuckDB's types of a file's columns; a dictionary of words is words.

    Raises:
        DataError: if it cannot be read.
    """
    open_regular(path, DataError).close()
    try:
        found = db.execute(f"DESCRIBE SELECT * FROM read_parquet({text(str(path))})").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read ({first_line(error)[:200]}); copy it again") from error
    return {name: "VARCHAR" if kind.startswith("ENUM(") else kind for name, kind, *_ in found}


def check_columns(
    path: Path, types: Mapping[str, str], wanted: Mapping[str, frozenset[str]], do: str = AS_PUBLISHED
) -> None:
    """Refuse a file that lacks a column, or has one of another type.

    Args:
        path: of the file.
        types: of its columns.
        wanted: the types that each column may have.
        do: what is to be done, as the sentence ends.

    Raises:
        DataError: if it is so.
    """
    for name, kinds in wanted.items():
        if name not in types:
            raise DataError(f"{path} has no column {name}, it has {', '.join(types)}; {do}")
        if types[name] not in kinds:
            raise DataError(f"{path} has {name} of the type {types[name]}, expected {_IN_WORDS[kinds]}; {do}")


def wide(kind: str) -> str:
    """A type in which a condition may calculate: of two UTINYINT DuckDB makes another, and 60 * 7 is beyond that."""
    return "HUGEINT" if kind == "UBIGINT" else "BIGINT" if kind in INTEGERS else kind
