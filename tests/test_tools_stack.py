"""Tools through the whole of it, in real processes: a business's server on loopback, buttons on the simulator's phone, kill -9."""

import time

import pytest

from frontdesk import queues
from frontdesk.flows.context import make
from frontdesk.store import tools
from frontdesk.store.database import transaction
from frontdesk.store.secrets import encrypt
from frontdesk.store.tools import Lookup
from tests.stack import Stack, wait_for
from tests.standins.shop import Answer, Shop

pytestmark = pytest.mark.stack

SECRET = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def shop():
    with Shop({"status": "sent"}) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("tools")
    with Stack(folder, FETCH_PRIVATE_ADDRESSES="true", EARLY_START="false", LEASE_SECONDS="4", LOG_LEVEL="debug") as running:
        context = make(running.settings, queues.connect(running.settings.redis_address))
        with transaction(context.db) as db:
            tools.switch(db, 1, set(tools.BUILT_IN))
            tools.put(db, Lookup(
                id=0, client_id=1, name="order_status", description="Where an order is.", url=shop.url + "/orders/{number}?phone={phone}",
                parameters={"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"], "additionalProperties": False},
                headers={}, secret_header="X-Key", secret=encrypt(running.settings, SECRET), timeout_seconds=8, hosts=["127.0.0.1"], is_on=True, changed_at=1.0,
            ))  # fmt: skip
        yield running


@pytest.fixture(autouse=True)
def as_new(stack, shop):
    stack.ollama.reset()
    shop.answers[:] = [{"status": "sent"}]
    shop.asked.clear()


def call(name: str, **arguments) -> dict:
    return {"text": "", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


def interactive(stack: Stack, to: str) -> list[dict]:
    return [send["payload"]["interactive"] for send in stack.simulator.sends(to) if send["type"] == "interactive"]


def test_a_lookup_is_answered_from_and_buttons_come_back_as_what_was_tapped(stack, shop):
    stack.ollama.next(call("order_status", number="7"), call("offer_choices", text="It was sent. Change it?", options=["Yes", "No"]))
    stack.simulator.customer_writes("491521", "Where is order 7?")
    [offered] = wait_for(lambda: interactive(stack, "491521"))
    assert shop.paths == ["/orders/7?phone=491521"] and shop.asked[0][1]["X-Key"] == SECRET
    assert offered["body"]["text"] == "It was sent. Change it?"
    tapped = offered["action"]["buttons"][0]["reply"]
    stack.ollama.next("It is changed.")
    reply = {"type": "button_reply", "button_reply": tapped}
    stack.simulator.customer_writes("491521", "", type="interactive", interactive=reply)
    assert stack.simulator.wait_for_answers("491521") == ["It is changed."]
    asked = [entry for entry in stack.ollama.history()["history"] if entry["path"] == "/api/chat" and entry["body"].get("messages")][-1]
    assert asked["body"]["messages"][-1] == {"role": "user", "content": "Yes"}
    assert {"role": "assistant", "content": "It was sent. Change it?"} in asked["body"]["messages"]


@pytest.mark.parametrize("kill", ["kill", "kill_grandchild"])
def test_a_worker_killed_in_the_middle_of_a_call_answers_once_and_sends_its_buttons_once(stack, shop, kill):
    sender = {"kill": "491531", "kill_grandchild": "491532"}[kill]
    shop.answers[:] = [Answer(b"{}", wait_seconds=1.5), {"status": "sent"}]
    buttons = call("offer_choices", text="It was sent. Change it?", options=["Yes", "No"])
    stack.ollama.next(call("order_status", number="7"), call("order_status", number="7"), buttons)
    stack.simulator.customer_writes(sender, "Where is order 7?")
    wait_for(lambda: shop.asked)
    if not getattr(stack, kill)("default"):
        stack.kill("default")
    wait_for(lambda: interactive(stack, sender), 60)
    time.sleep(6)  # longer than a lease and a sweep: whoever would do it again would have
    assert len(interactive(stack, sender)) == 1 and len(stack.simulator.sends(sender)) == 1 and len(shop.asked) == 2
    [conversation] = stack.rows("SELECT state, waiting_since, claim_owner FROM conversations JOIN contacts ON contacts.id = contact_id WHERE phone = ?", sender)
    assert conversation == {"state": "bot", "waiting_since": None, "claim_owner": None}


def test_handing_over_reaches_the_desk_and_silences_the_bot(stack):
    stack.ollama.next({"text": "A colleague will look at it.", "tool_calls": [{"function": {"name": "hand_over", "arguments": {"reason": "refund"}}}]})
    stack.simulator.customer_writes("491541", "I want a refund")
    stack.simulator.wait_for_answers("491541")
    [conversation] = wait_for(lambda: stack.rows(
        "SELECT state, needs_person_reason AS why FROM conversations JOIN contacts ON contacts.id = contact_id WHERE phone = '491541' AND state = 'human'"
    ))  # fmt: skip
    assert conversation["why"] == "asked" and stack.simulator.texts("491541")[0] == "A colleague will look at it."
    count = len(stack.simulator.texts("491541"))
    stack.simulator.customer_writes("491541", "Hello?")
    time.sleep(2)
    assert len(stack.simulator.texts("491541")) == count


def test_the_secret_is_in_no_log(stack):
    assert all(SECRET not in stack.log(name) for name in stack.names)
