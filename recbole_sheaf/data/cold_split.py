"""A split by items: some have all their interactions in test, as many in validation, and training knows neither."""

from typing import Any

import numpy as np

from recbole_sheaf.errors import DataError
from recbole_sheaf.settings.config import seed_of_split

SHARE = 0.1  # of the items with interactions, in validation and in test each


def cold_item_parts(dataset: Any) -> list[Any]:
    """Training, validation and test parts of a RecBole dataset, by item.

    The items are drawn by ``split_seed``, or ``seed`` where that is None, from their tokens in sorted order, so that
    RecBole's numbering of them does not matter.

    Raises:
        DataError: if there are fewer than ten items with interactions.
    """
    dataset._change_feat_format()
    items = dataset.inter_feat[dataset.iid_field].numpy()
    there = np.unique(items)
    held_out = int(SHARE * len(there))
    if not held_out:
        raise DataError(f"split: cold_items wants ten items or more with interactions, there are {len(there)}")
    tokens = dataset.id2token(dataset.iid_field, there)
    seed = seed_of_split(dataset.config)
    drawn = np.random.default_rng(seed).permutation(there[np.argsort(tokens)])
    cold = np.isin(items, drawn[:held_out]), np.isin(items, drawn[held_out : 2 * held_out])
    dataset._drop_unused_col()
    return [dataset.copy(dataset.inter_feat[np.flatnonzero(part)]) for part in (~(cold[0] | cold[1]), *cold)]
