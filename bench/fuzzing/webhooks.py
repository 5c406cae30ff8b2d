"""Webhooks: their parsers, the door that takes them, and the drain that makes them rows."""

import hashlib
import hmac
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from frontdesk.channels import AccountEvent, Event, MarketingPreference, MessageEdited, MessageRevoked, PersonChanged, Rejected, StatusChange
from frontdesk.channels import cloud_webhook, wati_webhook
from frontdesk.channels.widget import WidgetChannel
from frontdesk.flows import inbound, webhook_address
from frontdesk.queues import OwnLimits
from frontdesk.web.webhook import PATH, WATI_PATH, WebhookDoor
from fuzzing.base import Finding, Target
from fuzzing.place import Place, made_settings

PAYLOADS = Path(__file__).parents[2] / "tests/payloads"
WIDGET_BODY = {
    "key": "corner-bakery", "visitor": "web:abc",
    "events": [
        {"type": "message", "id": "web:abc:message-1", "text": "Hello FDABCDEFGH"}, {"type": "status", "id": "web.1.1", "status": "read"},
        {"type": "details", "id": "web:abc:message-2", "name": "Ana", "email": "ana@example.com", "phone": "+49 151 12345678"},
    ],
}  # fmt: skip


def bodies(pattern: str) -> Iterator[bytes]:
    for path in sorted(PAYLOADS.glob(pattern)):
        yield json.dumps(json.loads(path.read_text())).encode()


def surprising(reason: str) -> bool:
    """What the last guard had to catch. A body that is no JSON is no surprise."""
    return bool(re.search(r"(Error|Exception)\b", reason)) and "not JSON" not in reason


class Parser(Target):
    json = True

    def run(self, data: bytes) -> None:
        events = self.parse(data)
        for event in events:
            if isinstance(event, Rejected) and surprising(event.reason):
                raise Finding(f"a surprise to the parser: {re.sub(r'[0-9]+', '0', event.reason)}")
            json.dumps(event.raw, allow_nan=False)
        if len(events) < self.least(data):
            raise Finding("fewer events than the body has parts")

    def least(self, data: bytes) -> int:
        return 1


class Cloud(Parser):
    parse = staticmethod(cloud_webhook.parse)

    def seeds(self) -> Iterator[bytes]:
        return bodies("*.json")

    def least(self, data: bytes) -> int:
        try:
            body = json.loads(data)
            if body.get("object", "whatsapp_business_account") != "whatsapp_business_account":
                return 1
            changes = [change for entry in body["entry"] for change in entry["changes"] if change["field"] == "messages"]
            return max(1, sum(len(change["value"][key]) for change in changes for key in ("messages", "statuses") if isinstance(change["value"][key], list)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return 1


class Wati(Parser):
    parse = staticmethod(wati_webhook.parse)

    def seeds(self) -> Iterator[bytes]:
        return bodies("wati/*.json")


class Widget(Parser):
    parse = staticmethod(WidgetChannel().parse)

    def seeds(self) -> Iterator[bytes]:
        return iter([json.dumps(WIDGET_BODY).encode()])

    def least(self, data: bytes) -> int:
        return 0


class Drain(Target):
    """The first byte says by which way the body came. After the drain every event of it is a row."""

    json, prefix = True, 1

    def __init__(self):
        self.place = Place()
        kept = {"cloud": "cloud", f"wati/{self.place.wati_address}": "wati", "widget": "widget"}
        self.ways = list(kept)
        self.parsers = {way: self.place.context.channel(kind).parse for way, kind in kept.items()}

    def seeds(self) -> Iterator[bytes]:
        statuses = json.loads((PAYLOADS / "status_failed.json").read_text())
        for place in range(3):
            status = statuses["entry"][0]["changes"][0]["value"]["statuses"][0]
            status.update(id=f"wamid.ours{place}", biz_opaque_callback_data=f"sent2{place}.1")
            yield b"\0" + json.dumps(statuses).encode()
        yield from (b"\0" + body for body in bodies("*.json"))
        yield from (b"\1" + body for body in bodies("wati/*.json"))
        yield b"\2" + json.dumps(WIDGET_BODY).encode()

    def run(self, data: bytes) -> None:
        self.place.anew()
        context, way, body = self.place.context, self.ways[(data or b"\0")[0] % len(self.ways)], data[1:]
        context.inbox.put(way, body, context.now())
        origin = context.inbox.read()[0].id
        inbound.drain(context)
        if context.inbox.length():
            raise Finding("the inbox is not empty after a drain")
        rejected = {row["event_key"]: row["reason"] for row in context.db.execute("SELECT event_key, reason FROM rejected_events WHERE event_key LIKE ?", (f"{origin}:%",))}
        for reason in rejected.values():
            if surprising(reason):
                raise Finding(f"a surprise to the drain: {re.sub(r'[0-9]+', '0', reason)}")
        for index, event in enumerate(self.parsers[way](body)):
            if f"{origin}:{index}" not in rejected and not self.is_stored(event, origin):
                raise Finding(f"lost: {type(event).__name__}")

    def is_stored(self, event: Event, origin: str) -> bool:
        db = self.place.context.db
        if isinstance(event, AccountEvent):
            return bool(db.execute("SELECT 1 FROM account_events WHERE event_key LIKE ?", (f"{origin}:%",)).fetchone())
        if isinstance(event, (MarketingPreference, Rejected)):
            return isinstance(event, MarketingPreference)
        if isinstance(event, PersonChanged):
            return event.external_id is None or self.has("messages", event.external_id)
        if isinstance(event, (MessageEdited, MessageRevoked)):
            return self.has("messages", event.external_id) or self.has("messages", event.original_external_id)
        if isinstance(event, StatusChange):
            known = (event.callback_data or "").partition(".")[0]
            ours = db.execute("SELECT 1 FROM messages WHERE public_id = ?", (known,)).fetchone()
            return bool(ours) or any(self.has(table, id_) for id_ in (event.external_id, *event.other_ids) for table in ("messages", "unmatched_statuses"))
        return self.has("messages", event.external_id)

    def has(self, table: str, external_id: str) -> bool:
        return bool(self.place.context.db.execute(f"SELECT 1 FROM {table} WHERE external_id = ?", (external_id,)).fetchone())


class Door(Target):
    """Four bytes of choices, then a line that becomes a header or a part of the path, then the body: a request as a server hands it over."""

    PREFIX = 4
    STATUSES = {"200", "400", "401", "403", "404", "405", "413", "429", "503"}

    def __init__(self):
        self.kept: list[tuple[str, bytes]] = []
        settings = made_settings()
        self.secret, self.key = b"an app secret", webhook_address.key(settings)
        self.passkey = self.proof("7.4f2a")
        self.door = WebhookDoor(self.rest, [self.secret.decode()], self.key, self, self, self, threads=8, trusted_proxies=1)

    def proof(self, whose: str) -> str:
        return f"{whose}.{hmac.new(self.key, whose.encode(), hashlib.sha256).hexdigest()}"

    # --- what the door needs: an application behind it, an inbox, queues and a counter --------------------------------------------------

    def rest(self, environ: dict, start_response) -> list[bytes]:
        start_response("404 Not Found", [])
        return []

    def put(self, channel: str, body: bytes, now: float) -> bool:
        self.kept.append((channel, body))
        return True

    def drain(self) -> None:
        """The bell."""

    def count(self, *_) -> None:
        """Of acknowledgements."""

    # --- requests -------------------------------------------------------------------------------------------------------------------

    def seeds(self) -> Iterator[bytes]:
        body = next(bodies("text.json"))
        wati = {**json.loads(next(bodies("wati/text*.json"))), "passkey": self.passkey}
        for path in range(5):
            for signed in range(4):
                for length in range(3):
                    yield bytes((path, signed, length, 0)) + b"sha256=00\n" + (json.dumps(wati).encode() if path == 1 else body)

    def run(self, data: bytes) -> None:
        choices, (line, _, body) = data[: self.PREFIX].ljust(self.PREFIX, b"\0"), data[self.PREFIX :].partition(b"\n")
        words = line[:300].decode("latin-1")
        environ = self.environ(choices, words, body)
        self.kept.clear()
        self.door.strangers = OwnLimits()
        said: list[str] = []
        answer = b"".join(self.door(environ, lambda status, headers: said.append(status)))
        if len(said) != 1 or said[0][:3] not in self.STATUSES:
            raise Finding(f"answered {said}")
        if bool(self.kept) != said[0].startswith("200"):
            raise Finding(f"answered {said[0]} and kept {len(self.kept)}")
        if not said[0].startswith(("200", "404")):
            json.loads(answer)["error"]["code"]
        for channel, kept in self.kept:
            self.check(channel, kept, environ, body)

    def check(self, channel: str, kept: bytes, environ: dict, body: bytes) -> None:
        """Nothing is kept but what a secret of ours vouches for."""
        if channel == "cloud":
            made = "sha256=" + hmac.new(self.secret, kept, hashlib.sha256).hexdigest()
            if environ["HTTP_X_HUB_SIGNATURE_256"] != made:
                raise Finding("kept without a signature")
            return
        whose = channel.partition("/")[2]
        if self.proof(whose) not in (environ["PATH_INFO"].rpartition("/")[2], self.passkey):
            raise Finding("kept without an address")
        if not wati_webhook.parse(kept) and body:
            raise Finding("kept without an event")

    def environ(self, choices: bytes, words: str, body: bytes) -> dict:
        paths = (PATH, WATI_PATH, f"{WATI_PATH}/{self.passkey}", f"{WATI_PATH}/{words}", f"/{words}")
        signature = "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        lengths = (str(len(body)), str(len(body) + 1), words, str(max(0, len(body) - 1)), None, "99999999", "-1")
        environ = {
            "REQUEST_METHOD": ("POST", "POST", "POST", "GET", "PUT", words[:20])[choices[3] % 6], "PATH_INFO": paths[choices[0] % len(paths)],
            "wsgi.input": io.BytesIO(body), "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": ("192.0.2.1", "2001:db8::1", "", words)[choices[3] // 64],
        }  # fmt: skip
        signed = (signature, signature, words, signature.upper(), f"{words}={signature}", None)[choices[1] % 6]
        length = lengths[choices[2] % len(lengths)]
        environ |= {"HTTP_X_HUB_SIGNATURE_256": signed} if signed is not None else {}
        environ |= {"CONTENT_LENGTH": length} if length is not None else {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        environ |= {"HTTP_X_FORWARDED_FOR": words} if choices[3] % 2 else {}
        return environ


TARGETS = {"cloud": Cloud, "wati": Wati, "widget": Widget, "drain": Drain, "door": Door}
