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

from recbole_sheaf.data.relations import relations_of
from recbole_sheaf.embeddings.embeddings import (
    DISLIKED,
    DISLIKED_LATER,
    FORMULA,
    PARTS,
    POPULARITY,
    TRAIN,
    Block,
    Embeddings,
    Histories,
)
from recbole_sheaf.embeddings.ranking import PieceScores, refuse_unranked
from recbole_sheaf.errors import NoPieces
from recbole_sheaf.experiments.checkpoints import Restored
from recbole_sheaf.experiments.run_id import settings_that_count
from recbole_sheaf.experiments.splits import SEEN_BEFORE_TEST
from recbole_sheaf.models.score_factors import ScoreFactors
from recbole_sheaf.plugin.recbole_factors import in_pieces
from recbole_sheaf.sheaf.item_maps import ItemMaps

CHECKED_USERS = 64
LARGEST_ERROR = 1e-5  # of a score, over the largest score


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
        model = in_pieces(restored.model)
        found = _without_padding(_joined(restored, model.score_factors(), model.item_maps()))
        if layers:
            found = replace(found, layers=_layers(model.layer_signals(), restored.model.n_users))
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
    """Interactions of all parts and what users have in relations, rows without padding."""
    found = [
        (part.inter_feat[part.uid_field].numpy(), part.inter_feat[part.iid_field].numpy(), np.full(len(part), number))
        for number, part in enumerate(_parts(restored))
    ]
    found += [
        (relation.users, relation.items, np.where(relation.known, DISLIKED, DISLIKED_LATER))
        for relation in relations_of(restored.split.dataset).values()
    ]
    users, items, named = (np.concatenate(each) for each in zip(*found))
    return Histories.of(restored.split.dataset.user_num - 1, users - 1, items - 1, named)


def tokens_of(restored: Restored) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of users and of items, without padding."""
    dataset = restored.split.dataset
    fields = (dataset.uid_field, dataset.user_num), (dataset.iid_field, dataset.item_num)
    users, items = (np.array(dataset.id2token(name, np.arange(1, n)).tolist(), dtype=str) for name, n in fields)
    return users, items


def _parts(restored: Restored) -> Iterator[Any]:
    yield from restored.split.parts[: len(PARTS)]


def _joined(restored: Restored, factors: ScoreFactors, maps: Optional[ItemMaps]) -> Embeddings:
    """Everything side by side; rows are RecBole's ids, but those of the histories."""
    model, histories = restored.model, histories_of(restored)
    named = {} if maps is None else maps.sources
    sources, targets = (_arrays(rows) for rows in (named.values(), [] if maps is None else maps.targets.values()))
    train = histories.matrix(np.arange(model.n_users - 1), [TRAIN], model.n_items - 1)
    summed = [np.concatenate([np.zeros_like(rows[:1]), train @ rows[1:]]) for rows in sources]
    users, items = _arrays([factors.users, factors.items])
    widths = [(name, width, False) for name, width in factors.blocks]
    widths += [(POPULARITY, 1, False)] * factors.popularity
    widths += [(name, rows.shape[1], True) for name, rows in named.items()]
    user_tokens, item_tokens = tokens_of(restored)
    return Embeddings(
        users=user_tokens,
        items=item_tokens,
        user_vectors=np.concatenate([users, *summed], axis=1),
        item_vectors=np.concatenate([items, *targets], axis=1),
        blocks=tuple(_blocks(widths)),
        histories=histories,
        coefficients=None if maps is None else maps.coefficients,
        item_sources=np.concatenate([np.zeros_like(items[:, :0]), *sources], axis=1),
        item_sources_trained=_array(_with_popularity(factors)),
        item_embeddings=_array(factors.item_embeddings),
        item_rarity=_array(factors.item_rarity),
        item_is_new=np.zeros(model.n_items, dtype=bool),
        metadata=_comparison(factors) if factors.blocks else {},
    )


def _with_popularity(factors: ScoreFactors) -> Optional[torch.Tensor]:
    """Zeros in a column of popularity, to which no item of a history adds anything."""
    sources = factors.user_sources
    return None if sources is None else pad(sources, (0, int(factors.popularity)))


def _comparison(factors: ScoreFactors) -> dict[str, Any]:
    """How vectors are compared, and how a new user's follow from the sum of the items' sources."""
    found: dict[str, Any] = {"compared_by": "cosine" if factors.cosine else "inner product"}
    growth = {"factor": 1.0, "power": 0.0}
    if factors.temperature is not None:
        found["temperature"] = factors.temperature
    if factors.growth_with_history is not None:
        growth = found["growth_with_history"] = dict(zip(growth, factors.growth_with_history))
    rule: dict[str, Any] = {"scale": "square root of the number of items", **growth}
    if factors.cosine:
        temperature = 1.0 if factors.temperature is None else factors.temperature
        rule = {"scale": "unit length", "factor": temperature**-0.5 * growth["factor"], "power": growth["power"]}
    return {**found, "users_by_items": rule}


def _without_padding(found: Embeddings) -> Embeddings:
    def cut(rows: Any) -> Any:
        return None if rows is None else np.ascontiguousarray(rows[1:])

    coefficients = found.coefficients
    return replace(
        found,
        user_vectors=cut(found.user_vectors),
        item_vectors=cut(found.item_vectors),
        coefficients=None if coefficients is None else sparse.csc_matrix(coefficients[1:, 1:]),
        item_sources=cut(found.item_sources),
        item_sources_trained=cut(found.item_sources_trained),
        item_embeddings=cut(found.item_embeddings),
        item_rarity=cut(found.item_rarity),
        item_is_new=cut(found.item_is_new),
    )


def _blocks(widths: list[tuple[str, int, bool]]) -> Iterator[Block]:
    start = 0
    for name, width, history in widths:
        yield Block(name, start, start + width, history)
        start += width


def _arrays(rows: Iterable[torch.Tensor]) -> list[np.ndarray]:
    return [each.detach().cpu().float().numpy() for each in rows]


def _array(rows: Optional[torch.Tensor]) -> Optional[np.ndarray]:
    return None if rows is None else _arrays([rows])[0]


def _layers(signals: list[Float[torch.Tensor, "nodes f"]], n_users: int) -> dict[str, np.ndarray]:
    out = {}
    for number, rows in enumerate(_arrays(signals)):
        out[f"user_layer_{number}"] = rows[1:n_users]
        out[f"item_layer_{number}"] = rows[n_users + 1 :]
    return out


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
