"""Full-text search over everything that was said (FTS5). Accents and case do not matter; the last word may be a beginning.

FTS5's tokenizer takes a run of Chinese, Japanese or Thai for one word, so `spaced` puts each of those characters on its own, in the
index and in what is searched for: a phrase of characters is then found wherever it stands. The index holds no text of its own.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from frontdesk.store.names import SHOWN_NAME

LIMIT = 30
SNIPPET_CHARACTERS = 120

# Of a beginning of two or three letters FTS5 has the newest hits at hand (prefix='2 3'). For a longer one it first gathers the hits of
# every word that begins so, which takes longer the more is stored: the words are asked for instead, if they are no more than these.
INDEXED_LETTERS = 3
MOST_WORDS = 100
LOOKED_THROUGH = (200, 2_000)  # messages, for one of very many words

# Thai, Lao, Khmer, Burmese; kana, Han; Hangul has spaces of its own.
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


def indexed(stored: bytes) -> str:
    """`spaced` in SQL: what the index is given for a stored text. Bytes, because half a surrogate pair is no UTF-8."""
    return spaced(stored.decode(errors="replace"))


MERGED_PAGES = 250  # in one transaction


def merge_all(db: sqlite3.Connection) -> Iterator[None]:
    """What was deleted is only marked so in the index until its parts are merged: writes it anew, a short transaction a step.

    (FTS5's own 'secure-delete' came with SQLite 3.42, which Debian 12 has not; and such an index no older one can open.)
    """
    pages = -MERGED_PAGES
    while merge_some(db, pages):
        pages = MERGED_PAGES
        yield


def merge_some(db: sqlite3.Connection, pages: int) -> bool:
    """A step of FTS5's 'merge', below 0 the first of all parts into one. False: there was nothing to do. https://sqlite.org/fts5.html#the_merge_command"""
    before = db.total_changes
    db.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', ?)", (pages,))
    return db.total_changes - before >= 2


def spaced(text: str) -> str:
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


@dataclass(frozen=True, slots=True)
class Found:
    """`parts`: the words around the match, each with whether it is one (for marking; plain text)."""

    message_id: int
    conversation_id: int
    name: str
    direction: str
    at: float
    parts: list[tuple[str, bool]]


def find(db: sqlite3.Connection, words: str, *, client_id: int | None = None, limit: int = LIMIT) -> list[Found]:
    """The newest messages with all these words. Whatever is typed is words: no operators, nothing is a syntax error."""
    tokens = _tokens(words)
    if not tokens:
        return []
    match = _match(db, tokens)
    rows = _newest(db, match, client_id, limit) if match else _begun_often(db, tokens, client_id, limit)
    return [Found(*row[:5], _parts(row["text"], tokens)) for row in rows]


def query(db: sqlite3.Connection, words: str) -> str | None:
    """What `messages_fts` is matched with to find all these words; None where they are none."""
    tokens = _tokens(words)
    return (_match(db, tokens) or _joined(tokens, _begun(tokens[-1]))) if tokens else None


def _newest(db: sqlite3.Connection, match: str, client_id: int | None, limit: int, hits: int | None = None) -> list[sqlite3.Row]:
    return db.execute(
        f"""
        SELECT messages.id, conversation_id, {SHOWN_NAME}, direction, messages.created_at, text
        FROM (SELECT rowid FROM messages_fts WHERE messages_fts MATCH :match ORDER BY rowid DESC LIMIT :hits) AS hits
        JOIN messages ON messages.id = hits.rowid
        JOIN conversations ON conversations.id = conversation_id
        JOIN contacts ON contacts.id = contact_id
        WHERE :client_id IS NULL OR contacts.client_id = :client_id
        ORDER BY messages.id DESC LIMIT :limit
        """,
        {"match": match, "client_id": client_id, "limit": limit, "hits": hits or (limit if client_id is None else 50 * limit)},
    ).fetchall()


def _begun_often(db: sqlite3.Connection, tokens: list[str], client_id: int | None, limit: int) -> list[sqlite3.Row]:
    """Very many words begin like the last one, as order numbers do: most likely some are among the newest with its first letters."""
    match = _joined(tokens, _begun(_plain(tokens[-1])[:INDEXED_LETTERS]))
    begins = re.compile(rf"(?<![^\W_]){re.escape(_plain(tokens[-1]))}")
    for most in LOOKED_THROUGH:
        fitting = [row for row in _newest(db, match, client_id, most, hits=most) if begins.search(_plain(row["text"]))]
        if len(fitting) >= limit:
            return fitting[:limit]
    return _newest(db, _joined(tokens, _begun(tokens[-1])), client_id, limit)


def _tokens(words: str) -> list[str]:
    """Letters and digits, with the marks that belong to them (Thai and Hindi vowels)."""
    kept = (each if each.isalnum() or unicodedata.category(each)[0] == "M" else " " for each in words)
    return [token for token in "".join(kept).split() if any(each.isalnum() for each in token)][:12]


def _match(db: sqlite3.Connection, tokens: list[str]) -> str | None:
    """None: too many words begin like the last one to ask for each."""
    last = tokens[-1]
    # one letter begins too many words to look through them all; after a character without spaces nothing goes on
    if len(last) == 1 or _UNSPACED.match(last[-1]):
        return _joined(tokens, _phrase(last))
    plain = _plain(last)
    if len(plain) <= INDEXED_LETTERS:
        return _joined(tokens, _begun(last))
    known = _words_that_begin(db, plain)
    if len(known) > MOST_WORDS:
        return None
    return _joined(tokens, f"({' OR '.join(map(_phrase, known))})" if known else _begun(last))


def _joined(tokens: list[str], last: str) -> str:
    return " AND ".join([*map(_phrase, tokens[:-1]), last])


def _phrase(token: str) -> str:
    return f'"{spaced(token).strip()}"'


def _begun(token: str) -> str:
    return f"{_phrase(token)}*"


def _plain(text: str) -> str:
    """As the tokenizer has it: small, and Latin letters without accents."""
    return text.lower() if text.isascii() else "".join(map(_plain_character, text))


@lru_cache(10_000)
def _plain_character(character: str) -> str:
    small = character.lower()
    base = unicodedata.normalize("NFD", small)[0]
    return "" if unicodedata.combining(base) and base < "\u0370" else base if base.isascii() else small


def _words_that_begin(db: sqlite3.Connection, plain: str) -> list[str]:
    """Of the index, one more than MOST_WORDS at most: each found from the one before, without counting how often it occurs."""
    found, since = [], plain
    while len(found) <= MOST_WORDS:
        row = db.execute("SELECT term FROM messages_words WHERE term >= ? LIMIT 1", (since,)).fetchone()
        if row is None or not row["term"].startswith(plain):
            break
        found.append(row["term"])
        since = f"{row['term']}\x01"  # '>' would walk over every message with this one
    return found


def _parts(text: str, tokens: list[str]) -> list[tuple[str, bool]]:
    folded, places = _folded(text)
    wanted = "|".join(sorted((re.escape(_folded(token)[0]) for token in tokens), key=len, reverse=True))
    spans = [(places[found.start()], places[found.end()]) for found in re.finditer(wanted, folded) if found.group()]
    begin = max(0, spans[0][0] - SNIPPET_CHARACTERS // 3) if spans else 0
    end = begin + SNIPPET_CHARACTERS
    parts, at = [("…", False)] if begin else [], begin
    for first, last in spans:
        if first < at or last > end:
            continue
        parts += [(text[at:first], False), (text[first:last], True)]
        at = last
    parts += [(text[at:end], False), ("…" if len(text) > end else "", False)]
    return [(words, is_match) for words, is_match in parts if words]


def _folded(text: str) -> tuple[str, list[int]]:
    """Without case and accents; for each character of that, and its end, the place in `text` that it came from."""
    characters, places = [], []
    for place, character in enumerate(text):
        for part in unicodedata.normalize("NFKD", character.casefold()):
            if not unicodedata.combining(part):
                characters.append(part)
                places.append(place)
    return "".join(characters), [*places, len(text)]
