"""Settings: every YAML fits its dataclass, and what nothing reads is refused with the nearest name."""

import dataclasses
import importlib

import pytest
from recbole.config import Config

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.mmsheaf import MMSheafSettings
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings import config
from recbole_sheaf.settings.rules import refuse_unknown_keys
from recbole_sheaf.settings.settings_files import read_yaml

SETTINGS = {name: getattr(importlib.import_module(module), name).settings_class for name, module in MODELS.items()}


def test_every_model_yaml_holds_just_the_fields_of_its_settings():
    files = list((config.properties_folder() / "model").rglob("*.yaml"))
    assert {path.stem for path in files} >= set(SETTINGS)
    shared = set(read_yaml(config.properties_folder() / "overall.yaml")) | {"learning_rate", "search_space"}
    for path in (path for path in files if path.stem in SETTINGS):
        settings = read_yaml(path)
        names = {spec.name for spec in dataclasses.fields(SETTINGS[path.stem])}
        assert set(settings) == names - {"message_passing"} | (set(settings) & shared), path.name
        SETTINGS[path.stem](**{key: settings[key] for key in names & set(settings)})


def test_every_dataset_yaml_uses_known_keys():
    files = list((config.properties_folder() / "dataset").rglob("*.yaml"))
    assert files
    for path in files:
        known = config.known_keys("BPR", "no-such-dataset")
        refuse_unknown_keys(read_yaml(path), known, path.name)


def test_the_defaults_of_the_dataclass_are_those_of_the_yaml():
    for name, settings in SETTINGS.items():
        written = read_yaml(config.properties_folder() / "model" / f"{name}.yaml")
        for spec in dataclasses.fields(settings):
            if spec.name in written:
                made = spec.default is dataclasses.MISSING
                default = spec.default_factory() if made else spec.default
                assert written[spec.name] == default, f"{name}.{spec.name}"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"embedding_size": 0}, "embedding_size is 0, expected a whole number >= 1"),
        ({"embedding_size": 64.5}, "embedding_size is 64.5, expected a whole number >= 1"),
        ({"embedding_size": True}, "embedding_size is True, expected a whole number >= 1"),
        ({"embedding_size": 63}, "embedding_size 63 is no multiple of stalk_dim 4"),
        ({"step_size": 0.0}, "step_size is 0.0, expected a number > 0 and <= 1"),
        ({"step_size": 1.5}, "step_size is 1.5, expected a number > 0 and <= 1"),
        ({"step_size": "1e-x"}, "step_size is '1e-x', expected a number > 0 and <= 1"),
        ({"restriction_map": "diagnoal"}, "restriction_map is 'diagnoal', expected one of identity, diagonal"),
        ({"restriction_map": "diagnoal"}, "did you mean 'diagonal'?"),
        ({"message_passing": "cuda"}, "message_passing is 'cuda', expected one of auto, dgl, torch"),
        ({"use_id_stalk": "yes"}, "use_id_stalk is 'yes', expected true or false"),
        ({"reg_weight": -1.0}, "reg_weight is -1.0, expected a number >= 0"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_a_value_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        MMSheafSettings(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": -1}, "epochs is -1, expected a whole number >= 0"),
        ({"train_batch_size": 0}, "train_batch_size is 0, expected a whole number >= 1"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', expected a number > 0"),
        ({"seed": 2**40}, "seed is 1099511627776, expected a whole number >= 0 and <= 4294967295"),
        ({"features": "nosie"}, "features is 'nosie', expected one of real, shuffled, noise, constant (did you mean"),
        ({"missing_share": 1}, "missing_share is 1, expected a number >= 0 and < 1"),
        ({"ablation_seed": "x"}, "ablation_seed is 'x', expected a whole number >= 0 and <= 4294967295"),
    ],
)
def test_a_value_of_recbole_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        config.check_ranges(settings)
    assert message in str(error.value)


def test_the_shared_settings_are_those_of_overall_yaml():
    written = read_yaml(config.properties_folder() / "overall.yaml")
    del written["softmax_search_space"]
    defaults = dataclasses.asdict(config.OverallSettings())
    assert defaults.pop("softmax_search_space") == {}
    assert written == defaults


def test_every_yaml_of_recbole_and_ours_keeps_the_rules():
    files = [*config.RECBOLE_PROPERTIES.rglob("*.yaml"), *config.properties_folder().rglob("*.yaml")]
    assert len(files) > 100
    for path in files:
        config.check_ranges(read_yaml(path))


def test_whole_numbers_serve_as_numbers():
    assert MMSheafSettings(step_size=1, reg_weight=0).step_size == 1


def test_a_misspelt_key_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="'restriction_mpa' \\(did you mean 'restriction_map'\\?\\)"):
        refuse_unknown_keys({"restriction_mpa": 1}, config.known_keys("MMSheaf", "ml-100k"), "MMSheaf")


@pytest.mark.parametrize("settings", [{"learner": "sgdd"}, {"epochs": 1.5}, {"missing_share": 2}, {"text_dim": 0}])
def test_a_plain_recbole_config_of_our_model_holds_to_the_rules_too(settings):
    ((key, value),) = settings.items()
    with pytest.raises(ConfigError, match=f"{key} is {value!r}, expected"):
        Config(model="MMSheaf", dataset="ml-100k", config_dict=settings)
    Config(model="BPR", dataset="ml-100k", config_dict=settings)  # RecBole's own models stay RecBole's affair
