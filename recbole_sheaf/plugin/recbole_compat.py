"""Mends of RecBole 1.2.1 that version pins cannot bring, one function each.

The table of ``patches.py`` says what each one replaces, why, and by which upstream issue, and puts it in place. None
changes a number that RecBole computes, but for Pop, which does not rank by popularity as it stands. The releases
RecBole needs are checked in ``environment.py``. Nothing of RecBole is imported before a mend runs.
"""

import ast
import copy
import functools
import importlib
import itertools
import logging
import os
import sys
import urllib.error
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import scipy.sparse
import torch

from recbole_sheaf.data.folders import absent_dataset
from recbole_sheaf.data.identity import data_read
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.checkpoint_file import (
    SUFFIX,
    plain_settings,
    put_into,
    read_checkpoint_file,
    write_checkpoint,
    write_pickle,
)
from recbole_sheaf.plugin import own_models
from recbole_sheaf.plugin.library_mends import has_board
from recbole_sheaf.plugin.names import MODELS, recbole_names
from recbole_sheaf.settings.settings_files import SettingsLoader

TAKE_BACK = "take the last setting back, or lower learning_rate"

ORIGINALS: dict[tuple[str, str], Any] = {}  # what ``patches`` has replaced, by owner and name


def original(owner: str, name: str) -> Any:
    """RecBole's own attribute behind a replacement; None where it had none."""
    importlib.import_module("recbole")  # a worker that found its function here may not have: now it is patched
    return ORIGINALS[owner, name]


def keep_reproducible(config: Any) -> None:
    """Hold RecBole's ``reproducibility`` on the CPU too: gradients of indexed rows are summed in a fixed order.

    RecBole fixes seeds and cuDNN only; with two threads PyTorch adds those gradients in whatever order threads arrive,
    and two runs of one seed part ways in the last digits.

    Examples:
        >>> keep_reproducible({"reproducibility": False})
        >>> torch.are_deterministic_algorithms_enabled()
        False
    """
    torch.use_deterministic_algorithms(bool(config["reproducibility"]), warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch adds it at import


def safe_loader(self: Any) -> type:
    """A YAML loader that builds no objects and reads ``1e-3`` as a number."""
    return SettingsLoader


def literal_settings(self: Any, config_dict: dict[str, Any]) -> dict[str, Any]:
    """Turn text settings into Python literals without running them.

    RecBole calls ``eval`` on each value from the command line and from dictionaries; ``--x=exit()`` ends the process.
    """
    for key, value in config_dict.items():
        if isinstance(value, str):
            config_dict[key] = _literal(value)
    return config_dict


def _literal(text: str) -> Any:
    """The Python literal or truth value that a text spells, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # what literal_eval says it may raise
        return text


def own_command_line(load_cmd_line: Callable[[Any], dict]) -> Callable[[Any], dict]:
    """Take no settings from the command line of a Ray worker: its options are Ray's, and RecBole would read them."""

    @functools.wraps(load_cmd_line)
    def _load_cmd_line(self: Any) -> dict:
        return {} if Path(sys.argv[0]).name == "default_worker.py" else load_cmd_line(self)

    return _load_cmd_line


def config_state(self: Any) -> dict[str, Any]:
    """The state that a ``Config`` is pickled with: plain values, so that checkpoints load without running code.

    From release 2.6 ``torch.load`` refuses RecBole's checkpoints, because they pickle the whole Config with its YAML
    loader and model class (RecBole issue 2215). A class of RecBole's or ours is found again by its name, any other by
    its source.
    """
    state = dict(self.__dict__)
    for name in ("yaml_loader", "data_read"):
        state.pop(name, None)
    model_class = state.pop("model_class", None)
    if model_class is not None and not _has_that_name(state["model"], model_class):
        state["model_source"] = own_models.source_of(model_class)
    return state


def _has_that_name(name: str, model_class: type) -> bool:
    """Whether a class is RecBole's or our model of that name; nothing is imported to find out."""
    package, _, module = model_class.__module__.rpartition(".")
    recboles = package.startswith("recbole.model.") and module == name.lower()
    return recboles or MODELS.get(name) == model_class.__module__


def restore_config(self: Any, state: dict[str, Any]) -> None:
    """Rebuild what ``config_state`` left out.

    A class of somebody else's is known where a ``Config`` has had it or it was registered; elsewhere it is None. No
    module that the state names is imported.
    """
    from recbole.utils import get_model

    self.__dict__.update(state)
    source = self.__dict__.pop("model_source", None)
    self.yaml_loader = self._build_yaml_loader()
    self.compatibility_settings()  # names that metrics use and that only a new Config gives back to NumPy
    if "model_class" not in state:
        known = source is None and self.model in {*recbole_names(), *MODELS}
        self.model_class = get_model(self.model) if known else own_models.class_at(str(source))


def anomaly_mode_kept(get_model: Callable) -> Callable:
    """Leave PyTorch's detection of anomalies as it is while RecBole imports a model.

    RecBole's ``sine`` turns it on where it is imported, as every sequential and knowledge model brings about. From then
    on each operation of each model of the process is traced, and a step takes two to three times as long.
    """

    @functools.wraps(get_model)
    def wrapped(model_name: str) -> type:
        before = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
        try:
            return get_model(model_name)
        finally:
            torch.autograd.set_detect_anomaly(*before)

    return wrapped


def save_checkpoint(self: Any, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
    """Save a checkpoint, never half a file: of our commands, which name it so, as safetensors, else as RecBole does.

    RecBole asks for pickle protocol 4, which ``torch.load(weights_only=True)`` does not know (RecBole issue 2215).
    """
    if not self.config["single_spec"] and self.config["local_rank"] != 0:
        return
    path = kwargs.pop("saved_model_file", self.saved_model_file)
    if str(path).endswith(SUFFIX):
        write_checkpoint(path, self.model, _about(self.config, epoch), *data_read(self.config).packed())
    else:
        _save_as_recbole(self, path, epoch)
    if verbose:
        self.logger.info(f"Saving current: {path}")


def _about(config: Any, epoch: int) -> dict[str, Any]:
    """What a checkpoint says of its run."""
    own = not _has_that_name(config["model"], config.model_class)
    return {
        "model": config["model"],
        "source": own_models.source_of(config.model_class) if own else None,
        "dataset": config["dataset"],
        "epoch": epoch,
        "settings": plain_settings(config.final_config_dict),
    }


def _save_as_recbole(trainer: Any, path: Any, epoch: int) -> None:
    data, of_data = data_read(trainer.config).packed()
    state = {
        "config": trainer.config,
        "data": data,
        "of_data": of_data,
        "epoch": epoch,
        "cur_step": trainer.cur_step,
        "best_valid_score": trainer.best_valid_score,
        "state_dict": trainer.model.state_dict(),
        "other_parameter": trainer.model.other_parameter(),
        "optimizer": trainer.optimizer.state_dict(),
    }
    write_pickle(path, state)


def load_best(self: Any) -> int:
    """Give a trainer's model the weights of its best epoch, and the number of that epoch."""
    path = str(self.saved_model_file)
    if path.endswith(SUFFIX):
        return _put_weights(self.model, path)
    state = torch.load(path, map_location=self.device)
    self.model.load_state_dict(state["state_dict"])
    self.model.load_other_parameter(state.get("other_parameter"))
    return int(state["epoch"])


def _put_weights(model: Any, path: str) -> int:
    """Give a model what a safetensors checkpoint holds, and the number of its epoch."""
    found = read_checkpoint_file(path)
    put_into(model, found.state, found.other)
    return int(found.about["epoch"])


def best_weights(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Let RecBole's ``evaluate`` take the best epoch from a safetensors file; it knows pickles alone."""

    @functools.wraps(evaluate)
    def _evaluate(
        self: Any,
        eval_data: Any,
        load_best_model: bool = True,
        model_file: Optional[str] = None,
        show_progress: bool = False,
    ) -> Any:
        path = str(model_file or self.saved_model_file)
        if eval_data and load_best_model and path.endswith(SUFFIX):
            _put_weights(self.model, path)
            load_best_model = False
        return evaluate(self, eval_data, load_best_model, model_file, show_progress)

    return _evaluate


def collected(self: Any) -> Any:
    """Give what an evaluation collected, and forget its rankings.

    RecBole moves every collected value to the CPU, numbers and counters too, so ItemCoverage, GiniIndex and their like
    end in ``'int' object has no attribute 'cpu'``.
    """
    held = self.data_struct._data_dict
    held.update({key: value.cpu() for key, value in held.items() if isinstance(value, torch.Tensor)})
    collected = copy.deepcopy(self.data_struct)
    for key in ("rec.topk", "rec.meanrank", "rec.score", "rec.items", "data.label"):
        held.pop(key, None)
    return collected


def finite_loss(self: Any, loss: torch.Tensor) -> None:
    """Say in a sentence that a training diverged; RecBole's ValueError ends in a stack trace."""
    if torch.isnan(loss):
        raise ConfigError(f"the training loss of {self.config['model']} is NaN; {TAKE_BACK}")


def finite_scores(evaluate_batch: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse to judge scores that rank nothing; RecBole takes the best of NaN and gives figures."""

    @functools.wraps(evaluate_batch)
    def wrapped(self: Any, batched_data: Any) -> Any:
        found = evaluate_batch(self, batched_data)
        if not found[1].max() < torch.inf:  # which NaN is not either; what a user has seen is -inf
            raise ConfigError(f"scores of {self.config['model']} are NaN or infinite, so nothing ranks; {TAKE_BACK}")
        return found

    return wrapped


def named_apart(get_local_time: Callable[[], str]) -> Callable[[], str]:
    """The time by which RecBole names a log file, with the process and a number, since a second is no name."""
    numbers = itertools.count()
    return functools.wraps(get_local_time)(lambda: f"{get_local_time()}-{os.getpid()}-{next(numbers)}")


def logging_to_files_on_demand(init_logger: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let RecBole write no ``log/`` where ``log_to_file`` is false; its lines stay on the screen."""

    @functools.wraps(init_logger)
    def _init_logger(config: Any) -> None:
        if config["log_to_file"] is not False:
            return init_logger(config)
        module = importlib.import_module("recbole.utils.logger")
        module.init(autoreset=True)  # of colours
        level = logging.getLevelName(str(config["state"] or "info").upper())
        screen = logging.StreamHandler()
        screen.setLevel(level if isinstance(level, int) else logging.INFO)
        form = "%(log_color)s%(asctime)-15s %(levelname)s  %(message)s"
        screen.setFormatter(module.colorlog.ColoredFormatter(form, "%d %b %H:%M", log_colors=module.log_colors_config))
        logging.basicConfig(level=screen.level, handlers=[screen])

    return _init_logger


class _NoBoard:
    """A TensorBoard that keeps nothing."""

    def add_scalar(self, *given: Any, **named: Any) -> None:
        """Ignore a point of a curve."""

    def add_hparams(self, *given: Any, **named: Any) -> None:
        """Ignore settings and what they gave."""


def tensorboard_on_demand(init: Callable[..., None]) -> Callable[..., None]:
    """Let RecBole's trainers write no ``log_tensorboard/`` where ``log_tensorboard`` is false.

    Nor where TensorBoard is not installed, which a line of the log says.
    """

    @functools.wraps(init)
    def __init__(self: Any, config: Any, model: Any) -> None:
        if config["log_tensorboard"] is not False and has_board():
            return init(self, config, model)
        module: Any = importlib.import_module("recbole.trainer.trainer")
        theirs = module.get_tensorboard
        module.get_tensorboard = lambda logger: _NoBoard()
        try:
            init(self, config, model)
        finally:
            module.get_tensorboard = theirs

    return __init__


def ensure_dir(dir_path: str) -> None:
    """Make a folder unless it is there, whoever makes it at the same moment."""
    os.makedirs(dir_path, exist_ok=True)


def popularity_counted(init: Callable[..., None]) -> Callable[..., None]:
    """Let Pop rank items by their number of training interactions.

    RecBole counts while it trains, by ``count[items] += 1``, which counts an item once a batch however often it stands
    there, and counts the sampled negatives too: the order of its list depends on the batch size.
    """

    @functools.wraps(init)
    def __init__(self: Any, config: Any, dataset: Any) -> None:
        init(self, config, dataset)
        items = dataset.inter_feat[self.ITEM_ID]
        self.item_cnt = torch.bincount(items, minlength=self.n_items).unsqueeze(1).to(self.device)
        self.max_cnt = self.item_cnt.max(dim=0)[0]

    return __init__


def no_loss(self: Any, interaction: Any) -> torch.Tensor:
    """Pop has nothing to train."""
    return torch.nn.Parameter(torch.zeros(1)).to(self.device)


def checkpoint_types() -> list:
    """Types that RecBole's own checkpoints hold beside tensors; all are data, none runs code when loaded."""
    from recbole.config import Config
    from recbole.utils import enum_type

    enums = [enum_type.ModelType, enum_type.InputType, enum_type.EvaluatorType, enum_type.FeatureType]
    multiarray = importlib.import_module(np.ndarray.__reduce__(np.zeros(0))[0].__module__)
    arrays = [np.ndarray, np.matrix, np.dtype, multiarray._reconstruct, multiarray.scalar]
    # NumPy 1 wrote them under another name, which NumPy 2 still reads
    arrays += [(getattr(multiarray, name), f"numpy.core.multiarray.{name}") for name in ("_reconstruct", "scalar")]
    arrays += [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?", "O")]
    sparse = [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.lil_matrix, scipy.sparse.coo_matrix]
    return [Config, *enums, *arrays, *sparse]


def download_alone(download: Callable[[Any], None]) -> Callable[[Any], None]:
    """Download outside of a process group, and say plainly when there is no network.

    RecBole waits at a barrier that a single process never opened (RecBole issues 1989 and 2050), and a missing network
    ends in a stack trace.
    """

    @functools.wraps(download)
    def _download(self: Any) -> None:
        folder = Path(self.dataset_path)
        try:
            download(self)
        except (urllib.error.URLError, ConnectionError, TimeoutError, RuntimeError) as error:
            if _is_complete(folder, self.dataset_name):
                return
            _remove_if_empty(folder)
            raise absent_dataset(folder.parent, self.dataset_name, [self.dataset_name], reason=str(error)) from error
        except ValueError:
            if torch.distributed.is_initialized() or not _is_complete(folder, self.dataset_name):
                raise

    return _download


def _is_complete(folder: Path, name: str) -> bool:
    return (folder / f"{name}.inter").is_file()


def _remove_if_empty(folder: Path) -> None:
    """Leave no empty folder behind, or the next run would take it for the dataset."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def device_without_cuda(init_device: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let RecBole's distributed runs work on a machine without CUDA, over gloo; RecBole hard-codes nccl and cuda."""

    @functools.wraps(init_device)
    def _init_device(self: Any) -> None:
        settings = self.final_config_dict
        if "local_rank" not in settings or torch.cuda.is_available():
            return init_device(self)
        settings["gpu_id"] = str(settings["gpu_id"])
        os.environ["CUDA_VISIBLE_DEVICES"] = settings["gpu_id"]
        torch.distributed.init_process_group(
            backend="gloo",
            rank=settings["local_rank"] + settings["offset"],
            world_size=settings["world_size"],
            init_method=f"tcp://{settings['ip']}:{settings['port']}",
        )
        settings.update(device=torch.device("cpu"), single_spec=False)
        if settings["local_rank"] != 0:
            settings.update(state="error", show_progress=False, verbose=False)

    return _init_device


def distributed_on_any_device(module: torch.nn.Module, device_ids: Any = None) -> torch.nn.Module:
    """``DistributedDataParallel`` that takes device ids for CUDA modules only, as PyTorch demands."""
    on_cuda = any(parameter.is_cuda for parameter in module.parameters())
    return torch.nn.parallel.DistributedDataParallel(module, device_ids=device_ids if on_cuda else None)
