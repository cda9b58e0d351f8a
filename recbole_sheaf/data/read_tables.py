"""A table as a run read it: what its rows were, whatever their order, and which order that was.

RecBole numbers tokens in order of appearance and draws a random split over lines, so the same table in another order of
lines is another numbering and another split. Each row has a hash here. The sorted hashes prove what a table held, the
place of each row among them is the order, and the sums of the hashes of a user's or an item's rows tell whose differ.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Int, Int32, UInt64

from recbole_sheaf.errors import shown

BESIDE = "\0"  # begins the name of a column that goes with the rows of a table and is not of it
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no column's hash is lost beside the others


@dataclass(frozen=True, eq=False)
class TokenRows:
    """The tokens of a column, each with the sum of the hashes of its rows."""

    tokens: Sequence[str]
    sums: UInt64[np.ndarray, " tokens"]


@dataclass(frozen=True, eq=False)
class StoredTable:
    """What a checkpoint says of a table.

    Attributes:
        columns: that were read, in the table's order.
        digest: SHA-256 of the sorted hashes of its rows.
        order: place of each row among them.
        keys: the columns that say whose a row is.
    """

    columns: tuple[str, ...]
    digest: str
    order: Int32[np.ndarray, " rows"]
    keys: Mapping[str, TokenRows]


@dataclass(frozen=True, eq=False)
class ReadTable:
    """A table that was just read: the attributes of :class:`StoredTable`, and the hash of each row."""

    columns: tuple[str, ...]
    rows: UInt64[np.ndarray, " rows"]
    keys: Mapping[str, TokenRows] = field(default_factory=dict)

    @cached_property
    def by_hash(self) -> Int[np.ndarray, " rows"]:
        """Rows in the order of their hashes; equal rows as they stand."""
        return np.argsort(self.rows, kind="stable")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sorted hashes."""
        return hashlib.sha256(self.rows[self.by_hash]).hexdigest()

    @cached_property
    def order(self) -> Int32[np.ndarray, " rows"]:
        """Place of each row among the sorted hashes."""
        order = np.empty(len(self.rows), np.int32)
        order[self.by_hash] = np.arange(len(order), dtype=np.int32)
        return order

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """``order``, and for each key its tokens as bytes side by side, their lengths and their sums."""
        arrays: dict[str, np.ndarray] = {"order": self.order}
        for key, rows in self.keys.items():
            words = [token.encode("utf-8", "surrogatepass") for token in rows.tokens]
            arrays[f"{key}:tokens"] = np.frombuffer(bytearray(b"".join(words)), np.uint8)
            arrays[f"{key}:lengths"] = np.array([len(word) for word in words], np.int32)
            arrays[f"{key}:sums"] = rows.sums
        return arrays


def read_of(frame: pd.DataFrame, keys: Sequence[str]) -> ReadTable:
    """A table as it was read: the hashes of its rows, and of the tokens in the columns that say whose they are.

    The order of columns does not count. About 0.1 seconds for a million interactions.
    """
    rows, of_keys = np.zeros(len(frame), np.uint64), {}
    columns = [name for name in frame.columns if not name.startswith(BESIDE)]
    for name in sorted(columns):
        hashes, codes, tokens = _hashed(frame[name])
        rows *= MULTIPLIER
        rows += hashes
        of_keys[name] = codes, tokens
    rows = pd.util.hash_array(rows)
    return ReadTable(tuple(columns), rows, {name: _summed(*of_keys[name], rows) for name in keys})


def is_of(stored: StoredTable, read: ReadTable) -> bool:
    """Whether a table has the rows and columns that are stored, in any order."""
    same = set(read.columns) == set(stored.columns) and len(read.rows) == len(stored.order)
    return same and read.digest == stored.digest


def in_order_of(frame: pd.DataFrame, read: ReadTable, stored: StoredTable) -> pd.DataFrame:
    """The rows of a table, equal in both, in the stored order."""
    order = read.by_hash[stored.order]
    return frame if (np.diff(order) == 1).all() else frame.iloc[order].reset_index(drop=True)


def differences(read: ReadTable, stored: StoredTable) -> str:
    """Words for what differs: whose rows are gone, are new, or are others than they were."""
    if set(read.columns) != set(stored.columns):
        return f"its columns were {', '.join(stored.columns)} and are {', '.join(read.columns)}"
    said = []
    if len(read.rows) != len(stored.order):
        said.append(f"it had {len(stored.order):,} rows and has {len(read.rows):,}")
    for name in sorted(set(read.keys) & set(stored.keys)):
        then, now = ({t: int(s) for t, s in zip(k.tokens, k.sums)} for k in (stored.keys[name], read.keys[name]))
        kinds = {
            "{} that it had is gone": [token for token in then if token not in now],
            "{} that it has is new": [token for token in now if token not in then],
            "{} has other rows": [token for token in now if token in then and now[token] != then[token]],
        }
        said += [form.format(_first(name, tokens)) for form, tokens in kinds.items() if tokens]
    return "; ".join(said) or "its rows are others"


def _first(name: str, tokens: Sequence[str]) -> str:
    more = f" (and {len(tokens) - 1:,} more)" if len(tokens) > 1 else ""
    return f"{name} {shown(tokens[0])}{more}"


def _hashed(column: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hash of each value, and of a column of tokens their codes and the tokens."""
    if column.dtype.kind in "biuf":
        return pd.util.hash_array(column.to_numpy()), np.empty(0, np.int64), np.empty(0, object)
    values = column.to_numpy(dtype=object)
    if len(values) and isinstance(values[0], np.ndarray):
        values = np.array(["\x1f".join(map(str, words.tolist())) for words in values], dtype=object)
    codes, tokens = pd.factorize(values)
    hashes = pd.util.hash_array(np.asarray(tokens, dtype=object), categorize=False)
    return np.append(hashes, np.uint64(0))[codes], codes, tokens  # the last is that of a missing value, coded -1


def _summed(codes: np.ndarray, tokens: np.ndarray, rows: UInt64[np.ndarray, " rows"]) -> TokenRows:
    sums = np.zeros(len(tokens), np.uint64)
    np.add.at(sums, codes, rows)
    return TokenRows(tokens.tolist(), sums)
