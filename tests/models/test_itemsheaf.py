"""ItemSheaf as a recommender: what its settings say is what is fitted."""

import math

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import normalize

from recbole_sheaf.models.item_sheaf_forms import MIXES, SHRINKAGES
from recbole_sheaf.models.weighing import choose_form
from tests.models.test_contract import build
from tests.models.test_mmsheaf import everyone, transport_of
from tests.models.test_weighing import prepared

NAMES = {
    "ridge": "item_sheaf_ridge",
    "map_dropout": "item_sheaf_dropout",
    "cold_ridge": "item_sheaf_cold_ridge",
    "content_weight": "item_sheaf_content",
    "neighbourhood_weight": "item_sheaf_neighbourhoods",
    "nearest": "item_sheaf_nearest",
}


def lift_of(model, features):
    """How often an item and one of its nearest two are chosen together, against pairs at random, by definition."""
    X = model.sheaf.histories(torch.arange(model.n_users)).double()
    X = X / X.sum(1, keepdim=True).clamp(min=1).sqrt()
    together = X.T @ X
    unit, there = normalize(features.matrix).double(), features.present.nonzero().flatten().tolist()
    arcs = torch.zeros_like(together, dtype=torch.bool)
    for i in there:
        others = sorted((j for j in there if j != i), key=lambda j: (-round(float(unit[i] @ unit[j]), 6), j))
        arcs[others[:2], i] = True
    pairs = torch.outer(arcs.sum(1), arcs.sum(0)).double().fill_diagonal_(0)
    return float(together[arcs].mean() / ((pairs * together).sum() / pairs.sum()))


def test_modalities_share_by_the_logarithm_of_their_lift(toy_settings):
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"}
    own |= {"ridge": 1.0, "map_dropout": 0.2, "content_weight": 3, "neighbourhood_weight": 2, "nearest": 2}
    alike = build("ItemSheaf", {**own, "lift_power": 0.0})[0]
    logs = {name: max(0.0, math.log(lift_of(alike, each))) for name, each in alike.modalities.items()}
    assert len(logs) == 2 and 0.01 < min(logs.values()) < 0.9 * max(logs.values())
    factors = {name: 2 * each / sum(logs.values()) for name, each in logs.items()}
    given = {"image": 0.5}
    shared = build("ItemSheaf", {**own, "lift_power": 1.0, "modality_weights": given})[0]
    factors["image"] *= 0.5
    expected = build("ItemSheaf", {**own, "lift_power": 0.0, "modality_weights": factors})[0]
    users = everyone(shared)
    torch.testing.assert_close(shared.full_sort_predict(users), expected.full_sort_predict(users), atol=1e-6, rtol=1e-4)
    assert not torch.allclose(shared.full_sort_predict(users), alike.full_sort_predict(users), atol=1e-3)
    assert shared.closed_form.content_weights == pytest.approx({name: 1.5 * each for name, each in factors.items()})


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


def dislikes_beside(folder, seed=1):
    """Of each user of the toy dataset five items of the other taste, written down; gives the pairs."""
    rng = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(30) for i in rng.choice(np.arange(1 - u % 2, 60, 2), 5, replace=False)]
    lines = "".join(f"u{user}\ti{item}\n" for user, item in pairs)
    (folder / "toy.dislike.inter").write_text(f"user_id:token\titem_id:token\n{lines}")
    return pairs


def closed_form(settings, **own):
    toy = {key: value for key, value in settings.items() if key != "embedding_size"}
    fixed = {"ridge": 1.5, "map_dropout": 0.3, "content_weight": 0.0, "neighbourhood_weight": 0.0}
    return build("ItemSheaf", {**toy, **fixed, **own})


@pytest.mark.parametrize("neighbours", [0, 59])
@pytest.mark.parametrize("restriction_map", ["learnt", "identity"])
def test_dislikes_are_signals_by_the_definition(toy_settings, toy, neighbours, restriction_map):
    """Rows of the users' dislikes beside those of their histories, in full and on arcs to all that share a signal."""
    pairs = dislikes_beside(toy / "toy")
    own = {"relations": {"dislike": 0.6}, "history_power": 0.7, "item_sheaf_neighbours": neighbours}
    model, _, test_data = closed_form(toy_settings, restriction_map=restriction_map, **own)
    ids = [test_data.dataset.field2token_id[name] for name in ("user_id", "item_id")]
    X = model.sheaf.histories(torch.arange(model.n_users)).double()
    D = torch.zeros_like(X)
    for user, item in pairs:
        if f"i{item}" in ids[1]:
            D[ids[0][f"u{user}"], ids[1][f"i{item}"]] = 1.0
    D[X > 0] = 0.0
    rows = [(row, 1.0) for row in X] + [(row, 0.6) for row in D]
    M = sum(weight * torch.outer(row, row) / row.sum().clamp(min=1) ** 0.7 for row, weight in rows)
    if restriction_map == "identity":
        scale = M.diagonal().clamp(min=1e-12).rsqrt()
        B = (scale[:, None] * M * scale).fill_diagonal_(0.0)
    else:
        regularised = M + torch.diag(1.5 + 0.3 / 0.7 * M.diagonal())
        B = torch.zeros_like(M)
        for i in range(len(M)):
            near = (M[i] != 0).nonzero().flatten() if neighbours else torch.arange(len(M))
            own = (near == i).nonzero().flatten()
            if len(own):
                P = torch.linalg.inv(regularised[near][:, near])
                B[near, i] = (-P[:, own] / P[own, own]).flatten()
                B[i, i] = 0.0
    tolerance = 1e-4 if neighbours else 1e-5
    scores = model.full_sort_predict(Interaction({"user_id": torch.arange(model.n_users)})).view(X.shape)
    torch.testing.assert_close(scores.double(), X @ B, atol=tolerance, rtol=tolerance)


def test_without_a_table_or_with_weight_0_every_number_is_as_it_was(toy_settings, toy):
    """Bit for bit: `auto` leaves dislikes out of the lists, and nothing else."""
    everyone = torch.arange(31)
    without = closed_form(toy_settings, relations={})[0].sheaf.scores(everyone)
    assert torch.equal(closed_form(toy_settings)[0].sheaf.scores(everyone), without)
    dislikes_beside(toy / "toy")
    assert torch.equal(closed_form(toy_settings)[0].sheaf.scores(everyone), without)
    assert not torch.equal(closed_form(toy_settings, relations={"dislike": 0.1})[0].sheaf.scores(everyone), without)


@pytest.mark.parametrize("name", ["MMSheaf", "ItemSheaf"])
def test_validation_chooses_weights_of_relations_after_all_else(toy_settings, toy, name, monkeypatch):
    dislikes_beside(toy / "toy")
    own = {key: value for key, value in toy_settings.items() if key != "embedding_size" or name == "MMSheaf"}
    _config, ready = prepared(name, {**own, "relations": {"dislike": "auto"}})
    tried, judged = [], iter([0.1, 0.3, 0.2, 0.25, 0.4, 0.5, 0.9])

    def ranked(valid_data, scored, count):
        tried.append(ready.model.closed_form.form)
        return [torch.full((4, 6), next(judged)) + 0.01 * torch.arange(4)[:, None]]

    monkeypatch.setattr("recbole_sheaf.models.weighing._judged", ranked)
    choose_form(ready.trainer, ready.valid_data)
    assert [(form.ridge, form.map_dropout) for form in tried] == [*SHRINKAGES, *[SHRINKAGES[1]] * 4]
    mixes = [(form.content, form.neighbourhoods) for form in tried]
    assert mixes == [*[MIXES[0]] * 3, MIXES[1], *[MIXES[2]] * 3]
    weights = (0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 1.0)
    assert [form.relations for form in tried] == [(("dislike", weight),) for weight in weights]
    assert ready.model.closed_form.form == tried[-1] and ready.model.chosen["relations.dislike"] == 1.0
