"""Embeddings taken away: written to files and databases, read back, and what is answered from them written in turn.

:func:`write_embeddings` and :func:`read_embeddings` go by a file's ending, :mod:`.targets` to PostgreSQL and Qdrant
too; :func:`open_source` takes an export or a checkpoint. A name is imported when it is asked for: an exported file is
answered from with neither RecBole nor the models.
"""

from typing import TYPE_CHECKING

from recbole_sheaf.lazy_names import imported_on_demand

if TYPE_CHECKING:
    from recbole_sheaf.exports.files import read_embeddings, write_embeddings
    from recbole_sheaf.exports.sources import open_source

__all__ = ["open_source", "read_embeddings", "write_embeddings"]

__getattr__ = imported_on_demand(
    __name__,
    {
        "open_source": "exports.sources",
        "read_embeddings": "exports.files",
        "write_embeddings": "exports.files",
    },
)
