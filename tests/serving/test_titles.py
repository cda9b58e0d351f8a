"""Titles from tables of several makers."""

import pytest

from recbole_sheaf.errors import DataError, FeatureError
from recbole_sheaf.serving.titles import read_titles

TABLES = [
    ("a.csv", 'item_id,title\ni3,"Third, The"\ni5,"He said ""no"""\n', {"i3": "Third, The", "i5": 'He said "no"'}),
    ("a.csv", "\ufeffitem,year,name\r\ni3,1999,Drei\r\n\r\ni5,2000,Пять\r\n", {"i3": "Drei", "i5": "Пять"}),
    ("a.csv", "id,first,second\ni3,x,y\ni5,,z\n", {"i3": "x"}),
    ("a.csv", "title;item_id\nDrei; i3 \n", {"i3": "Drei"}),
    ("a.txt", "title\tlong\titem_id\nDrei, 3\tx\ti3\n", {"i3": "Drei, 3"}),
    ("a.tsv", 'item_id\ttitle\ni3\t"Third"\ni5\t"The\tFifth"\n', {"i3": "Third", "i5": "The Fifth"}),
    ("a.tsv", 'item_id\tplot\tmovie_title\ni3\tlong\t"Third\ni5\tlong\t\n', {"i3": '"Third'}),
    ("a.item", "item_id:token\tmovie_title:token_seq\ni3\tThird one\nstranger\tNobody\n", {"i3": "Third one"}),
    ("a.item", "item_id:token\tname:token\ttitle:token_seq\ni3\tslug\tThird\n", {"i3": "Third"}),
]


@pytest.mark.parametrize("name, text, titles", TABLES)
def test_titles_are_read_by_item(embeddings, tmp_path, name, text, titles):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_titles(str(tmp_path / name), None, embeddings) == titles


def test_a_column_of_the_dataset_is_read(embeddings, tmp_path):
    path = tmp_path / "toy.item"
    path.write_text("item_id:token\tyear:token\tlabel:token_seq\ni3\t1999\tThird\n")
    assert read_titles("label", path, embeddings) == {"i3": "Third"}
    with pytest.raises(DataError, match="titles=lable is neither a file .*did you mean 'label'"):
        read_titles("lable", path, embeddings)
    with pytest.raises(DataError, match="its columns are none, for there is no such file"):
        read_titles("label", tmp_path / "absent.item", embeddings)
    with pytest.raises(DataError, match="an export knows no columns of its dataset"):
        read_titles("label", None, embeddings)


WRONG = [
    ("absent.csv", None, "absent.csv cannot be read"),
    ("absent.item", None, "absent.item cannot be read"),
    ("a.csv", b"", "a.csv is empty"),
    ("a.csv", b"item_id\ni3\n", "has one column, item_id; expected two"),
    ("a.csv", b"item,title\ni3,\xff\xfe\n", "not text in utf-8 .byte 0xff in line 2"),
    ("a.csv", b"id,first,second\ni3,x,y\ni5\n", "another number of columns .*line 3 has 1"),
    ("a.csv", b"user_id,title\ni3,x\n", "has the columns user_id, title; expected one of items"),
    ("a.csv", b"item_id,asin,title\ni3,i5,x\n", "expected one of items"),
    ("a.csv", b"item,title\ni3,Drei\ni3,Vier\n", "line 3 of .* has another title of the item 'i3'"),
    ("a.csv", b"item,title,item\ni3,Drei,i3\n", "names the column 'item' twice"),
    ("a.csv", b"item,title\nother,Title\n", "has 1 lines and none for an item of the model, such as i"),
    ("a.tsv", b"item\ttitle\ni3\n", "another number of columns"),
]


@pytest.mark.parametrize("name, content, message", WRONG)
def test_what_is_no_table_of_titles_is_refused(embeddings, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((DataError, FeatureError), match=message):
        read_titles(str(tmp_path / name), None, embeddings)
