"""How much a request may ask for, held before anything is read, parsed or computed."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

MOST_BYTES = 1 << 20  # of a body: MOST_ITEMS tokens of MOST_LETTERS fit
MOST_ITEMS = 1_000  # in a list that stands for a user
MOST_K = 1_000
MOST_EXPLAINED = 100  # items of a list that are taken apart
MOST_LETTERS = 500  # of a token
MOST_NAMES = 50  # offered while somebody types


class LimitedBody:
    """Refuses a body that is larger than ``most`` bytes: before it is read if it says so, else when they are passed.

    Raises:
        HTTPException: 413, inside the application that reads on.
    """

    def __init__(self, app: Any, most: int = MOST_BYTES) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        came = 0

        async def counted() -> Any:
            nonlocal came
            if came == 0 and _announced(scope) > self.most:
                raise self._too_large()
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.most:
                raise self._too_large()
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413, f"the body has more than {self.most:,} bytes; send fewer items at once", {"Connection": "close"}
        )


class KnownHosts:
    """Answers under these names of a host alone; ``*`` is any.

    A stranger's page may point a name of its own at this machine, and its scripts then ask as if they came from here.
    """

    def __init__(self, app: Any, hosts: Sequence[str]) -> None:
        self.app, self.hosts = app, frozenset(hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.app
        if scope["type"] == "http" and "*" not in self.hosts and _host(scope) not in self.hosts:
            asked = f"this server answers as {' or '.join(sorted(self.hosts))} alone; ask for it by that name"
            app = JSONResponse({"error": asked}, 421)
        await app(scope, receive, send)


def _host(scope: Any) -> str:
    """Without the port; nothing where the header is absent or no host."""
    try:
        return urlsplit(f"//{_header(scope, b'host').decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


def _announced(scope: Any) -> int:
    length = _header(scope, b"content-length")
    return int(length) if length.isdigit() else 0


def _header(scope: Any, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")
