"""What everybody at the desk must know at once, above every page: what needs a person (flows/conditions.py), and broadcasts."""

import time
from dataclasses import dataclass

from frontdesk.flows import conditions
from frontdesk.flows.conditions import Condition
from frontdesk.flows.context import Context
from frontdesk.queues import RedisError
from frontdesk.store import alerts, broadcasts
from frontdesk.store.alerts import Alert

DONE_SHOWN_SECONDS = 3600

# A process that just began leaves the others time to begin, too.
JUDGES_BEGIN_SECONDS = 150
SHOWN_ANYWAY = ("number ", "model ")  # at once, and as they are now


@dataclass(frozen=True, slots=True)
class Banner:
    """`kind`: danger, warning or success. `href` leads to the mend."""

    kind: str
    text: str
    href: str | None = None
    label: str = "Look"


def banners(context: Context) -> list[Banner]:
    stopped = [Banner("danger", each.words, each.href, "Mend it") for each in conditions.of_numbers(context)]
    away = [Banner("warning", each.words) for each in conditions.of_models(context)]
    return [*stopped, *away, *_alerts(context), *_broadcasts(context)]


def _alerts(context: Context) -> list[Banner]:
    """What was told. While nobody judges, because the workers or the scheduler are gone themselves, it is judged here and now."""
    try:
        judged = context.presence.is_judged()
        now = alerts.told(context.db) if judged or time.monotonic() - context.began < JUDGES_BEGIN_SECONDS else conditions.found(context)
    except RedisError:
        now = [conditions.redis_away()]
    return [Banner("danger", each.words, each.href) for each in now if not _name(each).startswith(SHOWN_ANYWAY)]


def _name(each: Alert | Condition) -> str:
    return each.condition if isinstance(each, Alert) else each.name


def _broadcasts(context: Context) -> list[Banner]:
    """What paused by itself until somebody looks, and for an hour what is done."""
    paused = [
        Banner("warning", f"The broadcast {one.name} pauses: {one.pause_words}", f"/broadcasts/{one.public_id}")
        for one in broadcasts.paused_by_themselves(context.db)
    ]
    done = broadcasts.done_since(context.db, context.now() - DONE_SHOWN_SECONDS)
    return paused + [Banner("success", f"The broadcast {one.name} is done.", f"/broadcasts/{one.public_id}") for one in done]
