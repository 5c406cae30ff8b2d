"""Documents become searchable, stay so while they change, and are read and embedded once whatever is killed when."""

import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


from frontdesk.flows import diagnosis, embedding, knowledge as flow, retrieval, sweep
from frontdesk.flows.extraction import Unreadable
from frontdesk.ollama import Ollama
from frontdesk.settings import ROOT, load
from frontdesk.store import clients, embeddings, knowledge, passages, vectors
from tests.standins.ollama import OllamaStandIn
from tests.test_inbound import queued

CLIENT = 1
MENU = b"# Bread\n\nRye bread costs 4.20.\n\n# Cakes\n\nLemon cake costs 3.90 a piece.\n\n# Opening hours\n\nTuesday to Saturday, 7 to 18.\n"


@pytest.fixture
def ollama():
    with OllamaStandIn(models=["llama3.2:3b", "all-minilm:latest", "nomic-embed-text:latest"]) as standin:
        yield standin


@pytest.fixture
def embedder(context, ollama):
    """The context with a model that embeds; call it with a name to choose another."""

    def choose(model: str):
        context.settings = load({"DATA_DIR": str(context.settings.data_dir), "OLLAMA_EMBED_MODEL": model}, env_file=context.settings.data_dir / "no")
        context.ollama = Ollama(ollama.url, timeout_seconds=20, load_timeout_seconds=20, crash_pause_seconds=0)
        return context

    choose("all-minilm")
    return choose


def add(context, name="menu.md", content=MENU, **how) -> int:
    document_id = flow.add(context, CLIENT, name, content, **how)
    flow.read_document(context, document_id)
    return document_id


def index(context, document_id: int) -> int:
    """Until nothing is left to be embedded; how many jobs it took."""
    for count in range(1, 1000):
        context.queues.redis.delete("rq:queue:documents")
        embedding.index_document(context, document_id)
        if not context.queues.depth("documents"):
            return count
    raise AssertionError("it never ended")


@contextmanager
def page_server(content: bytes, content_type: str):
    """A web server with one page; its address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/prices"
    server.shutdown()
    server.server_close()


def texts(found) -> list[str]:
    return [passage.text for passage in found]


def embedded_texts(ollama) -> list[str]:
    return [text for entry in ollama.history if entry["path"] == "/api/embed" for text in entry["body"]["input"]]


def rows(context, table: str) -> int:
    return context.db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]


def indexed_words(context) -> set[str]:
    return {row[0] for row in context.db.execute("SELECT term FROM knowledge_word_counts")}


# --- words alone -------------------------------------------------------------------------------------------------------------


def test_a_document_is_found_by_its_words_with_no_embedding_model_at_all(context):
    document_id = add(context)
    found = retrieval.search(context, CLIENT, "what does the lemon cake cost?")
    assert texts(found)[0] == "Lemon cake costs 3.90 a piece."
    assert (found[0].place, found[0].similarity) == ("menu > Cakes", None)
    document = knowledge.get(context.db, document_id)
    assert (document.live, document.settled, document.chunk_count, document.error) == (True, True, 3, None)


def test_accents_case_and_inflections_do_not_matter(context):
    add(context, "a.txt", "Unsere Öffnungszeiten: täglich ab 8 Uhr.".encode())
    add(context, "b.txt", "Straßenbahn Linie 4 hält vor der Tür.".encode())
    assert "Öffnungszeiten" in texts(retrieval.search(context, CLIENT, "offnungszeit"))[0]
    assert "Straßenbahn" in texts(retrieval.search(context, CLIENT, "STRASSENBAHNEN"))[0]


def test_languages_without_spaces_are_searched_like_others(context):
    add(context, "ja.txt", "営業時間は午前九時から午後六時までです。\n\n駐車場は建物の裏にあります。".encode())
    add(context, "th.txt", "ร้านเปิดทุกวันเก้าโมงเช้า".encode())
    assert "駐車場" in texts(retrieval.search(context, CLIENT, "駐車場はどこですか？"))[0]
    assert "ร้าน" in texts(retrieval.search(context, CLIENT, "ร้านเปิดกี่โมง"))[0]


@pytest.mark.parametrize("query", ["", "   ", "???", '" OR *', "NEAR(a b)", "owner : x", "\ud800", "\x00", "a", "x" * 5000])
def test_whatever_is_asked_is_words_and_never_a_syntax_error(context, query):
    add(context)
    retrieval.search(context, CLIENT, query)


def test_one_client_never_finds_what_is_anothers(context):
    add(context)
    other = clients.add(context.db, "Other", "You are other.", context.now())
    document_id = flow.add(context, other, "menu.md", MENU.replace(b"3.90", b"8.80"))
    flow.read_document(context, document_id)
    assert texts(retrieval.search(context, CLIENT, "lemon cake"))[0].endswith("3.90 a piece.")
    assert texts(retrieval.search(context, other, "lemon cake"))[0].endswith("8.80 a piece.")


def test_with_no_documents_nothing_is_asked_of_anybody(embedder, ollama):
    assert retrieval.search(embedder("all-minilm"), CLIENT, "hours") == []
    assert not ollama.history


# --- changing documents ----------------------------------------------------------------------------------------------------------


def test_the_old_version_serves_until_the_new_one_is_found(context):
    old = add(context)
    new = flow.add(context, CLIENT, "menu.md", MENU.replace(b"3.90", b"4.10"), replaces=old)
    assert "3.90" in texts(retrieval.search(context, CLIENT, "lemon cake"))[0]
    flow.read_document(context, new)
    assert "4.10" in texts(retrieval.search(context, CLIENT, "lemon cake"))[0]
    assert not any("3.90" in text for text in texts(retrieval.search(context, CLIENT, "lemon cake 3.90")))
    flow.read_document(context, old)
    assert (rows(context, "knowledge_chunks"), knowledge.get(context.db, new).version) == (3, 2)
    assert [document.id for document in knowledge.of_client(context.db, CLIENT)] == [new]


def test_a_new_version_that_cannot_be_read_leaves_the_old_one_in_place(context):
    old = add(context)
    new = flow.add(context, CLIENT, "menu.pdf", b"no pdf", replaces=old)
    flow.read_document(context, new)
    assert knowledge.get(context.db, new).error.startswith("it is not a PDF file")
    assert retrieval.search(context, CLIENT, "lemon cake")


def test_switched_off_it_is_not_found_from_that_moment_and_on_again_it_is(context):
    document_id = add(context)
    flow.switch(context, document_id, False)
    assert not retrieval.search(context, CLIENT, "lemon cake")
    flow.read_document(context, document_id)
    assert rows(context, "knowledge_chunks") == 0
    flow.switch(context, document_id, True)
    flow.read_document(context, document_id)
    assert retrieval.search(context, CLIENT, "lemon cake")


def test_removed_nothing_of_it_is_left(context):
    old = add(context)
    new = add(context, content=MENU + b"\nMore.", replaces=old)
    flow.remove(context, new)
    assert not retrieval.search(context, CLIENT, "lemon cake")
    for document_id in (new, old):
        flow.read_document(context, document_id)
    for table in ("knowledge_documents", "knowledge_sections", "knowledge_chunks", "knowledge_vectors"):
        assert rows(context, table) == 0, table
    assert not indexed_words(context)
    assert not list((context.settings.data_dir / "knowledge").iterdir())


def test_a_file_that_two_documents_share_stays_with_the_other(context):
    first, second = add(context), add(context, "same.md")
    flow.remove(context, first)
    flow.read_document(context, first)
    assert flow.file_of(context, knowledge.get(context.db, second).sha256).exists()


def test_what_cannot_be_read_is_told_on_the_document(context):
    with pytest.raises(Unreadable):
        flow.add(context, CLIENT, "prices.xls", b"x")
    with pytest.raises(Unreadable, match="empty"):
        flow.add(context, CLIENT, "prices.txt", b" \n")
    document = knowledge.get(context.db, add(context, "a.docx", b"no zip"))
    assert (document.state, document.live, document.settled) == ("failed", False, True)
    assert "not a DOCX file" in document.error


# --- vectors ------------------------------------------------------------------------------------------------------------------------


def test_vectors_are_computed_once_for_each_text(embedder, ollama):
    context = embedder("all-minilm")
    document_id = add(context)
    index(context, document_id)
    assert sorted(embedded_texts(ollama)) == sorted(set(embedded_texts(ollama))) and len(embedded_texts(ollama)) == 3
    new = add(context, content=MENU.replace(b"3.90", b"4.10"), replaces=document_id)
    index(context, new)
    assert len(embedded_texts(ollama)) == 4
    assert "4.10" in embedded_texts(ollama)[-1]
    assert knowledge.get(context.db, new).embedded_by is not None


def test_a_search_by_meaning_finds_the_same_words_nearest(embedder, ollama):
    context = embedder("all-minilm")
    index(context, add(context))
    found = retrieval.search(context, CLIENT, "menu > Cakes\nLemon cake costs 3.90 a piece.")
    assert found[0].similarity == pytest.approx(1, abs=0.001)


def test_embeddings_come_in_batches_of_one_inference_a_job(embedder, ollama):
    context = embedder("all-minilm")
    content = "\n".join(f"# Topic {n}\n\nText number {n}.\n" for n in range(40)).encode()
    assert index(context, add(context, content=content)) == 3
    sizes = [len(entry["body"]["input"]) for entry in ollama.history if entry["path"] == "/api/embed"]
    assert sizes == [16, 16, 8]


def test_another_model_is_embedded_behind_the_scenes_while_the_old_one_serves(embedder, ollama):
    context = embedder("all-minilm")
    document_id, second = add(context), add(context, "b.txt", b"Parking behind the house.")
    index(context, document_id), index(context, second)
    context = embedder("nomic-embed-text")
    sweep.sweep(context)
    assert queued(context, "documents").count("index") == 2
    index(context, document_id)
    assert embeddings.serving(context.db, CLIENT).name == "all-minilm"
    assert retrieval.search(context, CLIENT, "lemon cake")[0].similarity is not None
    index(context, second)
    assert embeddings.serving(context.db, CLIENT).name == "nomic-embed-text"
    assert retrieval.search(context, CLIENT, "lemon cake")[0].similarity is not None
    assert rows(context, "knowledge_vectors") == 4
    assert ollama.history[-1]["body"]["input"] == ["search_query: lemon cake"]
    sweep.clean(context)
    assert rows(context, "knowledge_embeddings") == 4


def test_a_model_that_is_missing_says_so_and_is_tried_again_later(embedder, ollama, clock):
    context = embedder("bge-m3")
    document_id = add(context)
    embedding.index_document(context, document_id)
    model = embeddings.model(context.db, "bge-m3")
    assert "ollama pull bge-m3" in model.away_reason
    asked = len(ollama.history)
    embedding.index_document(context, document_id)
    assert len(ollama.history) == asked
    assert retrieval.search(context, CLIENT, "lemon cake")
    ollama.behaviour.models.append("bge-m3:latest")
    clock.forward(400)
    sweep.sweep(context)
    index(context, document_id)
    assert embeddings.model(context.db, "bge-m3").away_reason is None


def test_without_sqlite_vec_words_alone_find(embedder, monkeypatch):
    context = embedder("all-minilm")
    index(context, add(context))
    monkeypatch.setattr(vectors, "available", lambda db: False)
    assert retrieval.search(context, CLIENT, "lemon cake")[0].similarity is None


def test_the_signs_of_a_vector_are_packed_as_sqlite_vec_packs_them(db):
    vector = [0.5, -0.1, 0.0, 2.0, -3.0, 1.0, 1.0, -1.0] * 5
    assert vectors.available(db)
    assert db.execute("SELECT vec_quantize_binary(?)", (vectors.packed(vector),)).fetchone()[0] == vectors.bits(vector)


# --- dying and coming back ---------------------------------------------------------------------------------------------------------


def test_a_run_that_died_in_the_middle_is_gone_on_with_and_no_chunk_is_there_twice(context, clock, monkeypatch):
    content = "\n".join(f"# Topic {n}\n\nText number {n}.\n" for n in range(250)).encode()
    document_id = flow.add(context, CLIENT, "long.md", content)
    real, calls = passages.add, []

    def dying(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*given)

    monkeypatch.setattr(passages, "add", dying)
    with pytest.raises(KeyboardInterrupt):
        flow.read_document(context, document_id)
    assert (rows(context, "knowledge_chunks"), retrieval.search(context, CLIENT, "topic")) == (100, [])
    monkeypatch.setattr(passages, "add", real)
    clock.forward(60)
    sweep.sweep(context)
    assert queued(context, "bulk").count("read") >= 1
    flow.read_document(context, document_id)
    flow.read_document(context, document_id)
    assert rows(context, "knowledge_chunks") == 250
    assert context.db.execute("SELECT doc FROM knowledge_word_counts WHERE term = 'topic'").fetchone()[0] == 250


def test_what_somebody_else_reads_is_left_to_them_until_their_lease_is_over(context, clock):
    document_id = flow.add(context, CLIENT, "menu.md", MENU)
    knowledge.claim(context.db, document_id, "another process", clock(), 30)
    flow.read_document(context, document_id)
    assert not knowledge.get(context.db, document_id).live
    clock.forward(31)
    flow.read_document(context, document_id)
    assert knowledge.get(context.db, document_id).live


def test_the_sweep_rings_once_for_what_a_lost_job_left(context, clock):
    flow.add(context, CLIENT, "menu.md", MENU)
    context.queues.redis.flushall()
    for _ in range(3):
        sweep.sweep(context)
    assert queued(context, "bulk").count("read") == 1


def test_a_worker_that_must_end_leaves_a_document_as_it_is(context):
    document_id = flow.add(context, CLIENT, "menu.md", MENU)
    context.stopping.set()
    flow.read_document(context, document_id)
    document = knowledge.get(context.db, document_id)
    assert (document.live, document.settled) == (False, False)


def test_a_database_full_of_vectors_opens_where_sqlite_vec_is_missing(embedder, settings):
    context = embedder("all-minilm")
    index(context, add(context))
    plain = sqlite3.connect(settings.database_path)
    assert plain.execute("SELECT COUNT(*) FROM knowledge_vectors").fetchone()[0] == 3
    assert json.loads(plain.execute("SELECT headings FROM knowledge_chunks LIMIT 1").fetchone()[0]) == ["Bread"]


def test_a_page_of_the_web_is_fetched_and_read(context):
    server = page_server(b"<html><body><h1>Prices</h1><p>Lemon cake: 3.90</p></body></html>", "text/html; charset=utf-8")
    with server as url:
        refused = flow.add_page(context, CLIENT, url)
        flow.read_document(context, refused)
    assert "could not be fetched" in knowledge.get(context.db, refused).error
    context.settings = dataclasses.replace(context.settings, fetch_private_addresses=True)
    with page_server(b"<html><body><h1>Prices</h1><p>Lemon cake: 3.90</p></body></html>", "text/html; charset=utf-8") as url:
        document_id = flow.add_page(context, CLIENT, url)
        flow.read_document(context, document_id)
    assert retrieval.search(context, CLIENT, "lemon cake")[0].url == url
    gone = flow.add_page(context, CLIENT, url)
    flow.read_document(context, gone)
    assert knowledge.get(context.db, gone).error.startswith("the page could not be fetched")


def test_a_reader_killed_again_and_again_ends_with_every_chunk_once(context, settings, redis_address):
    """A real process and kill -9, at any moment."""
    content = "\n".join(f"# Topic {n}\n\nText number {n}.\n" for n in range(3000)).encode()
    document_id = flow.add(context, CLIENT, "long.md", content)
    script = f"import jobs; jobs.read_document({document_id})"
    environ = {**os.environ, "DATA_DIR": str(settings.data_dir), "REDIS_URL": redis_address, "LEASE_SECONDS": "2"}
    for kill_after_seconds in (1.2, 1.5, 1.8, 2.1):
        reader = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environ)
        try:
            reader.wait(kill_after_seconds)
        except subprocess.TimeoutExpired:
            reader.kill()
            reader.wait()
        context.db.execute("UPDATE knowledge_documents SET claim_expires_at = 0")
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environ, check=True, timeout=60)
    assert knowledge.get(context.db, document_id).live
    assert rows(context, "knowledge_chunks") == 3000
    assert context.db.execute("SELECT doc FROM knowledge_word_counts WHERE term = 'topic'").fetchone()[0] == 3000
    assert context.db.execute("SELECT doc FROM knowledge_trigram_counts WHERE term = 'top'").fetchone()[0] == 3000


def test_a_model_of_the_same_name_with_other_dimensions_leaves_words(embedder, ollama):
    context = embedder("all-minilm")
    index(context, add(context))
    ollama.behaviour.dimensions = 64
    assert retrieval.search(context, CLIENT, "lemon cake")[0].similarity is None


def test_doctor_says_how_documents_are_found(embedder, settings):
    context = embedder("bge-m3")
    assert list(diagnosis._knowledge(context.settings, context.db)) == []
    embedding.index_document(context, add(context))
    [finding] = diagnosis._knowledge(context.settings, context.db)
    assert "words alone" in finding.words and finding.mend.startswith("ollama pull bge-m3")
    context = embedder("none")
    assert [found.ok for found in diagnosis._knowledge(context.settings, context.db)] == [True]
