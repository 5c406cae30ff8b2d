"""Lookups: a GET at the business's own server for one answer. Its owner says where; the model only gives the parameters' values.

Nothing of an address reaches an error's words, and nothing of a secret a result's: both are shown on the desk and told to the model.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from urllib3.util import parse_url

from frontdesk import fetch
from frontdesk.errors import FetchFailed, FetchRefused, FrontdeskError
from frontdesk.flows import structured
from frontdesk.flows.context import Context
from frontdesk.store import secrets
from frontdesk.store.tools import Lookup

PHONE = "phone"  # filled in by us: the model cannot ask for another customer's
PLACE = re.compile(r"\{([^{}]*)\}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
ANSWER_BYTES = 64 * 1024
LONGEST_VALUE = 200
LONGEST_TIMEOUT_SECONDS = 20
LEAST_SECRET = 8  # characters of a part that could be a secret
NOTHING_FOUND = "Nothing was found."
SCALARS = ("string", "integer", "number", "boolean")


class BadLookup(FrontdeskError):
    """It cannot be declared like this; `field` is what is wrong."""

    def __init__(self, field: str, words: str):
        self.field = field
        super().__init__(words)


class BadArguments(FrontdeskError):
    """What the model gave does not fit, in words for the model."""


class LookupFailed(FrontdeskError):
    """No answer that can be used, in words for the model and for people."""


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that one call needs: made where the database is, called from any thread."""

    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    secret: str = field(repr=False)
    timeout_seconds: float
    allow_private: bool


# --- declaring ---------------------------------------------------------------------------------------------------------------------


def places(url: str) -> list[str]:
    return list(dict.fromkeys(PLACE.findall(url)))


def check_url(context: Context, url: str) -> str:
    """The host. Raises BadLookup."""
    wrong = next((name for name in places(url) if not NAME.fullmatch(name)), None)
    if wrong is not None:
        raise BadLookup("url", f"{{{wrong}}}: a parameter's name is small letters, digits and _, as in {{order_number}}.")
    if "{" in re.match(r"[^:]*:?/{0,2}([^/?#]*)", url)[1] or "#" in url:
        raise BadLookup("url", "Parameters stand behind the host, and an address for programs has no #.")
    filled = PLACE.sub("x", url)
    if "{" in filled or "}" in filled:
        raise BadLookup("url", "A { or } stands alone.")
    try:
        fetch.check(filled, allow_private=context.settings.fetch_private_addresses)
    except FetchRefused as error:
        raise BadLookup("url", f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    return host_of(filled)


def host_of(url: str) -> str:
    """By the parser that the request is made with."""
    return (parse_url(url).host or "").lower()


def usual_parameters(url: str) -> dict[str, Any]:
    """A text for each place in the address."""
    names = [name for name in places(url) if name != PHONE]
    return {"type": "object", "properties": {name: {"type": "string", "description": name.replace("_", " ")} for name in names}, "required": names}


def check_parameters(url: str, schema: Any) -> dict[str, Any]:
    """The schema as it is stored. Raises BadLookup."""
    named = [name for name in places(url) if name != PHONE]
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not all(isinstance(one, dict) for one in properties.values()):
        raise BadLookup("parameters", 'It looks like {"type": "object", "properties": {"order_number": {"type": "string"}}}.')
    if PHONE in properties:
        raise BadLookup("parameters", "{phone} is filled in with the customer's own number, so it is no parameter.")
    if set(properties) != set(named):
        raise BadLookup("parameters", f"Its properties are those of the address: {', '.join(named) or 'none'}.")
    if any(one.get("type") not in SCALARS for one in properties.values()):
        raise BadLookup("parameters", f"Each has a type: {', '.join(SCALARS)}.")
    in_path = places(url.partition("?")[0])
    schema = {**schema, "type": "object", "additionalProperties": False}
    required = schema.get("required", [])
    if not isinstance(required, list) or not set(map(str, required)) <= set(named):
        raise BadLookup("parameters", "required is a list of its properties' names.")
    schema["required"] = list(dict.fromkeys([*required, *(name for name in in_path if name != PHONE)]))
    if named:
        try:
            structured.check_schema(schema)
        except structured.BadSchema as error:
            raise BadLookup("parameters", f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    return schema


# --- asking --------------------------------------------------------------------------------------------------------------------------


def fitted(arguments: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the schema wants them. Small models write numbers as words and give empty values. Raises BadArguments."""
    if not isinstance(arguments, dict):
        raise BadArguments("the arguments must be a JSON object")
    properties = schema.get("properties", {})
    given = {name: _as_type(value, properties.get(name, {}).get("type")) for name, value in arguments.items() if value not in (None, "")}
    if any(isinstance(value, str) and len(value) > LONGEST_VALUE for value in given.values()):
        raise BadArguments(f"a value has at most {LONGEST_VALUE} characters")
    try:
        return structured.fitting(json.dumps(given), schema)
    except structured.DoesNotFit as error:
        raise BadArguments(str(error)) from None


def _as_type(value: Any, wanted: Any) -> Any:
    if wanted == "string" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if wanted == "boolean" and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if wanted in ("integer", "number") and isinstance(value, str) and re.fullmatch(r"-?\d{1,15}(\.\d{1,10})?", value.strip()):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


def request(context: Context, lookup: Lookup, arguments: dict[str, Any], phone: str | None, *, most_seconds: float) -> Request:
    """`arguments`: as fitted() gives them. Raises BadArguments, LookupFailed."""
    if PHONE in places(lookup.url):
        if not phone:
            raise LookupFailed("the customer's phone number is not known here")
        arguments = {**arguments, PHONE: phone}
    url = _filled(lookup.url, arguments)
    if host_of(url) not in lookup.hosts:
        raise LookupFailed("its address is not among the hosts that its owner allowed")
    try:
        secret = secrets.decrypt(context.settings, lookup.secret) if lookup.secret else ""
    except secrets.CannotDecrypt:
        raise LookupFailed("its secret cannot be read any more: its owner must type it again") from None
    headers = {"Accept": "application/json, text/plain", **lookup.headers, **({lookup.secret_header: secret} if secret else {})}
    timeout_seconds = min(lookup.timeout_seconds, LONGEST_TIMEOUT_SECONDS, most_seconds)
    return Request(url, headers, secret, timeout_seconds, context.settings.fetch_private_addresses)


def _filled(template: str, values: dict[str, Any]) -> str:
    path, _, query = template.partition("?")
    path = PLACE.sub(lambda place: _quoted(values[place[1]]), path)
    if any(segment in (".", "..") for segment in path.split("/")):
        raise BadArguments("a value cannot be dots alone")
    pairs = [pair for pair in query.split("&") if pair and all(name in values for name in places(pair))]
    query = "&".join(PLACE.sub(lambda place: _quoted(values[place[1]]), pair) for pair in pairs)
    return f"{path}?{query}" if query else path


def _quoted(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text.encode("utf-8", "replace"), safe="")


def ask(wanted: Request) -> str:
    """What the server says, as JSON or text. Raises LookupFailed."""
    try:
        reply = fetch.call(
            "GET", wanted.url, headers=wanted.headers, timeout_seconds=wanted.timeout_seconds, most_bytes=ANSWER_BYTES,
            allow_private=wanted.allow_private,
        )  # fmt: skip
    except (FetchRefused, FetchFailed) as error:
        raise LookupFailed(str(error)) from None
    if reply.status in (404, 410):
        return NOTHING_FOUND
    if not 200 <= reply.status < 300:
        raise LookupFailed(f"the server answered HTTP {reply.status}")
    return without_secret(_words(reply), wanted.secret) or NOTHING_FOUND


def _words(reply: fetch.Reply) -> str:
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    text = reply.body.decode("utf-8", "replace").strip()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.dumps(json.loads(text), ensure_ascii=False, separators=(", ", ": ")) if text else ""
        except (ValueError, RecursionError):
            raise LookupFailed("the server's answer says it is JSON and is not") from None
    if kind not in ("", "text/plain"):
        raise LookupFailed("the server's answer is neither JSON nor a text")
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def without_secret(text: str, secret: str) -> str:
    """A server may repeat what it was sent."""
    for part in sorted({secret, *secret.split()}, key=len, reverse=True):
        if part and (len(part) >= LEAST_SECRET or part == secret):
            for written in (part, json.dumps(part)[1:-1], quote(part, safe="")):
                text = text.replace(written, "•••")
    return text
