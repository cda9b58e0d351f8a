"""Stores filled through their own API, small enough to work out what a report says of them."""

import json

import numpy as np
import pandas as pd

from recbole_sheaf.store.records import Epoch
from recbole_sheaf.store.store import Store
from tests.store.planted import at_once
from tests.store.test_store import result

USERS = 40
CONFIG = {
    "valid_metric": "Recall@20",
    "valid_metric_bigger": True,
    "topk": [20],
    "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user", "mode": "full"},
    "seen_at_test": ["train", "valid"],
    "split_seed": 2020,
    "epochs": 3,
    "stopping_step": 10,
    "learning_rate": 0.001,
    "train_batch_size": 2048,
    "embedding_size": 64,
    "features": "real",
    "missing_share": 0.0,
}
SPLIT = {"train": 800, "valid": 100, "test": 100, "users": USERS, "items": 50}
MARKUP = "<script>alert(1)</script> | $x_1$ \\input{a} {{b}} [c](d) \u202eevil"


SPACE = {
    "learning_rate": "FloatDistribution(high=0.01, log=True, low=0.0003, step=None)",
    "embedding_size": "CategoricalDistribution(choices=(64, 128))",
}
PLACE = {"ablation": "real", "dataset": "toy", "experiment": "e"}


def add(store, label, seed, level, model="BPR", split=None, entered=None, **settings):
    """One finished run whose users have recall@20 of ``level`` and more, by user and seed the same for all labels.

    Settings that are no place in an experiment are those of the run. Its entry is added to ``entered``, or where that
    is None to the store.
    """
    ablation, dataset, experiment = (settings.get(name, there) for name, there in PLACE.items())
    config = {name: value for name, value in settings.items() if name not in PLACE}
    run = f"{experiment}-{dataset}-{ablation}-{label}-{seed}"
    shift = 0.1 * np.sin(np.arange(USERS)) + 0.001 * seed
    frames = [
        pd.DataFrame({"user_id": [f"u{i}" for i in range(USERS)], "metric": metric, "value": level / part + shift})
        for metric, part in (("recall@20", 1), ("ndcg@20", 2))
    ]
    value = level + float(shift.mean())
    fields = {
        "model": model,
        "dataset": dataset,
        "seed": seed,
        "valid": {"recall@20": level},
        "test": {"recall@20": value, "ndcg@20": value / 2, "itemcoverage@20": level, "giniindex@20": 1 - level},
        "epochs": 3,
        "best_epoch": 1,
        "parameters": 1000,
        "split": split or SPLIT,
        "modalities": {"title": 0.98},
        "config": {**CONFIG, "model": model, "dataset": dataset, **config},
    }
    epochs = [Epoch(n, 3.0 - n, level, 0.01, {}, level * (0.5, 1.0, 0.9)[n]) for n in range(3)]
    strata = [
        (kind, stratum, 4, 8, "recall@20", level * part)
        for kind, stratum, part in (
            ("user history", "history 1-3", 0.5),
            ("user history", "history 12-40", 1.5),
            ("item popularity", "cold", 0.0),
            ("item popularity", "popularity 1-3", 0.25),
            ("item popularity", "popularity 4-9", 1.0),
        )
    ]
    columns = ["kind", "stratum", "users", "pairs", "metric", "value"]
    store.add_run(run, result(**fields), epochs, pd.concat(frames), pd.DataFrame(strata, columns=columns))
    place = {"experiment": experiment, "label": label, "dataset": dataset, "ablation": ablation, "seed": seed}
    if entered is None:
        store.add_entries(pd.DataFrame([{**place, "run": run}]))
    else:
        entered.append({**place, "run": run})
    return run


def add_search(store, model="BPR", scores=(0.2, 0.3, None, 0.25), dataset="toy", study=None, space=SPACE, **settings):
    """A search over the learning rate, with settings that its trials share; a trial without a score failed."""
    study = study or f"{model}-{dataset}"
    with store.writing() as connection:
        row = [study, model, dataset, "Recall@20", len(scores), 5, json.dumps(space), json.dumps(settings)]
        connection.execute("INSERT INTO studies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        for number, score in enumerate(scores):
            parameters = json.dumps({"learning_rate": 0.001 * (number + 1), "embedding_size": 64})
            state = "failed" if score is None else "complete"
            row = [study, number, parameters, score, state, 5, 1.5]
            connection.execute("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, now()::TIMESTAMP)", row)


def full(path):
    """Three models with five seeds and one with one; variants, ablations, missing content, a search, failures."""
    store, entered = Store(path), []
    own = {"model": "MMSheaf", "restriction_map": "diagonal", "entered": entered}
    with at_once(store):
        for seed in (1, 2, 3, 4, 5):
            add(store, "MMSheaf", seed, 0.5, **own)
            add(store, "identity", seed, 0.4, **{**own, "restriction_map": "identity"})
            add(store, "BPR", seed, 0.3, learning_rate=0.002, entered=entered)
        add(store, "LightGCN", 1, 0.35, model="LightGCN", entered=entered)
        for share in (0.3, 0.9):
            add(store, "MMSheaf", 1, 0.5 - share / 4, ablation=f"missing {share}", missing_share=share, **own)
        add(store, "MMSheaf", 1, 0.45, ablation="shuffled", features="shuffled", **own)
        store.add_entries(pd.DataFrame(entered))
        store.add_failure("none", "e", "LightGCN on toy, seed 2", "ValueError: Training loss is nan")
        add_search(store)
    return store


def with_many_runs(path, labels=40, seeds=5):
    """Copies of a few runs by SQL, since 200 runs one by one take longer than the report on them."""
    store, entered = Store(path), []
    for seed in range(1, seeds + 1):
        add(store, "model 0", seed, 0.2, entered=entered)
    store.add_entries(pd.DataFrame(entered))
    scores = "MAP {'recall@20': 0.2 + n / 500, 'ndcg@20': 0.1 + n / 1000}"
    changed = {
        "runs": f"{scores} AS test, {scores} AS valid, seconds * (1 + n) AS seconds",
        "entries": "'model ' || n AS label",
        "user_metrics": "value + n / 500 AS value",
        "strata": "value + n / 500 AS value",
        "curves": "score + n / 500 AS score",
    }
    with store.writing() as connection:
        for table, columns in changed.items():
            connection.execute(
                f"INSERT INTO {table} SELECT * EXCLUDE (n) REPLACE (run || '-' || n AS run, {columns}) "
                f"FROM {table}, range(1, {labels}) AS numbers(n)"
            )
    return store
