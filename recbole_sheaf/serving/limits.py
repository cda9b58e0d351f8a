"""How much a request may ask for, held before anything is read, parsed or computed."""

from typing import Any

from starlette.exceptions import HTTPException

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


def _announced(scope: Any) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(length) if length.isdigit() else 0
