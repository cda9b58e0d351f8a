"""Raw content into vectors, in batches, each item once: what was encoded is kept by its content and its encoder.

An encoder is named by a key that says which model it is. Vectors lie in the cache under that key, found again by a hash
of the content, so a command that was stopped goes on where it was, and new items cost themselves alone.
"""

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
from tqdm import tqdm

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.files.cache import content_key, load_arrays, make_private, save_checked
from recbole_sheaf.files.regular_files import hash_of_regular
from recbole_sheaf.workers.in_order import in_order
from recbole_sheaf.workers.pools import Workers
from recbole_sheaf.workers.threads import threads_limited

logger = logging.getLogger(__name__)

ROWS = ("key", "feature")
SHARD = 256  # items, and the rest of a batch, that a stopped command loses at most
Rows = list[Optional[np.ndarray]]


@dataclass(frozen=True)
class Encoder:
    """A model that makes vectors.

    Attributes:
        key: says which model it is, weights included.
        encode: from a batch of contents, a row for each; None for a content that cannot be decoded.
        batch_size: contents in a batch.
    """

    key: str
    encode: Callable[[Sequence[Any]], Rows]
    batch_size: int


@dataclass(frozen=True)
class Recipe:
    """How an encoder is made, as plain data that travel to workers.

    Attributes:
        make: a function of a module.
        arguments: of it.
    """

    make: Callable[..., Encoder]
    arguments: tuple

    def encoder(self) -> Encoder:
        """The encoder, loaded once in each process."""
        return _made(self)


@functools.lru_cache(maxsize=1)
def _made(recipe: Recipe) -> Encoder:
    return recipe.make(*recipe.arguments)


@dataclass(frozen=True)
class Elsewhere:
    """Workers that encode.

    Attributes:
        workers: entered when there is something to encode; they must see files under the paths they have here.
        recipe: of the encoder, which each loads once.
        threads: of each worker, on which the last digits of a vector may depend.
    """

    workers: Workers
    recipe: Recipe
    threads: Optional[int]


@dataclass(frozen=True)
class Encoded:
    """Vectors of the items that have one, and tokens of those whose content could not be decoded."""

    tokens: list[str]
    matrix: np.ndarray
    undecoded: list[str]


def encode_items(
    tokens: Sequence[str],
    contents: Sequence[Any],
    hashes: Sequence[str],
    encoder: Encoder,
    cache_dir: Path,
    elsewhere: Optional[Elsewhere] = None,
) -> Encoded:
    """Encode each item's content once, in batches, from the cache where it was encoded before.

    Args:
        tokens: of the items.
        contents: what the encoder takes, one for each token.
        hashes: of the contents; equal ones are encoded once.
        encoder: the model.
        cache_dir: vectors are kept below it.
        elsewhere: workers that take the batches; None encodes here. The batches are the same, and so are the vectors.

    Raises:
        ConfigError: if a worker has another model under the encoder's name.
        DataError: if a worker finds another content in a file.
        WorkersGone: as :func:`~recbole_sheaf.workers.in_order.in_order`.

    Time that of the encoder on what is not kept yet; memory O(items dim).
    """
    kept = _Kept(Path(cache_dir) / "encoded" / content_key([encoder.key])[:32])
    waiting = {digest: content for digest, content in zip(hashes, contents) if digest not in kept.rows}
    logger.info("%d of %d items are encoded already", len(tokens) - sum(h in waiting for h in hashes), len(tokens))
    undecoded = set()
    batches = _batches(list(waiting), encoder.batch_size)
    with tqdm(total=len(waiting), desc="encoding", unit="item", disable=len(waiting) < 2 * encoder.batch_size) as bar:
        for rows, batch in zip(_rows(batches, waiting, encoder, elsewhere), batches):
            for digest, row in zip(batch, rows):
                if row is None:
                    undecoded.add(digest)
                else:
                    kept.add(digest, row)
            kept.write(SHARD)
            bar.update(len(batch))
    kept.write()
    there = [(token, digest) for token, digest in zip(tokens, hashes) if digest not in undecoded]
    found = [kept.rows[digest] for _, digest in there]
    matrix = np.stack(found) if found else np.zeros((0, 1), np.float32)
    return Encoded(
        [token for token, _ in there], matrix, [t for t, digest in zip(tokens, hashes) if digest in undecoded]
    )


def _rows(
    batches: list[list[str]], waiting: dict[str, Any], encoder: Encoder, elsewhere: Optional[Elsewhere]
) -> Iterator[Rows]:
    """Rows of each batch in turn."""
    if elsewhere is None or not batches:
        for batch in batches:
            yield encoder.encode([waiting[digest] for digest in batch])
        return
    shards = (
        (elsewhere.recipe, encoder.key, [waiting[digest] for digest in batch], batch, elsewhere.threads)
        for batch in batches
    )
    with elsewhere.workers:
        yield from in_order(elsewhere.workers, encode_batch, shards)


def encode_batch(recipe: Recipe, key: str, contents: list[Any], hashes: list[str], threads: Optional[int]) -> Rows:
    """Rows of one batch, on a worker, which may be on another machine."""
    encoder = recipe.encoder()
    if encoder.key != key:
        raise ConfigError(
            "a worker has other weights of the model under its name than this process; let all machines see the same "
            "files"
        )
    for content, digest in zip(contents, hashes):
        if isinstance(content, Path) and hash_of_regular(content, DataError) != digest:
            raise DataError(
                f"a worker finds another content in {content} than this process; let all machines see the same files"
            )
    with threads_limited(threads):
        return encoder.encode(contents)


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

    def write(self, least: int = 1) -> None:
        """Write the vectors that are not on disk yet, if there are so many; after whole batches, which a stop keeps."""
        if len(self._fresh) >= least:
            arrays = {"key": np.array(self._fresh), "feature": np.stack([self.rows[d] for d in self._fresh])}
            save_checked(self.folder / f"{content_key(self._fresh)[:32]}.npz", arrays, ROWS)
            self._fresh = []


def _batches(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
