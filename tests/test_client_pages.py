"""Clients and numbers on the desk: made, edited, tried, stopped and resumed."""

import re

import pytest

from frontdesk.flows import prompt, trying
from frontdesk.ollama import ModelOptions
from frontdesk.flows.person_words import asks_for_person
from frontdesk.store import clients, numbers, outbox, tries
from tests.standins.ollama_replies import Reply
from tests.test_inbound import queued, rows
from tests.test_reply import context, model  # noqa: F401

FORM = {
    "name": "Corner Bakery", "time_zone": "Europe/Berlin", "model": "", "temperature": "", "quiet_seconds": "3", "longest_wait_seconds": "20",
    "stale_after_minutes": "", "patience_seconds": "", "after_holding": "", "holding_text": "Hold on.", "apology_text": "Sorry.",
    "pause_hours": "8", "wait_threshold_seconds": "", "person_text": "A person comes.", "away_text": "", "wait_text": "", "person_words": "",
    "always_open": "", "hours_mon": "9:00-12:00, 13:00-18:00", "hours_sat": "10:00-24:00",
}  # fmt: skip


def test_a_client_is_made_and_then_wants_a_number(owner, db):
    answer = owner.submit("/clients", name="Harbour Dental", time_zone="Europe/Lisbon", prompt="You are a dentist's assistant.")
    assert answer.status_code == 303
    page = owner.get(answer.location).text
    assert "Give it a number next" in page and "dentist&#39;s" in page
    assert rows(db, "SELECT text FROM prompt_versions ORDER BY id DESC LIMIT 1") == [{"text": "You are a dentist's assistant."}]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "Corner Bakery", "There is a client of this name already."),
        ("name", " ", "A name is missing."),
        ("time_zone", "Berlin", "A time zone looks like Europe/Berlin."),
        ("prompt", "", "The prompt is missing."),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(owner, field, value, words):
    typed = {"name": "New", "time_zone": "UTC", "prompt": "typed words"} | {field: value}
    page = owner.submit("/clients", **typed)
    assert page.status_code == 422 and words in page.text
    assert field == "prompt" or "typed words" in page.text


def test_settings_are_saved_and_empty_ones_follow_the_installation(owner, db, settings):
    assert owner.submit("/clients/1", **FORM).status_code == 303
    client = clients.get(db, 1, settings)
    assert (client.quiet_seconds, client.pause_hours, client.wait_threshold_seconds) == (3, 8, None)
    assert (client.model, client.patience_seconds) == (settings.ollama_model, settings.patience_seconds)
    assert client.hours == '{"mon": [["09:00", "12:00"], ["13:00", "18:00"]], "sat": [["10:00", "24:00"]]}'
    page = owner.get("/clients/1").text
    assert 'value="09:00-12:00, 13:00-18:00"' in page and 'value="3"' in page


def test_a_client_has_models_of_its_own_for_each_kind_of_work(owner, db, settings):
    wanted = {"model": "qwen3:4b", "summary_model": "hf.co/org/model:Q4_K_M", "extraction_model": "gemma3:1b"}
    assert owner.submit("/clients/1", **FORM | wanted).status_code == 303
    found = {kind: clients.model_for(db, 1, kind, settings) for kind in ("reply", "summary", "classification", "extraction")}
    assert found == {"reply": "qwen3:4b", "summary": "hf.co/org/model:Q4_K_M", "classification": settings.ollama_model, "extraction": "gemma3:1b"}
    assert 'value="gemma3:1b"' in owner.get("/clients/1").text
    assert owner.submit("/clients/1", **FORM).status_code == 303
    assert clients.model_for(db, 1, "extraction", settings) == settings.ollama_model


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model", "two words", "A model is called as `ollama list` names it"),
        ("summary_model", "-x", "A model is called as `ollama list` names it"),
        ("quiet_seconds", "soon", "The quiet time is a number from 0 to 60, or empty."),
        ("quiet_seconds", "21", "The longest wait cannot be shorter than the quiet time."),
        ("hours_mon", "nine to five", "Monday looks like 09:00-12:00, 13:00-18:00, or is empty."),
        ("hours_sat", "18:00-09:00", "Saturday: 18:00 is not before 09:00."),
        ("holding_text", "", "The holding text is missing."),
        ("temperature", "3", "Temperature is a number from 0 to 2, or empty."),
    ],
)
def test_wrong_settings_are_refused_beside_their_field(owner, db, field, value, words):
    before = rows(db, "SELECT * FROM clients")
    page = owner.submit("/clients/1", **{**FORM, field: value})
    assert page.status_code == 422 and words in page.text
    assert f'value="{value}"' in page.text or not value
    assert rows(db, "SELECT * FROM clients") == before


def test_a_new_prompt_is_a_version_with_its_difference_and_the_old_one_can_be_used_again(owner, db):
    first = rows(db, "SELECT system_prompt FROM clients")[0]["system_prompt"]
    owner.submit("/clients/1/prompt", prompt=first + "\nWe also bake <b>pretzels</b>.", persona="", language="")
    page = owner.get("/clients/1/versions").text
    assert "+ </span>" not in page and "We also bake &lt;b&gt;pretzels" in page and "Some Owner" in page
    [oldest] = rows(db, "SELECT MIN(id) AS id FROM prompt_versions")
    owner.submit(f"/clients/1/versions/{oldest['id']}/revert")
    assert rows(db, "SELECT system_prompt FROM clients")[0]["system_prompt"] == first
    assert len(clients.prompt_versions(db, 1)) == 3


def test_persona_and_language_stand_in_the_constant_part_of_the_prompt(owner, db, settings):
    owner.submit("/clients/1/prompt", prompt="Bakery.", persona="You are Pia, always cheerful.", language="Dutch")
    client = clients.get(db, 1, settings)
    asked = prompt.messages(client, [], 0, ModelOptions("m", 4096, 300), None, 0)
    assert "You are Pia" in asked[0]["content"] and "Answer in Dutch." in asked[0]["content"]


def test_a_question_is_tried_with_the_unsaved_prompt_and_nothing_is_sent(owner, context, model, db):
    model.enqueue("Yes, **until noon**.")
    answer = owner.fragment("/clients/1/try", "POST", prompt="An unsaved prompt.", persona="", language="", question="Open on Sunday?")
    assert "The model is writing" in answer.text and queued(context, "documents") == ["try"]
    trying.write(context, 1)
    page = owner.fragment("/clients/1/tries/1").text
    assert "Yes, *until noon*." in page and "hx-get" not in page
    assert model.chats[0]["body"]["messages"][0]["content"].startswith("An unsaved prompt.")
    assert rows(db, "SELECT id FROM messages") == []


def test_a_try_that_comes_to_nothing_says_why(owner, context, model, db):
    model.enqueue(Reply.busy(), Reply.busy())
    owner.fragment("/clients/1/try", "POST", prompt="x", question="Hm?")
    trying.write(context, 1)
    assert tries.get(db, 1).state == "failed" and "The model gave no answer" in owner.fragment("/clients/1/tries/1").text


# --- numbers --------------------------------------------------------------------------------------------------------------------


NUMBER = {"external_id": "123456789", "access_token": "EAAsecret", "client": "1", "display_phone": "+49 30 1", "account_id": "55", "messages_per_second": "80"}


def test_a_number_is_added_and_its_token_never_shown_again(owner, db, settings):
    page = owner.get(owner.submit("/numbers", **NUMBER).location).text
    assert "EAAsecret" not in page and "/webhooks/whatsapp" in page and settings.verify_token in page
    number = numbers.find(db, "cloud", "123456789")
    assert numbers.sender(number, settings).access_token == "EAAsecret"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("external_id", "+49 30 1", "The phone number id is digits"),
        ("access_token", "", "The access token is missing."),
        ("client", "9", "Choose one of these."),
        ("client", "²", "Choose one of these."),
        ("messages_per_second", "0", "Messages a second is a number from 0.1 to 1000"),
        ("account_id", "waba", "The account id is digits"),
    ],
)
def test_a_wrong_number_is_refused_beside_its_field(owner, db, field, value, words):
    page = owner.submit("/numbers", **{**NUMBER, field: value})
    assert page.status_code == 422 and words in page.text and "EAAsecret" not in page.text
    assert numbers.find(db, "cloud", "123456789") is None


def test_an_empty_token_keeps_the_old_one(owner, db, settings):
    before = numbers.get(db, 1).access_token_encrypted
    owner.submit("/numbers/1", **{**NUMBER, "access_token": "", "messages_per_second": "250"})
    assert numbers.get(db, 1).access_token_encrypted == before and numbers.get(db, 1).messages_per_second == 250
    owner.submit("/numbers/1", **{**NUMBER, "access_token": "new"})
    assert numbers.sender(numbers.get(db, 1), settings).access_token == "new"


def test_a_stopped_number_says_why_how_to_mend_it_and_what_waits_and_resuming_rings(owner, app, db, context):
    db.execute("INSERT INTO contacts (client_id, phone, created_at, updated_at) VALUES (1, '49', 0, 0)")
    db.execute("INSERT INTO conversations (number_id, contact_id, created_at) VALUES (1, 1, 0)")
    outbox.queue_text(db, 1, 1, "waits", purpose="person", now=context.now())
    numbers.stop(db, 1, "Access token expired", 190, context.now())
    page = owner.get("/numbers/1").text
    assert "Access token expired" in page and "new token" in page and "1 message waits" in page
    assert "sends nothing" in owner.get("/inbox").text
    owner.submit("/numbers/1/resume")
    assert list(context.queues.take_sends()) == [1] and numbers.get(db, 1).stopped_at is None


@pytest.mark.parametrize("path, kept", [("/clients/1", "name"), ("/clients/1/prompt", "prompt")])
def test_what_somebody_saved_meanwhile_is_not_overwritten_unseen(owner, db, clock, path, kept):
    seen = re.search(r'name="seen" value="([^"]+)"', owner.get("/clients/1").text)[1]
    mine, theirs = ({**FORM, "prompt": f"{who} prompt", "name": f"{who} name", "seen": seen} for who in ("my", "their"))
    clock.forward(1)
    assert owner.submit(path, **theirs).status_code == 303
    page = owner.submit(path, **mine)
    assert page.status_code == 422 and "Somebody saved this client after you opened it" in page.text and f"my {kept}" in page.text
    assert f"their {kept}" in owner.get("/clients/1").text
    seen_now = re.search(r'name="seen" value="([^"]+)"', page.text)[1]
    assert owner.submit(path, **{**mine, "seen": seen_now}).status_code == 303, "knowing it, one may"


def test_a_try_is_shown_under_its_own_client_alone(owner, db):
    id_ = tries.add(db, 1, 1, prompt="", persona="", language="", question="Open?", now=0)
    assert owner.fragment(f"/clients/1/tries/{id_}").status_code == 200
    assert owner.fragment(f"/clients/2/tries/{id_}").status_code == 404


def test_the_oldest_version_on_the_page_is_compared_with_the_one_before_it(owner, db):
    for n in range(60):
        clients.set_prompt(db, 1, f"same line\nline {n}", n)
    page = owner.get("/clients/1/versions").text
    assert page.count("line 59") == 1 and "− line 9\n" in page and page.count("same line") == 50


def test_the_page_says_what_a_single_word_counts_for(owner, context):
    assert "a single word only with nothing but courtesy around it" in owner.get("/clients/1").text
    assert asks_for_person("a human please", "human") and not asks_for_person("human hair", "human")


def test_what_is_wrong_with_a_number_is_said_and_what_was_typed_is_kept(owner, db):
    page = owner.submit("/numbers/1", **{**NUMBER, "account_id": "my account", "messages_per_second": "many"})
    assert page.status_code == 422 and 'value="my account"' in page.text
    assert "The account id is digits" in page.text and "Messages a second is a number from" in page.text


@pytest.mark.parametrize(
    "reason, code, mend",
    [
        ("Object with ID '1' does not exist", 33, "Compare the number&#39;s phone number id"),
        ("the access token is empty or holds characters that no token has", None, "Give the number a new token"),
    ],
)
def test_a_stopped_number_names_its_own_mend(owner, db, reason, code, mend):
    numbers.stop(db, 1, reason, code, 1)
    page = owner.get("/numbers/1").text
    assert mend in page and "then resume the number" in page and "by hand" not in page


def test_a_number_is_stopped_by_hand(owner, db):
    owner.submit("/numbers/1/stop")
    assert "It was stopped by hand." in owner.get("/numbers/1").text


def test_the_test_says_what_graph_says(owner, db):
    db.execute("UPDATE numbers SET base_url = 'http://127.0.0.1:9'")
    answer = owner.fragment("/numbers/1/test", "POST")
    assert "gave no usable answer" in answer.text and "To mend it" in answer.text
    page = owner.submit("/numbers/1/test").text
    assert "gave no usable answer" in page and "<!doctype html>" in page, "without scripts it is a page"


def test_an_agent_changes_neither_clients_nor_numbers(agent):
    for path in ("/clients", "/clients/1", "/clients/1/versions", "/numbers/1", "/numbers/new"):
        assert agent.get(path).status_code == 403
    assert agent.submit("/numbers/1/stop").status_code == 403


def test_the_list_at_the_top_leads_to_every_section(owner):
    page = owner.get("/clients/1").text
    listed = re.findall(r'<a href="#(\w+)"', page.partition('aria-label="On this page"')[2].partition("</nav>")[0])
    cards = re.findall(r'class="card" (?:aria-labelledby|id)="(\w+)"', page)
    assert listed == cards and all(page.count(f'id="{id_}"') == 1 for id_ in listed)
