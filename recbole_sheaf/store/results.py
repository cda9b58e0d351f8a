"""What a store holds, as tables: runs, means over seeds, and models beside a reference with significance."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from recbole_sheaf.errors import DataError, nearest, shown
from recbole_sheaf.evaluation import compare_models, marked_tests, mean_over_seeds, rule_of_marks, significance_marks
from recbole_sheaf.store.store import Store

FIRST_NUMBER = "try_cast(regexp_extract(stratum, '[0-9]+') AS bigint) NULLS FIRST"  # cold items before popularity 1
TABLES = {"users": "user_metrics", "strata": "strata", "curves": "curves"}
UNFILTERED = ("failures", "studies", "trials")
FILTERS = ("experiment", "dataset", "label", "ablation")
COST = {"seconds_per_epoch": "s/epoch", "peak_memory_mib": "peak MiB", "parameters": "parameters"}
SEED = 2020  # owner of the draws behind randomisation tests and bootstrap intervals
CELL = ["experiment", "dataset", "ablation", "label"]
COMPARED = ("recall@20", "ndcg@20")  # where no metric is asked for, and the runs have them

Filters = Mapping[str, Sequence[str]]


def matching_runs(store: Store, filters: Filters, columns: str = "*") -> pd.DataFrame:
    """Columns of ``entries`` and ``runs`` of the finished runs that match; empty where there is none and no filter.

    Args:
        filters: names allowed in each of ``experiment``, ``dataset``, ``label``, ``ablation``; absent means any.

    Raises:
        DataError: if no finished run has one of the names, or none has all of them, naming what there is.
    """
    where, values = _where(filters)
    found = store.rows(
        f"SELECT {columns} FROM entries JOIN runs USING (run, dataset, seed) {where} ORDER BY ALL", values
    )
    if values:
        _refuse_unmatched(store, filters, found.empty)
    return found


def _some_runs(store: Store, filters: Filters, columns: str = "*") -> pd.DataFrame:
    found = matching_runs(store, filters, columns)
    if found.empty:
        raise DataError(f"{store.path} holds no finished run; run 'recbole-sheaf compare' into it first")
    return found


def finished_runs(store: Store, filters: Filters, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """One line per finished run: where it stands, its metrics and its cost.

    Args:
        filters: as of :func:`matching_runs`.
        metrics: of the test part, in any case, to which the columns are held; none means all.

    Raises:
        DataError: if nothing matches, or no run has one of the metrics, naming what there is.
    """
    found = _some_runs(store, filters)
    asked = known_metrics(metrics, [name for test in found["test"] for name in scores_of(test)])
    lines = []
    for row in found.to_dict("records"):
        chosen, scores = str(config_of(row)["valid_metric"]).lower(), scores_of(row["test"])
        line: dict[str, Any] = {name: row[name] for name in (*CELL, "model", "seed")}
        line[f"valid {chosen}"] = scores_of(row["valid"]).get(chosen)
        line.update({name: scores[name] for name in asked or scores if scores.get(name) is not None})
        line.update({"best epoch": row["best_epoch"], "epochs": row["epochs"]})
        line.update({shown: row[name] for name, shown in COST.items()})
        lines.append({**line, "run": row["run"]})
    return pd.DataFrame(lines)


def settings_of_runs(store: Store, filters: Filters) -> list[dict[str, Any]]:
    """Where each finished run stands, its model and seed, and ``config``, every setting of it.

    Raises:
        DataError: if nothing matches, or the settings of a run cannot be read.
    """
    found = _some_runs(store, filters, f"{', '.join(CELL)}, model, seed, run, config")
    rows = [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]
    return [{**row, "config": config_of(row)} for row in rows]


def means_over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """One line per model: means of its runs over seeds, beside each metric its standard deviation where seeds differ.

    Args:
        runs: as ``finished_runs`` gives them.
    """
    grouped = runs.groupby(CELL, sort=False, dropna=False)
    metrics = [name for name in runs if name.startswith("valid ") or "@" in name]
    table = grouped.size().rename("seeds").to_frame()
    for name in metrics:
        table[name] = grouped[name].mean()
        if table["seeds"].max() > 1:
            table[f"{name} std"] = grouped[name].std(ddof=1)
    for name in ("best epoch", "epochs", *COST.values()):
        table[name] = grouped[name].first() if name == COST["parameters"] else grouped[name].mean()
    chosen = next(name for name in metrics if name.startswith("valid "))
    ordered = table.reset_index().sort_values([*CELL[:-1], chosen], ascending=[True, True, True, False])
    return ordered.rename(columns={"label": "model"}).reset_index(drop=True)


def beside_reference(store: Store, filters: Filters, against: str, metrics: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Models of one dataset beside a reference: means, what is significantly better or worse, and cost.

    A user's metric is first averaged over the model's seeds; users are then the pairs of the tests, which are made
    where both models have seeds enough (:mod:`recbole_sheaf.evaluation.marks`).

    Args:
        metrics: per user, in any case; none means those of ``COMPARED`` that all runs have, else the one of validation,
            else all that they share.

    Returns:
        The table, with a column ``<metric> mark`` for each metric, and the legend of the marks with their rule.

    Raises:
        DataError: if nothing matches, several datasets or ablations match, or the reference or a metric is not there.
    """
    runs = _comparable_runs(store, filters, against)
    seeds = {str(label): len(own) for label, own in runs.groupby("label", sort=False)}
    comparisons = _by_metric(functools.partial(marked_tests, seeds=seeds), store, runs, against, metrics)
    marked, legend = significance_marks(means_over_seeds(runs), comparisons, unmarked=seeds)
    kept = [name for name in marked if not name.endswith(" std") and not _is_other_metric(name, comparisons)]
    return marked[kept], f"{legend} {rule_of_marks(seeds, against)}".lstrip()


def comparisons_with(store: Store, filters: Filters, against: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Differences with a reference in full, metric by metric: interval, both tests, Holm's correction, effect sizes.

    Raises:
        DataError: as ``beside_reference``.
    """
    runs = _comparable_runs(store, filters, against)
    tables = _by_metric(compare_models, store, runs, against, metrics)
    return pd.concat(tables, names=["metric"]).reset_index("metric").reset_index(drop=True)


def raw_table(store: Store, name: str, filters: Filters, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Rows of ``users``, ``strata``, ``curves`` of matching runs, or all of ``failures``, ``studies``, ``trials``.

    The metrics of ``curves``, which are those of validation, have a column each.

    Raises:
        DataError: if no finished run matches or has one of the metrics, or filters are given for a table that has none
            of their columns.
    """
    if name in UNFILTERED:
        if given := [f"{key}=..." for key in FILTERS if filters.get(key)]:
            raise DataError(f"{name} are listed whole, without {', '.join(given)}; filter them with sql=...")
        return store.rows(f"SELECT * FROM {name} ORDER BY ALL")
    _some_runs(store, filters, "run")
    where, values = _where(filters)
    place = f"{', '.join(CELL)}, seed"
    order = f"{place}, kind, {FIRST_NUMBER}, stratum, metric" if name == "strata" else "ALL"
    rows = store.rows(
        f"SELECT {place}, {TABLES[name]}.* EXCLUDE (run), run FROM {TABLES[name]} JOIN entries USING (run) {where} "
        f"ORDER BY {order}",
        values,
    )
    return _of_curves(rows, metrics) if name == "curves" else _of_metrics(rows, metrics)


def _of_metrics(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Those rows that hold one of the metrics; all of them where none is asked for."""
    asked = known_metrics(metrics, rows["metric"].unique())
    return rows[rows["metric"].isin(asked)].reset_index(drop=True) if asked else rows


def _of_curves(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Validation's metrics in columns of their own."""
    scores = [scores_of(valid) for valid in rows["valid"]]
    there = list(dict.fromkeys(name for each in scores for name in each))
    columns = {name: [each.get(name) for each in scores] for name in known_metrics(metrics, there) or there}
    kept = rows.drop(columns=["valid", "run"])
    return kept.assign(**{name: pd.Series(values, dtype=float) for name, values in columns.items()}, run=rows["run"])


def known_metrics(metrics: Sequence[str], there: Iterable[str]) -> list[str]:
    """Metrics as the store writes them, each once.

    Raises:
        DataError: if one is not there.
    """
    known = sorted(set(there))
    asked = list(dict.fromkeys(metric.lower() for metric in metrics))
    for metric in asked:
        if metric not in known:
            raise DataError(f"no run has the metric '{metric}'{nearest(metric, known)}; {_listed(known)}")
    return asked


def _comparable_runs(store: Store, filters: Filters, against: str) -> pd.DataFrame:
    """The matching runs, if their users may be compared: one dataset, one ablation, the reference and another."""
    runs = finished_runs(store, filters)
    for name in ("experiment", "dataset", "ablation"):
        if runs[name].nunique() > 1:
            there = ", ".join(map(str, runs[name].unique()))
            raise DataError(f"users are compared within one {name}, but these match: {there}; name one with {name}=...")
    labels = list(dict.fromkeys(runs["label"]))
    if against not in labels:
        raise DataError(f"there is no run of '{against}' to compare with{nearest(against, labels)}; {_listed(labels)}")
    if len(labels) == 1:
        raise DataError(f"only {against} matches; name models to compare with it")
    return runs


def _by_metric(
    compare: Callable[..., pd.DataFrame], store: Store, runs: pd.DataFrame, against: str, metrics: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Every model beside the reference, users averaged over seeds first; a row does not depend on the other models."""
    tables = {}
    for metric in [metric.lower() for metric in metrics] or _usual(store, runs):
        per_user = {label: _per_user(store, own["run"], metric) for label, own in runs.groupby("label", sort=False)}
        tables[metric] = compare(per_user, against=against, random_state=SEED)
    return tables


def _usual(store: Store, runs: pd.DataFrame) -> list[str]:
    """Of the metrics that every run has per user, those to compare where none is asked for."""
    there = [_metrics_per_user(store, run) for run in runs["run"]]
    shared = sorted(set.intersection(*map(set, there)))
    chosen = [name.partition(" ")[2] for name in runs if name.startswith("valid ")]
    usual = [name for name in COMPARED if name in shared] or [name for name in chosen if name in shared] or shared
    if not usual:
        each = "; ".join(f"{label}: {', '.join(names) or 'none'}" for label, names in zip(runs["label"], there))
        raise DataError(f"the runs share no metric per user to compare ({each}); name runs that do with label=...")
    return usual


def _is_other_metric(name: str, comparisons: Mapping[str, pd.DataFrame]) -> bool:
    return "@" in name and not name.startswith("valid ") and name.replace(" mark", "") not in comparisons


def _per_user(store: Store, runs: pd.Series, metric: str) -> pd.Series:
    per_seed = []
    for run in runs:
        rows = store.rows("SELECT user_id, value FROM user_metrics WHERE run = ? AND metric = ?", [run, metric])
        if rows.empty:
            known = _metrics_per_user(store, run)
            raise DataError(f"there is no metric '{metric}' per user{nearest(metric, known)}; {_listed(known)}")
        per_seed.append(rows.set_index("user_id")["value"])
    return mean_over_seeds(per_seed)


def _metrics_per_user(store: Store, run: str) -> list[str]:
    rows = store.rows("SELECT DISTINCT metric FROM user_metrics WHERE run = ? ORDER BY ALL", [run])
    return [str(metric) for metric in rows["metric"]]


def _where(filters: Filters) -> tuple[str, list[str]]:
    parts = [f"{name} IN ({', '.join('?' * len(filters[name]))})" for name in FILTERS if filters.get(name)]
    values = [value for name in FILTERS for value in filters.get(name) or ()]
    return ("WHERE " + " AND ".join(parts) if parts else ""), values


def names_of_finished_runs(store: Store) -> dict[str, list[str]]:
    """What :func:`matching_runs` can be asked for: the experiments, datasets, labels and ablations, each in order."""
    entries = store.rows(f"SELECT DISTINCT {', '.join(FILTERS)} FROM entries SEMI JOIN runs USING (run)")
    return {name: sorted(set(entries[name])) for name in FILTERS}


def _refuse_unmatched(store: Store, filters: Filters, none: bool) -> None:
    """Refuse names that no finished run has, and names that ``none`` has all of."""
    for name, known in names_of_finished_runs(store).items():
        for each in filters.get(name) or ():
            if each not in known:
                what = f"{name} {shown(each)}{nearest(each, known)}"
                raise DataError(f"{store.path} holds no finished run of {what}; {_listed(known)}")
    if none:
        asked = " and ".join(f"{name}=..." for name in FILTERS if filters.get(name))
        raise DataError(f"{store.path} holds no finished run that all of {asked} name; drop one")


def config_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a row of ``runs``.

    Raises:
        DataError: if they are none that a run has.
    """
    try:
        config = json.loads(row["config"])
        config["valid_metric"]
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise DataError(
            f"run {row['run']} of the store names no valid_metric in its config; it was altered: give an older copy"
        ) from error
    return config


def scores_of(value: Any) -> dict[str, Any]:
    """A map of the store; a run may have none."""
    return dict(value) if isinstance(value, Mapping) else {}


def _listed(names: Sequence[str]) -> str:
    whole = (f'"{name}"' if "," in name else name for name in map(str, names))
    return f"there are {', '.join(whole) or 'none'}"
