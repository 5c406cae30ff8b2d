"""Alerts: each condition is told once and its all-clear once, whatever flaps or is killed; the desk says what no worker can tell any more."""

import collections
import dataclasses
import json
import os
import re
import shutil
import time

import pytest

from frontdesk.errors import Permanent
from frontdesk.flows import alerting, callbacks as calling, conditions, erasing
from frontdesk.settings import ROOT
from frontdesk.store import alerts, database, models, numbers, outbox
from tests import webhooks
from tests.standins.raw_http import RawServer, answer
from tests.test_inbound import queued, receive, rows
from tests.test_templates import body_template, keep

HOOK = "http://127.0.0.1:9/alerts?key=verysecretkey"
OWNER = "4915199999999"
LOAD = conditions.queues.load


@pytest.fixture
def house(context, monkeypatch):
    """Everything in order: workers and the scheduler live, the disk has room; alerts go to a webhook."""
    context.settings = dataclasses.replace(context.settings, alert_webhook_url=HOOK)
    house = Standing(context)
    monkeypatch.setattr(conditions.queues, "load", house.load)
    monkeypatch.setattr(conditions.shutil, "disk_usage", lambda _: house.disk)
    return house


class Standing:
    """What a test sets: workers by queue, the age of the inbox, the scheduler, Redis' disk, the disk."""

    def __init__(self, context):
        self.context = context
        self.workers = {"high": 1, "default": 1, "documents": 1, "bulk": 1}
        self.scheduler, self.inbox_oldest, self.last_write_ok = True, 0.0, True
        self.disk = collections.namedtuple("usage", "free")(1e12)

    def load(self, connection, now):
        found = LOAD(connection, now)
        return dataclasses.replace(
            found, workers=self.workers, scheduler=self.scheduler, inbox_oldest=self.inbox_oldest, last_write_ok=self.last_write_ok
        )

    def judge(self, seconds: float = 0) -> None:
        """Every half minute for so long."""
        for _ in range(int(seconds // 30)):
            alerting.judge(self.context)
            self.context.now.forward(30)
        alerting.judge(self.context)

    def told(self) -> list[tuple[str, str]]:
        found = rows(self.context.db, "SELECT body, event FROM callbacks WHERE event LIKE 'alert.%' ORDER BY id")
        for one in found:
            assert one["event"] == "alert." + json.loads(one["body"])["state"]
        return [(json.loads(one["body"])["alert"], json.loads(one["body"])["state"]) for one in found]


# --- each condition -------------------------------------------------------------------------------------------------------------------


def lose_worker(house):
    house.workers["default"] = house.workers["documents"] = 0
    yield
    house.workers["default"] = house.workers["documents"] = 1
    yield


def lose_scheduler(house):
    house.scheduler = False
    yield
    house.scheduler = True
    yield


def fill_redis_disk(house):
    house.last_write_ok = False
    yield
    house.last_write_ok = True
    yield


def let_inbox_stand(house):
    house.inbox_oldest = 61
    yield
    house.inbox_oldest = 60
    yield


def let_customer_wait(house):
    receive(house.context, webhooks.texts(webhooks.text(at=house.context.now())))
    house.context.now.forward(121)
    yield
    house.context.db.execute("UPDATE conversations SET waiting_since = NULL")
    yield


def let_send_wait(house):
    receive(house.context, webhooks.texts(webhooks.text(at=house.context.now())))
    house.context.db.execute("UPDATE conversations SET waiting_since = NULL")
    outbox.queue_text(house.context.db, 1, 1, "Yes", purpose="api", now=house.context.now())
    house.context.now.forward(901)
    yield
    house.context.db.execute("UPDATE messages SET state = 'sent' WHERE direction = 'out'")
    yield


def stop_number(house):
    numbers.stop(house.context.db, 1, "Its access token is no longer valid", 190, house.context.now())
    yield
    numbers.resume(house.context.db, 1)
    yield


def take_model_away(house):
    settings = house.context.settings
    models.away(house.context.db, settings.ollama_host, settings.ollama_model, "refused", house.context.now(), house.context.now())
    yield
    models.answered(house.context.db, settings.ollama_host, settings.ollama_model, house.context.now())
    yield


def fail_messages(house):
    context = house.context
    receive(context, webhooks.texts(webhooks.text(at=context.now())))
    context.db.execute("UPDATE conversations SET waiting_since = NULL")
    for _ in range(11):
        outbox.queue_text(context.db, 1, 1, "Yes", purpose="api", now=context.now())
        message = outbox.claim(context.db, outbox.head(context.db, 1, context.now()), "me", context.now(), 30)
        outbox.failed(context.db, message, Permanent("gone", code=131026), context.now())
    yield
    context.now.forward(901)
    yield


def fill_disk(house):
    house.disk = house.disk._replace(free=1.9e9)
    yield
    house.disk = house.disk._replace(free=2.1e9)
    yield


def let_backup_age(house):
    folder = house.context.settings.data_dir / "backups"
    folder.mkdir()
    house.context.settings = dataclasses.replace(house.context.settings, backup_dir=folder)
    file = folder / "frontdesk-20260101-031500.tar.gz"
    conditions.backup.kept = lambda _: [file]  # undone by the test
    file.write_bytes(b"")
    os.utime(file, (0, house.context.now() - 36 * 3600 - 1))
    yield
    os.utime(file, (0, house.context.now()))
    yield


def read_without_end(house):
    """Somebody was erased; the log cannot be emptied."""
    receive(house.context, webhooks.texts(webhooks.text(at=house.context.now())))
    assert erasing.erase(house.context, 1)
    house.context.now.forward(3601)
    house.context.db.execute("UPDATE conversations SET waiting_since = NULL")
    yield
    erasing.finish_all(house.context)
    yield


TROUBLES = {
    lose_worker: ("worker default", 120), lose_scheduler: ("scheduler", 120), fill_redis_disk: ("redis", 60), let_inbox_stand: ("inbox", 60),
    let_customer_wait: ("waiting", 60), let_send_wait: ("unsent", 300), stop_number: ("number 1", 0),
    take_model_away: ("model llama3.2:3b at http://127.0.0.1:11434", 300), fail_messages: ("dead letters", 0), fill_disk: ("disk", 600),
    let_backup_age: ("backup", 600), read_without_end: ("erasure", 0),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_it_is_told_once_when_it_lasts_and_once_when_it_is_over(house, trouble, monkeypatch):
    monkeypatch.setattr(conditions.backup, "kept", conditions.backup.kept)
    name, lasting = TROUBLES[trouble]
    step = trouble(house)
    next(step)
    if lasting:
        house.judge(lasting - 30)
        assert house.told() == []
    house.judge(60)
    assert house.told() == [(name, "on")]
    house.judge(600)
    assert house.told() == [(name, "on")]
    next(step)
    house.judge(alerting.QUIET_SECONDS - 30)
    assert house.told() == [(name, "on")]
    house.judge(60)
    assert house.told() == [(name, "on"), (name, "over")]
    house.judge(600)
    assert house.told() == [(name, "on"), (name, "over")] and alerts.open_ones(house.context.db) == []


def test_a_house_in_order_tells_nothing_and_writes_nothing(house):
    before = house.context.db.total_changes
    house.judge(600)
    assert house.told() == [] and house.context.db.total_changes == before


def test_what_is_over_before_it_lasts_long_enough_is_told_to_nobody(house):
    for _ in range(20):
        house.workers["bulk"] = 0
        house.judge(90)
        house.workers["bulk"] = 1
        house.judge(30)
    assert house.told() == [] and rows(house.context.db, "SELECT * FROM alerts") == []


def test_what_flaps_within_the_quiet_time_is_one_alert(house):
    house.workers["bulk"] = 0
    house.judge(150)
    for _ in range(20):
        house.workers["bulk"] = 1
        house.judge(60)
        house.workers["bulk"] = 0
        house.judge(30)
    assert house.told() == [("worker bulk", "on")]


def test_what_flaps_slowly_is_told_ever_less_often(house):
    for _ in range(100):  # every ten minutes, for 17 hours
        house.workers["bulk"] = 0
        house.judge(270)
        house.workers["bulk"] = 1
        house.judge(300)
    assert 2 <= house.told().count(("worker bulk", "on")) <= 4


def test_a_new_installation_has_time_for_its_first_backup(house, tmp_path):
    house.context.settings = dataclasses.replace(house.context.settings, backup_dir=tmp_path)
    house.judge(30)
    house.context.now.forward(35 * 3600)
    house.judge(30)
    assert house.told() == []
    house.context.now.forward(3600)
    house.judge(30)
    assert house.told() == [("backup", "on")]


def test_one_worker_that_is_gone_is_told_once_though_it_serves_two_queues(house):
    house.workers = dict.fromkeys(house.workers, 0)
    house.judge(150)
    assert [name for name, _ in house.told()] == ["worker high", "worker default", "worker bulk"]


def test_a_clock_that_is_set_back_keeps_nothing_from_being_told(house, clock):
    house.workers["bulk"] = 0
    house.judge()
    clock.forward(-7200)
    house.judge()
    assert house.told() == [("worker bulk", "on")]


def test_what_cannot_be_known_while_redis_is_away_is_neither_there_nor_over(house, monkeypatch):
    house.workers["bulk"] = 0
    house.judge(150)

    def away(*_):
        raise conditions.queues.RedisError("gone")

    monkeypatch.setattr(conditions.queues, "load", away)
    house.judge(600)
    assert house.told() == [("worker bulk", "on")]


def test_the_thresholds_are_those_that_prometheus_is_given():
    found = {}
    for rule in (ROOT / "deploy/alerts.yml").read_text().split("- alert: Frontdesk")[1:]:
        minutes = re.search(r"for: (\d+)m", rule)
        found[rule.split()[0]] = (re.search("expr: (.*)", rule)[1], int(minutes[1]) * 60 if minutes else 0)
    expected = {
        "WorkerGone": ("< 1", conditions.GONE_FOR), "SchedulerGone": ("== 0", conditions.GONE_FOR), "RedisAway": ("== 0", conditions.REDIS_FOR),
        "InboxStands": (f"> {conditions.INBOX_SECONDS}", conditions.INBOX_FOR),
        "AnswersLate": (f"> {conditions.WAITING_SECONDS}", conditions.WAITING_FOR),
        "SendsLate": (f"> {conditions.UNSENT_SECONDS} unless", conditions.UNSENT_FOR), "NumberStopped": ("> 0", 0),
        "ModelAway": ("> 0", conditions.MODEL_FOR), "DeadLettersGrow": (f"[15m])) > {conditions.MOST_DEAD}", 0),
        "DiskFills": ("< 2e9", conditions.DISK_FOR), "BackupOld": ("> 36 * 3600", conditions.BACKUP_FOR),
        "ErasureHangs": (f"> {conditions.ERASURE_SECONDS}", 0),
    }  # fmt: skip
    for name, (expr, seconds) in expected.items():
        assert expr in found[name][0] and found[name][1] == seconds, name


# --- killed in between ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["on", "over"])
def test_a_judge_that_is_killed_before_its_commit_has_told_nothing_and_the_next_tells_once(house, monkeypatch, state):
    if state == "over":
        house.workers["bulk"] = 0
        house.judge(150)
        house.workers["bulk"] = 1
        house.judge(90)
    else:
        house.workers["bulk"] = 0
        house.judge(90)
    before = house.told()

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(alerting.callbacks, "add", die)
        house.context.now.forward(60)
        with pytest.raises(Killed):
            alerting.judge(house.context)
    assert house.told() == before
    house.judge(120)
    assert house.told() == [*before, ("worker bulk", state)]


def test_a_judge_that_is_killed_before_it_rings_has_told_it_and_the_sweep_rings(house, monkeypatch, redis):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    house.workers["bulk"] = 0
    house.judge(90)
    with monkeypatch.context() as patch:
        patch.setattr(house.context.queues, "call_back", die)
        house.context.now.forward(60)
        with pytest.raises(Killed):
            alerting.judge(house.context)
    assert house.told() == [("worker bulk", "on")]
    house.judge(120)
    assert house.told() == [("worker bulk", "on")]
    calling.sweep(house.context)
    assert any("call" in job for job in queued(house.context, "bulk"))


def test_two_workers_that_judge_at_once_tell_once(house, settings):
    """The second has read its rows before the first one's transaction."""
    house.workers["bulk"] = 0
    house.judge(90)
    house.context.now.forward(60)
    other = database.connect(settings)
    [stale] = alerts.open_ones(other)
    alerting.judge(house.context)
    assert not alerts.tell(other, stale, house.context.now())
    assert house.told() == [("worker bulk", "on")]
    other.close()


# --- by webhook and WhatsApp -----------------------------------------------------------------------------------------------------------


def test_the_webhook_may_be_of_the_own_network_and_is_signed_like_every_callback(house):
    with RawServer(answer(200, b"")) as server:
        house.context.settings = dataclasses.replace(house.context.settings, alert_webhook_url=f"{server.url}/alerts")
        stop = stop_number(house)
        next(stop)
        house.judge()
        [row] = rows(house.context.db, "SELECT id, client_id FROM callbacks")
        calling.deliver(house.context, row["id"])
    [request] = server.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["x-frontdesk-event"] == "alert.on" and row["client_id"] is None
    told = json.loads(request.body)
    assert told["alert"] == "number 1" and "Its access token is no longer valid" in told["words"] and told["since"].endswith("Z")
    at = int(headers["x-frontdesk-signature"].split(",")[0].removeprefix("t="))
    assert headers["x-frontdesk-signature"] == calling.signature(calling.secrets(house.context, None), at, request.body)


def test_no_client_s_callback_gets_to_the_own_network_by_naming_that_address(house):
    with RawServer(answer(200, b"")) as server:
        house.context.settings = dataclasses.replace(house.context.settings, alert_webhook_url=f"{server.url}/alerts")
        id_ = calling.callbacks.add(house.context.db, 1, f"{server.url}/alerts", "broadcast.done", {}, house.context.now())
        calling.deliver(house.context, id_)
    assert server.requests == [] and rows(house.context.db, "SELECT state FROM callbacks") == [{"state": "failed"}]


def whatsapp(house, template_text: str, setting: str = f"{OWNER} order_ready/en") -> list[str]:
    keep(house.context, body_template(template_text))
    house.context.settings = dataclasses.replace(house.context.settings, alert_whatsapp=setting)
    house.workers["bulk"] = 0
    house.judge(150)
    house.workers["bulk"] = 1
    house.judge(180)
    return [one["text"] for one in rows(house.context.db, "SELECT text FROM messages WHERE purpose = 'alert' ORDER BY id")]


def test_the_owner_is_told_by_whatsapp_once_and_once_that_it_is_over(house):
    on, over = whatsapp(house, "Frontdesk: {{1}} That is all.")
    assert on == (
        "Frontdesk: Needs you: Nobody works on the queue bulk: broadcasts, files, callbacks and backups wait. Look at its worker's log. That is all."
    )
    assert over.startswith("Frontdesk: All clear: Nobody works on the queue bulk")
    [contact] = rows(house.context.db, "SELECT phone FROM contacts")
    assert contact["phone"] == OWNER
    assert any("send" in job for job in queued(house.context, "high"))


def test_a_template_of_two_variables_has_the_state_first(house):
    assert whatsapp(house, "{{1}} at Frontdesk: {{2}} That is all.")[0].startswith("Needs you at Frontdesk: Nobody works")


@pytest.mark.parametrize("template, setting", [
    ("Four: {{1}} {{2}} {{3}} and.", f"{OWNER} order_ready/en"),
    ("{{1}} yes.", f"{OWNER} other_name/en"),
    ("{{1}} yes.", f"{OWNER} order_ready/en 99999"),
])  # fmt: skip
def test_what_whatsapp_cannot_carry_is_told_by_the_others_all_the_same(house, template, setting, caplog):
    assert whatsapp(house, template, setting) == []
    assert house.told() == [("worker bulk", "on"), ("worker bulk", "over")] and "not sent by WhatsApp" in caplog.text


def test_a_stopped_number_does_not_tell_of_itself(house, caplog):
    keep(house.context, body_template("{{1}} yes."))
    house.context.settings = dataclasses.replace(house.context.settings, alert_whatsapp=f"{OWNER} order_ready/en")
    next(stop_number(house))
    house.judge()
    assert rows(house.context.db, "SELECT 1 FROM messages WHERE purpose = 'alert'") == [] and house.told() == [("number 1", "on")]


# --- on the desk ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(app, monkeypatch):
    context = app.extensions["frontdesk"]
    house = Standing(context)
    monkeypatch.setattr(conditions.queues, "load", house.load)
    return house


def banners(browser) -> list[str]:
    page = browser.get("/inbox").get_data(as_text=True)
    return re.findall(r'<div class="banner [a-z]+".*?<p>(.*?)</p>', page)


def test_the_desk_shows_what_was_told_until_it_is_over(served, owner):
    served.workers["bulk"] = 0
    served.judge()
    assert banners(owner) == []
    served.judge(150)
    assert [line[:35] for line in banners(owner)] == ["Nobody works on the queue bulk: bro"]
    served.workers["bulk"] = 1
    served.judge(180)
    assert banners(owner) == []


def test_a_stopped_number_stands_there_once(served, owner):
    next(stop_number(served))
    served.judge(60)
    assert len(banners(owner)) == 1


def test_while_nobody_judges_the_desk_judges_itself(served, owner):
    served.workers = dict.fromkeys(served.workers, 0)
    assert banners(owner) == [], "a process that just began gives the others time"
    served.context.began = time.monotonic() - 200
    assert [line.split(":")[0] for line in banners(owner)] == [f"Nobody works on the queue {name}" for name in ("high", "default", "bulk")]
    served.context.presence.judged()
    assert banners(owner) == []
    served.context.presence.redis.delete("alerts:judged")
    assert len(banners(owner)) == 3


def test_the_disk_is_where_the_data_is(context, monkeypatch):
    seen = []
    usage = shutil.disk_usage(context.settings.data_dir)
    monkeypatch.setattr(conditions.shutil, "disk_usage", lambda path: seen.append(path) or usage)
    conditions.found(context)
    assert seen == [context.settings.data_dir]
