"""A user's training interactions, what a batch penalises and contrasts, and who refuses the softmax."""

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint, restore
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import train
from recbole_sheaf.models import multimodal
from recbole_sheaf.models.softmax_ranking import SoftmaxRanking, auto_temperature, popularity_weight, squared_norms
from recbole_sheaf.models.weighing import GRID, weighings
from recbole_sheaf.settings.config import LossSettings
from tests.layers.test_softmax_loss import slow_loss
from tests.models.test_contract import build


class Interactions:
    """What is read of a RecBole dataset."""

    uid_field, iid_field, user_num, item_num = "u", "i", 5, 6

    def __init__(self, users, items):
        self.inter_feat = {"u": torch.tensor(users), "i": torch.tensor(items)}


def ranking(**settings):
    return SoftmaxRanking(LossSettings(loss="softmax", **settings), Interactions([4, 1, 4, 1, 4], [2, 5, 1, 3, 2]))


def test_pairs_are_the_training_interactions_each_once():
    users, items = ranking().pairs(torch.tensor([4, 2, 1]))
    assert users.tolist() == [4, 4, 1, 1] and items.tolist() == [1, 2, 3, 5]
    users, items = ranking().pairs(torch.tensor([3, 0]))
    assert not len(users) and not len(items)


@pytest.mark.parametrize("items", ["all", 5, 100])
def test_the_loss_is_that_of_the_batch(items):
    user_all, item_all = torch.randn(5, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    one = ranking(softmax_items=items, softmax_temperature=0.5)
    pairs = one.pairs(torch.tensor([4, 2, 1]))
    expected = slow_loss(user_all, item_all, pairs, 0.5)
    torch.testing.assert_close(one.loss(user_all, item_all, pairs), expected)
    offset = torch.randn(2, 6, dtype=torch.float64)  # a row for users 4 and 1, who have interactions
    by_user = torch.zeros(5, 6, dtype=torch.float64).index_copy(0, torch.tensor([4, 1]), offset)
    torch.testing.assert_close(
        one.loss(user_all, item_all, pairs, offset), slow_loss(user_all, item_all, pairs, 0.5, by_user)
    )


@pytest.mark.parametrize("items", ["all", 100])
def test_training_gains_the_logarithm_of_an_items_popularity(items):
    """Items 1, 3 and 5 have one interaction, 2 has one that the data hold twice, 4 none; the padding is in no sum."""
    user_all, item_all = torch.randn(5, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    one = ranking(softmax_items=items, softmax_temperature=0.5, softmax_popularity=1.5)
    pairs = one.pairs(torch.tensor([4, 2, 1]))
    prior = 1.5 * torch.tensor([[0, 2, 2, 2, 1, 2]], dtype=torch.float64).log().nan_to_num(neginf=0.0)
    prior = prior.float().double().expand(5, 6)
    torch.testing.assert_close(one.loss(user_all, item_all, pairs), slow_loss(user_all, item_all, pairs, 0.5, prior))
    offset = torch.randn(1, 6, dtype=torch.float64)
    expected = slow_loss(user_all, item_all, pairs, 0.5, prior + offset)
    torch.testing.assert_close(one.loss(user_all, item_all, pairs, offset), expected)


@pytest.mark.parametrize("name", ["LightGCN", "BPR", "VBPR", "FREEDOM"])
def test_ranking_keeps_a_share_of_the_popularity_that_training_had(toy_settings, name):
    """In cosines, so times the temperature; pairs, lists and the scores of each share say the same."""
    settings = {**toy_settings, "loss": "softmax", "softmax_popularity": 2.0, "softmax_temperature": 0.4}
    model, _, _ = build(name, {**settings, "popularity_kept": 0.25})
    model.eval()
    degree = torch.bincount(model.softmax.items, minlength=model.n_items)
    assert len(degree.unique()) > 2 and model.weighings == [model.weighing] and model.chosen == {}
    users, items = model.compared_embeddings()
    expected = users @ items.T + 0.25 * 2.0 * 0.4 * torch.log(1.0 + degree)
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    torch.testing.assert_close(model.full_sort_predict(everyone).view(expected.shape), expected)
    pairs = Interaction({"user_id": torch.tensor([3, 1]), "item_id": torch.tensor([2, 5])})
    torch.testing.assert_close(model.predict(pairs), expected[[3, 1], [2, 5]])
    torch.testing.assert_close(next(model.scored_by([model.weighing])(torch.arange(model.n_users))), expected)


@pytest.mark.parametrize("name", ["LightGCN", "VBPR"])
def test_validation_chooses_the_share_and_the_checkpoint_keeps_it(toy_settings, tmp_path, name, monkeypatch):
    settings = {**toy_settings, "loss": "softmax", "softmax_popularity": 1.0, "epochs": 2}
    found = run_models([name], "toy", overrides=settings)[0]
    assert set(found.chosen) == {"popularity_kept"} and found.chosen["popularity_kept"] in GRID["popularity_kept"]
    monkeypatch.setattr("recbole_sheaf.models.weighing._settled", lambda tried, first, best: list(tried)[-1])
    (config,) = resolve_configs([name], "toy", [], settings)
    result = train(config, load_split(config), tmp_path).result
    again = restore(result.checkpoint, settings["data_path"])
    if result.chosen["popularity_kept"] != 0.5:  # the last had a better valid_metric too
        assert again.model.weighing.popularity_kept == result.chosen["popularity_kept"] == 1.0
    assert evaluate_checkpoint(result.checkpoint, settings["data_path"])["test"] == result.test


@pytest.mark.parametrize(
    "lengths, weight, temperature",
    [
        ([3, 0, 5], 1.0, 0.2),
        ([10, 200, 1], 1.0, 0.2),
        ([11, 200, 1], 0.0, 0.2),
        ([0, 0, 11], 0.0, 0.2),
        ([40, 200, 1], 0.0, 0.2),
        ([0, 0, 41], 0.0, 0.15),
        ([41, 200, 1], 0.0, 0.15),
        ([0, 0], 0.0, 0.2),
    ],
)
def test_training_takes_popularity_in_where_histories_are_short_and_is_sharper_where_they_are_long(
    lengths, weight, temperature
):
    """Of half of the users who have one, however long those of the others are."""
    assert popularity_weight(torch.tensor(lengths)) == weight
    assert auto_temperature(torch.tensor(lengths)) == temperature


def test_auto_is_what_the_datas_histories_call_for(toy_settings):
    """Two users of two items each: the whole popularity. One of 48: none, nothing is open, and a lower temperature."""
    torch.testing.assert_close(
        ranking(softmax_popularity="auto").popularity, ranking(softmax_popularity=1.0).popularity
    )
    long = Interactions([1] * 48, list(range(1, 49)))
    long.item_num = 49
    found = SoftmaxRanking(LossSettings("softmax", softmax_temperature="auto", softmax_popularity="auto"), long)
    assert not found.popularity.any() and len(weighings(popularity_kept=found.popularity_kept)) == 1
    assert found.temperature == 0.15 and ranking(softmax_temperature="auto").temperature == 0.2
    model, _, _ = build("MMSheaf", toy_settings)
    assert model.temperature == model.softmax.temperature == auto_temperature(model.softmax.counts)


def test_without_popularity_nothing_is_open_and_bpr_has_none(toy_settings):
    for settings in ({"loss": "bpr"}, {"loss": "softmax", "softmax_popularity": 0.0}):
        model, _, _ = build("LightGCN", {**toy_settings, **settings})
        assert len(model.weighings) == 1 and model.weighing.popularity_kept == 0.0
        assert "weighing_numbers" not in model.state_dict()


def test_squared_norms_count_a_row_as_often_as_it_is_named():
    table, rows = torch.randn(6, 3), torch.tensor([0, 5, 5, 2])
    torch.testing.assert_close(squared_norms(rows, table), table[rows].square().sum())


def test_a_contrast_takes_distinct_nodes_and_never_too_many(toy_settings, monkeypatch):
    model, _, _ = build("MGCN", {**toy_settings, "loss": "softmax"})
    nodes = torch.arange(20).repeat(2)
    assert torch.equal(model.contrasted(nodes), torch.arange(20))
    monkeypatch.setattr(multimodal, "CONTRASTED", 7)
    taken = model.contrasted(nodes)
    assert len(taken) == 7 == len(taken.unique()) and set(taken.tolist()) < set(range(20))
    assert len({tuple(model.contrasted(nodes).tolist()) for _ in range(5)}) > 1  # each batch draws anew
    under_bpr, _, _ = build("MGCN", {**toy_settings, "loss": "bpr"})
    assert torch.equal(under_bpr.contrasted(nodes), torch.arange(20))


def test_freedom_has_a_softmax_of_content_for_each_modality(toy_settings):
    """Among the items that have a row: neither the others' pairs nor they themselves count."""
    settings = {**toy_settings, "loss": "softmax", "edge_dropout": 0.0, "modality_loss_weight": 3.0}
    model, batch, _ = build("FREEDOM", settings)
    users, items, _ = triples = model.triples(batch)
    user_all, item_all = model()
    expected = model.ranking_loss(user_all, item_all, triples)
    shares = []
    for project in model.projections:
        present = project.present.squeeze(1)
        kept, place = present[items], present.long().cumsum(0)
        content = torch.cat([torch.zeros(1, 8), project()[present]])  # renumbered, and no absent item in any sum
        shares.append(kept.float().mean())
        expected = expected + 3 * shares[-1] * slow_loss(user_all, content, (users[kept], place[items[kept]]), 0.2)
    assert shares[0] == 1 > shares[1]
    torch.testing.assert_close(model.calculate_loss(batch), expected)


def test_the_sampled_softmax_learns_too_and_a_seed_fixes_its_draws(toy_settings):
    settings = {**toy_settings, "epochs": 3, "softmax_items": 20, "loss": "softmax"}
    losses = [run_models(["VBPR"], "toy", overrides={**settings, "seed": seed})[0].train_loss for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2] and np.isfinite(losses).all()


def test_each_step_draws_anew_from_the_global_seed():
    one, user_all, item_all = ranking(softmax_items=3), torch.randn(5, 3), torch.randn(6, 3)
    pairs = one.pairs(torch.tensor([4, 1]))
    torch.manual_seed(0)
    losses = [one.loss(user_all, item_all, pairs).item() for _ in range(8)]
    torch.manual_seed(0)
    assert losses == [one.loss(user_all, item_all, pairs).item() for _ in range(8)]
    assert len(set(losses)) > 2


@pytest.mark.parametrize("name", ["ItemKNN", "EASE", "Pop", "SGL", "BM3", "MultiVAE"])
def test_a_model_that_is_not_ready_refuses(toy_settings, name):
    del toy_settings["embedding_size"]
    with pytest.raises(ConfigError, match=f"{name} is not ready for loss: softmax, it has the loss it was published"):
        resolve_configs([name], "toy", [], {**toy_settings, "loss": "softmax"})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"loss": "sofmax"}, r"loss is 'sofmax', expected one of bpr, softmax \(did you mean 'softmax'\?\)"),
        ({"softmax_temperature": 0}, "softmax_temperature is 0, expected a number >= 0.001 and <= 1000 or auto"),
        ({"softmax_temperature": -0.2}, "softmax_temperature is -0.2, expected a number >= 0.001 and <= 1000"),
        ({"softmax_items": "some"}, "softmax_items is 'some', expected a whole number >= 1, auto or all"),
        ({"softmax_items": 0}, "softmax_items is 0, expected a whole number >= 1, auto or all"),
        ({"softmax_items": True}, "softmax_items is True, expected a whole number >= 1, auto or all"),
        ({"softmax_popularity": -1.0}, "softmax_popularity is -1.0, expected a number >= 0 or auto"),
        (
            {"softmax_popularity": 0.0, "popularity_kept": 0.5},
            "popularity_kept is 0.5, but softmax_popularity is 0: none to keep",
        ),
        (
            {"softmax_popularity": 0.0, "popularity_kept": [0.5, 1.0]},
            "popularity_kept is \\[0.5, 1.0\\], but softmax_p",
        ),
        ({"loss": "bpr", "softmax_popularity": 1.0}, "softmax_popularity is 1.0, but loss is bpr; set loss: softmax"),
        ({"popularity_kept": 1.5}, "popularity_kept is 1.5, expected a number >= 0 and <= 1 or a list"),
        ({"popularity_kept": []}, "popularity_kept is \\[\\], so validation has nothing to choose among"),
        ({"softmax_steps": 0}, "softmax_steps is 0, expected a whole number >= 1"),
        ({"train_neg_sample_args": {"dynamic": True}}, "samples no negatives, but train_neg_sample_args asks"),
    ],
)
@pytest.mark.parametrize("name", ["LightGCN", "MMSheaf"])
def test_settings_that_cannot_be_are_refused(toy_settings, name, settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve_configs([name], "toy", [], {**toy_settings, "loss": "softmax", **settings})


@pytest.mark.parametrize(
    "items, n, expected",
    [("auto", 50_000, None), ("auto", 50_001, 4096), ("all", 10**6, None), (10, 9, None), (9, 10, 9)],
)
def test_how_many_items_a_step_takes(items, n, expected):
    assert LossSettings(softmax_items=items).sampled(n) == expected
