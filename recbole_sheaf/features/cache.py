"""Arrays kept on disk under a hash of everything they were made from.

An entry that cannot be read back is made again; nothing is pickled; a reader never sees half a file, because entries
are written beside their place and moved there in one step, so two processes may build the same entry at once.
"""

import hashlib
import logging
import os
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Optional

import numpy as np

logger = logging.getLogger(__name__)

#: What numpy and zipfile raise on a file that is damaged, cut short or something else altogether.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


def content_key(parts: Iterable[str]) -> str:
    """SHA-256 in hex of a sequence of strings; each goes in with its length, so no two sequences run together."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an ``.npz`` in one step: whoever looks sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cached_arrays(
    path: Path, names: Sequence[str], build: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Take the named arrays from ``path``, or build them and keep them there.

    A folder that cannot be written costs the caching and a warning, not the run.
    """
    found = _load(path, names)
    if found is not None:
        return found
    arrays = build()
    try:
        save_arrays(path, **arrays)
    except OSError as error:
        logger.warning("could not keep %s for the next run (%s)", path, error)
    return arrays


def _load(path: Path, names: Sequence[str]) -> Optional[dict[str, np.ndarray]]:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as entry:
            return {name: entry[name] for name in names}
    except UNREADABLE as error:
        logger.warning("cache entry %s cannot be read (%s) and is made again", path, error)
        return None
