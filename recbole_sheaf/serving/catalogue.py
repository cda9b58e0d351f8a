"""What a server answers from: embeddings in memory, and all that is the same for every request made beforehand."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np

from recbole_sheaf.embeddings.choice import Choice, Columns, Wanted
from recbole_sheaf.embeddings.embeddings import DISLIKED, DISLIKED_LATER, PARTS, TEST, TRAIN, VALID, Embeddings
from recbole_sheaf.embeddings.explanation import HISTORY, RARE, Contributions, contributions
from recbole_sheaf.embeddings.new_users import with_clicks, with_users
from recbole_sheaf.embeddings.ranking import PieceScores, Scores, popular_lists, top_lists
from recbole_sheaf.embeddings.similarity import CoefficientRows, Likeness, similar_items
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.exports.sources import Source
from recbole_sheaf.files.regular_files import FileState
from recbole_sheaf.serving.posters import Picture


class Names:
    """Tokens with their titles, searched without case as one long text, which takes 10 ms for a million names."""

    def __init__(self, tokens: np.ndarray, titles: Mapping[str, str]) -> None:
        self.tokens = [str(token) for token in tokens]
        self.titles = titles
        lines = [f"{token} {titles.get(token, '')}".lower().replace("\n", " ") for token in self.tokens]
        self._text = "\n".join(lines)
        self._starts = np.concatenate([[0], np.cumsum([len(line) + 1 for line in lines])])[:-1].tolist()
        self._row = {token: row for row, token in enumerate(self.tokens)}

    def find(self, text: str, most: int) -> list[str]:
        """Tokens that match a text: the one that equals it, then those that contain it, in the order of their rows."""
        found = [text] if text in self._row else []
        wanted, at = text.lower().strip().replace("\n", " "), 0
        while len(found) < most and (at := self._text.find(wanted, at)) >= 0:
            row = bisect_right(self._starts, at) - 1
            if self.tokens[row] not in found:
                found.append(self.tokens[row])
            if row + 1 == len(self._starts):
                break
            at = self._starts[row + 1]
        return found[:most]


MOST_SPOKEN = 3  # of a user's items, shown behind a recommended one
ALL = Wanted()
SOMEBODY = ""  # a user who is given by items; no token is empty
Part = Literal["train", "valid", "test", "disliked"]
PART_NAMES: dict[int, Part] = {
    TRAIN: "train",
    VALID: "valid",
    TEST: "test",
    DISLIKED: "disliked",
    DISLIKED_LATER: "disliked",
}


@dataclass(frozen=True)
class Entry:
    """An item of a list.

    ``parts`` and ``contributions`` are those of an :class:`~recbole_sheaf.embeddings.explanation.Explanation`.
    """

    item: str
    score: float
    parts: Optional[dict[str, float]] = None
    contributions: Optional[list[tuple[str, float]]] = None


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Users and items of one model, ready to be asked.

    Attributes:
        titles: of items, by token.
        posters: pictures, by token of the item.
        item_table: a file of the items' columns; None is the dataset's own, where there is one.
        version: of the file that was read, the head of its SHA-256.
        state: of that file; None where it is not to be looked for again.
    """

    source: Source
    titles: Mapping[str, str] = field(default_factory=dict)
    posters: Mapping[str, Picture] = field(default_factory=dict)
    item_table: Optional[Path] = None
    version: str = ""
    state: Optional[FileState] = None

    @cached_property
    def embeddings(self) -> Embeddings:
        """The embeddings in float32, whatever the file had: half precision is half as fast."""
        return self.source.embeddings.with_floats("float32")

    @cached_property
    def parts(self) -> list[str]:
        """Names of what a score may be made of, in their order."""
        embeddings = self.embeddings
        names = [block.name for block in embeddings.blocks if not block.history]
        rare = [RARE] * (embeddings.item_rarity is not None and embeddings.item_embeddings is not None)
        maps = embeddings.coefficients is not None or embeddings.width < embeddings.item_vectors.shape[1]
        return [*names, *rare, *[HISTORY] * maps]

    def warm(self) -> None:
        """Compute, by asking once, what the first request would wait for; O(n^2) where coefficients are full."""
        user, item = str(self.embeddings.users[0]), str(self.embeddings.items[0])
        self.recommend(user, None, 1, "kept", explain=bool(self.parts))
        if self.parts and len(self.embeddings.items) > 1:
            self.similar(item, 1)
        self.users.find(user, 1)
        self.items.find(item, 1)

    def recommend(
        self,
        user: Optional[str],
        items: Optional[Sequence[str]],
        k: int,
        seen: str = "masked",
        explain: bool = False,
        clicked: Optional[Sequence[str]] = None,
        wanted: Wanted = ALL,
    ) -> list[Entry]:
        """The best items of a user, of one who has clicked some more, or of somebody who has these items.

        Raises:
            DataError: if the user or an item is unknown.
            ConfigError: if k is above the catalogue, nothing is left of it, or the model cannot do what is asked.

        Time O(n f), and O(h n) for full coefficients.
        """
        choice = self._choice(wanted)
        embeddings, scores = self._of(user, items, clicked)
        row = embeddings.user_rows([SOMEBODY if user is None else user])
        ((places, values),) = self._best(embeddings, row, scores, k, seen, choice)
        if not explain:
            return self._entries(places, values)
        found = contributions(embeddings, int(row[0]), places, self._said)
        return self._explained(embeddings.items[places].tolist(), values, found)

    def recommend_to(
        self, users: Sequence[str], k: int, seen: str = "masked", wanted: Wanted = ALL
    ) -> list[list[Entry]]:
        """The best items of several users, in their order.

        Raises:
            DataError, ConfigError: as :meth:`recommend`.
        """
        rows = self.embeddings.user_rows(users)
        found = self._best(self.embeddings, rows, self._scores, k, seen, self._choice(wanted))
        return [self._entries(*each) for each in found]

    def popular(self, k: int, wanted: Wanted = ALL) -> list[Entry]:
        """Items by the number of their training interactions, for whom nobody knows.

        Raises:
            DataError, ConfigError: as :meth:`recommend`.
        """
        choice = self._choice(wanted)
        lists = popular_lists(self.embeddings, 1, choice.length(k), choice.allowed, choice.at_most)
        ((_, places, values),) = (found for some in lists for found in some)
        return self._entries(places, values)

    def similar(self, item: str, k: int, by: str = "auto") -> list[Entry]:
        """The items most like an item.

        Raises:
            DataError: if it is unknown.
            ConfigError: if k is above the catalogue, or the model lacks what ``by`` names.
        """
        embeddings = self.embeddings
        found = similar_items(embeddings, embeddings.item_rows([item]), k, by, likeness=self._likeness)
        ((_, places, values),) = (each for some in found for each in some)
        return self._entries(places, values)

    def history(self, user: str, k: int) -> tuple[int, list[tuple[str, Part]]]:
        """How many items a user has, and the first k of them with the part of the data that each is in.

        Those of the training come first, dislikes last; in a part they stand in the order of the model's items.

        Raises:
            DataError: if the user is unknown.
        """
        histories, row = self.embeddings.histories, int(self.embeddings.user_rows([user])[0])
        mine = slice(histories.offsets[row], histories.offsets[row + 1])
        items, parts = histories.items[mine], histories.parts[mine]
        order = np.argsort(np.where(parts < TRAIN, len(PARTS), parts), kind="stable")[:k]
        tokens = self.embeddings.items[items[order]].tolist()
        return len(items), [(token, PART_NAMES[part]) for token, part in zip(tokens, parts[order].tolist())]

    def vector(self, user: Optional[str], item: Optional[str], items: Optional[Sequence[str]]) -> np.ndarray:
        """The vector of a user, an item, or somebody who has these items, as a score takes it.

        Raises:
            DataError: if the user or an item is unknown.
            ConfigError: if the model has no vectors.
        """
        if not self.embeddings.item_vectors.shape[1]:
            model = self.embeddings.metadata.get("model", "this model")
            raise ConfigError(f"{model} has no vectors, so there is none to give; ask for /recommend or /similar")
        if item is not None:
            return self.embeddings.item_vectors[self.embeddings.item_rows([item])[0]]
        embeddings, _ = self._of(user, items)
        return embeddings.user_vectors[embeddings.user_rows([SOMEBODY if user is None else user])[0]]

    def about(self) -> dict[str, Any]:
        """What is served: the model, its dataset and their sizes."""
        embeddings = self.embeddings
        return {
            **self.named,
            "dataset": str(embeddings.metadata.get("dataset", "")),
            "users": len(embeddings.users),
            "items": len(embeddings.items),
            "parts": self.parts,
            "made": datetime.fromtimestamp(int(self.made), timezone.utc) if self.state else None,
        }

    @property
    def holds_histories(self) -> bool:
        """Whether any user has an item."""
        return len(self.embeddings.histories.items) > 0

    @property
    def named(self) -> dict[str, str]:
        """Which model answers, as each answer says."""
        return {"model": str(self.embeddings.metadata.get("model", "")), "version": self.version}

    @property
    def made(self) -> float:
        """When its file was written, in seconds since 1970; 0 where that is not known."""
        return self.state.changed / 1e9 if self.state else 0.0

    def read_table(self) -> None:
        """Read the item table now, which the first request for it would wait for.

        Raises:
            DataError, ConfigError: if there is none, or it is no such table.
        """
        self._table.where("true")

    @cached_property
    def users(self) -> Names:
        """An index of users to search by token."""
        return Names(self.embeddings.users, {})

    @cached_property
    def items(self) -> Names:
        """An index of items to search by token or title."""
        return Names(self.embeddings.items, self.titles)

    @cached_property
    def _scores(self) -> Scores:
        return PieceScores(self.embeddings) if self.source.scores is None else self.source.scores

    @cached_property
    def _likeness(self) -> Likeness:
        return Likeness(self.embeddings)

    @cached_property
    def _said(self) -> CoefficientRows:
        return CoefficientRows(self.embeddings)

    @cached_property
    def _table(self) -> Columns:
        return self.source.item_table(self.item_table)

    def _choice(self, wanted: Wanted) -> Choice:
        return wanted.of(self.embeddings, lambda: self._table)

    def _best(
        self, embeddings: Embeddings, rows: np.ndarray, scores: Scores, k: int, seen: str, choice: Choice
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Places and scores of each user's list."""
        length, allowed = choice.length(k), choice.allowed
        lists = top_lists(embeddings, rows, length, scores, seen, allowed, at_most=choice.at_most)
        return [(places, values) for some in lists for _, places, values in some]

    def _entries(self, places: np.ndarray, values: np.ndarray) -> list[Entry]:
        return [Entry(token, value) for token, value in zip(self.embeddings.items[places].tolist(), values.tolist())]

    def _of(
        self, user: Optional[str], items: Optional[Sequence[str]], clicked: Optional[Sequence[str]] = None
    ) -> tuple[Embeddings, Scores]:
        """Embeddings that have the user, and where the scores of these come from."""
        if user is not None and clicked is not None:
            somebody = with_clicks(self.embeddings, user, clicked)
        elif items is None or user is not None:
            return self.embeddings, self._scores
        else:
            somebody = with_users(self.embeddings, {SOMEBODY: items})
        return somebody, self._scores.of(somebody) if isinstance(self._scores, PieceScores) else self._scores

    def _explained(self, tokens: list[str], values: np.ndarray, found: Contributions) -> list[Entry]:
        names = self.embeddings.items[found.history].tolist()
        loudest = np.argsort(-np.abs(found.of_items), axis=0, kind="stable")[:MOST_SPOKEN]
        out = []
        for at, (token, value) in enumerate(zip(tokens, values.tolist())):
            parts = {name: float(each[at]) for name, each in found.parts.items()}
            largest = [(names[row], float(found.of_items[row, at])) for row in loudest[:, at]]
            out.append(Entry(token, value, parts, largest))
        return out
