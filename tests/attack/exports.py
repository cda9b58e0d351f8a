"""A small export that is as it should be, in each format, and ways to write one that is not."""

import functools
import io
import json
import tempfile
import zipfile
from pathlib import Path

import duckdb
import numpy as np
from safetensors.numpy import save as safetensors_bytes

from recbole_sheaf.embeddings.embeddings import Block, Embeddings, Histories, csc_of
from recbole_sheaf.exports.arrays import as_arrays, as_metadata
from recbole_sheaf.exports.files import write_embeddings

USERS, ITEMS = ["a", "b", "c", "d"], [f"i{item}" for item in range(8)]
FORMATS = ("npz", "safetensors", "parquet", "duckdb")


def good_embeddings():
    """Four users, eight items, every array there is."""
    rng = np.random.default_rng(0)

    def rows(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    users, items = np.repeat(np.arange(4), 3), np.array([0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 0])
    said = csc_of(rows(8), (np.arange(8, dtype=np.int32) + 1) % 8, np.arange(9), 8)
    return Embeddings(
        users=np.array(USERS),
        items=np.array(ITEMS),
        user_vectors=rows(4, 6),
        item_vectors=rows(8, 6),
        item_sources=rows(8, 2),
        blocks=(Block("id", 0, 2), Block("image", 2, 4), Block("item sheaf", 4, 6, history=True)),
        histories=Histories.of(4, users, items, np.tile([0, 1, 2], 4)),
        coefficients=said,
        item_sources_trained=rows(8, 4),
        item_embeddings=rows(8, 4),
        item_rarity=np.linspace(0, 1, 8, dtype=np.float32),
        item_is_new=np.arange(8) == 7,
        layers={"user_layer_0": rows(4, 3), "item_layer_0": rows(8, 3)},
        metadata={
            "model": "MMSheaf",
            "dataset": "toy",
            "parts": ["train", "valid", "test"],
            "seen_at_test": ["train", "valid"],
            "users_by_items": {"scale": "unit length", "factor": 2.5},
            "dtype": "float32",
        },
    )


def good_arrays():
    """The same by name, rows of items in 32 bits as earlier exports have them."""
    arrays = {name: array.copy() for name, array in as_arrays(good_embeddings()).items()}
    return {**arrays, "coefficient_items": arrays["coefficient_items"].astype(np.int32)}


def good_metadata():
    """The same as JSON holds it."""
    return json.loads(json.dumps(as_metadata(good_embeddings())))


def npz(arrays=None, metadata=None, save=np.savez, **others):
    """The bytes of an .npz of any arrays; metadata may be text of any kind."""
    arrays = good_arrays() if arrays is None else arrays
    metadata = good_metadata() if metadata is None else metadata
    text = metadata if isinstance(metadata, (str, np.ndarray)) else json.dumps(metadata)
    file = io.BytesIO()
    save(file, **arrays, **({} if text == "absent" else {"metadata": np.array(text)}), **others)
    return file.getvalue()


def archive(*given):
    """An archive of these names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, content in given:
            whole.writestr(name, content)
    return file.getvalue()


def members_of(content):
    """What an archive holds, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def safetensors(arrays=None, metadata=None):
    """The bytes of a .safetensors of any arrays, tokens as lines of text where they are text."""
    arrays = dict(good_arrays() if arrays is None else arrays)
    metadata = good_metadata() if metadata is None else metadata
    for name in ("user_tokens", "item_tokens"):
        if name in arrays and arrays[name].dtype.kind == "U":
            text = "\n".join(arrays[name].tolist()).encode("utf-8", "surrogatepass")
            arrays[name] = np.frombuffer(text, np.uint8)
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return safetensors_bytes(contiguous, {"metadata": text})


def write_good(path):
    """Into the format of its ending."""
    write_embeddings(good_embeddings(), path)


def parquet(path, change=None, groups=None, metadata=None, **options):
    """A Parquet file whose two tables, users and items, are changed, or replaced by a function of them.

    Args:
        change: from the tables by kind to nothing, in place.
        groups: from the tables by kind to the row groups.
    """
    import pyarrow
    import pyarrow.parquet as pq

    whole = path.with_name("whole.parquet")
    write_good(whole)
    file = pq.ParquetFile(whole)
    tables = {kind: file.read_row_group(number) for number, kind in enumerate(("user", "item"))}
    if change is not None:
        change(tables)
    listed = list(tables.values()) if groups is None else groups(tables)
    metadata = good_metadata() if metadata is None else metadata
    text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    schema = listed[0].schema.with_metadata({"metadata": text})
    with pq.ParquetWriter(path, schema, **{"compression": "zstd", **options}) as writer:
        for table in listed:
            writer.write_table(pyarrow.table(table.columns, schema=schema), row_group_size=max(len(table), 1))
    whole.unlink()


@functools.cache
def _good_database():
    with tempfile.TemporaryDirectory() as folder:
        write_good(Path(folder) / "x.duckdb")
        return (Path(folder) / "x.duckdb").read_bytes()


def database(path, statements):
    """A DuckDB file after these statements."""
    path.write_bytes(_good_database())
    with duckdb.connect(str(path)) as db:
        for statement in [statements] if isinstance(statements, str) else statements:
            db.execute(statement)
