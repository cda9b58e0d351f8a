"""Runs that a source hands out, on workers, until the source is empty.

A source knows what is left to do and what becomes of it: a list (:mod:`.runs`), a grid (:mod:`.compare`), searches by
ask and tell (:mod:`.tuning`). Any number of commands may share one: a run is claimed by a lock that the operating
system takes back when its owner dies.
"""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from filelock import FileLock, Timeout

from recbole_sheaf.environment import ending_on_sigterm
from recbole_sheaf.experiments.run import Run
from recbole_sheaf.workers.pools import Workers

SECONDS_BETWEEN_LOOKS = 2.0  # at runs that another command has


@dataclass(frozen=True)
class Claimed:
    """A run that no other command will take.

    Attributes:
        folder: of its state.
        claim: held until the run has been settled.
        call, arguments: what a worker is to do.
    """

    run: Run
    folder: Path
    claim: FileLock
    call: Callable[..., Any]
    arguments: tuple


class Source:
    """Hands out runs and takes back what became of them."""

    def take(self) -> Optional[Claimed]:
        """The next run to start; None while there is none that another command has not."""
        raise NotImplementedError

    def settle(self, claimed: Claimed, ended: Future) -> None:
        """Note how a run ended; its claim is held until this returns."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Whether nothing is left, here or with another command."""
        raise NotImplementedError


def work_off(source: Source, workers: Workers) -> None:
    """Start runs while there are workers, and settle them as they end.

    Raises:
        KeyboardInterrupt: at Ctrl-C, and at SIGTERM (``Terminated``); what is running keeps its state.
    """
    with ending_on_sigterm():
        _work_off(source, workers)


def _work_off(source: Source, workers: Workers) -> None:
    running: dict[Future, Claimed] = {}
    while True:
        while len(running) < workers.slots and (claimed := source.take()) is not None:
            running[workers.submit(claimed.call, *claimed.arguments)] = claimed
        if running:
            for future in wait(running, timeout=SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED).done:
                claimed = running.pop(future)
                try:
                    source.settle(claimed, future)
                finally:
                    claimed.claim.release()
        elif source.is_over():
            return
        else:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def claim(folder: Path) -> Optional[FileLock]:
    """Claim a run by its folder; None where another command has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "claim")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock
