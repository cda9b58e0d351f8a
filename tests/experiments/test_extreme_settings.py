"""A setting at the end of its range gives lists of items, or a sentence: never lists of nothing with exit code 0."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.utils import get_model

from recbole_sheaf.cli import main
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import ConfigError, SheafError
from recbole_sheaf.experiments.judging import judge
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.exports.sources import open_source
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings.rules import rules_of
from tests.conftest import CLOSED_FORM, content_of
from tests.embeddings.toys import restored

EXTREMES = (1e-30, 1e-10, 1e10, 1e30)
TEMPERATURES = [("BPR", "softmax_temperature"), ("MGCN", "temperature"), ("SLMRec", "ssl_temperature")]
TEMPERATURES += [("LGMRec", "temperature"), ("SLMRec", "temperature"), ("MMSheaf", "softmax_temperature")]


@pytest.mark.parametrize("value", EXTREMES)
@pytest.mark.parametrize("model, name", TEMPERATURES)
def test_a_temperature_without_meaning_is_refused(toy_settings, model, name, value):
    """Cosines over 1e-30 are beyond float32, and over 1e30 all alike."""
    with pytest.raises(ConfigError, match=f"{name} is .*, expected a number >= 0.001 and <= 1000"):
        resolve_configs([model], "toy", [], {**toy_settings, name: value})
    resolve_configs([model], "toy", [], {**toy_settings, name: 0.001})


def test_a_loss_that_is_no_number_is_told_in_a_sentence(toy, workplace, capsys):
    told = [
        "--embedding_size=8",
        "--epochs=1",
        "--train_batch_size=64",
        f"--data_path={toy}",
        "--valid_metric=Recall@10",
        "--state=error",
    ]
    assert main(["run", "--model=BPR", "--dataset=toy", "--learning_rate=1e30", *told]) == 2
    assert "the training loss of BPR is NaN; take the last setting back" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("mode", ["full", "uni10"])
def test_scores_that_rank_nothing_are_not_judged(toy_settings, value, mode):
    found = restored("BPR", {**toy_settings, "eval_args": {"mode": mode}})
    found.model.user_embedding.weight.data[3, 0] = value
    prepared = found.prepared
    prepared.trainer.eval_collector.data_collect(prepared.train_data)
    with pytest.raises(ConfigError, match="scores of BPR are NaN or infinite, so nothing ranks"):
        judge(prepared.trainer, prepared.test_data, found.config, found.split, load_best=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_scores_that_rank_nothing_are_not_exported_or_listed(toy_settings, value):
    found = restored("BPR", toy_settings)
    embeddings = embeddings_of(found)
    vectors = embeddings.user_vectors.copy()
    vectors[3] = value
    items = embeddings.item_vectors * np.float32(1e10)
    with pytest.raises(ConfigError, match="scores of 1 of 30 users are NaN or beyond float32, so nothing ranks"):
        list(top_lists(replace(embeddings, user_vectors=vectors, item_vectors=items), np.arange(30), 5))
    found.model.user_embedding.weight.data[:] = np.nan if np.isnan(value) else np.inf
    with pytest.raises(ConfigError, match="users are NaN or beyond float32, so nothing ranks"):
        embeddings_of(found)


def numbers():
    """Every setting of a model of ours that is a number, at the extremes that its rule lets pass."""
    for model in MODELS:
        for name, rule in rules_of(get_model(model).settings_class).items():
            for value in EXTREMES if rule.kind is float else ():
                if rule._allows(value):
                    yield model, name, value


@pytest.mark.slow
@pytest.mark.parametrize("model, name, value", numbers())
def test_every_number_gives_lists_or_a_sentence(toy_settings, model, name, value):
    settings = {**toy_settings, "epochs": 1, **content_of(model), name: value}
    if model in CLOSED_FORM:
        settings.pop("embedding_size", None)
    try:
        (result,) = run_models([model], "toy", overrides=settings)
        source = open_source(Path(result.checkpoint))
        lists = list(top_lists(source.embeddings, np.arange(30), 5, source.scores))
    except SheafError as error:
        assert "\n" not in str(error)
        return
    assert all(np.isfinite([*result.valid.values(), *result.test.values()]))
    assert all(len(items) == 5 and np.isfinite(scores).all() for some in lists for _, items, scores in some)
    assert torch.isfinite(torch.tensor(result.train_loss)).all()
