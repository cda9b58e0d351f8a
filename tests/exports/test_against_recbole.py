"""The databases' own queries give the lists of RecBole's full_sort_topk, on real data, after a real training."""

import json

import duckdb
import numpy as np
import pytest
from recbole.utils.case_study import full_sort_topk

from recbole_sheaf.cli import main
from recbole_sheaf.experiments.checkpoints import restore
from tests.exports import servers
from tests.exports.test_postgres import equal_lists

servers.skip_without("psycopg", "pgvector", "qdrant_client")
pytestmark = pytest.mark.slow
K, USERS = 20, 100


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """MMSheaf with its item sheaf on ml-100k, one epoch: the checkpoint, users, and RecBole's lists of them."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("trained")
        patched.chdir(folder)
        patched.setattr("sys.argv", ["pytest"])
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        run = ["run", "--model=MMSheaf", "--dataset=ml-100k", "--epochs=1", "--result_file=run.json"]
        assert main(run) == 0
        checkpoint = folder / json.loads((folder / "run.json").read_text())["checkpoint"]
        restored = restore(checkpoint)
        test_data, dataset = restored.prepared.test_data, restored.split.dataset
        users = test_data.uid_list[np.linspace(0, len(test_data.uid_list) - 1, USERS).astype(int)].numpy()
        scores, items = full_sort_topk(users, restored.model, test_data, K)
        tokens = dataset.id2token(dataset.uid_field, users), dataset.id2token(dataset.iid_field, items.numpy())
        yield checkpoint, tokens[0].tolist(), tokens[1], scores.numpy()


def agree(trained, lists_of, count=USERS):
    _, users, items, scores = trained
    assert len(set(users)) == USERS
    for user, theirs, their_scores in list(zip(users, items, scores))[:count]:
        equal_lists(lists_of(user), theirs, their_scores, 2e-6)


def exported(trained, monkeypatch, *arguments):
    monkeypatch.chdir(trained[0].parent)
    assert main(["export", str(trained[0]), "--coefficients=all", "--dtype=float32", *arguments]) == 0


def test_duckdb(trained, monkeypatch, tmp_path):
    exported(trained, monkeypatch, f"--to={tmp_path}/x.duckdb")
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as db:
        query = f"SELECT item, score FROM recommend(?, {K}, seen_parts := 2)"
        agree(trained, lambda user: db.execute(query, [user]).fetchall())


def test_pgvector(trained, monkeypatch):
    import psycopg

    with servers.postgres() as url:
        exported(trained, monkeypatch, f"--to={url}")
        with psycopg.connect(url) as connection:
            query = f"SELECT item, score FROM recbole_sheaf.recommend(%s, {K}, 2)"
            agree(trained, lambda user: connection.execute(query, [user]).fetchall())


@pytest.mark.filterwarnings("ignore:Local mode")
def test_qdrant(trained, monkeypatch, tmp_path):
    """Its embedded mode is a plain loop, so for five users."""
    from tests.exports.test_qdrant import opened, recommended

    exported(trained, monkeypatch, f"--to=qdrant:{tmp_path}/db")
    client = opened(tmp_path / "db")
    agree(trained, lambda user: recommended(client, "recbole_sheaf", user, K, parts=(0, 1)), count=5)
    client.close()
