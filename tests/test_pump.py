"""The threads of a broadcast: what no second may hold."""

import threading
import time

from frontdesk.flows import pump
from frontdesk.flows.pump import Window


def test_calls_that_come_all_at_once_are_spread_so_that_no_second_holds_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(pump, "WINDOW_SECONDS", 0.1)
    window, begun = Window(), []

    def call() -> None:
        for _ in range(3):
            window.wait(10)
            begun.append(time.monotonic())

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun.sort()
    assert len(begun) == 30
    assert all(later - earlier > 0.095 for earlier, later in zip(begun, begun[10:]))


def test_a_limit_below_one_a_second_lets_one_go_at_a_time():
    window = Window()
    assert window._enter(1) == 0
    assert 0.9 < window._enter(1) <= pump.WINDOW_SECONDS
