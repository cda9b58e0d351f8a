"""The table of models with intervals and marks of significance."""

from collections.abc import Sequence
from typing import Optional

from matplotlib.axes import Axes

from recbole_sheaf.evaluation.best import bigger_is_better
from recbole_sheaf.report.document import Block, Cell, Figure, Paragraph, Table
from recbole_sheaf.report.drawing import drawn, means
from recbole_sheaf.report.significance import SEEDS_FOR_A_MARK, Interval, Marks, interval, marks
from recbole_sheaf.report.words import Words, best_cells
from recbole_sheaf.store.material import Group, Row

COMPARED = 2  # metrics with deviations and marks
MOST_DRAWN = 20


def leaderboard(group: Group, words: Words) -> list[Block]:
    """The section with the table of models, the best on validation first."""
    found = marks_of(group)
    intervals = group.once("intervals", lambda: [interval(group, row, group.metrics[0]) for row in group.models])
    table = Table(
        words("board.table"),
        _heads(group, words, intervals),
        _rows(group, words, found, intervals),
        _legend(group, words, found, intervals),
    )
    there = [(row, each) for row, each in zip(group.models, intervals) if each is not None][:MOST_DRAWN]
    drawing: list[Block] = [_figure(group, words, there)] if len(there) > 1 else []
    return [Paragraph(_first(group, words)), table, *drawing]


def marks_of(group: Group) -> Marks:
    """The marks of a group's rows in its leading metrics, worked out once."""
    found: Marks = group.once("marks", lambda: marks(group, group.metrics[:COMPARED]))
    return found


def _first(group: Group, words: Words) -> str:
    """Who is first on validation, and who on test."""
    metric = group.metrics[0]
    scored = [(value, row.label) for row in group.models if (value := row.mean(metric)) is not None]
    if not scored:
        return words("board.no_scores", metric=metric)
    best, label = max(scored) if bigger_is_better(metric) else min(scored)
    chosen = group.models[0].label
    if len(scored) == 1:
        return words("board.alone", label=label, metric=metric, value=words.number(best))
    key = "board.same" if chosen == label else "board.other"
    return words(key, label=label, chosen=chosen, metric=metric, value=words.number(best), by=group.chosen_by)


def _heads(group: Group, words: Words, intervals: Sequence[Optional[Interval]]) -> list[str]:
    valid = words("head.valid", metric=group.chosen_by)
    last = [words("head.interval", metric=group.metrics[0])] if any(intervals) else []
    return [words("head.model"), words("head.seeds"), valid, *group.metrics, *last]


def _rows(group: Group, words: Words, found: Marks, intervals: Sequence[Optional[Interval]]) -> list[list[Cell]]:
    columns = [
        [Cell(row.label) for row in group.models],
        [Cell(words.count(row.seeds), row.seeds) for row in group.models],
        [words.cell(row.valid(group.chosen_by)) for row in group.models],
    ]
    for place, metric in enumerate(group.metrics):
        cells = [_score(row, metric, words, found, place < COMPARED) for row in group.models]
        columns.append(best_cells(cells, bigger_is_better(metric)))
    if any(intervals):
        columns.append(
            [Cell(words.interval(each.low, each.high), each.mean) if each else Cell("") for each in intervals]
        )
    return [list(cells) for cells in zip(*columns)]


def _score(row: Row, metric: str, words: Words, found: Marks, with_deviation: bool) -> Cell:
    value, text = row.mean(metric), words.number(row.mean(metric))
    deviation = row.deviation(metric)
    if with_deviation and deviation is not None:
        text += f"\u00a0±\u00a0{words.number(deviation)}"
    mark = found.of.get((metric, row.label), "")
    return Cell(f"{text}\u00a0{mark}".rstrip(), value)


def _legend(group: Group, words: Words, found: Marks, intervals: Sequence[Optional[Interval]]) -> str:
    parts = [words("board.strong"), words("board.deviation")]
    parts += [words("board.interval")] if any(intervals) else []
    parts.append(words("board.rule", seeds=SEEDS_FOR_A_MARK))
    if found.reference is None:
        parts.append(words(f"board.no_marks_{found.reason}"))
        return " ".join(parts)
    compared = len({label for _, label in found.of})
    metrics = words.listed(group.metrics[:COMPARED])
    which = words("board.changed" if found.changed else "board.first")
    parts.append(words("board.marks", reference=found.reference, which=which, compared=compared, metrics=metrics))
    if found.passed_over:
        parts.append(words("board.passed_over", compared=compared, others=found.passed_over))
    if found.left_out:
        parts.append(words("board.left_out", labels=words.listed(found.left_out)))
    return " ".join(parts)


def _figure(group: Group, words: Words, there: Sequence[tuple[Row, Interval]]) -> Figure:
    metric = group.metrics[0]
    ordered = sorted(there, key=lambda pair: pair[1].mean, reverse=bigger_is_better(metric))

    def draw(axes: Axes) -> None:
        ends = [(each.low, each.high) for _, each in ordered]
        means(axes, [row.label for row, _ in ordered], [each.mean for _, each in ordered], ends, metric)

    best_row, best = ordered[0]
    near = [row.label for row, each in ordered[1:] if each.low <= best.high and each.high >= best.low]
    sees = words(
        "board.sees_near" if near else "board.sees_clear",
        best=best_row.label,
        metric=metric,
        value=words.number(best.mean),
        interval=words.interval(best.low, best.high),
        near=words.listed(near),
    )
    height = 1.0 + 0.24 * len(ordered)
    return drawn(group.name("intervals"), words("board.figure", metric=metric), sees, words, draw, height)
