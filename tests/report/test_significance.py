"""Intervals, differences and marks, against numbers worked out otherwise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recbole_sheaf.report import significance
from recbole_sheaf.report.sections.leaderboard import leaderboard
from recbole_sheaf.report.words import Words
from recbole_sheaf.store import results
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.store import Store
from tests.report.stores import USERS, add, at_once, with_many_runs


def test_an_interval_is_students_over_users():
    values = np.random.default_rng(0).uniform(size=30)
    found = significance.interval_of(pd.Series(values))
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert significance.interval_of(pd.Series([1.0])) is None


def test_users_are_averaged_over_seeds_first(group):
    row = group.row("MMSheaf", "real")
    users = 0.5 + 0.1 * np.sin(np.arange(USERS)) + 0.003  # seeds 1 to 5 add 0.001 each
    assert significance.interval(group, row, "recall@20").mean == pytest.approx(users.mean())
    assert sorted(group.per_user("recall@20")["MMSheaf", "real"]) == pytest.approx(sorted(users))


def test_a_difference_is_paired_user_by_user(group):
    """All models have the same users' shifts, so that pairs differ by a constant and single means by far more."""
    gap = significance.difference(group, group.row("identity", "real"), group.row("MMSheaf", "real"), "recall@20")
    assert gap.mean == pytest.approx(-0.1) and gap.high - gap.low < 1e-9 and gap.clear
    assert significance.interval(group, group.row("identity", "real"), "recall@20").clear


def test_rows_of_other_users_have_no_difference(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    add(store, "BPR", 1, 0.2, ablation="cold")
    with store.writing() as connection:
        connection.execute("DELETE FROM user_metrics WHERE run LIKE '%cold%' AND user_id = 'u3'")
    (group,) = read_material(store, {}).groups
    assert significance.difference(group, group.row("BPR", "cold"), group.row("BPR", "real"), "recall@20") is None


def test_marks_stand_only_where_five_seeds_do(group):
    found = significance.marks(group, ["recall@20", "ndcg@20"])
    assert found.reference == "MMSheaf" and found.left_out == ["LightGCN"]
    assert found.of["recall@20", "BPR"] == "▼" == found.of["recall@20", "identity"]
    assert ("recall@20", "LightGCN") not in found.of and ("recall@20", "MMSheaf") not in found.of


def test_four_seeds_give_no_mark(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for label, level in (("a", 0.2), ("b", 0.4)):
            for seed in range(4 if label == "b" else 5):
                add(store, label, seed, level)
    found = significance.marks(read_material(store, {}).groups[0], ["recall@20"])
    assert found.reference is None and not found.of


def test_twenty_rows_are_compared_and_others_counted(tmp_path):
    """The worst rows of a table of fifteen, whose differences are the largest, have their marks."""
    store = with_many_runs(tmp_path / "store.duckdb", labels=23, seeds=5)
    found = significance.marks(read_material(store, {}).groups[0], ["recall@20"])
    assert len(found.of) == 20 and found.passed_over == 2


@pytest.mark.parametrize("another", [False, True])
def test_variants_of_one_model_are_compared_with_it(tmp_path, another):
    """Not with the best of them on validation, unless other models are there too."""
    store = Store(tmp_path / "store.duckdb")
    with at_once(store):
        for seed in range(5):
            add(store, "BPR", seed, 0.3)
            add(store, "wider", seed, 0.4)
            if another:
                add(store, "Pop", seed, 0.1, model="Pop")
    group = read_material(store, {}).groups[0]
    found = significance.marks(group, ["recall@20"])
    assert (found.reference, found.changed) == (("wider", False) if another else ("BPR", True))
    assert found.of["recall@20", "BPR" if another else "wider"] == ("▼" if another else "▲")
    said = leaderboard(group, Words("en"))[1].note
    assert (
        "worse than wider, the first on validation:" if another else "than BPR, which every other row changes"
    ) in said


def test_marks_are_those_of_results_and_so_is_their_rule(store, group):
    """Of the five rows of the store, three have seeds enough; the report's reference is given to ``results``."""
    found = significance.marks(group, ["recall@20", "ndcg@20"])
    table, legend = results.beside_reference(store, {"ablation": ["real"]}, found.reference, ["recall@20", "ndcg@20"])
    for metric in ("recall@20", "ndcg@20"):
        theirs = dict(zip(table["model"], table[f"{metric} mark"]))
        assert {label: found.of.get((metric, label), "") for label in theirs} == theirs
        assert list(theirs.values()).count("▼") == 2
    assert (
        Words("en")("board.rule", seeds=5) in legend
        and Words("en")("board.rule", seeds=5) in leaderboard(group, Words("en"))[1].note
    )
    assert legend.endswith("Fewer seeds, hence no mark: LightGCN.")


def test_four_seeds_are_told_why_they_have_no_mark(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "a", 1, 0.2)
    add(store, "b", 1, 0.4)
    note = leaderboard(read_material(store, {}).groups[0], Words("en"))[1].note
    assert note.endswith("only between models of 5 seeds or more. There are none here, since fewer than two have them.")
