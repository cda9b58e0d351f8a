"""The lift of choices along arcs, against sums over all pairs and answers that are known."""

import itertools

import numpy as np
import pytest

from recbole_sheaf.data import co_choice
from recbole_sheaf.data.co_choice import co_choice_lift


def drawn(seed, n_users=30, n_items=12, arcs=40):
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.3)
    pairs = np.array(list(itertools.permutations(range(n_items), 2)))
    src, dst = pairs[rng.choice(len(pairs), arcs, replace=False)].T
    return src, dst, users, items, n_users, n_items


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("at_once", [1, 37, 2**22])
def test_is_the_mean_over_arcs_divided_by_that_over_all_pairs_of_their_ends(seed, at_once, monkeypatch):
    monkeypatch.setattr(co_choice, "AT_ONCE", at_once)
    src, dst, users, items, n_users, _ = given = drawn(seed)
    histories = [set(items[users == user].tolist()) for user in range(n_users)]

    def together(i, j):
        return sum(1 / len(history) for history in histories if i in history and j in history)

    observed = np.mean([together(i, j) for i, j in zip(src.tolist(), dst.tolist())])
    chance = np.mean([together(i, j) for i in src.tolist() for j in dst.tolist() if i != j])
    assert co_choice_lift(*given) == pytest.approx(observed / chance, rel=1e-9)


def test_arcs_within_tastes_tell_and_arcs_at_random_do_not():
    rng = np.random.default_rng(3)
    taste = np.arange(200) % 10
    users = np.repeat(np.arange(2000), 4)
    items = np.concatenate([rng.choice(np.flatnonzero(taste == user % 10), 4, replace=False) for user in range(2000)])
    src = rng.integers(0, 200, 4000)
    within = (src + 10 * rng.integers(1, 20, 4000)) % 200
    at_random = (src + rng.integers(1, 200, 4000)) % 200
    assert co_choice_lift(src, within, users, items, 2000, 200) == pytest.approx(10, rel=0.15)
    assert co_choice_lift(src, at_random, users, items, 2000, 200) == pytest.approx(1, abs=0.15)


def test_nothing_can_be_told_without_arcs_or_without_two_items_in_a_history():
    none, one = np.array([], dtype=int), np.array([0, 1, 2])
    assert co_choice_lift(none, none, one, one, 3, 3) == 1.0
    assert co_choice_lift(np.array([0, 1]), np.array([1, 2]), one, one, 3, 3) == 1.0
