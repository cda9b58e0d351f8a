"""Sinks that write the results of runs down, and how sinks are told that one starts and ends.

A scheduler has sinks of its own (the store, JSON lines), told of results and failures; a training has others, made by
its trackers (:mod:`.trackers`), told in its worker of every epoch.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.experiments.run import Outcome, Run, Sink
from recbole_sheaf.files.whole_files import append_json, write_whole


@contextlib.contextmanager
def around(run: Run, sinks: Sequence[Sink]) -> Iterator[None]:
    """A context around a run that tells the sinks that it starts and, whatever happens, that it ends."""
    with contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.push(lambda kind, error, trace, sink=sink: sink.end(run, error))
            sink.start(run)
        yield


class JsonLines(Sink):
    """Writes a line of JSON for each finished run to a file.

    The file starts with this command's first result, so that a refused run leaves an older file alone; what another
    command wrote meanwhile stays.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, _stamp(path)

    def result(self, run: Run, outcome: Outcome) -> None:
        older = self.before is not None and _stamp(self.path) == self.before
        self.before = None
        line = outcome.completed.to_json()
        if older:
            write_whole(self.path, f"{line}\n")
        else:
            append_json(self.path, line)


class Results(Sink):
    """Collects the rows of finished runs in memory, in order, as ``--result_file`` has them."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def result(self, run: Run, outcome: Outcome) -> None:
        self.rows.append(asdict(outcome.completed))


def _stamp(path: Path) -> Optional[tuple[int, int]]:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
