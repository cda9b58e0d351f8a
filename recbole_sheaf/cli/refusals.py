"""Says in one sentence what this package refuses, and that a command was stopped, instead of a stack trace."""

import atexit
import contextlib
import functools
import os
import re
import sys
from typing import Callable, Optional

from recbole_sheaf.cli.streams import Unread, steady_streams
from recbole_sheaf.environment import Terminated, incomplete, place_among_processes
from recbole_sheaf.errors import SheafError, WorkersGone, as_sentence, first_line
from recbole_sheaf.files.plain_text import one_line

Command = Callable[[Optional[list[str]]], int]

OPTIONS = {  # of a command, where the library has another name, by how its sentences write it
    "user_id=": "--user=",
    "item_id=": "--item=",
    "timestamp=": "--time=",
    "label=": "--model=",
    "target=": "--to=",
    "at_most=": "--at-most=",
    "per_user=": "--per-user=",
    "item_table=": "--item-table=",
    "trust=True": "--trust-checkpoint",
    "keep_split=False": "--drop-split",
}
_PARAMETER = re.compile(r"(?<![^\s(])([a-z]\w*=|[A-Z_]+_FIELD=)(True\b|False\b|)(\.{3}(?!\w))?")


def as_typed(sentence: str) -> str:
    """A sentence of the library, in one line, with options in place of parameters and settings.

    The library writes ``name=value``, ``name=...`` where any value will do, and ``name=True`` of what is on or off.
    """

    def option(found: re.Match) -> str:
        name, switch, any_value = found.groups()
        if switch:
            return OPTIONS.get(name + switch, f"--{name[:-1]}" if switch == "True" else found[0])
        typed = OPTIONS.get(name, f"--{name}")
        return typed.removesuffix("=") if any_value else typed

    return one_line(_PARAMETER.sub(option, sentence))


def _end_at_once(code: int) -> None:
    """End the process before Ray does, which crashes where its cluster is gone."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def one_sentence(command: Command) -> Command:
    """Turn a ``SheafError``, and what the system refuses, into a line on the standard error and an exit code.

    That is 2, and 1 where workers went away before their work was done.

    Ctrl-C becomes 130, SIGTERM 143. Of processes that train together each but the first says which one it is. Screens
    and pipes end no command (:mod:`.streams`); an output that could not be written for want of room makes the exit
    code 2.
    """

    @functools.wraps(command)
    def main(argv: Optional[list[str]] = None) -> int:
        code = 0
        try:
            with steady_streams():
                code = in_words(argv)
            return code
        except OSError as error:
            reason = error.strerror or first_line(error)
            say(f"WriteError: the standard output cannot be written ({reason}); make room, or send it elsewhere")
            return code or 2

    def in_words(argv: Optional[list[str]]) -> int:
        try:
            return command(argv)
        except SheafError as error:
            say(f"{type(error).__name__}: {error}")
            if isinstance(error, WorkersGone) and "ray" in sys.modules:
                atexit.register(_end_at_once, error.exit_code)
            return error.exit_code
        except ImportError as error:
            if error.name is None or error.name.partition(".")[0] == "recbole_sheaf":  # of our own making
                raise
            say(f"EnvironmentMismatch: {incomplete(error)}")
            return 2
        except Unread:
            return 0
        except OSError as error:  # a place that cannot be read or written, a full disk, a host that does not answer
            say(f"{as_sentence(error)}; name another place, make room, or take leave to use it")
            return 2
        except KeyboardInterrupt as stop:
            say("interrupted; what is finished is kept, and the same command goes on from here")
            return stop.exit_code if isinstance(stop, Terminated) else 130

    def say(sentence: str) -> None:
        rank = place_among_processes().rank
        with contextlib.suppress(OSError):
            print(f"process {rank}: " * (rank > 0) + as_typed(sentence), file=sys.stderr)

    return main
