"""RecBole's own models that our tables and defaults name train and rank in the working set of versions."""

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import cosine_similarity

from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings.config import properties_folder
from tests.conftest import TASTE
from tests.models.test_contract import build

UNDER_SOFTMAX = ("BPR", "LightGCN", "NGCF")
THEIRS = sorted({path.stem for path in (properties_folder() / "model").glob("*.yaml")} - set(MODELS))


def test_the_tables_models_are_among_those_tried():
    assert {"BPR", "EASE", "ItemKNN", "LightGCN", "NGCF", "SGL", "SimpleX"} <= set(THEIRS)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name, loss", [*((n, "bpr") for n in THEIRS), *((n, "softmax") for n in UNDER_SOFTMAX)])
def test_a_planted_taste_is_found(toy_settings, name, loss):
    """As in the contract of our models: .39 is chance, a list that knows the taste holds .95 of the answers."""
    settings = {**toy_settings, **TASTE, "loss": loss}
    del settings["embedding_size"]  # EASE and ItemKNN have none
    (result,) = run_models([name], "toy", overrides=settings)
    assert result.test["recall@20"] > 0.75


@pytest.mark.parametrize("name", UNDER_SOFTMAX)
def test_under_the_softmax_cosines_rank_and_every_parameter_learns(toy_settings, name):
    model, batch, _ = build(name, {**toy_settings, "loss": "softmax"})
    model.calculate_loss(batch).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    everyone = Interaction({"user_id": torch.arange(1, model.n_users)})
    model.eval()
    full = model.full_sort_predict(everyone).view(model.n_users - 1, -1)
    weights = (model.user_embedding.weight, model.item_embedding.weight)
    u, i = weights if name == "BPR" else model()
    torch.testing.assert_close(full, cosine_similarity(u[1:].unsqueeze(1), i.unsqueeze(0), dim=2))
    pair = Interaction({"user_id": torch.tensor([3, 4]), "item_id": torch.tensor([7, 9])})
    torch.testing.assert_close(model.predict(pair), full[[2, 3], [7, 9]])
    model.train()
    model.user_embedding.weight.data.neg_()
    model.eval()
    assert not torch.equal(model.full_sort_predict(everyone).view_as(full), full)


def test_reg_weight_of_a_served_model_weighs_rows_by_their_interactions(toy_settings):
    losses = []
    for weight in (0.0, 0.5):
        model, batch, _ = build("LightGCN", {**toy_settings, "loss": "softmax", "reg_weight": weight})
        losses.append(model.calculate_loss(batch))
    users, items = model.softmax.pairs(batch["user_id"])
    rows = torch.cat([model.user_embedding(users), model.item_embedding(items)])
    torch.testing.assert_close(losses[1] - losses[0], 0.5 * rows.square().sum() / (2 * len(users)))
