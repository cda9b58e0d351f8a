"""ItemSheaf as a recommender: what its settings say is what is fitted."""

import pytest
import torch
from recbole.data.interaction import Interaction

from tests.models.test_contract import build
from tests.models.test_mmsheaf import transport_of

NAMES = {
    "ridge": "item_sheaf_ridge",
    "map_dropout": "item_sheaf_dropout",
    "cold_ridge": "item_sheaf_cold_ridge",
    "content_weight": "item_sheaf_content",
    "neighbourhood_weight": "item_sheaf_neighbourhoods",
    "nearest": "item_sheaf_nearest",
}


@pytest.mark.parametrize("train_share", [0.8, 0.25])
def test_scores_are_histories_transported_by_the_definition(toy_settings, train_share):
    """With no setting at its default, and with items that nobody chose."""
    own = {"ridge": 1.5, "map_dropout": 0.3, "cold_ridge": 0.4, "content_weight": 2.0}
    own.update(neighbourhood_weight=1.3, nearest=2)
    settings = {"eval_args": {"split": {"RS": [train_share, 0.1, 0.9 - train_share]}, "group_by": None}}
    toy = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    model = build("ItemSheaf", {**toy, **own, **settings})[0]
    named = {NAMES[key]: value for key, value in own.items()}
    X = model.sheaf.histories(torch.arange(model.n_users)).double()
    B = transport_of(model, X, named)
    assert ((X.sum(0) == 0).sum() > 1) == (train_share < 0.5)
    scores = model.full_sort_predict(Interaction({"user_id": torch.arange(model.n_users)})).view(X.shape)
    torch.testing.assert_close(scores.double(), X @ B, atol=1e-5, rtol=1e-5)
