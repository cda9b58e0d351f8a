"""Is the environment one in which RecBole 1.2.1 is correct, not merely importable?

RecBole's own requirements have no upper bounds, so a plain install takes releases that break it, some of them silently
(RecBole issue 2215 and others). Each bound below says what was seen beyond it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from typing import Any, NamedTuple

from packaging.specifiers import SpecifierSet

from recbole_sheaf.errors import EnvironmentMismatch


class Bound(NamedTuple):
    """Releases of one distribution that work, and what happens outside of them."""

    distribution: str
    versions: str
    reason: str


BOUNDS = (
    Bound("recbole", "==1.2.1", "other releases have other entry points"),
    Bound("numpy", ">=1.22,<2", "ray 2.6 fails on np.bool8 and RecBole on removed aliases"),
    Bound("scipy", ">=1.9,<1.13", "LightGCN and NGCF fail on dok_matrix._update"),
    Bound("pandas", ">=1.5,<3", "fillna(inplace=True) does nothing and missing values become -9223372036854775808"),
    Bound("ray", ">=2.6,<2.7", "tune.report takes other arguments"),
    Bound("torch", ">=2.6", "checkpoints cannot be loaded safely"),
    Bound("hyperopt", "<0.2.6", "RecBole's exhaustive search hands it a random state of another kind"),
    Bound("setuptools", "<82", "pkg_resources, which ray 2.6 imports, is gone"),
)


def check_environment() -> None:
    """Compare the installed releases with ``BOUNDS``.

    Raises:
        EnvironmentMismatch: naming every release that is absent or out of bounds, why it matters and what to install.
    """
    problems = [problem for bound in BOUNDS if (problem := _problem(bound))]
    if problems:
        raise EnvironmentMismatch(
            "recbole_sheaf cannot work correctly in this environment: "
            + "; ".join(problems)
            + ". Install the tested set with: pip install -c constraints.txt recbole-sheaf (constraints.txt is in the "
            "project's repository)"
        )


def _problem(bound: Bound) -> str:
    """One clause on what is wrong with a distribution, empty when all is well."""
    try:
        found = metadata.version(bound.distribution)
    except metadata.PackageNotFoundError:
        return f"{bound.distribution} is not installed, {bound.distribution}{bound.versions} is needed"
    if SpecifierSet(bound.versions).contains(found, prereleases=True):
        return ""
    return f"{bound.distribution} {found} is installed, {bound.distribution}{bound.versions} is needed ({bound.reason})"


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which ends a command as Ctrl-C does, with another exit code."""

    exit_code = 128 + signal.SIGTERM


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise :class:`Terminated` inside, so that what is open is closed and what is kept is said.

    It is set where long work starts: Ray, which RecBole imports, sets a handler of its own. Outside of the main thread,
    where Python allows no handlers, nothing is done.
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


SPINS = 10_000  # of a few nanoseconds each


def let_threads_sleep() -> None:
    """Have OpenMP's threads wait for each other asleep, not awake, once a wait is longer than a tenth of a millisecond.

    Where another process has one of the cores, a thread that spins keeps the very core that the thread it waits for
    would run on. A step of MMSheaf on ml-100k took 12 ms on two quiet cores and 80 to 730 ms beside one busy process;
    with this limit 14 ms and 30 to 50 ms. libgomp reads it when PyTorch is loaded: later, or where the user has set
    ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY``, nothing is done. No number computed changes.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
