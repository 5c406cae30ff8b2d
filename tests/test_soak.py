"""Ten minutes of a steady load. Not part of every run: bin/test -m soak"""

import pytest

from tests.soaking import MESSAGES_PER_SECOND, Soak
from tests.stack import Stack, wait_for

SECONDS = 600

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def soak(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("soak"), LOG_LEVEL="warning", LEASE_SECONDS="45", SWEEP_SECONDS="15", UNKNOWN_WAIT_SECONDS="120") as stack:
        soak = Soak(stack, SECONDS)
        soak.run()
        wait_for(lambda: soak.answered()[1] == soak.sent, 120, every=1)
        yield soak


def test_everybody_is_answered(soak):
    assert soak.answered() == (soak.sent, soak.sent) and soak.sent >= 0.99 * SECONDS * MESSAGES_PER_SECOND


def test_memory_is_flat(soak):
    assert soak.slope(lambda one: sum(one.memory.values())) < 60, "megabytes an hour"


def test_descriptors_are_flat(soak):
    third = len(soak.samples) // 3
    before, after = (max(sum(one.descriptors.values()) for one in part) for part in (soak.samples[third : 2 * third], soak.samples[2 * third :]))
    assert after <= before + 10


def test_the_logs_of_sqlite_and_redis_are_bounded(soak):
    assert max(one.wal for one in soak.samples) < 64 and max(one.aof for one in soak.samples) < 256


def test_acknowledgements_are_as_quick_at_the_end(soak):
    assert soak.p99(first=False) < 1.2 * soak.p99(first=True) + 5, "milliseconds"
