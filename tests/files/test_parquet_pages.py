"""Pages say what they unfold into, whatever the footer says, and in every way in which files are written."""

import numpy as np
import pytest

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features import read_features
from recbole_sheaf.files.parquet_pages import Chunk, chunks_of, unfolded_bytes

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
N = 50_000
WAYS = [
    {},
    {"compression": "none"},
    {"compression": "zstd", "data_page_version": "2.0"},
    {"row_group_size": 7_000, "write_page_index": True},
    {"data_page_size": 1_000, "write_statistics": False},
    {"store_decimal_as_integer": False, "use_compliant_nested_type": False, "write_page_checksum": True},
]


def written(path, table, **options):
    pq.write_table(table, path, **options)
    return path


def unfolded(path, chunks=None):
    with open(path, "rb") as file:
        size = path.stat().st_size
        return unfolded_bytes(path.name, file, chunks or chunks_of(path.name, file, size), size)


@pytest.mark.parametrize("options", WAYS)
def test_chunks_are_those_that_pyarrow_finds(tmp_path, options):
    table = pyarrow.table({"a": [["x", "y"], [], ["z"]] * 4_000, "b": ["u", "v", None] * 4_000})
    path = written(tmp_path / "x.parquet", table, **options)
    metadata, expected = pq.ParquetFile(path).metadata, []
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        for column in (group.column(number) for number in range(group.num_columns)):
            start = column.dictionary_page_offset or column.data_page_offset
            expected.append(Chunk(column.num_values, start, column.total_compressed_size))
    with open(path, "rb") as file:
        assert chunks_of(path.name, file, path.stat().st_size) == expected


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\0" * 40, b"\xff\xff\xff\x7fPAR1"])
def test_a_file_without_a_footer_has_no_chunks(tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with open(tmp_path / "x.parquet", "rb") as file, pytest.raises(FeatureError, match="x.parquet cannot be read"):
        chunks_of("x.parquet", file, len(content))


@pytest.mark.parametrize("options", WAYS)
def test_plain_values_unfold_into_their_bytes(tmp_path, options):
    numbers = np.random.default_rng(0).standard_normal(N)
    path = written(tmp_path / "x.parquet", pyarrow.table({"a": numbers, "b": numbers}), use_dictionary=False, **options)
    metadata = pq.ParquetFile(path).metadata
    headers = 200 * sum(1 for _ in range(metadata.num_row_groups)) + (
        100 * N * 8 // 1_000 if "data_page_size" in options else 0
    )
    assert 2 * 8 * N <= unfolded(path) <= 2 * 8 * N * 1.02 + headers
    assert unfolded(path) <= sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))


def test_values_that_are_all_alike_count_as_often_as_they_stand_there(tmp_path):
    path = written(tmp_path / "x.parquet", pyarrow.table({"a": np.zeros(40 * N)}))
    assert path.stat().st_size < 10_000 and 4 * 40 * N <= unfolded(path) <= 4 * 40 * N + 10_000


def test_a_footer_is_not_believed(tmp_path):
    """It says one value of one byte, and the pages say what there is."""
    path = written(tmp_path / "x.parquet", pyarrow.table({"a": np.zeros(N)}), use_dictionary=False, compression="zstd")
    with open(path, "rb") as file:
        (chunk,) = chunks_of(path.name, file, path.stat().st_size)
    assert unfolded(path, [chunk._replace(values=1)]) >= 8 * N
    for change in ({"length": 1 << 40}, {"start": -1}, {"start": 5}):
        with pytest.raises(FeatureError, match=r"x.parquet cannot be read \((a column from|no page|a header)"):
            unfolded(path, [chunk._replace(**change)])


def test_texts_made_of_one_another_are_refused(tmp_path):
    tokens = pyarrow.table({"item_id": ["x" * 1000 + str(n) for n in range(100)], "feature": [[1.0]] * 100})
    options = {"use_dictionary": False, "column_encoding": {"item_id": "DELTA_BYTE_ARRAY"}}
    path = written(tmp_path / "x.parquet", tokens, **options)
    with pytest.raises(FeatureError, match="codes its texts by one another"):
        read_features(path)
    read_features(written(path, tokens))


@pytest.mark.parametrize("unfolded_to, folded_to, refused", [(5, 1, False), (-5, 1, True), (5, -1, True)])
def test_a_page_of_a_negative_size_is_none(tmp_path, unfolded_to, folded_to, refused):
    """By a header written by hand: three whole numbers, the first of them the page's kind."""

    def zigzag(number):
        return 2 * number if number >= 0 else -2 * number - 1

    page = bytes([0x15, 0, 0x15, zigzag(unfolded_to), 0x15, zigzag(folded_to), 0, *[0] * max(folded_to, 0)])
    (tmp_path / "x").write_bytes(page)
    if refused:
        with pytest.raises(FeatureError, match="x cannot be read .no page at byte 0"):
            unfolded(tmp_path / "x", [Chunk(1, 0, len(page))])
    else:
        assert unfolded(tmp_path / "x", [Chunk(1, 0, len(page))]) == 5


def test_a_page_of_zeros_is_refused_before_it_is_unfolded(tmp_path):
    zeros = pyarrow.array(np.zeros(34_000_000))
    table = pyarrow.table({"item_id": ["a"], "feature": pyarrow.LargeListArray.from_arrays([0, len(zeros)], zeros)})
    path = written(tmp_path / "x.parquet", table, use_dictionary=False, compression="zstd")
    with pytest.raises(FeatureError, match="bytes unfold into 27[0-9],"):
        read_features(path)


def test_a_long_id_in_every_row_is_refused_before_it_is_repeated(tmp_path):
    places = pyarrow.array(np.zeros(20_000, np.int32))
    ids = pyarrow.DictionaryArray.from_arrays(places, ["x" * 100_000])
    table = pyarrow.table({"item_id": ids, "feature": np.zeros(20_000)})
    path = written(tmp_path / "x.parquet", table)
    assert path.stat().st_size < 200_000
    with pytest.raises(FeatureError, match="item ids that take far more memory than its"):
        read_features(path)
