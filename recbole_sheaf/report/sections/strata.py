"""Who is served and which items are found: groups of users by history, of items by popularity, cold items."""

from typing import Optional

import pandas as pd
from matplotlib.axes import Axes

from recbole_sheaf.report.document import Block, Cell, Figure, Paragraph, Table
from recbole_sheaf.report.drawing import MOST_SERIES, Series, categories, drawn
from recbole_sheaf.report.words import Words, best_cells
from recbole_sheaf.store.material import Group

KINDS = ("item popularity", "user history")
COLD = "cold"


def strata(group: Group, words: Words) -> list[Block]:
    """The section on strata: a drawing and a table for each kind."""
    rows = group.rows_of("strata")
    rows = rows[rows["ablation"] == group.base]
    metric = next((name for name in group.metrics if name in set(rows["metric"])), None)
    if metric is None:
        return []
    rows = rows[rows["metric"] == metric]
    figures: list[Block] = []
    tables: list[Block] = []
    for kind in KINDS:
        values = _values(group, rows[rows["kind"] == kind])
        if not values.empty:
            figures.append(_figure(group, words, kind, metric, values))
            tables.append(_table(words, kind, metric, values, rows))
    return [Paragraph(words("strata.what", metric=metric)), *figures, *tables]


def _values(group: Group, rows: pd.DataFrame) -> pd.DataFrame:
    """Strata, the smallest counts first, by labels, the best on validation first; strata that hold nobody left out."""
    table = rows[rows["users"] > 0].pivot_table(index="stratum", columns="label", values="value", observed=True)
    order = sorted(table.index, key=_lowest)
    return table.loc[order, [row.label for row in group.models if row.label in table]]


def _lowest(stratum: str) -> tuple[float, str]:
    """The lower end of a stratum, 4 of ``popularity 4-7``; cold items come before all others."""
    number = stratum.rpartition(" ")[2].partition("-")[0]
    return (float(number) if number.isdecimal() else -1.0), stratum


def _figure(group: Group, words: Words, kind: str, metric: str, values: pd.DataFrame) -> Figure:
    shown = values.iloc[:, :MOST_SERIES]
    names = [_written(stratum, words) for stratum in values.index]

    def draw(axes: Axes) -> None:
        series = [Series(label, list(range(len(shown))), list(shown[label])) for label in shown]
        categories(axes, names, series, words(f"axis.{_key(kind)}"), metric)

    name = group.name(f"strata-{_key(kind)}")
    sees = _sees(words, values, names)
    return drawn(name, words(f"strata.figure_{_key(kind)}", metric=metric), sees, words, draw, height=3.8)


def _key(kind: str) -> str:
    return kind.replace(" ", "_")


def _sees(words: Words, values: pd.DataFrame, names: list[str]) -> str:
    """Who leads at both ends, and how far apart the ends are for the row that validation likes best."""
    first, last = values.iloc[0], values.iloc[-1]
    said = [
        words("strata.end", stratum=name, best=str(row.idxmax()), value=words.number(float(row.max())))
        for name, row in ((names[0], first), (names[-1], last))
        if row.notna().any()
    ]
    label = str(values.columns[0])
    low, high = first[label], last[label]
    if len(values) > 1 and pd.notna(low) and pd.notna(high):
        key = "strata.gap_up" if high > low else "strata.gap_down"
        said.append(words(key, label=label, low=words.number(float(low)), high=words.number(float(high))))
    return " ".join(said)


def _written(stratum: str, words: Words) -> str:
    if stratum == COLD:
        return words("strata.cold")
    return stratum.rpartition(" ")[2].replace("-", "\u2013")


def _table(words: Words, kind: str, metric: str, values: pd.DataFrame, rows: pd.DataFrame) -> Table:
    """A line per model, a column per stratum."""
    sizes = rows[rows["kind"] == kind].groupby("stratum")["pairs"].max().fillna(0)
    heads = [f"{_written(stratum, words)} ({words.count(float(sizes[stratum]))})" for stratum in values.index]
    columns = [[Cell(str(label)) for label in values.columns]]
    columns += [best_cells([words.cell(_finite(value)) for value in values.loc[stratum]]) for stratum in values.index]
    lines = [list(cells) for cells in zip(*columns)]
    caption = words(f"strata.table_{_key(kind)}", metric=metric)
    return Table(caption, [words("head.model"), *heads], lines, words("strata.pairs"), folded=True)


def _finite(value: float) -> Optional[float]:
    return float(value) if pd.notna(value) else None
