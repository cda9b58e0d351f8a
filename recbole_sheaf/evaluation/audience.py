r"""How well audiences of items hold the users who chose them, and the two audiences that any other has to beat.

m items, u users, n items of the catalogue, k places. An audience is a list of users, best first. Its NDCG is that of
:func:`~recbole_sheaf.evaluation.ranking.per_user_metrics` with items and users in each other's place: with h_j = 1
where place j holds one of the :math:`|R|` users who chose the item, :math:`\sum_j h_j / \log_2(j + 1)` over that of
:math:`\min(|R|, k)` ones.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from recbole_sheaf.evaluation.ranking import Rankings, per_user_metrics


def audience_ndcg(
    audiences: Int[np.ndarray, "m k"], offsets: Int[np.ndarray, " m_and_one"], users: Int[np.ndarray, " r"]
) -> Float[np.ndarray, " m"]:
    """NDCG of each item's audience at its full length.

    Args:
        audiences: rows of users, each once in a list; a negative one is nobody.
        offsets, users: those who chose item i are ``users[offsets[i]:offsets[i + 1]]``, one at least.

    Raises:
        DataError: if the arrays do not fit each other.

    Time O(m k log k + r log r).

    Examples:
        >>> audience_ndcg(np.array([[4, 7], [7, -1]]), np.array([0, 1, 3]), np.array([7, 5, 7])).round(4)
        array([0.6309, 0.6131])
    """
    others = max(int(audiences.max(initial=0)), int(users.max(initial=0))) + 1  # ids of nobody, each of its own
    filled = np.where(audiences < 0, others + np.arange(audiences.shape[1]), audiences)
    rankings = Rankings(np.arange(len(audiences)), filled, offsets, users)
    return per_user_metrics(rankings, ["NDCG"], [audiences.shape[1]]).iloc[:, 0].to_numpy()


def activity(users: Int[np.ndarray, " t"], n_users: int) -> Float[np.ndarray, " u"]:
    """The most active users' score for any item: the number of their training interactions.

    Examples:
        >>> activity(np.array([0, 2, 2]), n_users=3)
        array([1., 0., 2.], dtype=float32)
    """
    return np.bincount(users, minlength=n_users).astype(np.float32)


def unit_content(
    modalities: Sequence[tuple[Float[np.ndarray, "n _"], Bool[np.ndarray, " n"]]],
) -> Float[np.ndarray, "n d"]:
    """Rows of all modalities side by side, each less its mean and at unit length, so that products are mean cosines.

    Args:
        modalities: rows, and which of them are there; the others give zeros.

    Examples:
        Items on either side of the mean, and one without a row:

        >>> rows = unit_content([(np.array([[3.0], [1.0], [9.0]]), np.array([True, True, False]))])
        >>> (rows @ rows.T).tolist()
        [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    blocks = []
    for rows, present in modalities:
        centred = np.where(present[:, None], rows - rows[present].mean(axis=0), 0.0)
        blocks.append(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))
    return np.concatenate(blocks, axis=1) / np.sqrt(len(blocks))


def history_content(
    content: Float[np.ndarray, "n d"], users: Int[np.ndarray, " t"], items: Int[np.ndarray, " t"], n_users: int
) -> Float[np.ndarray, "u d"]:
    """The mean content of each user's history, whose product with an item's is the mean cosine; zeros without one.

    Args:
        users, items: the training interactions.

    Examples:
        >>> history_content(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), np.array([0, 1]), n_users=2)
        array([[0.5, 0.5],
               [0. , 0. ]])
    """
    sums = np.zeros((n_users, content.shape[1]))
    np.add.at(sums, users, content[items])
    return sums / np.maximum(np.bincount(users, minlength=n_users), 1)[:, None]
