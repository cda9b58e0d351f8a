"""The pieces of a raw dataset from their files: interactions, texts of items, and folders of MMRec."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

import pandas as pd

from recbole_sheaf.data.conversion import RawDataset
from recbole_sheaf.data.mmrec_folder import LABEL, SPLITS, is_mmrec_folder, read_mmrec_folder
from recbole_sheaf.data.raw_interactions import ELLIOT, GUESSES, ITEM, column_named, ids_of, interactions_of
from recbole_sheaf.data.raw_tables import read_raw
from recbole_sheaf.errors import DataError, shown


def read_interactions(path: Path, columns: Mapping[str, str], elliot: bool = False) -> pd.DataFrame:
    """Interactions under RecBole's names; ``elliot`` says that there is no header and the columns are in its order.

    Raises:
        DataError: if the file is no such table.
    """
    table = read_raw(path, header=not elliot)
    if elliot:
        if not 2 <= len(table.columns) <= len(ELLIOT):
            raise DataError(f"{path.name} has {len(table.columns)} columns; expected user, item, rating and time")
        table.columns = list(ELLIOT[: len(table.columns)])
    return interactions_of(path.name, table, columns)


def item_texts(path: Path, id_column: Optional[str], wanted: Sequence[str]) -> pd.DataFrame:
    """Columns of text by item token; blanks for tabs and line ends.

    Raises:
        DataError: if a column is not there, or an item has two rows.
    """
    table = read_raw(path)
    usual = [str(name) for name in table.columns if str(name).partition(":")[0].lower() in (*GUESSES[ITEM], "id")]
    name = usual[0] if usual else str(table.columns[0])
    if id_column is not None and (not usual or id_column in table.columns):
        name = column_named(path.name, table, id_column)
    ids = ids_of(path.name, table[name])
    if ids.duplicated().any():
        raise DataError(
            f"{path.name} has {int(ids.duplicated().sum())} rows of items that it has already (first: "
            f"{shown(ids[ids.duplicated()].iloc[0])}); keep one row for each item"
        )
    columns = {text: table[column_named(path.name, table, text)] for text in wanted}
    words = {text: column.str.split().str.join(" ") for text, column in columns.items()}
    return pd.DataFrame(words, index=None if words else range(len(ids))).set_axis(ids.tolist())


def read_mmrec(folder: Path, columns: Mapping[str, str]) -> RawDataset:
    """An MMRec folder with its split, every item up to the last, and a modality for each array, row r for the item r.

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
    items = [str(item) for item in range(read.n_items)]
    return RawDataset(
        interactions_of(f"{name}.inter", read.interactions.astype(str), columns),
        features={modality: (items[: len(rows)], rows) for modality, rows in read.features.items()},
        listed=items,
        parts=read.interactions[LABEL].map(dict(enumerate(SPLITS))),
    )
