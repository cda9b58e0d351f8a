"""What DuckDB is asked of Yambda's files, checked against the columns that these have.

An *unlike* takes back the likes of its user and track that came before it, or at the same time, in the same part of
the split; an *undislike* likewise the dislikes. What was taken back counts as not done: a part knows nothing of what a
later one took back. A dislike that stands makes what the user did with the track before it, or at the same time, in the
same part not positive.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Optional

from recbole_sheaf.data.conditions import Condition, read_condition
from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.data.published_columns import (
    INTEGERS,
    LARGEST_ID,
    LOGICAL,
    NUMBERS,
    REFUSED,
    WORDS,
    Database,
    check_columns,
    text,
    types_of,
    wide,
)
from recbole_sheaf.data.published_logs import DISLIKED, POSITIVE, Queries
from recbole_sheaf.data.raw_interactions import ITEM, USER
from recbole_sheaf.data.yambda_layout import BOUNDS, EVENTS, Layout

_ALWAYS = dict.fromkeys(("uid", "item_id", "timestamp"), INTEGERS)
_OF_LISTENS = {"played_ratio_pct": NUMBERS, "track_length_seconds": NUMBERS}
_COLUMNS = {**_ALWAYS, "is_organic": INTEGERS | LOGICAL, "event_type": WORDS, **_OF_LISTENS}
_TAKES_BACK = {"unlike": "like", "undislike": "dislike"}
_AS_PUBLISHED = "take the file of flat/ as it was published"
_PAIR = "uid, item_id, part"


def queries(db: Database, layout: Layout, positive: str, keep_split: bool) -> Queries:
    """Queries over the files of a folder.

    Raises:
        ConfigError: if the condition is none over their columns.
        DataError: if a file cannot be read, lacks a column or has one of another type.
    """
    types = {path: types_of(db, path) for path in layout.events}
    for path, event in layout.events.items():
        check_columns(path, types[path], _expected(event, _ALWAYS), _AS_PUBLISHED)
    condition = read_condition("positive=...", positive, _readable(types))
    for path, event in layout.events.items():
        check_columns(path, types[path], _expected(event, condition.columns), _AS_PUBLISHED)
    read = [name for name in _COLUMNS if name in condition.columns.union(_ALWAYS, ("event_type",))]
    events = " UNION ALL ".join(_events(path, event, types[path], read) for path, event in layout.events.items())
    parted = f"(SELECT *, {_part(keep_split)} AS part FROM ({events}) AS events)"
    return Queries(condition, _states(parted), _rows(parted, condition, read), once=True, trained_users=keep_split)


def _expected(event: Optional[str], names: Collection[str]) -> dict[str, frozenset[str]]:
    """The types of those columns that a file of an event has; of all events where it is None."""
    absent = {"event_type"} if event else set()
    if event not in (None, "listen"):
        absent |= set(_OF_LISTENS)
    wanted = {*_ALWAYS, *names} | (set() if event else {"event_type"})
    return {name: kinds for name, kinds in _COLUMNS.items() if name in wanted - absent}


def _readable(types: Mapping[Path, Mapping[str, str]]) -> dict[str, str]:
    """Columns that a condition may name, with the types in which it calculates."""
    found = {name: kind for each in types.values() for name, kind in each.items() if kind in _COLUMNS.get(name, ())}
    return {name: _calculated(kind) for name, kind in {**found, "event_type": "VARCHAR"}.items()}


def _calculated(kind: str) -> str:
    return "BIGINT" if kind in LOGICAL else wide(kind)  # is_organic = 1, whichever it is


def _events(path: Path, event: Optional[str], types: Mapping[str, str], columns: list[str]) -> str:
    """The rows of a file; what it has no column for has no value."""
    own = _expected(event, frozenset(columns))
    named = [f'"{name}"::{_calculated(types[name])}' if name in own else "NULL" for name in columns]
    if event:
        named[columns.index("event_type")] = text(event)
    selected = ", ".join(f'{value} AS "{name}"' for name, value in zip(columns, named))
    file = f"read_parquet({text(str(path))}, file_row_number = true)"
    return f"SELECT {selected}, {text(path.name)} AS file, file_row_number AS row FROM {file}"


def _part(keep_split: bool) -> str:
    """The part that a time is in; none within a gap."""
    if not keep_split:
        return f"'{SPLITS[0]}'"
    within = {
        part: f"timestamp >= {first}" + (f" AND timestamp < {end}" if end else "")
        for part, (first, end) in BOUNDS.items()
    }
    return f"CASE {' '.join(f'WHEN {when} THEN {text(part)}' for part, when in within.items())} END"


def _states(parted: str) -> list[str]:
    """Tables of when each like or dislike was last taken back, and of each pair's last dislike that stands."""
    what = " ".join(f"WHEN {text(event)} THEN {text(done)}" for event, done in _TAKES_BACK.items())
    taking = ", ".join(map(text, _TAKES_BACK))
    return [
        f"CREATE TABLE taken_back AS SELECT {_PAIR}, CASE event_type {what} END AS event_type, max(timestamp) AS back "
        f"FROM {parted} AS rows WHERE event_type IN ({taking}) AND part IS NOT NULL GROUP BY ALL",
        f"CREATE TABLE disliked AS SELECT {_PAIR}, max(timestamp) AS since FROM {parted} AS rows "
        f"LEFT JOIN taken_back USING ({_PAIR}, event_type) "
        f"WHERE event_type = 'dislike' AND part IS NOT NULL AND (back IS NULL OR timestamp > back) GROUP BY ALL",
    ]


def _rows(parted: str, condition: Condition, columns: list[str]) -> str:
    taking = ", ".join(map(text, _TAKES_BACK))
    kind = (
        f"CASE {_ends(columns)} WHEN part IS NULL OR event_type IN ({taking}) OR timestamp <= back THEN 0 "
        f"WHEN event_type = 'dislike' THEN {DISLIKED} WHEN timestamp <= since THEN 0 "
        f"WHEN coalesce({condition.sql}, false) THEN {POSITIVE} ELSE 0 END"
    )
    return (
        f"SELECT part, timestamp AS ordinal, uid AS {USER}, item_id AS {ITEM}, {kind} AS kind FROM {parted} AS events "
        f"LEFT JOIN taken_back USING ({_PAIR}, event_type) LEFT JOIN disliked USING ({_PAIR})"
    )


def _ends(columns: list[str]) -> str:
    """Cases that end a query, saying which value is none and where it stands."""
    expected = dict.fromkeys(("uid", "item_id"), f"a number from 0 to {LARGEST_ID}")
    expected |= {"timestamp": "seconds from 0", "event_type": f"one of {', '.join(EVENTS.values())}"}
    bad = {name: f"{name} IS NULL OR {name} < 0 OR {name} > {LARGEST_ID}" for name in ("uid", "item_id")}
    bad["timestamp"] = "timestamp IS NULL OR timestamp < 0"
    bad["event_type"] = f"event_type IS NULL OR event_type NOT IN ({', '.join(map(text, EVENTS.values()))})"
    for name in _OF_LISTENS:
        if name in columns:
            bad[name], expected[name] = f"{name} < 0", "a number from 0, or nothing"
    return " ".join(
        f"WHEN {bad[name]} THEN error('{REFUSED}{name} is ' || coalesce({name}::VARCHAR, 'empty') || ' in row ' || "
        f"(row + 1) || ' of ' || file || {text(f', expected {expected[name]}; {_AS_PUBLISHED}')})"
        for name in bad
    )
