"""A list of modules of one kind."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, Union, overload

from torch import nn

M = TypeVar("M", bound=nn.Module)


class ModuleList(nn.ModuleList, Generic[M]):
    """Torch's list, which by itself does not tell a type checker what kind of modules it holds."""

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, idx: slice) -> "ModuleList[M]": ...
        @overload
        def __getitem__(self, idx: int) -> M: ...
        def __getitem__(self, idx: Union[int, slice]) -> "Union[M, ModuleList[M]]": ...
        def __iter__(self) -> Iterator[M]: ...
