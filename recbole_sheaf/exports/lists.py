"""Lists of items to people and programs: CSV, JSON lines, Parquet or the screen, written while they are made."""

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from recbole_sheaf.embeddings.ranking import Lists
from recbole_sheaf.files.parquet_file import import_pyarrow
from recbole_sheaf.files.plain_text import in_csv, json_line
from recbole_sheaf.files.whole_files import whole_file

ENDINGS = (".csv", ".jsonl", ".parquet")


class Columns(NamedTuple):
    """Names of what a list holds: whose it is, its items, their scores; the plurals where a list is one line."""

    owner: str
    item: str
    score: str
    items: str
    scores: str


OF_USERS = Columns("user", "item", "score", "items", "scores")
OF_AUDIENCES = Columns("item", "user", "score", "users", "scores")
OF_ITEMS = Columns("item", "similar", "similarity", "similar", "similarities")


def write_lists(
    lists: Iterable[Lists], owners: np.ndarray, items: np.ndarray, columns: Columns, path: Optional[Path]
) -> int:
    """Write lists by their tokens; gives the number of owners.

    Args:
        owners, items: tokens by row.
        path: the ending chooses the format, which was checked before; None is CSV on the standard output.

    A place of score -inf holds no item and is left out. CSV is for eyes and spreadsheets: control characters in a token
    are blanks there and an apostrophe stands before a formula; JSON lines and Parquet hold tokens as they are.

    Raises:
        WriteError: if the file cannot be written; an older one stays.
    """
    named = _named(lists, owners, items)
    if path is None:
        return _as_csv(named, columns, sys.stdout)
    with whole_file(path) as temporary:
        if path.suffix == ".parquet":
            return _as_parquet(named, columns, temporary)
        with _text(temporary) as file:
            return (_as_csv if path.suffix == ".csv" else _as_jsonl)(named, columns, file)


Named = Iterator[tuple[str, list[str], list[float]]]


def _named(lists: Iterable[Lists], owners: np.ndarray, items: np.ndarray) -> Named:
    for some in lists:
        for row, places, scores in some:
            yield str(owners[row]), items[places].tolist(), scores.tolist()


@contextmanager
def _text(path: Path) -> Iterator[Any]:
    with open(path, "x", encoding="utf-8", newline="") as file:
        yield file


def _as_csv(named: Named, columns: Columns, file: Any) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([columns.owner, "rank", columns.item, columns.score])
    count = 0
    for owner, items, scores in named:
        ranked, owner = enumerate(zip(items, scores), start=1), in_csv(owner)
        writer.writerows((owner, rank, in_csv(item), f"{score:.7g}") for rank, (item, score) in ranked)
        count += 1
    return count


def _as_jsonl(named: Named, columns: Columns, file: Any) -> int:
    count = 0
    for owner, items, scores in named:
        line: dict[str, Any] = {columns.owner: owner, columns.items: items, columns.scores: scores}
        file.write(json_line(line) + "\n")
        count += 1
    return count


def _as_parquet(named: Named, columns: Columns, path: Path, rows: int = 100_000) -> int:
    pyarrow = import_pyarrow("name an .npz")
    names = (columns.owner, "rank", columns.item, columns.score)
    types = (pyarrow.string(), pyarrow.int32(), pyarrow.string(), pyarrow.float32())
    schema = pyarrow.schema(list(zip(names, types)))
    count, held = 0, []
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for owner, items, scores in named:
            held += [(owner, rank, item, score) for rank, (item, score) in enumerate(zip(items, scores), start=1)]
            count += 1
            if len(held) >= rows:
                writer.write_table(_table(pyarrow, held, schema))
                held = []
        writer.write_table(_table(pyarrow, held, schema))
    return count


def _table(pyarrow: Any, rows: list[tuple], schema: Any) -> Any:
    columns = list(zip(*rows)) if rows else [()] * len(schema)
    return pyarrow.table([pyarrow.array(column, field.type) for column, field in zip(columns, schema)], schema=schema)
