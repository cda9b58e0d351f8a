"""Requests of strangers to ``serve``, byte by byte on a real socket: the right status, no traceback, bounded memory."""

import json
import logging
import time

import pytest

from recbole_sheaf.exports.sources import Source
from recbole_sheaf.serving import limits
from recbole_sheaf.serving import server as server_module
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.limits import MOST_BYTES
from recbole_sheaf.serving.posters import find_posters
from tests.serving.conftest import embeddings, model  # noqa: F401
from tests.serving.listening import JSON, answer, connected, listening, parted, request, sentence, until_closed

CLOSE = JSON + "Connection: close\r\n"
CHUNKED = CLOSE + "Transfer-Encoding: chunked\r\n"


def post(body, path="/recommend", headers=CLOSE, length=None):
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogatepass")
    return request("POST", path, body, headers, length)


def get(path, headers="Connection: close\r\n", method="GET", **given):
    return request(method, path, b"", headers, "", **given)


def chunks(body):
    return request("POST", "/recommend", body, CHUNKED, "")


DEEP = "[" * 400_000
STATUS = {
    # Half of something: answered or ended in time.
    "half a body": (post(b'{"user"', length=20), 408),
    "no byte of a body": (post(b"", length=20), 408),
    "no end of chunks": (chunks(b'e\r\n{"user": "u4"}\r\n'), 408),
    "half of a chunk": (chunks(b'40\r\n{"user"'), 408),
    "half a body to a path that is none": (post(b"{", "/nowhere", length=9), 404),
    "half a body of GET": (request("GET", "/health", b"{", "Connection: close\r\n", 9), 200),
    "half a head": (b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-", None),
    "half a first line": (b"GET /hea", None),
    "nothing": (b"", None),
    # Lengths that lie.
    "a length of 1e30": (post(b"{}", length=10**30), 400),
    "a length beyond the limit": (post(b"{}", length=10**12), 413),
    "a negative length": (post(b"{}", length=-1), 400),
    "a length in hex": (post(b"{}", length="0x2"), 400),
    "a length that is no number": (post(b"{}", length="two"), 400),
    "two lengths": (post(b"{}", headers=CLOSE + "Content-Length: 3\r\n"), 400),
    "a length and chunks": (request(body=b"0\r\n\r\n", headers=CHUNKED, length=5), (400, 422)),
    "less than the body": (post({"user": "u4"}, length=5), (400, 422)),
    "a body of 2 MiB": (post(b" " * (2 * MOST_BYTES)), 413),
    "chunks of 2 MiB": (chunks(b"200000\r\n" + b" " * (2 * MOST_BYTES) + b"\r\n0\r\n\r\n"), 413),
    # Chunks.
    "chunks of garbage": (chunks(b"zz\r\nno chunk"), 400),
    "a chunk of a negative size": (chunks(b"-1\r\n\r\n"), 400),
    "a chunk of 2**80 bytes": (chunks(b"100000000000000000000\r\n{}"), (400, 408, 413)),
    "a chunk larger than it says": (chunks(b"1\r\n{}{}{}\r\n0\r\n\r\n"), 400),
    "an extension of 100 KB": (chunks(b"2;" + b"x" * 100_000 + b"\r\n{}\r\n0\r\n\r\n"), (400, 422)),
    "garbage for a body nobody reads": (
        request("GET", "/health", b"zz\r\ngarbage", "Transfer-Encoding: chunked\r\n", ""),
        (200, 400),
    ),
    "another coding": (post(b"{}", headers=CLOSE + "Transfer-Encoding: gzip\r\n", length=""), (400, 501)),
    # Heads.
    "a header of 200 KB": (get("/health", f"X: {'x' * 200_000}\r\nConnection: close\r\n"), (200, 400)),
    "20,000 headers": (get("/health", "X: x\r\n" * 20_000 + "Connection: close\r\n"), (200, 400)),
    "a path of 200 KB": (get("/" + "x" * 200_000), (400, 404)),
    "a query of 40 KB": (get("/names?kind=item&text=" + "x" * 40_000), 422),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (get("/health", "Connection: close\r\nHost: localhost\r\n"), 400),
    "a stranger's name": (get("/health", host="elsewhere.example"), 421),
    "a stranger's name before ours": (get("/health", host="elsewhere.example@localhost"), (400, 421)),
    "HTTP/1.0 without a host": (b"GET /health HTTP/1.0\r\n\r\n", 421),
    "HTTP/9.9": (b"GET /health HTTP/9.9\r\nHost: localhost\r\nConnection: close\r\n\r\n", (200, 400)),
    "the start of HTTP/2, two requests to one of HTTP/1.1": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 421)),
    "the start of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 300 + b"\r\n\r\n", 400),
    "a NUL in a header": (get("/health", "X: a\0b\r\n"), 400),
    "a header that goes on": (get("/health", "Connection: close\r\nX: a\r\n b\r\n"), (200, 400)),
    "a websocket": (
        get("/health", "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        200,
    ),
    "an absolute address": (get("http://elsewhere.example/health"), 404),
    # Methods.
    "PUT": (get("/recommend", method="PUT"), 405),
    "DELETE": (get("/posters/i3", method="DELETE"), 405),
    "TRACE": (get("/health", method="TRACE"), 405),
    "OPTIONS of all": (get("*", method="OPTIONS"), (400, 404, 405)),
    "CONNECT": (get("elsewhere.example:443", method="CONNECT"), (400, 404, 405)),
    "a method of 20 KB": (get("/health", method="X" * 20_000), 405),
    "GET of what is posted": (get("/recommend"), 405),
    "HEAD of what is posted": (get("/recommend", method="HEAD"), 405),
    # JSON.
    "no JSON": (post(b'{"user": '), 422),
    "no UTF-8": (post(b'{"user": "\xff\xfe"}'), (400, 422)),
    "UTF-16": (post('{"user": "u4"}'.encode("utf-16")), 200),
    "lists in lists": (post(DEEP), (400, 422)),
    "lists in lists, whole": (post("[" * 200_000 + "]" * 200_000), (400, 422)),
    "objects in objects": (post('{"user":' * 100_000 + "1" + "}" * 100_000), (400, 422)),
    "deep in a field": (post('{"user": ' + "[" * 900 + "]" * 900 + "}"), (400, 422)),
    "NaN": (post('{"user": "u4", "k": NaN}'), 422),
    "Infinity": (post('{"user": "u4", "k": Infinity}'), 422),
    "NaN for a user": (post('{"user": NaN}'), 422),
    "a number of 5,000 digits": (post('{"user": "u4", "k": ' + "9" * 5000 + "}"), (400, 422)),
    "a number of 4,000 digits": (post('{"user": "u4", "k": ' + "9" * 4000 + "}"), 422),
    "1e999": (post('{"user": "u4", "k": 1e999}'), 422),
    "the same field twice": (post('{"user": "u4", "user": "nobody"}'), (404, 422)),
    "half a surrogate": (post('{"user": "\\ud800"}'), (404, 422)),
    "half a surrogate in a list": (post('{"items": ["i3", "\\udfff"]}'), (404, 422)),
    "half a surrogate for a field": (post('{"\\ud800": 1}'), 422),
    "a NUL": (post('{"user": "u4\\u0000"}'), 404),
    "no object": (post("3"), 422),
    "null": (post("null"), 422),
    "nothing for JSON": (post(""), 422),
    "a form": (
        post(b"user=u4", headers="Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"),
        422,
    ),
    "two files": (
        post(b"--x\r\n\r\n--x--", headers="Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n"),
        422,
    ),
    "JSON that calls itself text": (
        post({"user": "u4"}, headers="Content-Type: text/plain\r\nConnection: close\r\n"),
        422,
    ),
    "a kind of body of 20 KB": (
        post({"user": "u4"}, headers=f"Content-Type: {'x/' * 10_000}\r\nConnection: close\r\n"),
        422,
    ),
    "a fields' name of 500 KB": (post({"x" * 500_000: 1}), 422),
    "50,000 fields": (post({str(number): 1 for number in range(50_000)}), 422),
    # What is asked for.
    "k of 1e9": (post({"user": "u4", "k": 10**9}), 422),
    "k of -1": (post({"user": "u4", "k": -1}), 422),
    "k of 2.5": (post({"user": "u4", "k": 2.5}), 422),
    "k of 3.0": (post('{"user": "u4", "k": 3.0}'), (200, 422)),
    "k in a text": (post({"user": "u4", "k": "3"}), 422),
    "k of an object": (post({"user": "u4", "k": {"$gt": 0}}), 422),
    "a user of a list": (post({"user": ["u4"]}), 422),
    "a user of a number": (post({"user": 4}), 422),
    "nobody": (post({"user": "nobody"}), 404),
    "the padding": (post({"user": "[PAD]"}), 404),
    "the padding for an item": (post({"items": ["[PAD]"]}), 404),
    "nobody by an item's name": (post({"user": "i3"}), 404),
    "a formula": (post({"user": "'; DROP TABLE users; --"}), 404),
    "a list of numbers": (post({"items": [3, 4]}), 422),
    "the same item 1,000 times": (post({"items": ["i3"] * 1000, "k": 5}), 200),
    "100,000 items": (post({"items": ["i3"] * 100_000}), 422),
    "k above what can be alike": (post({"item": "i3", "k": 1000}, "/similar"), 400),
    "a kind of likeness": (post({"item": "i3", "by": "__class__"}, "/similar"), 422),
    "a vector of nobody": (post({"user": "nobody"}, "/embed"), 404),
    # Pictures and names.
    "../": (get("/posters/../secret.png"), 404),
    "../ in percents": (get("/posters/%2e%2e%2fsecret.png"), 404),
    "../ in twice percents": (get("/posters/%252e%252e%252fsecret.png"), 404),
    "..\\": (get("/posters/..%5csecret.png"), 404),
    "an absolute path": (get("/posters//etc/passwd"), 404),
    "a NUL in a picture": (get("/posters/i3%00.png"), 404),
    "no UTF-8 in a picture": (get("/posters/%ff%fe"), 404),
    "a file's name": (get("/posters/i3.png"), 404),
    "a picture of 30 KB": (get("/posters/" + "x" * 30_000), 404),
    "a part of a picture": (get("/posters/i3", "Range: bytes=0-,0-,0-,5-2\r\nConnection: close\r\n"), 200),
    "half a surrogate in a query": (get("/names?kind=item&text=%ed%a0%80"), 200),
    "no kind": (get("/names?text=i"), 422),
    "two kinds": (get("/names?kind=item&kind=user"), 200),
    "lines in a query": (get("/names?kind=item&text=%0d%0aX:%20y"), 200),
    "out of the page": (get("/..%2f..%2fetc/passwd"), 404),
}


STALLED = [name for name, (_, status) in STATUS.items() if status in (408, None)]


@pytest.fixture(scope="module")
def port(embeddings, tmp_path_factory):  # noqa: F811
    """One server for all: none of them may hurt it."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "posters").mkdir()
    (folder / "posters" / "i3.png").write_bytes(b"picture")
    (folder / "secret.png").write_bytes(b"secret")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "EXCHANGE_SECONDS", 6.0)
        patch.setattr(limits.LimitedBody.__init__, "__defaults__", (MOST_BYTES, 3.0))
        app = build_app(Catalogue(Source(embeddings), posters=find_posters(folder / "posters", embeddings)))
        with listening(app) as (_, port):
            yield port


@pytest.fixture(scope="module")
def answers(port):
    """Of all requests: those that stall are sent first and waited for together, last."""
    logged = []
    handler = logging.Handler()
    handler.emit = logged.append
    logging.getLogger().addHandler(handler)
    start = time.monotonic()
    stalled = {name: connected(port) for name in STALLED}
    for name, client in stalled.items():
        client.sendall(STATUS[name][0])
    said = {name: answer(port, sent) for name, (sent, _) in STATUS.items() if name not in stalled}
    for name, client in stalled.items():
        with client:
            said[name] = parted(until_closed(client))
    logging.getLogger().removeHandler(handler)
    return said, logged, time.monotonic() - start


@pytest.mark.parametrize("name", STATUS)
def test_the_status_is_right_and_said_in_a_sentence(answers, name):
    status, head, body = answers[0][name]
    _, expected = STATUS[name]
    assert status in (expected if isinstance(expected, tuple) else (expected,)), body[:300]
    assert b"secret" not in body.replace(b"secret.png", b"") and b"root:" not in body and len(body) < 100_000
    if status is not None and status >= 400 and b"application/json" in head and body.endswith(b"}"):
        said = sentence(body)
        assert said and "\n" not in said and len(said) < 600 and "Traceback" not in said


def test_nothing_is_complained_of_and_all_ends_in_time(answers, port):
    _, logged, seconds = answers
    assert len(STATUS) > 100 and seconds < 60  # of which 6 are waited
    loud = [record.getMessage() for record in logged if record.exc_info or record.levelno >= logging.ERROR]
    assert not loud, loud[:3]
    assert answer(port, get("/health"))[0] == 200
