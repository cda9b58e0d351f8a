"""Only regular files that fit the memory are read; whatever else a path names ends in a sentence at once."""

import os

import pytest

from recbole_sheaf.errors import DataError
from recbole_sheaf.files import regular_files
from recbole_sheaf.files.regular_files import open_regular, read_regular


def test_a_regular_file_is_read_through_links(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    assert read_regular(tmp_path / "link", DataError) == b"content"


def test_a_pipe_that_somebody_writes_to_is_refused_too(tmp_path):
    os.mkfifo(tmp_path / "x")
    writer = os.open(tmp_path / "x", os.O_RDWR)
    with pytest.raises(DataError, match="it is a pipe"):
        open_regular(tmp_path / "x", DataError)
    os.close(writer)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
def test_no_descriptor_is_left_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DataError, match="it is a folder"):
        open_regular(tmp_path, DataError)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(regular_files.os, "open", denied)
    with pytest.raises(DataError, match=r"x.inter cannot be read \(Permission denied\); check that .*may be read"):
        open_regular(tmp_path / "x.inter", DataError)


def test_a_file_beyond_the_memory_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(bytes(100))
    monkeypatch.setattr(regular_files, "_memory", lambda: 99)
    with pytest.raises(DataError, match="x would take .* of memory and this machine has"):
        read_regular(tmp_path / "x", DataError)
