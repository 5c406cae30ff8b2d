"""Audiences on the desk: uploaded, pasted, chosen; watched while they are read; what was left out, downloaded; deleted."""

import io

import pytest

from frontdesk.flows import audience
from frontdesk.store import audience_members, audiences, clients, tags
from frontdesk.web import audiences as pages
from tests.test_audience import contact, conversation, phone
from tests.test_inbound import queued, rows

LIST = {"way": "file", "client": "1", "region": "DE", "name": ""}


def upload(owner, text, filename="spring list.csv", **more):
    stream = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    return owner.submit("/audiences", **{**LIST, **more}, file=(stream, filename))


def test_without_any_the_page_says_what_to_do_next(owner):
    page = owner.get("/audiences").text
    assert "No audience yet" in page and 'href="/audiences/new"' in page


def test_agents_and_visitors_have_no_audiences(agent, visitor):
    assert agent.get("/audiences").status_code == 403 and agent.submit("/audiences", **LIST).status_code == 403
    assert visitor.get("/audiences").status_code == 302
    assert "Audiences" not in agent.get("/inbox").text


def test_an_uploaded_list_is_watched_while_it_is_read(owner, context, db):
    answer = upload(owner, f"phone,name\n{phone(1)},<b>Bo</b>\nx,y\n{phone(1)},z\n")
    assert answer.status_code == 303 and queued(context, "bulk") == ["audience"]
    page = owner.get(answer.location).text
    assert "spring list" in page and "Waiting to be read" in page and "<progress" in page and 'http-equiv="refresh"' in page
    waiting = owner.fragment(answer.location).text
    assert 'hx-trigger="every 1s"' in waiting and "<html" not in waiting
    audience.read(context, 1)
    done = owner.fragment(answer.location).text
    assert "hx-get" not in done and "&lt;b&gt;Bo" in done and "+4915120000001" in done and "Europe/Berlin" in done
    assert "<b>Line 3</b>: not a phone number" in done
    assert 'http-equiv="refresh"' not in owner.get(answer.location).text
    assert "spring list" in owner.get("/audiences").text


def test_a_pasted_list_is_read_too_and_its_country_is_kept_for_the_next(owner, context, db):
    owner.submit("/audiences", way="paste", client="1", region="FR", name="Pasted", text="06 12 34 56 78\r\n06 12 34 56 79, Bo\r\n")
    audience.read(context, 1)
    found = audiences.get(db, 1)
    assert (found.source, found.good, found.names) == ("paste", 2, ["column 2"])
    assert rows(db, "SELECT region FROM clients") == [{"region": "FR"}]
    assert "the business&#39;s own (France)" in owner.get("/audiences/new?way=paste").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"way": "file", "client": "1", "region": ""}, "Choose a file."),
        ({"way": "paste", "client": "1", "region": "", "name": "x", "text": " \n"}, "The list is empty"),
        ({"way": "paste", "client": "1", "region": "", "name": "", "text": "+4915120000001"}, "A name is missing."),
        ({"way": "paste", "client": "1", "region": "XX", "name": "x", "text": "+4915120000001"}, "Choose one of these."),
        ({"way": "paste", "client": "9", "region": "", "name": "x", "text": "+4915120000001"}, "Choose one of these."),
        ({"way": "contacts", "client": "1", "name": "x", "countries": "Germani"}, "is no country&#39;s code"),
        ({"way": "contacts", "client": "1", "name": "x", "wrote_within_days": "soon"}, "Days is a number"),
        ({"way": "contacts", "client": "1", "name": "x", "wrote_within_days": "3", "never_answered": "yes"}, "choose one of the two"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(owner, db, fields, words):
    page = owner.submit("/audiences", **fields)
    assert page.status_code == 422 and words in page.text and rows(db, "SELECT id FROM audiences") == []
    if "+49" in fields.get("text", ""):
        assert "+4915120000001" in page.text


def test_contacts_are_counted_before_they_are_chosen(owner, context, db):
    tags.add(db, 1, [contact(db, f"491512000000{n}", name=f"Person {n}") for n in range(3)], "vip")
    contact(db, "33612345678")
    asked = {"way": "contacts", "client": "1", "name": "", "tags_any": "VIP, other"}
    page = owner.submit("/audiences", **asked, count="yes")
    assert page.status_code == 200 and "3 contacts: tagged any of other, vip." in page.text and "vip (3)" in page.text
    assert "Up to 0 contacts: from US." in owner.submit("/audiences", way="contacts", client="1", countries="us", count="yes").text
    answer = owner.submit("/audiences", **{**asked, "name": "The best"})
    audience.read(context, 1)
    page = owner.get(answer.location).text
    assert "Contacts, tagged any of other, vip" in page and "Person 2" in page and audiences.get(db, 1).source == "tag"


def test_a_filter_is_asked_anew(owner, context, db):
    contact(db, "4915120000001")
    first = owner.submit("/audiences", way="contacts", client="1", name="Germans", countries="germany, at").location
    audience.read(context, 1)
    contact(db, "4915120000002")
    second = owner.submit(f"{first}/again").location
    audience.read(context, 2)
    assert second.endswith("/2") and [audiences.get(db, n).good for n in (1, 2)] == [1, 2]
    assert "Choose anew" in owner.get(second).text and audiences.get(db, 2).filter == '{"countries": ["AT", "DE"]}'
    upload(owner, phone(1))
    assert owner.submit("/audiences/3/again").status_code == 404


def test_what_was_left_out_is_downloaded_and_starts_no_formula(owner, context, db):
    answer = upload(owner, f"phone,name\n{phone(1)},Bo\n=1+1,evil\n")
    audience.read(context, 1)
    download = owner.get(f"{answer.location}/left-out.csv")
    assert download.headers["Content-Disposition"] == 'attachment; filename="spring_list_left_out.csv"'
    assert download.text.lstrip("\ufeff").splitlines() == ["line,cause,reason,text", '3,not a recipient,not a phone number,"\'=1+1,evil"']


def test_an_audience_is_deleted_with_its_file(owner, db, settings):
    answer = upload(owner, phone(1))
    assert owner.submit(f"{answer.location}/delete").status_code == 303
    assert audiences.get(db, 1) is None and list((settings.data_dir / "uploads").iterdir()) == []
    assert owner.get(answer.location).status_code == 404


def test_one_that_a_broadcast_rests_on_stays(owner, db):
    answer = upload(owner, phone(1))
    db.execute("CREATE TABLE things (audience_id INTEGER REFERENCES audiences)")
    db.execute("INSERT INTO things VALUES (1)")
    owner.submit(f"{answer.location}/delete")
    assert "is in use by a broadcast" in owner.get(answer.location).text and audiences.get(db, 1).file


def test_a_large_list_is_taken_here_and_nowhere_else(owner, context, db):
    large = b"phone\n" + b"+4915120000001\n" * 300_000
    assert len(large) > owner.application.config["MAX_CONTENT_LENGTH"]
    assert upload(owner, large).status_code == 303 and audiences.get(db, 1).total_bytes == len(large)
    assert owner.submit("/clients", name="x" * len(large)).status_code == 413
    assert owner.submit("/audiences", way="paste", client="1", region="", name="x", text="+4915120000001\n" * 100_000).status_code == 303


def test_a_list_that_is_too_large_is_refused_with_the_limit(monkeypatch, request):
    monkeypatch.setattr(pages, "LARGEST_UPLOAD_BYTES", 1024 * 1024)  # before the pages are made
    refused = upload(request.getfixturevalue("owner"), b"phone\n" + b"+4915120000001\n" * 100_000)
    assert refused.status_code == 413 and "at most 64 MB" in refused.text


def test_without_redis_the_list_is_kept_and_the_sweep_reads_it(owner, db, monkeypatch):
    from frontdesk import queues

    def away(*args):
        raise queues.RedisError

    monkeypatch.setattr(queues.Queues, "read_audience", away)
    assert upload(owner, phone(1)).status_code == 303 and audiences.get(db, 1).state == "wanted"


def test_a_customer_is_tagged_in_their_conversation(agent, db):
    someone = contact(db, "491512000001", name="Bo")
    at = f"/inbox/{conversation(db, someone)}"
    agent.submit(f"{at}/tags", tag="#VIP")
    agent.submit(f"{at}/tags", tag="<i>")
    page = agent.get(at).text
    assert "vip ×" in page and "&lt;i&gt; ×" in page and tags.of_contact(db, someone) == ["<i>", "vip"]
    agent.submit(f"{at}/tags/remove", tag="vip")
    agent.submit(f"{at}/tags", tag="  ")
    assert tags.of_contact(db, someone) == ["<i>"]
    assert agent.submit("/inbox/999/tags", tag="x").status_code == 404


def test_members_are_read_in_pages(context, db):
    from tests.test_audience import imported

    found = imported(context, "\n".join(phone(n) for n in range(5)))
    assert [one.position for one in audience_members.after(db, found.id, 2, 2)] == [3, 4]


def test_with_several_clients_one_is_chosen_and_each_has_its_own_tags(owner, context, db):
    other = clients.add(db, "Harbour Dental", "x", 0)
    tags.add(db, 1, [contact(db, "4915120000001")], "bakery")
    page = owner.get("/audiences/new?way=paste").text
    assert f'<option value="{other}">Harbour Dental' in page and "the business&#39;s own country" in page
    answer = owner.submit("/audiences", way="paste", client=str(other), region="", name="Patients", text="+4915120000002")
    assert audiences.get(db, 1).client_id == other and "For Harbour Dental." in owner.get(answer.location).text
    assert "bakery (1)" in owner.get("/audiences/new?way=contacts&client=1").text
    assert "No contact has a tag yet" in owner.get(f"/audiences/new?way=contacts&client={other}").text
    assert "Harbour Dental" in owner.get("/audiences").text
