"""An installation to fuzz: a database with numbers, a known customer and sent messages, a real Redis, and the web application."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.channels import Content, Person
from frontdesk.flows import context as contexts, first_run, webhook_address, widgets
from frontdesk.settings import Settings
from frontdesk.simulator.message_templates import TEMPLATES
from frontdesk.store import contacts, conversations, database, numbers, outbox, templates

CLIENT = 1
NUMBER, ACCOUNT = "106540352242922", "102290129340398"  # of tests/payloads
WIDGET_KEY, SHOP = "corner-bakery", "https://shop.example"
CUSTOMER = "4915112345678"
RESTORED_EVERY = 100  # executions: what one leaves behind the next ones meet, but not for ever


class Place:
    """`context`: flows on it. Every hundredth `anew()` puts the database back; Redis is emptied by each."""

    def __init__(self):
        self.settings = made_settings()
        database.migrate(self.settings)
        first_run.prepare(self.settings)
        self.redis = queues.connect(self.settings.redis_address)
        self.context = replace(contexts.make(self.settings, self.redis), now=lambda: 1_790_000_000.0)
        self.context.db.execute("PRAGMA synchronous = OFF")
        with database.transaction(self.context.db) as db:
            self.fill(db)
        self.kept, self.used = sqlite3.connect(":memory:"), 0
        self.keep()

    def fill(self, db: sqlite3.Connection) -> None:
        now, key = self.context.now(), webhook_address.new_key()
        common = {"client_id": CLIENT, "access_token": "token", "now": now}
        cloud = numbers.put(db, self.settings, channel="cloud", external_id=NUMBER, account_id=ACCOUNT, **common)
        wati = numbers.put(db, self.settings, channel="wati", external_id="384776", base_url="http://127.0.0.1:9/384776", webhook_key=key, **common)
        widget = widgets.make(db, self.settings, client_id=CLIENT, name="Shop", origins=(SHOP,), now=now, key=WIDGET_KEY)
        self.wati_address = f"{wati}.{key}"
        self.conversations = {}
        for number, person in ((cloud, Person(phone=CUSTOMER)), (wati, Person(phone=CUSTOMER)), (widget, Person(user_id="web:abc"))):
            conversation = conversations.of(db, number, contacts.resolve(db, CLIENT, person, now), now)
            self.conversations[number] = conversation
            for serial, state in enumerate(("sent", "sending", "queued")):
                message = outbox.queue(db, conversation, number, Content("text", f"Answer {serial}"), purpose="answer", now=now)
                db.execute(
                    "UPDATE messages SET public_id = ?, state = ?, external_id = ?, attempt = 1 WHERE id = ?",
                    (f"sent{number}{serial}", state, f"wamid.ours{serial}" if state == "sent" else None, message),
                )
        templates.replace_all(db, ACCOUNT, [listed(one) for one in TEMPLATES], now)

    def keep(self) -> None:
        """As the database is now it is put back."""
        self.context.db.backup(self.kept)

    def anew(self) -> None:
        self.redis.flushdb()
        self.used += 1
        if self.used % RESTORED_EVERY == 0:
            self.kept.backup(self.context.db)


def made_settings() -> Settings:
    environ = {"DATA_DIR": os.environ["DATA_DIR"], "REDIS_URL": os.environ["REDIS_URL"]}
    return settings_module.load(environ, env_file=Path(os.environ["DATA_DIR"]) / "none")



def listed(template: dict) -> dict:
    """One of the simulator's as the channel reads it from Meta's list."""
    return {"parameter_format": "POSITIONAL", "reason": None, "quality": None, "external_id": template["id"], **template}
