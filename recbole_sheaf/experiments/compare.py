"""Runs of a grid that the store does not hold yet, each written as it ends.

Any number of commands may work on one store at once: a run is looked up in the store once more after it is claimed.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import pandas as pd

from recbole_sheaf.errors import as_sentence
from recbole_sheaf.experiments.carry_out import carry_out
from recbole_sheaf.experiments.grid import Experiment
from recbole_sheaf.experiments.progress import GridProgress, ProgressBar
from recbole_sheaf.experiments.run import Outcome, Run, Sink
from recbole_sheaf.experiments.schedule import Claimed, Source, claim, work_off
from recbole_sheaf.experiments.trackers import open_trackers
from recbole_sheaf.store.store import Store
from recbole_sheaf.workers.pools import Workers


@dataclass
class GridReport:
    """What became of a grid.

    Attributes:
        runs: distinct runs of the grid.
        finished_before: runs that the store held already, or another command finished meanwhile.
        done: runs trained here.
        failed: error by run.
    """

    runs: int
    finished_before: int = 0
    done: int = 0
    failed: dict[Run, str] = field(default_factory=dict)


def run_grid(
    experiment: Experiment,
    workers: Workers,
    call: Callable[[Run, Path], Outcome] = carry_out,
    quiet: bool = False,
) -> GridReport:
    """Carry out every run of an experiment that has not finished.

    Args:
        experiment: as ``read_experiment`` gives it.
        workers: where runs train; entered here.
        call: what carries out a run, given its folder.
        quiet: show no progress.

    Raises:
        StoreError: if the store cannot be written; runs in progress keep their state and go on the next time.
        ConfigError: if a tracker is asked for and does not answer.
    """
    open_trackers(tracker for run in experiment.runs for tracker in run.trackers)
    store = Store(experiment.store)
    store.add_entries(_entries(experiment.runs))
    runs = list({run.id: run for run in experiment.runs}.values())
    with workers, ProgressBar(len(runs), "run", quiet, [run.settings for run in runs]) as bar:
        grid = _Grid(store, runs, call, GridProgress(len(runs), workers.slots, bar))
        work_off(grid, workers)
    return grid.report


class StoreSink(Sink):
    """Writes results and failures of runs into a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def result(self, run: Run, outcome: Outcome) -> None:
        self.store.add_run(run.id, outcome.completed, outcome.epochs, outcome.user_metrics, outcome.strata)

    def end(self, run: Run, error: Optional[BaseException]) -> None:
        if error is not None:
            self.store.add_failure(run.id, run.experiment, str(run), as_sentence(error))


class _Grid(Source):
    def __init__(
        self,
        store: Store,
        runs: Sequence[Run],
        call: Callable[[Run, Path], Outcome],
        progress: GridProgress,
    ) -> None:
        self.store, self.call, self.progress = store, call, progress
        self.sinks: list[Sink] = [StoreSink(store), progress]
        self.folder = store.path.with_name(f"{store.path.name}.jobs")
        self.report = GridReport(len(runs))
        self.waiting = self._unfinished(runs)

    def take(self) -> Optional[Claimed]:
        for run in list(self.waiting):
            folder = (self.folder / run.id).resolve()
            held = claim(folder)
            if held is None:
                continue
            self.waiting.remove(run)
            if self._unfinished([run]):
                return Claimed(run, folder, held, self.call, (run, folder))
            held.release()
        self.waiting = self._unfinished(self.waiting)  # others have them
        return None

    def _unfinished(self, runs: Sequence[Run]) -> list[Run]:
        finished = self.store.finished([run.id for run in runs]) if runs else set()
        left = [run for run in runs if run.id not in finished]
        self.report.finished_before += len(runs) - len(left)
        self.progress.skip(len(runs) - len(left))
        return left

    def settle(self, claimed: Claimed, ended: Future) -> None:
        run, error = claimed.run, ended.exception()
        if error is not None:
            self.report.failed[run] = as_sentence(error)
            for tracker in run.trackers:
                tracker.close(claimed.folder, as_sentence(error))
        else:
            outcome = ended.result()
            self.report.done += 1
        for sink in self.sinks:
            if error is None:
                sink.result(run, outcome)
            sink.end(run, error)

    def is_over(self) -> bool:
        return not self.waiting


def _entries(runs: Iterable[Run]) -> pd.DataFrame:
    return pd.DataFrame(
        [(run.experiment, run.label, run.dataset, run.ablation, run.seed, run.id) for run in runs],
        columns=["experiment", "label", "dataset", "ablation", "seed", "run"],
    )
