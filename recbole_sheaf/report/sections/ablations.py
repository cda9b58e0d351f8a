"""What goes when something goes: variants of a model, ablations of content, missing modalities, as differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matplotlib.axes import Axes

from recbole_sheaf.evaluation.marks import SEEDS_FOR_A_MARK
from recbole_sheaf.report.document import Block, Cell, Figure, Paragraph, Table
from recbole_sheaf.report.drawing import MOST_SERIES, Series, drawn, forest, lines
from recbole_sheaf.report.settings import as_text, differing
from recbole_sheaf.report.significance import Interval, difference
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Row, named_after_its_model

MOST_DRAWN = 16


@dataclass(frozen=True)
class Change:
    """The difference between a row and the row that it departs from."""

    row: Row
    other: Row
    gap: Optional[Interval]

    @property
    def told(self) -> bool:
        """Whether 0 lies outside of the interval and both rows have the seeds that a mark needs."""
        seeds = min(self.row.seeds, self.other.seeds)
        return self.gap is not None and self.gap.clear and seeds >= SEEDS_FOR_A_MARK

    @property
    def name(self) -> str:
        """The label of the difference in a drawing."""
        changed = self.row.ablation if self.row.label == self.other.label else self.row.label
        return f"{self.other.label}: {changed}"


def variants(group: Group, words: Words) -> list[Block]:
    """Rows that train the same class otherwise, beside the one that bears its name or is best on validation."""
    found = []
    for model in dict.fromkeys(row.model for row in group.models):
        rows = [row for row in group.models if row.model == model]
        base = named_after_its_model(rows) or rows[0]
        found += [_change(group, row, base) for row in rows if row is not base and not _same_runs(row, base)]
    if not found:
        return []
    return [Paragraph(words("variants.what")), *_shown(group, words, "variants", found)]


def ablations(group: Group, words: Words) -> list[Block]:
    """Each ablated row beside the same label without an ablation, and quality by the share of content that is gone."""
    found = [
        _change(group, row, base)
        for row in sorted(group.ablated, key=lambda row: _order(group, row))
        if (base := group.row(row.label, group.base)) is not None and not _same_runs(row, base)
    ]
    if not found:
        return []
    unread = sorted({row.label for row in group.ablated if _reads_nothing(group, row)})
    blocks: list[Block] = [
        Paragraph(words("ablations.what", base=group.base)),
        *_shown(group, words, "ablations", found),
    ]
    if unread:
        blocks.append(Paragraph(words("ablations.unread", labels=words.listed(unread))))
    curve = _missing_curve(group, words)
    return [*blocks, curve] if curve else blocks


def _order(group: Group, row: Row) -> tuple[int, float, str]:
    """The best label first, and under it the least that is missing."""
    place = next((n for n, model in enumerate(group.models) if model.label == row.label), len(group.models))
    share = row.config.get("missing_share")
    return place, float(share) if isinstance(share, (int, float)) else 0.0, row.ablation


def _same_runs(row: Row, base: Row) -> bool:
    """A model that reads no content is one run under all ablations of content."""
    return {run.id for run in row.runs} == {run.id for run in base.runs}


def _reads_nothing(group: Group, row: Row) -> bool:
    base = group.row(row.label, group.base)
    return base is not None and _same_runs(row, base)


def _change(group: Group, row: Row, base: Row) -> Change:
    key = f"difference {row.label}\0{row.ablation}\0{base.label}\0{base.ablation}"
    return Change(row, base, group.once(key, lambda: difference(group, row, base, group.metrics[0])))


def _shown(group: Group, words: Words, name: str, found: Sequence[Change]) -> list[Block]:
    drawable = [(change, change.gap) for change in found if change.gap is not None][:MOST_DRAWN]
    blocks: list[Block] = [_forest(group, words, name, drawable)] if drawable else []
    return [*blocks, _table(group, words, name, found)]


def _forest(group: Group, words: Words, name: str, found: Sequence[tuple[Change, Interval]]) -> Figure:
    metric = group.metrics[0]

    def draw(axes: Axes) -> None:
        ends = [(gap.low, gap.high) for _, gap in found]
        label = words("axis.difference", metric=metric)
        middle = [gap.mean for _, gap in found]
        forest(axes, [change.name for change, _ in found], middle, ends, label, [change.told for change, _ in found])

    lower = [change.name for change, gap in found if change.told and gap.mean < 0]
    higher = [change.name for change, gap in found if change.told and gap.mean > 0]
    unclear = [change.name for change, _ in found if not change.told]
    worst, gap = min(found, key=lambda pair: pair[1].mean)
    parts = [
        words(f"forest.{key}", names=words.listed(names), seeds=SEEDS_FOR_A_MARK)
        for key, names in (("lower", lower), ("higher", higher), ("unclear", unclear))
        if names
    ]
    if gap.mean < 0:
        share = words.percent(-gap.mean / base) if (base := worst.other.mean(metric)) else words.number(None)
        parts.append(words("forest.most", name=worst.name, gap=words.signed(gap.mean), share=share))
    height = 1.1 + 0.27 * len(found)
    return drawn(group.name(name), words(f"{name}.figure", metric=metric), " ".join(parts), words, draw, height)


def _table(group: Group, words: Words, name: str, found: Sequence[Change]) -> Table:
    metric = group.metrics[0]
    heads = [words("head.model"), words("head.changed"), words("head.seeds"), metric]
    heads += [words("head.gap"), words("head.gap_interval"), words("head.set")]
    rows = []
    for change in found:
        row, base, gap = change.row, change.other, change.gap
        changed = row.ablation if row.label == base.label else row.label
        rows.append(
            [
                Cell(base.label),
                Cell(changed),
                Cell(words("seeds.pair", row=row.seeds, base=base.seeds), row.seeds),
                words.cell(row.mean(metric)),
                Cell(words.signed(gap.mean) if gap else _why_not(group, change, words), gap.mean if gap else None),
                Cell(words.interval(gap.low, gap.high, signed=True) if gap else "", gap.mean if gap else None),
                Cell(as_text(_set(row, base))),
            ]
        )
    return Table(words(f"{name}.table"), heads, rows, words("gap.note", seeds=SEEDS_FOR_A_MARK))


def _why_not(group: Group, change: Change, words: Words) -> str:
    """Why there is no difference: other users; or nothing to say, where a row has no metrics of single users."""
    users = group.per_user(group.metrics[0])
    known = all((row.label, row.ablation) in users for row in (change.row, change.other))
    return words("gap.none") if known else ""


def _set(row: Row, base: Row) -> dict[str, Any]:
    return differing(row.config, base.config)


def _missing_curve(group: Group, words: Words) -> Optional[Figure]:
    """Quality by ``missing_share``, of rows whose content is real otherwise."""
    points = _shares(group)
    shown = [(label, own) for label, own in points.items() if len(own) > 1][:MOST_SERIES]
    if not shown:
        return None
    metric = group.metrics[0]

    def draw(axes: Axes) -> None:
        series = [
            Series(label, [100 * share for share in sorted(own)], [own[s] for s in sorted(own)]) for label, own in shown
        ]
        lines(axes, series, words("axis.missing"), metric)

    return drawn(group.name("missing"), words("missing.figure"), _missing_sees(words, shown), words, draw)


def _shares(group: Group) -> dict[str, dict[float, float]]:
    points: dict[str, dict[float, float]] = {}
    for row in group.rows:
        base, value = group.row(row.label, group.base), row.mean(group.metrics[0])
        if base is None or value is None or (row is not base and _same_runs(row, base)):
            continue
        share = row.config.get("missing_share")
        others = set(differing(row.config, base.config)) - {"missing_share"}
        if isinstance(share, (int, float)) and not others:
            points.setdefault(row.label, {})[float(share)] = value
    return points


def _missing_sees(words: Words, shown: Sequence[tuple[str, dict[float, float]]]) -> str:
    said = []
    for label, own in shown:
        least, most = min(own), max(own)
        change = (own[most] - own[least]) / own[least] if own[least] else float("nan")
        said.append(
            words("missing.sees", label=label, share=words.percent(most, 0), change=words.signed_percent(change))
        )
    return " ".join(said)
