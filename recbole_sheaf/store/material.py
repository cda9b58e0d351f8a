"""What a report is about, read from a store and checked: groups of rows that may be compared, searches, failures.

A *group* is a dataset within an experiment: its rows share a split, and nothing is compared across groups. A *row* is a
model, by its label, under an ablation: the runs of all its seeds.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional

import numpy as np
import pandas as pd

from recbole_sheaf.errors import DataError
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.store.results import Filters, config_of, known_metrics, matching_runs, scores_of
from recbole_sheaf.store.store import Store

REAL = "real"  # the ablation that changes nothing
ACCURACY = ("recall", "ndcg", "precision", "mrr", "hit", "map")
BEYOND = ("itemcoverage", "giniindex", "averagepopularity", "popularityshare", "aplt", "novelty")
MOST_METRICS = 6  # columns that a page has room for


@dataclass(frozen=True)
class Run:
    """One finished run, its maps and its settings as Python has them."""

    id: str
    label: str
    ablation: str
    seed: int
    model: str
    valid: Mapping[str, float]
    test: Mapping[str, float]
    config: Mapping[str, Any]
    split: Mapping[str, int]
    modalities: Mapping[str, float]
    versions: Mapping[str, str]
    numbers: Mapping[str, float]
    device: str
    message_passing: str

    @property
    def chosen_by(self) -> str:
        """The metric of validation that chose the epoch."""
        return str(self.config["valid_metric"]).lower()


@dataclass(frozen=True)
class Row:
    """The runs of a label under an ablation, by seed."""

    label: str
    ablation: str
    runs: Sequence[Run]

    @property
    def model(self) -> str:
        """The class that was trained."""
        return self.runs[0].model

    @property
    def seeds(self) -> int:
        """How many stand behind the row."""
        return len(self.runs)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings of the first seed; the others differ in the seed."""
        return self.runs[0].config

    def values(self, metric: str) -> list[float]:
        """The values of a test metric, one for each seed that has it."""
        return _known(run.test.get(metric) for run in self.runs)

    def mean(self, metric: str) -> Optional[float]:
        """The mean of a test metric over seeds; None where no seed has it."""
        return mean(self.values(metric))

    def deviation(self, metric: str) -> Optional[float]:
        """The standard deviation of a test metric over seeds; None of fewer than two."""
        values = self.values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def valid(self, metric: str) -> Optional[float]:
        """The mean of a validation metric over seeds."""
        return mean(_known(run.valid.get(metric) for run in self.runs))

    def number(self, name: str) -> Optional[float]:
        """The mean over seeds of a column such as ``seconds``."""
        return mean(_known(run.numbers.get(name) for run in self.runs))


@dataclass(frozen=True, eq=False)
class Group:
    """Rows of one experiment on one dataset, the best on validation first.

    Attributes:
        metrics: to show, the first of them being the one that the others are read beside.
    """

    store: Store
    experiment: str
    dataset: str
    rows: Sequence[Row]
    metrics: Sequence[str]
    number: int = 1

    def name(self, what: str) -> str:
        """A name for a section or a figure of this group, unlike that of any other group."""
        return f"{what}-{self.number}"

    def once(self, what: str, work: Callable[[], Any]) -> Any:
        """The result of a slow computation, kept under its name: reports in both languages need it."""
        if what not in self._worked_out:
            self._worked_out[what] = work()
        return self._worked_out[what]

    @cached_property
    def _worked_out(self) -> dict[str, Any]:
        return {}

    @property
    def chosen_by(self) -> str:
        """The validation metric that most runs are chosen by."""
        return Counter(run.chosen_by for row in self.rows for run in row.runs).most_common(1)[0][0]

    @cached_property
    def base(self) -> str:
        """The ablation that the others are held against."""
        names = list(dict.fromkeys(row.ablation for row in self.rows))
        return REAL if REAL in names else sorted(names)[0]

    @cached_property
    def models(self) -> list[Row]:
        """The rows without an ablation."""
        return [row for row in self.rows if row.ablation == self.base]

    @cached_property
    def ablated(self) -> list[Row]:
        """The other rows."""
        return [row for row in self.rows if row.ablation != self.base]

    @property
    def runs(self) -> list[Run]:
        """All runs of all rows."""
        return [run for row in self.rows for run in row.runs]

    def row(self, label: str, ablation: str) -> Optional[Row]:
        """The row of a label under an ablation."""
        return next((row for row in self.rows if (row.label, row.ablation) == (label, ablation)), None)

    def per_user(self, metric: str) -> pd.DataFrame:
        """Users by rows (label, ablation): a metric's means over seeds; no column for a row without such metrics."""
        return self.once(f"users {metric}", lambda: _per_user(self.store, self.experiment, self.dataset, metric))

    def rows_of(self, table: str) -> pd.DataFrame:
        """The rows of the table ``curves`` or ``strata`` that are of this group, with label, ablation and seed."""
        return self.once(table, lambda: _rows_of(self.store, table, self.experiment, self.dataset))


@dataclass(frozen=True)
class Material:
    """Everything that a report is written from."""

    name: str
    groups: Sequence[Group]
    studies: pd.DataFrame
    trials: pd.DataFrame
    failures: pd.DataFrame


def read_material(
    store: Store, filters: Filters, metrics: Sequence[str] = (), searched: Sequence[Store] = ()
) -> Material:
    """Read a store.

    Args:
        filters: as of :func:`~recbole_sheaf.store.results.matching_runs`.
        metrics: to show in the place of the usual ones.
        searched: stores whose searches are read too.

    Raises:
        StoreError: if there is no store, or one of another version.
        DataError: if nothing matches, a metric is nowhere, rows of a group have no common split or no metric, or a
            store of ``searched`` holds no trial.
    """
    studies, trials = _searches([store, *searched])
    found = matching_runs(store, filters, "* EXCLUDE (train_loss)")
    if found.empty and trials.empty:
        raise DataError(f"{store.path} holds no finished run and no trial; run 'recbole-sheaf compare' into it first")
    asked = known_metrics(metrics, [name for test in found["test"] for name in scores_of(test)])
    groups = [
        _group(store, number, experiment, dataset, lines, asked)
        for number, ((experiment, dataset), lines) in enumerate(found.groupby(["experiment", "dataset"]), start=1)
    ]
    failures = store.rows("SELECT * FROM failures ORDER BY failed, job")
    wanted = filters.get("experiment")
    if wanted:
        failures = failures[failures["experiment"].isin(list(wanted))]
    return Material(store.path.name, groups, studies, trials, failures)


def _searches(stores: Sequence[Store]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``studies`` and ``trials`` of all stores; of a search that several hold, those of the first."""
    studies, trials, known = [], [], set[str]()
    for number, store in enumerate(stores):
        own, tried = store.rows("SELECT * FROM studies"), store.rows("SELECT * FROM trials")
        if number and tried.empty:
            raise DataError(f"{store.path} holds no trial; give stores that 'recbole-sheaf tune' wrote as searches=...")
        fresh = set(own["study"]) | set(tried["study"])
        studies.append(own[~own["study"].isin(known)])
        trials.append(tried[~tried["study"].isin(known)])
        known |= fresh
    return (
        pd.concat(studies).sort_values(["dataset", "model", "study"], ignore_index=True),
        pd.concat(trials).sort_values(["study", "trial"], ignore_index=True),
    )


def _group(store: Store, number: int, experiment: str, dataset: str, lines: pd.DataFrame, metrics: list[str]) -> Group:
    runs = [_run(line) for line in lines.to_dict("records")]
    by_row: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_row.setdefault((run.label, run.ablation), []).append(run)
    rows = [Row(label, ablation, sorted(own, key=lambda run: run.seed)) for (label, ablation), own in by_row.items()]
    _refuse_other_splits(experiment, dataset, rows)
    chosen = Counter(run.chosen_by for run in runs).most_common(1)[0][0]
    sign = -1 if bool(runs[0].config.get("valid_metric_bigger", True)) else 1
    rows.sort(key=lambda row: (sign * value if (value := row.valid(chosen)) is not None else math.inf, row.label))
    shown_metrics = metrics or _usual_metrics(runs, chosen)
    if not shown_metrics:
        raise DataError(f"no run of {experiment} on {dataset} has a metric at test; name another experiment=...")
    return Group(store, experiment, dataset, rows, shown_metrics, number)


def _run(line: Mapping[str, Any]) -> Run:
    numbers = ("seconds", "seconds_per_epoch", "peak_memory_mib", "parameters", "best_epoch", "epochs", "split_seed")
    return Run(
        id=str(line["run"]),
        **{name: one_line(str(line[name])) for name in ("label", "ablation", "model")},
        seed=int(line["seed"]),
        valid=scores_of(line["valid"]),
        test=scores_of(line["test"]),
        config=config_of(line),
        split=scores_of(line["split"]),
        modalities=scores_of(line["modalities"]),
        versions=scores_of(line["versions"]),
        numbers={name: float(line[name]) for name in numbers if not pd.isna(line[name])},
        device=str(line["device"]),
        message_passing=str(line["message_passing"] or ""),
    )


def _refuse_other_splits(experiment: str, dataset: str, rows: Sequence[Row]) -> None:
    """Rows of one ablation were trained and judged on the same parts; an ablation may have parts of its own."""
    by_ablation: dict[str, tuple[Row, str]] = {}
    for row in rows:
        for run in row.runs:
            first, split = by_ablation.setdefault(row.ablation, (row, split_of(run)))
            if split_of(run) != split:
                raise DataError(
                    f"models of {experiment} on {dataset} have no common split: {first.label} has {split}, {row.label} "
                    f"{split_of(run)}; name another experiment=..., or run them on one split"
                )


def split_of(run: Run) -> str:
    """Parts of a run's data, in words that are the same for the same parts."""
    sizes = ", ".join(f"{name} {run.split[name]}" for name in sorted(run.split))
    return f"{sizes}, split_seed {run.config.get('split_seed')}"


def _usual_metrics(runs: Sequence[Run], chosen: str) -> list[str]:
    """The metric that chose, then the others at its cut-off, then recall and NDCG at others."""
    there = {name for run in runs for name in run.test}
    cut = chosen.partition("@")[2]
    same = [f"{name}@{cut}" for name in ACCURACY]
    others = [f"{name}@{k}" for k in _cuts(there) for name in ACCURACY[:2]]
    usual = [name for name in dict.fromkeys([chosen, *same, *others]) if name in there]
    return (usual or sorted(there))[:MOST_METRICS]


def _cuts(names: Iterable[str]) -> list[str]:
    return sorted({name.partition("@")[2] for name in names} - {""}, key=lambda k: (len(k), k))


def _per_user(store: Store, experiment: str, dataset: str, metric: str) -> pd.DataFrame:
    rows = store.rows(
        "SELECT label, ablation, user_id, avg(value ORDER BY run) AS value FROM user_metrics JOIN entries USING (run) "
        "WHERE experiment = ? AND dataset = ? AND metric = ? GROUP BY ALL",
        [experiment, dataset, metric],
    )
    for name in ("label", "ablation"):
        rows[name] = rows[name].map(one_line)
    return rows.pivot_table(index="user_id", columns=["label", "ablation"], values="value", observed=True)


def _rows_of(store: Store, table: str, experiment: str, dataset: str) -> pd.DataFrame:
    rows = store.rows(
        f"SELECT * FROM {table} JOIN entries USING (run) WHERE experiment = ? AND dataset = ? ORDER BY ALL",
        [experiment, dataset],
    )
    for name in ("label", "ablation"):
        rows[name] = rows[name].map(one_line)
    return rows


def named_after_its_model(rows: Sequence[Row]) -> Optional[Row]:
    """The row labelled as its model is, with which that model's variants are compared; the first, if there are more."""
    return next((row for row in rows if row.label == row.model), None)


def mean(values: Sequence[float]) -> Optional[float]:
    """The mean of some numbers; None where there are none."""
    return float(np.mean(values)) if values else None


def _known(values: Iterable[Optional[float]]) -> list[float]:
    return [float(value) for value in values if value is not None and math.isfinite(value)]
