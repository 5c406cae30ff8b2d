"""The line under an answer that names the documents it was made of, for clients that want it.

A passage counts as used where the answer says what it says: shares words with it that the customer did not bring. An answer in another
language than its documents shares figures and names at most; where nothing tells, nothing is named.
"""

import sqlite3
from collections.abc import Callable, Sequence

from frontdesk.flows import fit, retrieval
from frontdesk.flows.splitting import LIMIT
from frontdesk.store import knowledge
from frontdesk.store.clients import Client
from frontdesk.store.seen import Shown

MOST_NAMED = 3
LEAST_SHARE, SHARE_OF_BEST = 0.2, 0.6  # of what the answer says
LONGEST_NAME, LONGEST_URL = 120, 300


def line(db: sqlite3.Connection, client: Client, answer: str, asked: str, shown: Sequence[Shown]) -> str:
    """'' where no document was used, or the client does not want it."""
    if not client.shows_sources or not shown:
        return ""
    pages: dict[int, list[int]] = {}
    for each in used(db, answer, asked, shown):
        known = pages.setdefault(each.document_id, [])
        if each.page and each.page not in known:
            known.append(each.page)
    named = [name for document_id, of in list(pages.items())[:MOST_NAMED] if (name := _named(db, document_id, of))]
    return f"{client.sources_text.strip()} {', '.join(named)}".strip() if named else ""


def used(db: sqlite3.Connection, answer: str, asked: str, shown: Sequence[Shown]) -> list[Shown]:
    """Those of the passages that the answer was made of, the most used first."""
    weights, brought = fit.weights_of(db, answer), set(retrieval.words(asked))
    own = {word: weight for word, weight in weights.items() if word not in brought} or weights
    shares = [(fit.coverage(own, each.text), each) for each in shown]
    best = max(share for share, _ in shares)
    kept = [(share, each) for share, each in shares if share >= max(LEAST_SHARE, SHARE_OF_BEST * best)]
    return [each for _, each in sorted(kept, key=lambda one: -one[0])]


def _named(db: sqlite3.Connection, document_id: int, pages: list[int]) -> str:
    """Price list, page 3. '' for a document that is gone."""
    document = knowledge.get(db, document_id)
    if document is None or document.removed_at is not None:
        return ""
    if document.url and len(document.url) <= LONGEST_URL:
        return document.url
    numbers = ", ".join(map(str, sorted(pages)[:MOST_NAMED]))
    where = f", {'page' if len(pages) == 1 else 'pages'} {numbers}" if pages else ""
    return document.name[:LONGEST_NAME] + where


def under(parts: list[str], line: str, fits: Callable[[str], bool] = lambda text: True) -> list[str]:
    """The parts of an answer with the line under the last one, or behind it where that has no room. `fits`: the channel's own measure."""
    if not line:
        return parts
    last = f"{parts[-1]}\n\n{line}"
    has_room = len(last.encode("utf-16-le", "surrogatepass")) // 2 <= LIMIT and fits(last)
    return [*parts[:-1], last] if has_room else [*parts, line]
