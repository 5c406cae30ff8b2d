"""A WhatsApp message in words, whatever its kind: what the model reads and what a person sees in the inbox.

A text body comes out exactly as it came in. Everything else is a short note in square brackets, with the customer's own
words (caption, name, comment) beside it. Fields that are missing or of a wrong type are left out, never an error.
"""

import json
from decimal import Decimal
from typing import Any

from frontdesk.channels import Media, ProviderError
from frontdesk.channels.cloud_errors import provider_error

MEDIA_KINDS = ("image", "video", "document", "audio", "sticker", "voice")


class Malformed(Exception):
    """A part of a webhook body that cannot be what it says it is; `str()` names what is missing, without user text."""


def kind_of(message: dict[str, Any]) -> str:
    """The message's type; where the field is missing, the first part that names one, else "unknown"."""
    kind = message.get("type")
    if isinstance(kind, str) and kind and kind.isprintable():
        return kind
    return next((kind for kind in _WORDS if kind in message), "unknown")


def words_of(message: dict[str, Any], errors: tuple[ProviderError, ...] = ()) -> str:
    """The message in words. `errors` are those of the change it came in: they explain an interactive without its object.

    Raises Malformed where a text message has no text.
    """
    kind = kind_of(message)
    write = _WORDS.get(kind)
    if write is None:
        return _unsupported_words(message, {}, errors)
    part = message.get(kind)
    return write(message, part if isinstance(part, dict) else {}, errors)


def media_of(message: dict[str, Any]) -> Media | None:
    """The file of a media message, None for every other kind."""
    kind = kind_of(message)
    part = message.get(kind)
    if kind not in MEDIA_KINDS or not isinstance(part, dict):
        return None
    return Media(
        media_id=text_in(part, "id") or None,
        mime_type=text_in(part, "mime_type") or None,
        sha256=text_in(part, "sha256") or None,
        filename=text_in(part, "filename") or None,
        caption=text_in(part, "caption") or None,
        voice=part.get("voice") is True or kind == "voice",
        url=text_in(part, "url") or None,
    )


def text_in(part: dict[str, Any], key: str) -> str:
    value = part.get(key)
    return value if isinstance(value, str) else ""


def _text_words(message, part, errors) -> str:
    body = part.get("body")
    if not isinstance(body, str):
        raise Malformed("a text message without text.body")
    return body


def _media_words(message, part, errors) -> str:
    kind = kind_of(message)
    if part.get("voice") is True or kind == "voice":
        label = "voice message"
    elif filename := text_in(part, "filename"):
        label = f"{kind}: {filename}"
    else:
        label = kind
    return _beside(f"[{label}]", text_in(part, "caption"))


def _location_words(message, place, errors) -> str:
    point = ", ".join(_plain(place[key]) for key in ("latitude", "longitude") if _plain(place.get(key)))
    name = ", ".join(filter(None, (text_in(place, "name"), text_in(place, "address"))))
    where = f"{name} ({point})" if name and point else name or point
    return f"[location: {where}]" if where else "[location]"


def _contacts_words(message, _, errors) -> str:
    cards = [_card_words(card) for card in _dicts(message.get("contacts"))]
    return "\n".join(f"[contact: {card}]" for card in cards if card) or "[contact]"


def _card_words(card: dict[str, Any]) -> str:
    name = card.get("name") if isinstance(card.get("name"), dict) else {}
    parts = (text_in(name, key) for key in ("prefix", "first_name", "middle_name", "last_name", "suffix"))
    shown = text_in(name, "formatted_name") or " ".join(filter(None, parts))
    phones = [text_in(phone, "phone") or text_in(phone, "wa_id") for phone in _dicts(card.get("phones"))]
    emails = [text_in(email, "email") for email in _dicts(card.get("emails"))]
    return ", ".join(filter(None, (shown, *phones, *emails)))


def _interactive_words(message, part, errors) -> str:
    for key in ("button_reply", "list_reply"):
        reply = part.get(key)
        if isinstance(reply, dict) and (title := text_in(reply, "title")):
            return title
    if isinstance(part.get("nfm_reply"), dict):
        return _form_words(part["nfm_reply"])
    if isinstance(part.get("call_permission_reply"), dict):
        return f"[call permission: {text_in(part['call_permission_reply'], 'response') or 'answered'}]"
    reason = "; ".join(filter(None, (_error_words(error) for error in (*errors_of(message), *errors))))
    return f"[interactive reply without its content: {reason}]" if reason else "[interactive reply without its content]"


def _form_words(reply: dict[str, Any]) -> str:
    """A filled-in form. `response_json` is a string that may hold an object, other JSON, or no JSON at all."""
    name = text_in(reply, "name")
    label = f"[form: {name}]" if name and name != "flow" else "[form]"
    return "\n".join([label, *_form_lines(reply.get("response_json"))])


def _form_lines(response: Any) -> list[str]:
    if isinstance(response, str):
        try:
            response = json.loads(response)
        except (ValueError, RecursionError):
            return [response]
    if isinstance(response, dict):
        # flow_token is the sender's own reference for the form, not something the customer said
        return [f"{key}: {_plain(value)}" for key, value in response.items() if key != "flow_token"]
    return [_plain(response)] if response is not None else []


def _button_words(message, button, errors) -> str:
    return text_in(button, "text") or text_in(button, "payload") or "[button]"


def _reaction_words(message, reaction, errors) -> str:
    emoji = text_in(reaction, "emoji")
    return f"[reaction: {emoji}]" if emoji else "[reaction removed]"


def _order_words(message, order, errors) -> str:
    items = _dicts(order.get("product_items"))
    lines = [_beside("[order]", text_in(order, "text")), *(_item_words(item) for item in items), _total_words(items)]
    return "\n".join(filter(None, lines))


def _item_words(item: dict[str, Any]) -> str:
    quantity, price = _plain(item.get("quantity")) or "?", _plain(item.get("item_price"))
    cost = " at " + _beside(price, text_in(item, "currency")) if price else ""
    return f"{quantity} × {text_in(item, 'product_retailer_id') or 'item'}{cost}"


def _total_words(items: list[dict[str, Any]]) -> str:
    """The sum, worked out here because small models add badly; left out unless every item has a price in one currency."""
    currencies = {text_in(item, "currency") for item in items}
    if len(currencies) != 1:
        return ""
    try:
        total = sum(Decimal(_plain(item["quantity"])) * Decimal(_plain(item["item_price"])) for item in items)
    except (KeyError, ArithmeticError):  # decimal: no number, overflow
        return ""
    if not total.is_finite() or abs(total.adjusted()) > 15:
        return ""
    return _beside(f"total {total:f}", currencies.pop())


def _system_words(message, system, errors) -> str:
    return text_in(system, "body") or f"[system: {text_in(system, 'type') or 'note'}]"


def _unsupported_words(message, part, errors) -> str:
    kind = kind_of(message)
    named = text_in(part, "type") or (kind if kind not in ("unsupported", "unknown") else "")
    reason = next((words for error in errors_of(message) if (words := _error_words(error))), "")
    return f"[unsupported message: {named or reason}]" if named or reason else "[unsupported message]"


def errors_of(part: dict[str, Any]) -> tuple[ProviderError, ...]:
    """The `errors` of a message, status or change in our shape; empty where there are none."""
    return tuple(provider_error(error) for error in _dicts(part.get("errors")))


def _error_words(error: ProviderError) -> str:
    return error.details or error.title


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _plain(value: Any) -> str:
    """A JSON value as a person writes it: text as it is, numbers without quotes, anything deeper as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _beside(label: str, words: str) -> str:
    return f"{label} {words}" if words else label


_WORDS = {
    "text": _text_words,
    **dict.fromkeys(MEDIA_KINDS, _media_words),
    "location": _location_words,
    "contacts": _contacts_words,
    "interactive": _interactive_words,
    "button": _button_words,
    "reaction": _reaction_words,
    "order": _order_words,
    "system": _system_words,
    "unsupported": _unsupported_words,
}
