"""Runs the jobs of a grid that the store does not hold yet, and writes each as it ends.

Any number of these may work on one store at once: a job is claimed by a lock that the operating system takes back
when its owner dies, and looked up in the store once more after it is claimed.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from recbole_sheaf.experiments.grid import Experiment, Job
from recbole_sheaf.experiments.jobs import JobOutcome, run_job
from recbole_sheaf.experiments.mlflow_tracking import close_failed, open_experiments
from recbole_sheaf.experiments.store import Store
from recbole_sheaf.experiments.workers import Workers

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 2.0  # at jobs that another command is running


@dataclass
class GridReport:
    """What became of a grid.

    Attributes:
        runs: distinct runs of the grid.
        finished_before: runs that the store held already, or another command finished meanwhile.
        done: runs trained here.
        failed: error by job.
        training_seconds: what the jobs took in their workers, all together.
    """

    runs: int
    finished_before: int = 0
    done: int = 0
    failed: dict[Job, str] = field(default_factory=dict)
    training_seconds: float = 0.0


def run_grid(
    experiment: Experiment, workers: Workers, run: Callable[[Job, Path], JobOutcome] = run_job, quiet: bool = False
) -> GridReport:
    """Run every job of an experiment that has not finished.

    Args:
        experiment: as ``read_experiment`` gives it.
        workers: where jobs run; entered here.
        run: what runs a job, given its folder.
        quiet: show no progress.

    Raises:
        StoreError: if the store cannot be written; jobs in progress keep their state and go on the next time.
        ConfigError: if MLflow is asked for and does not answer.
    """
    open_experiments(job.tracking for job in experiment.jobs)
    store = Store(experiment.store)
    store.add_entries(_entries(experiment.jobs))
    jobs = list({job.id: job for job in experiment.jobs}.values())
    with _Progress(len(jobs), quiet) as progress, workers:
        return _Grid(experiment, store, workers, run, progress).work(jobs)


class _Grid:
    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        workers: Workers,
        run: Callable[[Job, Path], JobOutcome],
        progress: "_Progress",
    ) -> None:
        self.experiment, self.store, self.workers, self.run, self.progress = experiment, store, workers, run, progress
        self.folder = experiment.store.with_name(experiment.store.name + ".jobs")
        self.running: dict[Future, tuple[Job, FileLock]] = {}

    def work(self, jobs: Sequence[Job]) -> GridReport:
        self.report = GridReport(len(jobs))
        waiting = self._unfinished(jobs)
        while waiting or self.running:
            busy = []
            while waiting and len(self.running) < self.workers.slots:
                job = waiting.pop(0)
                if not self._start(job):
                    busy.append(job)
            waiting += busy
            self._collect(None if not busy else SECONDS_BETWEEN_LOOKS)
            if busy:
                waiting = self._unfinished(waiting)
        return self.report

    def _unfinished(self, jobs: Sequence[Job]) -> list[Job]:
        finished = self.store.finished([job.id for job in jobs])
        for job in jobs:
            if job.id in finished:
                self.report.finished_before += 1
                self.progress.skip()
        return [job for job in jobs if job.id not in finished]

    def _start(self, job: Job) -> bool:
        """Claim a job and hand it to a worker; False where another command has it."""
        folder = self._folder(job)
        folder.mkdir(parents=True, exist_ok=True)
        claim = FileLock(folder / "claim")
        try:
            claim.acquire(timeout=0)
        except Timeout:
            return False
        if not self._unfinished([job]):
            claim.release()
            return True
        self.running[self.workers.submit(self.run, job, folder)] = (job, claim)
        return True

    def _folder(self, job: Job) -> Path:
        return (self.folder / job.id).resolve()

    def _collect(self, seconds: Optional[float]) -> None:
        """Write what has ended; wait for something to end, at most so many seconds."""
        if not self.running:
            time.sleep(seconds or 0)
            return
        ended, _ = wait(self.running, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in ended:
            job, claim = self.running.pop(future)
            try:
                self._write(job, future)
            finally:
                claim.release()

    def _write(self, job: Job, future: Future) -> None:
        error = future.exception()
        if error is not None:
            message = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self.report.failed[job] = message
            self.progress.failed(job, message)
            close_failed(job.tracking, self._folder(job), message)
            self.store.add_failure(job.id, job.experiment, str(job), message)
            return
        outcome = future.result()
        self.store.add_run(outcome.run, outcome.result, outcome.epochs, outcome.user_metrics, outcome.strata)
        self.report.done += 1
        self.report.training_seconds += outcome.seconds
        self.progress.done(job, outcome, self.workers.slots)


def _entries(jobs: Iterable[Job]) -> pd.DataFrame:
    return pd.DataFrame(
        [(job.experiment, job.label, job.dataset, job.ablation, job.seed, job.id) for job in jobs],
        columns=["experiment", "label", "dataset", "ablation", "seed", "run"],
    )


class _Progress:
    """A bar over the whole grid, a line per job that ended, and how long the rest may take."""

    def __init__(self, runs: int, quiet: bool) -> None:
        self.runs, self.ended = runs, 0
        self.bar = tqdm(total=runs, unit="run", disable=quiet, dynamic_ncols=True)
        self.seconds: dict[tuple[str, str], list[float]] = {}
        self.quiet = quiet

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def skip(self) -> None:
        """A run that was finished before."""
        self.ended += 1
        self.bar.update()

    def failed(self, job: Job, message: str) -> None:
        """A run that ended with an error."""
        self.skip()
        self._say(f"failed: {job}: {message}")

    def done(self, job: Job, outcome: JobOutcome, slots: int) -> None:
        """A run that ended well."""
        self.seconds.setdefault((job.dataset, job.label), []).append(outcome.seconds)
        self.skip()
        chosen = outcome.result.config["valid_metric"].lower()
        score = outcome.result.valid.get(chosen, float("nan"))
        self._say(f"{job}: valid {chosen} {score:.4f}, {outcome.seconds:.0f} s{self._remaining(slots)}")

    def _remaining(self, slots: int) -> str:
        left = self.runs - self.ended
        return f"; {left} runs left, about {duration(mean_seconds(self.seconds) * left / slots)}" if left else ""

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
