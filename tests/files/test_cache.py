"""A cache gives what was written or nothing: values are checked, and its folder is one's own."""

import logging
import os
import pickle

import numpy as np
import pytest

from recbole_sheaf.files.cache import CHECKSUM, cached_arrays, content_key, make_private
from tests.attack.test_unsafe_settings import Payload

NAMES = ("src", "dst")


def made():
    return {"src": np.arange(6), "dst": np.ones((2, 3), np.float32)}


@pytest.fixture
def entry(tmp_path):
    path = tmp_path / "cache" / "knn" / "entry.npz"
    cached_arrays(path, NAMES, made)
    return path


def asked(path):
    """What the cache gives, and whether it had to be made."""
    built = []
    found = cached_arrays(path, NAMES, lambda: built.append(1) or made())
    assert all(found[name].tobytes() == made()[name].tobytes() for name in NAMES)
    return bool(built)


def test_an_entry_is_made_once_in_folders_for_its_user_alone(entry):
    assert not asked(entry)
    for folder in (entry.parent, entry.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "change",
    [
        {"src": np.arange(6)[::-1]},
        {"dst": np.zeros((2, 3), np.float32)},
        {"dst": np.ones((3, 2), np.float32)},
        {"src": np.arange(6).astype(np.float64)},
        {"src": made()["dst"], "dst": made()["src"]},
        {"src": np.empty(0, np.int64)},
        {CHECKSUM: np.zeros(32, np.uint8)},
        {CHECKSUM: np.array(3)},
        {CHECKSUM: None},
    ],
    ids=lambda change: "-".join(change),
)
def test_an_entry_with_other_values_is_made_again(entry, caplog, change):
    with np.load(entry) as found:
        arrays = {name: value for name, value in {**found, **change}.items() if value is not None}
    np.savez(entry, **arrays)
    assert asked(entry)
    assert "made again" in caplog.text
    assert not asked(entry), "the mended entry is kept"


def test_an_entry_that_pickles_is_not_unpickled(entry, workplace):
    np.savez(entry, **{**made(), "src": np.array([Payload()], dtype=object)})
    assert asked(entry)
    entry.write_bytes(pickle.dumps(Payload()))
    assert asked(entry)
    assert not (workplace / "touched").exists()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
@pytest.mark.parametrize("above", [False, True])
def test_nothing_is_taken_from_a_folder_that_others_may_write(entry, caplog, mode, above):
    shared = entry.parent.parent if above else entry.parent
    shared.chmod(mode)
    with caplog.at_level(logging.WARNING):
        assert asked(entry) and asked(entry)
    assert f"others may write to {shared}; empty it and run chmod go-w" in caplog.text


def test_nothing_is_taken_from_somebody_elses_folder(entry, caplog, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: entry.stat().st_uid + 1)
    assert asked(entry)
    assert f"belongs to user {entry.stat().st_uid}; set cache_dir to a folder of your own" in caplog.text


def test_no_two_sequences_of_strings_run_together():
    sequences = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("1:a", "bc")]
    assert len({content_key(each) for each in sequences}) == len(sequences)


def test_a_file_in_its_place_is_no_folder(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(OSError, match="cache"):
        make_private(tmp_path / "cache" / "knn")
