"""A dataset folder as RecBole and this package read it, written from interactions, items and vectors of any source.

``<name>.inter``, or ``<name>.train.inter`` and so on where there is a split already, ``<name>.item`` with every item
that anything names, and ``features/``. It is built beside its place and moved there in one step. ``convert.json`` lists
what was written, so that a later conversion into the same folder replaces that and leaves every other file.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd

from recbole_sheaf.data.folders import has_own_split
from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.data.raw_features import Vectors, write_vectors
from recbole_sheaf.data.raw_interactions import ITEM, RATING, TIME, USER
from recbole_sheaf.errors import DataError, FeatureError, counted, shown
from recbole_sheaf.files.feature_files import ENDINGS as FEATURE_ENDINGS
from recbole_sheaf.files.id_files import ENDINGS as ID_ENDINGS
from recbole_sheaf.files.regular_files import hash_of_regular, read_regular
from recbole_sheaf.files.tokens import refuse_written_alike
from recbole_sheaf.files.whole_files import whole_folder

TYPES = {USER: "token", ITEM: "token", RATING: "float", TIME: "float"}
UNFIT = frozenset('/\\:"\t\n')
MANIFEST, FEATURES = "convert.json", "features"
ROWS_AT_ONCE = 1 << 17  # of a table that is written; pandas would hold a list for each row of all of it


@dataclass(frozen=True)
class Interactions:
    """Tables under RecBole's names, which need not be in memory.

    Attributes:
        pieces: gives the rows, a table at a time, as often as it is asked.
        users: each once, in order of appearance.
        items: likewise.
        count: of rows.
    """

    pieces: Callable[[], Iterable[pd.DataFrame]]
    users: Sequence[str]
    items: Sequence[str]
    count: int

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Interactions":
        """Those of one table."""
        return cls(lambda: [table], table[USER].unique().tolist(), table[ITEM].unique().tolist(), len(table))


@dataclass(frozen=True)
class RawDataset:
    """Everything that a dataset folder is written from.

    Attributes:
        interactions: as they are.
        texts: columns of text by name, rows by item token; None without an item table.
        types: RecBole's types of those columns that are no ``token_seq``.
        features: tokens and rows of each modality.
        listed: items that there are whatever else names them.
        parts: train, valid or test for each interaction of one table; None without a split of its own.
        lists_users: whether users are listed in ``<name>.user``, so that with a split users and items are numbered as
            they are listed.
        said: lines on what became of the columns of its tables.
    """

    interactions: Interactions
    texts: Optional[pd.DataFrame] = None
    types: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, Vectors] = field(default_factory=dict)
    listed: Sequence[str] = ()
    parts: Optional[pd.Series] = None
    lists_users: bool = False
    said: Sequence[str] = ()

    def items(self) -> list[str]:
        """Every item once: those of interactions, of the item table, of vectors and those listed."""
        listed = [] if self.texts is None else self.texts.index.tolist()
        of_features = [token for tokens, _ in self.features.values() for token in tokens]
        return list(dict.fromkeys([*self.interactions.items, *self.listed, *listed, *of_features]))


def check_place(target: Path, overwrite: bool) -> None:
    """Refuse, before any work, a place where the folder cannot go.

    Raises:
        DataError: if it exists and may not be replaced, or holds something else than a dataset.
    """
    name = target.name
    if not name or UNFIT & set(name) or name.startswith("."):
        raise DataError(f"{shown(str(target))} does not name a dataset; give a folder such as data/mydata")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise DataError(f"{target} exists; give another place, or overwrite=True to replace it")
    if target.is_symlink() or not ((target / f"{name}.inter").is_file() or has_own_split(target, name)):
        raise DataError(f"{target} exists and is no dataset folder (no {name}.inter), so it is not replaced")


def write_dataset(raw: RawDataset, target: Path, overwrite: bool = False) -> list[str]:
    """Write the folder; gives lines on what is in it. Files of an older folder that no conversion wrote stay in it.

    Raises:
        DataError: as :func:`check_place`, if two ids differ in how they are written alone, or a file that stays would
            stand beside a new one of its modality.
        FeatureError: if no item of a modality has interactions or a line in the item table.
        WriteError: if it cannot be written; an older folder stays.

    Time and memory O(interactions + items + what is not mapped of the features).
    """
    check_place(target, overwrite)
    refuse_written_alike("users", raw.interactions.users)
    refuse_written_alike("items", raw.items())
    said = [*raw.said, *_summary(raw)]
    with dataset_folder(target, raw.features, said) as building:
        for part, tables in _parts(raw):
            _write_table(building / f"{target.name}{part}.inter", tables, TYPES)
        _write_table(building / f"{target.name}.item", [_item_table(raw)], {**raw.types, ITEM: "token"})
        if raw.lists_users:
            _write_table(building / f"{target.name}.user", [pd.DataFrame({USER: raw.interactions.users})], TYPES)
        for name, vectors in raw.features.items():
            write_vectors(building / FEATURES, name, vectors)
    return said


@contextlib.contextmanager
def dataset_folder(target: Path, modalities: Collection[str], said: list[str]) -> Iterator[Path]:
    """A folder to fill, which becomes the dataset at ``target`` with what it keeps of an older one, or nothing does.

    Args:
        modalities: names of those that are written.
        said: lines on the dataset, to which one on what was kept is added.

    Raises:
        DataError, WriteError: as :func:`write_dataset`.
    """
    above = [folder for folder in target.absolute().parents if not folder.exists()]
    try:
        with whole_folder(target) as building:
            yield building
            _write_manifest(building)
            kept = _kept_in(target, building, _replaced_in(target), modalities)
            for name in kept:
                _link(target / name, building / name)
            if kept:
                said.append(f"left as they are in {target}: {', '.join(kept[:10])}{', ...' if len(kept) > 10 else ''}")
    except BaseException:
        with contextlib.suppress(OSError):  # of one that somebody else put something into
            for folder in above:
                folder.rmdir()
        raise


def _parts(raw: RawDataset) -> Iterator[tuple[str, Iterable[pd.DataFrame]]]:
    """Interactions with what their file's name has before ``.inter``: all in one, or the parts of a split."""
    if raw.parts is None:
        yield "", raw.interactions.pieces()
        return
    (table,) = raw.interactions.pieces()
    yield from ((f".{part}", [table[raw.parts == part]]) for part in SPLITS)


def _write_manifest(folder: Path) -> None:
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): hash_of_regular(path, DataError) for path in written}
    (folder / MANIFEST).write_text(json.dumps({"sha256": hashes}, indent=1, ensure_ascii=False), encoding="utf-8")


def _written_before(folder: Path) -> dict[str, str]:
    """Hashes of what an earlier conversion wrote, by path; none where there is no list of them."""
    if not os.path.lexists(folder / MANIFEST):
        return {}
    try:
        hashes = json.loads(read_regular(folder / MANIFEST, DataError).decode("utf-8"))["sha256"]
        return {str(path): str(value) for path, value in hashes.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{folder / MANIFEST} is no list of what a conversion wrote; remove it, then its tables alone are replaced"
        ) from error


def _replaced_in(old: Path) -> set[str]:
    """Files of an older folder that are a conversion's: its tables, and what was written and not changed since."""
    tables = (".item", ".inter", *(f".{part}.inter" for part in SPLITS))
    written = _written_before(old).items()
    same = {
        name for name, value in written if (old / name).is_file() and hash_of_regular(old / name, DataError) == value
    }
    return {MANIFEST, *(f"{old.name}{table}" for table in tables), *same}


def _kept_in(old: Path, new: Path, replaced: Collection[str], modalities: Collection[str]) -> list[str]:
    """Files of the older folder that stay beside those of the new one."""
    kept = []
    for inside, folders, files in os.walk(old):
        links = [name for name in folders if os.path.islink(os.path.join(inside, name))]
        names = [Path(inside, name).relative_to(old).as_posix() for name in (*files, *links)]
        kept += [name for name in names if name not in replaced and not os.path.lexists(new / name)]
    beside = {f"{FEATURES}/{each}{ending}": each for each in modalities for ending in (*FEATURE_ENDINGS, *ID_ENDINGS)}
    for name in sorted(beside.keys() & set(kept)):
        raise DataError(
            f"{old / name} is not of a conversion and would stand beside the new vectors of '{beside[name]}'; move it "
            "away"
        )
    return sorted(kept)


def _link(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError:  # a file system without links
        shutil.copy2(old, new, follow_symlinks=False)


def _item_table(raw: RawDataset) -> pd.DataFrame:
    table = pd.DataFrame({ITEM: raw.items()})
    if raw.texts is None:
        return table
    return table.join(raw.texts, on=ITEM).fillna("")


def _write_table(path: Path, tables: Iterable[pd.DataFrame], types: Mapping[str, str]) -> None:
    """Tables of the same columns, one below the other; all is text, with neither tabs nor line ends by now."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for place, table in enumerate(tables):
            if not place:
                file.write("\t".join(f"{name}:{types.get(name, 'token_seq')}" for name in table) + "\n")
            for start in range(0, len(table), ROWS_AT_ONCE):
                rows = table.iloc[start : start + ROWS_AT_ONCE]
                columns = (rows.iloc[:, column].tolist() for column in range(len(rows.columns)))
                file.writelines("\t".join(row) + "\n" for row in zip(*columns))


def _summary(raw: RawDataset) -> list[str]:
    inter = raw.interactions
    seen, items = set(inter.items), raw.items()
    cold = len(items) - len(seen)
    ranked = "load_col with item: [item_id] ranks them" if raw.parts is None else "are ranked"
    users = counted(len(inter.users), "user")
    said = [f"{counted(inter.count, 'interaction')} of {users} with {counted(len(seen), 'item')}"]
    if cold:
        said.append(
            f"{cold:,} of {len(items):,} items have no interaction and are kept as cold items: they are in the .item "
            f"file, and {ranked}"
        )
    if raw.parts is not None:
        sizes = ", ".join(f"{int((raw.parts == part).sum()):,} in {part}" for part in SPLITS)
        said.append(f"the folder's own split is kept: {sizes}")
    known = seen | (set() if raw.texts is None else set(raw.texts.index))
    said += [_coverage(name, tokens, matrix, known, items) for name, (tokens, matrix) in raw.features.items()]
    if raw.texts is not None:
        for name in raw.texts:
            said.append(f"{name}: text of {int((raw.texts[name] != '').sum()):,} of {counted(len(items), 'item')}")
    return said


def _coverage(name: str, tokens: list[str], matrix: np.ndarray, known: set[str], items: list[str]) -> str:
    met = sum(token in known for token in tokens)
    if not met:
        some = f"{shown(tokens[0])} there and {shown(items[0])} here" if tokens else "no row at all"
        raise FeatureError(
            f"the features '{name}' name none of the items of the interactions ({some}); give the ids of its rows as "
            f"features={name}=PATH:IDS, or correct them"
        )
    beyond = f", {len(tokens) - met:,} of them of items that nothing else names" if met < len(tokens) else ""
    absent = f", {counted(len(items) - len(tokens), 'item has', 'items have')} none" if len(tokens) < len(items) else ""
    vectors = f"{counted(len(tokens), 'vector')} of {counted(matrix.shape[1], 'number')}"
    return f"{name}: {vectors} ({matrix.dtype}){beyond}{absent}"
