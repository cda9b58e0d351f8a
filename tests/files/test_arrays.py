"""Arrays of strangers: a header's claim is checked before memory is asked for."""

import tracemalloc
import zipfile

import numpy as np
import pytest

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.files.arrays import read_npy, read_npz
from tests.attack.test_data import archive, claiming, npy, unfolding


def test_two_tebibytes_are_refused_before_they_are_asked_for(tmp_path):
    (tmp_path / "x.npz").write_bytes(archive(feature=claiming((2**31, 256))))
    (tmp_path / "x.npy").write_bytes(claiming((2**31, 256)))
    tracemalloc.start()
    for read in (
        lambda: read_npz(tmp_path / "x.npz", ["feature"], "an .npz"),
        lambda: read_npy(tmp_path / "x.npy", ""),
    ):
        with pytest.raises(FeatureError, match="2,199,023,255,552 bytes, and 0 follow"):
            read()
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_much_out_of_little_is_refused_and_little_out_of_less_is_not(tmp_path):
    constant = np.zeros((1 << 16, 8), np.float32)  # two mebibytes of two kibibytes
    (tmp_path / "x.npz").write_bytes(archive(zipfile.ZIP_DEFLATED, feature=npy(constant)))
    assert np.array_equal(read_npz(tmp_path / "x.npz", ["feature"], "")[0], constant)
    (tmp_path / "x.npz").write_bytes(unfolding(archive(zipfile.ZIP_DEFLATED, feature=npy(constant)), 3 << 28))
    with pytest.raises(FeatureError, match="unfold into 805,306,368; save it again"):
        read_npz(tmp_path / "x.npz", ["feature"], "")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "?", "<U3", ">U3", "<i8"])
def test_arrays_come_back(tmp_path, dtype, order):
    array = np.arange(12).reshape(3, 4).astype(dtype, order=order)
    (tmp_path / "x.npy").write_bytes(npy(array))
    (tmp_path / "x.npz").write_bytes(archive(a=npy(array), b=npy(array[0])))
    for read, expected in zip(
        [read_npy(tmp_path / "x.npy", ""), *read_npz(tmp_path / "x.npz", "ab", "")], [array, array, array[0]]
    ):
        assert read.dtype == expected.dtype and np.array_equal(read, expected)
