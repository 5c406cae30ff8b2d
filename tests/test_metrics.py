"""/metrics: flows/metrics.py on a real Redis and a real SQLite, and who may see it."""

import dataclasses
import json
import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatbot import create_app
from frontdesk import histogram, queues
from frontdesk.errors import Permanent, WindowClosed
from frontdesk.flows import backup, inbound, metrics
from frontdesk.settings import ROOT
from frontdesk.store import aftermath, database, outbox
from tests import webhooks


def figures(app, **headers) -> dict[tuple, float]:
    """(name, label values…) → value."""
    answer = app.test_client().get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.data
    found = {}
    for family in text_string_to_metric_families(answer.get_data(as_text=True)):
        for sample in family.samples:
            found[(sample.name.removeprefix("frontdesk_"), *sample.labels.values())] = sample.value
    return found


@pytest.fixture
def served(app):
    return app.extensions["frontdesk"]


def receive(context, *bodies: bytes) -> None:
    for body in bodies:
        context.inbox.put("cloud", body, context.now())
    inbound.drain(context)


def sent(db, clock, seconds: float = 2.0, purpose: str = "answer", waited: float | None = 3.0, model: float = 5.0, retrieval: float | None = None) -> outbox.Outbound:
    times = {"waited_seconds": waited, "retrieval_seconds": retrieval, "model_seconds": model}
    id_ = outbox.queue_text(db, 1, 1, "Yes", purpose=purpose, now=clock(), **times)
    message = outbox.claim(db, outbox.head(db, 1, clock()), "me", clock(), 30)
    assert message.id == id_
    outbox.accepted(db, message, f"wamid.out{id_}", clock.forward(seconds))
    return message


def test_messages_outcomes_and_times_are_counted_where_they_happen(app, served, db, clock):
    receive(served, webhooks.texts(webhooks.text(id="wamid.1")))
    sent(db, clock)
    sent(db, clock, purpose="person", waited=None)
    found = figures(app)
    assert (found["messages_total", "in"], found["messages_total", "answer"], found["messages_total", "person"]) == (1, 1, 1)
    assert found["outcomes_total", "sent"] == 2
    assert found["answer_seconds_count", "answer"] == 1 and found["answer_seconds_sum", "answer"] == 10
    assert found["answer_seconds_bucket", "1", "send"] == 0 and found["answer_seconds_bucket", "2", "send"] == 1
    assert found["answer_seconds_bucket", "5", "model"] == 1 and found["answer_seconds_sum", "waited"] == 3


def test_the_search_in_the_documents_is_a_part_of_the_answer_and_of_those_alone_that_had_one(app, served, db, clock):
    receive(served, webhooks.texts(webhooks.text(id="wamid.1")))
    sent(db, clock)
    assert figures(app)["answer_seconds_count", "retrieval"] == 0
    sent(db, clock, retrieval=0.2)
    found = figures(app)
    assert (found["answer_seconds_count", "retrieval"], found["answer_seconds_count", "waited"]) == (1, 2)
    assert found["answer_seconds_bucket", "0.25", "retrieval"] == 1 and found["answer_seconds_bucket", "0.1", "retrieval"] == 0
    parts = sum(found["answer_seconds_sum", part] for part in ("waited", "retrieval", "model", "send"))
    assert found["answer_seconds_sum", "answer"] == pytest.approx(parts) == pytest.approx(20.2)


def test_failures_are_by_cause_and_window_refusals_among_them(app, served, db, clock):
    receive(served, webhooks.texts(webhooks.text(id="wamid.1")))
    for error in (WindowClosed("closed", code=131047), Permanent("gone", code=131026), Permanent("what", code=999_999), Permanent("x")):
        outbox.queue_text(db, 1, 1, "Yes", purpose="api", now=clock())
        message = outbox.claim(db, outbox.head(db, 1, clock()), "me", clock(), 30)
        outbox.failed(db, message, error, clock())
    found = figures(app)
    for cause in ("window", "undeliverable", "other", "unproven"):
        assert found["failures_total", cause] == found["dead_letters", cause] == 1
    assert found["failures_total", "token"] == 0


def test_a_message_that_is_rolled_back_is_not_counted(app, served, db, clock):
    receive(served, webhooks.texts(webhooks.text(id="wamid.1")))
    with pytest.raises(ZeroDivisionError), database.transaction(db):
        outbox.queue_text(db, 1, 1, "Yes", purpose="api", now=clock())
        1 / 0
    assert ("messages_total", "api") not in figures(app)


def test_what_waits_and_for_how_long(app, served, db, clock):
    receive(served, webhooks.texts(webhooks.text(id="wamid.1")))
    outbox.queue_text(db, 1, 1, "Yes", purpose="api", now=clock())
    served.inbox.put("cloud", b"{}", clock())
    served.queues.put("bulk", "jobs.clean", "clean")
    clock.forward(100)
    found = figures(app)
    assert (found["inbox_webhooks",], found["inbox_oldest_seconds",]) == (1, 100)
    assert (found["waiting_conversations",], found["waiting_oldest_seconds",]) == (1, 100)
    assert (found["unsent_messages",], found["unsent_oldest_seconds",]) == (1, 100)
    assert found["queue_jobs", "bulk"] == 1 and found["workers", "high"] == 0 and found["scheduler_up",] == 0
    assert found["database_bytes", "database"] > 0 and found["redis_memory_bytes",] > 0


def test_a_lease_taken_over_is_counted_and_one_given_back_is_not(app, served, db):
    receive(served, webhooks.texts(webhooks.text(id="wamid.1")))
    for owner in ("one", None, "two", "three"):
        db.execute("UPDATE conversations SET claim_owner = ?", (owner,))
    assert figures(app)["leases_total", "taken over"] == 1


def test_acknowledgement_times_are_of_all_processes_and_never_fall(app, served, redis):
    for process in range(3):
        counted = queues.Acknowledgements(redis)
        for hour in range(3):
            counted.count(0.002, 1e9 + 3600 * hour)
    found = figures(app)
    assert found["acknowledgement_seconds_count",] == 9
    assert found["acknowledgement_seconds_sum",] == pytest.approx(0.018, rel=0.1)
    assert found["acknowledgement_seconds_bucket", "0.0005"] == 0
    assert max(found["acknowledgement_seconds_bucket", f"{round(bound, 6)}"] for bound in [histogram.BOUNDS[8], histogram.BOUNDS[12]]) == 9
    assert redis.ttl("acknowledged") == -1


def test_with_redis_away_the_database_is_told_all_the_same(settings, db):
    app = create_app(dataclasses.replace(settings, redis_url="redis://127.0.0.1:9/0"))
    found = figures(app)
    assert found["redis_up",] == 0 and found["database_up",] == 1 and found["numbers", "working"] == 1


def test_with_the_database_broken_redis_is_told_all_the_same(app, settings):
    settings.database_path.write_bytes(b"no database" * 1000)
    (settings.data_dir / "frontdesk.db-wal").unlink(missing_ok=True)
    found = figures(app)
    assert found["database_up",] == 0 and found["redis_up",] == 1


def test_the_newest_backup_is_dated(settings, db, redis_address, redis, context, tmp_path):
    settings = dataclasses.replace(settings, redis_url=redis_address, backup_dir=tmp_path / "kept")
    app = create_app(settings)
    assert figures(app)["backup_timestamp_seconds",] == 0
    path = backup.nightly(dataclasses.replace(context, settings=settings))
    assert figures(app)["backup_timestamp_seconds",] == pytest.approx(path.stat().st_mtime)


def test_the_number_of_series_stays_bounded(app, served, db, clock):
    receive(served, *(webhooks.texts(webhooks.text(sender=f"49151{n:07}", id=f"wamid.{n}")) for n in range(200)))
    for n in range(200):
        db.execute("INSERT INTO models (host, model, tokens_per_second, updated_at) VALUES ('h', ?, 5, ?)", (f"m{n}", n))
        db.execute("UPDATE messages SET state = 'failed', error_code = ? WHERE id = ?", (n, n + 1))
    assert len(figures(app)) < 300
    text = app.test_client().get("/metrics").get_data(as_text=True)
    assert "49151" not in text and "wamid" not in text


def test_a_restore_leaves_the_counters_as_they_were_then(db, clock):
    db.execute("INSERT INTO counters VALUES ('messages', 'in', 7)")
    with database.transaction(db):
        aftermath.leave_to_people(db, clock())
    assert db.execute("SELECT value FROM counters WHERE label = 'in'").fetchone()[0] == 7


# --- who may see it -----------------------------------------------------------------------------------------------------------------


def test_without_a_token_only_this_machine_sees_it(app):
    client = app.test_client()
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "203.0.113.5"}).status_code == 403
    for header in ("X-Forwarded-For", "Forwarded"):
        assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


def test_with_a_token_only_who_sends_it_sees_it(settings, db, redis_address, redis):
    client = create_app(dataclasses.replace(settings, redis_url=redis_address, metrics_token="a-long-word")).test_client()
    far = {"REMOTE_ADDR": "203.0.113.5"}
    assert client.get("/metrics", headers={"Authorization": "Bearer a-long-word"}, environ_base=far).status_code == 200
    for wrong in ("", "Bearer", "Bearer a-long-wor", "Basic a-long-word", "Bearer ä"):
        answer = client.get("/metrics", headers={"Authorization": wrong})
        assert answer.status_code == 403 and answer.json["error"]["code"] == "not_allowed"


# --- what is made of it ---------------------------------------------------------------------------------------------------------------


def names_in(text: str) -> set[str]:
    return set(re.findall(r"frontdesk_\w+", text))


@pytest.fixture
def known(app, served, db, clock, settings, redis):
    receive(served, webhooks.texts(webhooks.text(id="wamid.1")))
    served.acknowledgements.count(0.002, 1e9)
    sent(db, clock)
    db.execute("UPDATE conversations SET claim_owner = 'one'")
    db.execute("UPDATE conversations SET claim_owner = 'two'")
    db.execute("INSERT INTO models (host, model, tokens_per_second, updated_at) VALUES ('h', 'm', 5, 1)")
    families = metrics.Collector(dataclasses.replace(served, settings=dataclasses.replace(served.settings, backup_dir=settings.data_dir))).collect()
    return {sample.name for family in families for sample in family.samples}


def test_alerts_and_dashboards_ask_only_for_what_there_is(known):
    for path in (ROOT / "deploy" / "alerts.yml", *(ROOT / "deploy" / "grafana").glob("*.json")):
        text = path.read_text()
        assert names_in(text) and not names_in(text) - known, path.name
    for path in (ROOT / "deploy" / "grafana").glob("*.json"):
        json.loads(path.read_text())


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_promtool_takes_the_alerts_their_tests_and_the_figures(app, known, tmp_path):
    deploy = ROOT / "deploy"
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        ran = subprocess.run(["promtool", *command], cwd=deploy, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = subprocess.run(["promtool", "check", "metrics"], input=app.test_client().get("/metrics").data, capture_output=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
