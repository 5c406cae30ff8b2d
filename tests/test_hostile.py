"""Every page of the desk with addresses, forms and customers' words that nobody meant: an answer always, never a fault of ours."""

import re

import pytest

from tests import demo, webhooks
from tests.test_inbound import receive

HUGE = str(10**30)
NOT_THE_DESK = ("/static", "/rq", "/webhooks", "/simulator", "/api", "/logout", "/account")
PARAMETERS = ("at", "before", "since", "client", "place", "after", "filter", "q", "span", "known", "chosen", "phone_number_id", "next")
VALUES = ("0", "-1", HUGE, "1e400", "nan", "%00", "%ED%A0%80", "a" * 5000)
FIELDS = """text name prompt persona language time_zone model temperature quiet_seconds longest_wait_seconds stale_after_minutes
    patience_seconds wait_threshold_seconds pause_hours holding_text apology_text person_text away_text wait_text person_words
    own_words after_holding always_open hours_mon question external_id access_token account_id client display_phone
    messages_per_second shortcut email role password reason message conversation all group seen reply_to anyway next scopes""".split()


@pytest.fixture
def busy(app, db, settings, clock, owner):
    demo.fill(db, settings, 1, clock())
    return owner


def addresses(app, method: str, id_: str) -> list[str]:
    rules = [rule for rule in app.url_map.iter_rules() if method in rule.methods and not rule.rule.startswith(NOT_THE_DESK)]
    return sorted({re.sub(r"<[^>]+>", id_, rule.rule) for rule in rules})


@pytest.mark.parametrize("id_", ["1", "99999", HUGE])
def test_no_address_brings_a_fault(app, busy, id_):
    for path in addresses(app, "GET", id_):
        assert busy.get(path).status_code < 500, path
        if id_ == "1":
            for name in PARAMETERS:
                for value in VALUES:
                    assert busy.get(f"{path}?{name}={value}&after={value}").status_code < 500, (path, name, value)


@pytest.mark.parametrize("value", ["", "\x00", "nan", HUGE, "-1", "é\u202e\U0001f600", "%s{when}{0.__class__}", "a" * 60_000])
def test_no_form_brings_a_fault(app, busy, value):
    for id_ in ("1", HUGE):
        for path in addresses(app, "POST", id_):
            assert busy.submit(path, **dict.fromkeys(FIELDS, value)).status_code < 500, path


def test_with_no_client_and_no_number_every_page_still_opens(app, owner, agent, db):
    for table in ("prompt_versions", "numbers", "clients"):
        db.execute(f"DELETE FROM {table}")
    for path in addresses(app, "GET", "1"):
        assert owner.get(path).status_code < 500, path
        assert agent.get(path).status_code < 500, path


def test_nothing_that_a_customer_writes_is_taken_for_a_part_of_the_page(owner, context):
    words = "{known} {{ 7*7 }} {% raw %} ${known} %(known)s"
    receive(context, webhooks.texts(webhooks.text(words, at=context.now())))
    for path in ("/inbox/list", "/inbox/1/recent"):
        first = owner.fragment(path).text
        assert words in first, path
        known = re.search(r"known=(\w+)", first)[1]
        assert owner.fragment(f"{path}?known={known}&since=1").status_code == 204, path


def test_half_an_emoji_in_a_customer_s_name_or_words_breaks_no_page(owner, db, context):
    """Phones cut names and texts at so many UTF-16 units, within an emoji too."""
    half = "cake \ud83c"
    contact = {"wa_id": "4915112345678", "profile": {"name": half}}
    receive(context, webhooks.body(webhooks.change(contacts=[contact], messages=[webhooks.text(half, at=context.now())])))
    db.execute("UPDATE messages SET state = 'unanswered'")
    for path in ("/inbox", "/inbox/list", "/inbox/1", "/inbox/1/recent", "/inbox/search?q=cake", "/dead-letters"):
        page = owner.get(path)
        assert page.status_code == 200 and "\N{REPLACEMENT CHARACTER}" in page.text, path
