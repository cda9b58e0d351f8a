"""The runs behind ``docs/report`` as a store: ``python docs/runs.py runs.duckdb``.

``report/runs.csv`` has a line per run and place in an experiment: scores, epochs and costs. ``recbole-sheaf report``
and ``recbole-sheaf results`` read the store as they read that of ``recbole-sheaf compare``, with drawings of quality
beside cost and coverage. Protocol and settings are those that the experiment files beside the table give, sizes of the
data are in ``report/splits.csv``. What tables do not hold is absent: metrics of each user, with the intervals and tests
that stand on them (``*-differences.csv`` has these), learning curves, strata, versions, and settings that a file leaves
to the defaults of its day. Seconds are those of training, epochs times seconds an epoch.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_sheaf.experiments.grid import cells
from recbole_sheaf.settings.config import RECBOLE_PROPERTIES, default_settings
from recbole_sheaf.settings.located_yaml import LocatedYaml
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.store.store import Store

FOLDER = Path(__file__).parent / "report"
CELL = ["experiment", "label", "dataset", "ablation", "seed"]
PROTOCOL = ("eval_args", "seen_at_test", "split_seed", "repeated_interactions", "epochs", "stopping_step")
PARTS = ("train", "valid", "test")
VALID = "valid "  # begins the names of scores on validation
COLUMNS = {  # of the table, by those of the store
    "run": "run",
    "model": "model",
    "dataset": "dataset",
    "seed": "seed",
    "best_epoch": "best epoch",
    "epochs": "epochs",
    "seconds_per_epoch": "s/epoch",
    "peak_memory_mib": "peak MiB",
    "parameters": "parameters",
}


def read_runs() -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Rows of a store's ``runs``, each run once, and of its ``entries``."""
    table = pd.read_csv(FOLDER / "runs.csv", dtype={"run": str})
    sizes = pd.read_csv(FOLDER / "splits.csv", index_col="dataset")
    own_parts = sizes.pop("came_in_parts")
    chosen_by = {"valid_metric": next(name for name in table if name.startswith(VALID)).removeprefix(VALID)}
    settings = settings_of_cells()
    runs = []
    for line in table.drop_duplicates("run").to_dict("records"):
        scores = {name: value for name, value in line.items() if "@" in name and not pd.isna(value)}
        run = {name: None if pd.isna(line[theirs]) else line[theirs] for name, theirs in COLUMNS.items()}
        run["valid"] = {name.removeprefix(VALID): value for name, value in scores.items() if name.startswith(VALID)}
        run["test"] = {name: value for name, value in scores.items() if not name.startswith(VALID)}
        run["seconds"] = None if run["epochs"] is None else run["epochs"] * run["seconds_per_epoch"]
        run["split"] = sizes.loc[run["dataset"]].to_dict()
        own = {"benchmark_filename": list(PARTS)} if own_parts[run["dataset"]] else {}
        run["config"] = json.dumps({**chosen_by, **own, **settings[tuple(line[name] for name in CELL)]})
        runs.append({**run, "device": ""})
    return runs, table[[*CELL, "run"]]


def settings_of_cells() -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the experiment files set in each cell of their grids, over the protocol that all share."""
    found, usual = {}, read_yaml(RECBOLE_PROPERTIES / "overall.yaml")
    for path in sorted(FOLDER.glob("*.yaml")):
        file = LocatedYaml(path)
        for label, model, dataset, ablation, seed, settings in cells(file, {}, {}):
            defaults = {**usual, **default_settings(model, dataset)}
            protocol = {key: value for key, value in defaults.items() if key in PROTOCOL}
            found[file.at("name"), label, dataset, ablation, seed] = {**protocol, **settings}
    return found


def write_runs(store: Store) -> tuple[int, int]:
    """Put them into a store, which keeps what else it holds; gives how many runs and places in experiments."""
    runs, entries = read_runs()
    kinds = {"valid": "DOUBLE", "test": "DOUBLE", "split": "BIGINT"}
    marks = {name: f"MAP_FROM_ENTRIES(?::STRUCT(k VARCHAR, v {kind})[])" for name, kind in kinds.items()}
    names = list(runs[0])
    given = f"({', '.join(names)}) VALUES ({', '.join(marks.get(name, '?') for name in names)})"
    with store.writing() as connection:
        for run in runs:
            values = [_entries(run[name]) if name in kinds else run[name] for name in names]
            connection.execute(f"INSERT OR REPLACE INTO runs {given}", values)
    store.add_entries(entries)
    return len(runs), len(entries)


def _entries(values: dict[str, float]) -> list[dict[str, Any]]:
    return [{"k": key, "v": value} for key, value in values.items()]


if __name__ == "__main__":
    from into_store import into_store

    into_store(__doc__ or "", write_runs, "{} runs in {} places of experiments in {}")
