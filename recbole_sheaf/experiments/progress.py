"""How far a command is: one bar at the foot of the terminal, and a line for each run that has ended.

Where the standard error is no terminal there is no bar, since a log would keep every state of it; the lines stay.
"""

import contextlib
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from recbole_sheaf.errors import as_sentence, counted
from recbole_sheaf.experiments.carry_out import resolved
from recbole_sheaf.experiments.run import Outcome, Run, Sink
from recbole_sheaf.store.records import Epoch

logger = logging.getLogger(__name__)


class ProgressBar:
    """A context with one bar; what others write to the standard error meanwhile stands above it.

    Args:
        total: of the whole command, in ``unit``.
        quiet: neither bar nor lines.
        beside: settings of what runs; where RecBole draws bars of its own, ours stays away.
    """

    def __init__(
        self, total: float, unit: str, quiet: bool = False, beside: Iterable[Mapping[str, Any]] = (), **options: Any
    ) -> None:
        self.quiet, self.screen = quiet, sys.stderr
        recboles_bars = any(settings.get("show_progress") for settings in beside)
        watched = self.screen.isatty() and not quiet and not recboles_bars
        self.bar = tqdm(total=total, unit=unit, disable=not watched, dynamic_ncols=True, file=self.screen, **options)
        self._streams = contextlib.ExitStack()

    def __enter__(self) -> "ProgressBar":
        # RecBole's logger wraps both streams anew for every model: they are put back at the end.
        self._streams.enter_context(contextlib.redirect_stdout(sys.stdout))
        self._streams.enter_context(
            contextlib.redirect_stderr(sys.stderr if self.bar.disable else DummyTqdmFile(self.screen))
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._streams.close()
        self.bar.close()

    def reach(self, position: float) -> None:
        """Fill the bar up to a place, and show it."""
        self.bar.n = position
        self.bar.refresh()

    def say(self, line: str) -> None:
        """A line above the bar, on the standard error as the bar is."""
        if not self.quiet:
            tqdm.write(line, file=self.screen)


class GridProgress(Sink):
    """A bar over a whole grid, a line per run that ended, and how long the rest may take."""

    def __init__(self, runs: int, slots: int, bar: ProgressBar) -> None:
        self.runs, self.slots, self.bar, self.ended = runs, slots, bar, 0
        self.seconds: dict[tuple[str, str], list[float]] = {}

    def skip(self, runs: int) -> None:
        """So many runs were finished before."""
        self.ended += runs
        self.bar.bar.update(runs)

    def result(self, run: Run, outcome: Outcome) -> None:
        self.seconds.setdefault((run.dataset, run.label), []).append(outcome.seconds)
        self.skip(1)
        self._say(f"{run}: {_came_to(outcome)}{self._remaining()}")

    def end(self, run: Run, error: Optional[BaseException]) -> None:
        if error is not None:
            self.skip(1)
            self._say(f"failed: {run}: {as_sentence(error)}")

    def _remaining(self) -> str:
        left = self.runs - self.ended
        if not left:
            return ""
        return f"; {counted(left, 'run')} left, about {duration(mean_seconds(self.seconds) * left / self.slots)}"

    def _say(self, line: str) -> None:
        logger.info(line)
        self.bar.say(line)


class RunsProgress(Sink):
    """A bar over models in a row, of which each is one part that its epochs fill."""

    LOOKS: ClassVar[dict[str, Any]] = {
        "bar_format": "{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}",
        "leave": False,
    }

    def __init__(self, runs: int, bar: ProgressBar) -> None:
        self.runs, self.bar, self.ended, self.epochs, self.patience = runs, bar, 0, 1, 1

    def start(self, run: Run) -> None:
        settings = resolved(run)
        self.run, self.epochs, self.patience = run, max(1, settings["epochs"]), settings["stopping_step"] + 1
        self.sign = 1 if settings["valid_metric_bigger"] else -1
        self.best: Optional[tuple[float, int]] = None  # score, the higher the better, and number of the best epoch
        self.seconds = 0.0
        self._show("", refresh=True)

    def epoch(self, epoch: Epoch) -> None:
        score = "" if epoch.score is None else f", valid {epoch.score:.4f}"
        self._show(f", epoch {epoch.number + 1}{score}")
        self.seconds += epoch.train_seconds + epoch.valid_seconds
        if epoch.score is not None and (self.best is None or self.sign * epoch.score > self.best[0]):
            self.best = (self.sign * epoch.score, epoch.number)
        self.bar.bar.set_postfix_str(self._left(epoch.number + 1), refresh=False)
        self.bar.reach(self.ended + min(1.0, (epoch.number + 1) / self.epochs))

    def _left(self, done: int) -> str:
        """How long this model may take: until early stopping if no epoch is better any more, and at most."""
        longest = max(0, self.epochs - done)
        soonest = longest if self.best is None else min(longest, max(0, self.best[1] + 1 + self.patience - done))
        soon, most = (duration(epochs * self.seconds / done) for epochs in (soonest, longest))
        return f"{most} left" if soon == most else f"{soon} to {most} left"

    def result(self, run: Run, outcome: Outcome) -> None:
        self.ended += 1
        self.bar.reach(self.ended)
        self.bar.say(f"{run}: {_came_to(outcome)}")

    def _show(self, more: str, refresh: bool = False) -> None:
        place = f", {self.ended + 1} of {self.runs}" if self.runs > 1 else ""
        self.bar.bar.set_description_str(f"{self.run.label}{place}{more}", refresh)


def _came_to(outcome: Outcome) -> str:
    result = outcome.completed
    chosen = result.config["valid_metric"].lower()
    said = f"valid {chosen} {result.valid.get(chosen, float('nan')):.4f}, {outcome.seconds:.0f} s"
    if result.best_epoch == 0 and result.epochs > 1:  # MMSheaf's is nearly its item sheaf alone
        said += (
            f", the first of {result.epochs} epochs was the best (stopping_step higher, learning_rate lower may help)"
        )
    return said


def mean_seconds(seconds: Mapping[tuple[str, str], Sequence[float]]) -> float:
    """Mean over models and datasets of their mean seconds, so that one model's many runs do not speak for all."""
    means = [sum(each) / len(each) for each in seconds.values() if each]
    return sum(means) / len(means) if means else 0.0


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``50 s``, ``7 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
