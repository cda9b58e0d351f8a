"""Warnings of libraries about their own code, which tell nobody who runs a command what to do: hushed one by one.

Each is named by its module and its message, so that whatever else a library warns of is shown. (What ray says when it
is imported is dealt with in :mod:`recbole_sheaf.import_hook`, before anything of ours has run.)
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


_DATASET = r"recbole\.data\.dataset\.dataset"
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
    Known(
        FutureWarning,
        _DATASET,
        r"using <built-in function len> in Series\.agg cannot aggregate",
        "RecBole's lengths of sequences; pandas below 3 computes them as ever, and 3 is refused by check_environment",
    ),
    Known(
        FutureWarning,
        _DATASET,
        r"A value is trying to be set on a copy of a DataFrame or Series through chained assignment",
        "RecBole fills missing values in place; pandas below 3 does so, and 3 is refused by check_environment",
    ),
)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Pass over what ``KNOWN`` names, inside; the filters of the process are then as before."""
    with warnings.catch_warnings():
        for known in KNOWN:
            warnings.filterwarnings("ignore", known.message, known.category, known.module)
        yield
