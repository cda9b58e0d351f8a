"""Exported embeddings beside titles of items, for what the report says of an item sheaf."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import pandas as pd

from recbole_sheaf.embeddings import Embeddings
from recbole_sheaf.errors import DataError
from recbole_sheaf.exports import read_embeddings
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.files.regular_files import read_regular

ITEM = "item_id"
TITLES = ("title", "name")  # parts of the names of columns, the better first
LONGEST = 80


@dataclass(frozen=True)
class Exported:
    """Embeddings, and titles by item; an item without one goes by its token."""

    embeddings: Embeddings
    titles: Mapping[str, str] = field(default_factory=dict)

    def title(self, item: str) -> str:
        """The title of an item, or its token where it has none."""
        text = one_line(self.titles.get(item) or item)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def read_exported(path: Path, titles: Optional[Path] = None) -> Exported:
    """Read exported embeddings and the titles of their items.

    Raises:
        DataError: if the export or the titles cannot be read.
    """
    embeddings = read_embeddings(path)
    return Exported(embeddings, {} if titles is None else _titles(titles))


def _titles(path: Path) -> dict[str, str]:
    """Columns of a tab-separated table whose heading names kinds, as ``movie_title:token_seq``."""
    try:
        lines = read_regular(path, DataError).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); give a table such as RecBole's .item file") from error
    rows = [line.split("\t") for line in lines if line]
    heads = [head.partition(":")[0].lower() for head in rows[0]] if rows else []
    column = next((n for part in TITLES for n, head in enumerate(heads) if part in head), None)
    if ITEM not in heads or column is None:
        raise DataError(
            f"{path} has the columns {', '.join(heads) or 'none'}, expected {ITEM} and one with 'title' in its name, "
            "apart by tabs"
        )
    if short := next((n for n, row in enumerate(rows, start=1) if len(row) != len(heads)), None):
        raise DataError(f"line {short} of {path} has {len(rows[short - 1])} columns, its heading {len(heads)}; mend it")
    table = pd.DataFrame(rows[1:], columns=range(len(heads)))
    return dict(zip(table[heads.index(ITEM)], table[column]))
