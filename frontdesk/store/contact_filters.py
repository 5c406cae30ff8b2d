"""Which contacts a filter means, as one statement. The filter is checked before (flows/contact_filter.py)."""

import json
import sqlite3
from dataclasses import dataclass

WINDOW_SECONDS = 24 * 3600  # a conversation's window closes so long after its customer last wrote


@dataclass(frozen=True, slots=True)
class Chosen:
    contact_id: int
    phone: str | None
    name: str | None


_FROM = """
    FROM contacts WHERE contacts.client_id = :client_id
        AND (:any_tag = '[]' OR contacts.id IN (
            SELECT contact_id FROM contact_tags WHERE client_id = :client_id AND tag IN (SELECT value FROM json_each(:any_tag))))
        AND (:all_tags = '[]' OR (
            SELECT COUNT(*) FROM contact_tags WHERE contact_id = contacts.id AND tag IN (SELECT value FROM json_each(:all_tags))
            ) = json_array_length(:all_tags))
        AND (:no_tag = '[]' OR contacts.id NOT IN (
            SELECT contact_id FROM contact_tags WHERE client_id = :client_id AND tag IN (SELECT value FROM json_each(:no_tag))))
        AND (:wrote_since IS NULL OR EXISTS (
            SELECT 1 FROM conversations WHERE contact_id = contacts.id AND window_closes_at >= :wrote_since + :window))
        AND (NOT :never_answered OR NOT EXISTS (
            SELECT 1 FROM conversations WHERE contact_id = contacts.id AND window_closes_at > 0))
        AND (:codes = '[]' OR EXISTS (
            SELECT 1 FROM json_each(:codes) AS code WHERE substr(contacts.phone, 1, length(code.value)) = code.value))
"""


def _values(client_id: int, filter: dict, codes: list[str], now: float) -> dict:
    days = filter.get("wrote_within_days")
    return {
        "client_id": client_id,
        "any_tag": json.dumps(filter.get("tags_any", [])),
        "all_tags": json.dumps(filter.get("tags_all", [])),
        "no_tag": json.dumps(filter.get("tags_none", [])),
        "wrote_since": None if days is None else now - days * 86400,
        "window": WINDOW_SECONDS,
        "never_answered": bool(filter.get("never_answered")),
        "codes": json.dumps(codes),
    }


def count(db: sqlite3.Connection, client_id: int, filter: dict, codes: list[str], now: float) -> int:
    """`codes`: the calling codes of the filter's countries."""
    return db.execute(f"SELECT COUNT(*) AS count {_FROM}", _values(client_id, filter, codes, now)).fetchone()["count"]


def after(
    db: sqlite3.Connection, client_id: int, filter: dict, codes: list[str], now: float, *, contact_id: int, limit: int
) -> list[Chosen]:
    """The next ones behind this contact."""
    rows = db.execute(
        f"SELECT contacts.id AS contact_id, phone, name {_FROM} AND contacts.id > :after ORDER BY contacts.id LIMIT :limit",
        {**_values(client_id, filter, codes, now), "after": contact_id, "limit": limit},
    )
    return [Chosen(**row) for row in rows]
