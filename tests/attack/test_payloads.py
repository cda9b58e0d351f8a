"""Real commands given files that would touch another one: none is touched.

A stranger's checkpoint, settings, planted pickles, caches, a store and a Ray of our own, each by its command.
"""

import json
import os
import pickle
import stat
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from recbole_sheaf.workers.pools import RayWorkers, _private_ray
from tests.attack.test_checkpoints import altered
from tests.attack.test_unsafe_settings import CONTEXT, RUNS, Payload
from tests.conftest import opened

COMMAND = "import sys; from recbole_sheaf.cli import main; sys.exit(main(sys.argv[1:]))"
DATA = ["--dataset=toy", "--data_path=data", "--cache_dir=cache"]
SHORT = [*DATA, "--epochs=1", "--state=warning", "--metrics=[Recall]", "--topk=[10]", "--valid_metric=Recall@10"]
LABELLED = [f"--{key}={json.dumps(value)}" for key, value in CONTEXT.items() if value is not None]


def command(*arguments):
    """Exit code and what was written to the standard error."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *map(str, arguments)], capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def place(toy, workplace):
    """A current folder with planted pickles wherever RecBole looks for some; none may have been unpickled after."""
    for folder in ("saved", "data/toy", "."):
        (workplace / folder).mkdir(exist_ok=True)
        for name in ("toy-Dataset.pth", "toy-for-BPR-dataloader.pth", "toy-SequentialDataset.pth"):
            (workplace / folder / name).write_bytes(pickle.dumps(Payload()))
    torch.save(Payload(), workplace / "zipped.pth")
    yield workplace
    assert not (workplace / "touched").exists()


@pytest.fixture
def checkpoint(place):
    assert command("run", "--model=BPR", *SHORT)[0] == 0
    (path,) = (place / "saved").glob("BPR-*.safetensors")
    return path


@pytest.mark.slow
def test_planted_datasets_and_loaders_are_not_unpickled(place):
    assert command("run", "--model=BPR", *SHORT)[0] == 0
    for key in ("save_dataset", "save_dataloaders"):
        code, said = command("run", "--model=BPR", *SHORT, f"--{key}=True")
        assert code == 2 and f"{key} is true, which would write a pickle" in said
    for key in ("dataset_save_path", "dataloaders_save_path"):
        code, said = command("run", "--model=BPR", *SHORT, f"--{key}=toy-Dataset.pth")
        assert code == 2 and f"{key} names a pickle, which is not read" in said


@pytest.mark.slow
def test_a_teacher_is_not_run_through_any_door(place, checkpoint):
    (place / "evil.yaml").write_text(yaml.safe_dump({"teacher": RUNS}))
    settings = {**CONTEXT, "teacher": RUNS, "data_path": "data"}
    grid = {"name": "x", "store": "x.duckdb", "datasets": ["toy"], "models": {"KD_DAGFM": {}}, "settings": settings}
    (place / "grid.yaml").write_text(yaml.safe_dump(grid))
    evil = altered(checkpoint, {"model": "KD_DAGFM"}, settings={**CONTEXT, "teacher": RUNS, "model": "KD_DAGFM"})
    (place / "evil.safetensors").write_bytes(evil)
    doors = [
        ["run", "--model=KD_DAGFM", *DATA, *LABELLED, f"--teacher={RUNS}"],
        ["run", "--model=KD_DAGFM", *DATA, *LABELLED, "--config_files=evil.yaml"],
        ["compare", "grid.yaml"],
        ["evaluate", "evil.safetensors"],
    ]
    for door in doors:
        code, said = command(*door)
        assert code == 2 and ("teacher is" in said or door[0] == "compare"), said


@pytest.mark.slow
def test_checkpoints_that_would_run_something_are_refused(place, checkpoint):
    (place / "planted.py").write_text("open('touched', 'w')\n")
    (place / "pickle.pth").write_bytes(pickle.dumps(Payload()))
    (place / "renamed.safetensors").write_bytes(pickle.dumps(Payload()))
    (place / "named.safetensors").write_bytes(
        altered(checkpoint, {"model": "planted:Model", "source": "planted:Model"})
    )
    for name in ("pickle.pth", "renamed.safetensors", "zipped.pth", "named.safetensors"):
        for trust in ([], ["--trust-checkpoint"]):
            assert command("evaluate", name, *trust)[0] == 2
    places = {"dataset_save_path": "toy-Dataset.pth", "checkpoint_dir": "there", "cache_dir": "there"}
    (place / "places.safetensors").write_bytes(altered(checkpoint, settings=places))
    assert command("evaluate", "places.safetensors")[0] == 0
    assert not (place / "there").exists()


@pytest.mark.slow
def test_pickled_arrays_and_caches_are_not_unpickled(place):
    payload = np.array([Payload()], dtype=object)
    np.save(place / "data" / "toy" / "item_emb.npy", payload, allow_pickle=True)
    assert command("run", "--model=LDiffRec", *DATA, "--n_cate=2")[0] == 2
    assert command("run", "--model=FREEDOM", *SHORT)[0] == 0
    entries = list((place / "cache").rglob("*.npz"))
    assert entries
    for entry in entries:
        np.savez(entry, src=payload, dst=payload, similarity=payload)
    assert command("run", "--model=FREEDOM", *SHORT, "--seed=3")[0] == 0
    np.savez(place / "data" / "toy" / "features" / "image.npz", item_id=payload, feature=payload)
    assert command("run", "--model=FREEDOM", *SHORT)[0] == 2


@pytest.mark.slow
def test_what_a_run_left_unfinished_is_not_unpickled(place, checkpoint):
    """The state of a run is read as data alone; a planted one is left aside."""
    folder = checkpoint.with_suffix("")
    checkpoint.unlink()
    folder.mkdir()
    (folder / "state.pth").write_bytes(pickle.dumps(Payload()))
    (folder / "best.safetensors").write_bytes(pickle.dumps(Payload()))
    assert command("run", "--model=BPR", *SHORT)[0] == 0
    assert opened(checkpoint)[0]["model"] == "BPR"


def test_the_folder_of_a_ray_of_ours_is_for_its_user_alone(monkeypatch):
    ray_constants = pytest.importorskip("ray._private.ray_constants")
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    monkeypatch.setenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "1")
    folder = os.path.dirname(_private_ray()["_temp_dir"])
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    os.rmdir(folder)


@pytest.mark.slow
def test_a_ray_of_ours_listens_on_the_loopback_alone(workplace):
    psutil = pytest.importorskip("psutil")
    with RayWorkers("local", threads=1) as workers:
        assert workers.submit(lambda: os.getpid()).result() != os.getpid()
        this = psutil.Process()
        sockets = [s for p in (this, *this.children(recursive=True)) for s in p.connections("inet")]
        heard = {socket.laddr.ip.rpartition(":")[2] for socket in sockets if socket.status == "LISTEN"}
        assert heard == {"127.0.0.1"}
        assert stat.S_IMODE(os.stat(os.path.dirname(workers.folder)).st_mode) == 0o700
    assert not os.path.exists(os.path.dirname(workers.folder))
