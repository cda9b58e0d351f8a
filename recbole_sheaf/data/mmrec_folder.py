"""What an MMRec-style dataset folder holds, checked.

``x.inter`` is tab separated with the columns ``userID itemID [rating] [timestamp] x_label``; ids are whole numbers from
0; ``x_label`` is 0, 1, 2 for train, valid, test; row r of each ``*_feat.npy`` belongs to itemID r. A folder
``features/`` beside it holds vectors as that of any dataset does, by the numbers of their items.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd

from recbole_sheaf.errors import DataError, FeatureError, counted, shown
from recbole_sheaf.features.folder import files_in
from recbole_sheaf.files.atomic import Table, read_header, read_table
from recbole_sheaf.files.feature_files import check_features, read_array, read_features

logger = logging.getLogger(__name__)

USER, ITEM, LABEL = "userID", "itemID", "x_label"
OPTIONAL = ("rating", "timestamp")
SPLITS = ("train", "valid", "test")
NUMBER = r"0|[1-9][0-9]{0,8}"  # 007 would become one user with 7
FEATURE_SUFFIX = "_feat"
MOST_ITEMS_FOR_EACH, FEW_ITEMS = 10, 10_000  # numbers of items without features, for each that is seen and beside


@dataclass(frozen=True)
class MmrecFolder:
    """The content of an MMRec-style folder.

    Attributes:
        interactions: ids and labels as whole numbers, ratings and times as the text that stands there.
        n_items: items are the numbers below it, seen or not.
        features: items and their rows, by modality.
    """

    interactions: pd.DataFrame
    n_items: int
    features: dict[str, tuple[list[str], np.ndarray]]

    def part(self, split: str) -> pd.DataFrame:
        """Interactions of train, valid or test, in the file's order."""
        return self.interactions[self.interactions[LABEL] == SPLITS.index(split)]


def read_mmrec_folder(folder: Path, name: str) -> MmrecFolder:
    """Read a folder with ``<name>.inter``, any number of ``*_feat.npy`` and of files in ``features/``.

    Raises:
        DataError: if the file is empty, an id or label is none, or a part of the split has no interaction.
        FeatureError: if a feature file has too few rows, another number of rows than the others, an id that is no
            number of an item, or NaN or Inf.

    Memory O(interactions); feature files are mapped.
    """
    table = _read_interactions(folder / f"{name}.inter")
    if not arrays_of(folder):
        _refuse_stray_items(folder / f"{name}.inter", table)
    n_items = 1 + int(table[ITEM].max())
    arrays = _read_all_arrays(folder, n_items)
    numbered = {name: ([str(row) for row in range(len(rows))], rows) for name, rows in arrays.items()}
    features = {**numbered, **{name: _by_number(path) for name, path in _files(folder).items()}}
    last = max((int(item) for tokens, _ in features.values() for item in tokens), default=0)
    return MmrecFolder(table, max(n_items, last + 1), dict(sorted(features.items())))


def is_mmrec_folder(folder: Path, name: str) -> bool:
    """Whether ``<folder>/<name>.inter`` has an MMRec header; reads one line."""
    path = Path(folder) / f"{name}.inter"
    if not path.is_file():
        return False
    columns, _ = read_header(path)
    return {USER, ITEM, LABEL} <= set(columns)


def feature_files_of(folder: Path) -> dict[str, Path]:
    """Feature files by modality; one in ``features/`` goes before an array of the same name.

    Raises:
        FeatureError: if a modality has two files in ``features/``.
    """
    return {**arrays_of(folder), **_files(folder)}


def _files(folder: Path) -> dict[str, Path]:
    return files_in(folder / "features")


def arrays_of(folder: Path) -> dict[str, Path]:
    """Arrays beside the table by modality: ``*_feat.npy``, and others that are a row of floats for each item.

    Folders hold other arrays too, such as dictionaries of neighbours; beside ``*_feat.npy`` another array has to have
    as many rows.
    """
    named = {path.stem[: -len(FEATURE_SUFFIX)]: path for path in sorted(folder.glob(f"*{FEATURE_SUFFIX}.npy"))}
    others = {path.stem: path for path in sorted(folder.glob("*.npy")) if path not in named.values()}
    if not others:
        return named
    rows = {name: _rows_of_floats(path) for name, path in others.items()}
    wanted = {_rows_of_floats(path) for path in named.values()} or {count for count in rows.values() if count}
    taken = {name: path for name, path in others.items() if rows[name] in wanted - {None} and name not in named}
    for name in sorted(others.keys() - taken.keys()):
        logger.info("%s is no array of item features and is left out", others[name])
    return dict(sorted({**named, **taken}.items()))


def _rows_of_floats(path: Path) -> Optional[int]:
    """Number of rows of a matrix of floats; None for any other array. Its values stay in the file."""
    try:
        array = read_array(path)
    except FeatureError:
        return None
    return len(array) if array.ndim == 2 and array.dtype.kind == "f" else None


def _read_interactions(path: Path) -> pd.DataFrame:
    """The known columns, ids and labels as whole numbers, the rest as the text that stands there."""
    read = read_table(path)
    if absent := [column for column in (USER, ITEM, LABEL) if column not in read.header]:
        raise DataError(f"{path.name} has no column {' nor '.join(absent)}; expected {USER}, {ITEM} and {LABEL}")
    names = [column for column in (USER, ITEM, *OPTIONAL, LABEL) if column in read.header]
    if repeated := [name for name in names if read.header.count(name) > 1]:
        raise DataError(f"{path.name} names the column {repeated[0]} twice; name each column once")
    table = read.read([read.header.index(name) for name in names])
    table.columns = names
    for column, expected in ((USER, "a whole number from 0"), (ITEM, "a whole number from 0"), (LABEL, "0, 1 or 2")):
        pattern = r"[012]" if column == LABEL else NUMBER
        _refuse(read, column, table[column], ~table[column].str.fullmatch(pattern), expected)
        table[column] = table[column].astype(np.int64)
    for column in set(OPTIONAL) & set(table):
        numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
        _refuse(read, column, table[column], ~np.isfinite(numbers), "a number")
    _refuse_empty_split(path, table)
    return table


def _refuse_empty_split(path: Path, table: pd.DataFrame) -> None:
    empty = [split for label, split in enumerate(SPLITS) if not (table[LABEL] == label).any()]
    if empty:
        raise DataError(
            f"{path.name} has no {' and no '.join(empty)} interaction; "
            f"expected {LABEL} 0 (train), 1 (valid) and 2 (test), each at least once: label the split anew"
        )


def _refuse(read: Table, column: str, values: pd.Series, bad: pd.Series, expected: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        values_that_are = counted(int(bad.sum()), f"value of {column} that is", f"values of {column} that are")
        raise DataError(
            f"{read.name} has {values_that_are} not {expected} "
            f"(first: {shown(values.iloc[row])} in line {read.lines[row]}); correct or drop those lines"
        )


def _refuse_stray_items(path: Path, table: pd.DataFrame) -> None:
    """Without feature files every number up to the largest itemID is an item, so one stray id makes millions."""
    items, largest = table[ITEM].nunique(), int(table[ITEM].max())
    if largest >= MOST_ITEMS_FOR_EACH * items + FEW_ITEMS:
        raise DataError(
            f"{path.name} has {items} distinct {ITEM}s but one of them is {largest}, which would make {largest + 1:,} "
            f"items; correct that line, number the items from 0, or add a *{FEATURE_SUFFIX}.npy with a row for each"
        )


def _by_number(path: Path) -> tuple[list[str], np.ndarray]:
    """Items and rows of a file in ``features/``."""
    tokens, rows = read_features(path)
    odd = [token for token in tokens if not re.fullmatch(NUMBER, token)]
    if odd or max(map(int, tokens)) >= MOST_ITEMS_FOR_EACH * len(tokens) + FEW_ITEMS:
        stray = odd[0] if odd else max(tokens, key=int)
        raise FeatureError(
            f"{path.name} has a row for the item {shown(stray)}; expected numbers as {ITEM} has them, from 0 on"
        )
    return tokens, rows


def _read_all_arrays(folder: Path, n_items: int) -> dict[str, np.ndarray]:
    paths = {name: path for name, path in arrays_of(folder).items() if name not in _files(folder)}
    features = {name: _read_one(path, n_items) for name, path in paths.items()}
    rows = {name: len(matrix) for name, matrix in features.items()}
    if len(set(rows.values())) > 1:
        raise FeatureError(
            f"the feature files of {folder.name} have different numbers of rows, {rows}; "
            "expected one row per item in each: write the missing rows"
        )
    return features


def _read_one(path: Path, n_items: int) -> np.ndarray:
    matrix = read_array(path)
    rows = len(matrix) if matrix.ndim else 0
    if rows < n_items:
        raise FeatureError(
            f"{path.name} has {rows} rows but {ITEM} goes up to {n_items - 1}; expected at least {n_items} rows, "
            "row r for item r: write the missing rows"
        )
    return check_features(path.name, [str(row) for row in range(rows)], matrix)
