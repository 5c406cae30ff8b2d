"""What agents send besides texts: templates, buttons, lists, places, files and reactions, now or later."""

import io
import json
import re

import pytest

from frontdesk.store import conversations, media as media_rows
from tests import media_bodies as bodies, wati_numbers, webhooks
from tests.test_inbound import receive, rows
from tests.test_templates import ACCOUNT, body_template, keep, made

ANA = "4915112345678"


@pytest.fixture
def ana(app):
    """Somebody has written, so the window is open: conversation 1. Her message is wamid.ana."""
    context = app.extensions["frontdesk"]
    receive(context, webhooks.texts(webhooks.text("Hello", sender=ANA, id="wamid.ana", at=context.now())))
    return 1


@pytest.fixture
def templates(app):
    keep(app.extensions["frontdesk"], made("order_ready"), made("weekly_offer"), made("spring_sale"))


def sent(db) -> dict:
    """The one message that was queued."""
    [row] = rows(db, "SELECT kind, text, raw, media_id, reply_to_external_id, purpose FROM messages WHERE direction = 'out'")
    return {**row, "body": json.loads(row["raw"])[row["kind"]] if row["raw"] else None}


def test_a_template_is_chosen_filled_in_and_sent_also_when_the_window_is_closed(agent, ana, templates, db, clock):
    clock.forward(25 * 3600)
    page = agent.get("/inbox/1/compose/template").text
    assert "order_ready (en)" in page and "spring_sale" not in page
    chosen = re.search(r'value="(\d+)">order_ready', page)[1]
    assert "For example: 4711" in agent.get(f"/inbox/1/compose/template?template={chosen}").text
    answer = agent.submit("/inbox/1/compose/template", template=chosen, when="now", **{"1": "Ana", "2": "12"})
    assert answer.status_code == 303 and answer.location.endswith("/inbox/1")
    message = sent(db)
    assert message["text"].startswith("Hello Ana, your order 12") and message["body"]["name"] == "order_ready"
    assert conversations.get(db, ana).state == "human"


def test_what_is_missing_stands_beside_its_field_and_what_was_typed_stays(agent, ana, templates, db):
    chosen = re.search(r'value="(\d+)">order_ready', agent.get("/inbox/1/compose/template").text)[1]
    page = agent.submit("/inbox/1/compose/template", template=chosen, when="now", **{"1": "Ana", "2": ""})
    assert page.status_code == 422 and "This is missing." in page.text and 'value="Ana"' in page.text
    assert rows(db, "SELECT id FROM messages WHERE direction = 'out'") == []


def test_a_code_to_copy_that_is_too_long_is_told_beside_its_field(agent, ana, app, db):
    coupon = body_template("Twenty percent off.", {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copy", "example": "CAKE20"}]})
    keep(app.extensions["frontdesk"], coupon)
    chosen = re.search(r'value="(\d+)">order_ready', agent.get("/inbox/1/compose/template").text)[1]
    page = agent.submit("/inbox/1/compose/template", template=chosen, when="now", button_1="C" * 21)
    assert page.status_code == 422
    assert re.search(r'id="e-button_1">([^<]+)<', page.text)[1] == "A code to copy has 20 characters at most; this one has 21."
    assert rows(db, "SELECT id FROM messages WHERE direction = 'out'") == []
    assert agent.submit("/inbox/1/compose/template", template=chosen, when="now", button_1="C" * 20).status_code == 303


def test_a_conversation_is_offered_what_its_channel_carries_and_nothing_that_it_would_refuse(agent, ana, db, app, settings):
    context = app.extensions["frontdesk"]
    wati_numbers.receive(context, wati_numbers.add(context, settings), wati_numbers.text(at=context.now()))
    [wati] = rows(db, "SELECT conversations.id FROM conversations JOIN numbers ON numbers.id = number_id WHERE channel = 'wati'")

    def offered(conversation: int) -> set[str]:
        return set(re.findall(rf"/inbox/{conversation}/compose/(\w+)", agent.get(f"/inbox/{conversation}").text))

    assert offered(ana) == {"text", "template", "buttons", "list", "location"} and offered(wati["id"]) == {"text"}
    assert 'class="emojis" role="group"' in agent.get(f"/inbox/{ana}").text
    assert 'class="emojis" hidden role="group"' in agent.get(f"/inbox/{wati['id']}").text
    for kind in ("template", "buttons", "list", "location", "nothing"):
        assert agent.get(f"/inbox/{wati['id']}/compose/{kind}").status_code == 404
    assert "Kinds of message" not in agent.get(f"/inbox/{wati['id']}/compose/text").text


def test_a_closed_window_of_a_number_that_sends_no_templates_names_none(agent, app, settings, db, clock):
    context = app.extensions["frontdesk"]
    wati_numbers.receive(context, wati_numbers.add(context, settings), wati_numbers.text(at=context.now()))
    clock.forward(25 * 3600)
    page = agent.get("/inbox/1").text
    assert "this number sends none from here" in page and "/compose/template" not in page
    refused = agent.submit("/inbox/1/answer", text="Hello?", seen="1")
    assert refused.status_code == 422 and "send it at its provider" in refused.text


def test_a_preview_shows_the_bubble_as_it_grows(agent, ana, templates):
    chosen = re.search(r'value="(\d+)">order_ready', agent.get("/inbox/1/compose/template").text)[1]
    shown = agent.fragment("/inbox/1/compose/template/preview", method="POST", template=chosen, **{"1": "Ana"})
    assert "Hello Ana, your order {{2}} is ready" in shown.text
    shown = agent.fragment("/inbox/1/compose/list/preview", method="POST", text="Which?", button="Cakes", rows="# Fruit\nLemon | sour\nApple")
    assert "Cakes" in shown.text and "Lemon" in shown.text and "sour" in shown.text and "<b dir=\"auto\">Fruit</b>" in shown.text


def test_a_template_with_a_picture_keeps_the_file_while_a_field_is_wrong(agent, ana, templates, db):
    chosen = re.search(r'value="(\d+)">weekly_offer', agent.get("/inbox/1/compose/template").text)[1]
    values = {"template": chosen, "when": "now", "1": "bread", "2": "3.90", "button_1": ""}
    page = agent.submit("/inbox/1/compose/template", **values, file=(io.BytesIO(bodies.PNG), "offer.png"))
    assert page.status_code == 422 and "Your file is kept" in page.text
    media_id = re.search(r'name="media_id" value="(\w+)"', page.text)[1]
    answer = agent.submit("/inbox/1/compose/template", **values | {"button_1": "47", "media_id": media_id})
    assert answer.status_code == 303 and sent(db)["media_id"] == media_rows.by_public_id(db, media_id).id


@pytest.mark.parametrize(
    "kind, fields, body",
    [
        ("buttons", {"text": "Which?", "button_1": "Lemon", "button_2": "", "button_3": "Carrot"}, {"type": "button"}),
        ("list", {"text": "Which?", "button": "Cakes", "rows": "Lemon | sour\n\nCarrot"}, {"type": "list"}),
        ("location", {"latitude": "52.52, 13.405", "longitude": "", "name": "Shop"}, {"latitude": 52.52, "longitude": 13.405, "name": "Shop"}),
    ],
)
def test_each_form_becomes_its_message(agent, ana, db, kind, fields, body):
    assert agent.submit(f"/inbox/1/compose/{kind}", when="now", **fields).status_code == 303
    assert sent(db)["body"].items() >= body.items()


@pytest.mark.parametrize(
    "kind, fields, field, words",
    [
        ("buttons", {"text": "", "button_1": "x"}, "text", "This is missing."),
        ("buttons", {"text": "x", "button_1": ""}, "button_1", "This is missing."),
        ("buttons", {"text": "x", "button_1": "y", "button_2": "y" * 21}, "button_2", "WhatsApp takes 20 characters at most."),
        ("buttons", {"text": "x", "button_1": "y", "button_2": "y"}, "button_1", "Two are the same."),
        ("list", {"text": "x", "button": "y", "rows": ""}, "rows", "This is missing."),
        ("list", {"text": "x", "button": "y", "rows": "a" * 25}, "rows", "WhatsApp takes 24 characters at most."),
        ("list", {"text": "x", "button": "y", "rows": "\n".join(map(str, range(11)))}, "rows", None),
        ("location", {"latitude": "north", "longitude": "1"}, "latitude", "This is a number."),
        ("location", {"latitude": "91", "longitude": "1"}, "latitude", None),
        ("text", {"text": " "}, "text", "This is missing."),
    ],
)
def test_what_whatsapp_would_refuse_is_said_beside_the_field(agent, ana, db, kind, fields, field, words):
    page = agent.submit(f"/inbox/1/compose/{kind}", when="now", **fields)
    assert page.status_code == 422
    said = re.search(rf'id="e-{field}">([^<]+)<', page.text)
    assert said and (words is None or said[1] == words), page.text
    assert rows(db, "SELECT id FROM messages WHERE direction = 'out'") == []


def test_what_comes_while_a_message_is_composed_still_waits_and_a_colleague_s_answer_is_shown(agent, owner, app, ana, db, clock):
    context = app.extensions["frontdesk"]
    fields = {"text": "Which?", "button_1": "Lemon", "when": "now"}
    seen = re.search(r'name="seen" value="(\d+)"', agent.get("/inbox/1/compose/buttons").text)[1]
    receive(context, webhooks.texts(webhooks.text("And do you deliver?", sender=ANA, at=clock())))
    assert agent.submit("/inbox/1/compose/buttons", seen=seen, **fields).status_code == 303
    assert [row["state"] for row in rows(db, "SELECT state FROM messages WHERE direction = 'in' ORDER BY id")] == ["answered", "waiting"]
    owner.submit("/inbox/1/answer", text="We do.", seen="3")
    refused = agent.submit("/inbox/1/compose/buttons", seen="3", **fields)
    assert refused.status_code == 422 and "Somebody else has answered here" in refused.text
    seen = re.search(r'name="seen" value="(\d+)"', refused.text)[1]
    assert agent.submit("/inbox/1/compose/buttons", seen=seen, **fields).status_code == 303


def test_with_the_window_closed_only_a_template_goes_and_the_rest_says_so(agent, ana, db, clock):
    clock.forward(25 * 3600)
    page = agent.submit("/inbox/1/compose/buttons", when="now", text="x", button_1="y")
    assert page.status_code == 422 and "WhatsApp allows only a template now" in page.text


# --- files and reactions --------------------------------------------------------------------------------------------------------------


def test_a_picture_goes_with_its_words_and_is_shown_in_the_thread(agent, ana, db):
    form = {"text": "Our cake", "seen": "1", "file": (io.BytesIO(bodies.PNG), "cake.png", "image/png")}
    assert agent.submit("/inbox/1/answer", **form).status_code == 200
    message = sent(db)
    assert (message["kind"], message["text"], message["body"]) == ("image", "[image] Our cake", {"caption": "Our cake"})
    public_id = media_rows.get(db, message["media_id"]).public_id
    assert f'<img src="/media/{public_id}"' in agent.get("/inbox/1").text
    shown = agent.get(f"/media/{public_id}")
    assert shown.data == bodies.PNG and shown.mimetype == "image/png" and "sandbox" in shown.headers["Content-Security-Policy"]
    assert agent.get("/media/none").status_code == 404


def test_a_document_is_offered_for_saving_and_never_opened(agent, ana, db):
    agent.submit("/inbox/1/answer", text="", seen="1", file=(io.BytesIO(bodies.PDF), "menu.pdf"))
    message = sent(db)
    assert message["body"] == {"filename": "menu.pdf"}
    shown = agent.get(f"/media/{media_rows.get(db, message['media_id']).public_id}")
    assert shown.headers["Content-Disposition"] == "attachment; filename=menu.pdf"


def test_a_sticker_of_another_size_than_whatsapp_s_is_refused_before_anything_is_queued(agent, ana, db):
    page = agent.submit("/inbox/1/answer", text="", seen="1", file=(io.BytesIO(bodies.webp(800, 600)), "cake.webp"))
    assert page.status_code == 422 and "A sticker has 512 × 512 pixels; this one has 800 × 600." in page.text
    assert rows(db, "SELECT id FROM messages WHERE direction = 'out'") == []
    assert agent.submit("/inbox/1/answer", text="", seen="1", file=(io.BytesIO(bodies.webp(512, 512)), "cake.webp")).status_code == 200


@pytest.mark.parametrize("body, name", [(bodies.EXE, "setup.exe"), (bodies.SVG, "logo.svg"), (bodies.HTML, "page.png"), (b"", "empty.png")])
def test_a_file_that_whatsapp_does_not_take_is_refused_with_the_reason(agent, ana, db, body, name):
    page = agent.submit("/inbox/1/answer", text="look", seen="1", file=(io.BytesIO(body), name))
    assert page.status_code == 422 and "This file cannot be sent" in page.text and "look" in page.text
    assert rows(db, "SELECT id FROM messages WHERE direction = 'out'") == []


def test_a_sound_takes_no_words(agent, ana, db):
    page = agent.submit("/inbox/1/answer", text="listen", seen="1", file=(io.BytesIO(bodies.OGG_OPUS), "hello.ogg"))
    assert page.status_code == 422 and "no words with a sound" in page.text


def test_a_reaction_does_not_take_the_conversation_over(agent, ana, db):
    assert agent.submit("/inbox/1/answer", text="", reply_to="wamid.ana", emoji="👍").status_code == 200
    assert sent(db)["body"] == {"message_id": "wamid.ana", "emoji": "👍"}
    assert conversations.get(db, ana).state == "bot"
    assert "👍" in agent.get("/inbox/1").text


# --- later ----------------------------------------------------------------------------------------------------------------------------


def test_any_message_can_go_later_or_again_and_again(agent, ana, db):
    answer = agent.submit("/inbox/1/compose/text", text="Good morning", when="once", on="2026-09-25", clock="09:00", schedule_name="Friday")
    assert answer.status_code == 303 and answer.location.endswith("/schedules")
    agent.submit("/inbox/1/compose/buttons", text="Again?", button_1="Yes", when="again", rule="every weekday 09:00")
    once, again = rows(db, "SELECT * FROM schedules ORDER BY id")
    assert (once["name"], once["next_at"], once["rule"]) == ("Friday", 1790326800.0, None)
    assert again["rule"] == "every weekday 09:00" and json.loads(again["content"])["kind"] == "interactive"
    page = agent.get("/schedules").text
    assert "Friday" in page and "At 09:00 on Monday through Friday" in page
    month = agent.get("/schedules/month/2026-09").text
    assert month.count(f"/schedules/{again['public_id']}") == 7 and month.count(f"/schedules/{once['public_id']}") == 1


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"when": "once", "on": "", "clock": "09:00"}, "on"),
        ({"when": "once", "on": "2026-09-25", "clock": ""}, "clock"),
        ({"when": "once", "on": "2020-01-01", "clock": "09:00"}, "on"),
        ({"when": "once", "on": "2026-02-30", "clock": "09:00"}, "on"),
        ({"when": "again", "rule": "now and then"}, "rule"),
        ({"when": "again", "rule": ""}, "rule"),
    ],
)
def test_a_time_that_means_nothing_is_said_beside_its_field(agent, ana, db, fields, field):
    page = agent.submit("/inbox/1/compose/text", text="x", **fields)
    assert page.status_code == 422 and f'id="e-{field}"' in page.text
    assert rows(db, "SELECT id FROM schedules") == []


def test_a_schedule_is_changed_paused_resumed_and_cancelled(agent, ana, db):
    agent.submit("/inbox/1/compose/text", text="x", when="once", on="2026-09-25", clock="09:00")
    [row] = rows(db, "SELECT * FROM schedules")
    path = f"/schedules/{row['public_id']}"
    assert 'value="2026-09-25"' in agent.get(path).text
    assert agent.submit(path, name="Moved", on="2026-09-26", clock="10:30").status_code == 303
    assert agent.submit(path, name="Moved", on="2020-01-01", clock="10:30").status_code == 422
    for action, state in (("pause", "paused"), ("resume", "active"), ("cancel", "cancelled")):
        agent.submit(f"{path}/{action}")
        [row] = rows(db, "SELECT * FROM schedules")
        assert row["state"] == state and row["name"] == "Moved"
    assert agent.get("/schedules/none").status_code == 404


def test_pages_of_nothing_say_what_to_do_next(agent, db):
    assert "Nothing is scheduled" in agent.get("/schedules").text
    assert agent.get("/schedules/month").status_code == 200 and agent.get("/schedules/month/2026-99").status_code == 404
    db.execute("UPDATE numbers SET account_id = NULL")
    assert "No account is known" in agent.get("/templates").text
    db.execute("UPDATE numbers SET account_id = ?", (ACCOUNT,))
    assert "No templates here" in agent.get("/templates").text
