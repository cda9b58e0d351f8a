"""Settings: every YAML fits its dataclass, and what nothing reads is refused with the nearest name."""

import dataclasses
import importlib

import pytest
import yaml

from recbole_sheaf import config
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.mmsheaf import MMSheafSettings
from recbole_sheaf.registration import MODELS

SETTINGS = {name: getattr(importlib.import_module(module), name).settings_class for name, module in MODELS.items()}


def test_every_model_yaml_holds_just_the_fields_of_its_settings():
    files = list((config.properties_folder() / "model").rglob("*.yaml"))
    assert {path.stem for path in files} >= set(SETTINGS)
    shared = set(config.read_yaml(config.properties_folder() / "overall.yaml")) | {"learning_rate", "search_space"}
    for path in (path for path in files if path.stem in SETTINGS):
        settings = config.read_yaml(path)
        names = {spec.name for spec in dataclasses.fields(SETTINGS[path.stem])}
        assert set(settings) == names - {"message_passing"} | (set(settings) & shared), path.name
        SETTINGS[path.stem](**{key: settings[key] for key in names & set(settings)})


def test_every_dataset_yaml_uses_known_keys():
    files = list((config.properties_folder() / "dataset").rglob("*.yaml"))
    assert files
    for path in files:
        known = config.known_keys("BPR", "no-such-dataset")
        config.refuse_unknown_keys(config.read_yaml(path), known, path.name)


def test_the_defaults_of_the_dataclass_are_those_of_the_yaml():
    for name, settings in SETTINGS.items():
        written = config.read_yaml(config.properties_folder() / "model" / f"{name}.yaml")
        for spec in dataclasses.fields(settings):
            if spec.name in written:
                made = spec.default is dataclasses.MISSING
                default = spec.default_factory() if made else spec.default
                assert written[spec.name] == default, f"{name}.{spec.name}"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"embedding_size": 0}, "embedding_size is 0, expected a value in [1, inf)"),
        ({"embedding_size": 64.5}, "embedding_size is 64.5, expected a whole number such as 64"),
        ({"embedding_size": True}, "embedding_size is True, expected a whole number such as 64"),
        ({"embedding_size": 63}, "embedding_size 63 is no multiple of stalk_dim 4"),
        ({"step_size": 0.0}, "step_size is 0.0, expected a value above 0"),
        ({"step_size": 1.5}, "step_size is 1.5, expected a value in [-inf, 1]"),
        ({"step_size": "1e-x"}, "step_size is '1e-x', expected a number such as 1.0"),
        ({"restriction_map": "diagnoal"}, "restriction_map is 'diagnoal', expected one of identity, diagonal"),
        ({"restriction_map": "diagnoal"}, "did you mean 'diagonal'?"),
        ({"message_passing": "cuda"}, "message_passing is 'cuda', expected one of auto, dgl, torch"),
        ({"use_id_stalk": "yes"}, "use_id_stalk is 'yes', expected true or false such as True"),
        ({"reg_weight": -1.0}, "reg_weight is -1.0, expected a value in [0, inf)"),
    ],
)
@pytest.mark.usefixtures("our_refusals")
def test_a_value_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        MMSheafSettings(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": -1}, "epochs is -1, expected a number >= 0"),
        ({"train_batch_size": 0}, "train_batch_size is 0, expected a number > 0"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', expected a number > 0"),
        ({"seed": 2**40}, "seed is 1099511627776, expected a number >= 0 and <= 4294967295"),
        ({"features": "nosie"}, "features is 'nosie', expected one of real, shuffled, noise, constant (did you mean"),
        ({"missing_share": 1}, "missing_share is 1, expected a number >= 0 and < 1"),
        ({"ablation_seed": "x"}, "ablation_seed is 'x', expected a whole number >= 0 and <= 4294967295"),
    ],
)
def test_a_value_of_recbole_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        config.check_ranges(settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"metrics": ["Recal"]}, "metrics has no 'Recal' (did you mean 'Recall'"),
        ({"metrics": ["Recall"], "topk": [10], "valid_metric": "Recall@20"}, "valid_metric is 'Recall@20', but"),
        ({"metrics": ["Recall"], "topk": [10], "valid_metric": "NDCG@10"}, "for example Recall@10"),
    ],
)
def test_a_metric_that_is_not_there_is_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        config.check_evaluation(settings)
    assert message in str(error.value)
    config.check_evaluation({"metrics": ["recall", "NDCG"], "topk": [10, 20], "valid_metric": "NDCG@20"})


def test_whole_numbers_serve_as_numbers():
    assert MMSheafSettings(step_size=1, reg_weight=0).step_size == 1


def test_a_misspelt_key_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="'restriction_mpa' \\(did you mean 'restriction_map'\\?\\)"):
        config.refuse_unknown_keys({"restriction_mpa": 1}, config.known_keys("MMSheaf", "ml-100k"), "MMSheaf")


def test_scientific_notation_is_a_number_and_tags_run_nothing(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("learning_rate: 1e-3\nreg_weight: 1e-05\nepochs: 10\nname: e3\n")
    assert config.read_yaml(path) == {"learning_rate": 0.001, "reg_weight": 1e-05, "epochs": 10, "name": "e3"}
    path.write_text("seed: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="settings.yaml is not readable as YAML"):
        config.read_yaml(path)


@pytest.mark.parametrize("text, message", [("- 1\n- 2\n", "holds a list"), ("a: [1\n", "is not readable as YAML")])
def test_a_settings_file_of_another_shape_is_refused(tmp_path, text, message):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.read_yaml(path)


def test_an_absent_settings_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no settings file"):
        config.read_yaml(tmp_path / "absent.yaml")


def test_the_process_wide_yaml_loader_stays_as_it_was():
    config.settings_loader()
    assert yaml.safe_load("1e-3") == "1e-3"
