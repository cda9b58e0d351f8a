"""Lists against a sort of all scores, one user after another."""

import numpy as np
import pytest

from recbole_sheaf.embeddings import ranking
from recbole_sheaf.embeddings.embeddings import Histories
from recbole_sheaf.embeddings.new_users import with_users
from recbole_sheaf.embeddings.ranking import Lists, PieceScores, top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import ConfigError, DataError
from tests.embeddings.toys import SOME_COLD, history_of, restored, scores_by_definition


@pytest.fixture
def embeddings(once, toy):
    return once("MMSheaf")


def best(scores, left_out, k):
    order = [item for item in np.argsort(-scores, kind="stable") if item not in left_out]
    return order[:k]


@pytest.mark.parametrize("seen, parts", [("masked", (0, 1, 2)), ("at_test", (0, 1)), ("kept", ())])
@pytest.mark.parametrize("at_once", [2**24, 100])
def test_lists_are_the_best_unseen_items(embeddings, seen, parts, at_once, monkeypatch):
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", at_once)
    rows = np.array([4, 0, 17, 3])
    lists = list(top_lists(embeddings, rows, 6, seen=seen))
    assert len(lists) == (1 if at_once > 100 else 4)
    scores = scores_by_definition(embeddings)
    for row, items, given in ((u, *pair) for some in lists for u, *pair in zip(some.rows, some.items, some.scores)):
        assert items.tolist() == best(scores[row], history_of(embeddings, row, parts), 6)
        np.testing.assert_allclose(given, scores[row][items], rtol=1e-4)
    assert [row for some in lists for row in some.rows] == rows.tolist()


def test_what_the_test_leaves_out_is_what_the_settings_of_the_run_say(toy_settings):
    embeddings = embeddings_of(restored("BPR", {**toy_settings, **SOME_COLD, "seen_at_test": ["train"]}))
    scores = scores_by_definition(embeddings)
    (some,) = top_lists(embeddings, np.arange(5), 6, seen="at_test")
    for row in range(5):
        assert some.items[row].tolist() == best(scores[row], history_of(embeddings, row, (0,)), 6)


def test_only_items_that_may_be_listed_are(embeddings):
    among = np.zeros(len(embeddings.items), dtype=bool)
    among[[3, 5, 8]] = True
    (some,) = top_lists(embeddings, np.arange(5), 3, seen="kept", allowed=among)
    assert set(some.items.ravel().tolist()) == {3, 5, 8}
    with pytest.raises(ConfigError, match="k is 4, but there are 3 items"):
        list(top_lists(embeddings, np.arange(5), 4, allowed=among))


@pytest.mark.parametrize("k", [0, -1, 10_000])
def test_a_list_that_no_catalogue_fills_is_refused(embeddings, k):
    with pytest.raises(ConfigError, match=f"k is {k}, but there are {len(embeddings.items)} items"):
        list(top_lists(embeddings, np.arange(2), k))


def test_few_and_many_coefficients_give_the_same_scores(embeddings, monkeypatch):
    rows = np.arange(len(embeddings.users))
    many = PieceScores(embeddings)
    monkeypatch.setattr(ranking, "DENSE_FROM", 2.0)
    few = PieceScores(embeddings)
    assert many.matrix is not None and few.matrix is None and few.by_item is not None
    np.testing.assert_allclose(few(rows), many(rows), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(many(rows), scores_by_definition(embeddings), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dense_from", [0.0, 2.0])
def test_scores_of_other_users_are_those_made_anew(embeddings, monkeypatch, dense_from):
    monkeypatch.setattr(ranking, "DENSE_FROM", dense_from)
    scores = PieceScores(embeddings)
    others = with_users(embeddings, {"x": ["i3", "i5"], "y": ["i8"]})
    rows = np.array([1, 0])
    assert np.array_equal(scores.of(others)(rows), PieceScores(others)(rows))
    assert np.array_equal(scores(np.array([2])), PieceScores(embeddings)(np.array([2])))


def test_places_that_hold_no_item_are_passed_over():
    scores = np.array([[2.0, -np.inf], [3.0, 1.0]], dtype=np.float32)
    lists = Lists(np.array([7, 2]), np.array([[4, 0], [1, 5]]), scores)
    assert [(row, items.tolist(), values.tolist()) for row, items, values in lists] == [
        (7, [4], [2.0]),
        (2, [1, 5], [3.0, 1.0]),
    ]


def test_a_user_without_a_history_is_scored_too(embeddings):
    empty = Histories(np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int8))
    assert empty.matrix(np.array([1, 0]), [0], 5).shape == (2, 5)
    assert not empty.matrix(np.array([1, 0]), [0], 5).nnz


def test_an_interaction_in_two_parts_is_kept_in_the_first():
    histories = Histories.of(3, np.array([1, 1, 0, 1]), np.array([2, 2, 4, 0]), np.array([2, 0, 1, 1]))
    assert histories.offsets.tolist() == [0, 1, 3, 3]
    assert histories.items.tolist() == [4, 0, 2] and histories.parts.tolist() == [1, 1, 0]


def test_unknown_tokens_are_named_with_those_near_them(embeddings):
    with pytest.raises(DataError, match=r"no user 'u3x' \(did you mean 'u3'"):
        embeddings.user_rows(["u1", "u3x"])
    with pytest.raises(DataError, match=r"no item 'a', 'b', 'c' and 2 more"):
        embeddings.item_rows(["a", "b", "c", "d", "e"])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_scores_that_rank_nothing_are_refused(embeddings, odd):
    def scores(rows):
        found = np.zeros((len(rows), len(embeddings.items)), dtype=np.float32)
        found[1, 3] = odd
        return found

    with pytest.raises(ConfigError, match="scores of 1 of 4 users are NaN or beyond float32"):
        list(top_lists(embeddings, np.arange(4), 2, scores))
