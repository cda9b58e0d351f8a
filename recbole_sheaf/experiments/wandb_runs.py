"""Weights & Biases as RecBole has it, with a W&B run for each training.

RecBole opens a W&B run where none is open and closes none, so trainings in a row in one process would share the first.
"""

import importlib
import importlib.util
from typing import Any, Optional

from recbole.config import Config

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.sinks import Sink


def refuse_absent_wandb(config: Config) -> None:
    """Refuse ``log_wandb`` before training where W&B is not installed.

    Raises:
        ConfigError: if so.
    """
    if not config["log_wandb"]:
        return
    found = importlib.util.find_spec("wandb")
    if found is None or found.origin is None:  # a folder wandb/ that holds W&B's files is no package
        raise ConfigError("log_wandb is true, but wandb is not installed; install it with: pip install wandb")


class WandbSink(Sink):
    """Closes the W&B run that RecBole opens in a training; one that was open before stays."""

    def start(self, run: Any) -> None:
        self.wandb = importlib.import_module("wandb")
        self.ours = self.wandb.run is None

    def end(self, run: Any, error: Optional[BaseException]) -> None:
        if self.ours and self.wandb.run is not None:
            self.wandb.finish(exit_code=0 if error is None else 1)
