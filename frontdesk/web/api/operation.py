"""What an operation of the API is, and what it is called with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from werkzeug.datastructures import FileStorage

from frontdesk.flows.context import Context
from frontdesk.store.api_tokens import ApiToken

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

    body: str
    media: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`given` is the body's model for a POST, the query's for a GET. `refusals`: status codes beside those that all share.

    `scope`: one word of SCOPES, or several with " or " between them: any of them will do. `takes_files`: the body may be a form with
    files in the field `file`. `media`: what a Raw answer may be.
    """

    name: str
    method: str
    path: str
    scope: str
    summary: str
    given: type[BaseModel] | None
    answers: type[BaseModel]
    status: int
    does: Callable[[Call], "BaseModel | Raw"]
    refusals: tuple[int, ...] = ()
    takes_files: bool = False
    largest_body_bytes: int = LARGEST_BODY_BYTES
    media: tuple[str, ...] = ()
