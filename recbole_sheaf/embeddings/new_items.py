"""Items that the model never met, placed by their content through its trained maps, with everything else frozen.

A new item is to the model what an item of the catalogue without training interactions is: it has its content's stalks
and no ID stalk, no neighbours on the user-item graph, and hears of a user's history through the item sheaf's maps into
cold items. Nothing of the old items or users moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor
from torch.nn.functional import pad

from recbole_sheaf.embeddings.cold_columns import ColdColumns, cold_columns
from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.embeddings.propagation import identity_step, told
from recbole_sheaf.embeddings.vectors import as_compared, fused_items
from recbole_sheaf.errors import ConfigError, FeatureError, nearest
from recbole_sheaf.experiments.checkpoints import Restored
from recbole_sheaf.features import ModalityFeatures, read_features
from recbole_sheaf.features.folder import files_in
from recbole_sheaf.features.modality import join_by_token
from recbole_sheaf.files.id_files import ids_beside
from recbole_sheaf.models.item_graph import ItemGraph
from recbole_sheaf.models.itemsheaf import ItemSheaf
from recbole_sheaf.models.mmsheaf import MMSheaf
from recbole_sheaf.models.vbpr import VBPR
from recbole_sheaf.settings.modality_choices import ModalityChoice, chosen_modalities
from recbole_sheaf.sheaf.unit_length import unit_length


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


@dataclass(frozen=True, eq=False)
class Trained:
    """Columns of new items before the history blocks, as :class:`Embeddings` has them."""

    vectors: Float[Tensor, "k w"]
    told: Optional[Float[Tensor, "k w"]] = None
    embeddings: Optional[Float[Tensor, "k w"]] = None
    rarity: float = 0.0
    sheaf_weight: float = 1.0


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
    model = restored.model
    with torch.no_grad():
        trained = _trained(model, items.modalities)
        sheaf = model.sheaf if isinstance(model, ItemSheaf) else getattr(model, "item_sheaf", None)
        if sheaf is None:
            heard = ColdColumns(embeddings, np.zeros((len(items.tokens), 0), dtype=np.float32))
        else:
            heard = cold_columns(restored, sheaf, embeddings, items.modalities)
    return _appended(heard, items, trained)


def _trained(model: Any, modalities: Mapping[str, ModalityFeatures]) -> Trained:
    for kind, place in PLACED.items():
        if isinstance(model, kind):
            return place(model, modalities)
    raise ConfigError(
        f"{type(model).__name__} has no maps that place an item by content alone; train MMSheaf, ItemSheaf or VBPR"
    )


def _of_item_sheaf(model: ItemSheaf, modalities: Mapping[str, ModalityFeatures]) -> Trained:
    nothing = torch.zeros(_count(modalities), 0)
    return Trained(nothing, told=nothing)


def _of_mmsheaf(model: MMSheaf, modalities: Mapping[str, ModalityFeatures]) -> Trained:
    """Stalks without that of the ID, which diffusion leaves alone at a node without arcs, and those of neighbours."""
    if model.diffuses_along_item_sheaf:
        raise ConfigError(
            "MMSheaf was trained with stalks that diffuse along the item sheaf, into which an item that was not there "
            "has no arcs; train with item_graph_arcs: content to place new items"
        )
    content = [unit_length(features.matrix[1:]) for features in modalities.values()]
    rows = [each.to(weight) @ weight for each, weight in zip(content, model.stalks.project)]
    size = model.stalks.project[0].shape[1]
    absent = [rows[0].new_zeros(len(rows[0]), size)] * (model.stalks.id_embedding is not None)
    x = torch.cat([*absent, *rows], dim=1)
    fused = x
    if isinstance(graph := model.item_graph, ItemGraph):
        held = model.stalks()[model.n_users :].flatten(1)
        fused = x + graph.for_new_items(model.modalities, modalities, held)
    own = as_compared(model, fused) / model.temperature**0.5
    tells = None
    if (step_size := identity_step(model)) is not None:
        tells = told([x] * (1 + len(model.steps)), x.new_zeros(len(x)), step_size)
    weight, rarity = model.weighing.item_sheaf_weight, model.rarity
    if not rarity.any():
        return Trained(own, tells, own, sheaf_weight=weight)
    mean = rarity @ fused_items(model) / rarity.sum()
    at = int(rarity.argmax())
    stretch = (model.item_sheaf_weights()[at] - weight) / rarity[at]
    return Trained(mean.expand_as(own), tells, own, 1.0, float(weight + stretch))


def _of_vbpr(model: VBPR, modalities: Mapping[str, ModalityFeatures]) -> Trained:
    """No free vector and no bias of its own."""
    content = torch.cat([unit_length(features.matrix[1:]) for features in modalities.values()], dim=1).to(model.content)
    free = content.new_zeros(len(content), model.item_factors.shape[1])
    rows = torch.cat([free, content @ model.content_map, content @ model.content_bias], dim=1)
    return Trained(as_compared(model, rows))


PLACED: dict[type, Callable[[Any, Mapping[str, ModalityFeatures]], Trained]] = {
    ItemSheaf: _of_item_sheaf,
    MMSheaf: _of_mmsheaf,
    VBPR: _of_vbpr,
}


def _count(modalities: Mapping[str, ModalityFeatures]) -> int:
    return len(next(iter(modalities.values())).matrix) - 1


def _appended(heard: ColdColumns, items: NewItems, trained: Trained) -> Embeddings:
    """Rows of the new items below those of the old; they say nothing of others by coefficients."""
    embeddings, count, weight = heard.embeddings, len(items.tokens), np.float32(trained.sheaf_weight)
    history = weight * heard.history
    said = embeddings.coefficients
    if said is not None:
        new = None if heard.coefficients is None else weight * heard.coefficients
        said = _with_columns(said, count, new)

    def below(old: Optional[np.ndarray], new: Any) -> Optional[np.ndarray]:
        if old is None or new is None:
            return None
        rows = new.cpu().float().numpy() if isinstance(new, Tensor) else new
        return np.concatenate([old, rows.astype(old.dtype)])

    popularity = np.zeros((count, embeddings.width - embeddings.embedded), dtype=np.float32)  # ln(1 + 0)
    vectors = np.concatenate([trained.vectors.cpu().float().numpy(), popularity, history], axis=1)
    told = None if trained.told is None else pad(trained.told, (0, popularity.shape[1]))
    own = trained.vectors if trained.embeddings is None else trained.embeddings
    return replace(
        embeddings,
        items=np.concatenate([embeddings.items, items.tokens]),
        item_vectors=np.concatenate([embeddings.item_vectors, vectors.astype(embeddings.item_vectors.dtype)]),
        coefficients=said,
        item_told=np.concatenate([embeddings.item_told, np.zeros_like(history, embeddings.item_told.dtype)]),
        item_told_trained=below(embeddings.item_told_trained, told),
        item_embeddings=below(embeddings.item_embeddings, own),
        item_rarity=below(embeddings.item_rarity, np.full(count, trained.rarity)),
        item_is_new=below(embeddings.item_is_new, np.ones(count, dtype=bool)),
        layers={},
        metadata={**embeddings.metadata, "new_items": count, "new_items_with_content": items.coverage},
    )


def _with_columns(
    said: sparse.csc_matrix, count: int, columns: Optional[Float[np.ndarray, "n k"]]
) -> sparse.csc_matrix:
    """Coefficients with ``count`` items more, who hear by these columns or nothing, and say nothing."""
    n = said.shape[0]
    new = sparse.csc_matrix((n, count) if columns is None else columns, dtype=np.float32)
    values, rows = np.concatenate([said.data, new.data]), np.concatenate([said.indices, new.indices])
    offsets = np.concatenate([said.indptr, said.indptr[-1] + new.indptr[1:]])
    return sparse.csc_matrix((values, rows, offsets), shape=(n + count, n + count))
