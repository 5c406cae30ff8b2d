"""WATI's webhook bodies: each becomes the events that the same message would be at Meta."""

import json
from pathlib import Path

import pytest

from frontdesk.channels import AccountEvent, InboundMessage, Person, Rejected, StatusChange
from frontdesk.channels.wati_webhook import parse

PAYLOADS = Path(__file__).parent / "payloads" / "wati"


def read(name: str, **changes):
    raw = {**json.loads((PAYLOADS / f"{name}.json").read_text()), **changes}
    [event] = parse(json.dumps(raw).encode())
    return event


ANA = Person("4915112345678", "DE.1A2b3C", "DE.ENT.9Z", "ana", "Ana Müller")


@pytest.mark.parametrize(
    ("name", "kind", "text", "answerable"),
    [
        ("text", "text", "Wann öffnen Sie? 👩‍👧", True),
        ("image", "image", "[image] Is this one in stock?", True),
        ("video", "video", "[video]", True),
        ("document", "document", "[document: Invoice 1047.pdf]", True),
        ("audio", "audio", "[audio]", True),
        ("voice", "voice", "[voice message]", True),
        ("sticker", "sticker", "[sticker]", True),
        ("location", "location", "[location: Corner Bakery, Hauptstr. 1 (52.52, 13.405)]", True),
        ("location_in_text", "location", "[location: 52.52, 13.405]", True),
        ("contacts", "contacts", "[contact: Karl Weber, +49 151 7654321]", True),
        ("order", "order", "[order] please gift-wrap\n2 × rye-1 at 4.50 EUR\ntotal 9.00 EUR", True),
        ("button", "button", "Yes please", True),
        ("interactive_list", "interactive", "Rye bread", True),
        ("interactive_button", "interactive", "Collect it", True),
        ("reaction", "reaction", "[reaction: 👍]", False),
        ("template", "template", "[unsupported message: template]", False),
        ("catalog", "unsupported", "[unsupported message: catalog]", False),
    ],
)
def test_every_type_is_read_as_metas(name, kind, text, answerable):
    event = read(name)
    assert isinstance(event, InboundMessage)
    assert (event.kind, event.text, event.answerable) == (kind, text, answerable)
    assert (event.external_id, event.at, event.person) == (f"wamid.{name}", 1773239252.0, ANA)
    assert event.raw["wati"]["id"] == f"wati-{name}"


def test_a_file_says_where_it_is():
    assert read("image").media.url.endswith("9f1.jpeg") and read("image").media.caption == "Is this one in stock?"
    assert read("document").media.filename == "Invoice 1047.pdf" and read("voice").media.voice


def test_answers_to_a_message_name_it():
    assert [read(name).reply_to_external_id for name in ("button", "interactive_list", "reaction", "text")] == ["wamid.asked"] * 3 + [None]


def test_without_whatsapps_id_watis_own_is_the_message_s():
    assert read("text", whatsappMessageId=None).external_id == "wati-text"
    assert isinstance(read("text", whatsappMessageId=None, id=""), Rejected)


def test_a_person_known_by_user_id_alone_is_that_person():
    assert read("user_id_alone").person == Person(None, "DE.1A2b3C", "DE.ENT.9Z", "ana", "Ana Müller")
    assert read("text", waId="DE.1A2b3C", bsuid=None).person.user_id == "DE.1A2b3C"
    assert "names nobody" in read("text", waId=None, bsuid=None, parentBsuid=None).reason


def test_the_time_is_a_string_of_seconds_else_when_it_was_made_else_none():
    assert read("text", timestamp=1773239252).at == read("text").at
    assert read("text", timestamp="").at == pytest.approx(1773239252.96, abs=0.01)
    assert read("text", timestamp="soon", created="never").at == 0.0


@pytest.mark.parametrize("owner", [True, "true", "True", 1, {}])
def test_what_the_business_wrote_is_never_a_customers_message(owner):
    event = read("own", owner=owner)
    assert isinstance(event, StatusChange) and event.status == "sent" and event.echo.text == "We open at seven."


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("session_message_sent", "sent"),
        ("session_message_sent_v2", "sent"),
        ("template_sent_v2_bsuid", "sent"),
        ("delivered_v2", "delivered"),
        ("read_v2", "read"),
        ("replied_v2", "read"),
        ("session_failed", "failed"),
        ("template_failed", "failed"),
    ],
)
def test_events_about_sent_messages_are_statuses(name, status):
    event = read(name)
    assert isinstance(event, StatusChange) and event.status == status
    assert event.callback_data == (None if name == "session_message_sent" else "5f3c.1")


def test_a_status_names_the_message_by_every_id():
    event = read("delivered_v2")
    assert (event.external_id, event.other_ids) == ("wamid.session_message_sent_v2", ("693fd65f99391640", "5f3c.1"))
    assert event.person == Person() and event.echo is None


def test_a_failure_brings_metas_code_and_words():
    [error] = read("session_failed").errors
    assert (error.code, error.title) == (131026, "Message undeliverable")
    assert [error.code for error in read("session_failed", failedCode="E-7").errors] == [None]


def test_what_a_robot_of_watis_or_a_campaign_sent_is_no_persons_answer():
    assert read("template_sent_v2_bsuid", waId="4915112345678", text="Our offers").echo is None
    assert read("own", type="template").echo is None
    assert read("session_message_sent_v2").echo.text == "We open at seven."
    assert read("session_message_sent_v2", chatbotTriggeredEventId="12").echo is None


def test_other_events_are_the_accounts_and_unknown_ones_are_kept_for_people():
    assert isinstance(read("new_contact"), AccountEvent)
    assert isinstance(read("text", eventType="ticketClosed"), AccountEvent)
    assert isinstance(read("text", eventType="somethingNew"), Rejected)


def test_the_least_that_a_program_posts_is_a_message():
    [event] = parse(json.dumps({"waId": "4915112345678", "text": "Hello", "id": "1"}).encode())
    assert isinstance(event, InboundMessage) and (event.text, event.kind, event.answerable) == ("Hello", "text", True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"[1]", b"\xff", b'{"a": 1e999}', b"[" * 100_000])
def test_what_is_no_object_is_rejected_whole(body):
    assert [type(event) for event in parse(body)] == [Rejected]


def test_a_list_is_read_one_by_one():
    text = json.loads((PAYLOADS / "text.json").read_text())
    assert [type(event) for event in parse(json.dumps([text, 7, text]).encode())] == [InboundMessage, Rejected, InboundMessage]
