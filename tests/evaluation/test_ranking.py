"""Each user's metrics: equal to RecBole's means, to ranx user by user, and to ranks counted by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import ndcg_score

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation import METRICS, Rankings, per_user_metrics
from tests.evaluation.helpers import random_rankings, recbole_metric

SEEDS = range(5)
N_ITEMS = 40
MOST_RELEVANT = 12


def _two_users(**changed):
    parts = {
        "users": np.array([7, 3]),
        "top": np.array([[5, 9, 2], [1, 2, 3]]),
        "relevant_offsets": np.array([0, 2, 5]),
        "relevant_items": np.array([2, 8, 3, 1, 6]),
    }
    return Rankings(**{**parts, **changed})


def test_ranks_hits_and_metrics_of_two_users():
    rankings = _two_users()
    assert rankings.ranks.tolist() == [3, 0, 3, 1, 0]
    assert rankings.hits.tolist() == [[False, False, True], [True, False, True]]
    found = per_user_metrics(rankings, ["Recall", "mrr", "MAP"], [2, 3])
    assert list(found.columns) == ["recall@2", "recall@3", "mrr@2", "mrr@3", "map@2", "map@3"]
    assert list(found.index) == [7, 3] and found.index.name == "user"
    expected = [[0, 1 / 2, 0, 1 / 3, 0, 1 / 6], [1 / 3, 2 / 3, 1, 1, 1 / 2, 5 / 9]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("topk", [[1, 5, 20], [3], [10, 17]])
def test_means_are_what_recbole_reports(seed, topk):
    rankings = random_rankings(seed, n_items=N_ITEMS)
    means = per_user_metrics(rankings, METRICS, topk).mean()
    expected = {key: value for name in METRICS for key, value in recbole_metric(name, rankings, topk).items()}
    assert list(means.index) == list(expected)
    np.testing.assert_allclose(means, list(expected.values()), rtol=0, atol=1e-9)


def _full_lists(rankings):
    """Scores and relevance of the whole catalogue for each user: the list first, in its order, the rest after it."""
    rows = np.arange(len(rankings.users))[:, None]
    scores = np.random.default_rng(0).uniform(0.01, 0.1, (len(rows), N_ITEMS))
    scores[rows, rankings.top] = 1 - np.arange(rankings.top.shape[1]) / 100
    relevant = np.zeros(scores.shape, dtype=bool)
    relevant[rankings.pair_rows, rankings.relevant_items] = True
    return scores, relevant


@pytest.fixture(scope="module")
def ranx():
    """ranx as plain Python: compiling it takes minutes."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NUMBA_DISABLE_JIT", "1")
        import ranx

        return ranx


def _by_ranx(ranx, rankings, metrics):
    """Each user's metrics by another implementation, which computes in float64 too."""
    users, offsets, places = rankings.users.astype(str), rankings.relevant_offsets, rankings.top.shape[1]
    held_out = [rankings.relevant_items[a:b].astype(str) for a, b in zip(offsets, offsets[1:])]
    lists = [{str(item): float(places - place) for place, item in enumerate(row)} for row in rankings.top]
    relevant = ranx.Qrels({user: dict.fromkeys(items.tolist(), 1) for user, items in zip(users, held_out)})
    run = ranx.Run(dict(zip(users, lists)))
    ranx.evaluate(relevant, run, metrics, return_mean=False)
    return pd.DataFrame({metric: [run.scores[metric][user] for user in users] for metric in metrics})


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 4, 20])
def test_each_user_equals_ranx(ranx, seed, k):
    rankings = random_rankings(seed, n_items=N_ITEMS)
    found = per_user_metrics(rankings, ["Recall", "NDCG", "Precision", "MRR", "Hit"], [k])
    expected = _by_ranx(ranx, rankings, [f"{name}@{k}" for name in ("recall", "ndcg", "precision", "mrr", "hit_rate")])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [MOST_RELEVANT, 20])
def test_map_equals_ranx_where_all_relevant_items_fit_the_list(ranx, seed, k):
    """ranx divides by |R|, RecBole by min(|R|, k)."""
    rankings = random_rankings(seed, n_items=N_ITEMS, most_relevant=MOST_RELEVANT)
    expected = _by_ranx(ranx, rankings, [f"map@{k}"])
    np.testing.assert_allclose(per_user_metrics(rankings, ["MAP"], [k]), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_user_alone_is_what_recbole_reports(seed):
    rankings = random_rankings(seed, n_users=20, n_items=N_ITEMS)
    found = per_user_metrics(rankings, METRICS, [1, 6, 20])
    for row, user in enumerate(rankings.users):
        alone = rankings.restricted_to(rankings.pair_rows == row)
        expected = {key: value for name in METRICS for key, value in recbole_metric(name, alone, [1, 6, 20]).items()}
        np.testing.assert_allclose(found.loc[user], list(expected.values()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 4, 20])
def test_ndcg_of_each_user_equals_scikit_learn_in_double_precision(seed, k):
    rankings = random_rankings(seed, n_items=N_ITEMS)
    scores, relevant = _full_lists(rankings)
    expected = [ndcg_score(target[None], score[None], k=k) for score, target in zip(scores, relevant)]
    found = per_user_metrics(rankings, ["NDCG"], [k])[f"ndcg@{k}"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_order_of_users_and_of_held_out_items_does_not_matter():
    rankings = random_rankings(0)
    order = np.random.default_rng(1).permutation(len(rankings.users))
    ends = list(zip(rankings.relevant_offsets, rankings.relevant_offsets[1:]))
    shuffled = Rankings(
        users=rankings.users[order],
        top=rankings.top[order],
        relevant_offsets=np.concatenate([[0], np.cumsum(rankings.n_relevant[order])]),
        relevant_items=np.concatenate([rankings.relevant_items[slice(*ends[row])][::-1] for row in order]),
    )
    here, there = (per_user_metrics(each, METRICS, [5, 20]) for each in (rankings, shuffled))
    pd.testing.assert_frame_equal(here, there.loc[here.index])


def test_restricting_keeps_lists_and_drops_users_without_items():
    rankings = _two_users().restricted_to(np.array([False, False, True, False, True]))
    assert rankings.users.tolist() == [3] and rankings.top.tolist() == [[1, 2, 3]]
    assert rankings.relevant_items.tolist() == [3, 6] and rankings.ranks.tolist() == [3, 0]
    with pytest.raises(DataError, match="0 users"):
        rankings.restricted_to(np.array([False, False]))


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"users": np.array([7])}, "1 users but 2 lists and 3 offsets"),
        ({"users": np.array([7, 7])}, "1 of 2 users are listed twice"),
        ({"users": np.array([7.0, 3.0])}, "users has 1 dimensions and dtype float64"),
        ({"top": np.array([5, 9])}, "top has 1 dimensions"),
        ({"top": np.zeros((2, 0), dtype=int)}, "lists of 0 places"),
        ({"top": np.array([[5, 9, 5], [1, 2, 3]])}, "1 of 2 lists hold an item twice"),
        ({"top": np.array([[5, 9, -1], [1, 2, 3]])}, "top holds -1"),
        ({"relevant_offsets": np.array([0, 2, 4])}, "run from 0 to 4 but there are 5"),
        ({"relevant_offsets": np.array([0, 5, 5])}, "1 of 2 users have no held-out item"),
        ({"relevant_items": np.array([2, 2, 3, 1, 6])}, "1 held-out items are listed twice"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_arrays_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(DataError, match=message):
        _two_users(**changed)


@pytest.mark.parametrize(
    "metrics, topk, message",
    [
        (
            ["Recal"],
            [2],
            "no metric 'Recal' .did you mean 'Recall'..; known are Recall, NDCG, Precision, MRR, Hit, MAP",
        ),
        (["xyz"], [2], "no metric 'xyz'; known are"),
        (["Recall"], [2, 4], r"topk \[2, 4\] does not fit lists of 3 places"),
        (["Recall"], [0], "cut-offs from 1 to 3"),
        (["Recall"], [], "does not fit"),
    ],
)
def test_unknown_metrics_and_cut_offs_are_refused(metrics, topk, message):
    with pytest.raises(ConfigError, match=message):
        per_user_metrics(_two_users(), metrics, topk)
