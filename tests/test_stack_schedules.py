"""Schedules end to end: two schedulers, real workers and Redis; what was sent is counted at the simulator."""

import collections
import itertools
import signal
import subprocess
import time

import pytest

from frontdesk import queues
from frontdesk.flows import scheduling
from frontdesk.flows.contents import TextMessage
from frontdesk.flows.context import Context, make
from frontdesk.flows.scheduling import Wanted
from tests.stack import PYTHON, ROOT, Stack, wait_for

pytestmark = pytest.mark.stack

_people = itertools.count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack"), without=("web", "ollama", "default", "bulk")) as stack:
        stack.simulator.behave(windows=False)
        second = subprocess.Popen([PYTHON, "scheduler.py"], cwd=ROOT, env=stack.environ)
        yield stack
        second.terminate()
        second.wait(5)


@pytest.fixture
def context(stack) -> Context:
    return make(stack.settings, queues.connect(stack.settings.redis_address))


def somebody(stack) -> tuple[int, str]:
    """A conversation that is open, and its phone number."""
    n = next(_people)
    db = stack.database()
    phone = f"49170{n:06}"
    db.execute("INSERT INTO contacts (id, client_id, phone, created_at, updated_at) VALUES (?, 1, ?, 0, 0)", (n, phone))
    db.execute("INSERT INTO conversations (id, number_id, contact_id, window_closes_at, created_at) VALUES (?, 1, ?, 9e9, 0)", (n, n))
    db.close()
    return n, phone


def plan(context: Context, conversation_id: int, text: str, after_seconds: float) -> None:
    scheduling.make(context, Wanted(TextMessage(text=text), conversation_id, at=time.time() + after_seconds))


def settled(stack) -> bool:
    return not stack.rows("SELECT id FROM schedules WHERE state = 'active'") and not stack.rows(
        "SELECT id FROM messages WHERE state IN ('queued', 'sending', 'unknown')"
    )


def test_with_two_schedulers_each_is_sent_once_and_in_time(stack, context):
    conversation_id, phone = somebody(stack)
    begins = time.time()
    for n in range(5):
        plan(context, conversation_id, f"part {n}", 1 + n * 0.2)
    assert stack.simulator.wait_for_answers(phone, 5) == [f"part {n}" for n in range(5)]
    assert stack.simulator.sends(phone)[-1]["at"] - begins < 5
    time.sleep(2.5)  # a sweep
    assert len(stack.simulator.texts(phone)) == 5


def test_a_redis_wiped_before_the_time_changes_nothing(stack, context):
    conversation_id, phone = somebody(stack)
    plan(context, conversation_id, "still here", 2)
    context.queues.redis.flushall()
    assert stack.simulator.wait_for_answers(phone, 1) == ["still here"]
    time.sleep(2.5)
    assert len(stack.simulator.texts(phone)) == 1


def test_with_the_worker_killed_again_and_again_while_they_come_due_each_is_sent_once(stack, context):
    people = [somebody(stack) for _ in range(20)]
    for conversation_id, _ in people:
        for n in range(10):
            plan(context, conversation_id, str(n), 3 + n * 0.2)
    ends_at = time.time() + 7
    while time.time() < ends_at:
        stack.kill("high", signal.SIGKILL)
        time.sleep(0.9)
    wait_for(lambda: settled(stack), 60)
    sent = collections.defaultdict(list)
    for send in stack.simulator.sends():
        if send["to"] in dict(map(reversed, people)):
            sent[send["to"]].append(send["payload"]["text"]["body"])
    assert dict(sent) == {phone: [str(n) for n in range(10)] for _, phone in people}
