"""The Graph API: messages, media, the number, its account, its templates. Refuses what Meta refuses, in Meta's words' shape."""

import hmac
import random
import secrets
import socket
import sys
import time
from typing import Any

from flask import Blueprint, Response, jsonify, request

from frontdesk.simulator import checks
from frontdesk.simulator.behaviour import UPLOADS, Behaviour
from frontdesk.simulator.checks import Refused
from frontdesk.simulator.config import Config
from frontdesk.simulator.record import Record
from frontdesk.simulator.uploads import uploaded
from frontdesk.simulator.webhooks import Webhooks

MEDIA_SECONDS = 5 * 60
LAST_DATA_RECEIVED = 52  # where Linux' tcp_info has the milliseconds since then: after 8 bytes and 11 numbers
LARGEST_TEMPLATE_PAGE = 2  # so that every reader has to turn pages
# Meta answers these with 401 or 403; every other error of ours is a 400.
HTTP_STATUS = {0: 401, 190: 401, 3: 403, 10: 403, 4: 429, 80007: 429, 130429: 429, 131056: 429, 1: 500, 2: 503, 131000: 500, 131016: 503, 133004: 503}


def graph_api(config: Config, behaviour: Behaviour, record: Record, webhooks: Webhooks) -> Blueprint:
    api = Blueprint("graph", __name__)
    api.register_error_handler(Refused, lambda refused: _refusal(refused, record))

    @api.before_request
    def check_token():
        given = request.headers.get("Authorization", "")
        if behaviour.token_expired or not hmac.compare_digest(given.encode(), f"Bearer {config.access_token}".encode()):
            raise Refused(190, "Error validating access token: Session has expired")

    @api.post("/<version>/<phone_number_id>/messages")
    def messages(version: str, phone_number_id: str):
        body = request.get_json(silent=True)
        if not isinstance(body, dict) or body.get("messaging_product") != "whatsapp":
            raise Refused(100, "(#100) The parameter messaging_product is required.")
        if phone_number_id != config.phone_number_id:
            raise Refused(100, f"Unsupported post request. Object with ID '{phone_number_id}' does not exist", subcode=33)
        if body.get("status") == "read":
            return _read(body)
        return _send(body)

    def _read(body: dict[str, Any]):
        typing = "typing_indicator" in body
        known = record.seen(str(body.get("message_id", "")), typing)
        kind = "typing" if typing else "read"
        record.note("calls", {"kind": kind, "message_id": body.get("message_id"), "code": None if known else 100})
        if not known:
            raise Refused(100, "Invalid parameter: message_id")
        return jsonify(success=True)

    def _send(body: dict[str, Any]):
        arrived_at = _arrived_at()
        key = str(body.get("to") or body.get("recipient") or "")
        _nap(behaviour, key)
        kind = checks.checked(body, key, record)
        error = behaviour.next_error(key)
        if error:
            raise Refused(error["code"], "Simulated", error.get("http_status") or HTTP_STATUS.get(error["code"], 400))
        if behaviour.windows and kind != "template" and not record.window_is_open(key):
            raise Refused(131047, "Message failed to send because more than 24 hours have passed since the customer last replied.")
        if behaviour.limits and (code := record.over_limit(key, behaviour.messages_per_second)):
            raise Refused(code, "Rate limit hit")
        return _accept(body, key, kind, arrived_at)

    def _accept(body: dict[str, Any], key: str, kind: str, arrived_at: float):
        wamid = f"wamid.SIM{random.getrandbits(96):024x}"
        lost = behaviour.loses_answer()
        callback_data = body.get("biz_opaque_callback_data")
        record.note(
            "sends",
            {
                "wamid": wamid,
                "arrived_at": arrived_at,
                "to": body.get("to"),
                "recipient": None if body.get("to") else body.get("recipient"),
                "phone_number_id": config.phone_number_id,
                "type": kind,
                "payload": {name: body[name] for name in (kind, "context") if name in body},
                "callback_data": callback_data,
                "answer_lost": lost,
            },
        )
        record.note("calls", {"kind": "send", "to": key, "code": None})
        record.business_wrote(key, wamid, {"type": kind, "content": body.get(kind), "context": body.get("context")})
        person = record.person(key)
        names = {"recipient_id": person["phone"], "recipient_user_id": person["user_id"]}
        webhooks.tell_fate(key, wamid, {name: value for name, value in names.items() if value}, callback_data)
        if behaviour.accept_delay_seconds:
            time.sleep(behaviour.accept_delay_seconds)
        if lost:
            return _cut_connection()
        contact = {"input": key, **({"wa_id": person["phone"]} if person["phone"] else {"user_id": person["user_id"]})}
        return jsonify(messaging_product="whatsapp", contacts=[contact], messages=[{"id": wamid}])

    @api.post("/<version>/<phone_number_id>/media")
    def upload(version: str, phone_number_id: str):
        _nap(behaviour, UPLOADS)
        if phone_number_id != config.phone_number_id:
            raise Refused(100, f"Object with ID '{phone_number_id}' does not exist")
        error = behaviour.next_upload_error()
        if error:
            raise Refused(error["code"], "Simulated", error.get("http_status"))
        media = uploaded(request)
        media_id = str(random.randrange(10**14, 10**15))
        record.media[media_id] = media
        record.note("uploads", {"media_id": media_id, **{name: media[name] for name in ("mime_type", "filename", "sha256", "size")}})
        return jsonify(id=media_id)

    @api.get("/<version>/<thing>")
    def look_up(version: str, thing: str):
        if thing == config.phone_number_id:
            facts = {"display_phone_number": config.display_phone, "verified_name": "Simulated business", "quality_rating": "GREEN"}
            return jsonify(id=thing, **facts, whatsapp_business_manager_messaging_limit=behaviour.reach)
        if thing == config.account_id:
            return jsonify(id=thing, name="Simulated account")
        return _media_facts(thing)

    def _media_facts(media_id: str):
        media = record.media.get(media_id)
        if media is None:
            raise Refused(100, f"Object with ID '{media_id}' does not exist")
        media["url_until"] = 0 if behaviour.address_is_over() else time.time() + MEDIA_SECONDS
        record.note("calls", {"kind": "address", "media_id": media_id, "code": None})
        return jsonify(
            id=media_id,
            url=f"http://127.0.0.1:{config.port}/media-files/{media_id}",
            mime_type=media["mime_type"],
            sha256=media["sha256"],
            file_size=media["size"],
            messaging_product="whatsapp",
        )

    @api.get("/media-files/<media_id>")
    def download(media_id: str):
        media = record.media.get(media_id)
        if media is None or media.get("url_until", 0) < time.time():
            record.note("calls", {"kind": "download", "media_id": media_id, "code": 404})
            return Response(status=404)
        time.sleep(behaviour.download_ms / 1000)
        record.note("calls", {"kind": "download", "media_id": media_id, "code": None})
        return Response(media["data"], mimetype=media["mime_type"])

    @api.delete("/<version>/<media_id>")
    def forget(version: str, media_id: str):
        return jsonify(success=record.media.pop(media_id, None) is not None)

    @api.route("/<version>/<account_id>/subscribed_apps", methods=["GET", "POST"])
    def subscribed_apps(version: str, account_id: str):
        if request.method == "POST":
            behaviour.subscribed = True
            return jsonify(success=True)
        apps = [{"whatsapp_business_api_data": {"id": "1", "name": "Frontdesk"}}] if behaviour.subscribed else []
        return jsonify(data=apps)

    @api.get("/<version>/<account_id>/message_templates")
    def templates(version: str, account_id: str):
        if account_id != config.account_id:
            raise Refused(100, f"Object with ID '{account_id}' does not exist")
        start, size = int(request.args.get("after") or 0), min(int(request.args.get("limit", 25)), LARGEST_TEMPLATE_PAGE)
        page = record.templates[start : start + size]
        paging = {"cursors": {"before": str(start), "after": str(start + size)}}
        if start + size < len(record.templates):
            paging["next"] = f"{request.base_url}?after={start + size}"
        return jsonify(data=page, paging=paging)

    return api


def _nap(behaviour: Behaviour, key: str) -> None:
    if behaviour.latency_ms and behaviour.latency_to in (None, key):
        time.sleep(behaviour.latency_ms / 1000)


def _cut_connection() -> Response:
    """The message was taken, and the sender will never hear so: the socket is closed without an answer."""
    connection = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    connection.shutdown(socket.SHUT_RDWR)
    return Response()


def _refusal(refused: Refused, record: Record):
    body = request.get_json(silent=True)
    to = (body.get("to") or body.get("recipient")) if isinstance(body, dict) else None
    if request.path.endswith("/messages"):
        record.note("calls", {"kind": "refused", "to": to, "code": refused.code})
    error = {
        "message": f"(#{refused.code}) {refused.details or 'Error'}",
        "type": "OAuthException",
        "code": refused.code,
        "error_data": {"messaging_product": "whatsapp", "details": refused.details},
        "fbtrace_id": "A" + secrets.token_hex(8),
    }
    if refused.subcode:
        error["error_subcode"] = refused.subcode
    return jsonify(error=error), (refused.http_status or HTTP_STATUS.get(refused.code, 400))


def _arrived_at() -> float:
    """When the kernel had the request, to its clock's tick: by the time one of many threads looks, tens of milliseconds may be gone."""
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        return time.time()
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_DATA_RECEIVED + 4)
    return time.time() - int.from_bytes(information[LAST_DATA_RECEIVED:], sys.byteorder) / 1000
