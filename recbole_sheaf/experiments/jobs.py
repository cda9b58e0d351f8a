"""One job of a grid: train, test, and what the store wants to know of it."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from recbole.config import Config
from threadpoolctl import threadpool_limits

from recbole_sheaf.errors import DataError
from recbole_sheaf.evaluation.beyond_accuracy import beyond_accuracy
from recbole_sheaf.evaluation.ranking import METRICS, Rankings, per_user_metrics
from recbole_sheaf.evaluation.strata import item_strata, user_strata
from recbole_sheaf.experiments.epochs import Epoch
from recbole_sheaf.experiments.grid import Job
from recbole_sheaf.experiments.identity import run_id
from recbole_sheaf.experiments.mlflow_tracking import Subject, record_of
from recbole_sheaf.experiments.runs import resolve_configs
from recbole_sheaf.experiments.splits import LoadedSplit, load_split, same_data
from recbole_sheaf.experiments.training import STATE_FILE, RunResult, train
from recbole_sheaf.experiments.wandb_runs import WandbRun

SECONDS_TO_WAIT = 60.0  # for a training of the same job whose command has died to notice that and end

_last_split: Optional[LoadedSplit] = None  # of this process, so that jobs in a row on one dataset load it once


@dataclass(frozen=True)
class JobOutcome:
    """A finished job, as rows of the store's tables."""

    run: str
    result: RunResult
    epochs: list[Epoch]
    user_metrics: Optional[pd.DataFrame]
    strata: Optional[pd.DataFrame]
    seconds: float


def run_job(job: Job, folder: Path) -> JobOutcome:
    """Train and test one job in this process; takes up where an earlier sitting left it.

    Args:
        job: as the grid resolved it.
        folder: of this run alone, for its state and its checkpoint.

    Raises:
        DataError: if data, settings or code are no longer those from which the job got its id.
    """
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock", timeout=SECONDS_TO_WAIT), limited_to(job.threads), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"recbole\.")  # old spellings in RecBole, once a run
        (config,) = resolve_configs([job.model], job.dataset, [], job.settings)
        if run_id(config, job.threads) != job.id:
            raise DataError(f"data, settings or code of {job} changed while the grid ran; start the grid again")
        split = split_of(config)
        with record_of(job.tracking, lambda: _subject(job), config, folder) as record, WandbRun(config):
            trained = train(config, split, folder, record.epoch)
            user_metrics, strata, more = _judge(config, split, trained.rankings)
            trained.result.test.update(more)
            record.result(trained.result)
        (folder / STATE_FILE).unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    return JobOutcome(job.id, trained.result, trained.epochs, user_metrics, strata, seconds)


def _subject(job: Job) -> Subject:
    tags = {"experiment": job.experiment, "label": job.label, "ablation": job.ablation}
    return Subject(str(job), job.id, job.threads, tags)


@contextlib.contextmanager
def limited_to(threads: int) -> Iterator[None]:
    """Let PyTorch, DGL and BLAS use so many threads in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


def split_of(config: Config) -> LoadedSplit:
    """The split that a run reads, kept in this process until one reads other data."""
    global _last_split
    if _last_split is None or not same_data(_last_split.dataset.config, config):
        _last_split = load_split(config)
    return _last_split


def _judge(
    config: Config, split: LoadedSplit, rankings: Optional[Rankings]
) -> tuple[Optional[pd.DataFrame], Optional[pd.DataFrame], dict[str, float]]:
    """Metrics per user, per stratum, and beyond accuracy; nothing where not every item was ranked."""
    if rankings is None:
        return None, None, {}
    names = [name for name in config["metrics"] if name.lower() in {known.lower() for known in METRICS}]
    per_user = per_user_metrics(rankings, names, config["topk"])
    train_part, dataset = split.parts[0], split.dataset
    users, items = (train_part.inter_feat[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
    popularity = np.bincount(items, minlength=dataset.item_num)
    history = np.bincount(users, minlength=dataset.user_num)
    of_users = user_strata(rankings, history, names, config["topk"])
    of_items = item_strata(rankings, popularity, names, config["topk"])
    more = beyond_accuracy(rankings, popularity, config["topk"])
    tokens = dataset.id2token(dataset.uid_field, rankings.users)
    tidy = per_user.set_axis(tokens, axis=0).rename_axis("user_id").reset_index()
    return tidy.melt("user_id", var_name="metric"), pd.concat([of_users, of_items]), more
