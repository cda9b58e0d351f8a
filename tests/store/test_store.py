"""The store keeps a run whole or not at all, and says in a sentence what it cannot read or write."""

import subprocess
import sys

import duckdb
import pandas as pd
import pytest

from recbole_sheaf.errors import StoreError
from recbole_sheaf.store.records import Epoch, RunResult
from recbole_sheaf.store.store import SCHEMA_VERSION, Store

EPOCHS = [Epoch(0, 2.5, 0.1, 0.2, {"recall@20": 0.1}, 0.1), Epoch(1, 2.0, 0.1)]


def result(**changed):
    fields = {
        "model": "BPR",
        "dataset": "toy",
        "seed": 1,
        "split_seed": 2020,
        "split": {"train": 300, "users": 30},
        "best_epoch": 0,
        "epochs": 2,
        "valid": {"recall@20": 0.1},
        "test": {"recall@20": 0.09},
        "seconds_per_epoch": 0.1,
        "peak_memory_mib": 500.0,
        "parameters": 10,
        "device": "cpu",
        "message_passing": None,
        "modalities": {},
        "checkpoint": "best.pth",
        "config": {"valid_metric": "Recall@20", "topk": [20]},
        "train_loss": [2.5, 2.0],
    }
    return RunResult(**{**fields, **changed})


def users(n=30):
    return pd.DataFrame({"user_id": [f"u{i}" for i in range(n)], "metric": "recall@20", "value": 0.09})


def test_a_run_comes_back_as_it_was_written_and_is_written_once(tmp_path):
    store = Store(tmp_path / "a.duckdb")
    assert store.finished(["x"]) == set()
    assert store.add_run("x", result(), EPOCHS, users())
    assert not store.add_run("x", result(seed=7), EPOCHS, users())
    with store.reading() as connection:
        (row,) = connection.execute("SELECT seed, valid, test, train_loss, split, seconds FROM runs").fetchall()
        curve = connection.execute("SELECT epoch, train_loss, valid, score FROM curves ORDER BY epoch").fetchall()
        ((count,),) = connection.execute("SELECT count(*) FROM user_metrics WHERE run = 'x'").fetchall()
    assert row[:5] == (1, {"recall@20": 0.1}, {"recall@20": 0.09}, [2.5, 2.0], {"train": 300, "users": 30})
    assert row[5] == pytest.approx(0.4)
    assert curve == [(0, 2.5, {"recall@20": 0.1}, 0.1), (1, 2.0, {}, None)]
    assert count == 30 and store.finished(["x", "y"]) == {"x"}


def test_an_error_in_the_middle_leaves_nothing_of_the_run(tmp_path):
    store = Store(tmp_path / "a.duckdb")
    store.add_run("x", result(), EPOCHS, users())
    with pytest.raises(StoreError, match="a.duckdb was not changed"):
        store.add_run("y", result(), EPOCHS, users().assign(value="no number"))
    for table in ("runs", "curves", "user_metrics"):
        assert set(store.rows(f"SELECT DISTINCT run FROM {table}")["run"]) == {"x"}


def test_a_cell_of_an_experiment_is_renewed(tmp_path):
    store = Store(tmp_path / "a.duckdb")
    cell = {"experiment": "e", "label": "BPR", "dataset": "toy", "ablation": "real", "seed": 1}
    for run in ("old", "new"):
        store.add_entries(pd.DataFrame([{**cell, "run": run}]))
    assert list(store.rows("SELECT run FROM entries")["run"]) == ["new"]


def test_what_is_no_store_of_this_version_is_refused(tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        Store(tmp_path / "absent.duckdb").rows("SELECT 1")
    (tmp_path / "text.duckdb").write_text("hello")
    with pytest.raises(StoreError, match="cannot be opened as a store"):
        Store(tmp_path / "text.duckdb").rows("SELECT 1")
    assert (tmp_path / "text.duckdb").read_text() == "hello"
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)")
    with pytest.raises(StoreError, match="is a DuckDB file but no store of results"):
        Store(tmp_path / "other.duckdb").add_run("x", result(), EPOCHS)
    Store(tmp_path / "old.duckdb").add_run("x", result(), EPOCHS)
    with duckdb.connect(str(tmp_path / "old.duckdb")) as connection:
        connection.execute("UPDATE store SET schema_version = 99")
    for use in (lambda store: store.finished(["x"]), lambda store: store.add_run("y", result(), EPOCHS)):
        with pytest.raises(
            StoreError, match=rf"version \[99\] of the store, this release reads version {SCHEMA_VERSION}"
        ):
            use(Store(tmp_path / "old.duckdb"))
    with duckdb.connect(str(tmp_path / "old.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT run FROM runs").fetchall() == [("x",)]


def test_a_wrong_query_is_told(tmp_path):
    store = Store(tmp_path / "a.duckdb")
    store.add_run("x", result(), EPOCHS)
    with pytest.raises(StoreError, match="does not answer: .*correct the query"):
        store.rows("SELEC 1")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from recbole_sheaf.errors import StoreError
from recbole_sheaf.store.store import Store
from tests.store.test_store import EPOCHS, result, users
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = path.stat().st_size + 4096
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
values = users(200_000)
values["value"] = [hash((i, 7)) % 1_000_003 / 7 for i in range(len(values))]
try:
    Store(path).add_run("y", result(), EPOCHS, values)
except StoreError as error:
    print("refused:", error)
"""


def test_a_full_disk_loses_the_run_in_progress_and_no_other(tmp_path, request):
    pytest.importorskip("resource", reason="limits of a process are a matter of Unix")
    path = tmp_path / "a.duckdb"
    Store(path).add_run("x", result(), EPOCHS, users())
    arguments = [sys.executable, "-c", FULL_DISK, str(path), str(request.config.rootpath)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert "refused:" in done.stdout and "free disk space" in done.stdout, done.stdout + done.stderr
    store = Store(path)
    assert store.finished(["x", "y"]) == {"x"}
    assert set(store.rows("SELECT DISTINCT run FROM user_metrics")["run"]) == {"x"}
    assert store.add_run("y", result(), EPOCHS, users(200_000))
