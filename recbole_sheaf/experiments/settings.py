"""Settings of models from YAML files, the command line and the evaluation protocol, resolved and checked.

Everything a person can get wrong is refused here, before any data are read.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from recbole.config import Config

from recbole_sheaf.data.exact_times import is_ordered_by_time
from recbole_sheaf.data.relations import condition_of_dislikes
from recbole_sheaf.errors import ConfigError, SheafError, first_line, nearest, shown
from recbole_sheaf.experiments.idle_settings import refuse_idle
from recbole_sheaf.experiments.unsafe_settings import refuse_unsafe, refuse_unsafe_names
from recbole_sheaf.files.atomic import read_header
from recbole_sheaf.plugin.recbole_tables import reads_labels
from recbole_sheaf.plugin.registration import check_model_name
from recbole_sheaf.settings.config import (
    check_ranges,
    class_name,
    default_settings,
    known_keys,
    properties_folder,
    rules_for,
)
from recbole_sheaf.settings.recbole_rules import check_evaluation
from recbole_sheaf.settings.rules import check_values, refuse_unknown_keys
from recbole_sheaf.settings.settings_files import read_yaml

_METRICS = frozenset(("metrics", "topk", "valid_metric"))
PER_MODEL = "model_settings"  # key of a settings file: {model: {key: value}}


def resolve_configs(
    models: Sequence[str], dataset: str, config_files: Sequence[str], overrides: Mapping[str, Any]
) -> list[Config]:
    """A checked ``Config`` per model, the evaluation protocol beneath the user's own settings.

    Raises:
        ConfigError, DataError: in one sentence, before any data are read.
    """
    refuse_unsafe_names(dataset)
    protocol = read_yaml(properties_folder() / "protocol.yaml")
    configs = []
    for model, own in settings_by_model(models, dataset, config_files, overrides).items():
        known = known_keys(model, dataset)
        beneath = {key: protocol[key] for key in protocol if key in known}
        if not own.keys() & _METRICS and _rates(model):
            beneath = {key: beneath[key] for key in beneath if key not in _METRICS}
        check_evaluation({**beneath, **own})
        config = _config(model, dataset, {**beneath, **own})
        _refuse_contradictions(config)
        refuse_idle(config)
        _load_columns(config)
        refuse_unsafe(config)
        configs.append(config)
    return configs


def _rates(model: str) -> bool:
    """Whether a model predicts ratings or clicks, as RecBole's context-aware ones do, and ranks no list of items."""
    from recbole.utils import ModelType, get_model

    return getattr(get_model(model), "type", None) in (ModelType.CONTEXT, ModelType.DECISIONTREE)


def _refuse_contradictions(config: Config) -> None:
    """Refuse settings of which each is allowed and which do not go together."""
    from recbole.utils import EvaluatorType, InputType

    if config["load_col"] is not None and "inter" not in config["load_col"]:
        raise ConfigError(
            f"load_col is {shown(config['load_col'])}, without the columns of inter; leave it out or name them"
        )
    if config["threshold"]:
        reads_labels(config)
    labeled = "labeled" in config["eval_args"]["mode"].values()
    if labeled and config["eval_type"] is EvaluatorType.RANKING:
        raise ConfigError(
            f"eval_args.mode is labeled, which ranks nothing, but metrics are {', '.join(config['metrics'])}; choose "
            "AUC or LogLoss, or mode full"
        )
    samples = config["train_neg_sample_args"]["distribution"] != "none"
    if config["MODEL_INPUT_TYPE"] is InputType.PAIRWISE and not samples and config["loss"] != "softmax":
        raise ConfigError(
            f"train_neg_sample_args samples no items, but {config['model']} learns from pairs; leave the setting out"
        )


def _load_columns(config: Config) -> None:
    """Load the columns by which interactions are ordered, labelled or filtered; RecBole loads users and items alone."""
    if config["load_col"] is None:
        return
    if is_ordered_by_time(config):
        _load(config, "inter", config["TIME_FIELD"])
    for field in config["threshold"] or {}:
        _load(config, _table_with(config, "threshold", field, ["inter"]), field)
    if config["dislikes"] and (types := _types(config, "inter")):
        for field in sorted(condition_of_dislikes(config, types).columns):
            _load(config, "inter", field)
    for field in config["val_interval"] or {}:
        _load(config, _table_with(config, "val_interval", field, ["inter", "user", "item", *config["load_col"]]), field)


def load_times(config: Config) -> None:
    """Load times too, where the dataset has a column of them, though neither split nor model asks for it."""
    if config["load_col"] is not None:
        _load(config, "inter", config["TIME_FIELD"])


def _load(config: Config, table: str, field: str) -> None:
    ids = {"user": [config["USER_ID_FIELD"]], "item": [config["ITEM_ID_FIELD"]]}
    columns = config["load_col"].get(table, ids.get(table, []))
    if columns != "*" and field not in columns:
        config.final_config_dict["load_col"] = {**config["load_col"], table: [*columns, field]}


def _table_with(config: Config, key: str, field: str, tables: Sequence[str]) -> str:
    """Which of the tables has the column that a setting names: one that is loaded, or else the first."""
    loaded = [table for table in tables if field in config["load_col"].get(table, [])]
    found = loaded or [table for table in tables if field in _columns(config, table)]
    if found:
        return found[0]
    there = [name for table in tables for name in _columns(config, table)]
    raise ConfigError(
        f"{key} names {shown(field)}, which is no column of dataset '{config['dataset']}'{nearest(field, there)}; "
        "correct it or leave it out"
    )


def _columns(config: Config, table: str) -> list[str]:
    return list(_types(config, table))


def _types(config: Config, table: str) -> dict[str, str]:
    """Types of a table's columns by name; none of a table that is not there."""
    path = Path(config["data_path"]) / f"{config['dataset']}.{table}"
    if not path.is_file():
        return {}
    columns = (column.partition(":") for column in read_header(path, config["field_separator"])[0])
    return {name: kind for name, _, kind in columns}


def settings_by_model(
    models: Sequence[str],
    dataset: str,
    config_files: Sequence[str],
    overrides: Mapping[str, Any],
    defaults: Optional[Mapping[str, Any]] = None,
) -> dict[str, dict[str, Any]]:
    """What files and overrides set, for each model those that it reads; ``defaults`` give way to both.

    Raises:
        ConfigError: if a model is unknown or named twice, a setting is read by none of them, or is out of range.
    """
    for model in models:
        check_model_name(model)
    repeated = sorted({model for model in models if list(models).count(model) > 1})
    if repeated:
        raise ConfigError(f"{', '.join(repeated)} is named more than once; name each model once")
    known = {model: known_keys(model, dataset) for model in models}
    everyones, each = _read_files(config_files, {class_name(model): known[model] for model in models})
    refuse_unknown_keys({**everyones, **overrides}, frozenset().union(*known.values()), ", ".join(models))
    check_ranges({**everyones, **overrides})
    given = {
        model: {**(defaults or {}), **everyones, **each.get(class_name(model), {}), **overrides} for model in models
    }
    read = {model: {key: given[model][key] for key in given[model] if key in known[model]} for model in models}
    for model, own in read.items():
        check_values(own, rules_for(class_name(model)))
    return read


def _read_files(
    paths: Sequence[str], known: Mapping[str, frozenset[str]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings of the files for every model, and those under ``model_settings`` for each model by name."""
    everyones: dict[str, Any] = {}
    each: dict[str, dict[str, Any]] = {}
    for path in paths:
        settings = read_yaml(Path(path))
        by_model = settings.pop(PER_MODEL, None) or {}
        if not isinstance(by_model, dict) or not all(isinstance(value, dict) for value in by_model.values()):
            raise ConfigError(f"{PER_MODEL} in {path} is {by_model!r}, expected 'model: {{key: value}}' lines")
        for model, own in by_model.items():
            check_model_name(model)
            refuse_unknown_keys(own, known.get(class_name(model), own), f"{model} (in {path})")
            check_ranges(own)
            each.setdefault(class_name(model), {}).update(own)
        everyones.update(settings)
    return everyones, each


def _config(model: str, dataset: str, settings: dict[str, Any]) -> Config:
    """RecBole's ``Config`` with our defaults beneath, for RecBole's models too; its refusals turned into ours."""
    try:
        with _argv_cleared():
            return Config(model=model, dataset=dataset, config_dict={**default_settings(model, dataset), **settings})
    except SheafError:
        raise
    except (NotImplementedError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"RecBole refuses the settings of {model}: {first_line(error)}; a setting of this model alone "
            f"stands in a file of config_files=..., under {PER_MODEL}: {{{class_name(model)}: {{key: value}}}}"
        ) from error


@contextlib.contextmanager
def _argv_cleared() -> Iterator[None]:
    """RecBole's ``Config`` reads ``sys.argv``; our command line has been parsed already."""
    kept, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = kept
