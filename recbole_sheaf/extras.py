"""Packages that come with an extra alone: imported where they are used, and asked for in one sentence where absent."""

import contextlib
from collections.abc import Iterator

from recbole_sheaf.errors import EnvironmentMismatch


@contextlib.contextmanager
def from_extra(name: str, what: str, instead: str = "") -> Iterator[None]:
    """Around the imports of what ``pip install "recbole-sheaf[name]"`` brings.

    Args:
        what: needs it, at the head of the sentence.
        instead: what else may be done, at its end.

    Raises:
        EnvironmentMismatch: if one is not there, naming it and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        other = f", or {instead}" if instead else ""
        raise EnvironmentMismatch(
            f'{what} needs {error.name}, which is not installed; pip install "recbole-sheaf[{name}]"{other}'
        ) from error
