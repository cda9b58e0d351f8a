"""The few exceptions that recbole_sheaf raises on purpose.

Each says in one sentence what arrived, what was expected and what to try next, with the values in it. All are
``ValueError`` too, so code that knows nothing of this package can still catch them.
"""

import difflib
from collections.abc import Iterable


class SheafError(ValueError):
    """Base of every error this package raises on purpose; the command line prints it without a stack trace.

    Attributes:
        exit_code: of a command that it ends.
    """

    exit_code = 2


class ConfigError(SheafError):
    """A setting is unknown, out of range, or at odds with another one."""


class NoPieces(ConfigError):
    """A model's scores are not made of vectors and coefficients."""


class WriteError(ConfigError, OSError):
    """A file or folder cannot be written where it was asked for: the place is refused, or the disk is full."""


class CheckpointError(SheafError):
    """A file is no checkpoint, cannot be read without running what it holds, or does not fit its model or dataset."""


class DataError(SheafError):
    """A dataset folder is absent, empty or not laid out as a known format."""


class FeatureError(SheafError):
    """A modality's feature file does not fit the dataset's items, or holds values that cannot be used."""


class NoContent(FeatureError):
    """A dataset has no content of any kind."""


class GraphError(SheafError):
    """An arc list does not describe an undirected graph on the given nodes."""


class ShapeError(SheafError):
    """A tensor has another shape than the mathematics needs."""


class BackendError(SheafError):
    """A message-passing backend was asked for on a device or platform that it cannot serve."""


class EnvironmentMismatch(SheafError, ImportError):
    """An installed package is missing or of a version under which RecBole gives wrong results."""


class WorkersGone(SheafError):
    """Workers, or the cluster that they ran on, ended before their work; nothing of what was asked for is wrong."""

    exit_code = 1


class PartnerLost(SheafError):
    """A process with which this one trains has ended before the training was over, or does not answer."""


class StoreError(SheafError):
    """A store of results is absent, was written by another version, is no store, or cannot be written."""


def as_sentence(error: BaseException) -> str:
    """The kind of an error and what it says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind; others follow with help that does not concern the reader."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def shown(value: object, longest: int = 60) -> str:
    """A value that arrived as it stands in a sentence: quoted, in one line, cut where it is very long."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}..."


def counted(count: int, one: str, many: str = "") -> str:
    """``1 run`` or ``1,200 runs``: a count beside the word for one, or that for many, which may be more than a noun.

    >>> counted(1, "run"), counted(1200, "item has", "items have")
    ('1 run', '1,200 items have')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def nearest(name: str, names: Iterable[str], count: int = 3) -> str:
    """`` (did you mean 'a' or 'b'?)``, or nothing where no name is close; case does not count."""
    folded: dict[str, str] = {}
    for candidate in names:
        folded.setdefault(candidate.lower(), candidate)
    close = difflib.get_close_matches(name.lower(), list(folded), n=count, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(folded[match]) for match in close)}?)" if close else ""
