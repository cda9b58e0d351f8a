"""Reads saved results: tables of runs side by side, and of node classification beside the paper."""

from recbole_sheaf.evaluation.classification import classification_table
from recbole_sheaf.evaluation.comparison import comparison_table, read_rows, to_markdown, write_table

__all__ = ["classification_table", "comparison_table", "read_rows", "to_markdown", "write_table"]
