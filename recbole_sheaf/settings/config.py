"""The one door to RecBole's ``Config``: where defaults and caches lie, which keys exist, what they are held against.

RecBole reads a key it has never seen as None, so a misspelt key trains the wrong model in silence. ``check_settings``
refuses it with the nearest name. Settings of our models are frozen dataclasses beside the models, their
``settings_class``, whose fields are the keys of ``properties/model/<name>.yaml``.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

from platformdirs import user_cache_dir

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.modality_choices import MAPPING, refuse_contradictions, refuse_unfit_names
from recbole_sheaf.settings.recbole_rules import RECBOLE_RULES, rules_like
from recbole_sheaf.settings.rules import (
    CheckedSettings,
    Choices,
    Rule,
    check_values,
    choices,
    refuse_unknown_keys,
    rules_of,
    setting,
)
from recbole_sheaf.settings.settings_files import keys_of_yaml, read_yaml
from recbole_sheaf.settings.vocabulary import BACKENDS, CATALOGUES, FEATURE_KINDS, LOSSES, REPETITIONS, SPLITS

_RECBOLE = importlib.util.find_spec("recbole")  # found, not imported
assert _RECBOLE is not None and _RECBOLE.origin is not None, "environment.check_environment has found it"
RECBOLE_PROPERTIES = Path(_RECBOLE.origin).parent / "properties"

# Keys that RecBole's shared code or its general models read and no RecBole YAML file sets.
RECBOLE_KEYS_WITHOUT_DEFAULT = frozenset(
    "config_files contrast double_tower dataset feature_num has_residual ip local_rank model nproc norm offset "
    "port sim tail_ratio token_num_threshold use_filter verbose world_size worker RATING_FIELD".split()
)
ALL_ITEMS_UP_TO = 50_000  # with `softmax_items: auto`
AUTO_ITEMS = 4096  # sampled where there are more

# Of a softmax of cosines: below, one item has all the weight in float32; above, all items have the same.
TEMPERATURES: dict[str, Any] = {"low": 0.001, "high": 1000}

Settings = TypeVar("Settings", bound="ModelSettings")


def properties_folder() -> Path:
    """Folder of our YAML defaults: inside the package when installed from a wheel, beside it in a source checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "properties", package.parent / "properties"):
        if (folder / "overall.yaml").is_file():
            return folder
    raise ConfigError(
        f"the YAML defaults are neither in {package / 'properties'} nor in {package.parent / 'properties'}; "
        "install recbole_sheaf again"
    )


def seed_of_split(config: Any) -> int:
    """By what draws of a split are made: ``split_seed``, or the run's ``seed`` where that is None."""
    return config["seed"] if config["split_seed"] is None else config["split_seed"]


def cache_folder(config: Any) -> Path:
    """Where converted folders, text vectors and item graphs are kept: ``cache_dir``, or the user's cache folder."""
    return Path(config.final_config_dict.get("cache_dir") or user_cache_dir("recbole_sheaf")).expanduser()


def default_files(model: str, dataset: str) -> list[Path]:
    """Our YAML defaults for a model on a dataset that exist, weakest first: overall, model, dataset."""
    folder = properties_folder()
    names = (folder / "overall.yaml", folder / "model" / f"{model}.yaml", folder / "dataset" / f"{dataset}.yaml")
    return [path for path in names if path.is_file()]


def class_name(model: str) -> str:
    """The name of a model that may be named ``package.module:MyModel``: the part after the colon, if there is one."""
    return model.rpartition(":")[2]


OWN_DEFAULTS: dict[str, Mapping[str, Any]] = {}  # of the models that `own_models` registered, by name


def default_settings(model: str, dataset: str) -> dict[str, Any]:
    """Our defaults for a model on a dataset, the strongest where several have a key: overall, model, dataset.

    A model may be named ``package.module:MyModel`` too.
    """
    name = class_name(model)
    overall, *stronger = (read_yaml(path) for path in default_files(name, dataset))
    settings = {**overall, **OWN_DEFAULTS.get(name, {})}
    for layer in stronger:
        settings.update(layer)
    return settings


def known_keys(model: str, dataset: str) -> frozenset[str]:
    """Every key that means something to a model on a dataset."""
    from recbole.utils import argument_list as lists

    listed = lists.general_arguments + lists.training_arguments + lists.evaluation_arguments + lists.dataset_arguments
    recbole_files = [
        RECBOLE_PROPERTIES / "overall.yaml",
        RECBOLE_PROPERTIES / "model" / f"{model}.yaml",
        RECBOLE_PROPERTIES / "dataset" / "sample.yaml",
        RECBOLE_PROPERTIES / "dataset" / f"{dataset}.yaml",
    ]
    name = class_name(model)
    files = [*(path for path in recbole_files if path.is_file()), *default_files(name, dataset)]
    return frozenset(listed).union(RECBOLE_KEYS_WITHOUT_DEFAULT, OWN_DEFAULTS.get(name, {}), *map(keys_of_yaml, files))


@dataclass(frozen=True)
class ModelSettings(CheckedSettings):
    """Base of a model's settings: builds itself from a RecBole ``Config`` and checks every field."""

    @classmethod
    def from_recbole(cls: type[Settings], config: Any) -> Settings:
        """Take our keys from a RecBole ``Config``.

        Raises:
            ConfigError: if a key is absent, of another type, or out of range.
        """
        if missing := [spec.name for spec in fields(cls) if spec.name not in config]:
            raise ConfigError(f"missing {missing}: is properties/model/{config['model']}.yaml loaded?")
        return cls.from_settings(config.final_config_dict)


@dataclass(frozen=True)
class LossSettings(CheckedSettings):
    """What the loss of an embedding recommender is; every field is a key of ``properties/overall.yaml``."""

    loss: str = setting("bpr", choices=LOSSES)
    softmax_temperature: Union[str, float] = setting(0.2, kind=float, words=("auto",), **TEMPERATURES)
    softmax_popularity: Union[str, float] = setting(0.0, kind=float, low=0, words=("auto",))
    popularity_kept: Choices = choices("auto", high=1)
    softmax_items: Union[str, int] = setting("auto", kind=int, low=1, words=("auto", "all"))
    softmax_steps: int = setting(8, low=1)

    @classmethod
    def from_recbole(cls, config: Any) -> "LossSettings":
        """Take our keys from a RecBole ``Config``; a checkpoint from before a key has its default, ``loss: bpr``.

        Raises:
            ConfigError: if a key is of another type or out of range.
        """
        return cls.from_settings(config.final_config_dict)

    def sampled(self, n_items: int) -> Optional[int]:
        """How many of ``n_items`` a step of the softmax samples; None where it takes all."""
        if self.softmax_items == "auto":
            return AUTO_ITEMS if n_items > ALL_ITEMS_UP_TO else None
        return None if self.softmax_items == "all" or int(self.softmax_items) >= n_items else int(self.softmax_items)


@dataclass(frozen=True)
class AblationSettings(CheckedSettings):
    """How item content is ablated; every field is a key of ``properties/overall.yaml``."""

    features: str = setting("real", choices=FEATURE_KINDS)
    missing_share: float = setting(0.0, low=0, below=1)
    ablation_seed: int = setting(2020, low=0, high=2**32 - 1)


@dataclass(frozen=True)
class OverallSettings(LossSettings, AblationSettings):
    """What this package adds to every model; every field is a key of ``properties/overall.yaml``."""

    split: Optional[str] = setting(None, kind=str, choices=SPLITS, optional=True)
    split_seed: Optional[int] = setting(2020, low=0, high=2**32 - 1, optional=True)
    catalogue: str = setting("auto", choices=CATALOGUES)
    seen_at_test: list[str] = setting(["train", "valid"], each=Rule(str, choices=("train", "valid")))
    repeated_interactions: str = setting("drop", choices=REPETITIONS)
    relations: Any = setting(
        "auto", kind=dict, each=Rule(float, low=0, words=("auto",)), words=("auto",), also=refuse_unfit_names
    )
    dislikes: Optional[str] = setting(None, kind=str, optional=True)
    cache_dir: Optional[str] = setting(None, kind=str, optional=True)
    message_passing: str = setting("auto", choices=BACKENDS)
    item_sheaf_workers: int = setting(0, low=0)
    item_sheaf_ray_address: Optional[str] = setting(None, kind=str, optional=True)
    modalities: Any = setting(
        "auto", kind=list, each=Rule(str, instead=MAPPING), alone=True, optional=True, also=refuse_contradictions
    )
    features_path: Optional[str] = setting(None, kind=str, optional=True)
    text_modalities: dict[str, list[str]] = setting(
        {}, each=Rule(list, each=Rule(str)), optional=True, also=refuse_unfit_names
    )
    text_dim: int = setting(64, low=1)
    search_space: dict[str, Any] = setting({}, optional=True)
    softmax_search_space: dict[str, Any] = setting({}, optional=True)
    log_to_file: bool = setting(True)
    log_tensorboard: bool = setting(True)
    log_mlflow: bool = setting(False)
    mlflow_experiment: str = setting("recbole-sheaf", form=r"(?s).+", such_as="recbole-sheaf")
    mlflow_tracking_uri: Optional[str] = setting(None, kind=str, optional=True)


RULES: Mapping[str, Rule] = {**RECBOLE_RULES, **rules_of(OverallSettings)}  # of settings that every model has


def rules_for(model: str) -> dict[str, Rule]:
    """Rules of all that a model may be set; a setting of RecBole's model is of the kind of its default."""
    path = RECBOLE_PROPERTIES / "model" / f"{model}.yaml"
    return {**(rules_like(read_yaml(path)) if path.is_file() else {}), **RULES}


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Hold what every model may be set, RecBole's settings and ours, against its rule.

    Raises:
        ConfigError: naming the key, the value that arrived and the values allowed.
    """
    check_values(settings, RULES)


def check_loss(config: Any) -> None:
    """Refuse a loss that there is not, that a model is not ready for, or with settings that it cannot take.

    A model says in ``losses`` which it is ready for; one that says nothing has the loss it was published with alone.

    Raises:
        ConfigError: in one sentence, before any data are read.
    """
    settings = LossSettings.from_recbole(config)
    if settings.loss not in getattr(config.model_class, "losses", LOSSES[:1]):
        raise ConfigError(
            f"{config['model']} is not ready for loss: {settings.loss}, it has the loss it was published with; leave "
            "the model out, or give loss under model_settings of those that are ready"
        )
    if settings.loss == "softmax" and (config["train_neg_sample_args"] or {}).get("dynamic"):
        raise ConfigError(
            "loss: softmax samples no negatives, but train_neg_sample_args asks for dynamic ones; drop it"
        )


LISTS = (
    *("numerical_features", "additional_feat_suffix", "normalize_field", "benchmark_filename"),
    *(f"alias_of_{what}_id" for what in ("user", "item", "entity", "relation")),
)
MAPPINGS_OF_LISTS = ("load_col", "unload_col", "unused_col")


def make_lists(config: Any) -> None:
    """Put a name that stands without its list into one; RecBole would take its letters for names."""
    settings = config.final_config_dict
    for key in LISTS:
        if isinstance(settings.get(key), str):
            settings[key] = [settings[key]]
    for key in MAPPINGS_OF_LISTS:
        if isinstance(settings.get(key), dict):
            alone = {table: [name] for table, name in settings[key].items() if isinstance(name, str) and name != "*"}
            settings[key] = {**settings[key], **alone}


_SHARES = {"RS": [0.8, 0.1, 0.1]}
EVAL_ARGS: Mapping[str, Mapping[str, Any]] = {  # what each `split` means to RecBole
    "random": {"split": _SHARES, "order": "RO", "group_by": "user"},
    "time": {"split": _SHARES, "order": "TO", "group_by": "user"},
    "time_global": {"split": _SHARES, "order": "TO", "group_by": "none"},  # `data.time_split` makes it
    "leave_one_out": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user"},
    "cold_items": {"split": _SHARES, "order": "RO", "group_by": "user"},  # unused: `data.cold_split` makes it
}


def apply_split(config: Any) -> None:
    """Put what ``split`` means into ``eval_args``.

    Raises:
        ConfigError: if ``split`` is none of these, contradicts ``eval_args``, or cannot be had of the dataset or model.
    """
    from recbole.utils import ModelType

    split = config["split"]
    if split is None:
        return
    RULES["split"].check("split", split)
    meant, given = EVAL_ARGS[split], config.external_config_dict.get("eval_args") or {}
    if other := [key for key in ("split", "order", "group_by") if key in given and given[key] != meant.get(key)]:
        raise ConfigError(
            f"split: {split} and eval_args.{other[0]}: {given[other[0]]} contradict each other; give one of the two"
        )
    if config["benchmark_filename"]:
        raise ConfigError(
            f"dataset '{config['dataset']}' comes with its own split; leave out split: {split}, or convert the folder "
            "by 'recbole-sheaf convert' with keep_split=False"
        )
    if split in ("cold_items", "time_global") and config["MODEL_TYPE"] is ModelType.SEQUENTIAL:
        raise ConfigError(f"split: {split} is not for sequential models such as {config['model']}; leave it out")
    config.final_config_dict["eval_args"] = {**config["eval_args"], **meant}


def ranks_listed_items(config: Any) -> bool:
    """Whether items that have content and no interaction are ranked too, as ``catalogue`` says.

    A configuration without that key, such as a checkpoint from before it, ranks those with interactions.
    """
    catalogue = config["catalogue"]
    return catalogue == "content" or (catalogue == "auto" and config["split"] == "cold_items")


def check_settings(config: Any) -> None:
    """Refuse what a ``Config`` of one of our models, or a registered one, holds and nothing reads, or is out of range.

    Raises:
        ConfigError: in one sentence, before any data are read.
    """
    refuse_unknown_keys(config.external_config_dict, known_keys(config["model"], config["dataset"]), config["model"])
    check_ranges(config.final_config_dict)
    if hasattr(config.model_class, "settings_class"):
        config.model_class.settings_class.from_recbole(config)
