"""A database of a business that has used Frontdesk for long: as many messages as wanted, at 600 an hour however many they are.

Five clients (one has 60 % of the conversations, one 0.1 %), a conversation for each 40 messages and a long one with 0.5 % of them all,
answers, people's answers, broadcasts (one of 2 % of all messages), failures, files, tags, opt-outs, callbacks, audit. What stands at one
time (20 who wait, 20 of a person, 50 left over) is as much in a small one as in a large one; what nobody looks after has grown with it.
"""

import bisect
import json
import random
import sqlite3
import time
from collections.abc import Iterator

from frontdesk.store.search import merge_some, spaced

NOW = 1_790_000_000.0
AN_HOUR = 600  # messages
BATCH = 100_000
LONG = 77  # the long conversation
SHARES = (0.6, 0.85, 0.95, 0.999, 1.0)  # up to which part of the conversations each client's go
BROADCASTS = 100

COMMON = """order bread cake when open today tomorrow please thank hello invoice delivery price table reservation change cancel vegan gluten
birthday number street morning evening phone question answer weekend saturday sunday coffee milk sugar flour walnut chocolate lemon""".split()
GERMAN = "guten tag bestellung kuchen brötchen öffnungszeiten heute morgen danke bitte rechnung lieferung geburtstag straße größe".split()
JAPANESE = ("明日の予約を変更できますか", "ケーキを注文したいです", "営業時間を教えてください", "ありがとうございます", "配達は何時ですか")
THAI = ("พรุ่งนี้เปิดกี่โมงครับ", "ขอสั่งเค้กวันเกิดหนึ่งก้อน", "ขอบคุณมากค่ะ")

CONTENTS = json.dumps({"name": "summer_sale", "language": "en", "variables": {}})


def fill(db: sqlite3.Connection, messages: int) -> None:
    """Into a new database of the newest schema, with its first client and number. Indices and triggers are taken away meanwhile."""
    conversations = max(100, messages // 40)
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("PRAGMA secure_delete = OFF")
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -1000000")
    kept = db.execute(
        """
        SELECT type, name, sql FROM sqlite_master
        WHERE sql IS NOT NULL AND type IN ('index', 'trigger') AND tbl_name IN ('messages', 'conversations', 'contacts', 'media', 'callbacks')
        """
    ).fetchall()
    for row in kept:
        db.execute(f"DROP {row['type']} {row['name']}")
    db.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('hashsize', 67108864)")
    dice = random.Random(1)
    begin = NOW - messages * 3600 / AN_HOUR
    _counted(db, begin)
    _businesses(db)
    _broadcasts(db, messages, begin)
    last = _messages(db, dice, messages, conversations, begin)
    _people(db, dice, conversations, begin, last)
    _beside(db, messages, conversations, begin)
    for row in kept:
        db.execute(row["sql"])
    _standing(db)
    db.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('hashsize', 1048576)")
    while merge_some(db, 1_000):  # as it would have been on the way: otherwise whoever writes next does the work of years
        pass
    db.execute("PRAGMA journal_mode = WAL")


def _many(db: sqlite3.Connection, sql: str, rows: Iterator) -> None:
    db.execute("BEGIN")
    db.executemany(sql, rows)
    db.execute("COMMIT")


def client_of(conversation: int, conversations: int) -> int:
    """1 to 5."""
    return bisect.bisect_left(SHARES, (conversation - 0.5) / conversations) + 1


def _counted(db: sqlite3.Connection, begin: float) -> None:
    """As if every hour had been counted when it was over, but for the last two weeks."""
    db.execute("INSERT INTO measures VALUES (?, 0, '{}')", (max(begin, NOW - 14 * 86400) // 3600 * 3600 - 3600,))


def _businesses(db: sqlite3.Connection) -> None:
    """Beside the first. Their messages are kept ten years: the nightly cleaning looks, and finds none."""
    for n in range(2, len(SHARES) + 1):
        db.execute(
            """
            INSERT INTO clients (id, name, system_prompt, holding_text, apology_text, created_at, updated_at) VALUES (?, ?, '', '', '', 0, 0)
            """,
            (n, f"Business {n}"),
        )
        db.execute(
            "INSERT INTO numbers (id, client_id, channel, external_id, access_token_encrypted, created_at) VALUES (?1, ?1, 'cloud', ?2, '', 0)",
            (n, f"number {n}"),
        )
    db.execute("UPDATE clients SET messages_keep_days = 3650, closed_keep_days = 3650, media_keep_days = 3650")


def broadcast_of(n: int, messages: int) -> int | None:
    """Which broadcast message `n` belongs to: number 1 is the large one; of the others each is a tenth of a hundredth of all messages."""
    block = messages // BROADCASTS
    if 0 <= n - messages // 2 < 2 * block:
        return 1
    return 2 + (n - 1) // block if n % block < block // 10 else None


def _broadcasts(db: sqlite3.Connection, messages: int, begin: float) -> None:
    for n in range(1, BROADCASTS + 2):
        at = begin + max(0, n - 2) * (NOW - begin) / BROADCASTS
        size = messages // BROADCASTS * 2 if n == 1 else messages // BROADCASTS // 10
        db.execute("INSERT INTO audiences (id, public_id, client_id, name, source, state, created_at) VALUES (?1, ?2, 1, 'List', 'csv', 'ready', ?3)", (n, f"a{n}", at))
        db.execute(
            """
            INSERT INTO broadcasts (id, public_id, client_id, number_id, audience_id, name, content, state, position, total, created_at,
                started_at, finished_at)
            VALUES (?1, ?2, 1, 1, ?1, ?3, ?4, 'done', ?5, ?5, ?6, ?6, ?6)
            """,
            (n, f"b{n}", f"Broadcast {n}", CONTENTS, size, at),
        )  # fmt: skip


def _texts(dice: random.Random) -> list[str]:
    """20,000 of them: most of common words and some of 3,000 others, a tenth German, two of a hundred each Japanese and Thai."""
    others = ["".join(dice.choices(("ba", "ko", "lin", "mur", "ta", "sel", "dro", "fi"), k=4)) + str(n) for n in range(3_000)]
    made = []
    for n in range(20_000):
        if n % 50 == 0:
            made.append("".join(dice.sample(JAPANESE, 2)))
        elif n % 50 == 1:
            made.append("".join(dice.sample(THAI, 2)))
        else:
            made.append(" ".join(dice.choices(GERMAN if n % 10 == 2 else COMMON, k=7) + dice.choices(others, k=2)))
    return made


COLUMNS = """id, conversation_id, number_id, direction, state, kind, purpose, text, raw, external_id, public_id, provider_at, created_at,
    sent_at, delivered_at, read_at, failed_at, error_code, dismissed_at, waited_seconds, model_seconds, answered_by, broadcast_id, replied_at,
    user_id, attempt, media_id, media"""


def _messages(db: sqlite3.Connection, dice: random.Random, messages: int, conversations: int, begin: float) -> dict[int, int]:
    """By twos, what a customer wrote and what was answered. Returns each conversation's last message."""
    texts, last = _texts(dice), {}
    indexed = [spaced(text) for text in texts]
    insert = f"INSERT INTO messages ({COLUMNS}) VALUES ({', '.join('?' * 28)})"
    rares = max(1, messages // 200)
    for first in range(1, messages + 1, BATCH):
        rows, words = [], []
        conversation = 1
        for n in range(first, min(first + BATCH, messages + 1)):
            broadcast = broadcast_of(n, messages)
            if broadcast:
                conversation = int(dice.random() * conversations * SHARES[0]) + 1
            elif n % 2:
                conversation = LONG if n % 401 == 0 or n % 403 == 0 else int(dice.random() * conversations) + 1
            which, rare = int(dice.random() * 20_000), f" rare{int(dice.random() * rares)}"
            rare += " zebra" if n in (11, 111, 1111) else " early" if n < messages // 2 else " late"
            rows.append(_row(n, conversation, client_of(conversation, conversations), texts[which] + rare, begin + n * 3600 / AN_HOUR, broadcast, dice))
            words.append((n, indexed[which] + rare))
            if not broadcast:
                last[conversation] = n
        _many(db, insert, rows)
        _many(db, "INSERT INTO messages_fts (rowid, text) VALUES (?, ?)", words)
        if first // BATCH % 10 == 0:
            print(f"{first:,} of {messages:,}", time.strftime("%H:%M:%S"), flush=True)
    return last


def _row(n: int, conversation: int, number: int, text: str, at: float, broadcast: int | None, dice: random.Random) -> tuple:
    chance = dice.random()
    if n % 2 and not broadcast:
        media = '{"id": "m", "mime_type": "image/jpeg"}' if chance < 0.01 else None
        raw = f'{{"from": "49151{conversation:07}", "id": "wamid.{n}", "timestamp": "{at:.0f}", "type": "text", "text": {{"body": "{text}"}}}}'
        return (n, conversation, number, "in", "answered", "image" if media else "text", None, text, raw, f"wamid.{n}", None, at, at,
            None, None, None, None, None, None, None, None, n + 1, None, None, None, 0, None, media)  # fmt: skip
    failed = chance < (0.03 if broadcast else 0.005)
    state = "failed" if failed else "read" if chance < 0.65 else "delivered" if chance < 0.9 else "sent"
    purpose = "broadcast" if broadcast else "answer" if n % 20 else "person" if n % 40 else "api"
    dismissed = at + 60 if failed and not broadcast and dice.random() < 0.95 else None
    return (
        n, conversation, number, "out", state, "template" if broadcast else "text", purpose, text, None, f"wamid.{n}",
        f"{n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}", at, at, None if failed else at + 1, None if failed else at + 2,
        at + 60 if state == "read" else None, at + 1 if failed else None, 131026 if failed else None, dismissed,
        2.0 if purpose == "answer" else None, 3.0 if purpose == "answer" else None, None, broadcast,
        at + 600 if broadcast and chance > 0.9 else None, 1 if purpose == "person" else None, 1, None, None,
    )  # fmt: skip


def _people(db: sqlite3.Connection, dice: random.Random, conversations: int, begin: float, last: dict[int, int]) -> None:
    """Six of ten conversations are closed, in three of ten something is unread, one of two hundred is a person's; tags, opt-outs."""
    people = range(1, conversations + 1)
    client = {n: client_of(n, conversations) for n in people}
    _many(db, "INSERT INTO contacts (id, client_id, phone, name, created_at, updated_at) VALUES (?, ?, ?, ?, ?4, ?4)".replace("?4, ?4", "?, ?"),
        ((n, client[n], f"49151{n:07}", f"Customer {n}", begin, begin) for n in people))  # fmt: skip
    _many(db, "INSERT INTO contact_aliases VALUES (?, 'phone', ?, ?)", ((client[n], f"49151{n:07}", n) for n in people))
    hour = 3600 / AN_HOUR
    _many(
        db,
        """
        INSERT INTO conversations (id, number_id, contact_id, created_at, state, unread, last_message_id, last_message_at, window_closes_at,
            needs_person_at, needs_person_reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            (
                n, client[n], n, begin, "closed" if n % 10 < 6 and n != LONG else "human" if n % 200 == 7 else "bot", int(n % 10 > 6), last.get(n),
                begin + last.get(n, 0) * hour, begin + last.get(n, 0) * hour + 86400, *((begin, "failed") if n % 200 == 9 else (None, None)),
            )
            for n in people
        ),
    )  # fmt: skip
    _many(db, "INSERT INTO contact_tags VALUES (?, ?, ?)", ((client[n], dice.choice(("vip", "wholesale", "allergy")), n) for n in people if n % 10 == 0))
    _many(db, "INSERT INTO opt_outs VALUES (?, NULL, ?)", ((n, dice.uniform(begin, NOW)) for n in people if n % 50 == 0))


def _beside(db: sqlite3.Connection, messages: int, conversations: int, begin: float) -> None:
    """Customers' files, callbacks of a month, audit, notes, schedules with what they fired, webhooks that nobody understood."""
    _many(
        db,
        """
        INSERT INTO media (id, public_id, client_id, state, sha256, mime_type, size_bytes, created_at, used_at)
        VALUES (?1, ?2, 1, 'ready', ?2, 'image/jpeg', 1000, ?3, ?3)
        """.replace("?1", ":n").replace("?2", ":id").replace("?3", ":at"),
        ({"n": n, "id": f"{n:064x}", "at": begin + n * (NOW - begin) / (messages // 200)} for n in range(1, messages // 200 + 1)),
    )
    db.execute(
        """
        INSERT INTO received_files (message_id, state, created_at) SELECT id, 'done', created_at FROM messages WHERE media IS NOT NULL
        """
    )
    db.execute("UPDATE messages SET media_id = (SELECT COUNT(*) FROM media) * id / ? WHERE media IS NOT NULL", (messages + 1,))
    month = NOW - 30 * 86400
    _many(
        db,
        """
        INSERT INTO callbacks (public_id, client_id, url, host, event, body, state, attempts, created_at, begun_at)
        VALUES (?, 1, 'https://example.com/hook', 'example.com', ?, '{}', ?, 1, ?, ?)
        """,
        (
            (f"c{n}", ("broadcast.done", "document.done", "message.failed")[n % 3], "failed" if n % 100 == 0 else "delivered", month + n, month + n)
            for n in range(messages // 50)
        ),
    )
    _many(
        db,
        "INSERT INTO audit (at, actor, actor_id, actor_name, deed, subject, details) VALUES (?, 'user', ?, 'Mina', ?, 'conversation 1', '{}')",
        ((begin + n * (NOW - begin) * 200 / messages, n % 5 + 1, ("inbox.taken", "inbox.closed")[n % 2]) for n in range(messages // 200)),
    )
    _many(db, "INSERT INTO notes (conversation_id, user_id, text, created_at) VALUES (?, 1, 'Called back', ?)", ((n, begin) for n in range(1, conversations, 20)))
    _many(
        db,
        """
        INSERT INTO schedules (id, public_id, client_id, number_id, conversation_id, name, content, rule, time_zone, next_at, late_limit_seconds,
            state, created_at, updated_at)
        VALUES (?, ?, 1, 1, ?, 'Reminder', '{"kind": "text", "text": "Hello"}', ?, 'UTC', ?, 3600, ?, ?, ?)
        """,
        (
            (n, f"s{n}", n, "every monday 09:00" if n % 4 == 0 else None, NOW + 1e6 + n if n % 4 == 0 else None, "active" if n % 4 == 0 else "done", begin, begin)
            for n in range(1, conversations // 25)
        ),
    )
    _many(
        db,
        "INSERT INTO schedule_firings VALUES (?, ?, ?, ?, NULL, NULL, NULL)",
        (
            (n, NOW - 604800 * k, NOW - 604800 * k, "refused" if (n + k) % 50 == 0 else "sent")
            for n in range(1, conversations // 25)
            for k in range(1, 21 if n % 4 == 0 else 2)
        ),
    )
    _many(
        db,
        "INSERT INTO rejected_events (event_key, channel, reason, body, received_at, dismissed_at) VALUES (?, 'cloud', 'unknown', '{}', ?, ?)",
        ((f"e{n}", begin + n, begin + n if n % 10 else None) for n in range(messages // 10_000)),
    )


def _standing(db: sqlite3.Connection) -> None:
    """As much of it, however much is stored."""
    db.execute("BEGIN")
    waiting = [row["id"] for row in db.execute("SELECT id FROM conversations WHERE state = 'bot' ORDER BY last_message_at DESC LIMIT 90")]
    for place, conversation_id in enumerate(waiting):
        if place < 20:
            db.execute("UPDATE conversations SET waiting_since = ?, reply_due_at = ?, window_closes_at = ? WHERE id = ?",
                (NOW - place, NOW + 600, NOW + 3600, conversation_id))  # fmt: skip
        elif place < 40:
            db.execute("UPDATE conversations SET state = 'human', taken_by = 1, taken_at = ?, resumes_at = ? WHERE id = ?", (NOW, NOW + 9e4, conversation_id))
        else:
            db.execute(
                "UPDATE messages SET state = 'unanswered' WHERE id = (SELECT MAX(id) FROM messages WHERE conversation_id = ? AND direction = 'in')", (conversation_id,)
            )
    failed = "state = 'failed' AND purpose IS NOT 'broadcast' ORDER BY id DESC LIMIT 2"
    db.execute(f"UPDATE messages SET dismissed_at = NULL WHERE id IN (SELECT id FROM messages WHERE {failed})")
    db.execute("COMMIT")
