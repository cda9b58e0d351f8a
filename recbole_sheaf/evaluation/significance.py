"""Paired tests of a model against a reference, user by user and always two-sided.

u users, d_j = a_j - b_j the difference of a model and the reference at user j. A two-sided test finds a model that is
worse as readily as one that is better. RecBole's own ``significance_test.py`` asks whether the own model scores *less*
than the baseline, so its small p values are evidence against what it is read to support.

The users are what is sampled here: p values and intervals are about other users of the same trained models. For the
chance in training, run several seeds and average each user over them first, with :func:`mean_over_seeds`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar, Union

import numpy as np
import pandas as pd
from jaxtyping import Float
from statsmodels.stats.multitest import multipletests

from recbole_sheaf.errors import ConfigError, DataError, nearest
from recbole_sheaf.evaluation._paired_tests import bootstrap_interval, cohens_dz, permutation_p, wilcoxon_p

MIN_USERS = 10  # below, the normal approximation of Wilcoxon's statistic is no good
RandomState = Union[int, np.random.Generator]
Frame = TypeVar("Frame", pd.Series, pd.DataFrame)

_DECIMALS = 12  # differences closer than this are ties that the order of floating-point sums drove apart


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of a model a with a reference b over the same users.

    Attributes:
        n_users: u, how many users are compared.
        mean_a, mean_b: the two means.
        difference: mean of d.
        relative_difference: ``difference / mean_b``; NaN where ``mean_b`` is 0.
        ci_low, ci_high: bootstrap interval of ``difference`` over users.
        wilcoxon_p: signed-rank test; is d as often and as far above 0 as below?
        permutation_p: randomisation test of the mean of d; would it be as far from 0 had a and b been swapped at
            random for each user?
        cohens_dz: ``difference`` in standard deviations of d; infinite where all d are equal and not 0.
        improved, worsened: shares of users with d > 0 and d < 0; the others tie.

    Examples:
        >>> same = compare_paired(pd.Series([0.5] * 10), pd.Series([0.5] * 10), random_state=0)
        >>> same.difference, same.permutation_p, same.improved  # users tie
        (0.0, 1.0, 0.0)
    """

    n_users: int
    mean_a: float
    mean_b: float
    difference: float
    relative_difference: float
    ci_low: float
    ci_high: float
    wilcoxon_p: float
    permutation_p: float
    cohens_dz: float
    improved: float
    worsened: float


def compare_paired(
    a: pd.Series,
    b: pd.Series,
    *,
    random_state: RandomState,
    n_resamples: int = 9999,
    confidence_level: float = 0.95,
) -> PairedComparison:
    """Comparison of a model with a reference on one metric, user by user.

    Most users tie in a recommender's metrics. Wilcoxon's test ranks the ties along and then drops their ranks (Pratt
    1959), so that a difference weighs as it does among all users; dropping ties beforehand ranks the few users with a
    difference among themselves, and sharing their ranks out dilutes the statistic. The randomisation test is not
    affected by ties and is the one about the means in a table. Where every user ties, both give p = 1. The interval is
    bias-corrected and accelerated (BCa), since differences are skewed.

    Args:
        a: the model's metric, indexed by user, such as a column of :func:`per_user_metrics`.
        b: the reference's, of the same users in any order.
        random_state: seed, or a generator that is drawn from.
        n_resamples: sign flips and bootstrap samples; the randomisation p is at least ``2 / (n_resamples + 1)``.
        confidence_level: of the interval.

    Raises:
        DataError: if a user is listed twice, is in one series only, has a value that is no number, or if there are
            fewer than ``MIN_USERS`` users.
        ConfigError: if ``n_resamples`` is below 1 or ``confidence_level`` outside (0, 1).

    Time O(n_resamples u + u²): 6 s for 9,308 users of whom none ties. Memory some 200 MB whatever u.

    Examples:
        >>> reference = pd.Series(np.linspace(0.1, 0.5, 10))
        >>> found = compare_paired(reference + 0.1, reference, random_state=0)
        >>> round(found.difference, 3), found.improved, found.permutation_p  # 2 of all 2 ** 10 flips are as far from 0
        (0.1, 1.0, 0.001953125)
    """
    values = _joined(a, b, "the model", "the reference")
    return _comparison(*values, random_state, n_resamples, confidence_level)


def _comparison(
    a: Float[np.ndarray, " u"],
    b: Float[np.ndarray, " u"],
    random_state: RandomState,
    n_resamples: int,
    confidence_level: float,
) -> PairedComparison:
    """Of values that are checked and in one order."""
    if n_resamples < 1 or not 0 < confidence_level < 1:
        raise ConfigError(
            f"n_resamples {n_resamples} and confidence_level {confidence_level}; choose one resample or more, and a "
            "level in (0, 1)"
        )
    d = _differences(a, b)
    rng = np.random.default_rng(random_state)
    permutation = permutation_p(d, n_resamples, rng)  # first, so that randomisation_tests draws the same
    low, high = bootstrap_interval(d, n_resamples, confidence_level, rng)
    return PairedComparison(
        n_users=len(d),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=float(d.mean()),
        relative_difference=float(d.mean() / b.mean()) if b.mean() else float("nan"),
        ci_low=low,
        ci_high=high,
        wilcoxon_p=wilcoxon_p(d),
        permutation_p=permutation,
        cohens_dz=cohens_dz(d),
        improved=float(np.mean(d > 0)),
        worsened=float(np.mean(d < 0)),
    )


def compare_models(
    per_user: Mapping[str, pd.Series],
    against: str,
    *,
    random_state: RandomState,
    n_resamples: int = 9999,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """Table of every other model against one reference, p values as they are and adjusted for the number of models.

    Holm's method keeps the chance of even one false finding among the rows below the level, whatever the dependence
    between them (Holm 1979). An adjusted p needs ``n_resamples`` well above ``2 (models - 1) / level``.

    Args:
        per_user: each model's metric, indexed by user; the users must be the same.
        against: the reference's name.
        random_state: a seed, which every row starts from, so that a row does not depend on the others; or a generator,
            which the rows draw from in turn.
        n_resamples, confidence_level: as in :func:`compare_paired`.

    Returns:
        A row per other model, in the order given: ``model``, ``against``, the fields of :class:`PairedComparison`,
        ``wilcoxon_p_holm`` and ``permutation_p_holm``.

    Raises:
        ConfigError: if ``against`` is not among the models, or is the only one.
        DataError: as :func:`compare_paired`, naming the model.

    Time that of :func:`compare_paired` for each row.

    Examples:
        >>> reference = pd.Series(np.linspace(0.1, 0.5, 10))
        >>> models = {"BPR": reference, "same": reference, "ours": reference + 0.1}
        >>> table = compare_models(models, against="BPR", random_state=0)
        >>> table[["model", "permutation_p", "permutation_p_holm"]].values.tolist()  # the smallest p times 2
        [['same', 1.0, 1.0], ['ours', 0.001953125, 0.00390625]]
    """
    rows = []
    for model, a, b in _beside(per_user, against):
        comparison = _comparison(a, b, random_state, n_resamples, confidence_level)
        rows.append({"model": model, "against": against, **asdict(comparison)})
    table = pd.DataFrame(rows)
    for test in ("wilcoxon_p", "permutation_p"):
        table[f"{test}_holm"] = multipletests(table[test], method="holm")[1]
    return table


def randomisation_tests(
    per_user: Mapping[str, pd.Series], against: str, *, random_state: RandomState, n_resamples: int = 9999
) -> pd.DataFrame:
    """Randomisation tests alone of :func:`compare_models`, which marks of significance use, in half of its time.

    Returns:
        A row per other model, in the order given: ``model``, ``against``, ``difference``, ``permutation_p`` and
        ``permutation_p_holm``.

    Raises:
        ConfigError, DataError: as :func:`compare_models`.

    Time O(n_resamples u) for each row.

    Examples:
        >>> reference = pd.Series(np.linspace(0.1, 0.5, 10))
        >>> table = randomisation_tests({"BPR": reference, "ours": reference + 0.1}, "BPR", random_state=0)
        >>> table[["model", "permutation_p"]].values.tolist()
        [['ours', 0.001953125]]
    """
    if n_resamples < 1:
        raise ConfigError(f"n_resamples is {n_resamples}; choose one resample or more")
    rows = []
    for model, a, b in _beside(per_user, against):
        d = _differences(a, b)
        p = permutation_p(d, n_resamples, np.random.default_rng(random_state))
        rows.append({"model": model, "against": against, "difference": float(d.mean()), "permutation_p": p})
    table = pd.DataFrame(rows)
    table["permutation_p_holm"] = multipletests(table["permutation_p"], method="holm")[1]
    return table


def _beside(per_user: Mapping[str, pd.Series], against: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every other model's name, its values and the reference's in the same order, checked."""
    if against not in per_user:
        raise ConfigError(
            f"the reference {against!r}{nearest(against, per_user)} is not among the models {', '.join(per_user)}"
        )
    if len(per_user) < 2:
        raise ConfigError(f"there is no model beside the reference {against!r}; give one more to compare with it")
    for model in (name for name in per_user if name != against):
        yield (model, *_joined(per_user[model], per_user[against], model, against))


def _differences(a: Float[np.ndarray, " u"], b: Float[np.ndarray, " u"]) -> Float[np.ndarray, " u"]:
    return np.round(a - b, _DECIMALS)


def mean_over_seeds(per_seed: Sequence[Frame]) -> Frame:
    """Each user's mean over runs of one model with several seeds, for series or for tables of metrics.

    Raises:
        DataError: if there is no run, a user is listed twice, or the runs differ in users or metrics.

    Examples:
        >>> mean_over_seeds([pd.Series([0.0, 1.0], index=[7, 8]), pd.Series([0.5, 1.0], index=[8, 7])]).to_dict()
        {7: 0.5, 8: 0.75}
    """
    if not per_seed:
        raise DataError("no run to average; give the metrics of one seed at least")
    first = per_seed[0]
    for number, other in enumerate(per_seed[1:], start=2):
        refuse_other_users(first.index, other.index, "run 1", f"run {number}")
        if isinstance(first, pd.DataFrame) and set(first.columns) != set(other.columns):
            raise DataError(f"run 1 has {list(first.columns)} and run {number} {list(other.columns)}; use one list")
    return sum(run.loc[first.index] for run in per_seed) / len(per_seed)


def _joined(a: pd.Series, b: pd.Series, name_a: str, name_b: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of both in the order of a's users, checked."""
    refuse_other_users(a.index, b.index, name_a, name_b)
    if len(a) < MIN_USERS:
        raise DataError(f"{name_a} and {name_b} share {len(a)} users; a comparison needs {MIN_USERS} or more")
    values = [series.loc[a.index].to_numpy(dtype=np.float64) for series in (a, b)]
    for name, column in zip((name_a, name_b), values):
        if broken := int((~np.isfinite(column)).sum()):
            raise DataError(f"{name} has no finite value for {broken} of {len(a)} users; leave them out of every model")
    return values[0], values[1]


def refuse_other_users(a: pd.Index, b: pd.Index, name_a: str, name_b: str) -> None:
    """Refuse two models, or two runs of one, that were not judged on the same users.

    Args:
        a, b: users of the two.
        name_a, name_b: what a refusal calls them.

    Raises:
        DataError: if a user is listed twice, or is of one of the two only.

    Examples:
        >>> refuse_other_users(pd.Index([7, 8]), pd.Index([8, 7]), "BPR", "EASE")  # in any order
    """
    for name, users in ((name_a, a), (name_b, b)):
        if repeated := int(users.duplicated().sum()):
            raise DataError(f"{name} lists {repeated} users twice; give each user one value")
    only_a, only_b = len(a.difference(b)), len(b.difference(a))
    if only_a or only_b:
        raise DataError(
            f"{only_a} users are only in {name_a} and {only_b} only in {name_b}; compare models that were evaluated on "
            "the same split"
        )
