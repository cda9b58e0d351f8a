"""The best of a column of a metric: bigger or smaller, among what is compared, as it is shown."""

import pandas as pd
import pytest

from recbole_sheaf.evaluation import to_html, to_latex, to_markdown
from recbole_sheaf.evaluation.best import best_cells, bigger_is_better

TABLE = pd.DataFrame(
    {
        "dataset": ["a", "a", "a", "b", "b", "c"],
        "model": list("xyzxyx"),
        "seeds": [5, 4, 3, 2, 1, 1],
        "recall@20": [0.41161, 0.41163, 0.3, None, 0.1, 0.9],
        "recall@20 std": [0.9, 0.1, 0.1, 0.1, 0.1, 0.1],
        "giniindex@20": [0.9, 0.8, 0.85, 0.2, 0.3, 0.1],
        "averagepopularity@20": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "parameters": [1, 2, 3, 4, 5, 6],
    }
)


def test_the_best_are_found_among_the_rows_of_one_dataset():
    assert best_cells(TABLE) == {
        "recall@20": [True, True, False, False, False, False],  # as shown both are .4116; one alone is no best
        "giniindex@20": [False, True, False, True, False, False],
    }


@pytest.mark.parametrize("metric, bigger", [("Recall@20", True), ("GiniIndex@10", False), ("rmse", False)])
def test_of_some_metrics_less_is_better(metric, bigger):
    assert bigger_is_better(metric) == bigger


def test_bold_cells_keep_the_digits_and_the_width_of_the_others():
    table = TABLE[["model", "recall@20"]].iloc[:3]
    plain = to_markdown(table)
    bold = to_markdown(table, bold={"recall@20": [True, False, False]})
    assert bold.count("\x1b[1m") == bold.count("\x1b[0m") == 1
    assert bold.replace("\x1b[1m", "").replace("\x1b[0m", "") == plain


def test_a_page_takes_no_name_for_markup_and_cuts_no_text():
    long = "a" * 500
    page = to_html(pd.DataFrame({"<i>": ["<script>alert(1)</script>", long], "recall@20": [1 / 3, None]}), "▲ < 0.05")
    assert "<script" not in page and "<i>" not in page and long in page
    assert "<td>0.3333</td>" in page and "<td></td>" in page and "<p>▲ &lt; 0.05</p>" in page
    assert page.startswith("<!doctype html>") and "http" not in page


def test_latex_leaves_out_no_row_of_a_long_table():
    with pd.option_context("styler.render.max_elements", 10):
        assert to_latex(pd.DataFrame({"model": ["x"] * 50})).count(r"x \\") == 50
