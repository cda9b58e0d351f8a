"""Wrong, odd and hostile data, a row for each kind: each gives one sentence with these words, or this very reading."""

import io
import os
import zipfile

import numpy as np
import pytest

from recbole_sheaf.experiments.run_id import data_digest
from recbole_sheaf.experiments.settings import resolve_configs
from tests.attack.door import HEADER, ITEMS, LINES, PAIRS, USERS, Reads, Row, judge, lay_out, table

GOOD = table()
RATED = [f"{line}\t{1 + place % 5}\t{1000 + place}" for place, line in enumerate(LINES)]
RATED_HEADER = f"{HEADER}\trating:float\ttimestamp:float"
LOAD_ALL = {"load_col": None}
ITEM_LINES = [f"{item}\tred thing {place % 3}\t{place}" for place, item in enumerate(ITEMS)]
ITEM_HEADER = "item_id:token\ttitle:token_seq\tprice:float"
GOOD_ITEM = table(ITEM_LINES, ITEM_HEADER)
AS_IT_IS = Reads()


def changed(place, line, lines=LINES, header=HEADER):
    """A file with another line at one place; the first row's line is number 2."""
    return table([*lines[:place], line, *lines[place + 1 :]], header)


def rated(place, rating="3", timestamp="5", header=RATED_HEADER):
    return changed(place, f"{LINES[place]}\t{rating}\t{timestamp}", RATED, header)


def ratings(split, content):
    return sorted(value for part in split.parts for value in part.inter_feat["rating"].tolist())


def prices(split, content):
    return sorted(split.dataset.item_feat["price"].tolist()[1:])


def inters(rows, settings=None, model="BPR"):
    """Rows of one .inter file each."""
    return [Row(name, {"toy.inter": text}, expected, settings or {}, "", model) for name, text, expected in rows]


def renamed(old, new):
    """The interactions with a user of another name, and what is read then."""
    lines = ["\t".join((new if user == old else user, item)) for user, item in PAIRS]
    return table(lines), Reads(users=frozenset(USERS.replace(old, "")) | {new})


TEXT = inters(
    [
        ("good", GOOD, AS_IT_IS),
        ("no end of the last line", GOOD.rstrip("\n"), AS_IT_IS),
        ("CRLF", GOOD.replace("\n", "\r\n"), AS_IT_IS),
        ("CR alone", GOOD.replace("\n", "\r"), AS_IT_IS),
        ("mixed ends", GOOD.replace("\n", "\r\n", 3), AS_IT_IS),
        ("byte order mark", "\ufeff" + GOOD, AS_IT_IS),
        ("byte order mark and CRLF", ("\ufeff" + GOOD).replace("\n", "\r\n"), AS_IT_IS),
        ("blank lines", GOOD.replace("\nb\t", "\n\nb\t"), AS_IT_IS),
        ("blank lines at the end", GOOD + "\n\n\n", AS_IT_IS),
        ("blank first line", "\n" + GOOD, "is an empty file or its first line is empty"),
        ("two byte order marks", "\ufeff\ufeff" + GOOD, "has no column user_id"),
        ("UTF-16", GOOD.encode("utf-16"), "has no column user_id nor item_id"),
        ("UTF-16 below a good header", f"{HEADER}\n".encode() + GOOD.encode("utf-16"), "is not text in utf-8"),
        ("empty", "", "is an empty file"),
        ("one blank line", "\n", "is an empty file"),
        ("header alone", f"{HEADER}\n", "is empty: a header and no interaction"),
        ("header without an end", HEADER, "is empty: a header and no interaction"),
        ("header and blank lines", f"{HEADER}\n\n \n\r\n", "is empty: a header and no interaction"),
        ("latin-1", changed(3, "caf\xe9\ti1").encode("latin-1"), "byte 0xe9 in line 5); save it as UTF-8"),
        ("latin-1 in the last line", changed(19, "caf\xe9\ti1").encode("latin-1"), "byte 0xe9 in line 21)"),
        ("half a character", changed(0, "x").encode() + b"\xe2\x82", "is not text in utf-8"),
        ("a surrogate", changed(0, "x\ti1").encode() + b"\xed\xa0\x80\ti1\n", "is not text in utf-8"),
        ("random bytes", bytes(np.random.default_rng(0).integers(0, 256, 999, np.uint8)), "has no column user_id"),
        ("random bytes below", f"{HEADER}\n".encode() + bytes(range(256)) * 4, "toy.inter is not text in utf-8"),
        ("a NUL", changed(4, "a\0\ti1"), "line 6 has a NUL byte"),
        ("NULs at the end", GOOD + "\0" * 4096, "line 22 has a NUL byte"),
        ("NULs alone", b"\0" * 999, "has no column user_id"),
        ("a first line without end", "x" * (1 << 20) + "\n", "its first line never ends"),
        ("a zip archive", b"PK\x03\x04" + bytes(99), "has no column user_id"),
        ("a PNG", b"\x89PNG\r\n\x1a\n" + bytes(99), "has no column user_id"),
        ("gzip", b"\x1f\x8b\x08\x00" + bytes(99), "has no column user_id"),
        ("JSON lines", '{"user_id": "a", "item_id": "i1"}\n', "has no column user_id nor item_id"),
        ("commas", GOOD.replace("\t", ","), "has no column item_id; its header is 'user_id:token,item_id:token'"),
        ("blanks", GOOD.replace("\t", " "), "has no column item_id; its header is"),
        ("a short line", changed(3, "a"), "1 line with another number of columns than its header, which has 2"),
        ("its number", changed(3, "a"), "(first: line 5 has 1)"),
        ("its number below blank lines", GOOD.replace("\nb\t", "\n\n\nb\t", 1) + "z\n", "(first: line 24 has 1)"),
        ("a long line", changed(3, "a\ti1\t5"), "(first: line 5 has 3)"),
        ("a long first line", changed(0, "a\ti1\t5"), "(first: line 2 has 3)"),
        ("every line too long", table([f"{line}\t1" for line in LINES]), "20 lines with another number of columns"),
        ("every line too short", table(LINES, f"{HEADER}\trating:float"), "20 lines with another number of columns"),
        ("a line of blanks", GOOD + "   \n", "(first: line 22 has 1)"),
        ("an ended last column", GOOD.replace("\n", "\t\n"), "has a column '' without a type"),
        ("cut in the middle", GOOD[: GOOD.rindex("\t")], "(first: line 21 has 1)"),
        ("a comment", GOOD.replace("\nb\t", "\n# users\nb\t", 1), "(first: line 7 has 1)"),
    ]
)

QUOTES = inters(
    [
        ("a quote that opens a user", *renamed("b", '"b')),
        ("a quote that closes a user", *renamed("b", 'b"')),
        ("a quoted user", *renamed("b", '"b"')),
        ("a quote alone", *renamed("b", '"')),
        ("two quotes", *renamed("b", '""')),
        ("an apostrophe", *renamed("b", "'b")),
        ("a backslash", *renamed("b", "b\\")),
        ("a hash", *renamed("b", "#b")),
        ("blanks within", *renamed("b", "b c")),
        ("blanks before", *renamed("b", " b")),
        ("blanks after", *renamed("b", "b ")),
        ("NA", *renamed("b", "NA")),
        ("null", *renamed("b", "null")),
        ("nan", *renamed("b", "nan")),
        ("None", *renamed("b", "None")),
        ("N/A", *renamed("b", "N/A")),
        ("inf", *renamed("b", "inf")),
        ("#N/A", *renamed("b", "#N/A")),
        ("a truth value", *renamed("b", "True")),
        ("a number with a fraction", *renamed("b", "1.0")),
        ("leading zeros", *renamed("b", "007")),
        ("a huge number", *renamed("b", "9" * 400)),
        ("a long name", *renamed("b", "x" * 100_000)),
        ("Cyrillic", *renamed("b", "\u0431")),
        ("an emoji", *renamed("b", "\U0001f600")),
        ("a line separator of Unicode", *renamed("b", "b\u2028c")),
        ("a vertical tab", *renamed("b", "b\x0bc")),
        ("a next line", *renamed("b", "b\x85c")),
        ("the end of a DOS file", *renamed("b", "b\x1a")),
        ("a formula", *renamed("b", "=1+1")),
        ("markup", *renamed("b", "<b>")),
        ("a path", *renamed("b", "../b")),
        ("a zero", *renamed("b", "0")),
        ("a negative number", *renamed("b", "-1")),
        ("no user", changed(3, "\ti1"), "user_id is empty in 1 line of toy.inter (first: line 5)"),
        ("no item", changed(3, "a\t"), "item_id is empty in 1 line of toy.inter (first: line 5)"),
        ("neither", changed(3, "\t"), "user_id is empty in 1 line of toy.inter (first: line 5)"),
        ("no user below a blank line", changed(3, "\n\ti1"), "(first: line 6)"),
        ("padding as a user", renamed("b", "[PAD]")[0], "user_id is [PAD], RecBole's name for no user_id in 5 lines"),
        ("padding as an item", changed(3, "a\t[PAD]"), "item_id is [PAD], RecBole's name for no item_id in 1 line"),
    ]
)

HEADERS = inters(
    [
        ("no types", table(header="user_id\titem_id"), "has a column 'user_id' without a type; write name:type"),
        ("one without a type", table(RATED, f"{HEADER}\trating\ttimestamp:float"), "has a column 'rating' without a"),
        ("two colons", table(RATED, f"{HEADER}\ta:b:float\ttimestamp:float"), "has a column 'a:b:float' without a"),
        ("no name", table(RATED, f"{HEADER}\t:float\ttimestamp:float"), "has a column ':float' without a type"),
        ("no type behind the colon", table(RATED, f"{HEADER}\tr:\ttimestamp:float"), "'r' the type ''; expected one"),
        ("type int", table(RATED, f"{HEADER}\tr:int\ttimestamp:float"), "'r' the type 'int'; expected one of token"),
        ("type FLOAT", table(RATED, f"{HEADER}\tr:FLOAT\ttimestamp:float"), "the type 'FLOAT'"),
        ("a blank before the type", table(RATED, f"{HEADER}\tr: float\ttimestamp:float"), "the type ' float'"),
        ("type str", table(RATED, f"{HEADER}\tr:str\ttimestamp:float"), "write token for ids and words"),
        ("a column twice", table(RATED, f"{HEADER}\tr:float\tr:float"), "names the column 'r' twice"),
        ("users twice", table([f"{x}\ta" for x in LINES], f"{HEADER}\tuser_id:token"), "'user_id' twice"),
        ("float users", table(header="user_id:float\titem_id:token"), "gives user_id the type float, expected token"),
        ("float items", table(header="user_id:token\titem_id:float"), "gives item_id the type float, expected token"),
        ("sequences of items", table(header="user_id:token\titem_id:token_seq"), "the type token_seq, expected token"),
        ("other names", table(header="user:token\titem:token"), "has no column user_id nor item_id; its header is"),
        ("names in capitals", table(header="USER_ID:token\tITEM_ID:token"), "has no column user_id nor item_id"),
        ("a quoted header", table(header='"user_id:token"\t"item_id:token"'), "has no column user_id nor item_id"),
        ("no header", table(LINES[1:], LINES[0]), "has no column user_id nor item_id"),
        ("columns in another order", table([f"{i}\t{u}" for u, i in PAIRS], "item_id:token\tuser_id:token"), AS_IT_IS),
        ("a thousand columns", table(header="\t".join(f"c{n}:float" for n in range(999))), "has no column user_id"),
        ("a header with a line feed in it", GOOD.replace("item_id", "item\n_id"), "has no column item_id"),
    ]
)

NUMBERS = inters(
    [
        ("rated", table(RATED, RATED_HEADER), Reads(of=ratings, what=sorted(4 * [1.0, 2.0, 3.0, 4.0, 5.0]))),
        ("a word", rated(3, "good"), "rating is 'good' in line 5 of toy.inter, expected a number (1 such lines)"),
        ("a decimal comma", rated(3, "3,5"), "rating is '3,5' in line 5"),
        ("an underscore", rated(3, "1_000"), "rating is '1_000' in line 5"),
        ("infinity", rated(3, "inf"), "rating is 'inf' in line 5"),
        ("minus infinity", rated(3, "-Infinity"), "rating is '-Infinity' in line 5"),
        ("beyond a double", rated(3, "1e999"), "rating is '1e999' in line 5"),
        ("hexadecimal", rated(3, "0x10"), "rating is '0x10' in line 5"),
        ("a quoted number", rated(3, '"3"'), "rating is '\"3\"' in line 5"),
        ("a percentage", rated(3, "30%"), "rating is '30%' in line 5"),
        ("a long word", rated(3, "g" * 9999), "rating is 'ggggg"),
        ("a word below a blank line", "\n\n".join(rated(3, "x").split("\n", 1)), "rating is 'x' in line 6"),
        ("an exponent", rated(0, "1e2"), Reads(of=lambda s, c: max(ratings(s, c)), what=100.0)),
        ("an empty place is the mean", rated(0, ""), Reads(of=ratings, what=None)),
        ("NA is the mean too", rated(0, "NA"), Reads(of=ratings, what=None)),
        ("no number at all", table([f"{x}\t\t1" for x in LINES], RATED_HEADER), "rating of toy.inter has no number"),
        ("a day", rated(3, "3", "2020-01-31"), "timestamp is '2020-01-31' in line 5 of toy.inter, expected a number"),
        ("a moment", rated(3, "3", "2020-01-31T10:00:00Z"), "write seconds since 1970, such as by pandas.to_datetime"),
        ("a moment in words", rated(3, "3", "31 Jan 2020"), "write seconds since 1970"),
        ("a time that is text", rated(3, header=f"{HEADER}\trating:float\ttimestamp:token"), "has no order in time"),
        ("seconds and a fraction", rated(3, "3", "1580468400.25"), AS_IT_IS),
        ("a time before 1970", rated(3, "3", "-5"), AS_IT_IS),
        ("a rating in words", rated(3, "good", header=f"{HEADER}\trating:token\ttimestamp:float"), AS_IT_IS),
        ("numbers", rated(3, "1 2.5", header=f"{HEADER}\trating:float_seq\ttimestamp:float"), AS_IT_IS),
        ("numbers, one a word", rated(3, "1 x", header=f"{HEADER}\trating:float_seq\ttimestamp:float"), "is '1 x' in"),
        (
            "numbers, one infinite",
            rated(3, "1 inf", header=f"{HEADER}\trating:float_seq\ttimestamp:float"),
            "is '1 inf'",
        ),
    ],
    {"load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]}},
)
mean = np.float32((60 - 1) / 19)
NUMBERS = [
    row
    if row.expected != Reads(of=ratings, what=None)
    else Row(row.name, row.files, Reads(of=lambda s, c: mean in np.float32(ratings(s, c)), what=True), row.settings)
    for row in NUMBERS
]


def others(rows, settings=LOAD_ALL, model="BPR"):
    """Rows of several files each: name, files, expected and maybe what is said."""
    return [Row(name, files, expected, settings, *said, model=model) for name, files, expected, *said in rows]


LISTINGS = others(
    [
        ("items", {"toy.item": GOOD_ITEM}, AS_IT_IS),
        ("a quote in a title", {"toy.item": GOOD_ITEM.replace("i2\tred", 'i2\t"red')}, AS_IT_IS),
        ("an odd quote in each", {"toy.item": GOOD_ITEM.replace("\tred", '\t"red')}, AS_IT_IS),
        ("an item of nobody", {"toy.item": GOOD_ITEM + "i9\tx\t1\n"}, Reads(items=frozenset([*ITEMS, "i9"]))),
        (
            "an item that is not listed",
            {"toy.item": table(ITEM_LINES[1:], ITEM_HEADER)},
            Reads(n=17, items=frozenset(ITEMS[1:])),
            "toy.item does not list the item of 3 interactions (first: 'i0'), which are left out",
        ),
        ("none is listed", {"toy.item": table(["x\ty\t1"], ITEM_HEADER)}, "does not list the item of any interaction"),
        ("ids with a fraction", {"toy.item": GOOD_ITEM.replace("\ni", "\ni.")}, "list every item_id there as in"),
        (
            "an item twice",
            {"toy.item": GOOD_ITEM + "i2\tother\t9\ni0\tother\t9\n"},
            Reads(of=prices, what=[0.0, 1, 2, 3, 4, 5, 6, 7]),
            "2 of 10 rows of toy.item repeat the item_id of an earlier row (first: 'i2') and are left out",
        ),
        (
            "a user twice",
            {"toy.user": table([*[f"{user}\t1" for user in USERS], "b\t2"], "user_id:token\tage:float")},
            AS_IT_IS,
            "1 of 5 rows of toy.user repeat the user_id of an earlier row (first: 'b') and are left out",
        ),
        ("no item id", {"toy.item": GOOD_ITEM + "\tother\t1\n"}, "item_id is empty in 1 line of toy.item"),
        ("padding as an item", {"toy.item": GOOD_ITEM + "[PAD]\tother\t1\n"}, "item_id is [PAD]"),
        ("an item named NA", {"toy.item": GOOD_ITEM + "NA\tx\t1\n"}, Reads(items=frozenset([*ITEMS, "NA"]))),
        ("items without an id column", {"toy.item": table(["x\t1"], "title:token\tprice:float")}, "iid_field must be"),
        ("no item in the file", {"toy.item": f"{ITEM_HEADER}\n"}, "toy.item is empty: a header and no item"),
        ("an empty item file", {"toy.item": ""}, "toy.item is an empty file"),
        ("items in latin-1", {"toy.item": GOOD_ITEM.replace("red", "\xe9").encode("latin-1")}, "toy.item is not text"),
        ("a price in words", {"toy.item": GOOD_ITEM + "i9\tx\tdear\n"}, "price is 'dear' in line 10 of toy.item"),
        ("a short line of items", {"toy.item": GOOD_ITEM + "i9\tx\n"}, "toy.item has 1 line with another number"),
        ("items of unknown type", {"toy.item": table(ITEM_LINES, "item_id:token\tt:text\tp:float")}, "type 'text'"),
        ("a float item id", {"toy.item": table(["1\t1"], "item_id:float\tp:float")}, "gives item_id the type float"),
        ("no price at all", {"toy.item": table([f"{i}\tx\t" for i in ITEMS], ITEM_HEADER)}, "price of toy.item has no"),
        ("titles all empty", {"toy.item": table([f"{i}\t\t1" for i in ITEMS], ITEM_HEADER)}, AS_IT_IS),
        ("users", {"toy.user": table(USERS, "user_id:token")}, AS_IT_IS),
        ("users with blank lines", {"toy.user": table(["a", "", "b", "c", "", "d"], "user_id:token")}, AS_IT_IS),
        (
            "a user that is not listed",
            {"toy.user": table("abc", "user_id:token")},
            Reads(n=15, users=frozenset("abc")),
            "toy.user does not list the user of 5 interactions (first: 'd')",
        ),
        ("no user is listed", {"toy.user": table("xyz", "user_id:token")}, "does not list the user of any interaction"),
        (
            "a user named null",
            {"toy.user": table([*USERS, "null"], "user_id:token")},
            Reads(users=frozenset([*"abcd", "null"])),
        ),
        ("users without an id", {"toy.user": table("xyz", "age:token")}, "uid_field must be"),
        ("users, NUL", {"toy.user": table(["a\0", "b"], "user_id:token")}, "toy.user is no table of text: line 2"),
    ]
)
NOT_LOADED = others(
    [
        (
            "items of nobody are counted",
            {"toy.item": GOOD_ITEM + "i8\tx\t1\ni9\tx\t1\n"},
            AS_IT_IS,
            "2 of the 10 items in toy.item have no interaction and are not ranked; catalogue: content ranks those",
        ),
        (
            "an item file that nobody reads",
            {"toy.item": b"item_id:token\n\xff\n"},
            AS_IT_IS,
            "items without interactions cannot be",
        ),
        ("a price in words that nobody reads", {"toy.item": GOOD_ITEM + "i1\tx\tdear\n"}, AS_IT_IS),
    ],
    {"load_col": {"inter": ["user_id", "item_id"]}},
)

TWICE = table([*LINES, *LINES[:3]])
LISTED = {"toy.train.inter": GOOD, "toy.valid.inter": table(["a\ti7"]), "toy.test.inter": table(["a\ti6", "b\ti2"])}
PARTS = {"benchmark_filename": ["train", "valid", "test"]}


def sizes(split, content):
    return list(split.sizes.values())


REPEATED = [
    Row(
        "pairs twice", {"toy.inter": TWICE}, AS_IT_IS, said="3 of 23 interactions of dataset 'toy' repeat a user and an"
    ),
    Row("the first is named", {"toy.inter": TWICE}, AS_IT_IS, said="(first: 'a' and 'i0')"),
    Row("kept", {"toy.inter": TWICE}, Reads(n=23), {"repeated_interactions": "keep"}),
    Row("repeatable", {"toy.inter": TWICE}, Reads(n=23), {"repeatable": True}),
    Row("RecBole's own choice", {"toy.inter": TWICE}, AS_IT_IS, {"rm_dup_inter": "last"}),
    Row(
        "another word",
        {"toy.inter": TWICE},
        "repeated_interactions is 'forget', expected one of drop, keep",
        {"repeated_interactions": "forget"},
    ),
    Row("one pair, often", {"toy.inter": table(20 * LINES[:1])}, "part of dataset 'toy' is empty"),
    Row("in train and test", LISTED, Reads(n=22, of=sizes, what=[20, 1, 1]), PARTS, "1 of 23 interactions of dataset"),
    Row(
        "in train and valid",
        {**LISTED, "toy.valid.inter": table([LINES[0], "a\ti7"]), "toy.test.inter": table(["a\ti6"])},
        Reads(n=22, of=sizes, what=[20, 1, 1]),
        PARTS,
        "1 of 23 interactions of dataset",
    ),
    Row("in both and kept", LISTED, Reads(n=23), {**PARTS, "repeated_interactions": "keep"}),
    Row(
        "a test part that repeats training",
        {**LISTED, "toy.test.inter": table(LINES[:2])},
        "the test part of dataset 'toy' is empty",
        PARTS,
    ),
    Row(
        "a part that is not there",
        {**LISTED, "toy.test.inter": GOOD},
        "x.inter not exist",
        {"benchmark_filename": list("x")},
    ),
]

FILTERED = [
    Row("one user of every item", {"toy.inter": table(LINES[:5])}, "interacted with all items"),
    Row("one line", {"toy.inter": table(LINES[:1])}, "part of dataset 'toy' is empty"),
    Row("two lines", {"toy.inter": table(LINES[:2])}, "part of dataset 'toy' is empty"),
    Row("one item", {"toy.inter": table([f"{u}\ti1" for u in USERS])}, "part of dataset 'toy' is empty"),
    Row("users of too few", {}, "please check the filtering settings", {"user_inter_num_interval": "[99,inf)"}),
    Row("items of too few", {}, "please check the filtering settings", {"item_inter_num_interval": "[99,inf)"}),
    Row(
        "a value that nobody gave",
        {"toy.inter": table(RATED, RATED_HEADER)},
        "please check the filtering settings",
        {**LOAD_ALL, "val_interval": {"rating": "[9,inf)"}},
    ),
    Row(
        "a filter of no column",
        {},
        "val_interval names 'rating', which is no column",
        {"val_interval": {"rating": "[3,inf)"}},
    ),
    Row("a threshold of no column", {}, "threshold names 'rating', which is no column", {"threshold": {"rating": 3}}),
    Row("no users loaded", {}, "leaves user_id of toy.inter out", {"load_col": {"inter": ["item_id"]}}),
    Row("nothing loaded", {}, "leaves user_id and item_id of toy.inter out", {"load_col": {"inter": ["x"]}}),
    Row("items unloaded", {}, "leaves item_id of toy.inter out", {**LOAD_ALL, "unload_col": {"inter": ["item_id"]}}),
    Row(
        "order in time without time",
        {},
        "timestamp",
        {"eval_args": {"order": "TO", "split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user", "mode": "full"}},
    ),
    Row("a separator of two", {}, "field_separator is '::', expected one character", {"field_separator": "::"}),
    Row("no separator", {}, "field_separator is '', expected a text such as a tab", {"field_separator": ""}),
    Row(
        "a separator that is a number",
        {},
        "field_separator is 5, expected a text such as a tab",
        {"field_separator": 5},
    ),
    Row("a comma", {"toy.inter": GOOD.replace("\t", ",")}, AS_IT_IS, {"field_separator": ","}),
    Row("a bar", {"toy.inter": GOOD.replace("\t", "|")}, AS_IT_IS, {"field_separator": "|"}),
    Row("a blank", {"toy.inter": GOOD.replace("\t", " ")}, AS_IT_IS, {"field_separator": " "}),
    Row(
        "no separator of words",
        {"toy.item": GOOD_ITEM},
        "seq_separator is '', expected a text such as a space",
        {**LOAD_ALL, "seq_separator": ""},
    ),
]

MM_HEADER = "userID\titemID\tx_label"
MM_LINES = [f"{user}\t{(user + 2 * step) % 6}\t{step % 3}" for user in range(4) for step in range(3)]
MM_READS = Reads(n=12, users=frozenset("0123"), items=frozenset("01234567"))


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


ROWS = np.arange(16, dtype=np.float32).reshape(8, 2)
MM_GOOD = table(MM_LINES, MM_HEADER)
MM_FEATURES = {"image_feat.npy": npy(ROWS)}


def mmrec(rows):
    return [Row(name, {**MM_FEATURES, **files}, expected) for name, files, expected in rows]


def mm(line, header=MM_HEADER):
    return {"toy.inter": table([*MM_LINES, line], header)}


MMREC = mmrec(
    [
        ("good", {"toy.inter": MM_GOOD}, MM_READS),
        ("byte order mark", {"toy.inter": "\ufeff" + MM_GOOD}, MM_READS),
        ("CRLF", {"toy.inter": MM_GOOD.replace("\n", "\r\n")}, MM_READS),
        ("blank lines", {"toy.inter": MM_GOOD.replace("\n1\t", "\n\n1\t")}, MM_READS),
        ("more columns", {"toy.inter": table([f"{x}\ty" for x in MM_LINES], f"{MM_HEADER}\tz")}, MM_READS),
        ("label 3", mm("0\t5\t3"), "1 value of x_label that is not 0, 1 or 2 (first: '3' in line 14)"),
        ("label in words", mm("0\t5\ttrain"), "(first: 'train' in line 14)"),
        ("no label", mm("0\t5\t"), "(first: '' in line 14)"),
        ("a negative item", mm("0\t-1\t0"), "value of itemID that is not a whole number from 0 (first: '-1'"),
        ("a fraction", mm("0\t1.0\t0"), "value of itemID that is not a whole number from 0 (first: '1.0'"),
        ("a user in words", mm("bob\t1\t0"), "value of userID that is not a whole number from 0 (first: 'bob'"),
        ("digits of another script", mm("\u0663\t1\t0"), "(first: '\u0663' in line 14)"),
        ("an id of 20 digits", mm(f"{10**19}\t1\t0"), "value of userID that is not a whole number"),
        ("an exponent", mm("1e3\t1\t0"), "value of userID"),
        ("a short line", mm("0\t1"), "(first: line 14 has 2)"),
        ("a long line", mm("0\t1\t0\t0"), "(first: line 14 has 4)"),
        ("a quote", mm('"0\t1\t0'), "(first: '\"0' in line 14)"),
        ("a NUL", mm("0\0\t1\t0"), "line 14 has a NUL byte"),
        ("latin-1", {"toy.inter": (MM_GOOD + "\xe9\t1\t0\n").encode("latin-1")}, "byte 0xe9 in line 14"),
        ("header alone", {"toy.inter": f"{MM_HEADER}\n"}, "is empty: a header and no interaction"),
        ("users twice", {"toy.inter": table([f"{x}\t0" for x in MM_LINES], f"{MM_HEADER}\tuserID")}, "userID twice"),
        ("no test", {"toy.inter": table([x for x in MM_LINES if x[-1] != "2"], MM_HEADER)}, "has no test interaction"),
        ("a rating in words", {"toy.inter": table([f"{x}\tgood" for x in MM_LINES], f"{MM_HEADER}\trating")}, "rating"),
        ("an infinite rating", {"toy.inter": table([f"{x}\tinf" for x in MM_LINES], f"{MM_HEADER}\trating")}, "'inf'"),
        ("an item beyond the rows", mm("0\t8\t0"), "image_feat.npy has 8 rows but itemID goes up to 8"),
        ("a stray item", mm("0\t5000000\t0"), "image_feat.npy has 8 rows but itemID goes up to 5000000"),
        ("rows of two numbers", {"toy.inter": MM_GOOD, "text_feat.npy": npy(ROWS[:7])}, "different numbers of rows"),
        ("NaN", {"toy.inter": MM_GOOD, "image_feat.npy": npy(ROWS * np.nan)}, "image_feat.npy has 16 values that are"),
        ("one dimension", {"toy.inter": MM_GOOD, "image_feat.npy": npy(np.ones(8))}, "shape (8,); expected two"),
        ("no dimension", {"toy.inter": MM_GOOD, "image_feat.npy": npy(np.ones(()))}, "image_feat.npy has 0 rows"),
        ("objects", {"toy.inter": MM_GOOD, "image_feat.npy": npy(ROWS.astype(object))}, "holds Python objects"),
        ("a cut file", {"toy.inter": MM_GOOD, "image_feat.npy": npy(ROWS)[:-5]}, "image_feat.npy cannot be read"),
        ("a pipe", {"toy.inter": MM_GOOD, "image_feat.npy": os.mkfifo}, "image_feat.npy cannot be read (it is a pipe)"),
    ]
) + [
    Row("a stray item without features", mm("0\t5000000\t0"), "would make 5,000,001 items; correct that line"),
    Row(
        "two labels of one pair",
        {"toy.inter": MM_GOOD + "0\t0\t2\n"},
        Reads(n=12, users=frozenset("0123"), items=frozenset("012345")),
        said="1 of 13 interactions of dataset 'toy' repeat a user and an item (first: '0' and '0')",
    ),
    Row(
        "a line twice",
        {"toy.inter": MM_GOOD + MM_LINES[0] + "\n"},
        Reads(n=12, users=frozenset("0123"), items=frozenset("012345")),
        said="1 of 13 interactions",
    ),
    Row(
        "items without features",
        {"toy.inter": MM_GOOD + "0\t9\t0\n"},
        Reads(n=13, users=frozenset("0123"), items=frozenset("0123456789")),
    ),
]


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


TOKENS = np.array(ITEMS)


def features(tokens=TOKENS, rows=ROWS):
    return npz(item_id=tokens, feature=rows)


def claiming(shape, dtype="<f4", payload=b"", version=b"\x01\x00", order="False"):
    """An .npy whose header claims a shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}}}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + payload


def archive(compression=zipfile.ZIP_STORED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return file.getvalue()


def unfolding(content, size):
    """The archive with a directory that says so of its last member."""
    place = content.rindex(b"PK\x01\x02") + 24
    return content[:place] + size.to_bytes(4, "little") + content[place + 4 :]


def flipped(content, place):
    content = bytearray(content)
    content[place] ^= 1
    return bytes(content)


def with_value(value, dtype=np.float64):
    rows = ROWS.astype(dtype)
    rows[3, 1] = value
    return rows


def matrix(split, content):
    """The features in the order of the tokens."""
    items = split.dataset.field2token_id["item_id"]
    return content["image"].matrix[[items[item] for item in ITEMS]].numpy()


IMAGE = Reads(of=matrix, what=ROWS)
ABSENT = Reads(of=lambda s, c: int(c["image"].present.sum()), what=7)
PACKED = archive(zipfile.ZIP_DEFLATED, item_id=npy(TOKENS), feature=npy(ROWS))
UNFOLDED = unfolding(PACKED, 1 << 29)


def images(rows, settings=None):
    return [
        Row(name, {"features/image.npz": content}, expected, {"modalities": ["image"], **(settings or {})}, "", "VBPR")
        for name, content, expected in rows
    ]


FEATURES = images(
    [
        ("good", features(), IMAGE),
        ("float16", features(rows=ROWS.astype(np.float16)), IMAGE),
        ("float64", features(rows=ROWS.astype(np.float64)), IMAGE),
        ("long double", features(rows=ROWS.astype(np.longdouble)), IMAGE),
        ("big endian", features(rows=ROWS.astype(">f4")), IMAGE),
        ("big endian double", features(rows=ROWS.astype(">f8")), IMAGE),
        ("big endian tokens", features(TOKENS.astype(">U2")), IMAGE),
        ("Fortran order", features(rows=np.asfortranarray(ROWS)), IMAGE),
        ("int64", features(rows=ROWS.astype(np.int64)), IMAGE),
        ("uint8", features(rows=ROWS.astype(np.uint8)), IMAGE),
        ("truth values", features(rows=ROWS > -1), Reads(of=matrix, what=np.ones((8, 2)))),
        ("in another order", features(TOKENS[::-1], ROWS[::-1]), IMAGE),
        ("compressed", PACKED, IMAGE),
        ("bzip2", archive(zipfile.ZIP_BZIP2, item_id=npy(TOKENS), feature=npy(ROWS)), IMAGE),
        ("lzma", archive(zipfile.ZIP_LZMA, item_id=npy(TOKENS), feature=npy(ROWS)), IMAGE),
        ("another array beside", npz(item_id=TOKENS, feature=ROWS, more=np.ones(3)), IMAGE),
        ("one item less", features(TOKENS[1:], ROWS[1:]), ABSENT),
        ("complex", features(rows=ROWS.astype(complex)), "feature of type complex128; expected floats"),
        ("dates", features(rows=ROWS.astype("datetime64[s]")), "expected floats: save it with astype"),
        ("text", features(rows=ROWS.astype(str)), "expected floats: save it with astype"),
        ("bytes", features(rows=ROWS.astype("S4")), "feature of type |S4; expected floats"),
        (
            "named columns",
            features(rows=np.zeros(8, [("a", "f4"), ("b", "f4")])),
            "shape (8,); expected two dimensions",
        ),
        ("objects", features(rows=ROWS.astype(object)), "holds Python objects, which are never unpickled"),
        ("tokens that are objects", features(TOKENS.astype(object)), "holds Python objects"),
        (
            "tokens that are bytes",
            features(TOKENS.astype("S2")),
            "item_id of type |S2 and shape (8,); expected one text",
        ),
        ("tokens that are floats", features(np.arange(8.0)), "item_id of type float64 and shape (8,)"),
        ("tokens in rows", features(TOKENS[:, None]), "shape (8, 1); expected one text token per row"),
        ("tokens that are numbers", features(np.arange(8)), "has 8 item_id tokens that dataset 'toy' does not know"),
        ("an unknown token", features([*ITEMS[:7], "x\ny"]), "does not know (first: 'x\\ny')"),
        ("padding", features([*ITEMS[:7], "[PAD]"]), "has a row for [PAD], RecBole's name for no item"),
        ("a token twice", features([*ITEMS[:7], "i0"]), "has 1 item_id tokens more than once (first: 'i0')"),
        ("a long token", features([*ITEMS[:7], "x" * 9999]), "does not know (first: 'xxxxxx"),
        ("no character", archive(item_id=claiming((8,), "<U1", b"\xff" * 32), feature=npy(ROWS)), "no text"),
        ("fewer tokens", features(TOKENS[:7]), "has 7 item_id tokens but 8 rows of feature"),
        ("more tokens", features(rows=ROWS[:7]), "has 8 item_id tokens but 7 rows of feature"),
        ("no row", features(TOKENS[:0], ROWS[:0]), "with no row; encode the items again"),
        ("one dimension", features(rows=ROWS[:, 0]), "shape (8,); expected two dimensions"),
        ("three dimensions", features(rows=ROWS[:, :, None]), "shape (8, 2, 1); expected two dimensions"),
        ("no dimension", features(rows=np.float32(3)), "shape (); expected two dimensions"),
        ("no column", features(rows=ROWS[:, :0]), "shape (8, 0), with no column"),
        (
            "NaN",
            features(rows=with_value(np.nan)),
            "1 value that is NaN or Inf in float32 in 1 row (first: item 'i3')",
        ),
        ("infinity", features(rows=with_value(np.inf)), "NaN or Inf in float32 in 1 row (first: item 'i3')"),
        ("beyond float32", features(rows=with_value(1e300)), "NaN or Inf in float32"),
        ("no tokens", npz(feature=ROWS), "lacks 'item_id' and holds 'feature'"),
        ("no features", npz(item_id=TOKENS), "lacks 'feature' and holds 'item_id'"),
        ("no array", npz(), "lacks 'item_id', 'feature' and holds nothing"),
        ("other names", npz(ids=TOKENS, vectors=ROWS), "lacks 'item_id', 'feature' and holds 'ids', 'vectors'"),
        ("empty", b"", "is empty, 0 bytes"),
        ("text for an archive", b"item_id feature", "is no .npz archive"),
        ("an array for an archive", npy(ROWS), "is no .npz archive"),
        ("cut", features()[:-30], "cannot be read"),
        ("cut early", features()[:200], "is no .npz archive"),
        ("a flipped value", flipped(features(), features().index(ROWS.tobytes()) + 9), "Bad CRC-32"),
        ("a wrong checksum", flipped(PACKED, PACKED.rindex(b"PK\x01\x02") + 16), "Bad CRC-32"),
        ("a flipped name", flipped(features(), features().rindex(b"feature.npy")), "lacks 'feature'"),
        ("a member that is text", archive(item_id=npy(TOKENS), feature=b"hello"), "cannot be read"),
        ("a member that is empty", archive(item_id=npy(TOKENS), feature=b""), "cannot be read"),
        (
            "2 TiB",
            archive(item_id=npy(TOKENS), feature=claiming((2**31, 256))),
            "2,199,023,255,552 bytes, and 0 follow",
        ),
        ("2 TiB of tokens", archive(item_id=claiming((2**39,), "<U1"), feature=npy(ROWS)), "2,199,023,255,552 bytes"),
        ("a huge token", archive(item_id=claiming((8,), "<U99999999"), feature=npy(ROWS)), "bytes, and 0 follow"),
        ("beyond all numbers", archive(item_id=npy(TOKENS), feature=claiming((10**30, 9))), "and 0 follow"),
        (
            "negative rows",
            archive(item_id=npy(TOKENS), feature=claiming((-8, -2), payload=bytes(64))),
            "a negative number",
        ),
        ("a shape in words", archive(item_id=npy(TOKENS), feature=claiming("'many'")), "cannot be read"),
        ("code for a shape", archive(item_id=npy(TOKENS), feature=claiming("(exit(), 2)")), "cannot be read"),
        ("a deep shape", archive(item_id=npy(TOKENS), feature=claiming("(" * 3000 + ")" * 3000)), "cannot be read"),
        ("many signs", archive(item_id=npy(TOKENS), feature=claiming("-" * 8000 + "1")), "cannot be read"),
        ("an unknown type", archive(item_id=npy(TOKENS), feature=claiming((8, 2), "spam")), "cannot be read"),
        ("more bytes", archive(item_id=npy(TOKENS), feature=npy(ROWS) + b"more"), "64 bytes, and 68 follow"),
        (
            "version 3",
            archive(item_id=npy(TOKENS), feature=claiming((8, 2), version=b"\x03\x00")),
            "is of version (3, 0)",
        ),
        (
            "version 9",
            archive(item_id=npy(TOKENS), feature=claiming((8, 2), version=b"\x09\x00")),
            "is of version (9, 0)",
        ),
        ("half a gibibyte out of nothing", UNFOLDED, "unfold into 536,870,912; save it again"),
        ("a pipe", os.mkfifo, "image.npz cannot be read (it is a pipe)"),
        ("a device", lambda path: path.symlink_to("/dev/zero"), "image.npz cannot be read (it is a device)"),
        ("a folder", lambda path: path.mkdir(), "image.npz cannot be read (it is a folder)"),
        ("a link to nothing", lambda path: path.symlink_to("nowhere"), "image.npz cannot be read (No such file"),
        ("a link to itself", lambda path: path.symlink_to(path), "image.npz cannot be read (Too many levels"),
    ]
)


def sparse(size):
    """A file that claims a size and holds nothing."""

    def make(path):
        with open(path, "wb") as file:
            file.write(claiming((size // 4, 1)))
            file.truncate(128 + size)

    return make


def no_more_bytes(path):
    with open(path, "wb") as file:
        file.write(GOOD.encode())
        file.truncate(1 << 41)


def content(name, files, expected, settings=None, said=""):
    return Row(name, files, expected, settings or {}, said, "VBPR")


TEXTS = {"text_modalities": {"title": ["title"]}, **LOAD_ALL}
NUMBERED = {"toy.inter": table([f"{u}\t{i[1:]}" for u, i in PAIRS])}
NUMBERS_READ = frozenset("01234567")
PLACES = [
    content("no content", {}, "has no item content: looked for"),
    content("features_path to nothing", {}, "'/nowhere' is not a folder", {"features_path": "/nowhere"}),
    content("features_path to a device", {}, "'/dev/zero' is not a folder", {"features_path": "/dev/zero"}),
    content("features_path to a file", {}, "is not a folder; give one with", {"features_path": __file__}),
    content("features_path to nothing in it", {}, "holds no .npz", {"features_path": os.path.dirname(__file__)}),
    content(
        "modalities of numbers",
        {"toy.item": GOOD_ITEM},
        "modalities is 5, expected a text or a list",
        {"modalities": 5},
    ),
    content("a modality that is not there", {"toy.item": GOOD_ITEM}, "there is no modality 'x'", {"modalities": ["x"]}),
    content("no modality is wanted", {}, AS_IT_IS, {"modalities": []}),
    content("text", {"toy.item": GOOD_ITEM}, Reads(of=lambda s, c: list(c), what=["title"]), TEXTS),
    content(
        "text beside files",
        {"toy.item": GOOD_ITEM, "features/image.npz": features()},
        Reads(of=lambda s, c: list(c), what=["image", "title"]),
        TEXTS,
        "modalities: image, title",
    ),
    content(
        "text that is left out",
        {"toy.item": GOOD_ITEM, "features/image.npz": features()},
        Reads(of=lambda s, c: list(c), what=["image"]),
        {**TEXTS, "modalities": ["image"]},
        "modalities: image; there and not used: title",
    ),
    content(
        "text of no column",
        {"toy.item": GOOD_ITEM, "features/image.npz": features()},
        Reads(of=lambda s, c: list(c), what=["image"]),
        {"text_modalities": {"plot": ["plot"]}},
        "text modality 'plot' is left out",
    ),
    content(
        "text of an unreadable file",
        {"toy.item": b"item_id:token\ttitle:token\n\xff\t1\n"},
        "is not text in utf-8",
        {"text_modalities": {"title": ["title"]}},
    ),
    content(
        "text that shares no word",
        {"toy.item": table([f"{i}\tw{i}\t1" for i in ITEMS], ITEM_HEADER)},
        "no two of 8",
        TEXTS,
    ),
    content("an item file that is a pipe", {"toy.item": os.mkfifo}, "has no item content", TEXTS),
    content("an array beside named items", {"image_feat.npy": npy(ROWS)}, "but the dataset has the item 'i0'"),
    content(
        "too few rows", {**NUMBERED, "image_feat.npy": npy(ROWS[:7])}, "has 7 rows but the dataset's items go from 0"
    ),
    content("a cut array", {**NUMBERED, "image_feat.npy": npy(ROWS)[:-1]}, "64 bytes, and 63 follow"),
    content("2 TiB in an array", {**NUMBERED, "image_feat.npy": claiming((2**31, 256))}, "and 0 follow"),
    content("2 TiB of nothing", {**NUMBERED, "image_feat.npy": sparse(1 << 41)}, "would take 2,048.0 GiB of memory"),
    content("pickled", {**NUMBERED, "image_feat.npy": npy(np.array([{}]))}, "holds Python objects"),
    content("an array that is a pipe", {**NUMBERED, "image_feat.npy": os.mkfifo}, "(it is a pipe)"),
    content(
        "an array that is a device",
        {**NUMBERED, "image_feat.npy": lambda p: p.symlink_to("/dev/zero")},
        "(it is a device)",
    ),
    content("an array", {**NUMBERED, "image_feat.npy": npy(ROWS)}, Reads(items=NUMBERS_READ)),
    Row(
        "interactions in a folder",
        {"toy.inter": lambda path: path.mkdir()},
        "toy.inter cannot be read (it is a folder)",
    ),
    Row("interactions in a pipe", {"toy.inter": os.mkfifo}, "toy.inter cannot be read (it is a pipe)"),
    Row(
        "interactions in a device",
        {"toy.inter": lambda p: p.symlink_to("/dev/zero")},
        "toy.inter cannot be read (it is a device)",
    ),
    Row(
        "a link to nothing", {"toy.inter": lambda p: p.symlink_to("nowhere")}, "toy.inter cannot be read (No such file"
    ),
    Row("2 TiB of interactions", {"toy.inter": no_more_bytes}, "toy.inter would take 2,048.0 GiB of memory"),
    Row("no interactions", {"other.inter": GOOD}, "holds no toy.inter; expected"),
    Row("items that are a folder", {"toy.item": lambda path: path.mkdir()}, AS_IT_IS),
]
GROUPS = {
    "text": TEXT,
    "tokens": QUOTES,
    "header": HEADERS,
    "numbers": NUMBERS,
    "listings": LISTINGS,
    "not loaded": NOT_LOADED,
    "repeated": REPEATED,
    "filters": FILTERED,
    "mmrec": MMREC,
    "features": FEATURES,
    "places": PLACES,
}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{group}: {row.name}") for group in GROUPS for row in GROUPS[group]]
)
def test_a_sentence_or_the_very_reading(row, workplace, unchecked_shapes, caplog):
    lay_out(row, workplace / "data")
    with caplog.at_level("INFO"):
        judge(row, workplace / "data", lambda: caplog.text)


def test_a_run_is_named_without_reading_pipes(workplace, unchecked_shapes):
    row = Row("pipes", {"features/image.npz": os.mkfifo, "x_feat.npy": os.mkfifo, "toy.x": os.mkfifo}, AS_IT_IS)
    lay_out(row, workplace / "data")
    config = resolve_configs(["VBPR"], "toy", [], {"data_path": str(workplace / "data")})[0]
    assert len(data_digest(config)) == 16


def test_there_are_rows_enough_and_each_is_another():
    rows = [row for group in GROUPS.values() for row in group]
    assert len(rows) >= 150
    for group in GROUPS.values():
        assert len({row.name for row in group}) == len(group)
