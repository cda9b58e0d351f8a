"""Listening: the port is taken before the model is read, so that a port in use is refused at once.

One process answers from one core; several share the port, each with the model in its own memory.

Whatever a client sends, holds back or does not read, a connection ends in bounded time, and their number is bounded.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any, Optional

import h11
import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.serving.limits import is_loopback
from recbole_sheaf.serving.metrics import shared_numbers

EXCHANGE_SECONDS = 30.0  # from a connection, or an answer, to the end of the next answer
LEAVING_SECONDS = 5.0  # to finish what is being answered once the server is told to stop
MOST_CONNECTIONS = 500  # at once; files and memory of a process are limited
SILENT_SECONDS = 30  # of a worker that does not say that it is there; another takes its place
LOG = {
    **LOGGING_CONFIG,
    "loggers": {**LOGGING_CONFIG["loggers"], "recbole_sheaf.serving": {"handlers": ["default"], "level": "INFO"}},
}


class BoundedConnection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a limit on how long a connection may take.

    uvicorn itself ends those that are silent between two requests. It waits without end for the first request, for the
    rest of a head or of a body, and for a client that does not read; stopping waits for these too. A connection that is
    cut reaches the application as a client that went away.
    """

    _cut: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._cut_after(EXCHANGE_SECONDS)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Any) -> None:
        super().connection_lost(exc)
        if self._cut is not None:
            self._cut.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():  # else the client has yet to read what is left, for which time runs on
            self._cut_after(EXCHANGE_SECONDS)

    def shutdown(self) -> None:
        super().shutdown()
        self._cut_after(LEAVING_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP; of two answers to one request, or one amid another, h11 would raise at the second."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _cut_after(self, seconds: float) -> None:
        if self._cut is not None:
            self._cut.cancel()
        self._cut = self.loop.call_later(seconds, self.transport.abort)


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
            f"port {port} of {host} cannot be listened at ({error.strerror or error}); give another by port=... "
            "(0 takes any that is free), or another host=..."
        ) from error


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket, as a browser takes it."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def answers_as(host: str, listener: socket.socket) -> list[str]:
    """Host names to answer to beside the loopback's: any where other machines reach it, else the one given."""
    return [host] if is_loopback(listener.getsockname()[0]) else ["*"]


def server_of(app: Any) -> uvicorn.Server:
    """A server whose connections end, and which stops in less than 10 s whatever they do.

    Requests that are being answered are finished if that takes less than ``LEAVING_SECONDS``, and are cut after them.
    """
    return uvicorn.Server(_settings(app))


def serve(app: Any, listener: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM comes, which is no error."""
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn passes on when it has finished
        server_of(app).run(sockets=[listener])


def serve_by_workers(app_of: Callable[[], Any], listener: socket.socket, workers: int) -> None:
    """Answer by several processes until Ctrl-C or SIGTERM comes; one that ends is started again.

    Args:
        app_of: makes the application in each of them, so it must be one that pickle can send.

    Raises:
        ConfigError: if there is no place for the numbers they share.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each: else every worker has a thread of BLAS for every core
    with shared_numbers(workers):
        settings = _settings(app_of, factory=True, workers=workers, timeout_worker_healthcheck=SILENT_SECONDS)
        Multiprocess(settings, [listener]).run()


def end_with_the_parent() -> None:
    """Let this worker end, as by SIGTERM, when the process that started it is gone: it would hold the port for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _settings(app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        log_config=LOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(LEAVING_SECONDS) + 3,  # for what the cuts leave, which is nothing
        **more,
    )
