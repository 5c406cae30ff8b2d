"""An answer to what the documents did not hold becomes a part of them: a row of the client's own table of questions and answers.

The table is a document like others; each answer makes a new version of it, which the old one serves until it is found.
"""

import csv
import io

from frontdesk.flows import knowledge as documents
from frontdesk.flows.context import Context
from frontdesk.flows.extraction import Unreadable
from frontdesk.store import knowledge, questions
from frontdesk.store.database import transaction
from frontdesk.store.knowledge import Document
from frontdesk.store.passages import letters_of

NAME, KIND = "Questions and answers", "questions"
HEADER = ("question", "answer")
LONGEST_QUESTION, LONGEST_ANSWER = 500, 20_000
TRIES = 10


def answer(context: Context, group: questions.Group, question: str, words: str) -> int:
    """The document's new version. Raises Unreadable with the reason where it cannot be made now."""
    question, words = " ".join(question.split()), words.strip()
    for _ in range(TRIES):
        before = knowledge.newest_named(context.db, group.client_id, NAME, KIND)
        content = _written([*_rows(context, before, question), (question, words)])
        sha256 = documents.keep_file(context, content)
        with transaction(context.db) as db:
            now_newest = knowledge.newest_named(db, group.client_id, NAME, KIND)
            if (now_newest and now_newest.id) != (before and before.id):
                continue  # a colleague's answer came between: it must stay
            document_id = knowledge.add(
                db, group.client_id, name=NAME, kind=KIND, sha256=sha256, size_bytes=len(content), replaces=before, now=context.now()
            )
            questions.answered(db, group.id, question, document_id, context.now())
        documents.ring(context, document_id)
        return document_id
    raise Unreadable("others are writing answers too; try again")


def _rows(context: Context, before: Document | None, question: str) -> list[tuple[str, str]]:
    """What the table holds by now, without an older answer to this question."""
    if before is None:
        return []
    text = _own_table(context, before)
    if text is not None:
        rows = [(row[0], row[1]) for row in list(csv.reader(io.StringIO(text, newline="")))[1:] if len(row) >= 2]
    elif before.state == "read":
        rows = [(headings[-1], text) for headings, _, text in knowledge.sections(context.db, before.id) if headings]
    else:
        raise Unreadable(f"“{before.name}” is still being read; try again in a moment")
    return [row for row in rows if letters_of(row[0]) != letters_of(question)]


def _own_table(context: Context, document: Document) -> str | None:
    """Its text, if it is one that was written here; anything else was uploaded, and only its reader knows it."""
    try:
        text = documents.file_of(context, document.sha256).read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
    return text if text.startswith(",".join(HEADER) + "\r\n") else None


def _written(rows: list[tuple[str, str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([HEADER, *rows])
    return out.getvalue().encode("utf-8", "replace")
