"""A grid ends with the same rows however often it is killed, whoever works on it, and wherever its jobs run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jaxtyping
import pytest
from filelock import FileLock

from recbole_sheaf.errors import StoreError
from recbole_sheaf.experiments.carry_out import carry_out
from recbole_sheaf.experiments.compare import run_grid
from recbole_sheaf.experiments.grid import read_experiment
from recbole_sheaf.store.store import Store
from recbole_sheaf.workers.pools import ProcessWorkers, RayWorkers, ThisProcess
from tests.conftest import TOY, write_toy
from tests.experiments.dying import dies_for_bpr_with_seed_one

NUMBERS = (
    "SELECT label, ablation, seed, best_epoch, epochs, valid, test, train_loss "
    "FROM entries JOIN runs USING (run, seed) ORDER BY label, ablation, seed"
)
USERS = "SELECT label, seed, user_id, metric, value FROM user_metrics JOIN entries USING (run) ORDER BY ALL"
CURVES = "SELECT label, seed, epoch, train_loss, valid, score FROM curves JOIN entries USING (run) ORDER BY ALL"


def write_experiment(folder, name, **changed):
    """A grid of four runs on the toy dataset, as a file."""
    settings = {key: value for key, value in TOY.items() if key != "show_progress"}
    settings.update(data_path="data", cache_dir="cache", **changed.pop("settings", {}))
    content = {"datasets": ["toy"], "models": ["Pop", "BPR"], "seeds": [1, 2], "settings": settings, **changed}
    path = Path(folder) / f"{name}.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in content.items()) + "\n")
    return path


def run(path, workers=None, job=carry_out):
    experiment = read_experiment(path, {"show_progress": False, "state": "ERROR"})
    return run_grid(experiment, workers or ThisProcess(), job, quiet=True), Store(experiment.store)


def no_job(job, folder):
    raise AssertionError(f"{job} was run")


def same_rows(one, other):
    for query in (NUMBERS, USERS, CURVES):
        with one.reading() as mine, other.reading() as theirs:
            expected, found = mine.execute(query).fetchall(), theirs.execute(query).fetchall()
        assert expected
        assert found == expected, query


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    """A folder with the toy dataset, and a grid of four runs that were carried out in it."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        patch.setattr("sys.argv", ["pytest"])
        write_toy(folder / "data" / "toy")
        report, _ = run(write_experiment(folder, "undisturbed"))
    assert (report.done, report.failed) == (4, {})
    return folder


@pytest.fixture
def undisturbed(carried_out, workplace):
    """The store of that grid, in a copy of its folder."""
    shutil.copytree(carried_out, workplace, dirs_exist_ok=True)
    return Store(workplace / "undisturbed.duckdb")


def test_what_is_finished_is_not_run_again(undisturbed, workplace):
    report, store = run(workplace / "undisturbed.yaml", job=no_job)
    assert (report.done, report.finished_before, report.failed) == (0, 4, {})
    more = write_experiment(workplace, "more", seeds=[1, 2, 3], store="undisturbed.duckdb")
    report, _ = run(more)
    assert (report.done, report.finished_before) == (2, 4)
    assert len(store.rows("SELECT * FROM entries")) == 4 + 6 and len(store.rows("SELECT * FROM runs")) == 6


def test_two_labels_of_the_same_training_are_one_run(toy, workplace):
    path = write_experiment(workplace, "twins", models={"one": {"model": "BPR"}, "two": {"model": "BPR"}}, seeds=[1])
    report, store = run(path)
    assert report.runs == report.done == 1
    assert len(store.rows("SELECT * FROM entries")) == 2


def test_ablations_are_jobs_of_their_own(toy, workplace):
    path = write_experiment(
        workplace,
        "ablated",
        models=["MMSheaf"],
        seeds=[1],
        ablations={"real": {}, "shuffled": {"features": "shuffled"}, "image": {"modalities": ["image"]}},
    )
    _, store = run(path)
    rows = store.rows("SELECT ablation, train_loss[1] AS loss, modalities FROM entries JOIN runs USING (run)")
    assert set(rows["ablation"]) == {"real", "shuffled", "image"} and rows["loss"].nunique() == 3
    (image,) = rows[rows["ablation"] == "image"]["modalities"]
    assert dict(image) == {"image": 1.0}


def test_a_failing_job_is_reported_and_the_others_go_on(toy, workplace):
    def fails_for_seed_two(job, folder):
        if job.seed == 2:
            raise RuntimeError("out of luck")
        return carry_out(job, folder)

    path = write_experiment(workplace, "failing")
    report, store = run(path, job=fails_for_seed_two)
    assert report.done == 2 and len(report.failed) == 2
    assert all(job.seed == 2 and error == "RuntimeError: out of luck" for job, error in report.failed.items())
    assert set(store.rows("SELECT error FROM failures")["error"]) == {"RuntimeError: out of luck"}
    report, _ = run(path)
    assert (report.done, report.finished_before, report.failed) == (2, 2, {})


def test_a_dataset_that_vanishes_in_the_middle_fails_its_jobs_alone(toy, workplace):
    def without_data_for_seed_two(job, folder):
        (toy / "toy").rename(toy / "gone") if job.seed == 2 else None
        try:
            return carry_out(job, folder)
        finally:
            (toy / "gone").rename(toy / "toy") if job.seed == 2 else None

    report, _ = run(write_experiment(workplace, "vanishing", models=["BPR"]), job=without_data_for_seed_two)
    assert report.done == 1
    ((job, error),) = report.failed.items()
    assert job.seed == 2 and error.startswith("DataError: dataset 'toy' is not in")


def test_data_that_change_in_the_middle_are_not_taken_for_the_others(toy, workplace):
    def changed_for_seed_two(job, folder):
        if job.seed == 2:
            with open(toy / "toy" / "toy.inter", "a") as file:
                file.write("u0\ti1\n")
        return carry_out(job, folder)

    report, _ = run(write_experiment(workplace, "changing", models=["BPR"]), job=changed_for_seed_two)
    ((_, error),) = report.failed.items()
    assert "changed since it was planned" in error and report.done == 1


def test_users_of_the_store_average_to_the_run(undisturbed):
    averages = undisturbed.rows("SELECT run, metric, avg(value) AS value FROM user_metrics GROUP BY ALL")
    tests = {run: dict(test) for run, test in undisturbed.rows("SELECT run, test FROM runs").itertuples(index=False)}
    assert len(averages) == 4 * 4 * 3
    for row in averages.itertuples():
        assert tests[row.run][row.metric] == pytest.approx(row.value, abs=1e-6)


@pytest.mark.parametrize("slots", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_worker_processes_give_the_same_rows_and_a_dead_one_takes_its_job_alone(undisturbed, workplace, slots):
    path = write_experiment(workplace, "workers")
    report, store = run(path, ProcessWorkers(slots), dies_for_bpr_with_seed_one)
    ((job, error),) = report.failed.items()
    assert (job.label, job.seed) == ("BPR", 1) and error.startswith("ProcessExpired")
    assert report.done == 3
    report, _ = run(path)
    assert (report.done, report.finished_before) == (1, 3)
    same_rows(undisturbed, store)


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_rows(undisturbed, workplace):
    report, store = run(write_experiment(workplace, "ray"), RayWorkers("local", threads=1))
    assert (report.done, report.failed) == (4, {})
    same_rows(undisturbed, store)


def test_a_job_that_another_command_runs_is_waited_for(undisturbed, workplace):
    """While its claim is held the others go on; when it is let go unfinished, its job is run here."""
    path = write_experiment(workplace, "shared")
    experiment = read_experiment(path, {"show_progress": False, "state": "ERROR"})
    first = experiment.runs[0]
    folder = experiment.store.with_name(experiment.store.name + ".jobs") / first.id
    folder.mkdir(parents=True)
    claim = FileLock(folder / "claim", thread_local=False)
    claim.acquire()
    started = []

    def counted(job, folder):
        started.append(job.id)
        if len(started) == 3:
            threading.Timer(0.5, claim.release).start()
        return carry_out(job, folder)

    report = run_grid(experiment, ThisProcess(), counted, quiet=True)
    assert report.done == 4 and started[-1] == first.id and len(set(started)) == 4
    same_rows(undisturbed, Store(experiment.store))


def test_a_job_that_another_command_finished_is_not_run_again(undisturbed, workplace):
    """Both saw it unfinished; the one that claims it second finds it in the store."""
    path = write_experiment(workplace, "finished", store="undisturbed.duckdb")
    experiment = read_experiment(path, {"show_progress": False, "state": "ERROR"})
    held = {job.id for job in experiment.runs}
    answers = [set(), *[held] * 8]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "finished", lambda self, runs: answers.pop(0))
        report = run_grid(experiment, ThisProcess(), no_job, quiet=True)
    assert (report.done, report.finished_before, report.failed) == (0, 4, {})


def command(path, *options):
    code = "import sys; from recbole_sheaf.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", code, "compare", str(path), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        arguments, cwd=path.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_two_commands_on_one_store_share_the_work(undisturbed, workplace):
    path = write_experiment(workplace, "commands")
    commands = [command(path) for _ in range(2)]
    said = [process.communicate()[0] for process in commands]
    assert [process.returncode for process in commands] == [0, 0], said
    store = Store(workplace / "commands.duckdb")
    assert len(store.rows("SELECT * FROM runs")) == 4
    same_rows(undisturbed, store)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_grid_killed_five_times_ends_with_the_same_rows(workplace, workers):
    """Twelve jobs on ml-100k; whole process groups die by SIGKILL at random moments."""
    grid = {
        "datasets": ["ml-100k"],
        "models": ["Pop", "BPR", "LightGCN", "MMSheaf"],
        "seeds": [1, 2, 3],
        "settings": {"epochs": 4, "train_batch_size": 8192},
    }
    paths = {}
    for name in ("whole", f"killed{workers}"):
        paths[name] = workplace / f"{name}.yaml"
        paths[name].write_text("\n".join(f"{key}: {value}" for key, value in grid.items()) + "\n")
    started = time.monotonic()
    assert command(paths["whole"], "--workers=2").wait() == 0
    seconds = time.monotonic() - started
    rng = random.Random(workers)
    kills = 0
    while kills < 5:
        process = command(paths[f"killed{workers}"], f"--workers={workers}")
        try:
            process.wait(timeout=rng.uniform(0.05, 0.2) * seconds)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    last = command(paths[f"killed{workers}"], f"--workers={workers}")
    said = last.communicate()[0]
    assert last.returncode == 0, said
    assert kills == 5
    same_rows(Store(workplace / "whole.duckdb"), Store(workplace / f"killed{workers}.duckdb"))


def test_a_store_deleted_meanwhile_ends_the_command(toy, workplace):
    def deletes(job, folder):
        (workplace / "deleted.duckdb").unlink()
        return carry_out(job, folder)

    with pytest.raises(StoreError, match="deleted.duckdb was deleted while this command wrote to it"):
        run(write_experiment(workplace, "deleted", seeds=[1]), job=deletes)
    report, _ = run(workplace / "deleted.yaml")
    assert report.done == 2


def test_a_model_that_reads_no_content_is_trained_once_for_all_ablations(toy, workplace):
    ablations = {"real": {}, "shuffled": {"features": "shuffled"}, "image": {"modalities": ["image"]}}
    path = write_experiment(workplace, "ablated", models=["BPR", "VBPR"], seeds=[1], ablations=ablations)
    report, store = run(path)
    assert report.done == 1 + 3 and len(store.rows("SELECT * FROM entries")) == 6
