"""Train and evaluate models side by side on one loaded split.

Each model gets its own resolved ``Config`` and its own batches drawn from ``seed``, so its numbers are the same alone
or in company. Everything a person can get wrong is refused before the first epoch.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from recbole.config import Config
from recbole.quick_start import load_data_and_model
from recbole.utils import get_trainer

from recbole_sheaf.config import (
    check_evaluation,
    check_ranges,
    default_settings,
    known_keys,
    properties_folder,
    read_yaml,
    refuse_unknown_keys,
)
from recbole_sheaf.errors import ConfigError, SheafError
from recbole_sheaf.experiments.identity import run_id
from recbole_sheaf.experiments.mlflow_tracking import Subject, open_experiments, record_of, tracking_of
from recbole_sheaf.experiments.splits import LoadedSplit, load_split, same_data
from recbole_sheaf.experiments.training import RunResult, train
from recbole_sheaf.experiments.wandb_runs import WandbRun, refuse_absent_wandb
from recbole_sheaf.own_models import class_name
from recbole_sheaf.registration import check_model_name

PER_MODEL = "model_settings"  # key of a settings file: {model: {key: value}}


def run_models(
    models: Sequence[str],
    dataset: str,
    config_files: Sequence[str] = (),
    overrides: Optional[Mapping[str, Any]] = None,
    result_file: Optional[Path] = None,
) -> list[RunResult]:
    """Train each model, select its epoch on validation, read its test score once.

    Args:
        models: names, RecBole's or ours.
        dataset: name of the dataset folder inside ``data_path``.
        config_files: YAML files, later ones win.
        overrides: settings that win over every file; a key reaches the models that know it.
        result_file: where to write a line of JSON per run, as the runs end.

    Raises:
        ConfigError, DataError, FeatureError: before the first epoch, in one sentence.
    """
    configs = resolve_configs(models, dataset, config_files, overrides or {})
    refuse_unwritable(result_file)
    open_experiments([tracking_of(config) for config in configs])
    split: Optional[LoadedSplit] = None
    results: list[RunResult] = []
    for config in configs:
        if split is None or not same_data(split.dataset.config, config):
            split = load_split(config)
        result = _recorded_training(config, split)
        if result_file is not None:
            _write_line(result_file, result.to_json(), first=not results)
        results.append(result)
    return results


def _recorded_training(config: Config, split: LoadedSplit) -> RunResult:
    def subject() -> Subject:
        threads = torch.get_num_threads()
        name = f"{config['model']} on {config['dataset']}, seed {config['seed']}"
        return Subject(name, run_id(config, threads), threads)

    with record_of(tracking_of(config), subject, config) as record, WandbRun(config):
        result = train(config, split, listener=record.epoch).result
        record.result(result)
    return result


def resolve_configs(
    models: Sequence[str], dataset: str, config_files: Sequence[str], overrides: Mapping[str, Any]
) -> list[Config]:
    """A checked ``Config`` per model, the evaluation protocol beneath the user's own settings.

    Raises:
        ConfigError, DataError: in one sentence, before any data are read.
    """
    protocol = read_yaml(properties_folder() / "protocol.yaml")
    configs = []
    for model, own in settings_by_model(models, dataset, config_files, overrides).items():
        known = known_keys(model, dataset)
        check_evaluation({**protocol, **own})
        config = _config(model, dataset, {**{key: protocol[key] for key in protocol if key in known}, **own})
        refuse_absent_wandb(config)
        configs.append(config)
    return configs


def settings_by_model(
    models: Sequence[str], dataset: str, config_files: Sequence[str], overrides: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What files and overrides set, for each model those that it reads.

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
    given = {model: {**everyones, **each.get(class_name(model), {}), **overrides} for model in models}
    return {model: {key: given[model][key] for key in given[model] if key in known[model]} for model in models}


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
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise ConfigError(f"RecBole refuses the settings of {model}: {error}") from error
    except ValueError as error:
        if isinstance(error, SheafError):
            raise
        raise ConfigError(f"RecBole refuses the settings of {model}: {error}") from error


@contextlib.contextmanager
def _argv_cleared() -> Iterator[None]:
    """RecBole's ``Config`` reads ``sys.argv``; our command line has been parsed already."""
    kept, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = kept


def refuse_unwritable(path: Optional[Path]) -> None:
    """Refuse a result path before hours of training, not after.

    Raises:
        ConfigError: if the path is a folder or its folder cannot be written.
    """
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path} cannot be written; give the path of a file in a folder you may write to")


def _write_line(path: Path, line: str, first: bool) -> None:
    """Start the file with the first finished run, never before, and add to it afterwards."""
    with open(path, "w" if first else "a", encoding="utf-8") as file:
        file.write(line + "\n")


def evaluate_checkpoint(path: Union[str, Path]) -> dict[str, Any]:
    """Load a checkpoint, rebuild its split and model, and give its validation and test metrics.

    Raises:
        ConfigError: if the file is absent or is not a checkpoint of RecBole.
    """
    if not Path(path).is_file():
        raise ConfigError(f"there is no checkpoint {path}; runs name theirs in --result_file and on the screen")
    with _argv_cleared():
        config, model, _, train_data, valid_data, test_data = load_data_and_model(str(path))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.eval_collector.data_collect(train_data)
    metrics = {
        name: {key: float(value) for key, value in trainer.evaluate(data, load_best_model=False).items()}
        for name, data in (("valid", valid_data), ("test", test_data))
    }
    return {"model": config["model"], "dataset": config["dataset"], "seed": config["seed"], **metrics}
