"""The threads of a broadcast: what no second may hold."""

import threading

from frontdesk.flows import pump
from frontdesk.flows.pump import Pump, Window


def test_calls_that_come_all_at_once_are_spread_so_that_no_second_holds_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(pump, "WINDOW_SECONDS", 0.1)
    begun = []

    class Recorded(Window):
        def _enter(self, most: int) -> float:
            delay = super()._enter(most)
            if delay == 0:
                begun.append(self._begun[-1])
            return delay

    window = Recorded()

    def call() -> None:
        for _ in range(3):
            window.wait(10)

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun.sort()
    assert len(begun) == 30
    assert all(later - earlier >= 0.1 for earlier, later in zip(begun, begun[10:]))


def test_a_limit_below_one_a_second_lets_one_go_at_a_time():
    window = Window()
    assert window._enter(1) == 0
    assert 0.9 < window._enter(1) <= pump.WINDOW_SECONDS


def test_the_calls_of_the_job_before_count_for_the_next(context):
    first = Pump(context)
    first._windows[1] = Window()
    for _ in range(3):
        first._windows[1].wait(3)
    first.finish()
    assert [round(age) for age in Pump(context)._calls_before(1)] == [0, 0, 0]
    assert 0 < Window(Pump(context)._calls_before(1))._enter(3) <= pump.WINDOW_SECONDS
    assert Pump(context)._calls_before(2) == []
