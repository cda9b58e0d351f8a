"""The pieces of a raw dataset from their files: interactions, texts of items, and folders of MMRec."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pandas as pd

from recbole_sheaf.data.conversion import Interactions, RawDataset
from recbole_sheaf.data.mmrec_folder import LABEL, SPLITS, is_mmrec_folder, read_mmrec_folder
from recbole_sheaf.data.raw_interactions import (
    ELLIOT,
    GUESSES,
    ITEM,
    USER,
    fields_of,
    has_times_in_numbers,
    interactions_of,
    said_of,
)
from recbole_sheaf.errors import DataError, counted, shown
from recbole_sheaf.files.atomic import column_names
from recbole_sheaf.files.raw_tables import RawTable, pieces_of, place_of, read_raw

ROWS = 1 << 17  # of several tables, held at once
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


def read_interactions(path: Path, columns: Mapping[str, str], elliot: bool = False) -> RawDataset:
    """Interactions under RecBole's names; ``elliot`` says that there is no header and the columns are in its order.

    Raises:
        DataError: if the file is no such table.
    """
    table = read_raw(path, header=not elliot)
    if elliot:
        table = _under_elliots_names(table)
    fields = fields_of(table, columns)
    return RawDataset(Interactions.of(interactions_of(table, fields)), said=said_of(table, fields, columns))


def read_several(paths: Sequence[Path], columns: Mapping[str, str]) -> RawDataset:
    """Interactions of several tables of the same columns, one below the other, a piece of one in memory at a time.

    Args:
        paths: of the tables, in the order of their rows.
        columns: as for :func:`.raw_interactions.fields_of`.

    Raises:
        DataError: if a file is no such table, they have different columns, or times as numbers and as dates.

    Memory O(users + items) beside a piece; reads the files once here, and once more where they are written.
    """
    users: dict[str, None] = {}
    items: dict[str, None] = {}
    count, said, first = 0, [], None
    for table in _pieces(paths):
        fields = fields_of(table, columns)
        numbers = has_times_in_numbers(table, fields)
        if first is None:
            first, said = (table, numbers), said_of(table, fields, columns)
        if set(table.names) != set(first[0].names):
            raise DataError(
                f"{table.name} has the columns {', '.join(table.names[:20])} and {first[0].name} has "
                f"{', '.join(first[0].names[:20])}; expected the same in every file"
            )
        if numbers is not first[1]:
            words = [f"{'numbers' if each else 'dates'} in {where.name}" for where, each in (first, (table, numbers))]
            raise DataError(f"times are {words[0]} and {words[1]}; write them in one way")
        piece = interactions_of(table, fields)
        users.update(dict.fromkeys(piece[USER].unique().tolist()))
        items.update(dict.fromkeys(piece[ITEM].unique().tolist()))
        count += len(piece)

    def pieces() -> Iterator[pd.DataFrame]:
        for table in _pieces(paths):
            yield interactions_of(table, fields_of(table, columns))

    names = ", ".join(path.name for path in paths[:10])
    said = [f"{counted(len(paths), 'file')}, in this order: {names}{', ...' if len(paths) > 10 else ''}", *said]
    return RawDataset(Interactions(pieces, list(users), list(items), count), said=said)


def _pieces(paths: Sequence[Path]) -> Iterator[RawTable]:
    for path in paths:
        yield from pieces_of(path, ROWS)


def item_texts(
    path: Path, id_column: Optional[str], wanted: Sequence[str], other_column: Optional[str] = None
) -> tuple[pd.DataFrame, list[str]]:
    """Columns of text by item token, with blanks for tabs and line ends, and what became of each column.

    Args:
        path: of a table of items.
        id_column: of its ids; by default the column that has a usual name.
        wanted: its columns of text.
        other_column: of items in another table, whose name this one may have.

    Raises:
        DataError: if a column is not there or has a name of RecBole's own, or an item has two rows.
    """
    table = read_raw(path)
    name = _column_of_items(table, id_column, other_column)
    ids = table.ids(name)
    if ids.duplicated().any():
        row = int(ids.duplicated().argmax())
        raise DataError(
            f"{path.name} has {counted(int(ids.duplicated().sum()), 'row')} of items that it has already (first: "
            f"{shown(ids.iloc[row])} in {place_of(ids, row)}); keep one row for each item"
        )
    columns = {text: table.texts[table.column(text)] for text in wanted}
    for text in wanted:
        if text in GUESSES or set(text) & set(":\t\n") or text != text.strip():
            raise DataError(f"text={text} cannot name a column of {path.name} in a dataset; rename that column")
    words = {
        text: column.map({each: _in_one_line(each) for each in column.unique()}) for text, column in columns.items()
    }
    became = {name: ITEM, **{str(column.name): "text" for column in columns.values()}}
    out = pd.DataFrame(words, index=None if words else range(len(ids))).set_axis(ids.tolist())
    return out, table.said(became)


def _in_one_line(text: str) -> str:
    return " ".join(_CONTROLS.sub(" ", text).split())


def _column_of_items(table: RawTable, given: Optional[str], other: Optional[str]) -> str:
    if given is not None:
        return table.column(given)
    if other in table.names:
        return table.column(other)
    for usual in (GUESSES[ITEM], ("id",)):
        found = [name for name in table.names if name.partition(":")[0].lower() in usual]
        if len(found) == 1:
            return table.column(found[0])
        if found:
            break
    several = f"several columns that may be its items, {', '.join(map(shown, found))}"
    none = f"no column of items under a usual name; its columns are {', '.join(table.names[:20])}"
    raise DataError(f"{table.name} has {several if found else none}; name it with the option for the column of ids")


def _under_elliots_names(table: RawTable) -> RawTable:
    width = len(table.texts.columns)
    if not 2 <= width <= len(ELLIOT):
        raise DataError(f"{table.name} has {width} columns; expected user, item, rating and time")
    usual = {name for names in GUESSES.values() for name in names}
    if all(cell.strip().partition(":")[0].lower() in usual for cell in table.texts.iloc[0]):
        raise DataError(f"{table.name} names its columns in {place_of(table.texts, 0)}; leave layout=elliot out")
    return replace(table, texts=table.texts.set_axis(ELLIOT[:width], axis=1))


def read_mmrec(folder: Path, columns: Mapping[str, str], keep_split: bool = True) -> RawDataset:
    """An MMRec folder with its split, every item up to the last, and a modality for each array.

    Args:
        folder: of MMRec's layout.
        columns: as for :func:`.raw_interactions.fields_of`.
        keep_split: whether its split is one of the dataset's.

    Raises:
        DataError: if the folder is none, or its table or split is not as ``run`` on that folder wants it.
        FeatureError: if its arrays are not.
    """
    name = folder.resolve().name
    if not is_mmrec_folder(folder, name):
        raise DataError(
            f"{folder} is no MMRec folder: it has no {name}.inter with userID, itemID and x_label; name the table of "
            "interactions itself"
        )
    read = read_mmrec_folder(folder, name)
    table = RawTable(f"{name}.inter", read.interactions.astype(str))
    fields = fields_of(table, columns)
    header = RawTable(table.name, pd.DataFrame(columns=column_names(folder / table.name)))
    return RawDataset(
        Interactions.of(interactions_of(table, fields)),
        features=read.features,
        listed=[str(item) for item in range(read.n_items)],
        parts=read.interactions[LABEL].map(dict(enumerate(SPLITS))) if keep_split else None,
        said=header.said({**fields, **({LABEL: "the split"} if keep_split else {})}),
    )
