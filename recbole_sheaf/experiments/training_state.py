"""Everything a training needs to go on after an epoch as if it had never stopped, kept in one file.

Model, optimiser, the counters of early stopping, the epochs so far, and every random state: PyTorch's, NumPy's,
Python's and the training loader's own. A kill or a full disk at any moment leaves the last whole file. It is read with
``weights_only``: it holds data and runs nothing.
"""

import logging
import pickle
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.trainer import Trainer
from recbole.trainer.trainer import TraditionalTrainer

from recbole_sheaf.data.identity import data_read
from recbole_sheaf.errors import first_line
from recbole_sheaf.files.checkpoint_file import write_pickle
from recbole_sheaf.store.records import Epoch

logger = logging.getLogger(__name__)

FORMAT = 2
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, AttributeError, TypeError, ImportError)


def can_resume(trainer: Any) -> bool:
    """Whether a training can go on between epochs; RecBole's trainers with a loop of their own start again."""
    kind = type(trainer)
    ours = kind.fit is Trainer.fit and kind._train_epoch is Trainer._train_epoch
    return ours and not isinstance(trainer, TraditionalTrainer)


def save_state(path: Path, trainer: Any, train_data: Any, epochs: list[Epoch]) -> None:
    """Write a training as it stands after its last epoch to a file; O(parameters) bytes, three times that with Adam.

    Raises:
        WriteError: if it cannot be written; that of the epoch before stays.
    """
    state = {
        "format": FORMAT,
        "data": data_read(trainer.config).digest,
        "model": trainer.model.state_dict(),
        "other_parameter": trainer.model.other_parameter(),
        "counters": _counters(trainer.model),
        "optimizer": trainer.optimizer.state_dict(),
        "cur_step": trainer.cur_step,
        "best_valid_score": float(trainer.best_valid_score),
        "best_valid_result": {name: float(value) for name, value in (trainer.best_valid_result or {}).items()},
        "train_loss": {number: float(loss) for number, loss in trainer.train_loss_dict.items()},
        "epochs": [asdict(epoch) for epoch in epochs],
        "loader": train_data.generator.get_state(),
        "random": _random_states(),
    }
    write_pickle(path, state)


def restore_state(path: Path, trainer: Any, train_data: Any) -> list[Epoch]:
    """Put a training back where ``save_state`` left it; gives the epochs it had, none where there is no file.

    A file that cannot be read, or that is of a training on other data, is left aside with a warning, and the training
    starts again.
    """
    if not path.is_file():
        return []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        logger.warning("the state %s cannot be read (%s); this training starts again", path, first_line(error))
        return []
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        logger.warning("the state %s has another format; this training starts again", path)
        return []
    if state["data"] != data_read(trainer.config).digest:
        logger.warning("the state %s is of other data, or of the same in another order; training starts again", path)
        return []
    trainer.model.load_state_dict(state["model"])
    trainer.model.load_other_parameter(state["other_parameter"])
    vars(trainer.model).update(state["counters"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.cur_step, trainer.best_valid_score = state["cur_step"], state["best_valid_score"]
    trainer.best_valid_result = state["best_valid_result"] or None
    trainer.train_loss_dict = dict(state["train_loss"])
    epochs = [Epoch(**epoch) for epoch in state["epochs"]]
    trainer.start_epoch = epochs[-1].number + 1
    train_data.generator.set_state(state["loader"])
    _restore_random_states(state["random"])
    return epochs


def is_over(trainer: Any) -> bool:
    """Whether the epochs are used up or early stopping has struck."""
    return trainer.start_epoch >= trainer.epochs or trainer.cur_step > trainer.stopping_step


def _counters(model: torch.nn.Module) -> dict[str, Any]:
    """Plain numbers among a model's attributes, such as the step count that anneals MultiVAE's loss."""
    return {
        name: value
        for name, value in vars(model).items()
        if name != "training" and isinstance(value, (bool, int, float)) and not name.startswith("__")
    }


def _random_states() -> dict[str, Any]:
    numpy = np.random.get_state(legacy=False)
    keys, position = numpy["state"]["key"], int(numpy["state"]["pos"])
    kind, has_gauss, cached = numpy["bit_generator"], int(numpy["has_gauss"]), float(numpy["gauss"])
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "python": list(random.getstate()[1]),
        "python_gauss": random.getstate()[2],
    }


def _restore_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    random.setstate((3, tuple(states["python"]), states["python_gauss"]))
