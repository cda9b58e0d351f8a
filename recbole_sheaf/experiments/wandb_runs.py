"""Weights & Biases as RecBole has it, with a W&B run for each training.

RecBole opens a W&B run where none is open and closes none, so trainings in a row in one process would share the first.
"""

import importlib
import importlib.util
from types import TracebackType
from typing import Optional

from recbole.config import Config

from recbole_sheaf.errors import ConfigError


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


class WandbRun:
    """A context around one training that closes the W&B run RecBole opened in it; one that was open before stays."""

    def __init__(self, config: Config) -> None:
        self.wandb = importlib.import_module("wandb") if config["log_wandb"] else None

    def __enter__(self) -> None:
        self.ours = self.wandb is not None and self.wandb.run is None

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self.ours and self.wandb.run is not None:
            self.wandb.finish(exit_code=0 if kind is None else 1)
