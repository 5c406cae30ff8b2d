"""What goes in and what comes out where recipients are listed."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from frontdesk.flows.contents import words
from frontdesk.web.api.models import Id, In, Page


class AddAudience(In):
    """A form with the field `file` (CSV), or `text` (a list or CSV as it is), or `filter`: which contacts."""

    name: words(100)
    client_id: Id | None = Field(None, description="Whose it is, for a token of several clients.")
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = Field(
        None, description="Where numbers without a country code belong, like DE; the business's own where there is none."
    )
    text: Annotated[str, StringConstraints(min_length=1)] | None = None
    filter: dict[str, Any] | None = Field(None, description='Like {"tags_any": ["vip"], "wrote_within_days": 30, "countries": ["DE"]}.')


class Audience(BaseModel):
    """A list of recipients. Only a ready one can be written to. `columns`: what variables can be taken from. `percent`: of it is read.

    `bad`, `duplicates`, `opted_out`, `unreachable`: lines that became no recipient.
    """

    audience_id: int
    client_id: int
    name: str
    state: Literal["wanted", "reading", "ready", "failed"]
    problem: str
    percent: float
    recipients: int
    left_out: int
    bad: int
    duplicates: int
    opted_out: int
    unreachable: int
    columns: list[str]
    created_at: float


class Audiences(BaseModel):
    items: list[Audience]
    next_cursor: int | None


class LeftOutPage(Page):
    cause: Literal["bad", "opted_out", "unreachable"] | None = None


class LeftOut(BaseModel):
    """`line`: of the file, the first one is 1."""

    line: int
    cause: Literal["bad", "opted_out", "unreachable"]
    reason: str
    text: str


class LeftOuts(BaseModel):
    items: list[LeftOut]
    next_cursor: int | None
