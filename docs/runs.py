"""The runs behind ``docs/report`` as a store: ``python docs/runs.py runs.duckdb``.

``report/runs.csv`` has a line per run and place in an experiment: scores, epochs and costs. Runs with today's defaults,
the experiment ``defaults``, stand in ``results/defaults.csv`` and ``defaults-ablations.csv`` alone. ``recbole-sheaf
report`` and ``recbole-sheaf results`` read the store as that of ``recbole-sheaf compare``, with drawings of quality
beside cost and coverage. Protocol and settings are those that the experiment files beside the table give, sizes of the
data are in ``report/splits.csv``. What tables do not hold is absent: metrics of each user, with the intervals and
tests that stand on them (``*-differences.csv`` has these), learning curves, strata, versions, and settings that a file
leaves to the defaults of its day. Seconds are those of training, epochs times seconds an epoch.
"""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_sheaf.errors import DataError
from recbole_sheaf.experiments.grid import cells
from recbole_sheaf.experiments.run import REAL
from recbole_sheaf.settings.config import RECBOLE_PROPERTIES, default_settings
from recbole_sheaf.settings.located_yaml import LocatedYaml
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.store.results import scores_of
from recbole_sheaf.store.store import Store

FOLDER = Path(__file__).parent / "report"
TODAY, TODAY_PARTS = (Path(__file__).parent / "results" / name for name in ("defaults.csv", "defaults-ablations.csv"))
DEFAULTS = "defaults"  # the experiment whose runs stand there
CELL = ["experiment", "label", "dataset", "ablation", "seed"]
PROTOCOL = ("eval_args", "seen_at_test", "split_seed", "repeated_interactions", "epochs", "stopping_step")
PARTS = ("train", "valid", "test")
DETAILS = {"user_metrics": "*", "strata": "*", "curves": "* EXCLUDE (valid)"}  # tables of a store, and what is taken
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


def table_of_runs() -> pd.DataFrame:
    """The lines of ``runs.csv``, and those of today's defaults in the same columns.

    Of the parts of MMSheaf those come along that an experiment file declares as ablations. A run whose store was not
    kept is named after its place.
    """
    models = {cell: model for cell, (model, _) in declared_cells().items()}
    today, parts = (pd.read_csv(file).assign(experiment=DEFAULTS) for file in (TODAY, TODAY_PARTS))
    today = today.rename(columns={"model": "label"}).assign(ablation=REAL)
    parts = parts.rename(columns={"model": "ablation"}).assign(label="MMSheaf")
    today = pd.concat([today, parts[[cell in models for cell in _cells(parts)]]], ignore_index=True)
    today["model"] = [models.get(cell) for cell in _cells(today)]
    today["run"] = today["run"].fillna(pd.Series([" ".join(map(str, cell)) for cell in _cells(today)]))
    before = pd.read_csv(FOLDER / "runs.csv", dtype={"run": str})
    return pd.concat([before, today.drop(columns="chosen")], ignore_index=True)


def _cells(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(cell) for cell in table[CELL].to_numpy().tolist()]


def read_runs() -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Rows of a store's ``runs``, each run once, and of its ``entries``."""
    table = table_of_runs()
    sizes = pd.read_csv(FOLDER / "splits.csv", index_col="dataset")
    own_parts = sizes.pop("came_in_parts")
    chosen_by = {"valid_metric": next(name for name in table if name.startswith(VALID)).removeprefix(VALID)}
    cells_there, runs = declared_cells(), []
    for line in table.drop_duplicates("run").to_dict("records"):
        scores = {name: value for name, value in line.items() if "@" in name and not pd.isna(value)}
        run = {name: None if pd.isna(line[theirs]) else line[theirs] for name, theirs in COLUMNS.items()}
        run["valid"] = {name.removeprefix(VALID): value for name, value in scores.items() if name.startswith(VALID)}
        run["test"] = {name: value for name, value in scores.items() if not name.startswith(VALID)}
        known = run["epochs"] is not None and run["seconds_per_epoch"] is not None
        run["seconds"] = run["epochs"] * run["seconds_per_epoch"] if known else None
        run["split"] = sizes.loc[run["dataset"]].to_dict()
        own = {"benchmark_filename": list(PARTS)} if own_parts[run["dataset"]] else {}
        run["config"] = json.dumps({**chosen_by, **own, **cells_there[tuple(line[name] for name in CELL)][1]})
        runs.append({**run, "modalities": {}, "device": ""})
    return runs, table[[*CELL, "run"]]


def declared_cells() -> dict[tuple[Any, ...], tuple[str, dict[str, Any]]]:
    """The model of each cell of the experiment files, and what they set there, over the protocol that all share."""
    found, usual = {}, read_yaml(RECBOLE_PROPERTIES / "overall.yaml")
    for path in sorted(FOLDER.glob("*.yaml")):
        file = LocatedYaml(path)
        for label, model, dataset, ablation, seed, settings in cells(file, {}, {}):
            defaults = {**usual, **default_settings(model, dataset)}
            protocol = {key: value for key, value in defaults.items() if key in PROTOCOL}
            found[file.at("name"), label, dataset, ablation, seed] = model, {**protocol, **settings}
    return found


def write_runs(store: Store, sources: Sequence[Store] = ()) -> tuple[int, int]:
    """Put them into a store, which keeps what else it holds; gives how many runs and places in experiments.

    Args:
        sources: stores that still hold some of these runs. Further metrics, users, strata and curves are taken from
            them, of rows whose seeds are all there.

    Raises:
        DataError: if a source holds a run of the same name with other scores.
    """
    runs, entries = read_runs()
    whole = _whole_rows(entries, sources)
    for source in sources:
        _add_metrics([run for run in runs if run["run"] in whole], source)
    kinds = {"valid": "DOUBLE", "test": "DOUBLE", "modalities": "DOUBLE", "split": "BIGINT"}
    marks = {name: f"MAP_FROM_ENTRIES(?::STRUCT(k VARCHAR, v {kind})[])" for name, kind in kinds.items()}
    names = list(runs[0])
    given = f"({', '.join(names)}) VALUES ({', '.join(marks.get(name, '?') for name in names)})"
    with store.writing() as connection:
        for run in runs:
            values = [_entries(run[name]) if name in kinds else run[name] for name in names]
            connection.execute(f"INSERT OR REPLACE INTO runs {given}", values)
        for source, (table, columns) in product(sources, DETAILS.items()):
            found = source.rows(f"SELECT {columns} FROM {table}")
            connection.register("given", found[found["run"].isin(whole)])
            connection.execute(f"DELETE FROM {table} WHERE run IN (SELECT run FROM given)")
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM given")
    store.add_entries(entries)
    return len(runs), len(entries)


def _whole_rows(entries: pd.DataFrame, sources: Sequence[Store]) -> set[str]:
    """Runs of rows whose seeds are all in the sources: of some seeds alone an interval would not be the row's."""
    there = {run for source in sources for run in source.rows("SELECT run FROM runs")["run"]}
    rows = entries.groupby(CELL[:-1])["run"]
    return {run for _, own in rows if there.issuperset(own) for run in own}


def _add_metrics(runs: Sequence[dict[str, Any]], source: Store) -> None:
    """Scores that the tables leave out, and how many items had vectors."""
    there = source.rows("SELECT run, test, modalities FROM runs").set_index("run").to_dict("index")
    for run in runs:
        if found := there.get(run["run"]):
            test = scores_of(found["test"])
            if unlike := [name for name, value in run["test"].items() if abs(test.get(name, value) - value) > 1e-6]:
                raise DataError(
                    f"{source.path} has another {unlike[0]} of run {run['run']} than the table; give the store it is of"
                )
            run["test"], run["modalities"] = {**test, **run["test"]}, scores_of(found["modalities"])


def _entries(values: dict[str, float]) -> list[dict[str, Any]]:
    return [{"k": key, "v": value} for key, value in values.items()]


if __name__ == "__main__":
    from into_store import into_store

    into_store(__doc__ or "", write_runs, "{} runs in {} places of experiments in {}")
