"""What papers print on a dataset's split, beside what the same models and our best one have here."""

from collections.abc import Sequence

from recbole_sheaf.report.document import Block, Cell, Table
from recbole_sheaf.report.published import METRICS, printed_on, repeated
from recbole_sheaf.report.sections.protocol import masked
from recbole_sheaf.report.words import Words
from recbole_sheaf.store.material import Group, Row

EQUAL = "="  # behind a figure that another paper prints too


def printed(group: Group, words: Words) -> list[Block]:
    """The table of published figures, the highest first, under the row of ours that validation likes best."""
    found = sorted(printed_on(group), key=lambda each: -each.recall)
    if not found:
        return []
    same = repeated(found)
    heads = [words("head.model"), *(words(f"head.{of}", metric=m) for of in ("printed", "here") for m in METRICS)]
    heads += [words(f"head.{name}") for name in ("paper", "selected", "masked", "content")]
    best = group.models[0]
    first = [Cell(best.label), Cell(""), Cell(""), *_own([best], words), Cell(""), Cell(words("printed.validation"))]
    rows = [[*first, Cell(masked(group.runs, words)), Cell(", ".join(best.runs[0].modalities))]]
    for place, each in enumerate(found):
        scores = zip(METRICS, (each.recall, each.ndcg))
        cells = [_figure(value, (place, metric) in same, words) for metric, value in scores]
        own = [row for row in group.models if row.label.casefold() == each.model.casefold()]
        selected = words(f"printed.{each.selected_on.replace(' ', '_')}")
        kept_out = words(f"size.{each.masked}")
        told = [Cell(text) for text in (each.paper, selected, kept_out, each.content)]
        rows.append([Cell(each.model), *cells, *_own(own, words), *told])
    note = words("printed.note") + (" " + words("printed.equal") if same else "")
    return [Table(words("printed.table", split=found[0].split), heads, rows, note)]


def _figure(value: float, equal: bool, words: Words) -> Cell:
    return Cell(words.number(value) + (f"\u00a0{EQUAL}" if equal else ""), value)


def _own(rows: Sequence[Row], words: Words) -> list[Cell]:
    return [words.cell(rows[0].mean(metric)) if rows else Cell("") for metric in METRICS]
