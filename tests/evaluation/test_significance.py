"""Paired comparisons: exact where all sign flips can be counted, right error rates and power on planted data."""

import gc
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation import compare_models, compare_paired, mean_over_seeds, randomisation_tests

pytestmark = pytest.mark.filterwarnings("error")  # degenerate data must give numbers, not warnings

MODELS = [f"model {number}" for number in range(10)]


def _series(values, first_user=0):
    return pd.Series(values, index=np.arange(first_user, first_user + len(values)), dtype=float)


def _recall(rng, n_users, rate=0.3):
    """Recall of users with 1 to 8 held-out items, each found with the same chance."""
    held_out = np.random.default_rng(0).integers(1, 9, n_users)
    return _series(rng.binomial(held_out, rate) / held_out)


def test_randomisation_test_equals_counting_every_sign_flip():
    d = np.random.default_rng(0).normal(0.4, 1, 12)
    flipped = np.array(list(itertools.product([-1, 1], repeat=12))) @ d
    expected = np.mean(np.abs(flipped) >= abs(d.sum()) - 1e-12)
    found = compare_paired(_series(d), _series(np.zeros(12)), random_state=0, n_resamples=2**12)
    assert found.permutation_p == pytest.approx(expected, abs=1e-12)


def test_agrees_with_the_t_test_on_normal_differences():
    rng = np.random.default_rng(1)
    a, b = _series(rng.normal(0.15, 1, 200)), _series(rng.normal(0, 1, 200))
    found = compare_paired(a, b, random_state=0)
    expected = stats.ttest_rel(a, b)
    assert found.permutation_p == pytest.approx(expected.pvalue, abs=0.01)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose([found.ci_low, found.ci_high], [interval.low, interval.high], atol=0.02)
    assert found.cohens_dz == pytest.approx(expected.statistic / np.sqrt(200))
    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b, method="approx").pvalue)


def test_figures_of_a_small_comparison():
    a = _series([0.5] * 5 + [0.2] * 3 + [0.1] * 2)
    b = _series([0.25] * 5 + [0.2] * 3 + [0.4] * 2)[::-1]  # joined by user, not by place
    found = compare_paired(a, b, random_state=0)
    assert found.n_users == 10 and found.improved == 0.5 and found.worsened == 0.2
    assert found.mean_a == pytest.approx(0.33) and found.mean_b == pytest.approx(0.265)
    assert found.difference == pytest.approx(0.065) and found.relative_difference == pytest.approx(0.065 / 0.265)
    assert found.ci_low < 0.065 < found.ci_high


def test_wilcoxon_ranks_ties_along_and_then_drops_them():
    """Pratt 1959, from ranks written out: three users tie, so that the others have the ranks 4 to 10."""
    d = np.array([0, 0, 0, 0.1, -0.2, 0.3, 0.4, 0.5, -0.6, 0.7])
    positive, ranks = 4 + 6 + 7 + 8 + 10, np.arange(4, 11)
    z = (positive - ranks.sum() / 2) / np.sqrt((ranks**2).sum() / 4)
    found = compare_paired(_series(d), _series(np.zeros(10)), random_state=0, n_resamples=99)
    assert found.wilcoxon_p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_the_interval_is_corrected_for_bias_and_skewness():
    """Efron 1987, by the formula: of skewed differences both ends lie above those of plain percentiles."""
    d = np.array([0.0] * 14 + [0.1, 0.1, 0.2, 0.4, 0.8, 1.0])
    rng = np.random.default_rng(1)
    means = d[rng.integers(0, len(d), (20_000, len(d)))].mean(axis=1)
    z0 = stats.norm.ppf(np.mean(means < d.mean()) + np.mean(means == d.mean()) / 2)
    left_out = (d.sum() - d) / (len(d) - 1)
    gap = left_out.mean() - left_out
    acceleration = (gap**3).sum() / (6 * (gap**2).sum() ** 1.5)
    z = z0 + stats.norm.ppf([0.025, 0.975])
    expected = np.quantile(means, stats.norm.cdf(z0 + z / (1 - acceleration * z)))
    plain = np.quantile(means, [0.025, 0.975])
    found = compare_paired(_series(d), _series(np.zeros(20)), random_state=0)
    np.testing.assert_allclose([found.ci_low, found.ci_high], expected, atol=0.01)
    assert (expected - plain > 0.015).all()


def test_swapping_the_models_mirrors_the_comparison():
    rng = np.random.default_rng(2)
    a, b = _recall(rng, 300, 0.2), _recall(rng, 300)
    there, back = (compare_paired(*pair, random_state=0) for pair in ((a, b), (b, a)))
    assert there.difference == -back.difference and there.cohens_dz == -back.cohens_dz
    assert there.improved == back.worsened
    assert there.permutation_p == pytest.approx(back.permutation_p, abs=0.01)
    assert there.wilcoxon_p == pytest.approx(back.wilcoxon_p) and there.wilcoxon_p < 0.05  # worse is found as well
    np.testing.assert_allclose([there.ci_low, there.ci_high], [-back.ci_high, -back.ci_low], atol=0.003)


def test_a_seed_repeats_the_comparison_and_ties_leave_the_randomisation_test_alone():
    rng = np.random.default_rng(3)
    a, b = _recall(rng, 100), _recall(rng, 100)
    once, again = (compare_paired(a, b, random_state=7, n_resamples=499) for _ in range(2))
    assert once == again
    d = (a - b).to_numpy()
    few = compare_paired(_series(d[:12]), _series(np.zeros(12)), random_state=0)
    many = compare_paired(_series(np.append(d[:12], np.zeros(500))), _series(np.zeros(512)), random_state=0)
    assert few.permutation_p == many.permutation_p  # 12 users or fewer differ: all flips are counted


@pytest.mark.parametrize("noise", [0.0, 1e-17])
def test_models_that_always_tie_are_no_different(noise):
    a = _recall(np.random.default_rng(4), 50)
    found = compare_paired(a, a + noise, random_state=0)
    assert found.wilcoxon_p == found.permutation_p == 1
    assert found.ci_low == found.ci_high == found.difference == found.cohens_dz == 0


def test_degenerate_differences_give_numbers():
    zero = _series(np.zeros(20))
    shifted = compare_paired(zero + 0.1, zero, random_state=0)
    assert shifted.ci_low == shifted.ci_high == pytest.approx(0.1) and shifted.cohens_dz == np.inf
    assert shifted.permutation_p < 0.01 and shifted.wilcoxon_p < 0.01 and np.isnan(shifted.relative_difference)
    one = compare_paired(_series([1.0] + 19 * [0.0]), zero, random_state=0)
    assert one.permutation_p == 1 and one.wilcoxon_p > 0.3 and one.ci_low <= one.difference <= one.ci_high


@pytest.fixture(scope="module")
def equal_models():
    """200 times ten models beside a reference, all drawn from one distribution; the p values of every comparison.

    Without intervals, which take as long as the p values.
    """
    tables = []
    gc.freeze()  # statsmodels collects garbage at each call, which takes long among the objects of torch and RecBole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recbole_sheaf.evaluation.significance.bootstrap_interval", lambda *_: (0.0, 0.0))
        for seed in range(120):
            rng = np.random.default_rng(seed)
            models = {name: _recall(rng, 60) for name in ["reference", *MODELS]}
            tables.append(compare_models(models, "reference", random_state=rng, n_resamples=499))
    return tables  # and what conftest.py froze stays so: unfrozen, it would be walked at each later call


@pytest.mark.parametrize("test", ["wilcoxon_p", "permutation_p"])
def test_equal_models_are_found_different_in_at_most_five_percent(equal_models, test):
    alone = sum(table[test][0] < 0.05 for table in equal_models)
    assert 1 <= alone <= 6  # one comparison each
    family = sum((table[f"{test}_holm"] < 0.05).any() for table in equal_models)
    assert 1 <= family <= 6  # any of ten comparisons
    unadjusted = sum((table[test] < 0.05).any() for table in equal_models)
    assert unadjusted > 24  # which is why they are adjusted
    every = np.concatenate([table[test] for table in equal_models])
    assert 0.03 < np.mean(every < 0.05) < 0.07 and 0.45 < np.mean(every < 0.5) < 0.55


@pytest.mark.parametrize("test", ["wilcoxon_p", "permutation_p"])
def test_adjusted_p_values_are_holms(equal_models, test):
    for table in equal_models[:20]:
        np.testing.assert_allclose(table[f"{test}_holm"], holm(table[test]))


def holm(p):
    """The k-th smallest of m times m + 1 - k, never below one before it, at most 1."""
    smallest_first = p.sort_values()
    stepped = np.maximum.accumulate(smallest_first * np.arange(len(p), 0, -1)).clip(upper=1)
    return stepped[p.index]


def test_marks_alone_are_holms_of_four_comparisons():
    """Of two, the second of which is above twice the first, a weaker method gives the same."""
    rng = np.random.default_rng(7)
    models = {name: _recall(rng, 80, rate) for name, rate in zip("abcde", (0.3, 0.3, 0.36, 0.38, 0.4))}
    marks = randomisation_tests(models, "b", random_state=3, n_resamples=999)
    np.testing.assert_allclose(marks.permutation_p_holm, holm(marks.permutation_p))
    assert marks.permutation_p_holm.min() == pytest.approx(4 * marks.permutation_p.min())
    assert sorted(marks.permutation_p_holm)[1] == pytest.approx(3 * sorted(marks.permutation_p)[1])


def test_thousands_of_changed_users_give_no_warning():
    rng = np.random.default_rng(8)  # 2 to the power of 3,000 sign flips are beyond floating point
    found = compare_paired(_series(rng.normal(1, 1, 3000)), _series(np.zeros(3000)), random_state=rng, n_resamples=19)
    assert found.permutation_p == pytest.approx(2 / 20) and found.wilcoxon_p < 1e-9


def _two_percent_better(rng, n_users=5000):
    """A reference with recall 0.2, and a model with 0.204 that finds nearly the same items.

    Each user holds out 1 to 8 items. The model loses 3 % of the reference's hits and finds 1.25 % of what it missed,
    0.0125 * 0.8 - 0.03 * 0.2 = 0.004 more. Some 7 % of the users differ, the others tie; the two recalls correlate by
    0.95, and their difference has a standard deviation of 0.07, eighteen times its mean.
    """
    held_out = rng.integers(1, 9, n_users)
    hits = rng.binomial(held_out, 0.2)
    lost, won = rng.binomial(hits, 0.03), rng.binomial(held_out - hits, 0.0125)
    return _series((hits - lost + won) / held_out), _series(hits / held_out)


def test_two_percent_over_five_thousand_users_are_found():
    rngs = [np.random.default_rng(seed) for seed in range(10)]
    found = [compare_paired(*_two_percent_better(rng), random_state=rng, n_resamples=199) for rng in rngs]
    assert np.mean([each.relative_difference for each in found]) == pytest.approx(0.02, abs=0.004)
    assert sum(each.wilcoxon_p < 0.05 for each in found) >= 9
    assert sum(each.permutation_p < 0.05 for each in found) >= 9
    assert sum(each.ci_low > 0 for each in found) >= 9


def test_a_better_model_is_found_among_equal_ones():
    rng = np.random.default_rng(5)
    better, reference = _two_percent_better(rng)
    models = {"LightGCN": reference, "shuffled": reference.sample(frac=1, random_state=0), "better": better}
    table = compare_models(models, "LightGCN", random_state=0, n_resamples=999)
    assert list(table.model) == ["shuffled", "better"] and set(table.against) == {"LightGCN"}
    assert list(table.permutation_p_holm < 0.05) == list(table.wilcoxon_p_holm < 0.05) == [False, True]


def test_a_row_does_not_depend_on_the_other_models():
    rng = np.random.default_rng(6)
    models = {name: _recall(rng, 80) for name in "abc"}
    both = compare_models(models, "a", random_state=3, n_resamples=199)
    alone = compare_models({name: models[name] for name in "ac"}, "a", random_state=3, n_resamples=199)
    raw = [column for column in both if not column.endswith("_holm")]
    pd.testing.assert_frame_equal(both[both.model == "c"][raw].reset_index(drop=True), alone[raw])


def test_marks_alone_stand_on_the_same_p_values():
    rng = np.random.default_rng(7)
    models = {name: _recall(rng, 80) for name in "abc"}
    marks = randomisation_tests(models, "b", random_state=3, n_resamples=199)
    columns = ["model", "against", "difference", "permutation_p", "permutation_p_holm"]
    whole = compare_models(models, "b", random_state=3, n_resamples=199)
    pd.testing.assert_frame_equal(marks, whole[columns])
    assert 0 < marks.permutation_p.min() < marks.permutation_p_holm.min()


def test_seeds_are_averaged_user_by_user():
    one, two = pd.Series([0.0, 0.5], index=[4, 9]), pd.Series([1.0, 0.0], index=[9, 4])
    pd.testing.assert_series_equal(mean_over_seeds([one, two]), pd.Series([0.0, 0.75], index=[4, 9]))
    tables = [pd.DataFrame({"recall@20": run, "ndcg@20": 2 * run}) for run in (one, two)]
    assert mean_over_seeds(tables).loc[9].tolist() == [0.75, 1.5]
    with pytest.raises(DataError, match="1 users are only in run 1 and 1 only in run 2"):
        mean_over_seeds([one, pd.Series([0.0, 0.5], index=[4, 8])])
    with pytest.raises(DataError, match="run 1 has .* and run 2"):
        mean_over_seeds([tables[0], tables[1].rename(columns={"ndcg@20": "mrr@20"})])
    with pytest.raises(DataError, match="no run to average"):
        mean_over_seeds([])


@pytest.mark.parametrize(
    "b, message",
    [
        (_series(np.ones(20), first_user=3), "3 users are only in SheafRec and 3 only in BPR"),
        (_series([np.nan] * 2 + [0.5] * 18), "BPR has no finite value for 2 of 20 users"),
        (_series(np.ones(20)).set_axis([0, *range(19)]), "BPR lists 1 users twice"),
    ],
)
def test_series_that_do_not_fit_are_refused(b, message):
    with pytest.raises(DataError, match=message):
        compare_models({"BPR": b, "SheafRec": _series(np.ones(20))}, "BPR", random_state=0)


def test_unusable_settings_are_refused():
    ones = _series(np.ones(20))
    with pytest.raises(DataError, match="share 9 users; a comparison needs 10 or more"):
        compare_paired(ones[:9], ones[:9], random_state=0)
    with pytest.raises(ConfigError, match="'LightGNC' .did you mean 'LightGCN'.. is not among the models BPR, L"):
        compare_models({"BPR": ones, "LightGCN": ones}, "LightGNC", random_state=0)
    with pytest.raises(ConfigError, match="n_resamples is 0; choose one resample or more"):
        randomisation_tests({"BPR": ones, "LightGCN": ones}, "BPR", random_state=0, n_resamples=0)
    with pytest.raises(ConfigError, match="no model beside the reference 'BPR'"):
        compare_models({"BPR": ones}, "BPR", random_state=0)
    with pytest.raises(ConfigError, match="n_resamples 0"):
        compare_paired(ones, ones, random_state=0, n_resamples=0)
    with pytest.raises(ConfigError, match="confidence_level 95.0"):
        compare_paired(ones, ones, random_state=0, confidence_level=95.0)
