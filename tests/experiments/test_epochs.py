"""Which epoch is said to be the best: the one whose checkpoint RecBole keeps."""

import pytest

from recbole_sheaf.experiments.epochs import Epoch, best_epoch, seconds_per_epoch
from recbole_sheaf.files.checkpoint_file import read_checkpoint_file
from tests.experiments.test_training import prepared, train


def epochs_of(*scores):
    return [Epoch(number, 1.0, 2.0**number, score=score) for number, score in enumerate(scores)]


@pytest.mark.parametrize(
    "scores, bigger, best",
    [
        ((0.1, 0.3, 0.3, 0.2), True, 2),
        ((0.4, 0.2, 0.3, 0.2), False, 3),
        ((0.3, None, 0.3, None), True, 2),
        ((0.3, 0.1), True, 0),
        ((0.0, 0.0), True, 1),  # a score of 0 is a score
        ((None, None), True, None),
        ((), True, None),
    ],
)
def test_the_best_epoch_is_the_last_of_the_best(scores, bigger, best):
    assert best_epoch(epochs_of(*scores), bigger) == best


def test_of_tied_epochs_the_checkpoint_is_the_one_that_is_named(toy_settings):
    """With a step that rounding swallows every epoch ties, and RecBole writes each of them."""
    settings = {**toy_settings, "epochs": 3, "learning_rate": 1e-30}
    trained = train(*prepared("BPR", settings))
    assert len({epoch.score for epoch in trained.epochs}) == 1
    assert trained.result.best_epoch == 2
    about = read_checkpoint_file(trained.result.checkpoint).about
    assert about["epoch"] == 2


def test_the_first_epoch_warms_caches_and_is_left_out_of_the_mean():
    assert seconds_per_epoch(epochs_of(0.1, 0.2, 0.3)) == (2 + 4) / 2
    assert seconds_per_epoch(epochs_of(0.1)) == 1
    assert seconds_per_epoch([]) == 0
