"""What is told of runs: where they are written while they train and when they end.

A scheduler has sinks of its own (the store, JSON lines), told of results and failures; a training has others
(:mod:`.mlflow_tracking`, :mod:`.wandb_runs`), told in its worker of every epoch. All follow :class:`Sink`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from recbole_sheaf.files.whole_files import append_json, write_whole
from recbole_sheaf.store.records import Epoch

if TYPE_CHECKING:
    from recbole_sheaf.experiments.run import Outcome, Run


class Sink:
    """The protocol; what a sink leaves out it ignores."""

    def start(self, run: "Run") -> None:
        """A run starts, or goes on after a stop."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch of it is over; those of an earlier sitting are told again."""

    def result(self, run: "Run", outcome: "Outcome") -> None:
        """It came to its end, or was ended because it lagged behind."""

    def end(self, run: "Run", error: Optional[BaseException]) -> None:
        """Nothing more comes of it; the error, if one ended it."""


@contextlib.contextmanager
def around(run: "Run", sinks: Sequence[Sink]) -> Iterator[None]:
    """Tell sinks that a run starts, and whatever happens, that it ends."""
    with contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.push(lambda kind, error, trace, sink=sink: sink.end(run, error))
            sink.start(run)
        yield


class JsonLines(Sink):
    """A line of JSON per finished run.

    The file starts with this command's first result, so that a refused run leaves an older file alone; what another
    command wrote meanwhile stays.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, _stamp(path)

    def result(self, run: "Run", outcome: "Outcome") -> None:
        older = self.before is not None and _stamp(self.path) == self.before
        self.before = None
        line = outcome.completed.to_json()
        if older:
            write_whole(self.path, f"{line}\n")
        else:
            append_json(self.path, line)


class Results(Sink):
    """The rows of the runs that have ended, in order, as ``--result_file`` has them."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def result(self, run: "Run", outcome: "Outcome") -> None:
        self.rows.append(asdict(outcome.completed))


def _stamp(path: Path) -> Optional[tuple[int, int]]:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
