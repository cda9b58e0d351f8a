"""Columns of the item table, ``<dataset>.item``, in the order of a model's items: conditions and values over them."""

from functools import cached_property, lru_cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from recbole_sheaf.data.conditions import read_condition, sealed_database
from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import ConfigError, DataError, first_line, nearest, shown
from recbole_sheaf.files.atomic import field_types, first_of_each, read_table

_IN_SQL = {"token": "VARCHAR", "token_seq": "VARCHAR", "float": "DOUBLE"}
_REMEMBERED = 16  # conditions, of which a platform asks few again and again


class ItemTable:
    """The table of a model's items.

    A cell that holds nothing, and each of an item that has no line, is NULL. Numbers are DOUBLE, all else is text, a
    ``token_seq`` as it stands in its cell. Columns of vectors are left out.

    Args:
        path: a file of RecBole's, with ``name:type`` in its header and the items in its first column.

    Raises:
        DataError: if it cannot be read, or is no such table.

    Memory O(characters of the file).
    """

    def __init__(self, path: Path, embeddings: Embeddings) -> None:
        table = read_table(Path(path))
        self.name = table.name
        types = list(field_types(table.name, table.header).items())
        first = {name.lower(): place for place, (name, _) in reversed(list(enumerate(types)))}  # SQL knows no case
        kept = [place for place in sorted(first.values()) if types[place][1] in _IN_SQL and '"' not in types[place][0]]
        if types[0][1] != "token" or 0 not in kept:
            raise DataError(f"{table.name} begins with {shown(table.header[0])}; expected item_id:token first")
        self.columns = {types[place][0]: _IN_SQL[types[place][1]] for place in kept}
        frame = table.read(kept)
        frame.columns = list(self.columns)
        item = frame.columns[0]
        frame = first_of_each(table.name, frame, item).set_index(item, drop=False)
        self._cells = frame.reindex(embeddings.items).astype(object)
        self._cells = self._cells.where(self._cells.notna() & (self._cells != ""), None)
        self._true = lru_cache(_REMEMBERED)(self._evaluated)

    def where(self, condition: str) -> Bool[np.ndarray, " n"]:
        """Items for which a condition in SQL is true; one that is NULL is not.

        Raises:
            ConfigError: if it is none over these columns, or a cell does not fit it.
        """
        return self._true(condition)

    def groups(self, column: str) -> Int[np.ndarray, " n"]:
        """A number for each value of a column; -1 where there is none.

        Raises:
            ConfigError: if there is no such column.
        """
        if column not in self.columns:
            raise ConfigError(
                f"per=... names the column {shown(column)}{nearest(column, self.columns)}; "
                f"{self.name} has {', '.join(self.columns)}"
            )
        return pd.factorize(self._cells[column])[0].astype(np.int64)

    def _evaluated(self, condition: str) -> np.ndarray:
        checked = read_condition("where", condition, self.columns)
        query = f"SELECT coalesce({checked.sql}, false) AS found FROM items ORDER BY rowid"
        try:
            return self._database.execute(query).fetchnumpy()["found"]
        except duckdb.Error as error:
            raise ConfigError(
                f"where={shown(condition)} cannot be told of the items in {self.name} ({first_line(error)}); write one "
                "that fits their cells"
            ) from error

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        database = sealed_database()
        database.register("given", self._cells)
        cast = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in self.columns.items())
        database.execute(f"CREATE TABLE items AS SELECT {cast} FROM given")
        database.unregister("given")
        return database
