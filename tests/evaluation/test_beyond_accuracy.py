"""What lists are like: RecBole's numbers where it has them, and small catalogues counted by hand elsewhere."""

import numpy as np
import pytest

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation import Rankings, beyond_accuracy, long_tail
from tests.evaluation.helpers import random_rankings, recbole_metric

N_ITEMS = 70


def _lists(top):
    top = np.array(top)
    n = len(top)
    return Rankings(np.arange(n), top, np.arange(n + 1), np.zeros(n, dtype=int))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_users", [1, 4, 60])
def test_equals_recbole_where_it_has_the_metric(seed, n_users):
    rankings = random_rankings(seed, n_users=n_users, n_items=N_ITEMS)
    popularity = np.random.default_rng(seed).integers(0, 50, N_ITEMS)
    found = beyond_accuracy(rankings, popularity, [1, 7, 20])
    for name in ("ItemCoverage", "GiniIndex", "AveragePopularity"):
        for key, value in recbole_metric(name, rankings, [1, 7, 20], popularity).items():
            assert found[key] == pytest.approx(value, abs=1e-9), key


def test_extremes_of_coverage_and_gini():
    everyone_the_same = beyond_accuracy(_lists([[0], [0], [0], [0]]), np.arange(4), [1])
    assert everyone_the_same["itemcoverage@1"] == 1 / 4 and everyone_the_same["giniindex@1"] == 3 / 4
    everyone_another = beyond_accuracy(_lists([[0], [1], [2], [3]]), np.arange(4), [1])
    assert everyone_another["itemcoverage@1"] == 1 and everyone_another["giniindex@1"] == 0


def test_head_and_tail():
    assert long_tail(np.array([60, 0, 20, 10, 10]), 0.8).tolist() == [False, True, False, True, True]
    assert long_tail(np.array([60, 0, 20, 10, 10]), 0.81).tolist() == [False, True, False, False, False]  # a tie
    assert long_tail(np.array([5, 5, 5])).tolist() == [False] * 3


def test_popularity_long_tail_share_and_novelty_by_hand():
    popularity = np.array([60, 0, 20, 10, 10])
    found = beyond_accuracy(_lists([[0, 1], [2, 3]]), popularity, [1, 2])
    assert found["averagepopularity@1"] == 40 and found["averagepopularity@2"] == 22.5
    assert found["popularityshare@1"] == pytest.approx(0.4)
    assert found["aplt@1"] == 0 and found["aplt@2"] == 0.5
    assert found["novelty@1"] == pytest.approx(-(np.log2(61 / 105) + np.log2(21 / 105)) / 2)
    cold = beyond_accuracy(_lists([[1]]), popularity, [1])["novelty@1"]
    assert cold == pytest.approx(np.log2(105)) and np.isfinite(cold)


def test_what_does_not_fit_is_refused():
    rankings = _lists([[0, 1], [2, 3]])
    with pytest.raises(DataError, match="counts ids 0 to 2 but the rankings hold id 3"):
        beyond_accuracy(rankings, np.ones(3, dtype=int), [1])
    with pytest.raises(DataError, match="none of 4 items has a training interaction"):
        beyond_accuracy(rankings, np.zeros(4, dtype=int), [1])
    with pytest.raises(ConfigError, match="topk"):
        beyond_accuracy(rankings, np.ones(4, dtype=int), [3])
    with pytest.raises(ConfigError, match="head_share 1.0 is outside"):
        beyond_accuracy(rankings, np.ones(4, dtype=int), [1], head_share=1.0)
