"""Split, masking and metrics are right: closed-form scores on TikTok's own split, as others computed them.

With training items alone left out of the ranking, over the 6,130 test interactions.
"""

import pytest

from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import train


def scores_of(shared_data, workplace, model, **settings):
    given = {
        "data_path": str(shared_data),
        "cache_dir": str(workplace / "cache"),
        "seen_at_test": ["train"],
        "metrics": ["Recall", "NDCG"],
        "topk": [20],
        "state": "WARNING",
        **settings,
    }
    (config,) = resolve_configs([model], "tiktok", [], given)
    run = train(config, load_split(config))
    assert len(run.judgement.rankings.relevant_items) == 6130
    return run.result.test


def test_popularity_on_tiktok(shared_data, workplace):
    test = scores_of(shared_data, workplace, "Pop")
    assert test["recall@20"] == pytest.approx(0.0597, abs=0.0005)
    assert test["ndcg@20"] == pytest.approx(0.0255, abs=0.0005)


@pytest.mark.slow
@pytest.mark.parametrize("weight, recall, ndcg", [(100.0, 0.0843, 0.0376), (250.0, 0.0706, 0.0325)])
def test_ease_on_tiktok(shared_data, workplace, weight, recall, ndcg):
    test = scores_of(shared_data, workplace, "EASE", reg_weight=weight)
    assert test["recall@20"] == pytest.approx(recall, abs=0.0005)
    assert test["ndcg@20"] == pytest.approx(ndcg, abs=0.0005)
