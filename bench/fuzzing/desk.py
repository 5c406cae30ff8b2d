"""What strangers and programs ask over HTTP: the web chat's endpoints and every operation of the API, through the whole application."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from chatbot import create_app
from frontdesk import strict_json
from frontdesk.flows import audience, inbound, visitors
from frontdesk.store import api_tokens, database
from frontdesk.web.api.openapi import description
from frontdesk.web.api.operation import Operation
from frontdesk.web.api.operations import OPERATIONS
from fuzzing.base import Finding, Target
from fuzzing.place import CUSTOMER, SHOP, WIDGET_KEY, Place

ELSEWHERE = {404, 405, 308}  # what an id with a slash in it makes of an address
WEIRD = ("1", "2", "0", "-1", "9" * 30, "²", "%00", "..%2f", "%ff", "sent20")


class Web(Target):
    json = True

    def __init__(self):
        self.place = Place()
        self.app = create_app(self.place.settings)
        self.app.extensions["frontdesk"].now = self.place.context.now
        self.browser = self.app.test_client()
        self.prepare()
        self.place.keep()

    def prepare(self) -> None:
        """Rows that requests can speak of."""

    def ask(self, method: str, path: str, documented: set[int], **options: Any):
        try:
            answer = self.browser.open(path, method=method, **options)
        except (UnicodeError, ValueError) as error:
            if "/frontdesk/" in str(error.__traceback__.tb_frame):
                raise
            return None  # werkzeug's test client cannot send this
        if answer.status_code not in documented:
            raise Finding(f"{method} {re.sub(r'[0-9a-f]{6,}|[0-9]+', '0', path)[:60]} answered {answer.status_code}")
        if answer.mimetype == "application/json":
            strict_json.loads(answer.data)
        return answer


class Visitors(Web):
    """Two bytes of choices (what is asked, with which token and origin), then the body."""

    prefix = 2
    ASKED = (
        ("POST", "messages"), ("POST", "details"), ("POST", "seen"), ("POST", "typing"), ("POST", "whatsapp"), ("POST", "visitors"),
        ("GET", "messages"), ("GET", "look"), ("GET", "files"), ("OPTIONS", "messages"),
    )  # fmt: skip
    DOCUMENTED = {200, 201, 202, 204, 400, 401, 403, 404, 405, 413, 415, 422, 429}

    def prepare(self) -> None:
        self.token = visitors.issue(self.place.settings, WIDGET_KEY, self.place.context.now(), "web:abc")

    def seeds(self) -> Iterator[bytes]:
        bodies = (
            {"id": "message-1", "text": "Hello FDABCDEFGH"}, {"id": "message-2", "name": "Ana", "email": "ana@example.com", "phone": "+49 151 12345678"},
            {"status": "read", "ids": ["web.sent40.1", "wamid.ours0"]}, {}, {}, {}, {"before": "wamid.ours0", "known": "x"}, {"lang": "de"}, {"until": "1", "signature": "x"}, {},
        )  # fmt: skip
        for place, body in enumerate(bodies):
            yield bytes((place, 0)) + json.dumps(body).encode()

    def run(self, data: bytes) -> None:
        self.place.anew()
        asked, how = data[:2].ljust(2, b"\0")
        method, path = self.ASKED[asked % len(self.ASKED)]
        token = (self.token, self.token, self.token, data[2:40].decode("latin-1"), "", self.token[:-1])[how % 6]
        origin = (SHOP, SHOP, None, "null", data[2:20].decode("latin-1"))[how // 6 % 5]
        headers = {"Content-Type": ("application/json", "text/plain")[how // 64 % 2]}
        headers |= {"Authorization": one_line(f"Bearer {token}")} if token else {}
        headers |= {"Origin": one_line(origin)} if origin else {}
        options = {"data": data[2:]} if method == "POST" else {"query_string": query_of(data[2:])}
        answer = self.ask(method, f"/widget/{WIDGET_KEY}/{path}{'/f1' if path == 'files' else ''}", self.DOCUMENTED, headers=headers, **options)
        if answer is not None and answer.status_code == 202 and path in ("messages", "details"):
            self.check_kept(answer.json["id"])

    def check_kept(self, message_id: str) -> None:
        inbound.drain(self.place.context)
        kept = "SELECT 1 FROM messages WHERE external_id = ?"
        if not self.place.context.db.execute(kept, (visitors.external_id("web:abc", message_id),)).fetchone():
            raise Finding("accepted and lost")


class Api(Web):
    """Three bytes of choices (which operation, which ids in its path, JSON or a form), then the body or, as an object, the query."""

    prefix = 3

    def prepare(self) -> None:
        with database.transaction(self.place.context.db) as db:
            self.token = api_tokens.add(db, "fuzz", None, api_tokens.SCOPES, None, self.place.context.now())
        self.documented = {
            one.name: {int(status) for status in description()["paths"]["/api/v1" + re.sub(r"<(?:int:)?(\w+)>", r"{\1}", one.path)][one.method.lower()]["responses"]} - {503}
            for one in OPERATIONS
        }  # fmt: skip
        self.bodies = bodies()
        self.known = ["sent20"]
        for name in ("makeSchedule", "addAudience", "makeBatch", "makeBroadcast", "makeSummary"):
            operation = next(one for one in OPERATIONS if one.name == name)
            answer = self.browser.open(f"/api/v1{operation.path}", method="POST", json=self.bodies[name], headers=self.headers())
            if answer.status_code >= 300:
                raise SystemExit(f"{name}: {answer.text}")
            self.known += [value for key, value in answer.json.items() if key.endswith("_id") and isinstance(value, str)]
            if name == "addAudience":
                audience.read(self.place.context, 1)
        self.ids = (*WEIRD, *self.known)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def seeds(self) -> Iterator[bytes]:
        for place, one in enumerate(OPERATIONS):
            yield bytes((place, 0, 0)) + json.dumps(self.bodies.get(one.name, {})).encode()
            yield bytes((place, len(WEIRD), 0)) + json.dumps(self.bodies.get(one.name, {})).encode()
            if one.takes_files:
                yield bytes((place, 0, 1)) + json.dumps(self.bodies.get(one.name, {}) | {"file": "text\nOne.\nTwo.\n", "filename": "a.csv"}).encode()

    def run(self, data: bytes) -> None:
        self.place.anew()
        which, ids, how = data[:3].ljust(3, b"\0")
        one = OPERATIONS[which % len(OPERATIONS)]
        path = re.sub(r"<(?:int:)?\w+>", self.ids[ids % len(self.ids)], one.path)
        headers = self.headers() | ({"Idempotency-Key": "k"} if how & 2 else {})
        self.ask(one.method, f"/api/v1{path}", self.documented[one.name] | ELSEWHERE, headers=headers, **self.sent(one, data[3:], form=how & 1))

    def sent(self, one: Operation, body: bytes, form: int) -> dict[str, Any]:
        if one.method == "GET":
            return {"query_string": query_of(body)}
        if not (form and one.takes_files):
            return {"data": body, "content_type": "application/json"}
        given = object_of(body)
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items() if name not in ("file", "filename")}
        file = str(given.get("file", "")).encode("utf-8", "replace")
        return {"data": fields | {"file": (io.BytesIO(file), one_line(str(given.get("filename", "a.csv"))))}, "content_type": "multipart/form-data"}


def one_line(text: str) -> str:
    """A header's value as a server lets it through."""
    return text.encode("latin-1", "replace").decode("latin-1").replace("\r", " ").replace("\n", " ").replace("\0", " ")


def object_of(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return {str(name).encode("utf-8", "replace").decode(): value for name, value in given.items()} if isinstance(given, dict) else {}


def query_of(body: bytes) -> dict[str, str]:
    return {name: str(value)[:3000].encode("utf-8", "replace").decode() for name, value in object_of(body).items()}


def bodies() -> dict[str, dict[str, Any]]:
    """For each operation that takes one a body that it accepts."""
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    button = {"type": "buttons", "body": "When?", "buttons": [{"id": "a", "title": "Today"}]}
    template = {"type": "template", "name": "order_ready", "language": "en", "variables": {"1": "Ana", "2": "4711"}}
    return {
        "sendMessage": {"conversation_id": 1, "message": "Hello", "reply_to": "wamid.1"},
        "sendInConversation": {"content": template, "message_type": "template"},
        "makeSchedule": {"conversation_id": 1, "message": "Hello", "rule": "every weekday 09:00", "time_zone": "Europe/Berlin", "name": "Daily", "late_limit_seconds": 60},
        "changeSchedule": {"message": button, "at": 1_800_000_000, "name": "Other", "rule": None},
        "addAudience": {"name": "All", "text": "phone,name\n+49 151 12345678,Ana\n", "region": "DE", "client_id": 1},
        "makeBroadcast": {
            "name": "Sale", "number_id": 2, "audience_id": 1, "template": "order_ready", "language": "en", "variables": {"1": {"column": "name"}, "2": {"text": "x"}},
            "quiet_from": "21:00", "quiet_until": "09:00", "messages_per_second": 5.0, "spread_seconds": 60.0, "error_limit": 0.2, "callback_url": "https://1.1.1.1/x",
        },
        "changeBroadcast": {"name": "Sale", "number_id": 2, "audience_id": 1, "template": "order_ready", "language": "en", "variables": {"1": {"text": "x"}, "2": {"text": "y"}}},
        "startBroadcast": {"at": 1_800_000_000},
        "addMedia": {"url": "https://1.1.1.1/picture.png", "client_id": 1},
        "addTag": {"tag": "vip"},
        "previewTemplate": {"variables": {"1": "Ana"}},
        "summarise": {"text": "A long text. " * 20, "bullets": 3, "callback_url": "https://1.1.1.1/x"},
        "classify": {"text": "An invoice.", "categories": ["invoice", "letter"]},
        "makeSummary": {"text": "A long text. " * 20, "bullets": 3, "model": "llama3.2:3b"},
        "makeClassification": {"text": "An invoice.", "categories": ["invoice", "letter"], "model": "llama3.2:3b"},
        "makeExtraction": {"text": "Total: 12", "schema": schema, "model": "llama3.2:3b"},
        "makeBatch": {"kind": "extraction", "items": [{"text": "Total: 12", "name": "one"}], "schema": schema, "model": "llama3.2:3b"},
        "listConversations": {"limit": 2, "cursor": 0}, "listMessages": {"limit": 2}, "getTask": {"wait": 0}, "listRecipients": {"state": "sent", "phone_number": "49151"},
        "getBatchResults": {"format": "csv", "category": "invoice", "cursor": 0}, "listLeftOut": {"cause": "bad"}, "listContacts": {"limit": 1, "phone_number": CUSTOMER},
    }  # fmt: skip


TARGETS = {"visitors": Visitors, "api": Api}
