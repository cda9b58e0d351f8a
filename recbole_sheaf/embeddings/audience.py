"""Audiences: the users to whom each of some items is shown, by score, and no user too often.

m items, u users. Pairs of an item and a user are taken in the order of their scores, the highest first; a pair is kept
while its item wants users and its user may be shown more. Ties go to the earlier item, then to the earlier user.
"""

from typing import Optional

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from recbole_sheaf.embeddings.embeddings import PARTS, Embeddings
from recbole_sheaf.embeddings.ranking import SCORES_AT_ONCE, Lists, PieceScores, Scores, masked_parts, refuse_unranked
from recbole_sheaf.errors import ConfigError

PAIRS_HELD = 2**24  # candidates of all items; 192 MiB

Best = tuple[Int[np.ndarray, "m c"], Float[np.ndarray, "m c"]]  # users and scores, best first; -inf is nobody


def audiences(
    embeddings: Embeddings,
    items: Int[np.ndarray, " m"],
    k: int,
    per_user: int,
    scores: Optional[Scores] = None,
    users: Optional[Int[np.ndarray, " u"]] = None,
    seen: str = "masked",
    show_progress: bool = False,
) -> Lists:
    """For each item up to k users, best first, no user in more than ``per_user`` of the lists.

    Args:
        items: their rows.
        scores: where they come from; None takes the pieces.
        users: rows of those who may be shown something; None is all.
        seen: whose items are left out, as for :func:`~recbole_sheaf.embeddings.ranking.top_lists`.

    Returns:
        Lists whose rows are items and whose items are users; a place of score -inf holds nobody.

    Raises:
        ConfigError: if k or ``per_user`` is below 1, ``seen`` is unknown, or scores are NaN or infinite.

    An item's ``k + (m - 1) k / per_user`` best users hold all whom the order of all pairs could give it: other items
    fill no more than the second term. Of each that many are kept while users pass by, or, of very many items, as many
    as ``PAIRS_HELD`` allows and k at least; there a list may stay shorter than k. Time O(u m f + u m log u), memory of
    the candidates and of ``SCORES_AT_ONCE`` scores.
    """
    for name, value in (("k", k), ("per_user", per_user)):
        if value < 1:
            raise ConfigError(f"{name}={value} is below 1; give a whole number from 1")
    rows = np.arange(len(embeddings.users)) if users is None else np.unique(users)
    wanted = min(k + (len(items) - 1) * k // per_user, max(k, PAIRS_HELD // max(len(items), 1)), len(rows))
    masked = masked_parts(seen, embeddings.metadata.get("seen_at_test", PARTS[:2]))
    found = _best_users(embeddings, items, wanted, scores, rows, masked, show_progress)
    return Lists(items, *_assigned(found, k, per_user))


def _best_users(
    embeddings: Embeddings,
    items: Int[np.ndarray, " m"],
    wanted: int,
    scores: Optional[Scores],
    rows: Int[np.ndarray, " u"],
    masked: list[int],
    show_progress: bool,
) -> Best:
    """Each item's best users, equal ones in the order of their rows."""
    pieces = PieceScores(embeddings, only=items) if scores is None else None
    n_items = len(embeddings.items)
    batch = max(1, SCORES_AT_ONCE // (n_items if pieces is None else max(len(items), 1)))
    best = np.zeros((len(items), 0), dtype=np.int64), np.zeros((len(items), 0), dtype=np.float32)
    with tqdm(total=len(rows), unit=" users", disable=not show_progress) as bar:
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            found = pieces(some) if pieces is not None else scores(some)[:, items]  # type: ignore[misc]  # one of both
            refuse_unranked(found)
            found[embeddings.histories.matrix(some, masked, n_items)[:, items].nonzero()] = -np.inf
            every = np.concatenate([best[1], found.T], axis=1)
            named = np.concatenate([best[0], np.broadcast_to(some, (len(items), len(some)))], axis=1)
            order = np.argsort(-every, axis=1, kind="stable")[:, :wanted]
            best = np.take_along_axis(named, order, axis=1), np.take_along_axis(every, order, axis=1)
            bar.update(len(some))
    return best


def _assigned(found: Best, k: int, per_user: int) -> tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """Pairs in the order of their scores, each while there is room for it."""
    users, scores = found
    items = np.repeat(np.arange(len(users)), users.shape[1])
    order = np.lexsort((users.ravel(), items, -scores.ravel()))
    order = order[np.isfinite(scores.ravel()[order])]
    shown: dict[int, int] = {}
    length = [0] * len(users)
    width = min(k, users.shape[1])
    out, best = np.zeros((len(users), width), dtype=np.int64), np.full((len(users), width), -np.inf, dtype=np.float32)
    for place, item, user in zip(order.tolist(), items[order].tolist(), users.ravel()[order].tolist()):
        if length[item] < k and shown.get(user, 0) < per_user:
            out[item, length[item]], best[item, length[item]] = user, scores.ravel()[place]
            length[item], shown[user] = length[item] + 1, shown.get(user, 0) + 1
    return out, best
