"""Files at addresses, ``s3://bucket/name`` or of any other protocol of fsspec: fetched whole, and put there whole.

What reads and writes files knows paths alone. A source is fetched into a temporary folder first; a target is written
there and goes to its address when it is finished, in one step as far as the protocol has one.
"""

import contextlib
import hashlib
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recbole_sheaf.errors import ConfigError, DataError, EnvironmentMismatch, SheafError, WriteError, first_line

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://")
_WITH_BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss")
_OF_LIBRARIES = {  # what libraries of protocols raise beside OSError and ValueError, where they are loaded
    "aiohttp": "ClientError",
    "azure.core.exceptions": "AzureError",
    "botocore.exceptions": "BotoCoreError",
    "google.auth.exceptions": "GoogleAuthError",
    "paramiko": "SSHException",
}


def is_address(given: str) -> bool:
    """Whether a text begins with a protocol, and is no path."""
    return _ADDRESS.match(given) is not None


def is_known(given: str) -> bool:
    """Whether a text is an address of a protocol that fsspec knows, its library installed or not."""
    import fsspec

    found = _ADDRESS.match(given)
    return found is not None and found[1] in fsspec.available_protocols()


@contextlib.contextmanager
def fetched(address: str) -> Iterator[Path]:
    """A path under which the file, or the files of the folder, at an address lie as long as the block runs.

    Raises:
        ConfigError: if there is no such protocol.
        EnvironmentMismatch: if its library is not installed.
        DataError: if nothing is there, it may not be read, came cut short, or is larger than the disk has room.

    Disk and time those of the file; the log has its SHA-256.
    """
    system, place = _opened(address)
    if _is_local(system):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="recbole-sheaf-") as folder:
        target = Path(folder) / _name_of(address, place)
        try:
            _fetch(system, address, place, target)
        except SheafError:
            raise
        except _refusals() as error:
            raise DataError(
                f"{address} cannot be read ({_reason(error, place)}); check that it is there and that your "
                "credentials may read it"
            ) from error
        yield target


@contextlib.contextmanager
def put_up(address: str) -> Iterator[Path]:
    """A path to write a file to, which goes to an address when the block ends without an error.

    Raises:
        ConfigError: if there is no such protocol.
        EnvironmentMismatch: if its library is not installed.
        WriteError: if it cannot be written there; of a bucket that is absent, before the block runs.
    """
    system, place = _opened(address)
    if _is_local(system):
        yield Path(place)
        return
    _refuse_absent_bucket(system, address, place)
    with tempfile.TemporaryDirectory(prefix="recbole-sheaf-") as folder:
        made = Path(folder) / _name_of(address, place)
        yield made
        try:
            with system.transaction:
                system.put_file(str(made), place)
        except _refusals() as error:
            raise _not_written(address, first_line(error)[:200]) from error


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the place in it."""
    import fsspec

    protocol = str(_ADDRESS.match(address)[1])  # type: ignore[index]  # asked by is_address before
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise EnvironmentMismatch(
            f"{address} needs a library of {protocol}:// that is not installed ({first_line(error)}); install it with "
            "pip, or give a path"
        ) from error
    except _refusals() as error:
        raise ConfigError(
            f"{address} leads nowhere ({first_line(error)[:200]}); give a path, or an address of a protocol of fsspec "
            "such as s3://BUCKET/NAME"
        ) from error


def _is_local(system: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)


def _name_of(address: str, place: str) -> str:
    name = place.rstrip("/").rpartition("/")[2]
    if name in ("", ".", ".."):
        raise ConfigError(f"{address} names no file; give the address of one")
    return name


def _fetch(system: Any, address: str, place: str, target: Path) -> None:
    sizes = {place: system.size(place)} if not system.isdir(place) else _sizes_in(system, place)
    free = shutil.disk_usage(target.parent).free
    total = sum(size or 0 for size in sizes.values())
    if total > free:
        raise DataError(
            f"{address} has {total:,} bytes and {target.parent} has room for {free:,}; set TMPDIR to a folder with more"
        )
    if place not in sizes:
        target.mkdir()
    for each, size in sizes.items():
        path = target if each == place else target / _name_of(address, each)
        system.get_file(each, str(path))
        found = path.stat().st_size
        if size is not None and found != size:
            raise DataError(f"{address} came with {found:,} of {size:,} bytes; give the same command again")
        logger.info("fetched %s: %d bytes, SHA-256 %s", each, found, _hash_of(path))


def _sizes_in(system: Any, folder: str) -> dict[str, Any]:
    """Files of a folder, not of those below it."""
    return {
        name: about.get("size")
        for name, about in system.find(folder, maxdepth=1, detail=True).items()
        if about["type"] == "file"
    }


def _hash_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_absent_bucket(system: Any, address: str, place: str) -> None:
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if not set(protocols) & set(_WITH_BUCKETS):
        return
    bucket = place.partition("/")[0]
    try:
        there = system.exists(bucket)
    except _refusals() as error:
        raise _not_written(address, first_line(error)[:200]) from error
    if not there:
        raise _not_written(address, f"there is no bucket {bucket!r}, or your credentials may not see it")


def _reason(error: BaseException, place: str) -> str:
    """What an error says; of one that says a place alone, that nothing is there."""
    said = first_line(error)[:200]
    return "nothing is there" if said.strip("/'") == place.strip("/") else said


def _not_written(address: str, reason: str) -> WriteError:
    return WriteError(
        f"{address} cannot be written ({reason}); what was there stays: check the address and credentials"
    )


def _refusals() -> tuple[type[BaseException], ...]:
    """Errors by which a file system says that it will not."""
    loaded = [(sys.modules[name], kind) for name, kind in _OF_LIBRARIES.items() if name in sys.modules]
    return (OSError, ValueError, *(getattr(module, kind) for module, kind in loaded if hasattr(module, kind)))
