"""WhatsApp through WATI: the `Channel` that reads its webhooks and sends session messages through its API (docs.wati.io).

WATI takes a text where the answer's `result` says so, whatever the HTTP status. There is no idempotency key, but the sender may
name a `localMessageId`, which comes back in the events `…_v2` and in failures: that is our callback data, and the proof of a call
whose answer was lost. A file goes with its message, in one call. Templates are refused: WATI's are not read here.
"""

import json
import os
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from frontdesk.channels import MEDIA_KINDS, Accepted, Content, Event, Media, MediaAddress, Person, ProviderError, Sender
from frontdesk.channels.cloud_errors import LONGEST_WORDS, TABLE, error_for, error_for_status
from frontdesk.channels.cloud_people import named, readable
from frontdesk.channels.multipart import FileForm
from frontdesk.channels.wati_webhook import id_of, parse
from frontdesk.channels.wire import Answer, NoAnswer, NotSent, Wire, is_at
from frontdesk.errors import NumberStopped, Permanent, SendError, Temporary, Throttled, Unknown, WindowClosed

LONGEST_TEXT = 4096  # characters of messageText, by WATI's reference
# The text goes in the address, and servers of WATI's kind read request lines of 8 kB.
LONGEST_ADDRESS = 7_500
LONGEST_RETRY_AFTER = 3600.0
# WATI has no codes of its own. These stand on the message's row: a code there says that the provider answered.
WINDOW_CLOSED = 131047  # Meta's, for the same
REFUSED = 400
LOST_FILE = 131053  # Meta's "media upload failed": the next attempt names the file anew
_TOKEN = re.compile(r"[!-~]+")
_TAKEN = (True, "success", "true", "ok")
_META_CODE = re.compile(r"(?<!\d)(\d{6})(?!\d)")
_WINDOW = re.compile(r"ticket (has been |is )?expired|not an active ticket|24 ?h|session (has )?expired", re.IGNORECASE)
_LIMIT = re.compile(r"too many requests|rate limit", re.IGNORECASE)


class WatiChannel:
    """One instance serves a process; safe to use from many threads and across forks (see wire.Wire)."""

    always_tells = False  # only the events that somebody subscribed to
    carries = ("text", *(kind for kind in MEDIA_KINDS if kind != "sticker"))
    sticker_pixels = None

    def __init__(self, timeout_seconds: float = 20.0):
        self._wire, self._timeout_seconds = Wire(timeout_seconds), timeout_seconds

    def parse(self, body: bytes) -> list[Event]:
        return parse(body)

    def refusal(self, content: Content) -> str | None:
        if content.kind not in self.carries:
            return f"A number at WATI sends texts and files: no {content.kind} can go through it. Send it in WATI, or through a number at Meta."
        if content.kind != "text":
            return None
        if not content.text.strip():
            return "WATI takes no empty text."
        if not self.fits(content.text):
            return f"WATI takes a text of at most {LONGEST_TEXT} characters, fewer where each needs several bytes."
        return None

    def fits(self, text: str) -> bool:
        return len(text.encode("utf-16-le", "replace")) // 2 <= LONGEST_TEXT and len(quote(_utf8(text))) <= LONGEST_ADDRESS - 500

    def send(
        self,
        sender: Sender,
        to: Person,
        content: Content,
        *,
        callback_data: str,
        reply_to_external_id: str | None = None,
        file_id: str | None = None,
    ) -> Accepted:
        if not named(to):
            raise Permanent("the recipient has neither a phone number nor a user id")
        if refusal := self.refusal(content):
            raise Permanent(refusal, code=REFUSED)
        asked = {"localMessageId": callback_data}
        if reply_to_external_id:
            asked["replyContextId"] = reply_to_external_id
        _, _, channel_phone = sender.number_external_id.partition("/")
        if channel_phone:
            asked["channelPhoneNumber"] = channel_phone
        target = quote(to.phone or to.user_id, safe="")
        if content.kind == "text":
            edge = f"sendSessionMessage/{target}?{_query(messageText=content.text, **asked)}"
            data = self._made(sender, edge, lambda url: self._wire.post(url, b"", sender.access_token), content.text)
        else:
            edge = f"sendSessionFile/{target}?{_query(caption=caption(content), **asked)}"
            data = self._made(sender, edge, lambda url: self._with_file(url, sender, content, file_id or ""), content.text)
        return _accepted(data, callback_data)

    def upload_media(self, sender: Sender, path: str | os.PathLike, mime_type: str, filename: str) -> str:
        """WATI takes a file with its message, so what stands for an upload is where the file lies here."""
        os.stat(path)
        return json.dumps([os.fspath(path), mime_type, filename or "file"])

    def media_address(self, sender: Sender, media: Media) -> MediaAddress:
        """The webhook itself says where WATI keeps a file. Only the configured server is shown the token."""
        place = media.url or ""
        if not place:
            raise Permanent("WATI gave no address of this file")
        if "://" not in place:
            place = f"{sender.base_url.rstrip('/')}/api/v1/getMedia?{urlencode({'fileName': _utf8(place)}, quote_via=quote)}"
        trusted = is_at(place, sender.base_url)
        if not trusted and not place.startswith("https://"):
            raise Permanent("WATI named an address that is not its own")
        return MediaAddress(place, {"Authorization": f"Bearer {sender.access_token}"} if trusted else {}, media.mime_type or "", trusted)

    def show_typing(self, sender: Sender, inbound_external_id: str) -> None:
        """WATI's API has neither a read mark nor 'typing…'."""

    def error_from_status(self, errors: tuple[ProviderError, ...]) -> SendError:
        if errors and errors[0].code not in TABLE and _WINDOW.search(f"{errors[0].title} {errors[0].details}"):
            return WindowClosed(errors[0].title, code=WINDOW_CLOSED)
        return error_for_status(errors)

    def _with_file(self, url: str, sender: Sender, content: Content, file_id: str) -> Answer:
        """The file must be handed over within the time-out of a call: its message is claimed for no longer."""
        try:
            path, mime_type, filename = json.loads(file_id)
            file = open(path, "rb")
        except (ValueError, TypeError, OSError):
            raise Temporary("the file of this message is not where it was", code=LOST_FILE) from None
        with file:
            form = _Timely({}, "file", (content.body or {}).get("filename") or filename, mime_type, file)
            form.deadline = time.monotonic() + self._timeout_seconds
            try:
                return self._wire.upload(url, form, sender.access_token, self._timeout_seconds)
            except NoAnswer as error:
                if form.is_handed_over:
                    raise
                raise Temporary(f"the file could not be handed over to WATI: {error}") from None

    def _made(self, sender: Sender, edge: str, call: Callable[[str], Answer], hide: str) -> dict[str, Any]:
        if not _TOKEN.fullmatch(sender.access_token):
            raise NumberStopped("the access token is empty or holds characters that no token has")
        try:
            answer = call(f"{sender.base_url.rstrip('/')}/api/v1/{edge}")
        except NotSent as error:
            raise Temporary(f"WATI could not be reached: {error}") from None
        except NoAnswer as error:
            raise Unknown(f"no answer from WATI: {error}") from None
        return _judged(answer, (sender.access_token, hide))


class _Timely(FileForm):
    """A form that breaks off at `deadline` (monotonic). Half a form is no message, so breaking off harms nobody."""

    deadline = float("inf")
    is_handed_over = False

    def read(self, size: int = -1) -> bytes:
        if time.monotonic() > self.deadline:
            raise TimeoutError("the file takes too long")
        data = super().read(size)
        self.is_handed_over = not data
        return data


def caption(content: Content) -> str:
    """Without one WATI shows a document under the name "null"."""
    body = content.body or {}
    return body.get("caption") or (body.get("filename") or "" if content.kind == "document" else "")


def _query(**asked: str) -> str:
    return urlencode({key: _utf8(value) for key, value in asked.items() if value}, quote_via=quote)


def _utf8(text: str) -> str:
    """Half a surrogate pair, which a model can produce, is no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _judged(answer: Answer, secrets: tuple[str, ...]) -> dict[str, Any]:
    """The object of a success, or the error that the answer stands for.

    401, 403, 404 and 405 are the token, its scopes, the account or the address: a person mends them, and messages wait. After a 5xx
    WATI may have taken the message (its own advice: find out before sending again).
    """
    data = _object(answer)
    words = _blotted(_words(data), secrets)
    if answer.status in (401, 402, 403, 404, 405):
        raise NumberStopped(f"WATI refuses this number (HTTP {answer.status}): {words or _MENDS[answer.status]}", code=answer.status)
    if answer.status == 429:
        raise Throttled(words or "WATI's rate limit", scope="number", delay_seconds=_retry_after(answer), code=429)
    if answer.status >= 500:
        raise Unknown(f"HTTP {answer.status} from WATI")
    if 200 <= answer.status < 300:
        if data.get("result") in _TAKEN and isinstance(data["result"], (bool, str)):
            return data
        if not data or ("result" not in data and data.get("ok") is not False):
            raise Unknown("WATI answered without saying whether it took the message")
    elif not 400 <= answer.status < 500:
        raise Temporary(f"HTTP {answer.status} from WATI")
    raise _refusal(words or f"refused by WATI (HTTP {answer.status})")


_MENDS = {
    401: "the token is not valid",
    402: "the plan does not allow it",
    403: "the token or the plan does not allow it",
    404: "no such account at this address",
    405: "not WATI's address",
}


def _refusal(words: str) -> SendError:
    """WATI's own errors are words; Meta's, where it passes them on, have their code in them."""
    code = next((int(found) for found in _META_CODE.findall(words) if int(found) in TABLE), None)
    if code is not None:
        return error_for(ProviderError(code, words))
    if _WINDOW.search(words):
        return WindowClosed(words, code=WINDOW_CLOSED)
    if _LIMIT.search(words):
        return Throttled(words, scope="number", code=429)
    return Permanent(words, code=REFUSED)


def _words(data: dict[str, Any]) -> str:
    """What WATI says of a refusal. Its field differs by endpoint and version."""
    said = [data.get(key) for key in ("info", "message", "error", "errors", "ticketStatus", "result")]
    texts = [readable(part if isinstance(part, str) else json.dumps(part)) for part in said if part and part is not True]
    return "; ".join(dict.fromkeys(texts))[:LONGEST_WORDS]


def _blotted(words: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if len(secret.strip()) >= 4:  # shorter ones are parts of ordinary words
            words = words.replace(secret, "…").replace(json.dumps(secret)[1:-1], "…")
    return words


def _object(answer: Answer) -> dict[str, Any]:
    try:
        data = json.loads(answer.body) if answer.whole else None
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _retry_after(answer: Answer) -> float | None:
    seconds = str(answer.headers.get("Retry-After", ""))
    return min(float(seconds), LONGEST_RETRY_AFTER) if seconds.isascii() and seconds.isdigit() else None


def _accepted(data: dict[str, Any], callback_data: str) -> Accepted:
    """`result` is the promise; the ids are WhatsApp's where WATI has one already, else WATI's, else our own."""
    message = data.get("message") if isinstance(data.get("message"), dict) else {}
    external_id = id_of(message.get("whatsappMessageId")) or id_of(message.get("id")) or callback_data
    return Accepted(external_id)
