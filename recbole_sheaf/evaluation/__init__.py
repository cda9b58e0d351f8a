"""Reads saved results: tables of runs side by side."""

from recbole_sheaf.evaluation.comparison import comparison_table, to_markdown, write_table

__all__ = ["comparison_table", "to_markdown", "write_table"]
