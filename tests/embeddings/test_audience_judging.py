"""The three figures against a sort of all users for each cold item."""

import numpy as np
import pytest

from recbole_sheaf.embeddings.audience_judging import ACTIVE, MODEL, NEAR, judge_audiences
from recbole_sheaf.embeddings.reading import embeddings_of, model_scores
from recbole_sheaf.errors import ConfigError
from tests.embeddings.toys import history_of, restored, scores_by_definition
from tests.evaluation.test_audience import ndcg


def expected(embeddings, scores, k):
    """Mean over cold items; equal users in the order of their rows."""
    users = range(len(embeddings.users))
    train, valid, test = ({user: set(history_of(embeddings, user, (part,))) for user in users} for part in range(3))
    cold = sorted(set().union(*test.values()) - set().union(*train.values()))
    figures = []
    for item in cold:
        order = sorted((user for user in users if item not in valid[user]), key=lambda user: -scores[user][item])
        audience = [*order, *[-1] * len(order)][: min(k, len(embeddings.users))]
        figures.append(ndcg(audience, {user for user in users if item in test[user]}))
    return np.mean(figures)


@pytest.mark.parametrize("name", ["ItemSheaf", "ContentKNN", "MultiVAE"])
@pytest.mark.parametrize("k", [4, 100])
def test_figures_are_those_of_all_users_sorted(toy_settings, name, k):
    settings = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    found = restored(name, {**settings, "split": "cold_items"})
    own = judge_audiences(found, k)
    embeddings = embeddings_of(restored("ItemSheaf", {**settings, "split": "cold_items"}))
    scores = (
        model_scores(found.model, np.arange(30)) if name == "MultiVAE" else scores_by_definition(embeddings_of(found))
    )
    assert own[MODEL] == pytest.approx(expected(embeddings, scores, k), rel=1e-9)
    lengths = [[len(history_of(embeddings, user))] * 60 for user in range(30)]
    assert own[ACTIVE] == pytest.approx(expected(embeddings, lengths, k), rel=1e-9)
    if name == "MultiVAE":
        assert list(own) == [MODEL, ACTIVE]
    if name == "ContentKNN":  # by another code the same: the mean cosine with the history
        assert own[NEAR] == pytest.approx(own[MODEL], rel=1e-3)
        assert own[NEAR] > own[ACTIVE] + 0.1  # content knows the taste


def test_without_cold_items_there_is_nothing_to_judge(toy_settings):
    with pytest.raises(ConfigError, match="no item of the test part is without training interactions"):
        judge_audiences(restored("EASE", {**toy_settings, "eval_args": {"split": {"RS": [0.9, 0.05, 0.05]}}}))
