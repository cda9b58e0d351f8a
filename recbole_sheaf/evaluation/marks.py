"""Marks of significance: one rule for every table that has them.

A mark speaks of a model, not of one training of it, so that it stands only between models of ``SEEDS_FOR_A_MARK`` seeds
or more. What is tested are users, whose metrics are averaged over a model's seeds first: a two-sided randomisation
test, adjusted by Holm's method for the models that are compared.
"""

from collections.abc import Mapping

import pandas as pd

from recbole_sheaf.evaluation.significance import RandomState, randomisation_tests, refuse_other_users

BETTER, WORSE = "▲", "▼"
SEEDS_FOR_A_MARK = 5
ALPHA = 0.05
_RESAMPLES = 1999  # at least; more where Holm's smallest adjusted p would exceed .02
_COLUMNS = ("model", "against", "difference", "permutation_p", "permutation_p_holm", "mark")


def with_seeds_enough(seeds: Mapping[str, int]) -> list[str]:
    """Models that a mark may stand beside, by how many seeds each has.

    Examples:
        >>> with_seeds_enough({"BPR": 5, "EASE": 1})
        ['BPR']
    """
    return [model for model, count in seeds.items() if count >= SEEDS_FOR_A_MARK]


def marked_tests(
    per_user: Mapping[str, pd.Series], seeds: Mapping[str, int], against: str, *, random_state: RandomState
) -> pd.DataFrame:
    """Tests of all models that have seeds enough against a reference that has, and the mark of each.

    Args:
        per_user: each model's metric, indexed by user, averaged over its seeds.
        seeds: how many each model of ``per_user`` has.
        against: the reference's name.
        random_state: as of :func:`~recbole_sheaf.evaluation.significance.randomisation_tests`.

    Returns:
        A row per compared model, as of ``randomisation_tests``, with ``mark``: ``▲`` for a higher mean, ``▼`` for a
        lower one where Holm's adjusted p is under ``ALPHA``, else nothing. No row where the reference has too few
        seeds, or all others have.

    Raises:
        ConfigError, DataError: as ``randomisation_tests``; models with too few seeds need the same users too.

    Time O(max(2000, 100 m) u) for each of m models over u users.

    Examples:
        >>> reference = pd.Series([0.1 * user for user in range(10)])
        >>> models = {"BPR": reference, "ours": reference + 0.1, "EASE": reference + 0.2}
        >>> marked_tests(models, {"BPR": 5, "ours": 5, "EASE": 1}, "BPR", random_state=0)[["model", "mark"]].values
        array([['ours', '▲']], dtype=object)
        >>> marked_tests(models, {"BPR": 4, "ours": 5, "EASE": 1}, "BPR", random_state=0).empty
        True
    """
    for model in per_user if against in per_user else ():
        refuse_other_users(per_user[model].index, per_user[against].index, model, against)
    enough = [model for model in with_seeds_enough(seeds) if model in per_user]
    if against not in enough or len(enough) < 2:
        return pd.DataFrame(columns=list(_COLUMNS))
    draws = max(_RESAMPLES, 100 * (len(enough) - 1) - 1)
    tests = randomisation_tests(
        {model: per_user[model] for model in enough}, against, random_state=random_state, n_resamples=draws
    )
    signs = tests["difference"].map(lambda difference: BETTER if difference > 0 else WORSE)
    return tests.assign(mark=signs.where(tests["permutation_p_holm"] < ALPHA, ""))


def rule_of_marks(seeds: Mapping[str, int], against: str) -> str:
    """The rule in a sentence or two, with the models that have no mark for want of seeds.

    Examples:
        >>> rule_of_marks({"BPR": 5, "ours": 6}, "BPR")
        'Marks stand only between models of 5 seeds or more.'
        >>> rule_of_marks({"BPR": 5, "ours": 6, "EASE": 1}, "BPR")
        'Marks stand only between models of 5 seeds or more. Fewer seeds, hence no mark: EASE.'
        >>> rule_of_marks({"BPR": 2, "ours": 6}, "BPR")
        'Marks stand only between models of 5 seeds or more. There are none here, since BPR has fewer.'
    """
    rule = f"Marks stand only between models of {SEEDS_FOR_A_MARK} seeds or more."
    enough = with_seeds_enough(seeds)
    few = [model for model in seeds if model not in enough]
    if against not in enough:
        return f"{rule} There are none here, since {against} has fewer."
    if len(enough) < 2:
        return f"{rule} There are none here, since only {against} has them."
    return f"{rule} Fewer seeds, hence no mark: {', '.join(few)}." if few else rule
