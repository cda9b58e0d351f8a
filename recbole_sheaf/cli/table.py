"""``recbole-sheaf table``: one table from the result files of several runs."""

from pathlib import Path
from typing import Optional

from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, print, write."""
    options = Parser(prog="recbole-sheaf table", description="One table from several result files.")
    options.add_argument("files", nargs="+", type=Path, help="what --result_file wrote, one JSON object a line")
    options.add_argument("--table_file", type=Path, help="stem of the .csv and .md to write")
    options.add_argument("--wide", action="store_true", help="all columns, however wide the screen has to be")
    given = options.parse_args(argv)
    from recbole_sheaf.cli.screen import print_table
    from recbole_sheaf.evaluation import comparison_table, read_rows, write_table

    table = comparison_table([row for path in given.files for row in read_rows(path)])
    written = write_table(table, given.table_file) if given.table_file else []
    print_table(table, given.wide)
    if written:
        print("\nwritten: " + ", ".join(map(str, written)))
    return 0
