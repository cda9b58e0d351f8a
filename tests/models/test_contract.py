"""One contract that every model of ours passes, with one modality, several, and missing rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, init_seed

from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.registration import MODELS
from tests.conftest import write_toy

CASES = [(name, modalities) for name in sorted(MODELS) for modalities in ("auto", ["image"], ["text", "image"])]


def build(name, settings):
    """A model of the toy dataset and a batch of its training interactions."""
    config = Config(model=name, dataset="toy", config_dict=settings)
    init_seed(0, True)
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    init_seed(0, True)
    return get_model(name)(config, train_data.dataset), next(iter(train_data)), test_data


@pytest.mark.parametrize("name, modalities", CASES)
def test_every_parameter_gets_a_gradient(toy_settings, name, modalities):
    model, batch, _ = build(name, {**toy_settings, "modalities": modalities})
    for parameter in model.parameters():  # leave starts at zero, where some gradients vanish by symmetry
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.calculate_loss(batch).backward()
    without = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without
    assert all(torch.isfinite(value.grad).all() for value in model.parameters())


@pytest.mark.parametrize("name, modalities", CASES)
def test_predict_agrees_with_full_sort_predict(toy_settings, name, modalities):
    model, _, _ = build(name, {**toy_settings, "modalities": modalities})
    model.eval()
    users = torch.arange(1, 6)
    full = model.full_sort_predict(Interaction({"user_id": users})).view(5, -1)
    items = torch.arange(model.n_items)
    for row, user in zip(full, users):
        pairs = Interaction({"user_id": user.repeat(len(items)), "item_id": items})
        torch.testing.assert_close(model.predict(pairs), row)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_saving_and_loading_gives_the_same_scores(toy_settings, name):
    model, batch, _ = build(name, toy_settings)
    other, _, _ = build(name, toy_settings)
    for parameter in model.parameters():
        parameter.data += 0.1
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    model.eval(), other.eval()
    assert not torch.equal(model.full_sort_predict(everyone), other.full_sort_predict(everyone))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.full_sort_predict(everyone), other.full_sort_predict(everyone))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_ranking_follows_training(toy_settings, name):
    """The embeddings kept for ranking are forgotten as soon as the model trains."""
    model, batch, _ = build(name, toy_settings)
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    model.eval()
    before = model.full_sort_predict(everyone)
    model.train()
    model.calculate_loss(batch).backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    model.eval()
    assert not torch.equal(model.full_sort_predict(everyone), before)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_both_backends_give_the_same_loss(toy_settings, name):
    losses = []
    for backend in ("dgl", "torch"):
        model, batch, _ = build(name, {**toy_settings, "message_passing": backend})
        assert model.message_passing == backend
        model.eval()
        losses.append(model.calculate_loss(batch))
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_planted_taste_is_found(toy_settings, name):
    """Even users like even items: among unseen items the right half must come first."""
    settings = {**toy_settings, "epochs": 30, "learning_rate": 0.01, "topk": [20], "valid_metric": "Recall@20"}
    settings["eval_args"] = {"split": {"RS": [0.5, 0.2, 0.3]}}
    (result,) = run_models([name], "toy", overrides=settings)
    # at test 9 of 30 liked items are masked: a list of 20 holds 20 of the 21 others if the taste is known, and 20 of
    # the 51 unmasked items, that is 0.39 of the answers, if it is not
    assert result.test["recall@20"] > 0.75


@pytest.mark.parametrize("name", sorted(MODELS))
def test_content_decides_where_a_model_claims_to_use_it(toy_settings, name):
    """Shuffling the rows of the feature files across items changes what the model says."""
    folder = toy_settings["data_path"]
    before = run_models([name], "toy", overrides=toy_settings)[0].train_loss
    _shuffle_rows(folder)
    assert run_models([name], "toy", overrides=toy_settings)[0].train_loss != before


def _shuffle_rows(data_path):
    for path in sorted(Path(data_path).glob("toy/features/*.npz")):
        with np.load(path) as arrays:
            tokens, matrix = arrays["item_id"], arrays["feature"]
        np.savez(path, item_id=tokens, feature=matrix[np.random.default_rng(0).permutation(len(matrix))])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_rows_are_joined_by_token_and_not_by_place(toy_settings, name, tmp_path):
    """The same rows in another order in the file are the same features."""
    before = run_models([name], "toy", overrides=toy_settings)[0].train_loss
    for path in (tmp_path / "data" / "toy" / "features").glob("*.npz"):
        with np.load(path) as arrays:
            order = np.random.default_rng(1).permutation(len(arrays["item_id"]))
            tokens, matrix = arrays["item_id"][order], arrays["feature"][order]
        np.savez(path, item_id=tokens, feature=matrix)
    assert run_models([name], "toy", overrides=toy_settings)[0].train_loss == before


@pytest.mark.parametrize("name", sorted(MODELS))
def test_half_of_the_rows_missing_trains(toy_settings, name, tmp_path):
    for path in (tmp_path / "data" / "toy" / "features").glob("*.npz"):
        with np.load(path) as arrays:
            np.savez(path, item_id=arrays["item_id"][::2], feature=arrays["feature"][::2])
    (result,) = run_models([name], "toy", overrides=toy_settings)
    assert result.modalities["image"] == 0.5
    assert all(np.isfinite(result.train_loss))


def test_the_toy_dataset_is_what_it_says(tmp_path):
    write_toy(tmp_path / "toy")
    lines = (tmp_path / "toy" / "toy.inter").read_text().splitlines()[1:]
    assert len(lines) == 360
    assert all(int(user[1:]) % 2 == int(item[1:]) % 2 for user, item in (line.split("\t") for line in lines))
