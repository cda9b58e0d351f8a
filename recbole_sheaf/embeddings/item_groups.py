"""Which items have a value of a column in common: genres, categories, years."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
from scipy import sparse

from recbole_sheaf.errors import ConfigError, DataError, nearest, shown
from recbole_sheaf.files.atomic import field_types, first_of_each, read_table

MOST_VALUES = 100  # of a column that is taken unasked; titles have more words


def item_groups(path: Path, items: np.ndarray, columns: Optional[Sequence[str]] = None) -> dict[str, sparse.csr_matrix]:
    """Items by values, ones and zeros, of columns of a ``.item`` file.

    Args:
        path: the file, with the items in its first column.
        items: tokens, in the order of the rows.
        columns: of type ``token``, a cell of which is one value, or ``token_seq``, a cell of which has words; None is
            those that have from 2 to ``MOST_VALUES`` values.

    Raises:
        DataError: if the file is no such table.
        ConfigError: if there is no such column, or it is of another type.
    """
    table = read_table(path)
    types = field_types(table.name, table.header)
    names = list(types)
    able = [name for name in names[1:] if types[name] in ("token", "token_seq")]
    if types[names[0]] != "token":
        raise DataError(f"{table.name} begins with {shown(table.header[0])}; expected item_id:token first")
    for name in columns or ():
        if name not in able:
            raise ConfigError(
                f"columns=... names {shown(name)}{nearest(name, able)}, which is no column of tokens in {table.name}; "
                f"it has {', '.join(able) or 'none'}"
            )
    wanted = able if columns is None else list(dict.fromkeys(columns))
    frame = table.read([0, *(names.index(name) for name in wanted)])
    frame.columns = [names[0], *wanted]
    cells = first_of_each(table.name, frame, names[0]).set_index(names[0]).reindex(items).fillna("")
    found = {name: _members(cells[name].tolist(), types[name]) for name in wanted}
    return {name: held for name, held in found.items() if columns is not None or 2 <= held.shape[1] <= MOST_VALUES}


def _members(cells: list[str], kind: str) -> sparse.csr_matrix:
    values = [cell.split() if kind == "token_seq" else [cell] * bool(cell) for cell in cells]
    rows = np.repeat(np.arange(len(cells)), [len(each) for each in values])
    places, names = pd.factorize(np.array(list(chain.from_iterable(values)), dtype=object))
    held = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, places)), shape=(len(cells), len(names)))
    held.data[:] = 1
    return held
