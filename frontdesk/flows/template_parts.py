"""A template's parts: what it wants to be filled in, what is wrong with what was given, and how it reads once filled.

Rules of Meta's "Template components" and "Send templates", mid-2026: nothing in a variable may be empty, hold a line break, a tab
or more than four spaces in a row.
"""

import re
from dataclasses import dataclass
from typing import Any

from frontdesk.channels import Content
from frontdesk.errors import FrontdeskError
from frontdesk.store.templates import APPROVED, Template

FILES = ("image", "video", "document")
LONGEST_BODY, LONGEST_HEADER, LONGEST_URL = 1024, 60, 2000
LONGEST_COUPON, LONGEST_PASSWORD = 20, 15  # Meta's "Coupon code templates" and "Copy code authentication templates"

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_NOT_ALLOWED = re.compile(r"[\n\r\t]| {5,}")

# What needs more than text, a file or an address to be sent.
_BEYOND = {"LOCATION": "a place in its heading", "CAROUSEL": "a carousel", "LIMITED_TIME_OFFER": "a limited-time offer", "PRODUCT": "a product"}
_BUTTONS_BEYOND = {"FLOW": "a form", "CATALOG": "a catalogue", "MPM": "products", "SPM": "a product"}

_LONGEST_AT = {"COPY_CODE": ("A code to copy", LONGEST_COUPON), "OTP": ("A one-time password", LONGEST_PASSWORD)}

STATES = {
    "PENDING": "Meta has not approved it yet.",
    "REJECTED": "Meta rejected it.",
    "PAUSED": "Meta paused it, because of what people said of it. It comes back by itself after some hours.",
    "DISABLED": "Meta disabled it for good: write another.",
    "IN_APPEAL": "Meta looks at it again.",
    "PENDING_DELETION": "it is being deleted.",
    "DELETED": "it was deleted.",
    "LIMIT_EXCEEDED": "the account has too many templates.",
    "ARCHIVED": "it is archived.",
}


class BadVariable(FrontdeskError):
    """`field`: variables.NAME or header."""

    def __init__(self, field: str, words: str):
        self.field = field
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Slot:
    """Something to fill in. `name` as in `variables`; `where`: body, header, button. `label` says it to a person, `example` is Meta's."""

    name: str
    where: str
    label: str
    example: str = ""


@dataclass(frozen=True, slots=True)
class Filled:
    """`header` of a file's kind still lacks its file's id."""

    content: Content
    header: str
    body: str
    footer: str
    buttons: list[str]


def obstacle(template: Template) -> str | None:
    """Why it cannot be sent, None where it can."""
    if template.status != APPROVED:
        words = STATES.get(template.status, f"its state is {template.status}.")
        return f"{words} ({template.reason})" if template.reason else words
    for part in template.components:
        kind = _upper(part, "type")
        beyond = _BEYOND.get(kind) or _BEYOND.get(_upper(part, "format"))
        if not beyond and kind == "BUTTONS":
            beyond = next((_BUTTONS_BEYOND[_upper(button, "type")] for button in _buttons(template) if _upper(button, "type") in _BUTTONS_BEYOND), None)
        if beyond:
            return f"it has {beyond}, which Frontdesk does not send."
    return None


def slots(template: Template) -> list[Slot]:
    """In the order in which a person reads them."""
    found = []
    header = _part(template, "HEADER")
    found += [Slot("header", "header", "Heading", _example(header, "header_text")) for _ in _names(header)[:1]]
    body = _part(template, "BODY")
    examples = _body_examples(body)
    found += [Slot(name, "body", _label(name), examples.get(name, "")) for name in _names(body)]
    for place, button in enumerate(_buttons(template), 1):
        if kind := _button_variable(button):
            label = f"Code of “{_text(button)}”" if kind == "coupon_code" else f"End of the address of “{_text(button)}”"
            found.append(Slot(f"button_{place}", "button", label))
    return found


def header_file(template: Template) -> str | None:
    """The kind of file that its header wants: image, video, document."""
    kind = _upper(_part(template, "HEADER"), "format").lower()
    return kind if kind in FILES else None


def fill(template: Template, variables: dict[str, str], header_filename: str | None = None) -> Filled:
    """The message, with every variable in its place. Raises BadVariable."""
    wanted = slots(template)
    _check_names({slot.name for slot in wanted}, variables)
    for slot in wanted:
        _check_value(slot.name, variables[slot.name])
    header, body = _part(template, "HEADER"), _part(template, "BODY")
    heading = _filled(header, {name: variables["header"] for name in _names(header)[:1]})
    text = _filled(body, variables)
    _check_lengths(template, heading, text, variables)
    components = [*_header_component(template, header, variables, header_filename), *_body_component(template, body, variables)]
    components += _button_components(template, variables)
    footer = _text(_part(template, "FOOTER"))
    message = {"name": template.name, "language": {"code": template.language}}
    if components:
        message["components"] = components
    kind = header_file(template)
    words = "\n".join(filter(None, (f"[{kind}]" if kind else heading, text, footer)))
    return Filled(Content("template", words, message), heading, text, footer, [_text(button) for button in _buttons(template)])


def preview(template: Template, variables: dict[str, str]) -> Filled:
    """As `fill`, with what is missing or wrong left as {{name}}."""
    given = {}
    for slot in slots(template):
        value = variables.get(slot.name, "").strip()
        try:
            _check_value(slot.name, value)
        except BadVariable:
            value = f"{{{{{slot.name}}}}}"
        given[slot.name] = value
    header, body = _part(template, "HEADER"), _part(template, "BODY")
    heading = _filled(header, {name: given["header"] for name in _names(header)[:1]})
    return Filled(
        Content("template", "", None), heading, _filled(body, given), _text(_part(template, "FOOTER")), [_text(button) for button in _buttons(template)]
    )


# --- what was given ---------------------------------------------------------------------------------------------------------------


def _check_names(wanted: set[str], given: dict[str, str]) -> None:
    if missing := sorted(wanted - given.keys()):
        raise BadVariable(f"variables.{missing[0]}", f"The template wants {_count(len(wanted))}; missing: {', '.join(missing)}.")
    if extra := sorted(given.keys() - wanted):
        raise BadVariable(f"variables.{extra[0]}", f"The template has no variable {', '.join(extra)}; it has {', '.join(sorted(wanted)) or 'none'}.")


def _count(count: int) -> str:
    return "one variable" if count == 1 else f"{count} variables"


def _check_value(name: str, value: str) -> None:
    if not value.strip():
        raise BadVariable(f"variables.{name}", "WhatsApp refuses an empty variable.")
    if _NOT_ALLOWED.search(value):
        raise BadVariable(f"variables.{name}", "WhatsApp refuses line breaks, tabs and more than four spaces in a row in a variable.")


def _check_lengths(template: Template, heading: str, text: str, variables: dict[str, str]) -> None:
    if len(text) > LONGEST_BODY:
        raise BadVariable("variables", f"Filled in, the text has {len(text):,} characters; WhatsApp takes {LONGEST_BODY:,}.")
    if len(heading) > LONGEST_HEADER:
        raise BadVariable("variables.header", f"Filled in, the heading has {len(heading)} characters; WhatsApp takes {LONGEST_HEADER}.")
    for place, button in enumerate(_buttons(template), 1):
        what, most = _LONGEST_AT.get(_upper(button, "type"), ("An address", LONGEST_URL))
        value = variables.get(f"button_{place}", "")
        if len(value) > most:
            raise BadVariable(f"variables.button_{place}", f"{what} has {most:,} characters at most; this one has {len(value):,}.")


# --- values that nobody typed -----------------------------------------------------------------------------------------------------------


def one_line(value: str) -> str:
    """No line breaks, no tabs, no runs of spaces, nothing empty: WhatsApp refuses them in variables."""
    value = value.encode("utf-8", "replace").decode()
    return " ".join("".join(letter if letter.isprintable() or letter.isspace() else " " for letter in value).split()) or "–"


def fill_shortened(template: Template, values: dict[str, str]) -> Filled:
    """The longest value is cut until WhatsApp takes the text. Raises BadVariable."""
    for _ in range(len(values) + 3):
        over = len(preview(template, values).body) - LONGEST_BODY
        if over <= 0 or not values:
            break
        longest = max(values, key=lambda name: len(values[name]))
        values[longest] = values[longest][: max(1, len(values[longest]) - over - 2)].rstrip() + "…"
    return fill(template, values)


# --- the Cloud API's components -------------------------------------------------------------------------------------------------------


def _header_component(template: Template, header: dict, variables: dict[str, str], filename: str | None) -> list[dict[str, Any]]:
    if kind := header_file(template):
        return [{"type": "header", "parameters": [{"type": kind, kind: {"filename": filename} if filename else {}}]}]
    names = _names(header)
    return [{"type": "header", "parameters": [_parameter(template, names[0], variables["header"])]}] if names else []


def _body_component(template: Template, body: dict, variables: dict[str, str]) -> list[dict[str, Any]]:
    names = _names(body)
    return [{"type": "body", "parameters": [_parameter(template, name, variables[name]) for name in names]}] if names else []


def _parameter(template: Template, name: str, value: str) -> dict[str, str]:
    named = {"parameter_name": name} if template.parameter_format == "NAMED" else {}
    return {"type": "text", **named, "text": value}


def _button_components(template: Template, variables: dict[str, str]) -> list[dict[str, Any]]:
    made = []
    for place, button in enumerate(_buttons(template)):
        kind, value = _button_variable(button), variables.get(f"button_{place + 1}", "")
        if kind:
            parameter = {"type": "coupon_code", "coupon_code": value} if kind == "coupon_code" else {"type": "text", "text": value}
            sub_type = "copy_code" if kind == "coupon_code" else "url"
            made.append({"type": "button", "sub_type": sub_type, "index": str(place), "parameters": [parameter]})
    return made


def _button_variable(button: dict) -> str | None:
    """What a button wants: the end of its address, a code to copy, or nothing. The code of an authentication template is its address's end."""
    match _upper(button, "type"):
        case "URL" if _VARIABLE.search(str(button.get("url") or "")):
            return "url"
        case "OTP":
            return "url"
        case "COPY_CODE":
            return "coupon_code"
    return None


# --- Meta's shapes --------------------------------------------------------------------------------------------------------------------


def _part(template: Template, kind: str) -> dict[str, Any]:
    return next((part for part in template.components if _upper(part, "type") == kind), {})


def _buttons(template: Template) -> list[dict[str, Any]]:
    buttons = _part(template, "BUTTONS").get("buttons")
    return [button for button in buttons if isinstance(button, dict)] if isinstance(buttons, list) else []


def _names(part: dict[str, Any]) -> list[str]:
    """Of the variables in a part's text, each once; {{2}} before {{10}}."""
    names = dict.fromkeys(_VARIABLE.findall(_text(part)))
    return sorted(names, key=_as_number) if all(name.isdecimal() for name in names) else list(names)


def _as_number(digits: str) -> tuple[int, str]:
    return len(digits), digits


def _filled(part: dict[str, Any], values: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), _text(part))


def _text(part: dict[str, Any]) -> str:
    return part["text"] if isinstance(part.get("text"), str) else ""


def _upper(part: dict[str, Any], key: str) -> str:
    return part[key].upper() if isinstance(part.get(key), str) else ""


def _label(name: str) -> str:
    return f"Variable {name}" if name.isdigit() else name.replace("_", " ").capitalize()


def _example(part: dict[str, Any], key: str) -> str:
    example = part.get("example")
    values = example.get(key) if isinstance(example, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""


def _body_examples(body: dict[str, Any]) -> dict[str, str]:
    example = body.get("example")
    if not isinstance(example, dict):
        return {}
    rows, named = example.get("body_text"), example.get("body_text_named_params")
    if isinstance(named, list):
        return {str(one.get("param_name")): str(one.get("example") or "") for one in named if isinstance(one, dict)}
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], list) else []
    return {str(place): str(value) for place, value in enumerate(first, 1)}
