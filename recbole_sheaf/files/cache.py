"""Arrays kept on disk under a hash of everything they were made from, in a folder that only its user may write.

An entry that cannot be read back, or whose values are not those that were written, is made again; nothing is pickled; a
reader never sees half a file, because entries are written beside their place and moved there in one step, so two
processes may build the same entry at once.
"""

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from stat import S_IWGRP, S_IWOTH
from typing import Optional

import numpy as np

from recbole_sheaf.files.whole_files import whole_file

logger = logging.getLogger(__name__)

CHECKSUM = "checksum"  # name of the array of an entry that has the hash of the others

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
    """Write an ``.npz`` in one step: whoever looks sees the old file or the whole new one.

    Raises:
        WriteError: if it cannot be written.
    """
    with whole_file(path) as new:
        write_npz(new, arrays)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` as ``numpy.savez`` does, but that a disk which is full ends it without a trace of the archive.

    Raises:
        OSError: if it cannot be written.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def cached_arrays(
    path: Path, names: Sequence[str], build: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Take the named arrays from ``path``, or build them and keep them there.

    A folder that cannot be written, or that others may write, costs the caching and a warning, not the run.
    """
    try:
        make_private(path.parent)
    except OSError as error:
        logger.warning("nothing is taken from or kept in %s: %s", path.parent, error)
        return build()
    found = load_arrays(path, names)
    if found is not None:
        return found
    arrays = build()
    try:
        save_checked(path, arrays, names)
    except OSError as error:
        logger.warning("could not keep %s for the next run (%s)", path, error)
    return arrays


def save_checked(path: Path, arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Write an entry with the checksum by which :func:`load_arrays` knows it."""
    with whole_file(path, durable=False) as new:  # the checksum knows one that a loss of power took
        write_npz(new, {**arrays, CHECKSUM: _checksum(arrays, names)})


def make_private(folder: Path) -> None:
    """Make a folder of a cache and the one above it, for this user alone, or see that they are so.

    Raises:
        OSError: if one cannot be made, or is somebody else's or writable by others, who could have planted what is in
            it; the message says how to mend that.
    """
    for each in (folder.parent, folder):
        if not each.is_dir():
            each.parent.mkdir(parents=True, exist_ok=True)
            each.mkdir(mode=0o700, exist_ok=True)
        _refuse_shared(each)


def _refuse_shared(folder: Path) -> None:
    found = folder.stat()
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to user {found.st_uid}; set cache_dir to a folder of your own")
    if os.name == "posix" and found.st_mode & (S_IWGRP | S_IWOTH):
        raise PermissionError(
            f"others may write to {folder}; empty it and run chmod go-w on it, or set another cache_dir"
        )


def load_arrays(path: Path, names: Sequence[str]) -> Optional[dict[str, np.ndarray]]:
    """The named arrays of an entry; None, and a warning, where it is not whole."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as entry:
            arrays, checksum = {name: entry[name] for name in names}, entry[CHECKSUM]
    except (*UNREADABLE, MemoryError) as error:
        logger.warning("cache entry %s cannot be read (%s) and is made again", path, error)
        return None
    if not np.array_equal(checksum, _checksum(arrays, names)):
        logger.warning("the values in cache entry %s are not those that were written; it is made again", path)
        return None
    return arrays


def _checksum(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """SHA-256 of names, kinds, shapes and values; a second for a gigabyte."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\0".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data.cast("B") if arrays[name].size else b"")
    return np.frombuffer(digest.digest(), np.uint8)
