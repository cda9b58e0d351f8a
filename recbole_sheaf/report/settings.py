"""Which settings of a run tell it apart: those of its model, and those that differ from the defaults.

A store holds every setting of RecBole's, hundreds a run; a reader wants the few that somebody chose.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

from recbole_sheaf.experiments.run_id import WITHOUT_EFFECT
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.settings.config import RECBOLE_PROPERTIES, class_name, default_settings, properties_folder
from recbole_sheaf.settings.settings_files import read_yaml

TRAINING = ("learning_rate", "train_batch_size", "epochs", "stopping_step")
# Of the place of a run in a grid, of the machine, or of the split, which stand elsewhere in a report.
_ELSEWHERE = WITHOUT_EFFECT | {
    *("seed", "eval_batch_size", "metric_decimal_place", "reproducibility", "model", "dataset", "device"),
    *("split_seed", "benchmark_filename", "load_col", "eval_type", "valid_metric_bigger", "MODEL_TYPE"),
}
LONGEST_VALUE = 80


@functools.cache
def _defaults(model: str, dataset: str) -> dict[str, Any]:
    """RecBole's, the protocol's and ours, the later above the earlier."""
    theirs = (
        RECBOLE_PROPERTIES / "overall.yaml",
        RECBOLE_PROPERTIES / "model" / f"{model}.yaml",
        RECBOLE_PROPERTIES / "dataset" / f"{dataset}.yaml",
        properties_folder() / "protocol.yaml",
    )
    settings: dict[str, Any] = {}
    for path in theirs:
        if _is_plain(path.stem) and path.is_file():
            settings.update(read_yaml(path))
    return {**settings, **default_settings(model, dataset)} if _is_plain(model + dataset) else settings


def _is_plain(name: str) -> bool:
    """Names come from the store, and no path is made of one that leads elsewhere."""
    return not any(sign in name for sign in "/\\:\0") and not name.startswith(".")


@functools.cache
def _own_keys(model: str) -> frozenset[str]:
    files = (RECBOLE_PROPERTIES / "model" / f"{model}.yaml", properties_folder() / "model" / f"{model}.yaml")
    found = [read_yaml(path) for path in files if _is_plain(model) and path.is_file()]
    return frozenset().union(*found) - _ELSEWHERE


def model_settings(model: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the model's own files name, those of training left out; the loss where there is a choice."""
    keys = _own_keys(class_name(model)) | (
        {"loss", "softmax_temperature"} if config.get("loss") == "softmax" else set()
    )
    return {key: config[key] for key in sorted(keys - set(TRAINING)) if key in config and config[key] is not None}


def changed_settings(model: str, dataset: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that differ from the files of defaults."""
    defaults = _defaults(class_name(model), dataset)
    return {
        key: config[key]
        for key in sorted(defaults.keys() - _ELSEWHERE)
        if key in config and _normal(config[key]) != _normal(defaults[key])
    }


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``one`` that differ in ``other``."""
    keys = sorted((one.keys() | other.keys()) - _ELSEWHERE)
    return {key: one.get(key) for key in keys if _normal(one.get(key)) != _normal(other.get(key))}


def as_text(settings: Mapping[str, Any]) -> str:
    """Settings as text: ``key = value``, with commas between."""
    return ", ".join(f"{key} = {value_text(value)}" for key, value in settings.items())


def value_text(value: Any) -> str:
    """A value as text on one line; floats as short as they read back the same."""
    if isinstance(value, float):
        text = f"{value:.4g}"
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = one_line(text)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _normal(value: Any) -> Any:
    """RecBole writes some values longer than its files do: a mode for each part, numbers as texts, upper case."""
    if isinstance(value, Mapping):
        normal = {str(key).lower(): _normal(inner) for key, inner in value.items() if inner is not None}
        same = {json.dumps(inner, sort_keys=True) for inner in normal.values()}
        return next(iter(normal.values())) if set(normal) == {"valid", "test"} and len(same) == 1 else normal
    if isinstance(value, list):
        return [_normal(inner) for inner in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value.lower()
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
