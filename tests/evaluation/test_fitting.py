"""Tables are made to fit by leaving out what can be spared, in order, and no more of it than needed."""

import pandas as pd

from recbole_sheaf.evaluation import to_markdown
from recbole_sheaf.evaluation.fitting import fitted, joined, limits

TABLE = pd.DataFrame(
    [["e", "toy", "real", "MMSheaf", 5, 0.5, 0.01, 0.4, 0.01, "▲", 0.3, 0.2, 3.0, 1000]],
    columns=(
        ["experiment", "dataset", "ablation", "model", "seeds", "valid recall@20", "recall@20 std", "recall@20"]
        + ["ndcg@20 std", "ndcg@20 mark", "ndcg@20", "mrr@20", "epochs", "parameters"]
    ),
)


def width(table):
    return len(to_markdown(table).splitlines()[0])


def test_what_fits_stays_whole():
    shown, left_out = fitted(TABLE, width(TABLE))
    assert list(shown) == list(TABLE) and left_out == []


def test_costs_go_first_then_deviations_then_metrics_from_the_right():
    shared = ["seed", "experiment", "dataset", "ablation"]
    order = ["parameters", "epochs", "ndcg@20 std", "recall@20 std", *shared[1:], "mrr@20", "ndcg@20"]
    table = joined(TABLE)
    for count in range(1, len(order) + 1):
        room = width(table.drop(columns=order[:count]))
        assert fitted(TABLE, room)[1] == order[:count]


def test_what_tells_rows_apart_marks_and_the_first_metric_stay_however_wide():
    shown, left_out = fitted(pd.concat([TABLE, TABLE.assign(dataset="other")]), 10)
    assert list(shown) == ["dataset", "model", "seeds", "valid recall@20", "recall@20"]
    assert left_out[-4:] == ["experiment", "ablation", "mrr@20", "ndcg@20"]


def test_a_mark_stands_before_its_number_and_goes_with_it_alone():
    table = joined(pd.concat([TABLE, TABLE.assign(**{"ndcg@20 mark": None, "ndcg@20": 0.25})]))
    assert list(table["ndcg@20"]) == ["▲ 0.3000", "0.2500"] and "ndcg@20 mark" not in table
    assert "ndcg@20 mark" in fitted(TABLE, width(TABLE))[0], "where it fits each has its column"


def test_long_texts_are_broken_into_lines_the_widest_first_and_lose_nothing():
    table = pd.DataFrame({"model": ["MMSheaf searched"], "settings": ["learning_rate = 0.01, " * 20], "epochs": [3]})
    narrow = limits(table, 60)
    text = to_markdown(table, limits=narrow)
    assert set(narrow) == {"settings"} and max(map(len, text.splitlines())) <= 60
    assert text.count("learning_rate") == 20
    assert limits(table, width(table)) == {}
    assert set(limits(table, 30)) == {"settings", "model"}
