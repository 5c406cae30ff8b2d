"""Channels: the only code that knows a messaging provider's API. Every channel file has one shape, `Channel` below.

A channel turns a webhook body into the events of this file and a message into one API call. It decides nothing, stores
nothing and never retries: `flows` does.
"""

from dataclasses import dataclass, field
from importlib import import_module
from os import PathLike
from typing import Any, Protocol

KINDS = {
    "cloud": "frontdesk.channels.cloud:CloudChannel",
    "wati": "frontdesk.channels.wati:WatiChannel",
    "widget": "frontdesk.channels.widget:WidgetChannel",
    "canary": "frontdesk.channels.canary:CanaryChannel",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an event speaks of, by every name the provider gave. At least one of `phone` and `user_id` is set.

    `phone`: digits only, with country code (a wa_id). `user_id`: a business-scoped user id such as "DE.1A2b".
    """

    phone: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    username: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """A file the customer sent, still at the provider. `media_id` is good for 7 days (WhatsApp)."""

    media_id: str | None
    mime_type: str | None = None
    sha256: str | None = None
    filename: str | None = None
    caption: str | None = None
    voice: bool = False
    url: str | None = None


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where the provider has a file, for some minutes. `headers` may hold the token. `trusted`: it is at the server that the operator
    configured, which may be on a private network; any other must be public.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    mime_type: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class ProviderError:
    code: int | None
    title: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One message a customer sent.

    `kind` is the provider's type ("text", "image", "location" …). `text` is what the model and a person read, in words,
    for every kind. `answerable`: an answer is owed (false for reactions, system notes, groups, calls, unsupported …).
    `raw` is the provider's message object as it came. `at` is UTC epoch seconds as the provider gave it; 0.0, here and in
    every other event, where it gave none that makes sense: then the time of receipt counts.
    Text may hold NULs and halves of surrogate pairs, which SQLite and UTF-8 do not take as they are.
    """

    number_external_id: str
    person: Person
    external_id: str
    at: float
    kind: str
    text: str
    answerable: bool
    raw: dict[str, Any]
    media: Media | None = None
    reply_to_external_id: str | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """The customer changed an earlier message: `text` replaces its words."""

    number_external_id: str
    person: Person
    external_id: str
    original_external_id: str
    at: float
    text: str
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MessageRevoked:
    """The customer deleted an earlier message for everyone."""

    number_external_id: str
    person: Person
    external_id: str
    original_external_id: str
    at: float
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Echo:
    """A message the business itself sent from another place (the phone app). Never triggers an answer."""

    number_external_id: str
    person: Person
    external_id: str
    at: float
    kind: str
    text: str
    raw: dict[str, Any]

    @property
    def caption(self) -> str:
        """What stands under its file, or the file's name; "" where neither is told."""
        part = self.raw.get(self.kind)
        return str(part.get("caption") or part.get("filename") or "") if isinstance(part, dict) else ""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What became of a message we sent: "sent", "delivered", "read", "played" or "failed".

    `callback_data` is what we put into `biz_opaque_callback_data` (None where the message was sent by something else).
    `person` may name nobody (a message to a group): our own message is known by its ids. `other_ids`: more of the provider's for it.
    `echo`: what was sent, where the provider tells that without saying by whom: by us, if we sent these words, else elsewhere.
    """

    number_external_id: str
    external_id: str
    status: str
    at: float
    callback_data: str | None
    errors: tuple[ProviderError, ...]
    person: Person
    raw: dict[str, Any]
    other_ids: tuple[str, ...] = ()
    echo: Echo | None = None


@dataclass(frozen=True, slots=True)
class PersonChanged:
    """The same customer under a new phone number or user id: `old` and `new` belong to one contact."""

    number_external_id: str
    old: Person
    new: Person
    at: float
    text: str
    external_id: str | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DetailsLeft:
    """How a visitor of the web chat wants to be reached, as they wrote it into a form: nobody proved it."""

    number_external_id: str
    person: Person
    external_id: str
    at: float
    text: str
    name: str | None
    email: str | None
    phone: str | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MarketingPreference:
    """The customer's own switch for marketing: `stopped` True (stop) or False (resume)."""

    number_external_id: str
    person: Person
    stopped: bool
    at: float
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Anything about the account rather than a customer (template status, quality, alerts, calls' statuses, history …).

    `account_id` is the WABA id. `number_external_id` is None where the event names no number.
    """

    account_id: str
    number_external_id: str | None
    field: str
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A part of a body that could not be understood, kept whole: `reason` for the operator, `raw` as JSON-able data."""

    reason: str
    raw: Any


Event = (
    InboundMessage
    | MessageEdited
    | MessageRevoked
    | StatusChange
    | Echo
    | PersonChanged
    | DetailsLeft
    | MarketingPreference
    | AccountEvent
    | Rejected
)


@dataclass(frozen=True, slots=True)
class Sender:
    """The number a call is made for: everything a channel needs to reach its provider. The token is in clear here."""

    number_external_id: str
    access_token: str = field(repr=False)
    base_url: str = "https://graph.facebook.com"
    version: str = "v25.0"
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message (accepted, not delivered)."""

    external_id: str
    person: Person | None = None


MEDIA_KINDS = ("image", "video", "audio", "document", "sticker")
CONTENT_KINDS = ("text", *MEDIA_KINDS, "location", "contacts", "interactive", "reaction", "template")


@dataclass(frozen=True, slots=True)
class Content:
    """One message to send. `kind` is one of CONTENT_KINDS, the Cloud API's types.

    `text` is what people and the model read of it, and all there is of a text. `body` is the Cloud API's object of this kind,
    without the id of a file: that is the sender's number's own, and comes with the call. Other channels send what they can of it.
    """

    kind: str
    text: str
    body: Any = None


def kind_of_file(content: Content) -> str:
    """As what the file of this content goes: a message of its own, or the header of a template or of buttons."""
    if content.kind in MEDIA_KINDS:
        return content.kind
    if content.kind == "template":
        return next(part["parameters"][0]["type"] for part in content.body["components"] if part["type"] == "header")
    return content.body["header"]["type"]


class Channel(Protocol):
    """One shape for every channel (docs/channels.md). One instance serves a process and is safe to use from several threads.

    `always_tells`: a status comes for every message it took, so that none for a while means that it was not taken. Else that counts
    only for a number whose webhooks have told of a message before.
    `carries`: which of CONTENT_KINDS it can send; the desk offers no other.
    `sticker_pixels`: the width and the height of every sticker, None where any will do.
    """

    always_tells: bool
    carries: tuple[str, ...]
    sticker_pixels: int | None

    def parse(self, body: bytes) -> list[Event]:
        """Every event of one webhook body, in its order. Never raises: what is not understood is a `Rejected`.

        `number_external_id` is "" where the body does not say it and the address that it came to does.
        """
        ...

    def refusal(self, content: Content) -> str | None:
        """Why this content cannot go through this channel, in words for whoever wrote it; None where it can."""
        ...

    def fits(self, text: str) -> bool:
        """Whether a text of at most 4096 characters is short enough for one message."""
        ...

    def send(
        self,
        sender: Sender,
        to: Person,
        content: Content,
        *,
        callback_data: str,
        reply_to_external_id: str | None = None,
        file_id: str | None = None,
    ) -> Accepted:
        """One API call. `file_id`: the provider's name for the content's file. Raises a `SendError` of frontdesk.errors, nothing else."""
        ...

    def upload_media(self, sender: Sender, path: str | PathLike, mime_type: str, filename: str) -> str:
        """Hands a file to the provider, streamed. Returns the provider's id of it. Raises SendError (never Unknown), FileNotFoundError."""
        ...

    def media_address(self, sender: Sender, media: Media) -> MediaAddress:
        """A fresh address of what a customer sent, at a host that is the provider's own. Raises SendError (never Unknown)."""
        ...

    def show_typing(self, sender: Sender, inbound_external_id: str) -> None:
        """Mark the customer's message read and show 'typing…' (25 s on WhatsApp). Raises SendError."""
        ...

    def error_from_status(self, errors: tuple[ProviderError, ...]) -> Exception:
        """The `SendError` that a failed status stands for: the same table as a refused call."""
        ...


def channel_class(kind: str) -> type:
    """The class behind a number's `channel` column. Imported on first use: a process pays for what it serves."""
    module_name, class_name = KINDS[kind].split(":")
    return getattr(import_module(module_name), class_name)
