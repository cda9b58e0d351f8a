"""A package's names, each imported from its module when it is asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def imported_on_demand(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package's ``__init__.py`` (PEP 562).

    Args:
        package: its ``__name__``.
        where: the module that has each name, as it is called below ``recbole_sheaf``.
    """

    def find(name: str) -> Any:
        if name in where:
            return getattr(import_module(f"recbole_sheaf.{where[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
