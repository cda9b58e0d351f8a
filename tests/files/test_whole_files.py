"""Files and folders appear whole or not at all, and what a dead writer left is cleared by the next."""

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from recbole_sheaf.errors import ConfigError, WriteError
from recbole_sheaf.files import whole_files
from recbole_sheaf.files.whole_files import append_json, whole_file, whole_files_in, whole_folder, write_whole


def tree(folder):
    """Every file below a folder, with its text."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def fill(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_file_takes_the_place_of_another_when_it_is_whole(tmp_path):
    place = tmp_path / "a" / "b" / "x.txt"
    write_whole(place, "old ä")
    with whole_file(place) as new:
        assert new.name == "x.txt" and not new.exists()
        new.write_text("new")
        assert place.read_text() == "old ä"
    assert tree(tmp_path) == {"a/b/x.txt": "new"} and os.listdir(place.parent) == ["x.txt"]


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path):
    """The new one takes its name in one step; nothing is written into the old."""
    place = tmp_path / "x"
    place.write_text("old")
    with open(place) as reader:
        with whole_file(place) as new:
            new.write_text("new and longer")
            made = new.stat().st_ino
        assert reader.read() == "old" and place.stat().st_ino == made


def test_the_disk_has_the_file_before_it_takes_its_place_and_the_folder_after(tmp_path, monkeypatch):
    """So that a loss of power leaves no file of the right name without its content."""
    steps, fsync, replace = [], os.fsync, os.replace
    known = {}

    def synced(descriptor):
        steps.append(("sync", known.get(os.fstat(descriptor).st_ino)))
        fsync(descriptor)

    def replaced(source, target):
        steps.append(("move", Path(target).name))
        replace(source, target)

    known[tmp_path.stat().st_ino] = "folder"
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with whole_file(tmp_path / "x") as new:
        new.write_text("new")
        known[new.stat().st_ino] = "file"
    assert steps == [("sync", "file"), ("move", "x"), ("sync", "folder")]
    steps.clear()
    write_whole(tmp_path / "x", "made again easily", durable=False)
    assert steps == [("move", "x")]


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("bad"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_and_nothing_else(tmp_path, old, error):
    if old:
        (tmp_path / "x").write_text(old)
    expected = WriteError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), whole_file(tmp_path / "x") as new:
        new.write_text("half")
        raise error
    assert tree(tmp_path) == ({"x": "old"} if old else {}) and len(list(tmp_path.iterdir())) == bool(old)


def test_a_refusal_names_the_path_the_reason_and_what_to_do(tmp_path):
    with pytest.raises(ConfigError) as refused, whole_file(tmp_path / "x", (RuntimeError,)) as new:
        raise RuntimeError(f"disk of {new} is full\nmore")
    said = str(refused.value)
    assert said.startswith(f"{tmp_path / 'x'} cannot be written (disk of {tmp_path / 'x'} is full); ")
    assert "make room" in said and "\n" not in said
    with pytest.raises(WriteError, match=r"x/y cannot be written \(.*x is no folder\)"):
        (tmp_path / "x").write_text("")
        write_whole(tmp_path / "x" / "y", "")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path)])
def test_what_is_no_regular_file_is_not_replaced(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(WriteError, match="no regular file"):
        write_whole(tmp_path / "x", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"] and not (tmp_path / "x").is_file()


def test_a_link_stays_and_rights_stay(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "x", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to("far/x")
    write_whole(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    fresh = tmp_path / "fresh"
    write_whole(fresh, "")
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o666 & ~_umask()
    with whole_files_in(tmp_path) as made:
        (made / "link").write_text("newer")
    assert link.is_symlink() and target.read_text() == "newer" and stat.S_IMODE(target.stat().st_mode) == 0o600


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def left_behind(parent, lock=True):
    """What a writer that was killed leaves."""
    left = parent / ".building-dead"
    fill(left, {"new/half": "half"})
    if lock:
        (left / "lock").touch()
    return left


def test_what_a_dead_writer_left_is_cleared_by_the_next(tmp_path):
    left = left_behind(tmp_path)
    empty = tmp_path / ".building-empty"  # killed before it had its lock
    empty.mkdir()
    write_whole(tmp_path / "x", "")
    assert not left.exists() and not empty.exists() and os.listdir(tmp_path) == ["x"]


def test_who_is_killed_while_tidying_up_leaves_what_the_next_one_clears(tmp_path, monkeypatch):
    class Killed(BaseException):
        """No error that anybody handles."""

    def killed(*given, **named):
        monkeypatch.undo()
        raise Killed

    monkeypatch.setattr(whole_files.shutil, "rmtree", killed)
    with pytest.raises(Killed), whole_folder(tmp_path / "data") as new:
        fill(new, {"x": "new"})
    assert len(list(tmp_path.glob(".building-*"))) == 1
    write_whole(tmp_path / "y", "")
    assert tree(tmp_path) == {"data/x": "new", "y": ""} and sorted(os.listdir(tmp_path)) == ["data", "y"]


def test_what_a_living_writer_or_somebody_else_has_there_stays(tmp_path):
    held = left_behind(tmp_path)
    fill(tmp_path / ".building-blocks", {"of/mine": "toys"})
    with FileLock(held / "lock"), whole_file(tmp_path / "y") as mine:
        write_whole(tmp_path / "x", "")
        assert (held / "new" / "half").exists() and mine.parent.exists()
        mine.write_text("")
    assert (tmp_path / ".building-blocks" / "of" / "mine").exists() and (tmp_path / "y").exists()


def test_a_folder_taken_for_a_leftover_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    real, taken = whole_files.FileLock, []

    class Late(real):
        def acquire(self, *given, **named):
            if not taken:
                taken.append(Path(self.lock_file).parent)
                whole_files.shutil.rmtree(taken[0])
                other = real(self.lock_file)  # who clears it holds the lock at this moment
                taken[0].mkdir()
                with other:
                    return super().acquire(*given, **named)
            return super().acquire(*given, **named)

    monkeypatch.setattr(whole_files, "FileLock", Late)
    write_whole(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new" and taken


@pytest.fixture(params=["exchanged", "moved"])
def either_way(request, monkeypatch):
    """Whether or not the system can exchange two folders in one step."""
    if request.param == "moved":
        monkeypatch.setattr(whole_files, "_exchange", lambda one, other: False)


def test_a_folder_takes_the_place_of_another(tmp_path, either_way):
    for text in ("old", "new"):
        with whole_folder(tmp_path / "data") as new:
            fill(new, {"x": text, f"{text}/y": text})
    assert tree(tmp_path) == {"data/x": "new", "data/new/y": "new"} and os.listdir(tmp_path) == ["data"]


def test_an_error_leaves_the_old_folder(tmp_path, either_way):
    fill(tmp_path / "data", {"x": "old"})
    with pytest.raises(WriteError), whole_folder(tmp_path / "data") as new:
        fill(new, {"x": "half"})
        raise OSError(28, "No space left on device")
    assert tree(tmp_path) == {"data/x": "old"} and os.listdir(tmp_path) == ["data"]


def test_a_folder_that_was_being_moved_when_its_writer_was_killed_is_put_back(tmp_path):
    left = left_behind(tmp_path)
    fill(left / "old" / "data", {"x": "old"})
    write_whole(tmp_path / "other", "")
    assert tree(tmp_path) == {"data/x": "old", "other": ""} and not left.exists()


def test_a_move_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    fill(tmp_path / "data", {"x": "old"})
    monkeypatch.setattr(whole_files, "_exchange", lambda one, other: False)
    real = os.rename

    def rename(source, target):
        if Path(target) == tmp_path / "data" and "new" in Path(source).parts:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(WriteError, match="Input/output error"), whole_folder(tmp_path / "data") as new:
        fill(new, {"x": "new"})
    assert tree(tmp_path) == {"data/x": "old"}


def test_files_go_into_a_folder_among_others(tmp_path):
    fill(tmp_path, {"x": "old", "mine": "mine"})
    with whole_files_in(tmp_path) as made:
        fill(made, {"x": "new", "figures/y": "new"})
    assert tree(tmp_path) == {"x": "new", "figures/y": "new", "mine": "mine"}
    with pytest.raises(WriteError), whole_files_in(tmp_path) as made:
        fill(made, {"x": "newest"})
        raise OSError("full")
    assert tree(tmp_path)["x"] == "new" and sorted(os.listdir(tmp_path)) == ["figures", "mine", "x"]


@pytest.mark.parametrize("before", ["", "one\n"])
def test_a_line_is_there_whole_or_not_at_all(tmp_path, before):
    path = tmp_path / "more" / "lines"
    if before:
        fill(tmp_path, {"more/lines": before})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
    try:
        with pytest.raises(WriteError, match="lines cannot be written .File too large"):
            append_json(path, "a long line")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert tree(tmp_path) == ({"more/lines": before} if before else {})
    append_json(path, "ü")
    assert path.read_text(encoding="utf-8") == f"{before}ü\n"


@pytest.mark.parametrize("end, left", [('{"a": 1}', '{"a": 1}\n'), ('{"a": 1, "b', ""), ("", "")])
def test_half_a_row_that_a_kill_left_goes_and_a_whole_one_stays(tmp_path, end, left):
    fill(tmp_path, {"rows": "{}\n" + end})
    append_json(tmp_path / "rows", "[]")
    assert (tmp_path / "rows").read_text() == "{}\n" + left + "[]\n"


def test_a_line_goes_to_what_is_no_regular_file_too():
    append_json("/dev/null", "x")
    with pytest.raises(WriteError, match="/dev/full cannot be written .No space left on device"):
        append_json("/dev/full", "x")


def test_a_full_disk_is_said_by_write_whole(tmp_path):
    """A tmpfs is a disk of its own size; only root may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("no leave to mount a tmpfs")
    try:
        write_whole(place / "x", "old")
        with pytest.raises(WriteError, match="No space left on device"):
            write_whole(place / "x", "new" * 100_000)
        assert tree(place) == {"x": "old"} and os.listdir(place) == ["x"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_place_of_work_that_is_cleared_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    """By another writer, which takes a folder without anything for a dead one's."""
    cleared = []

    class Late(FileLock):
        def acquire(self, *args, **kwargs):
            if not cleared:
                cleared.append(self.lock_file)
                os.rmdir(Path(self.lock_file).parent)
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.lock_file)
            return super().acquire(*args, **kwargs)

    monkeypatch.setattr(whole_files, "FileLock", Late)
    with whole_folder(tmp_path / "data") as new:
        (new / "x").write_text("1")
    assert cleared and os.listdir(tmp_path) == ["data"]


def test_a_folder_that_another_writer_puts_there_at_this_moment_is_replaced(tmp_path, monkeypatch):
    real = os.rename

    def rename(source, target):
        if not (tmp_path / "data").exists():
            fill(tmp_path / "data", {"x": "the other's", "y": "the other's"})
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with whole_folder(tmp_path / "data") as new:
        fill(new, {"x": "mine"})
    assert tree(tmp_path) == {"data/x": "mine"} and os.listdir(tmp_path) == ["data"]


def test_two_writers_at_once_leave_one_whole_folder(tmp_path):
    """Each with texts of its own; none fails and nothing is left over."""
    program = (
        "import sys; from recbole_sheaf.files.whole_files import whole_folder\n"
        "for _ in range(30):\n"
        "    with whole_folder(sys.argv[1], durable=False) as new:\n"
        "        (new / 'x').write_text(sys.argv[2] * 1000); (new / 'y').write_text(sys.argv[2] * 1000)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "data"), mine]) for mine in "ab"]
    assert [each.wait() for each in both] == [0, 0]
    assert len(set(tree(tmp_path / "data").values())) == 1 and os.listdir(tmp_path) == ["data"]
