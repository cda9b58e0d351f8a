"""What requests and answers hold; the OpenAPI page is made of it."""

from datetime import datetime
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recbole_sheaf.embeddings.choice import Wanted
from recbole_sheaf.serving.limits import (
    MOST_CHOSEN,
    MOST_CONDITION,
    MOST_EXPLAINED,
    MOST_FIELDS,
    MOST_ITEMS,
    MOST_K,
    MOST_LETTERS,
    MOST_LISTED,
    MOST_USERS,
)

Token = Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
Items = Annotated[list[Token], Field(min_length=1, max_length=MOST_ITEMS)]
Chosen = Annotated[list[Token], Field(max_length=MOST_CHOSEN)]
Users = Annotated[list[Token], Field(min_length=1, max_length=MOST_USERS)]
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
    users: Optional[Users] = Field(None, description=f"or several; lists of up to {MOST_LISTED:,} items in all")
    items: Optional[Items] = Field(None, description="or items that stand for a user whom the model never met")
    clicked: Optional[Items] = Field(None, description="what the user chose since the training")
    unknown: Literal["refused", "popular"] = Field("refused", description="a user nobody knows gets popular items")
    k: Length = Field(20, description="length of the list")
    seen: Literal["masked", "kept"] = Field("masked", description="whether the user's own items are left out")
    explain: bool = Field(False, description=f"what each score is made of; k up to {MOST_EXPLAINED}")
    among: Union[Literal["all", "new"], Chosen] = Field("all", description="items to choose from")
    without: Chosen = Field([], description="items to leave out")
    where: Optional[Annotated[str, Field(min_length=1, max_length=MOST_CONDITION)]] = Field(
        None, description="an expression in SQL over the columns of the item table"
    )
    at_most: Optional[Annotated[int, Field(ge=1, strict=True)]] = Field(None, description="items of one value of per")
    per: Optional[Token] = Field(None, description="a column of the item table")

    @model_validator(mode="after")
    def _one_of_three(self) -> "Recommend":
        if sum(given is not None for given in (self.user, self.users, self.items)) != 1:
            raise ValueError("give one of user, users and items")
        if self.explain and self.k > MOST_EXPLAINED:
            raise ValueError(f"k is {self.k}, and at most {MOST_EXPLAINED} scores are explained at once; ask for fewer")
        if self.user is None and (self.clicked or self.explain and self.users):
            raise ValueError(f"{'clicked' if self.clicked else 'explain'} is of one user; give user")
        if self.users is not None and len(self.users) * self.k > MOST_LISTED:
            raise ValueError(
                f"{len(self.users)} lists of {self.k} items are {len(self.users) * self.k:,}, and at most "
                f"{MOST_LISTED:,} are listed at once; ask for fewer"
            )
        if (self.at_most is None) != (self.per is None):
            raise ValueError("give both at_most and per, or neither")
        return self

    @property
    def wanted(self) -> Wanted:
        """Which items lists may hold."""
        return Wanted(self.among, self.without, self.where, self.at_most, self.per)


class Similar(_Body):
    """A request for items like an item."""

    item: Token = Field(description="an item of the data")
    k: Length = Field(20, description="length of the list")
    by: Literal["auto", "embeddings", "coefficients"] = Field(
        "auto", description="the cosine of embeddings, or what the item in a history adds to others' scores"
    )


class Embed(_Body):
    """A request for the vector of a user, an item, or somebody with these items."""

    user: Optional[Token] = Field(None, description="a user of the data")
    item: Optional[Token] = Field(None, description="or an item of it")
    items: Optional[Items] = Field(None, description="or items that stand for a user whom the model never met")

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


class Answered(BaseModel):
    """An answer: of which model, and which file of it, by the head of the SHA-256 of the file."""

    model: str
    version: str


class Best(BaseModel):
    """Items, best first; fewer than k where the user has seen, or filters leave out, nearly all.

    ``by`` says of the list of a user whom nobody knows that scores are numbers of training interactions.
    """

    items: list[Listed]
    by: Optional[Literal["popularity"]] = None


class ItemList(Answered, Best):
    """Items of a user."""


class UserList(Best):
    """Items of one of several users."""

    user: str


class UserLists(Answered):
    """Lists in the order of the users."""

    lists: list[UserList]


class Columns(BaseModel):
    """Columns of a vector from ``start`` to before ``stop``, whose inner product is one part of a score."""

    name: str
    start: int
    stop: int


class Vector(Answered):
    """A vector as a score takes it: the inner product of a user's and an item's."""

    vector: list[float]
    blocks: list[Columns]


class Name(BaseModel):
    """A user or an item that may be picked."""

    token: str
    title: Optional[str] = None


class Owned(BaseModel):
    """An item that a user has.

    ``part`` says whether the model learnt from it (``train``), or it was kept for validation or test, or is disliked.
    """

    item: str
    title: Optional[str] = None
    poster: Optional[str] = None
    part: Literal["train", "valid", "test", "disliked"]


class History(Answered):
    """What a user has: ``count`` items in all, of which the first are listed, those of the training before others.

    ``held`` is false where what is served holds no histories at all.
    """

    user: str
    held: bool
    count: int
    items: list[Owned]


class Health(Answered):
    """An answer on what is served: the model, its dataset and their sizes.

    ``stale`` where another file lies at its path than the one that is served, and ``reason`` says why.
    """

    status: Literal["ok", "stale"] = "ok"
    reason: Optional[str] = None
    made: Optional[datetime] = None
    dataset: str
    users: int
    items: int
    parts: list[str]


class Refusal(BaseModel):
    """The answer to a refused request: what arrived, what was expected, what to do."""

    error: str
