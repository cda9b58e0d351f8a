"""What validation chooses of MMSheaf and ItemSheaf: the weighing of the sheaves and the form of the item sheaf."""

import itertools
import json
import logging
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from safetensors.torch import save_file

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint, restore
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import prepare, train
from recbole_sheaf.experiments.training_state import _counters
from recbole_sheaf.files.checkpoint_file import KEY
from recbole_sheaf.models import item_sheaf_forms, itemsheaf
from recbole_sheaf.models.item_sheaf_forms import MIXES, SHRINKAGES, Form, open_forms
from recbole_sheaf.models.mmsheaf import MMSheafSettings
from recbole_sheaf.models.weighing import (
    GRID,
    SAFE,
    Weighing,
    _searched,
    choose_form,
    weigh_on_validation,
    weighings,
)
from recbole_sheaf.workers.pools import ThisProcess
from tests.conftest import opened
from tests.models.skewed import by_history, write_skewed
from tests.models.test_contract import build

FIXED = {
    "item_sheaf_content": 2.0,
    "item_sheaf_neighbourhoods": 1.0,
    "item_sheaf_ridge": 1.0,
    "item_sheaf_dropout": 0.2,
    "item_sheaf_lift_power": 0.0,
    "item_graph_neighbours": 10,
}
EVERYTHING = dict.fromkeys(GRID, "auto")
PARTLY = {"item_sheaf_weight": [0.01, 2.0, 500.0], "item_sheaf_rarity": [0.0, 3.0], "item_sheaf_user_power": 0.5}
PARTLY["popularity_kept"] = 0.0
PARTLY["eval_args"] = {"split": {"RS": [0.25, 0.35, 0.4]}, "group_by": None}


def prepared(name, settings):
    """A trainer before its first epoch, of a model whose stalks are noise: only the item sheaf knows the tastes."""
    (config,) = resolve_configs([name], "toy", [], settings)
    return config, prepare(config, load_split(config))


def fitted(ready):
    """RecBole's part of a training alone, as `Trainer.fit` was before it was told of validation."""
    ready.trainer.eval_collector.data_collect(ready.train_data)
    ready.trainer._save_checkpoint(0, verbose=False)
    score, result = ready.trainer._valid_epoch(ready.valid_data)
    ready.trainer.best_valid_score, ready.trainer.best_valid_result = score, result
    return score


def test_open_weighings_are_the_product_and_training_starts_from_the_safe_one():
    everything = weighings(**EVERYTHING)
    assert everything[0] == SAFE and len(set(everything)) == len(everything)
    assert set(everything) == {Weighing(*values) for values in itertools.product(*GRID.values())}
    some = weighings(item_sheaf_weight=[1.0, 2.0], item_sheaf_rarity=4.0, item_sheaf_user_power=0.0)
    assert some == [Weighing(1.0, 4.0, 0.0, 0.0), Weighing(2.0, 4.0, 0.0, 0.0)]


def test_scores_of_every_weighing_are_those_of_the_model_weighed_so(toy_settings):
    """Some items without training interactions, so that rarity matters."""
    settings = {**toy_settings, "eval_args": {"split": {"RS": [0.25, 0.35, 0.4]}, "group_by": None}}
    model = build("MMSheaf", {**settings, **FIXED})[0].eval()
    users = torch.tensor([3, 1, 7])
    with torch.no_grad():
        found = [scores.clone() for scores in model.scored_by(model.weighings)(users)]
        assert len(found) == len(model.weighings) == 150
        for weighing, scores in zip(model.weighings, found):
            model.weigh(weighing)
            expected = model.full_sort_predict(Interaction({"user_id": users})).view(scores.shape)
            torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
    assert len({tuple(scores[0].topk(5).indices.tolist()) for scores in found}) > 5


def gains_over(first, results):
    """By how much recall and NDCG are higher at every k, as shares of what they are under the first; their means."""
    names = [name for name in first if name.startswith(("recall", "ndcg"))]
    assert len(names) == 6
    return [float(np.mean([found[name] / first[name] - 1 for name in names])) for found in results]


@pytest.mark.parametrize("metric", ["Recall@10", "MRR@10", "ItemCoverage@10"])
def test_validation_takes_the_weighing_that_ranks_best(toy_settings, metric):
    """Against RecBole's own evaluation of each; coverage is no metric of hits, and everything stays as in training."""
    settings = {**toy_settings, **FIXED, **PARTLY, "valid_metric": metric, "softmax_temperature": 0.05}
    settings["metrics"] = ["Recall", "NDCG", metric.partition("@")[0]]
    _config, ready = prepared("MMSheaf", settings)
    trainer, model = ready.trainer, ready.model
    started = model.weighing
    before = fitted(ready)
    results = []
    for weighing in model.weighings:
        model.weigh(weighing)
        results.append(trainer.evaluate(ready.valid_data, load_best_model=False))
    model.weigh(started)
    with torch.no_grad():  # epochs after the best one
        for parameter in model.parameters():
            parameter.normal_()
    weigh_on_validation(trainer, ready.valid_data)
    if metric.startswith("ItemCoverage"):
        assert model.weighing == started
        return
    gains = gains_over(results[0], results)
    best = int(np.argmax(gains))
    assert gains[best] > 0.02 and model.weighing == model.weighings[best]
    assert trainer.best_valid_score == trainer.best_valid_result[metric.lower()] == results[best][metric.lower()]
    assert trainer.best_valid_score >= before
    model.weigh(started)
    trainer.load_best()
    assert model.weighing == model.weighings[best]  # what was chosen is in the file of the best epoch


def test_the_fewer_users_asked_the_choice_may_be_wrong_but_never_worse_than_before(toy_settings, monkeypatch):
    """Whatever the sample says, the whole validation part has the last word."""
    _config, ready = prepared("MMSheaf", {**toy_settings, **FIXED, **PARTLY, "softmax_temperature": 0.05})
    before, started = fitted(ready), ready.model.weighing
    worst = {}
    for weighing in ready.model.weighings:
        ready.model.weigh(weighing)
        worst[weighing] = ready.trainer.evaluate(ready.valid_data, load_best_model=False)["recall@10"]
    ready.model.weigh(started)
    wrong = min(worst, key=worst.get)
    assert worst[wrong] < before
    monkeypatch.setattr("recbole_sheaf.models.weighing._searched", lambda options, judged: wrong)
    weigh_on_validation(ready.trainer, ready.valid_data)
    assert ready.model.weighing == started and ready.trainer.best_valid_score == before


@pytest.mark.parametrize(("name", "epochs"), [("MMSheaf", 7), ("LightGCN", 4)])
def test_training_goes_on_while_the_stalks_alone_get_better(toy_settings, monkeypatch, name, epochs):
    """The sum of the sheaves is best at once; the stalks learn for three more epochs, and then nothing for three."""
    monkeypatch.setattr("recbole_sheaf.models.weighing.LEAST_STEPS", 0)
    settings = {**toy_settings, "epochs": 30, "stopping_step": 2}
    if name == "MMSheaf":
        settings |= {**FIXED, "item_sheaf_weight": 8.0, "item_sheaf_rarity": 1.0, "item_sheaf_user_power": 0.5}
    _, ready = prepared(name, settings)
    of_the_sum, of_the_stalks, heard = iter([1.0] + [0.9] * 29), iter([0.1, 0.2, 0.3] + [0.4] * 27), []
    monkeypatch.setattr(ready.trainer, "_valid_epoch", lambda *given, **named: (next(of_the_sum), {"recall@10": 0.0}))
    judged = "recbole_sheaf.models.weighing._judged"
    monkeypatch.setattr(judged, lambda *given, **named: [torch.tensor([[next(of_the_stalks)]])])
    ready.trainer.fit(ready.train_data, ready.valid_data, callback_fn=lambda *validated: heard.append(validated))
    assert heard == list(enumerate([1.0] + [0.9] * (epochs - 1))) and ready.trainer.best_valid_score == 1.0
    if name == "MMSheaf":
        assert ready.model.best_of_stalks == pytest.approx(0.4)
        assert _counters(ready.model)["best_of_stalks"] == ready.model.best_of_stalks  # a resumed training is told


def test_early_stopping_does_not_count_the_first_steps(toy_settings, monkeypatch):
    """Nothing gets better after the first: nine epochs are not counted, and three end the training."""
    _, ready = prepared("MMSheaf", {**toy_settings, **FIXED, "epochs": 30, "stopping_step": 2})
    steps = len(ready.train_data)
    monkeypatch.setattr("recbole_sheaf.models.weighing.LEAST_STEPS", 9 * steps + 1)
    validated = []
    scores = iter([1.0] + [0.9] * 29)
    monkeypatch.setattr(ready.trainer, "_valid_epoch", lambda *given, **named: (next(scores), {"recall@10": 0.0}))
    monkeypatch.setattr("recbole_sheaf.models.weighing._judged", lambda *given, **named: [torch.tensor([[0.1]])])
    monkeypatch.setattr("recbole_sheaf.models.weighing.weigh_on_validation", lambda *given: None)
    ready.trainer.fit(ready.train_data, ready.valid_data, callback_fn=lambda epoch, score: validated.append(epoch))
    assert validated == list(range(9 + 3)) and steps > 1


def test_stalks_are_judged_without_the_item_sheaf(toy_settings):
    """But with the share of popularity that the sum has: half of it while the epochs are trained."""
    _, ready = prepared("MMSheaf", {**toy_settings, **FIXED})
    ready.model.eval()
    users = torch.tensor([3, 1, 7])
    with torch.no_grad():
        alone = next(ready.model.scored_by([Weighing(0.0, 0.0, 0.0, 0.5)])(users))
        torch.testing.assert_close(ready.model.stalk_scores(users) / ready.model.temperature, alone)


@pytest.mark.parametrize("name", ["MMSheaf", "SheafRec"])
def test_popularity_alone_is_chosen_where_there_is_no_item_sheaf(toy_settings, name, tmp_path):
    own = {**toy_settings, "item_sheaf_weight": 0.0, "softmax_popularity": 1.0, "epochs": 2}
    own |= {"modalities": ["text"]} if name == "SheafRec" else {}
    (config,) = resolve_configs([name], "toy", [], own)
    result = train(config, load_split(config), tmp_path).result
    assert set(result.chosen) == {"popularity_kept"}
    model = restore(result.checkpoint, own["data_path"]).model
    users = torch.tensor([3, 1, 7])
    with torch.no_grad():
        scores = next(model.scored_by([model.weighing])(users)) / model.temperature
        listed = model.full_sort_predict(Interaction({"user_id": users})).view(scores.shape)
    torch.testing.assert_close(scores, listed, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lucky", [True, False])
def test_a_difference_within_its_standard_error_leaves_the_first(lucky):
    """One user in a hundred finds one item more: the mean is higher, as it is half of the time without a difference."""
    first = torch.full((100, 2), 0.5)
    better = first.clone()
    better[0 if lucky else slice(None, None, 4)] += 0.1
    gains = ((better - first) / 0.5).mean(1)
    assert gains.mean() > 0 and (gains.mean() > gains.std() / 10) == (not lucky)
    options = [Weighing(8.0, 1.0, 0.5, 0.0), Weighing(2.0, 1.0, 0.5, 0.0)]
    found = dict(zip(options, (first, better)))
    assert _searched(options, lambda asked: [found[each] for each in asked]) == options[0 if lucky else 1]


def test_the_search_follows_one_part_of_a_weighing_after_another():
    """Values that rise to one corner: it is reached, and no weighing is judged twice, nor are all."""
    options = weighings(**EVERYTHING)
    judged = []

    def judge(asked):
        judged.extend(asked)
        signs = (1, 1, -1, 1)  # of omega, kappa, gamma and pi
        heights = [1.0 + sum(sign * value for sign, value in zip(signs, astuple(each))) for each in asked]
        return [torch.full((4, 1), height) for height in heights]

    assert _searched(options, judge) == Weighing(32.0, 3.0, 0.0, 1.0)
    assert len(set(judged)) == len(judged) == 6 + 4 + 4 + 5  # of 150; the last go by kappa and gamma once more


def test_without_validation_the_safe_weighing_stays_and_the_log_says_so(toy_settings, caplog):
    _config, ready = prepared("MMSheaf", {**toy_settings, "epochs": 1})
    with caplog.at_level(logging.WARNING):
        ready.trainer.fit(ready.train_data, None, verbose=False)
    said = [record.message for record in caplog.records if "no validation interactions" in record.message]
    assert len(said) == 2 and "item sheaf takes its first form" in said[0] and "weighed as in training" in said[1]
    assert ready.model.weighing == SAFE and ready.model.closed_form.form == Form(*MIXES[0], *SHRINKAGES[0])


@pytest.mark.parametrize("name", ["MMSheaf", "ItemSheaf"])
def test_what_was_chosen_stands_in_the_result_and_in_the_checkpoint(toy_settings, tmp_path, name):
    own = {key: toy_settings[key] for key in toy_settings if name == "MMSheaf" or key != "embedding_size"}
    (config,) = resolve_configs([name], "toy", [], own)
    folder = tmp_path / "run"
    folder.mkdir()
    result = train(config, load_split(config), folder).result
    again = restore(result.checkpoint, own["data_path"])
    open_settings = 9 if name == "MMSheaf" else 4  # of the five of a form, as map dropout is one number
    assert again.model.chosen == result.chosen and len(result.chosen) == open_settings
    judged = evaluate_checkpoint(result.checkpoint, own["data_path"])
    assert judged["test"] == result.test
    assert {key: judged["valid"][key] for key in result.valid} == result.valid
    assert config["item_sheaf_weight" if name == "MMSheaf" else "ridge"] == "auto"  # seeds stay rows of one model


def test_a_checkpoint_keeps_a_choice_that_is_not_the_first(toy_settings, tmp_path, monkeypatch):
    """Of 150 weighings and nine forms the last, whatever validation says."""
    (config,) = resolve_configs(["MMSheaf"], "toy", [], toy_settings)
    monkeypatch.setattr("recbole_sheaf.models.weighing._best", lambda tried, first: list(tried)[-1])
    monkeypatch.setattr("recbole_sheaf.models.weighing._settled", lambda tried, first, best: best)
    folder = tmp_path / "run"
    folder.mkdir()
    ready = prepare(config, load_split(config))
    choose_form(ready.trainer, ready.valid_data)
    assert ready.model.closed_form.form == Form(*MIXES[-1], *SHRINKAGES[-1])
    ready.model.weigh(ready.model.weighings[-1])
    ready.trainer.saved_model_file = str(folder / "best.safetensors")
    ready.trainer._save_checkpoint(0, verbose=False)
    again = restore(folder / "best.safetensors", toy_settings["data_path"]).model
    assert again.weighing == ready.model.weighings[-1] and again.closed_form.form == Form(*MIXES[-1], *SHRINKAGES[-1])
    everyone = Interaction({"user_id": torch.arange(again.n_users)})
    torch.testing.assert_close(again.full_sort_predict(everyone), ready.model.eval().full_sort_predict(everyone))


@pytest.mark.parametrize("name", ["ItemSheaf", "MMSheaf"])
def test_a_checkpoint_from_before_modalities_shared_by_their_lift_loads(toy_settings, tmp_path, name):
    """Its form was given, so it holds no number of one, and no word of a lift."""
    given = {"ridge": 1.0, "map_dropout": 0.2, "content_weight": 2.0, "neighbourhood_weight": 1.0, "lift_power": 0.0}
    settings = {**toy_settings, **FIXED} if name == "MMSheaf" else {**toy_settings, **given}
    settings = {key: value for key, value in settings.items() if name == "MMSheaf" or key != "embedding_size"}
    (config,) = resolve_configs([name], "toy", [], settings)
    result = train(config, load_split(config), tmp_path).result
    about, held = opened(result.checkpoint)
    del about["settings"]["item_sheaf_lift_power" if name == "MMSheaf" else "lift_power"]
    save_file(held, tmp_path / "older.safetensors", {KEY: json.dumps(about)})
    again = restore(tmp_path / "older.safetensors", toy_settings["data_path"]).model
    assert again.closed_form.lift_powers == [0.0]


def test_open_forms_are_mixes_by_shrinkages_with_what_is_given_in_its_place():
    assert open_forms("auto", "auto", "auto", "auto") == [
        [Form(*mix, *shrinkage) for shrinkage in SHRINKAGES] for mix in MIXES
    ]
    assert open_forms(3.0, "auto", 7.0, 0.1) == [[Form(3.0, beta, 7.0, 0.1)] for beta in (3.0, 0.0)]
    assert open_forms(3.0, 0.0, 7.0, 0.1) == [[Form(3.0, 0.0, 7.0, 0.1)]]


def test_validation_takes_the_shrinkage_that_ranks_best_and_then_the_mix(toy_settings, monkeypatch):
    """Against a model of each form, evaluated by RecBole."""
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"} | {"lift_power": 0.0}
    own["eval_args"] = {"split": {"RS": [0.25, 0.35, 0.4]}, "group_by": None}

    def result(form):
        names = ("content_weight", "neighbourhood_weight", "ridge", "map_dropout")
        fixed = dict(zip(names, (form.content, form.neighbourhoods, form.ridge, form.map_dropout)))
        ready = prepared("ItemSheaf", {**own, **fixed})[1]
        fitted(ready)
        return ready.trainer.best_valid_result

    monkeypatch.setattr("recbole_sheaf.models.weighing._settled", lambda tried, first, best: best)
    _config, ready = prepared("ItemSheaf", own)
    choose_form(ready.trainer, ready.valid_data)
    rows = ready.model.closed_form.rows
    column = int(np.argmax(gains_over(result(rows[0][0]), [result(form) for form in rows[0]])))
    mixes = [result(row[column]) for row in rows]
    expected = rows[int(np.argmax(gains_over(mixes[0], mixes)))][column]
    assert ready.model.closed_form.form == expected
    fitted(ready)
    assert ready.trainer.best_valid_result == result(expected)


def test_a_mix_within_its_standard_error_of_the_first_is_not_taken_with_a_better_shrinkage(toy_settings, monkeypatch):
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"} | {"lift_power": 0.0}
    ready = prepared("ItemSheaf", own)[1]
    users = torch.tensor([0.1, 0.2, 0.3, 0.4]).unsqueeze(1).expand(4, 6)
    noise = torch.tensor([0.1, -0.1, 0.1, -0.06]).unsqueeze(1)  # its mean .01, its standard error .053
    heights = iter([users, users + 0.1, users + 0.2, users + 0.2 + noise, users + 0.1])
    monkeypatch.setattr("recbole_sheaf.models.weighing._judged", lambda *_: [next(heights)])
    choose_form(ready.trainer, ready.valid_data)
    assert ready.model.closed_form.form == Form(*MIXES[0], *SHRINKAGES[2])
    assert next(heights, None) is None


@pytest.mark.parametrize(("better", "expected"), [(0.2, 1.0), (0.0, 0.0)])
def test_modalities_share_by_their_lift_where_validation_says_so(toy_settings, monkeypatch, better, expected):
    """Asked last of what content is made of: of the best shrinkage and mix."""
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"}
    ready = prepared("ItemSheaf", own)[1]
    users = torch.tensor([0.1, 0.2, 0.3, 0.4]).unsqueeze(1).expand(4, 6)
    heights = iter([users, users + 0.1, users, users + 0.5, users, users + 0.5 + better])
    monkeypatch.setattr("recbole_sheaf.models.weighing._judged", lambda *_: [next(heights)])
    choose_form(ready.trainer, ready.valid_data)
    assert ready.model.closed_form.form == Form(*MIXES[1], *SHRINKAGES[1], lift_power=expected)
    assert ready.model.closed_form.chosen(itemsheaf.FORM_SETTINGS)["lift_power"] == expected
    assert next(heights, None) is None


def test_the_forms_of_before_keep_their_numbers(toy_settings):
    """By which a checkpoint names its own: modalities shared alike then."""
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"}
    forms = prepared("ItemSheaf", own)[1].model.closed_form.forms
    before = [Form(*mix, *shrinkage) for mix in MIXES for shrinkage in SHRINKAGES]
    assert forms == before + [replace(form, lift_power=1.0) for form in before]


@pytest.mark.parametrize("settings", [{"modalities": ["image"]}, {"content_weight": 0, "neighbourhood_weight": 0}])
def test_what_is_not_shared_is_not_asked(toy_settings, settings):
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"}
    assert prepared("ItemSheaf", {**own, **settings})[1].model.closed_form.lift_powers == [0.0]


@pytest.mark.parametrize(("arcs", "tried"), [(0, 0), (9, 5), (4, 4)])
def test_forms_of_a_local_sheaf_are_tried_on_fewer_arcs_than_the_chosen_one_has(toy_settings, monkeypatch, arcs, tried):
    monkeypatch.setattr("recbole_sheaf.models.item_sheaf_forms.ARCS_TO_CHOOSE", 5)
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"}
    _, ready = prepared("ItemSheaf", {**own, "item_sheaf_neighbours": arcs})
    asked, fit = [], item_sheaf_forms.fit_item_sheaf
    monkeypatch.setattr(
        item_sheaf_forms,
        "fit_item_sheaf",
        lambda signals, **given: asked.append(given["neighbours"]) or fit(signals, **given),
    )
    choose_form(ready.trainer, ready.valid_data)
    assert len(asked) >= len(ready.model.closed_form.rows) and set(asked) == {tried}
    asked.clear()
    graph = getattr(ready.model.closed_form.sheaf, "graph", None)
    assert set(asked) <= {arcs} and (graph is None or int(graph.in_degrees.max()) == arcs)


@pytest.mark.parametrize("neighbours", [0, 4])
def test_fits_of_a_choice_share_what_is_the_same_and_the_chosen_one_is_not_made_again(
    toy_settings, monkeypatch, neighbours
):
    """The third shrinkage is best and neither mix nor lift is: the sheaf is the one of a fit alone, to the last digit.

    Of the six forms three are the first mix's, two others have no neighbourhoods and one has those of other shares.
    """
    monkeypatch.setattr("recbole_sheaf.layers.item_sheaf.FULL_UP_TO", 0)
    made, fits = [], []
    for name in ("users_gram", "item_signals"):
        make = getattr(item_sheaf_forms, name)
        own = lambda *given, name=name, make=make: made.append(name) or make(*given)  # noqa: E731
        monkeypatch.setattr(item_sheaf_forms, name, own)
    fit = item_sheaf_forms.fit_item_sheaf
    keep = lambda signals, **given: fits.append(fit(signals, **given)) or fits[-1]  # noqa: E731
    monkeypatch.setattr(item_sheaf_forms, "fit_item_sheaf", keep)
    users = torch.tensor([0.1, 0.2, 0.3, 0.4]).unsqueeze(1).expand(4, 6)
    heights = iter([users, users + 0.1, users + 0.3, users, users, users])
    monkeypatch.setattr("recbole_sheaf.models.weighing._judged", lambda *_: [next(heights)])
    settings = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"}
    ready = prepared("ItemSheaf", {**settings, "item_sheaf_neighbours": neighbours})[1]
    closed_form = ready.model.closed_form
    choose_form(ready.trainer, ready.valid_data)
    assert closed_form.form == closed_form.rows[0][2] and closed_form.sheaf is fits[2] and len(fits) == 6
    assert made.count("item_signals") == 4 and made.count("users_gram") == (3 if neighbours else 0)
    tried = [*closed_form.rows[0], *(row[2] for row in closed_form.rows[1:])]
    tried.append(replace(tried[2], lift_power=1.0))
    for form, found in zip(tried, fits[:6]):  # of fits apart
        closed_form.take(form)
        assert equal_sheaves(closed_form.sheaf, found)
    assert len(fits) == 12  # each was let go of when another was taken


def equal_sheaves(found, expected):
    """Whether all that they are made of is the same, to the last digit."""
    buffers = dict(expected.named_buffers())
    return buffers.keys() == dict(found.named_buffers()).keys() and all(
        torch.equal(each, buffers[name]) for name, each in found.named_buffers()
    )


def test_a_slow_choice_says_how_many_forms_are_left(toy_settings, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.models.weighing.SLOW", -1)
    monkeypatch.setattr("recbole_sheaf.models.weighing._settled", lambda tried, first, best: best)
    ready = prepared("ItemSheaf", {key: toy_settings[key] for key in toy_settings if key != "embedding_size"})[1]
    said = []
    monkeypatch.setattr(ready.trainer.logger, "info", said.append)
    choose_form(ready.trainer, ready.valid_data)
    left = [line.partition(", ")[2] for line in said if "was tried" in line]
    assert (
        left == ["5 more to try", "4 more to try", "3 more to try", "2 more to try", "1 more to try"]
        and "chooses the form" in said[-1]
    )


@pytest.mark.parametrize(
    ("settings", "inside", "expected"),
    [
        ({}, False, None),
        ({"item_sheaf_workers": 2}, False, ("ProcessWorkers", 2)),
        ({"item_sheaf_workers": 2}, True, None),  # a worker starts none
        ({"item_sheaf_workers": 2, "item_sheaf_neighbours": 0}, False, None),
        ({"item_sheaf_workers": 2, "item_sheaf_ray_address": "local"}, False, ("RayWorkers", "local", 1)),
    ],
)
def test_local_maps_are_learnt_by_who_is_asked(toy_settings, monkeypatch, settings, inside, expected):
    """With workers in the place of which this process works: the maps are the same, and they learnt them."""
    asked, calls = [], []

    def here(name):
        class Asked(ThisProcess):
            def __init__(self, *given):
                asked.append((name, *given))

            def submit(self, call, *given):
                calls.append(call.__name__)
                return super().submit(call, *given)

        return Asked

    for name in ("ProcessWorkers", "RayWorkers"):
        monkeypatch.setattr(item_sheaf_forms, name, here(name))
    monkeypatch.setattr(item_sheaf_forms, "cannot_have_workers", lambda: inside)
    monkeypatch.setattr(item_sheaf_forms, "ThisProcess", type("Alone", (ThisProcess,), {}))
    own = {key: toy_settings[key] for key in toy_settings if key != "embedding_size"}
    own |= {
        "item_sheaf_neighbours": 4,
        "ridge": 20.0,
        "map_dropout": 0.5,
        "content_weight": 1,
        "neighbourhood_weight": 3,
    }
    learnt = prepared("ItemSheaf", {**own, **settings})[1].model.closed_form.sheaf
    assert asked == ([] if expected is None else [expected])
    assert set(calls) == (set() if expected is None else {"arcs_of_shard", "maps_of_shard"})
    if settings.get("item_sheaf_neighbours") != 0:
        alone = prepared("ItemSheaf", own)[1].model.closed_form.sheaf
        assert torch.equal(learnt.weights, alone.weights) and torch.equal(learnt.graph.src, alone.graph.src)


def test_without_content_only_the_shrinkage_is_open(toy_settings):
    model = build("MMSheaf", {**toy_settings, "modalities": []})[0]
    assert model.closed_form.forms == [Form(0.0, 0.0, *shrinkage) for shrinkage in SHRINKAGES]
    assert not model.closed_form.signals().content.numel()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"item_sheaf_weight": []}, "item_sheaf_weight is \\[\\], so validation has nothing to choose among"),
        ({"item_sheaf_rarity": [1.0, -1.0]}, "an entry of item_sheaf_rarity is -1.0, expected a number >= 0"),
        ({"item_sheaf_user_power": 2.0}, "item_sheaf_user_power is 2.0, expected a number >= 0 and <= 1"),
        ({"item_sheaf_weight": "automatic"}, "item_sheaf_weight is 'automatic', expected .*auto"),
        ({"item_sheaf_content": "auto "}, "item_sheaf_content is 'auto ', expected a number >= 0 or auto"),
        ({"item_sheaf_nearest": 0}, "item_sheaf_nearest is 0, expected a whole number >= 1"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_choices_that_are_none_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        MMSheafSettings(**settings)


def test_more_nearest_items_than_there_are_is_refused(toy_settings):
    settings = {**toy_settings, **FIXED, "item_sheaf_nearest": 200}
    with pytest.raises(ConfigError, match="200 nearest items in image were asked for, but there are 60 items"):
        build("MMSheaf", settings)


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked_shapes")
def test_no_history_is_flooded_by_items_that_nobody_chose(workplace):
    """Histories of 1 to 200 and items new since training: of each stratum the share of new items among the first 20.

    It stays within twice their share of what was chosen at test, or one in twenty; recall within noise of the stalks
    alone. With one fixed weight, the rarity of sparse data, no growth, much content at a small ridge and no popularity,
    long histories are flooded, which shows that the data would tell.
    """
    write_skewed(workplace / "data" / "skewed")
    served, scores = {}, {}
    flooding = {"item_sheaf_weight": 8.0, "item_sheaf_rarity": 3.0, "item_sheaf_user_power": 0.0}
    flooding.update(item_sheaf_content=5.0, item_sheaf_neighbourhoods=0.0, item_sheaf_ridge=20.0)
    flooding.update(softmax_popularity=0.0)
    alone = {"item_sheaf_weight": 0.0}
    for name, own in {"auto": {}, "flooding": flooding, "stalks": alone}.items():
        settings = {"data_path": str(workplace / "data"), "benchmark_filename": ["train", "valid", "test"]}
        settings.update(show_progress=False, state="warning", epochs=40, cache_dir=str(workplace / "cache"), **own)
        (config,) = resolve_configs(["MMSheaf"], "skewed", [], settings)
        split = load_split(config)
        trained = train(config, split)
        served[name], scores[name] = by_history(trained, split), trained.result.test
    for name, found in served.items():  # RecBole computes the same
        assert found["all"].recall == pytest.approx(scores[name]["recall@20"], abs=1e-4)
        assert found["all"].ndcg == pytest.approx(scores[name]["ndcg@20"], abs=1e-4)
    for stratum, found in served["auto"].items():
        assert found.new_in_lists <= max(2 * found.new_held_out, 0.05), (stratum, found)
    for strata in (("1-2",), ("3-5",), ("6-10",), ("11-20", "21-40", "41-200")):  # of at least 250 users
        recalls = {name: _recall_of([served[name][stratum] for stratum in strata]) for name in ("auto", "stalks")}
        assert recalls["auto"] >= recalls["stalks"] - 0.03, (strata, recalls)
    assert served["auto"]["all"].recall > served["stalks"]["all"].recall + 0.01
    assert max(found.new_in_lists for found in served["flooding"].values()) > 0.3


def _recall_of(strata):
    users = [found.users for found in strata]
    assert sum(users) >= 250
    return np.average([found.recall for found in strata], weights=users)
