"""Ids beside an array: ``video.npy`` has its items' tokens in ``video.ids.txt``, line r for row r.

One token a line, in UTF-8, without the blanks around it; a first line that names the column, such as ``item_id``, is
passed over, and one that names a column of users is refused. In ``.ids.csv`` quotes around a token fall. Elsewhere such
files are called ``video_ids.txt``, which is read too.
"""

import csv
import io
from pathlib import Path
from typing import Optional

from recbole_sheaf.errors import FeatureError, shown
from recbole_sheaf.files.names import ITEM_NAMES, USER_NAMES
from recbole_sheaf.files.regular_files import read_regular
from recbole_sheaf.files.tokens import fault_of

ENDINGS = (".ids.txt", ".ids.csv", "_ids.txt", "_ids.csv")  # after a modality's name


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
        FeatureError: if the file is absent, no text in UTF-8, or a line is empty, no id or has several columns.

    Memory O(bytes).
    """
    try:
        text = read_regular(path, FeatureError).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise FeatureError(f"{path.name} is no text in UTF-8 ({error}); write one item id a line") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    lines = [line.strip() for line in (_unquoted(path.name, lines) if path.suffix == ".csv" else lines)]
    name = lines[0].removesuffix(":token").lower() if lines else ""
    if name in USER_NAMES:
        raise FeatureError(f"{path.name} names users in its first line, {shown(lines[0])}; expected ids of items")
    first = int(name in ITEM_NAMES)
    for number, token in enumerate(lines[first:], start=first + 1):
        if fault := fault_of(token):
            raise FeatureError(f"the item id in line {number} of {path.name} {fault}; expected one for each row")
    return lines[first:]


def write_ids(path: Path, tokens: list[str]) -> None:
    """Write tokens as :func:`read_ids` takes them back.

    Raises:
        FeatureError: if a token would not come back, such as one with a line end in it.
    """
    if broken := [token for token in tokens if token != token.strip() or fault_of(token)]:
        raise FeatureError(f"the item id {shown(broken[0])} does not fit into one line; write an .npz instead")
    named = tokens[:1] and tokens[0].lower() in (*ITEM_NAMES, *USER_NAMES)  # it would be taken for a name of the column
    path.write_text("".join(f"{token}\n" for token in (["item_id"] if named else []) + tokens), encoding="utf-8")


def _unquoted(source: str, lines: list[str]) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), strict=True))
    except csv.Error as error:
        raise FeatureError(f"{source} is no CSV ({error}); write one item id a line") from error
    if wide := [row for row in rows if len(row) > 1]:
        raise FeatureError(f"{source} has a line of {len(wide[0])} columns, {shown(wide[0])}; expected ids alone")
    return [row[0] if row else "" for row in rows]
