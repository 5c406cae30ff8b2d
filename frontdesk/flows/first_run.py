"""What a new database is given: in development a client and a number that belong to the simulator."""

import sqlite3
import time
from dataclasses import replace

from frontdesk.flows import widgets as making
from frontdesk.settings import Settings
from frontdesk.store import clients, numbers, widgets
from frontdesk.store.database import connect, transaction

# The simulator's own (frontdesk/simulator): it and Frontdesk know each other only through HTTP.
SIMULATOR_NUMBER = "100000000000001"
SIMULATOR_ACCOUNT = "200000000000001"
SIMULATOR_TOKEN = "simulator"

DEMO_WIDGET = "corner-bakery"  # the key in the simulator's page of a shop

DEMO_CLIENT = "Corner Bakery"
DEMO_PROMPT = """
You are the assistant of the Corner Bakery, a small family bakery in the old town.
Opening hours: Tuesday to Saturday 7:00 to 18:00, Sunday 8:00 to 12:00, closed on Monday.
Address: 12 Mill Lane, next to the fountain. Phone for orders: in this chat.
Bread: sourdough 4.80, rye 4.20, baguette 1.90. Cakes by order, two days ahead, from 28.00; also vegan and gluten-free.
"""


def prepare(settings: Settings) -> None:
    """Safe to run at every start. Nothing in production: the operator adds the real number."""
    if not settings.development:
        return
    db = connect(settings)
    try:
        with transaction(db):
            now = time.time()
            known = numbers.find(db, "cloud", SIMULATOR_NUMBER)
            if known and known.base_url == settings.simulator_url:
                return
            client_id = clients.find(db, DEMO_CLIENT) or clients.add(db, DEMO_CLIENT, DEMO_PROMPT.strip(), now)
            numbers.put(
                db,
                settings,
                client_id=client_id,
                channel="cloud",
                external_id=SIMULATOR_NUMBER,
                account_id=SIMULATOR_ACCOUNT,
                access_token=SIMULATOR_TOKEN,
                display_phone="+1 555 010 0001",
                base_url=settings.simulator_url,
                now=now,
            )
    finally:
        db.close()


def prepare_widget(settings: Settings) -> None:
    """After prepare(): the web chat on the simulator's page of a shop, which is of another origin than ours."""
    if not settings.development:
        return
    db = connect(settings)
    try:
        with transaction(db):
            _put_widget(db, settings, time.time())
    finally:
        db.close()


def _put_widget(db: sqlite3.Connection, settings: Settings, now: float) -> None:
    known, whatsapp = numbers.find(db, widgets.CHANNEL, DEMO_WIDGET), numbers.find(db, "cloud", SIMULATOR_NUMBER)
    if known is None:
        origins = (settings.simulator_url,)
        number_id = making.make(db, settings, client_id=whatsapp.client_id, name="Website", origins=origins, now=now, key=DEMO_WIDGET)
        words = {"en": {"questions": "When are you open tomorrow?\nDo you bake gluten-free bread?"}}
        widgets.put(db, replace(widgets.get(db, number_id), words=words, whatsapp_number_id=whatsapp.id))
    elif (demo := widgets.get(db, known.id)) and settings.simulator_url not in demo.origins:
        widgets.put(db, replace(demo, origins=(*demo.origins, settings.simulator_url)))
