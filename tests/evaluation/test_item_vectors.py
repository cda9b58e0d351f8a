"""Measures of vectors against their definitions, one item after another, and planted structure against none."""

from itertools import permutations

import numpy as np
import pytest
from scipy import sparse

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation import item_vectors
from recbole_sheaf.evaluation.item_vectors import (
    chance_of_finding,
    found_across,
    nearest_rows,
    principal_rows,
    ridge_map,
    shared_with_nearest,
)


@pytest.fixture(params=[2**22, 100], ids=["at once", "in pieces"])
def pieces(request, monkeypatch):
    monkeypatch.setattr(item_vectors, "AT_ONCE", request.param)


def drawn(n=40, d=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def nearest_by_definition(vectors, item, k):
    """Others by falling cosine; of equals the first."""
    unit = [row / max(np.linalg.norm(row), 1e-12) for row in vectors]
    others = [other for other in range(len(vectors)) if other != item]
    return sorted(others, key=lambda other: -np.float32(np.dot(unit[item], unit[other])))[:k]


@pytest.mark.parametrize("k", [1, 7, 39])
def test_nearest_rows_are_those_of_a_sort(pieces, k):
    vectors, asking = drawn() * np.arange(1, 41)[:, None], np.array([3, 0, 39, 17])
    found = {
        int(item): near.tolist() for some, nears in nearest_rows(vectors, asking, k) for item, near in zip(some, nears)
    }
    assert list(found) == asking.tolist()
    assert found == {item: nearest_by_definition(vectors, item, k) for item in asking.tolist()}


def test_memory_is_that_of_some_similarities(monkeypatch):
    monkeypatch.setattr(item_vectors, "AT_ONCE", 100)
    assert max(len(some) for some, _ in nearest_rows(drawn(), np.arange(40), 3)) == 2


def shares_by_definition(vectors, members, asking, k, strata):
    n = len(vectors)
    shares = [
        [i != j and any(members[i, g] and members[j, g] for g in range(members.shape[1])) for j in range(n)]
        for i in range(n)
    ]
    share, chance, equals = [], [], []
    for i in asking:
        near = nearest_by_definition(vectors, i, k)
        share.append(np.mean([shares[i][j] for j in near]))
        chance.append(sum(shares[i]) / (n - 1))
        alike = [[other for other in range(n) if strata[other] == strata[j] and other != i] for j in near]
        equals.append(np.mean([np.mean([shares[i][other] for other in others]) for others in alike]))
    return share, chance, equals


def test_shares_and_both_chances_are_those_of_the_definition(pieces):
    rng = np.random.default_rng(1)
    vectors, members = drawn(), (rng.random((40, 12)) < 0.15) * rng.integers(1, 4, (40, 12))
    strata, asking = rng.integers(5, 9, 40), np.array([0, 5, 6, 39, 22])
    found = shared_with_nearest(vectors, sparse.csr_matrix(members), asking, 6, strata)
    share, chance, equals = shares_by_definition(vectors, members, asking, 6, strata)
    assert found.share == pytest.approx(share) and found.chance == pytest.approx(chance)
    assert found.among_equals == pytest.approx(equals, rel=1e-5) and not np.allclose(chance, equals)
    alone = shared_with_nearest(vectors, sparse.csr_matrix(members), asking, 6)
    assert alone.among_equals == pytest.approx(chance, rel=1e-5)


def test_planted_groups_are_found_and_shuffled_ones_are_at_chance():
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(10), 30)
    vectors = rng.normal(size=(10, 16))[group] + 0.3 * rng.normal(size=(300, 16))
    members = sparse.csr_matrix(np.eye(10)[group])
    planted = shared_with_nearest(vectors, members, np.arange(300), 10)
    assert planted.share.mean() > 0.95 and planted.chance == pytest.approx(np.full(300, 29 / 299))
    shuffled = shared_with_nearest(rng.permutation(vectors), members, np.arange(300), 10)
    assert shuffled.share.mean() == pytest.approx(29 / 299, abs=0.02)


def test_what_is_near_by_popularity_alone_is_at_its_chance_among_equals():
    """Vectors that know nothing but which items many chose: above the chance of all, and not above that of equals."""
    rng = np.random.default_rng(3)
    popular = np.arange(400) < 100
    members = sparse.csr_matrix(rng.random((400, 300)) < np.where(popular, 0.08, 0.01)[:, None])
    vectors = np.where(popular[:, None], [1.0, 0.2, 0.0], [0.2, 1.0, 0.0]) + 0.05 * rng.normal(size=(400, 3))
    found = shared_with_nearest(vectors, members, np.arange(400), 10, popular.astype(np.int64))
    asked = popular
    assert found.share[asked].mean() > 1.5 * found.chance[asked].mean()
    assert found.share[asked].mean() == pytest.approx(found.among_equals[asked].mean(), abs=0.03)


def test_a_turned_kind_is_found_and_a_shuffled_one_is_at_chance(pieces):
    rng = np.random.default_rng(4)
    source = rng.normal(size=(400, 12))
    target = source @ rng.normal(size=(12, 7)) + 0.05 * rng.normal(size=(400, 7)) + 5.0
    fitted, asking = np.arange(200), np.arange(200, 400)
    found = found_across(source, target, fitted, asking, 10)
    assert found.recall.mean() > 0.8 and found.reciprocal_rank.mean() > 0.4
    recall, rank = chance_of_finding(200, 10)
    shuffled = found_across(source, rng.permutation(target), fitted, asking, 10)
    assert shuffled.recall.mean() == pytest.approx(recall, abs=0.05) and recall == 0.05
    assert shuffled.reciprocal_rank.mean() == pytest.approx(rank, abs=0.03)


def test_equal_rows_stand_in_any_order(pieces):
    """Their recall and reciprocal rank are means over all orders; nothing is gained where all are equal."""
    source, target = drawn(60), np.tile([[1.0, 2.0], [2.0, 1.0]], (30, 1))
    found = found_across(source, target, np.arange(30), np.arange(30, 60), 10)
    orders = [order.index(0) + 1 for order in permutations(range(6))]
    own = np.array([[1.0, 0.0]] * 6)
    above, equal = item_vectors._places(own @ own.T, np.arange(6))
    assert above.tolist() == [0] * 6 and equal.tolist() == [5] * 6
    ranks = {1: np.mean([1 / place for place in range(1, 16)]), 2: np.mean([1 / place for place in range(16, 31)])}
    assert set(found.recall.round(6)) <= {round(10 / 15, 6), 0.0} and len(orders) == 720
    assert set(found.reciprocal_rank.round(6)) <= {round(float(each), 6) for each in ranks.values()}
    same = found_across(source, np.ones((60, 3)), np.arange(30), np.arange(30, 60), 10)
    assert same.recall == pytest.approx(np.full(30, chance_of_finding(30, 10)[0]))
    assert same.reciprocal_rank == pytest.approx(np.full(30, chance_of_finding(30, 10)[1]))


def test_a_ridge_map_is_the_least_squares_of_rows_with_the_penalty_beneath():
    source, target = drawn(30, 4, 5), drawn(30, 3, 6)
    weights, before, after = ridge_map(source, target, ridge=2.5)
    beneath = np.concatenate([source - source.mean(axis=0), np.sqrt(2.5) * np.eye(4)])
    expected = np.linalg.lstsq(beneath, np.concatenate([target - target.mean(axis=0), np.zeros((4, 3))]), rcond=None)[0]
    np.testing.assert_allclose(weights, expected)
    np.testing.assert_allclose((before, after[:1].repeat(4)), (source.mean(axis=0), [target.mean(axis=0)[0]] * 4))


def test_principal_rows_keep_the_most_that_so_many_columns_can():
    vectors = drawn(50, 6, 7) * [5, 3, 2, 1, 0.5, 0.1] + 4
    kept = principal_rows(vectors, 3)
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(kept @ kept.T, (left[:, :3] * sizes[:3] ** 2) @ left[:, :3].T, atol=1e-8)
    assert principal_rows(vectors, 99).shape == (50, 6)


def test_what_does_not_fit_is_refused(unchecked_shapes):
    vectors, members = drawn(5), sparse.csr_matrix(np.eye(5))
    for k in (0, 5):
        with pytest.raises(ConfigError, match=f"k is {k}, but there are 5 items, so that each has 4 others"):
            list(nearest_rows(vectors, np.arange(5), k))
    with pytest.raises(DataError, match="5 vectors, 4 rows of members and 5 strata"):
        shared_with_nearest(vectors, members[:4], np.arange(4), 2)
    with pytest.raises(DataError, match="5 vectors, 5 rows of members and 3 strata"):
        shared_with_nearest(vectors, members, np.arange(4), 2, np.zeros(3, dtype=np.int64))
    for fitted in ([], [0, 2]):
        with pytest.raises(DataError, match="items are fitted and some of them may ask"):
            found_across(vectors, vectors, np.array(fitted, dtype=np.int64), np.array([2, 3]), 1)
    with pytest.raises(ConfigError, match="ridge is 0.0, expected a number above 0"):
        ridge_map(vectors, vectors, 0.0)
