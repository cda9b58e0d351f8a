"""Tables as text in which a cell stays a cell, whoever chose the names in it.

A label may hold what Markdown takes for a column or HTML, what a spreadsheet takes for a formula, or what a terminal
takes for a command.
"""

import re
from typing import Any, Callable

import pandas as pd

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
)  # and those that turn lines around
_MARKDOWN = re.compile(r"[\\|`]")
_FORMULA = ("=", "+", "-", "@")


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table, numbers with four decimals."""
    return _with_cells(table, _in_markdown).to_markdown(index=False, floatfmt=".4g")


def to_csv(table: pd.DataFrame) -> str:
    """CSV, every digit of a number; a text that a spreadsheet would compute begins with an apostrophe."""
    return _with_cells(table, _in_csv).to_csv(index=False, lineterminator="\n")


def one_line(text: str) -> str:
    """A text without line breaks and other control characters."""
    return _CONTROL.sub(" ", text)


def _with_cells(table: pd.DataFrame, written: Callable[[str], str]) -> pd.DataFrame:
    """The table with each text, in headings too, written otherwise."""

    def cell(value: Any) -> Any:
        return written(value) if isinstance(value, str) else value

    texts = {name: table[name].map(cell) for name in table.select_dtypes(["object", "category", "string"])}
    return table.assign(**texts).rename(columns=cell)


def _in_markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text)).replace("<", "&lt;")


def _in_csv(text: str) -> str:
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
