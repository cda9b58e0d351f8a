"""A list of modules of one kind."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, Union, overload

from torch import nn

M = TypeVar("M", bound=nn.Module)


class ModuleList(nn.ModuleList, Generic[M]):
    """List of modules of one kind, ``ModuleList[nn.Linear]``: torch's list with a kind for type checkers.

    Examples:
        >>> layers: ModuleList[nn.Linear] = ModuleList([nn.Linear(2, 3)])
        >>> layers[0].out_features
        3
    """

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, idx: slice) -> "ModuleList[M]": ...
        @overload
        def __getitem__(self, idx: int) -> M: ...
        def __getitem__(self, idx: Union[int, slice]) -> "Union[M, ModuleList[M]]": ...
        def __iter__(self) -> Iterator[M]: ...
