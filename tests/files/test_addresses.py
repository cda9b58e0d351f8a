"""Files at addresses of fsspec: there whole or not at all, and what is not there is refused in a sentence."""

import errno
import logging
import sys

import fsspec
import pytest

from recbole_sheaf.errors import ConfigError, DataError, EnvironmentMismatch, WriteError
from recbole_sheaf.files import addresses
from recbole_sheaf.files.addresses import fetched, is_address, is_known, put_up


def test_an_address_begins_with_a_protocol_and_a_path_does_not():
    assert is_address("s3://a/b") and is_address("memory://a") and is_address("postgresql://a")
    assert not is_address("a/b") and not is_address("C://a") and not is_address("s3:/a") and not is_address("./s3://a")
    assert is_known("s3://a") and not is_known("postgresql://a") and not is_known("a.npz")


def test_a_file_is_fetched_under_its_name_and_gone_afterwards(memory, caplog):
    memory.pipe("/shop/clicks.csv", b"user,item\n")
    with caplog.at_level(logging.INFO), fetched("memory://shop/clicks.csv") as path:
        assert path.name == "clicks.csv" and path.read_bytes() == b"user,item\n"
    assert not path.parent.exists() and "10 bytes, SHA-256 760483bfdbd2" in caplog.text


def test_a_folder_is_fetched_with_its_files_alone(memory):
    memory.pipe({"/posters/a.jpg": b"1", "/posters/b.jpg": b"22", "/posters/below/c.jpg": b"3"})
    with fetched("memory://posters") as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.jpg": b"1", "b.jpg": b"22"}


def test_a_file_goes_up_when_it_is_finished_and_not_before(memory):
    memory.pipe("/out/lists.csv", b"old")
    with pytest.raises(RuntimeError), put_up("memory://out/lists.csv") as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert memory.cat("/out/lists.csv") == b"old" and not path.parent.exists()
    with put_up("memory://out/lists.csv") as path:
        assert path.name == "lists.csv"
        path.write_bytes(b"whole")
        assert memory.cat("/out/lists.csv") == b"old"
    assert memory.cat("/out/lists.csv") == b"whole" and not path.parent.exists()


def test_an_upload_that_breaks_off_leaves_the_older_file(memory, monkeypatch):
    memory.pipe("/out/x", b"old")

    def breaks(self, local, place, **options):
        with self.open(place, "wb") as file:
            file.write(b"ha")
            raise OSError(errno.ECONNRESET, "connection reset")

    monkeypatch.setattr(type(memory), "put_file", breaks)
    with (
        pytest.raises(WriteError, match="^memory://out/x cannot be written .*reset.*; what was there stays"),
        put_up("memory://out/x") as path,
    ):
        path.write_bytes(b"half")
    assert memory.cat("/out/x") == b"old"


def test_a_local_address_is_its_path(tmp_path):
    with put_up(f"file://{tmp_path}/a.csv") as path:
        assert path == tmp_path / "a.csv"
    with fetched(f"file://{tmp_path}") as path:
        assert path == tmp_path


def test_what_is_not_there_or_came_cut_short_is_refused(memory, monkeypatch):
    with (
        pytest.raises(DataError, match="^memory://shop/absent.csv cannot be read .nothing is there.; check"),
        fetched("memory://shop/absent.csv"),
    ):
        pass
    for given in ("memory://", "memory:///"):
        with pytest.raises((ConfigError, DataError), match="names no file"), put_up(given):
            pass
    memory.pipe("/shop/a.csv", b"12345")
    monkeypatch.setattr(type(memory), "get_file", lambda self, place, path: open(path, "wb").close())
    with (
        pytest.raises(DataError, match="^memory://shop/a.csv came with 0 of 5 bytes; give the same command again$"),
        fetched("memory://shop/a.csv"),
    ):
        pass


def test_a_file_larger_than_the_disk_is_refused_before_it_is_fetched(memory, monkeypatch):
    memory.pipe("/shop/a.csv", b"12345")
    monkeypatch.setattr(addresses.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 4}))
    monkeypatch.setattr(type(memory), "get_file", None)
    with (
        pytest.raises(DataError, match="^memory://shop/a.csv has 5 bytes and .* has room for 4; set TMPDIR"),
        fetched("memory://shop/a.csv"),
    ):
        pass


def test_a_protocol_that_is_unknown_or_lacks_its_library_is_refused(monkeypatch):
    with (
        pytest.raises(ConfigError, match="^nowhere://a leads nowhere .*give a path, or an address of a protocol of"),
        fetched("nowhere://a"),
    ):
        pass
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with (
        pytest.raises(EnvironmentMismatch, match=r"^s3://a/b needs a library of s3:// .*s3fs.*; install it with pip"),
        put_up("s3://a/b"),
    ):
        pass


class Buckets(fsspec.AbstractFileSystem):
    """A store of objects that has no bucket, or asks for credentials."""

    protocol = "gs"

    def exists(self, path, **options):
        if path == "closed":
            raise PermissionError(errno.EACCES, "Access Denied")
        return False


def test_a_bucket_that_is_not_there_or_closed_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(addresses, "_opened", lambda address: (Buckets(), address.removeprefix("gs://")))
    for bucket, reason in (("absent", "there is no bucket 'absent', or your credentials"), ("closed", "Access Denied")):
        with (
            pytest.raises(WriteError, match=rf"^gs://{bucket}/a.npz cannot be written .*{reason}"),
            put_up(f"gs://{bucket}/a.npz"),
        ):
            raise AssertionError("work was begun")
