"""What ``contrast_weight`` weighs in models of two views: of the batch's users, and of the items they chose."""

import pytest
import torch

from tests.models.dense import perturb
from tests.models.test_contract import build
from tests.models.test_lgmrec import slow_contrast

SETTINGS = {"reg_weight": 0.0, "temperature": 0.3, "preference_dropout": 0.0}
NAMES = ("MGCN", "SMORE")


@pytest.mark.parametrize("name", NAMES)
def test_users_are_contrasted_with_users_and_items_with_items(toy_settings, name):
    """Nodes stand with users first, so that item i is node n_users + i, never node i."""
    settings = {**toy_settings, **SETTINGS}
    if name == "MGCN":
        del settings["preference_dropout"]
    losses = []
    for weight in (0.0, 2.0):
        model, batch, _ = build(name, {**settings, "contrast_weight": weight})
        torch.manual_seed(5)
        perturb(model, 0.3)
        losses.append(model.calculate_loss(batch))
    behaviour, content = model.both_views()
    users, chosen = batch["user_id"].unique(), batch["item_id"].unique()
    expected = slow_contrast(content[users], behaviour[users], 0.3)
    expected = expected + slow_contrast(content[model.n_users :][chosen], behaviour[model.n_users :][chosen], 0.3)
    torch.testing.assert_close((losses[1] - losses[0]) / 2, expected, rtol=1e-4, atol=1e-5)
