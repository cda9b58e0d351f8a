"""Arrays that many calls read and none writes: handed to workers once, not with each call.

A call takes a :class:`Shared` for an argument and opens it where it runs. What it makes of the arrays it may keep by
that argument, such as with ``functools.lru_cache``: those of one key are the same.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Shared:
    """Arrays by name, somewhere.

    Attributes:
        key: names them among all that are shared at one time.
    """

    key: str

    def open(self) -> dict[str, np.ndarray]:
        """The arrays, to read alone."""
        raise NotImplementedError


@dataclass(frozen=True)
class Kept(Shared):
    """In the memory of this process."""

    arrays: Mapping[str, np.ndarray] = field(compare=False)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Kept":
        """Under a key of its own."""
        return cls(f"memory {next(_NUMBERS)}", arrays)

    def open(self) -> dict[str, np.ndarray]:
        return dict(self.arrays)


@dataclass(frozen=True)
class InFolder(Shared):
    """In files of a folder, which the system holds in memory once for all processes that map them."""

    names: tuple[str, ...] = field(compare=False)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], folder: Path) -> "InFolder":
        """Written into an empty folder, as many bytes as the arrays have."""
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        return cls(str(folder), tuple(arrays))

    def open(self) -> dict[str, np.ndarray]:
        return {name: _mapped(Path(self.key) / f"{name}.npy") for name in self.names}


@dataclass(frozen=True)
class InStore(Shared):
    """In the store of objects of a Ray cluster.

    Attributes:
        reference: to the object, in a list: one that stands in a call by itself is fetched before the call is made.
    """

    reference: list[Any] = field(compare=False)

    def open(self) -> dict[str, np.ndarray]:
        import ray

        return ray.get(self.reference[0])


def _mapped(path: Path) -> np.ndarray:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(array) if array.size else np.array(array)
