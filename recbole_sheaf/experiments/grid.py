"""An experiment file and the grid of runs it declares: datasets x models x ablations x seeds."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.errors import ConfigError, DataError, SheafError, nearest, shown
from recbole_sheaf.experiments.carry_out import run_of
from recbole_sheaf.experiments.run import REAL, Run
from recbole_sheaf.plugin.registration import check_model_name
from recbole_sheaf.settings.config import known_keys
from recbole_sheaf.settings.located_yaml import Keys, LocatedYaml
from recbole_sheaf.settings.rules import refuse_unknown_keys
from recbole_sheaf.settings.settings_files import read_yaml

KEYS = ("name", "store", "datasets", "models", "ablations", "seeds", "settings", "workers", "threads")
AXES = {"seed": "seeds", "model": "models", "dataset": "datasets"}  # settings that are axes of the grid
PATHS = ("data_path", "features_path", "cache_dir")


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file.

    Attributes:
        store: path of the DuckDB file that results go to.
        workers: processes that train at once; 1 trains in this process.
    """

    name: str
    store: Path
    workers: int
    runs: list[Run]


def read_experiment(
    path: Path, overrides: Optional[Mapping[str, Any]] = None, defaults: Optional[Mapping[str, Any]] = None
) -> Experiment:
    """Read an experiment file and resolve every run of its grid.

    Args:
        path: of the YAML file; paths inside it count from the folder it lies in.
        overrides: settings of every run that win over the file's.
        defaults: settings of every run that give way to the file's.

    Raises:
        ConfigError: for what is not understood, with its line and key.

    About 50 ms a run.
    """
    file = LocatedYaml(path)
    _refuse_unknown(file)
    name = _text(file, "name", file.path.stem)
    if Path(name).name != name or not name.isprintable() or len(name) > 100:
        raise file.refuse(("name",), f"{shown(name)} is no name; write up to 100 letters on one line, no slashes")
    store = _beside(file, _text(file, "store", f"{name}.duckdb"))
    workers, threads = (_count(file, key) for key in ("workers", "threads"))
    runs = [_run(file, name, threads, *cell) for cell in cells(file, overrides or {}, defaults or {})]
    return Experiment(name, store, workers, runs)


def cells(
    file: LocatedYaml, overrides: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str, int, dict[str, Any]]]:
    """Each cell of the grid as label, model, dataset, ablation, seed and settings; no data is read.

    What a model sets wins over its dataset and over every model's settings, an ablation over the model. A setting of
    more than one model reaches those that have it.
    """
    shared, named, ablations = _mapping(file, "settings"), _named(file, "models"), _ablations(file)
    models = {label: str(own.pop("model", label)) for label, own in named.items()}
    for dataset, of_dataset in _named(file, "datasets").items():
        known = _known_keys(file, models, dataset)
        anyones: dict[Keys, Mapping[str, Any]] = {("settings",): shared, ("datasets", dataset): of_dataset}
        anyones.update({("ablations", name): own for name, own in ablations.items()})
        _refuse_axes(file, {**anyones, **{("models", label): own for label, own in named.items()}}, overrides)
        _refuse_unread(file, anyones, known)
        refuse_unknown_keys(overrides, frozenset().union(*known.values()), ", ".join(models))
        for (label, model), (ablation, of_data), seed in product(models.items(), ablations.items(), _seeds(file)):
            wide = {**defaults, **shared, **of_dataset, **named[label], **of_data, "seed": seed, **overrides}
            settings = {key: value for key, value in wide.items() if key in known[label] or key in named[label]}
            yield label, model, dataset, ablation, seed, settings


def _known_keys(file: LocatedYaml, models: Mapping[str, str], dataset: str) -> dict[str, frozenset[str]]:
    """Keys that each label's model reads."""
    known = {}
    for label, model in models.items():
        try:
            check_model_name(model)
        except ConfigError as error:
            raise file.refuse(_entry(file, "models", label), str(error)) from error
        known[label] = known_keys(model, dataset)
    return known


def _refuse_axes(file: LocatedYaml, places: Mapping[Keys, Mapping[str, Any]], overrides: Mapping[str, Any]) -> None:
    """Refuse a setting that is an axis of the grid."""
    for place, settings in places.items():
        for key in settings:
            if key in AXES:
                raise file.refuse((*place, key), f"{key} is an axis of the grid; write it under '{AXES[key]}:'")
    for key in overrides:
        if key in AXES:
            raise ConfigError(f"{key}=... is an axis of the grid; write it under '{AXES[key]}:' in {file.path}")


def _refuse_unread(
    file: LocatedYaml, places: Mapping[tuple, Mapping[str, Any]], known: Mapping[str, frozenset[str]]
) -> None:
    """Refuse settings of every model that none of them reads."""
    anyones = frozenset().union(*known.values())
    for place, settings in places.items():
        for key in settings:
            if key not in anyones:
                raise file.refuse((*place, key), f"none of {', '.join(known)} has this setting{nearest(key, anyones)}")


def _run(
    file: LocatedYaml,
    experiment: str,
    threads: int,
    label: str,
    model: str,
    dataset: str,
    ablation: str,
    seed: int,
    settings: Mapping[str, Any],
) -> Run:
    """Resolve one cell; what RecBole or we refuse is told with the line that asked for it."""
    try:
        where = {"experiment": experiment, "label": label, "ablation": ablation}
        name = f"{label} on {dataset}{'' if ablation == REAL else f', {ablation}'}, seed {seed}"
        return run_of(model, dataset, settings, threads, name=name, tags=where, **where)
    except DataError as error:
        raise file.refuse(_entry(file, "datasets", dataset), str(error)) from error
    except SheafError as error:
        raise file.refuse(_guilty(file, str(error), dataset, label, ablation), str(error)) from error


def _guilty(file: LocatedYaml, message: str, dataset: str, label: str, ablation: str) -> Keys:
    """The key of the file that a message speaks of: the setting it names, or else the model."""
    for place in (("models", label), ("ablations", ablation), ("datasets", dataset), ("settings",)):
        for key in _mapping_at(file, place):
            if re.search(rf"\b{re.escape(key)}\b", message):
                return (*place, key)
    return _entry(file, "models", label)


def _mapping_at(file: LocatedYaml, place: Keys) -> Mapping[str, Any]:
    value = file.at(*place)
    return value if isinstance(value, dict) else {}


def _entry(file: LocatedYaml, key: str, name: str) -> Keys:
    """Where a name stands: a key of a mapping, or an entry of a list."""
    value = file.at(key)
    return (key, value.index(name)) if isinstance(value, list) and name in value else (key, name)


def _refuse_unknown(file: LocatedYaml) -> None:
    for key in file.content:
        if key not in KEYS:
            raise file.refuse((str(key),), f"no key of an experiment{nearest(str(key), KEYS)}; keys: {', '.join(KEYS)}")
    for key in ("datasets", "models"):
        if not file.at(key):
            raise file.refuse((key,), f"{key} is missing or empty; name at least one under '{key}:'")


def _named(file: LocatedYaml, key: str) -> dict[str, dict[str, Any]]:
    """``[a, b]``, ``a`` or ``{a: {setting: value}, b:}`` as settings by name."""
    value = file.at(key)
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        wrong = next((i for i, name in enumerate(value) if not isinstance(name, str)), None)
        if wrong is not None:
            raise file.refuse((key, wrong), f"{value[wrong]!r} is no name; write a list of names")
        again = next((i for i, name in enumerate(value) if name in value[:i]), None)
        if again is not None:
            raise file.refuse((key, again), f"'{value[again]}' is named more than once; name each once")
        return {name: {} for name in value}
    if not isinstance(value, dict):
        raise file.refuse((key,), f"{value!r} is neither a list of names nor 'name: {{setting: value}}' lines")
    return {str(name): _with_file(file, (key, str(name)), settings) for name, settings in value.items()}


def _with_file(file: LocatedYaml, keys: Keys, settings: Any) -> dict[str, Any]:
    """Settings of one entry, those of its ``settings_file`` beneath."""
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise file.refuse(keys, f"{settings!r} is no mapping; write 'setting: value' lines beneath the name")
    wrong = next((key for key in settings if not isinstance(key, str)), None)
    if wrong is not None:
        raise file.refuse((*keys, str(wrong)), f"{wrong!r} is no name of a setting; write 'setting: value' lines")
    own = dict(settings)
    named = own.pop("settings_file", None)
    own.update({key: str(_beside(file, own[key])) for key in PATHS if own.get(key)})
    if named is None:
        return own
    try:
        return {**read_yaml(_beside(file, named)), **own}
    except ConfigError as error:
        raise file.refuse((*keys, "settings_file"), str(error)) from error


def _mapping(file: LocatedYaml, key: str) -> dict[str, Any]:
    return _with_file(file, (key,), file.at(key, default={}))


def _ablations(file: LocatedYaml) -> dict[str, dict[str, Any]]:
    return _named(file, "ablations") if file.at("ablations") else {REAL: {}}


def _seeds(file: LocatedYaml) -> list[int]:
    seeds = file.at("seeds", default=[2020])
    seeds = seeds if isinstance(seeds, list) else [seeds]
    if not seeds:
        raise file.refuse(("seeds",), "the list is empty; name at least one seed")
    for index, seed in enumerate(seeds):
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            raise file.refuse(("seeds", index), f"{seed!r} is no seed; write whole numbers from 0 to {2**32 - 1}")
        if seed in seeds[:index]:
            raise file.refuse(("seeds", index), f"seed {seed} is named more than once; name each once")
    return seeds


def _count(file: LocatedYaml, key: str) -> int:
    value = file.at(key, default=1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise file.refuse((key,), f"{value!r} is not allowed; write a whole number from 1")
    return value


def _text(file: LocatedYaml, key: str, default: str) -> str:
    value = file.at(key, default=default)
    if not isinstance(value, str):
        raise file.refuse((key,), f"{shown(value)} is no text; write '{key}: {default}', for example")
    return value


def _beside(file: LocatedYaml, path: Any) -> Path:
    """A path of the file, which counts from the file's own folder."""
    return (file.path.parent / str(path)).expanduser()
