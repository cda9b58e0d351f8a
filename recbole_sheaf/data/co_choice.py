r"""How often users choose two items that an arc joins, against chance.

Does a graph of nearest items in content know anything of what people choose? For arcs :math:`j \to i` and histories
:math:`x_u` of length :math:`L_u`, with :math:`C = \sum_u x_u x_u^\top / L_u`, so that long histories are not all that
counts, the *lift* is the mean of :math:`C_{ij}` over the arcs, divided by its mean over the pairs that the same ends
would make if they were joined at random.
"""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

AT_ONCE = 2**22  # interactions of arcs' ends that are multiplied together


def co_choice_lift(
    src: Int[np.ndarray, " arcs"],
    dst: Int[np.ndarray, " arcs"],
    users: Int[np.ndarray, " interactions"],
    items: Int[np.ndarray, " interactions"],
    n_users: int,
    n_items: int,
) -> float:
    """How many times as often as chance both ends of an arc are in one history.

    Args:
        src, dst: the two items of each arc, never the same.
        users, items: the interactions, each pair once.
        n_users, n_items: beyond the largest of them.

    Returns:
        1 at chance, and where nothing can be told: without arcs, or where nobody has two of these items.

    Time O(the interactions of every arc's ends), memory O(interactions), and some 200 MB.
    """
    length = np.bincount(users, minlength=n_users)
    history = sp.csc_matrix((length[users] ** -0.5, (users, items)), shape=(n_users, n_items))
    from_, to = (np.bincount(ends, minlength=n_items).astype(float) for ends in (src, dst))
    alone = from_ * to  # an item is not paired with itself
    own = np.asarray(history.multiply(history).sum(axis=0)).ravel()
    pairs = from_.sum() * to.sum() - alone.sum()
    by_chance = float((history @ from_) @ (history @ to) - alone @ own)
    if pairs <= 0 or by_chance <= 1e-9 * pairs:
        return 1.0
    together = sum(_chosen_together(history, src[part], dst[part]) for part in _parts(history, src))
    return float(together / len(src) / (by_chance / pairs))


def _chosen_together(history: sp.csc_matrix, src: Int[np.ndarray, " a"], dst: Int[np.ndarray, " a"]) -> float:
    return float(history[:, src].multiply(history[:, dst]).sum())


def _parts(history: sp.csc_matrix, src: Int[np.ndarray, " arcs"]) -> list[slice]:
    """Arcs in parts, of which each has about ``AT_ONCE`` interactions."""
    so_far = np.cumsum(np.diff(history.indptr)[src])
    cuts = np.searchsorted(so_far, np.arange(AT_ONCE, so_far[-1], AT_ONCE), side="right")
    bounds = np.unique([0, *cuts, len(src)])
    return [slice(start, end) for start, end in zip(bounds[:-1], bounds[1:])]
