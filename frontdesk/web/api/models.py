"""What goes in and what comes out, as pydantic models: they check requests and are the schemas of openapi.json."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from frontdesk.flows.contents import TextOrMessage, words
Phone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ()./-]{4,30}$")]

# The largest rowid of SQLite: what is larger is no id of ours.
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class In(BaseModel):
    """Unknown fields are refused: a misspelt one must not be silently ignored."""

    model_config = ConfigDict(extra="forbid")


class SendMessage(In):
    """A message to a customer: `message` is a text, or an object of any kind. Either `conversation_id` or `phone_number`.

    To somebody who has not written within 24 hours, or never, only a template can go.
    """

    message: TextOrMessage
    conversation_id: Id | None = None
    phone_number: Phone | None = None
    number_id: Id | None = Field(None, description="Which of your numbers it goes out from, where the customer knows several.")
    reply_to: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="The WhatsApp id of the message it replies to."
    )


class ConversationMessage(In):
    """A message in a conversation: `content` is a text, or an object of any kind."""

    content: TextOrMessage
    message_type: str | None = Field(None, description="The content's type, for those who like to say it twice.")
    reply_to: Annotated[str, StringConstraints(max_length=200)] | None = None


class Page(In):
    """`cursor` is the `next_cursor` of the page before."""

    cursor: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Wait(In):
    """`wait`: seconds to wait for a change of an unfinished task, while there is room for those who wait."""

    wait: Annotated[float, Field(ge=0, le=25)] = 0


class Queued(BaseModel):
    status: Literal["queued"] = "queued"
    task_id: str
    check_status: str = Field(description="The path that tells what became of it.")


class Failure(BaseModel):
    """`cause` is one of Frontdesk's words for it; `code`, `title` and `details` are the provider's."""

    cause: str
    code: int | None
    title: str | None
    details: str | None
    mend: str


class Task(BaseModel):
    """One message on its way. Times are UTC epoch seconds."""

    task_id: str
    status: Literal["queued", "sending", "sent", "delivered", "read", "failed", "withdrawn"]
    conversation_id: int
    attempts: int
    created_at: float
    sent_at: float | None
    delivered_at: float | None
    read_at: float | None
    failure: Failure | None


class Message(BaseModel):
    id: int
    task_id: str | None = Field(description="Of messages from you.")
    direction: Literal["in", "out"]
    kind: str
    text: str
    status: str
    written_by: Literal["customer", "bot", "person", "api", "phone_app", "schedule", "broadcast", "other"]
    created_at: float


class Conversation(BaseModel):
    id: int
    number_id: int
    contact_id: int
    state: Literal["bot", "human", "closed"]
    needs_person: str | None
    waiting_since: float | None
    window_closes_at: float | None
    unread: int
    last_message_at: float
    created_at: float


class Contact(BaseModel):
    id: int
    client_id: int
    name: str | None
    phone: str | None
    user_id: str | None
    username: str | None
    marketing_stopped: bool
    tags: list[str]
    created_at: float


class Erased(BaseModel):
    """`contact_id` is nobody's from now on. The last traces in files go within minutes."""

    contact_id: int
    erased: bool


class AddTag(In):
    """Small letters, without # and commas; the same one again changes nothing."""

    tag: words(50)


class Number(BaseModel):
    id: int
    client_id: int
    channel: str
    external_id: str
    display_phone: str | None
    messages_per_second: float
    stopped_reason: str | None


class AddMedia(In):
    """Either a form with the field `file`, or `url`."""

    url: words(2000) | None = None
    client_id: Id | None = Field(None, description="Whose it is, for a token of several clients.")


class Media(BaseModel):
    """`status` wanted: it is still fetched. `kinds`: as which kinds of message it can go, the likeliest first. Unused files go after some months."""

    media_id: str
    status: Literal["wanted", "ready", "failed"]
    kinds: list[str]
    mime_type: str | None
    size_bytes: int | None
    sha256: str | None
    filename: str
    failure: "ErrorBody | None"
    created_at: float


class TemplateVariable(BaseModel):
    name: str
    where: Literal["header", "body", "button"]
    example: str


class Template(BaseModel):
    """`variables`: what `variables` of a template message must hold. `header_file`: its heading is a file of this kind, to be given as `header`."""

    id: int
    account_id: str
    name: str
    language: str
    category: str
    status: str
    usable: bool
    obstacle: str | None
    header_file: Literal["image", "video", "document"] | None
    variables: list[TemplateVariable]
    preview: str
    updated_at: float


class Templates(BaseModel):
    items: list[Template]


class Asked(BaseModel):
    status: Literal["queued"] = "queued"


class PreviewTemplate(In):
    """Variables that are missing stay as {{name}}."""

    variables: dict[words(100), words(1024, 0)] = {}


class TemplatePreview(BaseModel):
    """`problem`: what WhatsApp would refuse; null where it can go as it is."""

    header: str
    body: str
    footer: str
    buttons: list[str]
    problem: "ErrorBody | None"


Epoch = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
RuleWords = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class MakeSchedule(In):
    """Either `at` (once) or `rule`: "every weekday 09:00", "every month on the 1st at 08:00", or a cron line."""

    message: TextOrMessage
    conversation_id: Id | None = None
    phone_number: Phone | None = None
    number_id: Id | None = None
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    at: Epoch | None = Field(None, description="UTC epoch seconds.")
    rule: RuleWords | None = None
    time_zone: RuleWords | None = Field(None, description="Like Europe/Berlin; the client's where there is none.")
    late_limit_seconds: float = Field(3600, description="After a stop, how late one that goes out once still may.")


class ChangeSchedule(In):
    """What is left out stays as it is."""

    message: TextOrMessage | None = None
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    at: Epoch | None = None
    rule: RuleWords | None = None
    time_zone: RuleWords | None = None
    late_limit_seconds: float | None = None


class Schedule(BaseModel):
    """`state` missed: its time came while everything stood still, longer ago than `late_limit_seconds`. `last_…`: of its newest time."""

    schedule_id: str
    state: Literal["active", "paused", "done", "cancelled", "missed"]
    name: str
    conversation_id: int | None
    phone_number: str | None
    number_id: int
    kind: str
    text: str
    rule: str | None
    rule_in_words: str | None
    time_zone: str
    next_at: float | None
    late_limit_seconds: float
    last_fired_at: float | None
    last_outcome: Literal["sent", "missed", "refused"] | None
    last_words: str | None
    created_at: float


class Schedules(BaseModel):
    items: list[Schedule]
    next_cursor: int | None


class Firing(BaseModel):
    due_at: float
    fired_at: float
    outcome: Literal["sent", "missed", "refused"]
    code: str | None
    words: str | None


class Firings(BaseModel):
    items: list[Firing]


class Conversations(BaseModel):
    items: list[Conversation]
    next_cursor: int | None


class Messages(BaseModel):
    items: list[Message]
    next_cursor: int | None


class Contacts(BaseModel):
    items: list[Contact]
    next_cursor: int | None


class Numbers(BaseModel):
    items: list[Number]
    next_cursor: int | None


class TemplateName(BaseModel):
    name: str
    language: str


class ErrorBody(BaseModel):
    """`templates`, with `window_closed`: those that could go instead."""

    code: str
    message: str
    field: str | None = None
    templates: list[TemplateName] | None = None


class Error(BaseModel):
    error: ErrorBody
