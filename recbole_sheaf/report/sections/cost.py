"""Quality beside what it costs: seconds of training, memory, parameters."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from recbole_sheaf.evaluation.best import bigger_is_better
from recbole_sheaf.report.document import Block, Cell, Figure, Paragraph, Table
from recbole_sheaf.report.drawing import FEWEST_POINTS, cloud, drawn
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group

SHORTEST = 0.01  # seconds; a logarithmic axis has no 0
Point = tuple[str, float, float]


def cost(group: Group, words: Words, with_figures: bool = True) -> list[Block]:
    """The section on cost: two drawings where there are points enough, and a table."""
    blocks: list[Block] = [Paragraph(words("cost.what"))]
    for name in ("seconds", "peak_memory_mib") if with_figures else ():
        points = _points(group, name)
        if len(points) >= FEWEST_POINTS:
            blocks.append(_figure(group, words, name, points))
    return [*blocks, _table(group, words)]


def _points(group: Group, name: str) -> list[Point]:
    found = []
    for row in group.models:
        price, quality = row.number(name), row.mean(group.metrics[0])
        if price is not None and quality is not None:
            found.append((row.label, max(price, SHORTEST), quality))
    return found


def unbeaten(points: Sequence[Point], bigger: bool = True) -> list[Point]:
    """The points that no other beats in both cost and quality, the cheapest first."""
    sign = 1 if bigger else -1
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point[1], -sign * point[2])):
        if not kept or sign * point[2] > sign * kept[-1][2]:
            kept.append(point)
    return kept


def _figure(group: Group, words: Words, name: str, points: Sequence[Point]) -> Figure:
    metric = group.metrics[0]

    def draw(axes: Axes) -> None:
        cloud(axes, points, words(f"axis.{name}"), metric, log=True)

    front = unbeaten(points, bigger_is_better(metric))
    best = front[-1]
    written = words.seconds if name == "seconds" else lambda value: words("size.mib", n=words.count(value))
    front_text = words.listed([f"{label} ({written(price)})" for label, price, _ in front])
    sees = words(f"cost.sees_{name}", front=front_text, best=best[0], metric=metric, value=words.number(best[2]))
    cheapest = front[0]
    if len(front) > 1:
        ratio = words.short(best[1] / cheapest[1])
        gain = words.signed(best[2] - cheapest[2])
        sees += " " + words("cost.ratio", best=best[0], cheapest=cheapest[0], ratio=ratio, gain=gain)
    return drawn(group.name(name.replace("_", "-")), words(f"cost.figure_{name}"), sees, words, draw)


def _table(group: Group, words: Words) -> Table:
    heads = [words("head.model"), group.metrics[0]]
    heads += [
        words(f"head.{name}") for name in ("seconds", "per_epoch", "epochs", "best_epoch", "memory", "parameters")
    ]
    rows = []
    for row in group.models:
        first = row.number("best_epoch")
        rows.append(
            [
                Cell(row.label),
                words.cell(row.mean(group.metrics[0])),
                Cell(words.short(row.number("seconds")), row.number("seconds")),
                Cell(words.short(row.number("seconds_per_epoch")), row.number("seconds_per_epoch")),
                words.mean_count(row.number("epochs")),
                words.mean_count(None if first is None else first + 1),
                words.cell(row.number("peak_memory_mib"), 0),
                words.cell(row.number("parameters"), 0),
            ]
        )
    return Table(words("cost.table"), heads, rows)
