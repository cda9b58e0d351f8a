"""Beyond accuracy: how many items the lists show, how evenly, how popular, how new."""

from typing import Optional

from matplotlib.axes import Axes

from recbole_sheaf.report.document import Block, Cell, Figure, Paragraph, Table
from recbole_sheaf.report.drawing import FEWEST_POINTS, cloud, drawn
from recbole_sheaf.report.words import Words, best_cells
from recbole_sheaf.store.material import BEYOND, Group

DIGITS = {"averagepopularity": 1, "popularityshare": 5, "aplt": 4}
BETTER = {"itemcoverage": True, "giniindex": False, "aplt": True, "novelty": True}  # of the others no end is better


def beyond(group: Group, words: Words, with_figure: bool = True) -> list[Block]:
    """The section beyond accuracy: a table at the leaderboard's cut-off, and coverage beside accuracy."""
    cut = group.metrics[0].partition("@")[2]
    names = [name for name in BEYOND if any(row.mean(f"{name}@{cut}") is not None for row in group.models)]
    if not names:
        return []
    columns = [[Cell(row.label) for row in group.models]]
    for name in names:
        cells = [words.cell(row.mean(f"{name}@{cut}"), DIGITS.get(name, 3)) for row in group.models]
        columns.append(best_cells(cells, BETTER.get(name)))
    rows = [list(cells) for cells in zip(*columns)]
    heads = [words("head.model"), *(f"{words(f'beyond.{name}')}@{cut}" for name in names)]
    table = Table(words("beyond.table"), heads, rows, words("beyond.note"))
    figure = _figure(group, words, cut) if with_figure else None
    return [Paragraph(words("beyond.what")), *([figure] if figure else []), table]


def is_drawn(group: Group) -> bool:
    """Whether coverage is known of models enough."""
    return len(_points(group)) >= FEWEST_POINTS


def _points(group: Group) -> list[tuple[str, float, float]]:
    metric = group.metrics[0]
    coverage = f"itemcoverage@{metric.partition('@')[2]}"
    return [
        (row.label, shown, quality)
        for row in group.models
        if (shown := row.mean(coverage)) is not None and (quality := row.mean(metric)) is not None
    ]


def _figure(group: Group, words: Words, cut: str) -> Optional[Figure]:
    metric, points = group.metrics[0], _points(group)
    if not is_drawn(group):
        return None

    def draw(axes: Axes) -> None:
        cloud(axes, points, f"{words('beyond.itemcoverage')}@{cut}", metric)

    widest, narrowest = max(points, key=lambda point: point[1]), min(points, key=lambda point: point[1])
    best = max(points, key=lambda point: point[2])
    sees = words(
        "beyond.sees",
        widest=widest[0],
        most=words.percent(widest[1]),
        narrowest=narrowest[0],
        least=words.percent(narrowest[1]),
        best=best[0],
        metric=metric,
        shown=words.percent(best[1]),
    )
    return drawn(group.name("coverage"), words("beyond.figure"), sees, words, draw)
