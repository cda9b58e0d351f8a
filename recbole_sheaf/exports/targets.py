"""Where embeddings go: a file, PostgreSQL or Qdrant, by how the target begins and ends."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.exports.files import ENDINGS, check_target, write_embeddings
from recbole_sheaf.exports.postgres import SCHEMES, Postgres
from recbole_sheaf.exports.qdrant import PREFIX, Qdrant

NAME = "recbole_sheaf"


@dataclass(frozen=True)
class File:
    """A file, whose ending chooses the format."""

    path: Path

    def check(self) -> None:
        """Refuse a path that cannot become one; see :func:`~recbole_sheaf.exports.files.check_target`."""
        check_target(self.path, ENDINGS)

    def write(self, embeddings: Embeddings) -> str:
        """Write the file."""
        write_embeddings(embeddings, self.path)
        return f"{self.path} ({self.path.stat().st_size / 1e6:.1f} MB)"


Target = Union[File, Postgres, Qdrant]  # check() before any work, then write(embeddings): whole or not at all


def dtype_at(target: Target, dtype: str) -> str:
    """The type of numbers there, of ``auto``, ``float32`` and ``float16``.

    DuckDB has no 16 bits. A database's columns have a type, which must not change with what tomorrow's model loses: it
    takes 16 bits on demand alone.
    """
    if isinstance(target, File):
        return "float32" if target.path.suffix == ".duckdb" else dtype
    return "float32" if dtype == "auto" else dtype


def target_of(given: str, name: str = NAME) -> Target:
    """The target that is named.

    Args:
        given: ``postgresql://...``, ``qdrant:PATH``, ``qdrant:http://...`` or the path of a file.
        name: of the schema of PostgreSQL, and before those of Qdrant's collections.

    Raises:
        ConfigError: if it is another kind of URL, or the name is none.
    """
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", name):
        raise ConfigError(f"name={name!r} is no name there, expected up to 40 of a to z, 0 to 9 and _, a letter first")
    if given.startswith(SCHEMES):
        return Postgres(given, name)
    if given.startswith(PREFIX):
        return Qdrant(given[len(PREFIX) :], name)
    if found := re.match(r"[a-z][a-z0-9+]+:/{1,2}", given):
        raise ConfigError(
            f"target={found[0]}... leads nowhere, expected postgresql://..., qdrant:http://..., qdrant:FOLDER or the "
            "path of a file"
        )
    return File(Path(given))
