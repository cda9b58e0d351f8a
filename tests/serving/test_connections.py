"""Connections end in bounded time, and stopping waits for nobody; all on real sockets."""

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from recbole_sheaf.exports import write_embeddings
from recbole_sheaf.exports.sources import Source
from recbole_sheaf.serving import server as server_module
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.posters import find_posters
from tests.serving.listening import JSON, answer, connected, listening, parted, request, until_closed

HALVES = {
    "silent": b"",
    "half a head": b"POST /recommend HTTP/1.1\r\nHost: local",
    "half a body": request(body=b'{"user"', length=100),
    "half a chunk": request(headers=JSON + "Transfer-Encoding: chunked\r\n", body=b'40\r\n{"user"', length=""),
    "waits to go on": request(headers=JSON + "Expect: 100-continue\r\n", body=b"", length=10),
    "a body where none is read": request("GET", "/health", b"x", "", 10),
}
LARGE = 6 << 20  # bytes of a picture: more than sockets of both sides take


@pytest.fixture
def app(embeddings, tmp_path):
    (tmp_path / "i3.png").write_bytes(bytes(LARGE))
    return build_app(Catalogue(Source(embeddings), posters=find_posters(tmp_path, embeddings)))


@pytest.fixture(autouse=True)
def no_complaint(caplog):
    """Nobody's way of going leaves a trace in the log."""
    with caplog.at_level(logging.INFO):
        yield
    said = caplog.get_records("call")  # records alone would be those of this moment, after the test
    assert not [record.getMessage() for record in said if record.exc_info or record.levelname == "ERROR"]


@pytest.mark.parametrize("name", HALVES)
def test_who_stops_half_way_is_cut(app, monkeypatch, name):
    monkeypatch.setattr(server_module, "EXCHANGE_SECONDS", 0.3)
    with listening(app) as (server, port), connected(port) as client:
        client.sendall(HALVES[name])
        start = time.monotonic()
        said = until_closed(client)
        assert 0.2 < time.monotonic() - start < 6
        assert parted(said)[0] in (None, 100, 200) and not server.server_state.connections


def waited(server, connections, seconds=6):
    """Until it has so many; a cut takes a few tenths of a second, and more where the machine has much to do."""
    end = time.monotonic() + seconds
    while len(server.server_state.connections) != connections or (not connections and server.server_state.tasks):
        assert time.monotonic() < end
        time.sleep(0.01)


def dripping(client, byte, pause, stop):
    with contextlib.suppress(OSError):
        while not stop.is_set():
            client.sendall(byte)
            time.sleep(pause)


@pytest.mark.parametrize("begun", [b"GET /health HTTP/1.1\r\nX: ", request("GET", "/health", b"", "", 10**9)])
def test_who_sends_drop_by_drop_is_cut_all_the_same(app, monkeypatch, begun):
    monkeypatch.setattr(server_module, "EXCHANGE_SECONDS", 0.5)
    stop = threading.Event()
    with listening(app) as (_, port), connected(port) as client:
        client.sendall(begun)
        thread = threading.Thread(target=dripping, args=(client, b"a", 0.05, stop))
        thread.start()
        start = time.monotonic()
        until_closed(client)
        assert time.monotonic() - start < 6
        stop.set()
        thread.join()


def test_who_does_not_read_is_cut(app, monkeypatch):
    monkeypatch.setattr(server_module, "EXCHANGE_SECONDS", 0.4)
    with listening(app) as (server, port), connected(port, receive_buffer=4096) as client:
        client.sendall(request("GET", "/posters/i3", b"", "", ""))
        waited(server, 1)
        waited(server, 0)
        assert len(until_closed(client)) < LARGE


@pytest.mark.parametrize("path", ["/health", "/posters/i3"])
def test_garbage_behind_an_answer_or_amid_it_is_not_answered_once_more(app, path):
    with listening(app) as (server, port), connected(port, receive_buffer=4096) as client:
        client.sendall(request("GET", path, b"", "Transfer-Encoding: chunked\r\n", ""))
        assert client.recv(1 << 12).startswith(b"HTTP/1.1 200")
        client.sendall(b"zz\r\nno chunk\r\n")
        waited(server, 0)
        assert b"HTTP/1.1 400" not in (said := until_closed(client)) and len(said) < LARGE


def test_no_time_is_added_for_who_does_not_read_the_last_answer(app, monkeypatch):
    """Whose connection is closing already: the time that began with it runs on."""
    begun, cut_after = [], server_module.BoundedConnection._cut_after
    monkeypatch.setattr(server_module, "EXCHANGE_SECONDS", 0.6)
    monkeypatch.setattr(
        server_module.BoundedConnection, "_cut_after", lambda self, s: (begun.append(s), cut_after(self, s))
    )
    with listening(app) as (server, port), connected(port, receive_buffer=4096) as client:
        client.sendall(request("GET", "/posters/i3", b"", "Connection: close\r\n", ""))
        waited(server, 1)
        waited(server, 0)
        assert begun == [0.6] and len(until_closed(client)) < LARGE


def test_who_reads_in_time_has_all_of_it(app, monkeypatch):
    monkeypatch.setattr(server_module, "EXCHANGE_SECONDS", 2.0)
    with listening(app) as (_, port):
        status, head, body = answer(port, request("GET", "/posters/i3", b"", "Connection: close\r\n", ""))
    assert status == 200 and len(body) == LARGE and b"content-type: image/png" in head


def test_a_connection_that_goes_on_asking_is_kept(app, monkeypatch):
    monkeypatch.setattr(server_module, "EXCHANGE_SECONDS", 1.5)
    with listening(app) as (_, port), connected(port) as client:
        for _ in range(4):  # in 2 s altogether
            client.sendall(request())
            said = b""
            while b'"items"' not in said:
                said += (some := client.recv(1 << 16))
                assert some, "the connection was ended"
            assert said.startswith(b"HTTP/1.1 200")
            time.sleep(0.5)


@pytest.mark.parametrize("name", [*HALVES, "does not read", "does not read after half of another"])
def test_stopping_waits_for_nobody(app, monkeypatch, name):
    monkeypatch.setattr(server_module, "LEAVING_SECONDS", 0.3)
    sent = HALVES.get(
        name, request("GET", "/posters/i3", b"", "", "") + (HALVES["half a body"] if "half" in name else b"")
    )
    with listening(app) as (server, port), connected(port, receive_buffer=4096) as client:
        client.sendall(sent)
        waited(server, 1)
        time.sleep(0.1)
        server.should_exit = True
        waited(server, 0)


def test_an_answer_under_way_is_finished_when_told_to_stop(app):
    with listening(app) as (server, port), connected(port, receive_buffer=4096) as client:
        client.sendall(request("GET", "/posters/i3", b"", "", ""))
        said = client.recv(1 << 12)
        server.should_exit = True
        time.sleep(0.3)
        assert len(parted(said + until_closed(client))[2]) == LARGE


def test_a_body_comes_whole_in_the_meantime(app):
    with listening(app) as (server, port), connected(port) as client:
        client.sendall(request(body=b'{"user"', length=14))
        time.sleep(0.1)
        server.should_exit = True
        time.sleep(0.3)
        client.sendall(b': "u4"}')
        assert parted(until_closed(client))[0] == 200


def test_connections_beyond_the_most_are_ended_at_once(app, monkeypatch):
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 3)
    with listening(app) as (server, port), contextlib.ExitStack() as open_ones:
        held = [open_ones.enter_context(connected(port)) for _ in range(3)]
        waited(server, 3)
        with connected(port) as client:
            assert until_closed(client) == b""
        held[0].sendall(request("GET", "/health", b"", "Connection: close\r\n", ""))
        assert parted(until_closed(held[0]))[0] == 200
        assert answer(port, request("GET", "/health", b"", "Connection: close\r\n", ""))[0] == 200


@pytest.mark.slow
def test_sigterm_ends_the_command_in_ten_seconds_whatever_clients_do(embeddings, tmp_path):
    write_embeddings(embeddings, tmp_path / "toy.npz")
    (tmp_path / "i3.png").write_bytes(bytes(LARGE))
    code = "import sys; from recbole_sheaf.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", f"{tmp_path}/toy.npz", f"--posters={tmp_path}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        port = int(re.search(r"http://\S+:(\d+)", process.stdout.readline())[1])
        with contextlib.ExitStack() as open_ones:
            for sent in [*HALVES.values(), request("GET", "/posters/i3", b"", "", "")]:
                client = open_ones.enter_context(connected(port, receive_buffer=4096))
                client.sendall(sent)
            time.sleep(0.5)
            start = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
            _, complained = process.communicate(timeout=30)
            assert time.monotonic() - start < 10
    assert process.returncode == 0 and "Traceback" not in complained and "Cancel" not in complained
