"""The one door to RecBole's ``Config``: where defaults and caches lie, which keys exist, which values they may take.

RecBole reads a key it has never seen as None, so a misspelt key trains the wrong model in silence. ``check_settings``
refuses it with the nearest name. Settings of our models are frozen dataclasses beside the models, their
``settings_class``, whose fields are the keys of ``properties/model/<name>.yaml``.
"""

import difflib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import yaml
from platformdirs import user_cache_dir

from recbole_sheaf.errors import ConfigError

RECBOLE_PROPERTIES = Path(importlib.util.find_spec("recbole").origin).parent / "properties"  # found, not imported

# Keys that RecBole's shared code or its general models read and no RecBole YAML file sets.
RECBOLE_KEYS_WITHOUT_DEFAULT = frozenset(
    "config_files contrast device double_tower dataset feature_num has_residual ip local_rank model nproc norm offset "
    "port sim tail_ratio token_num_threshold use_filter verbose world_size worker RATING_FIELD".split()
)
RESTRICTION_MAPS = ("identity", "diagonal", "orthogonal", "general", "factored", "wide")
BACKENDS = ("auto", "dgl", "torch")
FEATURE_KINDS = ("real", "shuffled", "noise", "constant")
LOSSES = ("bpr", "softmax")
ALL_ITEMS_UP_TO = 50_000  # with `softmax_items: auto`
AUTO_ITEMS = 4096  # sampled where there are more


def properties_folder() -> Path:
    """Folder of our YAML defaults: inside the package when installed from a wheel, beside it in a source checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "properties", package.parent / "properties"):
        if (folder / "overall.yaml").is_file():
            return folder
    raise ConfigError(
        f"the YAML defaults are neither in {package / 'properties'} nor in {package.parent / 'properties'}; "
        "install recbole_sheaf again"
    )


def cache_folder(config: Any) -> Path:
    """Where converted folders, text vectors and item graphs are kept: ``cache_dir``, or the user's cache folder."""
    return Path(config.final_config_dict.get("cache_dir") or user_cache_dir("recbole_sheaf")).expanduser()


def settings_loader() -> type:
    """A YAML loader for settings: safe, and ``1e-3`` is a number.

    RecBole changes ``yaml.FullLoader`` for the whole process, and that loader builds Python objects from tags. A
    setting file from a stranger must not do that.
    """

    class SettingsLoader(yaml.SafeLoader):
        yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}

    SettingsLoader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))
    return SettingsLoader


# A number with an exponent but no dot or no sign, which YAML 1.1 reads as text.
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings as a dict; ``1e-3`` is a number, tags that build objects are refused.

    Raises:
        ConfigError: if the file is absent, not YAML, or not a mapping of keys to values.
    """
    try:
        settings = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=settings_loader())
    except FileNotFoundError as error:
        raise ConfigError(f"there is no settings file {path}; give the path of a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings or {}, dict):
        raise ConfigError(f"{path} holds a {type(settings).__name__}, expected 'key: value' lines")
    return settings or {}


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
    theirs = [read_yaml(path) for path in recbole_files if path.is_file()]
    return frozenset(listed).union(RECBOLE_KEYS_WITHOUT_DEFAULT, *theirs, default_settings(model, dataset))


def refuse_unknown_keys(settings: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse keys that nothing reads.

    Raises:
        ConfigError: naming each unknown key, the nearest known ones and what was asked to read them.
    """
    known = sorted(known)
    unknown = [key for key in settings if key not in known]
    if unknown:
        listed = "; ".join(f"'{key}'{nearest(key, known)}" for key in unknown)
        raise ConfigError(f"no setting of {what} has the name {listed}; check the spelling")


def nearest(name: str, names: Iterable[str], count: int = 3) -> str:
    """`` (did you mean 'a' or 'b'?)``, or nothing where no name is close; case does not count."""
    folded = {}
    for candidate in names:
        folded.setdefault(candidate.lower(), candidate)
    close = difflib.get_close_matches(name.lower(), list(folded), n=count, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(folded[match]) for match in close)}?)" if close else ""


# (lowest, highest, whether the lowest itself is allowed) of RecBole's own numeric keys.
RECBOLE_RANGES: Mapping[str, tuple[float, float, bool]] = {
    "epochs": (0, float("inf"), True),
    "train_batch_size": (0, float("inf"), False),
    "eval_batch_size": (0, float("inf"), False),
    "learning_rate": (0, float("inf"), False),
    "weight_decay": (0, float("inf"), True),
    "seed": (0, 2**32 - 1, True),
    "split_seed": (0, 2**32 - 1, True),
    "eval_step": (0, float("inf"), True),
    "stopping_step": (0, float("inf"), True),
    "metric_decimal_place": (0, 16, True),
}


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Refuse a value that every model has and that lies outside its range: RecBole's numbers, ablations of content.

    Raises:
        ConfigError: naming the key, the value that arrived and the values allowed.
    """
    for key, (low, high, closed) in RECBOLE_RANGES.items():
        value = settings.get(key)
        if value is None:
            continue
        allowed = f"{'>=' if closed else '>'} {low}" + ("" if high == float("inf") else f" and <= {high}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{key} is {value!r}, expected a number {allowed}")
        if not (low <= value if closed else low < value) or not value <= high:
            raise ConfigError(f"{key} is {value}, expected a number {allowed}")
    check_ablation(settings)


def check_ablation(settings: Mapping[str, Any]) -> None:
    """Refuse a value of the keys that ablate content, ``features``, ``missing_share`` and ``ablation_seed``.

    Raises:
        ConfigError: naming the key, the value that arrived and the values allowed; a key that is not there is fine.
    """
    kind, share = settings.get("features", "real"), settings.get("missing_share", 0.0)
    seed = settings.get("ablation_seed", 0)
    if kind not in FEATURE_KINDS:
        near = nearest(kind, FEATURE_KINDS, count=1) if isinstance(kind, str) else ""
        raise ConfigError(f"features is {kind!r}, expected one of {', '.join(FEATURE_KINDS)}{near}")
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise ConfigError(f"missing_share is {share!r}, expected a number >= 0 and < 1, the share of rows to remove")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ConfigError(f"ablation_seed is {seed!r}, expected a whole number >= 0 and <= {2**32 - 1}")


def check_evaluation(settings: Mapping[str, Any]) -> None:
    """Refuse a metric that RecBole does not have, and a ``valid_metric`` that no evaluation computes.

    Raises:
        ConfigError: naming the metric, the nearest ones and those there are.
    """
    from recbole.evaluator.register import metrics_dict

    metrics, topk = settings.get("metrics"), settings.get("topk")
    metrics = [metrics] if isinstance(metrics, str) else list(metrics or [])
    topk = [topk] if isinstance(topk, int) else list(topk or [])
    names = {metric.__name__.lower(): metric.__name__ for metric in metrics_dict.values()}
    for metric in metrics:
        if str(metric).lower() not in names:
            raise ConfigError(f"metrics has no '{metric}'{nearest(str(metric), names.values())}; {_listed(names)}")
    chosen = settings.get("valid_metric")
    if not isinstance(chosen, str) or not metrics:
        return
    name, _, k = chosen.lower().partition("@")
    if name not in [str(metric).lower() for metric in metrics] or (k and topk and int(k) not in topk):
        raise ConfigError(
            f"valid_metric is '{chosen}', but metrics are {', '.join(map(str, metrics))} at {topk}; "
            "name one of these, for example " + f"{metrics[0]}@{topk[0] if topk else 10}"
        )


def _listed(names: Mapping[str, str]) -> str:
    return f"RecBole has {', '.join(sorted(names.values(), key=str.lower))}"


Settings = TypeVar("Settings", bound="ModelSettings")


def setting(
    default: Any,
    low: Union[int, float, None] = None,
    high: Union[int, float, None] = None,
    above: Union[int, float, None] = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its allowed values: ``low <= x <= high``, ``x > above``, or one of ``choices``."""
    return field(default=default, metadata={"low": low, "high": high, "above": above, "choices": choices})


@dataclass(frozen=True)
class ModelSettings:
    """Base of a model's settings: builds itself from a RecBole ``Config`` and checks every field."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            _check_field(spec, getattr(self, spec.name))

    @classmethod
    def from_recbole(cls: type[Settings], config: Any) -> Settings:
        """Take our keys from a RecBole ``Config``.

        Raises:
            ConfigError: if a key is absent, of another type, or out of range.
        """
        names = [spec.name for spec in fields(cls)]
        if missing := [name for name in names if name not in config]:
            raise ConfigError(f"missing {missing}: is properties/model/{config['model']}.yaml loaded?")
        return cls(**{name: config[name] for name in names})


def _check_field(spec: Any, value: Any) -> None:
    """Compare a value with its field's type and allowed values."""
    kind = type(spec.default) if spec.default is not MISSING else None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise ConfigError(f"{spec.name} is {value!r}, expected {_kind_name(kind)} such as {spec.default!r}")
    limits = spec.metadata
    if limits.get("choices") and value not in limits["choices"]:
        raise ConfigError(
            f"{spec.name} is '{value}', expected one of {', '.join(limits['choices'])}"
            f"{nearest(str(value), limits['choices'], count=1)}"
        )
    low, high, above = (limits.get(name) for name in ("low", "high", "above"))
    if (low is not None and value < low) or (high is not None and value > high):
        raise ConfigError(f"{spec.name} is {value}, expected a value in {_interval(low, high)}")
    if above is not None and not value > above:
        raise ConfigError(f"{spec.name} is {value}, expected a value above {above}")


def _kind_name(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}.get(kind, kind.__name__)


def _interval(low: Optional[float], high: Optional[float]) -> str:
    return f"[{'-inf' if low is None else low}, {'inf)' if high is None else f'{high}]'}"


@dataclass(frozen=True)
class LossSettings(ModelSettings):
    """What the loss of an embedding recommender is; every field is a key of ``properties/overall.yaml``."""

    loss: str = setting("bpr", choices=LOSSES)
    softmax_temperature: float = setting(0.2, above=0)
    softmax_items: Union[str, int] = "auto"
    softmax_steps: int = setting(8, low=1)

    def __post_init__(self) -> None:
        kept = self.softmax_items
        whole = isinstance(kept, int) and not isinstance(kept, bool) and kept >= 1
        if not whole and kept not in ("auto", "all"):
            raise ConfigError(f"softmax_items is {kept!r}, expected auto, all or a whole number of items from 1")
        for spec in fields(self):
            if spec.name != "softmax_items":
                _check_field(spec, getattr(self, spec.name))

    @classmethod
    def from_recbole(cls, config: Any) -> "LossSettings":
        """Take our keys from a RecBole ``Config``; a checkpoint from before a key has its default, ``loss: bpr``.

        Raises:
            ConfigError: if a key is of another type or out of range.
        """
        return cls(**{spec.name: config[spec.name] for spec in fields(cls) if spec.name in config})

    def sampled(self, n_items: int) -> Optional[int]:
        """How many of ``n_items`` a step of the softmax samples; None where it takes all."""
        if self.softmax_items == "auto":
            return AUTO_ITEMS if n_items > ALL_ITEMS_UP_TO else None
        return None if self.softmax_items == "all" or self.softmax_items >= n_items else int(self.softmax_items)


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


def check_settings(config: Any) -> None:
    """Refuse what a ``Config`` of one of our models, or a registered one, holds and nothing reads, or is out of range.

    Raises:
        ConfigError: in one sentence, before any data are read.
    """
    refuse_unknown_keys(config.external_config_dict, known_keys(config["model"], config["dataset"]), config["model"])
    check_ranges(config.final_config_dict)
    if hasattr(config.model_class, "settings_class"):
        config.model_class.settings_class.from_recbole(config)
