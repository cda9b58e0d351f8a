"""A server that listens on the loopback in a thread of its own, and clients that speak to its socket byte by byte."""

import contextlib
import json
import logging
import socket
import threading
import time

from recbole_sheaf.serving.server import listen, server_of

JSON = "Content-Type: application/json\r\n"


@contextlib.contextmanager
def listening(app):
    """Gives the server and its port; it has stopped afterwards."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = server_of(app)
        logging.getLogger("uvicorn").propagate = True  # to where pytest reads it
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield server, port
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server did not stop"


def connected(port, receive_buffer=None):
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(15)
    client.connect(("127.0.0.1", port))
    return client


def request(method="POST", path="/recommend", body=b'{"user": "u4"}', headers=JSON, length=None, host="localhost"):
    """The bytes of a request."""
    length = f"Content-Length: {len(body) if length is None else length}\r\n" if length != "" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n".encode("latin-1") + body


def until_closed(client):
    """What comes until the other side ends the connection, whichever way it does."""
    said = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while some := client.recv(1 << 16):
            said += some
    return said


def answer(port, sent, receive_buffer=None):
    """Status, head and body of the answer to these bytes; (None, b"", b"") where the connection is ended without."""
    with connected(port, receive_buffer) as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(sent)
        return parted(until_closed(client))


def parted(said):
    head, _, body = said.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else None), head, body


def sentence(body):
    """Of a refusal."""
    said = json.loads(body)
    assert list(said) == ["error"]
    return said["error"]
