"""Listening: the port is taken before the model is read, so that a port in use is refused at once."""

import contextlib
import socket
from typing import Any

import uvicorn

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.serving.connections import LEAVING_SECONDS, BoundedConnection
from recbole_sheaf.serving.limits import is_loopback

BACKLOG = 2048  # connections that may wait


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for connections; port 0 takes any that is free.

    Raises:
        ConfigError: if the port is in use or not ours to take, or the host is no address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Only of a socket that names its protocol does asyncio send small packets at once; else an answer waits 40 ms.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        raise ConfigError(
            f"port {port} of {host} cannot be listened at ({error.strerror or error}); give another by --port "
            "(0 takes any that is free), or another --host"
        ) from error


def address_of(listener: socket.socket) -> str:
    """As a browser takes it."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def answers_as(host: str, listener: socket.socket) -> list[str]:
    """Names it may be asked by beside the loopback's: any where other machines reach it, else the one given."""
    return [host] if is_loopback(listener.getsockname()[0]) else ["*"]


def server_of(app: Any) -> uvicorn.Server:
    """A server whose connections end, and which stops in less than 10 s whatever they do.

    Requests that are being answered are finished if that takes less than ``LEAVING_SECONDS``, and are cut after them.
    """
    settings = uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(LEAVING_SECONDS) + 3,  # for what the cuts leave, which is nothing
    )
    return uvicorn.Server(settings)


def serve(app: Any, listener: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM comes, which is no error."""
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn passes on when it has finished
        server_of(app).run(sockets=[listener])
