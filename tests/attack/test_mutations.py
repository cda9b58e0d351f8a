"""Files with bytes flipped, cut, doubled and moved: whatever they hold, reading ends in success or in our own error.

Checkpoints are mutated in ``test_checkpoints``.
"""

import json
import os
import random

import numpy as np
import pytest
import yaml
from safetensors.numpy import save as safetensors_bytes

from recbole_sheaf.data import check_dataset_folder, convert_mmrec_folder
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.errors import SheafError
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split, loaders
from recbole_sheaf.exports.files import read_embeddings
from recbole_sheaf.exports.token_files import read_tokens
from recbole_sheaf.features import load_modalities, read_features
from recbole_sheaf.settings.settings_files import read_yaml
from recbole_sheaf.store.store import Store
from tests.attack import exports
from tests.attack.door import ITEMS, LINES, table
from tests.attack.test_data import GOOD_ITEM, MM_GOOD, ROWS, TOKENS, features, npy
from tests.store.planted import plant

SETTINGS = {
    "learning_rate": 0.001,
    "topk": [10, 20],
    "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO"},
    "model_settings": {"BPR": {"embedding_size": 16}},
    "text_modalities": {"title": ["title"]},
}
YAML = ("base: &base {a: [1, 2]}\nlike: *base\n" + yaml.safe_dump(SETTINGS) + "text: |\n  two\n  lines\n").encode()
INTER = table(
    [f"{line}\t{place % 5}\t{place}.5" for place, line in enumerate(LINES)],
    "user_id:token\titem_id:token\trating:float\ttimestamp:float",
).encode()

# What formats are made of, so that a change is more often one that a reader has to understand.
FRAGMENTS = [
    b"\t",
    b"\n",
    b"\r",
    b'"',
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff",
    b":",
    b"-1",
    b"9" * 9,
    b"inf",
    b"nan",
    b"[PAD]",
]
FRAGMENTS += [
    b"float",
    b"token_seq",
    b"(",
    b"[" * 99,
    b"{",
    b"&a",
    b"*a",
    b"!!python/object:os.system ",
    b"# ",
    b"<<: ",
]
FRAGMENTS += [b"\x93NUMPY", b"PK\x01\x02", b"PK\x05\x06", b"|O", b">f8", b"<U9", b"True", b"0x1", b"1e999", b"\x7f" * 8]

KINDS = ("flip", "write", "insert", "delete", "cut", "splice")
PLACES = 2**16  # along the file


def drawn_changes(draw):
    """One to four changes: what is done, where, and with what."""
    made = []
    for kind in draw.choices(KINDS, k=draw.randint(1, 4)):
        fragment = draw.choice(FRAGMENTS)
        values = {
            "flip": draw.randint(1, 255),
            "write": fragment,
            "insert": draw.choice([fragment, draw.randbytes(draw.randint(0, 8))]),
            "delete": draw.randint(1, 64),
            "cut": None,
            "splice": draw.randrange(PLACES),
        }
        made.append((kind, draw.randrange(PLACES), values[kind]))
    return made


def mutated(content, made):
    """The content after these changes."""
    for kind, place, value in made:
        at = place * len(content) >> 16
        if kind == "flip" and content:
            content = content[:at] + bytes([content[at] ^ value]) + content[at + 1 :]
        elif kind == "write":
            content = content[:at] + value + content[at + len(value) :]
        elif kind == "insert":
            content = content[:at] + value + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + value :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "splice":
            taken = content[value * len(content) >> 16 :][:40]
            content = content[:at] + taken + content[at:]
    return content


def read_or_refuse(read, *arguments):
    """Success, or our own error in one line; anything else that is raised fails the test."""
    try:
        read(*arguments)
    except SheafError as error:
        assert str(error) and "\n" not in str(error)


def mutations(examples):
    """Check so many lists of changes, the same in every run; HYPOTHESIS_PROFILE=explore draws others, twice as many.

    Drawn here: Hypothesis takes several times longer to draw one than most readers to refuse it.
    """
    explore = os.environ.get("HYPOTHESIS_PROFILE") == "explore"
    draw, examples = random.Random(None if explore else 0), examples * (2 if explore else 1)

    def checked(check):
        def all_of_them():
            for made in (drawn_changes(draw) for _ in range(examples)):
                try:
                    check(made)
                except BaseException as error:
                    error.add_note(f"after the changes {made}")
                    raise

        return all_of_them

    return checked


@pytest.fixture
def toy_config(workplace, unchecked_shapes):
    """Settings of a dataset whose files are good, and its folder."""
    folder = workplace / "data" / "toy"
    folder.mkdir(parents=True)
    (folder / "toy.inter").write_bytes(INTER)
    (folder / "toy.item").write_text(GOOD_ITEM)
    given = {"data_path": str(folder.parent), "cache_dir": str(workplace / "cache"), "load_col": None}
    return resolve_configs(["BPR"], "toy", [], {**given, "state": "error"})[0], folder


def load(config, folder):
    check_dataset_folder(folder.parent, "toy")
    split = load_split(config)
    loaders(config, split)


@pytest.mark.parametrize("name", ["toy.inter", "toy.item"])
def test_atomic_files(toy_config, name):
    config, folder = toy_config
    content = (folder / name).read_bytes()

    @mutations(100)
    def check(made):
        (folder / name).write_bytes(mutated(content, made))
        read_or_refuse(load, config, folder)

    check()


def test_text_of_items(toy_config):
    _config, folder = toy_config
    token2id = {token: place for place, token in enumerate(["[PAD]", *ITEMS])}
    where = {"folder": folder, "dataset_name": "toy", "token2id": token2id, "n_items": 9, "feature_dim_text": 2}

    @mutations(50)
    def check(made):
        (folder / "toy.item").write_bytes(mutated(GOOD_ITEM.encode(), made))
        text = {"title": ["title"]}
        read_or_refuse(
            lambda: load_modalities(**where, modalities="auto", text_modalities=text, cache_dir=folder / "cache")
        )

    check()


def parquet_bytes():
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table({"item_id": TOKENS.tolist(), "feature": ROWS.tolist()}), sink)
    return sink.getvalue().to_pybytes()


FORMATS = {
    "x.npz": features,
    "x.npy": lambda: npy(ROWS),
    "tokens.npy": lambda: npy(TOKENS),
    "x.safetensors": lambda: safetensors_bytes({"feature": ROWS}, {"item_id": json.dumps(TOKENS.tolist())}),
    "y.safetensors": lambda: safetensors_bytes({"feature": ROWS, "item_id": np.arange(len(ROWS))}),
    "x.parquet": parquet_bytes,
}


@pytest.mark.parametrize("name", FORMATS)
def test_feature_files(tmp_path, unchecked_shapes, name):
    content = FORMATS[name]()

    @mutations(250)
    def check(made):
        (tmp_path / name).write_bytes(mutated(content, made))
        read_or_refuse(read_features, tmp_path / name)

    check()


def test_settings_files(tmp_path):
    @mutations(150)
    def check(made):
        (tmp_path / "x.yaml").write_bytes(mutated(YAML, made))
        read_or_refuse(read_yaml, tmp_path / "x.yaml")

    check()


@pytest.mark.parametrize("name", ["toy.inter", "image_feat.npy"])
def test_mmrec_folders(tmp_path, unchecked_shapes, name):
    folder = tmp_path / "toy"
    folder.mkdir()
    contents = {"toy.inter": MM_GOOD.encode(), "image_feat.npy": npy(ROWS)}
    for file, content in contents.items():
        (folder / file).write_bytes(content)

    @mutations(50)
    def check(made):
        (folder / name).write_bytes(mutated(contents[name], made))
        read_or_refuse(lambda: convert_mmrec_folder(folder, "toy", tmp_path / "cache"))

    check()


def test_stores(tmp_path):
    plant(tmp_path / "whole.duckdb")
    content = (tmp_path / "whole.duckdb").read_bytes()

    def read_all():
        for name in ("runs", "entries", "user_metrics", "strata", "curves", "failures"):
            Store(tmp_path / "x.duckdb").rows(f"SELECT * FROM {name}")

    @mutations(20)
    def check(made):
        (tmp_path / "x.duckdb").write_bytes(mutated(content, made))
        read_or_refuse(read_all)

    check()


def read_and_rank(path):
    """An export that is read gives each user a whole list of finite scores."""
    found = read_embeddings(path)
    for lists in top_lists(found, np.arange(len(found.users)), 1, seen="kept"):
        assert np.isfinite(lists.scores).all()


@pytest.mark.parametrize("ending, examples", [("npz", 50), ("safetensors", 150), ("parquet", 150), ("duckdb", 15)])
def test_exports(tmp_path, unchecked_shapes, ending, examples):
    path = tmp_path / f"x.{ending}"
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    exports.write_good(path)
    content = path.read_bytes()

    @mutations(examples)
    def check(made):
        path.write_bytes(mutated(content, made))
        read_or_refuse(read_and_rank, path)

    check()


def test_members_of_exports(tmp_path, unchecked_shapes):
    """In an archive whose checksums are right."""
    names, texts = zip(*exports.members_of(exports.npz()).items())

    @mutations(150)
    def check(made):
        which = made[0][1] % len(names)  # by the place of the first change
        contents = [mutated(text, made) if place == which else text for place, text in enumerate(texts)]
        (tmp_path / "x.npz").write_bytes(exports.archive(*zip(names, contents)))
        read_or_refuse(read_and_rank, tmp_path / "x.npz")

    check()


def test_lists_of_users(tmp_path):
    @mutations(75)
    def check(made):
        (tmp_path / "x.csv").write_bytes(mutated(b'user,item\nnew,i0\n"other, one",i1\nnew,i2\n', made))
        read_or_refuse(read_tokens, str(tmp_path / "x.csv"), "user")

    check()


def test_without_a_change_each_is_read(toy_config, tmp_path):
    config, folder = toy_config
    load(config, folder)
    (tmp_path / "x.npz").write_bytes(features())
    assert np.array_equal(read_features(tmp_path / "x.npz")[1], ROWS)
    (tmp_path / "x.yaml").write_bytes(YAML)
    assert read_yaml(tmp_path / "x.yaml")["topk"] == [10, 20]
