"""Intervals over users, paired differences and marks of significance, from each user's metrics averaged over seeds.

Intervals are Student's, over users: they speak of other users of the same trained models, not of other seeds. Marks are
those of every table (:mod:`recbole_sheaf.evaluation.marks`), and stand only where both rows have ``SEEDS_FOR_A_MARK``
seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import pandas as pd
from scipy import stats

from recbole_sheaf.evaluation import marked_tests
from recbole_sheaf.evaluation.marks import SEEDS_FOR_A_MARK
from recbole_sheaf.evaluation.significance import MIN_USERS
from recbole_sheaf.store.material import Group, Row, named_after_its_model
from recbole_sheaf.store.results import SEED

MOST_COMPARED = 20  # rows beside the reference, the best on validation
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over users and the ends of its interval."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Marks:
    """Which rows are better or worse than the reference.

    Attributes:
        reference: the row that all others change in something, if there is one, else the best on validation; among
            the rows with seeds enough, None where there are no two of them.
        changed: whether all others change the reference in something.
        reason: why there are none: ``seeds`` where fewer than two rows have enough, ``users`` where the store holds no
            metrics of single users, or of too few; else empty.
        of: marks by metric and label; only compared rows are there.
        p: adjusted p values, the same way.
        left_out: labels of rows with too few seeds.
        passed_over: how many rows with seeds enough come after those that are compared.
    """

    reference: Optional[str]
    of: dict[tuple[str, str], str]
    p: dict[tuple[str, str], float]
    left_out: Sequence[str]
    passed_over: int = 0
    changed: bool = False
    reason: str = ""


def interval_of(values: pd.Series) -> Optional[Interval]:
    """Student's interval of a mean over users; None where there are fewer than two."""
    known = values.dropna().to_numpy(dtype=float)
    if len(known) < 2:
        return None
    middle = float(known.mean())
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Interval(middle, middle - reach, middle + reach)


def interval(group: Group, row: Row, metric: str) -> Optional[Interval]:
    """The interval of a row's metric over users."""
    users = group.per_user(metric)
    place = (row.label, row.ablation)
    return interval_of(users[place]) if place in users else None


def difference(group: Group, row: Row, other: Row, metric: str) -> Optional[Interval]:
    """The interval of ``row`` less ``other``, user by user; None where they were not judged on the same users."""
    users = group.per_user(metric)
    places = (row.label, row.ablation), (other.label, other.ablation)
    if any(place not in users for place in places):
        return None
    a, b = (users[place] for place in places)
    return interval_of(a - b) if (a.isna() == b.isna()).all() else None


def marks(group: Group, metrics: Sequence[str]) -> Marks:
    """Compare the rows without an ablation that have seeds enough with one of them."""
    enough = [row for row in group.models if row.seeds >= SEEDS_FOR_A_MARK]
    left_out = [row.label for row in group.models if row.seeds < SEEDS_FOR_A_MARK]
    whole = named_after_its_model(enough) if len({row.model for row in enough}) == 1 else None
    ordered = sorted(enough, key=lambda row: row is not whole)  # else as they are, the best on validation first
    compared = [row.label for row in ordered[: MOST_COMPARED + 1]]
    reference = compared[0] if len(compared) > 1 else None
    found = Marks(reference, {}, {}, left_out, len(enough) - len(compared), whole is not None)
    seeds = {row.label: row.seeds for row in enough}
    for metric in metrics if found.reference else ():
        users = group.per_user(metric)
        there = {label: users[label, group.base] for label in compared if (label, group.base) in users}
        if found.reference not in there or len(there) < 2 or len(users) < MIN_USERS:
            continue
        for line in marked_tests(there, seeds, found.reference, random_state=SEED).to_dict("records"):
            found.of[metric, line["model"]] = line["mark"]
            found.p[metric, line["model"]] = float(line["permutation_p_holm"])
    if not found.of:
        return Marks(None, {}, {}, left_out, reason="users" if reference else "seeds")
    return found
