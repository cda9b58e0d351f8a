"""Tables of a dataset folder, written some rows at a time."""

import tracemalloc

import pandas as pd
import pytest

from recbole_sheaf.data import conversion


def tables():
    frame = pd.DataFrame({"user_id": [f"u{row}" for row in range(8)], "item_id": [f"i{row % 3}" for row in range(8)]})
    return [frame[:5], frame[5:]]


@pytest.mark.parametrize("at_once", [1, 3, 5, 100])
def test_rows_stand_once_and_in_order_however_many_are_written_at_once(at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "ROWS_AT_ONCE", at_once)
    conversion._write_table(tmp_path / "x.inter", tables(), {"user_id": "token", "item_id": "token"})
    rows = [f"u{row}\ti{row % 3}" for row in range(8)]
    assert (tmp_path / "x.inter").read_text() == "\n".join(["user_id:token\titem_id:token", *rows]) + "\n"
    conversion._write_table(tmp_path / "x.item", [tables()[0][["item_id"]]], {})
    assert (tmp_path / "x.item").read_text() == "item_id:token_seq\n" + "".join(f"i{row % 3}\n" for row in range(5))


def test_a_table_is_written_without_a_copy_of_it(tmp_path):
    """Ten million rows took 15 GiB where pandas joined them row by row."""
    rows = 400_000
    frame = pd.DataFrame({"user_id": ["u"] * rows, "item_id": ["i"] * rows})
    tracemalloc.start()
    try:
        conversion._write_table(tmp_path / "x.inter", [frame], {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6  # of 131,072 rows; all of them, held once as lines, are 24 MB and more
