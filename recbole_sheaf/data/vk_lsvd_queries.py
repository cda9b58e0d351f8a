"""What DuckDB is asked of VK-LSVD's files, checked against the columns that these have.

Each interaction gets a kind, ``POSITIVE``, ``DISLIKED`` or 0. What is no row of VK-LSVD ends the query by a sentence.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_sheaf.data.conditions import read_condition
from recbole_sheaf.data.published_columns import (
    AS_PUBLISHED,
    INTEGERS,
    LARGEST_ID,
    LOGICAL,
    NUMBERS,
    REFUSED,
    Database,
    check_columns,
    text,
    types_of,
    wide,
)
from recbole_sheaf.data.published_logs import DISLIKED, POSITIVE, Queries
from recbole_sheaf.data.raw_interactions import ITEM, USER
from recbole_sheaf.data.vk_lsvd_layout import Week
from recbole_sheaf.errors import DataError

METADATA = {ITEM: "items_metadata.parquet", USER: "users_metadata.parquet"}  # by the column of its rows
_COLUMNS = {  # of interactions, with the types that they may have
    **dict.fromkeys((USER, ITEM, "place", "platform", "agent"), INTEGERS),
    "timespent": NUMBERS,
    **dict.fromkeys(("like", "dislike", "share", "bookmark", "click_on_author", "open_comments"), LOGICAL),
}
_ALWAYS = (USER, ITEM, "dislike")


def queries(db: Database, weeks: Sequence[Week], tables: Mapping[str, Path], positive: str) -> Queries:
    """Queries over the weeks that are chosen and the tables of metadata that are there.

    Raises:
        ConfigError: if the condition is none over their columns.
        DataError: if a file cannot be read, lacks a column or has one of another type.
    """
    types = {key: types_of(db, path) for key, path in tables.items()}
    of_weeks = [types_of(db, week.path) for week in weeks]
    there = {name: kind for each in types.values() for name, kind in each.items() if kind in NUMBERS}
    there |= {name: kind for name, kind in of_weeks[0].items() if name in _COLUMNS and kind in NUMBERS | LOGICAL}
    if ITEM not in tables and re.search(r"\bduration\b", positive, re.IGNORECASE):
        raise DataError(
            f"positive={positive} reads durations, but metadata/{METADATA[ITEM]} does not lie near the interactions; "
            "add it, or give another positive=..."
        )
    for week, found in zip(weeks, of_weeks):
        check_columns(week.path, found, {name: _COLUMNS[name] for name in _ALWAYS})
    condition = read_condition("positive=...", positive, {name: wide(kind) for name, kind in there.items()})
    read = [name for name in _COLUMNS if name in condition.columns.union(_ALWAYS)]
    for week, found in zip(weeks, of_weeks):
        check_columns(week.path, found, {name: _COLUMNS[name] for name in read})
    before, joins = [], ""
    for key, path in tables.items():
        if columns := sorted(condition.columns.intersection(types[key]).difference(read)):
            check_columns(path, types[key], {key: INTEGERS, **dict.fromkeys(columns, NUMBERS)})
            before.append(_metadata(key, path, {name: types[key][name] for name in columns}))
            joins += f" LEFT JOIN {key}_metadata USING ({key})"
    kind = (
        f"CASE {_ends(read)} WHEN dislike THEN {DISLIKED} WHEN coalesce({condition.sql}, false) THEN {POSITIVE} "
        "ELSE 0 END"
    )
    rows = f"SELECT part, ordinal, {USER}, {ITEM}, {kind} AS kind FROM ({_all_of(db, weeks, of_weeks, read)}){joins}"
    return Queries(condition, before, rows)


def _all_of(db: Database, weeks: Sequence[Week], types: Sequence[Mapping[str, str]], columns: Sequence[str]) -> str:
    """The rows of all weeks, each with its number among them."""
    before, parts = 0, []
    for week, kinds in zip(weeks, types):
        named = ", ".join(f'"{name}"::{wide(kinds[name])} AS "{name}"' for name in columns)
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
        f"{expected[name]}; {AS_PUBLISHED}')"
        for name in bad
    )


def _metadata(key: str, path: Path, columns: Mapping[str, str]) -> str:
    """A table of a row for each item or user, with the columns that a condition reads."""
    values = ", ".join(f'any_value("{name}"::{wide(kind)}) AS "{name}"' for name, kind in columns.items())
    begins = f"error('{REFUSED}{path.name} has the"
    ends = (
        f"CASE WHEN {key} IS NULL OR {key} < 0 OR {key} > {LARGEST_ID} THEN {begins} {key} ' || "
        f"coalesce({key}::VARCHAR, 'of nothing') || ', expected a number from 0 to {LARGEST_ID}; {AS_PUBLISHED}') "
    )
    if "duration" in columns:
        ends += (
            f"WHEN duration < 0 THEN {begins} duration ' || duration || ' for {key} ' || {key} || ', expected seconds "
            f"from 0; {AS_PUBLISHED}') "
        )
    twice = f"CASE WHEN count(*) > 1 THEN {begins} {key} ' || {key} || ' more than once; keep one row for each') "
    return (
        f"CREATE TABLE {key}_metadata AS SELECT {key}, {values} FROM read_parquet({text(str(path))}) "
        f"WHERE {ends}ELSE true END GROUP BY {key} HAVING {twice}ELSE true END"
    )
