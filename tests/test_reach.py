"""How many people an account may write to first: what Meta says of it, and what a broadcast is told."""

import math
from types import SimpleNamespace

import pytest

from frontdesk.channels import AccountEvent
from frontdesk.channels.cloud_account import people_of
from frontdesk.flows import reach, templates
from frontdesk.flows.context import make as make_context
from frontdesk.queues import connect
from frontdesk.store import reach as kept
from frontdesk.store.database import transaction
from tests.test_broadcasting import draft, people, served  # noqa: F401
from tests.test_templates import ACCOUNT, stack  # noqa: F401


@pytest.mark.parametrize(
    ("said", "people"),
    [("TIER_250", 250), ("TIER_2K", 2000), ("tier_100k", 100_000), ("UNLIMITED", math.inf), ("TIER_UNLIMITED", math.inf), (10_000, 10_000), (-1, math.inf), (10**400, math.inf)],
)
def test_meta_names_a_limit_as_a_tier_or_a_number(said, people):
    assert people_of(said) == people


@pytest.mark.parametrize("said", [None, "", "TIER_", "many", True, 2.5, ["TIER_250"], "TIER_99999999K"])
def test_what_is_no_limit_is_none(said):
    assert people_of(said) is None


def test_a_webhook_of_the_account_changes_it_and_other_events_do_not(context, db):
    with transaction(db):
        reach.record_event(db, AccountEvent(ACCOUNT, None, reach.FIELD, {reach.SAID: "TIER_2K"}), 1)
        reach.record_event(db, AccountEvent(ACCOUNT, None, reach.FIELD, {reach.SAID: "soon"}), 2)
        reach.record_event(db, AccountEvent(ACCOUNT, None, "account_update", {reach.SAID: "TIER_250"}), 3)
    assert kept.get(db, ACCOUNT) == 2000


def wanting(total: int) -> SimpleNamespace:
    return SimpleNamespace(number_id=1, total=total)


def test_a_broadcast_to_more_people_than_the_account_may_reach_is_warned_with_the_limit(context, db, people):
    people()  # gives the number its account
    assert reach.warning(context, wanting(250)) is None
    assert "look up your limit" in reach.warning(context, wanting(251))
    kept.put(db, ACCOUNT, 2000, 1)
    assert reach.warning(context, wanting(2000)) is None
    assert "2,000 people" in reach.warning(context, wanting(2001))
    kept.put(db, ACCOUNT, math.inf, 2)
    assert reach.warning(context, wanting(10**7)) is None


def test_whom_broadcasts_reached_since_yesterday_counts_too(context, db, clock, people, channel):
    served(context, draft(context, people("+4915110000001,Ana", "+4915110000002,Ben")))
    kept.put(db, ACCOUNT, 3, 1)
    assert "has written to 2 since yesterday" in reach.warning(context, wanting(2))
    assert reach.warning(context, wanting(1)) is None
    clock.forward(24 * 3600 + 1)
    assert reach.warning(context, wanting(2)) is None


def test_the_limit_is_read_beside_the_templates(stack):
    stack.simulator.behave(reach="TIER_10K")
    templates.refresh_all(make_context(stack.settings, connect(stack.settings.redis_address)))
    assert stack.rows("SELECT people FROM reach")[0]["people"] == 10_000
