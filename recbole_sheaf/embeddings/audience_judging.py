"""Audiences of items that a model was not trained with, beside the most active users and those near in content."""

from typing import Optional

import numpy as np
from jaxtyping import Float, Int

from recbole_sheaf.embeddings.audience import audiences
from recbole_sheaf.embeddings.embeddings import TEST, TRAIN, Embeddings
from recbole_sheaf.embeddings.ranking import Scores
from recbole_sheaf.embeddings.reading import embeddings_of, model_scores, without_pieces
from recbole_sheaf.errors import ConfigError, NoPieces
from recbole_sheaf.evaluation.audience import activity, audience_ndcg, history_content, unit_content
from recbole_sheaf.experiments.checkpoints import Restored

PLACES = 100
MODEL, ACTIVE, NEAR = "model", "most active users", "nearest histories in content"


def judge_audiences(restored: Restored, k: int = PLACES) -> dict[str, float]:
    """Mean NDCG@k of the audiences of the cold items of the test part, by the model and by what it has to beat.

    Cold items are those without training interactions; who chose one in validation is left out of its audience. No
    limit is set to how often a user is shown something. Histories near in content are there where the model reads
    content, and are of that.

    Raises:
        ConfigError: if no item of the test part is cold.

    Time O(u m f + u n) and memory of the model's scores of some users.
    """
    own: Optional[Scores] = None
    try:
        embeddings = embeddings_of(restored)
    except NoPieces:
        embeddings = without_pieces(restored)

        def own(rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b n"]:
            return model_scores(restored.model, rows)

    users, chosen, parts = _interactions(embeddings)
    n_users, n_items = len(embeddings.users), len(embeddings.items)
    train, test = parts == TRAIN, parts == TEST
    cold = np.setdiff1d(chosen[test], chosen[train])
    if not len(cold):
        raise ConfigError(
            "no item of the test part is without training interactions, so there is no audience of new items to judge; "
            "give a checkpoint that was trained with split: cold_items"
        )
    scores: dict[str, Optional[Scores]] = {MODEL: own}
    active = activity(users[train], n_users)
    scores[ACTIVE] = lambda rows: np.repeat(active[rows, None], n_items, axis=1)
    if modalities := getattr(restored.model, "modalities", {}):
        arrays = [(each.matrix[1:].cpu().numpy(), each.present[1:].cpu().numpy()) for each in modalities.values()]
        content = unit_content(arrays).astype(np.float32)
        near = history_content(content, users[train], chosen[train], n_users).astype(np.float32)
        scores[NEAR] = lambda rows: near[rows] @ content.T
    held_out = test & np.isin(chosen, cold)
    order = np.argsort(chosen[held_out], kind="stable")
    offsets = np.searchsorted(chosen[held_out][order], np.append(cold, n_items))
    found = {}
    for name, of_users in scores.items():
        lists = audiences(embeddings, cold, k, len(cold), of_users, seen="at_test")
        named = np.where(np.isfinite(lists.scores), lists.items, -1)
        found[name] = float(audience_ndcg(named, offsets, users[held_out][order]).mean())
    return found


def _interactions(embeddings: Embeddings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and parts of all."""
    histories = embeddings.histories
    users = np.repeat(np.arange(len(embeddings.users)), np.diff(histories.offsets))
    return users, histories.items.astype(np.int64), histories.parts
