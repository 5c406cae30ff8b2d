"""Opening hours as people type them, a line for each day: "09:00-12:00, 13:00-18:00"; empty is closed."""

import json
import re

from flask import request

from frontdesk.flows import hours
from frontdesk.web.forms import Form

NAMES = dict(zip(hours.DAYS, ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"), strict=True))


def typed(stored: str | None) -> dict[str, str]:
    """What the form's fields show."""
    opening = hours.read(stored)
    values = {"always_open": "yes" if opening is None else ""}
    for day in hours.DAYS:
        values[f"hours_{day}"] = ", ".join(f"{begins}-{ends}" for begins, ends in (opening or {}).get(day, []))
    return values


def read(form: Form) -> str | None:
    """What is stored: JSON, None where it is always open."""
    form.values["always_open"] = request.form.get("always_open", "")
    opening = {day: _day(form, day) for day in hours.DAYS}
    return None if form.values["always_open"] == "yes" else json.dumps({day: spans for day, spans in opening.items() if spans})


def _day(form: Form, day: str) -> list[list[str]]:
    field = f"hours_{day}"
    words = form.values[field] = request.form.get(field, "").strip()
    spans = [re.fullmatch(r"(\d{1,2}:\d\d)\s*[-–]\s*(\d{1,2}:\d\d)", part.strip()) for part in words.split(",") if part.strip()]
    if not all(spans):
        form.wrong(field, f"{NAMES[day]} looks like 09:00-12:00, 13:00-18:00, or is empty.")
        return []
    found = [[begins.zfill(5), ends.zfill(5)] for begins, ends in (span.groups() for span in spans)]
    try:
        hours.read(json.dumps({day: found}))
    except ValueError as error:
        form.wrong(field, f"{NAMES[day]}: {error}.")
    return found
