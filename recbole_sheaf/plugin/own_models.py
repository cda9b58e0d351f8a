"""Models of other people's: known by name to RecBole, to our commands and checks, and to checkpoints.

``register`` takes a class; ``resolve`` takes its place, ``package.module:MyModel``, as ``--model`` and an experiment
file name it, and travels as text into worker processes. The *source* of a class is its module and qualified name.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from recbole_sheaf.errors import ConfigError, nearest
from recbole_sheaf.plugin.names import MODELS, RECOMMENDERS, recbole_names
from recbole_sheaf.settings.config import OWN_DEFAULTS
from recbole_sheaf.settings.settings_files import read_yaml

_by_name: dict[str, type] = {}  # registered
_by_source: dict[str, type] = {}  # registered, or seen by a Config; a class that is defined again takes the place


def register(model: type, settings: Union[str, Path, Mapping[str, Any], None] = None) -> type:
    """Make a model known by its name, as RecBole's and ours are.

    Args:
        model: a RecBole recommender, such as a subclass of ``GeneralRecommender``.
        settings: its keys with their defaults, as a mapping or the path of a YAML file; a relative path counts from the
            folder of the module that defines the class. None takes ``<name>.yaml`` there if it exists, else no keys.

    Returns:
        The class, so that ``register`` may decorate it.

    Raises:
        ConfigError: if it is no RecBole recommender, its name is taken, or the settings cannot be read.

    Examples:
        >>> from recbole.model.general_recommender import BPR
        >>> register(BPR)
        Traceback (most recent call last):
        recbole_sheaf.errors.ConfigError: ...BPR cannot be registered: RecBole has a model BPR; rename the class
    """
    _refuse_no_recommender(model, repr(model))
    name = model.__name__
    taken = {known.lower(): known for known in (*MODELS, *recbole_names())}.get(name.lower())
    if taken:
        whose = "this package" if taken in MODELS else "RecBole"
        raise ConfigError(f"{source_of(model)} cannot be registered: {whose} has a model {taken}; rename the class")
    for other in _by_name.values():
        if other.__name__.lower() == name.lower() and source_of(other) != source_of(model):
            raise ConfigError(
                f"{source_of(model)} cannot be registered: the name is that of {source_of(other)}; rename one of them"
            )
    OWN_DEFAULTS[name] = _read(model, settings)
    _by_name[name] = model
    note(model)
    sys.modules.pop(f"{RECOMMENDERS}.{name.lower()}", None)  # RecBole found an earlier definition there
    return model


def resolve(reference: str) -> type:
    """Import the model at ``package.module:MyModel``, and register it unless its module has done so.

    The current folder counts among those that modules are looked for in.

    Raises:
        ConfigError: if the module cannot be imported, has no such class, or the class cannot be registered.
    """
    module, _, name = reference.partition(":")
    if not module or not name:
        raise ConfigError(f"'{reference}' names no model; write package.module:MyModel")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # whatever a stranger's module raises
        said = " ".join(str(error).split())
        raise ConfigError(
            f"'{reference}' cannot be imported ({type(error).__name__}: {said}); give a module that Python finds from "
            "this folder"
        ) from error
    model = getattr(imported, name, None)
    if model is None:
        classes = [key for key, value in vars(imported).items() if inspect.isclass(value)]
        raise ConfigError(f"module {module} has no class '{name}'{nearest(name, classes)}; check the spelling")
    _refuse_no_recommender(model, f"'{reference}'")
    known = _by_name.get(model.__name__)
    return register(model) if known is None or known is not model else known


def registered() -> Mapping[str, type]:
    """The registered models by name."""
    return _by_name


def source_of(model: type) -> str:
    """Where a class is defined, as text."""
    return f"{model.__module__}:{model.__qualname__}"


def note(model: type) -> None:
    """Remember a class, so that :func:`class_at` finds it when a checkpoint names it."""
    _by_source[source_of(model)] = model


def class_at(source: str) -> Optional[type]:
    """The class that was registered or given to a ``Config`` from this source; nothing is imported to find it."""
    return _by_source.get(source)


def _refuse_no_recommender(model: Any, said: str) -> None:
    from recbole.model.abstract_recommender import AbstractRecommender

    if not (inspect.isclass(model) and issubclass(model, AbstractRecommender)):
        raise ConfigError(
            f"{said} is no RecBole recommender; derive a class from recbole.model.abstract_recommender."
            "GeneralRecommender, or another one there"
        )


def _read(model: type, settings: Union[str, Path, Mapping[str, Any], None]) -> dict[str, Any]:
    if isinstance(settings, Mapping):
        return dict(settings)
    folder = Path(getattr(sys.modules.get(model.__module__), "__file__", None) or "x").parent
    if settings is None:
        beside = folder / f"{model.__name__}.yaml"
        return read_yaml(beside) if beside.is_file() else {}
    if not isinstance(settings, (str, Path)):
        raise ConfigError(
            f"settings of {model.__name__} are {settings!r}, expected a mapping or the path of a YAML file"
        )
    return read_yaml(folder / Path(settings).expanduser())
