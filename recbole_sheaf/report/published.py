"""Figures that papers print, beside ours where the split is the very same.

``published.csv`` has a line per figure: dataset and split with the sizes of its parts, model, paper, what it was
selected on, what was masked at test, what content it had, and whether its code was run by us.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recbole_sheaf.store.material import Group

FILE = Path(__file__).with_name("published.csv")
SIZES = ("users", "items", "train", "valid", "test")
METRICS = ("recall@20", "ndcg@20")
_TEXTS = ("dataset", "split", "model", "paper", "selected_on", "masked", "content", "run_by_us")


@dataclass(frozen=True)
class Printed:
    """A line of ``published.csv``.

    Attributes:
        sizes: users, items and interactions of the parts, by which the split is known.
        selected_on: ``test``, ``validation`` or ``not said``.
        masked: which parts' items were left out of the lists at test.
    """

    dataset: str
    split: str
    sizes: tuple[int, ...]
    model: str
    recall: float
    ndcg: float
    paper: str
    selected_on: str
    masked: str
    content: str
    run_by_us: str


@cache
def published() -> tuple[Printed, ...]:
    """All lines of the file."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        return tuple(_printed(line) for line in csv.DictReader(lines))


def _printed(line: dict[str, str]) -> Printed:
    return Printed(
        **{name: line[name] for name in _TEXTS},
        sizes=tuple(int(line[size]) for size in SIZES),
        recall=float(line[METRICS[0]]),
        ndcg=float(line[METRICS[1]]),
    )


def printed_on(group: Group) -> list[Printed]:
    """What is printed on a group's dataset and split; nothing where the split is ours, or another in any size.

    The dataset has to have come in parts: a split that is drawn here is another one whatever its sizes.
    """
    runs = [row.runs[0] for row in group.models]
    if not runs or not all(run.config.get("benchmark_filename") for run in runs):
        return []
    sizes = {tuple(run.split.get(size) for size in SIZES) for run in runs}
    return [each for each in published() if each.dataset == group.dataset.casefold() and sizes == {each.sizes}]


def repeated(rows: Sequence[Printed]) -> set[tuple[int, str]]:
    """Cells that stand in another paper too: places in ``rows`` and metrics.

    On one split two papers seldom measure the same four digits; one of them copied, or chance did it.
    """
    found = set()
    for place, one in enumerate(rows):
        for metric, value in zip(METRICS, (one.recall, one.ndcg)):
            others = [each for each in rows if (each.dataset, each.sizes) == (one.dataset, one.sizes)]
            if any(value == _value(other, metric) and other.paper != one.paper for other in others):
                found.add((place, metric))
    return found


def _value(row: Printed, metric: str) -> float:
    return row.recall if metric == METRICS[0] else row.ndcg
