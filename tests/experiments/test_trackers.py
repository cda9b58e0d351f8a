"""TensorBoard and W&B as RecBole has them, under our commands too: a record for each training."""

import contextlib
import importlib.machinery
import importlib.util
import logging
import sys
import types

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbole_sheaf.cli import main
from recbole_sheaf.experiments.runs import run_models
from tests.experiments.test_compare import run, write_experiment


@contextlib.contextmanager
def own_log_files():
    """RecBole names the folder of events after the log file of the run, which pytest's handlers stand in the way of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        yield


def losses(folder):
    """Training losses by epoch in each folder of TensorBoard events, by the model it is named after."""
    found = {}
    for path in (folder / "log_tensorboard").iterdir():
        events = EventAccumulator(str(path))
        events.Reload()
        found.setdefault(path.name.split("-")[0], []).append([event.value for event in events.Scalars("Loss/Train")])
    return found


def test_each_training_writes_its_own_tensorboard_events(toy_settings, workplace):
    with own_log_files():
        results = run_models(["BPR", "MMSheaf"], "toy", overrides=toy_settings)
    found = losses(workplace)
    assert set(found) == {"BPR", "MMSheaf"}
    for result in results:
        assert found[result.model] == [pytest.approx(result.train_loss)]


def test_so_does_each_job_of_a_grid(toy, workplace):
    with own_log_files():
        _, store = run(write_experiment(workplace, "grid", models=["BPR"]))
    expected = store.rows("SELECT train_loss FROM runs")["train_loss"]
    assert sorted(losses(workplace)["BPR"]) == [pytest.approx(list(each)) for each in sorted(map(list, expected))]


class Wandb(types.ModuleType):
    """The few functions of W&B that RecBole calls, which write down what they are told."""

    def __init__(self):
        super().__init__("wandb")
        self.__spec__ = importlib.machinery.ModuleSpec("wandb", None, origin="here")
        self.run, self.runs, self.ended = None, [], []

    def init(self, project, config):
        self.run = types.SimpleNamespace(project=project, seed=config["seed"], logged=[], summary={})
        self.runs.append(self.run)

    def define_metric(self, name, step_metric):
        """RecBole says which step a metric goes by."""

    def log(self, metrics, commit):
        self.run.logged.append(metrics)

    def finish(self, exit_code):
        self.ended.append(exit_code)
        self.run = None


@pytest.fixture
def wandb(monkeypatch):
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_trainings_in_a_row_are_wandb_runs_of_their_own(toy, workplace, wandb):
    path = write_experiment(workplace, "grid", models=["BPR"], settings={"log_wandb": True, "wandb_project": "sheaves"})
    report, store = run(path)
    assert report.done == 2 and wandb.ended == [0, 0]
    assert [(one.project, one.seed) for one in wandb.runs] == [("sheaves", 1), ("sheaves", 2)]
    for one in wandb.runs:
        (row,) = store.rows("SELECT train_loss, test FROM runs WHERE seed = ?", [one.seed]).to_dict("records")
        logged = [metrics["train/train_loss"] for metrics in one.logged if "train/train_loss" in metrics]
        assert logged == pytest.approx(list(row["train_loss"]))
        assert one.summary["eval/recall@20"] == dict(row["test"])["recall@20"]


def test_a_wandb_run_of_the_caller_stays_open(toy_settings, wandb):
    wandb.init("mine", {"seed": 0})
    run_models(["BPR"], "toy", overrides={**toy_settings, "log_wandb": True})
    assert len(wandb.runs) == 1 and wandb.ended == [] and wandb.run.logged


def test_a_training_that_fails_ends_its_wandb_run_as_failed(toy, workplace, wandb, monkeypatch):
    monkeypatch.setattr(wandb, "log", lambda metrics, commit: 1 / 0)
    report, _ = run(write_experiment(workplace, "grid", models=["BPR"], seeds=[1], settings={"log_wandb": True}))
    assert len(report.failed) == 1 and wandb.ended == [1]


def test_without_wandb_a_run_is_refused_at_once(toy, workplace, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *package: None if name == "wandb" else find_spec(name, *package)
    )
    assert main(["run", "--model=BPR", "--dataset=toy", f"--data_path={toy}", "--log_wandb=true"]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error == ("ConfigError: log_wandb is true, but wandb is not installed; install it with: pip install wandb")
    assert not (workplace / "saved").exists()
