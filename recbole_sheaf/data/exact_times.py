"""The order of interactions in time, exact in any unit.

RecBole keeps times as float32, in which seconds of today are 128 apart, and orders by those. Here each interaction has
a key made of its time as it is written, and while RecBole orders and splits, its *place* among the keys, 1 for the
earliest, stands where its time does; afterwards the times stand there again. Of equal times the line that comes first
stays first.
"""

import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64, Shaped

DIGITS_OF_FLOAT64 = 15  # any number of so many digits or fewer is another float64


def keys_of_times(written: pd.Series, numbers: Float64[np.ndarray, " rows"]) -> Shaped[np.ndarray, " rows"]:
    """Sort keys of the times, equal where those are equal; a missing time comes after all others.

    Args:
        written: the times as text, exact.
        numbers: the same times, rounded; NaN where there is none.

    0.2 seconds for a million whole numbers, 0.3 for numbers of up to 15 digits, seconds for longer ones.
    """
    try:
        return written.to_numpy().astype(np.int64)
    except (ValueError, TypeError, OverflowError):  # fractions, missing times, more than 19 digits
        pass
    written = written.where(~np.isnan(numbers))
    if max(map(len, written.dropna()), default=0) <= DIGITS_OF_FLOAT64:
        return numbers
    keys = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
    different = pd.DataFrame({"key": keys, "text": written.to_numpy()}).dropna().drop_duplicates()
    same_float = different[different["key"].duplicated(keep=False)]
    if same_float.empty:
        return keys
    exact = np.unique(np.array([Decimal(text) for text in same_float["text"]], dtype=object), return_inverse=True)[1]
    within = written.map(dict(zip(same_float["text"], 1 + exact))).fillna(0).to_numpy(np.int64)
    return keys * (1 + within.max()) + within


def is_ordered_by_time(config: Any) -> bool:
    """Whether the order of interactions in time counts for a split or for the model."""
    return _splits_by_time(config) or _reads_order_alone(config)


def _splits_by_time(config: Any) -> bool:
    return config["eval_args"]["order"] == "TO" and config["benchmark_filename"] is None


def _reads_order_alone(config: Any) -> bool:
    """DiffRec and LDiffRec weigh a user's items by their order in time, and read nothing else of times."""
    return bool(config["time-aware"])


def keys_kept(reset_index: Callable[[Any], None]) -> Callable[[Any], None]:
    """Sort keys of the interactions that RecBole's filters leave, whose labels are gone afterwards."""

    @functools.wraps(reset_index)
    def _reset_index(self: Any) -> None:
        if self.time_keys is not None:
            self.time_keys = self.time_keys.loc[self.inter_feat.index].reset_index(drop=True)
        reset_index(self)

    return _reset_index


def duplicates_removed(remove_duplication: Callable[[Any], None]) -> Callable[[Any], None]:
    """Keep a pair's first or last interaction by exact time; RecBole's sort does not keep the order of equal times."""

    @functools.wraps(remove_duplication)
    def _remove_duplication(self: Any) -> None:
        keep = self.config["rm_dup_inter"]
        if keep is None or self.time_keys is None:
            return remove_duplication(self)
        in_order = self.inter_feat.loc[self.time_keys.sort_values(kind="stable").index]
        self.inter_feat = in_order.drop_duplicates([self.uid_field, self.iid_field], keep=keep)

    return _remove_duplication


def placed(change_feat_format: Callable[[Any], None]) -> Callable[[Any], None]:
    """Places for times, in the tensors that RecBole is about to order."""

    @functools.wraps(change_feat_format)
    def _change_feat_format(self: Any) -> None:
        change_feat_format(self)
        if self.places is not None:
            places = torch.from_numpy(self.places)
            value_and_bucket = self.inter_feat[self.time_field].dim() == 2  # of one of `numerical_features`
            self.inter_feat[self.time_field] = torch.stack([places, places], -1) if value_and_bucket else places

    return _change_feat_format


def by_exact_times(build: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    """Have RecBole order and split by places, and put the times back into the parts."""

    @functools.wraps(build)
    def _build(self: Any) -> list[Any]:
        if not is_ordered_by_time(self.config):
            return build(self)
        together = "TS" in self.config["eval_args"]["split"]  # equal times are on one side of its boundary
        self.places = _places(self.time_keys.to_numpy(), together)
        times = _times_by_place(self.inter_feat[self.time_field], self.places)
        parts = build(self)
        for dataset in (self, *parts):
            dataset.places = None
            if not _reads_order_alone(self.config):
                _put_back(dataset, times)
        return parts

    return _build


def _places(keys: Shaped[np.ndarray, " rows"], together: bool) -> Int64[np.ndarray, " rows"]:
    """Place of each key, 1 for the least; equal keys share one where they are ``together``, else follow the rows."""
    if together:
        return 1 + np.unique(keys, return_inverse=True)[1].astype(np.int64)
    places = np.empty(len(keys), dtype=np.int64)
    places[np.argsort(keys, kind="stable")] = np.arange(1, 1 + len(keys))
    return places


def _times_by_place(column: pd.Series, places: Int64[np.ndarray, " rows"]) -> torch.Tensor:
    """What stood in the column for each place, and 0 for the padding of sequences."""
    times = np.asarray(column.tolist() if column.dtype == object else column, dtype=np.float32)
    by_place = np.zeros((1 + int(places.max()), *times.shape[1:]), dtype=np.float32)
    by_place[places] = times
    return torch.from_numpy(by_place)


def _put_back(dataset: Any, times: torch.Tensor) -> None:
    for field in (dataset.time_field, f"{dataset.time_field}{dataset.config['LIST_SUFFIX']}"):
        if field in dataset.inter_feat:
            places = dataset.inter_feat[field]
            kind = places.dtype if places.is_floating_point() else times.dtype
            dataset.inter_feat[field] = times[(places[..., 0] if times.dim() == 2 else places).long()].to(kind)
