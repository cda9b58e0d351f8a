"""MMRec-style dataset folders, read as they are, with their own split.

``x.inter`` is tab separated with the columns ``userID itemID [rating] [timestamp] x_label``; ids are whole numbers from
0; ``x_label`` is 0, 1, 2 for train, valid, test; row r of each ``*_feat.npy`` belongs to itemID r. The conversion makes
the atomic files that RecBole reads with ``benchmark_filename``, once per content, in a cache folder.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from recbole_sheaf.errors import DataError, FeatureError, shown
from recbole_sheaf.features.atomic import Table, read_header, read_table
from recbole_sheaf.features.cache import make_private
from recbole_sheaf.features.files import check_features, read_array, write_features
from recbole_sheaf.regular_files import open_regular

logger = logging.getLogger(__name__)

USER, ITEM, LABEL = "userID", "itemID", "x_label"
OPTIONAL = ("rating", "timestamp")
SPLITS = ("train", "valid", "test")
FORMAT_VERSION = "mmrec-2"
MANIFEST = "manifest.json"
BUILDING, ALIVE = ".building-", "lock"  # a folder in which a conversion is at work, and the lock it holds there
SECONDS_TO_LOCK = 60  # an unlocked folder older than this has lost its process
FEATURE_SUFFIX = "_feat"
MOST_ITEMS_FOR_EACH, FEW_ITEMS = 10, 10_000  # numbers of items without features, for each that is seen and beside


@dataclass(frozen=True)
class ConvertedFolder:
    """An MMRec-style folder as RecBole reads it.

    Attributes:
        path: the folder of atomic files, ``<somewhere>/<name>``; RecBole's ``data_path`` after the name is joined.
        benchmark_filename: the parts of the split, RecBole's setting of that name.
        counts: interactions in train, valid and test.
    """

    path: Path
    benchmark_filename: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def data_path(self) -> Path:
        """What to give RecBole as ``data_path`` where it still joins the name to it."""
        return self.path.parent


def is_mmrec_folder(folder: Path, name: str) -> bool:
    """Whether ``<folder>/<name>.inter`` has an MMRec header; reads one line."""
    path = Path(folder) / f"{name}.inter"
    if not path.is_file():
        return False
    columns, _ = read_header(path)
    return {USER, ITEM, LABEL} <= set(columns)


def convert_mmrec_folder(folder: Path, name: str, cache_dir: Path) -> ConvertedFolder:
    """Make RecBole's atomic files of an MMRec-style folder, or find those made before from the same content.

    Every user of any part and every item, seen or not, is listed in ``.user`` and ``.item``, so that those without a
    training interaction exist. Two processes may convert at once: each builds its own copy, the first is kept.

    Args:
        folder: holds ``<name>.inter`` and any number of ``*_feat.npy``.
        name: of the dataset.
        cache_dir: the result lies below it, under a hash of the content.

    Raises:
        DataError: if the file is empty, an id or label is none, a part of the split has no interaction, or others may
            write to the cache folder.
        FeatureError: if a feature file has too few rows, another number of rows than the others, or NaN or Inf.

    Under a second for 70,000 interactions; memory O(interactions + items dim).
    """
    folder = Path(folder)
    target = Path(cache_dir) / "mmrec" / f"{name}-{_content_hash(folder, name)}"
    _refuse_shared_cache(target.parent)
    if not _is_complete(target):
        logger.info("converting the MMRec-style folder %s", folder)
        _build_at(target, folder, name)
    counts = json.loads((target / MANIFEST).read_text())["counts"]
    return ConvertedFolder(target / name, SPLITS, tuple(counts))


def feature_files_of(folder: Path) -> dict[str, Path]:
    """Feature files by modality: ``*_feat.npy``, and arrays of other names that are a row of floats for each item.

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


def _content_hash(folder: Path, name: str) -> str:
    files = [folder / f"{name}.inter", *feature_files_of(folder).values()]
    stamps = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return _hash_of(tuple(files), tuple(stamps))


@functools.lru_cache(maxsize=64)  # a Config is built several times a run, a gigabyte of features is read once
def _hash_of(files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    """Of the content of files; their sizes and times of change are there to notice that they changed."""
    digest = hashlib.sha256(FORMAT_VERSION.encode())
    for path in files:
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        with open_regular(path, FeatureError) as file:
            for block in iter(functools.partial(file.read, 1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()[:32]


def _refuse_shared_cache(folder: Path) -> None:
    """What was planted there would be read as the dataset."""
    try:
        make_private(folder)
    except OSError as error:
        raise DataError(f"nothing can be converted into {folder}: {error}") from error


def _is_complete(target: Path) -> bool:
    """Whether every file that the manifest lists is there, as it was written."""
    if not target.exists():
        return False
    try:
        manifest = json.loads((target / MANIFEST).read_text())
        hashes = {path: _file_hash(target / path) for path in manifest["sha256"]}
        if hashes == manifest["sha256"] and len(manifest["counts"]) == len(SPLITS):
            return True
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # damaged
    logger.warning("the files in %s are not those that were written; they are made again", target)
    return False


def _file_hash(path: Path) -> str:
    return _hash_of((path,), ((path.stat().st_size, path.stat().st_mtime_ns),))


def _build_at(target: Path, folder: Path, name: str) -> None:
    """Build beside the target and move there in one step; leave a complete one, made meanwhile, in place."""
    clear_leftovers(target.parent)
    with contextlib.ExitStack() as held:
        temporary = held.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=BUILDING))
        held.enter_context(FileLock(Path(temporary) / ALIVE))
        built = Path(temporary) / "new"
        _write_all(built, folder, name)
        try:
            if target.exists() and not _is_complete(target):
                os.rename(target, Path(temporary) / "damaged")
            os.rename(built, target)
        except OSError:
            if not _is_complete(target):  # else another process was first, with the same content
                raise


def clear_leftovers(parent: Path) -> None:
    """Remove what a killed conversion left behind; one that is at work holds its lock, or is about to take it."""
    for left in parent.glob(f"{BUILDING}*"):
        try:
            if time.time() - left.stat().st_mtime > SECONDS_TO_LOCK:
                with FileLock(left / ALIVE, timeout=0):
                    shutil.rmtree(left / "new", ignore_errors=True)
                shutil.rmtree(left)
        except (OSError, Timeout):  # at work, or cleared by somebody else at this moment
            continue


def _write_all(built: Path, folder: Path, name: str) -> None:
    table = _read_interactions(folder / f"{name}.inter")
    if not feature_files_of(folder):
        _refuse_stray_items(folder / f"{name}.inter", table)
    n_items = 1 + int(table[ITEM].max())
    features = _read_all_features(folder, n_items)
    n_items = max([n_items, *(len(rows) for rows in features.values())])
    made = built / name
    made.mkdir(parents=True)
    counts = [_write_split(made / f"{name}.{split}.inter", table[table[LABEL] == i]) for i, split in enumerate(SPLITS)]
    _write_tokens(made / f"{name}.user", "user_id", np.unique(table[USER]))
    _write_tokens(made / f"{name}.item", "item_id", np.arange(n_items))
    for modality, rows in features.items():
        write_features(made / "features" / f"{modality}.npz", [str(item) for item in range(len(rows))], rows)
    hashes = {str(path.relative_to(built)): _file_hash(path) for path in sorted(made.rglob("*")) if path.is_file()}
    (built / MANIFEST).write_text(json.dumps({"counts": counts, "sha256": hashes}))


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
        pattern = r"[012]" if column == LABEL else r"[0-9]{1,9}"
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
        raise DataError(
            f"{read.name} has {int(bad.sum())} values of {column} that are not {expected} "
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


def _read_all_features(folder: Path, n_items: int) -> dict[str, np.ndarray]:
    features = {name: _read_one(path, n_items) for name, path in feature_files_of(folder).items()}
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


def _write_split(path: Path, table: pd.DataFrame) -> int:
    types = {USER: "user_id:token", ITEM: "item_id:token", "rating": "rating:float", "timestamp": "timestamp:float"}
    table.drop(columns=LABEL).rename(columns=types).to_csv(path, sep="\t", index=False, lineterminator="\n")
    return len(table)


def _write_tokens(path: Path, field: str, ids: np.ndarray) -> None:
    path.write_text("\n".join([f"{field}:token", *map(str, ids.tolist())]) + "\n", encoding="utf-8")
