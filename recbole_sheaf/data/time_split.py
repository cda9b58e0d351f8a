"""A split at two moments for everybody: what came before the first trains, what came after the second is in test.

Within users, each one's latest interactions are in test, and training on others has seen the weeks after them. Here
training ends at one moment, as it does where a model is put to work.
"""

import logging
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from recbole_sheaf.errors import DataError

logger = logging.getLogger(__name__)

CUTS = Fraction(8, 10), Fraction(9, 10)  # quantiles of the times of interactions at which validation and test begin


def time_global_parts(dataset: Any) -> list[Any]:
    """Training, validation and test parts of a RecBole dataset, cut at two moments, each part in the order of time.

    Of equal times all are on one side. Users without a training interaction are left out of validation and test, since
    nothing is known of them; items without one stay in, and are ranked as all others are. Both are counted in the log.

    Raises:
        DataError: if no interaction comes before the first cut.
    """
    dataset._change_feat_format()
    keys = dataset.time_keys.to_numpy()
    users = dataset.inter_feat[dataset.uid_field].numpy()
    items = dataset.inter_feat[dataset.iid_field].numpy()
    train, *later = cut_in_time(keys)
    if not len(train):
        raise DataError(
            f"split: time_global of dataset '{dataset.dataset_name}' has no training part: too many interactions have "
            "the earliest time; choose another split, such as split=random"
        )
    known = [rows[np.isin(users[rows], users[train])] for rows in later]
    _tell(dataset.dataset_name, np.concatenate(later), np.concatenate(known), items, items[train])
    dataset._drop_unused_col()
    return [dataset.copy(dataset.inter_feat[rows]) for rows in (train, *known)]


def cut_in_time(keys: Shaped[np.ndarray, " rows"]) -> list[Int[np.ndarray, " _"]]:
    """Rows before the first cut, between the two, and from the second on; each in the order of time.

    Examples:
        >>> [rows.tolist() for rows in cut_in_time(np.array([9, 1, 2, 3, 4, 5, 6, 8, 8, 0]))]
        [[9, 1, 2, 3, 4, 5, 6], [7, 8], [0]]
    """
    order = np.argsort(keys, kind="stable")
    moments = keys[order[[int(cut * len(keys)) for cut in CUTS]]]
    return np.split(order, np.searchsorted(keys[order], moments, side="left"))


def _tell(name: str, later: np.ndarray, kept: np.ndarray, items: np.ndarray, trained: np.ndarray) -> None:
    if len(kept) < len(later):
        logger.warning(
            "%d of %d interactions of dataset '%s' in validation and test are of users without a training interaction "
            "and are left out",
            len(later) - len(kept),
            len(later),
            name,
        )
    if cold := int((~np.isin(items[kept], trained)).sum()):
        logger.info("%d more are with items without a training interaction, which are ranked too", cold)
