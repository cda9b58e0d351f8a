"""Judges what a trained model recommends at test, in one place for every command.

RecBole's metrics, and where every item was ranked, metrics of each user, of strata of users and items, among cold items
alone, and beyond accuracy.
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
from recbole_sheaf.experiments.cold_items import (
    CHANCE,
    COLD,
    cold_items,
    cold_metrics,
    cold_strata,
    lists_of_cold_items,
)
from recbole_sheaf.experiments.splits import LoadedSplit


@dataclass(frozen=True)
class Judgement:
    """What a model is worth at test.

    Attributes:
        scores: RecBole's metrics, those beyond accuracy, and where cold items are held out those among these alone,
            ``cold recall@20``, beside what a random order of them has, ``chance recall@20``.
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
    cold = cold_items(split.parts[0]) if ranked else np.empty(0, np.int64)
    with lists_of_cold_items(trainer, cold, max(config["topk"])) as lists:
        found = trainer.evaluate(test_data, load_best, show_progress=config["show_progress"])
    scores = {name: float(value) for name, value in found.items()}
    if not ranked:
        return Judgement(scores)
    judgement = _with_tables(scores, _rankings(test_data, seen["items"]), config, split)
    return _with_cold_items(judgement, test_data, cold, lists, config, split)


def _with_cold_items(
    judgement: Judgement, test_data: Any, cold: np.ndarray, lists: list[np.ndarray], config: Config, split: LoadedSplit
) -> Judgement:
    """With what the model is worth among cold items alone, where enough of the test part is of these."""
    rankings = judgement.rankings
    assert rankings is not None, "every item was ranked"
    seen = [test_data.uid2history_item[user].numpy() for user in rankings.users]
    tables = cold_metrics(rankings, np.concatenate(lists), cold, seen, _names(config), config["topk"])
    if tables is None:
        return judgement
    own, chance = tables
    scores = {f"{COLD}{name}": float(value) for name, value in own.mean().items()}
    scores |= {f"{CHANCE}{name}": float(value) for name, value in chance.mean().items()}
    pairs = int(np.isin(rankings.relevant_items, cold).sum())
    return Judgement(
        {**judgement.scores, **scores},
        rankings,
        pd.concat([judgement.user_metrics, _tidy(own.add_prefix(COLD), split)], ignore_index=True),
        pd.concat([judgement.strata, cold_strata(own, chance, pairs)], ignore_index=True),
    )


def _names(config: Config) -> list[str]:
    """The metrics that are a user's own."""
    return [name for name in config["metrics"] if name.lower() in {known.lower() for known in METRICS}]


def _tidy(per_user: pd.DataFrame, split: LoadedSplit) -> pd.DataFrame:
    """A line per user, by token, and metric."""
    tokens = split.dataset.id2token(split.dataset.uid_field, per_user.index.to_numpy())
    return per_user.set_axis(tokens, axis=0).rename_axis("user_id").reset_index().melt("user_id", var_name="metric")


def _rankings(test_data: FullSortEvalDataLoader, items: torch.Tensor) -> Rankings:
    users = test_data.uid_list.numpy()
    relevant = [np.sort(test_data.uid2positive_item[user].numpy()) for user in users]
    offsets = np.concatenate([[0], np.cumsum([len(held_out) for held_out in relevant])]).astype(np.int64)
    return Rankings(users, items.numpy().astype(np.int64), offsets, np.concatenate(relevant).astype(np.int64))


def _with_tables(scores: dict[str, float], rankings: Rankings, config: Config, split: LoadedSplit) -> Judgement:
    names = _names(config)
    train_part, dataset, topk = split.parts[0], split.dataset, config["topk"]
    users, items = (train_part.inter_feat[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
    popularity = np.bincount(items, minlength=dataset.item_num)
    history = np.bincount(users, minlength=dataset.user_num)
    strata = [
        user_strata(rankings, history, names, topk),
        item_strata(rankings, popularity, names, topk),
    ]
    tidy = _tidy(per_user_metrics(rankings, names, topk), split)
    return Judgement({**scores, **beyond_accuracy(rankings, popularity, topk)}, rankings, tidy, pd.concat(strata))
