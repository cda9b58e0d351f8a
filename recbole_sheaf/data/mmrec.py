"""MMRec-style dataset folders, run as they are, with their own split.

The conversion makes the atomic files that RecBole reads with ``benchmark_filename``, once per content, in a cache
folder.
"""

import functools
import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_sheaf.data.mmrec_folder import ITEM, LABEL, SPLITS, USER, feature_files_of, read_mmrec_folder
from recbole_sheaf.errors import DataError, FeatureError
from recbole_sheaf.features.folder import with_its_ids
from recbole_sheaf.files.cache import make_private
from recbole_sheaf.files.feature_files import write_features
from recbole_sheaf.files.id_files import ids_beside, write_ids
from recbole_sheaf.files.regular_files import open_regular
from recbole_sheaf.files.whole_files import whole_folder

logger = logging.getLogger(__name__)

FORMAT_VERSION = "mmrec-2"
MANIFEST = "manifest.json"
_ORIGINS: dict[Path, Path] = {}  # of the folders that were converted in this process, for messages


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
        """The folder above, to give RecBole as ``data_path`` where it appends the dataset's name itself."""
        return self.path.parent


def convert_mmrec_folder(folder: Path, name: str, cache_dir: Path) -> ConvertedFolder:
    """Make RecBole's atomic files of an MMRec-style folder, or find those made before from the same content.

    Every user of any part and every item, seen or not, is listed in ``.user`` and ``.item``, so that those without a
    training interaction exist. Two processes may convert at once: each builds its own copy, one is kept.

    Args:
        folder: holds ``<name>.inter``, any number of ``*_feat.npy`` and of files in ``features/``.
        name: of the dataset.
        cache_dir: the result lies below it, under a hash of the content.

    Raises:
        DataError: if the file is empty, an id or label is none, a part of the split has no interaction, or others may
            write to the cache folder.
        FeatureError: if a feature file has too few rows, another number of rows than the others, an id that
            is no number of an item, or NaN or Inf.

    Under a second for 70,000 interactions; memory O(interactions + items dim).
    """
    folder = Path(folder)
    target = Path(cache_dir) / "mmrec" / f"{name}-{_content_hash(folder, name)}"
    _refuse_shared_cache(target.parent)
    if not _is_complete(target):
        logger.info("converting the MMRec-style folder %s", folder)
        with whole_folder(target, durable=False) as built:  # the manifest knows what a loss of power took
            _write_all(built, folder, name)
    counts = json.loads((target / MANIFEST).read_text())["counts"]
    _ORIGINS[target / name] = folder
    return ConvertedFolder(target / name, SPLITS, tuple(counts))


def origin_of(folder: Path) -> Path:
    """The folder that was converted in this process into the given one, or else that one itself."""
    return _ORIGINS.get(folder, folder)


def _content_hash(folder: Path, name: str) -> str:
    features = [each for path in feature_files_of(folder).values() for each in with_its_ids(path) if each.is_file()]
    files = [folder / f"{name}.inter", *features]
    stamps = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    places = "\0".join(str(path.relative_to(folder)) for path in files)  # by which a file's modality is called
    return hashlib.sha256(f"{places}\0{_hash_of(tuple(files), tuple(stamps))}".encode()).hexdigest()[:32]


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


def _write_all(built: Path, folder: Path, name: str) -> None:
    read = read_mmrec_folder(folder, name)
    made = built / name
    made.mkdir(parents=True)
    counts = [_write_split(made / f"{name}.{split}.inter", read.part(split)) for split in SPLITS]
    _write_tokens(made / f"{name}.user", "user_id", np.unique(read.interactions[USER]))
    _write_tokens(made / f"{name}.item", "item_id", np.arange(read.n_items))
    paths = feature_files_of(folder)
    for modality, (tokens, rows) in read.features.items():
        _write_features(made / "features", modality, paths[modality], tokens, rows)
    hashes = {str(path.relative_to(built)): _file_hash(path) for path in sorted(made.rglob("*")) if path.is_file()}
    (built / MANIFEST).write_text(json.dumps({"counts": counts, "sha256": hashes}))


def _write_features(features: Path, modality: str, path: Path, tokens: list[str], rows: np.ndarray) -> None:
    """As they are where they lie as in any dataset, so that settings name them alike; with ids in any case."""
    if path.parent.name != features.name:
        write_features(features / f"{modality}.npz", tokens, rows)
        return
    features.mkdir(exist_ok=True)
    for each in filter(Path.is_file, with_its_ids(path)):
        shutil.copyfile(each, features / each.name)
    if path.suffix == ".npy" and ids_beside(path) is None:
        write_ids(features / f"{modality}.ids.txt", tokens)


def _write_split(path: Path, table: pd.DataFrame) -> int:
    types = {USER: "user_id:token", ITEM: "item_id:token", "rating": "rating:float", "timestamp": "timestamp:float"}
    table.drop(columns=LABEL).rename(columns=types).to_csv(path, sep="\t", index=False, lineterminator="\n")
    return len(table)


def _write_tokens(path: Path, field: str, ids: np.ndarray) -> None:
    path.write_text("\n".join([f"{field}:token", *map(str, ids.tolist())]) + "\n", encoding="utf-8")
