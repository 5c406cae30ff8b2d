"""The daily digest with every process real: whoever is killed, its owner gets it once."""

import time
from datetime import UTC, datetime

import pytest

from frontdesk.flows.context import make as make_context
from frontdesk.queues import connect
from frontdesk.store import digests
from frontdesk.store.digests import Wish
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.stack

LINES = '{"lines": ["Customers asked for lemon cake."]}'
ROUNDS = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("digests")) as running:
        yield running


@pytest.fixture
def context(stack):
    """Somebody wrote yesterday; the template is there."""
    context = make_context(stack.settings, connect(stack.settings.redis_address))
    stack.simulator.customer_writes("4915120000001", "Do you have lemon cake?")
    stack.simulator.wait_for_answers("4915120000001")
    context.queues.refresh_templates()
    wait_for(lambda: stack.rows("SELECT id FROM templates WHERE name = 'daily_digest'"))
    context.db.execute("UPDATE messages SET created_at = created_at - 86400")
    context.db.execute("UPDATE clients SET created_at = 0, time_zone = 'UTC'")
    return context


def test_each_digest_reaches_its_owner_once_whoever_is_killed(stack, context):
    stack.ollama.behave(text=LINES, first_token_delay_seconds=0.4)
    owners = [f"49151999900{n:02}" for n in range(ROUNDS)]

    for phone in owners:
        _due_now(context, phone)
        wait_for(lambda: stack.rows("SELECT 1 FROM digests"), 60)
        stack.kill("bulk")
        stack.kill("default")  # it is at the lines, or about to be
        wait_for(lambda: stack.rows("SELECT 1 FROM digests WHERE state = 'ready'"), 90)
        stack.kill("high")  # the message is queued, or being sent
        stack.kill("bulk")
    wait_for(lambda: all(stack.simulator.sends(phone) for phone in owners), 60)
    time.sleep(2 * stack.settings.sweep_seconds)
    assert {phone: len(stack.simulator.sends(phone)) for phone in owners} == dict.fromkeys(owners, 1)
    words = [parameter["text"] for parameter in stack.simulator.sends(owners[0])[0]["payload"]["template"]["components"][0]["parameters"]]
    assert words[1].startswith("1 conversation, 1 message in, 1 out; answers: 1 by the bot") and words[2] == "• Customers asked for lemon cake."


def _due_now(context, phone: str) -> None:
    """As if it were the first one of this client's."""
    context.db.execute("DELETE FROM digests")
    hour = datetime.fromtimestamp(context.now(), UTC).hour
    digests.keep_wish(context.db, Wish(1, True, hour, phone, "daily_digest", "en"), context.now())
