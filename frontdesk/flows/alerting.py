"""Alerts: what needs a person is told once when it lasts, and once when it is over: on the desk, to a webhook, by WhatsApp.

The deed and what tells it are one transaction, so a process that is killed tells nothing or all of it. Two workers judge, for one of
them may be the trouble. What comes back soon is the same alert: after each all-clear of a day the next needs twice the quiet.
"""

import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from frontdesk.errors import FrontdeskError
from frontdesk.flows import conditions, outgoing, telling_owner, template_parts
from frontdesk.flows.conditions import Condition
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.queues import RedisError
from frontdesk.store import alerts, callbacks, conversations, numbers
from frontdesk.store.alerts import Alert
from frontdesk.store.database import savepoint, transaction

log = logging.getLogger(__name__)

# So long it must be quiet before it is over, doubled with each time it was over within a day: 30 all-clears a day at most.
QUIET_SECONDS, LONGEST_QUIET_SECONDS = 120, 3600
DAY = 24 * 3600
KEPT_SECONDS = 90 * DAY

WORDS = {"on": "Needs you", "over": "All clear"}


def judge(context: Context) -> None:
    try:
        found = {condition.name: condition for condition in conditions.found(context)}
        context.presence.judged()
    except RedisError as error:  # what is not known is neither there nor over
        log.warning("nothing was judged: Redis does not answer (%s)", type(error).__name__)
        return
    known = {alert.condition: alert for alert in alerts.open_ones(context.db)}
    for name, condition in found.items():
        _seen(context, condition, known.get(name))
    for name in known.keys() - found.keys():
        _not_seen(context, known[name])


def _seen(context: Context, condition: Condition, alert: Alert | None) -> None:
    db, now = context.db, context.now()
    alert = alert or alerts.begin(db, condition.name, condition.words, condition.href, now)
    alerts.seen(db, alert, condition.words)
    if alert.told_at is None and not 0 <= now - alert.since < condition.lasting_seconds:
        _tell(context, alert, condition.words, "on", lambda: alerts.tell(db, alert, now))


def _not_seen(context: Context, alert: Alert) -> None:
    db, now = context.db, context.now()
    if alert.told_at is None:
        return alerts.drop(db, alert)
    if alert.quiet_since is None:
        return alerts.quiet(db, alert, now)
    if not 0 <= now - alert.quiet_since < _quiet_seconds(db, alert.condition, now):
        _tell(context, alert, alert.words, "over", lambda: alerts.end(db, alert, now))


def _quiet_seconds(db: sqlite3.Connection, condition: str, now: float) -> float:
    return min(QUIET_SECONDS * 2 ** min(alerts.over_since(db, condition, now - DAY), 10), LONGEST_QUIET_SECONDS)


# --- told ----------------------------------------------------------------------------------------------------------------------------


def _tell(context: Context, alert: Alert, words: str, state: str, first: Callable[[], bool]) -> None:
    """`first` takes the step; False: another process told it."""
    callback_id = conversation_id = None
    with transaction(context.db) as db:
        if not first():
            return
        if context.settings.alert_webhook_url:
            callback_id = _call(context, db, alert, words, state)
        if context.settings.alert_whatsapp:
            conversation_id = _write(context, db, words, state)
    log.log(logging.ERROR if state == "on" else logging.INFO, "%s: %s", WORDS[state].lower(), words)
    with context.ringing():
        if callback_id is not None:
            context.queues.call_back(callback_id)
        if conversation_id is not None:
            context.queues.send([conversation_id])


def _call(context: Context, db: sqlite3.Connection, alert: Alert, words: str, state: str) -> int:
    since = datetime.fromtimestamp(alert.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"alert": alert.condition, "state": state, "words": words, "since": since}
    return callbacks.add(db, None, context.settings.alert_webhook_url, f"alert.{state}", told, context.now())


def _write(context: Context, db: sqlite3.Connection, words: str, state: str) -> int | None:
    """The conversation to ring for; None where it cannot be written, which the log says. Inside a transaction."""
    phone, template, *number = context.settings.alert_whatsapp.split()
    name, _, language = template.partition("/")
    known = [one for one in numbers.all_of_them(db) if one.stopped_at is None and (not number or one.external_id == number[0])]
    try:
        with savepoint(db):
            found = telling_owner.number_with_template(db, known, name, language)
            if found is None:
                raise CannotSend("unknown_template", f"no number that sends has the template {name} in {language}")
            content = template_parts.fill_shortened(found[1], _values(template_parts.slots(found[1]), words, state)).content
            conversation_id = telling_owner.conversation(context, db, found[0], phone)
            outgoing.queue(context, db, conversations.get(db, conversation_id), Outgoing(content), purpose="alert")
    except FrontdeskError as error:
        log.error("an alert is not sent by WhatsApp: %s", error)
        return None
    return conversation_id


def _values(slots: list[template_parts.Slot], words: str, state: str) -> dict[str, str]:
    names = [slot.name for slot in slots if slot.where == "body"]
    if not 1 <= len(names) == len(slots) <= 2:
        raise CannotSend("template_unusable", "the template wants one variable or two, in its text")
    words = template_parts.one_line(words)
    return dict(zip(names, [WORDS[state], words] if len(names) == 2 else [f"{WORDS[state]}: {words}"], strict=True))
