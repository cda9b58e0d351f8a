"""What requests and answers hold; the OpenAPI page is made of it."""

from typing import Annotated, Any, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recbole_sheaf.serving.limits import MOST_EXPLAINED, MOST_FIELDS, MOST_ITEMS, MOST_K, MOST_LETTERS

Token = Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
Items = Annotated[list[Token], Field(min_length=1, max_length=MOST_ITEMS)]
Length = Annotated[int, Field(ge=1, le=MOST_K, strict=True)]


class _Body(BaseModel):
    """A misspelt field is refused, or it would be passed over in silence."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, given: Any) -> Any:
        """Else each of 100,000 would be described in an error of its own."""
        if isinstance(given, dict) and len(given) > MOST_FIELDS:
            raise ValueError(f"there are {len(given):,} fields; expected {', '.join(cls.model_fields)}")
        return given


class Recommend(_Body):
    """A request for recommendations: for whom, and how many."""

    user: Optional[Token] = Field(None, description="a user of the data")
    items: Optional[Items] = Field(None, description="or items that stand for a user whom the model never met")
    k: Length = Field(20, description="length of the list")
    seen: Literal["masked", "kept"] = Field("masked", description="whether the user's own items are left out")
    explain: bool = Field(False, description=f"what each score is made of; k up to {MOST_EXPLAINED}")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Recommend":
        if (self.user is None) == (self.items is None):
            raise ValueError("give either user or items")
        if self.explain and self.k > MOST_EXPLAINED:
            raise ValueError(f"k is {self.k}, and at most {MOST_EXPLAINED} scores are explained at once; ask for fewer")
        return self


class Similar(_Body):
    """A request for items like an item."""

    item: Token
    k: Length = 20
    by: Literal["auto", "embeddings", "coefficients"] = Field(
        "auto", description="the cosine of embeddings, or what the item in a history adds to others' scores"
    )


class Embed(_Body):
    """A request for the vector of a user, an item, or somebody with these items."""

    user: Optional[Token] = None
    item: Optional[Token] = None
    items: Optional[Items] = Field(None, description="items that stand for a user whom the model never met")

    @model_validator(mode="after")
    def _one_of_three(self) -> "Embed":
        if sum(given is not None for given in (self.user, self.item, self.items)) != 1:
            raise ValueError("give one of user, item and items")
        return self


class Contribution(BaseModel):
    """An item of the user's and its contribution to the score of a recommended one, signed."""

    item: str
    title: Optional[str] = None
    contribution: float


class Listed(BaseModel):
    """An item of a list. ``parts`` add up to the score; ``contributions`` are the largest of the user's items."""

    item: str
    score: float
    title: Optional[str] = None
    poster: Optional[str] = None
    parts: Optional[dict[str, float]] = None
    contributions: Optional[list[Contribution]] = None


class ItemList(BaseModel):
    """Items, best first; fewer than k where the user has seen nearly all."""

    items: list[Listed]


class Columns(BaseModel):
    """Columns of a vector from ``start`` to before ``stop``, whose inner product is one part of a score."""

    name: str
    start: int
    stop: int


class Vector(BaseModel):
    """A vector as a score takes it: the inner product of a user's and an item's."""

    vector: list[float]
    blocks: list[Columns]


class Name(BaseModel):
    """A user or an item that may be picked."""

    token: str
    title: Optional[str] = None


class Health(BaseModel):
    """An answer on what is served: the model, its dataset and their sizes."""

    status: Literal["ok"] = "ok"
    model: str
    dataset: str
    users: int
    items: int
    parts: list[str]


class Refusal(BaseModel):
    """The answer to a refused request: what arrived, what was expected, what to do."""

    error: str
