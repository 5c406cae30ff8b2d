"""The API's description (OpenAPI 3.1), made from the table of operations and the models that check requests."""

import re
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from frontdesk.web.api import models
from frontdesk.web.api.operation import Operation
from frontdesk.web.api.operations import OPERATIONS

SHARED_REFUSALS = {400: "Not JSON", 401: "No token, or not a good one", 403: "The token lacks the scope", 413: "Too large",
                   415: "Not a type that is taken", 422: "A field is wrong", 429: "Too many requests", 503: "Try again"}  # fmt: skip
WORDS = {**SHARED_REFUSALS, 404: "Not there", 409: "The Idempotency-Key was used for another request", 410: "It has expired"}


@cache
def description() -> dict[str, Any]:
    used = [one.answers for one in OPERATIONS] + [one.given for one in OPERATIONS if one.has_body] + [models.Error]
    _, schemas = models_json_schema([(model, "validation") for model in dict.fromkeys(used)], ref_template="#/components/schemas/{model}")
    paths: dict[str, dict] = {}
    for one in OPERATIONS:
        paths.setdefault("/api/v1" + re.sub(r"<(?:int:)?(\w+)>", r"{\1}", one.path), {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Frontdesk", "version": "1", "description": "Messages to customers, and what was said. Tokens are made on the desk."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": f"Scope: {one.scope}.",
        "parameters": [*_in_path(one), *_in_query(one), *_in_header(one)],
        "responses": {
            str(one.status): _answer("Done" if one.status == 200 else "Taken on", one.answers.__name__, one.media),
            **{str(status): _answer(WORDS[status], "Error") for status in sorted({*_refusals(one), *one.refusals})},
        },
    }
    if one.has_body:
        schema = {"$ref": f"#/components/schemas/{one.given.__name__}"}
        content = {"application/json": {"schema": schema}}
        if one.takes_files:
            content["multipart/form-data"] = {"schema": _form(one)}
        made["requestBody"] = {"required": not one.body_optional, "content": content}
    return made


def _refusals(one: Operation) -> set[int]:
    return set(SHARED_REFUSALS) if one.has_body else set(SHARED_REFUSALS) - {400, 413, 415}


def _form(one: Operation) -> dict[str, Any]:
    words = f"The fields of {one.given.__name__}, lists and objects written as JSON, and the file."
    return {"type": "object", "description": words, "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}}}


def _answer(words: str, model: str, media: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"type": "string"} if media else {"$ref": f"#/components/schemas/{model}"}
    return {"description": words, "content": {kind: {"schema": schema} for kind in media or ("application/json",)}}


def _in_path(one: Operation) -> list[dict]:
    found = re.findall(r"<(int:)?(\w+)>", one.path)
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1} if kind else {"type": "string"}}
        for kind, name in found
    ]


def _in_query(one: Operation) -> list[dict]:
    if one.method != "GET" or one.given is None:
        return []
    schema = one.given.model_json_schema()
    return [{"name": name, "in": "query", "required": False, "schema": field} for name, field in schema["properties"].items()]


def _in_header(one: Operation) -> list[dict]:
    if not one.takes_key:
        return []
    words = "The same key and request within 24 hours give the same answer, and nothing is sent twice."
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "description": words, "schema": schema}]
