"""The search space of a model, as its YAML file declares it, and as Optuna wants it.

``search_space: {learning_rate: {low: 1e-4, high: 1e-2, log: true}, n_layers: {choices: [1, 2, 3]}}``

Under ``loss: softmax`` the entries of ``softmax_search_space`` come beside those, in the place of any of the same name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Union

from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.config import known_keys, rules_for
from recbole_sheaf.settings.rules import check_values, refuse_unknown_keys, rules_of

Values = Union[CategoricalDistribution, FloatDistribution, IntDistribution]
Space = dict[str, Values]


def read_space(config: Any) -> Space:
    """The search space of a resolved ``Config``; empty where its model has none.

    Raises:
        ConfigError: if a key is unknown to the model, or its entry is neither a range nor choices.
    """
    keys = ["search_space", "softmax_search_space"] if config["loss"] == "softmax" else ["search_space"]
    declared = {}
    for key in keys:
        declared.update(_declared(config, key))
    space = {name: _distribution(name, entry) for name, entry in declared.items()}
    _check_values(space, config)
    return space


def _check_values(space: Space, config: Any) -> None:
    """Refuse a space that holds values which a training would refuse."""
    rules = rules_for(config["model"])
    if hasattr(config.model_class, "settings_class"):
        rules = {**rules, **rules_of(config.model_class.settings_class)}
    for name, values in space.items():
        for value in _ends(values):
            check_values({name: value}, rules)


def _ends(values: Values) -> Sequence[Any]:
    return values.choices if isinstance(values, CategoricalDistribution) else (values.low, values.high)


def _declared(config: Any, key: str) -> dict[str, Any]:
    declared = config[key] or {}
    if not isinstance(declared, dict):
        raise ConfigError(f"{key} of {config['model']} is {declared!r}, expected 'setting: {{low, high}}' lines")
    refuse_unknown_keys(declared, known_keys(config["model"], config["dataset"]), f"{key} of {config['model']}")
    return declared


def _distribution(name: str, entry: Any) -> Values:
    if isinstance(entry, dict) and set(entry) == {"choices"} and _are_values(entry["choices"]):
        return CategoricalDistribution(entry["choices"])
    if isinstance(entry, dict) and {"low", "high"} <= set(entry) <= {"low", "high", "log"}:
        low, high, log = entry["low"], entry["high"], entry.get("log", False)
        if _is_number(low) and _is_number(high) and low <= high and isinstance(log, bool) and not (log and low <= 0):
            whole = isinstance(low, int) and isinstance(high, int)
            return (IntDistribution if whole else FloatDistribution)(low, high, log=log)
    raise ConfigError(
        f"search_space has {name}: {entry!r}, expected {{low: 1e-4, high: 1e-2, log: true}} with low <= high, "
        "low above 0 where log is true, or {choices: [1, 2, 3]}"
    )


def _are_values(choices: Any) -> bool:
    return isinstance(choices, list) and bool(choices) and all(isinstance(c, (bool, int, float, str)) for c in choices)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def defaults_within(space: Space, settings: Mapping[str, Any]) -> dict[str, Union[bool, int, float, str]]:
    """Those of the present settings that the space holds, from which a search starts."""
    found: dict[str, Union[bool, int, float, str]] = {}
    for name, distribution in space.items():
        value: Any = settings.get(name)
        if isinstance(distribution, CategoricalDistribution):
            inside = value in distribution.choices
        elif isinstance(distribution, (IntDistribution, FloatDistribution)):
            inside = _is_number(value) and distribution.low <= value <= distribution.high
        else:
            inside = False
        if inside:
            found[name] = value
    return found
