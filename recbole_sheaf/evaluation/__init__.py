"""Reads saved results: each user's metrics, and tables of runs side by side."""

from recbole_sheaf.evaluation.beyond_accuracy import beyond_accuracy, long_tail
from recbole_sheaf.evaluation.cells import to_csv, to_html, to_markdown
from recbole_sheaf.evaluation.comparison import (
    comparison_table,
    significance_marks,
    to_latex,
    what_was_learnt,
    write_table,
)
from recbole_sheaf.evaluation.marks import marked_tests, rule_of_marks
from recbole_sheaf.evaluation.ranking import METRICS, Rankings, per_user_metrics
from recbole_sheaf.evaluation.result_file import read_rows
from recbole_sheaf.evaluation.significance import (
    PairedComparison,
    compare_models,
    compare_paired,
    mean_over_seeds,
    randomisation_tests,
)
from recbole_sheaf.evaluation.strata import item_strata, user_strata

__all__ = [
    "METRICS",
    "PairedComparison",
    "Rankings",
    "beyond_accuracy",
    "compare_models",
    "compare_paired",
    "comparison_table",
    "item_strata",
    "long_tail",
    "marked_tests",
    "mean_over_seeds",
    "per_user_metrics",
    "randomisation_tests",
    "read_rows",
    "rule_of_marks",
    "significance_marks",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
    "user_strata",
    "what_was_learnt",
    "write_table",
]
