"""Better and best values of a metric in a table."""

from collections.abc import Mapping

import pandas as pd

from recbole_sheaf.evaluation.cells import number_format

SMALLER_IS_BETTER = ("giniindex", "averagepopularity", "popularityshare", "rmse", "mae", "logloss")
NO_END_IS_BETTER = (
    "averagepopularity",
    "popularityshare",
    "chance recall",
    "chance ndcg",
)  # of these both ends may be what somebody wants
PLACES = ("experiment", "dataset", "ablation")  # only what shares them is compared


def bigger_is_better(metric: str) -> bool:
    """Whether more of a metric is better: for all but the few whose names are known.

    Examples:
        >>> bigger_is_better("Recall@20"), bigger_is_better("giniindex@20")
        (True, False)
    """
    return metric.lower().partition("@")[0] not in SMALLER_IS_BETTER


def is_metric(column: str) -> bool:
    """Whether a column holds a metric's means, such as ``recall@20`` or ``valid recall@20``.

    Examples:
        >>> [name for name in ("model", "recall@20", "recall@20 std", "recall@20 mark") if is_metric(name)]
        ['recall@20']
    """
    return "@" in column and not column.endswith((" std", " mark"))


def best_cells(table: pd.DataFrame) -> Mapping[str, list[bool]]:
    """For each column of a metric, which rows hold the best value as it is shown.

    Rows of one experiment, dataset and ablation are compared; one row alone is no best. Ties are all best.

    Examples:
        >>> table = pd.DataFrame({"dataset": ["a", "a", "a", "b"], "recall@20": [0.12341, 0.12342, 0.1, 0.9]})
        >>> best_cells(table)["recall@20"]  # both are shown as 0.1234
        [True, True, False, False]
    """
    places = [name for name in PLACES if name in table]
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in table if is_metric(str(name))}
    groups = table.groupby(places, dropna=False).ngroup() if places else pd.Series(0, index=table.index)
    found = {}
    for name, values in numbers.items():
        metric = str(name).removeprefix("valid ")
        if metric.lower().partition("@")[0] not in NO_END_IS_BETTER:
            written = number_format(str(name), values)
            rounded = pd.Series([float(format(value, written)) for value in values], index=values.index, dtype=float)
            shown = rounded * (1 if bigger_is_better(metric) else -1)
            several = shown.notna().groupby(groups).transform("sum") > 1
            found[str(name)] = (several & (shown == shown.groupby(groups).transform("max"))).tolist()
    return found
