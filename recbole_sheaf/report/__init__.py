"""The report: what a store holds as a document that people read, in HTML, Markdown and LaTeX, in English and Russian.

``material`` reads the store once and refuses what cannot be compared; ``sections`` turn it into blocks of text, tables
and figures (``document``) in the words of a language (``words``); ``rendering`` writes the blocks down in each form. No
section knows the form it ends in, and no template a number.
"""

from recbole_sheaf.report.writing import write_report

__all__ = ["write_report"]
