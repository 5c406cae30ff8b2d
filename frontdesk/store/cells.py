"""Cells: the vectors of a large client parted by likeness, so that a search looks into the nearest share of them instead of all.

A cell has a middle, and holds the vectors whose signs differ least from it. Cell 0 is what is not placed yet, and every search looks
into it: nothing is missed while vectors are placed, or where there are too few to part. A client that has outgrown its cells gets new
ones; until the last vector has moved, the old ones are looked into as well.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from frontdesk.store import vectors

LEAST_VECTORS = 20_000  # fewer are looked through whole in 4 ms
VECTORS_A_CELL, MOST_CELLS = 500, 1_000
SAMPLED_A_CELL = 8  # of which middles are made; with 20, or with the vectors themselves as middles, bench/retrieval.py finds no more
OUTGROWN = 4  # times as many cells would be chosen now
MOST_LOOSE = 2_000  # in no cell of the newest choice
SCATTERED = 2_654_435_761  # Knuth's multiplicative hash: as good as chance, and the same each time


def crowded(db: sqlite3.Connection, client_id: int, model_id: int) -> bool:
    """Whether there is something to be placed."""
    wanted = _wanted(db, client_id, model_id)
    if not wanted:
        return False
    first, cells = _newest(db, client_id, model_id)
    loose = db.execute(
        "SELECT COUNT(*) FROM knowledge_vectors WHERE client_id = ? AND model_id = ? AND cell < ?", (client_id, model_id, first)
    ).fetchone()[0]
    return wanted > OUTGROWN * cells or loose > MOST_LOOSE


def new_middles(db: sqlite3.Connection, client_id: int, model_id: int) -> list[bytes]:
    """Of cells for what the client has now; none while those that there are will do. Takes 0.1 s with 100,000 vectors."""
    wanted = _wanted(db, client_id, model_id)
    if wanted <= OUTGROWN * _newest(db, client_id, model_id)[1]:
        return []
    rows = db.execute(
        f"""
        SELECT bits FROM knowledge_vectors WHERE client_id = ? AND model_id = ?
        ORDER BY chunk_id * {SCATTERED} % 4294967296 LIMIT ?
        """,
        (client_id, model_id, wanted * SAMPLED_A_CELL),
    )
    sample = [row["bits"] for row in rows]
    return _middles(sample[:wanted], sample)


def _middles(begun: Sequence[bytes], sample: Sequence[bytes]) -> list[bytes]:
    """One round of k-means on signs: what most of those have that are nearest to each."""
    numbers = [int.from_bytes(bits) for bits in begun]
    nearest = defaultdict(list)
    for bits in sample:
        number = int.from_bytes(bits)
        nearest[min(range(len(numbers)), key=lambda place: (number ^ numbers[place]).bit_count())].append(bits)
    return [_most(those) for those in nearest.values()]


def _most(those: Sequence[bytes]) -> bytes:
    spread = ([byte >> place & 1 for byte in bits for place in range(8)] for bits in those)
    return vectors.bits([2 * sum(ones) - len(those) for ones in zip(*spread, strict=True)])


def begin(db: sqlite3.Connection, client_id: int, model_id: int, middles: Sequence[bytes]) -> None:
    """These are the newest cells from now on. Inside a transaction."""
    [highest] = db.execute(
        "SELECT COALESCE(MAX(cell), 0) FROM knowledge_cells WHERE client_id = ? AND model_id = ?", (client_id, model_id)
    ).fetchone()
    db.executemany(
        "INSERT INTO knowledge_cells (client_id, model_id, cell, first, bits) VALUES (?, ?, ?, ?, ?)",
        [(client_id, model_id, cell, highest + 1, bits) for cell, bits in enumerate(middles, start=highest + 1)],
    )


def place(db: sqlite3.Connection, client_id: int, model_id: int, limit: int) -> int:
    """Up to `limit` vectors move into the nearest of the newest cells; how many did. Inside a transaction. Wants sqlite-vec."""
    first, cells = _newest(db, client_id, model_id)
    if not cells:
        return 0
    whose = {"client_id": client_id, "model_id": model_id, "first": first}
    moved = db.execute(
        """
        UPDATE knowledge_vectors SET cell = nearest.cell
        FROM (
            SELECT chunk_id, loose.cell AS now, cells.cell, MIN(vec_distance_hamming(vec_bit(cells.bits), vec_bit(loose.bits)))
            FROM (
                SELECT cell, chunk_id, bits FROM knowledge_vectors
                WHERE client_id = :client_id AND model_id = :model_id AND cell < :first LIMIT :limit
            ) AS loose
            CROSS JOIN knowledge_cells AS cells ON client_id = :client_id AND model_id = :model_id AND cells.cell >= :first
            GROUP BY chunk_id
        ) AS nearest
        WHERE client_id = :client_id AND model_id = :model_id AND knowledge_vectors.cell = now AND knowledge_vectors.chunk_id = nearest.chunk_id
        """,  # a column beside MIN() is of the row that has it: https://sqlite.org/lang_select.html#bareagg
        {**whose, "limit": limit},
    ).rowcount
    if not moved:
        db.execute("DELETE FROM knowledge_cells WHERE client_id = :client_id AND model_id = :model_id AND cell < :first", whose)
    return moved


def _wanted(db: sqlite3.Connection, client_id: int, model_id: int) -> int:
    """How many cells would be chosen now."""
    total = db.execute("SELECT COUNT(*) FROM knowledge_vectors WHERE client_id = ? AND model_id = ?", (client_id, model_id)).fetchone()[0]
    return min(total // VECTORS_A_CELL, MOST_CELLS) if total >= LEAST_VECTORS else 0


def _newest(db: sqlite3.Connection, client_id: int, model_id: int) -> tuple[int, int]:
    """The first of the newest cells, and how many those are; with none every vector is loose, and none can be placed."""
    row = db.execute(
        "SELECT first, COUNT(*) AS cells FROM knowledge_cells WHERE client_id = ? AND model_id = ? GROUP BY first ORDER BY first DESC LIMIT 1",
        (client_id, model_id),
    ).fetchone()
    return (row["first"], row["cells"]) if row else (1, 0)
