"""The command line of scripts that write kept tables into a store."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.store.store import Store


def into_store(
    about: str, write: Callable[[Store], tuple[Any, ...]], said: str, argv: Optional[Sequence[str]] = None
) -> None:
    """Write into the store that the command line names, and say what.

    Args:
        about: the docstring of the script, whose first line is the help.
        write: puts the rows into a store and gives numbers of them.
        said: a sentence with a place for each of these, and one for the store.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("store", type=Path, help="the DuckDB file to write")
    path = parser.parse_args(argv).store
    print(said.format(*write(Store(path)), path))
