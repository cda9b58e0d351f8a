"""The words of a language: its catalogue of messages, and how it writes numbers and lists.

``messages/<language>.yaml`` holds a text for every key, with ``{places}`` for values. Texts are worded so that a number
never decides the form of the noun beside it ("seeds: 5"), which spares the catalogues their plurals.
"""

import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.report.document import Cell
from recbole_sheaf.settings.settings_files import read_yaml

LANGUAGES = ("en", "ru")
MESSAGES = Path(__file__).with_name("messages")
MINUS, DASH = "\u2212", "\u2013"
NOTHING = "\u2014"  # in the place of a number that there is not


class Words:
    """Texts, numbers and lists in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.point, self.group = (",", "\u00a0") if language == "ru" else (".", ",")

    @cached_property
    def catalogue(self) -> dict[str, str]:
        """Texts by their keys."""
        return {str(key): str(text) for key, text in read_yaml(MESSAGES / f"{self.language}.yaml").items()}

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key, its places filled."""
        return self.catalogue[key].format(**values)

    def number(self, value: Optional[float], digits: int = 4) -> str:
        """A number as text with so many decimals; a dash where there is none."""
        if value is None or not math.isfinite(value):
            return NOTHING
        text = f"{abs(value):,.{digits}f}"
        signed = MINUS + text if value < 0 and float(text.replace(",", "")) else text
        return signed.replace(",", "\0").replace(".", self.point).replace("\0", self.group)

    def signed(self, value: Optional[float], digits: int = 4) -> str:
        """A number as text, with a plus where it is above 0."""
        text = self.number(value, digits)
        return f"+{text}" if value is not None and value > 0 and text != self.number(0.0, digits) else text

    def count(self, value: Optional[float]) -> str:
        """A whole number as text."""
        return self.number(value, 0)

    def span(self, least: int, most: int) -> str:
        """A range of whole numbers as text, a single number where both ends are equal."""
        return self.count(least) if least == most else f"{self.count(least)}{DASH}{self.count(most)}"

    def mean_count(self, value: Optional[float]) -> Cell:
        """A mean of whole numbers, with a decimal where it is none."""
        whole = value is None or not math.isfinite(value) or value == int(value)
        return self.cell(value, 0 if whole else 1)

    def short(self, value: Optional[float]) -> str:
        """A number as text with three significant digits, for what spans several orders of magnitude."""
        if value is None or not math.isfinite(value):
            return NOTHING
        digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
        return self.number(value, min(digits, 6))

    def percent(self, share: Optional[float], digits: int = 1) -> str:
        """A share as text in per cent."""
        if share is None or not math.isfinite(share):
            return NOTHING
        return f"{self.number(100 * share, digits)}\u00a0%"

    def signed_percent(self, share: Optional[float]) -> str:
        """A change as text in per cent, with its sign."""
        return f"+{self.percent(share)}" if share is not None and share > 0 else self.percent(share)

    def state(self, state: str) -> str:
        """The word for how a trial ended; ``state`` is the store's."""
        return self.catalogue.get(f"state.{state}", state)

    def interval(self, low: float, high: float, digits: int = 4, signed: bool = False) -> str:
        """An interval as text: both ends in brackets, a semicolon between where commas are decimal ones."""
        written = self.signed if signed else self.number
        return f"[{written(low, digits)}{'; ' if self.point == ',' else ', '}{written(high, digits)}]"

    def seconds(self, value: Optional[float]) -> str:
        """A span of time as a person reads it."""
        if value is None or not math.isfinite(value):
            return NOTHING
        if value < 90:
            return self("span.seconds", n=self.short(value))
        if value < 5400:
            return self("span.minutes", n=self.number(value / 60, 1))
        return self("span.hours", n=self.number(value / 3600, 1))

    def listed(self, names: Iterable[str], most: int = 6) -> str:
        """``a, b and c``; of many names the first few and how many more."""
        names = list(names)
        if len(names) > most:
            return self("list.more", names=", ".join(names[:most]), n=len(names) - most)
        if len(names) < 2:
            return "".join(names) or NOTHING
        return self("list.and", names=", ".join(names[:-1]), last=names[-1])

    def cell(self, value: Optional[float], digits: int = 4) -> Cell:
        """A number as a cell that sorts by its every digit."""
        return Cell(self.number(value, digits), value)


def best_cells(cells: list[Cell], bigger: Optional[bool] = True) -> list[Cell]:
    """The cells of a column, the best ones made strong; none are where no value is better or worse."""
    values = [cell.value for cell in cells if cell.value is not None and math.isfinite(cell.value)]
    if bigger is None or len(values) < 2:
        return cells
    best = max(values) if bigger else min(values)
    shown = next(_mean(cell) for cell in cells if cell.value == best)
    return [Cell(cell.text, cell.value, cell.value is not None and _mean(cell) == shown) for cell in cells]


def _mean(cell: Cell) -> str:
    """A number without its deviation and its mark."""
    return cell.text.partition("\u00a0±")[0].rstrip("▲▼ \u00a0")
