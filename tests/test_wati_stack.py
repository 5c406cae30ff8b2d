"""WATI end to end in real processes: the three tests that a webhook blocked by SQLite was once found with, and kill -9 while it sends."""

import itertools
import random
import statistics
import threading
import time

import pytest
import requests

from frontdesk.flows import webhook_address
from tests import wati_numbers
from tests.stack import Stack, wait_for
from tests.standins.wati import WatiStandIn, accepted, lost, slow

pytestmark = pytest.mark.stack

_people = itertools.count(4915200000000)
QUIET_SECONDS = 2


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wati")
    with Stack(folder, without=("simulator",), QUIET_SECONDS=str(QUIET_SECONDS), LONGEST_WAIT_SECONDS="6", NO_PROXY="127.0.0.1") as stack:
        with WatiStandIn() as wati:
            db = stack.database()
            number = wati_numbers.add(db, stack.settings, endpoint=wati.endpoint)
            db.close()
            stack.passkey = webhook_address.secret(stack.settings, number)
            wati.webhook_url = f"{stack.web_url}/webhooks/wati/{stack.passkey}"
            yield stack, wati


@pytest.fixture
def stack(running):
    stack, wati = running
    stack.ollama.reset()
    wati.replies.clear()
    wati.sent.clear()
    wati.posted.clear()
    wati.events = ("_v2",)
    wati.latency_seconds = 0.0
    return stack


@pytest.fixture
def wati(running):
    return running[1]


def person() -> str:
    return str(next(_people))


def post(stack, wa_id: str, text: str) -> float:
    """As the program of that time posts: who, what and a passkey. Returns the seconds to the acknowledgement."""
    begun = time.monotonic()
    response = requests.post(f"{stack.web_url}/webhooks/wati", json={"waId": wa_id, "text": text, "passkey": stack.passkey}, timeout=10)
    assert (response.status_code, response.text) == (200, "ok")
    return time.monotonic() - begun


def received(stack, wa_id: str) -> list[str]:
    found = stack.rows(
        """
        SELECT text FROM messages JOIN conversations ON conversations.id = conversation_id JOIN contacts ON contacts.id = contact_id
        WHERE phone = ? AND direction = 'in' ORDER BY messages.id
        """,
        wa_id,
    )
    return [row["text"] for row in found]


def prompts(stack, words: str) -> list[dict]:
    """The chats whose last question holds these words."""
    chats = [one["body"] for one in stack.ollama.history()["history"] if one["path"] == "/api/chat" and one["body"].get("messages")]
    return [body for body in chats if words in body["messages"][-1]["content"]]


def settled(stack) -> bool:
    return not stack.rows(
        """
        SELECT id FROM messages WHERE state IN ('waiting', 'queued', 'sending', 'unknown')
        UNION ALL SELECT id FROM conversations WHERE claim_owner IS NOT NULL
        """
    )


def test_two_messages_of_one_customer_a_second_apart_are_both_received(stack, wati):
    customer = person()
    post(stack, customer, "Do you have rye bread?")
    time.sleep(1)
    post(stack, customer, "And until when?")
    wait_for(lambda: received(stack, customer) == ["Do you have rye bread?", "And until when?"])
    wait_for(lambda: wati.texts(customer))
    wait_for(lambda: settled(stack))
    assert wati.texts(customer) == ["Do you have rye bread?\nAnd until when?"], "answered once, combined"


def test_the_same_words_a_second_apart_are_two_messages(stack, wati):
    customer = person()
    post(stack, customer, "Hello?")
    time.sleep(1)
    post(stack, customer, "Hello?")
    wait_for(lambda: received(stack, customer) == ["Hello?", "Hello?"])
    wait_for(lambda: wati.texts(customer) and settled(stack))
    assert len(wati.texts(customer)) == 1


def test_four_customers_at_the_same_time_are_all_processed(stack, wati):
    customers = [person() for _ in range(4)]
    barrier = threading.Barrier(4)

    def write(customer: str) -> None:
        barrier.wait()
        post(stack, customer, f"I am {customer}")

    threads = [threading.Thread(target=write, args=(customer,)) for customer in customers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for customer in customers:
        wait_for(lambda: wati.texts(customer))
    wait_for(lambda: settled(stack))
    assert {customer: wati.texts(customer) for customer in customers} == {customer: [f"I am {customer}"] for customer in customers}


def test_one_message_makes_exactly_one_combined_prompt(stack, wati):
    customer = person()
    words = f"just one, from {customer}"
    post(stack, customer, words)
    wait_for(lambda: wati.texts(customer))
    time.sleep(QUIET_SECONDS + 2)  # whatever else a second timer would still send
    assert len(prompts(stack, words)) == 1 and len(wati.texts(customer)) == 1


def test_with_the_database_locked_the_acknowledgement_is_as_quick_as_ever(stack, wati):
    customer = person()
    db = stack.database()
    db.execute("BEGIN IMMEDIATE")
    took = [post(stack, customer, f"message {n}") for n in range(30)]
    assert stack.rows("SELECT COUNT(*) AS n FROM contacts WHERE phone = ?", customer) == [{"n": 0}]
    db.execute("ROLLBACK")
    db.close()
    assert statistics.median(took) < 2
    wait_for(lambda: len(received(stack, customer)) == 30)
    wait_for(lambda: wati.texts(customer) and settled(stack))


def test_a_redelivery_of_watis_is_one_message(stack, wati):
    customer = person()
    body = wati.message(customer, "once")
    for _ in range(20):
        assert wati.deliver(body) == 200
    wait_for(lambda: wati.texts(customer) and settled(stack))
    time.sleep(1)
    assert received(stack, customer) == ["once"] and wati.texts(customer) == ["once"]


def test_a_lost_answer_is_proven_by_watis_event_and_not_sent_again(stack, wati):
    customer = person()
    wati.replies.append(lost)
    wati.customer_writes(customer, "lost")
    wait_for(lambda: wati.texts(customer) and settled(stack), seconds=30)
    time.sleep(float(stack.environ["UNKNOWN_WAIT_SECONDS"]) + 4)
    assert wati.texts(customer) == ["lost"]


@pytest.mark.parametrize("events", [("_v2",), ("",), ("", "_v2")], ids=["newer events", "older events", "both"])
def test_killing_the_sender_while_it_sends_through_wati_loses_and_doubles_nothing(stack, wati, events):
    """The events are the only proof: they come with our id, or with nothing but the words."""
    wati.events = events
    customers = [person() for _ in range(8)]
    dice = random.Random(str(events))
    # Some answers take long, and some never come: kills meet calls under way, and calls that were taken.
    wati.replies.extend(dice.choice([slow(0.4), slow(0.8), lost, accepted]) for _ in range(24))
    stop, kills = threading.Event(), []

    def kill_now_and_then() -> None:
        while not stop.wait(dice.uniform(0.3, 0.7)):
            if wati.calls:
                stack.kill("high")
                kills.append(time.monotonic())
                stop.wait(1.5)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        for n in range(2):
            for customer in customers:
                wati.customer_writes(customer, f"message {n} of {customer}")
            time.sleep(QUIET_SECONDS + 1.5)
    finally:
        stop.set()
        killer.join()
    wait_for(lambda: all(len(received(stack, customer)) == 2 for customer in customers), seconds=60)
    wait_for(lambda: settled(stack), seconds=90)
    assert len(kills) >= 2
    for customer in customers:
        said = "\n".join(wati.texts(customer)).splitlines()
        assert said == [f"message {n} of {customer}" for n in range(2)], "each answered once, in order"
