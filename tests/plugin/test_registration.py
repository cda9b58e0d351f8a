"""RecBole's entry points know our models by name, with our defaults, in this process and in spawned workers."""

import importlib.util
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from recbole import quick_start
from recbole.config import Config
from recbole.data import create_dataset
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.trainer import HyperTuning
from recbole.utils import get_model
from recbole.utils.case_study import full_sort_topk

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.plugin import registration
from recbole_sheaf.settings.config import default_files
from recbole_sheaf.settings.settings_files import read_yaml
from tests.conftest import content_of

OURS = sorted(registration.MODELS)


@pytest.mark.parametrize("name", OURS)
def test_recbole_finds_our_class_once(name):
    ours = getattr(importlib.import_module(registration.MODELS[name]), name)
    assert get_model(name) is ours
    assert ours.__module__ == registration.MODELS[name]


def test_recbole_still_finds_its_own():
    assert get_model("BPR").__module__ == "recbole.model.general_recommender.bpr"
    assert importlib.util.find_spec("recbole.model.general_recommender.no_such_model") is None


def test_an_unknown_model_is_refused_with_the_nearest_names(toy_settings):
    with pytest.raises(ConfigError, match="there is no model 'MMShef' \\(did you mean 'MMSheaf'"):
        Config(model="MMShef", dataset="toy", config_dict=toy_settings)


def test_an_unknown_dataset_is_refused_with_the_nearest_names(toy_settings):
    with pytest.raises(DataError, match="toyy.*did you mean.*toy.*data_path=|toyy.*data_path=.*toy"):
        Config(model="MMSheaf", dataset="toyy", config_dict=toy_settings)


def test_a_misspelt_key_is_refused(toy_settings):
    with pytest.raises(ConfigError, match="'n_layer' \\(did you mean 'n_layers'"):
        Config(model="MMSheaf", dataset="toy", config_dict={**toy_settings, "n_layer": 3})


def test_defaults_come_in_recboles_order_of_precedence(toy_settings, workplace, monkeypatch):
    def resolved(key, files=None, **settings):
        given = {**toy_settings, **settings}
        return Config(model="MMSheaf", dataset="toy", config_file_list=files, config_dict=given)[key]

    model_yaml = read_yaml(default_files("MMSheaf", "toy")[1])
    assert resolved("n_layers") == model_yaml["n_layers"]
    (workplace / "mine.yaml").write_text("n_layers: 3\n")
    assert resolved("n_layers", files=["mine.yaml"]) == 3
    assert resolved("n_layers", files=["mine.yaml"], n_layers=4) == 4
    monkeypatch.setattr(sys, "argv", ["run", "--n_layers=5"])
    assert resolved("n_layers", files=["mine.yaml"], n_layers=4) == 5


def test_our_defaults_reach_our_models_and_none_of_recboles(toy_settings):
    ours, theirs = (Config(model=name, dataset="toy", config_dict=toy_settings) for name in ("MMSheaf", "BPR"))
    assert ours["split_seed"] == 2020
    assert not (set(read_yaml(default_files("BPR", "toy")[0])) - set(toy_settings)) & set(theirs.final_config_dict)


def test_our_commands_give_our_defaults_to_recboles_models_too(toy_settings):
    (config,) = resolve_configs(["BPR"], "toy", [], toy_settings)
    assert config["split_seed"] == 2020


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(  # a sheaf, a closed form and a baseline; the others are slow
    "name",
    [pytest.param(name, marks=() if name in ("MMSheaf", "ItemSheaf", "VBPR") else pytest.mark.slow) for name in OURS],
)
def test_run_recbole_and_load_data_and_model(toy_settings, workplace, name):
    result = run_recbole(model=name, dataset="toy", config_dict={**toy_settings, **content_of(name)})
    assert result["best_valid_score"] > 0
    (checkpoint,) = (workplace / "saved").glob(f"{name}-*.pth")
    config, model, dataset, _, _, test_data = load_data_and_model(str(checkpoint))
    users = dataset.token2id(dataset.uid_field, ["u0", "u1"])
    scores, items = full_sort_topk(users, model, test_data, k=5)
    assert items.shape == (2, 5) and torch.isfinite(scores).all()
    assert not (items == 0).any(), "the padding item is never recommended"
    assert config["model"] == name


def test_hyper_tuning_with_our_objective(toy_settings, workplace):
    settings = {**toy_settings, "epochs": 1, "model": "MMSheaf", "dataset": "toy"}
    (workplace / "fixed.yaml").write_text("\n".join(f"{key}: {value}" for key, value in settings.items()))
    search = HyperTuning(
        quick_start.objective_function,
        algo="exhaustive",
        params_dict={"choice": {"n_layers": [1, 2]}},
        fixed_config_file_list=["fixed.yaml"],
    )
    search.run()
    assert len(search.params2result) == 2
    assert {result["model"] for result in search.params2result.values()} == {"MMSheaf"}


def test_workers_find_recboles_functions_under_our_name():
    for function in (quick_start.run_recboles, quick_start.objective_function):
        assert function.__module__ == "recbole_sheaf.plugin.registration"


SPAWNED = """
import recbole_sheaf
from recbole.quick_start import run

if __name__ == "__main__":
    result = run("MMSheaf", "toy", config_dict={settings!r}, nproc=2, port="{port}")
    print("score", result["best_valid_score"])
"""


@pytest.mark.slow
def test_run_recboles_in_spawned_workers(toy_settings, workplace):
    settings = {**toy_settings, "epochs": 1, "gpu_id": "0,1"}
    script = workplace / "spawned.py"
    script.write_text(textwrap.dedent(SPAWNED.format(settings=settings, port=29541)))
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-2000:]
    assert float(run.stdout.split("score")[1]) > 0


@pytest.mark.slow
def test_the_objective_function_in_a_ray_worker(toy_settings, workplace):
    settings = {**toy_settings, "epochs": 1, "model": "MMSheaf", "dataset": "toy"}
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        score = ray.get(ray.remote(quick_start.objective_function).remote(settings))["best_valid_score"]
    finally:
        ray.shutdown()
    assert score > 0


def test_the_split_depends_on_split_seed_and_not_on_seed(toy_settings):
    def train_part(**settings):
        settings = {**toy_settings, "split_seed": 2020, **settings}
        config = Config(model="BPR", dataset="toy", config_dict=settings)
        torch.manual_seed(config["seed"])
        np.random.seed(config["seed"])
        part = create_dataset(config).build()[0]
        return sorted(zip(part.inter_feat["user_id"].tolist(), part.inter_feat["item_id"].tolist()))

    assert train_part(seed=1) == train_part(seed=2)
    assert train_part(seed=1, split_seed=1) != train_part(seed=1, split_seed=2)


def test_splitting_leaves_the_random_state_as_it_was(toy_settings):
    dataset = create_dataset(Config(model="BPR", dataset="toy", config_dict={**toy_settings, "split_seed": 1}))
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    dataset.build()
    assert torch.equal(torch.rand(3), expected[0]) and (np.random.rand(3) == expected[1]).all()
