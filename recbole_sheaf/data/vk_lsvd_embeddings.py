"""The vectors of VK-LSVD's items, 19.6 million of 64 numbers: those of a dataset's items, a block at a time."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from jaxtyping import Float64, Int, Num, UInt32

from recbole_sheaf.data.published_vectors import MODALITY, begin_rows, write_ids
from recbole_sheaf.data.vk_lsvd_layout import EMBEDDINGS
from recbole_sheaf.errors import ConfigError, FeatureError, counted
from recbole_sheaf.files.arrays import blocks_of_member, opened_npz, shape_of_member
from recbole_sheaf.files.feature_files import check_features

IDS, VECTORS = NAMES = ("item_id", "embedding")
_EXPECTED = "VK-LSVD's .npz with arrays 'item_id' and 'embedding'"


@dataclass(frozen=True)
class Embeddings:
    """A file of vectors, of which the first ``dimensions`` numbers are taken."""

    path: Path
    dimensions: int

    def write(self, features: Path, items: UInt32[np.ndarray, " n_items"]) -> list[str]:
        """Write the rows of these items, which are in ascending order, in the order of the file; gives a line on them.

        Raises:
            FeatureError: if the file is damaged, has none of the items, one of them twice, or a number that is none.

        Memory O(n_items) and some 50 MiB; reads the file once.
        """
        features.mkdir()
        with opened_npz(self.path, _EXPECTED) as archive:
            rows, places = _found(self.path, archive, items)
            self._refuse_unfit(items, places)
            ids = items[places]
            write_ids(features, ids)
            squares = self._write_rows(features / f"{MODALITY}.npy", archive, rows, ids)
        taken, every = float(squares[: self.dimensions].sum()), float(squares.sum())
        part = f", the first of {len(squares)}, which hold {taken / every:.1%} of the squares" if taken < every else ""
        absent = f"; {counted(len(items) - len(rows), 'item has', 'items have')} none" if len(rows) < len(items) else ""
        return [f"{MODALITY}: {counted(len(rows), 'vector')} of {counted(self.dimensions, 'number')}{part}{absent}"]

    def _refuse_unfit(self, items: UInt32[np.ndarray, " n_items"], places: Int[np.ndarray, " rows"]) -> None:
        if not len(places):
            raise FeatureError(
                f"{self.path.name} has none of the {len(items):,} items of the dataset (such as {items[0]}); take the "
                "file of the same release as the interactions"
            )
        times = np.bincount(places)
        if np.max(times) > 1:
            raise FeatureError(
                f"{self.path.name} has {counted(int((times > 1).sum()), 'item')} more than once (first: "
                f"{items[int(np.argmax(times > 1))]}); keep one row for each"
            )

    def _write_rows(
        self, path: Path, archive: zipfile.ZipFile, rows: Int[np.ndarray, " rows"], ids: UInt32[np.ndarray, " rows"]
    ) -> Float64[np.ndarray, " dim"]:
        """Write the first numbers of some rows; gives the sum of the squares of each of all the numbers."""
        squares = np.zeros(shape_of_member(self.path, archive, VECTORS, NAMES)[1])
        with open(path, "wb") as file:
            for start, block in _placed(blocks_of_member(self.path, archive, VECTORS, NAMES)):
                if not start:
                    begin_rows(file, block.dtype, (len(rows), self.dimensions))
                first, last = np.searchsorted(rows, [start, start + len(block)])
                if first < last:
                    chosen = block[rows[first:last] - start]
                    check_features(self.path.name, [str(item) for item in ids[first:last].tolist()], chosen)
                    squares += np.square(chosen, dtype=np.float64).sum(axis=0)
                    file.write(np.ascontiguousarray(chosen[:, : self.dimensions]).data)
        return squares


def find_embeddings(path: Optional[Path], dimensions: Optional[int]) -> Optional[Embeddings]:
    """The file of vectors with as many dimensions as are wanted, all by default; None where there is none.

    Raises:
        ConfigError: if more dimensions are wanted than there are, or some of no file.
        FeatureError: if it is no such archive.
    """
    if path is None:
        if dimensions is not None:
            raise ConfigError(f"dimensions={dimensions} is of metadata/{EMBEDDINGS}, which is not there; add it")
        return None
    with opened_npz(path, _EXPECTED) as archive:
        ids, vectors = (shape_of_member(path, archive, name, NAMES) for name in NAMES)
        first = [next(blocks_of_member(path, archive, name, NAMES), np.zeros(0)) for name in NAMES]
    kinds = [block.dtype.kind for block in first]
    if len(ids) != 1 or len(vectors) != 2 or ids != vectors[:1] or kinds not in (["i", "f"], ["u", "f"]):
        raise FeatureError(
            f"{path.name} has '{IDS}' of shape {ids} and '{VECTORS}' of shape {vectors}; expected whole numbers, one "
            "for each row of floats: take the file as it was published"
        )
    if dimensions is not None and dimensions > vectors[1]:
        raise ConfigError(f"dimensions={dimensions} is more than the {vectors[1]} that {path.name} has")
    return Embeddings(path, dimensions or vectors[1])


def _found(
    path: Path, archive: zipfile.ZipFile, items: UInt32[np.ndarray, " n_items"]
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Rows of the file that are of the items, and the place of each among these."""
    rows, places = [], []
    for start, ids in _placed(blocks_of_member(path, archive, IDS, NAMES)):
        place = np.minimum(np.searchsorted(items, ids), len(items) - 1)
        match = np.flatnonzero(items[place] == ids)
        rows.append(start + match)
        places.append(place[match])
    return np.concatenate(rows), np.concatenate(places)


def _placed(blocks: Iterator[Num[np.ndarray, "_ *dim"]]) -> Iterator[tuple[int, Num[np.ndarray, "_ *dim"]]]:
    """Each block with the place of its first row."""
    start = 0
    for block in blocks:
        yield start, block
        start += len(block)
