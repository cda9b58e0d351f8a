"""Where trainings are written besides, by the settings that ask for it: the one place that knows MLflow and W&B.

Weights & Biases is used as RecBole has it, with a W&B run for each training. RecBole opens a W&B run where none is open
and closes none, so trainings in a row in one process would share the first.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from recbole.config import Config

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.mlflow_tracking import tracking_of
from recbole_sheaf.experiments.run import Sink, Tracker


def trackers_of(config: Config) -> tuple[Tracker, ...]:
    """The trackers that the settings ask for, MLflow and W&B; none by default.

    Raises:
        ConfigError: if what they ask for is not installed.
    """
    return tuple(tracker for of in TRACKERS if (tracker := of(config)) is not None)


def open_trackers(trackers: Iterable[Tracker]) -> None:
    """Make each tracker ready before training, once, so that several workers need not do it at the same moment.

    Raises:
        ConfigError: if one refuses.
    """
    for tracker in dict.fromkeys(trackers):
        tracker.open()


@dataclass(frozen=True)
class Wandb(Tracker):
    """Weights & Biases as a tracker, in the project that RecBole's settings name."""

    def sink(self, config: Config, folder: Path) -> Sink:
        return WandbSink()


class WandbSink(Sink):
    """Closes the W&B run that RecBole opens in a training; one that was open before stays."""

    def start(self, run: Any) -> None:
        self.wandb = importlib.import_module("wandb")
        self.ours = self.wandb.run is None

    def end(self, run: Any, error: Optional[BaseException]) -> None:
        if self.ours and self.wandb.run is not None:
            self.wandb.finish(exit_code=0 if error is None else 1)


def _wandb_of(config: Config) -> Optional[Wandb]:
    if not config["log_wandb"]:
        return None
    found = importlib.util.find_spec("wandb")
    if found is None or found.origin is None:  # a folder wandb/ that holds W&B's files is no package
        raise ConfigError("log_wandb is true, but wandb is not installed; install it with: pip install wandb")
    return Wandb()


TRACKERS: Sequence[Callable[[Config], Optional[Tracker]]] = (  # each gives None where its settings do not ask for it
    tracking_of,
    _wandb_of,
)
