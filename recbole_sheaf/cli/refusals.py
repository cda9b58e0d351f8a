"""Says in one sentence what this package refuses, and that a command was stopped, instead of a stack trace."""

import functools
import signal
import sys
import threading
from typing import Any, Callable, Optional

from recbole_sheaf.errors import SheafError

Command = Callable[[Optional[list[str]]], int]


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which ends a command as Ctrl-C does."""


def one_sentence(command: Command) -> Command:
    """Turn a ``SheafError`` into a line on the standard error and exit code 2, Ctrl-C into 130, SIGTERM into 143."""

    @functools.wraps(command)
    def main(argv: Optional[list[str]] = None) -> int:
        before = signal.signal(signal.SIGTERM, _terminate) if _in_main_thread() else None
        try:
            return command(argv)
        except SheafError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print("interrupted; what is finished is kept, and the same command goes on from here", file=sys.stderr)
            return 143 if isinstance(stop, Terminated) else 130
        finally:
            if _in_main_thread():
                signal.signal(signal.SIGTERM, before)

    return main


def _terminate(number: int, frame: Any) -> None:
    raise Terminated


def _in_main_thread() -> bool:
    """Only there may Python set what a signal does."""
    return threading.current_thread() is threading.main_thread()
