"""A training in MLflow is one run with each point once, however it ends; and MLflow changes nothing of the training."""

import json
import os
import signal
import subprocess
import sys

import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments import carry_out as running
from recbole_sheaf.experiments import mlflow_tracking, tuning
from recbole_sheaf.experiments.carry_out import carry_out
from recbole_sheaf.experiments.grid import read_experiment
from recbole_sheaf.experiments.mlflow_tracking import LONGEST_PARAMETER, MlflowSink, tracking_of
from recbole_sheaf.experiments.run_id import run_id
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.sinks import around
from recbole_sheaf.experiments.tuning import Budget, Search
from recbole_sheaf.store.store import Store
from recbole_sheaf.workers.pools import ProcessWorkers, ThisProcess
from tests.experiments.test_compare import run, write_experiment

REFUSAL = 'log_mlflow is true, but MLflow is not installed; install it with: pip install "recbole-sheaf[mlflow]"'


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A store of MLflow's on this disk; making its tables takes seconds, so the tests of this file share one."""
    pytest.importorskip("mlflow", reason='needs pip install "recbole-sheaf[mlflow]"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


class Tracked:
    """An experiment of its own for one test, and its runs in the order in which they began."""

    def __init__(self, uri, name):
        import mlflow

        self.client = mlflow.MlflowClient(tracking_uri=uri)
        self.settings = {"log_mlflow": True, "mlflow_experiment": name, "mlflow_tracking_uri": uri}

    @property
    def runs(self):
        experiment = self.client.get_experiment_by_name(self.settings["mlflow_experiment"])
        found = self.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
        return list(found)

    def steps(self, one, key):
        return {point.step: point.value for point in self.points(one, key)}

    def points(self, one, key):
        return self.client.get_metric_history(one.info.run_id, key)


@pytest.fixture
def tracked(database, request):
    return Tracked(database, request.node.name)


def job_of(workplace, tracked, model="BPR"):
    settings = {"epochs": 5, **tracked.settings}
    path = write_experiment(workplace, "one", models=["BPR", "RecVAE"], seeds=[1], settings=settings)
    jobs_of_both = read_experiment(path, {"show_progress": False, "state": "ERROR"}).runs
    return next(job for job in jobs_of_both if job.model == model)


def test_a_run_holds_settings_every_epoch_and_the_result(toy_settings, tracked):
    asked = {"seed": 7, "learning_rate": 0.002}
    results = run_models(["Pop", "MMSheaf"], "toy", overrides={**toy_settings, **tracked.settings, **asked})
    pop, sheaf = tracked.runs
    assert [one.info.status for one in tracked.runs] == ["FINISHED", "FINISHED"]
    assert pop.data.params["model"] == "Pop" and sheaf.info.run_name == "MMSheaf on toy, seed 7"
    assert sheaf.data.params["learning_rate"] == "0.002" and sheaf.data.params["embedding_size"] == "8"
    assert json.loads(sheaf.data.params["topk"]) == [10, 20, 50] and sheaf.data.params["seed"] == "7"
    assert not {"data_path", "cache_dir", "mlflow_tracking_uri"} & set(sheaf.data.params)
    tags = sheaf.data.tags
    assert (tags["model"], tags["dataset"], tags["seed"], tags["version.recbole"]) == ("MMSheaf", "toy", "7", "1.2.1")
    assert list(tracked.steps(sheaf, "train_loss").values()) == pytest.approx(results[1].train_loss)
    assert tracked.steps(sheaf, "valid/recall_at_10").keys() == {0, 1}
    best = results[1].best_epoch
    weighed = results[1].valid["recall@10"]  # when the epochs are over
    assert 0 < tracked.steps(sheaf, "valid/recall_at_10")[best] <= weighed
    metrics = sheaf.data.metrics
    assert all(metrics[f"test/{name.replace('@', '_at_')}"] == value for name, value in results[1].test.items())
    assert all(metrics[f"best_valid/{name.replace('@', '_at_')}"] == value for name, value in results[1].valid.items())
    assert (metrics["epochs"], metrics["parameters"], metrics["best_epoch"]) == (2, results[1].parameters, best)


def test_mlflow_changes_neither_numbers_nor_ids(toy_settings, tracked):
    ids = {run_id(*resolve_configs(["BPR"], "toy", [], {**toy_settings, **more}), 1) for more in ({}, tracked.settings)}
    assert len(ids) == 1
    (without,) = run_models(["BPR"], "toy", overrides=toy_settings)
    (with_mlflow,) = run_models(["BPR"], "toy", overrides={**toy_settings, **tracked.settings})
    assert (with_mlflow.train_loss, with_mlflow.test) == (without.train_loss, without.test)


@pytest.mark.slow
def test_every_job_of_a_grid_is_one_run_whoever_trains_it(toy, workplace, tracked):
    path = write_experiment(
        workplace,
        "grid",
        models={"control": {"model": "BPR"}},
        ablations={"real": {}, "shuffled": {"learning_rate": 0.1}},
        seeds=[1, 2],
        settings=tracked.settings,
    )
    report, store = run(path, ProcessWorkers(2))
    assert (report.done, report.failed) == (4, {})
    tests = dict(store.rows("SELECT run, test['recall@20'] FROM runs").itertuples(index=False))
    assert {one.data.tags["run"]: one.data.metrics["test/recall_at_20"] for one in tracked.runs} == tests
    places = {(one.data.tags["label"], one.data.tags["ablation"], one.data.tags["seed"]) for one in tracked.runs}
    assert places == {("control", ablation, seed) for ablation in ("real", "shuffled") for seed in ("1", "2")}
    assert len(tracked.runs) == 4 and {one.info.status for one in tracked.runs} == {"FINISHED"}
    assert {one.data.tags["experiment"] for one in tracked.runs} == {"grid"}
    assert "test/aplt_at_20" in tracked.runs[0].data.metrics
    report, _ = run(path)
    assert report.finished_before == 4 and len(tracked.runs) == 4


@pytest.mark.parametrize(
    "model, stop, status",
    [("BPR", RuntimeError, "FAILED"), ("BPR", KeyboardInterrupt, "KILLED"), ("RecVAE", RuntimeError, "FAILED")],
)
def test_a_training_that_goes_on_is_the_same_run_with_each_point_once(
    toy, workplace, tracked, monkeypatch, model, stop, status
):
    """RecVAE cannot go on between epochs: it starts again, and its points are there already."""
    job = job_of(workplace, tracked, model)
    train = running.train

    def stopped(config, split, folder, listener, test, **named):
        def until_two(epoch):
            listener(epoch)
            if epoch.number == 2:
                raise stop("enough")

        return train(config, split, folder, until_two, test, **named)

    with monkeypatch.context() as patch:
        patch.setattr(running, "train", stopped)
        with pytest.raises(stop):
            carry_out(job, workplace / "job")
    (first,) = tracked.runs
    assert first.info.status == status and first.data.tags["error"] == f"{stop.__name__}: enough"
    assert set(tracked.steps(first, "train_loss")) == {0, 1, 2}
    outcome = carry_out(job, workplace / "job")
    (last,) = tracked.runs
    assert last.info.run_id == first.info.run_id
    assert last.info.status == "FINISHED" and "error" not in last.data.tags
    for key in ("train_loss", "valid/recall_at_10", "train_seconds"):
        assert [point.step for point in tracked.points(last, key)] == [0, 1, 2, 3, 4], key
    assert list(tracked.steps(last, "train_loss").values()) == pytest.approx(outcome.result.train_loss)
    carry_out(job, workplace / "job")  # as when the store was lost: trained again, with the same numbers
    (again,) = tracked.runs
    assert len(tracked.points(again, "train_loss")) == 5 and len(tracked.points(again, "test/recall_at_20")) == 1


def test_a_run_that_mlflow_has_no_more_is_made_anew(toy, workplace, tracked):
    job = job_of(workplace, tracked)
    carry_out(job, workplace / "job")
    tracked.client.delete_run(tracked.runs[0].info.run_id)
    carry_out(job, workplace / "job")
    (workplace / "job" / mlflow_tracking.RUN_FILE).write_text("0" * 32)
    carry_out(job, workplace / "job")
    assert [one.info.status for one in tracked.runs] == ["FINISHED"] * 2


def dies_in_its_third_epoch(job, folder):
    train = running.train

    def doomed(config, split, folder, listener, test):
        def until_two(epoch):
            listener(epoch)
            if epoch.number == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        return train(config, split, folder, until_two, test, **named)

    running.train = doomed
    return carry_out(job, folder)


@pytest.mark.slow
def test_a_worker_that_dies_leaves_a_failed_run(toy, workplace, tracked):
    path = write_experiment(workplace, "dying", models=["BPR"], seeds=[1], settings={"epochs": 5, **tracked.settings})
    run(path, ProcessWorkers(2), dies_in_its_third_epoch)
    (died,) = tracked.runs
    assert died.info.status == "FAILED" and died.data.tags["error"].startswith("ProcessExpired")
    report, _ = run(path)
    (ended,) = tracked.runs
    assert report.done == 1 and ended.info.status == "FINISHED"
    assert [point.step for point in tracked.points(ended, "train_loss")] == [0, 1, 2, 3, 4]


def test_trials_are_runs_without_a_test_and_a_laggard_is_killed(toy_settings, workplace, tracked):
    space = {"learning_rate": {"low": 1e-9, "high": 0.1, "log": True}}
    settings = {"search_space": space, "epochs": 12, "stopping_step": 20, "state": "ERROR"}
    one = Search("LightGCN", "toy", {**toy_settings, **settings, **tracked.settings}, Budget(4), workplace / "a")
    for number, rate in enumerate((0.05, 0.04, 1e-9)):
        one.study.enqueue_trial({"learning_rate": rate})
        one.study.ask(one.space)
        outcome = tuning.run_trial(
            one.run_of(number, {"learning_rate": rate}), one.trial_folder(number), one.place(number)
        )
        one.tell(number, outcome)
    runs = tracked.runs
    assert [one.info.status for one in runs] == ["FINISHED", "FINISHED", "KILLED"]
    assert [(one.data.tags["trial"], one.data.params["learning_rate"]) for one in runs] == [
        ("0", "0.05"),
        ("1", "0.04"),
        ("2", "1e-09"),
    ]
    assert {one.data.tags["study"] for one in runs} == {one.data.tags["study"] for one in runs[:1]}
    assert len(tracked.points(runs[2], "train_loss")) == outcome.epochs < 12
    assert not any(name.startswith("test/") for one in runs for name in one.data.metrics)
    assert "best_valid/recall_at_10" in runs[0].data.metrics and "best_valid/recall_at_10" not in runs[2].data.metrics


def test_a_failing_trial_is_a_failed_run(toy_settings, workplace, tracked, monkeypatch):
    def fails(*arguments, **named):
        raise ValueError("Training loss is nan")

    monkeypatch.setattr(running, "train", fails)
    one = Search("BPR", "toy", {**toy_settings, **tracked.settings, "state": "ERROR"}, Budget(1), workplace / "a")
    errors = tuning.run_searches([one], Store(workplace / "a.duckdb"), ThisProcess(), quiet=True)
    assert list(errors.values()) == ["ValueError: Training loss is nan"]
    (failed,) = tracked.runs
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "ValueError: Training loss is nan")


def test_a_training_outlives_mlflow(toy, workplace, tracked, monkeypatch, caplog):
    """MLflow is lost in the middle: one warning, the same numbers."""
    import mlflow

    log_batch = mlflow.MlflowClient.log_batch

    def lost(self, run, metrics=(), **others):
        if any(metric.step == 1 for metric in metrics):
            raise mlflow.exceptions.MlflowException("connection lost")
        return log_batch(self, run, metrics=metrics, **others)

    caplog.set_level("WARNING")
    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", lost)
    job = job_of(workplace, tracked)
    outcome = carry_out(job, workplace / "job")
    assert len(outcome.result.train_loss) == 5 and outcome.result.test
    assert caplog.text.count("MLflow's record of BPR on toy, seed 1") == 1 and "connection lost" in caplog.text
    monkeypatch.undo()
    assert set(tracked.steps(tracked.runs[0], "train_loss")) == {0}


def test_long_settings_are_cut_and_many_are_written(toy_settings, tracked, workplace):
    (config,) = resolve_configs(["BPR"], "toy", [], {**toy_settings, **tracked.settings})
    config.final_config_dict.update({f"more_{number}": number for number in range(150)}, long="x" * 10_000)
    tracking_of(config).open()
    one = running.Run("0", "BPR", "toy", 2020, 1, {}, "long")
    with around(one, [MlflowSink(tracking_of(config), config, workplace)]):
        pass
    (one,) = tracked.runs
    assert one.data.params["more_149"] == "149" and one.info.status == "FINISHED"
    assert one.data.params["long"] == "x" * (LONGEST_PARAMETER - 1) + "…"


def test_places_mean_the_same_from_any_folder(toy_settings, workplace, database, monkeypatch):
    def uri(**settings):
        (config,) = resolve_configs(["BPR"], "toy", [], {**toy_settings, "log_mlflow": True, **settings})
        return tracking_of(config).uri

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert str(workplace) in uri()
    assert uri(mlflow_tracking_uri="sqlite:///m.db") == f"sqlite:///{workplace}/m.db"
    assert uri(mlflow_tracking_uri="sqlite:////tmp/m.db") == "sqlite:////tmp/m.db"
    assert uri(mlflow_tracking_uri="runs") == f"{workplace}/runs"
    for other in ("http://host:5000", "databricks", "databricks://profile"):
        assert uri(mlflow_tracking_uri=other) == other
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    assert uri() == "http://elsewhere:5000"
    assert uri(mlflow_tracking_uri="http://host:5000") == "http://host:5000"


@pytest.mark.parametrize("uri", ["http://localhost:1", "nonsense:there"])
def test_a_place_that_does_not_answer_is_refused_before_training(toy_settings, database, workplace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=f"MLflow does not answer at {uri} .*set mlflow_tracking_uri") as error:
        run_models(["BPR"], "toy", overrides={**toy_settings, "log_mlflow": True, "mlflow_tracking_uri": uri})
    assert "\n" not in str(error.value) and not (workplace / "saved").exists()


def test_a_deleted_experiment_is_refused(toy_settings, tracked):
    name = tracked.settings["mlflow_experiment"]
    tracked.client.delete_experiment(tracked.client.create_experiment(name))
    with pytest.raises(ConfigError, match=f"the MLflow experiment '{name}' was deleted"):
        run_models(["BPR"], "toy", overrides={**toy_settings, **tracked.settings})


def test_another_value_than_true_or_false_is_refused(toy_settings):
    with pytest.raises(ConfigError, match="log_mlflow is 'perhaps', expected true or false"):
        run_models(["BPR"], "toy", overrides={**toy_settings, "log_mlflow": "perhaps"})


@pytest.mark.parametrize("command", ["run", "compare", "tune"])
def test_without_mlflow_every_command_refuses_at_once(toy, workplace, monkeypatch, capsys, command):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed
    path = write_experiment(workplace, "grid", settings={"log_mlflow": True})
    settings = [f"--data_path={toy}", "--log_mlflow=true", "--dataset=toy"]
    given = {"run": ["--model=BPR", *settings], "compare": [str(path)], "tune": ["--model=BPR", *settings]}
    assert main([command, *given[command]]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("ConfigError: ") and error.endswith(REFUSAL)
    assert ("grid.yaml, line 4, key 'settings.log_mlflow'" in error) == (command == "compare")
    assert {path.name for path in workplace.iterdir()} <= {"data", "cache", "grid.yaml"}


@pytest.mark.slow
def test_mlflow_is_imported_only_where_it_is_asked_for(toy_settings, workplace):
    script = (
        "import json, sys; import recbole_sheaf; from recbole_sheaf.cli import compare, run, tune, results\n"
        "from recbole_sheaf.experiments.runs import run_models\n"
        "run_models(['BPR'], 'toy', overrides=json.loads(sys.argv.pop()))\n"
        "print('imported' if any(name.split('.')[0] == 'mlflow' for name in sys.modules) else 'not imported')"
    )
    given = json.dumps({**toy_settings, "state": "ERROR"})
    done = subprocess.run([sys.executable, "-c", script, given], capture_output=True, text=True, cwd=workplace)
    assert done.stdout.strip().endswith("not imported"), done.stdout + done.stderr
