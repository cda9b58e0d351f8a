"""Checkpoints read again: the run of one rebuilt, and judged as it was judged, in a process that did not train it.

A checkpoint may come from a stranger. Its settings are checked like any others, what in them names a place to write to
is left out, and no module that it names is imported. A pickle is read only on demand, and then as data alone.
"""

import contextlib
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import torch
from recbole.config import Config
from torch.overrides import TorchFunctionMode

from recbole_sheaf.data.folders import absent_dataset
from recbole_sheaf.data.identity import StoredData, data_read, stored_data
from recbole_sheaf.errors import CheckpointError, SheafError, first_line
from recbole_sheaf.experiments.judging import judge
from recbole_sheaf.experiments.library_warnings import hushed
from recbole_sheaf.experiments.run_id import WITHOUT_EFFECT
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import LoadedSplit, load_split
from recbole_sheaf.experiments.training import Prepared, prepare
from recbole_sheaf.experiments.unsafe_settings import refuse_unsafe_names
from recbole_sheaf.files.checkpoint_file import (
    SUFFIX,
    WITHOUT_DATA,
    CheckpointFile,
    plain_settings,
    put_into,
    read_checkpoint_file,
)
from recbole_sheaf.plugin.registration import recbole_model_names
from recbole_sheaf.settings.config import known_keys

# Of the settings that say where things lie, those that an evaluation reads from; none is written to.
KEPT = ("data_path", "features_path", "encoding")
SILENT = {"show_progress": False, "state": "WARNING", "log_to_file": False, "log_tensorboard": False}
# What RecBole and PyTorch raise on settings or weights of a stranger's that they did not foresee.
UNFIT = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError, MemoryError)

MOST_MEMORY = 2**30  # bytes that a model may be built of, whatever its weights have
MAKERS = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was read; nothing in it has been checked but its form.

    Attributes:
        settings: resolved ones of its run, as JSON holds them.
        state: weights by name.
        other: what RecBole's ``other_parameter`` gave, by attribute.
        source: where the class of a model of somebody's own was defined, ``module:Class``.
        data: what it says of the data of its run.
    """

    path: Path
    model: str
    dataset: str
    epoch: int
    settings: dict[str, Any]
    state: dict[str, torch.Tensor]
    other: dict[str, Any]
    source: Optional[str] = None
    data: Optional[StoredData] = None


@dataclass(frozen=True)
class Restored:
    """A checkpoint's run, rebuilt: settings, split, loaders and the model with its weights."""

    checkpoint: Checkpoint
    config: Config
    split: LoadedSplit
    prepared: Prepared

    @property
    def model(self) -> Any:
        """The model, ready to recommend."""
        return self.prepared.model


def read_checkpoint(path: Union[str, Path], trust: bool = False) -> Checkpoint:
    """Read a checkpoint; nothing that it names is imported, opened or run.

    Args:
        path: of a ``.safetensors`` file of ours; with ``trust`` also of a ``.pth`` that RecBole's trainer wrote with
            this package imported.
        trust: unpickle, data only (PyTorch's ``weights_only``).

    Raises:
        CheckpointError: if the file is absent, no checkpoint, damaged, or a pickle that was not asked for.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; runs name theirs in result_file=... and on the screen")
    pickled = _is_pickle(path)
    if pickled and not trust:
        raise CheckpointError(
            f"{path} is a pickle, which may run code when it is read; give a {SUFFIX} file of a run, or add "
            "trust=True if you know who wrote it"
        )
    found = _unpickled(path) if pickled else read_checkpoint_file(path)
    _refuse_misshapen(path, found.about)
    names = ("model", "dataset", "epoch", "settings", "source")
    about = {name: found.about[name] for name in names}
    data = stored_data(path, found.about.get("data"), found.data)
    return Checkpoint(path, state=found.state, other=found.other, data=data, **about)


def restore(path: Union[str, Path], data_path: Optional[str] = None, trust: bool = False) -> Restored:
    """Rebuild the settings, the split and the model of a checkpoint.

    Args:
        path: of the checkpoint.
        data_path: where the datasets lie, if not where they lay when the run was made.
        trust: as for :func:`read_checkpoint`.

    Raises:
        CheckpointError: as :func:`read_checkpoint`, or if model and weights do not fit each other or the dataset.
        ConfigError, DataError, FeatureError: if its settings are refused, or the dataset is not there.
    """
    checkpoint = read_checkpoint(path, trust)
    with _refused(checkpoint), hushed():
        config = _resolved(checkpoint, data_path)
        data_read(config).expected = checkpoint.data
        split = load_split(config)
        data_read(config).refuse_other_split()
        with _Bounded(checkpoint):
            prepared = prepare(config, split)
        data_read(config).refuse_other_content(split.dataset)
        put_into(prepared.model, checkpoint.state, checkpoint.other)
    prepared.model.eval()
    return Restored(checkpoint, config, split, prepared)


def evaluate_checkpoint(path: Union[str, Path], data_path: Optional[str] = None, trust: bool = False) -> dict[str, Any]:
    """Rebuild the split and the model of a checkpoint, and give its validation and test metrics.

    Returns:
        model, dataset, seed, split_seed, seen_at_test, valid and test: the figures of the run, to the last digit.

    Raises:
        CheckpointError, ConfigError, DataError, FeatureError: as :func:`restore`.
    """
    restored = restore(path, data_path, trust)
    config, prepared = restored.config, restored.prepared
    with _refused(restored.checkpoint):
        prepared.trainer.eval_collector.data_collect(prepared.train_data)
        valid = prepared.trainer.evaluate(prepared.valid_data, False, show_progress=config["show_progress"])
        test = judge(prepared.trainer, prepared.test_data, config, restored.split, load_best=False).scores
    return {
        **{key: config[key] for key in ("model", "dataset", "seed", "split_seed", "seen_at_test")},
        "valid": {name: float(value) for name, value in valid.items()},
        "test": test,
    }


def _is_pickle(path: Path) -> bool:
    """By the first bytes: a zip as PyTorch makes it, or a bare pickle.

    A file of ours starts with the length of its header, whose bytes may be any, and then the brace of the header.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); give a file that you may read") from error
    return start.startswith(b"PK\3\4") or (start[:1] == b"\x80" and start[8:] != b"{")


def _unpickled(path: Path) -> CheckpointFile:
    """As data alone; what PyTorch does not know to be data is refused, trusted or not."""
    try:
        with open(path, "rb") as file:  # a name's ending would let PyTorch take it for something else
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (*UNFIT, EOFError, OSError, ImportError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path} cannot be read as data alone ({first_line(error)}); it is damaged, or RecBole wrote it without "
            "this package: load that in RecBole, or train again"
        ) from error
    config = state.get("config") if isinstance(state, dict) else None
    weights = state.get("state_dict") if isinstance(state, dict) else None
    if (
        not isinstance(config, Config)
        or not isinstance(weights, dict)
        or not all(isinstance(value, torch.Tensor) for value in weights.values())
    ):
        raise CheckpointError(f"{path} is no checkpoint of a run; give a file that 'run' or RecBole's trainer wrote")
    settings = plain_settings(vars(config).get("final_config_dict"))
    named = {key: vars(config).get(key) for key in ("model", "dataset")}
    if "data" not in state:
        raise CheckpointError(f"{path} is of an earlier release, {WITHOUT_DATA}")
    about = {**named, "epoch": state.get("epoch"), "settings": settings, "source": None, "data": state["data"]}
    tensors = state.get("of_data")
    return CheckpointFile(about, weights, state.get("other_parameter") or {}, tensors)


def _refuse_misshapen(path: Path, about: dict[str, Any]) -> None:
    kinds: dict[str, Union[type, tuple[type, ...]]] = {
        "model": str,
        "dataset": str,
        "epoch": int,
        "settings": dict,
        "source": (str, type(None)),
    }
    for key, kind in kinds.items():
        if key not in about or not isinstance(about[key], kind):
            raise CheckpointError(f"{path} names no {key} as we write it ({about.get(key)!r:.60}); it is of no run")


@contextlib.contextmanager
def _refused(checkpoint: Checkpoint) -> Iterator[None]:
    """A context that turns what RecBole raises on settings or weights it did not foresee into a sentence."""
    try:
        yield
    except SheafError:
        raise
    except UNFIT as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise CheckpointError(
            f"{checkpoint.path} cannot be rebuilt: {checkpoint.model} on {checkpoint.dataset} ends in {said}; its "
            "settings or weights were altered, or the dataset is another one"
        ) from error


class _Bounded(TorchFunctionMode):
    """Refuses tensors by which the settings of a file would take memory that its weights do not explain."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.path, self.asked = checkpoint.path, 0
        self.held = sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.state.values())

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in MAKERS and not {"out", "generator"} & set(kwargs):
            made = func(*args, **{**kwargs, "device": "meta"})  # of that size, in no memory
            self.asked += made.numel() * made.element_size()
            if self.asked > max(MOST_MEMORY, 8 * self.held):
                raise CheckpointError(
                    f"the settings in {self.path} ask for {self.asked / 2**30:.3g} GiB, and its weights have "
                    f"{self.held / 2**30:.3g}; they were altered"
                )
        return func(*args, **kwargs)


def _resolved(checkpoint: Checkpoint, data_path: Optional[str]) -> Config:
    """The settings of the run, checked like any others; what only says where things lay or what was shown is left."""
    model, dataset = checkpoint.model, checkpoint.dataset
    kept = own_settings(checkpoint)
    own = {**kept, **SILENT, "data_path": data_path or _data_path(checkpoint)}
    own["checkpoint_dir"] = str(checkpoint.path.parent)  # which RecBole's trainer makes where it is not there
    if dataset == "ml-100k" and data_path is None:
        del own["data_path"]  # RecBole's own copy, wherever it is installed
    return resolve_configs([model], dataset, [], own)[0]


def own_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a checkpoint says of its run and a run may be told: no place to write to, no key that nothing reads.

    Model and dataset have a place of their own. A run from before ``relations`` was a setting read none, whatever lies
    beside its dataset today, and one from before ``lift_power`` let modalities share alike.

    Raises:
        CheckpointError: if its model is one that nobody has.
        ConfigError: if its dataset has a name that none may have.
    """
    model, dataset, settings = checkpoint.model, checkpoint.dataset, checkpoint.settings
    _refuse_unknown_model(checkpoint)
    refuse_unsafe_names(dataset)
    known = known_keys(model, dataset) - {"model", "dataset"}
    kept = {key: settings[key] for key in settings if key in known and (key not in WITHOUT_EFFECT or key in KEPT)}
    of_before: dict[str, Any] = {"relations": {}, "lift_power": 0.0, "item_sheaf_lift_power": 0.0}
    kept = {name: value for name, value in of_before.items() if name in known} | kept
    sampled = kept.get("train_neg_sample_args")
    if isinstance(sampled, dict) and sampled.get("distribution") == "none":  # as RecBole resolves, and refuses, None
        kept["train_neg_sample_args"] = None
    return kept


def _refuse_unknown_model(checkpoint: Checkpoint) -> None:
    """A class of somebody's own must have been registered: the module that a file names is not imported."""
    model, source = checkpoint.model, checkpoint.source
    if model in recbole_model_names():
        return
    written = f", and was written where that was {source!r}" if source else ""
    raise CheckpointError(
        f"{checkpoint.path} is of a model {model!r}, neither RecBole's nor ours{written}; if you know the module that "
        "defines it, name it with model=package.module:MyModel"
    )


def _data_path(checkpoint: Checkpoint) -> str:
    """The folder of datasets that the run read, if it still has this one; a file may not make RecBole download."""
    found = checkpoint.settings.get("data_path")
    root = Path(found if isinstance(found, str) else "dataset").parent  # RecBole appends the dataset's name
    if checkpoint.dataset != "ml-100k" and not (root / checkpoint.dataset).is_dir():
        raise absent_dataset(root, checkpoint.dataset)
    return str(root)
