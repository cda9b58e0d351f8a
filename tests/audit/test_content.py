"""What is said of vectors, against loops over pairs of them, and of noise among tastes."""

import numpy as np
import pytest
import torch

from recbole_sheaf.audit.content import co_choice, content_findings, missing, near_duplicates, without_zero_rows
from recbole_sheaf.audit.findings import BROKEN, LOOK, OK
from recbole_sheaf.audit.interactions import Interactions, Split
from recbole_sheaf.data import knn_arcs
from recbole_sheaf.features import ModalityFeatures


def tokens(ids):
    return [f"t{number}" for number in ids]


def features(rows, absent=()):
    """Rows of items 1, 2, ..., those that are absent left out."""
    matrix = torch.tensor(np.concatenate([np.zeros((1, rows.shape[1])), rows]), dtype=torch.float32)
    present = torch.ones(len(matrix), dtype=torch.bool)
    present[[0, *absent]] = False
    matrix[~present] = 0
    return ModalityFeatures("image", matrix, present)


def rows(n=30, dim=6, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim))


def test_what_is_missing_is_counted():
    given = rows(40)
    given[3:5] = 0
    given[:, 2] = 7.0
    given[3:5, 2] = 0
    found = missing(features(given, absent=[1, 2]), tokens)
    assert found.numbers == pytest.approx(
        {
            "dimensions": 6,
            "share_without_row": 2 / 40,
            "share_of_rows_all_zero": 2 / 38,
            "share_of_columns_constant": 0,
        }
    )
    assert found.verdict == LOOK and found.examples == ["t4", "t5"]
    given = rows(40)
    given[:, :2] = [7.0, 0.0]
    found = missing(features(given), tokens)
    assert found.numbers["share_of_columns_constant"] == pytest.approx(1 / 3) and found.verdict == OK


@pytest.mark.parametrize("absent, verdict", [(0, OK), (4, OK), (5, LOOK), (36, LOOK), (37, BROKEN)])
def test_missing_rows_weigh_by_their_share(absent, verdict):
    assert missing(features(rows(40), absent=range(1, 1 + absent)), tokens).verdict == verdict


def test_vectors_that_say_nothing_are_broken():
    constant = np.ones((20, 3))
    assert missing(features(constant), tokens).verdict == BROKEN
    assert missing(features(0 * constant), tokens).verdict == BROKEN
    found = content_findings(features(0 * constant), knn_arcs, tastes(), tokens)
    assert [each.name for each in found] == ["missing content"]
    shifted = features(100 + rows(20))
    found = near_duplicates(shifted, knn_arcs(shifted, 10), tokens)
    assert found.verdict == BROKEN and found.numbers["items_in_largest_group"] == 20


def groups_by_hand(given):
    """Sets of rows joined by a cosine of .999, by merging until nothing merges."""
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)
    sets = [{row} for row in range(len(given))]
    for i in range(len(given)):
        for j in range(i):
            if unit[i] @ unit[j] >= 0.999:
                one, other = (next(each for each in sets if row in each) for row in (i, j))
                if one is not other:
                    sets.remove(other)
                    one |= other
    return [each for each in sets if len(each) > 1]


@pytest.mark.parametrize("seed", range(4))
def test_near_duplicates_are_joined_into_groups(seed):
    rng = np.random.default_rng(seed)
    given = rows(40, seed=seed)
    for copy in range(12):
        given[copy] = 2 * given[rng.integers(12, 18)] + 0.02 * rng.standard_normal(6)
    given[38:] = given[20]
    there = features(given)
    found = near_duplicates(there, knn_arcs(there, 10), tokens)
    groups = groups_by_hand(given)
    assert found.numbers["groups"] == len(groups)
    assert found.numbers["share_of_items_in_groups"] == pytest.approx(sum(map(len, groups)) / 40)
    assert found.numbers["items_in_largest_group"] == max(map(len, groups))
    assert (found.numbers["share_of_items_with_equal_row"], found.numbers["distinct_rows"]) == (3 / 40, 38)
    assert found.verdict == LOOK
    examples = {int(token[1:]) - 1 for token in found.examples}
    assert any(examples <= group for group in groups if len(group) == max(map(len, groups)))


def test_many_equal_rows_are_one_group():
    given = rows(100)
    given[50:] = given[0]
    there = features(given)
    assert near_duplicates(there, knn_arcs(there, 10), tokens).numbers["items_in_largest_group"] == 51


def test_rows_of_zeros_are_no_duplicates_of_one_another():
    given = rows(40)
    given[:5] = 0
    real = without_zero_rows(features(given))
    found = near_duplicates(real, knn_arcs(real, 10), tokens)
    assert found.verdict == OK and found.numbers["share_of_items_with_equal_row"] == 0
    assert found.numbers["distinct_rows"] == 35


def tastes(seed=0, n=60):
    """A split whose users have items of one taste of three; item i has the taste i % 3."""
    rng = np.random.default_rng(seed)
    pairs = [(user, item) for user in range(1, 121) for item in rng.permutation(n // 3)[:5] * 3 + user % 3]
    users, items = np.array(pairs).T
    part = Interactions(users, np.where(items == 0, n, items))
    return Split(part, part, part, 121, n + 1)


def of_tastes(seed=0, n=60):
    return np.eye(3)[np.arange(1, n + 1) % 3] + 0.1 * rows(n, 3, seed)


def judged(given, split):
    there = features(given)
    return co_choice("image", knn_arcs(there, 10), there, split)


def test_content_that_knows_tastes_is_told_from_noise():
    found = judged(of_tastes(), tastes())
    assert found.verdict == OK
    assert found.numbers["lift"] == pytest.approx(3, rel=0.1)  # within a taste, of three
    assert found.numbers["lift_of_shuffled_rows"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_found(seed):
    found = judged(rows(60, 8, seed), tastes(seed))
    assert found.verdict == BROKEN and "noise" in found.sentence


def test_rows_of_the_wrong_items_are_found():
    given = of_tastes()
    assert judged(given[np.random.default_rng(5).permutation(60)], tastes()).verdict == BROKEN


def test_only_items_with_a_row_take_part_in_the_null():
    there = features(of_tastes(), absent=range(1, 31))
    found = co_choice("image", knn_arcs(there, 5), there, tastes())
    assert found.verdict == OK and found.numbers["lift_of_shuffled_rows"] == pytest.approx(1, abs=0.15)


def test_nothing_can_be_told_where_nobody_has_two():
    one_each = Interactions(np.arange(1, 61), np.arange(1, 61))
    found = judged(of_tastes(), Split(one_each, one_each, one_each, 61, 61))
    assert found.verdict == LOOK and "cannot be told" in found.sentence


def test_repeated_pairs_of_training_count_once():
    split = tastes()
    train = split.train
    twice = Interactions(np.concatenate([train.users, train.users]), np.concatenate([train.items, train.items]))
    again = Split(twice, split.valid, split.test, split.n_users, split.n_items)
    assert judged(of_tastes(), again).numbers == judged(of_tastes(), split).numbers
