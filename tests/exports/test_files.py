"""Files hold what went in, rank as it ranks, and are there whole or not at all."""

import json
from dataclasses import replace

import duckdb
import numpy as np
import pytest

from recbole_sheaf.embeddings.embeddings import csc_of
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import ConfigError, DataError, EnvironmentMismatch
from recbole_sheaf.exports import files
from recbole_sheaf.exports.arrays import FORMAT, MARK, as_arrays, as_metadata
from recbole_sheaf.exports.files import ENDINGS, check_target, holds_embeddings, read_embeddings, write_embeddings
from recbole_sheaf.exports.targets import dtype_at, target_of
from tests.embeddings.toys import SOME_COLD, restored

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")


@pytest.fixture
def embeddings(toy_settings):
    return embeddings_of(restored("MMSheaf", {**toy_settings, **SOME_COLD}), layers=True)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["MMSheaf", "EASE", "BPR"])
def test_what_goes_in_comes_out(toy_settings, workplace, ending, dtype, name):
    """Bits, types and metadata; DuckDB has no half floats, so there they come out as float32."""
    layers = name == "MMSheaf"
    before = embeddings_of(restored(name, {**toy_settings, **SOME_COLD}), layers).with_floats(dtype)
    path = workplace / "out" / f"x{ending}"
    write_embeddings(before, path)
    after = read_embeddings(path)
    expected = before.with_floats("float32") if ending == ".duckdb" else before
    wanted, got = as_arrays(expected), as_arrays(after)
    assert name == "BPR" or wanted["coefficient_items"].dtype == np.uint16
    assert list(wanted) == list(got) or set(wanted) == set(got)
    for key, array in wanted.items():
        assert array.dtype == got[key].dtype and np.array_equal(array, got[key]), key
        assert got[key].flags.writeable
    assert as_metadata(expected) == as_metadata(after)
    assert [path] == list(path.parent.iterdir()) and holds_embeddings(path)


def test_an_export_with_rows_in_32_bits_is_read_and_a_catalogue_beyond_16_has_them(embeddings, workplace):
    arrays = as_arrays(embeddings)
    arrays["coefficient_items"] = arrays["coefficient_items"].astype(np.int32)  # as it was written before
    np.savez(workplace / "x.npz", **arrays, metadata=np.array(json.dumps(as_metadata(embeddings))))
    found = read_embeddings(workplace / "x.npz").coefficients
    assert (found != embeddings.coefficients).nnz == 0
    n = (1 << 16) + 1
    many = replace(
        embeddings,
        items=np.arange(n).astype(str),
        coefficients=csc_of(np.ones(1, dtype=np.float32), np.array([n - 1]), np.minimum(np.arange(n + 1), 1), n),
    )
    assert as_arrays(many)["coefficient_items"].tolist() == [n - 1]


def test_half_floats_rank_nearly_as_whole_ones_do(embeddings):
    rows = np.arange(len(embeddings.users))
    (whole,), (half,) = (list(top_lists(each, rows, 10)) for each in (embeddings, embeddings.with_floats("float16")))
    np.testing.assert_allclose(half.scores, whole.scores, rtol=5e-3)
    assert (half.items == whole.items).mean() > 0.9


@pytest.mark.parametrize(
    "seen, parts", [("masked", ""), ("at_test", ", seen_parts := 2"), ("kept", ", seen_parts := 0")]
)
@pytest.mark.parametrize("name, chosen", [("MMSheaf", {}), ("LightGCN", {}), ("EASE", {})])
def test_the_databases_own_query_recommends_as_we_do(toy_settings, workplace, name, chosen, seen, parts):
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD, **chosen}))
    write_embeddings(embeddings, workplace / "x.duckdb")
    rows = np.arange(len(embeddings.users))
    (lists,) = top_lists(embeddings, rows, 8, seen=seen)
    with duckdb.connect(str(workplace / "x.duckdb"), read_only=True) as db:
        for row in rows:
            found = db.execute(
                f"SELECT item, score FROM recommend(?, 8{parts})", [str(embeddings.users[row])]
            ).fetchall()
            given = np.array([score for _, score in found])
            np.testing.assert_allclose(given, lists.scores[row], rtol=1e-4, atol=1e-6)
            apart = np.diff(given, append=-np.inf, prepend=np.inf) < -1e-5 * np.abs(given).max()  # from the neighbours
            ours = embeddings.items[lists.items[row]]
            for place in np.flatnonzero(apart[:-1] & apart[1:])[
                :-1
            ]:  # who is last may be tied with whoever is not there
                assert found[place][0] == ours[place]
        (kind,) = db.execute("SELECT typeof(vector) FROM items LIMIT 1").fetchone()
    assert kind == f"FLOAT[{max(embeddings.item_vectors.shape[1], 1)}]"


def test_parquet_is_read_by_others_too(embeddings, workplace):
    import pandas as pd

    write_embeddings(embeddings, workplace / "x.parquet")
    table = pd.read_parquet(workplace / "x.parquet", columns=["kind", "token", "vector"])
    items = table[table.kind == "item"]
    assert items.token.tolist() == embeddings.items.tolist()
    assert np.array_equal(np.stack(items.vector), embeddings.item_vectors)


@pytest.mark.parametrize(
    "target, types",
    [
        ("x.npz", ("auto", "float32", "float16")),
        ("x.duckdb", ("float32", "float32", "float32")),
        ("postgresql://localhost/x", ("float32", "float32", "float16")),
        ("qdrant:x", ("float32", "float32", "float16")),
    ],
)
def test_columns_of_a_database_change_their_type_on_demand_alone(target, types):
    assert tuple(dtype_at(target_of(target), dtype) for dtype in ("auto", "float32", "float16")) == types


@pytest.mark.parametrize(
    "path, message",
    [
        ("x.pickle", "ends in '.pickle', expected one of .npz, .safetensors, .parquet, .duckdb"),
        ("x.parqet", r"did you mean '.parquet'"),
        ("x", "ends in '', expected"),
        ("a/file/x.npz", "cannot be written"),
        ("folder.npz", "is a folder"),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_any_work(workplace, path, message):
    (workplace / "a").mkdir()
    (workplace / "a" / "file").write_text("")
    (workplace / "folder.npz").mkdir()
    with pytest.raises(ConfigError, match=message):
        check_target(workplace / path, ENDINGS)


def test_a_target_that_can_be_leaves_nothing_behind_yet(workplace):
    check_target(workplace / "not" / "yet" / "x.npz", ENDINGS)
    assert not (workplace / "not").exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(embeddings, workplace, monkeypatch):
    path = workplace / "out" / "x.npz"
    write_embeddings(embeddings, path)
    before = path.read_bytes()

    def half(_, file):
        file.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setitem(files._WRITERS, ".npz", half)
    with pytest.raises(ConfigError, match="cannot be written .no space left"):
        write_embeddings(embeddings, path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_file_is_refused_in_a_sentence(embeddings, workplace, ending):
    path = workplace / f"x{ending}"
    write_embeddings(embeddings, path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 3], b"", b"nothing of the kind" * 100):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"x{ending}"):
            read_embeddings(path)
    with pytest.raises(DataError, match="there is no file"):
        read_embeddings(workplace / f"absent{ending}")


@pytest.mark.parametrize("kind", ["users", "items"])
def test_a_token_with_an_end_of_a_line_is_refused_where_it_would_be_two(embeddings, workplace, kind):
    tokens = getattr(embeddings, kind).astype(object)
    tokens[3] = "one\ntwo\r\u2028three"
    odd = replace(embeddings, **{kind: tokens.astype(str)})
    with pytest.raises(ConfigError, match=rf"the {kind[:-1]} 'one\\ntwo.* has an end of a line.*; export to .npz"):
        write_embeddings(odd, workplace / "x.safetensors")
    assert not list(workplace.glob("x.*"))
    for ending in set(ENDINGS) - {".safetensors"}:
        write_embeddings(odd, workplace / f"x{ending}")
        assert getattr(read_embeddings(workplace / f"x{ending}"), kind)[3] == tokens[3]
    odd = replace(embeddings, **{kind: np.char.replace(tokens.astype(str), "\n", "\x85")})
    write_embeddings(odd, workplace / "x.safetensors")
    assert getattr(read_embeddings(workplace / "x.safetensors"), kind)[3] == "one\x85two\r\u2028three"


def test_files_of_something_else_are_refused(embeddings, workplace):
    np.savez(workplace / "x.npz", item_id=np.array(["a"]))
    with pytest.raises(DataError, match="holds no embeddings"):
        read_embeddings(workplace / "x.npz")
    arrays = {**as_arrays(embeddings), "history_items": as_arrays(embeddings)["history_items"] + 1000}
    for changed, message in (
        ({MARK: FORMAT + 1}, "is of format 2, expected 1"),
        ({}, "1059 in history_items, expected rows of its 60 items"),
    ):
        metadata = json.dumps({**as_metadata(embeddings), **changed})
        np.savez(workplace / "x.npz", **arrays, metadata=np.array(metadata))
        with pytest.raises(DataError, match=message):
            read_embeddings(workplace / "x.npz")
    del arrays["item_vectors"]
    np.savez(workplace / "x.npz", **arrays, metadata=np.array(json.dumps(as_metadata(embeddings))))
    with pytest.raises(DataError, match="lacks item_vectors"):
        read_embeddings(workplace / "x.npz")


def test_a_checkpoint_in_safetensors_is_no_export(workplace):
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3, dtype=np.float32)}, workplace / "best.safetensors", {"metadata": "{}"})
    assert not holds_embeddings(workplace / "best.safetensors") and not holds_embeddings(workplace / "x.pth")


def test_without_pyarrow_a_sentence_says_what_to_install(workplace, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(EnvironmentMismatch, match="recbole-sheaf.parquet."):
        check_target(workplace / "x.parquet", ENDINGS)
