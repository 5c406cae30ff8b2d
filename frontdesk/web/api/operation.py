"""What an operation of the API is, and what all of them share."""

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from werkzeug.datastructures import FileStorage

from frontdesk.flows.refusals import Refused, known_answer
from frontdesk.flows.contents import Sendable, TextMessage
from frontdesk.flows.context import Context
from frontdesk.store import api_tokens, clients, listing
from frontdesk.store.api_tokens import ApiToken
from frontdesk.store.database import transaction


LARGEST_BODY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `path` holds the ids in it, `given` is the checked body or query, `key` the Idempotency-Key.

    `files`: what was uploaded beside the fields of a form, where the operation takes files.
    """

    context: Context
    token: ApiToken
    path: dict[str, Any]
    given: BaseModel | None
    key: str | None
    files: tuple[FileStorage, ...] = ()


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is no JSON object."""

    body: str | bytes
    media: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`given` is the query's model for a GET, else the body's; None: there is none. `refusals`: status codes beside those that all share.

    `scope`: a word of SCOPES, or several with " or " between them. `takes_key`: the same Idempotency-Key gives the same answer.
    `takes_files`: the body may also be a form with files in the field `file`. `media`: what a Raw answer may be.
    `body_optional`: none at all is as good as {}.
    """

    name: str
    method: str
    path: str
    scope: str
    summary: str
    given: type[BaseModel] | None
    answers: type[BaseModel]
    status: int
    does: Callable[[Call], BaseModel | Raw]
    refusals: tuple[int, ...] = ()
    takes_key: bool = False
    takes_files: bool = False
    largest_body_bytes: int = LARGEST_BODY_BYTES
    media: tuple[str, ...] = ()
    body_optional: bool = False

    @property
    def has_body(self) -> bool:
        return self.method != "GET" and self.given is not None


def once(call: Call, wanted: Any, answers: type[BaseModel], make: Callable[[sqlite3.Connection], BaseModel]) -> BaseModel:
    """What `make` gives, and the key's answer, in one transaction: a key that was used has what it made.

    The same key with the same `wanted` (whose repr says all of it) gives the same answer; another one is refused with 409.
    """
    asked = hashlib.sha256(repr(wanted).encode("utf-8", "surrogatepass")).hexdigest()
    with transaction(call.context.db) as db:
        if call.key and (known := known_answer(db, call.token, call.key, asked)):
            return answers.model_validate_json(known)
        answer = make(db)
        if call.key:
            api_tokens.remember(db, call.token.id, call.key, asked, 201, answer.model_dump_json(), call.context.now())
    return answer


def page(call: Call, read: Callable[..., list[dict]], **which) -> tuple[list[dict], int | None]:
    """One row more than asked for says whether a page follows."""
    rows = read(call.context.db, after=call.given.cursor, limit=call.given.limit + 1, **which)
    following = rows[call.given.limit - 1]["id"] if len(rows) > call.given.limit else None
    return rows[: call.given.limit], following


def client_of(call: Call) -> int:
    """Whose the new thing is: the token's client, the one that is named, or the only one there is."""
    if call.token.client_id is not None:
        if call.given.client_id not in (None, call.token.client_id):
            raise Refused(404, "not_found", "There is no such client.", "client_id")
        return call.token.client_id
    known = [id_ for id_, _ in clients.names(call.context.db)]
    if call.given.client_id is None and len(known) == 1:
        return known[0]
    if call.given.client_id is None:
        raise Refused(422, "invalid", "Say for which client.", "client_id")
    if call.given.client_id not in known:
        raise Refused(404, "not_found", "There is no such client.", "client_id")
    return call.given.client_id


def known_conversation(call: Call) -> dict:
    row = listing.conversation(call.context.db, call.path["conversation_id"], client_id=call.token.client_id)
    if row is None:
        raise Refused(404, "not_found", "There is no such conversation.")
    return row


def digits(phone_number: str | None) -> str | None:
    return "".join(filter(str.isdigit, phone_number)) if phone_number else None


def sendable(message: str | Sendable) -> Sendable:
    """A text may be given as it is."""
    return TextMessage(text=message) if isinstance(message, str) else message


def sound(text: str | None) -> str | None:
    """Customers' words may hold what UTF-8 cannot."""
    return text and text.encode("utf-8", "replace").decode()
