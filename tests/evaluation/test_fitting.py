"""Tables are made to fit by leaving out what can be spared, in order, and no more of it than needed."""

import pandas as pd

from recbole_sheaf.evaluation import to_markdown
from recbole_sheaf.evaluation.fitting import fitted

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
    order = ["parameters", "epochs", "ndcg@20 std", "recall@20 std", "mrr@20"]
    for count in range(1, len(order) + 1):
        room = width(TABLE.drop(columns=order[:count]))
        assert fitted(TABLE, room)[1] == order[:count]


def test_what_tells_rows_apart_marks_and_the_first_metric_stay_however_wide():
    shown, left_out = fitted(pd.concat([TABLE, TABLE.assign(dataset="other")]), 10)
    kept = ["dataset", "model", "seeds", "valid recall@20", "recall@20"]
    assert list(shown) == [*kept, "ndcg@20 mark", "ndcg@20"] and left_out[-2:] == ["experiment", "ablation"]
