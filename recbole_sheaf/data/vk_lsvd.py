"""VK-LSVD into a dataset folder, a piece at a time: weeks of Parquet files, which are 40.8 billion interactions.

DuckDB reads the files, within a limit of memory, and puts what is beyond that beside the dataset while it works. It may
read these files and write there, and do neither elsewhere.

``timestamp`` is the number of an interaction among all of the chosen weeks, from 0: an order, and no time. What the
condition makes positive is the dataset's. An interaction with a dislike is never positive: those of the dataset's users
and items go to ``<name>.dislike.inter``, each with its part.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import duckdb

from recbole_sheaf.data.conversion import FEATURES, check_place, dataset_folder
from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.data.vk_lsvd_embeddings import MODALITY, find_embeddings
from recbole_sheaf.data.vk_lsvd_layout import EMBEDDINGS, ITEM, USER, chosen_weeks, find_layout
from recbole_sheaf.data.vk_lsvd_queries import DISLIKED, METADATA, POSITIVE, REFUSED, Database, Queries, queries, text
from recbole_sheaf.errors import ConfigError, DataError, first_line
from recbole_sheaf.files.whole_files import BUILDING

RULE = "like or share or bookmark or click_on_author or timespent >= 0.7 * duration"
MEMORY = "2GiB"
_MEMORY = re.compile(r"[1-9]\d{0,8}(MiB|GiB|MB|GB)")
_WORK = "work"  # a folder in the dataset's while it is made
_DATABASE: Mapping[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "preserve_insertion_order": False,  # which takes memory; every order here is asked for
    "threads": min(4, os.cpu_count() or 1),  # each takes memory too
}
_FIELDS = f'{USER} AS "{USER}:token", {ITEM} AS "{ITEM}:token", ordinal AS "timestamp:float"'


@dataclass(frozen=True)
class Wanted:
    """What is taken of VK-LSVD.

    Attributes:
        weeks: of training, such as ``20:24``; all by default.
        users: how many are drawn of those with a positive interaction; all by default.
        items: how many are drawn of those with a positive interaction of these users; all by default.
        seed: of both draws.
        positive: the condition in SQL.
        dimensions: of the items' vectors, the first ones; all by default.
        keep_split: whether the published parts are kept, or one table is made.
        memory: that DuckDB may take.
    """

    weeks: Optional[str] = None
    users: Optional[int] = None
    items: Optional[int] = None
    seed: int = 2020
    positive: str = RULE
    dimensions: Optional[int] = None
    keep_split: bool = True
    memory: str = MEMORY

    def __post_init__(self) -> None:
        for name in ("users", "items", "dimensions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} is out of range, expected 1 or more")
        if not _MEMORY.fullmatch(self.memory):
            raise ConfigError(f"memory={self.memory} is no amount of memory; write it such as memory={MEMORY}")


def write_vk_lsvd(source: Path, target: Path, wanted: Wanted, overwrite: bool = False) -> list[str]:
    """Write the folder; gives lines on what is in it.

    Args:
        source: the folder that holds ``interactions/``, or one of ``subsamples/``.
        target: the folder to write.
        wanted: what is taken.
        overwrite: whether an older dataset there is replaced.

    Raises:
        ConfigError: if an option is out of range, or the condition is none.
        DataError: if a week or a column is missing, a column of another type, an id or a time no such number, a part of
            the split empty, or the limit of memory too low.
        FeatureError: if the file of vectors is no such archive, or has none of the dataset's items.
        WriteError: if it cannot be written; an older folder stays.

    Memory: what ``wanted`` allows DuckDB, 20 bytes for each item and some 200 MiB. Reads the files once, and once more
    where users are drawn, and again where items are.
    """
    check_place(target, overwrite)
    layout = find_layout(source)
    weeks = chosen_weeks(layout, source, wanted.weeks, wanted.keep_split)
    tables = {key: path for key, name in METADATA.items() if (path := layout.metadata_file(name)) is not None}
    with _refusals(wanted), duckdb.connect(config={**_DATABASE}) as db:
        asked = queries(db, weeks, tables, wanted.positive)
    embeddings = find_embeddings(layout.metadata_file(EMBEDDINGS), wanted.dimensions)
    numbers = ", ".join(str(week.number) for week in weeks)
    said = [
        f"weeks {numbers}; timestamp is the number of an interaction among theirs",
        f"positive: {asked.condition.sql}, and no dislike",
    ]
    with dataset_folder(target, [MODALITY] if embeddings else [], said) as building:
        files = [*(week.path for week in weeks), *tables.values()]
        with _refusals(wanted), _database(building, files, wanted.memory) as db:
            _make_rows(db, asked, wanted, said)
            _write_tables(db, building / target.name, wanted.keep_split, said)
            items = db.execute(f"SELECT {ITEM} FROM items ORDER BY {ITEM}").fetchnumpy()[ITEM]
        shutil.rmtree(building / _WORK)
        if embeddings:
            said += embeddings.write(building / FEATURES, items)
        else:
            said.append(f"no vectors of items: metadata/{EMBEDDINGS} does not lie near the interactions")
    return said


@contextlib.contextmanager
def _database(folder: Path, files: Sequence[Path], memory: str) -> Iterator[Database]:
    """A database in a folder, that may read these files and write there."""
    work = folder / _WORK
    work.mkdir()
    limits = {"memory_limit": memory, "temp_directory": str(work / "spilled")}
    with duckdb.connect(str(work / "rows.duckdb"), config={**_DATABASE, **limits}) as db:
        paths = ", ".join(text(str(file)) for file in files)
        db.execute(f"SET allowed_paths = [{paths}]; SET allowed_directories = [{text(f'{folder}/')}]")
        db.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield db


@contextlib.contextmanager
def _refusals(wanted: Wanted) -> Iterator[None]:
    """What DuckDB refuses, in one sentence; a full disk is an ``OSError``, as the writer of folders has it."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            f"memory={wanted.memory} is too little for this ({first_line(error)[:100]}); give more, or take fewer "
            "weeks, users or items"
        ) from error
    except duckdb.Error as error:
        reason = first_line(error)
        if REFUSED in reason:
            raise DataError(reason.partition(REFUSED)[2]) from error
        if BUILDING in reason:  # it names a file of the new folder: the disk is full
            raise OSError(reason) from error
        raise DataError(
            f"these files cannot be converted by positive={wanted.positive} ({reason[:200]}); check the condition, "
            "and that each file was copied whole"
        ) from error


def _make_rows(db: Database, asked: Queries, wanted: Wanted, said: list[str]) -> None:
    """Make the tables ``rows``, of what is positive or disliked, and ``users`` and ``items``, of what is positive."""
    for key, statement in asked.metadata.items():
        db.execute(statement)
        if twice := db.execute(f"SELECT {key} FROM {key}_metadata WHERE times > 1 ORDER BY {key} LIMIT 1").fetchone():
            raise DataError(f"{METADATA[key]} has {key} {twice[0]} more than once; keep one row for each")
    drawn = ""
    for name, key, number in (("users", USER, wanted.users), ("items", ITEM, wanted.items)):
        if number is not None:
            there = f"SELECT DISTINCT {key} FROM ({asked.rows}) AS rows{drawn} WHERE kind = {POSITIVE}"
            draw = f"ORDER BY md5('{wanted.seed}:' || {key}), {key} LIMIT {number}"
            db.execute(f"CREATE TABLE drawn_{name} AS SELECT {key} FROM ({there}) {draw}")
            drawn += f" SEMI JOIN drawn_{name} USING ({key})"
            if (every := _number(db, f"FROM drawn_{name}")) < number:
                said.append(f"{name}={number} are more than the {every:,} that there are, which are all taken")
    db.execute(
        f"CREATE TABLE rows AS SELECT part, ordinal, {USER}::UINTEGER AS {USER}, {ITEM}::UINTEGER AS {ITEM}, kind "
        f"FROM ({asked.rows}) AS rows{drawn} WHERE kind > 0"
    )
    for name, key in (("users", USER), ("items", ITEM)):
        db.execute(f"CREATE TABLE {name} AS SELECT DISTINCT {key} FROM rows WHERE kind = {POSITIVE}")
    if not _number(db, "FROM items"):
        raise DataError(f"positive={wanted.positive} makes no interaction of these weeks positive; give another rule")


def _write_tables(db: Database, path: Path, keep_split: bool, said: list[str]) -> None:
    """Write interactions, dislikes and items beside ``path``, which is without an ending."""
    positives = f"FROM rows WHERE kind = {POSITIVE}"
    for part in SPLITS if keep_split else ():
        if not _number(db, f"{positives} AND part = '{part}'"):
            raise DataError(
                f"the {part} part has no positive interaction; take more weeks or users, or keep_split=False"
            )
    for ending, within in [(f".{part}", f" AND part = '{part}'") for part in SPLITS] if keep_split else [("", "")]:
        _copy(db, f"SELECT {_FIELDS} {positives}{within} ORDER BY ordinal", path, f"{ending}.inter")
    _copy(db, f'SELECT {ITEM} AS "{ITEM}:token" FROM items ORDER BY {ITEM}', path, ".item")
    sizes = [f"{_number(db, f'FROM {name}'):,}" for name in ("users", "items")]
    said.append(f"{_number(db, positives):,} interactions of {sizes[0]} users with {sizes[1]} items")
    if keep_split:
        _tell_of_parts(db, positives, said)
    known = f"FROM rows SEMI JOIN users USING ({USER}) SEMI JOIN items USING ({ITEM}) WHERE kind = {DISLIKED}"
    every, dislikes = _number(db, f"FROM rows WHERE kind = {DISLIKED}"), _number(db, known)
    if dislikes:  # RecBole refuses a table without rows
        of_part = ', part AS "part:token"' if keep_split else ""
        _copy(db, f"SELECT {_FIELDS}{of_part} {known} ORDER BY ordinal", path, ".dislike.inter")
    others = f"; {every - dislikes:,} of other users or items are left out" if every > dislikes else ""
    said.append(f"{dislikes:,} dislikes, none of them positive, in {path.name}.dislike.inter{others}")


def _tell_of_parts(db: Database, positives: str, said: list[str]) -> None:
    counts = {part: _number(db, f"{positives} AND part = '{part}'") for part in SPLITS}
    said.append("the published split is kept: " + ", ".join(f"{count:,} in {part}" for part, count in counts.items()))
    for name, key in (("users", USER), ("items", ITEM)):
        trained = f"SELECT {key} {positives} AND part = '{SPLITS[0]}'"
        later = f"FROM rows WHERE kind = {POSITIVE} AND part <> '{SPLITS[0]}' AND {key} NOT IN ({trained})"
        if count := _number(db, later):
            said.append(f"{count:,} interactions of validation and test are of {name} without one in training")


def _copy(db: Database, query: str, path: Path, ending: str) -> None:
    file = text(f"{path}{ending}")
    db.execute(f"COPY ({query}) TO {file} (FORMAT csv, DELIMITER '\t', HEADER true)")


def _number(db: Database, rows: str) -> int:
    return int(db.execute(f"SELECT count(*) {rows}").fetchall()[0][0])
