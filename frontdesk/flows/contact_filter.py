"""A filter of contacts, as a small JSON object: checked here, answered by store/contact_filters.py.

    {"tags_any": ["vip"], "tags_all": [], "tags_none": ["staff"], "wrote_within_days": 30, "countries": ["DE", "AT"]}
    {"never_answered": true}

Every part may be left out; what is there must all be true of a contact.
"""

import json
import sqlite3
from typing import Any

from frontdesk.errors import BadFilter
from frontdesk.flows import phones
from frontdesk.store import contact_filters, tags

MOST_TAGS = 20
MOST_COUNTRIES = 50
MOST_DAYS = 3650

_LISTS = ("tags_any", "tags_all", "tags_none")
PARTS = (*_LISTS, "wrote_within_days", "never_answered", "countries")


def checked(raw: Any) -> dict:
    """The filter in its one form, without what is empty. Raises `BadFilter`."""
    if not isinstance(raw, dict):
        raise BadFilter("filter", "A filter is an object.")
    for part in raw:
        if part not in PARTS:
            raise BadFilter(str(part)[:50], f"A filter has no '{str(part)[:50]}'; it has {', '.join(PARTS)}.")
    found = {part: _tags(part, raw.get(part)) for part in _LISTS}
    found["wrote_within_days"] = _days(raw.get("wrote_within_days"))
    found["never_answered"] = _flag(raw.get("never_answered"))
    found["countries"] = _countries(raw.get("countries"))
    if found["never_answered"] and found["wrote_within_days"] is not None:
        raise BadFilter("never_answered", "Who never answered cannot have written lately: choose one of the two.")
    return {part: value for part, value in found.items() if value not in (None, False, [])}


def _tags(part: str, value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise BadFilter(part, "Tags are a list of words.")
    found = sorted({normal for tag in value if (normal := tags.normal(tag))})
    if len(found) > MOST_TAGS:
        raise BadFilter(part, f"A filter has at most {MOST_TAGS} tags in one list.")
    return found


def _days(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_DAYS:
        raise BadFilter("wrote_within_days", f"Days are a whole number from 1 to {MOST_DAYS}.")
    return value


def _flag(value: Any) -> bool:
    if value not in (None, True, False):
        raise BadFilter("never_answered", "This is true or false.")
    return bool(value)


def _countries(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MOST_COUNTRIES:
        raise BadFilter("countries", f"Countries are a list of at most {MOST_COUNTRIES} codes such as DE.")
    known = set(phones.regions()) if value else set()
    found = sorted({str(country).strip().upper() for country in value})
    for country in found:
        if country not in known:
            raise BadFilter("countries", f"'{country[:20]}' is no country's code; they look like DE or BR.")
    return found


def codes(filter: dict) -> list[str]:
    """The calling codes of its countries. Countries may share one (+1): `phones.read` tells their numbers apart."""
    return sorted({phones.calling_code(country) for country in filter.get("countries", [])})


def count(db: sqlite3.Connection, client_id: int, filter: dict, now: float) -> int:
    """How many contacts it means; of a country that shares its calling code, those of its neighbours too (`is_about`)."""
    return contact_filters.count(db, client_id, filter, codes(filter), now)


def is_about(filter: dict) -> bool:
    return any(map(phones.shares_calling_code, filter.get("countries", [])))


def words(filter: dict) -> str:
    """For people, in one line."""
    days = filter.get("wrote_within_days")
    parts = [
        f"{label} {', '.join(filter[part])}"
        for part, label in (("tags_any", "tagged any of"), ("tags_all", "tagged all of"), ("tags_none", "not tagged"), ("countries", "from"))
        if filter.get(part)
    ]
    parts += [f"wrote in the last {days} days" if days > 1 else "wrote in the last day"] if days else []
    parts += ["never answered"] if filter.get("never_answered") else []
    return "; ".join(parts) or "everybody"


def loads(text: str | None) -> dict:
    return json.loads(text) if text else {}


def dumps(filter: dict) -> str:
    return json.dumps(filter, ensure_ascii=False, sort_keys=True)
