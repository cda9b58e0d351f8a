"""Packages that come with an extra alone: imported where they are used, and asked for in one sentence where absent."""

import contextlib
from collections.abc import Iterator
from importlib import import_module, metadata
from types import ModuleType

from recbole_sheaf.errors import EnvironmentMismatch


@contextlib.contextmanager
def from_extra(name: str, what: str, instead: str = "") -> Iterator[None]:
    """A context around the imports of packages that ``pip install "recbole-sheaf[name]"`` brings.

    Args:
        what: needs it, at the head of the sentence.
        instead: what else may be done, at its end.

    Raises:
        EnvironmentMismatch: if one is not there, naming it and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        other = f", or {instead}" if instead else ""
        raise EnvironmentMismatch(
            f'{what} needs {error.name}, which is not installed; pip install "recbole-sheaf[{name}]"{other}'
        ) from error


RAY = "ray>=2.31"  # the first for NumPy 2; asked for by its name, as pip refuses the extra on Python 3.11 (setup.cfg)


def from_ray(name: str, what: str) -> ModuleType:
    """A module of Ray, which is there for clusters alone.

    Args:
        name: of the module.
        what: needs it, at the head of the sentence.

    Raises:
        EnvironmentMismatch: if Ray is not there, or is too old for what is beside it.
    """
    try:
        found = metadata.version("ray")
    except metadata.PackageNotFoundError as error:
        raise EnvironmentMismatch(f'{what} needs ray, which is not installed; pip install "{RAY}"') from error
    if tuple(map(int, found.split(".")[:2])) < (2, 31):
        raise EnvironmentMismatch(
            f"{what} finds ray {found}, which is made for NumPy 1 and wants pkg_resources, which setuptools 82 took "
            f'away; pip install "{RAY}"'
        )
    return import_module(name)
