"""What ``reg_weight`` weighs: the derivative of every model's loss by it, against the rows of a batch, one by one.

The loss is linear in ``reg_weight``, so that its value and gradient at one weight less those at 0 are the derivative
times the weight. The rows of a batch are listed here from the interactions themselves.
"""

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, init_seed

from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings.config import default_settings
from tests.conftest import content_of

WEIGHT = 1000.0  # the ranking loss, which is subtracted, is small beside it
DROPOUTS = (
    "preference_dropout",
    "feature_dropout",
    "edge_dropout",
    "target_dropout",
    "message_dropout",
    "node_dropout",
)


def id_rows(model):
    """ID embeddings of all users and of all items."""
    return model.id_embedding[: model.n_users], model.id_embedding[model.n_users :]


def of_ids(model):
    users, items = id_rows(model)
    return [("users", users), ("chosen", items), ("sampled", items)]


def of_ids_and_preferences(model):
    networks = model.routings if hasattr(model, "routings") else model.networks
    return of_ids(model) + [("users", network.preference) for network in networks]


def of_what_ranks(model):
    users, items = model.forward()
    return [("users", users), ("chosen", items), ("sampled", items)]


def of_stalks(model):
    x = model.stalks().flatten(1)
    users, items = x[: model.n_users], x[model.n_users :]
    return [("users", users), ("chosen", items), ("sampled", items)]


def of_factors(model):
    rows = [("users", model.user_factors), ("users", model.user_content_factors)]
    return rows + [(part, table) for part in ("chosen", "sampled") for table in (model.item_factors, model.item_bias)]


# Per model the tables whose rows are penalised, each with the column of the batch that names them.
PENALISED = {
    "BM3": lambda model: of_ids(model)[:2],
    "FREEDOM": of_ids,
    "GRCN": of_ids_and_preferences,
    "LATTICE": of_ids,
    "LGMRec": of_ids,
    "MGCN": of_what_ranks,
    "MMGCN": of_ids_and_preferences,
    "MMSheaf": of_stalks,
    "SLMRec": lambda model: [("users", model.users), ("chosen", model.items)],
    "SMORE": of_what_ranks,
    "Sheaf4Rec": of_ids,
    "SheafRec": of_stalks,
    "VBPR": of_factors,
}
SERVED = {  # RecBole's own under our softmax
    "BPR": lambda model: [("users", model.user_embedding.weight), ("chosen", model.item_embedding.weight)],
    "LightGCN": lambda model: [("users", model.user_embedding.weight), ("chosen", model.item_embedding.weight)],
    "NGCF": lambda model: of_what_ranks(model)[:2],
}
CASES = [(name, loss) for name in PENALISED for loss in getattr(get_model(name), "losses", ())]
CASES += [(name, "softmax") for name in SERVED]


def built(name, settings, reg_weight):
    """The model, its first batch, and a user's training items."""
    still = {key: 0.0 for key in default_settings(name, "toy") if key in DROPOUTS}
    settings = {**settings, **still, **content_of(name), "reg_weight": reg_weight}
    config = Config(model=name, dataset="toy", config_dict=settings)
    init_seed(0, True)
    train_data, *_ = data_preparation(config, create_dataset(config))
    interactions = train_data.dataset.inter_feat
    items_of = {}
    for user, item in zip(interactions["user_id"].tolist(), interactions["item_id"].tolist()):
        items_of.setdefault(user, set()).add(item)
    init_seed(0, True)
    model, batch = get_model(name)(config, train_data.dataset), next(iter(train_data))
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)  # no row is like another, no bias is zero
    return model, batch, items_of


def rows_of(batch, loss, items_of):
    """Users, chosen and sampled items of a batch: those it names, or under the softmax all of its users' items."""
    if loss == "bpr":
        return {"users": batch["user_id"], "chosen": batch["item_id"], "sampled": batch["neg_item_id"]}
    pairs = [(user, item) for user in batch["user_id"].tolist() for item in items_of[user]]
    users, chosen = torch.tensor(pairs).T
    return {"users": users, "chosen": chosen, "sampled": chosen[:0]}


def loss_and_gradients(model, batch):
    torch.manual_seed(2)
    loss = model.calculate_loss(batch)
    return [loss, *gradients(loss, model)]


def gradients(value, model):
    names = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(value, names, allow_unused=True)
    return [torch.zeros_like(each) if of is None else of for each, of in zip(names, found)]


@pytest.mark.parametrize("name, loss", CASES)
def test_reg_weight_weighs_half_the_squared_norms_an_interaction(toy_settings, name, loss):
    """Of the rows of the batch alone, each as often as it is named."""
    settings = {**toy_settings, "loss": loss}
    model, batch, items_of = built(name, settings, 0.0)
    without = loss_and_gradients(model, batch)
    model, batch, items_of = built(name, settings, WEIGHT)
    rows = rows_of(batch, loss, items_of)
    squares = [
        table[row].square().sum()
        for part, table in PENALISED.get(name, SERVED.get(name))(model)
        for row in rows[part].tolist()
    ]
    expected = sum(squares) / (2 * len(rows["users"]))
    assert expected > 0
    for found, zero, right in zip(loss_and_gradients(model, batch), without, [expected, *gradients(expected, model)]):
        torch.testing.assert_close((found - zero) / WEIGHT, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["MMSheaf", "SheafRec"])
def test_map_weight_decay_weighs_the_squared_weights_of_the_maps(toy_settings, name):
    settings = {**toy_settings, "restriction_map": "factored", "stalk_dim": 2, "stalk_dropout": 0.0, "map_dropout": 0.0}
    losses = []
    for weight in (0.0, WEIGHT):
        model, batch, _ = built(name, {**settings, "map_weight_decay": weight}, 0.0)
        losses.append(model.calculate_loss(batch))
    weights = [value for key, value in model.maps.named_parameters() if key.endswith("weight")]
    expected = sum(number**2 for each in weights for number in each.flatten().tolist())
    assert expected > 1
    assert ((losses[1] - losses[0]) / WEIGHT).item() == pytest.approx(expected, rel=1e-4)


def test_every_model_with_a_reg_weight_has_its_rows_named_here():
    assert set(PENALISED) == {name for name in MODELS if "reg_weight" in default_settings(name, "toy")}
