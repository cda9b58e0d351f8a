"""The first page: what was compared, one table over all datasets, what is significant, what content was worth."""

from collections.abc import Sequence, Set
from typing import Optional

from recbole_sheaf.evaluation.best import bigger_is_better
from recbole_sheaf.evaluation.marks import BETTER, SEEDS_FOR_A_MARK, WORSE
from recbole_sheaf.report.document import Block, Cell, Paragraph, Table
from recbole_sheaf.report.pages import Page
from recbole_sheaf.report.published import printed_on
from recbole_sheaf.report.sections.content import content
from recbole_sheaf.report.sections.environment import failed_jobs
from recbole_sheaf.report.sections.leaderboard import COMPARED, marks_of
from recbole_sheaf.report.sections.protocol import ranking
from recbole_sheaf.report.significance import Marks
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Material, Row

MOST_MODELS = 14  # lines of the first table: two screens hold no more beside the rest
MOST_SIDE_BY_SIDE = 4  # datasets whose figures a phone shows in one line
BESIDE = "\u00a0/ "  # between two scores: a narrow column breaks behind it
NAMED = 8  # of models that are better or worse


def overview(material: Material, pages: Sequence[Page], words: Words) -> list[Block]:
    """The blocks of the first page."""
    return [
        Paragraph(_compared(material, pages, words)),
        _table(pages, words),
        *_significance(pages, words),
        *content([group for page in pages for group in page.groups], words),
        *_failed(material, words),
    ]


def _compared(material: Material, pages: Sequence[Page], words: Words) -> str:
    rows = [row for page in pages for row in page.main.models]
    seeds = [row.seeds for row in rows]
    first = words(
        "first.what",
        datasets=words.listed([page.dataset for page in pages]),
        models=words.count(len({row.label for row in rows})),
        seeds=words.span(min(seeds), max(seeds)),
        chosen=words.listed(dict.fromkeys(page.main.chosen_by for page in pages)),
    )
    runs = [run for group in material.groups for run in group.runs]
    return f"{first} {ranking(runs, words)}"


def _table(pages: Sequence[Page], words: Words) -> Table:
    """A line per model, a column per dataset; the models that most datasets have, the best of them first."""
    labels = _labels(pages)
    shown = _shown(labels, {label for page in pages if (label := _best(page.main)) is not None})
    metrics = {tuple(page.main.metrics[:COMPARED]) for page in pages}
    alike = len(metrics) == 1
    columns = [[Cell(label) for label in shown], [_seeds(pages, label, words) for label in shown]]
    columns += [_scores(page.main, shown, words) for page in pages]
    rows = [list(cells) for cells in zip(*columns)]
    if printed := _printed(pages, words):
        rows.append(printed)
    named = [page.dataset if alike else f"{page.dataset}, {' / '.join(page.main.metrics[:COMPARED])}" for page in pages]
    heads = [words("head.model"), words("head.seeds"), *named]
    caption = words("first.table", metrics=" / ".join(next(iter(metrics)))) if alike else words("first.table_mixed")
    note = [words("board.strong")]
    note += [words("first.left", n=len(labels) - len(shown))] if len(labels) > len(shown) else []
    note += [words("first.printed_note")] if printed else []
    return Table(caption, heads, rows, " ".join(note), grid=len(pages) <= MOST_SIDE_BY_SIDE)


def _labels(pages: Sequence[Page]) -> list[str]:
    shares: dict[str, list[float]] = {}
    for page in pages:
        metric = page.main.metrics[0]
        scores = {row.label: value for row in page.main.models if (value := row.mean(metric)) is not None}
        best = (max if bigger_is_better(metric) else min)(scores.values(), default=0.0)
        for label, value in scores.items():
            shares.setdefault(label, []).append(-abs(best - value) / (abs(best) or 1.0))
    return sorted(shares, key=lambda label: (-len(shares[label]), -sum(shares[label]) / len(shares[label])))


def _best(group: Group) -> Optional[str]:
    """The label with the best test score in the leading metric."""
    metric = group.metrics[0]
    scores = {row.label: value for row in group.models if (value := row.mean(metric)) is not None}
    return (max if bigger_is_better(metric) else min)(scores, key=lambda label: scores[label], default=None)


def _shown(labels: Sequence[str], best: Set[str]) -> list[str]:
    """The first ``MOST_MODELS`` in their order, the best of every dataset among them."""
    room = MOST_MODELS - len(best)
    others = [label for label in labels if label not in best][: max(room, 0)]
    return [label for label in labels if label in best or label in others]


def _row(group: Group, label: str) -> Optional[Row]:
    return group.row(label, group.base)


def _seeds(pages: Sequence[Page], label: str, words: Words) -> Cell:
    seeds = [row.seeds for page in pages if (row := _row(page.main, label)) is not None]
    return Cell(words.span(min(seeds), max(seeds)), min(seeds))


def _scores(group: Group, labels: Sequence[str], words: Words) -> list[Cell]:
    """``0.1188 / 0.0520``, marks behind each; the best of all rows of the group in the first metric is strong."""
    found = marks_of(group)
    first = group.metrics[0]
    known = [value for row in group.models if (value := row.mean(first)) is not None]
    best = words.number((max if bigger_is_better(first) else min)(known)) if len(known) > 1 else ""
    cells = []
    for label in labels:
        row = _row(group, label)
        if row is None:
            cells.append(Cell(""))
            continue
        parts = [f"{words.number(row.mean(m))}{found.of.get((m, label), '')}" for m in group.metrics[:COMPARED]]
        cells.append(Cell(BESIDE.join(parts), row.mean(first), words.number(row.mean(first)) == best))
    return cells


def _printed(pages: Sequence[Page], words: Words) -> list[Cell]:
    """The best figures that papers print on the very split of a dataset."""
    cells, known = [], False
    for page in pages:
        best = max(printed_on(page.main), key=lambda each: each.recall, default=None)
        known = known or best is not None
        if best is None:
            cells.append(Cell(""))
        else:
            scores = f"{words.number(best.recall)}{BESIDE}{words.number(best.ndcg)}, {best.model}"
            cells.append(Cell(scores, best.recall))
    return [Cell(words("first.printed")), Cell(""), *cells] if known else []


def _significance(pages: Sequence[Page], words: Words) -> list[Block]:
    """A line per dataset that has marks; where none has, why."""
    found = [(page, marks_of(page.main)) for page in pages]
    rule = words("board.rule", seeds=SEEDS_FOR_A_MARK)
    without: dict[str, list[str]] = {}
    for page, each in found:
        if each.reason:
            without.setdefault(each.reason, []).append(page.dataset)
    reasons = [f"{words.listed(names)}: {words(f'first.no_marks_{reason}')}" for reason, names in without.items()]
    said = " ".join([rule, *reasons])
    rows = [_line(page, each, words) for page, each in found if not each.reason]
    if not rows:
        return [Paragraph(f"{words('first.no_marks')} {said}")]
    heads = [words(f"head.{name}") for name in ("dataset", "beside", "better", "worse", "level", "unmarked")]
    return [Table(words("first.significant"), heads, rows, f"{words('first.test')} {said}")]


def _line(page: Page, found: Marks, words: Words) -> list[Cell]:
    metric = page.main.metrics[0]
    by_mark: dict[str, list[str]] = {}
    for (of, label), mark in found.of.items():
        if of == metric:
            by_mark.setdefault(mark, []).append(label)
    lists = [by_mark.get(mark, []) for mark in (BETTER, WORSE, "")] + [list(found.left_out)]
    named = [words.listed(names, NAMED) if names else "" for names in lists]
    return [Cell(f"{page.dataset}, {metric}"), Cell(str(found.reference)), *map(Cell, named)]


def _failed(material: Material, words: Words) -> list[Block]:
    jobs = failed_jobs(material)
    if not jobs:
        return []
    return [Paragraph(words("first.failed", n=len(jobs), jobs=words.listed(jobs)))]
