"""Users whom the model never met, placed by a list of items, with everything else as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from recbole_sheaf.embeddings.embeddings import LARGE, MOST_UNFOLDED, TRAIN, Embeddings, Histories
from recbole_sheaf.errors import ConfigError, DataError, shown
from recbole_sheaf.files.regular_files import refuse_beyond_memory


def with_users(embeddings: Embeddings, lists: Mapping[str, Sequence[str]]) -> Embeddings:
    """The same items, and users who are given by their items in the place of those there were.

    A maps' part of a score is exactly that of a user with this history; vectors are those of a user who joins the
    graph without one of their own (:mod:`recbole_sheaf.sheaf.new_user`). An item that is listed twice counts once.

    Raises:
        ConfigError: if the model gives a user's vector by training alone.
        DataError: if a user has no item, is in the data already, or an item is unknown; if a name is so long that all
            together, each in as much place as the longest, would take far more memory than they have letters.

    Time O(items in all lists times f).
    """
    trained = embeddings.item_sources_trained
    if trained is None:
        model = embeddings.metadata.get("model", "this model")
        raise ConfigError(
            f"{model} has no rule by which a user follows from items, only training gives it a user's vector; name "
            "users of the data, or take MMSheaf with identity maps, ItemSheaf, LightGCN or EASE"
        )
    for token, items in lists.items():
        if embeddings.knows_user(token):
            raise DataError(f"user {shown(token)} is in the data already; leave the items out, or give another name")
        if not items:
            raise DataError(f"user {shown(token)} has no item; give one at least")
    names = _names(list(lists))
    refuse_beyond_memory(
        f"vectors of {len(names):,} users", 4 * len(names) * embeddings.item_vectors.shape[1], DataError
    )
    rows = [embeddings.item_rows(items) for items in lists.values()]
    lengths = [len(items) for items in rows]
    users, chosen = np.repeat(np.arange(len(rows)), lengths), np.concatenate(rows)
    histories = Histories.of(len(rows), users, chosen, np.full(len(chosen), TRAIN))
    return replace(
        embeddings,
        users=names,
        user_vectors=_vectors(embeddings, trained, histories),
        histories=histories,
        layers={name: rows for name, rows in embeddings.layers.items() if name.startswith("item")},
    )


def _names(users: Sequence[str]) -> np.ndarray:
    longest = max(users, key=len, default="")
    taken = 4 * len(longest) * len(users)
    if taken > max(LARGE, MOST_UNFOLDED * sum(map(len, users))):
        raise DataError(
            f"the name of user {shown(longest)} has {len(longest):,} letters, with which the names of {len(users):,} "
            f"users would take {taken:,} bytes; give a shorter name"
        )
    return np.array(users, dtype=str)


def _vectors(
    embeddings: Embeddings, sources: Float[np.ndarray, "n _"], histories: Histories
) -> Float[np.ndarray, "b f"]:
    lengths = np.diff(histories.offsets)
    chosen = histories.matrix(np.arange(len(lengths)), [TRAIN], len(embeddings.items))
    trained = chosen @ sources.astype(np.float32, copy=False)
    by_maps = chosen @ embeddings.item_sources.astype(np.float32, copy=False)
    if trained.shape[1]:
        rule = embeddings.metadata["users_by_items"]
        size = np.linalg.norm(trained, axis=1) if rule["scale"] == "unit length" else np.sqrt(lengths)
        scale = rule["factor"] * lengths ** rule.get("power", 0.0)  # no power: an earlier export
        trained = (scale / np.maximum(size, 1e-12))[:, None] * trained
        trained[:, embeddings.embedded :] = 1.0
    return np.concatenate([trained, by_maps], axis=1).astype(np.float32)
