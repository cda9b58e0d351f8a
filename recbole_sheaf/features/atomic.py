"""Columns of RecBole's atomic files, as text.

An atomic file is tab separated with a header of ``name:type``. Everything is read as text, quotes are literal, and
nothing stands for "not available": the film "NA" keeps its name.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from recbole_sheaf.errors import FeatureError


def column_names(path: Path) -> list[str]:
    """Names in the header, without their types."""
    with open(path, encoding="utf-8") as file:
        return [field.split(":")[0] for field in file.readline().rstrip("\r\n").split("\t")]


def read_columns(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Read some columns, named without their types.

    Raises:
        FeatureError: if a column is not there, or the file is not a table of UTF-8 text.
    """
    try:
        header = column_names(path)
        if missing := [name for name in names if name not in header]:
            raise FeatureError(f"{path.name} has no column {missing}; its columns are {header}")
        table = pd.read_csv(
            path,
            sep="\t",
            usecols=sorted({header.index(name) for name in names}),
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8",
        )
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise FeatureError(
            f"{path.name} is no tab-separated UTF-8 table ({error}); expected name:type columns"
        ) from error
    table.columns = [str(column).split(":")[0] for column in table.columns]
    return table.fillna("")[list(dict.fromkeys(names))]


def raw_item_tokens(folder: Path, dataset_name: str, item_field: str = "item_id") -> set[str]:
    """Every item token that the folder's own ``.item`` and ``.inter`` files know, loaded into the dataset or not."""
    paths = [folder / f"{dataset_name}.item", folder / f"{dataset_name}.inter"]
    paths += sorted(folder.glob(f"{dataset_name}.*.inter"))
    tables = [read_columns(path, [item_field]) for path in paths if path.is_file() and item_field in column_names(path)]
    return {token for table in tables for token in table[item_field].unique()}
