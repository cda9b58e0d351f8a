"""Learning curves: the validation score of each epoch."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from recbole_sheaf.report.document import Block, Figure, Paragraph
from recbole_sheaf.report.drawing import MOST_SERIES, Series, drawn, lines
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group

LAST_TENTH = 0.9  # a best epoch after this share of them hints that training was cut short


@dataclass(frozen=True)
class Curve:
    """The learning curve of a row: means over the seeds that reached an epoch."""

    label: str
    epochs: list[float]
    scores: list[float]

    @property
    def best(self) -> float:
        """The epoch with the best score."""
        return self.epochs[max(range(len(self.scores)), key=self.scores.__getitem__)]


def curves(group: Group, words: Words) -> list[Block]:
    """The section with learning curves: the best rows on validation that trained for more than an epoch."""
    found = _curves(group)
    if not found:
        return []
    shown = found[:MOST_SERIES]
    blocks: list[Block] = [_figure(group, words, shown)]
    if len(found) > len(shown):
        blocks.append(Paragraph(words("curves.more", shown=len(shown), all=len(found))))
    return blocks


def _curves(group: Group) -> list[Curve]:
    rows = group.rows_of("curves")
    rows = rows[(rows["ablation"] == group.base) & rows["score"].notna()]
    means: pd.Series = rows.groupby(["label", "epoch"])["score"].mean()
    found = []
    for row in group.models:
        if row.label in means.index.get_level_values("label"):
            own = means[row.label].sort_index()
            if len(own) > 1:
                found.append(Curve(row.label, [float(epoch) + 1 for epoch in own.index], [float(s) for s in own]))
    return found


def _figure(group: Group, words: Words, shown: list[Curve]) -> Figure:
    def draw(axes: Axes) -> None:
        series = [Series(each.label, each.epochs, each.scores) for each in shown]
        lines(axes, series, words("axis.epoch"), words("axis.valid", metric=group.chosen_by), counted=True)

    soonest, latest = min(shown, key=lambda each: each.best), max(shown, key=lambda each: each.best)
    key = "curves.sees_one" if len(shown) == 1 else "curves.sees_same" if soonest.best == latest.best else "curves.sees"
    sees = words(key, first=soonest.label, at=f"{soonest.best:.0f}", last=latest.label, end=f"{latest.best:.0f}")
    still = [each.label for each in shown if len(each.epochs) > 4 and each.best >= LAST_TENTH * each.epochs[-1]]
    if still:
        sees += " " + words("curves.still", labels=words.listed(still))
    return drawn(group.name("curves"), words("curves.figure"), sees, words, draw)
