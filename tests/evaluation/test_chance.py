"""What a random order is worth, against the mean over every order there is."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.errors import DataError
from recbole_sheaf.evaluation.chance import expected_metrics
from recbole_sheaf.evaluation.ranking import METRICS, Rankings, per_user_metrics


@pytest.mark.parametrize("n, relevant", [(1, 1), (2, 1), (5, 1), (5, 2), (6, 4), (6, 6)])
def test_it_is_the_mean_over_every_order(n, relevant):
    orders = np.array(list(permutations(range(1, n + 1))), dtype=np.int64)
    held_out = np.tile(np.arange(1, relevant + 1), len(orders))
    offsets = np.arange(len(orders) + 1) * relevant
    topk = list(range(1, n + 1))
    of_all = per_user_metrics(Rankings(np.arange(len(orders)), orders, offsets, held_out), METRICS, topk)
    found = expected_metrics(np.array([n]), np.array([relevant]), METRICS, topk)
    pd.testing.assert_series_equal(found.iloc[0], of_all.mean(), check_names=False)


def test_a_list_longer_than_the_candidates_shows_all_of_them():
    found = expected_metrics(np.array([3, 40]), np.array([2, 2]), ["Recall", "Hit"], [20])
    assert found.values.ravel() == pytest.approx([1, 1, 0.5, 1 - 20 * 19 / (40 * 39)])


@pytest.mark.parametrize("n, relevant", [(3, 4), (3, 0)])
def test_who_holds_out_no_candidate_is_refused(n, relevant):
    with pytest.raises(DataError, match="holds out no candidate, or more than there are"):
        expected_metrics(np.array([n]), np.array([relevant]), ["Recall"], [1])
