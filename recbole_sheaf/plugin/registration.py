"""Makes RecBole's entry points know our models, defaults and datasets, in this process and in the workers it spawns.

RecBole finds a model by importing ``recbole.model.<kind>.<name in lower case>``; a finder on ``sys.meta_path`` answers
for our names with our modules. Defaults come in where ``Config`` loads its own, so RecBole's order of precedence holds:
command line over dictionary over file over defaults.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Optional

from recbole_sheaf.errors import ConfigError, nearest
from recbole_sheaf.plugin import own_models
from recbole_sheaf.plugin.names import MODELS, RECOMMENDERS, recbole_names
from recbole_sheaf.settings.config import (
    RECBOLE_PROPERTIES,
    apply_split,
    cache_folder,
    check_loss,
    check_settings,
    default_settings,
    make_lists,
)
from recbole_sheaf.settings.settings_files import read_yaml

QUICK_START = "recbole.quick_start.quick_start"
NUMBERING, LISTED = "numbering", "listed"  # what a folder says to RecBole's dataset; no setting of anybody's


def add_finder() -> None:
    """Let RecBole find our models by name; a second call does nothing."""
    if not any(isinstance(finder, _ModelFinder) for finder in sys.meta_path):
        sys.meta_path.append(_ModelFinder())


def is_ours(name: str, model_class: type) -> bool:
    """Whether a class is the model that has this name in this package, or was registered under it."""
    return own_models.registered().get(name) is model_class or MODELS.get(name) == model_class.__module__


def _is_recboles(model_class: type) -> bool:
    return model_class.__module__.startswith("recbole.model.")


def recbole_model_names() -> list[str]:
    """Names of RecBole's models, ours and those registered, in alphabetical order."""
    return sorted({*recbole_names(), *MODELS, *own_models.registered()}, key=str.lower)


def run_recboles(rank: int, *args: Any) -> None:
    """RecBole's worker of a distributed run; found under our name, so a spawned process registers our models first."""
    from recbole_sheaf.plugin.recbole_compat import original

    original(QUICK_START, "run_recboles")(rank, *args)


def objective_function(
    config_dict: Optional[dict[str, Any]] = None,
    config_file_list: Optional[list[str]] = None,
    saved: bool = True,
) -> dict[str, Any]:
    """RecBole's objective of a search; found under our name, so a Ray worker registers our models first."""
    from recbole_sheaf.plugin.recbole_compat import original

    return original(QUICK_START, "objective_function")(config_dict, config_file_list, saved)


class _ModelFinder(importlib.abc.MetaPathFinder):
    """Answers for ``recbole.model.general_recommender.<our model>`` with our module, or a registered class."""

    def find_spec(
        self, fullname: str, path: Any, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        package, _, name = fullname.rpartition(".")
        if package != RECOMMENDERS:
            return None
        model = next((known for known in (*MODELS, *own_models.registered()) if known.lower() == name), None)
        return None if model is None else importlib.util.spec_from_loader(fullname, _ModelAlias(model))


class _ModelAlias(importlib.abc.Loader):
    """A module that holds a model found elsewhere, so that its class exists once."""

    def __init__(self, model: str) -> None:
        self.model = model

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        alias = ModuleType(spec.name)
        if self.model in MODELS:
            alias.__dict__.update(vars(importlib.import_module(MODELS[self.model])))
        else:
            setattr(alias, self.model, own_models.registered()[self.model])
        return alias

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the contents are there."""


def names_checked(get_model_and_dataset: Callable) -> Callable:
    """RecBole's reading of both names, which refuses one that nobody has."""

    @functools.wraps(get_model_and_dataset)
    def _get_model_and_dataset(self: Any, model: Any, dataset: Any) -> Any:
        name = self.external_config_dict.get("model") if model is None else model
        if isinstance(name, str):
            check_model_name(name)
            model = own_models.resolve(name) if ":" in name else model
        return get_model_and_dataset(self, model, dataset)

    return _get_model_and_dataset


def unknown_refused(get_model: Callable) -> Callable:
    """Say that there is no model of a name; RecBole imports ``lightgbm`` and ``xgboost`` in search of it."""

    @functools.wraps(get_model)
    def wrapped(model_name: str) -> type:
        try:
            return own_models.resolve(model_name) if ":" in model_name else get_model(model_name)
        except ModuleNotFoundError as error:
            check_model_name(model_name)
            raise ConfigError(
                f"{model_name} needs the package {error.name}, which is not installed: pip install {error.name}"
            ) from error
        except (ImportError, ValueError):
            check_model_name(model_name)
            raise

    return wrapped


def check_model_name(name: str) -> None:
    """Refuse a model that neither RecBole nor we have; ``package.module:MyModel`` is imported and registered.

    Raises:
        ConfigError: with the nearest names, or what is wrong with the module or class.
    """
    if ":" in name:
        own_models.resolve(name)
        return
    names = recbole_model_names()
    if name not in names:
        raise ConfigError(
            f"there is no model '{name}'{nearest(name, names)}; ours are {', '.join(MODELS)}, the others are "
            "RecBole's; one of your own is named package.module:MyModel, or registered by recbole_sheaf.register"
        )


def with_our_defaults(load_internal_config_dict: Callable) -> Callable:
    """For our models, our YAML defaults on top of RecBole's, below everything a user sets.

    A model of RecBole's keeps RecBole's defaults, ``split_seed`` among them: RecBole splits by ``seed``. Our commands
    give our defaults to every model as settings.
    """

    @functools.wraps(load_internal_config_dict)
    def _load_internal_config_dict(self: Any, model: str, model_class: type, dataset: str) -> None:
        load_internal_config_dict(self, model, model_class, dataset)
        if is_ours(model, model_class):
            self.internal_config_dict.update(default_settings(model, dataset))

    return _load_internal_config_dict


def with_folder_recognised(set_default_parameters: Callable) -> Callable:
    """Refuse an absent dataset before anything runs; read an MMRec-style folder, or one of a ready split, as it is."""

    @functools.wraps(set_default_parameters)
    def _set_default_parameters(self: Any) -> None:
        from recbole_sheaf.data.folders import check_dataset_folder, has_own_split
        from recbole_sheaf.data.mmrec_folder import is_mmrec_folder

        root = Path(self.final_config_dict["data_path"])
        set_default_parameters(self)
        settings = self.final_config_dict
        if self.dataset != "ml-100k":
            fields = {"user_field": settings["USER_ID_FIELD"], "item_field": settings["ITEM_ID_FIELD"]}
            fields["separator"] = settings["field_separator"]
            check_dataset_folder(root, self.dataset, _downloadable(), **fields)
        folder = Path(settings["data_path"])
        if is_mmrec_folder(folder, self.dataset):
            settings.update(_mmrec_settings(folder, self.dataset, cache_folder(self)))
        elif has_own_split(folder, self.dataset):
            if not settings.get("benchmark_filename"):
                settings.update(_own_split_settings(self, folder))
            loaded = _listed(self, folder).keys() & set(settings["load_col"] or ("item", "user"))
            if len(loaded) == 2:
                settings[NUMBERING] = LISTED

    return _set_default_parameters


def _mmrec_settings(folder: Path, name: str, cache: Path) -> dict[str, Any]:
    from recbole_sheaf.data.mmrec import convert_mmrec_folder

    converted = convert_mmrec_folder(folder, name, cache)
    return {
        "data_path": str(converted.path),
        "benchmark_filename": list(converted.benchmark_filename),
        "load_col": {"inter": ["user_id", "item_id"], "user": ["user_id"], "item": ["item_id"]},
    }


def _own_split_settings(config: Any, folder: Path) -> dict[str, Any]:
    """As of an MMRec-style folder: its parts, and what its ``.item`` and ``.user`` list, unless ``load_col`` says else.

    Where both are read, users and items are numbered as they are listed (:func:`numbered_as_listed`).
    """
    from recbole_sheaf.data.mmrec_folder import SPLITS

    own: dict[str, Any] = {"benchmark_filename": list(SPLITS)}
    columns, listed = config.final_config_dict["load_col"], _listed(config, folder)
    if columns is None or "load_col" in config.external_config_dict or "item" not in listed:
        return own
    return {**own, "load_col": {**columns, **listed}}


def _listed(config: Any, folder: Path) -> dict[str, list[str]]:
    """The columns to load of those of ``.item`` and ``.user`` that there are."""
    fields = {"item": config.final_config_dict["ITEM_ID_FIELD"], "user": config.final_config_dict["USER_ID_FIELD"]}
    return {table: [field] for table, field in fields.items() if (folder / f"{config.dataset}.{table}").is_file()}


def numbered_as_listed(get_remap_list: Callable) -> Callable:
    """RecBole's columns to be numbered together: of a folder that lists its users and items, the lists go first.

    So a token keeps its number whatever the order of interactions, and those listed later come after it.
    """

    @functools.wraps(get_remap_list)
    def _get_remap_list(self: Any, field_list: Any) -> Any:
        columns = get_remap_list(self, field_list)
        if self.config[NUMBERING] != LISTED:
            return columns
        return sorted(columns, key=lambda column: column[0] is self.inter_feat)  # stable

    return _get_remap_list


def _downloadable() -> Iterator[str]:
    return iter(read_yaml(RECBOLE_PROPERTIES / "dataset" / "url.yaml"))


def settings_checked(init: Callable) -> Callable:
    """The making of RecBole's ``Config``, which then refuses settings that are out of their bounds."""

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        make_lists(self)
        ours = is_ours(self.model, self.model_class)
        if ours or _is_recboles(self.model_class):
            check_loss(self)
        if "split" in self:
            apply_split(self)
        if ours:
            check_settings(self)
        own_models.note(self.model_class)

    return __init__


def users_under_softmax(get_dataloader: Callable) -> Callable:
    """Train on batches of users where ``loss`` is softmax; RecBole chooses its loaders by the model's name."""

    @functools.wraps(get_dataloader)
    def wrapped(config: Any, phase: str) -> type:
        ready = "softmax" in getattr(config.model_class, "losses", ())
        if phase == "train" and ready and "loss" in config and config["loss"] == "softmax":
            from recbole_sheaf.data.user_batches import TrainingUsers

            return TrainingUsers
        return get_dataloader(config, phase)

    return wrapped


def relations_left_out(init: Callable) -> Callable:
    """The making of RecBole's loader that ranks all items, which then leaves out what a user has in a relation."""

    @functools.wraps(init)
    def __init__(self: Any, config: Any, dataset: Any, sampler: Any, shuffle: bool = False) -> None:
        from recbole_sheaf.data.relations import leave_out_known

        init(self, config, dataset, sampler, shuffle)
        if not self.is_sequential:
            leave_out_known(self, dataset)

    return __init__


def split_by_its_own_seed(build: Callable) -> Callable:
    """Split a dataset by ``split_seed``, so that runs that differ in ``seed`` only share their split.

    RecBole splits by the state that ``seed`` left behind, so each model seed would be judged on other interactions.
    Our models have a ``split_seed`` by default, RecBole's where it was set; where it is None RecBole splits. Splits by
    items, and at one moment for everybody, which RecBole does not have, are made here.
    """
    import numpy as np
    import torch

    from recbole_sheaf.data.cold_split import cold_item_parts
    from recbole_sheaf.data.identity import note_parts
    from recbole_sheaf.data.relations import add_relations
    from recbole_sheaf.data.time_split import time_global_parts

    own = {"cold_items": cold_item_parts, "time_global": time_global_parts}

    def parts_of(self: Any) -> Any:
        if self.config["split"] in own:
            return own[self.config["split"]](self)
        if self.config["split_seed"] is None:
            return build(self)
        numpy_state = np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config["split_seed"])
            np.random.seed(self.config["split_seed"])
            datasets = build(self)
        np.random.set_state(numpy_state)
        return datasets

    @functools.wraps(build)
    def wrapped(self: Any) -> Any:
        parts = parts_of(self)
        if self.uid_field and self.iid_field:
            add_relations(self, parts)
        note_parts(self, parts)
        return parts

    return wrapped
