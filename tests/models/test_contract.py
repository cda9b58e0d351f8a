"""One contract that every model of ours passes, with one modality, several, and missing rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, init_seed
from torch.nn.functional import cosine_similarity

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings.config import default_settings
from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS
from tests.conftest import (
    CLOSED_FORM,
    MESSAGES,
    TASTE,
    WITHOUT_CONTENT,
    WITHOUT_GRAPH,
    content_of,
    needs_dgl,
    write_toy,
)

WITH_CONTENT = sorted(set(MODELS) - set(WITHOUT_CONTENT))
TRAINED = sorted(set(MODELS) - set(CLOSED_FORM))
SEVERAL = [name for name in WITH_CONTENT if not content_of(name)]
CASES = [(name, ["image"]) for name in sorted(MODELS)]
CASES += [(name, modalities) for name in SEVERAL for modalities in ("auto", ["text", "image"])]
LOSSES = {name: getattr(get_model(name), "losses", ()) for name in MODELS}
BY_LOSS = [(name, modalities, loss) for name, modalities in CASES for loss in LOSSES[name]]
TRAINED_CASES = [case for case in BY_LOSS if case[0] in TRAINED]


def build(name, settings):
    """A model of the toy dataset and a batch of its training interactions."""
    config = Config(model=name, dataset="toy", config_dict={**content_of(name), **settings})
    init_seed(0, True)
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    init_seed(0, True)
    return get_model(name)(config, train_data.dataset), next(iter(train_data)), test_data


@pytest.mark.parametrize("name, modalities, loss", TRAINED_CASES)
def test_every_parameter_gets_a_gradient(toy_settings, name, modalities, loss):
    settings = {**toy_settings, "modalities": modalities, "loss": loss}
    if name == "MMSheaf":
        settings["item_graph_neighbours"] = 10  # with `auto` its shares wait for what validation says
    model, batch, _ = build(name, settings)
    for parameter in model.parameters():  # leave starts at zero, where some gradients vanish by symmetry
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.calculate_loss(batch).backward()
    without = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without
    assert all(torch.isfinite(value.grad).all() for value in model.parameters())


@pytest.mark.parametrize("source", ["content", "signal"])
@pytest.mark.parametrize("family", RESTRICTION_MAPS)
@pytest.mark.parametrize("name", ["MMSheaf", "SheafRec"])
def test_every_map_family_learns(toy_settings, name, family, source):
    settings = {**toy_settings, "restriction_map": family, "map_source": source, "stalk_dim": 2}
    model, batch, _ = build(name, settings)
    losses = []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(model.calculate_loss(batch))
        losses[-1].backward()
        without = [key for key, value in model.maps.named_parameters() if value.grad is None]
        assert not without
        optimizer.step()
    assert losses[-1] < losses[0]
    moved = [key for key, value in model.maps.named_parameters() if value.grad.any()]
    assert moved or family == "identity"


@pytest.mark.parametrize("family", RESTRICTION_MAPS)
def test_maps_that_may_not_leave_the_identity_are_the_control(toy_settings, family):
    """With map_mix 0, and for the families that start at the identity also untrained, the model is the control."""
    scores = []
    for settings in ({"restriction_map": "identity"}, {"restriction_map": family, "map_mix": 0.0}):
        model, _, _ = build("MMSheaf", {**toy_settings, **settings})
        model.eval()
        scores.append(model.full_sort_predict(Interaction({"user_id": torch.arange(model.n_users)})))
    torch.testing.assert_close(*scores)


@pytest.mark.parametrize("family", [name for name in RESTRICTION_MAPS if name != "wide"])
def test_learnt_maps_start_at_the_identity(toy_settings, family):
    model, _, _ = build("MMSheaf", {**toy_settings, "restriction_map": family})
    control, _, _ = build("MMSheaf", {**toy_settings, "restriction_map": "identity"})
    control.load_state_dict({key: value for key, value in model.state_dict().items() if "maps." not in key})
    model.eval(), control.eval()
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    torch.testing.assert_close(model.full_sort_predict(everyone), control.full_sort_predict(everyone))


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_identity_maps_without_content_are_lightgcn(toy_settings, loss):
    settings = {**toy_settings, "modalities": [], "restriction_map": "identity", "n_layers": 3, "loss": loss}
    settings.update(reg_weight=0.1, softmax_items=20, split_seed=2020)  # RecBole's model has none by default
    settings.update(softmax_popularity=0.7, popularity_kept=0.25)
    model, batch, _ = build("MMSheaf", {**settings, "item_sheaf_weight": 0.0, "softmax_temperature": 1.0})
    lightgcn, _, _ = build("LightGCN", {**settings, "softmax_temperature": 1.0})
    with torch.no_grad():
        lightgcn.user_embedding.weight.copy_(model.stalks.id_embedding[: model.n_users])
        lightgcn.item_embedding.weight.copy_(model.stalks.id_embedding[model.n_users :])
    everyone = Interaction({"user_id": torch.arange(1, model.n_users)})
    model.eval(), lightgcn.eval()
    ours, theirs = (m.full_sort_predict(everyone).view(model.n_users - 1, -1)[:, 1:] for m in (model, lightgcn))
    linked = model.graph.in_degrees[model.n_users + 1 :] > 0  # a node without arcs keeps its value with us
    torch.testing.assert_close(ours[:, linked], theirs[:, linked])
    if loss == "softmax":  # RecBole's L2 under BPR is another than ours
        model.train(), lightgcn.train()
        losses = []
        for each in (model, lightgcn):
            torch.manual_seed(0)
            losses.append(each.calculate_loss(batch))
        torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("SheafRec", {"modalities": ["text", "image"]}, "SheafRec takes one modality, but modalities gives"),
        ("SheafRec", {"modalities": []}, "neither a modality nor the ID stalk"),
        ("MMSheaf", {"modalities": [], "restriction_map": "wide"}, "is learnt from content, but modalities is empty"),
        ("MMGCN", {"modalities": []}, "MMGCN needs a modality"),
    ],
)
def test_content_that_does_not_fit_is_refused(toy_settings, name, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(name, {**toy_settings, **settings})


@pytest.mark.parametrize("name, modalities, loss", BY_LOSS)
def test_predict_agrees_with_full_sort_predict(toy_settings, name, modalities, loss):
    """Both are inner products, under the softmax cosines, of what forward gives; what is added has tests of its own."""
    alone = {"item_sheaf_weight": 0.0, "softmax_temperature": 1.0} if name in ("MMSheaf", "SheafRec") else {}
    alone = {**alone, "popularity_kept": 0.0} if loss == "softmax" and name not in CLOSED_FORM else alone
    alone = {"behaviour_weight": 0.0} if name == "BRIDGE" else alone
    model, _, _ = build(name, {**toy_settings, **alone, "modalities": modalities, "loss": loss})
    model.eval()
    users = torch.arange(1, 6)
    full = model.full_sort_predict(Interaction({"user_id": users})).view(5, -1)
    items = torch.arange(model.n_items)
    for row, user in zip(full, users):
        pairs = Interaction({"user_id": user.repeat(len(items)), "item_id": items})
        torch.testing.assert_close(model.predict(pairs), row)
    if name in CLOSED_FORM:
        return
    u, i = model()
    scores = u[users] @ i.T if loss == "bpr" else cosine_similarity(u[users].unsqueeze(1), i.unsqueeze(0), dim=2)
    torch.testing.assert_close(full, scores)


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_a_closed_form_has_nothing_to_train(toy_settings, name):
    model, batch, _ = build(name, toy_settings)
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    before = model.full_sort_predict(everyone)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    loss = model.train().calculate_loss(batch)
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    assert torch.equal(model.full_sort_predict(everyone), before)


@pytest.mark.parametrize("name, local", [*((name, {}) for name in CLOSED_FORM), *MESSAGES.items()])
def test_a_checkpoint_of_a_closed_form_is_loaded_into_the_same_scores(toy_settings, name, local):
    """Built from the same data and settings, as RecBole does before it loads, a model says the same to the last bit."""
    model, _, _ = build(name, {**toy_settings, **local})
    other, _, _ = build(name, {**toy_settings, **local})
    other.load_state_dict(model.state_dict())
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    assert torch.equal(model.full_sort_predict(everyone), other.full_sort_predict(everyone))


@pytest.mark.parametrize("name", TRAINED)
def test_saving_and_loading_gives_the_same_scores(toy_settings, name):
    model, _batch, _ = build(name, toy_settings)
    other, _, _ = build(name, toy_settings)
    for parameter in model.parameters():
        parameter.data += 0.1
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    model.eval(), other.eval()
    assert not torch.equal(model.full_sort_predict(everyone), other.full_sort_predict(everyone))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.full_sort_predict(everyone), other.full_sort_predict(everyone))


@pytest.mark.parametrize("name", TRAINED)
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


@pytest.mark.parametrize("name", ["VBPR", "Sheaf4Rec"])
def test_a_model_in_training_keeps_no_embeddings(toy_settings, name):
    model, _batch, _ = build(name, toy_settings)
    everyone = Interaction({"user_id": torch.arange(model.n_users)})
    before = model.train().full_sort_predict(everyone)
    for parameter in model.parameters():
        parameter.data += 0.1
    assert not torch.equal(model.full_sort_predict(everyone), before)


@needs_dgl
@pytest.mark.parametrize("name", sorted(set(MODELS) - set(WITHOUT_GRAPH)))
def test_both_backends_give_the_same_loss(toy_settings, name):
    losses, scores = [], []
    for backend in ("dgl", "torch"):
        chosen = {**MESSAGES.get(name, {}), "message_passing": backend, "loss": LOSSES[name][-1]}
        model, batch, _ = build(name, {**toy_settings, **chosen})
        assert model.message_passing == backend
        model.eval()
        losses.append(model.calculate_loss(batch))
        scores.append(model.full_sort_predict(Interaction({"user_id": torch.arange(model.n_users)})))
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*scores)


@pytest.mark.parametrize("name", WITHOUT_GRAPH)
def test_a_model_without_graph_builds_none(toy_settings, name):
    model, _, _ = build(name, toy_settings)
    assert not hasattr(model, "graph") and not hasattr(model, "message_passing")


def planted(name, loss):
    """Each model learns under the loss of its defaults, and one under the other too; the rest is slow."""
    usual = default_settings(name, "toy").get("loss", LOSSES[name][0])
    return pytest.param(name, loss, marks=() if loss == usual or name == "VBPR" else pytest.mark.slow)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name, loss", [planted(name, loss) for name in sorted(MODELS) for loss in LOSSES[name]])
def test_a_planted_taste_is_found(toy_settings, name, loss):
    """Even users like even items: among unseen items the right half must come first."""
    slowly = {"epochs": 30, "learning_rate": 0.01} if name == "Sheaf4Rec" else {}
    settings = {**toy_settings, **TASTE, **slowly, **content_of(name), "loss": loss}
    (result,) = run_models([name], "toy", overrides=settings)
    # at test 9 of 30 liked items are masked: a list of 20 holds 20 of the 21 others if the taste is known, and 20 of
    # the 51 unmasked items, that is 0.39 of the answers, if it is not; Sheaf4Rec under the softmax finds .70 to .76
    # over four seeds, every other model .84 or more
    assert result.test["recall@20"] > (0.65 if (name, loss) == ("Sheaf4Rec", "softmax") else 0.75)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name", WITH_CONTENT)
def test_content_decides_where_a_model_claims_to_use_it_and_is_joined_by_token(toy_settings, name):
    """The same rows in another order in the file are the same features; rows that change hands are others."""

    def loss():
        model, batch, _ = build(name, toy_settings)
        for parameter in model.parameters():  # leave starts at zero, at which content may not yet reach the loss
            parameter.data += 0.1 * torch.randn_like(parameter)
        return model.calculate_loss(batch).item()

    before = loss()
    _permute(toy_settings["data_path"], tokens_too=True)
    assert loss() == before
    _permute(toy_settings["data_path"], tokens_too=False)
    assert loss() != before


def _permute(data_path, tokens_too):
    for path in sorted(Path(data_path).glob("toy/features/*.npz")):
        with np.load(path) as arrays:
            tokens, matrix = arrays["item_id"], arrays["feature"]
        order = np.random.default_rng(1).permutation(len(matrix))
        np.savez(path, item_id=tokens[order] if tokens_too else tokens, feature=matrix[order])


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name", WITH_CONTENT)
def test_half_of_the_rows_missing_trains(toy_settings, name, tmp_path):
    for path in (tmp_path / "data" / "toy" / "features").glob("*.npz"):
        with np.load(path) as arrays:
            np.savez(path, item_id=arrays["item_id"][::2], feature=arrays["feature"][::2])
    settings = {**toy_settings, **content_of(name), "epochs": 1, "eval_step": 0}
    (result,) = run_models([name], "toy", overrides=settings)
    assert result.modalities["image"] == 0.5
    assert all(np.isfinite(result.train_loss))


def test_the_toy_dataset_is_what_it_says(tmp_path):
    write_toy(tmp_path / "toy")
    lines = (tmp_path / "toy" / "toy.inter").read_text().splitlines()[1:]
    assert len(lines) == 360
    assert all(int(user[1:]) % 2 == int(item[1:]) % 2 for user, item in (line.split("\t") for line in lines))
