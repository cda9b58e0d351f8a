"""Is the environment one in which RecBole 1.2.1, as this package mends it, is correct, not merely importable?

Each bound below says what was seen beyond it; ``setup.cfg`` has the same ones.
"""

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from importlib import metadata
from types import TracebackType
from typing import Any, NamedTuple, Optional

from recbole_sheaf.errors import EnvironmentMismatch, first_line

PYTHONS = ((3, 11), (3, 14))  # the first and the last that this was run on


class Bound(NamedTuple):
    """Releases of one distribution that work, and what happens outside of them."""

    distribution: str
    versions: str
    reason: str
    options: str = ""  # of pip


BOUNDS = (
    Bound("recbole", "==1.2.1", "other releases have other insides than the ones mended here", "--no-deps "),
    Bound("numpy", ">=2", "today's pandas, SciPy and PyTorch are built for NumPy 2"),
    Bound("scipy", ">=1.13", "earlier ones are built for NumPy 1"),
    Bound("pandas", ">=3", "RecBole is mended for its columns, which earlier ones fill in place"),
    Bound("torch", ">=2.6", "checkpoints cannot be loaded safely"),
)
SET_UP = "pip install --no-deps --require-hashes -r requirements/run.txt"  # of README.md, in a checkout's folder
_REQUIREMENT = re.compile(r"([\w.-]+)(.*)")


def check_environment() -> None:
    """Compare Python and the installed releases with ``PYTHONS`` and ``BOUNDS``.

    Raises:
        EnvironmentMismatch: naming what is absent or out of bounds, why it matters and what to type.
    """
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        first, last = (".".join(map(str, version)) for version in PYTHONS)
        found = ".".join(map(str, sys.version_info[:3]))
        raise EnvironmentMismatch(
            f"this is Python {found}, recbole_sheaf runs on Python {first} to {last}; make its environment with one of "
            f"them: python{last} -m venv .venv"
        )
    try:
        wrong = {bound: problem for bound in BOUNDS if (problem := _problem(bound))}
    except ModuleNotFoundError as error:  # of what compares releases
        raise incomplete(error) from error
    if wrong:
        raise _mismatch({**wrong, **_absent()})


def incomplete(error: ImportError) -> EnvironmentMismatch:
    """What to say where a package that this one needs is not there, or not whole."""
    absent = _absent()
    if absent:
        return _mismatch(absent)
    return EnvironmentMismatch(
        f"recbole_sheaf cannot work correctly in this environment: {(error.name or 'a module').partition('.')[0]} "
        f"cannot be imported ({first_line(error)}). Set it up anew in the folder of a checkout, as its README.md says; "
        f"type: {SET_UP}"
    )


def say_uncaught_in_a_sentence() -> None:
    """Let an ``EnvironmentMismatch`` that nobody catches end the process with its sentence alone, and exit code 1."""
    others = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
        if issubclass(kind, EnvironmentMismatch):
            print(f"{kind.__name__}: {error}", file=sys.stderr)
        else:
            others(kind, error, trace)

    sys.excepthook = hook


def _mismatch(wrong: dict[Bound, str]) -> EnvironmentMismatch:
    return EnvironmentMismatch(
        f"recbole_sheaf cannot work correctly in this environment: {'; '.join(wrong.values())}. "
        f"Type: {' && '.join(_remedies(wrong))}"
    )


def _remedies(wrong: Iterable[Bound]) -> list[str]:
    """Commands that bring what is wrong, those of the same options in one."""
    wanted: dict[str, list[str]] = {}
    for bound in wrong:
        wanted.setdefault(bound.options, []).append(f'"{bound.distribution}{bound.versions}"')
    return [f"pip install {options}{' '.join(names)}" for options, names in wanted.items()]


def _problem(bound: Bound) -> str:
    """One clause on what is wrong with a distribution, empty when all is well.

    Raises:
        ModuleNotFoundError: if nothing is there to compare releases with.
    """
    found = _installed(bound.distribution)
    if found is None:
        return _absence(bound)
    from packaging.specifiers import SpecifierSet

    if SpecifierSet(bound.versions).contains(found, prereleases=True):
        return ""
    return f"{bound.distribution} {found} is installed, {bound.distribution}{bound.versions} is needed ({bound.reason})"


def _absent() -> dict[Bound, str]:
    """One clause on each distribution that every command may need and that is not installed."""
    return {bound: _absence(bound) for bound in _required() if _installed(bound.distribution) is None}


def _absence(bound: Bound) -> str:
    needed = f", {bound.distribution}{bound.versions} is needed" if bound.versions else ""
    return f"{bound.distribution} is not installed{needed}"


def _installed(distribution: str) -> Optional[str]:
    """The release of a distribution, None where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _required() -> list[Bound]:
    """``BOUNDS``, and what else this package's own metadata ask for, whatever the platform and without any extra."""
    try:
        asked = metadata.requires("recbole-sheaf") or []
    except metadata.PackageNotFoundError:  # a checkout that was not installed
        asked = ["packaging"]
    known = {bound.distribution for bound in BOUNDS}
    others = [_REQUIREMENT.match(line) for line in asked if ";" not in line]
    return [*BOUNDS, *(Bound(found[1], found[2], "") for found in others if found and found[1] not in known)]


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which ends a command as Ctrl-C does, with another exit code."""

    exit_code = 128 + signal.SIGTERM


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """A context in which SIGTERM raises :class:`Terminated`, so that what is open is closed and what is kept is said.

    It is set where long work starts, since Ray sets a handler of its own when it is imported. Outside of the main
    thread, where Python allows no handlers, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Place(NamedTuple):
    """Which of the processes of one command this is; the first is 0, and a command by itself is the first of 1."""

    rank: int
    processes: int


def place_among_processes() -> Place:
    """What ``torchrun`` has put into the environment, ``RANK`` and ``WORLD_SIZE``; without it this process is alone."""
    rank, processes = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    return Place(int(rank), int(processes)) if rank.isdigit() and processes.isdigit() else Place(0, 1)


SPINS = 10_000  # of a few nanoseconds each


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep, not spin, when they wait for each other longer than a tenth of a millisecond.

    Where another process has one of the cores, a thread that spins keeps the very core that the thread it waits for
    would run on. A step of MMSheaf on ml-100k took 12 ms on two quiet cores and 80 to 730 ms beside one busy process;
    with this limit 14 ms and 30 to 50 ms. libgomp reads it when PyTorch is loaded: later, or where the user has set
    ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY``, nothing is done. No number computed changes.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
