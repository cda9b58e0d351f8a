"""One bar over a whole command where somebody watches, a line per run where nobody does."""

import io
import sys
from contextlib import redirect_stderr

import pytest

from recbole_sheaf.experiments.progress import (
    GridProgress,
    ProgressBar,
    RunsProgress,
    duration,
    mean_seconds,
)
from recbole_sheaf.experiments.run import COMPLETE, Outcome, Run
from recbole_sheaf.store.records import Epoch
from tests.store.test_store import result


class Screen(io.StringIO):
    def __init__(self, watched):
        super().__init__()
        self.watched = watched

    def isatty(self):
        return self.watched

    def states(self):
        """What the bar has shown, one state after the other, and the lines above it."""
        return [state.strip() for state in self.getvalue().replace("\n", "\r").split("\r") if state.strip()]


@pytest.fixture(params=[True, False], ids=["terminal", "log"])
def screen(request):
    return Screen(request.param)


def planned(label):
    return Run("id", label, "toy", 1, 1, {}, f"{label} on toy, seed 1", label=label)


OUTCOME = Outcome(COMPLETE, result(valid={"recall@20": 0.25}, best_epoch=1), [], None, None, 40.0)


LABELS = ("Pop", "BPR")
SETTINGS = {"epochs": 4, "stopping_step": 1, "valid_metric_bigger": True}


def two_models():
    with ProgressBar(2, "run", **RunsProgress.LOOKS) as bar:
        progress = RunsProgress(2, bar)
        for label in LABELS:
            progress.start(planned(label))
            for number in range(3):
                progress.epoch(Epoch(number, 1.0, 1.0, score=0.1 * number))
            progress.result(planned(label), OUTCOME)


@pytest.mark.parametrize(
    ("settings", "scores", "said"),
    [
        ({"epochs": 300}, [0.1], "4 s to 10 min left"),
        ({"epochs": 300}, [0.1, 0.2, 0.15], "2 s to 10 min left"),
        (
            {"epochs": 300, "valid_metric_bigger": False},
            [0.1, 0.2, 0.15],
            "0 s to 10 min left",
        ),
        ({"epochs": 4}, [0.1, 0.2, 0.3], "2 s left"),
        ({"epochs": 8}, [None, None], "12 s left"),
    ],
)
def test_what_is_left_knows_early_stopping(monkeypatch, settings, scores, said):
    """Epochs of two seconds, and stopping_step 1: the second in a row that is no better is the last."""
    monkeypatch.setattr("recbole_sheaf.experiments.progress.resolved", lambda run: {**SETTINGS, **settings})
    with redirect_stderr(Screen(True)), ProgressBar(1, "run", **RunsProgress.LOOKS) as bar:
        progress = RunsProgress(1, bar)
        progress.start(planned("BPR"))
        for number, score in enumerate(scores):
            progress.epoch(Epoch(number, 1.0, 1.5, 0.5, score=score))
        assert bar.bar.postfix == said


@pytest.mark.parametrize("best, epochs, said", [(0, 12, True), (1, 12, False), (0, 1, False)])
def test_a_run_that_was_best_at_once_says_so(best, epochs, said):
    outcome = Outcome(COMPLETE, result(best_epoch=best, epochs=epochs), [], None, None, 40.0)
    screen = Screen(False)
    with redirect_stderr(screen), ProgressBar(1, "run") as bar:
        RunsProgress(1, bar).result(planned("BPR"), outcome)
    assert ("was the best" in screen.getvalue()) == ("the first of 12 epochs" in screen.getvalue()) == said


def test_a_row_of_models_has_one_bar_that_their_epochs_fill(screen, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.experiments.progress.resolved", lambda run: SETTINGS)
    with redirect_stderr(screen):
        two_models()
    states = screen.states()
    lines = [f"{label} on toy, seed 1: valid recall@20 0.2500, 40 s" for label in LABELS]
    assert [state for state in states if state in lines] == lines
    bars = [state for state in states if state not in lines]
    if not screen.watched:
        assert not bars and "\r" not in screen.getvalue(), "a log would keep every state of a bar"
        return
    shares = [int(bar.split("%")[0].split()[-1]) for bar in bars]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 100
    assert {12, 25, 38, 50, 62, 75, 88} <= set(shares), (
        "a quarter of a half an epoch; what an early end leaves is given"
    )
    assert any(bar.startswith("BPR, 2 of 2, epoch 3, valid 0.2000") for bar in bars)
    assert all(bar.endswith(" left") for bar in bars if "epoch" in bar), "says what remains"
    assert screen.getvalue().endswith("\r"), "the bar is not left behind"


def test_what_others_write_stands_above_the_bar(screen):
    with redirect_stderr(screen):
        with ProgressBar(2, "run"):
            inside = sys.stderr
            print("epoch 1 took long", file=inside)
        assert sys.stderr is screen and (inside is not screen) == screen.watched
    assert "epoch 1 took long" in screen.states()


def test_streams_that_were_wrapped_inside_are_put_back(screen):
    before = sys.stdout
    with redirect_stderr(screen):
        with ProgressBar(1, "run"):
            sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        assert sys.stdout is before and sys.stderr is screen


def test_a_grid_says_of_each_run_what_came_of_it_and_how_long_the_rest_may_take(screen):
    with redirect_stderr(screen), ProgressBar(4, "run") as bar:
        grid = GridProgress(4, 2, bar)
        grid.skip(1)
        grid.result(planned("Pop"), OUTCOME)
        grid.end(planned("BPR"), ValueError("Training loss is nan"))
        grid.ended = 2
        grid.result(planned("Pop"), OUTCOME)
    states = screen.states()
    assert "Pop on toy, seed 1: valid recall@20 0.2500, 40 s; 1 run left, about 20 s" in states
    assert "Pop on toy, seed 1: valid recall@20 0.2500, 40 s; 2 runs left, about 40 s" in states
    assert "failed: BPR on toy, seed 1: ValueError: Training loss is nan" in states
    assert any("4/4" in state for state in states) == screen.watched


def test_quiet_is_neither_bar_nor_line(screen):
    with redirect_stderr(screen), ProgressBar(4, "run", quiet=True) as bar:
        GridProgress(4, 1, bar).result(planned("Pop"), OUTCOME)
    assert screen.getvalue() == ""


def test_time_that_remains_is_told_as_people_tell_it():
    assert [duration(seconds) for seconds in (50, 420, 7500)] == ["50 s", "7 min", "2 h 05 min"]
    assert mean_seconds({("a", "x"): [1.0, 3.0], ("a", "y"): [4.0]}) == 3.0
    assert mean_seconds({}) == 0.0
