"""A store written by hand, small enough to work out every number that is read from it.

Users u0 to u9. LightGCN has two seeds, whose users average to 0.3 + 0.02 i; each other model differs from that average.
"""

import contextlib

import pandas as pd
import pytest

from recbole_sheaf.store.store import Store
from tests.store.test_store import EPOCHS, result

USERS = range(10)
DIFFERENCES = {  # from LightGCN's average, user by user
    "better": [0.05 * (1 + i % 2) for i in USERS],
    "worse": [-0.05 * (1 + i % 2) for i in USERS],
    "same": [0.05 * (-1) ** i for i in USERS],
}
VALID = {"LightGCN": (0.30, 0.34), "better": (0.5,), "worse": (0.1,), "same": (0.2,)}


def average(i):
    return 0.3 + 0.02 * i


def recalls(label, seed):
    """Each user's recall@20 in one run."""
    if label == "LightGCN":
        return [average(i) + (-0.1 if seed == 1 else 0.1) for i in USERS]
    return [average(i) + difference for i, difference in zip(USERS, DIFFERENCES[label])]


def add(store, label, seed, values, valid, ablation="real", experiment="e", dataset="toy"):
    """One finished run with these recalls of its users, and ndcg@20 of 0.5 for each of them."""
    run = f"{experiment}-{dataset}-{ablation}-{label}-{seed}"
    users = [f"u{i}" for i in range(len(values))]
    per_user = [
        pd.DataFrame({"user_id": users, "metric": "recall@20", "value": values}),
        pd.DataFrame({"user_id": users, "metric": "ndcg@20", "value": 0.5}),
    ]
    of_users = ("user history", "history 1-3", 4, 8, "recall@20", 0.1)
    of_items = ("item popularity", "cold", 2, 2, "recall@20", 0.0)
    fields = {
        "model": "BPR",
        "dataset": dataset,
        "seed": seed,
        "valid": {"recall@20": valid},
        "test": {"recall@20": sum(values) / len(values), "ndcg@20": 0.5},
        "parameters": 168128,
    }
    columns = ["kind", "stratum", "users", "pairs", "metric", "value"]
    store.add_run(
        run, result(**fields), EPOCHS, pd.concat(per_user), pd.DataFrame([of_users, of_items], columns=columns)
    )
    place = {"experiment": experiment, "label": label, "dataset": dataset, "ablation": ablation, "seed": seed}
    store.add_entries(pd.DataFrame([{**place, "run": run}]))


@contextlib.contextmanager
def at_once(store):
    """One transaction for all that is added inside: each of its own takes a tenth of a second."""
    with store.writing() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store), "writing", lambda self: contextlib.nullcontext(connection))
        yield


@contextlib.contextmanager
def held_open(store):
    """One connection for all that read this store meanwhile: each of their own takes some thirty milliseconds."""
    opened = Store._opened
    with opened(store, read_only=True) as held, pytest.MonkeyPatch.context() as patch:

        def again(self, read_only):
            return held.cursor() if read_only and self.path == store.path else opened(self, read_only)

        patch.setattr(Store, "_opened", again)
        yield store


def plant(path):
    """The store of one experiment: four models with real content, two of them with shuffled content."""
    store = Store(path)
    with at_once(store):
        for label, valid in VALID.items():
            for seed, score in enumerate(valid, start=1):
                add(store, label, seed, recalls(label, seed), score)
        for label in ("LightGCN", "better"):
            add(store, label, 1, [0.1] * 10, 0.05, ablation="shuffled")
        store.add_failure("none", "e", "worse on toy, seed 2", "ValueError: Training loss is nan")
    return store


def five_seeds(store):
    """Give every model four copies more of each of its runs, so that its users' averages stay and marks may stand."""
    with store.writing() as connection:
        for table, columns in {"runs": "seed + 10 * n AS seed", "entries": "seed + 10 * n AS seed"}.items():
            connection.execute(
                f"INSERT INTO {table} SELECT * EXCLUDE (n) REPLACE (run || '-' || n AS run, {columns}) "
                f"FROM {table}, range(1, 5) AS numbers(n)"
            )
        connection.execute(
            "INSERT INTO user_metrics SELECT * EXCLUDE (n) REPLACE (run || '-' || n AS run) "
            "FROM user_metrics, range(1, 5) AS numbers(n)"
        )
