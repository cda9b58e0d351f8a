"""Models side by side on one split: a grid of one dataset and one seed, without a store.

Each model gets its own settings and its own batches drawn from ``seed``, so its numbers are the same alone or in
company. A command that was stopped goes on with the same numbers when it is started again.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import torch

from recbole_sheaf.environment import place_among_processes
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.carry_out import accompany, carry_out, resolved, run_of
from recbole_sheaf.experiments.processes import Team, team_of_command
from recbole_sheaf.experiments.run import COMPLETE, Outcome, Run, Sink
from recbole_sheaf.experiments.schedule import Claimed, Source, claim, work_off
from recbole_sheaf.experiments.settings import settings_by_model
from recbole_sheaf.experiments.sinks import JsonLines
from recbole_sheaf.experiments.trackers import open_trackers
from recbole_sheaf.experiments.training import CHECKPOINT_FILE
from recbole_sheaf.files.checkpoint_file import SUFFIX
from recbole_sheaf.files.whole_files import move_file, write_whole
from recbole_sheaf.settings.config import class_name
from recbole_sheaf.store.records import RunResult
from recbole_sheaf.workers.pools import ThisProcess

RESULT_FILE = "result.json"  # in the folder of a run that has ended while others of its command have not


def run_models(
    models: Sequence[str],
    dataset: str,
    config_files: Sequence[str] = (),
    overrides: Optional[Mapping[str, Any]] = None,
    result_file: Optional[Path] = None,
    sinks: Sequence[Sink] = (),
    defaults: Optional[Mapping[str, Any]] = None,
) -> list[RunResult]:
    """Train each model, select its epoch on validation, read its test score once.

    Under ``torchrun`` its processes train together. All of them call this with the same arguments; the first writes,
    tells the sinks and gives results, the others give none.

    Args:
        models: names, RecBole's or ours.
        dataset: name of the dataset folder inside ``data_path``.
        config_files: YAML files, later ones win.
        overrides: settings that win over every file; a key reaches the models that know it.
        result_file: where to write a line of JSON per run, as the runs end.
        sinks: told of each start, epoch and result too.
        defaults: settings in the place of the YAML defaults, which give way to files and overrides.

    Raises:
        ConfigError, DataError, FeatureError: before the first epoch, in one sentence.
        PartnerLost: if another process of the training is gone.
    """
    settings = settings_by_model(models, dataset, config_files, overrides or {}, defaults)
    threads, processes = torch.get_num_threads(), place_among_processes().processes
    runs = [run_of(model, dataset, own, threads, processes=processes) for model, own in settings.items()]
    with team_of_command() as team:
        if team is not None and not team.leads:
            _follow(runs, team)
            return []
        refuse_unwritable(result_file)
        open_trackers(tracker for run in runs for tracker in run.trackers)
        source = _InARow(runs, [*([] if result_file is None else [JsonLines(result_file)]), *sinks], team)
        with ThisProcess() as here:
            work_off(source, here)
    for folder in source.folders:
        shutil.rmtree(folder, ignore_errors=True)
    return source.results


def _follow(runs: Sequence[Run], team: Team) -> None:
    """Help the first process with each run that it trains."""
    for run in runs:
        told, trains = team.hear()
        if told != run.id:
            raise DataError(
                f"process {team.rank} has other settings, data or code of {run} than the first process; give all of "
                "them the same"
            )
        if trains:
            accompany(run, _folder_of(run), team)


def _folder_of(run: Run) -> Path:
    name = f"{class_name(run.model)}-{run.dataset}-seed{run.seed}-{run.id}"
    return Path(resolved(run)["checkpoint_dir"]) / name


class _InARow(Source):
    """Runs one after the other; the first error ends them all.

    What a run gave is kept in its folder until all have ended, so that a command that goes on trains none twice.
    """

    def __init__(self, runs: Sequence[Run], sinks: Sequence[Sink], team: Optional[Team]) -> None:
        self.waiting, self.sinks, self.team = list(runs), sinks, team
        self.results: list[RunResult] = []
        self.folders: list[Path] = []

    def take(self) -> Optional[Claimed]:
        if not self.waiting:
            return None
        run = self.waiting[0]
        folder = _folder_of(run)
        held = claim(folder)
        if held is None:
            raise ConfigError(f"{run} is being trained by another command, in {folder}; wait until it has ended")
        self.waiting.pop(0)
        finished = folder / RESULT_FILE
        for sink in self.sinks:
            sink.start(run)
        listeners = [sink.epoch for sink in self.sinks]
        trained = finished.is_file()
        if self.team is not None:
            self.team.hear([run.id, not trained])
        call = (_read_result, (finished,)) if trained else (carry_out, (run, folder, listeners, True, self.team))
        return Claimed(run, folder, held, *call)

    def settle(self, claimed: Claimed, ended: Future) -> None:
        outcome: Outcome = ended.result()
        kept = claimed.folder.with_name(f"{claimed.folder.name}{SUFFIX}")
        result = replace(outcome.completed, checkpoint=str(kept))
        write_whole(claimed.folder / RESULT_FILE, result.to_json())
        if (made := claimed.folder / CHECKPOINT_FILE).is_file():
            move_file(made, kept)
        self.results.append(result)
        self.folders.append(claimed.folder)
        for sink in self.sinks:
            sink.result(claimed.run, replace(outcome, result=result))

    def is_over(self) -> bool:
        return not self.waiting


def _read_result(path: Path) -> Outcome:
    """What a run gave in an earlier sitting."""
    return Outcome(COMPLETE, RunResult(**json.loads(path.read_text(encoding="utf-8"))), [], None, None, 0.0)


def refuse_unwritable(path: Optional[Path]) -> None:
    """Refuse a result path before hours of training, not after.

    Raises:
        ConfigError: if the path is a folder or its folder cannot be written.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error}); give the path of a file in another folder") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path} cannot be written; give the path of a file in a folder you may write to")
