"""Random rankings, RecBole's own metrics of them."""

import numpy as np
import torch
from recbole.config import Config
from recbole.evaluator import metrics as recbole_metrics
from recbole.evaluator.collector import DataStruct

from recbole_sheaf.evaluation import Rankings


def random_rankings(seed, n_users=60, n_items=40, k=20, most_relevant=12):
    """Lists drawn at random; users hold out 1 to most_relevant items, some of them outside of the list."""
    rng = np.random.default_rng(seed)
    scores = rng.random((n_users, n_items))
    counts = rng.integers(1, most_relevant + 1, n_users)
    relevant = [rng.choice(n_items, size=count, replace=False) for count in counts]
    return Rankings(
        users=rng.permutation(10 * n_users)[:n_users],
        top=np.argsort(-scores, axis=1)[:, :k],
        relevant_offsets=np.concatenate([[0], np.cumsum(counts)]),
        relevant_items=np.concatenate(relevant),
    )


def recbole_metric(name, rankings, topk, item_popularity=()):
    """What RecBole's metric class says of the rankings, unrounded; keys such as ``ndcg@10``."""
    Config.compatibility_settings(None)  # puts back np.float and its like, which RecBole's metrics use
    settings = {"topk": list(topk), "metric_decimal_place": 15}
    return getattr(recbole_metrics, name)(settings).calculate_metric(_collected(rankings, topk, item_popularity))


def _collected(rankings, topk, item_popularity):
    """The evaluation in RecBole's own container, put together pair by pair."""
    offsets = rankings.relevant_offsets
    held_out = [set(rankings.relevant_items[a:b].tolist()) for a, b in zip(offsets, offsets[1:])]
    found = [[item in items for item in row[: max(topk)]] for row, items in zip(rankings.top.tolist(), held_out)]
    counts = torch.tensor([[len(items)] for items in held_out])
    collected = DataStruct()
    collected.set("rec.topk", torch.cat([torch.tensor(found).int(), counts], dim=1))
    collected.set("rec.items", torch.from_numpy(rankings.top[:, : max(topk)].copy()))
    collected.set("data.num_items", len(item_popularity))
    collected.set("data.count_items", {item: count for item, count in enumerate(item_popularity) if count})
    return collected
