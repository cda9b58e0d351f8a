"""Items without training interactions, ranked among themselves: a model's lists of these alone, beside those of all.

Among all items a cold one stands behind hundreds that many users had, whatever its content says, and its share of the
first places says little of how well it is known. Among cold items alone the lists say just that.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np
import pandas as pd
import torch

from recbole_sheaf.evaluation.chance import expected_metrics
from recbole_sheaf.evaluation.ranking import Rankings, per_user_metrics
from recbole_sheaf.evaluation.strata import COLUMNS

COLD, CHANCE = "cold ", "chance "  # before the name of a metric among cold items, and of what chance has there
KIND, ALONE, BY_CHANCE = "cold items", "ranked alone", "chance"  # of the strata
LEAST_SHARE = 0.01  # of the test interactions; where fewer are with cold items they say nothing of a model


def cold_items(train_part: Any) -> np.ndarray:
    """Ids of the items without training interactions, padding left out."""
    counts = np.bincount(train_part.inter_feat[train_part.iid_field].numpy(), minlength=train_part.item_num)
    return np.flatnonzero(counts[1:] == 0) + 1


@contextlib.contextmanager
def cold_items_alone(trainer: Any, cold: np.ndarray) -> Iterator[None]:
    """A context in which an evaluation of RecBole's trainer ranks these items and no other."""
    full_sort = trainer._full_sort_batch_eval
    warm = torch.ones(trainer.model.n_items, dtype=torch.bool)
    warm[torch.from_numpy(cold)] = False

    def among_cold(batched_data: Any) -> Any:
        interaction, scores, *positive = full_sort(batched_data)
        scores[:, warm.to(scores.device)] = -torch.inf
        return (interaction, scores, *positive)

    trainer._full_sort_batch_eval = among_cold
    try:
        yield
    finally:
        trainer._full_sort_batch_eval = full_sort


@contextlib.contextmanager
def lists_of_cold_items(trainer: Any, cold: np.ndarray, longest: int) -> Iterator[list[np.ndarray]]:
    """A context in which an evaluation also keeps each user's list of these items alone; nothing is scored twice."""
    full_sort, lists = trainer._full_sort_batch_eval, []

    def keeping(batched_data: Any) -> Any:
        interaction, scores, *positive = full_sort(batched_data)
        own = torch.from_numpy(cold).to(scores.device)
        places = scores[:, own].topk(min(longest, len(own))).indices
        lists.append(own[places].cpu().numpy())
        return (interaction, scores, *positive)

    trainer._full_sort_batch_eval = keeping
    try:
        yield lists
    finally:
        trainer._full_sort_batch_eval = full_sort


def cold_metrics(
    rankings: Rankings,
    top: np.ndarray,
    cold: np.ndarray,
    seen: Sequence[np.ndarray],
    metrics: Sequence[str],
    topk: Sequence[int],
) -> Optional[tuple[pd.DataFrame, pd.DataFrame]]:
    """Metrics among cold items of each user who holds some out, and what a random order of them has.

    Args:
        rankings: of all items.
        top: each user's list of cold items.
        cold: ids of these.
        seen: of each user, items that are left out of the lists.
        metrics, topk: cut-offs beyond the number of cold items are left out.

    Returns:
        Two tables with a row per user, as ``per_user_metrics`` gives them; None where ``LEAST_SHARE`` of the held-out
        interactions is not reached.
    """
    topk = [k for k in topk if k <= top.shape[1]]
    pairs = np.isin(rankings.relevant_items, cold)
    if not topk or not metrics or not pairs.any() or pairs.mean() < LEAST_SHARE:
        return None
    alone = Rankings(rankings.users, top, rankings.relevant_offsets, rankings.relevant_items).restricted_to(pairs)
    rows = np.flatnonzero(np.bincount(rankings.pair_rows[pairs], minlength=len(rankings.users)))
    candidates = np.array([len(cold) - int(np.isin(seen[int(row)], cold).sum()) for row in rows])
    own = per_user_metrics(alone, metrics, topk)
    return own, expected_metrics(candidates, alone.n_relevant, metrics, topk).set_index(own.index)


def cold_strata(own: pd.DataFrame, chance: pd.DataFrame, pairs: int) -> pd.DataFrame:
    """Mean metrics of the model and of a random order, as rows of the store's ``strata``."""
    rows = [
        (KIND, name, len(table), pairs, metric, value)
        for name, table in ((ALONE, own), (BY_CHANCE, chance))
        for metric, value in table.mean().items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
