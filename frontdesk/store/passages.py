"""Chunks of documents, and the three indexes over them: words, three letters in a row, and vectors.

Both full-text indexes are contentless, so a chunk leaves them with the words that it came in with. They hold every client's chunks, best
first: those of others are passed over. (Asking for a mark of the client beside the words takes twice the time: BM25 counts it.)
"""

import json
import math
import re
import sqlite3
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from frontdesk.store.database import exact
from frontdesk.store.search import spaced

NO_WORD = re.compile(r"[^\w\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+|_+")
NEAREST_BY_BITS = 150  # exact distances are computed of so many
CELLS_SHARE = 0.2  # of a large client's cells (cells.py), so many are looked into: the nearest


@dataclass(frozen=True, slots=True)
class NewChunk:
    """`told`: what the indexes are given; `hash` is its digest."""

    position: int
    headings: tuple[str, ...]
    page: int | None
    text: str
    told: str
    hash: str


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk with its place, for whoever shows it."""

    chunk_id: int
    document_id: int
    name: str
    url: str | None
    headings: tuple[str, ...]
    page: int | None
    text: str
    hash: str


# --- in and out ----------------------------------------------------------------------------------------------------------------


def count(db: sqlite3.Connection, document_id: int) -> int:
    return db.execute("SELECT COUNT(*) FROM knowledge_chunks WHERE document_id = ?", (document_id,)).fetchone()[0]


def add(db: sqlite3.Connection, client_id: int, document_id: int, chunks: Sequence[NewChunk]) -> None:
    """Inside a transaction. A chunk that is there already stays as it is."""
    for chunk in chunks:
        row = db.execute(
            """
            INSERT INTO knowledge_chunks (document_id, client_id, position, headings, page, text, hash)
            VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT), ?) ON CONFLICT (document_id, position) DO NOTHING RETURNING id
            """,
            (
                document_id, client_id, chunk.position, json.dumps(chunk.headings), chunk.page,
                exact(chunk.text), chunk.hash,
            ),
        ).fetchone()  # fmt: skip
        if row:
            db.execute("INSERT INTO knowledge_words (rowid, text) VALUES (?, ?)", (row["id"], words_of(chunk.told)))
            db.execute("INSERT INTO knowledge_trigrams (rowid, text) VALUES (?, ?)", (row["id"], letters_of(chunk.told)))
    db.execute(
        "UPDATE knowledge_documents SET chunk_count = (SELECT COUNT(*) FROM knowledge_chunks WHERE document_id = ?1) WHERE id = ?1",
        (document_id,),
    )


def take_out(db: sqlite3.Connection, document_id: int, limit: int, told) -> int:
    """Up to `limit` chunks leave every index; how many did. `told(headings, text)`: what it was indexed by. Inside a transaction."""
    rows = db.execute(
        "SELECT id, headings, text FROM knowledge_chunks WHERE document_id = ? ORDER BY position DESC LIMIT ?",
        (document_id, limit),
    ).fetchall()
    for row in rows:
        words = told(tuple(json.loads(row["headings"])), row["text"])
        for table, text in (("knowledge_words", words_of(words)), ("knowledge_trigrams", letters_of(words))):
            db.execute(f"INSERT INTO {table} ({table}, rowid, text) VALUES ('delete', ?, ?)", (row["id"], text))
    db.executemany("DELETE FROM knowledge_chunks WHERE id = ?", [(row["id"],) for row in rows])
    db.execute("UPDATE knowledge_documents SET chunk_count = MAX(0, chunk_count - ?) WHERE id = ?", (len(rows), document_id))
    return len(rows)


def words_of(text: str) -> str:
    """What the words' index is given: each word, and each character of languages without spaces, on its own."""
    return spaced(_folded(text))


def letters_of(text: str) -> str:
    """What the trigrams' index is given: an edge of a word is a letter too."""
    return f" {_folded(text)} "


def _folded(text: str) -> str:
    """Words alone, without case and accents, one space between them."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode())
        text = "".join(_bare(each) for each in text.casefold())
    return " ".join(NO_WORD.sub(" ", text.casefold()).split())


def _bare(character: str) -> str:
    """Accents of Latin, Greek and Cyrillic say little in a hurried question; a mark of kana makes another letter."""
    if character < "\x80" or character > "\u1fff" or "\u0530" < character < "\u1e00":
        return character
    return unicodedata.normalize("NFD", character)[0]


# --- searching -----------------------------------------------------------------------------------------------------------------


def by_words(db: sqlite3.Connection, client_id: int, phrases: Sequence[str], limit: int) -> list[int]:
    """Chunks with any of these words, best first (BM25)."""
    return _matching(db, "knowledge_words", client_id, phrases, limit)


def by_letters(db: sqlite3.Connection, client_id: int, trigrams: Sequence[str], limit: int) -> list[int]:
    return _matching(db, "knowledge_trigrams", client_id, trigrams, limit)


def _matching(db: sqlite3.Connection, table: str, client_id: int, phrases: Sequence[str], limit: int) -> list[int]:
    if not phrases:
        return []
    anything = " OR ".join('"' + phrase.replace('"', '""') + '"' for phrase in phrases)
    rows = db.execute(
        f"""
        SELECT {table}.rowid FROM {table}
        CROSS JOIN knowledge_chunks INDEXED BY knowledge_chunks_client ON knowledge_chunks.client_id = ? AND knowledge_chunks.id = {table}.rowid
        CROSS JOIN knowledge_documents ON knowledge_documents.id = document_id AND live = 1
        WHERE {table} MATCH ? ORDER BY {table}.rank LIMIT ?
        """,
        (client_id, anything, limit),
    )
    return [row[0] for row in rows]


def rows_with(db: sqlite3.Connection, kind: str, term: str) -> int:
    """How many chunks, of all clients, hold a word or three letters (`kind`: "word", "trigram")."""
    row = db.execute(f"SELECT doc FROM knowledge_{kind}_counts WHERE term = ?", (term,)).fetchone()
    return row["doc"] if row else 0


def about(db: sqlite3.Connection) -> int:
    """About how many chunks there are, of all clients."""
    return db.execute("SELECT MAX(id) FROM knowledge_chunks").fetchone()[0] or 0


def by_meaning(
    db: sqlite3.Connection, client_id: int, model_id: int, bits: bytes, vector: bytes, limit: int
) -> list[tuple[int, float]]:
    """The chunks nearest to a vector with their cosine, best first. Wants sqlite-vec (vectors.available)."""
    whose = {"client_id": client_id, "model_id": model_id}
    cells = db.execute("SELECT COUNT(*) FROM knowledge_cells WHERE client_id = :client_id AND model_id = :model_id", whose).fetchone()[0]
    rows = db.execute(
        """
        SELECT near.chunk_id, 1 - vec_distance_cosine(vector, :vector) AS similarity
        FROM (
            SELECT chunk_id, embedding_id FROM knowledge_vectors
            WHERE client_id = :client_id AND model_id = :model_id AND cell IN (
                SELECT 0 UNION ALL SELECT cell FROM (
                    SELECT cell FROM knowledge_cells WHERE client_id = :client_id AND model_id = :model_id
                    ORDER BY vec_distance_hamming(vec_bit(bits), vec_bit(:bits)) LIMIT :cells
                )
            )
            ORDER BY vec_distance_hamming(vec_bit(bits), vec_bit(:bits)) LIMIT :near
        ) AS near
        CROSS JOIN knowledge_chunks INDEXED BY knowledge_chunks_client ON knowledge_chunks.client_id = :client_id AND knowledge_chunks.id = near.chunk_id
        CROSS JOIN knowledge_documents ON knowledge_documents.id = document_id AND live = 1
        CROSS JOIN knowledge_embeddings ON knowledge_embeddings.id = embedding_id
        ORDER BY similarity DESC LIMIT :limit
        """,
        {**whose, "bits": bits, "vector": vector, "cells": math.ceil(cells * CELLS_SHARE), "near": NEAREST_BY_BITS, "limit": limit},
    )
    return [(row["chunk_id"], row["similarity"]) for row in rows]


def found(db: sqlite3.Connection, chunk_ids: Sequence[int]) -> list[Found]:
    """These chunks, in this order; those that are gone are left out."""
    marks = ", ".join("?" for _ in chunk_ids)
    rows = db.execute(
        f"""
        SELECT knowledge_chunks.id, document_id, name, url, headings, page, text, hash FROM knowledge_chunks
        JOIN knowledge_documents ON knowledge_documents.id = document_id WHERE knowledge_chunks.id IN ({marks}) AND live = 1
        """,
        list(chunk_ids),
    )
    by_id = {row["id"]: Found(*row[:4], tuple(json.loads(row["headings"])), *row[5:]) for row in rows}
    return [by_id[id_] for id_ in chunk_ids if id_ in by_id]
