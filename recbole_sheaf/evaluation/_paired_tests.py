"""Two-sided tests, interval and effect size of paired differences, u of them, most of them 0; scipy does the counting.

Every function gives a number, without a warning, where all differences are equal.
"""

import numpy as np
from jaxtyping import Float
from scipy import stats

_CELLS = 2**21  # resampled values held at once, about 200 MB with scipy's copies


def wilcoxon_p(d: Float[np.ndarray, " u"]) -> float:
    """Signed-rank test, Pratt's zeros; 1 where all users tie."""
    if not d.any():
        return 1.0
    # The exact distribution knows neither zeros nor ties, and metrics are full of both.
    return float(stats.wilcoxon(d, zero_method="pratt", method="approx").pvalue)


def permutation_p(d: Float[np.ndarray, " u"], n_resamples: int, rng: np.random.Generator) -> float:
    """Randomisation test of the mean: both signs of every difference are as likely; exact where all flips are few."""
    changed = d[d != 0]  # a flipped zero changes no sum
    if len(changed) < 2:
        return 1.0  # one difference is as far from 0 with either sign
    with np.errstate(over="ignore"):  # scipy counts all 2^u flips in floating point; infinitely many will do
        result = stats.permutation_test(
            (changed,),
            np.sum,
            permutation_type="samples",
            vectorized=True,
            n_resamples=n_resamples,
            batch=_batch(len(changed)),
            random_state=rng,
        )
    return float(result.pvalue)


def bootstrap_interval(
    d: Float[np.ndarray, " u"], n_resamples: int, confidence_level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """BCa interval of the mean; a point where all differences are equal."""
    if np.ptp(d) == 0:
        return float(d[0]), float(d[0])  # every bootstrap sample is the same
    result = stats.bootstrap(
        (d,),
        np.mean,
        vectorized=True,
        n_resamples=n_resamples,
        batch=_batch(len(d)),
        confidence_level=confidence_level,
        method="BCa",
        random_state=rng,
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _batch(n: int) -> int:
    return max(1, _CELLS // n)


def cohens_dz(d: Float[np.ndarray, " u"]) -> float:
    """Mean in standard deviations (divided by u - 1); 0 where all users tie, infinite where all differ alike."""
    if np.ptp(d) == 0:
        return float(np.sign(d[0]) * np.inf) if d[0] else 0.0
    return float(d.mean() / d.std(ddof=1))
