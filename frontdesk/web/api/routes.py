"""How a request becomes an operation: token, rate, scope, checks; and how what goes wrong is told, always in one shape."""

import logging
import re
import sqlite3
import uuid
from typing import Any

from flask import Flask, Response, g, jsonify, render_template, request
from flask.json.provider import DefaultJSONProvider
from pydantic import ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from frontdesk import logs, strict_json
from frontdesk.flows.refusals import Refused
from frontdesk.flows.context import Context
from frontdesk.flows.logging_in import network
from frontdesk.queues import Rate, RedisError
from frontdesk.settings import ROOT
from frontdesk.store import api_tokens, audit
from frontdesk.store.api_tokens import ApiToken
from frontdesk.store.audit import Actor
from frontdesk.web.api.openapi import description
from frontdesk.web.api.operation import Call, Operation, Raw
from frontdesk.web.api.operations import OPERATIONS
from frontdesk.web.errors import error_response

log = logging.getLogger(__name__)

REQUESTS_A_MINUTE, BURST = 600, 100
UNKNOWN_TOKENS = 1, 60  # of one address: the interval in seconds, and how many at once
USED_EVERY_SECONDS = 60

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
WRITTEN_AS_JSON = {"categories", "schema", "texts", "items", "filter"}


class _StrictJson(DefaultJSONProvider):
    """What cannot be stored and sent as JSON is not taken."""

    def loads(self, text: str | bytes, **options) -> Any:
        return strict_json.loads(text)


def make_api(context: Context) -> Flask:
    pages = Flask("frontdesk_api", root_path=str(ROOT), template_folder="templates", static_folder=None)
    pages.json = _StrictJson(pages)
    pages.json.sort_keys = False
    for one in OPERATIONS:
        pages.add_url_rule(one.path, one.name, _view(context, one), methods=[one.method])

    @pages.get("/openapi.json")
    def openapi():
        return jsonify(description())

    @pages.get("/docs")
    def docs():
        return render_template("api_docs.html", api=description())

    pages.register_error_handler(Refused, _refused)
    pages.register_error_handler(ValidationError, _invalid)
    pages.register_error_handler(RedisError, lambda _: error_response(503, "try_again", "Redis does not answer; try again."))
    pages.register_error_handler(sqlite3.OperationalError, lambda _: error_response(503, "try_again", "The database is busy; try again."))
    pages.register_error_handler(RequestEntityTooLarge, lambda _: error_response(413, "too_large", "This request is too large."))
    pages.register_error_handler(HTTPException, _http_error)
    pages.register_error_handler(OverflowError, _no_such_id)
    pages.register_error_handler(Exception, _own_error)
    pages.before_request(_name_request)
    pages.after_request(_tell_name)
    pages.teardown_request(lambda _: logs.follow(None))
    return pages


def _name_request() -> None:
    """One id for this request in the log, and with the messages that it queues: the caller's own, or one of ours."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    logs.follow(g.request_id)


def _tell_name(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    return response


def _view(context: Context, one: Operation):
    def view(**path):
        token = _token(context)
        _count(context, token)
        audit.act_as(Actor("token", token.id, token.name, request.remote_addr))
        if token.scopes.isdisjoint(one.scope.split(" or ")):
            raise Refused(403, "missing_scope", f"This token lacks the scope {one.scope!r}.")
        given = one.given.model_validate(_given(one)) if one.given else None
        answer = one.does(Call(context, token, path, given, _key(), _files(one)))
        if isinstance(answer, Raw):
            return Response(answer.body, one.status, mimetype=answer.media)
        return Response(answer.model_dump_json(), one.status, mimetype="application/json")

    return view


def _token(context: Context) -> ApiToken:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = api_tokens.find(context.db, given.strip()) if scheme.lower() == "bearer" and given else None
    if token is None:
        wait = context.limits.count(Rate(f"api:unknown:{network(request.remote_addr or 'unknown')}", *UNKNOWN_TOKENS))
        if wait:
            g.retry_after = wait
            raise Refused(429, "too_many_requests", f"Too many requests without a good token come from this address; wait {wait:.1f} s.")
        raise Refused(401, "unauthorized", "Send Authorization: Bearer and a token that was made on the desk.")
    if token.last_used_at is None or abs(context.now() - token.last_used_at) > USED_EVERY_SECONDS:
        api_tokens.used(context.db, token.id, context.now())
    return token


def _count(context: Context, token: ApiToken) -> None:
    wait = context.limits.count(Rate(f"api:{token.id}", 60 / REQUESTS_A_MINUTE, BURST))
    if wait:
        g.retry_after = wait
        raise Refused(429, "too_many_requests", f"This token may ask {REQUESTS_A_MINUTE} times a minute; wait {wait:.1f} s.")


def _given(one: Operation) -> dict:
    if one.method == "GET":
        return request.args.to_dict()
    request.max_content_length = one.largest_body_bytes
    if (request.content_length or 0) > one.largest_body_bytes:
        raise Refused(413, "too_large", f"A request has at most {one.largest_body_bytes} bytes.")
    if _is_form(one):
        return _of_form()
    if one.body_optional and not request.content_length:
        return {}
    try:
        given = request.get_json()
    except UnsupportedMediaType:
        form = " or, with a file, multipart/form-data" if one.takes_files else ""
        raise Refused(415, "not_json", f"Send Content-Type: application/json{form}.") from None
    except (BadRequest, RecursionError, UnicodeDecodeError):
        raise Refused(400, "not_json", "The body is not JSON.") from None
    if not isinstance(given, dict):
        raise Refused(422, "invalid", "The body must be a JSON object.")
    return given


def _is_form(one: Operation) -> bool:
    return one.takes_files and request.mimetype == "multipart/form-data"


def _of_form() -> dict:
    """A form's fields: lists and objects are written as JSON."""
    given: dict = request.form.to_dict()
    for name in given.keys() & WRITTEN_AS_JSON:
        try:
            given[name] = strict_json.loads(given[name])
        except (ValueError, RecursionError):
            raise Refused(422, "invalid", "In a form this field is written as JSON.", name) from None
    return given


def _files(one: Operation) -> tuple[FileStorage, ...]:
    return tuple(request.files.getlist("file")) if _is_form(one) else ()


def _key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,200}", key):
        raise Refused(422, "invalid", "An Idempotency-Key has 1 to 200 visible ASCII characters.", "Idempotency-Key")
    return key


def _refused(refused: Refused):
    response, status = error_response(refused.status, refused.code, str(refused), refused.field, **refused.more)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == 429:
        response.headers["Retry-After"] = str(int(g.retry_after) + 1)
    return response, status


def _invalid(error: ValidationError):
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return error_response(422, "invalid", first["msg"].removeprefix("Value error, "), _field(first["loc"]))


def _field(location: tuple[str | int, ...]) -> str | None:
    """As the request has it: pydantic also names the model that a message was checked by."""
    named = [part for place, part in enumerate(location) if not (place == 1 and location[0] in ("message", "content"))]
    return ".".join(str(part) for part in named if re.fullmatch(r"[a-z0-9_]+", str(part))) or None


def _http_error(error: HTTPException):
    code = (error.name or "error").lower().replace(" ", "_")
    return error_response(error.code or 500, code, error.description or error.name)


def _no_such_id(error: OverflowError):
    """A number in the address that is larger than any id can be."""
    return error_response(404, "not_found", "There is nothing with this id.") if "SQLite INTEGER" in str(error) else _own_error(error)


def _own_error(error: Exception):
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return error_response(500, "internal_error", "Something went wrong here; it was written to the log.")
