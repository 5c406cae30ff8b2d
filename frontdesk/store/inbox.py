"""The desk's list of conversations: filters, pages and counts. Everything it orders by stands on the conversation itself."""

import sqlite3
from dataclasses import dataclass

from frontdesk.store.counters import MOST_COUNTED
from frontdesk.store.names import SHOWN_NAME

# Closes within this time, and somebody should still write.
WINDOW_SOON_SECONDS = 2 * 3600

_SOMEBODY_OWES = "(waiting_since IS NOT NULL OR conversations.state = 'human' OR needs_person_at IS NOT NULL)"

# Word for word the conditions of the partial indices.
FILTERS = {
    "open": "conversations.state <> 'closed'",
    "unread": "unread > 0",
    "waiting": "waiting_since IS NOT NULL",
    "person": "needs_person_at IS NOT NULL",
    "mine": "conversations.state = 'human' AND taken_by = :user_id",
    "human": "conversations.state = 'human'",
    "window": f"window_closes_at BETWEEN :now AND :now + {WINDOW_SOON_SECONDS} AND {_SOMEBODY_OWES}",
    "closed": "conversations.state = 'closed'",
}
NO_CANARY = "conversations.id NOT IN (SELECT one.id FROM conversations AS one JOIN canary ON canary.number_id = one.number_id)"
COUNTED = ("unread", "waiting", "person", "mine", "human", "window")

# Where SQLite would take another, and look into every conversation that it names.
_INDEX = {"person": "INDEXED BY inbox_person", "mine": "INDEXED BY inbox_mine"}

# Longest waiting first; everything else newest first.
_OLDEST_FIRST = {"waiting": "waiting_since", "window": "window_closes_at"}


@dataclass(frozen=True, slots=True)
class Item:
    """One conversation in the list. `place` is where a following page goes on."""

    id: int
    name: str
    client: str
    channel: str
    number: str | None
    state: str
    taken_by: int | None
    unread: int
    waiting_since: float | None
    needs_person_at: float | None
    needs_person_reason: str | None
    window_closes_at: float | None
    last_message_at: float
    last_direction: str | None
    last_kind: str | None
    last_state: str | None
    last_purpose: str | None
    last_text: str | None
    place: float


def page(
    db: sqlite3.Connection,
    which: str,
    *,
    now: float,
    user_id: int,
    client_id: int | None = None,
    after: tuple[float, int] | None = None,
    limit: int = 40,
) -> list[Item]:
    """`which`: a name of FILTERS. `after`: `place` and id of the last item of the page before."""
    if client_id is None:
        return _page(db, which, None, after, {"now": now, "user_id": user_id, "limit": limit})
    # number by number: by time alone, a small client's conversations would be looked for among everybody's
    numbers = [row["id"] for row in db.execute("SELECT id FROM numbers WHERE client_id = ?", (client_id,))]
    pages = [_page(db, which, number_id, after, {"now": now, "user_id": user_id, "limit": limit}) for number_id in numbers]
    items = sorted((item for page in pages for item in page), key=lambda item: (item.place, item.id))
    return (items if which in _OLDEST_FIRST else items[::-1])[:limit]


def _page(db: sqlite3.Connection, which: str, number_id: int | None, after: tuple[float, int] | None, given: dict) -> list[Item]:
    place = _OLDEST_FIRST.get(which, "last_message_at")
    sign, direction = (">", "ASC") if which in _OLDEST_FIRST else ("<", "DESC")
    conditions = [FILTERS[which], NO_CANARY]
    if number_id is not None:
        conditions.append("conversations.number_id = :number_id")
    if after:
        conditions.append(f"({place}, conversations.id) {sign} (:place, :id)")
        given = {**given, "place": after[0], "id": after[1]}
    rows = db.execute(
        f"""
        SELECT conversations.id, {SHOWN_NAME}, clients.name, channel, display_phone,
            conversations.state, taken_by, unread, waiting_since, needs_person_at, needs_person_reason, window_closes_at,
            last_message_at, messages.direction, messages.kind, messages.state, messages.purpose,
            substr(messages.text, 1, 160), {place}
        FROM conversations
        JOIN contacts ON contacts.id = conversations.contact_id
        JOIN numbers ON numbers.id = conversations.number_id
        JOIN clients ON clients.id = numbers.client_id
        LEFT JOIN messages ON messages.id = last_message_id
        WHERE {" AND ".join(conditions)}
        ORDER BY {place} {direction}, conversations.id {direction} LIMIT :limit
        """,
        {**given, "number_id": number_id},
    )
    return [Item(*row) for row in rows]


def counts(db: sqlite3.Connection, *, now: float, user_id: int, client_id: int | None = None) -> dict[str, int]:
    """Of each of COUNTED. One above MOST_COUNTED stands for more than that."""
    given = {"now": now, "user_id": user_id, "client_id": client_id}
    of_client = "" if client_id is None else " AND number_id IN (SELECT id FROM numbers WHERE client_id = :client_id)"
    return {
        which: db.execute(
            f"SELECT COUNT(*) FROM (SELECT 1 FROM conversations {_INDEX.get(which, '')} WHERE {FILTERS[which]} AND {NO_CANARY}{of_client} LIMIT {MOST_COUNTED + 1})", given
        ).fetchone()[0]
        for which in COUNTED
    }


def mark_read(db: sqlite3.Connection, conversation_id: int) -> None:
    db.execute("UPDATE conversations SET unread = 0 WHERE id = ? AND unread > 0", (conversation_id,))


def mark_unread(db: sqlite3.Connection, conversation_id: int) -> None:
    db.execute("UPDATE conversations SET unread = MAX(unread, 1) WHERE id = ?", (conversation_id,))
