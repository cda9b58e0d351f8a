"""Ids beside an array: ``video.npy`` has its items' tokens in ``video.ids.txt``, line r for row r.

One token a line, in UTF-8; a first line that names the column, ``item_id``, is passed over. In ``.ids.csv`` quotes
around a token fall. Elsewhere such files are called ``video_ids.txt``, which is read too.
"""

import csv
import io
from pathlib import Path
from typing import Optional

from recbole_sheaf.errors import FeatureError, shown
from recbole_sheaf.regular_files import read_regular

ENDINGS = (".ids.txt", ".ids.csv", "_ids.txt", "_ids.csv")  # after a modality's name
HEADERS = ("item_id", "item_id:token")


def ids_beside(path: Path) -> Optional[Path]:
    """The file of ids that lies beside an array, if one does.

    Raises:
        FeatureError: if several do.
    """
    found = [beside for ending in ENDINGS if (beside := path.with_name(f"{path.stem}{ending}")).exists()]
    if len(found) > 1:
        names = " and ".join(each.name for each in found)
        raise FeatureError(f"{path.name} has the ids of its rows in {names}; keep one of them")
    return found[0] if found else None


def read_ids(path: Path) -> list[str]:
    """One token for each line.

    Raises:
        FeatureError: if the file is absent, no text in UTF-8, or a line is empty or has several columns.

    Memory O(bytes).
    """
    try:
        lines = read_regular(path, FeatureError).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FeatureError(f"{path.name} is no text in UTF-8 ({error}); write one item id a line") from error
    lines = _unquoted(path.name, lines) if path.suffix == ".csv" else lines
    lines = lines[1:] if lines[:1] and lines[0] in HEADERS else lines
    if "" in lines:
        raise FeatureError(f"{path.name} has an empty line where row {lines.index('')} should have its item id")
    return lines


def write_ids(path: Path, tokens: list[str]) -> None:
    """Write tokens as :func:`read_ids` takes them back.

    Raises:
        FeatureError: if a token has a line end in it.
    """
    if broken := [token for token in tokens if len(token.splitlines()) != 1]:
        raise FeatureError(f"the item id {shown(broken[0])} does not fit into one line; write an .npz instead")
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")


def _unquoted(source: str, lines: list[str]) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), strict=True))
    except csv.Error as error:
        raise FeatureError(f"{source} is no CSV ({error}); write one item id a line") from error
    if wide := [row for row in rows if len(row) > 1]:
        raise FeatureError(f"{source} has a line of {len(wide[0])} columns, {shown(wide[0])}; expected ids alone")
    return [row[0] if row else "" for row in rows]
