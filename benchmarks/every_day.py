"""Five days of a platform on ml-100k: `update` beside training anew, both tested on what comes the day after.

``python -m benchmarks.every_day [FOLDER] [--epochs=N] [--model=MMSheaf]``. The log in the order of time is 70 % of
history and six slices of 5 %, each a day: on days 1 to 5 yesterday's checkpoint is updated, and a model of the same
settings is trained from nothing on the same dataset. Tested are the next slice's new pairs of users and items that the
model knows, ranked among all items without those of the user's history. Seconds are the processor's, of one process.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import recbole
import torch
import yaml

from recbole_sheaf.data.conversion import Interactions, RawDataset, write_dataset
from recbole_sheaf.experiments.checkpoints import Restored, restore
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.updating import update
from recbole_sheaf.files.atomic import read_columns

SOURCE = Path(recbole.__file__).parent / "dataset_example" / "ml-100k"
HISTORY, DAY, DAYS, K = 0.7, 0.05, 5, 20


def log() -> pd.DataFrame:
    """Interactions in the order of time, as text."""
    table = read_columns(SOURCE / "ml-100k.inter", ["user_id", "item_id", "timestamp"])
    return table.iloc[np.argsort(table["timestamp"].astype(float), kind="stable")].reset_index(drop=True)


def genres() -> tuple[list[str], np.ndarray]:
    """Items and a column for each genre, as vectors from outside."""
    table = read_columns(SOURCE / "ml-100k.item", ["item_id", "class"])
    columns = table["class"].str.get_dummies(" ")
    return table["item_id"].tolist(), columns.to_numpy(np.float32)


def raw(table: pd.DataFrame) -> RawDataset:
    """A dataset of some interactions, with the vectors of its items."""
    tokens, rows = genres()
    items = set(table["item_id"])
    there = [row for row, token in enumerate(tokens) if token in items]
    vectors = ([tokens[row] for row in there], rows[there])
    return RawDataset(Interactions.of(table.reset_index(drop=True)), features={"genre": vectors})


def judged(restored: Restored, past: pd.DataFrame, tomorrow: pd.DataFrame) -> tuple[float, float, int]:
    """Recall@20 and NDCG@20 of tomorrow's new pairs, and how many users have some."""
    dataset, model = restored.split.dataset, restored.model
    users, items = (dataset.field2token_id[field] for field in ("user_id", "item_id"))
    known = tomorrow[tomorrow["user_id"].isin(users) & tomorrow["item_id"].isin(items)]
    recall, ndcg = [], []
    discount = 1 / np.log2(np.arange(K) + 2)
    for user, rows in known.groupby("user_id"):
        scores = model.full_sort_predict({"user_id": torch.tensor([users[user]])}).detach().flatten().numpy().copy()
        scores[0] = -np.inf
        scores[[items[item] for item in past["item_id"][past["user_id"] == user] if item in items]] = -np.inf
        wanted = {items[item] for item in rows["item_id"]}
        hits = np.array([item in wanted for item in np.argsort(-scores)[:K]])
        recall.append(hits.sum() / len(wanted))
        ndcg.append((hits * discount).sum() / discount[: min(K, len(wanted))].sum())
    return float(np.mean(recall)), float(np.mean(ndcg)), len(recall)


def timed(call: Any, *given: Any, **more: Any) -> tuple[Any, float]:
    """What a call gives, and the processor's seconds."""
    started = time.process_time()
    found = call(*given, **more)
    return found, time.process_time() - started


def main() -> None:
    """Print a line for each day and the means."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--model", default="MMSheaf")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings of all trainings")
    given = options.parse_args()
    sys.argv = sys.argv[:1]
    folder = given.folder or Path(tempfile.mkdtemp())
    table = log()
    ends = [round((HISTORY + DAY * day) * len(table)) for day in range(DAYS + 2)]
    own = {"data_path": str(folder), "checkpoint_dir": str(folder / "saved"), "cache_dir": str(folder / "cache")}
    own |= {"show_progress": False, "state": "WARNING", "log_to_file": False, "log_tensorboard": False}
    own |= {key: yaml.safe_load(value) for key, value in (each.split("=") for each in given.set)}
    write_dataset(raw(table[: ends[0]]), folder / "log")

    def anew(name: str) -> Path:
        return Path(run_models([given.model], name, overrides=own)[0].checkpoint)

    checkpoint, seconds = timed(anew, "log")
    print(f"history: {ends[0]:,} interactions, {seconds:.1f} s", flush=True)
    yesterday, rows = restore(checkpoint), []
    for day in range(1, DAYS + 1):
        past, tomorrow = table[: ends[day]], table[ends[day] : ends[day + 1]]
        stale = judged(yesterday, past, tomorrow)
        updated, of_update = timed(update, checkpoint, raw(table[ends[day - 1] : ends[day]]), epochs=given.epochs)
        fresh, of_anew = timed(anew, updated.folder.name)
        checkpoint, yesterday = updated.checkpoint, restore(updated.checkpoint)
        found = {"yesterday's": stale, "updated": judged(yesterday, past, tomorrow)}
        found["anew"] = judged(restore(fresh), past, tomorrow)
        for name, (recall, ndcg, users) in found.items():
            seconds = {"updated": of_update, "anew": of_anew}.get(name)
            rows.append({"day": day, "model": name, "recall@20": recall, "ndcg@20": ndcg, "users": users, "s": seconds})
        print(pd.DataFrame(rows[-3:]).to_string(index=False), flush=True)
    print(pd.DataFrame(rows).groupby("model").mean().to_string())


if __name__ == "__main__":
    main()
