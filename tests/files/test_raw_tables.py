"""Tables of strangers as text: in a table with tabs a quote may be a character, or may hold a cell together."""

import pandas as pd
import pytest

from recbole_sheaf.files.raw_tables import read_raw

LITERAL = 'item_id\tplot\n1\t"Boyz" and more\n2\t"Heat"\n3\tplain\n'


def rows(path, text):
    path.write_bytes(text.encode("utf-8"))
    return read_raw(path).texts.to_numpy().tolist()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_quote_that_does_not_end_its_cell_makes_all_quotes_of_a_tsv_characters(tmp_path, newline):
    found = rows(tmp_path / "content.tsv", LITERAL.replace("\n", newline))
    assert found == [["1", '"Boyz" and more'], ["2", '"Heat"'], ["3", "plain"]]


def test_a_lone_quote_swallows_no_line(tmp_path):
    assert rows(tmp_path / "content.tsv", 'item_id\tplot\n1\t"Boyz\n2\tb\n3\t"c\n') == [
        ["1", '"Boyz'],
        ["2", "b"],
        ["3", '"c'],
    ]


@pytest.mark.parametrize("values", [['say "hi"', "b"], ["a\tb", "c"], ["two\nlines", 'and "quotes"'], ['"Heat"', "x"]])
def test_what_pandas_wrote_is_read_back(tmp_path, values):
    table = pd.DataFrame({"item_id": ["1", "2"], "plot": values})
    table.to_csv(tmp_path / "content.tsv", sep="\t", index=False)
    assert read_raw(tmp_path / "content.tsv").texts.to_numpy().tolist() == table.to_numpy().tolist()


def test_a_csv_keeps_its_quoting(tmp_path):
    assert rows(tmp_path / "content.csv", 'item_id,plot\n1,"a, b"\n2,"say ""hi"""\n') == [
        ["1", "a, b"],
        ["2", 'say "hi"'],
    ]
