"""A run: one model trained on one dataset from one seed, and judged.

``Run.of`` resolves and checks its settings and names it; ``carry_out`` trains and judges it in this process, or goes on
where an earlier sitting left it. Whoever makes runs (:mod:`.runs`, :mod:`.grid`, :mod:`.tuning`) hands them to
:mod:`.schedule`, and whoever wants to know of them is a :class:`~recbole_sheaf.experiments.sinks.Sink`.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import pandas as pd
import torch
from filelock import FileLock, Timeout
from recbole.config import Config
from threadpoolctl import threadpool_limits

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.library_warnings import hushed
from recbole_sheaf.experiments.mlflow_tracking import MlflowSink, Tracking, tracking_of
from recbole_sheaf.experiments.run_id import run_id, tables_digest
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.sinks import Sink, around
from recbole_sheaf.experiments.splits import LoadedSplit, load_split, same_data
from recbole_sheaf.experiments.training import STATE_FILE, train
from recbole_sheaf.experiments.wandb_runs import WandbSink
from recbole_sheaf.store.records import Epoch, RunResult

COMPLETE, PRUNED = "complete", "pruned"
REAL = "real"  # the ablation that changes nothing
SECONDS_TO_WAIT = 60.0  # for a training of the same run whose command has died to notice that and end

# Of this process, with its tables' digest, so that runs in a row on one dataset load it once.
_last_split: Optional[tuple[str, LoadedSplit]] = None


class StopRun(Exception):
    """Raised by a listener to end a run that is not worth going on with."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        state: ``complete``, or ``pruned`` where a listener ended it.
        result: None where it was pruned.
        user_metrics, strata: tables of the store; None where the test part was not read, or not every item ranked.
        seconds: that this sitting took.
    """

    state: str
    result: Optional[RunResult]
    epochs: list[Epoch]
    user_metrics: Optional[pd.DataFrame]
    strata: Optional[pd.DataFrame]
    seconds: float

    @property
    def completed(self) -> RunResult:
        """``result``, where nothing prunes (ValueError if something did)."""
        if self.result is None:
            raise ValueError(f"a run that is {self.state} after {len(self.epochs)} epochs has no result")
        return self.result


@dataclass(frozen=True)
class Run:
    """What to train, on which data, from which seed.

    Attributes:
        id: the same for every run that would give the same numbers.
        settings: of RecBole and the model, above the evaluation protocol and the YAML defaults.
        name: for people.
        experiment, label, ablation: its place in an experiment; several labels may train one model otherwise set.
        tags: what else it is found by in MLflow.
        tracking: where MLflow writes it; None where it is not asked for.
    """

    id: str
    model: str
    dataset: str
    seed: int
    threads: int
    settings: Mapping[str, Any] = field(hash=False)
    name: str
    experiment: str = ""
    label: str = ""
    ablation: str = REAL
    tags: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tracking: Optional[Tracking] = None

    @classmethod
    def of(cls, model: str, dataset: str, settings: Mapping[str, Any], threads: int, **place: Any) -> "Run":
        """Resolve and check settings, and find the run's id.

        Raises:
            ConfigError, DataError: in one sentence.

        About 50 ms, and the first time reading the dataset's files once.
        """
        (config,) = resolve_configs([model], dataset, [], settings)
        place.setdefault("name", f"{model} on {dataset}, seed {config['seed']}")
        place.setdefault("label", model)
        known = run_id(config, threads), model, dataset, config["seed"], threads, dict(settings)
        return cls(*known, tracking=tracking_of(config), **place)

    def __str__(self) -> str:
        return self.name

    def config(self) -> Config:
        """Its resolved settings, in this process."""
        return resolve_configs([self.model], self.dataset, [], self.settings)[0]

    def carry_out(self, folder: Path, listeners: Sequence[Callable[[Epoch], None]] = (), test: bool = True) -> Outcome:
        """Train and judge in this process; takes up where an earlier sitting left it.

        Args:
            folder: of this run alone, for its state, its checkpoint and its MLflow run.
            listeners: told of each epoch; one that raises :class:`StopRun` ends the run.
            test: False leaves the test part unread.

        Raises:
            DataError: if data, settings or code are no longer those from which the run got its id.
            ConfigError: if another command is training it.
        """
        started = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder, self), limited_to(self.threads), hushed():
            config = self.config()
            if run_id(config, self.threads) != self.id:
                raise DataError(f"data, settings or code of {self} changed since it was planned; start again")
            sinks: list[Sink] = [] if self.tracking is None else [MlflowSink(self.tracking, config, folder)]
            sinks += [WandbSink()] if config["log_wandb"] else []
            with around(self, sinks):
                outcome = self._trained(config, folder, [*(sink.epoch for sink in sinks), *listeners], test, started)
                for sink in sinks:
                    sink.result(self, outcome)
            (folder / STATE_FILE).unlink(missing_ok=True)
        return outcome

    def _trained(
        self, config: Config, folder: Path, listeners: Sequence[Callable[[Epoch], None]], test: bool, started: float
    ) -> Outcome:
        epochs: list[Epoch] = []

        def tell(epoch: Epoch) -> None:
            epochs.append(epoch)
            for listener in listeners:
                listener(epoch)

        try:
            trained = train(config, split_of(config), folder, tell, test)
        except StopRun:
            return Outcome(PRUNED, None, epochs, None, None, time.perf_counter() - started)
        tables = (trained.judgement.user_metrics, trained.judgement.strata) if trained.judgement else (None, None)
        return Outcome(COMPLETE, trained.result, trained.epochs, *tables, time.perf_counter() - started)


@contextlib.contextmanager
def _alone_in(folder: Path, run: Run) -> Iterator[None]:
    """Hold a run's folder; a training of the same run whose command has died is waited for."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=SECONDS_TO_WAIT)
    except Timeout as error:
        raise ConfigError(f"{run} is being trained by another command, in {folder}; wait until it has ended") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def limited_to(threads: int) -> Iterator[None]:
    """Let PyTorch, DGL and BLAS use so many threads in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


def split_of(config: Config) -> LoadedSplit:
    """The split that a run reads, kept in this process until one reads other data."""
    global _last_split
    tables = tables_digest(config)
    if _last_split is None or _last_split[0] != tables or not same_data(_last_split[1].dataset.config, config):
        _last_split = tables, load_split(config)
    return _last_split[1]
