"""Webhook bodies that nobody would think of: the provider's own examples with parts of them changed for anything that JSON can be.

hypothesis seeks the odd ones; by plain chance there are many more, quickly. Many:  FUZZ=100000 bin/test tests/test_fuzz.py -k chance
"""

import copy
import json
import os
import random
import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies

from frontdesk.channels import Rejected
from frontdesk.channels import cloud_webhook, wati_webhook
from frontdesk.flows import inbound
from tests import wati_numbers

PAYLOADS = Path(__file__).parent / "payloads"
BODIES = [(cloud_webhook.parse, json.loads(path.read_text())) for path in sorted(PAYLOADS.glob("*.json"))]
BODIES += [(wati_webhook.parse, json.loads(path.read_text())) for path in sorted(PAYLOADS.glob("wati/*.json"))]
EXAMPLES = int(os.environ.get("FUZZ", "1000"))

LEAVES = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.integers(-(10**25), 10**25),
    strategies.floats(),
    strategies.text(strategies.characters(), max_size=20),
    strategies.sampled_from(["", "0", "-1", "\0", "\ud800", "9" * 400, "wamid.1", "text", "image", "failed", "131047", "1e999", "../..", "💥" * 50]),
)
ANYTHING = strategies.recursive(
    LEAVES,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
# Where, in the order of a walk through the whole; what comes there; whether it is put there, taken away or doubled.
CHANGES = strategies.lists(
    strategies.tuples(strategies.integers(0, 400), ANYTHING, strategies.sampled_from("put put put drop double".split())), min_size=1, max_size=4
)
CHANGED = strategies.tuples(strategies.sampled_from(range(len(BODIES))), CHANGES)


def places(part) -> list[tuple]:
    """Every (container, key) of a JSON value, outermost first."""
    keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
    return [(part, key) for key in keys] + [place for key in keys for place in places(part[key])]


def changed(number: int, changes: list) -> bytes:
    body = {"whole": copy.deepcopy(BODIES[number][1])}
    for where, value, how in changes:
        found = places(body)
        container, key = found[where % len(found)]
        if how == "put" or container is body:
            container[key] = copy.deepcopy(value)
        elif how == "drop":
            del container[key]
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        else:
            container["another"] = copy.deepcopy(container[key])
        body.setdefault("whole", {})
    return json.dumps(body["whole"]).encode()


def parse(number: int, body: bytes) -> list:
    return BODIES[number][0](body)


def surprises(reasons) -> list[str]:
    """What the last guard had to catch. A body that is no JSON is no surprise."""
    return [reason for reason in reasons if re.search(r"(Error|Exception)\b", reason) and "not JSON" not in reason]


quick = settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize="FUZZ" not in os.environ, suppress_health_check=list(HealthCheck))


@quick
@given(CHANGED)
def test_nothing_comes_out_of_parse_but_events(change):
    assert not surprises(event.reason for event in parse(change[0], changed(*change)) if isinstance(event, Rejected))


ODD = [None, True, 0, -1, 1e300, 10**25, "", "0", "\0", "\ud800", "9" * 400, "wamid.1", "text", "image", "failed", "131047", "1e999", [], {}, [[]], {"": {}}, [None], "💥"]


def test_by_chance_nothing_comes_out_of_parse_either():
    chance = random.Random(os.environ.get("FUZZ_SEED", "frontdesk"))
    for _ in range(EXAMPLES):
        changes = [(chance.randrange(400), chance.choice(ODD), chance.choice(("put", "put", "drop", "double"))) for _ in range(chance.randint(1, 4))]
        number = chance.randrange(len(BODIES))
        body = changed(number, changes)
        if chance.random() < 0.1:
            at = chance.randrange(len(body))
            body = body[:at] + chance.randbytes(3) + body[at + 3 :]
        assert not surprises(event.reason for event in parse(number, body) if isinstance(event, Rejected)), body


@quick
@given(strategies.binary(max_size=200), strategies.sampled_from(range(len(BODIES))), strategies.integers(0))
def test_bytes_in_the_midst_of_a_body_bring_nothing_down(noise, number, where):
    body = json.dumps(BODIES[number][1]).encode()
    at = where % len(body)
    parse(number, body[:at] + noise + body[at + len(noise) :])
    parse(number, noise)


@settings(quick, max_examples=max(20, EXAMPLES // 50))
@given(changes=strategies.lists(CHANGED, min_size=50, max_size=50))
def test_every_body_ends_as_rows_or_is_kept_for_people(context, db, settings, changes):
    """Fifty webhooks a drain: none holds up its neighbours, and none is a surprise to what stores it."""
    context, number = wati_numbers.at_providers(context), wati_numbers.add(db, settings)
    address = f"wati/{number.id}.{number.webhook_key}"
    for change in changes:
        channel = address if BODIES[change[0]][0] is wati_webhook.parse else "cloud"
        context.inbox.put(channel, changed(*change), context.now())
    inbound.drain(context)
    assert context.inbox.length() == 0
    reasons = [row["reason"] for row in db.execute("SELECT reason FROM rejected_events")]
    db.execute("DELETE FROM rejected_events")
    assert not surprises(reasons)
