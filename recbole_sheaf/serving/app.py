"""Routes: tokens in, tokens and numbers out, refusals in a sentence; and the page.

Answers are computed one after another, in one thread beside the event loop, which ends the wait for one that takes too
long. Pictures, which are read from a disk, go through a pool of threads.
Nothing asks another host, scripts of other sites are let nowhere near (no CORS, a policy for the page), and on a
loopback address requests under any other host's name are refused, by which such a site would pass for this one.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any, Literal, Optional, Union
from urllib.parse import quote

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from recbole_sheaf.errors import DataError, SheafError, first_line, shown
from recbole_sheaf.files.plain_text import escaped_json
from recbole_sheaf.serving.bodies import (
    Best,
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
from recbole_sheaf.serving.limits import (
    ANSWER_SECONDS,
    MOST_LETTERS,
    MOST_NAMES,
    AnswersHead,
    InTime,
    KnownHosts,
    LimitedBody,
)
from recbole_sheaf.serving.metrics import MEDIA_TYPE, Metrics, Observed
from recbole_sheaf.serving.watching import Served, Watch, Watcher

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
    503: {"model": Refusal, "description": "there was no answer in time"},
}


class EscapedJson(JSONResponse):
    """A JSON response without control characters, which tokens and titles may hold and a terminal would obey."""

    def render(self, content: Any) -> bytes:
        return escaped_json(super().render(content).decode("utf-8")).encode("utf-8")


async def _catalogue(request: Request) -> Catalogue:
    """The one that a request began with, whatever is taken meanwhile."""
    return request.scope["catalogue"]


Asked = Annotated[Catalogue, Depends(_catalogue)]


def build_app(
    catalogue: Catalogue, hosts: Collection[str] = (), seconds: float = ANSWER_SECONDS, watch: Optional[Watch] = None
) -> FastAPI:
    """The web application that answers requests from a catalogue.

    Args:
        hosts: names under which it may be asked beside the loopback's; ``*`` is any.
        seconds: that an answer may take.
        watch: for another file in the place of the catalogue's; None looks for none.
    """
    served, metrics = Served(catalogue), Metrics()
    metrics.serves(catalogue)

    @asynccontextmanager
    async def watching(app: FastAPI) -> AsyncIterator[None]:
        if watch is None:
            yield
            return
        with Watcher(watch, served, metrics).looking():
            yield

    app = FastAPIOffline(
        title="recbole-sheaf",
        description="Lists, similar items and vectors of a model; /health says of which.",
        default_response_class=EscapedJson,
        redoc_url=None,
        lifespan=watching,
    )
    app.add_middleware(AnswersHead)
    app.add_middleware(LimitedBody)
    app.add_middleware(KnownHosts, hosts=hosts)
    app.add_middleware(Observed, served=served, metrics=metrics, routes=app.routes)
    _refuse_in_sentences(app)
    _add_answers(app, InTime(seconds))
    _add_state(app, served, metrics)
    _add_page(app)
    return app


def _add_answers(app: FastAPI, in_time: InTime) -> None:
    @app.post("/recommend", response_model_exclude_none=True, responses=REFUSALS)
    async def recommend(body: Recommend, catalogue: Asked) -> Union[UserLists, ItemList]:
        """The best items of a user, of several, or of somebody who has these items, best first."""
        return await in_time(_recommended, catalogue, body)

    @app.post("/similar", response_model_exclude_none=True, responses=REFUSALS)
    async def similar(body: Similar, catalogue: Asked) -> ItemList:
        """The items most like an item."""
        found = await in_time(catalogue.similar, body.item, body.k, body.by)
        return _item_list(catalogue, found)

    @app.post("/embed", responses=REFUSALS)
    async def embed(body: Embed, catalogue: Asked) -> Vector:
        """The vector of a user, of an item, or of somebody who has these items."""
        vector = await in_time(catalogue.vector, body.user, body.item, body.items)
        blocks = [Columns(name=block.name, start=block.start, stop=block.stop) for block in catalogue.embeddings.blocks]
        return Vector(vector=vector.tolist(), blocks=blocks, **catalogue.named)


def _add_state(app: FastAPI, served: Served, metrics: Metrics) -> None:
    @app.get("/health", response_model_exclude_none=True)
    async def health(catalogue: Asked) -> Health:
        """Whether it is there, and what is served."""
        return Health(status="stale" if served.stale else "ok", reason=served.stale, **catalogue.about())

    @app.get("/metrics", include_in_schema=False, response_class=Response)
    def numbers() -> Response:
        return Response(metrics.text(), headers={**PLAIN, "Content-Type": MEDIA_TYPE})


def _add_page(app: FastAPI) -> None:
    @app.get("/names", response_model_exclude_none=True)
    async def names(
        catalogue: Asked, kind: Literal["user", "item"], text: str = Query("", max_length=MOST_LETTERS)
    ) -> list[Name]:
        """Users or items with this text in their token or title."""
        found = (catalogue.users if kind == "user" else catalogue.items).find(text, MOST_NAMES)
        return [Name(token=token, title=catalogue.titles.get(token) if kind == "item" else None) for token in found]

    @app.get("/posters/{item:path}", response_class=Response, responses={404: REFUSALS[404]})
    def poster(item: str, catalogue: Asked) -> Response:
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


def _recommended(catalogue: Catalogue, body: Recommend) -> Union[UserLists, ItemList]:
    if body.users is not None:
        return _lists(catalogue, body, body.users)
    if body.user is not None and _is_unknown(catalogue, body, body.user):
        return _item_list(catalogue, catalogue.popular(body.k, body.wanted), "popularity")
    found = catalogue.recommend(body.user, body.items, body.k, body.seen, body.explain, body.clicked, body.wanted)
    return _item_list(catalogue, found)


def _lists(catalogue: Catalogue, body: Recommend, users: Sequence[str]) -> UserLists:
    """Of several users; popular items are looked for once."""
    unknown = {user for user in users if _is_unknown(catalogue, body, user)}
    popular = catalogue.popular(body.k, body.wanted) if unknown else []
    known = [user for user in users if user not in unknown]
    own = iter(catalogue.recommend_to(known, body.k, body.seen, body.wanted) if known else [])
    lists = [(user, popular, "popularity") if user in unknown else (user, next(own), None) for user in users]
    best = [UserList(user=user, **dict(_best(catalogue, found, by))) for user, found, by in lists]
    return UserLists(lists=best, **catalogue.named)


def _item_list(catalogue: Catalogue, found: list[Entry], by: Any = None) -> ItemList:
    best = _best(catalogue, found, by)
    return ItemList(items=best.items, by=best.by, **catalogue.named)


def _best(catalogue: Catalogue, found: list[Entry], by: Any) -> Best:
    titles, posters = catalogue.titles, catalogue.posters
    return Best(
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
