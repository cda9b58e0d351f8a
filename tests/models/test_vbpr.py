"""VBPR's score, term by term, and its penalty."""

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import normalize

from recbole_sheaf.errors import ConfigError
from tests.models.test_contract import build


@pytest.fixture
def model_and_batch(toy_settings):
    model, batch, _ = build("VBPR", {**toy_settings, "content_size": 3, "reg_weight": 0.5, "content_reg_weight": 3.0})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model, batch


def test_the_score_is_the_papers(model_and_batch):
    model, _ = model_and_batch
    u, i = 3, int(torch.nonzero(~model.modalities["text"].present)[1])  # an item with an image and no text
    f = torch.cat([normalize(features.matrix[i], dim=0) for features in model.modalities.values()])
    score = model.item_bias[i, 0] + model.user_factors[u] @ model.item_factors[i]
    score = score + model.user_content_factors[u] @ (model.content_map.T @ f) + model.content_bias[:, 0] @ f
    pair = Interaction({"user_id": torch.tensor([u]), "item_id": torch.tensor([i])})
    torch.testing.assert_close(model.predict(pair)[0], score)


def test_penalties_are_on_the_batch_and_on_what_all_items_share(model_and_batch):
    model, batch = model_and_batch
    users, chosen, sampled = model.triples(batch)
    squares = model.user_factors[users].square().sum() + model.user_content_factors[users].square().sum()
    for items in (chosen, sampled):
        squares = squares + model.item_factors[items].square().sum() + model.item_bias[items].square().sum()
    expected = model.ranking_loss(*model.forward(), (users, chosen, sampled)) + 0.25 * squares / len(users)
    expected = expected + 1.5 * (model.content_map.square().sum() + model.content_bias.square().sum())
    torch.testing.assert_close(model.calculate_loss(batch), expected)


def test_no_content_is_refused(toy_settings):
    with pytest.raises(ConfigError, match="VBPR needs a modality, but modalities is empty"):
        build("VBPR", {**toy_settings, "modalities": []})
