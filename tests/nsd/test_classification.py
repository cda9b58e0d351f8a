"""Node classification on a tiny planted graph: the protocol, its settings, its results and its refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from recbole_sheaf.errors import ConfigError, DataError, GraphError
from recbole_sheaf.nsd import classification
from recbole_sheaf.nsd.classification import accuracy, make_optimizer, run_folds, train_fold
from recbole_sheaf.nsd.data import load_node_classification, normalise_rows
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.discrete_diffusion import NeuralSheafDiffusion
from recbole_sheaf.nsd.results import summary
from recbole_sheaf.nsd.settings import (
    Classification,
    TrainingSettings,
    classification_for,
)
from recbole_sheaf.nsd.sparse_features import SparseFeatures
from recbole_sheaf.settings.config import properties_folder
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.settings.vocabulary import NODE_CLASSIFICATION_MAPS


def planted_arrays(n=60, seed=0):
    """Two classes of nodes joined within themselves; a third of the nodes has no feature, only its neighbours'."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = np.zeros((n, 4))
    features[np.arange(n), labels] = 1 + rng.random(n)
    features[rng.permutation(n)[: n // 3]] = 0
    pairs = np.array([(v, w) for v in range(n) for w in range(v + 1, n) if labels[v] == labels[w]])
    masks = np.zeros((3, 2, n), dtype=bool)
    for fold in range(2):
        for part, nodes in enumerate(np.split(rng.permutation(n), [n // 2, 3 * n // 4])):
            masks[part, fold, nodes] = True
    return {
        "node_features": features.astype(np.float32),
        "node_labels": labels,
        "edges": pairs[rng.permutation(len(pairs))[: 4 * n]],
        **dict(zip(["train_masks", "val_masks", "test_masks"], masks)),
    }


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "planted.npz", **planted_arrays())
    return tmp_path


@pytest.fixture
def data(folder):
    return load_node_classification("planted", folder)


def task_for(family, data, **training):
    sizes = dict(input_dim=data.features.shape[1], output_dim=data.num_classes, stalk_dim=2, hidden_channels=4)
    training = TrainingSettings(**{"max_epochs": 60, "patience": 30, **training})
    return Classification("planted", 7, DiffusionSettings(restriction_map=family, **sizes), training)


@pytest.mark.parametrize(  # the least and the most that is learnt; the others are slow
    "family",
    [
        pytest.param(family, marks=() if family in ("diagonal", "general") else pytest.mark.slow)
        for family in NODE_CLASSIFICATION_MAPS
    ],
)
def test_planted_classes_are_found(data, family):
    (result,) = run_folds(task_for(family, data), data, [1])
    assert result.fold == 1 and result.test_accuracy > 0.9


def test_seed_decides_and_callers_random_state_is_kept(data):
    features, task = SparseFeatures(data.features), task_for("diagonal", data, max_epochs=3)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = train_fold(task, data, features, 0)
    assert torch.equal(torch.rand(1), expected)
    second = train_fold(task, data, features, 0)
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)
    assert train_fold(replace(task, seed=8), data, features, 0).val_loss != first.val_loss


def test_test_nodes_do_not_choose_the_epoch(data):
    """Other labels on the test nodes change the test accuracy and nothing else."""
    features, task = SparseFeatures(data.features), task_for("orthogonal", data, max_epochs=15)
    labels = torch.where(data.test_masks[0], 1 - data.labels, data.labels)
    honest = train_fold(task, data, features, 0)
    flipped = train_fold(task, replace(data, labels=labels), features, 0)
    assert flipped.test_accuracy == pytest.approx(1 - honest.test_accuracy)
    assert replace(flipped, test_accuracy=0.0, seconds=0.0) == replace(honest, test_accuracy=0.0, seconds=0.0)


@pytest.mark.parametrize("stop_on", ["loss", "accuracy"])
def test_training_stops_after_patience(data, stop_on):
    task = task_for("identity", data, max_epochs=500, patience=4, stop_on=stop_on, learning_rate=0.5)
    result = train_fold(task, data, SparseFeatures(data.features), 0)
    assert result.num_epochs == result.best_epoch + 4 + 1 < 500


def test_result_is_the_best_validation_epoch(data, monkeypatch):
    seen = []
    validate = classification._validate

    def remember(*args):
        seen.append(validate(*args))
        return seen[-1]

    monkeypatch.setattr(classification, "_validate", remember)
    result = train_fold(task_for("general", data, max_epochs=20), data, SparseFeatures(data.features), 1)
    losses = [best.val_loss for best in seen]
    assert result.val_loss == min(losses) and result.best_epoch == losses.index(min(losses))
    assert result.test_accuracy == accuracy(seen[result.best_epoch].log_probs, data, data.test_masks[1])


def test_result_file_is_resumed(data, tmp_path, monkeypatch):
    path, task = tmp_path / "results" / "rows.jsonl", task_for("diagonal", data, max_epochs=2)
    first = run_folds(task, data, [0], path)
    both = run_folds(task, data, [0, 1], path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert both[0] == first[0] and [row["fold"] for row in rows] == [0, 1]
    assert rows[0]["settings"]["restriction_map"] == "diagonal" and rows[0]["seed"] == 7
    monkeypatch.setattr(classification, "train_fold", None)
    assert run_folds(task, data, [0, 1], path) == both
    with pytest.raises(TypeError):  # another seed has to train
        run_folds(replace(task, seed=8), data, [0], path)


def test_sheaf_learners_have_their_own_decay(data):
    training = TrainingSettings(weight_decay=0.1, sheaf_decay=0.2)
    model = NeuralSheafDiffusion(data.graph, task_for("orthogonal", data).diffusion)
    rest, sheaf = make_optimizer(model, training).param_groups
    assert (rest["weight_decay"], sheaf["weight_decay"]) == (0.1, 0.2)
    assert len(rest["params"]) + len(sheaf["params"]) == len(list(model.parameters()))
    assert len(sheaf["params"]) == model.settings.num_layers
    identity = NeuralSheafDiffusion(data.graph, task_for("identity", data).diffusion)
    assert len(make_optimizer(identity, training).param_groups) == 1


def test_summary_is_mean_and_deviation_over_folds(data):
    task = task_for("identity", data, max_epochs=1)
    result = run_folds(task, data, [0])[0]
    line = summary(task, [replace(result, test_accuracy=0.8), replace(result, test_accuracy=0.9)])
    assert "planted, identity maps, 2 folds: test accuracy 85.00 +- 5.00" in line


def test_every_settings_file_is_read(data):
    files = sorted((properties_folder() / "classification").glob("*.yaml"))
    assert {path.stem for path in files} >= {"texas", "wisconsin", "actor", "chameleon"}
    for path in files:
        task = classification_for(path.stem, data, 0, {"restriction_map": "identity"})
        assert task.diffusion.restriction_map == "identity"
        assert task.training.learning_rate == read_yaml(path)["learning_rate"]


def test_unknown_settings(data):
    with pytest.raises(ConfigError, match=r"the name 'droput' \(did you mean 'dropout'"):
        classification_for("texas", data, 0, {"droput": 0.5})
    with pytest.raises(ConfigError, match="there is no settings file .*nowhere.yaml"):
        classification_for("nowhere", data, 0)
    with pytest.raises(ConfigError, match="stop_on is 'f1', expected one of loss, accuracy"):
        TrainingSettings(stop_on="f1")
    with pytest.raises(ConfigError, match="learning_rate is 0.0, expected a number > 0"):
        TrainingSettings(learning_rate=0.0)


def test_bad_folds_and_rows(data, tmp_path):
    task = task_for("identity", data)
    with pytest.raises(DataError, match="planted has 2 folds, there is no fold 2"):
        run_folds(task, data, [2])
    path = tmp_path / "rows.jsonl"
    path.write_text('{"fold": 0}\n')
    with pytest.raises(DataError, match=r"rows.jsonl, line 1 is no row of results: 'test_accuracy'; move the file"):
        run_folds(task, data, [0], path)


@pytest.mark.parametrize("place", ["", "node-classification"])
def test_dataset_is_found_in_either_folder(tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    np.savez(tmp_path / place / "planted.npz", **planted_arrays())
    data = load_node_classification("planted", tmp_path)
    assert data.num_classes == 2 and data.graph.num_nodes == 60 and len(data.graph.row) == 2 * len(data.graph.upper)


def test_rows_are_normalised():
    rows = torch.tensor([[1.0, 3.0], [0.0, 0.0], [0.25, 0.25]])
    expected = torch.tensor([[0.25, 0.75], [0.0, 0.0], [0.25, 0.25]])
    torch.testing.assert_close(normalise_rows(rows), expected)


def spoiled(tmp_path, **changes):
    arrays = {name: value for name, value in {**planted_arrays(), **changes}.items() if value is not None}
    np.savez(tmp_path / "spoiled.npz", **arrays)
    return load_node_classification("spoiled", tmp_path)


def test_bad_datasets(folder):
    with pytest.raises(DataError, match="there is no cora.npz in .*; found there: planted"):
        load_node_classification("cora", folder)
    with pytest.raises(DataError, match="lacks edges; expected the arrays node_features, node_labels"):
        spoiled(folder, edges=None)
    masks = planted_arrays()["train_masks"]
    with pytest.raises(DataError, match="some node is in two of train, val and test of the same fold"):
        spoiled(folder, val_masks=masks)
    with pytest.raises(GraphError, match="is a self-loop at node 3"):
        spoiled(folder, edges=np.array([[0, 1], [3, 3]]))
    (folder / "broken.npz").write_text("not an archive")
    with pytest.raises(DataError, match="broken.npz is not a readable .npz file"):
        load_node_classification("broken", folder)
