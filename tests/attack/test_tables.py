"""Odd, wrong and hostile tables, lists and ids at `convert`: each gives these very values, or one sentence.

Values are written down by hand, or computed apart by ``csv`` and pandas with ``dtype=str``.
"""

import csv
import gzip
import io
import os
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Callable, Union

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.errors import DataError, FeatureError
from recbole_sheaf.exports.token_files import read_tokens
from recbole_sheaf.features import read_features

HEAD = "user_id,item_id\n"
GOOD = HEAD + "a,x\nb,y\n"
PAIRS = [("a", "x"), ("b", "y")]
COMPOSED, APART = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
Content = Union[bytes, str, Callable]


@dataclass(frozen=True)
class Case:
    """A conversion, and the rows of its ``.inter`` or words of its refusal.

    Attributes:
        name: of the case, unique.
        content: of the table of interactions.
        expected: rows, or words.
        file: the table's name.
        options: of the command beside ``--to``.
        others: files beside the table.
        said: words on the screen.
        item: rows of the ``.item``, where they are looked at.
    """

    name: str
    content: Content
    expected: Union[str, list]
    file: str = "t.csv"
    options: tuple[str, ...] = ()
    others: dict[str, Content] = field(default_factory=dict)
    said: str = ""
    item: Any = None


def lay(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def lines_of(path):
    """Rows of an atomic file, by nothing but tabs and line feeds, and its header."""
    header, *lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    assert "\r" not in header and all(line.count("\t") == header.count("\t") for line in lines)
    return header.split("\t"), [tuple(line.split("\t")) for line in lines]


def judge(case, folder, capsys):
    """The very rows and nothing else on the errors' stream, or one sentence and nothing written."""
    for name, content in {case.file: case.content, **case.others}.items():
        lay(folder, name, content)
    before = sorted(folder.rglob("*"))
    code = main(["convert", case.file, "--to=data/shop", *case.options])
    out, err = capsys.readouterr()
    if isinstance(case.expected, str):
        assert code == 2, f"accepted: {out}"
        assert err.count("\n") == 1 and "Error: " in err and len(err) < 1200, err
        assert case.expected in err, err
        assert sorted(folder.rglob("*")) == before
        return
    assert code == 0, err
    assert err == ""
    shop = folder / "data" / "shop"
    assert lines_of(shop / "shop.inter")[1] == case.expected
    assert case.said in out
    if case.item is not None:
        assert lines_of(shop / "shop.item")[1] == case.item


def cases(*groups):
    found = [case for group in groups for case in group]
    assert len({case.name for case in found}) == len(found)
    return [pytest.param(case, id=case.name) for case in found]


def ids(name, *tokens, expected=None, said=""):
    """Each token as a user's and as an item's id, quoted where CSV wants it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["user_id", "item_id"], *([token, token] for token in tokens)])
    return Case(name, text.getvalue(), [(t, t) for t in tokens] if expected is None else expected, said=said)


FORM = [
    Case("good", GOOD, PAIRS),
    Case("byte order mark", "\ufeff" + GOOD, PAIRS),
    Case("CRLF", GOOD.replace("\n", "\r\n"), PAIRS),
    Case("CR alone", GOOD.replace("\n", "\r"), PAIRS),
    Case("mixed ends", HEAD.replace("\n", "\r\n") + "a,x\rb,y\n", PAIRS),
    Case("no last end", GOOD.rstrip("\n"), PAIRS),
    Case("blank first line", "\n" + GOOD, PAIRS),
    Case("blank first lines with CRLF", "\r\n\r\n" + GOOD.replace("\n", "\r\n"), PAIRS),
    Case("byte order mark and blank line", "\ufeff\n" + GOOD, PAIRS),
    Case("blank line inside", HEAD + "a,x\n\nb,y\n", PAIRS),
    Case("line of blanks inside", HEAD + "a,x\n   \nb,y\n", PAIRS),
    Case("line of blanks first", "   \n" + GOOD, PAIRS),
    Case("blank lines last", GOOD + "\n\n\n", PAIRS),
    Case("blank lines and quotes", '\n"user_id","item_id"\n\n"a","x"\n  \n"b","y"\n\n', PAIRS),
    Case("semicolons", GOOD.replace(",", ";"), PAIRS),
    Case("tabs in csv", GOOD.replace(",", "\t"), PAIRS),
    Case("semicolons around commas", 'user_id;item_id\n"a,1";x\nb,2;y\n', [("a,1", "x"), ("b,2", "y")]),
    Case("quoted header with a semicolon", '"user_id","a;b",item_id\na,1,x\nb,2,y\n', PAIRS),
    Case("commas in quotes of the first line", '"a note, long";user_id;item_id\n1;a;x\n2;b;y\n', PAIRS),
    Case("tabs", GOOD.replace(",", "\t"), PAIRS, "t.tsv"),
    Case("tabs in txt", GOOD.replace(",", "\t"), PAIRS, "t.txt"),
    Case("commas in txt", GOOD, PAIRS, "t.txt"),
    Case("pandas wrote tabs in quotes", 'user_id\titem_id\tt\na\tx\t"1\t2"\nb\ty\t"3\n4"\n', PAIRS, "t.tsv"),
    Case("quotes of an atomic file are characters", 'user_id\titem_id\n"a"\tx\n', [('"a"', "x")], "t.inter"),
    Case("swapped columns", "item_id,user_id\nx,a\ny,b\n", PAIRS),
    Case("other order with more", "n,item_id,m,user_id\n1,x,2,a\n3,y,4,b\n", PAIRS, said="  n        left out\n"),
    Case("names in capitals", "USER_ID,ItemID\na,x\nb,y\n", PAIRS),
    Case("names with blanks", " user_id , item_id \na,x\nb,y\n", PAIRS),
    Case("names with types", "user_id:token,item_id:token\na,x\nb,y\n", PAIRS),
    Case("an index without a name", ",user_id,item_id\n0,a,x\n1,b,y\n", PAIRS, said="(no name)  left out"),
    Case("separators at every end", "user_id,item_id,,\na,x,,\nb,y,,\n", PAIRS),
    Case("line of one row", HEAD + "a,x", PAIRS[:1]),
    Case("a pair twice", HEAD + "a,x\na,x\n", [("a", "x"), ("a", "x")]),
    Case("line ends in another column", 'note,user_id,item_id\n"two\nlines",a,x\n"t\r\n",b,y\n', PAIRS),
    Case("blank before a quote", HEAD + 'a, "x"\n "b" ,y\n'.replace('" ,', '",'), PAIRS),
    Case("a link", lambda path: (lay(path.parent, "real", GOOD), path.symlink_to("real")), PAIRS),
    Case("a wide row elsewhere is text", "user_id,item_id,t\na,x," + "w" * 300_000 + "\nb,y,\n", PAIRS),
    # refused
    Case("nothing", "", "t.csv is empty; expected a header and a line for each row"),
    Case("line ends alone", "\n\r\n\n", "t.csv is empty"),
    Case("blanks alone", "  \n   \n", "t.csv is empty"),
    Case("a mark alone", "\ufeff", "t.csv is empty"),
    Case("header alone", HEAD, "t.csv has no row; expected a header and a line for each of them"),
    Case("header and blank lines", HEAD + "\n\n", "t.csv has no row"),
    Case("header and line of blanks", HEAD + "  \n", "t.csv has no row"),
    Case("long row", HEAD + "a,x\nb,y,z\n", "than its first line, which has 2 (first: line 3 has 3)"),
    Case("all rows long", HEAD + "a,x,1\nb,y,2\n", "t.csv has 2 lines with another number of columns"),
    Case("separator after a row", HEAD + "a,x\nb,y,\n", "(first: line 3 has 3)"),
    Case("separators after all rows", HEAD + "a,x,\nb,y,\n", "t.csv has 2 lines with another number of columns"),
    Case("short row", "user_id,item_id,rating\na,x,3\nb,y\n", "(first: line 3 has 2)"),
    Case("short row after blank lines", "\nuser_id,item_id,rating\n\na,x,3\n\nb,y\n", "(first: line 6 has 2)"),
    Case("long row among quotes", HEAD + '"a","x"\n"b","y","z"\n', "which has 2 (line 3 has 3)"),
    Case("long row after a cell of two lines", HEAD + '"a\n",x\nb,y,z\n', "(line 4 has 3)"),
    Case("a title above", "My clicks\n" + GOOD, "which has 1 (first: line 2 has 2)"),
    Case("quote without end", HEAD + 'a,"x\nb,y\n', "line 2 of t.csv is no CSV (unexpected end of data)"),
    Case("text after a quote", HEAD + 'a,x\nb,"y" z\n', "line 3 of t.csv is no CSV"),
    Case("quotes escaped by a backslash", HEAD + 'a,"x \\"1\\""\n', "line 2 of t.csv is no CSV"),
    Case("a cell beyond csv's bounds", HEAD + '"a","' + "x" * 200_000 + '"\n', "field larger than field limit"),
    Case("NUL in an id", HEAD + "a,x\nb\0,y\n", "t.csv is no table of text: line 3 has a NUL byte"),
    Case("NUL in the header", "user_id\0,item_id\na,x\n", "line 1 has a NUL byte"),
    Case("UTF-16", GOOD.encode("utf-16"), "is not text in utf-8 (byte 0xff in line 1)"),
    Case("UTF-16 without a mark", GOOD.encode("utf-16-le"), "line 1 has a NUL byte"),
    Case("latin1 in line 3", (HEAD + "a,x\nb,é\n").encode("latin1"), "(byte 0xe9 in line 3); save it as UTF-8"),
    Case("two encodings", (HEAD + "a,é\n").encode() + "b,é\n".encode("latin1"), "(byte 0xe9 in line 3)"),
    Case("a letter cut in two", GOOD.encode() + "c,й".encode()[:-1], "(byte 0xd0 in line 4)"),
    Case("gzip", gzip.compress(GOOD.encode()), "is not text in utf-8 (byte 0x8b in line 1)"),
    Case("gzip of gzip", gzip.compress(gzip.compress(b"")), "ends in '.gz', expected a table", "t.csv.gz"),
    Case("zip", b"PK\3\4", "ends in '.zip', expected a table: .csv, .tsv, .txt, .inter, .item, .parquet; unp", "t.zip"),
    Case("no ending", GOOD, "t ends in '', expected a table", "t"),
    Case("an image", b"\x89PNG\r\n\x1a\n\0\0", "is not text in utf-8 (byte 0x89 in line 1)"),
    Case("a name twice", "user_id,item_id,item_id\na,x,y\n", "t.csv names the column 'item_id' twice"),
    Case("a name twice but for blanks", "user_id,item_id, item_id\na,x,y\n", "names the column 'item_id' twice"),
    Case("a name twice in quotes", '"user_id","n","n","item_id"\na,1,2,x\n', "names the column 'n' twice"),
    Case("header again", GOOD + HEAD + "c,z\n", "line 4 of t.csv is its header again; drop that line"),
    Case("header and mark again", GOOD + "\ufeff" + GOOD, "user_id holds a tab, a line end or another character"),
    Case("header again in quotes", '"user_id","item_id"\n"a","x"\n"user_id","item_id"\n', "line 3 of t.csv is its hea"),
    Case("a pipe", lambda path: os.mkfifo(path), "it is a pipe"),
    Case("a device", lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    Case("a folder", lambda path: path.mkdir(), "t.csv is no MMRec folder"),
    Case("a link to nothing", lambda path: path.symlink_to("absent"), "t.csv cannot be read (No such file"),
]  # fmt: skip

TOKENS = [
    ids("zeros before", "007", "07", "7"),
    ids("missing to pandas", "NA", "nan", "null", "None", "N/A", "NaN", "<NA>", "-nan", "#N/A"),
    ids("truth", "True", "False", "true"),
    ids("numbers as they are written", "1e5", "1E5", "100000", "+1", "1", "-1", "0x1", "1_0"),
    ids("points kept", "1.0", "2.50", "3.14"),
    ids("beyond 2^53", "9007199254740992", "9007199254740993", "18446744073709551617", "9" * 40),
    ids("dates", "2024-01-01", "01/02/2024"),
    ids("letters of the world", "анна", "名前", "\U0001f600", "ß", "ss"),
    ids("letters that are alike and not the same", "m²", "m2", "\ufb01", "fi", "\u2163", "IV"),
    ids("capitals", "V1", "v1"),
    ids("blanks inside", "a b", "a  b"),
    ids("commas and quotes", "a,b", 'say "hi"', '"', "'"),
    ids("signs", "#1", "=1+1", "\\N", "a:b", "a;b", "%s", "{x}", "../x", "$(x)", "<b>", "-"),
    ids("blanks around", " a", "b ", "  c  ", expected=[(t, t) for t in "abc"]),
    ids("blanks of Unicode around", "\u00a0a", "b\u3000", "\u2003c", expected=[(t, t) for t in "abc"]),
    ids("tabs around in quotes", "a\t", "\tb", expected=[("a", "a"), ("b", "b")]),
    ids("one with blanks is the same", "a", " a", "a ", expected=[("a", "a")] * 3),
    ids("as long as may be", "x" * 1024),
    ids("composed letters alone", COMPOSED),
    ids("letters apart alone", APART),
    ids("joiners alone", "\u200d\U0001f468\u200d\U0001f469"),
    # refused
    ids("empty", "a", "", expected="user_id is empty in 1 row of t.csv (first: line 3); mend or drop them"),
    ids("blanks alone in id", "a", "b", "  ", expected="user_id is empty in 1 row of t.csv (first: line 4)"),
    ids("blanks of Unicode alone", "a", "\u00a0", expected="user_id is empty in 1 row of t.csv (first: line 3)"),
    Case("item empty twice", HEAD + "a,\nb,\nc,z\n", "item_id is empty in 2 rows of t.csv (first: line 2)"),
    Case("user empty after blank lines", HEAD + "\na,x\n\n,y\n", "user_id is empty in 1 row of t.csv (first: line 5)"),
    ids("padding", "a", "[PAD]", expected="user_id is [PAD], RecBole's name for nobody in 1 row of t.csv (first: lin"),
    ids("padding with blanks", "a", " [PAD] ", expected="user_id is [PAD]"),
    *(
        ids(f"character {ord(sign):04x} inside", "a", f"b{sign}c", expected="(first: line 3); mend or drop them")
        for sign in "\t\n\x0b\x0c\x1b\x1c\x7f\x85\u2028\u2029\ufeff\x01"
    ),
    ids("too long", "x" * 1025, expected="user_id is longer than 1,024 characters in 1 row of t.csv (first: line 2)"),
    ids("two Unicode forms", COMPOSED, APART, expected="the users 'caf\\xe9' and 'cafe\\u0301' differ in how they are"),
    ids("a point more", "1", "1.0", expected="the users '1' and '1.0' differ in how they are written alone"),
    ids("a letter of no width", "ж", "ж\u200b", expected="'\\u0436' and '\\u0436\\u200b' differ in how they are writt"),
    ids("a blank of another kind", "ж 1", "ж\u00a01", expected="differ in how they are written alone; write each id i"),
    Case("items alike, users not", HEAD + "a,10\nb,10.00\n", "the items '10' and '10.00' differ in how"),
]  # fmt: skip

ELLIOT = ("--layout=elliot",)
RATED = "user_id,item_id,rating,timestamp\n"
COLUMNS = [
    Case("no column of users", "who,item_id\na,x\n", "t.csv has no column of users under a usual name; its columns ar"),
    Case("no column of items", "user_id,what\na,x\n", "t.csv has no column of items under a usual name"),
    Case("no header", "196\t242\t3\t881250949\n", "t.tsv has no row", "t.tsv"),
    Case("no header, two rows", "196\t242\t3\n186\t302\t3\n", "its columns are 196, 242, 3: name it with", "t.tsv"),
    Case("named columns", "who,what\na,x\nb,y\n", PAIRS, options=("--user=who", "--item=what"), said="  who   user_id"),
    Case("named against the usual", "user_id,item_id\nx,a\ny,b\n", PAIRS, options=("--user=item_id", "--item=user_id")),
    Case("a name that is not there", GOOD, "no column 'usr' (did you mean 'user_id'?)", options=("--user=usr",)),
    Case("one column for two", GOOD, "has one column 'user_id', which is named for two",
         options=("--user=user_id", "--item=user_id")),
    Case("times as ratings", RATED + "a,x,3,5\n", "named for two things",
         options=("--rating=timestamp", "--time=timestamp")),
    Case("users left out", GOOD, "--user is empty; interactions need users and items", options=("--user=",)),
    Case("items left out", GOOD, "--item is empty; interactions need users and items", options=("--item=",)),
    Case("ratings and times", RATED + "a,x,3,5\nb,y,4.5,6\n", [("a", "x", "3", "5"), ("b", "y", "4.5", "6")]),
    Case("no ratings on purpose", RATED + "a,x,-,5\n", [("a", "x", "5")], options=("--rating=",),
         said="  rating     left out\n"),
    Case("no times on purpose", RATED + "a,x,3,-\n", [("a", "x", "3")], options=("--time=",),
         said="  timestamp  left out\n"),
    Case("neither on purpose", RATED + "a,x,-,-\n", [("a", "x")], options=("--time=", "--rating=")),
    Case("a column like times is said", "user_id,item_id,watched_at\na,x,5\n", [("a", "x")],
         said="  watched_at  left out; if it holds times, name it with --time=watched_at\n"),
    Case("named times", "user_id,item_id,watched_at\na,x,5\n", [("a", "x", "5")], options=("--time=watched_at",),
         said="  watched_at  timestamp\n"),
    Case("two of times", "user_id,item_id,date,time\na,x,5,6\n",
         "t.csv has 2 columns that may be its times, 'date', 'time'; name one with --time=COLUMN, or leave all out wi"),
    Case("one of two times", "user_id,item_id,date,time\na,x,5,6\n", [("a", "x", "6")], options=("--time=time",)),
    Case("none of two times", "user_id,item_id,date,time\na,x,5,6\n", [("a", "x")], options=("--time=",)),
    Case("two of users", "user_id,uid,item_id\na,1,x\n", "t.csv has 2 columns that may be its users, 'user_id', 'uid'"),
    Case("two of items", "user_id,item_id,asin\na,x,1\n", "t.csv has 2 columns that may be its items, 'item_id', 'asi"),
    Case("two of ratings", "user_id,item_id,rating,stars\na,x,1,2\n", "that may be its ratings, 'rating', 'stars'"),
    Case("two types of one", "user_id:token,user_id:float,item_id\na,1,x\n", "2 columns that may be its users"),
    Case("what one is named for is no other", "uid,user_id,item_id\nx,a,1\n", [("a", "x")], options=("--item=uid",)),
    Case("a name with an escape", "user_id,item_id,\x1b[31mred\na,x,1\n", PAIRS[:1], said="  '\\x1b[31mred'  left out"),
    *(
        Case(f"rating {text!r}", f"{RATED}a,x,3,5\nb,y,\"{text}\",6\n",
             f"rating is {text!r} in line 3 of t.csv, expected a number that float32 can hold (1 such rows)")
        for text in ("", "good", "nan", "inf", "-inf", "1e39", "4,5", "1_000", "٥", "0x10", "3/5", "True")
    ),
    Case("ratings with blanks", RATED + "a,x, 3 ,5\nb,y,1,6\n",
         [("a", "x", "3", "5"), ("b", "y", "1", "6")]),
    Case("a rating to its last digit", RATED + "a,x,0.30000000000000004,5\n", [("a", "x", "0.30000000000000004", "5")]),
    Case("no time", RATED + "a,x,3,2024-01-01\nb,y,3,yesterday\n", "timestamp is 'yesterday' in line 3 of t.csv"),
    Case("time empty", RATED + "a,x,3,2024-01-01\n\nb,y,3,\n", "timestamp is '' in line 4 of t.csv"),
    Case("Elliot's", "a\tx\t3\t5\nb\ty\t4\t6\n", [("a", "x", "3", "5"), ("b", "y", "4", "6")], "t.tsv", ELLIOT),
    Case("Elliot's pairs", "\ufeffa\tx\r\nb\ty\r\n", PAIRS, "t.tsv", ELLIOT),
    Case("Elliot's without times", "a\tx\t3\t5\n", [("a", "x", "3")], "t.tsv", ("--layout=elliot", "--time=")),
    Case("Elliot's with commas", "a,x\nb,y\n", PAIRS, options=ELLIOT),
    Case("Elliot's with a header", GOOD, "t.csv names its columns in line 1; leave --layout=elliot", options=ELLIOT),
    Case("Elliot's with a header after a blank line", "\nuserId,movieId,rating,timestamp\na,x,3,4\n",
         "t.csv names its columns in line 2", options=ELLIOT),
    Case("Elliot's of one column", "a\nb\n", "t.csv has 1 columns; expected user, item", options=ELLIOT),
    Case("Elliot's of five", "a,x,1,2,3\n", "t.csv has 5 columns; expected user, item", options=ELLIOT),
    Case("Elliot's with a short row", "a,x,1\nb,y\n", "(first: line 2 has 2)", options=ELLIOT),
    Case("Elliot's with an empty id", "a,x\n,y\n", "user_id is empty in 1 row of t.csv (first: line", options=ELLIOT),
]  # fmt: skip


def with_items(name, table, expected, options=(), inter=GOOD, said=""):
    """Interactions of x and y beside an item table; rows of the .item, or words."""
    options = ("--items=items.csv", *options)
    if isinstance(expected, str):
        return Case(name, inter, expected, options=options, others={"items.csv": table})
    return Case(name, inter, PAIRS, options=options, others={"items.csv": table}, said=said, item=expected)


TITLE = ("--text=title",)
ITEMS = [
    with_items("items in any order", "title,item_id\nEx,x\nWhy,y\nZed,z\n",
               [("x", "Ex"), ("y", "Why"), ("z", "Zed")], TITLE),
    with_items("items under id", "title,id\nEx,x\n", [("x", "Ex"), ("y", "")], TITLE, said="  id     item_id\n"),
    with_items("item_id before id", "id,title,item_id\n1,Ex,x\n", [("x", "Ex"), ("y", "")], TITLE),
    with_items("items by a name", "code,title,id\nx,Ex,1\n", [("x", "Ex"), ("y", "")], (*TITLE, "--items-id=code")),
    with_items("titles that miss to pandas", "id,title\nx,NA\ny,null\n", [("x", "NA"), ("y", "null")], TITLE),
    with_items("titles in one line", 'id,title\nx,"a\n b\t\x0bc"\ny," "\n', [("x", "a b c"), ("y", "")], TITLE),
    with_items("controls in titles", "id,title\nx,a\x1b[31m\x85b\n", [("x", "a [31m b"), ("y", "")], TITLE),
    with_items("quotes in titles", 'id,title\nx,"say ""hi"""\n', [("x", 'say "hi"'), ("y", "")], TITLE),
    with_items("items with blanks", "id,title\n x ,Ex\n", [("x", "Ex"), ("y", "")], TITLE),
    with_items("items without text", "id\nx\nz\n", [("x",), ("y",), ("z",)]),
    with_items("more columns", "id,title,year\nx,Ex,1\n", [("x", "Ex"), ("y", "")], TITLE, said="  year   left out\n"),
    # refused
    with_items("no name of items", "title,code\nEx,x\n", "items.csv has no column of items under a usual name; its co"),
    with_items("two names of items", "item_id,asin\nx,1\n", "items.csv has several columns that may be its items, 'it"),
    with_items("an absent name", "id,title\nx,Ex\n", "items.csv has no column 'code'", ("--items-id=code",)),
    with_items("an absent text", "id,title\nx,Ex\n", "has no column 'tite' (did you mean 'title'?)", ("--text=tite",)),
    with_items("an item twice", "id,title\nx,Ex\n\nx,Other\n", "(first: 'x' in line 4); keep one row for each item"),
    with_items("an item twice but for blanks", "id,title\nx,Ex\nx ,Ex\n", "(first: 'x' in line 3)"),
    with_items("no item", "id,title\nx,Ex\n ,Why\n", "id is empty in 1 row of items.csv (first: line 3)"),
    with_items("items ragged", "id,title\nx,Ex, 2\n", "items.csv has 1 line with another number of columns"),
    with_items("items' header again", "id,title\nx,Ex\nid,title\n", "line 3 of items.csv is its header again"),
    with_items("no items", "id,title\n", "items.csv has no row"),
    with_items("text of RecBole's name", "id,rating\nx,3\n", "--text=rating cannot name a column", ("--text=rating",)),
    with_items("text of the ids", "item_id,title\nx,3\n", "--text=item_id cannot name a column", ("--text=item_id",)),
    with_items("text with a colon", "id,a:b:c\nx,3\n", "--text=a:b:c cannot name a column", ("--text=a:b:c",)),
    with_items("items with points", "id\n1.0\n2.0\n", "the items '1' and '1.0' differ", inter=HEAD + "a,1\nb,2\n"),
    with_items("items in another form", f"id\n{APART}\n", "differ in how they are", inter=f"{HEAD}a,{COMPOSED}\n"),
    Case("text without a table", GOOD, "give that table with --items=PATH", options=TITLE),
    Case("ids without a table", GOOD, "give that table with --items=PATH", options=("--items-id=id",)),
]  # fmt: skip


def parquet(**columns):
    return lambda path: pyarrow.parquet.write_table(pyarrow.table(columns), path)


def of_users(name, array, expected):
    """A column of any type as users."""
    rows = [(user, "x") for user in expected] if isinstance(expected, list) else expected
    return Case(f"parquet {name}", parquet(user_id=array, item_id=["x"] * len(array)), rows, "t.parquet")


def typed(values, kind):
    return pyarrow.array(values, kind)


def alike(count, length=1):
    """Many times one text, which Parquet holds once."""
    return pyarrow.DictionaryArray.from_arrays(np.zeros(count, np.int32), ["w" * length])


def endless_list():
    """One list of 4,000 texts of 10 kB."""
    return pyarrow.array([["w" * 10_000] * 4000])


def twice_named(path):
    table = pyarrow.table([pyarrow.array(["a"])] * 3, names=["user_id", "item_id", "item_id"])
    pyarrow.parquet.write_table(table, path)


def beside(**columns):
    return parquet(user_id=["a", "b"], item_id=["x", "y"], **columns)


PARQUET = [
    of_users("text", typed([" a", "NA", "007"], pyarrow.string()), ["a", "NA", "007"]),
    of_users("large text", typed(["a", "b"], pyarrow.large_string()), ["a", "b"]),
    of_users("bytes of text", typed(["é".encode()], pyarrow.binary()), ["é"]),
    of_users("whole numbers", typed([2**53 + 1, -(2**63)], pyarrow.int64()), ["9007199254740993", "-" + str(2**63)]),
    of_users("numbers without sign", typed([2**64 - 1], pyarrow.uint64()), ["18446744073709551615"]),
    of_users("whole floats", typed([3.0, 2.0**53 - 1, -0.0], pyarrow.float64()), ["3", "9007199254740991", "0"]),
    of_users("whole half floats", pyarrow.array(np.array([3, 4], np.float16)), ["3", "4"]),
    of_users("dictionary", pyarrow.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    of_users("decimals", typed([12, 10**20], pyarrow.decimal128(30, 0)), ["12", "1" + "0" * 20]),
    of_users("floats with fractions", typed([1.0, 1.5], pyarrow.float64()), "user_id of t.parquet is of type double w"),
    of_users("floats beyond 2^53", typed([2.0**53], pyarrow.float64()), "is of type double with fractions or beyond"),
    of_users("floats beyond 2^24", typed([2.0**24], pyarrow.float32()), "is of type float with fractions or beyond 16"),
    of_users("floats that are none", typed([1.0, float("nan")], pyarrow.float64()), "is of type double"),
    of_users("missing", typed(["a", None], pyarrow.string()), "user_id is empty in 1 row of t.parquet (first: row 2)"),
    of_users("missing numbers", typed([1, None], pyarrow.int64()), "user_id is empty in 1 row of t.parquet (first: r"),
    of_users("missing floats", typed([None, 1.0], pyarrow.float64()), "user_id is empty in 1 row of t.parquet (first"),
    of_users("missing all", pyarrow.nulls(2), "user_id is empty in 2 rows of t.parquet (first: row 1)"),
    of_users("truth", typed([True, False], pyarrow.bool_()), "user_id of t.parquet is of type bool; expected ids, tex"),
    of_users("times", typed([1, 2], pyarrow.timestamp("us")), "user_id of t.parquet is of type timestamp[us]"),
    of_users("dates", typed([1, 2], pyarrow.date32()), "user_id of t.parquet is of type date32"),
    of_users("lists", typed([["a"], ["b"]], pyarrow.list_(pyarrow.string())), "user_id of t.parquet is of type list"),
    of_users("structs", typed([{"a": 1}], pyarrow.struct({"a": pyarrow.int64()})), "user_id of t.parquet is of type s"),
    of_users("decimals with digits", typed([1], pyarrow.decimal128(5, 2)), "is of type decimal128(5, 2)"),
    of_users("bytes of no text", typed([b"\xff"], pyarrow.binary()), "user_id of t.parquet is of type"),
    of_users("NUL", typed(["a\0", "a"], pyarrow.string()), "user_id holds a tab, a line end or another character that"),
    of_users("tab", typed(["a\tb"], pyarrow.string()), "user_id holds a tab, a line end"),
    of_users("no row", typed([], pyarrow.string()), "t.parquet has no row"),
    Case("parquet name twice", twice_named, "t.parquet names a column twice", "t.parquet"),
    Case("parquet damaged", b"PAR1" + b"\0" * 50 + b"PAR1", "t.parquet cannot be read", "t.parquet"),
    Case("parquet of nothing", b"", "t.parquet cannot be read", "t.parquet"),
    Case("parquet that is CSV", GOOD, "t.parquet cannot be read", "t.parquet"),
    Case("parquet with structs beside", beside(s=[{"a": 1}] * 2), PAIRS, "t.parquet", said="  s        left out\n"),
    Case("parquet with bytes beside", beside(s=[b"\xff", b"\xfe"]), PAIRS, "t.parquet", said="  s        left out\n"),
    Case("parquet rating none", beside(rating=[1.0, None]), "rating is '' in row 2 of t.parquet", "t.parquet"),
    Case("parquet rating NaN", beside(rating=[float("nan"), 1]), "rating is 'nan' in row 1 of t.parquet", "t.parquet"),
    Case("parquet rating of floats", beside(rating=[0.1, 1e-7]), [("a", "x", "0.1"), ("b", "y", "1e-7")], "t.parquet"),
    Case("parquet of one text without end", parquet(user_id=["a"] * 5000, item_id=["x"] * 5000, t=alike(5000, 100_000)),
         "t.parquet claims to unfold into", "t.parquet"),
    Case("parquet of a list without end", lambda path: parquet(user_id=["a"], item_id=["x"], t=endless_list())(path),
         "t.parquet claims to unfold into", "t.parquet"),
    Case("parquet of rows without end", parquet(user_id=alike(5_000_000), item_id=alike(5_000_000)),
         "t.parquet claims to unfold into", "t.parquet"),
]  # fmt: skip


@pytest.mark.parametrize("case", cases(FORM, TOKENS, COLUMNS, ITEMS, PARQUET))
def test_a_table_is_right_or_refused(workplace, capsys, recwarn, case):
    judge(case, workplace, capsys)
    assert not [warning for warning in recwarn if issubclass(warning.category, pd.errors.ParserWarning)]


def npz(tokens, rows=None):
    matrix = np.ones((len(tokens), 2), np.float32) if rows is None else rows
    array = np.array(tokens, dtype=str) if isinstance(tokens, list) else tokens
    return lambda path: np.savez(path, item_id=array, feature=matrix)


def one_vector(path):
    np.save(path, np.ones(2))


ROWS = {"v.npy": lambda path: np.save(path, np.ones((2, 2), np.float32))}
VECTORS = [  # name, the option's place, files, and tokens or words
    ("ids", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\ny\n"}, ["x", "y"]),
    ("ids with blanks", "v.npy:ids.txt", {**ROWS, "ids.txt": " x\ny \n"}, ["x", "y"]),
    ("ids with CRLF", "v.npy:ids.txt", {**ROWS, "ids.txt": "\ufeffx\r\ny"}, ["x", "y"]),
    ("ids with CR", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\ry\r"}, ["x", "y"]),
    ("ids with a name", "v.npy:ids.txt", {**ROWS, "ids.txt": "item_id\nx\ny\n"}, ["x", "y"]),
    ("ids with another name", "v.npy:ids.txt", {**ROWS, "ids.txt": "ItemID:token\nx\ny\n"}, ["x", "y"]),
    ("ids in quotes", "v.npy:ids.csv", {**ROWS, "ids.csv": 'item\n"x"\n" y"\n'}, ["x", "y"]),
    ("ids of users", "v.npy:ids.txt", {**ROWS, "ids.txt": "user_id\nx\ny\n"}, "ids.txt names users in its first line,"),
    ("ids with a blank line", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\n\ny\n"}, "the item id in line 2 of ids.txt is"),
    ("ids with a line of blanks", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\n \n"}, "the item id in line 2 of ids.txt i"),
    ("ids with a NUL", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\ny\0\n"}, "the item id in line 2 of ids.txt holds"),
    ("ids with a tab", "v.npy:ids.txt", {**ROWS, "ids.txt": "item\nx\ty\ny\n"}, "the item id in line 2 of ids.txt hol"),
    ("ids with a separator of lines", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\u2028y\ny\n"}, "line 1 of ids.txt holds"),
    ("ids too long", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\n" + "y" * 2000}, "line 2 of ids.txt is longer than 1,02"),
    ("ids twice", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\nx \n"}, "more than once (first: 'x')"),
    ("ids too few", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\n"}, "ids.txt has 1 item ids but v.npy has 2 rows"),
    ("ids of nothing", "v.npy:ids.txt", {**ROWS, "ids.txt": ""}, "ids.txt has 0 item ids but v.npy has 2 rows"),
    ("ids in another form", "v.npy:ids.txt", {**ROWS, "ids.txt": f"x\n{APART}"}, "differ in how they are written alon"),
    ("ids with points", "v.npy:ids.txt", {**ROWS, "ids.txt": "x\n7.0\n"}, "the items '7' and '7.0' differ"),
    ("ids in latin1", "v.npy:ids.txt", {**ROWS, "ids.txt": b"x\n\xe9"}, "ids.txt is no text in UTF-8"),
    ("ids for npz", "v.npz:ids.txt", {"v.npz": npz(["x", "y"]), "ids.txt": "y\nx\n"}, "holds the ids of its rows, but"),
    ("ids for a folder", "v:ids.txt", {"v/x.npy": one_vector, "ids.txt": "x"}, "v is a folder, wh"),
    ("npz", "v.npz", {"v.npz": npz(["x", "z"])}, ["x", "z"]),
    ("npz with blanks", "v.npz", {"v.npz": npz([" x", "z "])}, ["x", "z"]),
    ("npz with blanks twice", "v.npz", {"v.npz": npz(["x", "x "])}, "more than once (first: 'x')"),
    ("npz of whole numbers", "v.npz", {"v.npz": npz(np.array([7, 2**63 - 1]))}, ["7", "9223372036854775807"]),
    ("npz of floats", "v.npz", {"v.npz": npz(np.array([1.0, 2.0]))}, "item_id of type float64"),
    ("npz with an empty id", "v.npz", {"v.npz": npz(["x", ""])}, "the item id of row 2 of v.npz, '', is empty"),
    ("npz with a tab", "v.npz", {"v.npz": npz(["x", "y\tz"])}, "the item id of row 2 of v.npz, 'y\\tz', holds a tab"),
    ("npz with half a character", "v.npz", {"v.npz": npz(["x", "\ud800"])}, "row 2 of v.npz, '\\ud800', holds"),
    ("npz of nothing", "v.npz", {"v.npz": b""}, "v.npz is empty, 0 bytes"),
    ("npy of nothing", "v.npy", {"v.npy": b""}, "v.npy is empty, 0 bytes"),
    ("parquet of nothing", "v.parquet", {"v.parquet": b""}, "v.parquet is empty, 0 bytes"),
    ("safetensors of nothing", "v.safetensors", {"v.safetensors": b""}, "v.safetensors is empty, 0 bytes"),
    ("npz without rows", "v.npz", {"v.npz": npz([], np.ones((0, 2)))}, "v.npz has feature of shape (0, 2), with no ro"),
    ("npy without rows", "v.npy", {"v.npy": lambda path: np.save(path, np.ones((0, 2)))}, "(0, 2), with no row"),
    ("a folder of nothing", "v", {"v/x.txt": ""}, "v holds no .npy"),
    ("names of files with blanks", "v", {"v/ x .npy": one_vector}, ["x"]),
    ("names of files of bytes", "v", {os.fsdecode(b"v/x\xff.npy"): one_vector}, "'x\\udcff', holds"),
]  # fmt: skip


@pytest.mark.parametrize("place, files, expected", [pytest.param(*row[1:], id=row[0]) for row in VECTORS])
def test_vectors_have_the_ids_of_the_tables_or_are_refused(workplace, capsys, place, files, expected):
    inter = f"{HEAD}a,x\nb,y\nb,7\nb,{COMPOSED}\n"
    rows = [("a", "x"), ("b", "y"), ("b", "7"), ("b", COMPOSED)]
    refusal = expected if isinstance(expected, str) else rows
    judge(Case("", inter, refusal, options=(f"--features=v={place}",), others=files), workplace, capsys)
    if not isinstance(expected, str):
        assert read_features(workplace / "data/shop/features/v.npz")[0] == expected
        items = {row[0] for row in lines_of(workplace / "data/shop/shop.item")[1]}
        assert items == {item for _, item in rows} | set(expected)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a:b", "a\tb"])
def test_a_modality_that_names_no_file_is_refused(workplace, capsys, name):
    judge(Case("", GOOD, "is not understood", options=(f"--features={name}=v.npy",), others=ROWS), workplace, capsys)


LISTS = [  # name, kind, file, content, and tokens or words
    ("users", "user", "t.csv", "u1\nu2\n", ["u1", "u2"]),
    ("users twice", "user", "t.csv", "u1\nu2\nu1 \n", ["u1", "u2"]),
    ("users with a name", "user", "t.csv", "user\nu1\n", ["u1"]),
    ("users with a typed name", "user", "t.tsv", "USER_ID:token\nu1\n", ["u1"]),
    ("tokens", "user", "t.txt", "token\nu1\n", ["u1"]),
    ("items with a name", "item", "t.csv", "\ufeffitem_id\r\ni1\r\n", ["i1"]),
    ("items without a name", "item", "t.txt", "\n i1 \n\ni2", ["i1", "i2"]),
    ("numbers as they are", "item", "t.csv", "007\n7\nNA\n9007199254740993", ["007", "7", "NA", str(2**53 + 1)]),
    ("quotes", "user", "t.csv", '"u,1"\n"say ""hi"""\n', ["u,1", 'say "hi"']),
    ("a name in quotes", "user", "t.csv", '"user_id"\n"u1"\n', ["u1"]),
    ("visitors", "user", "t.csv", "user,item\nv,i1\nw,i2\nv,i3\n", {"v": ["i1", "i3"], "w": ["i2"]}),
    ("visitors by name", "user", "t.csv", "item_id,user_id\ni1,v\ni2,v\n", {"v": ["i1", "i2"]}),
    ("visitors with blanks", "user", "t.csv", " item , user \n i1 , v \n", {"v": ["i1"]}),
    ("visitors with tabs", "user", "t.tsv", "movieId\tuserId\ni1\tv\n", {"v": ["i1"]}),
    ("visitors with tabs in txt", "user", "t.txt", "asin\treviewerID\ni1\tv\n", {"v": ["i1"]}),
    ("visitors with semicolons", "user", "t.csv", "user;item\nv;i1\n", {"v": ["i1"]}),
    ("visitors after blank lines", "user", "t.csv", "\n\nuser,item\n\nv,i1\n", {"v": ["i1"]}),
    # refused
    ("items as users", "user", "t.csv", "item\ni1\n", "first line of t.csv is 'item'; expected it to name the columns"),
    ("items as users, typed", "user", "t.csv", "item_id:token\ni1\n", "first line of t.csv is 'item_id:token'"),
    ("users as items", "item", "t.csv", "user_id\ni1\n", "first line of t.csv is 'user_id'; expected it to name the c"),
    ("visitors as items", "item", "t.csv", "user,item\nv,i1\n", "first line of t.csv is 'user,item'; expected"),
    ("visitors without names", "user", "t.csv", "v,i1\nv,i2\n", "first line of t.csv is 'v,i1'; expected it to name t"),
    ("visitors with other names", "user", "t.csv", "who,what\nv,i1\n", "first line of t.csv is 'who,what'"),
    ("visitors with one name", "user", "t.csv", "user,what\nv,i1\n", "first line of t.csv is 'user,what'"),
    ("users and users", "user", "t.csv", "user,user_id\nv,i1\n", "first line of t.csv is 'user,user_id'"),
    ("what recommend wrote", "user", "t.csv", "user,rank,item,score\nv,1,i1,.5\n", "is 'user,rank,item,score'; expect"),
    ("an index", "user", "t.csv", ",user,item\n0,v,i1\n", "is ',user,item'; expected it"),
    ("a long line", "user", "t.csv", "user,item\nv,i1\nv,i1,2\n", "(first: line 3 has 3)"),
    ("a short line", "user", "t.csv", "user,item\nv,i1\nv\n", "(first: line 3 has 1)"),
    ("no item", "user", "t.csv", "user,item\n\nv,i1\nv, \n", "line 4 of t.csv is 'v,', where a token is empty"),
    ("no user", "user", "t.csv", "user,item\n,i1\n", "line 2 of t.csv is ',i1', where a token is empty"),
    ("an empty cell alone", "user", "t.csv", 'user\nu1\n""\n', "line 3 of t.csv is '', where a token is empty"),
    ("padding", "user", "t.csv", "user\n[PAD]\n", "line 2 of t.csv is '[PAD]', where a token is [PAD]"),
    ("NUL", "user", "t.csv", "u1\nu2\0\n", "line 2 has a NUL byte"),
    ("a control", "user", "t.csv", "u1\nu\x1b2\n", "line 2 of t.csv is 'u\\x1b2', where a token holds"),
    ("a line end", "user", "t.csv", 'u1\n"u\n2"\n', "line 2 of t.csv is 'u\\n2', where a token holds"),
    ("a mark inside", "user", "t.csv", "u1\n\ufeffu2\n", "line 2 of t.csv is '\\ufeffu2', where a token holds"),
    ("too long", "user", "t.csv", "u1\n" + "u" * 2000, "a token is longer than 1,024 characters"),
    ("no end of quotes", "user", "t.csv", 'u1\n"u2\nu3\n', "line 2 of t.csv is no CSV"),
    ("nothing at all", "user", "t.csv", "", "t.csv is empty"),
    ("blank lines", "user", "t.csv", "\n \n", "t.csv is empty"),
    ("a name alone", "user", "t.csv", "user\n", "t.csv names nobody"),
    ("two names alone", "user", "t.csv", "user,item\n\n", "t.csv names nobody"),
    ("utf-16", "user", "t.csv", "u1\nu2\n".encode("utf-16"), "is not text in utf-8"),
    ("latin1", "user", "t.csv", b"u1\n\xe9\n", "(byte 0xe9 in line 2)"),
    ("gzip", "user", "t.csv", gzip.compress(b"u1\n"), "is not text in utf-8"),
    ("a pipe", "user", "t.csv", lambda path: os.mkfifo(path), "it is a pipe"),
    ("a device", "item", "t.csv", lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    ("a folder", "item", "t.csv", lambda path: path.mkdir(), "it is a folder"),
    ("nowhere", "item", "t.csv", lambda path: None, "t.csv cannot be read (No such file"),
]  # fmt: skip


@pytest.mark.parametrize("kind, file, content, expected", [pytest.param(*row[1:], id=row[0]) for row in LISTS])
def test_a_list_of_users_or_items_is_right_or_refused(workplace, kind, file, content, expected):
    lay(workplace, file, content)
    try:
        found = read_tokens(file, kind)
    except DataError as error:
        assert isinstance(expected, str) and expected in str(error) and "\n" not in str(error), str(error)
        return
    assert found == expected


def random_table(seed):
    """Cells that a guess would change, some in need of quotes, under names in any order."""
    draw = np.random.default_rng(seed)
    some = ["007", "7", "NA", "nan", "1e5", "9007199254740993", "a,b", 'q"q', "x y", "анна", "TRUE", "-0", "#", "'"]
    rows = draw.choice(np.array(some, dtype=object), size=(30, 3)).tolist()
    names = [["user_id", "item_id", "note"][place] for place in draw.permutation(3)]
    text = io.StringIO()
    quoting = [csv.QUOTE_MINIMAL, csv.QUOTE_ALL][seed % 2]
    end = ["\n", "\r\n"][seed % 2]
    csv.writer(text, delimiter=",;\t"[seed % 3], quoting=quoting, lineterminator=end).writerows([names, *rows])
    return text.getvalue()


@pytest.mark.parametrize("seed", range(12))
def test_every_id_is_what_pandas_reads_without_guesses(workplace, capsys, seed):
    text = random_table(seed)
    read = pd.read_csv(io.StringIO(text), sep=",;\t"[seed % 3], dtype=str, keep_default_na=False)
    expected = list(zip(read["user_id"], read["item_id"]))
    judge(Case("", text, expected), workplace, capsys)


def test_titles_of_a_served_table_are_by_name(tmp_path):
    """Read as the other tables are; the rest is with the titles themselves."""
    from recbole_sheaf.serving.titles import _of_table

    (tmp_path / "t.csv").write_text('title,item_id\n"Drei, 3",007\nVier,NA\n')
    assert _of_table(tmp_path / "t.csv") == {"007": "Drei, 3", "NA": "Vier"}


def test_ids_that_are_written_are_read_back(tmp_path):
    from recbole_sheaf.files.id_files import read_ids, write_ids

    for tokens in (["item", "x"], ["user_id", "7"], ["a b", "007", "NA"], ["ж"]):
        write_ids(tmp_path / "v.ids.txt", tokens)
        assert read_ids(tmp_path / "v.ids.txt") == tokens
    for token in (" a", "a\u2028b", "a\rb", "", "[PAD]", "x" * 2000):
        with pytest.raises(FeatureError, match="does not fit into one line"):
            write_ids(tmp_path / "w.ids.txt", ["x", token])
    assert not (tmp_path / "w.ids.txt").exists()
