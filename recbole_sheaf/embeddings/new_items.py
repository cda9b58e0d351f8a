"""Items that the model never met, placed by their content through its trained maps, with everything else frozen.

A new item is to the model what an item of the catalogue without training interactions is: it has its content's stalks
and no ID stalk, no neighbours on the user-item graph, and receives a user's history through the item sheaf's maps into
cold items. Nothing of the old items or users moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor
from torch.nn.functional import pad

from recbole_sheaf.embeddings.cold_columns import ColdColumns, cold_columns
from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import ConfigError, FeatureError, nearest
from recbole_sheaf.experiments.checkpoints import Restored
from recbole_sheaf.features import ModalityFeatures, read_features
from recbole_sheaf.features.folder import files_in
from recbole_sheaf.features.modality import join_by_token
from recbole_sheaf.files.id_files import ids_beside
from recbole_sheaf.models.score_factors import PlacedItems
from recbole_sheaf.plugin.recbole_factors import in_pieces
from recbole_sheaf.settings.modality_choices import ModalityChoice, chosen_modalities


@dataclass(frozen=True, eq=False)
class NewItems:
    """Content of items that the model never met.

    Attributes:
        tokens: of the items.
        modalities: every modality of the model; an item may lack a row, and all may.
        known: rows of the files that belong to items the model knows, which are left as they are.
    """

    tokens: np.ndarray
    modalities: dict[str, ModalityFeatures]
    known: int

    @property
    def coverage(self) -> dict[str, int]:
        """How many of the items have a row, per modality."""
        return {name: int(features.present.sum()) for name, features in self.modalities.items()}


def read_new_items(folder: Path, restored: Restored, embeddings: Embeddings) -> NewItems:
    """Content of new items from ``<modality>.npz`` files, or those of other formats.

    Raises:
        FeatureError: if the folder holds none, a file is damaged, its modality or its width is not the model's, the
            model's is no file but made of text, or no row belongs to a new item.
        ConfigError: if the model reads no content.
    """
    modalities: Mapping[str, ModalityFeatures] = getattr(restored.model, "modalities", {})
    if not modalities:
        raise ConfigError(
            f"{restored.config['model']} was trained without item content, so it cannot place an item by it; train "
            "MMSheaf, ItemSheaf or VBPR with modalities"
        )
    paths = files_in(Path(folder))
    if not paths:
        raise FeatureError(f"{folder} holds no <modality>.npz; expected some of {', '.join(modalities)}")
    if nameless := [path for path in paths.values() if path.suffix == ".npy" and ids_beside(path) is None]:
        raise FeatureError(f"{nameless[0]} does not say whose its rows are; write {nameless[0].stem}.ids.txt beside it")
    files = {name: read_features(path) for name, path in paths.items()}
    for name, (_, rows) in files.items():
        if name not in modalities:
            raise FeatureError(
                f"the model has no modality '{name}'{nearest(name, modalities)}; it has {', '.join(modalities)}: "
                f"rename {paths[name].name} or take it out of {folder}"
            )
        _refuse_made_of_text(name, restored.config)
        if rows.shape[1] != modalities[name].dim:
            raise FeatureError(
                f"{paths[name].name} has {rows.shape[1]} columns, but the model was trained with "
                f"{modalities[name].dim}; encode new items as the others were"
            )
    return _joined(folder, files, modalities, embeddings)


def _refuse_made_of_text(name: str, config: Any) -> None:
    """Vectors that the package made of text columns are coordinates fitted to these texts, which no file can be in."""
    listed = {choice.name: choice for choice in chosen_modalities(config["modalities"])}
    choice = listed.get(name, ModalityChoice(name))
    columns = choice.columns or (config["text_modalities"] or {}).get(name, ())
    folder = Path(config["data_path"])
    features = Path(config["features_path"]) if config["features_path"] else folder / "features"
    from_file = any(features.glob(f"{escape(name)}.*")) or (folder / f"{name}_feat.npy").is_file()
    if choice.columns or (columns and not from_file and choice.file is None):
        raise FeatureError(
            f"modality '{name}' was made of the columns {', '.join(columns)} of {config['dataset']}.item, in "
            f"coordinates that {name}.npz cannot be in; train with vectors of your own encoder in features/{name}.npz"
        )


def _joined(
    folder: Path,
    files: Mapping[str, tuple[Sequence[str], np.ndarray]],
    modalities: Mapping[str, ModalityFeatures],
    embeddings: Embeddings,
) -> NewItems:
    every = [token for tokens, _ in files.values() for token in tokens]
    fresh = list(dict.fromkeys(token for token in every if not embeddings.knows_item(token)))
    if not fresh:
        raise FeatureError(f"every item in {folder} is known to the model; give rows of items it was not trained with")
    ids = {token: place for place, token in enumerate(fresh, start=1)}
    joined = {}
    for name, own in modalities.items():
        tokens, rows = files.get(name, ([], np.zeros((0, own.dim), dtype=np.float32)))
        joined[name] = join_by_token(name, tokens, rows, ids, len(fresh) + 1).normalised(own.normalisation)
    return NewItems(np.array(fresh, dtype=str), joined, sum(embeddings.knows_item(token) for token in set(every)))


def place_items(restored: Restored, embeddings: Embeddings, items: NewItems) -> Embeddings:
    """The embeddings with new items after the old ones, which stay as they are to the last bit.

    Raises:
        ConfigError: if the model has no maps from content alone.

    Time O(k) beside what the maps of a cold item cost once, O(n c^2 + c^3).
    """
    with torch.no_grad():
        placed = in_pieces(restored.model).place(items.modalities)
        return _appended(cold_columns(embeddings, placed.maps, len(items.tokens)), items, placed)


def _appended(columns: ColdColumns, items: NewItems, placed: PlacedItems) -> Embeddings:
    """Rows of the new items below those of the old; by coefficients they add nothing to others."""
    embeddings, count, weight = columns.embeddings, len(items.tokens), np.float32(placed.map_weight)
    history = weight * columns.history
    coefficients = embeddings.coefficients
    if coefficients is not None:
        new = None if columns.coefficients is None else weight * columns.coefficients
        coefficients = _with_columns(coefficients, count, new)

    popularity = (0, embeddings.width - embeddings.embedded)  # ln(1 + 0), where there is a column of it
    vectors = np.concatenate([_floats(pad(placed.vectors, popularity)), history], axis=1)
    sources = None if placed.user_sources is None else _floats(pad(placed.user_sources, popularity))
    return replace(
        embeddings,
        items=np.concatenate([embeddings.items, items.tokens]),
        item_vectors=_below(embeddings.item_vectors, vectors),
        coefficients=coefficients,
        item_sources=_below(embeddings.item_sources, np.zeros_like(history)),
        item_sources_trained=_below_any(embeddings.item_sources_trained, sources),
        item_embeddings=_below_any(embeddings.item_embeddings, _floats(placed.item_embeddings)),
        item_rarity=_below_any(embeddings.item_rarity, np.full(count, placed.item_rarity)),
        item_is_new=_below_any(embeddings.item_is_new, np.ones(count, dtype=bool)),
        layers={},
        metadata={**embeddings.metadata, "new_items": count, "new_items_with_content": items.coverage},
    )


def _floats(rows: Float[Tensor, "k _"]) -> Float[np.ndarray, "k _"]:
    return rows.cpu().float().numpy()


def _below(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return np.concatenate([old, new.astype(old.dtype)])


def _below_any(old: Optional[np.ndarray], new: Optional[np.ndarray]) -> Optional[np.ndarray]:
    return None if old is None or new is None else _below(old, new)


def _with_columns(
    coefficients: sparse.csc_matrix, count: int, columns: Optional[Float[np.ndarray, "n k"]]
) -> sparse.csc_matrix:
    """Coefficients with ``count`` items more, into which lead these columns or nothing, and from which nothing does."""
    n = coefficients.shape[0]
    new = sparse.csc_matrix((n, count) if columns is None else columns, dtype=np.float32)
    values = np.concatenate([coefficients.data, new.data])
    rows = np.concatenate([coefficients.indices, new.indices])
    offsets = np.concatenate([coefficients.indptr, coefficients.indptr[-1] + new.indptr[1:]])
    return sparse.csc_matrix((values, rows, offsets), shape=(n + count, n + count))
