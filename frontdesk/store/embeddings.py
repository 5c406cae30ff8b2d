"""Vectors of chunks, by embedding model. Each text's is computed once; which chunks it stands for is a table of its own."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """`unrelated`: the cosine of texts that have nothing to do with each other (flows/likeness.py), None until it was measured."""

    id: int
    name: str
    away_reason: str | None
    retry_at: float | None
    unrelated: float | None


@dataclass(frozen=True, slots=True)
class Missing:
    """A text whose vector is not there yet, as it is kept: with its document's name it makes what is embedded."""

    hash: str
    name: str
    headings: str
    text: str


def model(db: sqlite3.Connection, name: str) -> EmbeddingModel:
    row = _model(db, "name", name)
    if row is None:
        db.execute("INSERT INTO knowledge_models (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (name,))
        row = _model(db, "name", name)
    return row


def _model(db: sqlite3.Connection, column: str, value: str | int) -> EmbeddingModel | None:
    row = db.execute(f"SELECT id, name, away_reason, retry_at, unrelated FROM knowledge_models WHERE {column} = ?", (value,)).fetchone()
    return EmbeddingModel(*row) if row else None


def measured(db: sqlite3.Connection, model_id: int, unrelated: float) -> None:
    db.execute("UPDATE knowledge_models SET unrelated = ? WHERE id = ?", (unrelated, model_id))


def away(db: sqlite3.Connection, model_id: int, reason: str, retry_at: float) -> None:
    db.execute("UPDATE knowledge_models SET away_reason = ?, retry_at = ? WHERE id = ?", (reason, retry_at, model_id))


def back(db: sqlite3.Connection, model_id: int) -> None:
    db.execute("UPDATE knowledge_models SET away_reason = NULL, retry_at = NULL WHERE id = ? AND away_reason IS NOT NULL", (model_id,))


def serving(db: sqlite3.Connection, client_id: int) -> EmbeddingModel | None:
    """The model by whose vectors this client's documents are searched."""
    row = db.execute("SELECT model_id FROM knowledge_serving WHERE client_id = ?", (client_id,)).fetchone()
    return _model(db, "id", row["model_id"]) if row else None


def all_serving(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """Each client that is searched by vectors, with the id of its model."""
    return [tuple(row) for row in db.execute("SELECT client_id, model_id FROM knowledge_serving")]


def missing(db: sqlite3.Connection, document_id: int, model_id: int, limit: int) -> list[Missing]:
    """Texts of a document that this model has no vector of, each once."""
    rows = db.execute(
        """
        SELECT chunks.hash, name, headings, text FROM knowledge_chunks AS chunks
        JOIN knowledge_documents ON knowledge_documents.id = document_id
        LEFT JOIN knowledge_embeddings AS kept ON kept.hash = chunks.hash AND kept.model_id = ?
        WHERE document_id = ? AND kept.id IS NULL GROUP BY chunks.hash ORDER BY MIN(position) LIMIT ?
        """,
        (model_id, document_id, limit),
    )
    return [Missing(*row) for row in rows]


def keep(db: sqlite3.Connection, model_id: int, kept: Sequence[tuple[str, bytes, bytes]]) -> None:
    """Vectors as (hash, bits, vector)."""
    db.executemany(
        """
        INSERT INTO knowledge_embeddings (hash, model_id, bits, vector) VALUES (?, ?, ?, ?)
        ON CONFLICT (hash, model_id) DO NOTHING
        """,
        [(hash_, model_id, bits, vector) for hash_, bits, vector in kept],
    )


def link(db: sqlite3.Connection, client_id: int, document_id: int, model_id: int) -> None:
    """Every chunk of the document whose text has a vector is found by it. The first model that has any serves at once."""
    db.execute(
        """
        INSERT INTO knowledge_vectors (client_id, model_id, chunk_id, embedding_id, bits)
        SELECT chunks.client_id, kept.model_id, chunks.id, kept.id, kept.bits FROM knowledge_chunks AS chunks
        JOIN knowledge_embeddings AS kept ON kept.hash = chunks.hash AND kept.model_id = ?
        WHERE document_id = ? ON CONFLICT DO NOTHING
        """,
        (model_id, document_id),
    )
    db.execute(
        "INSERT INTO knowledge_serving (client_id, model_id) VALUES (?, ?) ON CONFLICT (client_id) DO NOTHING", (client_id, model_id)
    )


def serve_if_complete(db: sqlite3.Connection, client_id: int, model_id: int) -> bool:
    """Searches go by this model from now on, if it has vectors of all that they find. Whether they do."""
    changed = db.execute(
        """
        UPDATE knowledge_serving SET model_id = ?1 WHERE client_id = ?2 AND NOT EXISTS (
            SELECT 1 FROM knowledge_documents WHERE client_id = ?2 AND live = 1 AND embedded_by IS NOT ?1
        )
        """,
        (model_id, client_id),
    )
    return changed.rowcount == 1


def forget_others(db: sqlite3.Connection, client_id: int, model_id: int) -> None:
    """Vectors of models that no longer serve this client."""
    for table in ("knowledge_vectors", "knowledge_cells"):
        db.execute(f"DELETE FROM {table} WHERE client_id = ? AND model_id <> ?", (client_id, model_id))


def clean(db: sqlite3.Connection, model_id: int | None, limit: int) -> int:
    """Vectors that nothing needs: of texts that no chunk has (while no document is off), of models neither chosen nor serving."""
    return db.execute(
        """
        DELETE FROM knowledge_embeddings WHERE id IN (
            SELECT id FROM knowledge_embeddings AS kept
            WHERE (model_id IS NOT ? AND model_id NOT IN (SELECT model_id FROM knowledge_serving))
            OR (
                NOT EXISTS (SELECT 1 FROM knowledge_chunks WHERE knowledge_chunks.hash = kept.hash)
                AND NOT EXISTS (SELECT 1 FROM knowledge_documents WHERE removed_at IS NULL AND superseded_at IS NULL AND NOT active)
            )
            LIMIT ?
        )
        """,
        (model_id, limit),
    ).rowcount
