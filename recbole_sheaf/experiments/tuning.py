"""Searches for hyperparameters: the same number of trials for each model, chosen by validation alone.

Optuna's tree-structured Parzen estimator proposes (Bergstra et al. 2011), its median rule ends trials that lag behind
(Golovin et al. 2017). The first trial takes the model's defaults. The test part is never read. A search resumes: each
proposal is drawn from the search's seed and the trial's number, and a trial cut short goes on from its last epoch.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import optuna
import yaml
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from recbole.config import Config

from recbole_sheaf.errors import ConfigError, WriteError, as_sentence, counted
from recbole_sheaf.experiments.carry_out import carry_out, run_of
from recbole_sheaf.experiments.progress import ProgressBar
from recbole_sheaf.experiments.run import COMPLETE, PRUNED, Run, StopRun
from recbole_sheaf.experiments.run_id import code_version, data_digest, digest, settings_that_count
from recbole_sheaf.experiments.schedule import Claimed, Source, claim, work_off
from recbole_sheaf.experiments.search_space import Space, defaults_within, read_space
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.trackers import open_trackers, trackers_of
from recbole_sheaf.files.checkpoint_file import plain_settings
from recbole_sheaf.files.whole_files import write_whole
from recbole_sheaf.store.records import Epoch
from recbole_sheaf.store.store import Store
from recbole_sheaf.workers.pools import Workers

logger = logging.getLogger(__name__)

FAILED = "failed"


@dataclass(frozen=True)
class Budget:
    """What each model of a search may spend.

    Attributes:
        trials: proposals that are tried, pruned and failed ones counted.
        seed: of the proposals.
        threads: of each training.
    """

    trials: int
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial gave: the best validation score up to its end, and what it cost."""

    state: str
    score: Optional[float]
    epochs: int
    seconds: float


@dataclass(frozen=True)
class TrialPlace:
    """What a worker needs to find the Optuna study of its trial, which says after each epoch whether to go on."""

    journal: Path
    study: str
    number: int
    bigger: bool
    startup_trials: int
    warmup_epochs: int


class Search:
    """The search for one model's hyperparameters on one dataset."""

    def __init__(self, model: str, dataset: str, settings: Mapping[str, Any], budget: Budget, folder: Path) -> None:
        (config,) = resolve_configs([model], dataset, [], settings)
        self.model, self.dataset, self.settings, self.budget = model, dataset, dict(settings), budget
        self.space: Space = read_space(config)
        self.metric, self.bigger = config["valid_metric"], config["valid_metric_bigger"]
        self.epochs = config["epochs"]
        if config["eval_step"] < 1:
            raise ConfigError(f"eval_step is {config['eval_step']}, but a search needs validation; set it to 1 or more")
        self.loss = {"loss": config["loss"]} if len(getattr(config.model_class, "losses", ())) > 1 else {}
        self.trackers = trackers_of(config)
        self.name = _study_name(config, self.space, budget)
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.defaults = defaults_within(self.space, config.final_config_dict)
        self.lock = FileLock(self.folder / "lock")
        self.journal = self.folder / "optuna.log"
        with self.lock:
            self.study = _load_study(self.journal, self.name, self.bigger)

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}"

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials so far, of every command that works on this search."""
        return self.study.get_trials(deepcopy=False)

    @property
    def wanted(self) -> int:
        """The number of trials to run: the budget, or one where there is nothing to search."""
        return self.budget.trials if self.space else 1

    def next_trial(self) -> Optional[tuple[FrozenTrial, FileLock]]:
        """A trial to run, claimed: one that was cut short, or a new one; None when there is none to start."""
        with self.lock:
            asked = [trial for trial in self.trials if trial.state != TrialState.WAITING]
            for trial in asked:
                if trial.state == TrialState.RUNNING and (held := claim(self.trial_folder(trial.number))):
                    return trial, held
            if len(asked) >= self.wanted:
                return None
            number = len(asked)
            if len(self.trials) == 0 and self.defaults:  # a command that was killed here leaves them waiting
                self.study.enqueue_trial(self.defaults)
            self.study.sampler = optuna.samplers.TPESampler(
                seed=_seed(self.budget.seed, number), n_startup_trials=_startup(self.wanted), constant_liar=True
            )
            proposed = self.study.ask({**self.space})
            held = claim(self.trial_folder(proposed.number))
            return None if held is None else (self.trials[proposed.number], held)

    def trial_folder(self, number: int) -> Path:
        """The folder that keeps the state of one trial."""
        return self.folder / f"trial-{number}"

    def run_of(self, number: int, parameters: Mapping[str, Any]) -> Run:
        """The run of a trial."""
        return run_of(
            self.model,
            self.dataset,
            {**self.settings, **parameters},
            self.budget.threads,
            name=f"{self}, trial {number}",
            experiment="tune",
            tags={"study": self.name, "trial": number},
        )

    def place(self, number: int) -> TrialPlace:
        """What a worker needs to find this search and one of its trials."""
        warmup = max(1, self.epochs // 4)
        return TrialPlace(self.journal.resolve(), self.name, number, self.bigger, _startup(self.wanted), warmup)

    def tell(self, number: int, outcome: TrialOutcome) -> None:
        """Record how a trial ended."""
        states = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
        value = outcome.score if outcome.state == COMPLETE else None
        with self.lock:
            self.study.tell(number, value, states[outcome.state], skip_if_finished=True)
        shutil.rmtree(self.trial_folder(number), ignore_errors=True)

    def twin(self, trial: FrozenTrial) -> Optional[FrozenTrial]:
        """An earlier finished trial with the same parameters."""
        return next(
            (other for other in self.trials if other.params == trial.params and other.state == TrialState.COMPLETE),
            None,
        )

    def best(self) -> Optional[FrozenTrial]:
        """The complete trial with the best validation score; None before the first."""
        complete = [(trial.values[0], trial) for trial in self.trials if trial.state == TrialState.COMPLETE]
        best = (max if self.bigger else min)(complete, key=lambda scored: scored[0], default=None)
        return None if best is None else best[1]

    def is_over(self) -> bool:
        """Whether the budget is spent and every trial has ended."""
        return sum(trial.state.is_finished() for trial in self.trials) >= self.wanted


def run_searches(searches: Sequence[Search], store: Store, workers: Workers, quiet: bool = False) -> dict[str, str]:
    """Run searches until each has spent its budget.

    Args:
        searches: one per model and dataset.
        store: where searches and trials are recorded.
        workers: where trials run; entered here.

    Returns:
        Errors of the trials that failed, by trial.

    Raises:
        ConfigError: if a search has another budget than one that the store holds for the same dataset, or a
            tracker is asked for and does not answer.
    """
    open_trackers(tracker for search in searches for tracker in search.trackers)
    for search in searches:
        _record_study(store, search)
    wanted, settings = sum(search.wanted for search in searches), [search.settings for search in searches]
    with ProgressBar(wanted, "trial", quiet, settings) as bar, workers:
        bar.bar.update(sum(trial.state.is_finished() for search in searches for trial in search.trials))
        source = _Searches(searches, store, bar)
        work_off(source, workers)
    return source.errors


class _Searches(Source):
    """Trials by ask and tell, one search after the other."""

    def __init__(self, searches: Sequence[Search], store: Store, bar: ProgressBar) -> None:
        self.searches, self.store, self.bar = searches, store, bar
        self.errors: dict[str, str] = {}
        self.running: dict[Run, tuple[Search, FrozenTrial]] = {}

    def take(self) -> Optional[Claimed]:
        for search in self.searches:
            found = search.next_trial()
            if found is None:
                continue
            trial, held = found
            run, folder = search.run_of(trial.number, trial.params), search.trial_folder(trial.number).resolve()
            self.running[run] = search, trial
            twin = search.twin(trial)
            if twin is not None:  # the same parameters, which would give the same to the last bit
                return Claimed(run, folder, held, TrialOutcome, (COMPLETE, twin.value, 0, 0.0))
            return Claimed(run, folder, held, run_trial, (run, folder, search.place(trial.number)))
        return None

    def settle(self, claimed: Claimed, ended: Future) -> None:
        search, trial = self.running.pop(claimed.run)
        error = ended.exception()
        if isinstance(error, WriteError):  # of the disk, not of the trial, which goes on with the next command
            raise error
        outcome = TrialOutcome(FAILED, None, 0, 0.0) if error else ended.result()
        name = f"{search}, trial {trial.number} {trial.params}"
        if error:
            self.errors[name] = as_sentence(error)
            for tracker in search.trackers:
                tracker.close(claimed.folder, self.errors[name])
        search.tell(trial.number, outcome)
        _record_trial(self.store, search, trial, outcome)
        said = self.errors.get(name) or f"{outcome.state} {search.metric} {outcome.score}, {outcome.seconds:.0f} s"
        logger.info("%s: %s", name, said)
        self.bar.bar.update()
        self.bar.say(f"{name}: {said}")

    def is_over(self) -> bool:
        return all(search.is_over() for search in self.searches)


def run_trial(run: Run, folder: Path, place: TrialPlace) -> TrialOutcome:
    """Train one trial in this process, up to its end or until the median rule ends it; the test part is not read."""
    outcome = carry_out(run, folder, [_TrialReporter(place)], test=False)
    scores = [epoch.score for epoch in outcome.epochs if epoch.score is not None]
    score = (max if place.bigger else min)(scores) if scores else None
    return TrialOutcome(outcome.state, score, len(outcome.epochs), outcome.seconds)


class _TrialReporter:
    """Reports the epochs of a training to its trial in Optuna, and stops it where the median rule says so."""

    def __init__(self, place: TrialPlace) -> None:
        pruner = optuna.pruners.MedianPruner(place.startup_trials, place.warmup_epochs)
        study = _load_study(place.journal, place.study, place.bigger, pruner)
        frozen = study.get_trials(deepcopy=False)[place.number]
        self.trial = optuna.trial.Trial(study, frozen._trial_id)
        self.reported = set(frozen.intermediate_values)

    def __call__(self, epoch: Epoch) -> None:
        if epoch.score is None:
            return
        if epoch.number not in self.reported:
            self.trial.report(epoch.score, epoch.number)
        if self.trial.should_prune():
            raise StopRun


def _load_study(
    journal: Path, name: str, bigger: bool, pruner: Optional[optuna.pruners.BasePruner] = None
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = StudyDirection.MAXIMIZE if bigger else StudyDirection.MINIMIZE
    lock = JournalFileSymlinkLock(str(journal))
    backend = JournalFileBackend(str(journal), lock)
    _cut_off_half_a_line(journal, lock)
    storage = JournalStorage(backend)
    return optuna.create_study(
        storage=storage, study_name=name, direction=direction, pruner=pruner, load_if_exists=True
    )


def _cut_off_half_a_line(journal: Path, lock: JournalFileSymlinkLock) -> None:
    """Take away what a full disk or a kill left of a line, after which Optuna would read no other."""
    with open(journal, "rb") as file:
        content = file.read()
    if not content or content.endswith(b"\n"):
        return
    lock.acquire()
    try:
        content = journal.read_bytes()
        os.truncate(journal, content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _seed(search_seed: int, number: int) -> int:
    """The seed of one proposal, so that a search that resumes draws what it would have drawn."""
    return int(digest(f"{search_seed} {number}")[:8], 16)


def _startup(trials: int) -> int:
    """The number of trials before the estimator and the median rule have enough to go by."""
    return max(2, min(10, trials // 3))


def _study_name(config: Config, space: Space, budget: Budget) -> str:
    """The name of a search, decided by settings, space, data, code and seed, whatever the number of trials."""
    declared = {name: distribution.__repr__() for name, distribution in space.items()}
    parts = [settings_that_count(config), declared, data_digest(config), code_version(config["model"])]
    return f"{config['model']}-{config['dataset']}-{digest(json.dumps([*parts, budget.seed, budget.threads]))[:8]}"


def _record_study(store: Store, search: Search) -> None:
    """Write a search and its budget down, refusing a budget that others did not have."""
    with store.writing() as connection:
        others = connection.execute(
            "SELECT DISTINCT model, trials, epochs FROM studies WHERE dataset = ? AND study <> ? AND trials > 1 "
            "AND (trials <> ? OR epochs <> ?)",
            [search.dataset, search.name, search.budget.trials, search.epochs],
        ).fetchall()
        if others and search.space:
            model, trials, epochs = others[0]
            raise ConfigError(
                f"{search} asks for {counted(search.budget.trials, 'trial')} of at most {search.epochs} epochs, but "
                f"{store.path} holds a search of {model} with {counted(trials, 'trial')} of at most {epochs}; give "
                "every model of a dataset the same budget, or keep the searches in different stores"
            )
        connection.execute(
            "INSERT OR REPLACE INTO studies VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                search.name,
                search.model,
                search.dataset,
                search.metric,
                search.wanted,
                search.epochs,
                json.dumps({name: str(distribution) for name, distribution in search.space.items()}),
                json.dumps(plain_settings({**search.settings, **search.loss})),
            ],
        )


def _record_trial(store: Store, search: Search, trial: FrozenTrial, outcome: TrialOutcome) -> None:
    with store.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, now()::TIMESTAMP)",
            [
                search.name,
                trial.number,
                json.dumps(trial.params),
                outcome.score,
                outcome.state,
                outcome.epochs,
                outcome.seconds,
            ],
        )


def write_best(search: Search, path: Path) -> Optional[Path]:
    """Write the best trial's parameters as a YAML file of settings; None before the first complete trial.

    A model that has a choice of losses is given the one under which the parameters were found.
    """
    best = search.best()
    if best is None:
        return None
    spent = len(search.trials)
    head = (
        f"# {search}: the best of {counted(spent, 'trial')} of at most {search.epochs} epochs, "
        f"validation {search.metric} {best.value:.4f} (trial {best.number})\n"
    )
    found = {**search.loss, **best.params}
    write_whole(path, head + (yaml.safe_dump(found, sort_keys=True) if found else "{}\n"))
    return path
