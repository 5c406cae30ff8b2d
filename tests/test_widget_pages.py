"""The web chat on the desk: its page, its preview, its line for the website, and what the inbox shows of its conversations."""

import json
import re

import pytest

from frontdesk.flows import first_run, inbound, visitors, widget_look, widget_texts
from frontdesk.flows.first_run import DEMO_WIDGET
from frontdesk.store import numbers, widgets
from tests import webhooks


@pytest.fixture
def flows(app):
    return app.extensions["frontdesk"]


@pytest.fixture
def demo(db, settings):
    first_run.prepare_widget(settings)
    return numbers.find(db, widgets.CHANNEL, DEMO_WIDGET)


def form(**changes):
    return {
        "words_language": "en", "name": "Website", "client": "1", "origins": "https://shop.example", "accent": "#123456", "scheme": "auto",
        "side": "end", "language": "en", "whatsapp": "", "ask_details": "yes", **changes,
    }  # fmt: skip


def test_a_web_chat_is_made_and_shows_its_line(owner, db):
    response = owner.submit("/widgets", client="1", name="Shop", origins="https://Shop.example/\nhttps://*.shop.example")
    assert response.status_code == 303
    page = owner.get(response.location).get_data(as_text=True)
    number = numbers.all_of_them(db)[-1]
    assert number.channel == "widget" and re.fullmatch("[0-9a-f]{24}", number.external_id)
    assert f"data-key=&#34;{number.external_id}&#34;" in page and "http://localhost/widget.js" in page
    assert widgets.get(db, number.id).origins == ("https://shop.example", "https://*.shop.example")


@pytest.mark.parametrize(
    "origin",
    ["shop.example", "https://shop.example/page", "https://*", "*", "https://a.*.example", "ftp://shop.example", "https://shop.example?x", "javascript:x"],
)
def test_what_is_no_origin_is_named(owner, origin):
    response = owner.submit("/widgets", client="1", name="Shop", origins=origin)
    assert response.status_code == 422 and "is no origin" in response.get_data(as_text=True)


def test_what_is_saved_is_what_pages_get(owner, db, demo, app):
    fields = form(
        origins="https://other.example", w_greeting="Hi & welcome", w_questions="One?\nTwo?", accent="#FFD400", side="start", scheme="dark", whatsapp="1"
    )
    assert owner.submit(f"/widgets/{demo.id}", **fields).status_code == 303
    look = app.test_client().get(f"/widget/{DEMO_WIDGET}/look?lang=en", headers={"Origin": "https://other.example"}).json
    assert (look["texts"]["greeting"], look["questions"], look["side"], look["scheme"]) == ("Hi & welcome", ["One?", "Two?"], "start", "dark")
    assert look["colours"]["accent"] == "#ffd400" and look["colours"]["on_accent"] == "#000000" and look["whatsapp"]
    assert owner.submit(f"/widgets/{demo.id}", **form(words_language="de", w_greeting="Moin")).status_code == 303
    kept = widgets.get(db, demo.id).words
    assert kept["de"] == {"greeting": "Moin"} and kept["en"]["greeting"] == "Hi & welcome"


@pytest.mark.parametrize(
    ("field", "value"),
    [("accent", "red"), ("scheme", "blue"), ("side", "top"), ("whatsapp", "99"), ("name", ""), ("client", "99"), ("client", "²"), ("whatsapp", "²"), ("w_title", "x" * 601)],
)
def test_what_is_wrong_stands_beside_its_field(owner, db, demo, field, value):
    before = widgets.get(db, demo.id)
    response = owner.submit(f"/widgets/{demo.id}", **form(**{field: value}))
    assert response.status_code == 422 and f'id="e-{field}"' in response.get_data(as_text=True)
    assert widgets.get(db, demo.id) == before


def test_the_preview_shows_what_is_typed_and_keeps_nothing(owner, db, demo):
    before = widgets.get(db, demo.id)
    html = owner.fragment(f"/widgets/{demo.id}/preview", "POST", **form(w_greeting='"Hi" <you>', accent="#ffd400")).get_data(as_text=True)
    look = json.loads(re.search('data-look="([^"]*)"', html)[1].replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert look["texts"]["greeting"] == '"Hi" <you>' and "black" in html and "14.7 to 1" in html
    assert widgets.get(db, demo.id) == before


def test_only_owners_change_it(agent, demo):
    assert agent.get(f"/widgets/{demo.id}").status_code == 403
    assert agent.submit(f"/widgets/{demo.id}", **form()).status_code == 403


def test_a_number_s_page_leads_to_the_chat_s_own(owner, demo):
    assert owner.get(f"/numbers/{demo.id}").location == f"/widgets/{demo.id}"
    assert owner.get("/widgets/1").status_code == 404


def test_every_language_has_every_word():
    names = {*widget_texts.VOICE, *widget_texts.LABELS}
    for language in widget_texts.LANGUAGES:
        assert set(widget_texts.TEXTS[language]) == names, language
        assert "{count}" in widget_texts.TEXTS[language]["unread"]


@pytest.mark.parametrize("accent", ["#000000", "#ffffff", "#808080", "#ffd400", "#1b6b58", "#ff0000", "#0000ff", "#777777"])
def test_every_colour_comes_out_readable(accent):
    found = widget_look.colours(accent)
    assert widget_look.contrast(found["on_accent"], accent) >= 4.5
    for name, ground in widget_look.GROUNDS.items():
        assert widget_look.contrast(found[name], ground) >= 4.5


def test_the_inbox_shows_where_it_comes_from_and_offers_what_it_can_carry(owner, flows, db, demo):
    visitors.put(flows, DEMO_WIDGET, "web:abcdef", [{"type": "message", "id": "web:abcdef:1", "text": "Hello"}])
    visitors.put(flows, DEMO_WIDGET, "web:abcdef", [{"type": "details", "id": "web:abcdef:2", "email": "ana@example.com"}])
    inbound.drain(flows)
    [row] = db.execute("SELECT id FROM conversations").fetchall()
    inbox = owner.get("/inbox").get_data(as_text=True)
    assert "Visitor ABCD" in inbox and "web chat" in inbox and "left an address" in inbox
    thread = owner.get(f"/inbox/{row['id']}").get_data(as_text=True)
    assert "mailto:ana@example.com" in thread and "window closes" not in thread
    assert "/compose/text" in thread and "/compose/template" not in thread and "/compose/location" not in thread
    assert owner.get(f"/inbox/{row['id']}/compose/template").status_code == 404
    assert owner.get(f"/inbox/{row['id']}/compose/text").status_code == 200


def test_two_conversations_that_belong_together_name_each_other(owner, flows, db, demo):
    visitors.put(flows, DEMO_WIDGET, "web:abcdef", [{"type": "message", "id": "web:abcdef:1", "text": "Hello"}])
    inbound.drain(flows)
    [web] = db.execute("SELECT id FROM conversations").fetchall()
    code = widgets.reference(db, web["id"], "ABCDEFGH", flows.now())
    flows.inbox.put("cloud", webhooks.texts(webhooks.text(f"Hi (FD{code})")), flows.now())
    inbound.drain(flows)
    [other] = widgets.joined(db, web["id"])
    assert "This visitor went on by WhatsApp" in owner.get(f"/inbox/{web['id']}").get_data(as_text=True)
    assert "came from the web chat" in owner.get(f"/inbox/{other['id']}").get_data(as_text=True)


def test_the_script_is_small_and_made_without_anything_that_a_strict_policy_forbids(app):
    from pathlib import Path

    response = app.test_client().get("/widget.js", headers={"Accept-Encoding": "gzip"})
    assert response.content_encoding == "gzip" and len(response.data) <= 15_000
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin" and "max-age=3600" in response.headers["Cache-Control"]
    source = (Path(app.static_folder) / "widget.js").read_text()
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function", 'setAttribute("style"', "document.write", "http://"):
        assert forbidden not in source.replace("http://www.w3.org", ""), forbidden


def test_a_web_chat_is_nowhere_offered_where_a_phone_number_is_needed(owner, flows, db, demo):
    assert "Website" not in owner.get("/broadcasts/new").get_data(as_text=True)
    assert "Website" not in owner.get("/templates").get_data(as_text=True)
