"""A run as plain data: one model trained on one dataset from one seed, and judged; what came of it, who is told of it.

Whoever makes runs (:mod:`.runs`, :mod:`.grid`, :mod:`.tuning`) hands them to :mod:`.schedule`; :mod:`.carry_out` trains
one. Whoever wants to know of them is a :class:`Sink`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import pandas as pd
from recbole.config import Config

from recbole_sheaf.store.records import Epoch, RunResult

COMPLETE, PRUNED = "complete", "pruned"
REAL = "real"  # the ablation that changes nothing


class StopRun(Exception):
    """Raised by a listener to end a run that is not worth going on with."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        state: ``complete``, or ``pruned`` where a listener ended it.
        result: None where it was pruned.
        user_metrics, strata: tables of the store; None where the test part was not read, or not every item ranked.
        seconds: that this sitting took.
    """

    state: str
    result: Optional[RunResult]
    epochs: list[Epoch]
    user_metrics: Optional[pd.DataFrame]
    strata: Optional[pd.DataFrame]
    seconds: float

    @property
    def completed(self) -> RunResult:
        """``result``, where nothing prunes (ValueError if something did)."""
        if self.result is None:
            raise ValueError(f"a run that is {self.state} after {len(self.epochs)} epochs has no result")
        return self.result


@dataclass(frozen=True)
class Run:
    """What to train, on which data, from which seed.

    Attributes:
        id: the same for every run that would give the same numbers.
        settings: of RecBole and the model, above the evaluation protocol and the YAML defaults.
        name: for people.
        experiment, label, ablation: its place in an experiment; several labels may train one model otherwise set.
        tags: what else trackers find it by.
        trackers: where its training is written besides, each once it is carried out.
        processes: that train it together.
    """

    id: str
    model: str
    dataset: str
    seed: int
    threads: int
    settings: Mapping[str, Any] = field(hash=False)
    name: str
    experiment: str = ""
    label: str = ""
    ablation: str = REAL
    tags: Mapping[str, Any] = field(default_factory=dict, hash=False)
    trackers: tuple["Tracker", ...] = ()
    processes: int = 1

    def __str__(self) -> str:
        return self.name


class Sink:
    """The protocol; what a sink leaves out it ignores."""

    def start(self, run: Run) -> None:
        """A run starts, or goes on after a stop."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch of it is over; those of an earlier sitting are told again."""

    def result(self, run: Run, outcome: Outcome) -> None:
        """It came to its end, or was ended because it lagged behind."""

    def end(self, run: Run, error: Optional[BaseException]) -> None:
        """Nothing more comes of it; the error, if one ended it."""


class Tracker:
    """A place to which trainings are written by a :class:`Sink` of their own; plain data that travels to workers."""

    def open(self) -> None:
        """Make the place ready before training, or refuse (ConfigError)."""

    def sink(self, config: Config, folder: Path) -> Sink:
        """What is told of one training, by its resolved settings and the folder of its state."""
        raise NotImplementedError

    def close(self, folder: Path, error: str) -> None:
        """Write down the end of a training whose process died before it could."""
