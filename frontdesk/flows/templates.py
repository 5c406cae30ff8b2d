"""Templates are read from Meta: by a timer, when a webhook says that something changed, and on a person's word."""

import logging
import sqlite3
from typing import Any

from frontdesk.channels import AccountEvent, cloud_account
from frontdesk.errors import FrontdeskError
from frontdesk.flows import reach
from frontdesk.flows.context import Context
from frontdesk.store import numbers, templates
from frontdesk.store.database import transaction
from frontdesk.store.numbers import Number

log = logging.getLogger(__name__)

# Meta's events of message_template_status_update that are no status of the same name.
_STATUS_OF_EVENT = {"FLAGGED": None, "UNFLAGGED": None, "REINSTATED": "APPROVED", "UNARCHIVED": None}

FIELDS = (
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "template_correct_category_detection",
)


def refresh_all(context: Context) -> None:
    """Every account once, whichever of its numbers is asked with."""
    for account_id, number in _accounts(context.db).items():
        refresh(context, account_id, number)
        reach.refresh(context, account_id, number)


def refresh(context: Context, account_id: str, number: Number) -> str | None:
    """Read the account's list. Why it could not be read, None where it was; what is known stays then."""
    try:
        read = cloud_account.message_templates(numbers.sender(number, context.settings))
    except FrontdeskError as error:
        templates.not_read(context.db, account_id, str(error), context.now())
        log.warning("templates of account %s: %s", account_id, error)
        return str(error)
    with transaction(context.db) as db:
        templates.replace_all(db, account_id, read, context.now())
    return None


def _accounts(db: sqlite3.Connection) -> dict[str, Number]:
    """One number of each account, one that is not stopped where there is such."""
    found: dict[str, Number] = {}
    for number in numbers.all_of_them(db):
        if number.account_id and number.channel == "cloud" and (number.account_id not in found or number.stopped_at is None):
            found[number.account_id] = number
    return found


def number_of(db: sqlite3.Connection, account_id: str) -> Number | None:
    return _accounts(db).get(account_id)


def record_event(db: sqlite3.Connection, event: AccountEvent) -> bool:
    """What a webhook says of a template is believed at once. True where the list must be read again. Inside a transaction."""
    if event.field not in FIELDS:
        return False
    value = event.raw
    name, language = value.get("message_template_name"), value.get("message_template_language")
    if isinstance(name, str) and isinstance(language, str):
        templates.change(db, event.account_id, name, language, **_changes(event.field, value))
    return True


def _changes(field: str, value: dict[str, Any]) -> dict[str, str | None]:
    match field:
        case "message_template_status_update" if isinstance(value.get("event"), str):
            said = value["event"].upper()
            status = _STATUS_OF_EVENT.get(said, said)
            reason = value.get("reason")
            known = reason if isinstance(reason, str) and reason.upper() != "NONE" else None
            return {"status": status, "reason": known} if status else {}
        case "message_template_quality_update" if isinstance(value.get("new_quality_score"), str):
            return {"quality": value["new_quality_score"].upper()}
        case "template_category_update" if isinstance(value.get("new_category"), str):
            return {"category": value["new_category"].upper()}
    return {}
