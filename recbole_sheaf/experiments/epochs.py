"""The epochs of one training: what each gave and cost, and who is told when one ends."""

import time
from collections.abc import Sequence
from typing import Any, Callable, Optional

from recbole_sheaf.store.records import Epoch


class EpochLog:
    """Stands between a RecBole trainer and its epochs, and tells ``listeners`` of each once it is over.

    An epoch is over when its validation has chosen or passed over its checkpoint, or where it has none, when the next
    one starts or training ends.
    """

    def __init__(self, trainer: Any) -> None:
        self.epochs: list[Epoch] = []
        self.listeners: list[Callable[[Epoch], None]] = []
        self._open: Optional[Epoch] = None
        self._train_epoch, trainer._train_epoch = trainer._train_epoch, self.train_epoch
        self._valid_epoch, trainer._valid_epoch = trainer._valid_epoch, self.valid_epoch

    def train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
        """RecBole's training epoch, timed."""
        self.settle()
        started = time.perf_counter()
        losses = self._train_epoch(train_data, epoch_idx, *args, **kwargs)
        seconds = time.perf_counter() - started
        self._open = Epoch(epoch_idx, float(sum(losses) if isinstance(losses, tuple) else losses), seconds)
        return losses

    def valid_epoch(self, *args: Any, **kwargs: Any) -> tuple[float, dict[str, float]]:
        """RecBole's validation, timed."""
        started = time.perf_counter()
        score, result = self._valid_epoch(*args, **kwargs)
        if self._open is not None:
            self._open = Epoch(
                self._open.number,
                self._open.train_loss,
                self._open.train_seconds,
                time.perf_counter() - started,
                {name: float(value) for name, value in result.items()},
                float(score),
            )
        return score, result

    def validated(self, epoch_idx: int, score: float) -> None:
        """RecBole's callback once a validation is dealt with."""
        self.settle()

    def settle(self) -> None:
        """Close the epoch that is open, if one is, and tell the listeners."""
        epoch, self._open = self._open, None
        if epoch is not None:
            self.epochs.append(epoch)
            for listener in self.listeners:
                listener(epoch)


def seconds_per_epoch(epochs: Sequence[Epoch]) -> float:
    """Mean seconds of training, the first epoch left out where there are more, since it warms caches up."""
    counted = epochs[1:] or epochs
    return sum(epoch.train_seconds for epoch in counted) / len(counted) if counted else 0.0


def best_epoch(epochs: Sequence[Epoch], bigger: bool) -> Optional[int]:
    """Number of the epoch whose checkpoint is kept: the last of the best, as RecBole does; None without validation."""
    scored = [(epoch.score, epoch.number) for epoch in epochs if epoch.score is not None]
    if not scored:
        return None
    best = (max if bigger else min)(score for score, _ in scored)
    return max(number for score, number in scored if score == best)
