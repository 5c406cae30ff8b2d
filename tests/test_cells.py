"""The vectors of a large client lie in cells, of which a search looks into the nearest; nothing is missed while they are placed."""

import random

import pytest
from sqlite_utils import Database

from frontdesk.flows import chunking, embedding, reindexing
from frontdesk.settings import load
from frontdesk.store import cells, clients, database, embeddings, knowledge, passages, vectors
from frontdesk.store.database import transaction
from frontdesk.store.migrations import migrations
from tests.test_inbound import queued
from tests.test_knowledge import embedder, ollama, texts  # noqa: F401

CLIENT, DIMENSIONS = 1, 64
TOPICS = [[one.gauss(0, 1) for _ in range(DIMENSIONS)] for one in map(random.Random, range(12))]


def near(topic: int, chance: random.Random) -> list[float]:
    return [part + chance.gauss(0, 0.4) for part in TOPICS[topic]]


def fill(db, count: int, client_id: int = CLIENT) -> None:
    """A document of `count` chunks, each about one of the topics in turn."""
    chance = random.Random(count)
    model = embeddings.model(db, "all-minilm")
    document_id = knowledge.add(db, client_id, name=f"{count} chunks", kind="text", sha256="0", size_bytes=1, now=0)
    said = [f"Text {n} of {document_id} about topic {n % len(TOPICS)}." for n in range(count)]
    chunks = [passages.NewChunk(n, (), None, text, text, chunking.digest(text)) for n, text in enumerate(said)]
    kept = [(chunk.hash, near(chunk.position % len(TOPICS), chance)) for chunk in chunks]
    with transaction(db):
        passages.add(db, client_id, document_id, chunks)
        embeddings.keep(db, model.id, [(hash_, vectors.bits(vector), vectors.packed(vector)) for hash_, vector in kept])
        embeddings.link(db, client_id, document_id, model.id)
        knowledge.now_found(db, knowledge.get(db, document_id), 0)
        knowledge.embedded(db, document_id, model.id)


@pytest.fixture
def large(embedder, monkeypatch):
    """A context whose one client has 600 vectors, which is many."""
    for name, value in {"LEAST_VECTORS": 300, "VECTORS_A_CELL": 20, "MOST_LOOSE": 50}.items():
        monkeypatch.setattr(cells, name, value)
    context = embedder("all-minilm")
    fill(context.db, 600)
    return context


def found(context, topic: int, limit: int = 40) -> list[int]:
    vector = near(topic, random.Random(99))
    return [chunk_id for chunk_id, _ in passages.by_meaning(context.db, CLIENT, 1, vectors.bits(vector), vectors.packed(vector), limit)]


def share_of(before: list[list[int]], context) -> float:
    """How much of what each topic's search found it finds now."""
    now = [found(context, topic) for topic in range(len(before))]
    return sum(len(set(one) & set(other)) for one, other in zip(before, now, strict=True)) / sum(map(len, before))


def place_all(context) -> int:
    """As `bulk` does it; how many jobs it took."""
    for count in range(1, 100):
        context.queues.redis.delete("rq:queue:bulk")
        embedding.place_vectors(context, CLIENT)
        if not queued(context, "bulk"):
            return count
    raise AssertionError("it never ended")


def by_cell(context) -> dict[int, int]:
    return dict(map(tuple, context.db.execute("SELECT cell, COUNT(*) FROM knowledge_vectors GROUP BY cell")))


def test_once_placed_a_search_looks_into_a_share_and_finds_the_same(large):
    before = [found(large, topic) for topic in range(12)]
    place_all(large)
    assert 0 not in by_cell(large) and len(by_cell(large)) > 20 and sum(by_cell(large).values()) == 600
    assert share_of(before, large) > 0.97


def test_while_they_are_placed_nothing_is_missed(large, monkeypatch):
    monkeypatch.setattr(embedding, "PLACED_AT_ONCE", 70)
    monkeypatch.setattr(embedding, "PLACED_A_JOB", 70)
    before = [found(large, topic) for topic in range(12)]
    jobs = 0
    while jobs == 0 or queued(large, "bulk"):
        large.queues.redis.delete("rq:queue:bulk")
        embedding.place_vectors(large, CLIENT)
        assert share_of(before, large) > 0.97
        jobs += 1
    assert jobs > 8


def test_a_few_vectors_are_not_parted(embedder):
    context = embedder("all-minilm")
    fill(context.db, 200)
    reindexing.begin_night(context)
    assert "place" not in queued(context, "bulk")
    assert place_all(context) == 1 and by_cell(context) == {0: 200}


def test_the_night_places_what_is_loose(large):
    reindexing.begin_night(large)
    assert queued(large, "bulk").count("place") == 1
    place_all(large)
    reindexing.begin_night(large)
    assert "place" not in queued(large, "bulk")


def test_what_comes_later_is_found_at_once_and_placed_once_it_is_much(large):
    place_all(large)
    fill(large.db, 40)
    newest = large.db.execute("SELECT MAX(id) FROM knowledge_chunks").fetchone()[0]
    assert any(chunk_id > newest - 40 for chunk_id in found(large, 3, 60)) and by_cell(large)[0] == 40
    assert not cells.crowded(large.db, CLIENT, 1)
    fill(large.db, 41)
    assert cells.crowded(large.db, CLIENT, 1)
    place_all(large)
    assert 0 not in by_cell(large)


def test_a_client_that_has_outgrown_its_cells_gets_new_ones_and_the_old_ones_go(large):
    place_all(large)
    old = set(by_cell(large))
    fill(large.db, 2400)
    before = [found(large, topic) for topic in range(12)]
    place_all(large)
    kept = {row["cell"] for row in large.db.execute("SELECT cell FROM knowledge_cells")}
    assert not old & set(by_cell(large)) and set(by_cell(large)) <= kept and not old & kept and len(kept) > 100
    assert share_of(before, large) > 0.97


def test_a_removed_document_a_removed_model_and_a_removed_client_leave_their_cells(large):
    place_all(large)
    large.db.execute("DELETE FROM knowledge_chunks WHERE id <= 100")
    assert sum(by_cell(large).values()) == 500
    other = embeddings.model(large.db, "nomic-embed-text")
    embeddings.forget_others(large.db, CLIENT, other.id)
    assert by_cell(large) == {} and large.db.execute("SELECT COUNT(*) FROM knowledge_cells").fetchone()[0] == 0


def test_one_client_s_cells_are_no_other_s(large):
    second = clients.add(large.db, "Second", "", 0)
    fill(large.db, 350, second)
    place_all(large)
    assert large.db.execute("SELECT DISTINCT cell FROM knowledge_vectors WHERE client_id = ?", (second,)).fetchall()[0]["cell"] == 0
    embedding.place_vectors(large, second)
    assert large.db.execute("SELECT COUNT(*) FROM knowledge_vectors WHERE cell = 0").fetchone()[0] == 0
    assert {row[0] for row in large.db.execute("SELECT DISTINCT client_id FROM knowledge_cells")} == {CLIENT, second}


def test_a_worker_that_must_end_leaves_the_rest_to_the_night(large):
    large.stopping.set()
    embedding.place_vectors(large, CLIENT)
    assert by_cell(large) == {0: 600} and not queued(large, "bulk")
    assert cells.crowded(large.db, CLIENT, 1)


def test_vectors_of_before_an_upgrade_are_all_there_and_in_no_cell(tmp_path):
    settings = load({"DATA_DIR": str(tmp_path)}, env_file=tmp_path / "none")
    db = database.connect(settings)
    migrations.apply(Database(db), stop_before="m037_cells")
    db.execute("PRAGMA foreign_keys = OFF")
    bits = vectors.bits(TOPICS[0])
    db.executemany(
        "INSERT INTO knowledge_chunks (id, document_id, client_id, position, headings, text, hash) VALUES (?1, 1, 1, ?1, '[]', '', '')",
        [(n,) for n in range(300)],
    )
    db.executemany("INSERT INTO knowledge_vectors VALUES (1, 1, ?, ?, ?)", [(n, n, bits) for n in range(300)])
    db.execute("PRAGMA foreign_keys = ON")
    migrations.apply(Database(db))
    rows = [tuple(row) for row in db.execute("SELECT client_id, model_id, cell, chunk_id, embedding_id, bits FROM knowledge_vectors")]
    assert rows == [(1, 1, 0, n, n, bits) for n in range(300)]
    assert {row["table"] for row in db.execute("PRAGMA foreign_key_list(knowledge_vectors)")} == {"knowledge_chunks"}
    db.close()
