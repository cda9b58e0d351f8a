"""Train and evaluate models side by side on one loaded split.

Each model gets its own resolved ``Config`` and its own batches drawn from ``seed``, so its numbers are the same alone
or in company. Everything a person can get wrong is refused before the first epoch.
"""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Optional

from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.dataset import Dataset
from recbole.data.utils import create_samplers, get_dataloader
from recbole.quick_start import load_data_and_model
from recbole.utils import ModelType, get_local_time, get_model, get_trainer, init_logger, init_seed

from recbole_sheaf.config import (
    check_ranges,
    known_keys,
    properties_folder,
    read_yaml,
    refuse_unknown_keys,
)
from recbole_sheaf.errors import ConfigError, DataError, SheafError
from recbole_sheaf.experiments.measure import EpochClock, PeakMemory, trainable_parameters, versions
from recbole_sheaf.registration import check_model_name

SPLIT_NAMES = ("train", "valid", "test")
PER_MODEL = "model_settings"  # key of a settings file: {model: {key: value}}


@dataclass(frozen=True)
class RunResult:
    """One trained and tested model: a line of ``--result_file``."""

    model: str
    dataset: str
    seed: int
    split_seed: Optional[int]
    split: dict[str, Any]
    best_epoch: Optional[int]
    epochs: int
    valid: dict[str, float]
    test: dict[str, float]
    seconds_per_epoch: float
    peak_memory_mib: float
    parameters: int
    device: str
    message_passing: Optional[str]
    modalities: dict[str, float]
    checkpoint: str
    config: dict[str, Any]
    train_loss: list[float] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=versions)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=False)


@dataclass(frozen=True)
class LoadedSplit:
    """A dataset and its training, validation and test parts."""

    dataset: Dataset
    parts: Sequence[Dataset]

    @property
    def sizes(self) -> dict[str, int]:
        """Interactions in each part."""
        return {name: len(part) for name, part in zip(SPLIT_NAMES, self.parts)}


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
    split: Optional[LoadedSplit] = None
    results: list[RunResult] = []
    for config in configs:
        if split is None or not _same_data(split.dataset.config, config):
            split = load_split(config)
        result = run_model(config, split)
        if result_file is not None:
            _write_line(result_file, result.to_json(), first=not results)
        results.append(result)
    return results


def resolve_configs(
    models: Sequence[str], dataset: str, config_files: Sequence[str], overrides: Mapping[str, Any]
) -> list[Config]:
    """A checked ``Config`` per model, the evaluation protocol beneath the user's own settings."""
    for model in models:
        check_model_name(model)
    repeated = sorted({model for model in models if list(models).count(model) > 1})
    if repeated:
        raise ConfigError(f"{', '.join(repeated)} is named more than once; name each model once")
    known = {model: known_keys(model, dataset) for model in models}
    everyones, each = _read_files(config_files, known)
    refuse_unknown_keys({**everyones, **overrides}, frozenset().union(*known.values()), ", ".join(models))
    check_ranges({**everyones, **overrides})
    protocol = read_yaml(properties_folder() / "protocol.yaml")
    configs = []
    for model in models:
        given = {**protocol, **everyones, **each.get(model, {}), **overrides}
        configs.append(_config(model, dataset, {key: given[key] for key in given if key in known[model]}))
    return configs


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
            refuse_unknown_keys(own, known.get(model, own), f"{model} (in {path})")
            check_ranges(own)
            each.setdefault(model, {}).update(own)
        everyones.update(settings)
    return everyones, each


def _config(model: str, dataset: str, settings: dict[str, Any]) -> Config:
    """RecBole's ``Config``, its own refusals turned into ours."""
    try:
        with _argv_cleared():
            return Config(model=model, dataset=dataset, config_dict=settings)
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


def load_split(config: Config) -> LoadedSplit:
    """Load a dataset and split it by ``split_seed``.

    Raises:
        DataError: if a part of the split is empty.
    """
    _start_logger(config)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    split = LoadedSplit(dataset, dataset.build())
    empty = [name for name, size in split.sizes.items() if not size]
    if empty:
        raise DataError(
            f"the {' and '.join(empty)} part of dataset '{config['dataset']}' is empty ({split.sizes}); "
            "check the .inter file, the filters and eval_args"
        )
    logging.getLogger(__name__).info("%s split into %s", config["dataset"], split.sizes)
    return split


def run_model(config: Config, split: LoadedSplit) -> RunResult:
    """Train and test one model on a loaded split."""
    _refuse_long_lists(config, split.dataset)
    _start_logger(config)
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, test_data = _loaders(config, split)
    with PeakMemory(config["device"]) as memory:
        init_seed(config["seed"], config["reproducibility"])
        model = get_model(config["model"])(config, train_data.dataset).to(config["device"])
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        trainer.saved_model_file = _checkpoint_path(config)
        clock = trainer._train_epoch = EpochClock(trainer._train_epoch)
        curve: dict[int, float] = {}
        _, valid = trainer.fit(
            train_data, valid_data, show_progress=config["show_progress"], callback_fn=curve.__setitem__
        )
        test = trainer.evaluate(test_data, show_progress=config["show_progress"])
    best = _best_epoch(curve, config["valid_metric_bigger"])
    return RunResult(
        model=config["model"],
        dataset=config["dataset"],
        seed=config["seed"],
        split_seed=config["split_seed"],
        split={**split.sizes, "users": split.dataset.user_num - 1, "items": split.dataset.item_num - 1},
        best_epoch=best,
        epochs=len(clock.seconds),
        valid={name: float(value) for name, value in (valid or {}).items()},
        test={name: float(value) for name, value in test.items()},
        seconds_per_epoch=clock.mean(),
        peak_memory_mib=memory.mib,
        parameters=trainable_parameters(model),
        device=str(config["device"]),
        message_passing=getattr(model, "message_passing", None),
        modalities=getattr(model, "modality_coverage", {}),
        checkpoint=trainer.saved_model_file,
        config=plain_settings(config.final_config_dict),
        train_loss=[float(loss) for loss in trainer.train_loss_dict.values()],
    )


def _refuse_long_lists(config: Config, dataset: Dataset) -> None:
    """RecBole fails in the first evaluation where a list is longer than the catalogue."""
    longest, items = max(config["topk"]), dataset.item_num - 1
    if longest > items:
        raise ConfigError(
            f"topk is {longest}, but dataset '{config['dataset']}' has {items} items; "
            f"set topk to at most {items}, for example --topk=[{min(10, items)}]"
        )


def _loaders(config: Config, split: LoadedSplit) -> tuple[Any, Any, Any]:
    """RecBole's loaders for one model; samplers and batches start from ``seed``."""
    samplers = create_samplers(config, split.dataset, split.parts)
    return tuple(
        get_dataloader(config, phase)(config, part, sampler, shuffle=phase == "train" and config["shuffle"])
        for phase, part, sampler in zip(SPLIT_NAMES, split.parts, samplers)
    )


def _same_data(loaded: Config, wanted: Config) -> bool:
    """Whether two models read the very same interactions."""
    kinds = [config["MODEL_TYPE"] in (ModelType.GENERAL, ModelType.TRADITIONAL) for config in (loaded, wanted)]
    keys = [key for key in loaded.parameters["Dataset"] if key not in ("LABEL_FIELD", "NEG_PREFIX")]
    keys += ["data_path", "split_seed", "eval_args"]
    return all(kinds) and all(loaded[key] == wanted[key] for key in keys)


def _best_epoch(curve: Mapping[int, float], bigger: bool) -> Optional[int]:
    """Epoch of the checkpoint: the last of the best, as RecBole keeps it; None without validation."""
    if not curve:
        return None
    best = (max if bigger else min)(curve.values())
    return max(epoch for epoch, score in curve.items() if score == best)


def _checkpoint_path(config: Config) -> str:
    name = f"{config['model']}-{config['dataset']}-seed{config['seed']}-{get_local_time()}-{os.getpid()}.pth"
    return os.path.join(config["checkpoint_dir"], name)


def _start_logger(config: Config) -> None:
    """Give each model its own log file; RecBole's logger keeps the first one otherwise."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) in (logging.StreamHandler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
    init_logger(config)


def plain_settings(value: Any) -> Any:
    """Settings as JSON can hold them: enumerations by name, devices and paths as text."""
    if isinstance(value, Mapping):
        return {str(key): plain_settings(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_settings(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


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


def evaluate_checkpoint(path: Path) -> dict[str, Any]:
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
