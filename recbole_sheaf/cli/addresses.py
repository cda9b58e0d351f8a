"""Options that take a path or an address, of which the work itself sees paths alone."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Union

from recbole_sheaf.files.addresses import fetched, is_address, put_up

Place = Union[Path, str]  # an address stays text: a path would lose one of its slashes


def place(given: str) -> Place:
    """The type of such an option."""
    return given if is_address(given) else Path(given)


@contextmanager
def at_hand(options: argparse.Namespace, sources: tuple[str, ...] = (), targets: tuple[str, ...] = ()) -> Iterator[Any]:
    """The options with paths in the place of addresses; targets go to theirs when the block ends without an error.

    What was given stays under the option's name and ``_given``, for sentences.
    """
    changed = argparse.Namespace(**vars(options))
    with ExitStack() as stack:
        for names, arriving in ((sources, fetched), (targets, put_up)):
            for name in names:
                given = getattr(options, name)
                setattr(changed, f"{name}_given", given)
                if isinstance(given, str) and is_address(given):
                    setattr(changed, name, stack.enter_context(arriving(given)))
        yield changed
