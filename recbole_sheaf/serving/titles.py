"""Titles of items, as people know them: from a table of any maker, or from the dataset's own."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import DataError, nearest
from recbole_sheaf.features.atomic import column_names, read_columns
from recbole_sheaf.regular_files import read_regular

TABS = (".item", ".tsv", ".txt")  # read literally, quotes and all
ENDINGS = (*TABS, ".csv")
NAMED = ("title", "name")


def read_titles(given: str, item_file: Optional[Path], embeddings: Embeddings) -> dict[str, str]:
    """Titles of the model's items, by token; items may lack one.

    Args:
        given: a file, whose first column holds items, and its title the first column with *title* or *name* in its
            name, or else the second; or a column of the dataset's ``.item``.
        item_file: that ``.item``; None where an export is served, which does not say where its data lay.

    Raises:
        DataError: if the file is no such table, has none of the items, or there is no such column.
    """
    titles = _read(given, item_file)
    known = {item: title for item, title in titles.items() if title and embeddings.knows_item(item)}
    if not known:
        raise DataError(
            f"--titles={given} has {len(titles):,} lines and none for an item of the model, such as "
            f"{embeddings.items[0]}; its first column holds items by their tokens"
        )
    return known


def _read(given: str, item_file: Optional[Path]) -> dict[str, str]:
    path = Path(given)
    if path.suffix in TABS:
        names = column_names(path)
        return _of_columns(path, names[0], _title_column(path, names))
    if path.suffix == ".csv":
        return _of_csv(path)
    if item_file is None:
        raise DataError(
            f"--titles={given} is no file ({', '.join(ENDINGS)}), and an export knows no columns of its dataset; "
            "give the path of a table of item_id and title"
        )
    names = column_names(item_file) if item_file.is_file() else []
    if given not in names:
        raise DataError(
            f"--titles={given} is neither a file ({', '.join(ENDINGS)}) nor a column of {item_file}"
            f"{nearest(given, names)}; its columns are {', '.join(names) or 'none, for there is no such file'}"
        )
    return _of_columns(item_file, names[0], given)


def _of_columns(path: Path, item: str, title: str) -> dict[str, str]:
    table = read_columns(path, [item, title])
    return dict(zip(table[item], table[title]))


def _of_csv(path: Path) -> dict[str, str]:
    """With commas between columns, and quotes around what has commas itself."""
    try:
        text = read_regular(path, DataError).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no table of text ({error}); save it as CSV in UTF-8") from error
    if not rows:
        raise DataError(f"{path} is empty; expected a header, such as item_id,title, and a line for each item")
    place = rows[0].index(_title_column(path, rows[0]))
    return {row[0]: row[place] for row in rows[1:] if len(row) > place}


def _title_column(path: Path, names: Sequence[str]) -> str:
    """By its name, else the second."""
    if len(names) < 2:
        raise DataError(f"{path} has one column, {names[0]}; expected two or more, such as item_id and title")
    named = (name for word in NAMED for name in names[1:] if word in name.lower())
    return next(named, names[1])
