"""Node classification beside the paper: rows that ``recbole-sheaf classify`` wrote, as one table.

That of ``docs/results/node-classification.md``; no command prints it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

# Test accuracy over the ten folds, mean and deviation, from Table 1 of Bodnar et al. 2022 (arXiv 2202.04579).
PAPER = {
    ("texas", "diagonal"): (85.67, 6.95),
    ("texas", "orthogonal"): (85.95, 5.51),
    ("texas", "general"): (82.97, 5.13),
    ("wisconsin", "diagonal"): (88.63, 2.75),
    ("wisconsin", "orthogonal"): (89.41, 4.74),
    ("wisconsin", "general"): (89.21, 3.84),
    ("actor", "diagonal"): (37.79, 1.01),
    ("actor", "orthogonal"): (37.81, 1.15),
    ("actor", "general"): (37.80, 1.22),
    ("chameleon", "diagonal"): (68.68, 1.73),
    ("chameleon", "orthogonal"): (68.04, 1.58),
    ("chameleon", "general"): (67.93, 1.58),
}


def classification_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Mean and standard deviation (over the folds, divided by their number, as in the paper) in percent.

    Args:
        rows: one mapping per fold, with ``dataset``, ``test_accuracy``, ``val_accuracy``, ``seconds``, ``settings``.
    """
    frame = pd.DataFrame([{**row, "maps": row["settings"]["restriction_map"]} for row in rows])
    groups = frame.groupby(["dataset", "maps"], sort=False)
    return pd.DataFrame([_line(dataset, maps, folds) for (dataset, maps), folds in groups])


def _line(dataset: str, maps: str, folds: pd.DataFrame) -> dict[str, Any]:
    mean, deviation = PAPER.get((dataset, maps), (None, None))
    return {
        "dataset": dataset,
        "maps": maps,
        "folds": len(folds),
        "test accuracy": _spread(folds.test_accuracy),
        "validation accuracy": _spread(folds.val_accuracy),
        "paper": "" if mean is None else f"{mean:.2f} ± {deviation:.2f}",
        "seconds": round(folds.seconds.sum()),
    }


def _spread(accuracy: pd.Series) -> str:
    return f"{100 * accuracy.mean():.2f} ± {100 * accuracy.std(ddof=0):.2f}"
