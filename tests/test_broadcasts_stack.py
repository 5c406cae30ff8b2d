"""Broadcasts through the real stack: the simulator's record says who got what, and how often."""

import io
import time

import pytest

from frontdesk.flows import audience, broadcasts as control
from frontdesk.flows.broadcasts import Wanted
from frontdesk.flows.context import make as make_context
from frontdesk.queues import connect
from frontdesk.store import audiences, broadcasts
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.slow


class Desk:
    """What an owner does, without the pages."""

    def __init__(self, stack: Stack):
        self.stack = stack
        self.context = make_context(stack.settings, connect(stack.settings.redis_address))
        self.context.queues.refresh_templates()
        wait_for(lambda: stack.rows("SELECT id FROM templates WHERE name = 'order_ready'"))

    def audience(self, count: int, begins: int) -> int:
        lines = "phone,name,order\n" + "".join(f"+49151{begins + n:08},Customer {n},{n}\n" for n in range(count))
        id_ = audience.from_file(self.context, 1, io.BytesIO(lines.encode()), name=f"{count} people")
        wait_for(lambda: audiences.get(self.context.db, id_).state == "ready", 60)
        assert audiences.get(self.context.db, id_).good == count
        return id_

    def broadcast(self, count: int, begins: int, **more) -> int:
        variables = {"1": {"column": "name"}, "2": {"column": "order"}}
        wanted = Wanted("Ready", 1, self.audience(count, begins), "order_ready", "en", variables, **more)
        return control.make(self.context, wanted).id

    def get(self, id_: int):
        return broadcasts.get(self.context.db, id_)

    def tally(self, id_: int) -> dict[str, int]:
        return broadcasts.tally(self.context.db, id_)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("broadcasts"), without=("ollama", "default")) as running:
        yield running


@pytest.fixture
def desk(stack):
    stack.simulator.reset()
    return Desk(stack)


def counts(stack: Stack) -> dict[str, int]:
    found: dict[str, int] = {}
    for send in stack.simulator.sends():
        found[send["to"]] = found.get(send["to"], 0) + 1
    return found


def test_everybody_gets_their_own_words_once_and_it_is_done(stack, desk):
    id_ = desk.broadcast(60, 0)
    control.start(desk.context, id_)
    wait_for(lambda: desk.get(id_).state == "done", 60)
    sends = stack.simulator.sends()
    assert len(counts(stack)) == 60 and set(counts(stack).values()) == {1}
    first = next(send for send in sends if send["to"] == "4915100000007")
    [body] = first["payload"]["template"]["components"]
    assert [parameter["text"] for parameter in body["parameters"]] == ["Customer 7", "7"]
    wait_for(lambda: desk.tally(id_).get("read") == 60)
    assert stack.rows("SELECT id FROM conversations WHERE state <> 'closed'") == [], "it fills nobody's inbox"


def test_pause_takes_effect_within_a_second_resume_goes_on_and_cancel_ends_it(stack, desk):
    id_ = desk.broadcast(300, 1000, messages_per_second=20)
    control.start(desk.context, id_)
    wait_for(lambda: len(stack.simulator.sends()) > 20, 30)
    control.pause(desk.context, id_)
    time.sleep(1)
    paused_at = len(stack.simulator.sends())
    time.sleep(2)
    assert len(stack.simulator.sends()) == paused_at
    control.resume(desk.context, id_)
    wait_for(lambda: len(stack.simulator.sends()) > paused_at + 20, 30)
    control.cancel(desk.context, id_)
    time.sleep(1)
    cancelled_at = len(stack.simulator.sends())
    time.sleep(2)
    assert len(stack.simulator.sends()) == cancelled_at and set(counts(stack).values()) == {1}
    assert desk.get(id_).state == "cancelled" and not desk.tally(id_).get("queued")


def test_killed_again_and_again_with_lost_answers_each_recipient_gets_it_once(stack, desk):
    stack.simulator.behave(lose_answer_rate=0.05)
    id_ = desk.broadcast(400, 2000)
    control.start(desk.context, id_)
    deadline, killed_at = time.monotonic() + 300, 0
    while desk.get(id_).state != "done" and time.monotonic() < deadline:
        time.sleep(2)
        if killed_at < (sent := len(stack.simulator.sends())) < 390:  # on a slow machine it takes longer to begin than to be killed
            stack.kill("bulk")
            killed_at = sent
    assert desk.get(id_).state == "done", (desk.get(id_), desk.tally(id_))
    assert len(counts(stack)) == 400 and set(counts(stack).values()) == {1}


def test_a_paused_template_pauses_the_broadcast_and_nobody_is_lost(stack, desk):
    id_ = desk.broadcast(80, 3000, messages_per_second=20)
    stack.simulator.behave(next_errors=[{"code": 132015, "times": 1}])
    control.start(desk.context, id_)
    wait_for(lambda: desk.get(id_).state == "paused", 30)
    assert desk.get(id_).pause_code == "template_unusable"


def test_too_many_errors_pause_it(stack, desk):
    desk.context.queues.refresh_templates()
    wait_for(lambda: stack.rows("SELECT id FROM templates WHERE name = 'order_ready' AND language = 'en' AND status = 'APPROVED'"))
    stack.simulator.behave(error_rate=0.5, error_code=131026)
    id_ = desk.broadcast(400, 4000)
    control.start(desk.context, id_)
    wait_for(lambda: desk.get(id_).state == "paused", 30)
    assert desk.get(id_).pause_code == "errors" and desk.tally(id_)["failed"] < 200
