"""Files and folders that appear whole or not at all: what was there stays until all of the new is written.

A writer works in a folder of its own beside the place, ``.building-<random>``, whose file ``lock`` it holds as long as
it lives, and moves what it made to the place in one step. A full disk, an error or a kill at any moment leaves the old
or the new, never something between; what a killed writer left is cleared by the next one that writes beside it. Several
may write to one place at once: each builds its own, the last to end stays.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Union

from filelock import FileLock, Timeout

from recbole_sheaf.errors import WriteError, first_line

BUILDING, LOCK = ".building-", "lock"
_PLACE_OF_WORK = re.compile(rf"{re.escape(BUILDING)}[^/]+/(new/)?")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux

Errors = tuple[type[BaseException], ...]


@contextlib.contextmanager
def whole_file(path: Union[str, Path], causes: Errors = (), durable: bool = True) -> Iterator[Path]:
    """A path to write a file to, which replaces the one at ``path`` when the block ends without an error.

    Folders above it are made. A symbolic link stays, and what it names is replaced; the new file has the rights of the
    old one.

    Args:
        causes: errors, beside ``OSError``, by which a library says that it cannot write.
        durable: wait until the disk has it, so that it outlives a loss of power; False for what is made again easily.

    Raises:
        WriteError: if it cannot be written; then nothing is left of it, and an older file stays.

    Beside the writing itself some tenths of a millisecond, and where it is durable what the disk takes.
    """
    with _said(path, causes):
        place = Path(os.path.realpath(path))
        if place.exists() and not place.is_file():
            raise WriteError(f"{path} cannot be written, since it is no regular file; give the path of a file")
        with _workplace(place.parent) as work:
            new = work / place.name
            yield new
            _with_rights_of(place, new)
            move_file(new, place) if durable else os.replace(new, place)


@contextlib.contextmanager
def whole_folder(path: Union[str, Path], durable: bool = True) -> Iterator[Path]:
    """An empty folder to fill, which replaces the one at ``path`` when the block ends without an error.

    Args:
        durable: as of :func:`whole_file`.

    Raises:
        WriteError: if it cannot be written; then nothing is left of it, and an older folder stays.
    """
    with _said(path):
        place = Path(os.path.abspath(path))
        with _workplace(place.parent) as work:
            new = work / "new" / place.name
            new.mkdir(parents=True)
            yield new
            if durable:
                for each in (*new.rglob("*"), new):
                    _sync(each)
            if os.path.lexists(place) or not _taken(new, place):
                _exchanged(new, place, work)
            if durable:
                _sync(place.parent)


@contextlib.contextmanager
def whole_files_in(folder: Union[str, Path]) -> Iterator[Path]:
    """An empty folder to fill, whose files go into ``folder`` when the block ends without an error; others stay there.

    Each file appears whole. A kill while they are moved, which takes microseconds, may leave some of the older ones.

    Raises:
        WriteError: if they cannot be written.
    """
    with _said(folder):
        place = Path(os.path.realpath(folder))
        with _workplace(place) as work:
            new = work / "new"
            new.mkdir()
            yield new
            made = sorted(path for path in new.rglob("*") if path.is_file())
            for path in made:
                _sync(path)
            for path in made:
                target = Path(os.path.realpath(place / path.relative_to(new)))
                target.parent.mkdir(parents=True, exist_ok=True)
                _with_rights_of(target, path)
                os.replace(path, target)
            _sync(place)


def write_whole(path: Union[str, Path], content: Union[str, bytes], durable: bool = True) -> None:
    """Write a file of bytes, or of text in UTF-8, as :func:`whole_file` does.

    Raises:
        WriteError: if it cannot be written.
    """
    with whole_file(path, durable=durable) as new:
        new.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def _with_rights_of(old: Path, new: Path) -> None:
    if old.exists():
        shutil.copymode(old, new)


def move_file(source: Path, target: Path) -> None:
    """Move a file within a file system, and wait until the disk has it at its new place."""
    _sync(source)
    os.replace(source, target)
    _sync(target.parent)


def append_json(path: Union[str, Path], row: str) -> None:
    """Add a line of JSON at the end of a file, whole or not at all; of two processes none loses a line.

    Half a row, which a kill left at the end, goes.

    Raises:
        WriteError: if it cannot be written.
    """
    content = f"{row}\n".encode()
    with _said(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        fresh, written = not os.path.lexists(path), 0
        with open(path, "ab+", buffering=0) as file:
            _hold(file)
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                content = _end_of_line(file) + content
            try:
                while written < len(content):
                    written += os.write(file.fileno(), content[written:])
            except OSError:
                with contextlib.suppress(OSError):  # of a pipe or a device
                    if not file.truncate(file.seek(0, os.SEEK_END) - written) and fresh:
                        os.unlink(path)
                raise


def _hold(file: FileIO) -> None:
    """Keep others from appending until the file is closed; where there are no locks, one write at the end has to do."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _end_of_line(file: FileIO) -> bytes:
    """What ends the last line of a file that has no end of line; if that line is no JSON, it is cut off."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    if file.read(1) == b"\n":
        return b""
    file.seek(0)
    content = file.read()
    start = content.rfind(b"\n") + 1
    try:
        json.loads(content[start:])
    except ValueError:
        file.truncate(start)
        return b""
    return b"\n"


@contextlib.contextmanager
def _said(path: Union[str, Path], causes: Errors = ()) -> Iterator[None]:
    """Say in one sentence what the system, or a library, refuses."""
    refusals: Errors = (OSError, *causes)
    try:
        yield
    except WriteError:
        raise
    except refusals as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        sentence = (
            f"{path} cannot be written ({reason}); what was there stays: make room, or give a place in a folder of "
            "yours"
        )
        raise WriteError(_PLACE_OF_WORK.sub("", sentence)) from error


@contextlib.contextmanager
def _workplace(parent: Path) -> Iterator[Path]:
    """A folder in ``parent`` that is gone in the end; those that dead writers left there go first."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, f"{parent} is no folder") from error
    clear_leftovers(parent)
    work, lock = _locked(parent)
    try:
        yield work
    finally:
        lock.release()
        _remove(work)


def _locked(parent: Path) -> tuple[Path, FileLock]:
    """A new folder and its lock; one that somebody took for a leftover before it was locked is made anew."""
    while True:
        work = Path(tempfile.mkdtemp(prefix=BUILDING, dir=parent))
        lock = FileLock(work / LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # the latter where it is cleared before it could be locked
            continue
        except BaseException:
            _remove(work)
            raise
        if (work / LOCK).exists():
            return work, lock
        lock.release()


def clear_leftovers(parent: Path) -> None:
    """Remove what killed writers left in a folder; of one that is at work the lock is held."""
    for left in parent.glob(f"{BUILDING}*"):
        try:
            there = os.listdir(left)
            if there and LOCK not in there:
                continue  # a folder of somebody else's
            with FileLock(left / LOCK, timeout=0):
                _put_back(left, parent)
                _remove(left)
        except (OSError, Timeout, NotImplementedError):  # at work, somebody else's, or cleared at this moment
            continue


def _remove(work: Path) -> None:
    """The lock goes last: without one, what a kill at this moment leaves would be taken for somebody else's."""
    with contextlib.suppress(OSError):
        for path in work.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink()
        (work / LOCK).unlink(missing_ok=True)
        work.rmdir()


def _put_back(left: Path, parent: Path) -> None:
    """An old folder whose writer was killed between taking it away and putting the new one there."""
    for old in (left / "old").glob("*"):
        if not os.path.lexists(parent / old.name):
            os.rename(old, parent / old.name)


def _taken(new: Path, place: Path) -> bool:
    """Whether a folder took a place where none was; False if another writer was there a moment earlier."""
    try:
        os.rename(new, place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _exchanged(new: Path, place: Path, work: Path) -> None:
    """Put a folder into the place of another, which then is in the workplace."""
    if _exchange(new, place):
        return
    old = work / "old" / place.name
    old.parent.mkdir()
    os.rename(place, old)
    try:
        os.rename(new, place)
    except OSError:
        os.rename(old, place)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    places = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return rename is not None and rename(*places, _RENAME_EXCHANGE) == 0


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder; some file systems cannot say that of folders."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)
