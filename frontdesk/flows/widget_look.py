"""How a web chat looks and speaks: its colours with enough contrast, and its words in the language of the page."""

import re
from typing import Any
from urllib.parse import quote

from frontdesk.flows import widget_thread
from frontdesk.flows.context import Context
from frontdesk.flows.widget_texts import LANGUAGES, RIGHT_TO_LEFT, TEXTS
from frontdesk.store import clients
from frontdesk.store.numbers import Number
from frontdesk.store.widgets import Widget

ACCENT = "#1b6b58"
GROUNDS = {"light": "#ffffff", "dark": "#181c1b"}
READABLE = 4.5  # WCAG 2.2, 1.4.3
MOST_QUESTIONS, LONGEST_QUESTION = 5, 80


def shown(context: Context, number: Number, widget: Widget, wanted_language: str) -> dict[str, Any]:
    """All that the script needs to draw itself."""
    language = language_for(widget, wanted_language)
    texts = words(widget, language)
    questions = [line.strip()[:LONGEST_QUESTION] for line in texts.pop("questions").splitlines() if line.strip()]
    texts.pop("whatsapp_text")
    return {
        "language": language,
        "direction": "rtl" if language in RIGHT_TO_LEFT else "ltr",
        "scheme": widget.scheme,
        "side": widget.side,
        "colours": colours(widget.accent),
        "business": clients.get(context.db, number.client_id, context.settings).name,
        "texts": texts,
        "questions": questions[:MOST_QUESTIONS],
        "open": widget_thread.is_open(context, number),
        "whatsapp": widget_thread.whatsapp_number(context, widget) is not None,
    }


def language_for(widget: Widget, wanted: str) -> str:
    """`wanted` as a page says it ("de-AT"), if we or the business have words for it; else the widget's own."""
    language = re.split("[-_]", wanted.lower(), maxsplit=1)[0]
    return language if language in LANGUAGES or language in widget.words else widget.language


def words(widget: Widget, language: str) -> dict[str, str]:
    return {**TEXTS["en"], **TEXTS.get(language, {}), **{name: text for name, text in widget.words.get(language, {}).items() if text}}


def whatsapp_url(phone: str, widget: Widget, wanted_language: str, code: str | None) -> str:
    text = words(widget, language_for(widget, wanted_language))["whatsapp_text"]
    return f"https://wa.me/{phone}?text={quote(f'{text} (FD{code})' if code else text)}"


# --- colours --------------------------------------------------------------------------------------------------------------------


def colours(accent: str) -> dict[str, str]:
    """`accent` fills; `on_accent` is read on it; `light` and `dark` are the accent as it can be read on those grounds."""
    return {
        "accent": accent,
        "on_accent": max("#ffffff", "#000000", key=lambda colour: contrast(colour, accent)),
        **{name: _readable(accent, ground) for name, ground in GROUNDS.items()},
    }


def contrast(one: str, other: str) -> float:
    """1 to 21, as WCAG defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _readable(colour: str, ground: str) -> str:
    towards = 255 if _luminance(ground) < 0.5 else 0
    for step in range(21):
        mixed = "#" + "".join(f"{round(part + (towards - part) * step / 20):02x}" for part in _parts(colour))
        if contrast(mixed, ground) >= READABLE:
            return mixed
    return mixed


def _luminance(colour: str) -> float:
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in _parts(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parts(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
