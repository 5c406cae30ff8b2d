"""Templates: read from Meta in pages, changed by webhooks, filled in and checked here before anything is queued."""

import dataclasses
import json

import pytest

from frontdesk.channels import AccountEvent
from frontdesk.flows import templates as reading
from frontdesk.flows.template_parts import BadVariable, fill, fill_shortened, obstacle, preview, slots
from frontdesk.simulator.message_templates import TEMPLATES
from frontdesk.store import numbers, templates
from frontdesk.store.database import transaction
from frontdesk.store.templates import Template
from tests.stack import Stack, wait_for

ACCOUNT = "200000000000001"


def made(name: str, language: str = "en") -> Template:
    raw = next(one for one in TEMPLATES if (one["name"], one["language"]) == (name, language))
    return Template(
        1, ACCOUNT, raw["id"], name, language, raw["status"], raw["category"], raw.get("parameter_format", "POSITIONAL"), raw["components"], None, None, 0
    )


def body_template(text: str, *more: dict, **changes) -> Template:
    return dataclasses.replace(made("order_ready"), components=[{"type": "BODY", "text": text}, *more], **changes)


def keep(context, *found: Template) -> None:
    """As if Meta had listed these."""
    read = [{**dataclasses.asdict(one), "reason": None, "quality": None} for one in found]
    with transaction(context.db) as db:
        templates.replace_all(db, ACCOUNT, read, context.now())
        db.execute("UPDATE numbers SET account_id = ?", (ACCOUNT,))


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("templates"), without=("ollama", "default")) as stack:
        yield stack


# --- filling in -----------------------------------------------------------------------------------------------------------------------


def test_variables_are_named_as_people_would_and_keep_their_order():
    assert [(slot.name, slot.example) for slot in slots(made("order_ready"))] == [("1", "Ana"), ("2", "4711")]
    assert [(slot.name, slot.label) for slot in slots(made("appointment"))] == [("customer", "Customer"), ("day", "Day")]
    assert [slot.name for slot in slots(made("weekly_offer"))] == ["1", "2", "button_1"]
    assert [slot.name for slot in slots(body_template(" ".join(f"{{{{{n}}}}}" for n in (10, 2, 1))))] == ["1", "2", "10"]


@pytest.mark.parametrize("kind, most, words", [("COPY_CODE", 20, "A code to copy has 20"), ("OTP", 15, "A one-time password has 15"), ("URL", 2000, "An address has 2,000")])
def test_what_a_button_wants_is_as_short_as_meta_wants_it(kind, most, words):
    template = body_template("Here.", {"type": "BUTTONS", "buttons": [{"type": kind, "text": "Go", "url": "https://x.example/{{1}}"}]})
    fill(template, {"button_1": "C" * most})
    with pytest.raises(BadVariable, match=words) as caught:
        fill(template, {"button_1": "C" * (most + 1)})
    assert caught.value.field == "variables.button_1"


def test_a_filled_template_is_what_meta_wants_and_what_people_read():
    filled = fill(made("order_ready"), {"1": "Ana", "2": "12"})
    assert filled.content.text == "Hello Ana, your order 12 is ready to be picked up.\nCorner Bakery"
    assert filled.content.body == {
        "name": "order_ready",
        "language": {"code": "en"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "12"}]}],
    }


def test_named_variables_files_and_addresses_have_their_places():
    [body] = fill(made("appointment"), {"customer": "Ana", "day": "Monday"}).content.body["components"]
    assert body["parameters"][0] == {"type": "text", "parameter_name": "customer", "text": "Ana"}
    parts = fill(made("weekly_offer"), {"1": "bread", "2": "3.90", "button_1": "week47"}).content.body["components"]
    assert parts[0] == {"type": "header", "parameters": [{"type": "image", "image": {}}]}
    assert parts[2] == {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "week47"}]}


def test_a_template_without_variables_has_no_components():
    assert "components" not in fill(made("hello_world", "en_US"), {}).content.body


@pytest.mark.parametrize(
    "variables, field, words",
    [
        ({"1": "Ana"}, "variables.2", "missing: 2"),
        ({}, "variables.1", "wants 2 variables; missing: 1, 2"),
        ({"1": "Ana", "2": "x", "3": "y"}, "variables.3", "no variable 3"),
        ({"1": " ", "2": "x"}, "variables.1", "empty"),
        ({"1": "two\nlines", "2": "x"}, "variables.1", "line breaks"),
        ({"1": "tab\there", "2": "x"}, "variables.1", "tabs"),
        ({"1": "a     b", "2": "x"}, "variables.1", "four spaces"),
        ({"1": "x" * 1000, "2": "y" * 100}, "variables", "WhatsApp takes 1,024"),
    ],
)
def test_what_is_wrong_with_variables_is_named(variables, field, words):
    with pytest.raises(BadVariable, match=words) as caught:
        fill(made("order_ready"), variables)
    assert caught.value.field == field


def test_a_preview_shows_what_is_still_missing():
    shown = preview(made("order_ready"), {"1": "Ana"})
    assert shown.body == "Hello Ana, your order {{2}} is ready to be picked up." and shown.footer == "Corner Bakery"


def test_what_cannot_be_sent_is_said_with_the_reason():
    assert obstacle(made("order_ready")) is None
    assert "paused" in obstacle(made("spring_sale"))
    assert "PROMOTIONAL" in obstacle(dataclasses.replace(made("winter_sale"), reason="PROMOTIONAL"))
    assert "a carousel" in obstacle(body_template("x", {"type": "CAROUSEL", "cards": []}))
    assert "a form" in obstacle(body_template("x", {"type": "BUTTONS", "buttons": [{"type": "FLOW", "text": "Fill in"}]}))
    assert "a place" in obstacle(body_template("x", {"type": "HEADER", "format": "LOCATION"}))
    assert "SOMETHING_NEW" in obstacle(body_template("x", status="SOMETHING_NEW"))


@pytest.mark.parametrize("components", [[], [{}], [{"type": None}], [{"type": "BODY"}], [{"type": "BODY", "text": 5}], [{"type": "BUTTONS", "buttons": [None, 3]}]])
def test_shapes_that_meta_never_promised_break_nothing(components):
    odd = dataclasses.replace(made("order_ready"), components=components)
    assert (obstacle(odd), slots(odd), preview(odd, {}).body) == (None, [], "")


@pytest.mark.parametrize(("text", "names"), [("{{²}} {{1}}", ["²", "1"]), ("{{1" + "0" * 5000 + "}} {{2}}", ["2", "1" + "0" * 5000]), ("{{٢}} {{10}}", ["٢", "10"])])
def test_variables_may_be_called_by_any_digits(text, names):
    assert [slot.name for slot in slots(body_template(text))] == names


def test_a_text_that_is_too_long_without_any_variable_is_refused():
    with pytest.raises(BadVariable, match="1,025 characters"):
        fill_shortened(body_template("x" * 1025), {})


# --- what is kept ---------------------------------------------------------------------------------------------------------------------


def test_a_webhook_pauses_a_template_at_once_and_asks_for_a_new_reading(context, db):
    keep(context, made("order_ready"))
    value = {"event": "PAUSED", "message_template_name": "order_ready", "message_template_language": "en", "reason": "FIRST_PAUSE"}
    with transaction(db):
        assert reading.record_event(db, AccountEvent(ACCOUNT, None, "message_template_status_update", value))
    kept = templates.find(db, ACCOUNT, "order_ready", "en")
    assert (kept.status, kept.reason) == ("PAUSED", "FIRST_PAUSE")


@pytest.mark.parametrize(
    "field, value, column, expected",
    [
        ("message_template_status_update", {"event": "FLAGGED", "reason": "NONE"}, "status", "APPROVED"),
        ("message_template_status_update", {"event": "REINSTATED", "reason": "NONE"}, "status", "APPROVED"),
        ("message_template_status_update", {"event": 7}, "status", "APPROVED"),
        ("message_template_quality_update", {"new_quality_score": "YELLOW"}, "quality", "YELLOW"),
        ("template_category_update", {"previous_category": "UTILITY", "new_category": "MARKETING"}, "category", "MARKETING"),
    ],
)
def test_each_webhook_changes_what_it_speaks_of(context, db, field, value, column, expected):
    keep(context, made("order_ready"))
    names = {"message_template_name": "order_ready", "message_template_language": "en"}
    with transaction(db):
        assert reading.record_event(db, AccountEvent(ACCOUNT, None, field, {**names, **value}))
    assert getattr(templates.find(db, ACCOUNT, "order_ready", "en"), column) == expected


def test_what_meta_no_longer_lists_is_gone_and_what_it_lists_is_as_it_says(context, db, clock):
    keep(context, made("order_ready"), made("appointment"))
    clock.forward(60)
    keep(context, dataclasses.replace(made("order_ready"), status="PAUSED"))
    assert [(one.name, one.status) for one in templates.of_account(db, ACCOUNT)] == [("order_ready", "PAUSED")]


def test_a_reading_that_fails_keeps_what_is_known_and_says_why(context, db):
    keep(context, made("order_ready"))
    db.execute("UPDATE numbers SET base_url = 'http://127.0.0.1:9'")
    reading.refresh_all(context)
    assert len(templates.of_account(db, ACCOUNT)) == 1
    assert "no usable answer" in templates.last_read(db, ACCOUNT)[1]


def test_all_pages_are_read_from_the_graph_api_and_a_webhook_brings_the_change(stack):
    wait_for(lambda: stack.rows("SELECT id FROM numbers"))
    from frontdesk import queues

    queues.Queues(queues.connect(stack.settings.redis_address)).refresh_templates()
    wait_for(lambda: len(stack.rows("SELECT id FROM templates")) == len(TEMPLATES))
    kept = {(row["name"], row["language"]): row for row in stack.rows("SELECT * FROM templates")}
    assert json.loads(kept["order_ready", "de"]["components"])[0]["text"].startswith("Hallo {{1}}")
    assert kept["winter_sale", "en"]["reason"] == "PROMOTIONAL" and kept["appointment", "en"]["parameter_format"] == "NAMED"
    told = {"name": "order_ready", "language": "de", "event": "DISABLED", "reason": "QUALITY"}
    assert stack.simulator._call("POST", "templates", json=told)["status"] == 200
    wait_for(lambda: stack.rows("SELECT status FROM templates WHERE language = 'de'")[0]["status"] == "DISABLED")


def test_the_number_of_the_account_that_is_not_stopped_is_asked(context, db):
    keep(context)
    first = numbers.all_of_them(db)[0]
    other = numbers.put(
        db, context.settings, client_id=first.client_id, channel="cloud", external_id="5", access_token="t", now=0, account_id=ACCOUNT
    )
    numbers.stop(db, first.id, "x", None, 0)
    assert reading.number_of(db, ACCOUNT).id == other
