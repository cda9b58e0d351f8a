"""Runs of a grid that the store does not hold yet, each written as it ends.

Any number of commands may work on one store at once: a run is looked up in the store once more after it is claimed.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import pandas as pd
from tqdm import tqdm

from recbole_sheaf.errors import as_sentence
from recbole_sheaf.experiments.grid import Experiment
from recbole_sheaf.experiments.mlflow_tracking import close_failed, open_experiments
from recbole_sheaf.experiments.run import Outcome, Run
from recbole_sheaf.experiments.schedule import Claimed, Source, claim, work_off
from recbole_sheaf.experiments.sinks import Sink
from recbole_sheaf.experiments.store import Store
from recbole_sheaf.experiments.workers import Workers

logger = logging.getLogger(__name__)


@dataclass
class GridReport:
    """What became of a grid.

    Attributes:
        runs: distinct runs of the grid.
        finished_before: runs that the store held already, or another command finished meanwhile.
        done: runs trained here.
        failed: error by run.
        training_seconds: what the runs took in their workers, all together.
    """

    runs: int
    finished_before: int = 0
    done: int = 0
    failed: dict[Run, str] = field(default_factory=dict)
    training_seconds: float = 0.0


def run_grid(
    experiment: Experiment,
    workers: Workers,
    call: Callable[[Run, Path], Outcome] = Run.carry_out,
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
        ConfigError: if MLflow is asked for and does not answer.
    """
    open_experiments(run.tracking for run in experiment.runs)
    store = Store(experiment.store)
    store.add_entries(_entries(experiment.runs))
    runs = list({run.id: run for run in experiment.runs}.values())
    with workers, _Progress(len(runs), workers.slots, quiet) as progress:
        grid = _Grid(store, runs, call, progress)
        work_off(grid, workers)
    return grid.report


class StoreSink(Sink):
    """Writes results and failures into a store."""

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
        progress: "_Progress",
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
            close_failed(run.tracking, claimed.folder, as_sentence(error))
        else:
            outcome = ended.result()
            self.report.done += 1
            self.report.training_seconds += outcome.seconds
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


class _Progress(Sink):
    """A bar over the whole grid, a line per run that ended, and how long the rest may take."""

    def __init__(self, runs: int, slots: int, quiet: bool) -> None:
        self.runs, self.slots, self.ended = runs, slots, 0
        self.bar = tqdm(total=runs, unit="run", disable=quiet, dynamic_ncols=True)
        self.seconds: dict[tuple[str, str], list[float]] = {}
        self.quiet = quiet

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def skip(self, runs: int) -> None:
        """So many runs were finished before."""
        self.ended += runs
        self.bar.update(runs)

    def result(self, run: Run, outcome: Outcome) -> None:
        self.seconds.setdefault((run.dataset, run.label), []).append(outcome.seconds)
        self.skip(1)
        chosen = outcome.completed.config["valid_metric"].lower()
        score = outcome.completed.valid.get(chosen, float("nan"))
        self._say(f"{run}: valid {chosen} {score:.4f}, {outcome.seconds:.0f} s{self._remaining()}")

    def end(self, run: Run, error: Optional[BaseException]) -> None:
        if error is not None:
            self.skip(1)
            self._say(f"failed: {run}: {as_sentence(error)}")

    def _remaining(self) -> str:
        left = self.runs - self.ended
        return f"; {left} runs left, about {duration(mean_seconds(self.seconds) * left / self.slots)}" if left else ""

    def _say(self, line: str) -> None:
        logger.info(line)
        if not self.quiet:
            self.bar.write(line)


def mean_seconds(seconds: Mapping[tuple[str, str], Sequence[float]]) -> float:
    """Mean over models and datasets of their mean seconds, so that one model's many runs do not speak for all."""
    means = [sum(each) / len(each) for each in seconds.values() if each]
    return sum(means) / len(means) if means else 0.0


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``50 s``, ``7 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
