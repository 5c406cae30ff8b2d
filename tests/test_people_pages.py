"""What is kept of a person: the page, the command and the API that hand it over and erase it."""

import io
import json
import zipfile

import pytest
from click.testing import CliRunner

from frontdesk.channels import Person
from frontdesk.cli import contacts as command
from frontdesk.store import api_tokens, audit, clients, contacts, erasures, outbox, personal
from frontdesk.store.database import transaction
from tests.test_erasing import ANA, BEN, WORD, arrive, everything

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def ana(context):
    return arrive(context, ANA, f"One {WORD}")


def names_in(content: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(content)).namelist())


# --- the page ---------------------------------------------------------------------------------------------------------------------


def test_owners_see_what_is_kept_and_find_it_from_the_conversation(owner, agent, context, ana):
    with transaction(context.db) as db:
        db.execute("UPDATE contacts SET name = ?", (EVIL,))
    assert f'href="/people/{ana}"' in owner.get("/inbox/1").text and "/people/" not in agent.get("/inbox/1").text
    page = owner.get(f"/people/{ana}").text
    assert f"+{ANA}" in page and "Messages</dt><dd>1</dd>" in page and EVIL not in page and "&lt;script&gt;" in page
    assert agent.get(f"/people/{ana}").status_code == 403 and agent.submit(f"/people/{ana}/erase", word="erase").status_code == 403


def test_of_one_who_wrote_for_years_it_counts_no_further_than_a_thousand(owner, context, ana):
    for n in range(3):
        outbox.queue_text(context.db, 1, 1, f"answer {n}", purpose="api", now=context.now())
    with transaction(context.db) as db:
        db.execute("INSERT INTO media (id, public_id, client_id, state, created_at, used_at) VALUES (1, 'm', 1, 'ready', 0, 0)")
        db.execute("UPDATE messages SET media_id = 1 WHERE text = 'answer 2'")
    page = owner.get(f"/people/{ana}").text
    assert "Messages</dt><dd>4</dd>" in page and "Files</dt><dd>1</dd>" in page
    with transaction(context.db) as db:
        for n in range(1_000):
            outbox.queue_text(db, 1, 1, "again", purpose="api", now=context.now())
        db.execute("UPDATE messages SET media_id = 1 WHERE id = (SELECT MAX(id) FROM messages)")
    page = owner.get(f"/people/{ana}").text
    assert "Messages</dt><dd>1,000+</dd>" in page and "Files</dt><dd>1+</dd>" in page


def test_all_of_it_is_downloaded(owner, ana, db):
    answer = owner.submit(f"/people/{ana}/export")
    assert answer.mimetype == "application/zip" and f"person-{ana}.zip" in answer.headers["Content-Disposition"]
    assert {"README.txt", "conversation.txt", "data/messages.json"} <= names_in(answer.data)
    assert audit.newest(db)[0].deed == "contact.exported"


def test_erasing_wants_the_word_and_then_nobody_is_there(owner, ana, db):
    refused = owner.submit(f"/people/{ana}/erase", word="yes")
    assert refused.status_code == 422 and "if you mean it" in refused.text and erasures.unfinished(db) == []
    assert owner.submit(f"/people/{ana}/erase", word="Erase").location.startswith("/inbox")
    assert ANA not in everything(db).replace(json.dumps(ANA), "", 1), "only in what is still to be forgotten"
    assert owner.get(f"/people/{ana}").status_code == 404 and "was erased" in owner.get(f"/people/{ana}").text
    assert owner.submit(f"/people/{ana}/erase", word="erase").status_code == 404
    assert audit.newest(db)[0].actor_name == "Some Owner"


# --- the API ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(app, db, clock):
    def call(method, path, scopes=("privacy",), client_id=None):
        with transaction(db):
            token = api_tokens.add(db, "crm", client_id, scopes, None, clock())
        return app.test_client().open(f"/api/v1{path}", method=method, headers={"Authorization": f"Bearer {token}"})

    return call


def test_a_program_exports_and_erases(ask, ana, db):
    assert "data/messages.json" in names_in(ask("GET", f"/contacts/{ana}/export").data)
    answer = ask("DELETE", f"/contacts/{ana}")
    assert (answer.status_code, answer.json) == (200, {"contact_id": ana, "erased": True})
    assert ask("DELETE", f"/contacts/{ana}").status_code == 404
    assert [(entry.deed, entry.actor, entry.actor_name) for entry in audit.newest(db)][:2] == [
        ("contact.erased", "token", "crm"),
        ("contact.exported", "token", "crm"),
    ]


def test_a_program_needs_the_scope_and_reaches_its_own_client_alone(ask, ana, db):
    assert ask("DELETE", f"/contacts/{ana}", scopes=("send", "read")).status_code == 403
    with transaction(db):
        other = clients.add(db, "Other", "p", 1.0)
    for method, path in (("GET", f"/contacts/{ana}/export"), ("DELETE", f"/contacts/{ana}")):
        assert ask(method, path, client_id=other).status_code == 404
    assert personal.contacts_named(db, ANA) == [ana]
    assert [personal.contacts_named(db, f"#{digits}") for digits in (ana, "²", "9" * 400)] == [[ana], [], []]


# --- the command ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(settings, redis_address, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("SECRET_KEY", settings.secret_key)
    monkeypatch.setenv("REDIS_URL", redis_address)

    def run(*arguments, **more):
        result = CliRunner().invoke(command.contacts, arguments, **more)
        return str(result.exception or "") + result.output

    return run


def test_the_command_exports_and_erases_by_phone_however_it_is_written(run, context, ana, db, tmp_path):
    arrive(context, BEN, "Hello")
    said = run("export", "+49 1511 2340001", str(tmp_path / "ana.zip"))
    assert "contact #1" in said and "conversation.txt" in names_in((tmp_path / "ana.zip").read_bytes())
    assert (tmp_path / "ana.zip").stat().st_mode & 0o777 == 0o600 and [path.name for path in tmp_path.glob("*.partial")] == []
    said = run("erase", "+49 1511 2340001", input="n\n")
    assert "1 messages" in said and personal.contacts_named(db, ANA) == [ana]
    assert "contact #1 is erased." in run("erase", ANA, "--yes")
    assert erasures.of_contact(db, ana).finished_at and ANA not in everything(db) and BEN in everything(db)
    assert "nobody is known" in run("erase", ANA, "--yes") and "nobody is known" in run("export", "#99", str(tmp_path / "x.zip"))


def test_a_phone_that_several_clients_know_is_erased_with_each_of_them(run, context, ana, db):
    with transaction(db):
        other = clients.add(db, "Other", "p", 1.0)
        contacts.resolve(db, other, Person(phone=ANA), 1.0)
    said = run("erase", ANA, "--yes")
    assert said.count("is erased.") == 2 and personal.contacts_named(db, ANA) == []
