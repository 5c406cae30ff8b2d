"""A digest in words: what the model is told of a day and asked for, and the short form that fills a WhatsApp template."""

from typing import Any

from frontdesk.errors import FrontdeskError
from frontdesk.flows import digest_days, template_parts
from frontdesk.store.digest_counts import Numbers, Said
from frontdesk.store.digests import Digest
from frontdesk.store.templates import Template

MOST_LINES = 6
LONGEST_MESSAGE, LONGEST_CONVERSATION = 300, 1500
MOST_BYTES = 40_000  # of a day's conversations: some six inferences with a context of 4,096 tokens

# Of named variables; a template of up to four numbered ones has them in this order (see `_values`).
NAMES = ("day", "numbers", "summary", "open", "business", "digest")
MOST_NUMBERED = 4


class BadTemplate(FrontdeskError):
    """A template that no digest fits into."""


# --- for the model -----------------------------------------------------------------------------------------------------------------


def material(found: list[Said]) -> tuple[str, int]:
    """The conversations as one text without anybody's name, and how many of them are in it."""
    parts: list[str] = []
    size = 0
    for number, one in enumerate(found, 1):
        waits = ", waits for a person" if one.needs_person else ""
        lines = [f"{'Customer' if by_customer else 'We'}: {' '.join(text.split())[:LONGEST_MESSAGE]}" for by_customer, text in one.turns]
        part = f"## Conversation {number}{waits}\n" + "\n".join(lines)[:LONGEST_CONVERSATION]
        size += len(part.encode("utf-8", "replace")) + 2
        if size > MOST_BYTES:
            break
        parts.append(part)
    return "\n\n".join(parts), len(parts)


def schema() -> dict[str, Any]:
    lines = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": MOST_LINES}
    return {"type": "object", "properties": {"lines": lines}, "required": ["lines"], "additionalProperties": False}


def system(options: dict) -> str:
    language = options.get("language") or "the language that most of the conversations are in"
    return (
        "You tell the owner of a business what its customers wrote about yesterday, in one to five short lines, the most important first: what "
        "they asked for and ordered, what went wrong, what was promised, what nobody could answer. Name no person and no phone number. Count "
        "nothing: the numbers are known. Say nothing that the conversations do not say. "
        f'Write in {language}. Answer as JSON: {{"lines": [...]}}.'
    )


NOTE = (
    "You read one part of a business's conversations of a day. Write what mattered in them in at most five short sentences: questions, orders, "
    "complaints, promises, what was left unanswered. Name no person and no phone number. Write nothing else."
)


# --- for people --------------------------------------------------------------------------------------------------------------------


def numbers(counted: Numbers) -> str:
    parts = [
        f"{_count(counted.conversations, 'conversation')}, {_count(counted.received, 'message')} in, {counted.sent} out",
        f"answers: {counted.bot} by the bot, {counted.person} by people",
    ]
    if counted.median_seconds is not None:
        parts.append(f"half of the bot's within {seconds(counted.median_seconds)}")
    if counted.broadcast:
        parts.append(f"{counted.broadcast} by broadcasts")
    parts.append(f"{counted.failed} not delivered")
    parts.append(_count(counted.opted_out, "opt-out"))
    return "; ".join(parts)


def seconds(took: float) -> str:
    return f"{took:.0f} s" if took < 120 else f"{took / 60:.0f} min"


def _count(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def waiting(digest: Digest) -> str:
    if not digest.waiting_count:
        return "Nobody waits for a person."
    return f"{_count(digest.waiting_count, 'conversation')} {'waits' if digest.waiting_count == 1 else 'wait'} for a person."


# --- the short form ------------------------------------------------------------------------------------------------------------------


def check(template: Template) -> None:
    """Raises BadTemplate."""
    if obstacle := template_parts.obstacle(template):
        raise BadTemplate(obstacle[:1].upper() + obstacle[1:])
    if template_parts.header_file(template):
        raise BadTemplate("Its heading is a file, and a digest has none.")
    slots = template_parts.slots(template)
    if any(slot.where != "body" for slot in slots):
        raise BadTemplate("It has a variable in its heading or a button; a digest fills those of the text.")
    if not slots:
        raise BadTemplate("It has no variable that a digest could fill.")
    names = [slot.name for slot in slots]
    numbered = all(name.isdigit() for name in names)
    if numbered and len(names) > MOST_NUMBERED:
        raise BadTemplate(f"It has {len(names)} variables; a digest fills {MOST_NUMBERED} at most.")
    if unknown := [name for name in names if name not in NAMES]:
        if not numbered:
            raise BadTemplate(f"A digest has nothing for {', '.join(unknown)}; it knows {', '.join(NAMES)}.")


def filled(template: Template, digest: Digest, business: str) -> template_parts.Filled:
    """Shortened until WhatsApp takes it. Raises BadTemplate, template_parts.BadVariable."""
    check(template)
    return template_parts.fill_shortened(template, _values([slot.name for slot in template_parts.slots(template)], _parts(digest, business)))


def _parts(digest: Digest, business: str) -> dict[str, str]:
    told = " ".join(f"• {line}" for line in digest.lines) or digest.remark or "–"
    parts = {
        "day": digest_days.in_words(digest.day), "numbers": numbers(digest.numbers), "summary": told, "open": waiting(digest), "business": business,
    }  # fmt: skip
    parts["digest"] = f"{parts['numbers']}. {told} {parts['open']}"
    return {name: template_parts.one_line(value) for name, value in parts.items()}


def _values(names: list[str], parts: dict[str, str]) -> dict[str, str]:
    if not all(name.isdigit() for name in names):
        return {name: parts[name] for name in names}
    ordered = {
        1: [f"{parts['day']}: {parts['digest']}"],
        2: [parts["day"], parts["digest"]],
        3: [parts["day"], parts["numbers"], f"{parts['summary']} {parts['open']}"],
        4: [parts["day"], parts["numbers"], parts["summary"], parts["open"]],
    }
    return dict(zip(names, ordered.get(len(names), []), strict=True))
