"""Side-by-side tables of finished runs; reads rows that runs wrote, never a model."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation.cells import number_format, to_csv, to_markdown
from recbole_sheaf.evaluation.marks import ALPHA, BETTER, WORSE
from recbole_sheaf.files.whole_files import whole_files_in

TESTS = {"permutation": "randomisation test", "wilcoxon": "Wilcoxon's signed-rank test"}
COLUMNS = ("Recall@20", "NDCG@20", "Recall@10", "NDCG@10", "Precision@20", "MRR@20", "ItemCoverage@20", "GiniIndex@20")

COLD_COLUMNS = (  # where the test part holds enough items without training interactions
    *("cold Recall@10", "cold NDCG@10", "cold Recall@20", "cold NDCG@20", "chance Recall@20", "chance NDCG@20"),
)


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Table with one line per run: the validation score that chose the epoch, test metrics, cost.

    Args:
        rows: what ``--result_file`` holds, a mapping per run.

    Examples:
        >>> run = {"model": "BPR", "seed": 1, "config": {"valid_metric": "Recall@20"}, "best_epoch": 3, "epochs": 5}
        >>> run |= {"seconds_per_epoch": 0.5, "peak_memory_mib": 100, "parameters": 640}
        >>> run |= {"valid": {"recall@20": 0.31}, "test": {"recall@20": 0.29}}
        >>> comparison_table([run])[["model", "valid Recall@20", "Recall@20"]].values.tolist()
        [['BPR', 0.31, 0.29]]
    """
    return pd.DataFrame([_line(row) for row in rows])


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    chosen_by = row["config"]["valid_metric"]
    line = {"model": _named_with_maps(row), "seed": row["seed"]}
    line[f"valid {chosen_by}"] = _score(row["valid"], chosen_by)
    test = row["test"]
    shown = [name for name in COLUMNS if name.lower() in test] or [name for name in test if name in row["valid"]]
    shown += [name for name in COLD_COLUMNS if name.lower() in test]
    line.update({name: _score(test, name) for name in shown})
    line["best epoch"] = row["best_epoch"]
    line["epochs"] = row["epochs"]
    line["s/epoch"] = round(row["seconds_per_epoch"], 2)
    line["peak MiB"] = round(row["peak_memory_mib"])
    line["parameters"] = row["parameters"]
    return line


def _named_with_maps(row: Mapping[str, Any]) -> str:
    """The model, and its maps where they are not what it is known for: identity on one graph, learnt on the items."""
    config = row["config"]
    usual = {"restriction_map": "identity" if "item_sheaf_map" in config else "learnt", "item_sheaf_map": "learnt"}
    others = [str(config[name]) for name, value in usual.items() if config.get(name, value) != value]
    return f"{row['model']} ({', '.join(others)})" if others else row["model"]


def what_was_learnt(row: Mapping[str, Any]) -> str:
    """A sentence on the maps of a sheaf model and on what validation chose for it; empty for models without maps.

    Args:
        row: of ``--result_file``.

    Examples:
        >>> row = {"model": "MMSheaf", "config": {"restriction_map": "identity", "item_sheaf_map": "learnt"}}
        >>> what_was_learnt(row)
        'MMSheaf: maps between items learnt in closed form, on the user-item graph identity'
        >>> what_was_learnt({"model": "EASE", "config": {}})
        ''
    """
    config, chosen = row["config"], row.get("chosen") or {}
    maps, between_items = config.get("restriction_map"), config.get("item_sheaf_map")
    if maps is None:
        return ""
    items = "learnt in closed form" if (between_items or maps) == "learnt" else "identity"
    if between_items is None and maps not in ("learnt", "identity"):
        said = f"maps on the user-item graph {maps}"
    elif between_items is None or config.get("item_sheaf_weight") != 0:
        said = f"maps between items {items}" + (f", on the user-item graph {maps}" if between_items else "")
    else:
        said = f"maps on the user-item graph {maps}, no item sheaf"
    listed = ", ".join(f"{name} {value:g}" for name, value in chosen.items())
    return f"{row['model']}: {said}" + (f"; validation chose {listed}" if listed else "")


def _score(metrics: Mapping[str, float], name: str) -> float:
    return round(metrics.get(name.lower(), metrics.get(name, float("nan"))), 4)


def significance_marks(
    table: pd.DataFrame,
    comparisons: Mapping[str, pd.DataFrame],
    *,
    alpha: float = ALPHA,
    test: str = "permutation",
    unmarked: Collection[str] = (),
) -> tuple[pd.DataFrame, str]:
    """Table with marks beside each metric, where a model is significantly better or worse than the reference.

    The numbers stay numbers: the marks have a column of their own, named ``<metric> mark``, with ``▲`` for a mean
    above the reference's and ``▼`` below it where Holm's adjusted p is under ``alpha``, and nothing elsewhere. Higher
    is taken to be better.

    Args:
        table: a row per model, named in column ``model``, with a column of means for every metric.
        comparisons: for each metric, by its column in ``table``, the table of :func:`compare_models` or, for
            ``permutation``, of :func:`randomisation_tests`; tables without a row where nothing could be compared.
        alpha: level of significance, the chance of even one false mark in a column.
        test: ``permutation``, which tests the means that the table shows, or ``wilcoxon``.
        unmarked: models that may be in the table without having been compared; they get no mark then.

    Returns:
        The table with the marks, and a legend for the line below it, empty where nothing was compared.

    Raises:
        ConfigError: if ``test`` is neither of the two, or ``alpha`` outside (0, 1).
        DataError: if a metric has no column, the comparisons have several references, or a model was not compared.

    Examples:
        >>> table = pd.DataFrame({"model": ["ours", "BPR"], "recall@20": [0.3, 0.2]})
        >>> p = pd.DataFrame({"model": ["ours"], "against": "BPR", "difference": 0.1, "permutation_p_holm": 0.01})
        >>> significance_marks(table, {"recall@20": p})[0]["recall@20 mark"].tolist()
        ['▲', '']
    """
    if test not in TESTS or not 0 < alpha < 1:
        raise ConfigError(f"test {test!r} at level {alpha}; choose one of {', '.join(TESTS)} and a level in (0, 1)")
    references = {name for frame in comparisons.values() for name in frame["against"]}
    if len(references) > 1 or not comparisons:
        raise DataError(f"the comparisons are with {sorted(references)}; marks need one reference for the whole table")
    reference = next(iter(references), "")
    marked = table.copy()
    for metric, frame in comparisons.items():
        if metric not in table:
            raise DataError(f"the table has no column {metric!r} to mark; its columns are {list(table.columns)}")
        marks = dict.fromkeys([reference, *unmarked], "") | _marks(frame, f"{test}_p_holm", alpha)
        if missing := [model for model in table["model"] if model not in marks]:
            raise DataError(f"{missing} are in the table but were not compared with {reference} on {metric}")
        marked.insert(marked.columns.get_loc(metric) + 1, f"{metric} mark", table["model"].map(marks))
    if not reference:
        return marked, ""
    most = max(len(frame) for frame in comparisons.values())
    legend = (
        f"{BETTER} better, {WORSE} worse than {reference}: p < {alpha:g}, two-sided {TESTS[test]} over users, "
        f"adjusted by Holm's method for {most} comparison{'s' if most > 1 else ''} in each metric."
    )
    return marked, legend


def _marks(frame: pd.DataFrame, p: str, alpha: float) -> dict[str, str]:
    if frame.empty:
        return {}
    signs = frame["difference"].map(lambda difference: BETTER if difference > 0 else WORSE)
    return dict(zip(frame["model"], signs.where(frame[p] < alpha, "")))


def to_latex(table: pd.DataFrame) -> str:
    r"""LaTeX ``tabular``, numbers as in Markdown; needs the packages ``booktabs`` and ``amssymb``.

    Whatever LaTeX would take for a command is escaped in cells and headings; significance marks become triangles.

    Examples:
        >>> print(to_latex(pd.DataFrame({"model": ["a_b"], "recall@20": [0.25]})).splitlines()[4])
        a\_b & 0.2500 \\
    """
    floats = table.select_dtypes("float")
    numbers = {column: f"{{:{number_format(str(column), floats[column])}}}".format for column in floats}
    style = table.style.hide(axis="index").format(numbers, escape="latex", na_rep="")
    with pd.option_context("styler.render.max_elements", table.size + 1):  # pandas would leave out rows of longer ones
        text = style.format_index(axis="columns", escape="latex").to_latex(hrules=True)
    return text.replace(BETTER, r"$\blacktriangle$").replace(WORSE, r"$\blacktriangledown$")


def write_table(table: pd.DataFrame, path: Path) -> list[Path]:
    """Paths of ``<path>.csv`` and ``<path>.md``, which it writes, both or neither.

    Raises:
        WriteError: if they cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in write_table(pd.DataFrame({"model": ["BPR"]}), Path(folder) / "runs")]
        ['runs.csv', 'runs.md']
    """
    stem = path.with_suffix("") if path.suffix in (".csv", ".md") else path
    files = [stem.with_name(stem.name + ".csv"), stem.with_name(stem.name + ".md")]
    with whole_files_in(stem.parent) as made:
        for file, text in zip(files, (to_csv(table), to_markdown(table) + "\n")):
            (made / file.name).write_text(text, encoding="utf-8")
    return files
