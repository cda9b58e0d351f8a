"""Users whom the model never met, placed by a list of items, and those who chose more, with all else as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse

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


def with_clicks(embeddings: Embeddings, user: str, items: Sequence[str]) -> Embeddings:
    """The same items, and one user of the data alone, whose history of training has some items more.

    What holds goes by the parts of a score. The maps' part, which is all of ItemSheaf's and EASE's, is exactly that of
    a user with the longer history. Vectors of a model with a rule for new users move by what the rule makes of the
    longer history less what it makes of the old one. Under the inner product that is the vector which the diffusion
    gives while everybody else's signals stay. Under the cosine a trained vector's length before it was normalised is
    not kept, and the length of what the rule makes of the old history stands for it: exact for a user without a vector
    of its own, else the nearer the less of it is the user's own. Where training alone gives vectors they stay, and only
    the maps take notice. A click on an item of the history changes nothing; items of validation and test that are
    clicked count as trained on.

    Raises:
        ConfigError: if the model has neither such a rule nor maps.
        DataError: if the user or an item is unknown, or there is none.
    """
    (row,) = embeddings.user_rows([user])
    clicked = embeddings.item_rows(items)
    if not len(clicked):
        raise DataError(f"user {shown(user)} has clicked nothing; give an item at least")
    maps = embeddings.coefficients is not None or embeddings.width < embeddings.item_vectors.shape[1]
    if embeddings.item_sources_trained is None and not maps:
        model = embeddings.metadata.get("model", "this model")
        raise ConfigError(
            f"{model} has no rule by which clicks move a user, only training does; leave the clicks out, or take "
            "MMSheaf, ItemSheaf, LightGCN or EASE"
        )
    old = embeddings.histories
    own = slice(old.offsets[row], old.offsets[row + 1])
    there = np.concatenate([old.items[own], clicked])
    parts = np.concatenate([old.parts[own], np.full(len(clicked), TRAIN)])
    histories = Histories.of(1, np.zeros(len(there), dtype=np.int64), there, parts)
    before = Histories(np.array([0, len(old.items[own])]), old.items[own], old.parts[own])
    trained = embeddings.user_vectors[[row], : embeddings.width].astype(np.float32)
    if embeddings.item_sources_trained is not None and embeddings.width:
        trained = _moved(embeddings, embeddings.item_sources_trained, trained, before, histories)
    by_maps = _train(embeddings, histories) @ embeddings.item_sources.astype(np.float32, copy=False)
    return replace(
        embeddings,
        users=embeddings.users[[row]],
        user_vectors=np.concatenate([trained, by_maps], axis=1).astype(np.float32),
        histories=histories,
        layers={name: rows for name, rows in embeddings.layers.items() if name.startswith("item")},
    )


def _moved(
    embeddings: Embeddings,
    sources: Float[np.ndarray, "n _"],
    vector: Float[np.ndarray, "1 w"],
    before: Histories,
    after: Histories,
) -> Float[np.ndarray, "1 w"]:
    """A trained vector with what the rule makes of one history in the place of what it makes of another."""
    unit_length = embeddings.metadata["users_by_items"]["scale"] == "unit length"
    placed, growth = [], []
    for histories in (before, after):
        chosen = _train(embeddings, histories)
        length = max(chosen.nnz, 1)
        placed.append(chosen @ sources.astype(np.float32, copy=False) / np.sqrt(length))
        growth.append(_growth(embeddings, length))
    own = vector.copy()
    own[:, embeddings.embedded :] = 0.0
    if unit_length:
        own *= np.linalg.norm(placed[0]) / max(float(np.linalg.norm(own)), 1e-12)
        found = own + placed[1] - placed[0]
        found *= growth[1] / max(float(np.linalg.norm(found)), 1e-12)
    else:
        found = (own / growth[0] + placed[1] - placed[0]) * growth[1]
    found[:, embeddings.embedded :] = vector[:, embeddings.embedded :]
    return found


def _growth(embeddings: Embeddings, lengths: Any) -> Any:
    """By what vectors of users with histories of these lengths are multiplied, once at the rule's scale."""
    rule = embeddings.metadata["users_by_items"]
    return rule["factor"] * lengths ** rule.get("power", 0.0)  # no power: an earlier export


def _train(embeddings: Embeddings, histories: Histories) -> sparse.csr_matrix:
    return histories.matrix(np.arange(len(histories.offsets) - 1), [TRAIN], len(embeddings.items))


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
    chosen = _train(embeddings, histories)
    trained = chosen @ sources.astype(np.float32, copy=False)
    by_maps = chosen @ embeddings.item_sources.astype(np.float32, copy=False)
    if trained.shape[1]:
        rule = embeddings.metadata["users_by_items"]
        size = np.linalg.norm(trained, axis=1) if rule["scale"] == "unit length" else np.sqrt(lengths)
        trained = (_growth(embeddings, lengths) / np.maximum(size, 1e-12))[:, None] * trained
        trained[:, embeddings.embedded :] = 1.0
    return np.concatenate([trained, by_maps], axis=1).astype(np.float32)
