"""Replaces what ``patches`` lists in RecBole as soon as RecBole is imported, and imports nothing before.

``import recbole_sheaf`` costs milliseconds, and a command prints its help without PyTorch. A module that ``patches``
imports must not import RecBole at its top, or it would be asked for by the hook while it is half imported itself.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any, Optional

RECBOLE = "recbole"


def install() -> None:
    """Patch RecBole as soon as it is imported, at once if it is already; a second call does nothing."""
    if RECBOLE in sys.modules:
        _patch()
    elif not any(isinstance(finder, _RecBoleFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _RecBoleFinder())


def _patch() -> None:
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _RecBoleFinder)]
    from recbole_sheaf.plugin import patches

    patches.apply()


class _RecBoleFinder(importlib.abc.MetaPathFinder):
    """Finds RecBole as the other finders do, with a loader that patches it afterwards."""

    def find_spec(
        self, fullname: str, path: Any, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != RECBOLE:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenPatched(spec.loader)
        return spec


class _ThenPatched(importlib.abc.Loader):
    """Loads a module with its own loader, gives the module back to it, and patches."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[ModuleType]:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        _patch()
