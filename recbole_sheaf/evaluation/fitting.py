"""Tables that fit a screen: columns that matter least go first and are named; long texts are broken into lines."""

from collections.abc import Mapping

import pandas as pd

from recbole_sheaf.evaluation.best import PLACES, is_metric
from recbole_sheaf.evaluation.cells import number_format, to_markdown

COLUMNS = 100
NARROWEST = 12  # column of a text that is broken into lines
# Spared in this order; then deviations, places that all rows share, and metrics from the right but the first.
SPARED = (
    *("parameters", "peak MiB", "epochs", "best epoch", "s/epoch", "run"),
    *("stopping_step", "train_batch_size", "train_seconds", "valid_seconds"),
    *("wilcoxon_p", "permutation_p", "n_users", "cohens_dz", "wilcoxon_p_holm", "relative_difference"),
    *("mean_b", "improved", "worsened", "mean_a"),
)
SHARED = ("seed", "against", *PLACES)


def fitted(table: pd.DataFrame, columns: int = COLUMNS) -> tuple[pd.DataFrame, list[str]]:
    """As much of a table as fits so many characters across, and the names of the columns that were left out.

    Columns that distinguish rows stay, and so do marks of significance, joined with their metrics.

    Examples:
        >>> table = pd.DataFrame({"model": ["BPR"], "recall@20": [0.3], "ndcg@20": [0.2], "parameters": [640]})
        >>> shown, left_out = fitted(table, columns=40)
        >>> list(shown), left_out
        (['model', 'recall@20', 'ndcg@20'], ['parameters'])
    """
    shown, left_out = joined(table) if _width(table) > columns else table, []
    for name in _expendable(shown):
        if _width(shown) <= columns:
            break
        shown = shown.drop(columns=name)
        left_out.append(name)
    return shown, left_out


def joined(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each mark of significance before its number, in one column.

    Examples:
        >>> joined(pd.DataFrame({"recall@20": [0.4116], "recall@20 mark": ["▲"]})).values.tolist()
        [['▲ 0.4116']]
    """
    shown = table.copy()
    for name in [str(name) for name in table if f"{name} mark" in table]:
        marks = shown.pop(f"{name} mark").fillna("")
        written = number_format(name, shown[name])
        shown[name] = [f"{mark} {value:{written}}".strip() for mark, value in zip(marks, shown[name])]
    return shown


def limits(table: pd.DataFrame, columns: int = COLUMNS) -> dict[str, int]:
    """Widths for columns of texts, where the table is wider than the screen; the widest give way first.

    Examples:
        >>> limits(pd.DataFrame({"model": ["BPR"], "note": ["so many words " * 20]}), columns=60)
        {'note': 46}
    """
    found: dict[str, int] = {}
    widths = {str(name): _longest(table[name]) for name in table.select_dtypes(["object", "string"])}
    while (excess := _width(table, found) - columns) > 0:
        name = max(widths, key=widths.__getitem__, default="")
        if widths.get(name, 0) <= NARROWEST:
            break
        found[name] = widths[name] = max(NARROWEST, widths[name] - excess)
    return found


def _longest(column: pd.Series) -> int:
    return max((len(str(value)) for value in column), default=0)


def _expendable(table: pd.DataFrame) -> list[str]:
    names = [str(name) for name in table]
    spared = [name for name in SPARED if name in names]
    deviations = [name for name in names if name.endswith(" std")]
    metrics = [name for name in names if is_metric(name) and not name.startswith("valid ")]
    shared = [name for name in SHARED if name in names and table[name].nunique(dropna=False) == 1]
    return [*spared, *reversed(deviations), *shared, *reversed(metrics[1:])]


def _width(table: pd.DataFrame, limited: Mapping[str, int] = {}) -> int:
    return max(map(len, to_markdown(table, limits=limited).splitlines()), default=0)
