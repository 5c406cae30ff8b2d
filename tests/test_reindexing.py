"""Documents from the web are looked at again: what changed becomes a version, what vanished keeps its text and says so."""

import dataclasses

import pytest

from frontdesk.flows import embedding, knowledge as flow, reindexing, retrieval, sweep
from frontdesk.store import knowledge, knowledge_pages as pages
from tests.standins.raw_http import RawServer, answer
from tests.test_inbound import queued
from tests.test_knowledge import add, embedder, index, ollama, texts  # noqa: F401

HTML = {"Content-Type": "text/html"}
OLD = answer(200, b"<h1>Prices</h1><p>Lemon cake costs 3.90.</p><!-- 1 -->", HTML)
SAME = answer(200, b"<h1>Prices</h1><p>Lemon cake costs 3.90.</p><!-- 2 -->", HTML)
NEW = answer(200, b"<h1>Prices</h1><p>Lemon cake costs 4.40.</p>", HTML)
GONE, DOWN = answer(404, b"no"), answer(503, b"later")


@pytest.fixture
def site(context):
    """A web server; its one page is document 1, which has been read."""
    context.settings = dataclasses.replace(context.settings, fetch_private_addresses=True)
    with RawServer(OLD) as server:
        flow.read_document(context, flow.add_page(context, 1, f"{server.url}/prices"))
        yield server


def night(context) -> None:
    """The night's job and all that follows from it, without the model."""
    reindexing.begin_night(context)
    for document_id in pages.due(context.db, context.now(), 100):
        reindexing.check_page(context, document_id)
    for document_id in knowledge.unsettled(context.db, context.now(), 30):
        flow.read_document(context, document_id)


def found(context) -> list[str]:
    return texts(retrieval.search(context, 1, "lemon cake"))


def versions(context) -> list[tuple]:
    return [tuple(row) for row in context.db.execute("SELECT version, live FROM knowledge_documents ORDER BY id")]


def test_a_page_that_says_the_same_stays_as_it_is_whatever_its_bytes(context, site, clock):
    site.turns[:] = [SAME]
    clock.forward(3600)
    night(context)
    assert versions(context) == [(1, 1)] and pages.get(context.db, 1) == pages.WebPage(1, clock(), None, None)
    reindexing.check_page(context, 1)
    assert len(site.requests) == 2, "once a night"


def test_a_page_that_changed_becomes_a_new_version_which_then_serves(context, site):
    site.turns[:] = [NEW]
    reindexing.begin_night(context)
    reindexing.check_page(context, 1)
    assert found(context) == ["Lemon cake costs 3.90."] and "read" in queued(context, "bulk")
    flow.read_document(context, 2)
    assert found(context) == ["Lemon cake costs 4.40."] and versions(context) == [(1, 0), (2, 1)]
    night(context)
    assert versions(context) == [(1, 0), (2, 1)] and pages.get(context.db, 2).checked_at == context.now()


def test_a_page_that_vanished_keeps_its_text_and_says_so_until_it_is_back(context, site, clock):
    site.turns[:] = [GONE]
    clock.forward(3600)
    night(context)
    clock.forward(24 * 3600)
    night(context)
    gone = pages.get(context.db, 1)
    assert found(context) == ["Lemon cake costs 3.90."]
    assert (gone.problem, gone.problem_since) == ("the server refuses it (HTTP 404)", clock() - 24 * 3600) and pages.gone(context.db, 1) == {1}
    site.turns[:] = [SAME]
    night(context)
    assert pages.get(context.db, 1).problem is None


def test_a_server_that_is_down_is_asked_three_times_that_night(context, site, clock):
    site.turns[:] = [DOWN]
    night(context)
    for _ in range(5):
        clock.forward(2400)
        for document_id in pages.due(context.db, clock(), 100):
            reindexing.check_page(context, document_id)
    assert len(site.requests) == 1 + 3 and "503" in pages.get(context.db, 1).problem


def test_a_page_without_words_leaves_the_old_text(context, site):
    site.turns[:] = [answer(200, b"   ", HTML)]
    night(context)
    assert found(context) == ["Lemon cake costs 3.90."] and pages.get(context.db, 1).problem == "it is empty"


def test_of_each_host_one_page_is_looked_at_at_a_time(context, site):
    for n in range(3):
        flow.read_document(context, flow.add_page(context, 1, f"{site.url}/more/{n}"))
    other = site.url.replace("127.0.0.1", "localhost")
    flow.read_document(context, flow.add_page(context, 1, f"{other}/x"))
    context.queues.redis.delete("rq:queue:bulk")
    reindexing.begin_night(context)
    assert queued(context, "bulk").count("page") == 2
    reindexing.check_page(context, 1)
    reindexing.sweep(context)
    reindexing.sweep(context)
    assert queued(context, "bulk").count("page") == 3, "each once, however often it is rung for"


def test_a_page_that_never_could_be_read_is_tried_again(context, site):
    site.turns[:] = [GONE]
    flow.read_document(context, flow.add_page(context, 1, f"{site.url}/late"))
    assert knowledge.get(context.db, 2).state == "failed"
    site.turns[:] = [NEW]
    night(context)
    assert knowledge.get(context.db, 2).live


def test_two_jobs_at_once_and_a_killed_one_make_one_version(context, site, clock, monkeypatch):
    site.turns[:] = [NEW]
    reindexing.begin_night(context)
    with monkeypatch.context() as killed:
        killed.setattr(reindexing.knowledge, "add", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reindexing.check_page(context, 1)
    reindexing.check_page(context, 1)
    assert versions(context) == [(1, 1)], "it is somebody's until the lease is over"
    clock.forward(reindexing.LEASE_SECONDS + 1)
    sweep.sweep(context)
    assert "page" in queued(context, "bulk")
    reindexing.check_page(context, 1)
    reindexing.check_page(context, 1)
    assert versions(context) == [(1, 1), (2, 0)]


def test_what_a_person_replaced_switched_off_or_removed_meanwhile_is_left_alone(context, site):
    site.turns[:] = [NEW]
    reindexing.begin_night(context)
    flow.add(context, 1, "new.txt", b"Other words.", replaces=1)
    reindexing.check_page(context, 1)
    assert versions(context) == [(1, 1), (2, 0)] and len(site.requests) == 1
    flow.remove(context, 1)
    night(context)
    assert len(site.requests) == 1


def test_older_versions_of_a_page_go_after_a_month(context, site, clock):
    site.turns[:] = [NEW]
    night(context)
    flow.read_document(context, 1)
    clock.forward(31 * 24 * 3600)
    night(context)
    assert versions(context) == [(2, 1)] and found(context) == ["Lemon cake costs 4.40."]


def test_the_night_takes_up_what_lacks_vectors_of_the_model_that_is_chosen(embedder):
    context = embedder("all-minilm")
    document_id = add(context)
    index(context, document_id)
    context = embedder("nomic-embed-text")
    context.queues.redis.delete("rq:queue:documents")
    reindexing.begin_night(context)
    assert queued(context, "documents") == ["index"]
    index(context, document_id)
    context.queues.redis.delete("rq:queue:documents")
    embedding.sweep(context)
    assert queued(context, "documents") == []


def test_its_page_on_the_desk_says_when_its_address_was_looked_at_and_looks_now(owner, context, site, clock):
    clock.forward(60)
    site.turns[:] = [GONE]
    owner.submit("/knowledge/1/check")
    assert queued(context, "bulk").count("page") == 1
    reindexing.check_page(context, 1)
    page = owner.get("/knowledge/1").text
    assert "can no longer be read" in page and "HTTP 404" in page and "goes on serving" in page
    assert "its page is away" in owner.get("/knowledge?client=1").text
