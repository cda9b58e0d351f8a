"""Tables on the screen: no wider than it, the best of each metric in bold where somebody looks."""

import os
import shutil
import sys
import textwrap
from typing import Any


def print_table(table: Any, wide: bool = False, legend: str = "") -> None:
    """Print a table no wider than the terminal, at most 100 columns, and say on the standard error what it lacks.

    ``wide`` shows all.
    """
    from recbole_sheaf.evaluation import to_markdown
    from recbole_sheaf.evaluation.best import best_cells
    from recbole_sheaf.evaluation.fitting import COLUMNS, fitted, limits
    from recbole_sheaf.files.plain_text import one_line

    across = columns_across(COLUMNS)
    shown, left_out = (table, []) if wide else fitted(table, across)
    bold = {name: rows for name, rows in best_cells(table).items() if name in shown} if _is_bold() else {}
    right = [name for name in table if f"{name} mark" in table and f"{name} mark" not in shown]
    print(to_markdown(shown, bold=bold, limits={} if wide else limits(shown, across), right=right))
    if legend:
        print("\n" + (legend if wide else textwrap.fill(legend, across)))
    if left_out:
        print(one_line(f"left out to fit the screen, --wide shows all: {_named(table, left_out)}"), file=sys.stderr)


def columns_across(most: int) -> int:
    """Width of the terminal, or ``most`` where it is wider or the output goes into a file."""
    return min(most, shutil.get_terminal_size((most, 24)).columns) if sys.stdout.isatty() else most


def _named(table: Any, left_out: list[str]) -> str:
    """Deviations in one word, and what all rows share with its value."""
    from recbole_sheaf.evaluation.fitting import SHARED

    names = ["standard deviations" if name.endswith(" std") else name for name in left_out]
    return ", ".join(f"{name} ({table[name].iloc[0]})" if name in SHARED else name for name in dict.fromkeys(names))


def _is_bold() -> bool:
    """On a terminal, unless whoever sits there wants no such signs (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
