"""What DuckDB is asked of VK-LSVD's files, checked against the columns that these have.

Each interaction gets a kind, ``POSITIVE``, ``DISLIKED`` or 0. What is no row of VK-LSVD ends the query by a sentence.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from recbole_sheaf.data.conditions import Condition, read_condition
from recbole_sheaf.data.vk_lsvd_layout import ITEM, USER, Week
from recbole_sheaf.errors import DataError, first_line
from recbole_sheaf.files.regular_files import open_regular

POSITIVE, DISLIKED = 1, 2
REFUSED = "refused: "  # before what a query of ours refuses
LARGEST_ID = 2**32 - 1
METADATA = {ITEM: "items_metadata.parquet", USER: "users_metadata.parquet"}  # by the column of its rows
_AS_PUBLISHED = "take the file as it was published"

INTEGERS = frozenset(f"{sign}{kind}" for sign in ("", "U") for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"))
NUMBERS = INTEGERS | {"FLOAT", "DOUBLE"}
LOGICAL = frozenset({"BOOLEAN"})
_IN_WORDS = {INTEGERS: "whole numbers", NUMBERS: "numbers", LOGICAL: "true or false"}
_COLUMNS = {  # of interactions, with the types that they may have
    **dict.fromkeys((USER, ITEM, "place", "platform", "agent"), INTEGERS),
    "timespent": NUMBERS,
    **dict.fromkeys(("like", "dislike", "share", "bookmark", "click_on_author", "open_comments"), LOGICAL),
}
_ALWAYS = (USER, ITEM, "dislike")

Database = duckdb.DuckDBPyConnection


@dataclass(frozen=True)
class Queries:
    """Checked queries.

    Attributes:
        condition: of what is positive.
        metadata: statements that make the tables of metadata that the condition reads, by their keys.
        rows: part, ordinal, user_id, item_id and kind of every interaction.
    """

    condition: Condition
    metadata: Mapping[str, str]
    rows: str


def queries(db: Database, weeks: Sequence[Week], tables: Mapping[str, Path], positive: str) -> Queries:
    """Queries over the weeks that are chosen and the tables of metadata that are there.

    Raises:
        ConfigError: if the condition is none over their columns.
        DataError: if a file cannot be read, lacks a column or has one of another type.
    """
    types = {key: _types(db, path) for key, path in tables.items()}
    of_weeks = [_types(db, week.path) for week in weeks]
    there = {name: kind for each in types.values() for name, kind in each.items() if kind in NUMBERS}
    there |= {name: kind for name, kind in of_weeks[0].items() if name in _COLUMNS and kind in NUMBERS | LOGICAL}
    if ITEM not in tables and re.search(r"\bduration\b", positive, re.IGNORECASE):
        raise DataError(
            f"positive={positive} reads durations, but metadata/{METADATA[ITEM]} does not lie near the interactions; "
            "add it, or give another positive=..."
        )
    for week, found in zip(weeks, of_weeks):
        _check_columns(week.path, found, {name: _COLUMNS[name] for name in _ALWAYS})
    condition = read_condition("positive=...", positive, {name: _wide(kind) for name, kind in there.items()})
    read = [name for name in _COLUMNS if name in condition.columns.union(_ALWAYS)]
    for week, found in zip(weeks, of_weeks):
        _check_columns(week.path, found, {name: _COLUMNS[name] for name in read})
    metadata, joins = {}, ""
    for key, path in tables.items():
        if columns := sorted(condition.columns.intersection(types[key]).difference(read)):
            _check_columns(path, types[key], {key: INTEGERS, **dict.fromkeys(columns, NUMBERS)})
            metadata[key] = _metadata(key, path, {name: types[key][name] for name in columns})
            joins += f" LEFT JOIN {key}_metadata USING ({key})"
    kind = (
        f"CASE {_ends(read)} WHEN dislike THEN {DISLIKED} WHEN coalesce({condition.sql}, false) THEN {POSITIVE} "
        "ELSE 0 END"
    )
    rows = f"SELECT part, ordinal, {USER}, {ITEM}, {kind} AS kind FROM ({_all_of(db, weeks, of_weeks, read)}){joins}"
    return Queries(condition, metadata, rows)


def text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"


def _types(db: Database, path: Path) -> dict[str, str]:
    open_regular(path, DataError).close()
    try:
        found = db.execute(f"DESCRIBE SELECT * FROM read_parquet({text(str(path))})").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read ({first_line(error)[:200]}); copy it again") from error
    return {name: kind for name, kind, *_ in found}


def _check_columns(path: Path, types: Mapping[str, str], wanted: Mapping[str, frozenset[str]]) -> None:
    for name, kinds in wanted.items():
        if name not in types:
            raise DataError(f"{path} has no column {name}, it has {', '.join(types)}; {_AS_PUBLISHED}")
        if types[name] not in kinds:
            raise DataError(
                f"{path} has {name} of the type {types[name]}, expected {_IN_WORDS[kinds]}; {_AS_PUBLISHED}"
            )


def _wide(kind: str) -> str:
    """A type in which a condition may calculate: of two UTINYINT DuckDB makes another, and 60 * 7 is beyond that."""
    return "HUGEINT" if kind == "UBIGINT" else "BIGINT" if kind in INTEGERS else kind


def _all_of(db: Database, weeks: Sequence[Week], types: Sequence[Mapping[str, str]], columns: Sequence[str]) -> str:
    """The rows of all weeks, each with its number among them."""
    before, parts = 0, []
    for week, kinds in zip(weeks, types):
        named = ", ".join(f'"{name}"::{_wide(kinds[name])} AS "{name}"' for name in columns)
        file = text(str(week.path))
        parts.append(
            f"SELECT {named}, {text(week.part)} AS part, {week.number} AS week, file_row_number AS row_in_week, "
            f"file_row_number + {before} AS ordinal FROM read_parquet({file}, file_row_number = true)"
        )
        before += int(db.execute(f"SELECT num_rows FROM parquet_file_metadata({file})").fetchall()[0][0])
    return " UNION ALL ".join(parts)


def _ends(columns: Sequence[str]) -> str:
    """Cases that end a query, saying which value is none and where it stands."""
    expected = {USER: f"a number from 0 to {LARGEST_ID}", ITEM: f"a number from 0 to {LARGEST_ID}"}
    expected |= {"dislike": "true or false"}
    bad = {name: f"{name} IS NULL" for name in _ALWAYS}
    bad |= {name: f"{bad[name]} OR {name} < 0 OR {name} > {LARGEST_ID}" for name in (USER, ITEM)}
    if "timespent" in columns:
        bad["timespent"], expected["timespent"] = "timespent < 0", "seconds from 0"
    where = "' in row ' || (row_in_week + 1) || ' of week ' || week || ', expected "
    return " ".join(
        f"WHEN {bad[name]} THEN error('{REFUSED}{name} is ' || coalesce({name}::VARCHAR, 'empty') || {where}"
        f"{expected[name]}; {_AS_PUBLISHED}')"
        for name in bad
    )


def _metadata(key: str, path: Path, columns: Mapping[str, str]) -> str:
    """A row for each item or user, with the columns that a condition reads, and how many rows it had."""
    values = ", ".join(f'any_value("{name}"::{_wide(kind)}) AS "{name}"' for name, kind in columns.items())
    begins = f"error('{REFUSED}{path.name} has the"
    ends = (
        f"CASE WHEN {key} IS NULL OR {key} < 0 OR {key} > {LARGEST_ID} THEN {begins} {key} ' || "
        f"coalesce({key}::VARCHAR, 'of nothing') || ', expected a number from 0 to {LARGEST_ID}; {_AS_PUBLISHED}') "
    )
    if "duration" in columns:
        ends += (
            f"WHEN duration < 0 THEN {begins} duration ' || duration || ' for {key} ' || {key} || ', expected seconds "
            f"from 0; {_AS_PUBLISHED}') "
        )
    return (
        f"CREATE TABLE {key}_metadata AS SELECT {key}, {values}, count(*) AS times "
        f"FROM read_parquet({text(str(path))}) WHERE {ends}ELSE true END GROUP BY {key}"
    )
