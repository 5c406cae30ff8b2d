"""What happened, by time: counted once when an hour is over, and live for the time since. Never by reading old messages.

Messages are numbered in the order in which they are written, so the first one of any time is found by halving, without an index.
"""

import collections
import json
import sqlite3
from dataclasses import dataclass, field

from frontdesk import histogram
from frontdesk.histogram import Histogram

HOUR = 3600

OUT_OF_ORDER = 1_000  # messages: a clock that was set back put so many in another order

# Percentiles of what takes time, in an answer's life.
DURATIONS = ("waited", "retrieval", "model", "send", "answer")


@dataclass
class Counted:
    """`failures`: provider's code (None: no answer) → count. `durations`: of answers, a histogram for each of DURATIONS."""

    received: int = 0
    bot: int = 0
    person: int = 0
    failures: dict[int | None, int] = field(default_factory=dict)
    durations: dict[str, Histogram] = field(default_factory=lambda: {name: {} for name in DURATIONS})

    def add(self, other: "Counted") -> None:
        self.received += other.received
        self.bot += other.bot
        self.person += other.person
        for code, count in other.failures.items():
            self.failures[code] = self.failures.get(code, 0) + count
        for name in DURATIONS:
            self.durations[name] = histogram.added([self.durations[name], other.durations[name]])


def between(db: sqlite3.Connection, begin: float, end: float, step: float, client_id: int | None = None) -> dict[float, Counted]:
    """Start of each step → what was counted in it. `step` is an hour or a whole part or multiple of it."""
    found: dict[float, Counted] = {}
    starts = []
    at = begin
    while at < end:
        starts.append(at)
        found[at] = Counted()
        at += step
    live_from = begin
    if step >= HOUR:
        live_from = max(begin, _rolled_up_to(db))
        for hour, counted in _rolled(db, begin, live_from, client_id):
            found[begin + (hour - begin) // step * step].add(counted)
    if live_from < end:
        for start, counted in _live(db, live_from, end, min(step, HOUR), client_id).items():
            found[begin + (start - begin) // step * step].add(counted)
    return found


def roll_up(db: sqlite3.Connection, now: float, most_hours: int = 24) -> int:
    """Count the hours that are over and not counted yet. Returns how many. Inside a transaction.

    Durations of an answer that is sent after its hour was counted are left out: a retry's, mostly.
    """
    begin, end = _rolled_up_to(db), now // HOUR * HOUR - HOUR
    done = 0
    while begin < end and done < most_hours:
        clients = [row["client_id"] for row in db.execute("SELECT DISTINCT client_id FROM numbers")]
        for client_id in clients:
            counted = _live(db, begin, begin + HOUR, HOUR, client_id).get(begin)
            if counted and counted != Counted():
                db.execute("INSERT OR REPLACE INTO measures VALUES (?, ?, ?)", (int(begin), client_id, _written(counted)))
        db.execute("INSERT OR REPLACE INTO measures VALUES (?, 0, '{}')", (int(begin),))
        begin += HOUR
        done += 1
    return done


def clean(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM measures WHERE hour < ?", (before,)).rowcount


def _rolled_up_to(db: sqlite3.Connection) -> float:
    """Everything before this time is counted. Client 0 marks an hour as done."""
    row = db.execute("SELECT MAX(hour) AS newest FROM measures WHERE client_id = 0").fetchone()
    if row["newest"] is not None:
        return row["newest"] + HOUR
    first = db.execute("SELECT created_at FROM messages ORDER BY id LIMIT 1").fetchone()
    return first["created_at"] // HOUR * HOUR if first else 0


def _rolled(db: sqlite3.Connection, begin: float, end: float, client_id: int | None):
    rows = db.execute(
        "SELECT hour, counted FROM measures WHERE hour >= ? AND hour < ? AND client_id > 0 AND (?3 IS NULL OR client_id = ?3)",
        (begin, end, client_id),
    )
    for row in rows:
        yield row["hour"], _read(row["counted"])


def _live(db: sqlite3.Connection, begin: float, end: float, step: float, client_id: int | None) -> dict[float, Counted]:
    found: dict[float, Counted] = collections.defaultdict(Counted)
    durations: dict[tuple[float, str], list[float]] = collections.defaultdict(list)
    rows = db.execute(
        """
        SELECT messages.created_at, direction, purpose, state, error_code, waited_seconds, retrieval_seconds, model_seconds, sent_at, kind
        FROM messages JOIN numbers ON numbers.id = number_id
        WHERE messages.id BETWEEN ? AND ?5 AND messages.created_at >= ?2 AND messages.created_at < ?3 AND (?4 IS NULL OR client_id = ?4)
        """,
        (first_since(db, begin), begin, end, client_id, first_since(db, end) + 2 * OUT_OF_ORDER),
    )
    for at, direction, purpose, state, code, waited, retrieval, model, sent_at, kind in rows:
        start = begin + (at - begin) // step * step
        counted = found[start]
        if direction == "in":
            counted.received += kind not in ("reaction", "system")
            continue
        if state == "failed":
            counted.failures[code] = counted.failures.get(code, 0) + 1
        if purpose in ("person", "phone_app"):
            counted.person += 1
        elif purpose == "answer" and waited is not None:
            counted.bot += 1
            durations[start, "waited"].append(waited)
            durations[start, "model"].append(model or 0)
            if retrieval is not None:
                durations[start, "retrieval"].append(retrieval)
            if sent_at is not None:
                durations[start, "send"].append(sent_at - at)
                durations[start, "answer"].append(waited + (retrieval or 0) + (model or 0) + sent_at - at)
    for (start, name), seconds in durations.items():
        found[start].durations[name] = histogram.made(seconds)
    return dict(found)


def first_since(db: sqlite3.Connection, at: float) -> int:
    """The id of the first message written since, give or take those written in the same moment."""
    low, high = 0, db.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM messages").fetchone()[0]
    while low < high:
        middle = (low + high) // 2
        row = db.execute("SELECT id, created_at FROM messages WHERE id >= ? ORDER BY id LIMIT 1", (middle,)).fetchone()
        if row is None or row["created_at"] >= at:
            high = middle
        else:
            low = row["id"] + 1
    return max(0, low - OUT_OF_ORDER)


def _written(counted: Counted) -> str:
    failures = {"" if code is None else str(code): count for code, count in counted.failures.items()}
    return json.dumps([counted.received, counted.bot, counted.person, failures, counted.durations])


def _read(text: str) -> Counted:
    received, bot, person, failures, durations = json.loads(text)
    return Counted(
        received,
        bot,
        person,
        {int(code) if code else None: count for code, count in failures.items()},
        {name: {int(place): count for place, count in durations.get(name, {}).items()} for name in DURATIONS},
    )
