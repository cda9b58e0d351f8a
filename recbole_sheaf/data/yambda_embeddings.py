"""The vectors of Yambda's tracks, 7.7 million of 128 numbers in a column of lists: those of a dataset's items."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt32

from recbole_sheaf.data.published_columns import AS_PUBLISHED, INTEGERS, Database, check_columns, text, types_of
from recbole_sheaf.data.published_vectors import MODALITY, begin_rows, write_ids
from recbole_sheaf.errors import FeatureError, counted
from recbole_sheaf.files.feature_files import check_features

VECTORS = "embed"
_LISTS = re.compile(r"(FLOAT|DOUBLE)\[\d*\]")
_MOST = 4096  # numbers of a vector, each of which is a column of what is asked


def check_embeddings(db: Database, path: Path) -> None:
    """Refuse a file that has no ids of tracks, or no lists of numbers.

    Raises:
        DataError: if it cannot be read, or has no column of whole numbers ``item_id``.
        FeatureError: if it has no column of lists of floats ``embed``.
    """
    types = types_of(db, path)
    check_columns(path, types, {"item_id": INTEGERS})
    if not _LISTS.fullmatch(types.get(VECTORS, "")):
        raise FeatureError(
            f"{path} has {VECTORS} of the type {types.get(VECTORS, 'of no column')}, expected lists of floats; "
            f"{AS_PUBLISHED}"
        )


def write_embeddings(db: Database, path: Path, features: Path, n_items: int) -> list[str]:
    """Write the vectors of the items of the table ``items``, in the order of their ids; gives a line on them.

    Raises:
        FeatureError: if the file has none of the items, one of them twice, vectors of several lengths, or a number that
            is none.

    Memory: what the database may take, and some 10 MiB.
    """
    db.execute(
        f"CREATE TABLE vectors AS SELECT item_id::UINTEGER AS item_id, {VECTORS} "
        f"FROM read_parquet({text(str(path))}) SEMI JOIN items USING (item_id) WHERE {VECTORS} IS NOT NULL"
    )
    ids = db.execute("SELECT item_id FROM vectors ORDER BY item_id").fetchnumpy()["item_id"]
    width = _width(db, path, ids, n_items)
    features.mkdir()
    write_ids(features, ids)
    numbers = ", ".join(f'try_cast({VECTORS}[{place}] AS FLOAT) AS "{place}"' for place in range(1, width + 1))
    rows = db.execute(f"SELECT {numbers} FROM vectors ORDER BY item_id")
    start = 0
    with open(features / f"{MODALITY}.npy", "wb") as file:
        begin_rows(file, np.dtype(np.float32), (len(ids), width))
        while len(table := rows.fetch_df_chunk()):
            block = np.ascontiguousarray(table.to_numpy(np.float32))
            check_features(path.name, [str(item) for item in ids[start : start + len(block)].tolist()], block)
            file.write(block.data)
            start += len(block)
    absent = f"; {counted(n_items - len(ids), 'item has', 'items have')} none" if len(ids) < n_items else ""
    return [f"{MODALITY}: {counted(len(ids), 'vector')} of {counted(width, 'number')}{absent}"]


def _width(db: Database, path: Path, ids: UInt32[np.ndarray, " rows"], n_items: int) -> int:
    if not len(ids):
        raise FeatureError(
            f"{path.name} has none of the {n_items:,} items of the dataset; take the file of the same release as the "
            "events"
        )
    if len(twice := ids[1:][ids[1:] == ids[:-1]]):
        raise FeatureError(
            f"{path.name} has {counted(len(np.unique(twice)), 'item')} more than once (first: {twice[0]}); keep one "
            "row for each"
        )
    least, most = db.execute(f"SELECT min(len({VECTORS})), max(len({VECTORS})) FROM vectors").fetchall()[0]
    if not 0 < least == most <= _MOST:
        raise FeatureError(
            f"{path.name} has vectors of {least} to {most} numbers, expected as many for each item, 1 to {_MOST}; "
            f"{AS_PUBLISHED}"
        )
    return int(most)
