"""Mends of RecBole 1.2.1 for today's libraries: what they took away, and what RecBole imports and hardly ever uses.

The table of ``patches.py`` puts them in place. None changes a number that RecBole computed with the releases of its
day (NumPy 1.26, SciPy 1.12, pandas 2.1). Nothing of RecBole is imported before a mend runs.
"""

import contextlib
import functools
import importlib
import logging
import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Callable

import numpy as np
import pandas as pd
import torch

from recbole_sheaf.extras import from_extra, from_ray

logger = logging.getLogger(__name__)

_TUNE = "recbole.quick_start's Ray Tune"
_BOARD = "torch.utils.tensorboard"


def numpy_names(self: Any) -> None:
    """NumPy with the names that RecBole's code uses and NumPy 2 took away: Python's own types, as NumPy 1.19 had them.

    RecBole takes them from ``np.float_``, ``np.complex_`` and ``np.unicode_``, which NumPy 2 has no more.
    """
    named = {
        "bool": np.bool_,
        "int": np.int_,
        "long": np.int_,
        "float": np.float64,
        "complex": np.complex128,
        "object": np.object_,
        "str": np.str_,
        "unicode": np.str_,
    }
    for name, kind in named.items():
        setattr(np, name, kind)


def entries_taken(self: Any, entries: dict) -> None:
    """``dok_matrix._update``, which SciPy 1.13 took away with the dictionary that such a matrix was.

    RecBole's LightGCN, NGCF, NCL, GCMC, SpectralCF, KGIN and MCCLK fill their matrices by it, with the same entries in
    the same order as ever.
    """
    self._dict.update(entries)


def missing_filled(self: Any) -> None:
    """RecBole's ``Dataset._fill_nan``: padding for a missing token, the column's mean for a number, else nothing.

    RecBole fills a column that pandas gave it, ``feat[field].fillna(..., inplace=True)``. From pandas 3 on that is a
    copy, so the table keeps its gaps, and a missing token becomes -9223372036854775808 as it is made an integer.
    """
    from recbole.utils import FeatureType

    for name in self.feat_name_list:
        feat = getattr(self, name)
        for field in feat:
            kind = self.field2type[field]
            if kind == FeatureType.TOKEN:
                feat[field] = feat[field].fillna(0)
            elif kind == FeatureType.FLOAT:
                feat[field] = feat[field].fillna(feat[field].mean())
            else:
                empty = np.array([], dtype=np.int64 if kind == FeatureType.TOKEN_SEQ else np.float64)
                feat[field] = [empty if isinstance(value, float) else value for value in feat[field]]


class AnyRandomState(np.random.RandomState):
    """A random state that draws integers under the names of both kinds of NumPy's generators."""

    def integers(self, *given: Any, **named: Any) -> Any:
        """As ``numpy.random.Generator.integers``, by this state's own ``randint``."""
        return self.randint(*given, **named)


def drawing_from_either(exhaustive_search: Callable) -> Callable:
    """Hand hyperopt a random state of the kind it asks for.

    RecBole's exhaustive search makes a ``RandomState``; from release 0.2.6 hyperopt calls ``integers`` of it.
    """
    numpy = types.SimpleNamespace(random=types.SimpleNamespace(RandomState=AnyRandomState))
    return _with_names(exhaustive_search, np=numpy)


def lengths_of_rows(method: Callable) -> Callable:
    """Let a method of RecBole count how long each sequence of a column is, by ``feat[field].agg(len)``.

    pandas 2 and earlier call ``len`` for each row; pandas 3 calls it once, for the column.
    """

    def lengths(held: Any) -> Any:
        return held.map(len) if isinstance(held, pd.Series) else len(held)

    return _with_names(method, len=lengths)


def tensors_of_their_own(method: Callable) -> Callable:
    """Let RecBole copy a column into a tensor.

    ``torch.LongTensor(column.values)`` is a view of the column, which pandas 3 shares between tables and so marks as
    not to be written: a tensor that is written would change them, and PyTorch warns of it.
    """
    copying = types.SimpleNamespace(
        LongTensor=lambda values: torch.LongTensor(np.array(values)),
        FloatTensor=lambda values: torch.FloatTensor(np.array(values)),
        stack=torch.stack,
    )
    return _with_names(method, torch=copying)


def _with_names(function: Any, **names: Any) -> Callable:
    """RecBole's own function, in which some global names mean something else."""
    named = {**function.__globals__, **names}
    same = types.FunctionType(function.__code__, named, None, function.__defaults__, function.__closure__)
    return functools.wraps(function)(same)


class RayTune:
    """What RecBole's ``from ray import tune`` gives: Ray is imported when something of it is asked for.

    ``report`` is called at the end of every search's objective, on a cluster or not. Where no Ray runs nobody hears it.
    """

    def report(self, **metrics: Any) -> None:
        """Tell the trial of Ray Tune that this is; outside of one, where nobody has imported that, do nothing."""
        if "ray.tune" not in sys.modules:
            return
        tune: Any = from_ray("ray.tune", _TUNE)
        tune.report(metrics)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself looks for, and not Ray Tune's
            raise AttributeError(name)
        return getattr(from_ray("ray.tune", _TUNE), name)


def ray_on_demand(tune: Any) -> RayTune:
    """RecBole imports Ray, of which it uses ``tune.report`` alone: seconds of a command that needs no cluster."""
    return RayTune()


def board_on_demand(writer: Any) -> Callable[..., Any]:
    """TensorBoard's writer, imported when RecBole opens one; RecBole imports it with its first line."""

    def SummaryWriter(*given: Any, **named: Any) -> Any:  # as RecBole calls it
        with from_extra("tensorboard", "log_tensorboard", "leave log_tensorboard out"):
            module: Any = importlib.import_module(_BOARD)
        return module.SummaryWriter(*given, **named)

    return SummaryWriter


def flops_on_demand(get_flops: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``run_recbole`` go on where thop, which counts its FLOPs for one line of the log, is not installed."""

    @functools.wraps(get_flops)
    def _get_flops(*given: Any, **named: Any) -> Any:
        return get_flops(*given, **named) if find_spec("thop") else "not counted, pip install thop counts them"

    return _get_flops


@functools.cache
def has_board() -> bool:
    """Whether TensorBoard is installed; says once that it is not."""
    there = find_spec("tensorboard") is not None
    if not there:
        logger.info(
            'log_tensorboard: no curves are written without TensorBoard; pip install "recbole-sheaf[tensorboard]"'
        )
    return there


@contextlib.contextmanager
def stand_ins() -> Iterator[None]:
    """While RecBole is imported, modules in the place of Ray and of TensorBoard, which need not be installed.

    What a process has imported itself stays as it is. The rows of ``patches.py`` replace what RecBole took of them.
    """
    ray, tune, board = (types.ModuleType(name) for name in ("ray", "ray.tune", _BOARD))
    ray.tune = tune  # type: ignore[attr-defined]
    board.SummaryWriter = type("SummaryWriter", (), {"__module__": _BOARD})  # type: ignore[attr-defined]
    placed = {} if sys.modules.get("ray") else {"ray": ray, "ray.tune": tune}
    if not sys.modules.get(_BOARD):
        placed[_BOARD] = board
    before = {name: sys.modules[name] for name in placed if name in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]
        sys.modules.update(before)
