"""Buttons under an answer: up to three as buttons, more as a list, and in a channel that has neither as a numbered text.

The limits are WhatsApp's: docs/channels.md and contents.py have them too; pydantic is not for the workers.
"""

from collections.abc import Sequence

from frontdesk.channels import Channel, Content
from frontdesk.flows.splitting import split_text

MOST_BUTTONS, LONGEST_BUTTON, LONGEST_TEXT = 3, 20, 1024
MOST_ROWS, LONGEST_ROW = 10, 24


def contents(channel: Channel, parts: Sequence[str], options: Sequence[str], list_word: str) -> list[Content]:
    """The messages of an answer, the options under the last of its `parts` (at least one)."""
    *before, last = parts
    made = _interactive(last, options, list_word)
    if made is None or channel.refusal(made):
        numbered = "\n".join([last, "", *(f"{number}. {option}" for number, option in enumerate(options, 1))])
        return [Content("text", part) for part in (*before, *_fitting(channel, last, numbered))]
    *begun, asking = split_text(last, LONGEST_TEXT)
    return [*(Content("text", part) for part in (*before, *begun)), _interactive(asking, options, list_word)]


def _fitting(channel: Channel, last: str, numbered: str) -> list[str]:
    """One message where it fits."""
    return [numbered] if len(numbered) <= 4096 and channel.fits(numbered) else [last, numbered[len(last) :].strip()]


def _interactive(text: str, options: Sequence[str], list_word: str) -> Content | None:
    """None where the options are too long for either."""
    longest = max(map(_units, options))
    if len(options) <= MOST_BUTTONS and longest <= LONGEST_BUTTON:
        replies = [{"type": "reply", "reply": {"id": f"choice.{number}", "title": option}} for number, option in enumerate(options, 1)]
        return Content("interactive", text, {"type": "button", "body": {"text": text}, "action": {"buttons": replies}})
    if longest > LONGEST_ROW:
        return None
    rows = [{"id": f"choice.{number}", "title": option} for number, option in enumerate(options, 1)]
    return Content("interactive", text, {"type": "list", "body": {"text": text}, "action": {"button": list_word, "sections": [{"rows": rows}]}})


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2
