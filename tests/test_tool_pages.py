"""A client's tools on the desk: switched, lookups declared and tried, and what was called shown under the answer."""

import dataclasses
import json

import pytest

from frontdesk.store import clients, outbox, tool_calls, tools
from frontdesk.store.database import transaction
from frontdesk.store.secrets import decrypt
from frontdesk.store.tool_calls import Call
from tests.standins.ollama import OllamaStandIn
from tests.standins.shop import Answer, Shop
from tests.test_inbound import rows
from tests.test_reply import customer_writes

SECRET = "Bearer sk-very-secret-0123456789"
FORM = {
    "name": "order_status", "description": "Where an order is.", "url": "https://shop.example/orders/{number}?phone={phone}", "parameters": "",
    "headers": "Accept-Language: de", "secret_header": "Authorization", "secret": SECRET, "timeout_seconds": "8", "hosts": "", "is_on": "yes",
}  # fmt: skip


def send(browser, path: str, fields: dict):
    """A field is called headers, as an argument of submit() is."""
    return browser.post(path, data={"csrf_token": browser.csrf_token(), **fields})


def stored(db) -> tools.Lookup:
    return tools.lookups(db, 1)[0]


def test_nothing_is_on_at_first_and_the_page_says_what_to_do(owner, db):
    page = owner.get("/clients/1/tools").text
    assert "add the first lookup" in page and "checked" not in page
    assert 'href="/clients/1/tools"' in owner.get("/clients/1").text


def test_agents_and_strangers_have_no_tools(agent, visitor):
    assert agent.get("/clients/1/tools").status_code == 403
    assert visitor.get("/clients/1/tools/new").status_code == 302


def test_tools_are_switched_each_by_itself(owner, db, settings):
    assert owner.submit("/clients/1/tools", opening_hours="yes", offer_choices="yes", list_word="Auswählen").status_code == 303
    assert tools.switched_on(db, 1) == {"opening_hours", "offer_choices"} and clients.get(db, 1, settings).list_word == "Auswählen"
    assert owner.get("/clients/1/tools").text.count("checked") == 2
    owner.submit("/clients/1/tools", list_word="Choose")
    assert tools.switched_on(db, 1) == set()
    wrong = owner.submit("/clients/1/tools", opening_hours="yes", list_word="x" * 21)
    assert wrong.status_code == 422 and "longer than 20" in wrong.text and tools.switched_on(db, 1) == set()


def test_a_model_that_cannot_use_tools_is_named(owner, app):
    with OllamaStandIn(models=["gemma3:1b", "llama3.2:3b"]) as model:
        flows = app.extensions["frontdesk"]
        flows.ollama.host = model.url
        clients.change(flows.db, 1, {"model": "gemma3:1b"}, 1.0)
        owner.submit("/clients/1/tools", hand_over="yes", list_word="Choose")
        assert "gemma3:1b cannot use tools" in owner.get("/clients/1/tools").text
        clients.change(flows.db, 1, {"model": None}, 1.0)
        owner.submit("/clients/1/tools", hand_over="yes", list_word="Choose")
        assert "It counts from the next answer on" in owner.get("/clients/1/tools").text


def test_a_lookup_is_declared_and_its_secret_is_never_shown_again(owner, db, settings):
    answer = send(owner, "/clients/1/tools/new", FORM)
    assert answer.status_code == 303
    made = stored(db)
    assert made.hosts == ["shop.example"] and made.parameters["required"] == ["number"] and made.parameters["additionalProperties"] is False
    assert made.headers == {"Accept-Language": "de"} and decrypt(settings, made.secret) == SECRET
    pages = owner.get(answer.location).text + owner.get("/clients/1/tools").text
    assert "order_status" in pages and "asks shop.example" in pages and SECRET not in pages and made.secret not in pages
    assert SECRET not in json.dumps(rows(db, "SELECT * FROM lookups"))


def test_the_secret_stays_until_another_is_typed_and_only_for_its_hosts(owner, db, settings):
    send(owner, "/clients/1/tools/new", FORM)
    path = f"/clients/1/tools/{stored(db).id}"
    assert send(owner, path, FORM | {"secret": "", "description": "New words."}).status_code == 303
    assert decrypt(settings, stored(db).secret) == SECRET and stored(db).description == "New words."
    moved = send(owner, path, FORM | {"secret": "", "url": "https://evil.example/{number}"})
    assert moved.status_code == 422 and "Type the secret again" in moved.text
    assert send(owner, path, FORM | {"secret": "", "secret_header": ""}).status_code == 303 and stored(db).secret is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "Order Status", "small letters, digits and _"),
        ("name", "hand_over", "built in"),
        ("description", "", "A description is missing."),
        ("url", "ftp://shop.example/{number}", "must begin with http"),
        ("url", "https://{number}.shop.example/", "behind the host"),
        ("url", "https://user:pw@shop.example/", "no user name"),
        ("url", "http://127.0.0.1/{number}", "private network"),
        ("url", "https://shop.example/{Number}", "small letters"),
        ("url", "https://shop.example/{number", "stands alone"),
        ("parameters", "{", "This is not JSON."),
        ("parameters", '{"type": "object", "properties": {"other": {"type": "string"}}}', "are those of the address: number"),
        ("parameters", '{"properties": {"number": {"type": "string"}, "phone": {"type": "string"}}}', "no parameter"),
        ("parameters", '{"properties": {"number": {"type": "array"}}}', "Each has a type"),
        ("parameters", '{"properties": {"number": {"type": "string", "pattern": "(a+)+"}}}', "is not taken"),
        ("hosts", "other.example", "own host is missing"),
        ("hosts", "shop.example https://x/y", "is no host"),
        ("headers", "Host: evil.example", "cannot be set"),
        ("headers", "no colon", "a header looks like"),
        ("secret_header", "", "Which header"),
        ("secret", "", "The secret is missing."),
        ("timeout_seconds", "60", "from 1 to 20"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(owner, db, field, value, words):
    page = send(owner, "/clients/1/tools/new", FORM | {field: value})
    assert page.status_code == 422 and words in page.text and tools.lookups(db, 1) == []
    assert SECRET not in page.text and (field == "description" or "Where an order is." in page.text)


def test_a_name_is_taken_once_and_ten_lookups_are_the_most(owner, db):
    send(owner, "/clients/1/tools/new", FORM)
    assert "has a lookup of this name" in send(owner, "/clients/1/tools/new", FORM).text
    for number in range(9):
        send(owner, "/clients/1/tools/new", FORM | {"name": f"lookup_{number}"})
    assert "are the most" in send(owner, "/clients/1/tools/new", FORM | {"name": "one_more"}).text
    owner.submit(f"/clients/1/tools/{stored(db).id}/remove")
    assert len(tools.lookups(db, 1)) == 9


def test_a_lookup_of_another_client_is_not_there(owner, db):
    send(owner, "/clients/1/tools/new", FORM)
    clients.add(db, "Other", "", 1.0)
    lookup_id = stored(db).id
    for path in (f"/clients/2/tools/{lookup_id}", "/clients/1/tools/99", "/clients/9/tools"):
        assert owner.get(path).status_code == 404
    assert owner.submit(f"/clients/2/tools/{lookup_id}/remove").status_code == 404 and tools.lookups(db, 1)


@pytest.fixture
def shop():
    with Shop({"status": "<b>sent</b>", "you": SECRET}) as server:
        yield server


def test_try_it_shows_what_the_model_would_be_told(owner, app, db, shop):
    flows = app.extensions["frontdesk"]
    flows.settings = dataclasses.replace(flows.settings, fetch_private_addresses=True)
    send(owner, "/clients/1/tools/new", FORM | {"url": f"{shop.url}/orders/{{number}}?phone={{phone}}"})
    path = f"/clients/1/tools/{stored(db).id}/try"
    page = owner.fragment(path, "POST", p_number="A/7", p_phone="+49 151 1").text
    assert "&lt;b&gt;sent" in page and "•••" in page and "sk-very" not in page
    assert shop.paths == ["/orders/A%2F7?phone=491511"] and shop.asked[0][1]["Authorization"] == SECRET
    assert "number&#39; is a required" in owner.fragment(path, "POST", p_phone="49").text
    assert "phone number is not known" in owner.fragment(path, "POST", p_number="7").text
    shop.answers[:] = [Answer(status=503)]
    assert "HTTP 503" in owner.fragment(path, "POST", p_number="7", p_phone="49").text
    assert owner.post(path, data={"p_number": "7"}).status_code == 403, "without its CSRF token nothing is asked"


def test_try_it_reaches_no_private_address(owner, db, shop, app):
    flows = app.extensions["frontdesk"]
    allowed = dataclasses.replace(flows.settings, fetch_private_addresses=True)
    refused, flows.settings = flows.settings, allowed
    send(owner, "/clients/1/tools/new", FORM | {"url": f"{shop.url}/{{number}}"})
    flows.settings = refused
    page = owner.fragment(f"/clients/1/tools/{stored(db).id}/try", "POST", p_number="7").text
    assert "private network" in page and shop.asked == []


def test_calls_and_results_stand_under_the_answer(agent, context):
    customer_writes(context, "Where?")
    message_id = outbox.queue_text(context.db, 1, 1, "It is <here>.", purpose="answer", now=context.now())
    with transaction(context.db) as db:
        tool_calls.put(db, message_id, [
            Call("order_status", '{"number": "<i>7</i>"}', "sent", "done", 0.5),
            Call("order_status", "{}", "It failed: HTTP 500.", "failed", 0.1),
        ])  # fmt: skip
    page = agent.get("/inbox/1").text
    assert "2 tool calls: order_status" in page and "&lt;i&gt;7" in page and "It failed: HTTP 500." in page and ">failed<" in page
