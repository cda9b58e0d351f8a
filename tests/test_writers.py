"""Every writer, when the disk is full and when it is killed: the old or the new, never between, and nothing left."""

import json
import os
import resource
import subprocess
import sys

import pytest

from recbole_sheaf.errors import StoreError, WriteError
from tests.conftest import REPOSITORY
from tests.writers import BUILDING, WRITERS, amiss, names_in, source, trained, weeks_of_vk_lsvd

pytest.importorskip("pyarrow")
writers = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture
def full():
    """A disk that takes no more than so many bytes of a file; gives the function that says how many."""
    source(1), source(2), trained(), weeks_of_vk_lsvd()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@writers
def test_what_is_written_is_found(name, tmp_path):
    writer = WRITERS[name]
    for version in (1, 2):
        writer.write(tmp_path, version)
        assert writer.found(tmp_path) and not amiss(writer, tmp_path)
    assert not [path for path in names_in(tmp_path) if BUILDING in path]


@writers
@pytest.mark.parametrize("size", [*(pytest.param(size, marks=pytest.mark.slow) for size in (0, 100)), 50_000])
def test_a_full_disk_is_one_sentence_and_the_old_stays(name, size, tmp_path, full, capfd):
    writer = WRITERS[name]
    writer.write(tmp_path, 1)
    before = {path: (tmp_path / path).read_bytes() for path in names_in(tmp_path) if (tmp_path / path).is_file()}
    if name == "appended lines":
        size += os.path.getsize(tmp_path / "rows.jsonl")
    full(size)
    with pytest.raises(StoreError if name == "store" else WriteError) as refused:
        writer.write(tmp_path, 2)
    full(resource.RLIM_INFINITY)
    said = str(refused.value)
    assert "\n" not in said and str(tmp_path) in said and "File too large" in said and BUILDING not in said
    assert "make room" in said or "free disk space" in said
    if name == "store":
        assert [path for path in names_in(tmp_path) if path not in writer.beside] == ["x.duckdb"]
    else:
        assert {path: (tmp_path / path).read_bytes() for path in before} == before
        assert [path for path in names_in(tmp_path) if (tmp_path / path).is_file()] == list(before)
    assert {float(value) for versions in writer.found(tmp_path) for value in versions} == {1.0}
    writer.write(tmp_path, 2)
    assert not amiss(writer, tmp_path)
    assert "Traceback" not in capfd.readouterr().err


@writers
def test_a_full_disk_leaves_nothing_where_nothing_was(name, tmp_path, full):
    full(100)
    with pytest.raises((StoreError, WriteError)):
        WRITERS[name].write(tmp_path, 1)
    full(resource.RLIM_INFINITY)
    assert not [path for path in names_in(tmp_path) if (tmp_path / path).is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(seed, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tests.writers", str(seed)],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout.splitlines()[-1])
    assert not said, "\n".join(said)
