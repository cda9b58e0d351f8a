"""Is there a dataset that RecBole can read? Asked before it tries, so that the answer is one sentence."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from recbole_sheaf.data.mmrec_folder import SPLITS, is_mmrec_folder
from recbole_sheaf.errors import DataError, nearest, shown
from recbole_sheaf.files.atomic import field_types, no_rows, read_header


def check_dataset_folder(
    data_path: Path,
    name: str,
    downloadable: Iterable[str] = (),
    *,
    user_field: str = "user_id",
    item_field: str = "item_id",
    separator: str = "\t",
) -> None:
    """Refuse a dataset that is absent, empty or without user and item columns.

    Args:
        data_path: folder of dataset folders, RecBole's ``data_path`` before the name is joined to it.
        name: of the dataset, its folder and its files.
        downloadable: names that RecBole can fetch by itself; for one of these an absent folder is no error. Raise
            :func:`absent_dataset` if the download then fails.
        user_field: name of the column of users.
        item_field: name of the column of items.
        separator: of columns.

    Raises:
        DataError: saying what is expected where.

    Reads the beginning of each ``.inter`` file.
    """
    known = list(downloadable)
    folder = Path(data_path) / name
    if not folder.is_dir():
        if name in known:
            return
        raise absent_dataset(data_path, name, known)
    if is_mmrec_folder(folder, name):
        return
    files = _interaction_files(folder, name)
    if not files:
        raise DataError(
            f"folder {folder} holds no {name}.inter; {_expected(data_path, name)}{_interrupted(name, known)}"
        )
    for path in files:
        _check_interactions(path, user_field, item_field, separator)


def has_own_split(folder: Path, name: str) -> bool:
    """Whether a folder has the parts of a split, train, valid and test, and no ``<name>.inter``."""
    parts = [folder / f"{name}.{part}.inter" for part in SPLITS]
    return not os.path.lexists(folder / f"{name}.inter") and all(path.is_file() for path in parts)


def absent_dataset(
    data_path: Path, name: str, downloadable: Iterable[str] = (), reason: Optional[str] = None
) -> DataError:
    """The error to raise for a dataset that is neither here nor, for the given reason, to be downloaded."""
    known = list(downloadable)
    here = sorted({path.parent.name for path in Path(data_path).glob("*/*.inter")})
    hint = "" if name in known else nearest(name, [*here, *known])
    failed = f", and downloading it failed ({reason})" if reason else ""
    found = f"; datasets there: {', '.join(here[:10])}{', ...' if len(here) > 10 else ''}" if here else ""
    return DataError(f"dataset '{name}'{hint} is not in {data_path}{failed}; {_expected(data_path, name)}{found}")


def _expected(data_path: Path, name: str) -> str:
    folder = Path(data_path) / name
    return (
        f"expected {folder}/{name}.inter, tab separated, with the header 'user_id:token<tab>item_id:token...' "
        f"(beside it, if you have them, {name}.item and features/<modality>.npz), or an MMRec-style folder whose "
        f"{name}.inter has userID, itemID and x_label; name the folder above it with data_path=..."
    )


def _interrupted(name: str, downloadable: Iterable[str]) -> str:
    return "; or remove the folder, so that RecBole downloads the dataset anew" if name in downloadable else ""


def _interaction_files(folder: Path, name: str) -> list[Path]:
    """``name.inter``, or the parts of a ready-made split, ``name.train.inter`` and so on."""
    whole = folder / f"{name}.inter"
    return [whole] if os.path.lexists(whole) else sorted(folder.glob(f"{name}.*.inter"))


def _check_interactions(path: Path, user_field: str, item_field: str, separator: str) -> None:
    header, has_rows = read_header(path, separator)
    columns = [column.split(":")[0] for column in header]
    if missing := [field for field in (user_field, item_field) if field not in columns]:
        raise DataError(
            f"{path.name} has no column {' nor '.join(missing)}; its header is {shown(separator.join(header), 200)}, "
            f"expected '{user_field}:token<tab>{item_field}:token...': "
            "rename the columns or set USER_ID_FIELD and ITEM_ID_FIELD"
        )
    field_types(path.name, header)
    if not has_rows:
        raise no_rows(path.name)
