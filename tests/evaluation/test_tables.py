"""Tables from rows: what is shown, what is refused, and that a file round trip changes nothing."""

import csv
import json

import pytest

from recbole_sheaf.errors import DataError
from recbole_sheaf.evaluation import classification_table, comparison_table, read_rows, to_markdown, write_table


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


def test_classification_gives_the_papers_deviation():
    rows = [
        {"dataset": "texas", "test_accuracy": a, "val_accuracy": a, "seconds": 1.0, "settings": {"restriction_map": m}}
        for m in ("orthogonal", "identity")
        for a in (0.8, 0.9)
    ]
    table = classification_table(rows)
    assert list(table["test accuracy"]) == ["85.00 ± 5.00"] * 2  # divided by the number of folds, not by one less
    assert list(table["paper"]) == ["85.95 ± 5.51", ""]
    assert list(table["folds"]) == [2, 2]
