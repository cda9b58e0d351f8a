"""Audiences against a walk down the sorted list of all pairs."""

import numpy as np
import pytest

from recbole_sheaf.embeddings import audience
from recbole_sheaf.embeddings.audience import audiences
from recbole_sheaf.errors import ConfigError
from tests.embeddings.toys import history_of, scores_by_definition


@pytest.fixture
def embeddings(once, toy):
    return once("MMSheaf")


def walked(scores, left_out, items, users, k, per_user):
    """Users of each item, from all pairs in the order of their scores."""
    pairs = sorted(
        (-scores[user][item], place, user)
        for place, item in enumerate(items)
        for user in users
        if item not in left_out[user]
    )
    lists, shown = [[] for _ in items], dict.fromkeys(users, 0)
    for _, place, user in pairs:
        if len(lists[place]) < k and shown[user] < per_user:
            lists[place].append(user)
            shown[user] += 1
    return lists


@pytest.mark.parametrize("at_once", [2**24, 60])
@pytest.mark.parametrize("k, per_user", [(3, 100), (3, 1), (4, 2), (30, 5), (100, 1), (1, 1)])
def test_users_are_taken_by_the_order_of_all_pairs(embeddings, monkeypatch, k, per_user, at_once):
    monkeypatch.setattr(audience, "SCORES_AT_ONCE", at_once)
    items = np.array([1, 4, 5, 18, 33, 59, 2])
    scores = scores_by_definition(embeddings)
    left_out = [set(history_of(embeddings, user, (0, 1, 2))) for user in range(30)]
    found = audiences(embeddings, items, k, per_user)
    assert found.rows.tolist() == items.tolist()
    expected = walked(scores, left_out, items.tolist(), range(30), k, per_user)
    for (item, users, given), wanted in zip(found, expected):
        assert users.tolist() == wanted
        np.testing.assert_allclose(given, scores[wanted, item], rtol=1e-4, atol=1e-5)
    assert max(np.bincount([user for users in expected for user in users])) <= per_user


@pytest.mark.parametrize("at_once", [2**24, 5])
def test_equal_scores_go_to_the_earlier_item_and_user(embeddings, monkeypatch, at_once):
    """Scores of a model that makes them by itself, most of them alike."""
    monkeypatch.setattr(audience, "SCORES_AT_ONCE", at_once)
    scores = np.random.default_rng(0).integers(0, 3, (30, 60)).astype(np.float32)
    items, users = np.arange(0, 60, 5), np.array([29, 3, 4, 8, 9, 11, 20])
    found = audiences(embeddings, items, 3, 4, lambda rows: scores[rows].copy(), users, seen="kept")
    expected = walked(scores, [set()] * 30, items.tolist(), sorted(users.tolist()), 3, 4)
    assert [users.tolist() for _, users, _ in found] == expected


def test_of_very_many_items_few_candidates_are_kept_and_lists_may_be_shorter(embeddings, monkeypatch):
    monkeypatch.setattr(audience, "PAIRS_HELD", 1)
    items = np.arange(60)
    short = audiences(embeddings, items, 2, 1, seen="kept")
    assert short.items.shape == (60, 2) and np.isfinite(short.scores).sum() <= 30
    taken = [user for _, users, _ in short for user in users.tolist()]
    assert len(taken) == len(set(taken)) > 5


@pytest.mark.parametrize("k, per_user, said", [(0, 1, "k=0"), (1, 0, "per_user=0"), (-1, 3, "k=-1")])
def test_less_than_one_is_refused(embeddings, k, per_user, said):
    with pytest.raises(ConfigError, match=f"{said} is below 1; give a whole number from 1"):
        audiences(embeddings, np.arange(3), k, per_user)
