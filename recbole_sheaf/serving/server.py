"""Listening: the port is taken before the model is read, so that a port in use is refused at once."""

import contextlib
import socket
from typing import Any

import uvicorn

from recbole_sheaf.errors import ConfigError

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


def serve(app: Any, listener: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM comes; requests that are being answered are finished, and that is no error."""
    settings = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none")
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn passes on when it has finished
        uvicorn.Server(settings).run(sockets=[listener])
