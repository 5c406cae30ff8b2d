"""The desk's reads on a full database: the list with each filter, its counts, a thread, search, and whole pages.

    bench/run desk.py [--conversations 100000] [--messages 1000000]

Limits beside the figures: 50 ms for a search, 100 ms for everything that a page reads.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from machine import heading, table

from frontdesk import settings as settings_module
from frontdesk.flows import first_run
from frontdesk.store import database, inbox, measures, search, thread
from frontdesk.store.database import transaction

WORDS = """order bread cake when open today tomorrow please thank hello invoice delivery price table reservation change cancel vegan gluten
birthday number street morning evening phone question answer weekend saturday sunday coffee milk sugar flour walnut chocolate lemon""".split()
NOW = 1_790_000_000.0
LIST_MS, SEARCH_MS = 100, 50


def fill(db, conversations: int, messages: int) -> None:
    """Each message has ten words of forty, one of 50,000 rare ones; a few conversations wait or need somebody, none was looked at."""
    dice = random.Random(1)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO contacts (id, client_id, phone, name, created_at, updated_at) VALUES (?, 1, ?, ?, 0, 0)",
        ((n, f"49151{n:07}", f"Customer {n}") for n in range(1, conversations + 1)),
    )
    db.executemany(
        """
        INSERT INTO conversations (id, number_id, contact_id, created_at, waiting_since, needs_person_at, state, window_closes_at)
        VALUES (?, 1, ?, 0, ?, ?, ?, ?)
        """,
        (
            (
                n, n, NOW - n if n % 500 == 0 else None, NOW - n if n % 1000 == 0 else None,
                "closed" if n % 3 == 0 else "human" if n % 700 == 0 else "bot", NOW + n % 86400,
            )
            for n in range(1, conversations + 1)
        ),
    )  # fmt: skip
    db.executemany(
        """
        INSERT INTO messages (id, conversation_id, number_id, direction, state, kind, text, raw, external_id, public_id,
            provider_at, created_at)
        VALUES (?, ?, 1, ?, ?, 'text', ?, '{}', ?, NULL, ?, ?)
        """,
        (
            (
                n, dice.randrange(1, conversations + 1), *(("out", "read") if n % 2 else ("in", "answered")),
                " ".join([*dice.choices(WORDS, k=9), f"rare{dice.randrange(50_000)}"]), f"w{n}", NOW - messages + n, NOW - messages + n,
            )
            for n in range(1, messages + 1)
        ),
    )  # fmt: skip
    db.execute(
        """
        INSERT INTO clients (id, name, system_prompt, holding_text, apology_text, created_at, updated_at)
        VALUES (2, 'Small', '', '', '', 0, 0)
        """
    )
    db.execute("INSERT INTO numbers (id, client_id, channel, external_id, access_token_encrypted, created_at) VALUES (2, 2, 'cloud', '2', '', 0)")
    # the small client has not been written to for long
    db.execute("UPDATE conversations SET number_id = 2, last_message_at = last_message_at - 1e6 WHERE id % 2500 = 0")
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("ANALYZE")


def measured(work, times: int = 30) -> list[float]:
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - begin))
    return [statistics.median(took), statistics.quantiles(took, n=20)[18], max(took)]


def logged_in(settings):
    """A browser, as in the tests, with every hour that is over counted: what the server spends on a page."""
    from chatbot import create_app
    from tests import desk

    app = create_app(settings)
    app.extensions["frontdesk"].now = lambda: NOW
    browser = desk.log_in(app)
    with transaction(app.extensions["frontdesk"].db) as db:
        while measures.roll_up(db, NOW):
            pass
    return browser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    given = parser.parse_args()
    heading("The desk's reads")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        settings = settings_module.load({"DATA_DIR": folder}, env_file=Path(folder) / "none")
        database.migrate(settings)
        first_run.prepare(settings)
        db = database.connect(settings)
        begin = time.perf_counter()
        fill(db, given.conversations, given.messages)
        size = settings.database_path.stat().st_size / 1e9
        print(f"{given.messages:,} messages in {given.conversations:,} conversations, {size:.2f} GB, {time.perf_counter() - begin:.0f} s\n")
        rows = [[f"list: {which}", *measured(lambda: inbox.page(db, which, now=NOW, user_id=1)), LIST_MS] for which in inbox.FILTERS]
        for which in inbox.FILTERS:
            of_small = measured(lambda: inbox.page(db, which, now=NOW, user_id=1, client_id=2))
            rows.append([f"list: {which}, of a client with 40", *of_small, LIST_MS])
        deep = inbox.page(db, "open", now=NOW, user_id=1)[-1]
        rows.append(["list: next page", *measured(lambda: inbox.page(db, "open", now=NOW, user_id=1, after=(deep.place, deep.id))), LIST_MS])
        rows.append(["all counts", *measured(lambda: inbox.counts(db, now=NOW, user_id=1)), LIST_MS])
        rows.append(["thread", *measured(lambda: thread.page(db, 77)), LIST_MS])
        for words in ("rare777", "bread", "bread cake walnut", "brea", "br", "b", "rare1", "nothinglikethis", "bread nothinglikethis"):
            rows.append([f"search: {words}", *measured(lambda: search.find(db, words)), SEARCH_MS])
        browser = logged_in(settings)
        for path in ("/inbox", "/inbox/77", "/inbox/list", "/overview?span=week", "/dead-letters"):
            rows.append([f"page: {path}", *measured(lambda: browser.get(path)), LIST_MS])
        table(["what", "p50 ms", "p95 ms", "max ms", "limit ms", "p95 of it"], [[*row, row[2] / row[4]] for row in rows])
        db.close()


if __name__ == "__main__":
    main()
