"""Strata: equal to counting user by user, nothing lost between them, equal counts never parted."""

import numpy as np
import pytest

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation import item_strata, per_user_metrics, user_strata
from tests.evaluation.helpers import random_rankings

N_ITEMS = 40


def _popularity(seed=0):
    """Many items with the same few interactions, a few popular ones, five cold ones."""
    counts = np.random.default_rng(seed).zipf(1.6, N_ITEMS).clip(max=300)
    counts[[0, 3, 11, 12, 30]] = 0
    return counts


def _history(rankings):
    return np.random.default_rng(1).integers(0, 7, rankings.users.max() + 1)


def _bounds(stratum):
    if stratum == "cold":
        return 0, 0
    low, _, high = stratum.split()[1].partition("-")
    return int(low), int(high or low)


def _held_out(rankings):
    offsets = rankings.relevant_offsets
    return [rankings.relevant_items[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


def _item_reference(rankings, popularity, bounds, k):
    """Recall and NDCG of one stratum, user by user and item by item."""
    low, high = bounds
    recalls, ndcgs, pairs = [], [], 0
    for top, items in zip(rankings.top.tolist(), _held_out(rankings)):
        wanted = [item for item in items if low <= popularity[item] <= high]
        if not wanted:
            continue
        places = [top.index(item) for item in wanted if item in top[:k]]
        pairs += len(wanted)
        recalls.append(len(places) / len(wanted))
        ideal = sum(1 / np.log2(place + 2) for place in range(min(len(wanted), k)))
        ndcgs.append(sum(1 / np.log2(place + 2) for place in places) / ideal)
    return len(recalls), pairs, np.mean(recalls), np.mean(ndcgs)


@pytest.mark.parametrize("seed", range(3))
def test_item_strata_equal_counting_by_hand(seed):
    rankings, popularity = random_rankings(seed, n_items=N_ITEMS), _popularity(seed)
    table = item_strata(rankings, popularity, ["Recall", "NDCG"], [7])
    assert table.stratum.iloc[0] == "cold" and set(table.kind) == {"item popularity"}
    for stratum, rows in table.groupby("stratum"):
        users, pairs, recall, ndcg = _item_reference(rankings, popularity, _bounds(stratum), 7)
        assert list(rows.metric) == ["recall@7", "ndcg@7"]
        assert set(rows.users) == {users} and set(rows.pairs) == {pairs}
        np.testing.assert_allclose(rows.value, [recall, ndcg], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_user_strata_average_to_the_whole(seed):
    rankings = random_rankings(seed)
    history = _history(rankings)
    table = user_strata(rankings, history, ["Recall", "MRR"], [5, 20], groups=3)
    assert table.stratum.nunique() == 3
    whole = per_user_metrics(rankings, ["Recall", "MRR"], [5, 20])
    for metric, rows in table.groupby("metric"):
        assert rows.users.sum() == len(rankings.users) and rows.pairs.sum() == len(rankings.relevant_items)
        np.testing.assert_allclose((rows.users * rows.value).sum() / rows.users.sum(), whole[metric].mean())
    for stratum, rows in table.groupby("stratum"):
        low, high = _bounds(stratum)
        members = (history[rankings.users] >= low) & (history[rankings.users] <= high)
        assert rows.users.iloc[0] == members.sum()
        assert rows.pairs.iloc[0] == sum(len(items) for items, own in zip(_held_out(rankings), members) if own)
        np.testing.assert_allclose(rows.value, whole[members].mean(), rtol=1e-12)


def test_every_pair_lies_in_one_item_stratum_and_bounds_never_overlap():
    rankings = random_rankings(0, n_items=N_ITEMS)
    strata = item_strata(rankings, _popularity(), ["Recall"], [20])
    assert strata.pairs.sum() == len(rankings.relevant_items)
    bounds = [_bounds(stratum) for stratum in strata.stratum]
    assert 3 < len(bounds) < 11  # ties leave fewer than ten deciles beside the cold stratum
    assert all(high < low for (_, high), (low, _) in zip(bounds, bounds[1:]))


def test_distinct_counts_make_even_deciles():
    rankings = random_rankings(0, n_items=N_ITEMS, n_users=500)
    popularity = np.random.default_rng(0).permutation(N_ITEMS) + 1
    strata = item_strata(rankings, popularity, ["Recall"], [20])
    assert list(strata.stratum) == ["cold"] + [f"popularity {4 * group + 1}-{4 * group + 4}" for group in range(10)]
    assert strata.users[0] == strata.pairs[0] == 0 and np.isnan(strata.value[0])
    assert strata.value[1:].notna().all()


def test_equal_counts_go_where_their_middle_rank_lies():
    """Of counts 1, 2, 2, 2, 2, 2 the twos have rank 4 of 6 on average, in the upper half, and the lowest of them 2."""
    rankings = random_rankings(0, n_users=6)
    history = np.zeros(rankings.users.max() + 1, dtype=int)
    history[rankings.users] = [1, 2, 2, 2, 2, 2]
    strata = user_strata(rankings, history, ["Hit"], [20], groups=2)
    assert list(strata.stratum) == ["history 1", "history 2"] and list(strata.users) == [1, 5]


def test_one_count_makes_one_group():
    rankings = random_rankings(0)
    strata = user_strata(rankings, np.full(rankings.users.max() + 1, 4), ["Hit"], [20])
    assert list(strata.stratum) == ["history 4"] and strata.users[0] == len(rankings.users)


def test_without_training_interactions_every_item_is_cold():
    rankings = random_rankings(0, n_items=N_ITEMS)
    strata = item_strata(rankings, np.zeros(N_ITEMS, dtype=int), ["Recall"], [20])
    assert list(strata.stratum) == ["cold"] and strata.pairs[0] == len(rankings.relevant_items)
    assert strata.value[0] == per_user_metrics(rankings, ["Recall"], [20])["recall@20"].mean()


@pytest.mark.usefixtures("unchecked_shapes")
def test_counts_that_do_not_fit_are_refused():
    rankings = random_rankings(0, n_items=N_ITEMS)
    with pytest.raises(DataError, match="item_popularity counts ids 0 to 4 but the rankings hold id 39"):
        item_strata(rankings, np.ones(5, dtype=int), ["Recall"], [20])
    with pytest.raises(DataError, match="user_history holds -1"):
        user_strata(rankings, np.full(1000, -1), ["Recall"], [20])
    with pytest.raises(DataError, match="dtype float64"):
        item_strata(rankings, np.ones(N_ITEMS), ["Recall"], [20])
    with pytest.raises(ConfigError, match="groups 0 is below 1"):
        item_strata(rankings, _popularity(), ["Recall"], [20], groups=0)
