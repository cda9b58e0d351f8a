"""Audiences' figures against their definition, one item and one pair after another."""

import numpy as np
import pytest

from recbole_sheaf.errors import DataError
from recbole_sheaf.evaluation.audience import activity, audience_ndcg, history_content, unit_content


def ndcg(audience, chose):
    """Of one item, by the definition."""
    gained = sum(1 / np.log2(place + 2) for place, user in enumerate(audience) if user in chose)
    return gained / sum(1 / np.log2(place + 2) for place in range(min(len(chose), len(audience))))


def test_ndcg_is_that_of_each_items_users():
    rng = np.random.default_rng(0)
    audiences = np.stack([rng.permutation(12)[:5] for _ in range(8)])
    audiences[3, 3:] = audiences[5, :] = -1
    chose = [sorted(rng.permutation(12)[: 1 + item]) for item in range(8)]
    offsets = np.concatenate([[0], np.cumsum([len(users) for users in chose])])
    found = audience_ndcg(audiences, offsets, np.concatenate(chose))
    np.testing.assert_allclose(found, [ndcg(*pair) for pair in zip(audiences.tolist(), chose)], rtol=1e-12)
    assert found[5] == 0 and found.max() > 0.3


def test_an_item_that_nobody_chose_has_no_figure():
    with pytest.raises(DataError, match="no held-out item"):
        audience_ndcg(np.array([[0], [1]]), np.array([0, 1, 1]), np.array([0]))


def test_content_of_histories_gives_mean_cosines():
    rng = np.random.default_rng(1)
    present = [np.array([True] * 5 + [False]), np.array([True, False, True, True, True, True])]
    modalities = [(rng.standard_normal((6, 3)), present[0]), (rng.standard_normal((6, 2)), present[1])]
    histories = {0: [1, 4], 1: [0, 1, 5], 3: [2]}
    users, items = (np.array(ends) for ends in zip(*((user, i) for user, own in histories.items() for i in own)))
    content = unit_content(modalities)
    found = history_content(content, users, items, 4) @ content.T

    def cosine(rows, there, i, j):
        mean = rows[there].mean(axis=0)
        a, b = rows[i] - mean, rows[j] - mean
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b) if there[i] and there[j] else 0.0

    for user in range(4):
        for item in range(6):
            own = histories.get(user, [])
            likeness = [np.mean([cosine(*each, item, other) for each in modalities]) for other in own]
            assert found[user, item] == pytest.approx(np.mean(likeness) if own else 0.0)
    assert activity(users, 5).tolist() == [2, 3, 0, 1, 0]
