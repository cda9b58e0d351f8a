"""Titles of items, as people know them: from a table of any maker, or from the dataset's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pandas as pd

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import DataError, nearest, shown
from recbole_sheaf.files.atomic import column_names, read_columns
from recbole_sheaf.files.names import ITEM_NAMES, USER_NAMES
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.files.text_tables import read_text_table

ENDINGS = (".item", ".tsv", ".txt", ".csv")
NAMED = ("title", "name")


def read_titles(given: str, item_file: Optional[Path], embeddings: Embeddings) -> dict[str, str]:
    """Titles of the model's items on one line each, by token; items may lack one.

    Args:
        given: a file, whose items are the column with a usual name, or else the first, and whose titles the first other
            column with *title* or *name* in its name, or else the first other one; or a column of the dataset's
            ``.item``.
        item_file: that ``.item``; None where an export is served, which does not say where its data lay.

    Raises:
        DataError: if the file is no such table, has none of the items or two titles of one, or there is no such column.
    """
    titles = _read(given, item_file)
    known = {item: one_line(title) for item, title in titles.items() if title and embeddings.knows_item(item)}
    if not known:
        raise DataError(
            f"titles={given} has {len(titles):,} lines and none for an item of the model, such as "
            f"{embeddings.items[0]}; its items have to be there by their tokens"
        )
    return known


def _read(given: str, item_file: Optional[Path]) -> dict[str, str]:
    path = Path(given)
    if path.suffix in ENDINGS:
        return _of_table(path)
    if item_file is None:
        raise DataError(
            f"titles={given} is no file ({', '.join(ENDINGS)}), and an export knows no columns of its dataset; "
            "give the path of a table of item_id and title"
        )
    names = column_names(item_file) if item_file.is_file() else []
    if given not in names:
        raise DataError(
            f"titles={given} is neither a file ({', '.join(ENDINGS)}) nor a column of {item_file}"
            f"{nearest(given, names)}; its columns are {', '.join(names) or 'none, for there is no such file'}"
        )
    table = read_columns(item_file, [names[0], given])
    return dict(zip(table[names[0]], table[given]))


def _of_table(path: Path) -> dict[str, str]:
    table = read_text_table(path)
    names = table.columns.tolist()
    if len(names) < 2:
        raise DataError(f"{path} has one column, {names[0]}; expected two or more, such as item_id and title")
    item, title = _item_and_title(path, names)
    rows = pd.DataFrame({"item": table.iloc[:, item].str.strip(), "title": table.iloc[:, title]}).drop_duplicates()
    if (twice := rows["item"].duplicated()).any():
        line, token = rows.index[twice][0], rows["item"][twice].iloc[0]
        raise DataError(f"line {line} of {path} has another title of the item {shown(token)}; keep one line for each")
    return dict(zip(rows["item"], rows["title"]))


def _item_and_title(path: Path, names: Sequence[str]) -> tuple[int, int]:
    """Places of the two columns."""
    plain = [name.partition(":")[0].lower() for name in names]
    items = [place for place, name in enumerate(plain) if name in ITEM_NAMES]
    if len(items) > 1 or (not items and plain[0] in USER_NAMES):
        raise DataError(
            f"{path} has the columns {', '.join(names[:20])}; expected one of items, such as item_id, and title"
        )
    item = items[0] if items else 0
    others = [place for place in range(len(names)) if place != item]
    named = (place for word in NAMED for place in others if word in plain[place])
    return item, next(named, others[0])
