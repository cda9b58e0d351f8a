"""Trainings as runs in MLflow, where ``log_mlflow`` asks for them; MLflow is imported then and never otherwise.

A training is one MLflow run: its settings are parameters, its epochs the steps of its metrics. One that goes on after a
stop goes on in the same MLflow run, whose id lies in the training's folder, and writes only points that are not there.
Nothing here changes a number, or a run's id.
"""

import importlib
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from recbole.config import Config

from recbole_sheaf.errors import ConfigError, as_sentence
from recbole_sheaf.experiments.measure import versions
from recbole_sheaf.experiments.run import Outcome, Run, Sink, Tracker
from recbole_sheaf.experiments.run_id import settings_that_count
from recbole_sheaf.files.whole_files import write_whole
from recbole_sheaf.reachable import refuse_unreachable
from recbole_sheaf.store.records import Epoch

logger = logging.getLogger(__name__)

RUN_FILE = "mlflow_run"  # in a training's folder: the id of its MLflow run
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
PARAMETERS_AT_ONCE = 100  # limits of MLflow
LONGEST_PARAMETER = 6000
LONGEST_TAG = 5000
_WORDS = ("databricks", "databricks-uc", "uc")  # tracking URIs that look like a relative path and are none
_FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in the names of metrics


@dataclass(frozen=True)
class Tracking(Tracker):
    """MLflow as a tracker: its URI and its experiment.

    Attributes:
        uri: MLflow's tracking URI, the same from any folder.
        experiment: its name in MLflow.
    """

    uri: str
    experiment: str

    def open(self) -> None:
        """Make the experiment if it is not there yet.

        Raises:
            ConfigError: if MLflow does not answer, or the experiment was deleted.
        """
        mlflow = _mlflow()
        if self.uri.startswith(("http://", "https://")):
            refuse_unreachable("MLflow", self.uri, "set mlflow_tracking_uri, or log_mlflow to false")
        try:
            experiment = _experiment(mlflow.MlflowClient(tracking_uri=self.uri), self.experiment)
        except mlflow.exceptions.MlflowException as error:
            raise ConfigError(
                f"MLflow does not answer at {self.uri} ({_one_line(error)}); set mlflow_tracking_uri or "
                "MLFLOW_TRACKING_URI, or log_mlflow to false"
            ) from error
        if experiment.lifecycle_stage != "active":
            raise ConfigError(
                f"the MLflow experiment '{self.experiment}' was deleted; restore it, or set mlflow_experiment"
            )

    def sink(self, config: Config, folder: Path) -> Sink:
        return MlflowSink(self, config, folder)

    def close(self, folder: Path, error: str) -> None:
        mlflow = _mlflow()
        try:
            client = mlflow.MlflowClient(tracking_uri=self.uri)
            found = _found(client, folder / RUN_FILE)
            if found is not None and found.info.status == "RUNNING":
                client.set_tag(found.info.run_id, "error", _text(error, LONGEST_TAG))
                client.set_terminated(found.info.run_id, FAILED)
        except mlflow.exceptions.MlflowException as lost:
            logger.warning("MLflow's record in %s is left open (%s)", folder, _one_line(lost))


def tracking_of(config: Config) -> Optional[Tracking]:
    """Where the settings send a training; None where they do not ask for MLflow.

    Raises:
        ConfigError: if MLflow is not installed.
    """
    if not config["log_mlflow"]:
        return None
    uri = config["mlflow_tracking_uri"] or _mlflow().get_tracking_uri()
    return Tracking(_from_any_folder(str(uri)), str(config["mlflow_experiment"]))


class MlflowSink(Sink):
    """A training as a run in MLflow. Once MLflow fails, a warning is given and the training goes on without it.

    Args:
        tracking: where it is written.
        config: the resolved settings of the training.
        folder: of this training alone, in which an earlier sitting may have left its MLflow run.
    """

    def __init__(self, tracking: Tracking, config: Config, folder: Path) -> None:
        self.mlflow = _mlflow()
        self.tracking, self.config, self.file = tracking, config, folder / RUN_FILE
        self.written: set[tuple[str, int]] = set()
        self.status = FINISHED
        self.lost = False

    def start(self, run: Run) -> None:
        self.run = run
        self._ask(self._start)

    def epoch(self, epoch: Epoch) -> None:
        points = {"train_loss": epoch.train_loss, "train_seconds": epoch.train_seconds}
        if epoch.score is not None:
            points["valid_seconds"] = epoch.valid_seconds
            points.update({f"valid/{name}": value for name, value in epoch.valid.items()})
        self._write(points, epoch.number)

    def result(self, run: Run, outcome: Outcome) -> None:
        if outcome.result is None:
            self.status = KILLED
            return
        result = outcome.result
        points = {f"best_valid/{name}": value for name, value in result.valid.items()}
        points.update({f"test/{name}": value for name, value in result.test.items()})
        for name in ("best_epoch", "epochs", "seconds_per_epoch", "peak_memory_mib", "parameters"):
            points[name] = getattr(result, name)
        self._write({name: value for name, value in points.items() if value is not None}, result.best_epoch or 0)

    def end(self, run: Run, error: Optional[BaseException]) -> None:
        if error is not None:
            self.status = FAILED if isinstance(error, Exception) else KILLED
            self._ask(lambda: self.client.set_tag(self.id, "error", _described(error)))
        self._ask(lambda: self.client.set_terminated(self.id, self.status))

    def _start(self) -> None:
        """Find or make the MLflow run, and say what is trained; saying it twice changes nothing."""
        self.client = self.mlflow.MlflowClient(tracking_uri=self.tracking.uri)
        self.id = self._earlier() or self._made()
        entities = self.mlflow.entities
        settings = {**settings_that_count(self.config), "threads": self.run.threads}
        parameters = [entities.Param(name, _text(value, LONGEST_PARAMETER)) for name, value in settings.items()]
        for first in range(0, len(parameters), PARAMETERS_AT_ONCE):
            self.client.log_batch(self.id, params=parameters[first : first + PARAMETERS_AT_ONCE])
        tags: dict[str, Any] = {"run": self.run.id, "model": self.run.model, "dataset": self.run.dataset}
        tags.update(self.run.tags, seed=self.run.seed)
        tags.update({f"version.{package}": release for package, release in versions().items()})
        self.client.log_batch(self.id, tags=[entities.RunTag(name, str(value)) for name, value in tags.items()])

    def _made(self) -> str:
        experiment = _experiment(self.client, self.tracking.experiment)
        made = self.client.create_run(experiment.experiment_id, run_name=self.run.name).info.run_id
        write_whole(self.file, made)
        return made

    def _earlier(self) -> Optional[str]:
        """The MLflow run of an earlier sitting, running again; None where there is none or MLflow has it no more."""
        if (found := _found(self.client, self.file)) is None:
            return None
        name = found.info.run_id
        self.client.update_run(name, status="RUNNING")
        if "error" in found.data.tags:
            self.client.delete_tag(name, "error")
        for key in found.data.metrics:
            self.written.update((point.key, point.step) for point in self.client.get_metric_history(name, key))
        return name

    def _write(self, points: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        named = {_FORBIDDEN.sub("_", name.replace("@", "_at_")): float(value) for name, value in points.items()}
        fresh = {name: value for name, value in named.items() if (name, step) not in self.written}
        metrics = [self.mlflow.entities.Metric(name, value, now, step) for name, value in fresh.items()]
        self._ask(lambda: self.client.log_batch(self.id, metrics=metrics))

    def _ask(self, request: Callable[[], None]) -> None:
        if self.lost:
            return
        try:
            request()
        except self.mlflow.exceptions.MlflowException as error:
            self.lost = True
            where = f"{self.run.name} at {self.tracking.uri}"
            logger.warning("MLflow's record of %s ends here (%s); the training goes on", where, _one_line(error))


def _mlflow() -> Any:
    """MLflow itself.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        importlib.import_module("mlflow.entities")
        importlib.import_module("mlflow.exceptions")
        return importlib.import_module("mlflow")
    except ImportError as error:
        raise ConfigError(
            'log_mlflow is true, but MLflow is not installed; install it with: pip install "recbole-sheaf[mlflow]"'
        ) from error


def _experiment(client: Any, name: str) -> Any:
    """An experiment by name, made where there is none; another command may make it at the same moment."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found
    try:
        return client.get_experiment(client.create_experiment(name))
    except _mlflow().exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return client.get_experiment_by_name(name)


def _found(client: Any, file: Path) -> Any:
    """The MLflow run that a file names; None where there is no file, or no such run any more."""
    if not file.is_file() or not (name := file.read_text(encoding="utf-8").strip()):
        return None
    try:
        found = client.get_run(name)
    except _mlflow().exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return found if found.info.lifecycle_stage == "active" else None


def _from_any_folder(uri: str) -> str:
    """A tracking URI that means the same in every worker: relative paths count from here."""
    if uri in _WORDS:
        return uri
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{Path(uri[len('sqlite:///') :]).absolute()}"
    return uri if ":" in uri else str(Path(uri).absolute())


def _text(value: Any, longest: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _described(error: BaseException) -> str:
    return _text(as_sentence(error), LONGEST_TAG)


def _one_line(error: Exception) -> str:
    return _text(" ".join(str(error).split()), 300)
