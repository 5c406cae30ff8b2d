"""Webhook bodies of the Cloud API become events: each file of tests/payloads, and the people they speak of."""

import json
import random

import pytest

from frontdesk.channels import (
    AccountEvent,
    Echo,
    InboundMessage,
    MarketingPreference,
    MessageEdited,
    MessageRevoked,
    Person,
    PersonChanged,
    ProviderError,
    Rejected,
    StatusChange,
    channel_class,
)
from tests.cloud_bodies import ACCOUNT, NUMBER, PAYLOADS, PHONE, USER_ID, body, event, events, message, one, read, text_message

CHANNEL = channel_class("cloud")()
NEW_PHONE, NEW_USER_ID = "4915187654321", "DE.55551208655302741918"
ZOE = Person(PHONE, USER_ID, username="zoe.mueller", name="Zoë Müller 🌻")


# --- every kind in words --------------------------------------------------------------------------------------------

WORDS = {
    "text": 'Grüß Gott 👋🏽\nHabt ihr am 3/4 "Samstag" offen? https://example.com/öffnungszeiten?a=1&b=2',
    "text_reply": "Ja, gerne!",
    "text_forwarded": "Weitergeleitet: Rabatt 20 %",
    "text_product": "Ist der noch da?",
    "text_from_ad": "Hallo, ich komme von der Anzeige",
    "text_rtl": "مرحبا، هل المتجر مفتوح؟ שָׁלוֹם 👩‍👩‍👧‍👦",
    "text_strange": "a\x00b \ud800 c",
    "image": "[image] Ist dieser Größe M?",
    "image_without_caption": "[image]",
    "video": "[video] So tropft der Hahn",
    "document": "[document: Preisliste 2026/27.pdf] Bitte prüfen",
    "audio": "[audio]",
    "voice": "[voice message]",
    "sticker": "[sticker]",
    "location": "[location: Café Schön, Torstraße 1/2, Berlin (52.520008, 13.404954)]",
    "location_bare": "[location: -33.8688, 151.2093]",
    "contacts": "[contact: Jörg Weiß, +49 30 1234567, +49 151 7654321]\n[contact: Anaïs, anais@example.com]",
    "button": "Bestätigen ✅",
    "button_without_context": "Abmelden",
    "interactive_button": "Morgen früh",
    "interactive_list": "Färben",
    "interactive_form": '[form]\nname: Zoë\ndate: 2026-06-01\nextras: ["Kaffee", "Öl/Essig"]\nguests: 4',
    "interactive_form_list": '[form]\n["a", 2]',
    "interactive_form_not_json": "[form]\nname=Zoë; date=morgen",
    "interactive_call_permission": "[call permission: accept]",
    "reaction": "[reaction: ❤️]",
    "reaction_removed": "[reaction removed]",
    "reaction_removed_empty": "[reaction removed]",
    "order": "[order] Bitte bis Freitag/früh\n2 × TEE-42/grün at 4.5 EUR\n1 × BROT-1 at 3.2 EUR\ntotal 12.2 EUR",
    "system_identity_changed": "Zoë Müller's identity has changed",
    "unsupported": "[unsupported message: poll]",
    "unknown": "[unsupported message: Message type is not currently supported]",
    "new_kind": "[unsupported message: hologram]",
    "group_text": "Wer kommt/bringt was mit?",
    "user_id_only": "Ich habe nur einen Namen 😎",
    "user_id_in_from": "Grüße",
    "without_contacts": "ohne contacts/Profil",
    "without_timestamp": "Wie spät ist es?",
    "calls": "[call]",
}
NOT_ANSWERABLE = {
    "interactive_call_permission", "reaction", "reaction_removed", "reaction_removed_empty", "system_identity_changed",
    "unsupported", "unknown", "new_kind", "group_text", "calls",
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_every_kind_of_message_has_words_and_knows_whether_it_wants_an_answer(name):
    got = event(name)
    assert isinstance(got, InboundMessage)
    assert got.text == WORDS[name]
    assert got.answerable is (name not in NOT_ANSWERABLE)
    assert got.number_external_id == NUMBER


def test_every_payload_is_described_and_every_part_of_it_is_understood():
    described = (PAYLOADS / "README.md").read_text()
    files = sorted(PAYLOADS.glob("*.json"))
    assert len(files) > 60
    for file in files:
        assert f"| {file.name} |" in described
        rejected = [got for got in CHANNEL.parse(file.read_bytes()) if isinstance(got, Rejected)]
        assert not rejected or file.stem == "broken_neighbours"


def test_payloads_hold_escapes_as_meta_sends_them():
    assert b"\\u00fc" in read("image") + read("text") and b"\\/" in read("text")
    assert all(file.read_bytes().isascii() for file in PAYLOADS.glob("*.json"))


def test_a_text_message_is_read_whole():
    got = event("text")
    raw = json.loads(read("text"))["entry"][0]["changes"][0]["value"]["messages"][0]
    assert got == InboundMessage(
        number_external_id=NUMBER,
        person=ZOE,
        external_id=raw["id"],
        at=1780000001.0,
        kind="text",
        text=raw["text"]["body"],
        answerable=True,
        raw=raw,
    )


def test_a_text_of_a_hundred_kilobytes_comes_through_exactly():
    text = "".join(random.Random(1).choices("aä\u202e\u0000שلا👩‍👧\ud800\n\t ", k=100_000))
    assert one(text_message(text)).text == text


def test_media_keeps_what_is_needed_to_fetch_it():
    document = event("document").media
    assert (document.media_id, document.mime_type) == ("1003383421387256", "application/pdf")
    assert (document.filename, document.caption) == ("Preisliste 2026/27.pdf", "Bitte prüfen")
    assert document.sha256 and document.url.startswith("https://lookaside")
    assert event("voice").media.voice is True and event("audio").media.voice is False
    assert event("text").media is None


def test_a_message_says_which_one_it_answers():
    assert event("text_reply").reply_to_external_id == "wamid.HBgNOURS0001A="
    assert event("button").reply_to_external_id == "wamid.HBgNOURS0003A="
    assert event("reaction").reply_to_external_id == "wamid.HBgNOURS0006A="
    assert event("text_forwarded").reply_to_external_id is None
    assert event("button_without_context").reply_to_external_id is None


def test_what_an_ad_says_stays_out_of_the_text_and_in_raw():
    got = event("text_from_ad")
    assert got.raw["referral"]["headline"] == "Frühlingsangebot"
    assert "Frühling" not in got.text


def test_a_message_in_a_group_names_the_group():
    assert event("group_text").group_id.startswith("Y2FwaV9n")


def test_an_interactive_without_its_object_is_explained_by_the_change():
    got, note = events("interactive_empty")
    assert got.text.startswith("[interactive reply without its content: This message is currently unavailable/über")
    assert isinstance(note, AccountEvent) and note.raw["errors"][0]["code"] == 131060


@pytest.mark.parametrize("response", [None, "", "null", '"nur Text"', "{", "[" * 100_000, 7, {"a": {"b": 1}}])
def test_no_response_of_a_form_is_too_odd(response):
    reply = {"type": "nfm_reply", "nfm_reply": {"name": "address_message", "response_json": response}}
    assert one(message(type="interactive", interactive=reply)).text.startswith("[form: address_message]")


def test_a_type_that_is_missing_is_read_from_the_part_that_is_there():
    assert one(message(image={"id": "1"})).kind == "image"
    assert one(message()).kind == "unknown"


@pytest.mark.parametrize(
    "items",
    [
        [],
        None,
        "x",
        [1],
        [{}],
        [{"quantity": "2", "item_price": "abc", "currency": "EUR"}],
        [{"quantity": "1e999999", "item_price": "1e999999", "currency": "EUR"}],
        [{"quantity": 1, "item_price": 2, "currency": "EUR"}, {"quantity": 1, "item_price": 2, "currency": "USD"}],
        [{"quantity": "NaN", "item_price": "Infinity", "currency": "EUR"}],
    ],
)
def test_an_order_that_cannot_be_added_up_has_no_total(items):
    got = one(message(type="order", order={"catalog_id": "1", "product_items": items}))
    assert got.text.startswith("[order]") and "total" not in got.text


# --- people ---------------------------------------------------------------------------------------------------------


def test_a_person_with_a_user_name_is_known_by_user_id():
    got = event("user_id_only").person
    assert got == Person(None, USER_ID, "DE.ENT.11815799212886844830", "zoe.mueller", "Zoë")
    assert event("user_id_in_from").person == Person(None, USER_ID, name="Zoë")


def test_contacts_are_matched_to_messages_and_not_counted_off():
    assert [got.person.name for got in events("several_people")] == ["Łukasz", "Zoë Müller 🌻", "Renée"]
    assert [got.person.phone for got in events("several_people")] == ["48500100200", PHONE, None]


def test_a_message_without_contacts_has_the_sender_it_names():
    assert event("without_contacts").person == Person(PHONE)


def test_a_single_contact_completes_a_single_message_only():
    contact = {"profile": {"name": "Z"}, "wa_id": PHONE}
    by_user_id = {"from_user_id": "DE.9", "id": "wamid.2", "type": "text", "text": {"body": "b"}}
    assert one(by_user_id, contacts=[contact]).person == Person(PHONE, "DE.9", name="Z")
    first, second = CHANNEL.parse(body(text_message(), by_user_id, contacts=[contact]))
    assert (first.person, second.person) == (Person(PHONE, name="Z"), Person(None, "DE.9"))


def test_a_contact_that_is_somebody_else_lends_no_name():
    assert one(text_message(), contacts=[{"profile": {"name": "X"}, "wa_id": "999"}]).person == Person(PHONE)


@pytest.mark.parametrize(
    "contacts", ["x", [1, None], [{}], [{"profile": 7, "wa_id": PHONE}], [{"profile": {"name": [], "username": 3}}]]
)
def test_broken_contacts_cost_no_message(contacts):
    assert one(text_message(), contacts=contacts).person == Person(PHONE)


@pytest.mark.parametrize("address", ["+4915112345678", " 4915112345678", 4915112345678])
def test_a_phone_number_is_read_as_digits(address):
    assert one({**text_message(), "from": address}).person.phone == PHONE


@pytest.mark.parametrize("address", [None, "", "nobody", "DE.", "D1.abc", "DE.ä", "DE." + "a" * 129, True, {}, "١٢٣"])
def test_an_address_that_is_neither_names_nobody(address):
    assert isinstance(one({**text_message(), "from": address}), Rejected)


def test_a_new_phone_number_joins_old_and_new():
    got = event("system_number_changed")
    assert isinstance(got, PersonChanged)
    assert (got.old, got.new) == (Person(PHONE, USER_ID), Person(NEW_PHONE, "DE.99991208655302741918"))
    assert got.text.startswith("User Zoë Müller changed from") and got.external_id.startswith("wamid.")
    older = event("system_customer_changed_number")
    assert (older.old.phone, older.new) == (PHONE, Person(NEW_PHONE))


def test_a_new_user_id_joins_old_and_new():
    got = event("system_user_id_changed")
    assert (got.old, got.new) == (Person(None, USER_ID), Person(None, NEW_USER_ID))
    got = event("user_id_update")
    assert (got.old.user_id, got.new.user_id, got.new.name) == (USER_ID, NEW_USER_ID, "Zoë")
    assert got.old.phone == got.new.phone == PHONE and got.external_id is None


def test_a_sender_given_under_the_new_user_id_is_not_taken_for_the_old():
    system = {"type": "user_changed_user_id", "user_id": "DE.2", "previous_user_id": "DE.1"}
    got = one({"from_user_id": "DE.2", "id": "wamid.1", "type": "system", "system": system})
    assert (got.old, got.new) == (Person(None, "DE.1"), Person(None, "DE.2"))


def test_a_system_note_that_names_nobody_new_is_a_message_without_answer():
    for system in ({"type": {"customer_identity_changed": True}}, {"wa_id": PHONE}, {}, None, "x"):
        got = one(message(type="system", system=system))
        assert isinstance(got, InboundMessage) and not got.answerable and got.kind == "system"


# --- what is no message ---------------------------------------------------------------------------------------------


def test_an_edit_carries_the_new_words():
    got = event("edit")
    assert isinstance(got, MessageEdited)
    assert (got.text, got.original_external_id) == ("Ich meinte Dienstag/Mittwoch 🙈", "wamid.HBgNTHEIRS001A=")
    assert event("edit_caption").text == "[image] Größe L, nicht M"


def test_a_revoke_names_what_was_deleted():
    got = event("revoke")
    assert isinstance(got, MessageRevoked) and got.original_external_id == "wamid.HBgNTHEIRS001A="


@pytest.mark.parametrize("status", ["sent", "delivered", "read", "played", "failed"])
def test_a_status_brings_back_our_own_id(status):
    got = event(f"status_{status}")
    assert isinstance(got, StatusChange)
    assert (got.status, got.callback_data, got.at) == (status, "message/17", 1780000400.0)
    assert (got.external_id, got.person) == ("wamid.HBgNOURS0009A=", ZOE)


def test_a_failed_status_says_why():
    (error,) = event("status_failed").errors
    assert (error.code, error.title) == (131047, "Re-engagement message") and error.details.startswith("Message failed")
    assert event("status_read").errors == ()


def test_errors_of_a_status_survive_every_shape():
    raw = {"id": "wamid.1", "status": "failed", "recipient_id": PHONE}
    raw["errors"] = [{"code": "131026"}, {"code": [], "title": 5, "error_data": "plain words"}, 7, {"message": "m"}]
    assert one(raw, key="statuses").errors == (
        ProviderError(131026, "an error Meta did not describe"),
        ProviderError(None, "an error Meta did not describe", "plain words"),
        ProviderError(None, "m"),
    )
    assert one({**raw, "errors": {"code": 1}}, key="statuses").errors == ()


def test_a_status_for_a_person_without_a_phone_number_or_in_a_group():
    got = event("status_user_id_only")
    assert got.person == Person(None, USER_ID, "DE.ENT.11815799212886844830", "zoe/ü", "Zoë")
    assert got.callback_data is None
    assert event("status_group").person == Person(PHONE)
    assert one({"id": "wamid.1", "status": "read"}, key="statuses").person == Person()


def test_a_status_of_a_call_is_no_status_of_a_message():
    got = event("calls_status")
    assert isinstance(got, AccountEvent) and (got.field, got.raw["status"]) == ("calls", "RINGING")
    assert isinstance(event("calls_terminate"), AccountEvent)


def test_an_answer_from_the_phone_app_is_an_echo_to_the_customer():
    got = event("echo")
    assert isinstance(got, Echo)
    assert (got.person, got.text) == (ZOE, "Antwort aus der App 📱 /Jürgen")
    assert (event("echo_user_id_only").person.user_id, event("echo_user_id_only").kind) == (USER_ID, "image")


def test_a_marketing_preference_stops_or_resumes():
    assert [event(f"preference_{value}").stopped for value in ("stop", "resume")] == [True, False]
    assert isinstance(event("preference_stop"), MarketingPreference) and event("preference_stop").person == ZOE
    odd = {"wa_id": PHONE, "category": "marketing_messages", "value": "maybe"}
    assert isinstance(one(odd, field="user_preferences", key="user_preferences"), Rejected)
    other = {"wa_id": PHONE, "category": "utility_messages", "value": "stop"}
    assert isinstance(one(other, field="user_preferences", key="user_preferences"), AccountEvent)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("history", "history"),
        ("template_status", "message_template_status_update"),
        ("template_quality", "message_template_quality_update"),
        ("account_update", "account_update"),
        ("account_alerts", "account_alerts"),
        ("business_capability", "business_capability_update"),
        ("unknown_field", "quantum_updates"),
        ("errors_only", "messages"),
    ],
)
def test_whatever_is_about_the_account_is_kept_with_its_field(name, field):
    got = event(name)
    assert isinstance(got, AccountEvent)
    assert (got.account_id, got.field) == (ACCOUNT, field)
    assert got.raw and got.number_external_id == (NUMBER if name in ("history", "errors_only") else None)


def test_a_change_that_holds_nothing_is_kept():
    (got,) = CHANNEL.parse(body())
    assert isinstance(got, AccountEvent) and got.number_external_id == NUMBER
