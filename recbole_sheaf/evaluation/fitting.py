"""Tables that fit a screen: what a reader can spare goes first, and is named."""

import pandas as pd

from recbole_sheaf.evaluation.cells import to_markdown

COLUMNS = 100
# Spared in this order; then deviations, metrics from the right but the first, and places that all rows share.
SPARED = ("parameters", "peak MiB", "epochs", "best epoch", "s/epoch", "run")
PLACES = ("experiment", "dataset", "ablation")


def fitted(table: pd.DataFrame, columns: int = COLUMNS) -> tuple[pd.DataFrame, list[str]]:
    """As much of a table as fits so many characters across, and the names of what was left out.

    What tells rows apart stays, and so do marks of significance with their metrics, however wide they are.
    """
    shown, left_out = table, []
    for name in _expendable(table):
        if _width(shown) <= columns:
            break
        shown = shown.drop(columns=name)
        left_out.append(name)
    return shown, left_out


def _expendable(table: pd.DataFrame) -> list[str]:
    names = [str(name) for name in table]
    spared = [name for name in SPARED if name in names]
    deviations = [name for name in names if name.endswith(" std")]
    marked = {name.removesuffix(" mark") for name in names if name.endswith(" mark")}
    metrics = [name for name in names if "@" in name and " " not in name and name not in marked]
    shared = [name for name in PLACES if name in names and table[name].nunique(dropna=False) == 1]
    return [*spared, *reversed(deviations), *reversed(metrics[1:]), *shared]


def _width(table: pd.DataFrame) -> int:
    return max(map(len, to_markdown(table).splitlines()), default=0)
