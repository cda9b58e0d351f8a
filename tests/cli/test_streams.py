"""Pipes that nobody reads, outputs that are full or closed and encodings without a letter end no command."""

import contextlib
import io
import os
import subprocess
import sys

import pytest

from recbole_sheaf import cli
from recbole_sheaf.cli import streams
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.streams import steady_streams, until_unread
from recbole_sheaf.errors import DataError
from tests.conftest import REPOSITORY

LOUD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from recbole_sheaf.cli.refusals import one_sentence\n"
    "@one_sentence\n"
    "def main(argv):\n"
    "    for _ in range(3):\n"
    "        print('ünï▲' * 50_000)\n"
    "        print('ünï▲', file=sys.stderr)\n"
    "    Path(argv[0]).write_text('whole')\n"
    "    return int(argv[1])\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


def loud(path, code, redirected, encoding="utf-8"):
    """Exit code and standard error of a command that prints much and then writes a file, under the shell."""
    line = f'"$0" -c "$1" "$2" {code} {redirected}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}", sys.executable, LOUD, str(path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
    )
    return done.returncode, done.stderr.decode(errors="replace")


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    "redirected", ["| head -c 1", "| true", "2>&1 | true", ">&-", "2>&-", "<&- >&- 2>&-", "> /dev/null 2> /dev/full"]
)
def test_files_are_written_and_the_exit_code_is_the_commands_own(tmp_path, redirected, code):
    returned, said = loud(tmp_path / "file", code, redirected)
    assert returned == code and (tmp_path / "file").read_text() == "whole"
    assert "Traceback" not in said and "Exception ignored" not in said


@pytest.mark.parametrize("code, returned", [(0, 2), (1, 1)])
def test_an_output_that_is_full_is_one_sentence_at_the_end(tmp_path, code, returned):
    assert loud(tmp_path / "file", code, "> /dev/full") == (
        returned,
        "ünï▲\n"
        * 3
        + "WriteError: the standard output cannot be written (No space left on device); make room, or send it "
        "elsewhere\n",
    )
    assert (tmp_path / "file").read_text() == "whole"


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "latin-1"])
def test_a_letter_that_the_encoding_lacks_is_escaped(tmp_path, encoding):
    returned, said = loud(tmp_path / "file", 0, f"> {tmp_path}/screen", encoding)
    assert returned == 0 and "Traceback" not in said
    shown = (tmp_path / "screen").read_bytes()
    assert b"\\u25b2" in shown and (b"\xfcn" if encoding == "latin-1" else b"\\xfcn") in shown


@pytest.mark.parametrize("arguments", [["models"], ["--help"], ["--version"]])
def test_every_command_takes_a_screen_of_ascii(arguments, monkeypatch, capsys):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(arguments) in (0, 2)
    assert screen.errors == "strict" and sys.stdout is screen


def test_streams_are_as_before_in_the_end(capfd):
    before = sys.stdout, sys.stderr
    with steady_streams():
        print("said")
        with steady_streams():  # a command within a command
            print("inside")
    assert (sys.stdout, sys.stderr) == before
    print("after", flush=True)
    assert capfd.readouterr().out == "said\ninside\nafter\n"


def test_no_file_takes_the_place_of_a_closed_descriptor(tmp_path):
    program = (
        "import os, sys\n"
        "from recbole_sheaf.cli.streams import steady_streams\n"
        "with steady_streams():\n"
        f"    file = open({str(tmp_path / 'file')!r}, 'w')\n"
        "    os.write(1, b'from a library'); print('said'); file.write('whole')\n"
    )
    subprocess.run(["bash", "-c", '"$0" -c "$1" >&-', sys.executable, program], cwd=REPOSITORY, check=True)
    assert (tmp_path / "file").read_text() == "whole"


@contextlib.contextmanager
def unread():
    """A standard output of which the other end is closed."""
    end, descriptor = os.pipe()
    os.close(end)
    with open(descriptor, "w", encoding="utf-8") as screen, contextlib.redirect_stdout(screen):
        yield


def test_what_is_only_read_stops_where_nobody_reads(capsys):
    lines = []

    @one_sentence
    def command(argv):
        with until_unread():
            for line in range(1_000_000):
                print(line)
                lines.append(line)
        raise AssertionError("went on")

    with unread():
        assert command([]) == 0
    assert len(lines) < 100_000
    assert capsys.readouterr().err == ""


def test_a_refusal_after_the_reader_has_gone_is_still_one(capsys):
    @one_sentence
    def command(argv):
        print("x" * 100_000)
        raise DataError("no such thing")

    with unread():
        assert command([]) == 2
    assert capsys.readouterr().err == "DataError: no such thing\n"


def test_a_pipe_to_a_worker_that_breaks_is_no_success(capsys):
    @one_sentence
    def command(argv):
        raise BrokenPipeError(32, "Broken pipe")

    assert command([]) == 2 and "Broken pipe" in capsys.readouterr().err


def test_json_is_json_in_any_encoding():
    for encoding, whole in (("utf-8", True), ("UTF-8-SIG", True), ("cp1251", False), (None, False)):
        stream = type("Stream", (), {"encoding": encoding})()
        assert streams.shows_all_characters(stream) is whole
