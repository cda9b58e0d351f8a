"""What is kept of a run: its result and its epochs, as plain data that whoever trains, tells of or stores it knows."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Optional


@dataclass(frozen=True)
class RunResult:
    """One trained and tested model: a line of ``--result_file``."""

    model: str
    dataset: str
    seed: int
    split_seed: Optional[int]
    split: dict[str, Any]
    best_epoch: Optional[int]
    epochs: int
    valid: dict[str, float]
    test: dict[str, float]
    seconds_per_epoch: float
    peak_memory_mib: float
    parameters: int
    device: str
    message_passing: Optional[str]
    modalities: dict[str, float]
    checkpoint: str
    config: dict[str, Any]
    chosen: dict[str, float] = field(default_factory=dict)
    train_loss: list[float] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=False)


@dataclass(frozen=True)
class Epoch:
    """One training epoch and the validation that followed it, if one did.

    Attributes:
        number: from 0.
        train_loss: sum over the batches, as RecBole logs it.
        train_seconds: of training alone.
        valid_seconds: of validation alone; 0 without one.
        valid: metrics by RecBole's names; empty without a validation.
        score: the metric that chooses the epoch; None without a validation.
    """

    number: int
    train_loss: float
    train_seconds: float
    valid_seconds: float = 0.0
    valid: dict[str, float] = field(default_factory=dict)
    score: Optional[float] = None
