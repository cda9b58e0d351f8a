"""A restored model into :class:`~recbole_sheaf.embeddings.embeddings.Embeddings`, checked against its own scores."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import metadata
from typing import Any, Optional

import numpy as np
import torch
from jaxtyping import Float, Int
from recbole.data.interaction import Interaction
from scipy import sparse
from torch.nn.functional import pad

from recbole_sheaf.embeddings.embeddings import FORMULA, PARTS, TRAIN, Block, Embeddings, Histories
from recbole_sheaf.embeddings.item_maps import ItemMaps, of_item_sheaf, of_similarity
from recbole_sheaf.embeddings.propagation import layers_of, told_to_users
from recbole_sheaf.embeddings.ranking import PieceScores, refuse_unranked
from recbole_sheaf.embeddings.vectors import Vectors, vectors_of
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.experiments.checkpoints import Restored
from recbole_sheaf.experiments.run_id import settings_that_count
from recbole_sheaf.experiments.splits import SEEN_BEFORE_TEST
from recbole_sheaf.models.closed_form import ClosedFormRecommender
from recbole_sheaf.models.mmsheaf import MMSheaf

CHECKED_USERS = 64
LARGEST_ERROR = 1e-5  # of a score, over the largest score
BY_SIMILARITY = {"EASE": "item_similarity", "SLIMElastic": "item_similarity", "ItemKNN": "w"}


class NoPieces(ConfigError):
    """A model's scores are not made of vectors and coefficients."""


def embeddings_of(restored: Restored, layers: bool = False) -> Embeddings:
    """The pieces of a model's scores.

    Args:
        restored: the model and what it was trained on.
        layers: whether vectors after each layer come along.

    Raises:
        NoPieces: if the model's scores are not made of such pieces.
        ConfigError: if it has no layers to show.

    Time and memory are those of the model's own vectors; a full item sheaf adds 8 bytes for each pair of items.
    """
    with torch.no_grad():
        vectors, maps = _vectors_of(restored.model), _maps_of(restored.model)
        if vectors is None and maps is None:
            raise NoPieces(_no_pieces(restored.model))
        found = _without_padding(_joined(restored, vectors, maps))
        if layers:
            found = replace(found, layers=_layers(restored.model))
        error = largest_error(found, restored.model)
    if not error <= LARGEST_ERROR:
        raise NoPieces(
            f"the pieces of {type(restored.model).__name__} miss its own scores by {error:.1e} of the largest, "
            "so they are not what it ranks by; 'recommend' takes its checkpoint as it is"
        )
    checked = {"users": CHECKED_USERS, "largest_error": error}
    return replace(found, metadata={**_metadata(restored), **found.metadata, "checked_against_the_model": checked})


def without_pieces(restored: Restored) -> Embeddings:
    """Users, items and histories of a model whose scores it alone makes."""
    users, items = tokens_of(restored)
    of_users, of_items = (np.zeros((len(tokens), 0), dtype=np.float32) for tokens in (users, items))
    histories = histories_of(restored)
    return Embeddings(users, items, of_users, of_items, (), of_items, histories, metadata=_metadata(restored))


def largest_error(embeddings: Embeddings, model: Any) -> float:
    """How far scores of the pieces are from the model's own, over the largest of these, for some users.

    Raises:
        ConfigError: if either are NaN or infinite.
    """
    rows = np.unique(np.linspace(0, len(embeddings.users) - 1, CHECKED_USERS).astype(np.int64))
    scores, worst, largest = PieceScores(embeddings), 0.0, 0.0
    for some in np.array_split(rows, min(4, len(rows))):
        own, found = model_scores(model, some), scores(some)
        refuse_unranked(own)
        refuse_unranked(found)
        worst = max(worst, float(np.abs(found - own).max()))
        largest = max(largest, float(np.abs(own).max()))
    return worst / largest if largest else worst


def model_scores(model: Any, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b n"]:
    """A model's own scores of users for all items, float32, padding left out."""
    users = torch.from_numpy(rows + 1).to(model.device)
    with torch.no_grad():
        scores = model.full_sort_predict(Interaction({model.USER_ID: users}))
    return torch.as_tensor(scores).view(len(rows), -1)[:, 1 : model.n_items].float().cpu().numpy()


def histories_of(restored: Restored) -> Histories:
    """Interactions of all parts, rows without padding."""
    parts = [
        (part.inter_feat[part.uid_field].numpy(), part.inter_feat[part.iid_field].numpy()) for part in _parts(restored)
    ]
    users, items = (np.concatenate(ends) - 1 for ends in zip(*parts))
    named = np.repeat(np.arange(len(parts)), [len(users) for users, _ in parts])
    return Histories.of(restored.split.dataset.user_num - 1, users, items, named)


def tokens_of(restored: Restored) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of users and of items, without padding."""
    dataset = restored.split.dataset
    fields = (dataset.uid_field, dataset.user_num), (dataset.iid_field, dataset.item_num)
    users, items = (np.array(dataset.id2token(name, np.arange(1, n)).tolist(), dtype=str) for name, n in fields)
    return users, items


def _parts(restored: Restored) -> Iterator[Any]:
    yield from restored.split.parts[: len(PARTS)]


def _vectors_of(model: Any) -> Optional[Vectors]:
    return None if isinstance(model, ClosedFormRecommender) else vectors_of(model)


def _maps_of(model: Any) -> Optional[ItemMaps]:
    if isinstance(model, ClosedFormRecommender):
        return of_item_sheaf(model.sheaf, torch.ones(model.n_items, device=model.device))
    if isinstance(model, MMSheaf):
        return None if model.item_sheaf is None else of_item_sheaf(model.item_sheaf, model.item_sheaf_weights())
    name = next((each.__name__ for each in type(model).__mro__ if each.__name__ in BY_SIMILARITY), None)
    if name is None or getattr(model, "method", "item") != "item":
        return None
    return of_similarity(getattr(model, BY_SIMILARITY[name]))


def _joined(restored: Restored, vectors: Optional[Vectors], maps: Optional[ItemMaps]) -> Embeddings:
    """Everything side by side; rows are RecBole's ids, but those of the histories."""
    model, histories = restored.model, histories_of(restored)
    maps = ItemMaps(None) if maps is None else maps
    told, heard = (_arrays(rows.values()) for rows in (maps.told, maps.heard))
    train = histories.matrix(np.arange(model.n_users - 1), [TRAIN], model.n_items - 1)
    summed = [np.concatenate([np.zeros_like(rows[:1]), train @ rows[1:]]) for rows in told]
    trained = [] if vectors is None else _arrays([vectors.users, vectors.items])
    widths = [] if vectors is None else [(name, width, False) for name, width in vectors.blocks]
    widths += [(name, rows.shape[1], True) for name, rows in maps.told.items()]
    users, items = tokens_of(restored)
    return Embeddings(
        users=users,
        items=items,
        user_vectors=_side_by_side([*trained[:1], *summed], model.n_users),
        item_vectors=_side_by_side([*trained[1:], *heard], model.n_items),
        blocks=tuple(_blocks(widths)),
        histories=histories,
        coefficients=maps.coefficients,
        item_told=_side_by_side(told, model.n_items),
        item_told_trained=_array(_told_trained(model, vectors)),
        item_embeddings=_array(None if vectors is None else vectors.embeddings),
        item_rarity=_array(None if vectors is None else vectors.rarity),
        item_is_new=np.zeros(model.n_items, dtype=bool),
        metadata={} if vectors is None else {**vectors.metadata, "users_by_items": _fold_in(vectors)},
    )


def _told_trained(model: Any, vectors: Optional[Vectors]) -> Optional[torch.Tensor]:
    """Zeros in a column of popularity, in which no item tells a user anything."""
    told = torch.zeros(model.n_items, 0) if vectors is None else told_to_users(model)
    return told if vectors is None or told is None else pad(told, (0, vectors.items.shape[1] - told.shape[1]))


def _fold_in(vectors: Vectors) -> dict[str, Any]:
    """How a new user's first columns follow from the sum of what the items tell."""
    growth = vectors.metadata.get("growth_with_history", {"factor": 1.0, "power": 0.0})
    if vectors.metadata["compared_by"] == "cosine":
        factor = vectors.metadata.get("temperature", 1.0) ** -0.5 * growth["factor"]
        return {"scale": "unit length", "factor": factor, "power": growth["power"]}
    return {"scale": "square root of the number of items", **growth}


def _without_padding(found: Embeddings) -> Embeddings:
    def cut(rows: Any) -> Any:
        return None if rows is None else np.ascontiguousarray(rows[1:])

    coefficients = found.coefficients
    return replace(
        found,
        user_vectors=cut(found.user_vectors),
        item_vectors=cut(found.item_vectors),
        coefficients=None if coefficients is None else sparse.csc_matrix(coefficients[1:, 1:]),
        item_told=cut(found.item_told),
        item_told_trained=cut(found.item_told_trained),
        item_embeddings=cut(found.item_embeddings),
        item_rarity=cut(found.item_rarity),
        item_is_new=cut(found.item_is_new),
    )


def _blocks(widths: list[tuple[str, int, bool]]) -> Iterator[Block]:
    start = 0
    for name, width, history in widths:
        yield Block(name, start, start + width, history)
        start += width


def _side_by_side(arrays: list[np.ndarray], rows: int) -> np.ndarray:
    return np.concatenate(arrays, axis=1) if arrays else np.zeros((rows, 0), dtype=np.float32)


def _arrays(rows: Iterable[torch.Tensor]) -> list[np.ndarray]:
    return [each.detach().cpu().float().numpy() for each in rows]


def _array(rows: Optional[torch.Tensor]) -> Optional[np.ndarray]:
    return None if rows is None else _arrays([rows])[0]


def _layers(model: Any) -> dict[str, np.ndarray]:
    signals = layers_of(model)
    if signals is None:
        raise ConfigError(
            f"{type(model).__name__} has no layers that can be shown; leave layers=True out, or take MMSheaf, SheafRec "
            "or LightGCN"
        )
    out = {}
    for number, signal in enumerate(signals):
        rows = signal.cpu().float().numpy()
        out[f"user_layer_{number}"] = rows[1 : model.n_users]
        out[f"item_layer_{number}"] = rows[model.n_users + 1 :]
    return out


def _no_pieces(model: Any) -> str:
    return (
        f"{type(model).__name__} makes its scores neither of vectors nor of coefficients between items, so there is "
        "nothing to export; 'recommend' takes its checkpoint as it is, or train an embedding model such as MMSheaf, "
        "LightGCN or BPR"
    )


def _metadata(restored: Restored) -> dict[str, Any]:
    config, split = restored.config, restored.split
    return {
        "package": f"recbole-sheaf {metadata.version('recbole-sheaf')}",
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "split_seed": config["split_seed"],
        "score": FORMULA,
        "parts": list(PARTS),
        "seen_at_test": list(config["seen_at_test"] or SEEN_BEFORE_TEST),
        "interactions": split.sizes,
        "dtype": "float32",
        "settings": settings_that_count(config),
    }
