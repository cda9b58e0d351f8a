"""Prints what this package refuses as one sentence instead of a stack trace."""

import functools
import sys
from typing import Callable, Optional

from recbole_sheaf.errors import SheafError

Command = Callable[[Optional[list[str]]], int]


def one_sentence(command: Command) -> Command:
    """Turn a ``SheafError`` into one line on the standard error and exit code 2."""

    @functools.wraps(command)
    def main(argv: Optional[list[str]] = None) -> int:
        try:
            return command(argv)
        except SheafError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 2

    return main
