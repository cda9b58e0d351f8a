"""Tables as text in which a cell stays a cell, whoever chose the names in it.

A label may hold what Markdown takes for a column or HTML, what a spreadsheet takes for a formula, or what a terminal
takes for a command.
"""

import html
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Callable, Optional

import pandas as pd
from pandas.api.types import is_float_dtype, is_numeric_dtype

from recbole_sheaf.files.plain_text import in_csv, in_markdown, one_line

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Results</title>
<style>
body {{ font-family: sans-serif }}
table {{ border-collapse: collapse }}
th, td {{ padding: .2em .6em; text-align: right; border-bottom: 1px solid #ccc }}
</style>
</head>
<body>
{}
{}
</body>
</html>
"""
FOUR_DIGITS = ".4g"


def to_markdown(
    table: pd.DataFrame,
    *,
    bold: Optional[Mapping[str, Sequence[bool]]] = None,
    limits: Optional[Mapping[str, int]] = None,
    right: Collection[str] = (),
) -> str:
    r"""Markdown table, numbers in the :func:`number_format` of their column.

    Args:
        bold: for a terminal, rows to set in bold, by column.
        limits: for a screen, how wide columns of texts may be, whose cells are broken into lines.
        right: columns of texts that are set as numbers are.

    Examples:
        >>> print(to_markdown(pd.DataFrame({"model": ["a|b"], "recall@20": [0.1]})))
        | model   |   recall@20 |
        |:--------|------------:|
        | a\|b    |      0.1000 |
    """
    cells = _with_cells(table, in_markdown)
    formats = {str(name): number_format(str(name), table[name]) for name in table}
    cells = cells.assign(**{name: _in_bold(cells[name], rows, formats[name]) for name, rows in (bold or {}).items()})
    options: dict[str, Any] = {}
    if limits:
        options["maxcolwidths"] = [limits.get(str(name)) for name in table]
    if right:
        options["colalign"] = ["right" if name in right or is_numeric_dtype(table[name]) else "left" for name in table]
    return cells.to_markdown(index=False, floatfmt=tuple(formats.values()), **options)


def number_format(name: str, values: pd.Series) -> str:
    """Format of a column's numbers: four decimals for a metric in [-1, 1], as papers have it, four digits for all else.

    A column of metrics of which the largest is below .01 keeps four digits, or little would be left of it.

    Examples:
        >>> number_format("recall@20", pd.Series([0.1234])), number_format("seconds", pd.Series([0.1234]))
        ('.4f', '.4g')
    """
    if "@" not in name or not is_numeric_dtype(values):
        return FOUR_DIGITS
    largest = values.abs().max()
    return ".4f" if 0.01 <= largest <= 1 or largest == 0 else FOUR_DIGITS


def _in_bold(column: pd.Series, rows: Sequence[bool], number: str) -> list[Any]:
    def cell(value: Any) -> str:
        return f"\x1b[1m{value if isinstance(value, str) else format(value, number)}\x1b[0m"

    return [cell(value) if bold else value for value, bold in zip(column, rows)]


def to_html(table: pd.DataFrame, legend: str = "") -> str:
    """HTML page with the table, which fetches nothing; what texts hold is text and no HTML.

    Args:
        legend: a line above the table.

    Examples:
        >>> "&lt;b&gt;" in to_html(pd.DataFrame({"model": ["<b>"]}))
        True
    """
    cells = _with_cells(table, one_line)
    written = {
        name: f"{{:{number_format(str(name), table[before])}}}".format
        for name, before in zip(cells, table)
        if is_float_dtype(table[before])
    }
    with pd.option_context("display.max_colwidth", None):  # pandas would cut longer texts
        text = cells.to_html(index=False, border=0, formatters=written, na_rep="")
    return _PAGE.format(text, f"<p>{html.escape(legend)}</p>" if legend else "")


def to_csv(table: pd.DataFrame) -> str:
    r"""CSV of the table, with every digit of a number.

    A text that a spreadsheet would compute begins with an apostrophe.

    Examples:
        >>> to_csv(pd.DataFrame({"model": ["=1+1"], "recall@20": [1 / 3]}))
        "model,recall@20\n'=1+1,0.3333333333333333\n"
    """
    return _with_cells(table, in_csv).to_csv(index=False, lineterminator="\n")


def _with_cells(table: pd.DataFrame, written: Callable[[str], str]) -> pd.DataFrame:
    """The table with each text, in headings too, written otherwise."""

    def cell(value: Any) -> Any:
        return written(value) if isinstance(value, str) else value

    texts = {name: table[name].map(cell) for name in table.select_dtypes(["object", "category", "string"])}
    return table.assign(**texts).rename(columns=cell)
