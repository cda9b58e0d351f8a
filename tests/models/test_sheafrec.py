"""SheafRec takes one modality: the one that is named, or the one that foretells best what is chosen together."""

import logging

import numpy as np
import pytest
from recbole.config import Config

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint
from recbole_sheaf.experiments.runs import run_models
from tests.models.test_contract import build

LIFT = "recbole_sheaf.models.sheafrec.co_choice_lift"


@pytest.fixture
def with_noise(toy):
    """The toy dataset with one more modality, first by name, that knows nothing of the two tastes."""
    rows = np.random.default_rng(1).standard_normal((60, 8)).astype(np.float32)
    np.savez(toy / "toy" / "features" / "a_noise.npz", item_id=[f"i{item}" for item in range(60)], feature=rows)


@pytest.mark.usefixtures("with_noise")
def test_unnamed_the_modality_that_foretells_choices_is_taken_and_why_is_said(toy_settings, caplog):
    with caplog.at_level(logging.INFO):
        model = build("SheafRec", {**toy_settings, "modalities": "auto"})[0]
    assert list(model.modalities) == ["image"] == model.stalks.names  # text has the tastes too, of fewer items
    assert "SheafRec takes one modality, here 'image'" in caplog.text
    assert "(a_noise, 100% of the items), " in caplog.text and "(text, 90% of the items)" in caplog.text
    assert "name it in modalities, as in modalities: [a_noise]" in caplog.text


@pytest.mark.usefixtures("with_noise")
def test_the_modality_that_is_named_is_taken_whatever_it_knows(toy_settings, monkeypatch):
    monkeypatch.setattr(LIFT, lambda *_: pytest.fail("nothing is to be chosen"))
    assert list(build("SheafRec", {**toy_settings, "modalities": ["a_noise"]})[0].modalities) == ["a_noise"]


def test_a_name_that_is_not_there_is_refused_with_those_that_are(toy_settings):
    with pytest.raises(FeatureError, match=r"no modality 'imag' .*'image'.*; available: image, text;"):
        build("SheafRec", {**toy_settings, "modalities": ["imag"]})


@pytest.mark.parametrize("words", ["auto", "files_else_text", ["auto"], ["files_else_text"]])
def test_every_word_for_all_modalities_lets_the_model_choose(toy_settings, words):
    assert list(build("SheafRec", {**toy_settings, "modalities": words})[0].modalities) == ["image"]


@pytest.mark.parametrize(
    ("image", "text", "taken"), [(1.5, 1.52, "image"), (1.5, 1.6, "text"), (1.0, 1.0, "image"), (0.9, 1.0, "text")]
)
def test_what_counts_is_how_far_above_chance_times_the_share_of_items(toy_settings, monkeypatch, image, text, taken):
    """Of 60 items 54 have a text; of equals the first is taken."""
    given = iter((image, text))
    monkeypatch.setattr(LIFT, lambda *_: next(given))
    assert list(build("SheafRec", {**toy_settings, "modalities": "auto"})[0].modalities) == [taken]


def test_training_interactions_alone_choose(toy_settings, monkeypatch):
    asked = []
    monkeypatch.setattr(LIFT, lambda *arguments: asked.append(arguments) or 1.0)
    model = build("SheafRec", {**toy_settings, "modalities": "auto"})[0]
    half = model.graph.num_arcs // 2
    for _, _, users, items, n_users, n_items in asked:
        pairs = sorted(zip(users.tolist(), (items + model.n_users).tolist()))
        assert pairs == sorted(zip(model.graph.src[:half].tolist(), model.graph.dst[:half].tolist()))
        assert (n_users, n_items) == (model.n_users, model.n_items)
    src, dst = asked[0][:2]
    assert len(asked) == 2 and len(src) == len(dst) == 10 * 60 and max(src) <= 60


def test_a_checkpoint_stays_with_its_modality(toy_settings, monkeypatch):
    """What is written into it names the modality, so that nothing is chosen again."""
    given = iter((1.0, 2.0))
    monkeypatch.setattr(LIFT, lambda *_: next(given))
    (result,) = run_models(["SheafRec"], "toy", overrides={**toy_settings, "modalities": "auto"})
    assert result.config["modalities"] == ["text"] and list(result.modalities) == ["text"]
    again = evaluate_checkpoint(result.checkpoint)
    assert again["test"] == result.test and again["valid"] == result.valid


@pytest.mark.slow
def test_the_first_command_trains_on_ml_100k(workplace):
    overrides = {"epochs": 1, "show_progress": False, "state": "WARNING", "cache_dir": str(workplace / "cache")}
    (result,) = run_models(["SheafRec"], "ml-100k", overrides=overrides)
    assert result.config["modalities"] == ["title"] and result.test["recall@20"] > 0.1


def test_settings_without_several_modalities_are_left_alone(toy_settings):
    config = Config(model="SheafRec", dataset="toy", config_dict={**toy_settings, "modalities": ["text"]})
    build("SheafRec", {**toy_settings, "modalities": ["text"]})
    assert config["modalities"] == ["text"]
