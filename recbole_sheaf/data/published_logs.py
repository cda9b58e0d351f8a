"""A published log of interactions in Parquet files into a dataset folder, a piece at a time.

DuckDB reads the files, within a limit of memory, and puts what is beyond that beside the dataset while it works. It may
read these files and write there, and do neither elsewhere. What a condition makes positive is the dataset's; dislikes
of its users and items go to ``<name>.dislike.inter``, each with its part.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import duckdb
import numpy as np
from jaxtyping import UInt32

from recbole_sheaf.data.conditions import Condition
from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.data.published_columns import REFUSED, Database, text
from recbole_sheaf.data.raw_interactions import ITEM, USER
from recbole_sheaf.errors import ConfigError, DataError, counted, first_line
from recbole_sheaf.files.whole_files import BUILDING

POSITIVE, DISLIKED = 1, 2
MEMORY = "2GiB"
WORK = "work"  # a folder in the dataset's while it is made
_MEMORY = re.compile(r"[1-9]\d{0,8}(MiB|GiB|MB|GB)")
_FIELDS = f'{USER} AS "{USER}:token", {ITEM} AS "{ITEM}:token", ordinal AS "timestamp:float"'
IN_MEMORY: Mapping[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "preserve_insertion_order": False,  # which takes memory; every order here is asked for
    "threads": min(4, os.cpu_count() or 1),  # each takes memory too
}


@dataclass(frozen=True)
class Taken:
    """What is taken of a log.

    Attributes:
        positive: the condition in SQL.
        users: how many are drawn of those with a positive interaction; all by default.
        items: how many are drawn of those with a positive interaction of these users; all by default.
        seed: of both draws.
        keep_split: whether the published parts are kept, or one table is made.
        memory: that DuckDB may take.
    """

    positive: str
    users: Optional[int] = None
    items: Optional[int] = None
    seed: int = 2020
    keep_split: bool = True
    memory: str = MEMORY

    def __post_init__(self) -> None:
        for name in ("users", "items"):
            refuse_below_one(name, getattr(self, name))
        if not _MEMORY.fullmatch(self.memory):
            raise ConfigError(f"memory={self.memory} is no amount of memory; write it such as memory={MEMORY}")


def refuse_below_one(name: str, value: Optional[int]) -> None:
    """Refuse a number of what is taken that takes nothing."""
    if value is not None and value < 1:
        raise ConfigError(f"{name}={value} is out of range, expected 1 or more")


@dataclass(frozen=True)
class Queries:
    """Checked queries.

    Attributes:
        condition: of what is positive.
        before: statements that make the tables which ``rows`` reads.
        rows: part, ordinal, user_id, item_id and kind of every interaction: ``POSITIVE``, ``DISLIKED`` or another.
        once: whether of a pair the first interaction of each kind is taken, not all.
        trained_users: whether interactions of validation and test are left out whose user has none in training.
    """

    condition: Condition
    before: Sequence[str]
    rows: str
    once: bool = False
    trained_users: bool = False


@contextlib.contextmanager
def database(folder: Path, files: Sequence[Path], memory: str) -> Iterator[Database]:
    """A database in a folder, that may read these files and write there."""
    work = folder / WORK
    work.mkdir()
    limits = {"memory_limit": memory, "temp_directory": str(work / "spilled")}
    with duckdb.connect(str(work / "rows.duckdb"), config={**IN_MEMORY, **limits}) as db:
        paths = ", ".join(text(str(file)) for file in files)
        db.execute(f"SET allowed_paths = [{paths}]; SET allowed_directories = [{text(f'{folder}/')}]")
        db.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield db


@contextlib.contextmanager
def refusals(taken: Taken, fewer: str) -> Iterator[None]:
    """What DuckDB refuses, in one sentence; a full disk is an ``OSError``, as the writer of folders has it.

    Args:
        taken: of the log.
        fewer: what would take less memory.
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            f"memory={taken.memory} is too little for this ({first_line(error)[:100]}); give more, or take fewer "
            f"{fewer}"
        ) from error
    except duckdb.Error as error:
        reason = first_line(error)
        if REFUSED in reason:
            raise DataError(reason.partition(REFUSED)[2]) from error
        if BUILDING in reason:  # it names a file of the new folder: the disk is full
            raise OSError(reason) from error
        raise DataError(
            f"these files cannot be converted by positive={taken.positive} ({reason[:200]}); check the condition, "
            "and that each file was copied whole"
        ) from error


def make_rows(db: Database, asked: Queries, taken: Taken, said: list[str]) -> UInt32[np.ndarray, " n_items"]:
    """Make the tables ``rows``, of what is positive or disliked, and ``users`` and ``items``, of what is positive.

    Returns:
        The items, in ascending order.

    Raises:
        DataError: if nothing is positive.
    """
    for statement in asked.before:
        db.execute(statement)
    drawn = ""
    for name, key, number in (("users", USER, taken.users), ("items", ITEM, taken.items)):
        if number is not None:
            # Were it a filter on the part alone, DuckDB would not look at the kinds of the others, and refuse none.
            trained = f"CASE WHEN part = '{SPLITS[0]}' THEN {POSITIVE} END"
            wanted = trained if asked.trained_users and name == "users" else POSITIVE
            there = f"SELECT DISTINCT {key} FROM ({asked.rows}) AS rows{drawn} WHERE kind = {wanted}"
            draw = f"ORDER BY md5('{taken.seed}:' || {key}), {key} LIMIT {number}"
            db.execute(f"CREATE TABLE drawn_{name} AS SELECT {key} FROM ({there}) {draw}")
            drawn += f" SEMI JOIN drawn_{name} USING ({key})"
            if (every := _number(db, f"FROM drawn_{name}")) < number:
                said.append(f"{name}={number} are more than the {every:,} that there are, which are all taken")
    db.execute(f"CREATE TABLE rows AS {_chosen(asked, drawn)}")
    if asked.once:
        _tell_of_repeats(db, said)
    if asked.trained_users:
        _leave_out_untrained(db, said)
    for name, key in (("users", USER), ("items", ITEM)):
        db.execute(f"CREATE TABLE {name} AS SELECT DISTINCT {key} FROM rows WHERE kind = {POSITIVE}")
    if not _number(db, "FROM items"):
        raise DataError(f"positive={taken.positive} makes no interaction of these files positive; give another rule")
    return db.execute(f"SELECT {ITEM} FROM items ORDER BY {ITEM}").fetchnumpy()[ITEM]


def _chosen(asked: Queries, drawn: str) -> str:
    ids = f"{USER}::UINTEGER AS {USER}, {ITEM}::UINTEGER AS {ITEM}, kind"
    rows = f"FROM ({asked.rows}) AS rows{drawn} WHERE kind IN ({POSITIVE}, {DISLIKED})"
    if not asked.once:
        return f"SELECT part, ordinal, {ids} {rows}"
    first = "arg_min(part, ordinal) AS part, min(ordinal) AS ordinal"
    return f"SELECT {first}, {ids}, count(*) AS times {rows} GROUP BY {USER}, {ITEM}, kind"


def _tell_of_repeats(db: Database, said: list[str]) -> None:
    of_kind = f"FROM rows WHERE kind = {POSITIVE}"
    if count := int(db.execute(f"SELECT coalesce(sum(times - 1), 0) {of_kind}").fetchall()[0][0]):
        repeats = counted(count, "positive row is", "positive rows are")
        said.append(f"{repeats} of a user and an item that had one before, and left out")


def _leave_out_untrained(db: Database, said: list[str]) -> None:
    trained = f"SELECT {USER} FROM rows WHERE kind = {POSITIVE} AND part = '{SPLITS[0]}'"
    later = f"FROM rows WHERE kind = {POSITIVE} AND part <> '{SPLITS[0]}' AND {USER} NOT IN ({trained})"
    if count := _number(db, later):
        db.execute(f"DELETE {later}")
        said.append(f"{_later_ones(count)} of users without one in training and left out")


def write_tables(db: Database, path: Path, keep_split: bool, said: list[str]) -> None:
    """Write interactions, dislikes and items beside ``path``, which is without an ending.

    Raises:
        DataError: if a part is empty.
    """
    positives = f"FROM rows WHERE kind = {POSITIVE}"
    for part in SPLITS if keep_split else ():
        if not _number(db, f"{positives} AND part = '{part}'"):
            raise DataError(f"the {part} part has no positive interaction; take more of the log, or keep_split=False")
    order = f"ORDER BY ordinal, {USER}, {ITEM}"
    for ending, within in [(f".{part}", f" AND part = '{part}'") for part in SPLITS] if keep_split else [("", "")]:
        _copy(db, f"SELECT {_FIELDS} {positives}{within} {order}", path, f"{ending}.inter")
    _copy(db, f'SELECT {ITEM} AS "{ITEM}:token" FROM items ORDER BY {ITEM}', path, ".item")
    sizes = [counted(_number(db, f"FROM {name}s"), name) for name in ("user", "item")]
    said.append(f"{counted(_number(db, positives), 'interaction')} of {sizes[0]} with {sizes[1]}")
    if keep_split:
        _tell_of_parts(db, positives, said)
    known = f"FROM rows SEMI JOIN users USING ({USER}) SEMI JOIN items USING ({ITEM}) WHERE kind = {DISLIKED}"
    every, dislikes = _number(db, f"FROM rows WHERE kind = {DISLIKED}"), _number(db, known)
    if dislikes:  # RecBole refuses a table without rows
        of_part = ', part AS "part:token"' if keep_split else ""
        _copy(db, f"SELECT {_FIELDS}{of_part} {known} {order}", path, ".dislike.inter")
    others = f"; {every - dislikes:,} of other users or items are left out" if every > dislikes else ""
    said.append(f"{counted(dislikes, 'dislike')}, none of them positive, in {path.name}.dislike.inter{others}")


def _tell_of_parts(db: Database, positives: str, said: list[str]) -> None:
    counts = {part: _number(db, f"{positives} AND part = '{part}'") for part in SPLITS}
    said.append("the published split is kept: " + ", ".join(f"{count:,} in {part}" for part, count in counts.items()))
    for name, key in (("users", USER), ("items", ITEM)):
        trained = f"SELECT {key} {positives} AND part = '{SPLITS[0]}'"
        later = f"FROM rows WHERE kind = {POSITIVE} AND part <> '{SPLITS[0]}' AND {key} NOT IN ({trained})"
        if count := _number(db, later):
            said.append(f"{_later_ones(count)} of {name} without one in training")


def _later_ones(count: int) -> str:
    return counted(count, "interaction of validation and test is", "interactions of validation and test are")


def _copy(db: Database, query: str, path: Path, ending: str) -> None:
    file = text(f"{path}{ending}")
    db.execute(f"COPY ({query}) TO {file} (FORMAT csv, DELIMITER '\t', HEADER true)")


def _number(db: Database, rows: str) -> int:
    return int(db.execute(f"SELECT count(*) {rows}").fetchall()[0][0])
