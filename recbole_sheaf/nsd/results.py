"""Results of node classification: one row a fold, files of rows, and their summary."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from recbole_sheaf.errors import DataError
from recbole_sheaf.files.whole_files import append_json
from recbole_sheaf.nsd.settings import Classification


@dataclass(frozen=True)
class FoldResult:
    """The result of one fold, a row of a result file."""

    fold: int
    test_accuracy: float
    val_accuracy: float
    val_loss: float
    best_epoch: int
    num_epochs: int
    seconds: float


def summary(task: Classification, results: list[FoldResult]) -> str:
    """One line: mean and standard deviation over the folds, in percent."""
    test, validation = ([100 * getattr(r, name) for r in results] for name in ("test_accuracy", "val_accuracy"))
    return (
        f"{task.dataset}, {task.diffusion.restriction_map} maps, {len(results)} folds: test accuracy "
        f"{_mean(test):.2f} +- {_deviation(test):.2f}, validation {_mean(validation):.2f} +- "
        f"{_deviation(validation):.2f}, {sum(r.seconds for r in results):.0f} s"
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: list[float]) -> float:
    """Standard deviation over the folds themselves, as in the paper: divided by their number."""
    return math.sqrt(_mean([(value - _mean(values)) ** 2 for value in values]))


def _row(task: Classification, result: FoldResult) -> dict[str, Any]:
    settings = {**asdict(task.diffusion), **asdict(task.training)}
    return {"dataset": task.dataset, "seed": task.seed, **asdict(result), "settings": settings}


def append_row(task: Classification, result: FoldResult, path: Path) -> None:
    """Append one JSON row to a result file, which is made if need be."""
    append_json(path, json.dumps(_row(task, result)))


def finished_folds(task: Classification, path: Path) -> dict[int, FoldResult]:
    """Results of the same dataset, seed and settings in a result file, by fold.

    Raises:
        DataError: if some line is no row of results.
    """
    if not path.is_file():
        return {}
    names = [field.name for field in fields(FoldResult)]
    done = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            result = FoldResult(**{name: row[name] for name in names})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number} is no row of results: {error}; move the file away") from error
        if _row(task, result) == row:
            done[result.fold] = result
    return done
