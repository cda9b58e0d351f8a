"""The parser of every command: its texts are given in English and shown in the reader's language."""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.language import say, written_whole

MORE_FILES = "one file is read, but %s stands beside it; a pattern like saved/*.safetensors may name several"


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose description, epilog and helps are said in the reader's language."""

    def __init__(self, *, prog: str, description: str, epilog: str = "", **options: Any) -> None:
        super().__init__(prog=prog, description=say(description), epilog=say(epilog), **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """As argparse has it, with the help translated."""
        if "help" in options:
            options["help"] = say(options["help"])
        return super().add_argument(*names, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse has it; more files than a command reads, as a pattern of the shell gives them, in a sentence."""
        found, rest = super().parse_known_args(args, namespace)
        reads_one = any(not action.option_strings and action.nargs is None for action in self._actions)
        if rest and reads_one and all(Path(each).is_file() for each in rest):
            self.error(say(MORE_FILES) % " ".join(rest))
        return found, rest

    def print_help(self, file: Any = None) -> None:
        """Print what ``--help`` shows.

        Raises:
            ConfigError: if the output's encoding lacks a letter of it.
        """
        with written_whole():
            super().print_help(file)


def names_in(text: Optional[str]) -> list[str]:
    """What commas separate in an option's value; nothing of an option that is not given."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def chosen_names(values: Optional[Sequence[str]], known: Collection[str]) -> list[str]:
    """Names in the values of an option that may be repeated: a value that is a name as it stands, else those in it."""
    return [name for value in values or () for name in ([value] if value in known else names_in(value))]


def files_in(text: str) -> list[str]:
    """What commas or blanks separate in the value of ``--config_files``."""
    return text.replace(",", " ").split()
