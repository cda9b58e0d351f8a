"""Whether content was used: a model with real content beside the same with content that says nothing of its items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recbole_sheaf.evaluation import marked_tests
from recbole_sheaf.evaluation.best import bigger_is_better
from recbole_sheaf.evaluation.marks import SEEDS_FOR_A_MARK
from recbole_sheaf.evaluation.significance import MIN_USERS
from recbole_sheaf.report.document import Block, Cell, Table
from recbole_sheaf.report.settings import differing
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Row
from recbole_sheaf.store.results import SEED

KNOCKED_OUT = ("shuffled", "noise", "constant")  # values of the setting ``features``


@dataclass(frozen=True)
class Knockout:
    """A label with real content and without, within one experiment.

    Attributes:
        rows: by the value of ``features``.
        marks: of these rows beside the real one, where seeds are enough.
    """

    group: Group
    real: Row
    rows: Mapping[str, Row]
    marks: Mapping[str, str]


def knockouts(group: Group) -> list[Knockout]:
    """The labels whose content was knocked out and nothing else, the best on validation first."""
    found = []
    for real in group.models:
        if real.config.get("features") in KNOCKED_OUT:
            continue
        rows = {str(row.config["features"]): row for row in group.ablated if _without_content(row, real)}
        if rows:
            found.append(Knockout(group, real, rows, _marks(group, real, rows)))
    return found


def _without_content(row: Row, real: Row) -> bool:
    """A model that reads no content is the same runs under every ablation, and says nothing here."""
    if row.label != real.label or row.config.get("features") not in KNOCKED_OUT:
        return False
    changed = set(differing(row.config, real.config)) - {"ablation_seed"}
    return changed == {"features"} and {run.id for run in row.runs} != {run.id for run in real.runs}


def _marks(group: Group, real: Row, rows: Mapping[str, Row]) -> dict[str, str]:
    metric, compared = group.metrics[0], [real, *rows.values()]
    users = group.per_user(metric)
    there = [row for row in compared if (row.label, row.ablation) in users]
    if real not in there or len(users) < MIN_USERS:
        return {}
    values = {row.ablation: users[row.label, row.ablation] for row in there}
    same = {name: own for name, own in values.items() if own.notna().equals(values[real.ablation].notna())}
    seeds = {row.ablation: row.seeds for row in there if row.ablation in same}
    same = {name: own.dropna() for name, own in same.items()}
    tests = group.once(
        f"knockout {real.label}", lambda: marked_tests(same, seeds, real.ablation, random_state=SEED).to_dict("records")
    )
    marks = {line["model"]: line["mark"] for line in tests}
    return {kind: marks[row.ablation] for kind, row in rows.items() if row.ablation in marks}


def content(groups: Sequence[Group], words: Words) -> list[Block]:
    """A line per label whose content was knocked out: real, knocked out, and what real gives over the best of these.

    The experiment stands beside the dataset where lines are of several.
    """
    found = [each for group in groups for each in knockouts(group)]
    kinds = [kind for kind in KNOCKED_OUT if any(kind in each.rows for each in found)]
    if not found:
        return []
    several = len({each.group.experiment for each in found}) > 1
    rows = [_line(each, kinds, several, words) for each in found]
    heads = ["dataset", *(["experiment"] if several else []), "model", "seeds"]
    heads = [*(words(f"head.{name}") for name in heads), words("content.real")]
    heads += [words(f"content.{kind}") for kind in kinds] + [words("content.gives")]
    metrics = dict.fromkeys(each.group.metrics[0] for each in found)
    note = words("content.note") + " " + words("board.rule", seeds=SEEDS_FOR_A_MARK)
    return [Table(words("content.table", metric=words.listed(metrics)), heads, rows, note)]


def _line(each: Knockout, kinds: Sequence[str], several: bool, words: Words) -> list[Cell]:
    metric = each.group.metrics[0]
    real = each.real.mean(metric)
    seeds = [row.seeds for row in (each.real, *each.rows.values())]
    ruins = {kind: row.mean(metric) for kind, row in each.rows.items()}
    known = [value for value in ruins.values() if value is not None]
    best = None if not known else max(known) if bigger_is_better(metric) else min(known)
    gives = None if real is None or not best else (real - best) / best
    cells = [Cell(each.group.dataset), *([Cell(each.group.experiment)] if several else []), Cell(each.real.label)]
    cells += [Cell(words.span(min(seeds), max(seeds)), min(seeds)), words.cell(real)]
    for kind in kinds:
        text = f"{words.number(ruins.get(kind))}\u00a0{each.marks.get(kind, '')}".rstrip()
        cells.append(Cell(text, ruins.get(kind)) if kind in ruins else Cell(""))
    return [*cells, Cell(words.signed_percent(gives), gives)]
