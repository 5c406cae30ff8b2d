"""What the web chat's script asks for, from other origins: its look, a token, messages out and in. The script is static/widget.js.

Every address has the widget's key, so that a preflight already knows which origins may ask. Nothing here uses a cookie: the
visitor is who the token in `Authorization` says. What they write is acknowledged when it is in Redis, as webhooks are.
"""

import math
import re
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, g, jsonify, request, send_file
from werkzeug.exceptions import RequestEntityTooLarge

from frontdesk.flows import media, visitors, widget_look, widget_thread
from frontdesk.flows.context import Context
from frontdesk.queues import RedisError
from frontdesk.store import media as media_rows, widgets
from frontdesk.store.database import transaction
from frontdesk.web import errors
from frontdesk.web.attachments import SHOWN
from frontdesk.web.errors import error_response

SCRIPT = "widget.js"
SCRIPT_SECONDS, LOOK_SECONDS, PREFLIGHT_SECONDS = 3600, 60, 7200
MOST_BODY_BYTES = 16 * 1024
LONGEST_NAME, LONGEST_EMAIL, LONGEST_PHONE = 100, 254, 40
OPEN_TO_ALL = ("widget.show_file", "widget.script")


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None, retry_after: float | None = None):
        super().__init__(code)
        self.status, self.code, self.message, self.field, self.retry_after = status, code, message, field, retry_after


def widget_endpoints(context: Context) -> Blueprint:
    pages = Blueprint("widget", __name__)
    errors.add_error_pages(pages)

    @pages.errorhandler(Refused)
    def refused(error: Refused):
        response, status = error_response(error.status, error.code, error.message, error.field)
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(math.ceil(error.retry_after))
        return response, status

    @pages.errorhandler(RequestEntityTooLarge)
    def too_large(_):
        return error_response(413, "too_large", f"That is more than {MOST_BODY_BYTES} bytes.")

    @pages.errorhandler(RedisError)
    def redis_away(error: RedisError):
        return error_response(503, "try_again", "Nothing was kept; send it again.")

    @pages.before_request
    def admit():
        g.allowed_origin = None
        request.max_content_length = MOST_BODY_BYTES
        if request.endpoint in OPEN_TO_ALL:
            return None
        g.number, g.widget = admitted(context, request.view_args["key"], request.headers.get("Origin"), request.host_url, request.headers)
        g.allowed_origin = request.headers.get("Origin")
        return _preflight() if request.method == "OPTIONS" else None

    @pages.after_request
    def share(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if request.endpoint not in OPEN_TO_ALL:
            response.vary.add("Origin")
        if g.allowed_origin:
            response.headers["Access-Control-Allow-Origin"] = g.allowed_origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        return response

    @pages.get("/widget.js")
    def script():
        """Under an address that never changes, for it stands in other people's pages."""
        from frontdesk.web import assets

        folder = current_app.static_folder
        response = send_file(Path(folder) / SCRIPT, "text/javascript", conditional=True, max_age=SCRIPT_SECONDS)
        return assets.compressed(response, Path(folder) / SCRIPT)

    @pages.get("/widget/<key>/look")
    def look(key: str):
        found = widget_look.shown(context, g.number, g.widget, request.args.get("lang", ""))
        response = jsonify(found)
        response.headers["Cache-Control"] = f"public, max-age={LOOK_SECONDS}"
        return response

    @pages.post("/widget/<key>/visitors")
    def begin(key: str):
        _slowly(visitors.begins(context, _address()))
        return jsonify(token=visitors.issue(context.settings, key, context.now())), 201

    @pages.get("/widget/<key>/messages")
    def read(key: str):
        visitor, token = _visitor(context, key)
        _slowly(visitors.asks(context, visitor, _address()))
        if before := request.args.get("before"):
            return jsonify(widget_thread.earlier(context, g.number, visitor, before) or _not_here())
        found = widget_thread.shown(context, g.number, g.widget, visitor)
        if found["known"] == request.args.get("known") and token is None:
            return Response(status=204)
        return jsonify({**found, **({"token": token} if token else {})})

    @pages.post("/widget/<key>/messages")
    def write(key: str):
        visitor, _ = _visitor(context, key)
        given = _object()
        message_id, text = _message_id(given), _text(given, "text", visitors.LONGEST_TEXT, required=True)
        _slowly(visitors.writes(context, g.number, visitor, _address()))
        event = {"type": "message", "id": visitors.external_id(visitor, message_id), "text": text}
        visitors.put(context, key, visitor, [event])
        return jsonify(id=message_id), 202

    @pages.post("/widget/<key>/details")
    def leave_details(key: str):
        visitor, _ = _visitor(context, key)
        given = _object()
        event = {"type": "details", "id": visitors.external_id(visitor, _message_id(given)), **_details(given)}
        _slowly(visitors.writes(context, g.number, visitor, _address()))
        visitors.put(context, key, visitor, [event])
        return jsonify(id=given["id"]), 202

    @pages.post("/widget/<key>/seen")
    def seen(key: str):
        visitor, _ = _visitor(context, key)
        given = _object()
        status, ids = given.get("status"), given.get("ids")
        if status not in ("delivered", "read") or not isinstance(ids, list) or not 0 < len(ids) <= visitors.MOST_STATUSES:
            raise Refused(422, "invalid", "Give `status` and up to 50 `ids`.")
        _slowly(visitors.asks(context, visitor, _address()))
        own = _own_messages(context, visitor, ids)
        if own:
            visitors.put(context, key, visitor, [{"type": "status", "id": id_, "status": status} for id_ in own])
        return jsonify(count=len(own)), 202

    @pages.post("/widget/<key>/typing")
    def typing(key: str):
        visitor, _ = _visitor(context, key)
        _slowly(visitors.asks(context, visitor, _address()))
        context.live.visitor_types(visitor)
        return Response(status=204)

    @pages.post("/widget/<key>/whatsapp")
    def go_on_by_whatsapp(key: str):
        """An address of WhatsApp's with a text that carries this conversation's code."""
        visitor, _ = _visitor(context, key)
        _slowly(visitors.asks(context, visitor, _address()))
        return jsonify(url=_whatsapp_url(context, visitor))

    @pages.get("/widget/<key>/files/<public_id>")
    def show_file(key: str, public_id: str):
        signature, until = request.args.get("signature", ""), request.args.get("until", "")
        if not visitors.may_open(context.settings, key, public_id, until, signature, context.now()):
            abort(403, "This address is no longer good. Open the chat again.")
        return _file(context, key, public_id)

    for path in ("look", "visitors", "messages", "details", "seen", "typing", "whatsapp", "stream"):
        pages.add_url_rule(f"/widget/<key>/{path}", f"preflight_{path}", lambda key: Response(status=204), methods=["OPTIONS"])
    return pages


def admitted(context: Context, key: str, origin: str | None, own: str, headers):
    """The number and the widget. Raises Refused."""
    found = visitors.find(context, key)
    if found is None:
        raise Refused(404, "unknown_key", "There is no web chat with this key.")
    if not visitors.origin_fits(found[1], origin, own.rstrip("/").lower(), headers.get("Sec-Fetch-Site")):
        raise Refused(403, "wrong_origin", f"This web chat may not stand on pages of {origin or 'no origin'}; its owner allows that on the desk.")
    return found


def _preflight() -> Response:
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = "GET, POST"
    response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response


def visitor_of_token(context: Context, key: str, authorization: str | None) -> tuple[str, bool]:
    """Raises Refused."""
    scheme, _, token = (authorization or "").partition(" ")
    found = visitors.read(context.settings, key, token, context.now()) if scheme == "Bearer" else None
    if found is None:
        raise Refused(401, "wrong_token", "This token is not (or no longer) good here; ask for a new one.")
    return found


def _visitor(context: Context, key: str) -> tuple[str, str | None]:
    """And a new token, where it is time for one."""
    visitor, is_old = visitor_of_token(context, key, request.headers.get("Authorization"))
    return visitor, visitors.issue(context.settings, key, context.now(), visitor) if is_old else None


def _address() -> str:
    return request.remote_addr or "unknown"


def _slowly(wait_seconds: float) -> None:
    if wait_seconds:
        raise Refused(429, "too_many_requests", "That is too quick; wait a moment.", retry_after=wait_seconds)


def _not_here():
    raise Refused(404, "not_found", "This message is not here.")


# --- what a body holds --------------------------------------------------------------------------------------------------------------


def _object() -> dict:
    given = request.get_json(silent=True)
    if not isinstance(given, dict):
        raise Refused(422, "invalid", "The body is not a JSON object.")
    return given


def _message_id(given: dict) -> str:
    id_ = given.get("id")
    if not isinstance(id_, str) or not visitors.MESSAGE_ID.fullmatch(id_):
        raise Refused(422, "invalid", "Give an `id` of your own for the message: 8 to 64 letters, digits and dashes.", "id")
    return id_


def _text(given: dict, name: str, most: int, *, required: bool = False) -> str:
    text = given.get(name, "")
    text = text.strip() if isinstance(text, str) else ""
    if required and not text:
        raise Refused(422, "invalid", f"`{name}` is missing.", name)
    if len(text) > most:
        raise Refused(422, "too_long", f"`{name}` has {len(text):,} characters; {most:,} is the most.", name)
    return text


def _details(given: dict) -> dict[str, str]:
    name, email, phone = _text(given, "name", LONGEST_NAME), _text(given, "email", LONGEST_EMAIL), _text(given, "phone", LONGEST_PHONE)
    if not email and not phone:
        raise Refused(422, "invalid", "Give an e-mail address or a phone number.", "email")
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
        raise Refused(422, "invalid", "An e-mail address looks like name@example.com.", "email")
    if phone and (not re.fullmatch(r"[+\d\s()./-]+", phone) or sum(letter.isdigit() for letter in phone) < 6):
        raise Refused(422, "invalid", "A phone number is digits, with a country code.", "phone")
    return {part: value for part, value in (("name", " ".join(name.split())), ("email", email), ("phone", phone)) if value}


def _own_messages(context: Context, visitor: str, ids: list) -> list[str]:
    """Those that are messages of this visitor's conversation."""
    conversation_id = widgets.conversation(context.db, g.number.id, visitor)
    if conversation_id is None:
        return []
    return [id_ for id_ in ids if isinstance(id_, str) and widgets.place_of(context.db, conversation_id, id_) is not None]


def _whatsapp_url(context: Context, visitor: str) -> str:
    phone = widget_thread.whatsapp_number(context, g.widget)
    conversation_id = widgets.conversation(context.db, g.number.id, visitor)
    if phone is None:
        raise Refused(404, "no_whatsapp", "This web chat has no WhatsApp number.")
    if conversation_id is None:
        return widget_look.whatsapp_url(phone, g.widget, request.args.get("lang", ""), None)
    with transaction(context.db) as db:
        code = widgets.reference(db, conversation_id, visitors.new_reference(), context.now())
    return widget_look.whatsapp_url(phone, g.widget, request.args.get("lang", ""), code)


def _file(context: Context, key: str, public_id: str) -> Response:
    number = visitors.find(context, key)
    found = media_rows.by_public_id(context.db, public_id)
    if number is None or found is None or found.state != "ready" or not widgets.carries_file(context.db, number[0].id, public_id):
        abort(404, "This file is not here (any more).")
    try:
        response = send_file(
            media.path(context, found), found.mime_type, as_attachment=found.mime_type not in SHOWN, download_name=found.filename or "file"
        )
    except FileNotFoundError:
        abort(404, "This file is not here (any more).")
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cache-Control"] = "private, max-age=3600"
    return response
