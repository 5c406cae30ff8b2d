"""End to end: gunicorn, Redis, workers, scheduler, simulator and Ollama stand-in as processes; nothing inside is replaced."""

import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest
import requests

from frontdesk import queues
from tests import webhooks
from tests.stack import PYTHON, ROOT, Stack, wait_for

pytestmark = pytest.mark.stack

_people = itertools.count(4915100000000)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def stack(running):
    """The running stack with everybody on their best behaviour."""
    running.simulator.reset()
    running.ollama.reset()
    yield running
    db = running.database()
    db.execute("UPDATE numbers SET stopped_at = NULL, stopped_code = NULL, stopped_reason = NULL")
    db.close()


@pytest.fixture
def person() -> str:
    """A phone number nobody else uses."""
    return str(next(_people))


def settled(stack) -> bool:
    """Nothing is owed, nothing is under way."""
    return not stack.rows(
        """
        SELECT id FROM messages WHERE state IN ('waiting', 'queued', 'sending', 'unknown')
        UNION ALL SELECT id FROM conversations WHERE claim_owner IS NOT NULL
        """
    )


def test_a_message_is_answered_and_the_ticks_turn(stack, person):
    stack.ollama.next("We open at **seven**.")
    stack.simulator.customer_writes(person, "When do you open?")
    assert stack.simulator.wait_for_answers(person) == ["We open at *seven*."]
    wait_for(lambda: stack.rows("SELECT id FROM messages WHERE text = 'We open at *seven*.' AND state = 'read'"))


def test_the_customer_sees_that_it_was_read_and_typing(stack, person):
    stack.ollama.next({"text": "a b c d e f", "tokens_per_second": 6})
    sent = stack.simulator.customer_writes(person, "Hi")
    stack.simulator.wait_for_answers(person)
    assert [call for call in stack.simulator.calls() if call["kind"] == "typing" and call["message_id"] == sent["id"]]


def test_a_burst_of_five_messages_is_answered_once(stack, person):
    for n in range(5):
        stack.simulator.customer_writes(person, f"part {n}")
    [answer] = stack.simulator.wait_for_answers(person)
    time.sleep(1)
    assert stack.simulator.texts(person) == [answer]
    assert answer.splitlines() == [f"part {n}" for n in range(5)]


def test_the_same_post_fifty_times_at_once_is_one_message_and_one_answer(stack, person):
    body = webhooks.texts(webhooks.text("once", sender=person, id=f"wamid.{person}", at=time.time()))
    result = stack.simulator.posts(body, times=50, concurrency=50)
    assert set(result["statuses"]) == {200}
    stack.simulator.wait_for_answers(person)
    wait_for(lambda: settled(stack))
    time.sleep(1)
    assert len(stack.simulator.texts(person)) == 1


def test_a_thousand_updates_in_one_post_are_all_stored(stack):
    senders = [f"49{next(_people)}" for _ in range(1000)]
    reaction = {"type": "reaction", "reaction": {"message_id": "x", "emoji": "👍"}}
    messages = [{**webhooks.text(sender=sender, at=time.time()), **reaction} for sender in senders]
    assert stack.simulator.posts(webhooks.body(webhooks.change(messages=messages)))["statuses"] == [200]
    wait_for(
        lambda: stack.rows("SELECT COUNT(*) AS n FROM contacts WHERE phone LIKE '494915%'")[0]["n"] == 1000, seconds=20
    )


def test_a_person_known_by_user_id_alone_is_answered_through_recipient(stack):
    user_id = f"DE.test{next(_people)}"
    stack.simulator.customer_writes(None, "Hi", user_id=user_id)
    [send] = wait_for(lambda: stack.simulator.sends(user_id))
    assert send["recipient"] == user_id and not send.get("to")


def test_malformed_json_under_a_valid_signature_is_acknowledged_and_kept(stack):
    before = stack.rows("SELECT COUNT(*) AS n FROM rejected_events")[0]["n"]
    assert stack.simulator.posts(b'{"entry": [')["statuses"] == [200]
    wait_for(lambda: stack.rows("SELECT COUNT(*) AS n FROM rejected_events")[0]["n"] == before + 1)


def test_an_unsigned_post_stores_nothing(stack, person):
    body = webhooks.texts(webhooks.text("unsigned", sender=person))
    assert stack.simulator.posts(body, signature="absent")["statuses"] == [401]
    assert stack.simulator.posts(body, signature="wrong")["statuses"] == [403]
    time.sleep(0.5)
    assert not stack.rows("SELECT id FROM contacts WHERE phone = ?", person)


@pytest.mark.parametrize("loss", [{"lose_answers": 1}, {"accept_delay_seconds": 5}], ids=["cut", "timed out"])
def test_a_lost_answer_of_the_graph_api_is_not_sent_twice(stack, person, loss):
    stack.simulator.behave(**loss)
    stack.simulator.customer_writes(person, "Hi")
    stack.simulator.wait_for_answers(person)
    wait_for(lambda: settled(stack))
    time.sleep(4)
    assert len(stack.simulator.texts(person)) == 1


def test_a_lost_answer_without_statuses_is_sent_again_only_after_the_wait(stack, person):
    stack.simulator.behave(lose_answers=1, statuses={"off": True})
    stack.simulator.customer_writes(person, "Hi")
    stack.simulator.wait_for_answers(person)
    first = time.monotonic()
    stack.simulator.wait_for_answers(person, 2, seconds=30)
    assert time.monotonic() - first >= float(stack.environ["UNKNOWN_WAIT_SECONDS"]) - 1


@pytest.mark.parametrize("order", ["in_order", "reversed", "shuffled"])
def test_statuses_in_every_order_end_at_read(stack, person, order):
    stack.simulator.behave(statuses={"order": order, "repeat": 3})
    stack.simulator.customer_writes(person, "Hi")
    stack.simulator.wait_for_answers(person)
    wait_for(lambda: _state_of_answer(stack, person) == "read")
    time.sleep(0.5)
    assert _state_of_answer(stack, person) == "read"


def _state_of_answer(stack, person) -> str:
    found = stack.rows(
        """
        SELECT messages.state FROM messages JOIN conversations ON conversations.id = conversation_id
        JOIN contacts ON contacts.id = contact_id WHERE phone = ? AND direction = 'out'
        """,
        person,
    )
    return found[0]["state"] if found else ""


def test_an_expired_token_stops_the_number_and_resuming_sends_what_waited(stack, person):
    stack.simulator.behave(token_expired=True)
    stack.simulator.customer_writes(person, "Hi")
    wait_for(lambda: stack.rows("SELECT id FROM numbers WHERE stopped_code = 190"))
    notice = requests.get(f"{stack.web_url}/simulator/notice", timeout=10).json()["notice"]
    assert "numbers resume 100000000000001" in notice
    stack.simulator.behave(token_expired=False)
    time.sleep(1)
    assert stack.simulator.texts(person) == []
    resume = [PYTHON, "-m", "frontdesk", "numbers", "resume", "100000000000001"]
    subprocess.run(resume, cwd=ROOT, env=stack.environ, check=True, timeout=30)
    assert len(stack.simulator.wait_for_answers(person)) == 1


def test_two_customers_do_not_wait_for_each_other_s_sends(stack):
    slow, quick = str(next(_people)), str(next(_people))
    stack.simulator.behave(latency_ms=2000, latency_to=slow)
    stack.simulator.customer_writes(slow, "Hi")
    wait_for(lambda: stack.rows("SELECT id FROM messages WHERE state = 'sending'"))
    stack.simulator.customer_writes(quick, "Hi")
    stack.simulator.wait_for_answers(quick)
    assert stack.simulator.texts(slow) == []
    stack.simulator.wait_for_answers(slow)


def test_with_the_database_locked_for_ten_seconds_acknowledgements_are_as_quick_as_ever(stack, person):
    db = stack.database()
    db.execute("BEGIN IMMEDIATE")
    took = []
    deadline = time.monotonic() + 10
    n = 0
    while time.monotonic() < deadline:
        n += 1
        body = webhooks.texts(webhooks.text(f"m{n}", sender=person, at=time.time()))
        begin = time.monotonic()
        assert stack.simulator.posts(body)["statuses"] == [200]
        took.append(time.monotonic() - begin)
        time.sleep(0.1)
    db.execute("ROLLBACK")
    db.close()
    assert sorted(took)[len(took) // 2] < 2, "whoever waits for the lock waits for up to ten seconds"
    stack.simulator.wait_for_answers(person)
    wait_for(lambda: stack.rows("SELECT COUNT(*) AS n FROM messages WHERE text LIKE 'm%' AND direction = 'in'")[0]["n"] >= n)


def test_with_the_model_away_the_customer_hears_once_and_is_answered_when_it_is_back(stack, person):
    stack.ollama.behave(busy=True)
    stack.simulator.customer_writes(person, "Hi")
    [holding] = stack.simulator.wait_for_answers(person, seconds=30)
    assert "not available" in holding
    stack.ollama.behave(busy=False)
    stack.simulator.wait_for_answers(person, 2, seconds=60)
    wait_for(lambda: settled(stack))
    assert stack.simulator.texts(person) == [holding, "Hi"]


def test_redis_down_means_503_and_the_redelivery_is_answered_once(stack, person):
    redis = stack.child("redis")
    os.kill(redis, signal.SIGSTOP)
    try:
        stack.simulator.customer_writes(person, "while down")
        wait_for(lambda: 503 in [attempt["status"] for attempt in stack.simulator.webhooks()])
        assert requests.get(f"{stack.web_url}/ready", timeout=10).status_code == 503
        assert requests.get(f"{stack.web_url}/health", timeout=10).status_code == 200
    finally:
        os.kill(redis, signal.SIGCONT)
    stack.simulator.wait_for_answers(person, seconds=60)
    wait_for(lambda: settled(stack))
    assert stack.simulator.texts(person) == ["while down"]


def test_a_worker_asked_to_stop_in_the_middle_of_an_answer_hands_it_back(stack, person):
    stack.ollama.next({"text": "too slow " * 200, "tokens_per_second": 10}, "quick")
    stack.simulator.customer_writes(person, "Hi")
    wait_for(lambda: stack.rows("SELECT id FROM conversations WHERE claim_owner IS NOT NULL"))
    time.sleep(1)
    stack.stop("default")
    assert not stack.rows("SELECT id FROM conversations WHERE claim_owner IS NOT NULL")
    stack.start("default")
    assert stack.simulator.wait_for_answers(person) == ["quick"]


def test_what_sqlite_knows_is_answered_although_redis_forgot_everything(stack, person):
    stack.ollama.next({"text": "x", "first_token_delay_seconds": 3})
    stack.simulator.customer_writes(person, "Hi")
    wait_for(lambda: stack.rows("SELECT id FROM messages WHERE state = 'waiting'"))
    queues.connect(stack.settings.redis_address).flushall()
    stack.simulator.wait_for_answers(person, seconds=40)


VICTIMS = ["web", "web worker", "high", "default", "bulk", "scheduler", "redis"]


@pytest.mark.parametrize("victim", [*VICTIMS, "any of them"])
def test_killing_a_process_under_a_stream_of_messages_loses_and_doubles_nothing(stack, victim):
    people = [str(next(_people)) for _ in range(12)]
    dice = random.Random(victim)
    stop = threading.Event()

    def kill_now_and_then():
        while not stop.wait(dice.uniform(0.3, 0.9)):
            one = dice.choice(VICTIMS) if victim == "any of them" else victim
            if one == "web worker":
                stack.kill_grandchild("web")
            else:
                stack.kill(one)
                stop.wait(0 if victim == "any of them" else 1.5)

    stack.ollama.behave(tokens_per_second=60)
    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        for round in range(3):
            for person in people:
                stack.simulator.customer_writes(person, f"message {round} of {person}")
            time.sleep(1.5)
    finally:
        stop.set()
        killer.join()
    wait_for(lambda: _all_answered(stack, people), seconds=90)
    wait_for(lambda: settled(stack), seconds=60)
    for person in people:
        said = "\n".join(stack.simulator.texts(person)).splitlines()
        assert sorted(said) == [f"message {round} of {person}" for round in range(3)], "each message answered exactly once"
        if victim not in ("web", "web worker", "redis", "any of them"):  # these refuse webhooks, and a redelivery comes when it comes
            assert said == sorted(said), "in its order"


def _all_answered(stack, people) -> bool:
    marks = ",".join("?" * len(people))
    [row] = stack.rows(
        f"""
        SELECT COUNT(*) AS n FROM messages JOIN conversations ON conversations.id = conversation_id
        JOIN contacts ON contacts.id = contact_id
        WHERE phone IN ({marks}) AND direction = 'in' AND messages.state = 'answered'
        """,
        *people,
    )
    return row["n"] == 3 * len(people)


def test_doctor_says_what_is_wrong_and_exits_with_one(stack):
    def doctor():
        return subprocess.run(
            [PYTHON, "-m", "frontdesk", "doctor"], cwd=ROOT, env=stack.environ, capture_output=True, text=True, timeout=60
        )

    healthy = doctor()
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    stack.ollama.behave(models=["other:1b"])
    stack.simulator.behave(token_expired=True)
    sick = doctor()
    assert sick.returncode == 1
    assert "ollama pull llama3.2:3b" in sick.stdout
    assert "token is refused" in sick.stdout


def test_the_rows_say_nothing_a_log_should_not(stack, person):
    secret = "the words of a customer"
    stack.simulator.customer_writes(person, secret)
    stack.simulator.wait_for_answers(person)
    for name in stack.names:
        if name not in ("simulator", "ollama"):
            assert secret not in stack.log(name), name
            assert json.dumps(stack.settings.secret_key) not in stack.log(name)
