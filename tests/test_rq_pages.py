"""rq-dashboard behind our log-in, with its traps closed: frontdesk/web/rq.py."""

import json
import re
import threading
import zlib

import pytest
from rq.results import Result

from frontdesk import queues
from tests.desk import log_in

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def failed(redis):
    """A job in the failed registry of `high`, hostile in every field that the dashboard shows."""
    queue = queues.Queues(redis)._queues["high"]
    job = queue.enqueue_call("jobs.drain", args=(EVIL,), description=EVIL, job_id="evil-1", meta={"note": EVIL})
    queue.remove("evil-1")
    job.set_status("failed")
    queue.failed_job_registry.add(job, ttl=1000)
    Result.create_failure(job, ttl=1000, exc_string=EVIL)  # where a worker keeps it
    return job.id


def test_the_hostile_job_is_hostile_everywhere(owner, failed):
    """Else the tests below prove nothing."""
    told = owner.get(f"/rq/0/data/job/{failed}.json").json
    assert told["description"] == told["exc_info"] == EVIL and EVIL in told["metadata"]


READS = [
    "/rq/", "/rq/0/view/workers", "/rq/0/view/jobs/high/failed/8/asc/1", "/rq/0/view/job/evil-1",
    "/rq/0/data/queues.json", "/rq/0/data/workers.json", "/rq/0/data/jobs/high/failed/8/asc/1.json", "/rq/0/data/job/evil-1.json",
    "/rq/static/js/jquery-3.5.1.min.js",
]  # fmt: skip


@pytest.mark.parametrize("path", READS)
def test_an_owner_sees_it_and_nobody_else(app, owner, agent, visitor, failed, path):
    assert owner.get(path).status_code == 200, owner.get(path).text[:300]
    assert agent.get(path).status_code == 403
    assert visitor.get(path).status_code == 302


def test_all_four_queues_are_listed_used_or_not(owner, redis):
    queues.Queues(redis).put("high", "jobs.sweep", "x")
    listed = owner.get("/rq/0/data/queues.json").json["queues"]
    assert {queue["name"]: queue["count"] for queue in listed} == {"high": 1, "default": 0, "documents": 0, "bulk": 0}


def test_jobs_are_read_as_json_and_never_unpickled(owner, redis, tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "went off"), "w"))

    redis.hset("rq:job:bomb", mapping={"data": pickle.dumps(("x", None, (Bomb(),), {})), "created_at": "2026-01-01T00:00:00Z", "origin": "high", "status": "failed"})
    redis.zadd("rq:failed:high", {"bomb": 2e9})
    for path in ("/rq/0/data/jobs/high/failed/8/asc/1.json", "/rq/0/data/job/bomb.json", "/rq/0/view/job/bomb"):
        owner.get(path)
    assert not (tmp_path / "went off").exists()


@pytest.mark.parametrize("path", ["/rq/0/view/job/evil-1", "/rq/0/view/jobs/high/failed/8/asc/1", "/rq/0/view/workers", "/rq/"])
def test_no_template_puts_anything_in_raw_and_scripts_need_the_nonce(owner, failed, path):
    page = owner.get(path)
    assert "<%=" not in page.text and ".html() %>" not in page.text and EVIL not in page.text
    nonce = re.search(r"'nonce-([\w-]+)'", page.headers["Content-Security-Policy"])[1]
    inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*text/template)[^>]*>", page.text)
    assert inline and all(f'nonce="{nonce}"' in tag for tag in inline)
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self' 'nonce-" in policy and "'unsafe-inline'" not in policy.split("style-src")[0]
    assert owner.get(path).headers["Content-Security-Policy"] != policy, "a nonce is used once"


CHANGES = [
    "/rq/requeue/high", "/rq/job/evil-1/requeue", "/rq/job/evil-1/delete", "/rq/queue/high/failed/empty", "/rq/queue/high/compact",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
@pytest.mark.parametrize("path", CHANGES)
def test_nothing_is_changed_by_any_method_but_post(owner, redis, failed, path, method):
    assert owner.open(path, method=method).status_code in ((200,) if method == "OPTIONS" else (403, 405))
    assert redis.zscore("rq:failed:high", failed) and redis.exists(f"rq:job:{failed}")


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_is_changed_without_the_csrf_token(owner, redis, failed, path):
    assert owner.post(path).status_code == 403
    assert redis.zscore("rq:failed:high", failed)


@pytest.mark.parametrize("change", ["delete", "requeue"])
def test_a_job_that_is_gone_is_no_fault_of_ours(owner, redis, change):
    owner.get("/rq/")
    token = owner.get_cookie("_csrf_token", path="/rq").value
    assert owner.post(f"/rq/job/gone/{change}", headers={"X-CSRFToken": token}).status_code in (200, 404)


def test_a_spoilt_entry_hides_no_neighbour(owner, redis, failed):
    """Written straight into Redis: no part of it is what rq writes."""
    spoilt = {"data": b"not zlib", "created_at": EVIL, "origin": EVIL, "status": EVIL, "description": EVIL, "meta": b"no JSON"}
    redis.hset("rq:job:spoilt", mapping=spoilt)
    redis.zadd("rq:failed:high", {"spoilt": 2e9})
    listed = owner.get("/rq/0/data/jobs/high/failed/8/asc/1.json").json["jobs"]
    assert [job["id"] for job in listed] == [failed, "spoilt"]
    assert listed[1]["description"] == "(this entry cannot be read)"
    for path in ("/rq/0/view/job/spoilt", "/rq/0/data/job/spoilt.json"):
        assert owner.get(path).status_code == 404


def test_hostile_names_of_queues_and_workers_come_as_data_only(owner, redis, failed):
    redis.sadd("rq:queues", f"rq:queue:{EVIL}")
    redis.sadd("rq:workers", f"rq:worker:{EVIL}")
    worker = {"queues": EVIL, "state": EVIL, "birth": "2026-01-01T00:00:00Z", "pid": 1, "current_job": failed, "version": EVIL}
    redis.hset(f"rq:worker:{EVIL}", mapping=worker)
    for path in ("/rq/", "/rq/0/view/workers", "/rq/0/view/jobs"):
        page = owner.get(path)
        assert page.status_code == 200 and EVIL not in page.text, path
    for path in ("/rq/0/data/queues.json", "/rq/0/data/workers.json"):
        data = owner.get(path)
        assert data.status_code == 200 and data.mimetype == "application/json" and EVIL in data.text, path


@pytest.mark.parametrize("path", ["/rq/", "/rq/0/view/workers", "/rq/0/data/queues.json", "/rq/0/view/job/evil-1"])
def test_with_redis_away_it_says_so(owner, failed, monkeypatch, path):
    owner.get("/rq/")

    def away(*_, **__):
        raise queues.RedisError("gone")

    monkeypatch.setattr("redis.Redis.execute_command", away)
    monkeypatch.setattr("redis.client.Pipeline.execute", away)
    answer = owner.get(path)
    assert answer.status_code == 503 and "Redis does not answer" in answer.text


def test_with_the_token_of_its_own_cookie_a_job_is_requeued(owner, redis, failed):
    owner.get("/rq/")
    token = owner.get_cookie("_csrf_token", path="/rq").value
    assert owner.post(f"/rq/job/{failed}/requeue", headers={"X-CSRFToken": token}).json == {"status": "OK"}
    assert redis.lrange("rq:queue:high", 0, -1) == [failed.encode()]
    data = redis.hget(f"rq:job:{failed}", "data")
    assert json.loads(zlib.decompress(data))[0] == "jobs.drain", "still JSON"


@pytest.mark.parametrize(
    "path",
    [
        "/rq/0/view/job/no-such", "/rq/0/view/jobs/<script>/failed/8/asc/1", "/rq/0/view/jobs/high/nonsense/8/asc/1", "/rq/0/data/jobs/high/failed/0/asc/1.json", "/rq/0/data/jobs/high/failed/8/asc/0.json",
        "/rq/1/view/queues",
        "/rq/0/view/jobs/high/failed/8/'+alert(1)+'/1", "/rq/static/../../etc/passwd", "/rq/0/data/job/no-such.json",
    ],
)  # fmt: skip
def test_what_does_not_exist_is_a_404_and_never_a_500(owner, path):
    assert owner.get(path).status_code == 404


def test_it_is_not_imported_before_somebody_looks():
    import subprocess
    import sys

    code = "import sys, chatbot; chatbot.create_app(); print('rq_dashboard' in sys.modules, 'arrow' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_two_who_open_it_first_get_one_dashboard(app, owner, redis, failed):
    from rq_dashboard import web

    from frontdesk.web import rq

    owner.get("/rq/")
    mended, answers = web.Queue, []
    browsers = [owner, log_in(app, email="second@example.com")]
    threads = [threading.Thread(target=lambda browser=browser: answers.append(browser.get("/rq/0/data/queues.json").json)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[0] == answers[1] and len(answers[0]["queues"]) == 4
    assert rq._mended().Queue is mended, "changed once, however many applications there are"
