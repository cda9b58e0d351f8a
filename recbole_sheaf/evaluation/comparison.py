"""Side-by-side tables of finished runs; reads rows that runs wrote, never a model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_sheaf.errors import DataError

COLUMNS = ("Recall@10", "NDCG@10", "Recall@20", "NDCG@20", "Precision@20", "MRR@20", "ItemCoverage@20", "GiniIndex@20")


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One line per run: validation score that chose the epoch, test metrics, cost.

    Args:
        rows: what ``--result_file`` holds, a mapping per run.
    """
    return pd.DataFrame([_line(row) for row in rows])


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The runs that ``--result_file`` wrote, one JSON object a line.

    Raises:
        DataError: if the file is absent or a line is not such an object.
    """
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise DataError(f"there is no result file {path}; runs write theirs with --result_file") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not a result file ({error}); expected one JSON object a line") from error
    if not all(isinstance(row, dict) and {"model", "test", "config"} <= set(row) for row in rows):
        raise DataError(f"{path} holds a line without model, test and config; expected what --result_file writes")
    return rows


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    chosen_by = row["config"]["valid_metric"]
    maps = row["config"].get("restriction_map")
    line = {"model": f"{row['model']} ({maps})" if maps else row["model"], "seed": row["seed"]}
    line[f"valid {chosen_by}"] = _score(row["valid"], chosen_by)
    test = row["test"]
    shown = [name for name in COLUMNS if name.lower() in test] or list(test)
    line.update({name: _score(test, name) for name in shown})
    line["best epoch"] = row["best_epoch"]
    line["epochs"] = row["epochs"]
    line["s/epoch"] = round(row["seconds_per_epoch"], 2)
    line["peak MiB"] = round(row["peak_memory_mib"])
    line["parameters"] = row["parameters"]
    return line


def _score(metrics: Mapping[str, float], name: str) -> float:
    return round(metrics.get(name.lower(), metrics.get(name, float("nan"))), 4)


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table, numbers with four decimals."""
    return table.to_markdown(index=False, floatfmt=".4g")


def write_table(table: pd.DataFrame, path: Path) -> list[Path]:
    """Write ``<path>.csv`` and ``<path>.md``; gives the paths written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = path.with_suffix("") if path.suffix in (".csv", ".md") else path
    files = [stem.with_name(stem.name + ".csv"), stem.with_name(stem.name + ".md")]
    table.to_csv(files[0], index=False)
    files[1].write_text(to_markdown(table) + "\n", encoding="utf-8")
    return files
