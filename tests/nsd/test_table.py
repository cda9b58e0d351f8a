"""The table of node classification beside the paper."""

from recbole_sheaf.nsd.table import classification_table


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
