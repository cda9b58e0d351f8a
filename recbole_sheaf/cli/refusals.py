"""Says in one sentence what this package refuses, and that a command was stopped, instead of a stack trace."""

import functools
import sys
from typing import Callable, Optional

from recbole_sheaf.environment import Terminated
from recbole_sheaf.errors import SheafError, as_sentence
from recbole_sheaf.plain_text import one_line

Command = Callable[[Optional[list[str]]], int]


def one_sentence(command: Command) -> Command:
    """Turn a ``SheafError``, and what the system refuses, into a line on the standard error and exit code 2.

    Ctrl-C becomes 130, SIGTERM 143.
    """

    @functools.wraps(command)
    def main(argv: Optional[list[str]] = None) -> int:
        try:
            return command(argv)
        except SheafError as error:
            print(one_line(f"{type(error).__name__}: {error}"), file=sys.stderr)
            return 2
        except BrokenPipeError:
            raise
        except OSError as error:  # a place that cannot be read or written, a full disk, a host that does not answer
            said = f"{as_sentence(error)}; name another place, make room, or take leave to use it"
            print(one_line(said), file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print("interrupted; what is finished is kept, and the same command goes on from here", file=sys.stderr)
            return stop.exit_code if isinstance(stop, Terminated) else 130

    return main
