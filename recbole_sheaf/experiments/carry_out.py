"""Carry a run out: its settings resolved and its id found, then training and judging, in this process.

``run_of`` plans a run and names it; ``carry_out`` trains and judges it, or goes on where an earlier sitting left it.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from filelock import FileLock, Timeout
from recbole.config import Config

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.library_warnings import hushed
from recbole_sheaf.experiments.processes import Team
from recbole_sheaf.experiments.run import COMPLETE, PRUNED, Outcome, Run, StopRun
from recbole_sheaf.experiments.run_id import run_id, tables_digest
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.sinks import around
from recbole_sheaf.experiments.splits import LoadedSplit, load_split, same_data
from recbole_sheaf.experiments.trackers import trackers_of
from recbole_sheaf.experiments.training import STATE_FILE, follow, train
from recbole_sheaf.store.records import Epoch
from recbole_sheaf.workers.threads import threads_limited

SECONDS_TO_WAIT = 60.0  # for a training of the same run whose command has died to notice that and end

# Of this process, with its tables' digest, so that runs in a row on one dataset load it once.
_last_split: Optional[tuple[str, LoadedSplit]] = None


def run_of(model: str, dataset: str, settings: Mapping[str, Any], threads: int, **place: Any) -> Run:
    """Resolve and check settings, and find the run's id.

    Raises:
        ConfigError, DataError: in one sentence.

    About 50 ms, and the first time reading the dataset's files once.
    """
    (config,) = resolve_configs([model], dataset, [], settings)
    place.setdefault("name", f"{model} on {dataset}, seed {config['seed']}")
    place.setdefault("label", model)
    known = (
        run_id(config, threads, place.setdefault("processes", 1)),
        model,
        dataset,
        config["seed"],
        threads,
        dict(settings),
    )
    return Run(*known, trackers=trackers_of(config), **place)


def resolved(run: Run) -> Config:
    """The resolved settings of a run, in this process."""
    return resolve_configs([run.model], run.dataset, [], run.settings)[0]


def carry_out(
    run: Run,
    folder: Path,
    listeners: Sequence[Callable[[Epoch], None]] = (),
    test: bool = True,
    team: Optional[Team] = None,
) -> Outcome:
    """Train and judge a run in this process; a run that was interrupted goes on from its last whole epoch.

    Args:
        folder: of this run alone, for its state, its checkpoint and what trackers keep.
        listeners: told of each epoch; one that raises :class:`StopRun` ends the run.
        test: False leaves the test part unread.
        team: this process as the first of several that train together; the others :func:`accompany` it.

    Raises:
        DataError: if data, settings or code are no longer those from which the run got its id.
        ConfigError: if another command is training it.
    """
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder, run), threads_limited(run.threads), hushed():
        config = resolved(run)
        if run_id(config, run.threads, run.processes) != run.id:
            raise DataError(f"data, settings or code of {run} changed since it was planned; start again")
        sinks = [tracker.sink(config, folder) for tracker in run.trackers]
        with around(run, sinks):
            outcome = _trained(config, folder, [*(sink.epoch for sink in sinks), *listeners], test, started, team)
            for sink in sinks:
                sink.result(run, outcome)
        (folder / STATE_FILE).unlink(missing_ok=True)
    return outcome


def accompany(run: Run, folder: Path, team: Team) -> None:
    """Do another process's part of a run that the first of its team carries out in a folder.

    Raises:
        PartnerLost: if another process is gone.
    """
    with threads_limited(run.threads), hushed():
        config = resolved(run)
        follow(config, split_of(config), folder, team)


def _trained(
    config: Config,
    folder: Path,
    listeners: Sequence[Callable[[Epoch], None]],
    test: bool,
    started: float,
    team: Optional[Team],
) -> Outcome:
    epochs: list[Epoch] = []
    together: dict[str, Any] = {} if team is None else {"team": team}

    def tell(epoch: Epoch) -> None:
        epochs.append(epoch)
        for listener in listeners:
            listener(epoch)

    try:
        trained = train(config, split_of(config), folder, tell, test, **together)
    except StopRun:
        return Outcome(PRUNED, None, epochs, None, None, time.perf_counter() - started)
    tables = (trained.judgement.user_metrics, trained.judgement.strata) if trained.judgement else (None, None)
    return Outcome(COMPLETE, trained.result, trained.epochs, *tables, time.perf_counter() - started)


@contextlib.contextmanager
def _alone_in(folder: Path, run: Run) -> Iterator[None]:
    """A context that holds a run's folder; a training of the same run whose command has died is waited for."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=SECONDS_TO_WAIT)
    except Timeout as error:
        raise ConfigError(f"{run} is being trained by another command, in {folder}; wait until it has ended") from error
    try:
        yield
    finally:
        lock.release()


def split_of(config: Config) -> LoadedSplit:
    """The split that a run reads, kept in this process until one reads other data."""
    global _last_split
    tables = tables_digest(config)
    if _last_split is None or _last_split[0] != tables or not same_data(_last_split[1].dataset.config, config):
        _last_split = tables, load_split(config)
    return _last_split[1]
