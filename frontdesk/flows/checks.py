"""Checks as people write them: in a form or in a CSV with the columns question, must, must_not, must_decline."""

import csv
import io
import re
from collections.abc import Iterable

from frontdesk.errors import BadCheck
from frontdesk.flows.context import Context
from frontdesk.flows.document_files import text_of
from frontdesk.flows.expected import folded, is_a_fact
from frontdesk.store import checks
from frontdesk.store.checks import Check, Question
from frontdesk.store.database import transaction

MOST_CHECKS = 500  # of a client
LONGEST_QUESTION, LONGEST_FACT, MOST_FACTS = 1_000, 200, 20
LARGEST_FILE_BYTES = 2_000_000

COLUMNS = ("question", "must", "must_not", "must_decline")
_YES = {"yes", "true", "1", "x", "y"}
_NO = {"", "no", "false", "0", "n"}


def question(asked: str, must: str, must_not: str, must_decline: bool) -> Question:
    """From what was typed; facts are parted by lines or "|". Raises BadCheck."""
    asked = asked.replace("\r\n", "\n").strip()
    if not asked:
        raise BadCheck("question", "A question is missing.")
    if len(asked) > LONGEST_QUESTION:
        raise BadCheck("question", f"A question has at most {LONGEST_QUESTION:,} characters.")
    found = Question(asked, _facts("must", must), _facts("must_not", must_not), must_decline)
    if not (found.must or found.must_not or found.must_decline):
        raise BadCheck("must", "Say what the answer must say or must not say, or that it must decline: otherwise any answer passes.")
    return found


def _facts(field: str, text: str) -> tuple[str, ...]:
    facts = tuple(dict.fromkeys(" ".join(part.split()) for part in re.split(r"[\n|]", text) if part.strip()))
    if len(facts) > MOST_FACTS:
        raise BadCheck(field, f"At most {MOST_FACTS} facts.")
    for fact in facts:
        if len(fact) > LONGEST_FACT:
            raise BadCheck(field, f"A fact has at most {LONGEST_FACT} characters; better a few words than a sentence.")
        if not is_a_fact(fact):
            raise BadCheck(field, f"“{fact}” holds no word and no number that could be looked for.")
    return facts


def add(context: Context, client_id: int, asked: Question) -> int:
    """Raises BadCheck where there are too many."""
    with transaction(context.db) as db:
        if checks.count(db, client_id) >= MOST_CHECKS:
            raise BadCheck("question", f"A client has at most {MOST_CHECKS} checks. Remove some first.")
        return checks.add(db, client_id, asked, context.now())


# --- CSV ----------------------------------------------------------------------------------------------------------------------


def take_in(context: Context, client_id: int, data: bytes) -> tuple[int, int]:
    """All of a file or nothing: how many were added, and how many changed because their question was there. Raises BadCheck."""
    given = {folded(asked.question): asked for asked in _read(data)}
    with transaction(context.db) as db:
        known = {folded(check.asked.question): check for check in checks.of_client(db, client_id)}
        new = [asked for key, asked in given.items() if key not in known]
        if len(known) + len(new) > MOST_CHECKS:
            raise BadCheck("file", f"A client has at most {MOST_CHECKS} checks; with this file it would have {len(known) + len(new)}.")
        for asked in new:
            checks.add(db, client_id, asked, context.now())
        changed = [(known[key], asked) for key, asked in given.items() if key in known and known[key].asked != asked]
        for check, asked in changed:
            checks.change(db, check.id, asked, context.now())
    return len(new), len(changed)


def _read(data: bytes) -> list[Question]:
    text = text_of(data)
    if text is None:
        raise BadCheck("file", "This is not a text file (UTF-8 or UTF-16). Save the table as CSV.")
    delimiter = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    names = {(name or "").strip().lower().replace(" ", "_"): name for name in reader.fieldnames or []}
    if "question" not in names:
        raise BadCheck("file", f"The first line names the columns: {', '.join(COLUMNS)}. There is no column “question”.")
    found = []
    try:
        for row in reader:
            found.append(_row({column: row.get(names.get(column)) or "" for column in COLUMNS}, reader.line_num))
    except csv.Error as error:
        raise BadCheck("file", f"Line {reader.line_num} cannot be read as CSV: {error}.") from None
    if not found:
        raise BadCheck("file", "The file holds no question.")
    return found


def _row(row: dict[str, str], line: int) -> Question:
    decline = row["must_decline"].strip().casefold()
    try:
        if decline not in _YES | _NO:
            raise BadCheck("must_decline", "must_decline is yes or no.")
        return question(*(_plain(row[column]) for column in COLUMNS[:3]), decline in _YES)
    except BadCheck as error:
        raise BadCheck("file", f"Line {line}: {error}") from None


def as_csv(given: Iterable[Check]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for check in given:
        asked = check.asked
        facts = [" | ".join(facts) for facts in (asked.must, asked.must_not)]
        writer.writerow([*map(_cell, (asked.question, *facts)), "yes" if asked.must_decline else ""])
    return out.getvalue()


def _cell(text: str) -> str:
    """As text that no spreadsheet takes for a formula; `_plain` takes it back."""
    text = text.encode("utf-8", "replace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else text


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith(("'=", "'+", "'-", "'@", "''")) else cell
