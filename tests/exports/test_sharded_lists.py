"""Lists that workers make are those of one process, to the last byte of a file; what is finished is not made again."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from recbole_sheaf.cli import main
from recbole_sheaf.embeddings import ranking
from recbole_sheaf.embeddings.choice import Wanted
from recbole_sheaf.embeddings.embeddings import PARTS, Block, Embeddings, Histories, csc_of
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.exports import sharded_lists as module
from recbole_sheaf.exports.files import write_embeddings
from recbole_sheaf.exports.lists import OF_USERS, write_lists
from recbole_sheaf.exports.sharded_lists import forget_shards, sharded_lists
from recbole_sheaf.workers.pools import ProcessWorkers, RayWorkers, ThisProcess
from recbole_sheaf.workers.threads import threads_limited


def made(n_users=300, n_items=120, width=8, seed=0):
    """Pieces of every kind, of no model."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), 6)
    items, parts = rng.integers(0, n_items, len(users)), rng.integers(0, 3, len(users))
    held = sparse.random(n_items, n_items, density=0.05, format="csc", dtype=np.float32, random_state=seed)
    between = csc_of(held.data, held.indices.astype(np.int32), held.indptr.astype(np.int64), n_items)
    return Embeddings(
        users=np.array([f"u{row}" for row in range(n_users)]),
        items=np.array([f"i{row}" for row in range(n_items)]),
        user_vectors=rng.standard_normal((n_users, width)).astype(np.float32),
        item_vectors=rng.standard_normal((n_items, width)).astype(np.float32),
        blocks=(Block("id", 0, width),),
        item_sources=np.zeros((n_items, 0), np.float32),
        histories=Histories.of(n_users, users, items, parts),
        coefficients=between,
        metadata={
            **{"model": "Made", "dataset": "made", "dtype": "float32", "settings": {}, "interactions": {}},
            **{"parts": list(PARTS), "seen_at_test": ["train"], "compared_by": "inner product"},
            "checked_against_the_model": {"users": 1, "largest_error": 0.0},
        },
    )


class Table:
    """Of items in seven groups."""

    def groups(self, column):
        return np.arange(120) % 7 - 1


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Of 7 users; on the device of a worker the same, as a shard is one batch there."""
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 7 * 120)


def rows_of(lists):
    return [(row, items.tolist(), scores.tobytes()) for some in lists for row, items, scores in some]


WANTED = [
    (Wanted(), "masked"),
    (Wanted(without=["i3", "i8"]), "at_test"),
    (Wanted(among=[f"i{row}" for row in range(60)], at_most=2, per="x"), "kept"),
]


@pytest.mark.parametrize(("wanted", "seen"), WANTED, ids=["all", "filtered", "groups"])
def test_shards_give_the_lists_of_one_process(wanted, seen, tmp_path):
    pieces = made()
    choice, rows = wanted.of(pieces, Table), np.arange(300)[::-1]
    with threads_limited(1):
        expected = rows_of(top_lists(pieces, rows, 9, None, seen, choice.allowed, at_most=choice.at_most))
    found = sharded_lists(ThisProcess(), pieces, rows, 9, seen, choice, 1, tmp_path / "kept", most_batches=3)
    assert rows_of(found) == expected and list((tmp_path / "kept").rglob("*.npz"))
    forget_shards(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_two_processes_write_the_file_of_one_byte_for_byte(tmp_path):
    pieces, rows = made(), np.arange(300)
    choice = Wanted().of(pieces, Table)
    for workers, name in ((ThisProcess(), "one.parquet"), (ProcessWorkers(2), "two.parquet")):
        lists = sharded_lists(workers, pieces, rows, 5, "masked", choice, 1, most_batches=1)
        assert write_lists(lists, pieces.users, pieces.items, OF_USERS, tmp_path / name) == 300
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def counted(monkeypatch, stop_at=None):
    """The first user of each shard that is made; at a number of shards it is stopped."""
    shards, lists_of_shard = [], module.lists_of_shard

    def counting(shared, asked, rows):
        if len(shards) == stop_at:
            raise KeyboardInterrupt
        shards.append(int(rows[0]))
        return lists_of_shard(shared, asked, rows)

    monkeypatch.setattr(module, "lists_of_shard", counting)
    return shards


def test_what_is_finished_is_kept_and_no_list_of_another_question_is_taken(tmp_path, monkeypatch):
    pieces, rows, kept = made(), np.arange(70), tmp_path / "x.parquet.shards"
    choice = Wanted().of(pieces, Table)

    def lists(k=5, seen="masked", pieces=pieces, rows=rows):
        return rows_of(sharded_lists(ThisProcess(), pieces, rows, k, seen, choice, 1, kept, most_batches=2))

    expected = lists()
    forget_shards(kept)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counted(patch, stop_at=3)
        lists()
    (kept / "yours").mkdir()
    assert len(list(kept.rglob("*.npz"))) == 3
    with monkeypatch.context() as patch:
        shards = counted(patch)
        assert lists() == expected and shards == [42, 56]
    forget_shards(kept)
    assert [path.name for path in kept.iterdir()] == ["yours"]
    others = {
        "k": {"k": 4},
        "seen": {"seen": "kept"},
        "rows": {"rows": rows[::-1]},
        "pieces": {"pieces": replace(pieces, user_vectors=pieces.user_vectors + 1)},
    }
    for changed in others.values():
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            forget_shards(kept)
            counted(patch, stop_at=3)
            lists()
        with monkeypatch.context() as patch:
            shards = counted(patch)
            lists(**changed)
            assert len(shards) == 5


def test_a_damaged_shard_is_made_again_and_one_that_vanishes_too(tmp_path, monkeypatch):
    pieces, rows, kept = made(), np.arange(42), tmp_path / "kept"
    choice = Wanted().of(pieces, Table)

    def lists():
        return sharded_lists(ThisProcess(), pieces, rows, 5, "masked", choice, 1, kept, most_batches=2)

    expected = rows_of(lists())
    forget_shards(kept)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counted(patch, stop_at=2)
        rows_of(lists())
    first, second = sorted(kept.rglob("*.npz"))
    first.write_bytes(first.read_bytes()[:100])
    found = lists()
    head = next(found)  # the second has been seen to be there
    second.unlink()
    assert rows_of([head, *found]) == expected


def test_what_cannot_be_is_refused_at_once():
    pieces = made()
    choice = Wanted().of(pieces, Table)
    with pytest.raises(ConfigError, match="k is 121"):
        sharded_lists(ThisProcess(), pieces, np.arange(3), 121, "masked", choice)
    with pytest.raises(ConfigError, match="seen is 'x'"):
        sharded_lists(ThisProcess(), pieces, np.arange(3), 2, "x", choice)


def test_the_command_says_what_workers_do_not_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_embeddings(made(), tmp_path / "x.npz")
    for options, sentence in {
        ("--workers=0",): "--workers is 0, expected a whole number from 1",
        ("--threads=2",): "--threads is of workers, of which none are asked for",
        ("--workers=2", "--ray-address=auto"): "--workers is given beside --ray-address",
        ("--workers=2", "--approximate"): "an index is built in one process",
        ("--workers=2", "--audience=i1"): "--workers is of lists of users, not of --audience",
    }.items():
        assert main(["recommend", "x.npz", *options]) == 2
        assert sentence in capsys.readouterr().err
    for name, options in (("a.csv", []), ("b.csv", ["--workers=1"])):
        assert main(["recommend", "x.npz", "--k=3", f"--to={name}", *options]) == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert not (tmp_path / "b.csv.shards").exists()


@pytest.fixture
def cluster(monkeypatch):
    """A Ray cluster of two nodes on this machine, one CPU each."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")  # read when Ray is imported, for a machine that is busy
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.second = found.add_node(num_cpus=1)
    yield found
    found.shutdown()


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_gives_the_lists_of_one_process_and_nothing_twice(cluster, tmp_path):
    from recbole_sheaf.workers.in_order import in_order
    from tests.workers import jobs

    pieces, rows = made(), np.arange(300)
    choice = Wanted().of(pieces, Table)
    expected = rows_of(sharded_lists(ThisProcess(), pieces, rows, 5, "masked", choice, 1, most_batches=1))
    with RayWorkers(cluster.address, 1) as workers:
        assert workers.slots == 2
        started = in_order(workers, jobs.said_where, ((str(tmp_path), n, 5.0) for n in range(8)))
        assert next(started) == 0
        deadline = time.monotonic() + 120
        while len({path.name.split()[1] for path in tmp_path.iterdir()}) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)  # until the second node works too
        cluster.remove_node(cluster.second, allow_graceful=False)
        assert list(started) == list(range(1, 8))
    lists = sharded_lists(RayWorkers(cluster.address, 1), pieces, rows, 5, "masked", choice, 1, most_batches=1)
    assert rows_of(lists) == expected


@pytest.mark.slow
def test_a_cluster_that_goes_away_is_one_sentence_and_the_finished_shards_stay(cluster, tmp_path):
    """Seen by the command itself, whose process Ray would end after a minute."""
    write_embeddings(made(n_users=60_000, n_items=5_000), tmp_path / "x.npz")  # eighteen shards
    environment = {**os.environ, "RECBOLE_SHEAF_CONNECT_SECONDS": "2"}
    command = [sys.executable, "-m", "recbole_sheaf", "recommend", "x.npz", "--k=100", "--to=x.parquet"]
    process = subprocess.Popen(
        [*command, f"--ray-address={cluster.address}"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(tmp_path.glob("x.parquet.shards/*/*.npz")):
        time.sleep(0.1)
    cluster.head_node.kill_gcs_server(check_alive=False)  # Ray ends a process by itself whose own node is killed
    cluster.second.kill_all_processes(check_alive=False, allow_graceful=False)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1 and "WorkersGone: the Ray cluster does not answer" in said, said
    assert list(tmp_path.glob("x.parquet.shards/*/*.npz")) and not (tmp_path / "x.parquet").exists()
