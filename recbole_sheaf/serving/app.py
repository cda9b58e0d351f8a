"""Routes: tokens in, tokens and numbers out, refusals in a sentence; and the page.

Requests are answered in the event loop, one after another: an answer takes less than the way through a pool of threads.
Pictures, which are read from a disk, go that way.
Nothing asks another host, scripts of other sites are let nowhere near (no CORS, a policy for the page), and on a
loopback address requests under any other host's name are refused, by which such a site would pass for this one.
"""

from collections.abc import Collection, Sequence
from importlib import resources
from typing import Any, Literal, Optional, Union
from urllib.parse import quote

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from recbole_sheaf.errors import DataError, SheafError, first_line, shown
from recbole_sheaf.files.plain_text import escaped_json, one_line
from recbole_sheaf.serving.bodies import (
    Columns,
    Contribution,
    Embed,
    Health,
    ItemList,
    Listed,
    Name,
    Recommend,
    Refusal,
    Similar,
    UserList,
    UserLists,
    Vector,
)
from recbole_sheaf.serving.catalogue import Catalogue, Entry
from recbole_sheaf.serving.limits import MOST_LETTERS, MOST_NAMES, AnswersHead, KnownHosts, LimitedBody

PAGE = {"": "text/html", "page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
PLAIN = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
REFUSALS: dict[Any, Any] = {
    400: {"model": Refusal, "description": "the model cannot do that, or k is above the catalogue"},
    404: {"model": Refusal, "description": "an unknown user or item, with the nearest names"},
    408: {"model": Refusal, "description": "the body was not whole in time"},
    413: {"model": Refusal, "description": "the body is too large"},
    422: {"model": Refusal, "description": "the request is not as described here"},
}


class EscapedJson(JSONResponse):
    """A JSON response without control characters, which tokens and titles may hold and a terminal would obey."""

    def render(self, content: Any) -> bytes:
        return escaped_json(super().render(content).decode("utf-8")).encode("utf-8")


def build_app(catalogue: Catalogue, hosts: Collection[str] = ()) -> FastAPI:
    """The web application that answers requests from a catalogue.

    Args:
        hosts: names under which it may be asked beside the loopback's; ``*`` is any.
    """
    about = catalogue.about()
    app = FastAPIOffline(
        title="recbole-sheaf",
        description=one_line(
            f"{about['model']} on {about['dataset']}: {about['users']:,} users, {about['items']:,} items."
        ),
        default_response_class=EscapedJson,
        redoc_url=None,
    )
    app.add_middleware(AnswersHead)
    app.add_middleware(LimitedBody)
    app.add_middleware(KnownHosts, hosts=hosts)
    _refuse_in_sentences(app)
    _add_answers(app, catalogue)
    _add_page(app, catalogue)
    return app


def _add_answers(app: FastAPI, catalogue: Catalogue) -> None:
    blocks = [Columns(name=block.name, start=block.start, stop=block.stop) for block in catalogue.embeddings.blocks]

    @app.post("/recommend", response_model_exclude_none=True, responses=REFUSALS)
    async def recommend(body: Recommend) -> Union[UserLists, ItemList]:
        """The best items of a user, of several, or of somebody who has these items, best first."""
        if body.users is not None:
            return _lists(catalogue, body, body.users)
        if body.user is not None and _is_unknown(catalogue, body, body.user):
            return _listed(catalogue, catalogue.popular(body.k, body.wanted), "popularity")
        found = catalogue.recommend(body.user, body.items, body.k, body.seen, body.explain, body.clicked, body.wanted)
        return _listed(catalogue, found)

    @app.post("/similar", response_model_exclude_none=True, responses=REFUSALS)
    async def similar(body: Similar) -> ItemList:
        """The items most like an item."""
        return _listed(catalogue, catalogue.similar(body.item, body.k, body.by))

    @app.post("/embed", responses=REFUSALS)
    async def embed(body: Embed) -> Vector:
        """The vector of a user, of an item, or of somebody who has these items."""
        return Vector(vector=catalogue.vector(body.user, body.item, body.items).tolist(), blocks=blocks)

    @app.get("/health")
    async def health() -> Health:
        """Whether it is there, and what is served."""
        return Health(**catalogue.about())


def _add_page(app: FastAPI, catalogue: Catalogue) -> None:
    @app.get("/names", response_model_exclude_none=True)
    async def names(kind: Literal["user", "item"], text: str = Query("", max_length=MOST_LETTERS)) -> list[Name]:
        """Users or items with this text in their token or title."""
        found = (catalogue.users if kind == "user" else catalogue.items).find(text, MOST_NAMES)
        return [Name(token=token, title=catalogue.titles.get(token) if kind == "item" else None) for token in found]

    @app.get("/posters/{item:path}", response_class=Response, responses={404: REFUSALS[404]})
    def poster(item: str) -> Response:
        """The picture of an item."""
        if item not in catalogue.posters:
            raise HTTPException(404, f"there is no picture of {shown(item)}; items that have one say so in 'poster'")
        picture = catalogue.posters[item]
        try:
            content = picture.read()
        except DataError as error:
            gone = f"the picture of {shown(item)} went away or was changed; start the server again to show it"
            raise HTTPException(404, gone) from error
        headers = {**PLAIN, "Content-Security-Policy": "default-src 'none'", "Cache-Control": "max-age=3600"}
        return Response(content, media_type=picture.media_type, headers=headers)

    for name in PAGE:
        app.add_api_route(f"/{name}", _file(name), include_in_schema=False, response_class=Response)


def _file(name: str) -> Any:
    """A route that answers with a file of the page, read once."""
    content = (resources.files("recbole_sheaf.serving") / "page" / (name or "page.html")).read_bytes()

    async def answer() -> Response:
        headers = {**PLAIN, "Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return Response(content, media_type=PAGE[name], headers=headers)

    return answer


def _is_unknown(catalogue: Catalogue, body: Recommend, user: str) -> bool:
    """Whether popular items are this user's."""
    return body.unknown == "popular" and body.clicked is None and not catalogue.embeddings.knows_user(user)


def _lists(catalogue: Catalogue, body: Recommend, users: Sequence[str]) -> UserLists:
    """Of several users; popular items are looked for once."""
    unknown = {user for user in users if _is_unknown(catalogue, body, user)}
    popular = catalogue.popular(body.k, body.wanted) if unknown else []
    known = [user for user in users if user not in unknown]
    own = iter(catalogue.recommend_to(known, body.k, body.seen, body.wanted) if known else [])
    lists = [(user, popular, "popularity") if user in unknown else (user, next(own), None) for user in users]
    return UserLists(lists=[UserList(user=user, **dict(_listed(catalogue, found, by))) for user, found, by in lists])


def _listed(catalogue: Catalogue, found: list[Entry], by: Any = None) -> ItemList:
    titles, posters = catalogue.titles, catalogue.posters
    return ItemList(
        by=by,
        items=[
            Listed(
                item=entry.item,
                score=entry.score,
                title=titles.get(entry.item),
                poster=f"posters/{quote(entry.item, safe='')}" if entry.item in posters else None,
                parts=entry.parts,
                contributions=_contributions(titles, entry),
            )
            for entry in found
        ],
    )


def _contributions(titles: Any, entry: Entry) -> Optional[list[Contribution]]:
    if entry.contributions is None:
        return None
    return [Contribution(item=item, title=titles.get(item), contribution=value) for item, value in entry.contributions]


def _refuse_in_sentences(app: FastAPI) -> None:
    @app.exception_handler(SheafError)
    async def refused(request: Request, error: SheafError) -> JSONResponse:
        return _refusal(404 if isinstance(error, DataError) else 400, str(error))

    @app.exception_handler(RequestValidationError)
    async def not_as_described(request: Request, error: RequestValidationError) -> JSONResponse:
        return _refusal(422, _sentence(error.errors()))

    @app.exception_handler(HTTPException)
    async def by_http(request: Request, error: HTTPException) -> JSONResponse:
        cause = error.__cause__
        if error.status_code == 400 and cause is not None:  # of FastAPI, which does not say what it was
            return _refusal(400, f"the body is no JSON that can be read ({shown(first_line(cause))}); see /docs")
        return _refusal(error.status_code, str(error.detail), error.headers)


def _refusal(status: int, sentence: str, headers: Any = None) -> JSONResponse:
    return EscapedJson({"error": sentence}, status, headers)


def _sentence(errors: Sequence[Any]) -> str:
    """The first three faults of a request in a sentence; what arrived is cut where it is long."""
    said = []
    for error in errors[:3]:
        if error["type"] == "json_invalid":
            return f"the body is no JSON ({error['ctx']['error']}); see /docs"
        where = ".".join(_cut(str(part)) for part in error["loc"] if part != "body")
        what = str(error["msg"]).removeprefix("Value error, ")
        arrived = f" (it is {shown(error['input'])})" if where and error["type"] != "missing" else ""
        said.append(f"{where}: {what}{arrived}" if where else what)
    return f"{'; '.join(said)}; see /docs"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."
