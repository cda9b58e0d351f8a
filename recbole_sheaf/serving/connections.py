"""Connections that end: whatever a client sends, holds back or does not read, in bounded time and in bounded number."""

import asyncio
from typing import Any, Optional

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

EXCHANGE_SECONDS = 30.0  # from a connection, or an answer, to the end of the next answer
LEAVING_SECONDS = 5.0  # to finish what is being answered once the server is told to stop
MOST_CONNECTIONS = 500  # at once; files and memory of a process are limited


class BoundedConnection(H11Protocol):
    """uvicorn's HTTP/1.1, of which any connection is cut where it takes too long.

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
