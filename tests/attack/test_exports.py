"""Exports of strangers, and lists of users and items: each is read rightly or refused in one sentence."""

import csv
import io
import json
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, NamedTuple

import duckdb
import numpy as np
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.similarity import similar_items
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.exports import database_reader
from recbole_sheaf.exports.arrays import MARK, as_arrays
from recbole_sheaf.exports.files import read_embeddings, write_embeddings
from recbole_sheaf.report.exported import read_exported
from tests.attack import exports
from tests.attack.exports import archive, members_of
from tests.attack.test_unsafe_settings import Payload

pytest.importorskip("pyarrow")
SECRET = "what no export may show"


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """Bytes of a good export by format."""
    folder = tmp_path_factory.mktemp("wholes")
    for name in exports.FORMATS:
        exports.write_good(folder / f"x.{name}")
    return {name: (folder / f"x.{name}").read_bytes() for name in exports.FORMATS}


@pytest.fixture
def refused(workplace, unchecked_shapes, capsys):
    """Sees that a command refuses an export in one sentence that has these words, and shows nothing else."""
    (workplace / "secret.csv").write_text(f"key,value\njson,{SECRET}\n")

    def check(path, words, command=("recommend", "--users=a", "--k=2")):
        assert main([command[0], str(path), *command[1:]]) == 2
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1 and len(err) < 1200, err
        assert words in err and SECRET not in err, err
        assert not (workplace / "touched").exists()

    return check


def lists_of(path):
    """The first user's list and what is like the first item."""
    found = read_embeddings(path)
    (users,), (items,) = (list(top_lists(found, np.arange(4), 3)), list(similar_items(found, np.arange(8), 3)))
    return users.items.tolist(), items.items.tolist()


# Arrays and metadata that are not as they should be, whatever file they come in.

Change = Callable[[dict[str, Any], dict[str, Any]], Any]


class Altered(NamedTuple):
    """Arrays or metadata changed, and words of the refusal."""

    name: str
    change: Change
    words: str


def put(name, place, value):
    """One number of an array."""

    def change(arrays, metadata):
        arrays[name][place] = value

    return change


def as_type(name, dtype):
    def change(arrays, metadata):
        arrays[name] = arrays[name].astype(dtype)

    return change


def cut(name, to):
    """Some rows or columns of an array."""

    def change(arrays, metadata):
        arrays[name] = arrays[name][to]

    return change


def said(**values):
    return lambda arrays, metadata: metadata.update(values)


def without(*names):
    def change(arrays, metadata):
        for name in names:
            (metadata if name in metadata else arrays).pop(name)

    return change


def block(**values):
    return lambda arrays, metadata: metadata["blocks"][0].update(values)


def tokens(kind, *given):
    def change(arrays, metadata):
        arrays[f"{kind}_tokens"] = np.array(given)

    return change


FLOATS = [name for name, array in exports.good_arrays().items() if array.dtype.kind == "f"]
ALTERED = [
    *[Altered(f"NaN in {name}", put(name, -1, np.nan), f"in {name} that are not finite") for name in FLOATS],
    *[Altered(f"Inf in {name}", put(name, 0, -np.inf), f"in {name} that are not finite") for name in FLOATS[:4]],
    *[Altered(f"{name} that overflows", put(name, 0, 3e38), f"3e+38 in {name}, expected") for name in FLOATS[:3]],
    *[
        Altered(f"{name} without its last row", cut(name, slice(-1)), "arrays that do not fit these")
        for name, array in exports.good_arrays().items()
        if array.ndim == 2 or name in ("item_rarity", "item_is_new", "history_offsets", "coefficient_offsets")
    ],
    *[
        Altered(f"{name} without a column", cut(name, (slice(None), slice(1, None))), "do not fit its blocks")
        for name in ("user_vectors", "item_vectors", "item_told", "item_told_trained", "item_embeddings")
    ],
    *[
        Altered(f"{name} without its last", cut(name, slice(-1)), "arrays that do not fit each other")
        for name in ("history_items", "history_parts", "coefficient_items", "coefficient_values")
    ],
    *[
        Altered(f"{name} as {dtype}", as_type(name, dtype), f"has {name} of type")
        for name, dtype in [
            ("user_vectors", "float64"),
            ("item_vectors", "int32"),
            ("item_vectors", "bool"),
            ("history_items", "int64"),
            ("history_items", "float32"),
            ("history_offsets", "int32"),
            ("history_parts", "int64"),
            ("history_parts", "bool"),
            ("item_is_new", "int8"),
            ("coefficient_items", "uint32"),
        ]
    ],
    Altered("vectors of one dimension", cut("user_vectors", (slice(None), 0)), "expected 2 dimensions"),
    Altered("rarities of two", cut("item_rarity", (slice(None), None)), "expected 1 dimensions"),
    Altered("a rarity above 1", put("item_rarity", 1, 1.5), "an item_rarity of 1.5, expected 0 to 1"),
    Altered("a rarity below 0", put("item_rarity", 1, -1), "an item_rarity of -1, expected 0 to 1"),
    Altered("a part that is none", put("history_parts", 0, 3), "an interaction of part 3, expected -2 to 2"),
    Altered("a part below dislikes", put("history_parts", 0, -3), "an interaction of part -3, expected -2 to 2"),
    Altered("an item of a history beyond", put("history_items", 2, 8), "has 8 in history_items, expected rows"),
    Altered("one far beyond", put("history_items", 2, 2_000_000_000), "has 2000000000 in history_items"),
    Altered("a negative one", put("history_items", 2, -1), "has -1 in history_items"),
    Altered("a coefficient beyond", put("coefficient_items", 2, 8), "has 8 in coefficient_items"),
    Altered("a negative one's", put("coefficient_items", 2, -8), "has -8 in coefficient_items"),
    Altered("an item twice in a history", put("history_items", 1, 0), "an item twice in history_items for one user"),
    Altered("offsets from 1", put("history_offsets", 0, 1), "do not fit each other"),
    Altered("offsets that fall", put("history_offsets", 1, 9), "do not fit each other"),
    Altered("negative offsets", put("history_offsets", 1, -3), "do not fit each other"),
    Altered(
        "offsets around the circle",
        put("history_offsets", slice(1, 4), [2**63 - 1, 5 - 2**63, 4]),
        "do not fit each other",
    ),
    Altered("offsets beyond", put("coefficient_offsets", 8, 99), "do not fit each other"),
    Altered("a user twice", tokens("user", "a", "b", "c", "a"), "has the user 'a' in rows 0 and 3"),
    Altered("an item twice", tokens("item", *exports.ITEMS[:7], "i3"), "has the item 'i3' in rows 3 and 7"),
    Altered("a user without a token", tokens("user", "a", "", "c", "d"), "a user without a token in row 1"),
    Altered("an item without one", tokens("item", *exports.ITEMS[:7], ""), "an item without a token in row 7"),
    Altered("a user too many", tokens("user", *"abcde"), "arrays that do not fit these"),
    Altered("an item too few", tokens("item", *exports.ITEMS[:7]), "arrays that do not fit these"),
    Altered("no mark", without(MARK), "is of format None, expected 1"),
    Altered("another format", said(**{MARK: 2}), "is of format 2, expected 1"),
    Altered("a mark of text", said(**{MARK: "1"}), "is of format '1', expected 1"),
    Altered("no blocks", without("blocks"), "has blocks None"),
    Altered("blocks that are a number", said(blocks=3), "has blocks 3, expected a list"),
    Altered("blocks of numbers", said(blocks=[1, 2]), "expected a list of name, start, stop and history"),
    Altered("an empty list of blocks", said(blocks=[]), "do not fit its blocks of 0 columns"),
    Altered("a block without a name", said(blocks=[{"start": 0, "stop": 6}]), "expected a list of name, start"),
    Altered("a block of more", block(code="os.system"), "expected a list of name, start"),
    Altered("a block named 3", block(name=3), "expected a list of name, start"),
    Altered("a block from true", block(start=True), "expected a list of name, start"),
    Altered("a block to a fraction", block(stop=2.0), "expected a list of name, start"),
    Altered("a block from -1", block(start=-1), "do not follow one another"),
    Altered("a block to far beyond", block(stop=10**30), "do not follow one another"),
    Altered("a block that overlaps", block(stop=3), "do not follow one another"),
    Altered("a history of 1", block(history=1), "expected a list of name, start"),
    Altered("a history block first", block(history=True), "expected those of histories last"),
    Altered("two blocks of a name", block(name="image"), "of which two have one name"),
    Altered("a model that is a list", said(model=["x"]), "has model ['x'] in its metadata"),
    Altered(
        "a type of tomorrow", said(dtype="float8"), "has dtype 'float8' in its metadata, expected float32 or float16"
    ),
    Altered("a list of types", said(dtype=["float16"]), "has dtype ['float16'] in its metadata"),
    Altered(
        "coefficients of tomorrow", as_type("coefficient_values", "float64"), "has coefficient_values of type float"
    ),
    Altered("a dataset that is nothing", said(dataset=None), "has dataset None in its metadata"),
    Altered("parts in another order", said(parts=["test", "train", "valid"]), "has parts ["),
    Altered("unknown parts seen", said(seen_at_test=["all"]), "has seen_at_test ['all']"),
    Altered("parts seen as a word", said(seen_at_test="train"), "has seen_at_test 'train'"),
    Altered("lists of parts seen", said(seen_at_test=[["train"]]), "has seen_at_test [["),
    Altered("no rule for new users", without("users_by_items"), "has users_by_items None"),
    Altered("an empty rule", said(users_by_items={}), "has users_by_items {}"),
    Altered("a rule of another scale", said(users_by_items={"scale": "x", "factor": 1}), "has users_by_items {'scale'"),
    Altered("a scale that is a list", said(users_by_items={"scale": [], "factor": 1}), "has users_by_items {'scale'"),
    Altered("no factor", said(users_by_items={"scale": "unit length"}), "has users_by_items {'scale'"),
    Altered("a factor of 0", said(users_by_items={"scale": "unit length", "factor": 0}), "has users_by_items"),
    Altered(
        "a factor that is no number",
        said(users_by_items={"scale": "unit length", "factor": float("nan")}),
        "has users_by_items",
    ),
    Altered(
        "a factor far beyond", said(users_by_items={"scale": "unit length", "factor": 10**400}), "has users_by_items"
    ),
    Altered("half a letter", said(model="\ud800"), "metadata that are no JSON"),
    Altered("long metadata", said(model="x" * (1 << 21)), "more than the 1,048,576 there may be"),
    *[
        Altered(f"without {name}", without(name), f"lacks {name}")
        for name in ("user_tokens", "item_vectors", "item_told", "history_offsets", "history_parts")
    ],
    Altered("half the coefficients", without("coefficient_items"), "lacks coefficient_items"),
    Altered("a name that none has", lambda arrays, metadata: arrays.update(item_raritee=np.zeros(8)), "holds 'item_ra"),
    Altered("a layer of none", lambda arrays, metadata: arrays.update(x_layer_0=np.zeros(8)), "holds 'x_layer_0'"),
    Altered("a layer named -1", lambda a, m: a.update({"item_layer_-1": np.zeros((8, 1))}), "holds 'item_layer_-1'"),
]


@pytest.mark.parametrize("row", ALTERED, ids=lambda row: row.name)
def test_arrays_and_metadata_that_do_not_fit_are_refused(refused, workplace, row):
    arrays, metadata = exports.good_arrays(), exports.good_metadata()
    row.change(arrays, metadata)
    (workplace / "x.npz").write_bytes(exports.npz(arrays, metadata))
    refused(workplace / "x.npz", row.words)
    if "user_tokens" in arrays:
        (workplace / "x.safetensors").write_bytes(exports.safetensors(arrays, metadata))
        marked = row.name != "no mark" and row.name != "long metadata"
        refused(workplace / "x.safetensors", row.words if marked else "safetensors")


FIELDS = {  # arrays by the attributes that hold them
    **{name: name for name in ("user_vectors", "item_vectors", "item_embeddings", "item_rarity")},
    **{"item_sources": "item_told", "item_sources_trained": "item_told_trained"},
}
IN_ARRAYS = {"item_told", "item_told_trained", "item_embeddings", "item_rarity", "user_layer_0", "item_layer_0"}
VALUES = ("NaN in", "Inf in", "that overflows", "a rarity", "a part", "of a history", "twice", "a token", "far beyond")


@pytest.mark.parametrize("ending", ["parquet", "duckdb"])
@pytest.mark.parametrize(
    "row",
    [row for row in ALTERED if any(words in row.name for words in VALUES) and "block" not in row.name],
    ids=lambda row: row.name,
)
def test_values_that_cannot_be_are_refused_in_tables(refused, workplace, monkeypatch, row, ending):
    """By the writers themselves, given such values."""
    arrays, metadata = exports.good_arrays(), exports.good_metadata()
    row.change(arrays, metadata)
    good = exports.good_embeddings()
    said = good.coefficients.copy()
    said.data, said.indices = arrays["coefficient_values"], arrays["coefficient_items"]
    parts = {name: arrays[array] for name, array in FIELDS.items() if array in arrays}
    bad = replace(
        good,
        **parts,
        users=arrays["user_tokens"],
        items=arrays["item_tokens"],
        histories=replace(good.histories, items=arrays["history_items"], parts=arrays["history_parts"]),
        coefficients=said,
        layers={name: arrays[name] for name in good.layers},
        metadata={key: value for key, value in metadata.items() if key not in (MARK, "blocks")},
    )
    write_embeddings(bad, workplace / f"x.{ending}")
    lost = (
        ending == "duckdb" and row.name.startswith("NaN") and row.name[7:] not in IN_ARRAYS
    )  # pandas takes it for none
    refused(workplace / f"x.{ending}", "has a null" if lost else row.words)


# Files that are damaged, made up, or no files.


def cut_to(share):
    return lambda whole: whole[: int(share * len(whole))]


CONTENTS = {
    "nothing": lambda whole: b"",
    "a byte": lambda whole: b"P",
    "a tenth": cut_to(0.1),
    "a half": cut_to(0.5),
    "all but a byte": lambda whole: whole[:-1],
    "zeros": lambda whole: bytes(len(whole)),
    "text": lambda whole: b"user,item\na,i0\n" * 99,
    "a pickle": lambda whole: pickle.dumps(Payload()),
    "a page": lambda whole: b"<!doctype html><title>404</title>",
    "ones before": lambda whole: b"\xff" * 64 + whole,
    "sqlite": lambda whole: b"SQLite format 3\0" + bytes(4096),
}


@pytest.mark.parametrize("ending", exports.FORMATS)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_damaged_file_is_refused(refused, workplace, wholes, ending, name):
    if (ending, name) == ("npz", "ones before"):
        pytest.skip("an archive is found by its end, and so it is whole")
    (workplace / f"x.{ending}").write_bytes(CONTENTS[name](wholes[ending]))
    refused(workplace / f"x.{ending}", f"x.{ending}")


@pytest.mark.parametrize("ending", exports.FORMATS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nowhere"])
def test_what_is_no_file_is_not_waited_for(refused, workplace, ending, kind):
    path = workplace / f"x.{ending}"
    {"pipe": os.mkfifo, "folder": os.mkdir}.get(kind, lambda path: None)(path)
    if kind in ("device", "nowhere"):
        path.symlink_to("/dev/zero" if kind == "device" else "absent")
    refused(path, "there is no " if kind == "nowhere" else f"it is a {kind}")


@pytest.mark.parametrize(
    "command",
    [
        ("recommend", "--users=a"),
        ("similar", "--items=i0"),
        ("explain", "--user=a", "--item=i0"),
        ("serve", "--port=0"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("ending", exports.FORMATS)
def test_every_command_has_this_door(refused, workplace, monkeypatch, command, ending):
    bad = replace(exports.good_embeddings(), user_vectors=np.full((4, 6), np.inf, np.float32))
    write_embeddings(bad, workplace / f"x.{ending}")
    refused(workplace / f"x.{ending}", "24 numbers in user_vectors that are not finite (first: row 0)", command)


@pytest.mark.parametrize("ending", exports.FORMATS)
def test_a_report_has_this_door(workplace, unchecked_shapes, ending):
    bad = replace(exports.good_embeddings(), item_rarity=np.full(8, 2, np.float32))
    write_embeddings(bad, workplace / f"x.{ending}")
    with pytest.raises(DataError, match="has an item_rarity of 2, expected 0 to 1"):
        read_exported(workplace / f"x.{ending}")


# .npz


def replaced(**contents):
    """The archive with other bytes for some members."""
    named = {f"{name}.npy": content for name, content in contents.items()}
    return lambda whole: archive(*{**members_of(whole), **named}.items())


def header(shape, dtype="<f4", version=(1, 0)):
    """A header of .npy that claims a shape, and no value."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text


def saved(array, allow_pickle=False):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def encrypted(whole):
    """With the flag of encryption in every entry of the directory."""
    content, at = bytearray(whole), 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 8] |= 1
        at += 4
    return bytes(content)


def claiming(name, size):
    """The directory's size of a member, of whatever size it is."""

    def change(whole):
        content = bytearray(whole)
        at = content.rfind(name.encode()) - 46
        content[at + 24 : at + 28] = struct.pack("<I", size)
        return bytes(content)

    return change


EIGHTH = 1 << 23  # numbers of eight megabytes
NPZ = {
    "a gigabyte of zeros": (replaced(user_vectors=header((3 << 20, 6)) + bytes(72 << 20)), "unfold into"),
    "many members of zeros": (
        lambda whole: archive(
            *[(f"item_layer_{n}.npy", bytes(EIGHTH)) for n in range(1, 10)], *members_of(whole).items()
        ),
        "unfold into",
    ),
    "a claim of gigabytes": (replaced(user_vectors=header((1 << 40, 6))), "its header claims"),
    "a claim beyond 64 bits": (replaced(user_vectors=header((1 << 62, 1 << 62))), "its header claims"),
    "a negative claim": (replaced(user_vectors=header((-1, 6))), "cannot be read"),
    "a claim in the directory": (claiming("user_vectors.npy", 0xFFFFFFF0), "unfold into"),
    "Python objects": (replaced(user_tokens=saved(np.array([Payload()] * 4, object), True)), "never unpickled"),
    "objects as metadata": (replaced(metadata=saved(np.array(Payload(), object), True)), "never unpickled"),
    "a pickle as a member": (replaced(user_tokens=pickle.dumps(Payload())), "cannot be read"),
    "a header of code": (replaced(user_vectors=header("__import__('os').system('touch touched')")), "cannot be read"),
    "a table of columns": (replaced(user_vectors=header((4,), "V8", (3, 0))), "version (3, 0)"),
    "numbers for tokens": (replaced(user_tokens=saved(np.arange(4))), "has user_tokens of type int64"),
    "bytes for tokens": (
        replaced(user_tokens=saved(np.array([b"a", b"b", b"c", b"d"]))),
        "has user_tokens of type |S1",
    ),
    "big-endian vectors": (replaced(user_vectors=saved(np.zeros((4, 6), ">f4"))), "has user_vectors of type >f4"),
    "complex vectors": (replaced(user_vectors=saved(np.zeros((4, 6), "c8"))), "has user_vectors of type complex64"),
    "no character": (replaced(user_tokens=header((4,), "<U1") + b"\xff" * 16), "holds an array that is no text"),
    "half a letter": (replaced(user_tokens=saved(np.array(["a", "b", "c", "\ud800"]))), "no text in Unicode"),
    "a NUL in a token": (replaced(user_tokens=saved(np.array(["a", "b", "c", "d\0e"]))), "or has a NUL"),
    "no user": (replaced(user_tokens=saved(np.zeros(0, "<U1"))), "has no user"),
    "tokens of no letters": (replaced(user_tokens=saved(np.zeros(4, "<U1"))), "a user without a token in row 0"),
    "millions of tokens": (replaced(user_tokens=saved(np.zeros(4_000_000, "<U1"))), "unfold into"),
    "metadata of two texts": (replaced(metadata=saved(np.array(["{}", "{}"]))), "has metadata of type <U2"),
    "metadata of a number": (replaced(metadata=saved(np.array(1.0))), "has metadata of type float64"),
    "metadata of text": (replaced(metadata=saved(np.array("text"))), "metadata that are no JSON"),
    "metadata of a list": (replaced(metadata=saved(np.array("[1]"))), "has metadata [1]"),
    "deep metadata": (replaced(metadata=saved(np.array("[" * 100_000))), "metadata that are no JSON"),
    "a number of 5,000 digits": (
        replaced(metadata=saved(np.array('{"a": ' + "9" * 5000 + "}"))),
        "export the checkpoint again",
    ),
    "a member twice": (
        lambda whole: archive(*members_of(whole).items(), ("user_vectors.npy", header((4, 6)))),
        "holds user_vectors twice",
    ),
    "a member outside": (lambda whole: archive(*members_of(whole).items(), ("../../x.npy", b"")), "holds '../../x'"),
    "a member that is no array": (lambda whole: archive(*members_of(whole).items(), ("x.py", b"")), "holds 'x.py'"),
    "encryption": (encrypted, "cannot be read"),
    "a feature file": (lambda whole: exports.npz({"item_id": np.array(["a"])}, "absent"), "holds no embeddings"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", NPZ)
def test_an_archive_is_no_way_in(refused, workplace, wholes, name):
    change, words = NPZ[name]
    (workplace / "x.npz").write_bytes(change(wholes["npz"]))
    refused(workplace / "x.npz", words)


# .safetensors


def split_header(whole):
    length = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def with_header(change, pad=b""):
    """Another header before the same values."""

    def changed(whole):
        head, values = split_header(whole)
        head = change(head) or head
        text = head if isinstance(head, bytes) else json.dumps(head).encode()
        return len(text).to_bytes(8, "little") + text + values + pad

    return changed


def tensor(name, **values):
    return with_header(lambda head: head[name].update(values))


def metadata_of(text):
    return with_header(lambda head: head.update(__metadata__={"metadata": text}))


SAFETENSORS = {
    "a header of 2**60 bytes": (lambda whole: (1 << 60).to_bytes(8, "little") + whole[8:], "more than the"),
    "a header of the whole file": (lambda whole: len(whole).to_bytes(8, "little") + whole[8:], "cannot be read"),
    "a header that is no JSON": (with_header(lambda head: MARK.encode()), "cannot be read"),
    "a header that is a list": (with_header(lambda head: f'["{MARK}"]'.encode()), "cannot be read"),
    "a claim of gigabytes": (tensor("user_vectors", shape=[1 << 40, 6]), "cannot be read"),
    "a claim beyond 64 bits": (tensor("user_vectors", shape=[1 << 63, 1 << 63]), "cannot be read"),
    "a negative claim": (tensor("user_vectors", shape=[-4, -6]), "cannot be read"),
    "values beyond the file": (tensor("user_vectors", data_offsets=[1 << 40, (1 << 40) + 96]), "cannot be read"),
    "values that overlap": (tensor("user_vectors", data_offsets=[0, 96]), "cannot be read"),
    "values nobody has": (with_header(lambda head: None, b"more"), "cannot be read"),
    "an unknown type": (tensor("user_vectors", dtype="Q8"), "cannot be read"),
    "a type of no array": (
        lambda whole: with_header(lambda head: head["user_vectors"].update(dtype="BF16", shape=[4, 12]))(whole),
        "which NumPy does not know",
    ),
    "no metadata": (with_header(lambda head: head.update(__metadata__={"x": MARK})), "of another program"),
    "metadata of text": (metadata_of(MARK), "metadata that are no JSON"),
    "metadata of a list": (metadata_of(f'["{MARK}"]'), "has metadata ["),
    "deep metadata": (metadata_of("[" * 100_000 + MARK), "metadata that are no JSON"),
    "tokens that are no UTF-8": (lambda whole: whole.replace(b"a\nb\nc\nd", b"a\nb\nc\n\xff"), "no text in UTF-8"),
    "a NUL in a token": (lambda whole: whole.replace(b"a\nb\nc\nd", b"a\nb\nc\n\0"), "has a NUL in the user"),
    "an empty token": (lambda whole: whole.replace(b"a\nb\nc\nd", b"a\nb\n\ndd"), "a user without a token in row 2"),
    "tokens of floats": (tensor("user_tokens", dtype="F8_E4M3"), "which NumPy does not know"),
    "tokens that are signed": (tensor("user_tokens", dtype="I8"), "has user_tokens of type int8"),
    "another program's": (lambda whole: exports.safetensors({"w": np.zeros(3)}, "{}"), "of another program"),
    "a name that none has": (
        lambda whole: exports.safetensors({**exports.good_arrays(), "w": np.zeros(3)}),
        "holds 'w', which no export has",
    ),
    "one long token": (
        lambda whole: exports.safetensors({**exports.good_arrays(), "user_tokens": np.frombuffer(LONG, np.uint8)}),
        "unfold into",
    ),
}
LONG = "\n".join(["x" * 200_000, *map(str, range(9_999))]).encode()


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_header_is_no_way_in(refused, workplace, wholes, name):
    change, words = SAFETENSORS[name]
    (workplace / "x.safetensors").write_bytes(change(wholes["safetensors"]))
    refused(workplace / "x.safetensors", words)


# .parquet


def column(kind, name, made):
    """A column of one kind's table made anew, of the table and its old values."""

    def change(tables):
        import pyarrow

        table = tables[kind]
        values = made(table.column(name).to_pylist())
        given = values if isinstance(values, pyarrow.Array) else pyarrow.array(values, table.schema.field(name).type)
        tables[kind] = table.set_column(table.schema.get_field_index(name), name, given)
        for other in tables.keys() - {kind}:  # both have one schema
            at, nulls = tables[other].schema.get_field_index(name), pyarrow.nulls(len(tables[other]), given.type)
            old = tables[other].column(name)
            tables[other] = tables[other].set_column(at, name, old if old.type == given.type else nulls)

    return {"change": change}


def first(value):
    return lambda values: [value, *values[1:]]


def typed(kind, name, type_name):
    """A column as another type of pyarrow's."""

    def made(values):
        import pyarrow

        value = getattr(pyarrow, type_name)()
        if name == "token":
            return pyarrow.array(range(len(values)), value)
        as_value = str if type_name == "string" else lambda number: number
        return pyarrow.array([[as_value(number) for number in row] for row in values], pyarrow.list_(value))

    return column(kind, name, made)


def renamed(**names):
    def change(tables):
        for kind, table in tables.items():
            tables[kind] = table.rename_columns([names.get(name, name) for name in table.column_names])

    return {"change": change}


def alike(kind, **values):
    """Many rows, all alike, of one kind: few bytes in the file."""

    def change(tables):
        import pyarrow

        table, places = tables[kind], pyarrow.array(np.zeros(values["rows"], np.int32))
        long = table.take(places).drop_columns(["token"])
        text = pyarrow.DictionaryArray.from_arrays(places, ["x" * values.get("letters", 1)])
        tables[kind] = long.append_column("token", text)
        for other in tables.keys() - {kind}:
            token = tables[other].column("token").dictionary_encode()
            tables[other] = tables[other].drop_columns(["token"]).append_column("token", token)

    return {"change": change}


def both(tables):
    return list(tables.values())


def together(tables):
    import pyarrow

    return [pyarrow.concat_tables(both(tables)).combine_chunks()]


PARQUET = {
    "no metadata": ({"metadata": b""}, "metadata that are no JSON"),
    "metadata of a list": ({"metadata": [1]}, "has metadata [1]"),
    "deep metadata": ({"metadata": b"[" * 100_000}, "metadata that are no JSON"),
    "metadata that are no UTF-8": ({"metadata": b"\xff"}, "cannot be read"),
    "one row group": ({"groups": together}, "has 1 row groups"),
    "three row groups": ({"groups": lambda tables: both(tables) + both(tables)[:1]}, "has 3 row groups"),
    "items before users": ({"groups": lambda tables: both(tables)[::-1]}, "a row of kind 'item' where its users"),
    "users twice": ({"groups": lambda tables: [tables["user"]] * 2}, "a row of kind 'user' where its items"),
    "no users": ({"groups": lambda tables: [tables["user"].slice(0, 0), tables["item"]]}, "cannot be read"),
    "a kind of its own": (column("item", "kind", first("dog")), "a row of kind 'dog' where its items"),
    "a kind that is null": (column("user", "kind", first(None)), "rows without a kind or a token"),
    "a token that is null": (column("item", "token", first(None)), "rows without a kind or a token"),
    "a NUL in a token": (column("user", "token", first("a\0")), "has a NUL in the user"),
    "a history that is null": (column("user", "history_items", first(None)), "has history_items for 3 of 4 users"),
    "a null in a history": (column("user", "history_items", first([0, None, 1])), "numbers in history_items that are"),
    "a history too long": (column("user", "history_items", first([0, 1, 2, 3])), "lists of different lengths"),
    "a rarity that is null": (column("item", "item_rarity", first(None)), "has item_rarity for 7 of 8 items"),
    "a null in a vector": (column("user", "layer_0", first([1.0, None, 0.0])), "numbers in layer_0 that are null"),
    "rows of any length": (
        column("item", "item_told", lambda rows: [rows[0] + rows[1][:1], rows[1][1:], *rows[2:]]),
        "lists of 1 to 3 numbers in",
    ),
    "tokens of numbers": (typed("user", "token", "int64"), "has the column token of type 'int64'"),
    "no column of tokens": (renamed(token="name"), "expected kind, token and vector once each"),
    "a column of no export": (renamed(item_rarity="item_raritee"), "has a column 'item_raritee'"),
    "a column twice": (renamed(item_is_new="item_rarity"), "once each"),
    "no vectors": (renamed(vector="item_told"), "expected kind, token and vector once each"),
    "rarities of users": (
        {"change": lambda tables: [column("user", "item_rarity", lambda v: [0.5] * 4)["change"](tables)][:0]},
        "has item_rarity for 4 of 4 users",
    ),
    "a vector for each item and none for users": (column("user", "vector", lambda v: [None] * 4), "lacks user_vectors"),
    "vectors of doubles": (typed("user", "layer_0", "float64"), "has the column layer_0 of type"),
    "vectors of text": (typed("user", "layer_0", "string"), "has the column layer_0 of type"),
    "histories of int64": (typed("user", "history_items", "int64"), "has the column history_items of type"),
    "millions of users": (alike("user", rows=900_000), "unfold into"),
    "a long token in every row": (alike("user", rows=20_000, letters=100_000), "unfold into"),
    "long tokens without a dictionary": (
        {**alike("user", rows=900, letters=100_000), "use_dictionary": False},
        "unfold",
    ),
    "tokens made of one another": (
        {"use_dictionary": False, "column_encoding": {"token": "DELTA_BYTE_ARRAY"}},
        "codes its texts by one another",
    ),
}


@pytest.mark.parametrize("name", PARQUET)
def test_a_table_is_no_way_in(refused, workplace, name):
    given, words = PARQUET[name]
    exports.parquet(workplace / "x.parquet", **given)
    refused(workplace / "x.parquet", words)


# .duckdb

NAMES = ("users", "items", "interactions", "coefficients", "arrays", "metadata")
COLUMNS = {
    "users": "0::BIGINT AS row_id, content AS token, [1, 2, 3, 4, 5, 6]::FLOAT[6] AS vector",
    "items": "0::BIGINT AS row_id, content AS token, [1]::FLOAT[1] AS vector, false AS is_new, 0::FLOAT AS rarity",
    "interactions": "0::INTEGER AS user_id, 0::INTEGER AS item_id, 0::TINYINT AS part",
    "coefficients": "0::INTEGER AS for_item_id, 0::INTEGER AS item_id, 0::FLOAT AS value",
    "arrays": "'item_told' AS name, 'float32' AS dtype, '[1]' AS shape, content::BLOB AS data",
    "metadata": "'json' AS key, content AS value",
}
SOURCES = {
    "a file": "read_text('secret.csv')",
    "an endless one": "(SELECT 'x' AS content FROM range(1000000000000))",
    "one of itself": "(WITH RECURSIVE r AS (SELECT 'x' AS content UNION ALL SELECT content || 'x' FROM r) FROM r)",
    "a folder": "(SELECT file AS content FROM glob('/*'))",
}
VIEWS = {
    f"{table} from {name}": (
        f"DROP TABLE {table}; CREATE VIEW {table} AS SELECT {COLUMNS[table]} FROM {source}",
        f"has no table {table}, or a view",
    )
    for table in NAMES
    for name, source in SOURCES.items()
    if name == "a file" or table in ("users", "metadata")
}


def altered_column(table, column, kind):
    return f"DROP MACRO TABLE recommend; ALTER TABLE {table} ALTER {column} TYPE {kind}"


def anew(table, select):
    return f"CREATE TABLE other AS {select}; DROP TABLE {table}; ALTER TABLE other RENAME TO {table}"


def computed(table, column, expression):
    """A column that is computed whenever it is read."""
    others = "row_id BIGINT, vector FLOAT[6]"
    return (
        f"CREATE TABLE other ({others}, {column} VARCHAR GENERATED ALWAYS AS ({expression}) VIRTUAL); "
        f"INSERT INTO other SELECT row_id, vector FROM {table}; DROP TABLE {table}; ALTER TABLE other RENAME TO {table}"
    )


DATABASES = {
    **VIEWS,
    "a macro table for users": ("DROP TABLE users; CREATE MACRO users() AS TABLE SELECT 1", "has no table users"),
    "tokens that are computed": (computed("users", "token", "repeat('x', 1000)"), "has no table users"),
    "no arrays": ("DROP TABLE arrays", "has no table arrays"),
    "nothing": ([f"DROP TABLE {table}" for table in NAMES], "holds no embeddings"),
    "tokens in another schema": (
        "CREATE SCHEMA s; CREATE TABLE s.users AS FROM users; DROP TABLE users",
        "no table users",
    ),
    "tokens of numbers": (anew("users", "SELECT row_id, row_id AS token, vector FROM users"), "has a table users with"),
    "vectors of doubles": (altered_column("users", "vector", "DOUBLE[6]"), "has a table users with the columns"),
    "lists of any length": (altered_column("users", "vector", "FLOAT[]"), "has a table users with the columns"),
    "ids of texts": (altered_column("interactions", "item_id", "VARCHAR"), "has a table interactions with the columns"),
    "ids of 128 bits": (altered_column("interactions", "item_id", "HUGEINT"), "has a table interactions with the"),
    "a column more": ("ALTER TABLE items ADD COLUMN code VARCHAR", "has a table items with the columns"),
    "a column less": ("ALTER TABLE items DROP COLUMN rarity", "has a table items with the columns"),
    "other widths": (altered_column("users", "vector", "FLOAT[6]") + "; UPDATE users SET vector = NULL", "do not fit"),
    "widths of users alone": (
        anew("users", "SELECT row_id, token, vector[1:5]::FLOAT[5] AS vector FROM users"),
        "do not",
    ),
    "a user far beyond": (
        "UPDATE interactions SET user_id = 2000000000 WHERE user_id = 3",
        "2000000000 in interactions",
    ),
    "a negative user": (
        "UPDATE interactions SET user_id = -1 WHERE user_id = 3",
        "has user_id -1 to 2 in interactions",
    ),
    "an item far beyond": ("UPDATE interactions SET item_id = 2000000000", "has 2000000000 in history_items"),
    "an item of coefficients": ("UPDATE coefficients SET for_item_id = 2000000000", "2000000000 in coefficients"),
    "an interaction twice": ("INSERT INTO interactions FROM interactions LIMIT 1", "an item twice in history_items"),
    "a null id": ("UPDATE interactions SET item_id = NULL WHERE user_id = 0", "has a null among the item_id"),
    "a null user": ("UPDATE interactions SET user_id = NULL WHERE user_id = 0", "has a null among the user_id"),
    "a null part": ("UPDATE interactions SET part = NULL", "has a null among the part of interactions"),
    "a null value": ("UPDATE coefficients SET value = NULL", "has a null among the value of coefficients"),
    "a null token": ("UPDATE users SET token = NULL WHERE row_id = 0", "has a null among the token of users"),
    "a null vector": ("UPDATE users SET vector = NULL WHERE row_id = 0", "has a null among the vector of users"),
    "a null in a vector": (
        "UPDATE users SET vector = [1, NULL, 1, 1, 1, 1]::FLOAT[6] WHERE row_id = 0",
        "has a null in a vector of its users",
    ),
    "a null row": ("UPDATE users SET row_id = NULL WHERE row_id = 0", "has a null among the row_id of users"),
    "a row twice": ("UPDATE users SET row_id = 1 WHERE row_id = 0", "whose row_id is not 0 to 3"),
    "a row beyond": ("UPDATE users SET row_id = 9000000000 WHERE row_id = 0", "whose row_id is not 0 to 3"),
    "no users": ("DELETE FROM users", "has no user"),
    "a NUL in a token": ("UPDATE users SET token = 'a' || chr(0) WHERE row_id = 0", "has a NUL in the user"),
    "millions of interactions": (
        anew(
            "interactions",
            "SELECT 0::INTEGER AS user_id, 0::INTEGER AS item_id, 0::TINYINT AS part FROM range(9000000)",
        ),
        "unfold into",
    ),
    "millions of users": (
        anew("users", "SELECT range AS row_id, 'x' AS token, [1]::FLOAT[1] AS vector FROM range(1000000)"),
        "unfold into",
    ),
    "a long token in every row": (
        anew("users", "SELECT range AS row_id, repeat('x', 100000) AS token, [1]::FLOAT[1] AS vector FROM range(800)"),
        "unfold into",
    ),
    "one long token": (
        "UPDATE users SET token = repeat('x', 6000000) WHERE row_id = 0",
        "unfold into",
    ),
    "no JSON": ("DELETE FROM metadata", "has 0 texts of JSON in its table metadata"),
    "two texts of JSON": ("INSERT INTO metadata FROM metadata WHERE key = 'json'", "has 2 texts of JSON"),
    "JSON that is null": ("UPDATE metadata SET value = NULL", "has 1 texts of JSON in its table metadata"),
    "JSON that is none": ("UPDATE metadata SET value = 'x'", "metadata that are no JSON"),
    "deep JSON": ("UPDATE metadata SET value = repeat('[', 100000)", "metadata that are no JSON"),
    "long JSON": ("UPDATE metadata SET value = repeat(' ', 2000000)", "more than the 1,048,576 there may be"),
    "an array of objects": ("UPDATE arrays SET dtype = 'O'", "of type 'O' in its table arrays"),
    "an array of structures": ("UPDATE arrays SET dtype = 'V8,O'", "of type 'V8,O' in its table arrays"),
    "an array of dates": ("UPDATE arrays SET dtype = 'M8[ns]'", "of type 'M8[ns]' in its table arrays"),
    "an array of no type": ("UPDATE arrays SET dtype = NULL", "of type None in its table arrays"),
    "an array of no export": ("UPDATE arrays SET name = 'x'", "has 'x' of type"),
    "an array of no name": ("UPDATE arrays SET name = NULL", "has None of type"),
    "an array twice": ("INSERT INTO arrays FROM arrays WHERE name = 'item_told'", "has 'item_told' of type"),
    "a table's array": ("UPDATE arrays SET name = 'user_tokens'", "has 'user_tokens' of type"),
    "an array of nothing": ("UPDATE arrays SET data = NULL", "in its table arrays"),
    "an array cut short": ("UPDATE arrays SET data = data[1:5] WHERE name = 'item_told'", "5 bytes of item_told"),
    "a shape of gigabytes": ("UPDATE arrays SET shape = '[4000000000, 2]'", "and the shape '[4000000000, 2]'"),
    "a negative shape": ("UPDATE arrays SET shape = '[-1, 2]'", "and the shape '[-1, 2]'"),
    "a shape of text": ("UPDATE arrays SET shape = '\"8\"'", "and the shape '\"8\"'"),
    "a deep shape": ("UPDATE arrays SET shape = repeat('[', 100000)", "and the shape"),
    "a shape of none": ("UPDATE arrays SET shape = NULL", "and the shape None"),
    "a shape that is no JSON": ("UPDATE arrays SET shape = '(8, 2)'", "and the shape '(8, 2)'"),
}


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_is_no_way_in(refused, workplace, name):
    statements, words = DATABASES[name]
    exports.database(workplace / "x.duckdb", statements)
    refused(workplace / "x.duckdb", words)


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_text('secret.csv')",
        "ATTACH 'secret.duckdb'",
        "COPY (SELECT 1) TO 'touched'",
        "SET memory_limit = '9GB'",
    ],
)
def test_whatever_were_asked_of_a_database_it_reaches_nothing_else(refused, workplace, monkeypatch, statement):
    """As if a query of ours could be led astray."""
    exports.write_good(workplace / "x.duckdb")
    monkeypatch.setattr(database_reader, "_read", lambda db, path, size: db.execute(statement).fetchall())
    refused(workplace / "x.duckdb", "cannot be read")


def test_a_database_of_something_else_is_refused(refused, workplace):
    with duckdb.connect("x.duckdb") as db:
        db.execute("CREATE TABLE runs (a INTEGER)")
    refused(workplace / "x.duckdb", "holds no embeddings")


# What is odd and yet right.

FUNCTIONS = ("count", "sum", "coalesce", "strlen", "octet_length", "upper", "contains", "current_database")
HARMLESS = {
    "macros of DuckDB's own names": [
        *[f"CREATE MACRO {name}(a) AS 1000000000000" for name in FUNCTIONS],
        "CREATE MACRO duckdb_tables() AS TABLE SELECT 'users' AS table_name",
        "CREATE MACRO duckdb_columns() AS TABLE SELECT 'users' AS table_name",
    ],
    "a view beside": "CREATE VIEW mine AS SELECT * FROM read_text('secret.csv')",
    "users in another order": anew("users", "SELECT * FROM users ORDER BY row_id DESC"),
    "interactions in another order": anew("interactions", "SELECT * FROM interactions ORDER BY item_id, user_id DESC"),
    "an index": "CREATE UNIQUE INDEX by_token ON users (token)",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_database_that_is_only_odd_is_read(workplace, unchecked_shapes, name):
    exports.write_good(workplace / "good.duckdb")
    exports.database(workplace / "x.duckdb", HARMLESS[name])
    assert lists_of(workplace / "x.duckdb") == lists_of(workplace / "good.duckdb")


def test_every_format_is_read_alike(workplace, unchecked_shapes):
    (workplace / "packed.npz").write_bytes(exports.npz(save=np.savez_compressed))
    (workplace / "more.npz").write_bytes(b"ones before" + exports.npz())
    exports.parquet(workplace / "plain.parquet", compression="none", use_dictionary=False, data_page_version="2.0")
    exports.parquet(workplace / "snappy.parquet", compression="snappy", write_page_index=True)
    for ending in exports.FORMATS:
        exports.write_good(workplace / f"x.{ending}")
    expected = lists_of(workplace / "x.npz")
    assert len(np.unique(expected[0])) > 3
    for path in sorted(workplace.glob("*.*")):
        if path.suffix[1:] in exports.FORMATS:
            assert lists_of(path) == expected, path


# Files of users and items.

LISTS = {  # content, and words of the sentence
    "nothing": (b"", "names.csv"),
    "blank lines": (b"\n\n , \n", "names.csv"),
    "a header": (b"user_id\n", "names.csv"),
    "other bytes": (b"\xff\xfe\x00", "names.csv"),
    "UTF-16": ("a\nb\n".encode("utf-16"), "names.csv"),
    "a pickle": (pickle.dumps(Payload()), "names.csv"),
    "a NUL": (b"a\n\0\n", "names.csv"),
    "a NUL at an end": (b"user,item\nnew,i0\nnew\0,i1\n", "names.csv"),
    "a quote without an end": (b'"a\nb\nc\n', "names.csv"),
    "a cell without an end": (b"x" * 200_000, ""),
    "three columns": (b"new,i0,5\n", "names.csv"),
    "lines of any length": (b"user,item\nnew,i0\nnew\n", "names.csv"),
    "an empty cell": (b"user,item\nnew,\n", "names.csv"),
    "a line of many": (b"a," * 5_000 + b"\n", "names.csv"),
    "an unknown one": (b"zed\n", "knows no"),
    "a formula": (b"=1+1\n", "knows no"),
    "a terminal's command": (b"\x1b[2Jx\n", ""),
    "one that turns lines": ("\u202ea\n".encode(), ""),
}
LISTS_OF_USERS = {
    "an unknown item": (b"user,item\nnew,i9\n", "knows no item 'i9'"),
    "a user of the data": (b"user,item\na,i0\n", "user 'a' is in the data already"),
    "long names among many": (
        b"user,item\n" + b"x" * 100_000 + b",i0\n" + b"".join(b"%d,i0\n" % n for n in range(2000)),
        "where a token is longer than 1,024 characters",
    ),
}
LISTS_OF_ITEMS = {"two columns": (b"user,item\nnew,i0\n", "names.csv")}
DOORS = {"users": "recommend", "items": "similar"}
NAMED = [
    *[(option, name, *LISTS[name]) for option in DOORS for name in LISTS],
    *[("users", name, *row) for name, row in LISTS_OF_USERS.items()],
    *[("items", name, *row) for name, row in LISTS_OF_ITEMS.items()],
]


@pytest.mark.parametrize("option, name, content, words", NAMED, ids=lambda value: value if type(value) is str else "")
def test_a_list_of_names_is_read_rightly_or_refused(refused, workplace, wholes, option, name, content, words):
    (workplace / "x.npz").write_bytes(wholes["npz"])
    (workplace / "names.csv").write_bytes(content)
    refused(workplace / "x.npz", words, (DOORS[option], f"--{option}=names.csv", "--k=2"))


@pytest.mark.parametrize("option", DOORS)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_list_that_is_no_file_is_not_waited_for(refused, workplace, wholes, option, ending, kind):
    (workplace / "x.npz").write_bytes(wholes["npz"])
    path = workplace / f"names{ending}"
    path.symlink_to("/dev/zero") if kind == "device" else {"pipe": os.mkfifo, "folder": os.mkdir}[kind](path)
    refused(workplace / "x.npz", f"it is a {kind}", (DOORS[option], f"--{option}={path.name}", "--k=2"))


@pytest.mark.parametrize("content", [b"a\r\nb\r\n", b"\xef\xbb\xbfuser\na\nb\n", b'"a"\n"b"', b"a\n\n b \na\n"])
def test_a_list_of_users_that_is_only_odd_is_read(workplace, unchecked_shapes, wholes, capsys, content):
    (workplace / "x.npz").write_bytes(wholes["npz"])
    (workplace / "names.csv").write_bytes(content)
    assert main(["recommend", "x.npz", "--users=names.csv", "--k=1"]) == 0
    assert [row["user"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == ["a", "b"]


# What is asked for.


@pytest.mark.parametrize("to", [(), ("--to=lists.csv",), ("--to=lists.jsonl",), ("--to=lists.parquet",)])
@pytest.mark.parametrize(
    "asked, words",
    [
        (("recommend", "--k=9"), "k is 9, but there are 8 items"),
        (("recommend", "--k=0", "--users=a"), "k is 0, but there are 8 items"),
        (("recommend", "--k=-1"), "k is -1, but there are 8 items"),
        (("recommend", "--k=2", "--among=new"), "k is 2, but there are 1 items"),
        (("similar", "--k=8"), "k is 8, but there are 7 items"),
        (("similar", "--k=0", "--items=i0"), "k is 0, but there are 7 items"),
        (("similar", "--k=9", "--by=coefficients"), "k is 9, but there are 7 items"),
    ],
)
def test_a_list_longer_than_the_catalogue_is_refused_before_its_header(refused, workplace, wholes, asked, words, to):
    (workplace / "x.npz").write_bytes(wholes["npz"])
    refused(workplace / "x.npz", words, (*asked, *to))
    assert not list(workplace.glob("lists.*"))


def test_a_list_is_refused_when_it_is_asked_for_not_when_it_is_read(unchecked_shapes):
    found = exports.good_embeddings()
    for asked in (lambda: top_lists(found, np.arange(0), 9), lambda: similar_items(found, np.arange(0), 8)):
        with pytest.raises(ConfigError, match="but there are"):
            asked()


def test_an_explanation_shows_no_negative_number_of_items(refused, workplace, wholes):
    (workplace / "x.npz").write_bytes(wholes["npz"])
    refused(workplace / "x.npz", "--most is -1", ("explain", "--user=a", "--item=i0", "--most=-1"))


# What is written.

TRAPS = ["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\x1b[2J\x1b]0;x\x07", "a\x9b31m", "a\u202eb", "a\nb,c"]
SAFE = ["'=1+1", "'+cmd|' /C calc'!A0", "'@SUM(A1)", "' =1", " [2J ]0;x ", "a 31m", "a b", "a b,c"]
HELD = ("\x1b", "\x07", "\x9b", "\u202e", "\t")


@pytest.fixture
def trapped(workplace, unchecked_shapes):
    """Items and users whose names are traps."""
    names = np.array(TRAPS)
    good = exports.good_embeddings()
    blocks = (replace(good.blocks[0], name="\x1b[31mid"), *good.blocks[1:])
    metadata = {**good.metadata, "model": "\x1b]0;x\x07MMSheaf"}
    bad = replace(good, users=names[[0, 4, 5, 6]], items=names, blocks=blocks, metadata=metadata)
    write_embeddings(bad, workplace / "x.npz")
    return workplace


def cells(text):
    return list(csv.reader(io.StringIO(text)))[1:]


@pytest.mark.parametrize("command", ["recommend", "similar"])
def test_lists_hold_no_formula_and_no_command(trapped, capsys, command):
    """On the screen and in CSV; in JSON lines and Parquet tokens are what they are."""
    import pandas as pd

    owners = np.array(SAFE)[[0, 4, 5, 6]] if command == "recommend" else SAFE
    asked = [command, "x.npz", "--k=7", *(["--seen=kept"] if command == "recommend" else [])]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert main([*asked, "--to=lists.csv"]) == 0
    for text in (shown, (trapped / "lists.csv").read_text()):
        assert not any(letter in text for letter in HELD)
        assert {row[0] for row in cells(text)} == set(owners) and {row[2] for row in cells(text)} == set(SAFE)
    assert main([*asked, "--to=lists.jsonl"]) == 0
    lines = (trapped / "lists.jsonl").read_text()
    assert not any(letter in lines for letter in HELD) and len(lines.splitlines()) == len(owners)
    key = "items" if command == "recommend" else "similar"
    assert {item for line in lines.splitlines() for item in json.loads(line)[key]} == set(TRAPS)
    assert main([*asked, "--to=lists.parquet"]) == 0
    assert set(pd.read_parquet(trapped / "lists.parquet").iloc[:, 2]) == set(TRAPS)


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_explanations_hold_no_command(trapped, capsys, json_too):
    assert main(["explain", "x.npz", f"--user={TRAPS[0]}", f"--item={TRAPS[4]}", *json_too]) == 0
    shown = capsys.readouterr().out
    assert not any(letter in shown for letter in HELD) and "[2J" in shown
    if json_too:
        assert json.loads(shown)["item"] == TRAPS[4] and "\x1b[31mid" in json.loads(shown)["parts"]


def test_a_refusal_holds_no_command(trapped, capsys):
    (trapped / "names.csv").write_text("user,item\n\x1b]0;x\x07,i0\n")
    for asked in (["--users=names.csv"], ["--users=\x1b[2J"], ["--users=\x9b31m.txt"]):
        assert main(["recommend", "x.npz", *asked]) == 2
        err = capsys.readouterr().err
        assert not any(letter in err for letter in HELD)


def test_titles_hold_no_command(trapped):
    from recbole_sheaf.serving.titles import read_titles

    found = read_embeddings(Path("x.npz"))
    (trapped / "titles.csv").write_text("item,title\n=1+1,\x1b[2JToy\u202eStory\n")
    assert read_titles("titles.csv", None, found) == {"=1+1": " [2JToy Story"}


def test_the_arrays_of_this_file_are_all_that_an_export_may_hold():
    from recbole_sheaf.exports.array_checks import KINDS

    assert set(as_arrays(exports.good_embeddings())) == {*KINDS, "user_layer_0", "item_layer_0"}
