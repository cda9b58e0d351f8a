"""Files of strangers, opened so that reading them ends: regular files that fit the memory, no pipes and no devices."""

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

from recbole_sheaf.errors import SheafError

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe nobody writes to would wait
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))


def open_regular(path: Path, error: type[SheafError]) -> BinaryIO:
    """Open a file for reading.

    Raises:
        error: if it is absent, may not be read, or is a folder, a pipe or a device.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise error(f"{path.name} cannot be read ({reason}); check that {path} is there and may be read") from cause
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no file")
    raise error(f"{path.name} cannot be read (it is {kind}); expected a regular file at {path}")


class FileState(NamedTuple):
    """By what a file that was replaced or written to is told from the one before."""

    device: int
    number: int
    size: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> "FileState":
        """From what the system says of a file."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def state_of(path: Path) -> Optional[FileState]:
    """Of the file at a path as it is now, links followed; None where nothing can be found."""
    try:
        return FileState.of(path.stat())
    except OSError:
        return None


def read_regular(path: Path, error: type[SheafError]) -> bytes:
    """The content of a file.

    Raises:
        error: as :func:`open_regular`, and if the file is larger than the memory of this machine.
    """
    with open_regular(path, error) as file:
        refuse_beyond_memory(path.name, os.fstat(file.fileno()).st_size, error)
        return file.read()


def hash_of_regular(path: Path, error: type[SheafError]) -> str:
    """SHA-256 in hex of the content of a file, a mebibyte of which is held at once.

    Raises:
        error: as :func:`open_regular`.
    """
    digest = hashlib.sha256()
    with open_regular(path, error) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def refuse_beyond_memory(source: str, size: int, error: type[SheafError]) -> None:
    """Refuse a size that the machine's memory could not hold, before so much is asked for."""
    memory = _memory()
    if size > memory:
        raise error(
            f"{source} would take {_gibibytes(size)} of memory and this machine has {_gibibytes(memory)}; "
            "check that the file is whole, or take a part of it"
        )


def _memory() -> int:
    """Bytes of physical memory; the most a process can address where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not POSIX
        return 2**63 - 1


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
