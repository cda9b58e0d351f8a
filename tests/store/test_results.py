"""What a store says of its runs, against numbers worked out by hand."""

import math
import shutil

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.errors import DataError
from recbole_sheaf.store import results
from recbole_sheaf.store.store import Store
from tests.store.planted import EPOCHS, add, five_seeds, plant, result

REAL = {"ablation": ["real"]}
FLIPS = 2**10  # ways to give ten differences a sign


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("results") / "store.duckdb").path


@pytest.fixture
def store(planted, tmp_path):
    """A copy for each test, which may add to it."""
    return Store(shutil.copy(planted, tmp_path / "store.duckdb"))


def test_a_line_for_each_finished_run(store):
    runs = results.finished_runs(store, {})
    assert len(runs) == 7
    line = runs[(runs["label"] == "LightGCN") & (runs["seed"] == 2)].iloc[0]
    assert (line["experiment"], line["dataset"], line["ablation"], line["model"]) == ("e", "toy", "real", "BPR")
    assert line["valid recall@20"] == 0.34 and line["recall@20"] == pytest.approx(0.49) and line["ndcg@20"] == 0.5
    assert (line["best epoch"], line["epochs"], line["s/epoch"], line["peak MiB"]) == (0, 2, 0.1, 500)
    assert line["run"] == "e-toy-real-LightGCN-2"


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({"label": ["better", "worse"]}, {"e-toy-real-better-1", "e-toy-real-worse-1", "e-toy-shuffled-better-1"}),
        ({"label": ["better"], "ablation": ["shuffled"]}, {"e-toy-shuffled-better-1"}),
        ({"dataset": ["toy"], "experiment": ["e"], "label": ["same"]}, {"e-toy-real-same-1"}),
        ({"label": [], "ablation": ["shuffled"]}, {"e-toy-shuffled-LightGCN-1", "e-toy-shuffled-better-1"}),
    ],
)
def test_filters_keep_what_they_name(store, filters, expected):
    assert set(results.finished_runs(store, filters)["run"]) == expected


def test_means_over_seeds(store):
    table = results.means_over_seeds(results.finished_runs(store, REAL))
    assert list(table["model"]) == ["better", "LightGCN", "same", "worse"], "the best on validation comes first"
    assert list(table["seeds"]) == [1, 2, 1, 1]
    line = table[table["model"] == "LightGCN"].iloc[0]
    assert line["valid recall@20"] == pytest.approx(0.32)
    assert line["valid recall@20 std"] == pytest.approx(0.04 / math.sqrt(2))
    assert line["recall@20"] == pytest.approx(0.39) and line["recall@20 std"] == pytest.approx(0.2 / math.sqrt(2))
    assert math.isnan(table.iloc[0]["recall@20 std"])
    assert str(table.iloc[0]["parameters"]) == "168128"


def test_means_of_single_runs_have_no_deviation_and_ablations_stay_apart(store):
    table = results.means_over_seeds(results.finished_runs(store, {"label": ["better"]}))
    assert list(table["ablation"]) == ["real", "shuffled"] and not any(name.endswith(" std") for name in table)


def test_runs_without_validation_have_means_too(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, [0.1] * 10, float("nan"))
    add(store, "BPR", 2, [0.3] * 10, float("nan"))
    with store.writing() as connection:
        connection.execute("UPDATE runs SET valid = MAP {}, best_epoch = NULL")
    (line,) = results.means_over_seeds(results.finished_runs(store, {})).to_dict("records")
    assert line["recall@20"] == pytest.approx(0.2) and math.isnan(line["valid recall@20"])


def test_marks_compare_users_averaged_over_seeds(store):
    """LightGCN's first seed alone lies below 'worse', which a comparison of single seeds would call better."""
    five_seeds(store)
    table, legend = results.beside_reference(store, REAL, "LightGCN", ["Recall@20", "NDCG@20"])
    marks = dict(zip(table["model"], table["recall@20 mark"]))
    assert marks == {"better": "▲", "worse": "▼", "same": "", "LightGCN": ""}
    assert set(table["ndcg@20 mark"]) == {""}
    assert dict(zip(table["model"], table["recall@20"]))["better"] == pytest.approx(0.39 + 0.075)
    assert "worse than LightGCN" in legend and "3 comparisons" in legend
    only, _ = results.beside_reference(store, REAL, "LightGCN", ["NDCG@20"])
    assert "recall@20" not in only and "valid recall@20" in only


def test_a_model_of_four_seeds_has_no_mark_and_is_named(store):
    """And the others' marks are adjusted for those that are compared."""
    five_seeds(store)
    with store.writing() as connection:
        connection.execute("DELETE FROM entries WHERE label = 'worse' AND seed > 40")
    table, legend = results.beside_reference(store, REAL, "LightGCN", ["Recall@20"])
    assert dict(zip(table["model"], table["recall@20 mark"])) == {
        "better": "▲",
        "worse": "",
        "same": "",
        "LightGCN": "",
    }
    assert "2 comparisons" in legend and legend.endswith("5 seeds or more. Fewer seeds, hence no mark: worse.")


@pytest.mark.parametrize("against, why", [("worse", "since worse has fewer"), ("better", "since only better has them")])
def test_a_reference_of_four_seeds_or_alone_with_five_marks_nothing(store, against, why):
    five_seeds(store)
    with store.writing() as connection:
        few = "label = 'worse' AND seed > 40" if against == "worse" else "label <> 'better' AND seed > 10"
        connection.execute(f"DELETE FROM entries WHERE {few}")
    table, legend = results.beside_reference(store, REAL, against, ["Recall@20"])
    assert set(table["recall@20 mark"]) == {""} and legend.endswith(f"There are none here, {why}.")
    assert legend.startswith("Marks stand only between models of 5 seeds or more.")


def test_differences_in_full(store):
    table = results.comparisons_with(store, REAL, "LightGCN", ["Recall@20", "ndcg@20"])
    assert list(table["metric"]) == ["recall@20"] * 3 + ["ndcg@20"] * 3
    rows = {row["model"]: row for row in table.head(3).to_dict("records")}
    for label, sign in (("better", 1), ("worse", -1)):
        row = rows[label]
        assert row["n_users"] == 10 and row["mean_b"] == pytest.approx(0.39)
        assert row["difference"] == pytest.approx(sign * 0.075)
        assert row["permutation_p"] == pytest.approx(2 / FLIPS)
        assert row["permutation_p_holm"] == pytest.approx(3 * 2 / FLIPS)
    assert rows["same"]["permutation_p"] == pytest.approx(1.0) and rows["same"]["improved"] == 0.5


def test_a_model_is_compared_alone_as_in_company(tmp_path):
    """With more users than all flips could be counted for, p values and intervals are drawn; not from each other."""
    store, rng = Store(tmp_path / "store.duckdb"), np.random.default_rng(0)
    for label in ("a", "b", "c"):
        add(store, label, 1, rng.uniform(size=60).tolist(), 0.1)
    drawn = ["permutation_p", "ci_low", "ci_high"]
    company = results.comparisons_with(store, {}, "a", ["recall@20"]).set_index("model")
    alone = results.comparisons_with(store, {"label": ["a", "c"]}, "a", ["recall@20"]).set_index("model")
    assert company.loc["c", drawn].tolist() == alone.loc["c", drawn].tolist()
    assert 0 < company.loc["c", "permutation_p"] < 1


def _renamed(tmp_path, metrics, chosen="recall@20", only_of=""):
    """A store of two models whose metrics have other names."""
    store = Store(tmp_path / "store.duckdb")
    for label, value in (("a", 0.1), ("b", 0.3)):
        add(store, label, 1, [value] * 10, value)
    with store.writing() as connection:
        for before, after in metrics.items():
            where = f"WHERE run LIKE '%-{only_of}-1'" if only_of else ""
            connection.execute(
                f"UPDATE user_metrics SET metric = '{after}' {where + ' AND' if where else 'WHERE'} metric = '{before}'"
            )
        test = ", ".join(
            f"'{name}': 0.2" for name in {**{"recall@20": 0, "ndcg@20": 0}, **dict.fromkeys(metrics.values())}
        )
        connection.execute(f"UPDATE runs SET test = MAP {{{test}}}, valid = MAP {{'{chosen}': 0.1}}")
        connection.execute(f"UPDATE runs SET config = json_object('valid_metric', '{chosen}')")
    return store


@pytest.mark.parametrize(
    "metrics, chosen, compared",
    [
        ({}, "recall@20", ["recall@20", "ndcg@20"]),
        ({"ndcg@20": "ndcg@10"}, "ndcg@10", ["recall@20"]),
        ({"recall@20": "recall@10", "ndcg@20": "ndcg@10"}, "ndcg@10", ["ndcg@10"]),
        ({"recall@20": "hit@5", "ndcg@20": "mrr@5"}, "itemcoverage@5", ["hit@5", "mrr@5"]),
    ],
)
def test_runs_without_the_usual_metrics_are_compared_in_what_they_have(tmp_path, metrics, chosen, compared):
    store = _renamed(tmp_path, metrics, chosen)
    assert results.comparisons_with(store, {}, "a", [])["metric"].tolist() == compared
    table, _ = results.beside_reference(store, {}, "a", [])
    assert [name[:-5] for name in table if name.endswith(" mark")] == compared


def test_runs_that_share_no_metric_are_refused_by_the_metrics_of_each(tmp_path):
    store = _renamed(tmp_path, {"recall@20": "recall@5", "ndcg@20": "ndcg@5"}, only_of="b")
    with pytest.raises(
        DataError, match=r"share no metric per user to compare .a: ndcg@20, recall@20; b: ndcg@5, rec.*"
    ):
        results.comparisons_with(store, {}, "a", [])


@pytest.mark.parametrize("compare", [results.beside_reference, results.comparisons_with])
@pytest.mark.parametrize(
    "filters, against, metric, message",
    [
        ({}, "LightGCN", "recall@20", "within one ablation, but these match: real, shuffled; name one with ablation="),
        (REAL, "LightGNC", "recall@20", "no run of 'LightGNC' to compare with .did you mean 'LightGCN'.*there are"),
        ({**REAL, "label": ["same"]}, "same", "recall@20", "only same matches; name models to compare with it"),
        (REAL, "LightGCN", "recal@20", "no metric 'recal@20' per user .did you mean 'recall@20'.*there are ndcg@20, r"),
        (
            {"label": ["LightGNC"]},
            "LightGCN",
            "recall@20",
            "of label 'LightGNC' .did you mean 'LightGCN'.*there are",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(store, compare, filters, against, metric, message):
    with pytest.raises(DataError, match=message) as error:
        compare(store, filters, against, [metric])
    assert "\n" not in str(error.value)


def test_users_of_two_datasets_are_not_compared(store):
    add(store, "better", 1, [0.5] * 10, 0.5, dataset="other")
    with pytest.raises(DataError, match="within one dataset, but these match: toy, other"):
        results.comparisons_with(store, REAL, "LightGCN", ["recall@20"])


def test_other_splits_are_not_compared(store):
    add(store, "more users", 1, [0.5] * 11, 0.5)
    with pytest.raises(DataError, match="0 users are only in LightGCN and 1 only in|1 users are only in more users"):
        results.beside_reference(store, REAL, "LightGCN", ["recall@20"])


def test_strata_stand_in_the_order_of_their_numbers(store):
    names = ["popularity 14-22", "cold", "popularity 137-476", "popularity 2-4"]
    strata = pd.DataFrame([{"kind": "item popularity", "stratum": name, "users": 1, "pairs": 1} for name in names])
    store.add_run("ordered", result(), EPOCHS, None, strata.assign(metric="recall@20", value=0.5))
    place = {"experiment": "strata", "label": "BPR", "dataset": "toy", "ablation": "real", "seed": 1}
    store.add_entries(pd.DataFrame([{**place, "run": "ordered"}]))
    found = results.raw_table(store, "strata", {"experiment": ["strata"]})["stratum"]
    assert found.tolist() == ["cold", "popularity 2-4", "popularity 14-22", "popularity 137-476"]


def test_raw_tables_follow_the_filters(store):
    users = results.raw_table(store, "users", {"label": ["LightGCN"], "ablation": ["real"]})
    recall = users[users["metric"] == "recall@20"]
    assert len(users) == 2 * 2 * 10 and set(users["label"]) == {"LightGCN"}
    assert recall[recall["user_id"] == "u0"].sort_values("seed")["value"].tolist() == pytest.approx([0.2, 0.4])
    assert len(results.raw_table(store, "strata", REAL)) == 5 * 2
    curves = results.raw_table(store, "curves", {"label": ["same"]})
    assert curves["train_loss"].tolist() == [2.5, 2.0]
    assert results.raw_table(store, "failures", {})["error"].tolist() == ["ValueError: Training loss is nan"]
    assert results.raw_table(store, "trials", {}).empty


def test_raw_tables_refuse_what_they_cannot_filter(store):
    for name in results.TABLES:
        with pytest.raises(DataError, match="holds no finished run of ablation 'noise'; there are real, shuffled"):
            results.raw_table(store, name, {"ablation": ["noise"]})
    with pytest.raises(DataError, match="failures are listed whole, without label=...; filter them with sql="):
        results.raw_table(store, "failures", {"label": ["worse"]})


def test_a_name_that_no_run_has_is_refused_beside_one_that_some_have(store):
    with pytest.raises(DataError, match="no finished run of label 'LightGNC' .did you mean 'LightGCN'"):
        results.finished_runs(store, {"label": ["LightGCN", "LightGNC"]})


def test_names_that_no_run_has_all_of_are_refused(store):
    add(store, "alone", 1, [0.5] * 10, 0.5, dataset="other")
    with pytest.raises(DataError, match="no finished run that all of dataset=... and label=... name; drop one"):
        results.finished_runs(store, {"dataset": ["toy"], "label": ["alone"]})


def test_an_empty_store_is_told(tmp_path):
    store = Store(tmp_path / "store.duckdb")
    store.add_failure("x", "e", "BPR on toy, seed 1", "RuntimeError: out of luck")
    with pytest.raises(DataError, match="holds no finished run; run 'recbole-sheaf compare' into it first"):
        results.finished_runs(store, {})
