"""Which items a list may hold, as commands and requests alike ask for it, beside those that the user has seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional, Protocol, Union, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.embeddings.ranking import AtMost, check_k
from recbole_sheaf.errors import ConfigError


@runtime_checkable
class Columns(Protocol):
    """What is asked of an item table (:class:`~recbole_sheaf.embeddings.item_table.ItemTable`), which wants DuckDB."""

    def where(self, condition: str) -> Bool[np.ndarray, " n"]:
        """Items for which a condition is true."""

    def groups(self, column: str) -> Int[np.ndarray, " n"]:
        """A number for each value of a column; -1 where there is none."""


@dataclass(frozen=True)
class Wanted:
    """What somebody asks for.

    Attributes:
        among: items to choose among: ``all``, ``new`` or tokens.
        without: items to leave out.
        where: a condition in SQL over the columns of the item table.
        at_most, per: how many items a list may have of one value of a column.
        named: the option that gave ``among``, for sentences.
    """

    among: Union[str, Sequence[str]] = "all"
    without: Sequence[str] = ()
    where: Optional[str] = None
    at_most: Optional[int] = None
    per: Optional[str] = None
    named: str = "among"

    def of(self, embeddings: Embeddings, table: Callable[[], Columns]) -> "Choice":
        """What that is of these items.

        Args:
            table: gives the item table, if it is needed.

        Raises:
            ConfigError: if nothing is left to choose from, ``where`` is no condition or ``per`` no column, one of
                ``at_most`` and ``per`` is given without the other, or what ``table`` raises.
            DataError: if an item is unknown.
        """
        if (self.at_most is None) != (self.per is None):
            given, other = ("at_most", "per") if self.per is None else ("per", "at_most")
            raise ConfigError(f"{given}=... is given without {other}=...; give both, or neither")
        if self.at_most is not None and self.at_most < 1:
            raise ConfigError(
                f"at_most={self.at_most} is below 1; give a whole number from 1, or leave it and per=... out"
            )
        among = self._among(embeddings)
        left = among.copy()
        left[embeddings.item_rows(self.without)] = False
        if self.where is not None:
            left &= table().where(self.where)
        if not left.any():
            raise ConfigError(
                f"of {int(among.sum()):,} items to choose among, without and where leave none; leave fewer out"
            )
        at_most = None if self.per is None else AtMost(table().groups(self.per), int(self.at_most or 1))
        longest = int(among.sum()) if isinstance(self.among, str) else len(embeddings.items)
        return Choice(None if left.all() else left, at_most, longest, int(left.sum()))

    def _among(self, embeddings: Embeddings) -> Bool[np.ndarray, " n"]:
        if self.among == "all":
            return np.ones(len(embeddings.items), dtype=bool)
        if self.among == "new":
            fresh = embeddings.item_is_new
            if fresh is None or not fresh.any():
                raise ConfigError(
                    f"{self.named} is new, but there are no new items; 'recbole-sheaf embed-items' places some"
                )
            return fresh
        chosen = np.zeros(len(embeddings.items), dtype=bool)
        chosen[embeddings.item_rows(self.among)] = True
        return chosen


@dataclass(frozen=True, eq=False)
class Choice:
    """Items of a catalogue that lists may hold.

    Attributes:
        allowed: these; None is all.
        at_most: how many of a kind.
        longest: what k may be at most: all items, or all new ones; candidates and filters leave lists shorter instead.
        count: how many are allowed.
    """

    allowed: Optional[Bool[np.ndarray, " n"]]
    at_most: Optional[AtMost]
    longest: int
    count: int

    def length(self, k: int) -> int:
        """Of lists, k or as many items as there are.

        Raises:
            ConfigError: if k is below 1 or beyond ``longest``.
        """
        check_k(k, self.longest)
        return min(k, self.count)
