"""Feature files: what is written comes back, and every defect is named with file, values and remedy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features import read_features, write_features

TOKENS = np.array(["7", "3", "11"])
ROWS = np.arange(6, dtype=np.float16).reshape(3, 2)


@settings(deadline=None)  # the first call imports
@given(
    matrix=arrays.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
        elements=st.integers(-9, 9),
    )
)
def test_round_trip_keeps_tokens_values_and_type(tmp_path_factory, matrix):
    path = tmp_path_factory.mktemp("features") / "deep" / "image.npz"
    tokens = [f"i{row}" for row in range(len(matrix))]
    write_features(path, tokens, matrix)
    read_tokens, read_matrix = read_features(path)
    assert read_tokens == tokens and read_matrix.dtype == matrix.dtype
    np.testing.assert_array_equal(read_matrix, matrix)
    assert [file.name for file in path.parent.iterdir()] == ["image.npz"]  # no temporary left


def test_npy_rows_stand_for_their_number(tmp_path):
    np.save(tmp_path / "x_feat.npy", ROWS)
    assert read_features(tmp_path / "x_feat.npy")[0] == ["0", "1", "2"]


def test_whole_number_tokens_are_taken_as_text(tmp_path):
    np.savez(tmp_path / "x.npz", item_id=np.array([5, 6, 7]), feature=ROWS)
    assert read_features(tmp_path / "x.npz")[0] == ["5", "6", "7"]


def with_value(value, dtype=np.float32):
    matrix = np.ones((3, 2), dtype)
    matrix[1, 1] = value
    return matrix


DEFECTS = {
    "length": (dict(item_id=TOKENS[:2], feature=ROWS), r"bad.npz has 2 item_id tokens but 3 rows .*; write one token"),
    "nan": (dict(item_id=TOKENS, feature=with_value(np.nan)), r"bad.npz has 1 value .*NaN or Inf.*first: item '3'"),
    "inf": (dict(item_id=TOKENS, feature=with_value(np.inf)), r"1 value that is NaN or Inf .* in 1 row .*'3'"),
    "overflow": (dict(item_id=TOKENS, feature=with_value(1e300, float)), r"NaN or Inf in float32"),
    "duplicate": (dict(item_id=["7", "3", "7"], feature=ROWS), r"1 item_id tokens more than once \(first: '7'\)"),
    "one-dimensional": (dict(item_id=TOKENS, feature=ROWS[:, 0]), r"shape \(3,\); expected two dimensions"),
    "no column": (dict(item_id=TOKENS, feature=ROWS[:, :0]), r"shape \(3, 0\), with no column"),
    "no row": (dict(item_id=TOKENS[:0], feature=ROWS[:0]), r"shape \(0, 2\), with no row; encode the items again"),
    "text": (dict(item_id=TOKENS, feature=np.array([["a"]] * 3)), r"feature of type <U1; expected floats"),
    "token type": (
        dict(item_id=np.ones(3), feature=ROWS),
        r"item_id of type float64 .* expected one text token per row",
    ),
    "missing": (dict(item_ids=TOKENS, feature=ROWS), r"bad.npz lacks 'item_id' and holds 'item_ids', 'feature'"),
    "objects": (dict(item_id=TOKENS.astype(object), feature=ROWS), r"holds Python objects, which are never unpickled"),
}


@pytest.mark.parametrize("arrays_in_file, message", DEFECTS.values(), ids=DEFECTS)
def test_defect_is_named(tmp_path, arrays_in_file, message):
    np.savez(tmp_path / "bad.npz", **arrays_in_file)
    with pytest.raises(FeatureError, match=message):
        read_features(tmp_path / "bad.npz")


def test_a_pickled_npy_is_refused(tmp_path):
    np.save(tmp_path / "bad_feat.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(FeatureError, match="bad_feat.npy holds Python objects"):
        read_features(tmp_path / "bad_feat.npy")


@pytest.mark.parametrize("name", ["bad.npz", "bad.npy"])
@pytest.mark.parametrize("content", [b"", b"not an array", None], ids=["empty", "garbage", "absent"])
def test_unreadable_file_is_named(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(
        FeatureError, match=f"{name} (cannot be read|is empty, 0 bytes).*(expected (an|vec)|check that)"
    ):
        read_features(tmp_path / name)


def test_a_file_cut_short_is_named(tmp_path):
    np.savez(tmp_path / "bad.npz", item_id=TOKENS, feature=np.ones((3, 500)))
    (tmp_path / "bad.npz").write_bytes((tmp_path / "bad.npz").read_bytes()[:3000])
    with pytest.raises(FeatureError, match="bad.npz cannot be read"):
        read_features(tmp_path / "bad.npz")


def test_a_flipped_byte_is_noticed(tmp_path):
    np.savez(tmp_path / "bad.npz", item_id=TOKENS, feature=np.ones((3, 500)))
    content = bytearray((tmp_path / "bad.npz").read_bytes())
    content[5000] ^= 1
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(FeatureError, match="bad.npz cannot be read .*CRC"):
        read_features(tmp_path / "bad.npz")


def test_writing_refuses_what_reading_would(tmp_path):
    with pytest.raises(FeatureError, match="2 item_id tokens but 3 rows"):
        write_features(tmp_path / "x.npz", ["1", "2"], ROWS)
    with pytest.raises(FeatureError, match="name it 'x.npz'"):
        write_features(tmp_path / "x.npy", TOKENS.tolist(), ROWS)
    assert not list(tmp_path.iterdir())
