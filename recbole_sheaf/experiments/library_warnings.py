"""Warnings of libraries about their own code, which tell nobody who runs a command what to do: hushed one by one.

Each is named by its module and its message, so that whatever else a library warns of is shown.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import NamedTuple


class Known(NamedTuple):
    """A warning that we have looked into.

    Attributes:
        module: regular expression of the module that it is laid to.
        message: regular expression of its beginning.
        reason: why it may be passed over.
    """

    category: type[Warning]
    module: str
    message: str
    reason: str


_MODEL = r"recbole\.model\."

KNOWN = (
    Known(
        FutureWarning,
        r"recbole\.trainer\.trainer",
        r"`torch\.cuda\.amp\.GradScaler\(args\.\.\.\)` is deprecated",
        "an old spelling of RecBole's, once an epoch; PyTorch still takes it",
    ),
    Known(
        UserWarning,
        _MODEL,
        r"torch\.sparse\.SparseTensor\(indices, values, .*\) is deprecated",
        "an old spelling in RecBole's models on graphs; PyTorch still takes it",
    ),
    Known(
        UserWarning,
        _MODEL,
        r"Creating a tensor from a list of numpy\.ndarrays is extremely slow",
        "RecBole's DMF does so once, when it is built",
    ),
)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """A context without the warnings that ``KNOWN`` names; afterwards the process's filters are as before."""
    with warnings.catch_warnings():
        for known in KNOWN:
            warnings.filterwarnings("ignore", known.message, known.category, known.module)
        yield
