"""Commands that only read leave nothing in the current folder and need not write there."""

import argparse
import logging
import os
from pathlib import Path

import pandas as pd
import pytest

from recbole_sheaf.cli import main, serve
from recbole_sheaf.experiments import splits
from recbole_sheaf.store.store import Store
from tests.conftest import TOY
from tests.store.test_store import EPOCHS, result, users

UNWRITABLE = Path("/proc")  # where root makes no file either


@pytest.fixture
def trained(toy, workplace):
    """Checkpoint, export, store and the toy's options, by absolute paths."""
    options = {**TOY, "data_path": toy, "cache_dir": workplace / "cache"}
    given = [f"--{key}={value}" for key, value in options.items()]
    assert main(["run", "--model=BPR", "--dataset=toy", *given]) == 0
    (checkpoint,) = workplace.glob("saved/*.safetensors")
    assert main(["export", str(checkpoint), f"--data_path={toy}", f"--to={workplace}/out/x.npz"]) == 0
    store = Store(workplace / "store" / "x.duckdb")
    store.add_run("one", result(), EPOCHS, users())
    place = {"experiment": "e", "label": "BPR", "dataset": "toy", "ablation": "real", "seed": 1, "run": "one"}
    store.add_entries(pd.DataFrame([place]))
    (workplace / "store" / "x.duckdb.lock").unlink()
    return checkpoint, workplace / "out" / "x.npz", store.path, toy


def commands(trained):
    checkpoint, export, store, data = trained
    for source, beside in ((checkpoint, [f"--data_path={data}"]), (export, [])):
        yield ["recommend", str(source), "--k=2", *beside]
        yield ["similar", str(source), "--items=i1", "--k=2", *beside]
        yield ["explain", str(source), "--user=u1", "--item=i1", *beside]
        yield ["judge", str(source), "--k=3", *beside]
    yield ["evaluate", str(checkpoint), f"--data_path={data}"]
    yield ["export", str(checkpoint), f"--data_path={data}", f"--to={export.parent}/y.npz"]
    yield ["results", str(store)]
    yield ["results", str(store), "--sql=SELECT count(*) FROM runs"]
    yield ["audit", "toy", f"--data_path={data}", f"--cache_dir={store.parents[1]}/cache"]
    yield ["models"]
    yield ["--help"]


def test_nothing_is_left_in_the_current_folder(trained, tmp_path, monkeypatch):
    here, store = tmp_path / "here", trained[2]
    here.mkdir()
    monkeypatch.chdir(here)
    for arguments in commands(trained):
        assert main(arguments) == 0, arguments
        assert os.listdir(here) == [], arguments
    assert os.listdir(store.parent) == [store.name] and len(os.listdir(trained[0].parent)) == 1


@pytest.mark.skipif(not UNWRITABLE.is_dir(), reason="no /proc here")
def test_nothing_need_be_written_in_the_current_folder(trained, monkeypatch):
    monkeypatch.chdir(UNWRITABLE)
    for arguments in commands(trained):
        assert main(arguments) == 0, arguments
    pytest.importorskip("fastapi")
    for source, data in zip(trained[:2], (str(trained[3]), None)):
        unset = dict.fromkeys(("titles", "posters", "item_table"))
        given = argparse.Namespace(source=source, data_path=data, trust_checkpoint=False, **unset)
        assert serve._catalogue(given).about()["model"] == "BPR"


@pytest.mark.parametrize("log_to_file, log_tensorboard", [(True, True), (True, False), (False, True), (False, False)])
def test_a_training_keeps_recboles_records_unless_it_is_told_not_to(toy, workplace, log_to_file, log_tensorboard):
    options = {**TOY, "data_path": toy, "cache_dir": workplace / "cache"}
    options.update(log_to_file=log_to_file, log_tensorboard=log_tensorboard)
    given = [f"--{key}={value}" for key, value in options.items()]
    assert main(["run", "--model=BPR", "--dataset=toy", *given]) == 0
    made = {path.name for path in workplace.iterdir()}
    assert ("log" in made, "log_tensorboard" in made) == (log_to_file, log_tensorboard)


@pytest.mark.parametrize("state, level", [("debug", 10), ("WARNING", 30), ("nonsense", 20), (None, 20)])
def test_lines_that_go_to_no_file_are_shown_as_recbole_shows_them(workplace, monkeypatch, capsys, state, level):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.NOTSET)
    splits.init_logger({"log_to_file": False, "state": state})
    logging.getLogger().log(level, "shown")
    logging.getLogger().log(level - 1, "not shown")
    said = capsys.readouterr().err
    assert f"{logging.getLevelName(level)}  shown" in said
    assert "not shown" not in said and logging.getLogger().level == level and os.listdir(workplace) == []


def test_a_log_that_cannot_be_written_any_more_is_said_once(workplace, monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    screen, full = logging.StreamHandler(), logging.FileHandler("/dev/full")
    monkeypatch.setattr(splits, "init_logger", lambda config: logging.basicConfig(handlers=[screen, full]))
    splits.start_logger(None)
    for _ in range(3):
        logging.getLogger().error("a line")
    said = capsys.readouterr().err
    assert said.count("a line") == 3 and said.count("cannot be written any more") == 1 and "Traceback" not in said
    assert "No space left on device" in said
    splits._handlers.clear()
