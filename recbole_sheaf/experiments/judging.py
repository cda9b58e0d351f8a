"""Judges what a trained model recommends at test, in one place for every command.

RecBole's metrics, and where every item was ranked, metrics of each user, of strata of users and items, and beyond
accuracy.
"""

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import pandas as pd
import torch
from recbole.config import Config
from recbole.data.dataloader import FullSortEvalDataLoader

from recbole_sheaf.evaluation.beyond_accuracy import beyond_accuracy
from recbole_sheaf.evaluation.ranking import METRICS, Rankings, per_user_metrics
from recbole_sheaf.evaluation.strata import item_strata, user_strata
from recbole_sheaf.experiments.splits import LoadedSplit


@dataclass(frozen=True)
class Judgement:
    """What a model is worth at test.

    Attributes:
        scores: RecBole's metrics, then those beyond accuracy.
        rankings: what was recommended; None, as are the tables, where not every item was ranked.
        user_metrics: user_id, metric, value.
        strata: kind, stratum, users, pairs, metric, value.
    """

    scores: dict[str, float]
    rankings: Optional[Rankings] = None
    user_metrics: Optional[pd.DataFrame] = None
    strata: Optional[pd.DataFrame] = None


def judge(trainer: Any, test_data: Any, config: Config, split: LoadedSplit, load_best: bool = True) -> Judgement:
    """Judge a trainer's chosen checkpoint, or the model as it is, on the test part; reads it once."""
    seen: dict[str, torch.Tensor] = {}
    evaluate = trainer.evaluator.evaluate

    def evaluate_and_keep(struct: Any) -> Any:
        seen["items"] = struct.get("rec.items")
        return evaluate(struct)

    ranked = isinstance(test_data, FullSortEvalDataLoader) and not test_data.is_sequential
    if ranked:
        setattr(trainer.eval_collector.register, "rec.items", True)
        trainer.evaluator.evaluate = evaluate_and_keep
    found = trainer.evaluate(test_data, load_best, show_progress=config["show_progress"])
    scores = {name: float(value) for name, value in found.items()}
    return _with_tables(scores, _rankings(test_data, seen["items"]), config, split) if ranked else Judgement(scores)


def _rankings(test_data: FullSortEvalDataLoader, items: torch.Tensor) -> Rankings:
    users = test_data.uid_list.numpy()
    relevant = [np.sort(test_data.uid2positive_item[user].numpy()) for user in users]
    offsets = np.concatenate([[0], np.cumsum([len(held_out) for held_out in relevant])]).astype(np.int64)
    return Rankings(users, items.numpy().astype(np.int64), offsets, np.concatenate(relevant).astype(np.int64))


def _with_tables(scores: dict[str, float], rankings: Rankings, config: Config, split: LoadedSplit) -> Judgement:
    names = [name for name in config["metrics"] if name.lower() in {known.lower() for known in METRICS}]
    train_part, dataset, topk = split.parts[0], split.dataset, config["topk"]
    users, items = (train_part.inter_feat[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
    popularity = np.bincount(items, minlength=dataset.item_num)
    history = np.bincount(users, minlength=dataset.user_num)
    strata = [
        user_strata(rankings, history, names, topk),
        item_strata(rankings, popularity, names, topk),
    ]
    tokens = dataset.id2token(dataset.uid_field, rankings.users)
    per_user = per_user_metrics(rankings, names, topk)
    tidy = per_user.set_axis(tokens, axis=0).rename_axis("user_id").reset_index().melt("user_id", var_name="metric")
    return Judgement({**scores, **beyond_accuracy(rankings, popularity, topk)}, rankings, tidy, pd.concat(strata))
