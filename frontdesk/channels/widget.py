"""The web chat on a business's own pages: the `Channel` without a provider. Its 'webhooks' are written by frontdesk/web/widget.py.

A body is {"key", "visitor", "events": [{"type": "message" | "details" | "status", "id", …}]}. A message is sent as soon as
its row says so: the visitor's browser reads it from there, and tells 'delivered' and 'read' as a provider would.
"""

from os import PathLike
from typing import Any

from frontdesk import strict_json
from frontdesk.channels import MEDIA_KINDS, Accepted, Content, DetailsLeft, Event, InboundMessage, Media, MediaAddress, Person
from frontdesk.channels import ProviderError, Rejected, Sender, StatusChange
from frontdesk.errors import Permanent, SendError

STATUSES = ("delivered", "read")


class WidgetChannel:
    """One instance serves a process; safe to use from many threads."""

    always_tells = True  # what its row does not say was not shown: sending it again does no harm
    carries = ("text", *MEDIA_KINDS)
    sticker_pixels = None

    def __init__(self, timeout_seconds: float = 0):
        """Nothing is called, so nothing times out."""

    def parse(self, body: bytes) -> list[Event]:
        try:
            data = strict_json.loads(body)
            person = Person(user_id=_text(data["visitor"]))
            key, events = _text(data["key"]), data["events"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return [Rejected("not a body of the web chat", body.decode("utf-8", "replace"))]
        return [_event(key, person, event) for event in events] if isinstance(events, list) else [Rejected("no events", data)]

    def refusal(self, content: Content) -> str | None:
        """Why this content cannot be shown, in words for whoever wrote it; None where it can."""
        return None if content.kind in self.carries else "The web chat shows texts, pictures and files, nothing else."

    def fits(self, text: str) -> bool:
        return True

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
        if words := self.refusal(content):
            raise Permanent(words)
        return Accepted(f"web.{callback_data}")

    def upload_media(self, sender: Sender, path: str | PathLike, mime_type: str, filename: str) -> str:
        """The file is shown from where it lies."""
        with open(path, "rb"):
            return "here"

    def media_address(self, sender: Sender, media: Media) -> MediaAddress:
        raise Permanent("visitors of the web chat send no files")

    def show_typing(self, sender: Sender, inbound_external_id: str) -> None:
        """flows/live_answer.py shows it, and what is typed."""

    def error_from_status(self, errors: tuple[ProviderError, ...]) -> SendError:
        return Permanent("the web chat has no failures")


def _event(key: str, person: Person, event: Any) -> Event:
    try:
        if event["type"] == "message":
            return InboundMessage(key, person, _text(event["id"]), 0.0, "text", _text(event["text"]), True, event)
        if event["type"] == "details":
            return _details(key, person, event)
        if event["type"] == "status" and event["status"] in STATUSES:
            return StatusChange(key, _text(event["id"]), event["status"], 0.0, None, (), person, event)
    except (KeyError, TypeError):
        pass
    return Rejected("not an event of the web chat", event)


def _details(key: str, person: Person, event: dict[str, Any]) -> DetailsLeft:
    name, email, phone = (event.get(part) and _text(event[part]) for part in ("name", "email", "phone"))
    text = "\n".join(filter(None, (name, email, phone)))
    return DetailsLeft(key, person, _text(event["id"]), 0.0, text, name or None, email or None, phone or None, event)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
