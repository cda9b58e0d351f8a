"""One set of vectors in every format is read alike, and what a format can get wrong is named."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features import ModalityFeatures, load_modalities, read_features
from recbole_sheaf.features.folder import feature_files, files_of_content
from recbole_sheaf.features.modality import join_by_token
from recbole_sheaf.files.blocks import in_blocks
from recbole_sheaf.files.feature_files import check_features

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

TOKENS = ["i0", "ключ", "12"]
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2) / 4
SCHEMA = pyarrow.schema([("item_id", pyarrow.string()), ("v", pyarrow.list_(pyarrow.float64()))])


def table(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)


def lists(rows):
    return pyarrow.array([None if row is None else list(map(float, row)) for row in rows])


def npy(folder, dtype, ids="x.ids.txt", text="i0\nключ\n12\n"):
    np.save(folder / "x.npy", ROWS.astype(dtype))
    (folder / ids).write_text(text, encoding="utf-8")
    return folder / "x.npy"


def tensors(folder, dtype, tensors=None, metadata=None):
    path = folder / "x.safetensors"
    save_file({"feature": ROWS.astype(dtype), **(tensors or {})}, path, metadata)
    return path


def as_bytes(tokens):
    return np.frombuffer("\n".join(tokens).encode(), np.uint8)


def fixed(rows, dtype):
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.astype(dtype).ravel()), 2)


def parquet_of(folder, dtype, **columns):
    table(folder / "x.parquet", **columns)
    return folder / "x.parquet"


WAYS = {
    "npy": npy,
    "npy, other name": lambda folder, dtype: npy(folder, dtype, "x_ids.txt"),
    "npy, csv": lambda folder, dtype: npy(folder, dtype, "x.ids.csv", 'item_id\n"i0"\nключ\n12\n'),
    "npy, dos": lambda folder, dtype: npy(folder, dtype, "x_ids.csv", "\ufeffitem_id:token\r\ni0\r\nключ\r\n12"),
    "safetensors": lambda folder, dtype: tensors(folder, dtype, None, {"item_id": json.dumps(TOKENS)}),
    "safetensors, text": lambda folder, dtype: tensors(folder, dtype, {"item_id": as_bytes(TOKENS)}),
    "parquet": lambda folder, dtype: parquet_of(folder, dtype, item_id=TOKENS, feature=fixed(ROWS, dtype)),
    "parquet, names": lambda folder, dtype: parquet_of(
        folder, dtype, asin=TOKENS, v=fixed(ROWS, dtype), rank=[1, 2, 3]
    ),
    "parquet, numbers": lambda folder, dtype: parquet_of(
        folder, dtype, asin=TOKENS, a=ROWS[:, 0].astype(dtype), b=ROWS[:, 1].astype(dtype)
    ),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("way", WAYS)
def test_every_format_gives_the_same(tmp_path, way, dtype):
    tokens, rows = read_features(WAYS[way](tmp_path, dtype))
    assert tokens == TOKENS and rows.dtype == dtype
    np.testing.assert_array_equal(rows, ROWS)


def test_an_id_file_may_be_named(tmp_path):
    path = npy(tmp_path, np.float32)
    (tmp_path / "mine").write_text("a\nb\nc\n")
    assert read_features(path, tmp_path / "mine")[0] == ["a", "b", "c"]


def test_numbers_are_ids_in_every_format(tmp_path):
    numbers = np.array([7, 5, 6])
    assert read_features(tensors(tmp_path, np.float32, {"item_id": numbers}))[0] == ["7", "5", "6"]
    table(tmp_path / "y.parquet", item_id=numbers, feature=fixed(ROWS, np.float32))
    assert read_features(tmp_path / "y.parquet")[0] == ["7", "5", "6"]


def test_a_parquet_row_without_a_vector_is_an_item_without_one(tmp_path):
    with parquet.ParquetWriter(tmp_path / "x.parquet", SCHEMA) as out:
        for tokens, rows in ((["a", "b"], [[1, 2], None]), (["c"], [None]), (["d", "e"], [None, [3, 4]])):
            out.write_table(pyarrow.table({"item_id": tokens, "v": rows}, schema=SCHEMA))
    tokens, rows = read_features(tmp_path / "x.parquet")
    assert tokens == ["a", "e"] and rows.tolist() == [[1, 2], [3, 4]]


NAN = ROWS.copy()
NAN[1, 1] = np.nan
DEFECTS = {
    "short": (lambda f: npy(f, "f4", text="a\nb\n"), r"x.ids.txt has 2 item ids but x.npy has 3 rows; write one id a"),
    "empty id": (lambda f: npy(f, "f4", text="a\n\nb\n"), r"the item id in line 2 of x.ids.txt is empty; expected one"),
    "twice": (lambda f: npy(f, "f4", text="a\nb\na\n"), r"1 item_id tokens more than once \(first: 'a'\)"),
    "wide": (lambda f: npy(f, "f4", "x.ids.csv", "a,1\nb,2\nc,3\n"), r"x.ids.csv has a line of 2 columns, \['a'"),
    "no ids": (lambda f: tensors(f, "f4"), r"x.safetensors has no item_id; add them to its metadata, or as x.ids.txt"),
    "no list": (lambda f: tensors(f, "f4", None, {"item_id": '{"a": 1}'}), r"item_id .* in its metadata; expected a"),
    "no json": (lambda f: tensors(f, "f4", None, {"item_id": "a,b"}), r"item_id in its metadata that is no JSON"),
    "float ids": (lambda f: tensors(f, "f4", {"item_id": ROWS[:, 0].copy()}), r"item_id of type float32 and shape"),
    "no text": (lambda f: tensors(f, "f4", {"item_id": np.array([255, 254], np.uint8)}), r"uint8 that is no UTF-8"),
    "lists": (lambda f: parquet_of(f, "", item_id=["a", "b"], v=lists([[1, 2], [3]])), r"different lengths \(1, 2\)"),
    "null": (lambda f: parquet_of(f, "", item_id=["a", "b"], v=[1.0, None]), r"x.parquet has 1 number that is null"),
    "nan": (lambda f: parquet_of(f, "", item_id=TOKENS, v=fixed(NAN, "f4")), r"1 value that is NaN .* item 'ключ'"),
    "no id": (lambda f: parquet_of(f, "", item_id=["a", None], v=[1.0, 2.0]), r"has 1 row without an item id"),
    "columns": (lambda f: parquet_of(f, "", a=["x"], b=["y"], v=[1.0]), r"the columns 'a' \(string\), .*expected"),
    "bool ids": (lambda f: parquet_of(f, "", item_id=[True], v=[1.0]), r"has item ids of type bool; expected text"),
    "no numbers": (lambda f: parquet_of(f, "", item_id=["x"]), r"expected 'item_id' \(ids\) and either 'feature'"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named(tmp_path, defect):
    write, message = DEFECTS[defect]
    with pytest.raises(FeatureError, match=message):
        read_features(write(tmp_path))


@pytest.mark.parametrize("name", ["x.safetensors", "x.parquet", "x.npy"])
@pytest.mark.parametrize("keep", [0, 5, 60, -3])
def test_a_file_cut_short_is_refused(tmp_path, name, keep):
    tensors(tmp_path, np.float32, None, {"item_id": json.dumps(TOKENS)})
    parquet_of(tmp_path, "", item_id=TOKENS, v=fixed(ROWS, "f4"))
    npy(tmp_path, np.float32)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
    with pytest.raises(FeatureError, match=f"{name} (cannot be read|is empty)"):
        read_features(tmp_path / name)


def test_bfloat16_is_refused_with_the_remedy(tmp_path):
    import torch
    from safetensors.torch import save_file as save

    save({"feature": torch.ones(3, 2, dtype=torch.bfloat16)}, tmp_path / "x.safetensors", {"item_id": '["a","b","c"]'})
    with pytest.raises(FeatureError, match="'feature' of type BF16, which NumPy does not know; save it as float16"):
        read_features(tmp_path / "x.safetensors")


def test_parquet_that_unfolds_without_bound_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.files.parquet_file.LARGE", 1 << 22)
    column = pyarrow.array(np.zeros(1 << 19, np.int8))  # in float32, in which they are read, four times as large
    parquet.write_table(
        pyarrow.table({"item_id": column, "a": column, "b": column}),
        tmp_path / "x.parquet",
        compression="zstd",
    )
    with pytest.raises(FeatureError, match=r"x.parquet claims that [\d,]+ bytes unfold into 6,291,4[0-9]{2}"):
        read_features(tmp_path / "x.parquet")


def test_two_files_of_a_modality_or_of_its_ids_are_refused(tmp_path):
    (tmp_path / "features").mkdir()
    npy(tmp_path / "features", np.float32)
    assert feature_files(tmp_path) == {"x": tmp_path / "features" / "x.npy"}
    (tmp_path / "features" / "x_ids.txt").write_text("a\nb\nc\n")
    with pytest.raises(FeatureError, match="has the ids of its rows in x.ids.txt and x_ids.txt; keep one"):
        read_features(tmp_path / "features" / "x.npy")
    tensors(tmp_path / "features", np.float32)
    with pytest.raises(FeatureError, match="features holds x.npy and x.safetensors; keep one of them"):
        feature_files(tmp_path)


def test_every_file_that_a_run_may_read_counts(tmp_path):
    (tmp_path / "features").mkdir()
    for way in WAYS.values():
        way(tmp_path / "features", np.float32)
    np.save(tmp_path / "y_feat.npy", ROWS)
    (tmp_path / "features" / "notes.md").write_text("read by nobody")
    names = {path.name for path in files_of_content(tmp_path)}
    ids = {"x.ids.txt", "x_ids.txt", "x.ids.csv", "x_ids.csv"}
    assert names == {"x.npy", "x.safetensors", "x.parquet", "y_feat.npy", *ids}


def load(folder, **given):
    token2id = {"[PAD]": 0, "i0": 1, "ключ": 2, "12": 3}
    settings = {"modalities": "auto", "text_modalities": {"title": ["title"]}, "feature_dim_text": 2, **given}
    return load_modalities(
        folder=folder, dataset_name="toy", token2id=token2id, n_items=4, cache_dir=folder / "cache", **settings
    )


def items(folder, *lines):
    text = "\n".join(["item_id:token\ttitle:token_seq\tclip:float_seq", *lines])
    (folder / "toy.item").write_text(text + "\n", encoding="utf-8")


def test_columns_of_float_seq_are_modalities(tmp_path, caplog):
    items(tmp_path, "12\ta film\t1 2", "i0\ta book\t", "ключ\ta film\t.5 -1e-1")
    (tmp_path / "features").mkdir()
    npy(tmp_path / "features", np.float16)
    with caplog.at_level("INFO"):
        loaded = load(tmp_path)
    assert list(loaded) == ["x", "clip", "title"] and "modalities: x, clip, title" in caplog.text
    np.testing.assert_allclose(loaded["clip"].matrix, [[0, 0], [0, 0], [0.5, -0.1], [1, 2]])
    assert loaded["clip"].present.tolist() == [False, False, True, True]
    assert list(load(tmp_path, modalities="files_else_text")) == ["x", "clip"]
    assert list(load(tmp_path, modalities=["clip"])) == ["clip"]


@pytest.mark.parametrize(
    "line, message",
    [
        ("i0\ta\t1", r"column clip of toy.item has vectors of different lengths \(1, 2\)"),
        ("i0\ta\t1 x", r"column clip of toy.item has '1 x'; expected numbers"),
        ("i0\ta\t1 inf", r"column clip of toy.item has 1 value that is NaN or Inf"),
    ],
)
def test_a_column_of_something_else_is_refused(tmp_path, line, message):
    items(tmp_path, "12\ta film\t1 2", line)
    with pytest.raises(FeatureError, match=message):
        load(tmp_path, modalities=["clip"])


def test_an_array_with_ids_need_not_have_every_item(tmp_path):
    (tmp_path / "features").mkdir()
    path = npy(tmp_path / "features", np.float16)
    items(tmp_path, "12\ta\t", "99\tb\t")
    (path.parent / "x.ids.txt").write_text("12\n99\ni0\n")
    assert load(tmp_path, modalities=["x"])["x"].present.tolist() == [False, True, False, True]
    (path.parent / "x.ids.txt").write_text("12\n98\ni0\n")
    with pytest.raises(FeatureError, match="x.npy has 1 item_id tokens that dataset 'toy' does not know"):
        load(tmp_path, modalities=["x"])
    (path.parent / "x.ids.txt").unlink()
    with pytest.raises(FeatureError, match="has the item .*; write an .npz .*, or the ids into x.ids.txt beside it"):
        load(tmp_path, modalities=["x"])


def test_blocks_are_the_rows_and_overflow_is_infinite(monkeypatch):
    monkeypatch.setattr("recbole_sheaf.files.blocks.BLOCK_BYTES", 16)
    blocks = list(in_blocks(ROWS, np.array([2, 0, 1])))
    assert [start for start, _ in blocks] == [0, 2]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), ROWS[[2, 0, 1]])
    with pytest.raises(FeatureError, match=r"2 values that are NaN or Inf in float32 in 1 row \(first: item 'c'\)"):
        check_features("x", ["a", "b", "c"], np.array([[0, 1], [2, 3], [np.nan, np.inf]], np.float32))
    assert np.isinf(next(in_blocks(np.array([[1e300]])))[1]).all()
    joined = join_by_token("x", TOKENS, ROWS, {"[PAD]": 0, "12": 1, "i0": 3, "ключ": 2}, 4)
    assert isinstance(joined, ModalityFeatures) and joined.matrix.tolist() == [[0, 0], *ROWS[[2, 1, 0]].tolist()]


MEASURED = """
import resource
import sys
from recbole_sheaf.features import read_features
from recbole_sheaf.features.modality import join_by_token
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
limit = 1024 * int(status["VmData"].split()[0]) + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
for path in sys.argv[2:]:
    tokens, rows = read_features(path)
    join_by_token("x", tokens, rows, {token: place for place, token in enumerate(["[PAD]", *tokens])}, 1 + len(tokens))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel bounds a process' own memory on Linux")
def test_a_mapped_file_costs_its_rows_in_float32_and_no_second_copy(tmp_path):
    n, dim = 100_000, 256
    rows, tokens = np.ones((n, dim), np.float16), [f"i{row}" for row in range(n)]
    np.save(tmp_path / "x.npy", rows)
    (tmp_path / "x.ids.txt").write_text("\n".join(tokens))
    save_file({"feature": rows}, tmp_path / "y.safetensors", {"item_id": json.dumps(tokens)})
    needed, rest = 4 * n * dim, 80 << 20  # rest: tokens, their ids and blocks take 70 MB, a copy of the file 51 more
    command = [sys.executable, "-c", MEASURED, str(needed + rest), str(tmp_path / "x.npy")]
    done = subprocess.run([*command, str(tmp_path / "y.safetensors")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
