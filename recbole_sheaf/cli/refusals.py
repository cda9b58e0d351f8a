"""Says in one sentence what this package refuses, and that a command was stopped, instead of a stack trace."""

import functools
import sys
from typing import Callable, Optional

from recbole_sheaf.environment import Terminated
from recbole_sheaf.errors import SheafError

Command = Callable[[Optional[list[str]]], int]


def one_sentence(command: Command) -> Command:
    """Turn a ``SheafError`` into a line on the standard error and exit code 2, Ctrl-C into 130, SIGTERM into 143.

    A file or folder that cannot be read or written, for want of a permission or of space, is refused in the same way.
    """

    @functools.wraps(command)
    def main(argv: Optional[list[str]] = None) -> int:
        try:
            return command(argv)
        except SheafError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            if error.filename is None:
                raise
            print(f"{error.filename} cannot be used: {error.strerror}; give a path you may use", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print("interrupted; what is finished is kept, and the same command goes on from here", file=sys.stderr)
            return stop.exit_code if isinstance(stop, Terminated) else 130

    return main
