"""How many people an account may write to first: read from Meta beside its templates, and held against what a broadcast wants."""

import logging
import sqlite3

from frontdesk.channels import AccountEvent, cloud_account
from frontdesk.errors import FrontdeskError
from frontdesk.flows.context import Context
from frontdesk.store import numbers, reach
from frontdesk.store.broadcasts import Broadcast
from frontdesk.store.numbers import Number

log = logging.getLogger(__name__)

FIELD, SAID = "business_capability_update", "max_daily_conversations_per_business"
LEAST_REACH = 250  # of a new portfolio
MOVING_SECONDS = 24 * 3600


def refresh(context: Context, account_id: str, number: Number) -> None:
    """What is known stays where Meta does not say."""
    try:
        people = cloud_account.reach(numbers.sender(number, context.settings))
    except FrontdeskError as error:
        log.info("reach of account %s: %s", account_id, error)
        return
    if people is not None:
        reach.put(context.db, account_id, people, context.now())


def record_event(db: sqlite3.Connection, event: AccountEvent, now: float) -> None:
    """Inside a transaction."""
    people = cloud_account.people_of(event.raw.get(SAID)) if event.field == FIELD else None
    if people is not None:
        reach.put(db, event.account_id, people, now)


def warning(context: Context, broadcast: Broadcast) -> str | None:
    """Where this broadcast wants to reach more people than the account may."""
    account_id = numbers.get(context.db, broadcast.number_id).account_id
    people = reach.get(context.db, account_id)
    if people is None:
        if broadcast.total <= LEAST_REACH:
            return None
        return f"A new account may write to {LEAST_REACH} people in 24 hours outside open conversations; look up your limit in WhatsApp Manager."
    used = reach.used(context.db, account_id, context.now() - MOVING_SECONDS)
    if used + broadcast.total <= people:
        return None
    already = f", and has written to {used:,} since yesterday" if used else ""
    return f"Your account may write to {people:,.0f} people in 24 hours outside open conversations{already}; the rest would fail. Spread it over days."
