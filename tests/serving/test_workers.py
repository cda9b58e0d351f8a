"""Several processes on one port, and what an answer may take."""

import asyncio
import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import psutil
import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from recbole_sheaf.cli import main, serve
from recbole_sheaf.serving import server
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.limits import InTime
from recbole_sheaf.serving.server import listen
from tests.serving.small_exports import best_of, catalogue_of, numbers, options_of, write_small


@pytest.fixture
def path(tmp_path):
    write_small(tmp_path / "shop.npz")
    return tmp_path / "shop.npz"


def test_each_worker_makes_the_application_of_the_command(path, monkeypatch):
    made = []
    monkeypatch.setattr(server, "serve_by_workers", lambda *given: made.append(given))
    assert main(["serve", str(path), "--port=0", "--workers=3", "--watch=2.5", "--timeout=4"]) == 0
    ((app_of, _, workers),) = made
    sent = pickle.loads(pickle.dumps(app_of))
    assert workers == 3 and (sent.options.watch, sent.options.timeout) == (2.5, 4.0)
    assert best_of(TestClient(sent(), base_url="http://127.0.0.1")) == ["i0", "i1", "i2", "i3"]
    write_small(path, best=(2, 1, 0, 3))
    assert best_of(TestClient(sent(), base_url="http://127.0.0.1")) == ["i2", "i1", "i0", "i3"], "read anew"


def test_a_worker_that_cannot_begin_says_why(path, capsys):
    worker = serve._Worker(options_of(path), ["*"])
    path.write_bytes(b"broken")
    with pytest.raises(SystemExit) as end:
        worker()
    assert end.value.code == 1, "3 would end all others"
    assert re.match(r"DataError: shop.npz .*\n$", capsys.readouterr().err)


def test_workers_on_a_port_in_use_are_refused(path, capsys):
    with listen("127.0.0.1", 0) as listener:
        assert main(["serve", str(path), f"--port={listener.getsockname()[1]}", "--workers=2"]) == 2
    assert "cannot be listened at (Address already in use)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option, sentence",
    [
        ("--workers=0", "'0' is no number of processes; give 1 or more"),
        ("--workers=-2", "'-2' is no number of processes"),
        ("--workers=two", "'two' is no number of processes"),
        ("--watch=0", "'0' is no time; give seconds from 0.1 to 86,400"),
        ("--watch=nan", "'nan' is no time"),
        ("--timeout=26", "'26' is no time; give seconds from 0.1 to 25"),
        ("--timeout=soon", "'soon' is no time"),
    ],
)
def test_what_is_no_number_is_refused(option, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        main(["serve", "x.npz", option])
    assert end.value.code == 2 and sentence in capsys.readouterr().err


def test_an_answer_that_takes_too_long_is_a_503_while_others_are_answered(path, monkeypatch):
    going = threading.Event()
    recommend = Catalogue.recommend
    catalogue = catalogue_of(path)
    monkeypatch.setattr(Catalogue, "recommend", lambda *given, **named: going.wait(20) and recommend(*given, **named))
    with TestClient(build_app(catalogue, seconds=0.2), base_url="http://127.0.0.1") as client:
        answers = []
        asked = threading.Thread(target=lambda: answers.append(client.post("/recommend", json={"user": "u0", "k": 1})))
        start = time.monotonic()
        asked.start()
        assert client.get("/health").json()["status"] == "ok" and time.monotonic() - start < 10
        asked.join(10)
        (answer,) = answers
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert re.match(r"there was no answer after 0.2 s, .* ask again later, or for less", answer.json()["error"])
        assert numbers(client)['recbole_sheaf_requests_total{path="/recommend",status="503"}'] == 1
        going.set()
        assert best_of(client, 1) == ["i0"]


def test_what_nobody_waits_for_is_not_begun():
    going, begun = threading.Event(), []

    def compute(name):
        begun.append(name)
        going.wait(20)
        return name

    async def ask():
        in_time = InTime(0.2)
        found = await asyncio.gather(*(in_time(compute, name) for name in "abc"), return_exceptions=True)
        assert [type(each) for each in found] == [HTTPException] * 3 and found[1].status_code == 503
        going.set()
        assert await in_time(compute, "d") == "d"

    asyncio.run(ask())
    assert begun == ["a", "d"]


@pytest.fixture
def running(path):
    """The command with two workers that watch: the process, and how to ask it."""
    code = "import sys; from recbole_sheaf.cli import main; sys.exit(main())"
    options = ["serve", str(path), "--port=0", "--workers=2", "--watch=0.2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, *options], **pipes) as process:
        try:
            process.stdout.readline()
            address = re.search(r"http://\S+", process.stdout.readline())[0]
            yield process, lambda page: urllib.request.urlopen(f"{address}/{page}", timeout=60).read().decode()
        finally:
            process.kill()


@pytest.mark.slow
def test_two_workers_answer_take_another_file_and_stop(running, path):
    process, ask = running

    def workers(version):
        found = re.search(rf'model_workers{{.*version="{version}"}} (\S+)', ask("metrics"))
        return float(found[1]) if found else 0

    first = json.loads(ask("health"))["version"]
    _until(lambda: workers(first) == 2)
    second = write_small(path, "Second", (3, 2, 1, 0))
    _until(lambda: workers(second) == 2)
    assert workers(first) == 0 and {json.loads(ask("health"))["version"] for _ in range(20)} == {second}
    path.write_bytes(b"broken")
    _until(lambda: "recbole_sheaf_stale_workers 2.0" in ask("metrics"))
    assert {json.loads(ask("health"))["status"] for _ in range(20)} == {"stale"}
    third = write_small(path, "Third")
    _until(lambda: workers(third) == 2)
    children = _children(process.pid)
    os.kill(children[0], signal.SIGKILL)
    _until(lambda: workers(third) == 2 and children[0] not in _children(process.pid))
    process.send_signal(signal.SIGTERM)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in complained and not said
    assert len(re.findall(f"version {second} after {first}", complained)) == 2


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(running):
    process, ask = running
    _until(lambda: "} 2.0" in ask("metrics"))
    children = _children(process.pid)
    assert len(children) == 2
    process.kill()
    _until(lambda: not any(psutil.pid_exists(child) for child in children))


def _children(pid):
    """Workers, which have read a model; the helper that multiprocessing starts beside them has not."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # nor a zombie
            found += [child.pid] * ("spawn_main" in " ".join(child.cmdline()))
    return found


def _until(holds, seconds=240):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)
