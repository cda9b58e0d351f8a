"""What a model was built on, so that its checkpoint knows whose rows it holds, and the same data put back as they were.

A ``Config`` notes what is read for it: tables, parts of the split, content. A checkpoint holds the notes. Where its run
is rebuilt, each table is put into the order in which the run had it before RecBole sees it: numbers, splits and sums
follow to the last bit, and no tensor is permuted. Other data are refused by what differs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbole_sheaf.data.read_tables import ReadTable, StoredTable, TokenRows, differences, in_order_of, is_of, read_of
from recbole_sheaf.errors import CheckpointError, first_line, shown
from recbole_sheaf.features import ModalityFeatures

REMEDY = "give the data of its run, lines in any order, or train again"


@dataclass(frozen=True, eq=False)
class StoredData:
    """What a checkpoint says of the data of its run.

    Attributes:
        path: of the checkpoint.
        tables: that RecBole loaded, by name of file.
        texts: that text modalities were made of, by name of modality.
        parts: SHA-256 of the numbering of tokens, and of each part of the split.
        features: a hash of each item's row, of each modality.
    """

    path: Path
    tables: Mapping[str, StoredTable]
    texts: Mapping[str, StoredTable]
    parts: Mapping[str, str]
    features: Mapping[str, np.ndarray]


@dataclass(eq=False)
class DataRead:
    """What was read for a ``Config``, attribute by attribute of :class:`StoredData`; ``expected`` is such a one."""

    tables: dict[str, ReadTable] = field(default_factory=dict)
    texts: dict[str, ReadTable] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    features: Mapping[str, ModalityFeatures] = field(default_factory=dict)
    expected: Optional[StoredData] = None

    def table(self, name: str, frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
        """Record a table that RecBole loads; gives it in the expected order.

        Raises:
            CheckpointError: if another was expected.
        """
        return self._noted("tables", name, name, frame, keys)

    def columns(self, name: str, there: list[str]) -> list[str]:
        """The columns of a table that is about to be loaded, in the expected order."""
        stored = self.expected.tables.get(name) if self.expected else None
        return there if stored is None else sorted(there, key=[*stored.columns, *there].index)

    def text(self, modality: str, frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
        """Record the text of a modality; gives it in the expected order (CheckpointError as of :meth:`table`)."""
        name = f"the text of modality '{modality}'"
        return self._noted("texts", modality, name, frame, keys)

    def _noted(self, kind: str, key: str, name: str, frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
        noted: dict[str, ReadTable] = getattr(self, kind)
        noted[key] = read = read_of(frame, [column for column in keys if column in frame])
        if self.expected is None:
            return frame
        expected: Mapping[str, StoredTable] = getattr(self.expected, kind)
        if key not in expected:
            raise _other_data(self.expected.path, f"it did not read {name}, which is there now")
        stored = expected[key]
        if not is_of(stored, read):
            raise _other_data(self.expected.path, f"of {name}, {differences(read, stored)}")
        return in_order_of(frame, read, stored)

    def refuse_other_split(self) -> None:
        """Refuse a split that is not the expected one; called after a dataset was loaded and split.

        Raises:
            CheckpointError: naming a table that is gone, or the part that is another.
        """
        if self.expected is None:
            return
        path = self.expected.path
        if gone := sorted(set(self.expected.tables) - set(self.tables)):
            raise _other_data(path, f"it read {gone[0]}, which is not there now")
        if other := [name for name in self.expected.parts if self.expected.parts[name] != self.parts.get(name)]:
            raise CheckpointError(
                f"{path} is of the same tables, but this release makes another {other[0]} of them; its settings were "
                "altered, or use the release that wrote it"
            )

    def refuse_other_content(self, dataset: Any) -> None:
        """Refuse content that is not the expected one; called after a model was built on a dataset.

        Raises:
            CheckpointError: naming the modality and the first item whose row is another.
        """
        if self.expected is None:
            return
        path, expected = self.expected.path, self.expected.features
        if set(self.features) != set(expected):
            had, has = (", ".join(sorted(names)) or "none" for names in (expected, self.features))
            raise _other_data(path, f"its modalities were {had} and are {has}")
        for name, features in self.features.items():
            now, then = features.row_hashes, expected[name]
            if now.shape != then.shape:
                raise _other_data(path, f"modality '{name}' had {len(then):,} items and has {len(now):,}")
            if len(other := np.flatnonzero(now != then)):
                first = shown(str(dataset.id2token(dataset.iid_field, other[0])))
                raise _other_data(path, f"modality '{name}' has other rows of {len(other):,} items (first: {first})")

    def packed(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The record as JSON and tensors for a checkpoint; 4 bytes for a row of a table, beside the tokens."""
        tensors: dict[str, Tensor] = {f"features:{name}": _tensor(f.row_hashes) for name, f in self.features.items()}
        about: dict[str, Any] = {"parts": self.parts, "features": list(self.features)}
        for kind, tables in (("tables", self.tables), ("texts", self.texts)):
            about[kind] = {
                name: {"columns": list(table.columns), "digest": table.digest, "keys": list(table.keys)}
                for name, table in tables.items()
            }
            for name, table in tables.items():
                tensors |= {f"{kind}:{name}:{part}": _tensor(array) for part, array in table.arrays.items()}
        return about, tensors

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that was read, in that order; to be asked for once all of it was read."""
        about, tensors = self.packed()
        content = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for name in sorted(tensors):
            content.update(tensors[name].numpy().tobytes())
        return content.hexdigest()


def data_read(config: Any) -> DataRead:
    """The record of what was read for a ``Config`` so far."""
    return vars(config).setdefault("data_read", DataRead())


def read_for_model(config: Any, loaded: Any) -> None:
    """Start recording what a model reads, on a dataset that was loaded for ``loaded``, perhaps another ``Config``."""
    theirs = data_read(loaded)
    vars(config)["data_read"] = DataRead(theirs.tables, parts=theirs.parts, expected=theirs.expected)


def note_parts(dataset: Any, parts: Sequence[Any]) -> None:
    """Record the number of each token and the interactions of each part; 0.05 seconds for a million."""
    fields = [name for name in (dataset.uid_field, dataset.iid_field) if name]
    digests = {"numbering": hashlib.sha256()}
    for name in fields:
        digests["numbering"].update("\0".join(dataset.field2id_token[name].tolist()).encode("utf-8", "surrogatepass"))
    for number, part in enumerate(parts):
        digests[f"part {number + 1} of the split"] = digest = hashlib.sha256()
        for name in fields:
            digest.update(part.inter_feat[name].numpy().tobytes())
    data_read(dataset.config).parts = {name: digest.hexdigest() for name, digest in digests.items()}


def stored_data(path: Path, about: Any, tensors: Any) -> StoredData:
    """What a checkpoint says of the data of its run, checked for its form.

    Raises:
        CheckpointError: if it is not as :meth:`DataRead.packed` gives it.
    """
    try:
        tables, texts = (_stored_tables(kind, about[kind], tensors) for kind in ("tables", "texts"))
        parts = {str(name): _typed(digest, str) for name, digest in about["parts"].items()}
        features = {
            _typed(name, str): _array(tensors, f"features:{name}", torch.int64).view(np.uint64)
            for name in about["features"]
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"what {path} says of its data is not as we write it ({first_line(error)}); copy it again"
        ) from error
    return StoredData(path, tables, texts, parts, features)


def _stored_tables(kind: str, about: Any, tensors: Any) -> dict[str, StoredTable]:
    tables = {}
    for name, table in about.items():
        order = _array(tensors, f"{kind}:{name}:order", torch.int32)
        if not np.array_equal(np.sort(order), np.arange(len(order))):
            raise ValueError(f"the order of {shown(name)} is none")
        keys = {_typed(key, str): _stored_tokens(f"{kind}:{name}:{key}", tensors) for key in table["keys"]}
        columns = tuple(_typed(column, str) for column in table["columns"])
        tables[name] = StoredTable(columns, _typed(table["digest"], str), order, keys)
    return tables


def _stored_tokens(place: str, tensors: Any) -> TokenRows:
    body = _array(tensors, f"{place}:tokens", torch.uint8).tobytes()
    lengths = _array(tensors, f"{place}:lengths", torch.int32).astype(np.int64)
    sums = _array(tensors, f"{place}:sums", torch.int64).view(np.uint64)
    if (lengths < 0).any() or lengths.sum() != len(body) or len(lengths) != len(sums):
        raise ValueError(f"the tokens of {shown(place)} do not fit their lengths")
    return TokenRows(_Tokens(body, np.cumsum(lengths)), sums)


class _Tokens(Sequence[str]):
    """Tokens side by side, each taken out when it is asked for: nearly always none is."""

    def __init__(self, body: bytes, ends: np.ndarray) -> None:
        self.body, self.ends = body, ends

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, place: Any) -> Any:
        if place >= len(self.ends):
            raise IndexError(place)
        start = self.ends[place - 1] if place else 0
        return self.body[start : self.ends[place]].decode("utf-8", "replace")


def _array(tensors: Any, name: str, dtype: torch.dtype) -> np.ndarray:
    tensor = tensors[name]
    if not isinstance(tensor, Tensor) or tensor.dtype != dtype or tensor.ndim != 1:
        raise ValueError(f"{shown(name)} is no list of {dtype}")
    return tensor.numpy()


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{shown(value)} is no {kind.__name__}")
    return value


def _tensor(array: np.ndarray) -> Tensor:
    """As a tensor, 64 bits without a sign as such with one."""
    return torch.from_numpy(array.view(np.int64) if array.dtype == np.uint64 else array)


def _other_data(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} was trained on other data: {what}; {REMEDY}")
