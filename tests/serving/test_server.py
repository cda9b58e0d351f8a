"""The socket, and the command that opens it."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from types import SimpleNamespace

import pytest

from recbole_sheaf.cli import main, serve
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.exports import write_embeddings
from recbole_sheaf.serving import server
from recbole_sheaf.serving.server import address_of, answers_as, listen
from tests.serving.conftest import ITEM_FILE


def test_packets_are_sent_at_once():
    """asyncio switches Nagle's delay off for sockets that name their protocol; an answer is two packets."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address_of(listener))


def test_an_address_for_all_is_shown_as_one_to_click():
    with listen("0.0.0.0", 0) as listener:
        assert address_of(listener).startswith("http://127.0.0.1:")


def test_a_port_in_use_is_refused():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"port {port} of 127.0.0.1 cannot be listened at .Address already in use"
        ):
            listen("127.0.0.1", port)
    listen("127.0.0.1", port).close()


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ConfigError, match="port 80 of 192.0.2.1 cannot be listened at .*another host="):
        listen("192.0.2.1", 80)


@pytest.fixture
def export(embeddings, tmp_path):
    write_embeddings(embeddings, tmp_path / "toy.npz")
    (tmp_path / "titles.item").write_text(ITEM_FILE)
    return tmp_path


def test_the_command_says_what_it_serves_and_where(export, monkeypatch, capsys):
    served = []
    monkeypatch.setattr(server, "serve", lambda app, listener: served.append(app))
    assert main(["serve", f"{export}/toy.npz", f"--titles={export}/titles.item", "--port=0"]) == 0
    printed = capsys.readouterr().out
    assert re.match(
        r"MMSheaf on toy: 30 users, 60 items; titles for 60 of 60; version [0-9a-f]{12}\n"
        r"serving at http://127.0.0.1:\d+ ",
        printed,
    )
    assert len(served) == 1


def test_a_port_in_use_ends_the_command_before_the_model_is_read(capsys):
    with listen("127.0.0.1", 0) as listener:
        assert main(["serve", "absent.npz", f"--port={listener.getsockname()[1]}"]) == 2
    assert "cannot be listened at (Address already in use)" in capsys.readouterr().err
    assert main(["serve", "absent.npz", "--port=0"]) == 2
    assert "there is no file absent.npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    "host, open_to_all",
    [("127.0.0.1", False), ("localhost", False), ("LOCALHOST", False), ("127.0.0.2", False), ("0.0.0.0", True)],
)
def test_names_of_other_hosts_are_answered_where_all_may_ask_alone(export, monkeypatch, host, open_to_all):
    from starlette.testclient import TestClient

    served = []
    monkeypatch.setattr(server, "serve", lambda app, listener: served.append(app))
    assert main(["serve", f"{export}/toy.npz", "--port=0", f"--host={host}"]) == 0
    client = TestClient(served[0], base_url="http://elsewhere.example")
    assert client.get("/health").status_code == (200 if open_to_all else 421)


@pytest.mark.parametrize(
    "address, given, expected",
    [
        ("127.0.0.1", "mybox", ["mybox"]),
        ("127.3.2.1", "127.3.2.1", ["127.3.2.1"]),
        ("::1", "0:0:0:0:0:0:0:1", ["0:0:0:0:0:0:0:1"]),
        ("::ffff:127.0.0.1", "x", ["x"]),
        ("0.0.0.0", "0.0.0.0", ["*"]),
        ("::", "::", ["*"]),
        ("192.0.2.1", "mybox", ["*"]),
    ],
)
def test_where_it_listens_says_which_names_it_answers(address, given, expected):
    """Not the name that was given, of which a loopback address has many."""
    assert answers_as(given, SimpleNamespace(getsockname=lambda: (address, 8000))) == expected


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port_is_refused(port, capsys):
    with pytest.raises(SystemExit) as end:
        main(["serve", "x.npz", f"--port={port}"])
    assert end.value.code == 2 and "give a whole number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("absent", ["fastapi", "fastapi_offline", "prometheus_client", "uvicorn"])
def test_an_absent_package_is_named(monkeypatch, capsys, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    assert main(["serve", "x.npz"]) == 2
    assert re.search(rf'serving needs {absent}, .* pip install "recbole-sheaf\[serve\]"', capsys.readouterr().err)


def test_the_help_loads_nothing_heavy():
    code = "import sys; from recbole_sheaf.cli.serve import parser; parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "recbole_sheaf.cli.serve" in loaded and not {"torch", "numpy", "fastapi", "uvicorn"} & set(loaded)
    assert "--posters" in serve.parser().format_help()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_server_stops_when_told_to(export, sent):
    code = "import sys; from recbole_sheaf.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", f"{export}/toy.npz", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert b'"ok"' in answer.read()
        process.send_signal(sent)
        said, complained = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in complained and not said
