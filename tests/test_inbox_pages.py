"""The inbox and a conversation as people of the desk use them: pages and fragments, with a busy desk's data."""

import gzip
import re

import pytest

from frontdesk import queues
from frontdesk.flows import take_over
from frontdesk.store import canned, clients, conversations, inbox, numbers
from tests import demo, desk, webhooks
from tests.test_inbound import receive, rows

EVIL = "<script>alert('x')</script>"


@pytest.fixture
def busy(app, db, settings, clock, owner):
    """A desk with conversations in every state; the owner is user 1."""
    demo.fill(db, settings, 1, clock())
    return owner


def ids(db, **where) -> dict[str, int]:
    found = rows(db, "SELECT conversations.id, contacts.name FROM conversations JOIN contacts ON contacts.id = contact_id")
    return {row["name"]: row["id"] for row in found}


def shown(page) -> list[int]:
    return [int(id_) for id_ in re.findall(r'id="c(\d+)"', page.text)]


def test_a_new_desk_says_what_to_do_next(owner):
    page = owner.get("/inbox").text
    assert "No conversation yet" in page and "/simulator" in page


@pytest.mark.parametrize("which", inbox.FILTERS)
def test_each_filter_shows_what_it_promises(busy, db, which):
    names = {id_: name for name, id_ in ids(db).items()}
    found = {names[id_] for id_ in shown(busy.get(f"/inbox?filter={which}"))}
    expected = {
        "unread": {"Ana Silveira", "طارق منصور", "田中 由紀"},
        "waiting": {"Ana Silveira", "طارق منصور", "田中 由紀"},
        "person": {"طارق منصور", "Jo van der Meer-Oosterhuis-Van Leeuwenhoek", "Léa"},
        "mine": {"Ana Silveira"},
        "human": {"Ana Silveira", "طارق منصور"},
        "window": {"Léa"},
        "closed": {"Sofie", "Grandma Ruth"},
    }
    if which in expected:
        assert found >= expected[which] if which == "unread" else found == expected[which]
    else:
        assert {"Sofie", "Grandma Ruth"}.isdisjoint(found) and len(found) > 8


def test_the_longest_waiting_stands_first(busy, db):
    names = ids(db)
    assert shown(busy.get("/inbox?filter=waiting")) == [names["Ana Silveira"], names["طارق منصور"], names["田中 由紀"]]


def test_the_list_goes_on_without_leaving_anybody_out_or_showing_them_twice(owner, db, context):
    for n in range(95):
        receive(context, webhooks.texts(webhooks.text(sender=f"49177{n:05}", at=context.now())))
        context.now.forward(1)
    page, found = owner.get("/inbox"), []
    while True:
        found += shown(page)
        more = re.search(r'hx-get="(/inbox/more[^"]+)"', page.text)
        if not more:
            break
        page = owner.fragment(more[1].replace("&amp;", "&"))
    assert len(found) == 95 and len(set(found)) == 95


@pytest.fixture
def two_clients(db, settings, clock):
    """3,000 conversations of the first client, and before them 100 of a second one on two numbers."""
    clients.add(db, "Small", "", clock())
    for number_id in (2, 3):
        numbers.put(db, settings, client_id=2, channel="cloud", external_id=str(number_id), access_token="t", now=clock())
    for n in range(3100):
        number_id, client_id = (2 + n % 2, 2) if n < 100 else (1, 1)
        db.execute("INSERT INTO contacts (client_id, phone, created_at, updated_at) VALUES (?, ?, 0, 0)", (client_id, str(n)))
        db.execute(
            "INSERT INTO conversations (number_id, contact_id, created_at, last_message_at, unread) VALUES (?, ?, 0, ?, 1)",
            (number_id, n + 1, n // 3),
        )


def test_a_client_s_list_goes_on_over_all_its_numbers_without_gaps(two_clients, owner):
    page, found = owner.get("/inbox?client=2"), []
    while True:
        found += shown(page)
        more = re.search(r'hx-get="(/inbox/more[^"]+)"', page.text)
        if not more:
            break
        page = owner.fragment(more[1].replace("&amp;", "&"))
    assert found == list(range(100, 0, -1))
    assert shown(owner.get("/inbox?client=99")) == []


def test_a_client_s_counts_are_its_own_and_its_second_page_too_without_scripts(two_clients, owner):
    assert 'data-unread="100"' in owner.get("/inbox?client=2").text and 'data-unread="1,000+"' in owner.get("/inbox").text
    more = re.search(r'<a class="button quiet" href="([^"]+)">More', owner.get("/inbox?client=2").text)[1]
    assert shown(owner.get(more.replace("&amp;", "&"))) == list(range(60, 20, -1))


@pytest.mark.parametrize("which", ["open", "unread", "closed", "window"])
def test_a_small_client_s_list_is_not_looked_for_among_everybody_s(two_clients, db, which):
    if which == "closed":
        db.execute("UPDATE conversations SET state = 'closed'")
    steps = []
    db.set_progress_handler(lambda: steps.append(1), 100)
    inbox.page(db, which, now=0, user_id=1, client_id=2, limit=20)
    db.set_progress_handler(None, 0)
    assert len(steps) < 50


def test_a_poll_is_answered_with_204_until_something_happens(busy, context):
    known = re.search(r"known=(\w+)", busy.fragment("/inbox/list").text)[1]
    assert busy.fragment(f"/inbox/list?known={known}").status_code == 204
    receive(context, webhooks.texts(webhooks.text("new", at=context.now())))
    assert busy.fragment(f"/inbox/list?known={known}").status_code == 200


def test_a_conversation_shows_what_was_said_and_what_became_of_it(busy, db):
    names = ids(db)
    page = busy.get(f"/inbox/{names['Ana Silveira']}").text
    assert "cake-idea.jpg" in page and "Asked Marta" in page and "Some Owner" in page and "❤️" in page
    assert 'class="quote"' in page and "read" in page
    failed = busy.get(f"/inbox/{names['Jo van der Meer-Oosterhuis-Van Leeuwenhoek']}").text
    assert "Re-engagement message" in failed and "(131047)" in failed and "Only a template may go out" in failed
    assert "id=\"send\" disabled" in failed and "takes only a" in failed
    assert "Chocolate" in busy.get(f"/inbox/{names['Nina']}").text


def test_looking_at_a_conversation_makes_it_read_and_it_can_be_made_unread(busy, db):
    ana = ids(db)["Ana Silveira"]
    busy.get(f"/inbox/{ana}")
    assert ana not in shown(busy.get("/inbox?filter=unread"))
    busy.submit(f"/inbox/{ana}/unread")
    assert ana in shown(busy.get("/inbox?filter=unread"))


def test_an_answer_is_queued_in_the_agent_s_name_and_the_bot_paused(busy, db, context):
    yuki = ids(db)["田中 由紀"]
    answer = busy.fragment(f"/inbox/{yuki}/answer", "POST", text="8時です", seen="999")
    assert answer.status_code == 200 and "8時です" not in answer.text, "an empty composer comes back"
    [row] = rows(db, "SELECT text, purpose, user_id, state FROM messages ORDER BY id DESC LIMIT 1")
    assert row == {"text": "8時です", "purpose": "person", "user_id": 1, "state": "queued"}
    assert conversations.get(db, yuki).state == "human"
    assert list(context.queues.take_sends()) == [yuki]


def test_with_redis_away_an_answer_is_kept_and_told_so_that_nobody_sends_it_twice(app, busy, db, tmp_path, monkeypatch):
    yuki = ids(db)["田中 由紀"]
    away = queues.connect(f"unix://{tmp_path}/nobody.sock", retry=False)
    context = app.extensions["frontdesk"]
    monkeypatch.setattr(context, "queues", queues.Queues(away))
    monkeypatch.setattr(context, "presence", queues.Presence(away))
    assert busy.fragment(f"/inbox/{yuki}/answer", "POST", text="8時です", seen="999").status_code == 200
    assert busy.get(f"/inbox/{yuki}").status_code == 200
    assert busy.submit(f"/inbox/{yuki}/hand-back").status_code == 303
    assert len(rows(db, "SELECT id FROM messages WHERE text = '8時です'")) == 1


def test_a_refused_answer_keeps_what_was_typed(busy, db):
    jo = ids(db)["Jo van der Meer-Oosterhuis-Van Leeuwenhoek"]
    answer = busy.fragment(f"/inbox/{jo}/answer", "POST", text="typed words")
    assert answer.status_code == 422 and "typed words" in answer.text and "only a template" in answer.text


def test_a_colleague_s_answer_in_between_is_shown_before_one_s_own_goes_out(app, busy, db):
    yuki = ids(db)["田中 由紀"]
    seen = rows(db, "SELECT MAX(id) AS id FROM messages")[0]["id"]
    take_over.answer_by_person(app.extensions["frontdesk"], yuki, 99, "from Ben")
    answer = busy.fragment(f"/inbox/{yuki}/answer", "POST", text="from me", seen=str(seen))
    assert answer.status_code == 422 and "Send it anyway" in answer.text
    again = busy.fragment(f"/inbox/{yuki}/answer", "POST", text="from me", seen=str(seen), anyway="yes")
    assert again.status_code == 200


@pytest.mark.parametrize(("action", "state"), [("take", "human"), ("close", "closed")])
def test_one_button_takes_over_or_closes_and_another_hands_back(busy, db, action, state):
    yuki = ids(db)["田中 由紀"]
    assert busy.submit(f"/inbox/{yuki}/{action}").status_code == 303
    assert conversations.get(db, yuki).state == state
    busy.submit(f"/inbox/{yuki}/hand-back" if state == "human" else f"/inbox/{yuki}/reopen")
    assert conversations.get(db, yuki).state == "bot"


def test_an_action_that_does_not_exist_is_a_404(busy):
    assert busy.submit("/inbox/1/explode").status_code == 404
    assert busy.get("/inbox/99999").status_code == 404


def test_a_note_is_seen_by_the_desk_alone(busy, db, context):
    yuki = ids(db)["田中 由紀"]
    busy.fragment(f"/inbox/{yuki}/note", "POST", text="ask Marta")
    assert "ask Marta" in busy.get(f"/inbox/{yuki}").text
    assert list(context.queues.take_sends()) == [] and conversations.get(db, yuki).state == "bot"


def test_older_messages_come_in_pages_without_gaps(owner, context, db):
    for n in range(130):
        receive(context, webhooks.texts(webhooks.text(f"message {n:03}", at=context.now())))
    page = owner.get("/inbox/1")
    found = re.findall(r'>message (\d{3})</div>', page.text)
    while more := re.search(r'hx-get="(/inbox/1/older[^"]+)"', page.text):
        page = owner.fragment(more[1])
        found = re.findall(r'>message (\d{3})</div>', page.text) + found
    assert [n for n in dict.fromkeys(found)] == [f"{n:03}" for n in range(130)]


def test_a_search_finds_its_message_however_far_back_and_one_reads_on_from_there(owner, context, db):
    for n in range(0, 1000, 50):
        receive(context, webhooks.texts(*(webhooks.text(f"message {m:03}", at=context.now()) for m in range(n, n + 50))))
        context.now.forward(1)
    at = rows(db, "SELECT id FROM messages WHERE text = 'message 100'")[0]["id"]
    page = owner.get(f"/inbox/1?at={at}").text
    assert ">message 100<" in page and 'id="composer"' not in page and "older part of the conversation" in page
    polled = owner.fragment(re.search(r'hx-get="(/inbox/1/recent[^"]+)"', page)[1].replace("&amp;", "&")).text
    assert ">message 100<" in polled and "Newer messages" in polled and ">message 999<" not in polled
    found = re.findall(r">message (\d{3})</div>", page)
    while more := re.search(r'href="(/inbox/1[?]at=\d+)">Newer messages', page):
        page = owner.get(more[1]).text
        found += re.findall(r">message (\d{3})</div>", page)
    assert list(dict.fromkeys(found)) == [f"{n:03}" for n in range(91, 1000)] and 'id="composer"' in page


def test_a_note_stands_on_one_page_alone_however_far_one_goes_back(app, owner, context, db):
    for n in range(6):
        for m in range(25):
            receive(context, webhooks.texts(webhooks.text(f"message {25 * n + m}", at=context.now())))
            context.now.forward(1)
        owner.fragment("/inbox/1/note", "POST", text=f"note number {n}")
    page = owner.get("/inbox/1")
    found = re.findall(r">note number (\d)<", page.text)
    while more := re.search(r'hx-get="(/inbox/1/older[^"]+)"', page.text):
        page = owner.fragment(more[1])
        found = re.findall(r">note number (\d)<", page.text) + found
    assert found == list("012345")


@pytest.mark.parametrize(
    "known, shown_name",
    [
        ({"user_id": "US.134912"}, "US.134912"),
        ({"user_id": "US.134912", "username": "ana.bakes", "name": "  "}, "ana.bakes"),
        ({"phone": "491511", "user_id": "US.134912", "name": ""}, "+491511"),
        ({"phone": "491511", "name": "Ana"}, "Ana"),
    ],
)
def test_a_customer_is_called_by_the_best_that_is_known_of_them(owner, context, db, known, shown_name):
    receive(context, webhooks.texts(webhooks.text("Is there cake?", at=context.now())))
    db.execute("UPDATE contacts SET (name, username, phone, user_id) = (:name, :username, :phone, :user_id)",
               {"name": None, "username": None, "phone": None, "user_id": None, **known})  # fmt: skip
    db.execute("UPDATE messages SET state = 'unanswered'")
    for path in ("/inbox", "/inbox/1", "/inbox/1/recent", "/inbox/search?q=cake", "/dead-letters"):
        page = owner.get(path).text
        assert re.search(rf'dir="auto">{re.escape(shown_name)}<', page), path
        assert "None" not in page, path


def test_two_people_see_each_other(app, busy, db):
    desk.log_in(app, "agent", name="Ben Ode").get("/inbox/1?writing=yes")
    assert "Ben Ode is writing" in busy.fragment("/inbox/1/recent").text


def test_canned_answers_are_offered_in_the_composer_of_their_client(busy, db):
    busy.submit("/canned", shortcut="/Bye", text="Good bye!", client="")
    busy.submit("/canned", shortcut="teeth", text="Brush them.", client="2")
    page = busy.get("/inbox/1").text
    assert 'data-shortcut="bye"' in page and "Brush them." not in page
    assert busy.submit("/canned", shortcut="two words", text="x", client="").status_code == 422
    busy.submit(f"/canned/{canned.all_of_them(db)[0].id}/remove")


def test_what_people_wrote_comes_out_as_text_everywhere(owner, context, db):
    picture = {"from": "491", "id": "wamid.pic", "timestamp": str(int(context.now())), "type": "document",
               "document": {"id": "1", "mime_type": EVIL, "filename": EVIL, "caption": EVIL}}  # fmt: skip
    receive(context, webhooks.texts(webhooks.text(EVIL, sender="491", at=context.now()), picture))
    db.execute("UPDATE contacts SET name = ?, username = ?", (EVIL, EVIL))
    db.execute("UPDATE clients SET name = ?", (EVIL,))
    for path in ("/inbox", "/inbox/1", "/inbox/1/recent", "/inbox/search?q=alert", "/clients", "/clients/1", "/numbers/1", "/dead-letters"):
        page = owner.get(path)
        assert page.status_code == 200 and EVIL not in page.text, path
    assert "&lt;script&gt;" in owner.get("/inbox/1").text


def test_a_page_with_all_it_loads_is_under_100_kb(busy, db):
    for path in ("/inbox", f"/inbox/{ids(db)['Ana Silveira']}", "/overview", "/clients/1"):
        page = busy.get(path)
        loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
        files = [busy.get(address, headers={"Accept-Encoding": "gzip"}) for address in loaded]
        assert len(files) >= 4 and all("immutable" in file.headers["Cache-Control"] for file in files)
        assert len(page.data) + sum(len(file.data) for file in files) < 100_000, path


def test_a_static_file_comes_as_it_is_to_who_takes_no_gzip(owner):
    plain = owner.get("/static/desk.css", headers={"Accept-Encoding": "identity"})
    packed = owner.get("/static/desk.css", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == plain.data and packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["ETag"] != packed.headers["ETag"] and "Accept-Encoding" in plain.headers["Vary"]
    known = owner.get("/static/desk.css", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert known.status_code in (200, 304)
