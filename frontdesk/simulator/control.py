"""The control API: write as a customer, make things go wrong, read what happened. JSON throughout.

POST   /simulator/api/messages    {"from"?, "user_id"?, "name"?, "type", "text"?, …, "wait"?} → {"id", "key", "status"?}
                                  or {"raw": {a whole message object}}; `wait` posts in this call and gives the webhook's status
POST   /simulator/api/files       multipart `file`, form `from` or `user_id`, `type`? (image, voice, audio, video, document, sticker; else
                                  by the file's own), `caption`? → {"id", "key"}; fetched at the Graph API like a customer's
GET    /simulator/api/files/MEDIA_ID       the file itself, for the phone's page
POST   /simulator/api/webhooks    {"body_base64" | "json", "times"?, "concurrency"?, "signature"?: "absent" | "wrong" | "sha256=…"}
                                  → {"statuses": [200, …]}, each posted once
POST   /simulator/api/templates   {"name", "language", "event": a status of Meta's, "reason"?} → {"status"}: changed, and told by webhook
GET    /simulator/api/sends?after=SEQ      {"sends": [{seq, at, wamid, to, recipient, type, payload, callback_data, answer_lost}]}
GET    /simulator/api/uploads?after=SEQ    {"uploads": [{seq, at, media_id, mime_type, filename, sha256, size}]}
GET    /simulator/api/calls?after=SEQ      {"calls": [{seq, at, kind: send|refused|typing|read|address|download, to?, message_id?, media_id?, code}]}
GET    /simulator/api/webhooks?after=SEQ   {"webhooks": [{seq, at, kind, status, ms, bytes}]}
                                  each also with ?newest=COUNT
GET    /simulator/api/pending              {"pending": webhooks and statuses that nobody acknowledged yet}
GET    /simulator/api/state?key=KEY&seen=VERSION   what the phone shows; {"version"} alone where nothing is new
GET, PUT /simulator/api/behaviour          see behaviour.py
POST   /simulator/api/reset                everything forgotten, best behaviour
"""

import base64
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Blueprint, Response, jsonify, request

from frontdesk.simulator.behaviour import Behaviour
from frontdesk.simulator.record import Record
from frontdesk.simulator.uploads import sent_file
from frontdesk.simulator.webhooks import Webhooks

SHOWN = ("image/jpeg", "image/png", "image/webp", "audio/", "video/")


def control_api(behaviour: Behaviour, record: Record, webhooks: Webhooks) -> Blueprint:
    api = Blueprint("control", __name__, url_prefix="/simulator/api")
    api.register_error_handler(ValueError, _bad)
    api.register_error_handler(KeyError, _bad)

    @api.post("/messages")
    def write():
        asked = request.get_json()
        message, person = _message(asked, record)
        return _post(message, person, bool(asked.get("wait")))

    @api.post("/files")
    def send_file():
        media_id = str(secrets.randbelow(9 * 10**14) + 10**14)
        kind, record.media[media_id], content = sent_file(request, media_id)
        message, person = _message({**request.form, "type": kind, kind: content}, record)
        return _post(message, person, False)

    @api.get("/files/<media_id>")
    def show_file(media_id: str):
        media = record.media.get(media_id)
        if media is None:
            return Response(status=404)
        shown = str(media["mime_type"]).startswith(SHOWN)
        answer = Response(media["data"], mimetype=media["mime_type"] if shown else "application/octet-stream")
        if not shown:
            answer.headers.set("Content-Disposition", "attachment", filename=media["filename"] or "file")
        return answer

    def _post(message: dict[str, Any], person: dict[str, Any], wait: bool):
        value = {"contacts": [_contact(person)], "messages": [message]}
        content = message.get(message["type"])
        record.customer_wrote(
            person["key"], message["id"], {"type": message["type"], "content": content, "context": message.get("context")}
        )
        answer = {"id": message["id"], "key": person["key"]}
        if wait:
            body = json.dumps(webhooks.envelope(**value)).encode()
            answer["status"] = webhooks.post_now(body, message["type"])
            return jsonify(answer)
        for _ in range(1 + behaviour.duplicate_webhooks):
            webhooks.deliver(person["key"], value, message["type"], wamid=message["id"])
        return jsonify(answer)

    @api.post("/webhooks")
    def post_raw():
        asked = request.get_json()
        body = base64.b64decode(asked["body_base64"]) if "body_base64" in asked else json.dumps(asked["json"]).encode()
        signature = asked.get("signature")
        given = "sha256=" + "0" * 64 if signature == "wrong" else signature
        times = int(asked.get("times", 1))
        _know_senders(body, record)

        def post(_) -> int:
            return webhooks.post_now(body, "raw", signature=given, signed=signature != "absent")

        with ThreadPoolExecutor(int(asked.get("concurrency", 1))) as pool:
            return jsonify(statuses=list(pool.map(post, range(times))))

    @api.post("/templates")
    def change_template():
        asked = request.get_json()
        template = next(one for one in record.templates if (one["name"], one["language"]) == (asked["name"], asked["language"]))
        template["status"] = asked["event"]
        return jsonify(status=webhooks.post_now(webhooks.template_event(template, asked.get("reason", "NONE")), "template"))

    @api.get("/<kind>")
    def read(kind: str):
        if kind not in ("sends", "uploads", "calls", "webhooks"):
            return jsonify(error={"code": "not_found", "message": f"there is no {kind}"}), 404
        if "newest" in request.args:
            return jsonify({kind: record.newest(kind, int(request.args["newest"]))})
        return jsonify({kind: record.after(kind, int(request.args.get("after", 0)))})

    @api.get("/pending")
    def pending():
        return jsonify(pending=webhooks.pending())

    @api.get("/state")
    def state():
        seen, version = int(request.args.get("seen", -1)), record.version
        now = time.time()
        key = request.args.get("key", "")
        typing = record.typing.get(key, 0) > now
        if seen == version:
            return jsonify(version=version, typing=typing)
        with record.lock:
            lines = list(record.lines[key]) if key in record.lines else []
            people = list(record.people.values())
        log = sorted([*record.newest("webhooks", 14), *record.newest("calls", 14)], key=lambda line: line["seq"])[-14:]
        return jsonify(
            version=version, typing=typing, lines=lines, people=people, log=log, behaviour=behaviour.as_dict()
        )

    @api.get("/behaviour")
    def show_behaviour():
        return jsonify(behaviour.as_dict())

    @api.put("/behaviour")
    def change_behaviour():
        behaviour.change(request.get_json())
        record.version += 1
        return jsonify(behaviour.as_dict())

    @api.post("/reset")
    def reset():
        webhooks.reset()
        record.reset()
        behaviour.change(Behaviour().as_dict())
        return jsonify(behaviour.as_dict())

    return api


def _bad(error: Exception):
    return jsonify(error={"code": "bad_request", "message": str(error)}), 400


def _message(asked: dict[str, Any], record: Record) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message object as a webhook has it, and who wrote it. ValueError names what is missing."""
    if "raw" in asked:
        message = asked["raw"]
        key = message.get("from") or message.get("from_user_id")
        names = {"phone": message.get("from"), "user_id": message.get("from_user_id")}
    else:
        key = asked.get("from") or asked.get("user_id")
        names = {"phone": asked.get("from"), "user_id": asked.get("user_id")}
        message = {"id": asked.get("id") or "wamid.CUS" + secrets.token_hex(12), "timestamp": str(int(time.time()))}
        kind = message["type"] = asked.get("type", "text")
        content = asked.get(kind)
        message[kind] = {"body": content} if kind == "text" else content
        if content is None:
            raise ValueError(f"a message of type {kind} wants {kind!r}")
        if asked.get("context"):
            message["context"] = asked["context"]
        if names["phone"]:
            message["from"] = names["phone"]
        if names["user_id"]:
            message["from_user_id"] = names["user_id"]
    if not key:
        raise ValueError("from or user_id is missing")
    return message, record.person(key, name=asked.get("name"), **names)


def _contact(person: dict[str, Any]) -> dict[str, Any]:
    contact: dict[str, Any] = {"profile": {"name": person["name"]}}
    if person["phone"]:
        contact["wa_id"] = person["phone"]
    if person["user_id"]:
        contact["user_id"] = person["user_id"]
    return contact


def _know_senders(body: bytes, record: Record) -> None:
    """Whoever writes in a raw body has an open window, as far as the body can be read."""
    try:
        for entry in json.loads(body)["entry"]:
            for change in entry["changes"]:
                for message in change["value"].get("messages", []):
                    key = message.get("from") or message.get("from_user_id")
                    record.person(key, phone=message.get("from"), user_id=message.get("from_user_id"))
                    record.last_inbound[key] = time.time()
                    record.inbound_of[message["id"]] = key
    except (ValueError, KeyError, TypeError, AttributeError):
        return
