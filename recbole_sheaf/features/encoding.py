"""Raw content into vectors, in batches, each item once: what was encoded is kept by its content and its encoder.

An encoder is named by a key that says which model it is. Vectors lie in the cache under that key, found again by a hash
of the content, so a command that was stopped goes on where it was, and new items cost themselves alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
from tqdm import tqdm

from recbole_sheaf.files.cache import content_key, load_arrays, make_private, save_checked

logger = logging.getLogger(__name__)

ROWS = ("key", "feature")
SHARD = 256  # items that a stopped command loses at most


@dataclass(frozen=True)
class Encoder:
    """A model that makes vectors.

    Attributes:
        key: says which model it is, weights included.
        encode: from a batch of contents, a row for each; None for a content that cannot be decoded.
        batch_size: contents in a batch.
    """

    key: str
    encode: Callable[[Sequence[Any]], list[Optional[np.ndarray]]]
    batch_size: int


@dataclass(frozen=True)
class Encoded:
    """Vectors of the items that have one, and tokens of those whose content could not be decoded."""

    tokens: list[str]
    matrix: np.ndarray
    undecoded: list[str]


def encode_items(
    tokens: Sequence[str], contents: Sequence[Any], hashes: Sequence[str], encoder: Encoder, cache_dir: Path
) -> Encoded:
    """Encode each item's content once, in batches, from the cache where it was encoded before.

    Args:
        tokens: of the items.
        contents: what the encoder takes, one for each token.
        hashes: of the contents; equal ones are encoded once.
        encoder: the model.
        cache_dir: vectors are kept below it.

    Time that of the encoder on what is not kept yet; memory O(items dim).
    """
    kept = _Kept(Path(cache_dir) / "encoded" / content_key([encoder.key])[:32])
    waiting = {digest: content for digest, content in zip(hashes, contents) if digest not in kept.rows}
    logger.info("%d of %d items are encoded already", len(tokens) - sum(h in waiting for h in hashes), len(tokens))
    undecoded = set()
    with tqdm(total=len(waiting), desc="encoding", unit="item", disable=len(waiting) < 2 * encoder.batch_size) as bar:
        for batch in _batches(list(waiting), encoder.batch_size):
            for digest, row in zip(batch, encoder.encode([waiting[digest] for digest in batch])):
                if row is None:
                    undecoded.add(digest)
                else:
                    kept.add(digest, row)
            bar.update(len(batch))
    kept.write()
    there = [(token, digest) for token, digest in zip(tokens, hashes) if digest not in undecoded]
    rows = [kept.rows[digest] for _, digest in there]
    matrix = np.stack(rows) if rows else np.zeros((0, 1), np.float32)
    return Encoded(
        [token for token, _ in there], matrix, [t for t, digest in zip(tokens, hashes) if digest in undecoded]
    )


class _Kept:
    """Vectors by the hash of their content, in a folder of shards that are written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, np.ndarray] = {}
        self._fresh: list[str] = []
        make_private(folder)
        for path in sorted(folder.glob("*.npz")):
            arrays = load_arrays(path, ROWS)
            if arrays is not None:
                self.rows.update(zip(arrays["key"].tolist(), arrays["feature"]))

    def add(self, digest: str, row: np.ndarray) -> None:
        self.rows[digest] = row
        self._fresh.append(digest)
        if len(self._fresh) >= SHARD:
            self.write()

    def write(self) -> None:
        """Write the vectors that are not on disk yet."""
        if self._fresh:
            arrays = {"key": np.array(self._fresh), "feature": np.stack([self.rows[d] for d in self._fresh])}
            save_checked(self.folder / f"{content_key(self._fresh)[:32]}.npz", arrays, ROWS)
            self._fresh = []


def _batches(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
