"""Alerts and the canary with every process real: whoever is killed, each trouble is told once; a message of our own goes the whole way."""

import time

import pytest

from frontdesk import queues
from frontdesk.store import numbers
from tests.stack import Stack, wait_for
from tests.test_callbacks_stack import Program

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def program():
    return Program()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, program):
    with Stack(tmp_path_factory.mktemp("alerts"), CANARY_MINUTES="1", ALERT_WEBHOOK_URL=program.url) as running:
        yield running


def bird(stack) -> dict:
    return next(iter(stack.rows("SELECT * FROM canary")), {"ok_at": None})


def test_the_canary_goes_through_webhook_queue_model_and_send_and_leaves_nothing(stack):
    wait_for(lambda: bird(stack)["ok_at"], 40)
    assert 0 < bird(stack)["seconds"] < 10 and bird(stack)["failures"] == 0
    assert stack.rows("SELECT id FROM messages") == stack.rows("SELECT id FROM conversations") == stack.rows("SELECT id FROM contacts") == []
    assert stack.simulator.sends() == []


def test_a_number_that_stopped_is_told_once_though_both_judges_are_killed_again_and_again(stack, program):
    put = queues.Queues(queues.connect(stack.settings.redis_address)).put
    numbers.stop(stack.database(), 1, "Its access token is no longer valid", 190, time.time())
    for turn in range(6):
        for _ in range(10):
            put("high", "jobs.judge_alerts", "alerts")
            put("bulk", "jobs.judge_alerts", "alerts")
        time.sleep(0.05 * turn)
        stack.kill("high" if turn % 2 else "bulk")
    wait_for(lambda: any(told[0]["alert"] == "number 1" for told in program.told.values()), 60)
    wait_for(lambda: not stack.rows("SELECT id FROM callbacks WHERE state <> 'delivered'"), 60)
    of_number = [told[0] for told in program.told.values() if told[0]["alert"] == "number 1"]
    assert len(of_number) == 1 and of_number[0]["state"] == "on"
    assert stack.rows("SELECT condition, told_at IS NOT NULL AS told FROM alerts WHERE condition = 'number 1'") == [{"condition": "number 1", "told": 1}]
