"""Models of other people's: registered, named by their place, or given to RecBole's Config as a class."""

import copy
import json
import re
import sys
from pathlib import Path

import pytest
import recbole.utils
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.trainer import Trainer
from recbole.utils import get_model

import recbole_sheaf
from recbole_sheaf.cli import main
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.run_id import _reached, code_version
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.plugin import own_models
from recbole_sheaf.plugin.registration import check_model_name
from recbole_sheaf.settings.config import OWN_DEFAULTS, known_keys
from tests.conftest import REPOSITORY, TOY
from tests.experiments.test_compare import write_experiment

FACTORS = """
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import nn


class Factors(GeneralRecommender):
    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.scale = config["scale"]
        self.users = nn.Embedding(self.n_users, 8)
        self.items = nn.Embedding(self.n_items, 8)

    def predict(self, interaction, item="item_id"):
        return (self.users(interaction["user_id"]) * self.items(interaction[item])).sum(dim=1)

    def full_sort_predict(self, interaction):
        return (self.users(interaction["user_id"]) @ self.items.weight.T).flatten()

    def calculate_loss(self, interaction):
        return -nn.functional.logsigmoid(self.predict(interaction) - self.predict(interaction, "neg_item_id")).mean()


class Scale:
    pass
"""


@pytest.fixture
def place(workplace, monkeypatch):
    """A folder with a module ``mine``; what a test registers or imports is forgotten after it."""
    monkeypatch.setattr(sys, "path", [str(workplace), *sys.path])
    kept = {id(table): (table, dict(table)) for table in (own_models._by_name, own_models._by_source, OWN_DEFAULTS)}
    modules = set(sys.modules)
    (workplace / "mine.py").write_text(FACTORS)
    yield workplace
    for table, before in kept.values():
        table.clear()
        table.update(before)
    for name in set(sys.modules) - modules:
        path = getattr(sys.modules[name], "__file__", None)
        if name.startswith("recbole.model.general_recommender.") or (path and Path(path).is_relative_to(workplace)):
            del sys.modules[name]


@pytest.fixture
def settings(toy):
    return {**{key: TOY[key] for key in TOY if key != "embedding_size"}, "data_path": str(toy)}


def test_a_registered_class_is_known_by_its_name_with_its_defaults(place, settings):
    from mine import Factors

    assert recbole_sheaf.register(Factors, settings={"scale": 2.0}) is Factors
    assert get_model("Factors") is Factors
    check_model_name("Factors")
    assert "scale" in known_keys("Factors", "toy")
    config = Config(model="Factors", dataset="toy", config_dict=settings)
    assert (config["scale"], config["split_seed"]) == (2.0, 2020)
    with pytest.raises(ConfigError, match="'scael' \\(did you mean 'scale'"):
        Config(model="Factors", dataset="toy", config_dict={**settings, "scael": 1})
    assert run_recbole(model="Factors", dataset="toy", config_dict=settings)["best_valid_score"] >= 0
    (path,) = (place / "saved").glob("Factors-*.pth")
    assert isinstance(load_data_and_model(str(path))[1], Factors)


@pytest.mark.parametrize("given", ["own/defaults.yaml", None])
def test_a_path_of_settings_counts_from_the_modules_folder(place, monkeypatch, given):
    from mine import Factors

    (place / "own").mkdir()
    path = place / (given or "Factors.yaml")
    path.write_text("scale: 1e-3\n")
    monkeypatch.chdir(place / "own")
    recbole_sheaf.register(Factors, given)
    assert OWN_DEFAULTS["Factors"] == {"scale": 0.001}


def test_a_class_that_is_defined_again_takes_the_place_of_the_first(place):
    from mine import Factors

    recbole_sheaf.register(Factors)
    assert get_model("Factors") is Factors
    again = type("Factors", (Factors,), {"__module__": "mine", "__qualname__": "Factors"})
    recbole_sheaf.register(again)
    assert get_model("Factors") is again


@pytest.mark.parametrize(
    "reference, message",
    [
        ("absent_module:Factors", "'absent_module:Factors' cannot be imported \\(ModuleNotFoundError: No module named"),
        ("broken:Factors", "'broken:Factors' cannot be imported \\(ZeroDivisionError"),
        ("mine:Factor", "module mine has no class 'Factor' \\(did you mean 'Factors'"),
        ("mine:Scale", "'mine:Scale' is no RecBole recommender; derive a class from"),
        ("mine:torch", "'mine:torch' is no RecBole recommender"),
        ("taken:BPR", "taken:BPR cannot be registered: RecBole has a model BPR; rename the class"),
        ("taken:mmsheaf", "taken:mmsheaf cannot be registered: this package has a model MMSheaf"),
        (":Factors", "':Factors' names no model; write package.module:MyModel"),
        ("mine:", "'mine:' names no model"),
    ],
)
def test_what_is_no_model_is_refused_in_one_sentence(place, settings, capsys, reference, message):
    (place / "broken.py").write_text("1 / 0\n")
    (place / "taken.py").write_text(
        "from mine import Factors\nclass BPR(Factors):\n    pass\nclass mmsheaf(Factors):\n    pass\n"
    )
    with pytest.raises(ConfigError, match=message):
        check_model_name(reference)
    assert main(["run", f"--model={reference}"]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said) and said.count("\n") == 1


def test_a_name_that_another_class_has_is_refused(place):
    (place / "other.py").write_text("from mine import Factors as F\nclass Factors(F):\n    pass\n")
    check_model_name("mine:Factors")
    with pytest.raises(ConfigError, match="other:Factors cannot be registered: the name is that of mine:Factors"):
        check_model_name("other:Factors")


def test_bad_settings_are_refused(place, unchecked_shapes):
    from mine import Factors

    with pytest.raises(ConfigError, match="there is no settings file .*absent.yaml"):
        recbole_sheaf.register(Factors, "absent.yaml")
    with pytest.raises(ConfigError, match="settings of Factors are 3, expected a mapping or the path"):
        recbole_sheaf.register(Factors, 3)


def test_run_takes_a_place_and_settings_by_the_models_name(place, settings):
    (place / "Factors.yaml").write_text("scale: 1.0\n")
    (place / "by_model.yaml").write_text("model_settings: {Factors: {scale: 3.0}}\n")
    results = run_models(["BPR", "mine:Factors"], "toy", ["by_model.yaml"], settings)
    assert [result.model for result in results] == ["BPR", "Factors"]
    assert results[1].config["scale"] == 3.0
    assert results[1].split == results[0].split


@pytest.mark.slow
def test_compare_trains_it_in_worker_processes(place, toy, capsys):
    (place / "Factors.yaml").write_text("scale: 1.0\n")
    models = {"mine": {"model": "mine:Factors", "scale": 2.0}, "BPR": {}}
    path = write_experiment(place, "grid", models=models, seeds=[1, 2], workers=2)
    assert main(["compare", str(path)]) == 0
    assert "4 runs done" in capsys.readouterr().out


def test_tune_searches_its_space_and_writes_a_file_of_its_name(place, settings, capsys):
    (place / "Factors.yaml").write_text("scale: 1.0\nsearch_space: {scale: {choices: [1.0, 2.0]}}\n")
    arguments = [f"--{key}={value}" for key, value in settings.items()]
    assert main(["tune", "--model=mine:Factors", "--dataset=toy", "--trials=2", *arguments]) == 0
    assert (place / "tuned" / "toy" / "Factors.yaml").is_file()


def test_evaluate_is_told_where_the_model_of_a_checkpoint_is(place, settings, capsys):
    (result,) = run_models(["mine:Factors"], "toy", overrides=settings)
    for table in (own_models._by_name, own_models._by_source):
        table.clear()
    sys.modules.pop("recbole.model.general_recommender.factors", None)
    assert main(["evaluate", result.checkpoint, "--json"]) == 2
    said = capsys.readouterr().err
    assert "was written where that was 'mine:Factors'" in said and "name it with --model=" in said
    assert main(["evaluate", result.checkpoint, "--model=mine:Factors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["test"] == result.test


def test_its_code_and_that_of_its_package_make_the_run(place):
    package = place / "pack"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts" / "__init__.py").write_text("from . import one\nfrom .. import two\n")
    for name in ("parts/one", "two", "three"):
        (package / f"{name}.py").write_text("import json\n")
    (package / "model.py").write_text("from .parts import one\nimport pack.three\n" + FACTORS)
    expected = {"pack.model", "pack.parts.one", "pack.three"}
    assert _reached(("pack.model",)) == expected
    assert _reached(("pack.parts",)) == {"pack.parts", "pack.parts.one", "pack.two"}
    check_model_name("mine:Factors")
    assert code_version("Factors") != code_version("BPR")


def test_recboles_plain_config_and_trainer_take_a_class(place, settings):
    """A lookup of its name would import RecBole's exlib_recommender, which wants lightgbm."""
    from mine import Factors

    config = Config(model=Factors, dataset="toy", config_dict=settings)
    assert config["split_seed"] is None, "nobody asked for our defaults"
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, Factors(config, train_data.dataset))
    trainer.fit(train_data, valid_data, show_progress=False)
    assert trainer.evaluate(test_data, show_progress=False)
    loaded = torch.load(trainer.saved_model_file, weights_only=True)["config"]
    assert loaded.model_class is Factors and copy.deepcopy(config).model_class is Factors
    assert "recbole.model.exlib_recommender" not in sys.modules
    own_models._by_source.clear()
    assert torch.load(trainer.saved_model_file, weights_only=True)["config"].model_class is None


def test_a_class_of_ours_or_recboles_is_taken_as_a_class_too(toy_settings):
    for name in ("MMSheaf", "BPR"):
        config = Config(model=get_model(name), dataset="toy", config_dict=toy_settings)
        assert copy.deepcopy(config).model_class is get_model(name)


def test_a_loss_of_its_own_is_no_business_of_ours(place, settings):
    from mine import Factors

    config = Config(model=Factors, dataset="toy", config_dict={**settings, "loss": "hinge"})
    assert config["loss"] == "hinge"


def test_an_unknown_name_is_refused_without_lightgbm():
    with pytest.raises(ConfigError, match="there is no model 'NoSuchModel'"):
        recbole.utils.get_model("NoSuchModel")  # the name this module imported may be older than the import of ours


def test_the_page_on_own_models_runs_as_printed(place, toy, capsys, monkeypatch):
    page = (REPOSITORY / "docs" / "own-model.md").read_text(encoding="utf-8")
    module, from_python = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (defaults,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (place / "my_models.py").write_text(module)
    (place / "ContentMF.yaml").write_text(defaults)
    arguments = ["--dataset=toy", f"--data_path={toy}", "--epochs=1", "--show_progress=False", "--state=WARNING"]
    for loss in ("bpr", "softmax"):
        assert main(["run", "--model=my_models:ContentMF", *arguments, f"--loss={loss}", "--topk=[5]", *VALID]) == 0
    assert "ContentMF" in capsys.readouterr().out
    exec(compile(from_python, "own-model.md", "exec"), {"__name__": "page"})
    (config,) = resolve_configs(["my_models:ContentMF"], "ml-100k", [], {})
    assert (config["reg_weight"], config["embedding_size"]) == (0.001, 64)


VALID = ["--valid_metric=Recall@5"]
