"""Which other experiments there are on a dataset, and which rows of theirs only share a name with those above."""

from collections.abc import Sequence

from recbole_sheaf.report.document import Block, Paragraph
from recbole_sheaf.report.pages import Page
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Row


def beside(page: Page, words: Words) -> list[Block]:
    """The section on the experiments that are not the main one of a page."""
    others = page.groups[1:]
    if not others:
        return []
    said = words("beside.what", dataset=page.dataset, experiments=words.listed([each.experiment for each in others]))
    rows = "; ".join(
        words("beside.in", experiment=group.experiment, labels=words.listed(labels))
        for group in others
        if (labels := _other_runs(page.main, group))
    )
    return [Paragraph(f"{said} {words('beside.other_runs', main=page.main.experiment, rows=rows)}" if rows else said)]


def _other_runs(main: Group, other: Group) -> Sequence[str]:
    """Labels that both have, without a run in common."""
    there = {row.label: _ids(row) for row in main.models}
    return [row.label for row in other.models if row.label in there and not there[row.label] & _ids(row)]


def _ids(row: Row) -> set[str]:
    return {run.id for run in row.runs}
