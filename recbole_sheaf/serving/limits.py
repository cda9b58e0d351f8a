"""How much a request may ask for, held before anything is read, parsed or computed."""

import asyncio
import ipaddress
import re
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

MOST_BYTES = 1 << 20  # of a body: MOST_ITEMS tokens of MOST_LETTERS fit
MOST_FIELDS = 20
MOST_ITEMS = 1_000  # in a list that stands for a user
MOST_CHOSEN = 10_000  # items that are left out, or that are to choose among
MOST_K = 1_000
MOST_USERS = 100  # in one request
MOST_LISTED = 10_000  # items in all lists of one request
MOST_CONDITION = 2_000  # letters
MOST_EXPLAINED = 100  # items of a list that are taken apart
MOST_LETTERS = 500  # of a token
MOST_NAMES = 50  # offered while somebody types
OWNED = 50  # of a user's items, where the request does not say how many
BODY_SECONDS = 10.0  # until a body is whole
ANSWER_SECONDS = 10.0  # from there to the answer
LOCALHOST = "localhost"
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@/\\?#\s]+?)\.?(:\d{0,5})?")


class LimitedBody:
    """Refuses a body that is larger than ``most`` bytes: before it is read if it says so, else when they are passed.

    One that is not whole after ``seconds`` is refused too.

    Raises:
        HTTPException: 413 or 408, inside the application that reads on.
    """

    def __init__(self, app: Any, most: int = MOST_BYTES, seconds: float = BODY_SECONDS) -> None:
        self.app, self.most, self.seconds = app, most, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        came, more, end = 0, True, asyncio.get_running_loop().time() + self.seconds

        async def counted() -> Any:
            nonlocal came, more
            if not more:  # what may come still is that the client goes away, for which an answer waits as it must
                return await receive()
            if came == 0 and _announced(scope) > self.most:
                raise self._too_large()
            try:
                message = await asyncio.wait_for(receive(), end - asyncio.get_running_loop().time())
            except asyncio.TimeoutError as error:
                raise self._too_slow() from error
            came, more = came + len(message.get("body", b"")), message.get("more_body", False)
            if came > self.most:
                raise self._too_large()
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413, f"the body has more than {self.most:,} bytes; send fewer items at once", {"Connection": "close"}
        )

    def _too_slow(self) -> HTTPException:
        sentence = f"the body was not whole after {self.seconds:g} s; send as many bytes as its length says, at once"
        return HTTPException(408, sentence, {"Connection": "close"})


Result = TypeVar("Result")


class InTime:
    """Computes answers one after another in a thread of its own, and waits for each no longer than some seconds.

    What nobody waits for any more is not begun. Meanwhile /health and /metrics are answered.
    """

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        self.seconds = seconds
        self._thread = ThreadPoolExecutor(1, "answers")

    async def __call__(self, compute: Callable[..., Result], *given: Any) -> Result:
        """What it gives.

        Raises:
            HTTPException: 503 after the seconds.
        """
        answer = asyncio.get_running_loop().run_in_executor(self._thread, compute, *given)
        try:
            return await asyncio.wait_for(answer, self.seconds)
        except asyncio.TimeoutError as error:
            raise HTTPException(
                503,
                f"there was no answer after {self.seconds:g} s, as others were before it or it takes long; ask again "
                "later, or for less at once",
                {"Retry-After": "1"},
            ) from error


class AnswersHead:
    """Answers HEAD requests as GET; the server then sends the head alone."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if head else scope, receive, send)


class KnownHosts:
    """Answers requests to the loopback's names and addresses and to these hosts alone; ``*`` is any.

    A stranger's page may point a name of its own at this machine, and its scripts then ask as if they came from here.
    """

    def __init__(self, app: Any, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, frozenset(host.lower().rstrip(".") for host in hosts if host)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.app
        if scope["type"] == "http" and "*" not in self.hosts and not self._known(_host(scope)):
            names = " or ".join(sorted({LOCALHOST, *self.hosts}))
            asked = f"this server answers as {names} or a loopback address alone; ask for it by that name"
            app = JSONResponse({"error": asked}, 421)
        await app(scope, receive, send)

    def _known(self, host: str) -> bool:
        return host == LOCALHOST or host in self.hosts or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether it is an address of 127.0.0.0/8, also as IPv6 has them, or ``::1``; no name is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _host(scope: Any) -> str:
    """In lower case, without port, brackets and the dot of a full name; nothing where the header is absent or odd."""
    found = _HOST.fullmatch(_header(scope, b"host").decode("latin-1").lower())
    return found[1].strip("[]") if found else ""


def _announced(scope: Any) -> int:
    length = _header(scope, b"content-length")
    return int(length) if length.isdigit() else 0


def _header(scope: Any, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")
