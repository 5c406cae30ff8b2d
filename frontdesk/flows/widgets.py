"""Making a web chat: a number whose key stands in the page's script, and how it looks until somebody changes that."""

import secrets
import sqlite3

from frontdesk.flows.widget_look import ACCENT
from frontdesk.settings import Settings
from frontdesk.store import numbers, widgets
from frontdesk.store.widgets import CHANNEL, Widget


def make(
    db: sqlite3.Connection, settings: Settings, *, client_id: int, name: str, origins: tuple[str, ...], now: float, key: str | None = None
) -> int:
    """The number's id. Inside a transaction."""
    number_id = numbers.put(
        db,
        settings,
        client_id=client_id,
        channel=CHANNEL,
        external_id=key or secrets.token_hex(12),
        access_token="",
        display_phone=name,
        now=now,
    )
    widgets.put(
        db,
        Widget(
            number_id=number_id,
            origins=origins,
            accent=ACCENT,
            scheme="auto",
            side="end",
            language="en",
            words={},
            ask_details=True,
            whatsapp_number_id=None,
            changed_at=now,
        ),
    )
    return number_id
