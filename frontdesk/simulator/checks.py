"""What Meta refuses in a message, kind by kind, in Meta's words' shape: written from its reference, not from Frontdesk's own checks."""

import re
from typing import Any

from frontdesk.simulator.record import Record

KINDS = ("text", "image", "video", "audio", "document", "sticker", "location", "contacts", "reaction", "template", "interactive")
FILES = ("image", "video", "audio", "document", "sticker")
TYPES = {
    "image": ("image/jpeg", "image/png"),
    "video": ("video/mp4", "video/3gpp"),
    "audio": ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"),
    "sticker": ("image/webp",),
}
MOST_BYTES = {"image": 5 << 20, "video": 16 << 20, "audio": 16 << 20, "sticker": 500 << 10, "document": 100 << 20}


class Refused(Exception):
    """One of Meta's errors."""

    def __init__(self, code: int, details: str = "", http_status: int | None = None, subcode: int | None = None):
        self.code, self.details, self.http_status, self.subcode = code, details, http_status, subcode


def checked(body: dict[str, Any], key: str, record: Record) -> str:
    """The message's type, once all is as Meta wants it. Raises Refused."""
    kind = body.get("type", "text")
    if not key:
        raise Refused(100, "(#100) The parameter to is required.")
    if kind not in KINDS or not isinstance(body.get(kind), list if kind == "contacts" else dict):
        raise Refused(131009, f"Parameter value is not valid: {kind}")
    _at_most(str(body.get("biz_opaque_callback_data", "")), 512, "biz_opaque_callback_data")
    if "context" in body and not (isinstance(body["context"], dict) and isinstance(body["context"].get("message_id"), str)):
        raise Refused(131009, "Parameter value is not valid: context.message_id")
    content = body[kind]
    if kind in FILES:
        _file(content, kind, record)
        _at_most(content.get("caption") or "", 1024, "caption")
        if "caption" in content and kind in ("audio", "sticker"):
            raise Refused(100, f"Unexpected key \"caption\" on param \"{kind}\"")
        if "filename" in content and kind != "document":
            raise Refused(100, f"Unexpected key \"filename\" on param \"{kind}\"")
    else:
        _BY_KIND[kind](content, record)
    return kind


def _at_most(text: Any, most: int, name: str, least: int = 0) -> None:
    if not isinstance(text, str) or len(text.strip()) < least:
        raise Refused(131008, f"Required parameter is missing: {name}")
    if len(text) > most:
        raise Refused(100, f"Param {name} must be at most {most} characters long.")


def _file(content: dict, kind: str, record: Record) -> None:
    media_id = content.get("id")
    if not (media_id or content.get("link")):
        raise Refused(131008, f"Required parameter is missing: {kind}.id or {kind}.link")
    if not media_id:
        return
    media = record.media.get(str(media_id))
    if media is None:
        raise Refused(100, f"Param {kind}['id'] is not a valid whatsapp business account media attachment ID")
    if kind in TYPES and str(media["mime_type"]).split(";")[0] not in TYPES[kind]:
        raise Refused(131053, f"Media upload error: unsupported type {media['mime_type']} for {kind}")
    if media["size"] > MOST_BYTES[kind]:
        raise Refused(131053, f"Media upload error: {media['size']} bytes are too many for {kind}")


def _text(text: dict, record: Record) -> None:
    _at_most(text.get("body"), 4096, "text['body']", 1)


def _location(place: dict, record: Record) -> None:
    for name, most in (("latitude", 90), ("longitude", 180)):
        if not isinstance(place.get(name), (int, float)) or abs(place[name]) > most:
            raise Refused(131009, f"Parameter value is not valid: location.{name}")


def _contacts(cards: list, record: Record) -> None:
    for card in cards:
        name = card.get("name") if isinstance(card, dict) else None
        if not isinstance(name, dict) or not name.get("formatted_name") or len(name) < 2:
            raise Refused(131008, "Required parameter is missing: contacts.name.formatted_name and one other part of the name")


def _reaction(reaction: dict, record: Record) -> None:
    if not isinstance(reaction.get("emoji"), str) or str(reaction.get("message_id")) not in record.inbound_of:
        raise Refused(131009, "Parameter value is not valid: reaction.message_id")


def _interactive(content: dict, record: Record) -> None:
    kind, action = content.get("type"), content.get("action")
    if kind not in ("button", "list") or not isinstance(action, dict):
        raise Refused(131009, "Parameter value is not valid: interactive.type")
    _at_most((content.get("body") or {}).get("text"), 1024 if kind == "button" else 4096, "interactive.body.text", 1)
    _at_most((content.get("footer") or {"text": ""}).get("text"), 60, "interactive.footer.text")
    header = content.get("header")
    if header:
        if kind == "list" and header.get("type") != "text" or header.get("type") not in ("text", "image", "video", "document"):
            raise Refused(131009, "Parameter value is not valid: interactive.header.type")
        if header["type"] == "text":
            _at_most(header.get("text"), 60, "interactive.header.text", 1)
        else:
            _file(header.get(header["type"]) or {}, header["type"], record)
    _buttons(action) if kind == "button" else _rows(action)


def _buttons(action: dict) -> None:
    replies = [button.get("reply") or {} for button in action.get("buttons") or [] if button.get("type") == "reply"]
    if not 1 <= len(replies) <= 3 or len(replies) != len(action["buttons"]):
        raise Refused(131009, "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3")
    for reply in replies:
        _at_most(reply.get("title"), 20, "button title", 1)
        _at_most(reply.get("id"), 256, "button id", 1)
    if len({reply["id"] for reply in replies}) < len(replies) or len({reply["title"] for reply in replies}) < len(replies):
        raise Refused(131009, "Duplicated button ids or titles")


def _rows(action: dict) -> None:
    _at_most(action.get("button"), 20, "list button", 1)
    sections = action.get("sections") or []
    rows = [row for section in sections for row in section.get("rows") or []]
    if not 1 <= len(sections) <= 10 or not 1 <= len(rows) <= 10:
        raise Refused(131009, "Total row count exceed max allowed count: 10")
    for section in sections:
        _at_most(section.get("title", ""), 24, "section title", 1 if len(sections) > 1 else 0)
    for row in rows:
        _at_most(row.get("title"), 24, "row title", 1)
        _at_most(row.get("id"), 200, "row id", 1)
        _at_most(row.get("description", ""), 72, "row description")
    if len({row["id"] for row in rows}) < len(rows):
        raise Refused(131009, "Duplicated row ids")


# --- templates ----------------------------------------------------------------------------------------------------------------------


def _template(content: dict, record: Record) -> None:
    name, code = content.get("name"), (content.get("language") or {}).get("code")
    if not name or not code:
        raise Refused(131008, "Required parameter is missing: template.name or template.language.code")
    template = next((one for one in record.templates if (one["name"], one["language"]) == (name, code)), None)
    if template is None:
        raise Refused(132001, f"template name ({name}) does not exist in {code}", 404)
    if template["status"] == "PAUSED":
        raise Refused(132015, "Template is paused")
    if template["status"] != "APPROVED":
        raise Refused(132001 if template["status"] != "DISABLED" else 132016, f"Template is {template['status']}")
    given = content.get("components") or []
    for part in template["components"]:
        if part["type"] in ("HEADER", "BODY"):
            _part(part, [one for one in given if one.get("type", "").upper() == part["type"]], record)
        if part["type"] == "BUTTONS":
            _template_buttons(part["buttons"], [one for one in given if one.get("type") == "button"])


def _part(part: dict, given: list[dict], record: Record) -> None:
    parameters = given[0].get("parameters", []) if given else []
    if part["type"] == "HEADER" and part.get("format") != "TEXT":
        kind = part["format"].lower()
        if len(parameters) != 1 or parameters[0].get("type") != kind:
            raise Refused(132012, f"header: Format mismatch, expected {part['format']}")
        return _file(parameters[0].get(kind) or {}, kind, record)
    wanted = len(set(re.findall(r"\{\{\s*\w+\s*\}\}", part.get("text", ""))))
    if len(parameters) != wanted:
        raise Refused(132000, f"{part['type'].lower()}: number of localizable_params ({len(parameters)}) does not match the expected number of params ({wanted})")
    for parameter in parameters:
        _at_most(parameter.get("text"), 1024, "template text parameter", 1)
        if re.search(r"[\n\t]| {5,}", parameter["text"]):
            raise Refused(132018, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")


def _template_buttons(buttons: list[dict], given: list[dict]) -> None:
    wanted = {str(place) for place, button in enumerate(buttons) if "{{" in button.get("url", "") or button["type"] in ("OTP", "COPY_CODE")}
    if {str(one.get("index")) for one in given} != wanted:
        raise Refused(131008, "buttons: Button at index requires a parameter")


_BY_KIND = {"text": _text, "location": _location, "contacts": _contacts, "reaction": _reaction, "interactive": _interactive, "template": _template}
