"""Ten thousand messages and ten million: the desk's pages, the search, the API, the sweep, the night and the drain in both.

    bench/run many.py [--stored 10000 10000000] [--folder FOLDER] [--rounds 9] [--only PART]

The databases stay in FOLDER for the next run, where one is named. Milliseconds of the server's CPU, without the network, and warm: each
is done once before it is measured. `ratio` near 1: what is stored makes no difference.
"""

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from machine import heading, redis_server, table

import filling
from filling import LONG, NOW
from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.flows import alerting, contact_filter, documents, erasing, first_run, forgetting, inbound, media, sweep
from frontdesk.flows import question_groups, replays, suggest, trying
from frontdesk.flows.context import Context, make
from frontdesk.settings import Settings
from frontdesk.store import api_tokens, audience_members, audit, callbacks, clients, database, digest_counts, login_links, measures, outbox
from frontdesk.store import past_turns, personal, replays as replay_rows, retention, schedules, suggestions, tries, user_sessions
from frontdesk.store.database import transaction
from tests import desk, webhooks

DAY = 86400
EVENTS = 1_000
DRAIN = f"drain of {EVENTS:,} events"
MOST_MS = 3_000  # then it is measured no further
Work = tuple[str, Callable[[], object]]


def pages(browser, large: int) -> Iterator[Work]:
    """`large`: the id of an owner's contact, who is in the long conversation."""
    paths = [
        *(f"/inbox?filter={which}" for which in ("open", "unread", "waiting", "person", "mine", "human", "window", "closed")),
        *(f"/inbox?filter={which}&client=5" for which in ("open", "waiting", "person", "human", "window", "closed")),
        f"/inbox/more?filter=closed&place={NOW - 3e5}&after=100",
        "/inbox/list",
        f"/inbox/{LONG}",
        f"/inbox/{LONG}/recent",
        f"/inbox/{LONG}/older?before={large}",
        f"/inbox/{LONG}?at={large}",
        *(f"/inbox/search?q={words}" for words in ("rare7", "rare", "bread", "bread cake walnut", "brea", "br", "b", "zebra", "nothinglikethis")),
        *(f"/inbox/search?q={words}" for words in ("bread nothinglikethis", "early late", "予約", "ケーキ", "ขอ", "öff", "ba")),
        *(f"/inbox/search?q={words}&client=5" for words in ("rare7", "bread")),
        *(f"/overview?span={span}" for span in ("hour", "day", "week")),
        "/overview?span=week&client=5",
        "/dead-letters",
        "/dead-letters/cause/undeliverable",
        "/broadcasts",
        "/broadcasts/b1",
        "/broadcasts/b50",
        "/broadcasts/b1/recipients",
        "/broadcasts/b1/recipients?state=failed",
        "/broadcasts/b1/recipients?state=answered",
        "/broadcasts/b1/recipients?q=4915100",
        "/audiences",
        "/audiences/new",
        f"/people/{LONG}",
        "/people/80",
        "/schedules",
        "/schedules/month",
        "/callbacks",
        "/callbacks?state=failed",
        "/rejected",
        "/audit",
        "/audit?deed=inbox.taken",
        "/digests",
        "/replays/new?client=1",
        "/clients/1",
        "/numbers/1",
        "/metrics",
    ]
    for path in paths:
        yield path.replace(str(large), "…"), lambda path=path: _ok(browser.get(path))


def api(browser, token: str, messages: int) -> Iterator[Work]:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    middle = messages // 80
    for path in (
        "/conversations", f"/conversations?cursor={middle}", f"/conversations/{LONG}/messages", f"/conversations/{LONG}/messages?cursor={messages // 2}",
        "/contacts", f"/contacts?cursor={middle}", "/numbers", "/broadcasts", "/broadcasts/b1", "/broadcasts/b1/recipients", "/schedules", "/callbacks",
        "/callbacks?state=failed", "/audiences",
    ):  # fmt: skip
        yield re.sub(r"cursor=\d+", "cursor=…", f"/api/v1{path}"), lambda path=path: _ok(browser.get(f"/api/v1{path}", headers=headers))


def _ok(answer) -> None:
    if answer.status_code != 200:
        raise SystemExit(f"{answer.request.path}: {answer.status_code} {answer.get_data(as_text=True)[:300]}")


def recurring(context: Context) -> Iterator[Work]:
    """What the scheduler starts every few seconds, and each night step by step."""
    db, now = context.db, NOW
    yield "sweep, every 15 s", lambda: sweep.sweep(context)
    yield "alerts, every 30 s", lambda: alerting.judge(context)
    steps = {
        "documents' results": lambda: documents.expire(context),
        "statuses of nothing": lambda: outbox.clean_unmatched(db, now - sweep.UNMATCHED_KEPT_SECONDS),
        "log-ins": lambda: (user_sessions.forget_expired(db, now), login_links.forget_expired(db, now)),
        "suggestions": lambda: suggestions.clean(db, now - suggest.KEPT_SECONDS),
        "idempotency keys": lambda: api_tokens.clean(db, now - sweep.KEY_KEPT_SECONDS),
        "callbacks": lambda: callbacks.clean(db, now - sweep.CALLBACKS_KEPT_SECONDS),
        "measures": lambda: measures.clean(db, now - sweep.MEASURES_KEPT_SECONDS),
        "firings": lambda: schedules.clean(db, now - sweep.FIRINGS_KEPT_SECONDS),
        "tries, replays": lambda: (tries.clean(db, now - trying.KEPT_SECONDS), replay_rows.clean(db, now - replays.KEPT_SECONDS)),
        "audit": lambda: audit.clean(db, now - 4000 * DAY),
        "files": lambda: media.clean(context),
        "questions": lambda: question_groups.clean(context),
        "erasures": lambda: erasing.clean(context),
        "what is past its time (nothing is)": lambda: forgetting.forget_old(context),
    }
    for name, work in steps.items():
        yield f"night: {name}", work
    yield "200 old messages deleted", lambda: undone(context, lambda: retention.delete_messages(db, list(range(2000, 2200))))
    yield "digest: its numbers", lambda: digest_counts.numbers(db, 1, now - 2 * DAY, now - DAY)
    yield "digest: who waits, what was said", lambda: (digest_counts.waiting(db, 1, 10), digest_counts.said(db, 1, now - 2 * DAY, now - DAY, 20, 8))


def beside(context: Context) -> Iterator[Work]:
    """What people start now and then."""
    db = context.db
    client = clients.get(db, 1, context.settings)
    yield "replay: turns of a week", lambda: past_turns.find(db, client.id, since=NOW - 7 * DAY, until=NOW, limit=100)
    yield "replay: turns of ever, with a word", lambda: past_turns.find(db, client.id, since=0, until=NOW, words="zebra", limit=100)
    yield "erasing: where a person is mentioned", lambda: personal.mentioned_in(db, erasing.subject(db, 80).names)
    yield "audience: contacts with a tag", lambda: contact_filter.count(db, 5, {"tags_any": ["vip"]}, NOW)
    yield "audience: who of 1,000 is known", lambda: audience_members.known(
        db, 1, [f"49151{n:07}" for n in range(1, 1001)], unreachable_codes=(131026,), failed_since=NOW - 30 * DAY
    )


def undone(context: Context, work: Callable[[], object]) -> None:
    context.db.execute("BEGIN IMMEDIATE")
    work()
    context.db.execute("ROLLBACK")


def _people(context: Context, most: int) -> list[int]:
    """Some of any age who, as most in life, have written since the last broadcast that they got."""
    people = random.sample(range(1, most + 1), min(most, EVENTS))
    replied = "UPDATE messages SET replied_at = ? WHERE conversation_id = ? AND broadcast_id IS NOT NULL AND replied_at IS NULL"
    with transaction(context.db) as db:
        db.executemany(replied, [(NOW, conversation_id) for conversation_id in people])
    return people


def put_events(context: Context, sent: list[tuple[str, str]], people: list[int]) -> None:
    """Half customers' messages, of people of any time, half statuses."""
    for n in range(EVENTS):
        if n % 2:
            phone = f"49151{random.choice(people):07}"
            body = webhooks.texts(webhooks.text("Are you open?", sender=phone, id=f"wamid.new{random.getrandbits(60)}", at=NOW))
        else:
            external_id, public_id = random.choice(sent)
            body = webhooks.statuses(webhooks.status("read", external_id, f"{public_id}.1", at=NOW))
        context.inbox.put("cloud", body, NOW)


def sent_messages(context: Context, messages: int, mean_age: float = 24 * filling.AN_HOUR) -> list[tuple[str, str]]:
    """`mean_age`: in messages. Statuses are of what was sent a moment ago, and a day ago on average: some are read late."""
    found = []
    while len(found) < 4 * EVENTS:
        row = context.db.execute(
            "SELECT external_id, public_id FROM messages WHERE id = ? AND number_id = 1 AND direction = 'out' AND state <> 'failed'",
            (messages + 1 - int(random.expovariate(1 / mean_age)),),
        ).fetchone()
        if row:
            found.append((row["external_id"], row["public_id"]))
    return found


def drained(context: Context, messages: int, rounds: int) -> float:
    """Milliseconds for EVENTS; afterwards everything is as it was, but for states of sent messages."""
    sent, took = sent_messages(context, messages), []
    people = _people(context, int(filling.SHARES[0] * max(100, messages // 40)) - 1)
    newest = context.db.execute("SELECT MAX(id) FROM messages").fetchone()[0]
    for _ in range(rounds + 1):
        put_events(context, sent, people)
        begin = time.thread_time()
        inbound.drain(context)
        took.append(1000 * (time.thread_time() - begin))
    _take_back(context, newest)
    return statistics.median(took[1:])


def _take_back(context: Context, newest: int) -> None:
    with transaction(context.db) as db:
        db.execute(
            """
            UPDATE conversations SET unread = 0, waiting_since = NULL, reply_due_at = NULL, state = 'bot',
                last_message_id = (SELECT MAX(id) FROM messages WHERE conversation_id = conversations.id AND id <= ?1)
            WHERE last_message_id > ?1
            """,
            (newest,),
        )
        db.execute("DELETE FROM messages WHERE id > ?", (newest,))
    context.queues.redis.flushall()


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Of this thread's CPU, which other programs on the machine do not change."""
    took = []
    work()
    for _ in range(rounds):
        begin = time.thread_time()
        work()
        took.append(1000 * (time.thread_time() - begin))
        if sum(took) > MOST_MS:
            break
    return statistics.median(took)


def logged_in(settings: Settings):
    """A browser and a token, as in the tests: what the server spends on a page."""
    from chatbot import create_app

    app = create_app(settings)
    context = app.extensions["frontdesk"]
    context.now = lambda: NOW
    browser = desk.log_in(app)
    with transaction(context.db) as db:
        db.execute("DELETE FROM api_tokens")
        return browser, api_tokens.add(db, "bench", None, api_tokens.SCOPES, None, NOW)


def filled(folder: Path, messages: int, redis: str) -> Settings:
    settings = settings_module.load({"DATA_DIR": str(folder), "REDIS_URL": redis}, env_file=folder / "none")
    begin, is_new = time.perf_counter(), not settings.database_path.exists()
    database.migrate(settings)
    if not is_new:
        print(f"{messages:,}: as it was left; migrated in {time.perf_counter() - begin:.1f} s", flush=True)
        return settings
    first_run.prepare(settings)
    db = database.connect(settings)
    filling.fill(db, messages)
    db.close()
    size = settings.database_path.stat().st_size / 1e9
    print(f"{messages:,}: {size:.2f} GB, {time.perf_counter() - begin:.0f} s", flush=True)
    return settings


def measured(settings: Settings, messages: int, rounds: int, only: str) -> dict[str, float]:
    connection = queues.connect(settings.redis_address)
    connection.flushall()
    context = make(settings, connection)
    context.now = lambda: NOW
    browser, token = logged_in(settings)
    with transaction(context.db) as db:
        while measures.roll_up(db, NOW):
            pass
    print(f"{messages:,}: hours counted", flush=True)
    before = context.db.execute("SELECT id FROM messages WHERE conversation_id = ? ORDER BY id LIMIT 1 OFFSET ?", (LONG, 20)).fetchone()
    works = chain(pages(browser, before["id"]), api(browser, token, messages), recurring(context), beside(context))
    found = {}
    for name, work in works:
        if only in name:
            found[name] = milliseconds(work, rounds)
            print(f"    {name}: {found[name]:.2f}", flush=True)
    if only in DRAIN:
        found[DRAIN] = drained(context, messages, rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, nargs=2, default=[10_000, 10_000_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="a part of the names of what is measured")
    given = parser.parse_args()
    heading("Few messages and many")
    with tempfile.TemporaryDirectory(prefix="bench") as temporary, redis_server() as redis:
        folder = given.folder or Path(temporary)
        few, many = [measured(filled(folder / str(stored), stored, redis), stored, given.rounds, given.only) for stored in given.stored]
    table(["what", *(f"ms at {stored:,}" for stored in given.stored), "ratio"], [[name, few[name], many[name], many[name] / few[name]] for name in few])


if __name__ == "__main__":
    main()
