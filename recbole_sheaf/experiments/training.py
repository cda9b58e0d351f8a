"""Train one model on a loaded split, choose its epoch on validation, read its test score once.

With a folder of its own a training keeps its state after every epoch there, and goes on after a kill with the same
numbers, bit for bit, as one that was never stopped.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from recbole.config import Config
from recbole.utils import get_local_time, get_model, get_trainer, init_seed

from recbole_sheaf.data.identity import read_for_model
from recbole_sheaf.errors import ConfigError, SheafError, as_sentence
from recbole_sheaf.experiments.cold_items import cold_items, cold_items_alone
from recbole_sheaf.experiments.epochs import EpochLog, best_epoch, seconds_per_epoch
from recbole_sheaf.experiments.heap import keep_freed_memory
from recbole_sheaf.experiments.judging import Judgement, judge
from recbole_sheaf.experiments.measure import PeakMemory, trainable_parameters, versions
from recbole_sheaf.experiments.processes import Team
from recbole_sheaf.experiments.shared_training import QUIET, SharedTraining
from recbole_sheaf.experiments.splits import LoadedSplit, loaders, refuse_long_lists, start_logger
from recbole_sheaf.experiments.training_state import can_resume, is_over, restore_state, save_state
from recbole_sheaf.files.checkpoint_file import SUFFIX, plain_settings
from recbole_sheaf.models.weighing import weigh_on_validation
from recbole_sheaf.plugin.recbole_compat import keep_reproducible, original
from recbole_sheaf.store.records import Epoch, RunResult

STATE_FILE = "state.pth"
CHECKPOINT_FILE = f"best{SUFFIX}"


@dataclass(frozen=True)
class TrainedRun:
    """A finished training: its result, its epochs, and how it was judged; None where the test part was not read."""

    result: RunResult
    epochs: list[Epoch]
    judgement: Optional[Judgement] = None


@dataclass(frozen=True)
class Prepared:
    """A model before its first epoch, RecBole's trainer of it, and the loaders of its split."""

    model: Any
    trainer: Any
    train_data: Any
    valid_data: Any
    test_data: Any


def prepare(config: Config, split: LoadedSplit) -> Prepared:
    """Build loaders, model and trainer; every draw starts from ``seed``.

    Raises:
        ConfigError: if a list is longer than the catalogue, or RecBole's model cannot be built.
    """
    refuse_long_lists(config, split.dataset)
    start_logger(config)
    keep_reproducible(config)
    read_for_model(config, split.dataset.config)
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, test_data = loaders(config, split)
    init_seed(config["seed"], config["reproducibility"])
    model = _built(config, train_data.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.eval_step = min(trainer.eval_step, trainer.epochs)  # traditional models have one epoch, whatever is set
    return Prepared(model, trainer, train_data, valid_data, test_data)


def _built(config: Config, dataset: Any) -> Any:
    """The model; what one of RecBole's own makes of settings it did not foresee, in a sentence."""
    model_class = get_model(config["model"])
    try:
        return model_class(config, dataset)
    except SheafError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, AssertionError, NotImplementedError) as error:
        if not model_class.__module__.startswith("recbole.model."):
            raise  # a defect of a model that is not RecBole's, to be traced
        raise ConfigError(
            f"RecBole's {config['model']} cannot be built from these settings and data ({as_sentence(error)}); leave "
            "the last setting out, or look at RecBole's page of this model"
        ) from error


def train(
    config: Config,
    split: LoadedSplit,
    folder: Optional[Path] = None,
    listener: Optional[Callable[[Epoch], None]] = None,
    test: bool = True,
    start: Optional[Callable[[Prepared], None]] = None,
    team: Optional[Team] = None,
) -> TrainedRun:
    """Train one model, and test it at the epoch that validation chose.

    Args:
        config: resolved and checked settings.
        split: the data that ``config`` names.
        folder: of this training alone; holds its state between epochs and its checkpoint. None keeps no state and puts
            the checkpoint into ``checkpoint_dir``.
        listener: told of each epoch when it is over, those of an earlier sitting included; what it raises ends the
            training.
        test: False leaves the test part unread, and ``result.test`` empty.
        start: given the model and its trainer before the first epoch, to begin elsewhere than a model initialises.
        team: this process as the first of several that train together; the others :func:`follow`.
    """
    keep_freed_memory()
    with PeakMemory(config["device"]) as memory:
        prepared = prepare(config, split)
        model, trainer = prepared.model, prepared.trainer
        trainer.saved_model_file = checkpoint_path(config, folder)
        if start is not None:
            start(prepared)
        shared = None if team is None else SharedTraining(trainer, team, prepared.train_data)
        log = EpochLog(trainer)
        with _validating(config, trainer, split):
            valid = _fit(trainer, prepared.train_data, prepared.valid_data, log, folder, listener, shared)
        judgement = judge(trainer, prepared.test_data, config, split) if test else None
    result = RunResult(
        model=config["model"],
        dataset=config["dataset"],
        seed=config["seed"],
        split_seed=config["split_seed"],
        split={**split.sizes, "users": split.dataset.user_num - 1, "items": split.dataset.item_num - 1},
        best_epoch=best_epoch(log.epochs, config["valid_metric_bigger"]),
        epochs=len(log.epochs),
        valid={name: float(value) for name, value in (valid or {}).items()},
        test=dict(judgement.scores) if judgement else {},
        seconds_per_epoch=seconds_per_epoch(log.epochs),
        peak_memory_mib=memory.mib,
        parameters=trainable_parameters(model),
        device=str(config["device"]),
        message_passing=getattr(model, "message_passing", None),
        modalities=getattr(model, "modality_coverage", {}),
        checkpoint=trainer.saved_model_file,
        config=plain_settings(config.final_config_dict),
        chosen=getattr(model, "chosen", {}),
        train_loss=[epoch.train_loss for epoch in log.epochs],
        versions=versions(),
    )
    return TrainedRun(result, log.epochs, judgement)


def follow(config: Config, split: LoadedSplit, folder: Path, team: Team) -> None:
    """Do another process's part of a training that the first of its team leads by :func:`train`.

    Nothing is validated or written here; it ends with the last epoch.

    Args:
        config: as the first process has it.
        split: likewise.
        folder: that of the first process, whose state is read where one has been left.
        team: this process in it.

    Raises:
        ConfigError: as in the first process.
        PartnerLost: if another process is gone.
    """
    keep_freed_memory()
    for name, value in QUIET.items():
        config[name] = value
    prepared = prepare(config, split)
    trainer, train_data = prepared.trainer, prepared.train_data
    shared = SharedTraining(trainer, team, train_data)
    epochs = restore_state(folder / STATE_FILE, trainer, train_data)
    shared.start_at(len(epochs))
    if not (epochs and is_over(trainer)):
        fit = original("recbole.trainer.trainer:Trainer", "fit")  # ours weighs on validation, which the first does
        fit(trainer, train_data, prepared.valid_data, verbose=False, saved=False)


def _validating(config: Config, trainer: Any, split: LoadedSplit) -> AbstractContextManager[None]:
    """Under ``split: cold_items`` validation ranks cold items alone: among all items nearly none is found."""
    if config["split"] != "cold_items":
        return nullcontext()
    return cold_items_alone(trainer, cold_items(split.parts[0]))


def _fit(
    trainer: Any,
    train_data: Any,
    valid_data: Any,
    log: EpochLog,
    folder: Optional[Path],
    listener: Optional[Callable[[Epoch], None]],
    shared: Optional[SharedTraining] = None,
) -> Optional[Mapping[str, float]]:
    """RecBole's ``fit`` from where an earlier sitting left it; gives the validation metrics of the chosen epoch."""
    if folder is not None and can_resume(trainer):
        log.epochs.extend(restore_state(folder / STATE_FILE, trainer, train_data))
        log.listeners.append(lambda epoch: save_state(folder / STATE_FILE, trainer, train_data, log.epochs))
    if shared is not None:
        shared.start_at(len(log.epochs))
    if listener is not None:
        for epoch in log.epochs:
            listener(epoch)
        log.listeners.append(listener)
    if log.epochs and is_over(trainer):
        trainer.eval_collector.data_collect(train_data)
        weigh_on_validation(trainer, valid_data)
        return trainer.best_valid_result
    _, valid = trainer.fit(
        train_data, valid_data, show_progress=trainer.config["show_progress"], callback_fn=log.validated
    )
    log.settle()
    return valid


def checkpoint_path(config: Config, folder: Optional[Path]) -> str:
    """Where a training's checkpoint goes: into a folder of its own, or under a name of its own into a common one."""
    if folder is not None:
        return str(folder / CHECKPOINT_FILE)
    name = f"{config['model']}-{config['dataset']}-seed{config['seed']}-{get_local_time()}-{os.getpid()}{SUFFIX}"
    return os.path.join(config["checkpoint_dir"], name)
