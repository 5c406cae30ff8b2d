"""What goes in and what comes out where a template goes to everybody of an audience."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator

from frontdesk.flows.contents import words
from frontdesk.web.api.models import Epoch, Failure, Id, In, Page

ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
State = Literal["draft", "scheduled", "running", "paused", "done", "cancelled"]
MessageState = Literal["queued", "sending", "unknown", "sent", "delivered", "read", "played", "failed", "withdrawn"]


class Source(In):
    """What stands for a variable: a `column` of the audience, or the same `text` for everybody."""

    column: words(200) | None = None
    text: words(1024) | None = None

    @model_validator(mode="after")
    def _one(self):
        if (self.column is None) == (self.text is None):
            raise ValueError("Give either column or text.")
        return self


class MakeBroadcast(In):
    """A draft: nothing goes out before it is started. Times of day are the recipient's."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = Field("", description="The audience's, where there is none.")
    number_id: Id
    audience_id: Id
    template: words(512)
    language: words(20)
    variables: dict[words(100), Source] = Field({}, description="As GET /templates names them.")
    media_id: words(100) | None = Field(None, description="The file of the template's heading, uploaded to /media.")
    messages_per_second: float | None = Field(None, allow_inf_nan=False, description="At most; the number's own rate where there is none.")
    spread_seconds: float | None = Field(None, allow_inf_nan=False, description="It takes at least so long.")
    quiet_from: ClockTime | None = Field(None, description="From then on nothing goes out, like 21:00.")
    quiet_until: ClockTime | None = Field(None, description="Until then, like 09:00.")
    most_waiting: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None, description="It holds while more conversations than that wait for an answer."
    )
    error_limit: float = Field(0.1, allow_inf_nan=False, description="It pauses when this share of the messages failed.")
    callback_url: words(2000) | None = Field(None, description="Told when it is over, by a signed POST.")


class StartBroadcast(In):
    at: Epoch | None = Field(None, description="UTC epoch seconds; at once where there is none.")


class BroadcastProgress(BaseModel):
    """`sent` counts what was delivered and read too, `delivered` what was read. `left`: still to come. `unknown`: WhatsApp gave no answer yet."""

    total: int
    sent: int
    delivered: int
    read: int
    failed: int
    unknown: int
    skipped: int
    answered: int | None = Field(description="Null in lists, as opted_out is.")
    opted_out: int | None = Field(description="Who wanted no more marketing within 30 days of it.")
    left: int
    messages_per_second: float
    seconds_left: float | None


class Counted(BaseModel):
    cause: str
    count: int


class FailureCount(Failure):
    count: int


class Broadcast(BaseModel):
    """`pause_code`: why it stands still, `pause_words` says it to people. Times are UTC epoch seconds."""

    broadcast_id: str
    state: State
    name: str
    number_id: int
    audience_id: int
    template: str
    language: str
    variables: dict[str, dict[str, str]]
    pause_code: str | None
    pause_words: str | None
    starts_at: float | None
    messages_per_second: float | None
    spread_seconds: float | None
    quiet_from: str | None
    quiet_until: str | None
    most_waiting: int | None
    error_limit: float
    created_at: float
    started_at: float | None
    finished_at: float | None
    progress: BroadcastProgress


class BroadcastInDepth(Broadcast):
    """`warning`: what will go wrong if it is started so."""

    failures: list[FailureCount]
    skips: list[Counted]
    expected_seconds: float
    warning: str | None


class Broadcasts(BaseModel):
    items: list[Broadcast]
    next_cursor: int | None


class RecipientsPage(Page):
    """`state` skipped: those that got no message, and why."""

    state: MessageState | Literal["skipped"] | None = None
    phone_number: Annotated[str, StringConstraints(pattern=r"^\+?[0-9 ]{1,30}$")] | None = Field(None, description="Digits that stand in it.")


class Recipient(BaseModel):
    """`state` is the message's, or skipped. `failure` says why it failed, `skipped_because` why there is none."""

    phone_number: str | None
    state: MessageState | Literal["skipped"]
    task_id: str | None = None
    conversation_id: int | None = None
    sent_at: float | None = None
    delivered_at: float | None = None
    read_at: float | None = None
    answered_at: float | None = None
    failure: Failure | None = None
    skipped_because: str | None = None


class Recipients(BaseModel):
    items: list[Recipient]
    next_cursor: int | None
