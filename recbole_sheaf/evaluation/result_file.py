"""The lines that ``--result_file`` holds, a run each, read back and checked."""

import io
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recbole_sheaf.errors import DataError
from recbole_sheaf.files.regular_files import open_regular

MOST_CHARACTERS = 2**26  # of a line; one with the losses of 10,000 epochs has 2**18


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Runs that ``--result_file`` wrote, one JSON object a line.

    Raises:
        DataError: if the file is absent, cannot be read, holds no run, or a line is not such an object.

    Examples:
        >>> read_rows(Path("no/runs.jsonl"))
        Traceback (most recent call last):
        recbole_sheaf.errors.DataError: there is no result file no/runs.jsonl; runs write theirs with result_file=...
    """
    if not os.path.exists(path):
        raise DataError(f"there is no result file {path}; runs write theirs with result_file=...")
    try:
        with io.TextIOWrapper(open_regular(path, DataError), encoding="utf-8") as file:
            lines = list(iter(lambda: file.readline(MOST_CHARACTERS), ""))
        rows = [(number, json.loads(line)) for number, line in enumerate(lines, 1) if line.strip()]
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a result file ({error}); expected one JSON object a line") from error
    if not rows:
        raise DataError(f"{path} holds no run; give a file that result_file=... wrote")
    for number, row in rows:
        _refuse_strange(path, number, row)
    return [row for _, row in rows]


def _refuse_strange(path: Path, number: int, row: Any) -> None:
    if not isinstance(row, dict) or not {"model", "test", "config"} <= set(row):
        raise DataError(
            f"{path} holds a line without model, test and config (line {number}); expected what result_file=... writes"
        )
    for key, fits in _FIELDS.items():
        if not fits(row.get(key)):
            raise DataError(
                f"line {number} of {path} has {key} {row.get(key)!r:.60}; expected what result_file=... writes"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


def _are_scores(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_number(score) for score in value.values())


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "model": lambda value: isinstance(value, str),
    "seed": lambda value: isinstance(value, int),
    "config": lambda value: isinstance(value, Mapping) and isinstance(value.get("valid_metric"), str),
    "valid": _are_scores,
    "test": _are_scores,
    "best_epoch": lambda value: value is None or isinstance(value, int),
    "epochs": lambda value: isinstance(value, int),
    "seconds_per_epoch": _is_finite,
    "peak_memory_mib": _is_finite,
    "parameters": _is_number,
}
