"""Lists from an export of recbole-sheaf, in one file that needs NumPy alone: copy it into your service.

    scorer = Scorer("shop.npz")                      # once; then from as many threads as you like
    scorer.recommend("196", k=20)                    # [("275", 4.73), ...]: what the user has is left out
    scorer.recommend_for(["50", "181"], k=20)        # somebody new, by the items that they chose

Write the export by ``recbole-sheaf export CHECKPOINT --to=shop.npz``; new items that ``embed-items`` placed are ranked
with all others. Lists are those of ``recbole-sheaf recommend``. Give it files of your own alone: it checks no more than
it needs, where the package reads those of strangers. MIT License, (c) 2026 the recbole-sheaf authors.

A score is ``user_vector . item_vector`` and, from each item of the user's history, a coefficient. Loading sorts the
coefficients by that item once, a second for ten million; a list takes O(items * columns + history * coefficients).
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional, Union

import numpy as np

FORMAT = 1
PARTS = ("train", "valid", "test")
TYPES = ("float32", "float16")


class Scorer:
    """The users and items of one export.

    Args:
        path: of the ``.npz``.

    Raises:
        ValueError: if it is no export, of another format, or of numbers in a type that this file does not know.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files if "_layer_" not in name}
        if "metadata" not in held:
            raise ValueError(f"{path} is no export of recbole-sheaf; write one by 'recbole-sheaf export'")
        self.metadata = json.loads(str(held["metadata"]))
        found = self.metadata.get("recbole_sheaf_embeddings")
        if found != FORMAT:
            raise ValueError(f"{path} is of format {found!r}, expected {FORMAT}; take the scorer of its release")
        for name, array in held.items():
            if array.dtype.kind not in "Uiub" and str(array.dtype) not in TYPES:
                raise ValueError(f"{path} has {name} of type {array.dtype}, expected {' or '.join(TYPES)}")
        self.users, self.items = held["user_tokens"].tolist(), held["item_tokens"].tolist()
        self._user_row = {token: row for row, token in enumerate(self.users)}
        self._item_row = {token: row for row, token in enumerate(self.items)}
        self._user_vectors, self._item_vectors = held["user_vectors"], held["item_vectors"].astype(np.float32)
        self._sources, self._trained = held["item_told"], held.get("item_told_trained")
        self._history = tuple(held[f"history_{name}"] for name in ("offsets", "items", "parts"))
        self._from_item: Optional[tuple[np.ndarray, ...]] = None
        if "coefficient_values" in held:
            self._from_item = _by_source(*(held[f"coefficient_{name}"] for name in ("offsets", "items", "values")))

    def recommend(
        self, user: str, k: int = 20, without: Iterable[str] = (), among: Optional[Sequence[str]] = None
    ) -> list[tuple[str, float]]:
        """The best items of a user, best first, those left out that the data say they have.

        Args:
            without: items to leave out too.
            among: items to choose from; None is all.

        Raises:
            KeyError: if the user or an item is unknown.
        """
        offsets, items, parts = self._history
        row = self._user_row[user]
        own = slice(offsets[row], offsets[row + 1])
        history = items[own][parts[own] == PARTS.index("train")]
        return self._best(self._user_vectors[row].astype(np.float32), history, items[own], k, without, among)

    def recommend_for(
        self, chosen: Iterable[str], k: int = 20, without: Iterable[str] = (), among: Optional[Sequence[str]] = None
    ) -> list[tuple[str, float]]:
        """The best items of somebody who is not in the data and chose these, which are left out.

        Args:
            without, among: as for :meth:`recommend`.

        Raises:
            KeyError: if an item is unknown.
            ValueError: if nothing is chosen, or the model gives a user a vector by training alone.
        """
        history = np.unique(self._rows(chosen))
        if not len(history):
            raise ValueError("nothing is chosen; give an item at least, or show what is popular")
        return self._best(self._vector(history), history, history, k, without, among)

    def _rows(self, tokens: Iterable[str]) -> np.ndarray:
        return np.array([self._item_row[token] for token in tokens], dtype=np.int64)

    def _best(
        self,
        vector: np.ndarray,
        history: np.ndarray,
        seen: np.ndarray,
        k: int,
        without: Iterable[str],
        among: Optional[Sequence[str]],
    ) -> list[tuple[str, float]]:
        scores = self._item_vectors @ vector
        if self._from_item is not None:
            offsets, targets, values = self._from_item
            some = [slice(offsets[row], offsets[row + 1]) for row in history]
            at = np.concatenate([targets[each] for each in some]) if some else targets[:0]
            said = np.concatenate([values[each] for each in some]) if some else values[:0]
            scores = scores + np.bincount(at, said, len(scores)).astype(np.float32)
        if among is not None:
            kept = np.full(len(scores), -np.inf, dtype=np.float32)
            kept[self._rows(among)] = 0
            scores = scores + kept
        scores[seen] = scores[self._rows(without)] = -np.inf
        k = min(k, len(scores))
        best = np.argpartition(scores, -k)[-k:]
        best = best[np.argsort(-scores[best], kind="stable")]
        return [(self.items[row], float(scores[row])) for row in best if np.isfinite(scores[row])]

    def _vector(self, history: np.ndarray) -> np.ndarray:
        """Of somebody new: what the items add, by the model's rule for those columns that were trained."""
        if self._trained is None:
            raise ValueError(f"{self.metadata.get('model', 'the model')} gives a user a vector by training alone")
        by_maps = self._sources[history].astype(np.float32).sum(axis=0)
        trained = self._trained[history].astype(np.float32).sum(axis=0)
        if len(trained):
            rule = self.metadata["users_by_items"]
            size = np.linalg.norm(trained) if rule["scale"] == "unit length" else len(history) ** 0.5
            trained *= rule["factor"] * len(history) ** rule.get("power", 0.0) / max(float(size), 1e-12)
            if any(block["name"] == "item popularity" for block in self.metadata["blocks"]):
                trained[-1] = 1.0
        return np.concatenate([trained, by_maps]).astype(np.float32)


def _by_source(offsets: np.ndarray, sources: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Coefficients that lie by the item they are into, by the item of the history that they are from."""
    n = len(offsets) - 1
    order = np.argsort(sources, kind="stable")
    targets = np.repeat(np.arange(n, dtype=np.int32), np.diff(offsets))[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=n))])
    return starts, targets, values[order].astype(np.float32)
