"""Tables from rows: what is shown, what is refused, and that a file round trip changes nothing."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.evaluation import (
    compare_models,
    comparison_table,
    read_rows,
    significance_marks,
    to_html,
    to_latex,
    to_markdown,
    what_was_learnt,
    write_table,
)
from recbole_sheaf.evaluation.best import best_cells
from recbole_sheaf.evaluation.cells import number_format


def _row(model, recall, seed=1):
    return {
        "model": model,
        "seed": seed,
        "config": {"valid_metric": "Recall@20"},
        "valid": {"recall@20": recall},
        "test": {"recall@20": recall / 2, "ndcg@20": 0.123456},
        "best_epoch": 3,
        "epochs": 5,
        "seconds_per_epoch": 1.234,
        "peak_memory_mib": 100.6,
        "parameters": 12345,
    }


def test_a_line_per_run_with_validation_test_and_cost():
    table = comparison_table([_row("A", 0.2), _row("B", 0.3)])
    assert list(table["model"]) == ["A", "B"]
    assert list(table["valid Recall@20"]) == [0.2, 0.3]
    assert list(table["Recall@20"]) == [0.1, 0.15]
    assert table["NDCG@20"][0] == 0.1235 and table["s/epoch"][0] == 1.23 and table["parameters"][0] == 12345
    assert "| A" in to_markdown(table)


@pytest.mark.parametrize(
    ("model", "config", "name", "learnt"),
    [
        ("EASE", {}, "EASE", ""),
        (
            "MMSheaf",
            {"restriction_map": "identity", "item_sheaf_map": "learnt", "item_sheaf_weight": "auto"},
            "MMSheaf",
            "MMSheaf: maps between items learnt in closed form, on the user-item graph identity; "
            "validation chose ridge 20",
        ),
        (
            "MMSheaf",
            {"restriction_map": "diagonal", "item_sheaf_map": "identity", "item_sheaf_weight": 8.0},
            "MMSheaf (diagonal, identity)",
            "MMSheaf: maps between items identity, on the user-item graph diagonal; validation chose ridge 20",
        ),
        (
            "MMSheaf",
            {"restriction_map": "general", "item_sheaf_map": "learnt", "item_sheaf_weight": 0},
            "MMSheaf (general)",
            "MMSheaf: maps on the user-item graph general, no item sheaf; validation chose ridge 20",
        ),
        (
            "ItemSheaf",
            {"restriction_map": "learnt"},
            "ItemSheaf",
            "ItemSheaf: maps between items learnt in closed form; validation chose ridge 20",
        ),
        (
            "ItemSheaf",
            {"restriction_map": "identity"},
            "ItemSheaf (identity)",
            "ItemSheaf: maps between items identity; validation chose ridge 20",
        ),
        (
            "SheafRec",
            {"restriction_map": "diagonal"},
            "SheafRec (diagonal)",
            "SheafRec: maps on the user-item graph diagonal; validation chose ridge 20",
        ),
    ],
)
def test_a_model_is_named_with_its_unusual_maps_and_what_was_learnt_is_said(model, config, name, learnt):
    row = {**_row(model, 0.2), "chosen": {"ridge": 20.0}}
    row["config"] = {**row["config"], **config}
    assert comparison_table([row])["model"].tolist() == [name]
    assert what_was_learnt(row) == learnt


def test_rows_survive_the_file(tmp_path):
    rows = [_row("A", 0.2), _row("B", 0.3)]
    (tmp_path / "runs.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_rows(tmp_path / "runs.json") == rows
    written = write_table(comparison_table(rows), tmp_path / "out" / "table")
    assert [path.name for path in written] == ["table.csv", "table.md"]
    assert [line["model"] for line in csv.DictReader(written[0].open())] == ["A", "B"]


@pytest.mark.parametrize(
    "text, message", [("{", "is not a result file"), ("[1]", "without model, test and config"), (None, "there is no")]
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "runs.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path / "runs.json")


@pytest.fixture(scope="module")
def compared():
    """Means of four models and their comparison with LightGCN: one better, one worse, one much the same."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 5, 200) / 5
    shift = {"LightGCN": 0.0, "SheafRec": 0.1, "Pop": -0.1, "BPR": 0.0}
    per_user = {model: pd.Series(base + by + rng.normal(0, 0.1, 200)) for model, by in shift.items()}
    table = pd.DataFrame({"model": list(shift), "Recall@20": [each.mean() for each in per_user.values()], "seeds": 5})
    return table, compare_models(per_user, "LightGCN", random_state=0, n_resamples=499)


@pytest.mark.parametrize("test", ["permutation", "wilcoxon"])
def test_significant_differences_are_marked_beside_their_metric(compared, test):
    table, comparison = compared
    marked, legend = significance_marks(table, {"Recall@20": comparison}, test=test)
    assert list(marked.columns) == ["model", "Recall@20", "Recall@20 mark", "seeds"]
    assert list(marked["Recall@20 mark"]) == ["", "▲", "▼", ""]
    assert legend.startswith("▲ better, ▼ worse than LightGCN: p < 0.05, two-sided") and "3 comparisons" in legend
    pd.testing.assert_frame_equal(marked[table.columns], table)


def test_marks_follow_the_adjusted_p(compared):
    table, comparison = compared
    unsure = comparison.assign(permutation_p=0.02, permutation_p_holm=0.06)
    marked, _ = significance_marks(table, {"Recall@20": unsure})
    assert list(marked["Recall@20 mark"]) == [""] * 4


def test_marks_that_do_not_fit_the_table_are_refused(compared):
    table, comparison = compared
    with pytest.raises(DataError, match="no column 'NDCG@20'"):
        significance_marks(table, {"NDCG@20": comparison})
    with pytest.raises(DataError, match=r"\['BPR'\] are in the table but were not compared with LightGCN"):
        significance_marks(table, {"Recall@20": comparison[comparison.model != "BPR"]})
    with pytest.raises(DataError, match="marks need one reference"):
        significance_marks(table, {"Recall@20": comparison, "seeds": comparison.assign(against="Pop")})
    with pytest.raises(DataError, match="marks need one reference"):
        significance_marks(table, {})
    with pytest.raises(ConfigError, match="test 'ttest' at level 0.05; choose one of permutation, wilcoxon"):
        significance_marks(table, {"Recall@20": comparison}, test="ttest")


def test_latex_escapes_what_it_would_read_as_commands():
    table = pd.DataFrame(
        {"model_name": ["A & B_1", "50 %", "$x^2$"], "Recall@20": [0.123456, 0.2, float("nan")], "mark": ["▲", "▼", ""]}
    )
    assert to_latex(table).splitlines() == [
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"model\_name & Recall@20 & mark \\",
        r"\midrule",
        r"A \& B\_1 & 0.1235 & $\blacktriangle$ \\",
        r"50 \% & 0.2000 & $\blacktriangledown$ \\",
        r"\$x\textasciicircum 2\$ &  &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_marks_survive_markdown_and_csv(compared, tmp_path):
    table, comparison = compared
    marked, _ = significance_marks(table, {"Recall@20": comparison})
    csv_file, markdown_file = write_table(marked, tmp_path / "table")
    assert "▲" in markdown_file.read_text(encoding="utf-8")
    read = pd.read_csv(csv_file, keep_default_na=False)
    pd.testing.assert_frame_equal(read, marked)


@pytest.mark.parametrize(
    "name, values, expected",
    [
        ("recall@20", [0.116, 0.07667], ".4f"),
        ("valid ndcg@20", [0.0086, float("nan"), 0.3], ".4f"),
        ("recall@20", [0.0, 0.0], ".4f"),
        ("recall@20 std", [0.001132, 0.0009], ".4g"),  # four decimals would leave one digit
        ("averagepopularity@20", [0.5, 210.6], ".4g"),
        ("recall@20", [-1.5, 0.2], ".4g"),
        ("s/epoch", [0.5, 0.25], ".4g"),
        ("recall@20", [float("nan")], ".4g"),
        ("recall@20", ["▲ 0.1160"], ".4g"),
    ],
)
def test_metrics_have_four_decimals_and_all_else_four_digits(name, values, expected):
    assert number_format(name, pd.Series(values)) == expected


@pytest.mark.parametrize("written", [to_markdown, to_html, to_latex])
def test_every_form_writes_numbers_alike(written):
    text = written(pd.DataFrame({"recall@20": [0.116, 0.07667], "s/epoch": [0.5, 12.345678]}))
    assert "0.1160" in text and "0.0767" in text and "12.35" in text and "0.5000" not in text


def test_the_best_is_the_best_of_what_is_written():
    table = pd.DataFrame({"recall@20": [0.01231, 0.01234, 0.01], "recall@20 std": [0.0, 0.1, 0.2]})
    assert best_cells(table) == {"recall@20": [True, True, False]}
    assert best_cells(table / 10)["recall@20"] == [False, True, False]  # .001231 and .001234
