"""What a command reads embeddings from: a checkpoint, whose model is rebuilt, or a file that was exported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from jaxtyping import Float, Int

from recbole_sheaf.embeddings.choice import Columns
from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.embeddings.ranking import Scores
from recbole_sheaf.errors import ConfigError, DataError, NoPieces
from recbole_sheaf.exports.files import holds_embeddings, read_embeddings


@dataclass(frozen=True, eq=False)
class Source:
    """Embeddings, and where scores come from; None is the embeddings themselves.

    Attributes:
        item_file: where the dataset of a checkpoint would have its ``.item``; an export knows no dataset.
    """

    embeddings: Embeddings
    scores: Optional[Scores] = None
    item_file: Optional[Path] = None

    def item_table(self, path: Optional[Path] = None) -> Columns:
        """Columns of the items, from this file or the dataset's own.

        Raises:
            DataError: if there is none, or it is no such table.
        """
        from recbole_sheaf.embeddings.item_table import ItemTable  # Here alone: lists without conditions want no DuckDB

        path = self.item_file if path is None else path
        if path is None or not path.is_file():
            absent = "an export knows no table of its items" if path is None else f"there is no table of items {path}"
            raise DataError(
                f"{absent}, whose columns where=... and per=... name; give one by item_table=shop/shop.item"
            )
        return ItemTable(path, self.embeddings)


def open_source(path: Path, data_path: Optional[str] = None, trust: bool = False) -> Source:
    """Embeddings of a checkpoint or of an exported file; a model without pieces scores by itself.

    Raises:
        ConfigError: if ``data_path`` is given for an export, which needs no data.
        CheckpointError, DataError: if the file is neither.
    """
    if holds_embeddings(path):
        if data_path is not None:
            raise ConfigError(f"{path} holds all that is needed, but data_path=... is given; leave it out")
        return Source(read_embeddings(path))
    # Here alone: an export is answered from without RecBole and the models
    from recbole_sheaf.embeddings.reading import embeddings_of, model_scores, without_pieces
    from recbole_sheaf.experiments.checkpoints import restore

    restored = restore(path, data_path, trust)
    item_file = Path(restored.config["data_path"]) / f"{restored.config['dataset']}.item"
    try:
        return Source(embeddings_of(restored), item_file=item_file)
    except NoPieces:

        def scores(rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b n"]:
            return model_scores(restored.model, rows)

        return Source(without_pieces(restored), scores, item_file)
