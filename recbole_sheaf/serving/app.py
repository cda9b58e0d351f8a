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

from fastapi import Depends, FastAPI, Path, Query, Request
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
    History,
    ItemList,
    Listed,
    Name,
    Owned,
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
    MOST_K,
    MOST_LETTERS,
    MOST_NAMES,
    OWNED,
    AnswersHead,
    InTime,
    KnownHosts,
    LimitedBody,
)
from recbole_sheaf.serving.metrics import MEDIA_TYPE, Metrics, Observed
from recbole_sheaf.serving.watching import Served, Watch, Watcher

PAGE = {
    "": "text/html",
    "page.js": "text/javascript",
    "words.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
PLAIN = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
REFUSALS: dict[Any, Any] = {
    400: {"model": Refusal, "description": "The model cannot do that, or k is above the catalogue."},
    404: {"model": Refusal, "description": "A user or an item is unknown; the sentence has the nearest names."},
    408: {"model": Refusal, "description": "The body was not whole in time."},
    413: {"model": Refusal, "description": "The body is too large."},
    421: {"model": Refusal, "description": "The server was asked under a host name that is not its own."},
    422: {"model": Refusal, "description": "The request is not as described here."},
    503: {"model": Refusal, "description": "There was no answer in time."},
}
HOST: dict[Any, Any] = {421: REFUSALS[421]}  # any request may be refused by it
OF_PARAMETERS: dict[Any, Any] = {422: REFUSALS[422], **HOST}
OF_NAMES: dict[Any, Any] = {404: REFUSALS[404], **OF_PARAMETERS}
NO_PICTURE: dict[Any, Any] = {
    404: {"model": Refusal, "description": "There is no picture of the item, or it was changed."}
}
Text = Annotated[str, Query(max_length=MOST_LETTERS, description="a part of the token or title; case does not matter")]
Kind = Annotated[Literal["user", "item"], Query(description="what to look for")]
Somebody = Annotated[str, Query(min_length=1, max_length=MOST_LETTERS, description="a user of the data")]
HowMany = Annotated[int, Query(ge=1, le=MOST_K, description="how many items to list")]
Pictured = Annotated[str, Path(description="an item of the data")]


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
    @app.post(
        "/recommend",
        summary="Give the best items of a user, of several, or of somebody who has these items.",
        response_description="Items, best first; of several users a list for each.",
        response_model_exclude_none=True,
        responses=REFUSALS,
    )
    async def recommend(body: Recommend, catalogue: Asked) -> Union[UserLists, ItemList]:
        """Filters leave items out before the list is cut at k; with explain each score comes with its parts."""
        return await in_time(_recommended, catalogue, body)

    @app.post(
        "/similar",
        summary="Give the items most like an item.",
        response_description="Items, the most alike first, with their likeness as score.",
        response_model_exclude_none=True,
        responses=REFUSALS,
    )
    async def similar(body: Similar, catalogue: Asked) -> ItemList:
        """Alike by the cosine of embeddings, or by what the item in a history adds to the scores of others."""
        found = await in_time(catalogue.similar, body.item, body.k, body.by)
        return _item_list(catalogue, found)

    @app.post(
        "/embed",
        summary="Give the vector of a user, of an item, or of somebody who has these items.",
        response_description="The vector, and which of its columns are which part.",
        responses=REFUSALS,
    )
    async def embed(body: Embed, catalogue: Asked) -> Vector:
        """The inner product of a user's and an item's vector is the score, less what a sparse item sheaf adds."""
        vector = await in_time(catalogue.vector, body.user, body.item, body.items)
        blocks = [Columns(name=block.name, start=block.start, stop=block.stop) for block in catalogue.embeddings.blocks]
        return Vector(vector=vector.tolist(), blocks=blocks, **catalogue.named)


def _add_state(app: FastAPI, served: Served, metrics: Metrics) -> None:
    @app.get(
        "/health",
        summary="Say whether the server is there, and what it serves.",
        response_description="The model, its dataset, their sizes, and the parts that its scores have.",
        response_model_exclude_none=True,
        responses=HOST,
    )
    async def health(catalogue: Asked) -> Health:
        """It is answered while other answers are computed."""
        return Health(status="stale" if served.stale else "ok", reason=served.stale, **catalogue.about())

    @app.get("/metrics", include_in_schema=False, response_class=Response)
    def numbers() -> Response:
        return Response(metrics.text(), headers={**PLAIN, "Content-Type": MEDIA_TYPE})


def _add_page(app: FastAPI) -> None:
    @app.get(
        "/names",
        summary="Find users or items by a text in their token or title.",
        response_description=f"Up to {MOST_NAMES}; the one whose token equals the text comes first.",
        response_model_exclude_none=True,
        responses=OF_PARAMETERS,
    )
    async def names(catalogue: Asked, kind: Kind, text: Text = "") -> list[Name]:
        """An empty text finds the first ones; titles are there for items alone, where the server was given them."""
        found = (catalogue.users if kind == "user" else catalogue.items).find(text, MOST_NAMES)
        return [Name(token=token, title=catalogue.titles.get(token) if kind == "item" else None) for token in found]

    @app.get(
        "/history",
        summary="Give the items that a user has.",
        response_description="How many there are, and the first of them with the part of the data that each is in.",
        response_model_exclude_none=True,
        responses=OF_NAMES,
    )
    async def history(catalogue: Asked, user: Somebody, k: HowMany = OWNED) -> History:
        """Those that the model learnt from come first, dislikes last; no times are held to order them by."""
        return _history(catalogue, user, k)

    @app.get(
        "/posters/{item:path}",
        summary="Give the picture of an item.",
        response_class=Response,
        response_description="The bytes of the picture as the folder has them.",
        responses={**OF_PARAMETERS, **NO_PICTURE},
    )
    def poster(item: Pictured, catalogue: Asked) -> Response:
        """Items of a list that have a picture say in their field poster where it is."""
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
    titles = catalogue.titles
    return Best(
        by=by,
        items=[
            Listed(
                item=entry.item,
                score=entry.score,
                title=titles.get(entry.item),
                poster=_poster_of(catalogue, entry.item),
                parts=entry.parts,
                contributions=_contributions(titles, entry),
            )
            for entry in found
        ],
    )


def _history(catalogue: Catalogue, user: str, k: int) -> History:
    count, found = catalogue.history(user, k)
    items = [
        Owned(item=item, title=catalogue.titles.get(item), poster=_poster_of(catalogue, item), part=part)
        for item, part in found
    ]
    return History(user=user, held=catalogue.holds_histories, count=count, items=items, **catalogue.named)


def _poster_of(catalogue: Catalogue, item: str) -> Optional[str]:
    """Where its picture is."""
    return f"posters/{quote(item, safe='')}" if item in catalogue.posters else None


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
