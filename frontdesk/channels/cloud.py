"""WhatsApp through Meta's Cloud API: the `Channel` that reads its webhooks and sends through its Graph API.

What Meta answers becomes `Accepted` or one of the `SendError`s; the codes are cloud_errors' table, the bodies of webhooks are
cloud_webhook's. Meta has no idempotency key, so a call whose fate is not certain is `Unknown` and never made again here.
"""

import json
import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from frontdesk.channels import CONTENT_KINDS, MEDIA_KINDS, Accepted, Content, Event, Media, MediaAddress, Person, ProviderError, Sender
from frontdesk.channels.cloud_errors import NO_SUCH_NUMBER, error_for, error_for_status, provider_error
from frontdesk.channels.cloud_people import named, person
from frontdesk.channels.cloud_webhook import parse
from frontdesk.channels.multipart import FileForm
from frontdesk.channels.wire import Answer, NoAnswer, NotSent, Wire, is_at
from frontdesk.errors import NumberStopped, Permanent, SendError, Temporary, Throttled, Unknown

LONGEST_RETRY_AFTER = 3600.0
UPLOAD_SECONDS = 60.0  # Meta looks through a file before it answers
# Where the Graph API says that files are, lookaside.fbsbx.com as of 2026: nobody else is shown the token.
MEDIA_HOSTS = ("facebook.com", "fbsbx.com", "fbcdn.net", "whatsapp.com", "whatsapp.net")
_LINK = re.compile(r"https?://\S")
_TOKEN = re.compile(r"[!-~]+")


class CloudChannel:
    """One instance serves a process; safe to use from many threads and across forks (see wire.Wire)."""

    always_tells = True
    carries = CONTENT_KINDS
    sticker_pixels = 512  # Meta's sticker object: "needs to be 512x512 pixels"

    def __init__(self, timeout_seconds: float = 20.0):
        self._wire, self._timeout_seconds = Wire(timeout_seconds), timeout_seconds

    def parse(self, body: bytes) -> list[Event]:
        return parse(body)

    def refusal(self, content: Content) -> str | None:
        """flows/contents.py has checked every kind by Meta's own limits."""
        return None

    def fits(self, text: str) -> bool:
        return True

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
        """A phone number is used where there is one: Meta prefers `to` as well."""
        payload = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **_address(to),
            "type": content.kind,
            content.kind: _object_of(content, file_id),
            "biz_opaque_callback_data": callback_data,
        }
        if reply_to_external_id is not None and content.kind != "reaction":
            payload["context"] = {"message_id": reply_to_external_id}
        return _accepted(self._call(sender, payload, hide=content.text))

    def show_typing(self, sender: Sender, inbound_external_id: str) -> None:
        payload = {
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": inbound_external_id,
            "typing_indicator": {"type": "text"},
        }
        if self._call(sender, payload).get("success") is not True:
            raise Unknown("WhatsApp answered the read mark without saying that it took it")

    def upload_media(self, sender: Sender, path: str | os.PathLike, mime_type: str, filename: str) -> str:
        """Doing it twice does no harm, so that no answer came is Temporary here, and never Unknown."""
        with open(path, "rb") as file:
            fields = {"messaging_product": "whatsapp", "type": mime_type}
            form = FileForm(fields, "file", filename or "file", mime_type, file)
            timeout_seconds = max(self._timeout_seconds, UPLOAD_SECONDS)
            try:
                data = self._made(sender, _edge(sender, "media"), lambda url: self._wire.upload(url, form, sender.access_token, timeout_seconds), filename)
            except Unknown as error:
                raise Temporary(error.title) from None
        external_id = data.get("id")
        if not isinstance(external_id, str) or not external_id:
            raise Temporary("WhatsApp answered the upload without an id")
        return external_id

    def media_address(self, sender: Sender, media: Media) -> MediaAddress:
        """Good for five minutes. The id of a webhook's file lasts seven days."""
        if not media.media_id:
            raise Permanent("WhatsApp gave no id of this file")
        try:
            data = self._made(sender, quote(media.media_id, safe=""), lambda url: self._wire.get(url, sender.access_token), "")
        except Unknown as error:
            raise Temporary(error.title) from None
        except NumberStopped as error:
            if error.code == NO_SUCH_NUMBER:  # here it is the file that does not exist (any more)
                raise Permanent(error.title, code=100) from None
            raise
        url, mime_type = data.get("url"), data.get("mime_type")
        if not isinstance(url, str) or not url:
            raise Temporary("WhatsApp answered without the file's address")
        trusted = is_at(url, sender.base_url)
        if not trusted and not _is_at_meta(url):
            raise Permanent("WhatsApp named an address that is not its own")
        headers = {"Authorization": f"Bearer {sender.access_token}"}
        return MediaAddress(url, headers, mime_type if isinstance(mime_type, str) else "", trusted)

    def error_from_status(self, errors: tuple[ProviderError, ...]) -> SendError:
        return error_for_status(errors)

    def _call(self, sender: Sender, payload: dict[str, Any], *, hide: str = "") -> dict[str, Any]:
        """The JSON object Meta answered with success ({} where it was none). Raises SendError.

        `hide`: the customer's words, blotted out wherever Meta quotes them in an error.
        """
        # "replace": half a surrogate pair, which a model can produce, is no UTF-8
        body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
        return self._made(sender, _edge(sender, "messages"), lambda url: self._wire.post(url, body, sender.access_token), hide)

    def _made(self, sender: Sender, path: str, call: Callable[[str], Answer], hide: str) -> dict[str, Any]:
        if not _TOKEN.fullmatch(sender.access_token):
            raise NumberStopped("the access token is empty or holds characters that no token has")
        url = f"{sender.base_url.rstrip('/')}/{sender.version}/{path}"
        try:
            answer = call(url)
        except NotSent as error:
            raise Temporary(f"WhatsApp could not be reached: {error}") from None
        except NoAnswer as error:
            raise Unknown(f"no answer from WhatsApp: {error}") from None
        return _judged(answer, (sender.access_token, hide))


def _edge(sender: Sender, name: str) -> str:
    return f"{quote(sender.number_external_id, safe='')}/{name}"


def _is_at_meta(url: str) -> bool:
    try:
        parts = parse_url(url)
    except LocationParseError:
        return False
    if parts.scheme != "https" or parts.auth is not None or parts.port not in (None, 443) or not parts.host:
        return False
    return any(parts.host == host or parts.host.endswith(f".{host}") for host in MEDIA_HOSTS)


def _address(to: Person) -> dict[str, str]:
    if not named(to):
        raise Permanent("the recipient has neither a phone number nor a user id")
    return {"to": to.phone} if to.phone else {"recipient": to.user_id}


def _object_of(content: Content, file_id: str | None) -> Any:
    """A link in a text gets its preview, as it does when a person sends one; without a link the switch means nothing, and stays off."""
    if content.body is None:
        return {"body": content.text, "preview_url": bool(_LINK.search(content.text))}
    if content.kind in MEDIA_KINDS:
        return {**content.body, "id": file_id}
    return _with_header_file(content.body, file_id) if file_id else content.body


def _with_header_file(body: dict[str, Any], file_id: str) -> dict[str, Any]:
    """Templates and buttons carry their file in the header, which names its kind."""
    if "components" in body:
        return {**body, "components": [_component_with_file(component, file_id) for component in body["components"]]}
    header = body["header"]
    return {**body, "header": {**header, header["type"]: {**header.get(header["type"], {}), "id": file_id}}}


def _component_with_file(component: dict[str, Any], file_id: str) -> dict[str, Any]:
    if component["type"] != "header":
        return component
    [parameter] = component["parameters"]
    kind = parameter["type"]
    return {**component, "parameters": [{**parameter, kind: {**parameter.get(kind, {}), "id": file_id}}]}


def _judged(answer: Answer, secrets: tuple[str, ...]) -> dict[str, Any]:
    """The object of a success, or the error that the answer stands for.

    An error of Meta's own is judged by its code, whatever the HTTP status. Without one, an answer of 5xx comes from something
    between us and Meta that had taken the whole request and may have passed it on (502, 504: it had, and lost the answer):
    Unknown. One of 3xx or 4xx says that it did not pass it on: Temporary. Redirects are not followed, for they would carry
    the token elsewhere.
    """
    data = _object(answer)
    error = provider_error(data.get("error"))
    if error.code is not None:
        raise error_for(_scrubbed(error, secrets), is_transient=data["error"].get("is_transient") is True)
    if 200 <= answer.status < 300:
        return data
    if answer.status >= 500:
        raise Unknown(f"HTTP {answer.status} without an error of WhatsApp's")
    if answer.status == 429:
        raise Throttled("HTTP 429 without an error of WhatsApp's", scope="number", delay_seconds=_retry_after(answer))
    raise Temporary(f"HTTP {answer.status} without an error of WhatsApp's")


def _object(answer: Answer) -> dict[str, Any]:
    try:
        data = json.loads(answer.body) if answer.whole else None
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _scrubbed(error: ProviderError, secrets: tuple[str, ...]) -> ProviderError:
    return ProviderError(error.code, _blotted(error.title, secrets), _blotted(error.details, secrets))


def _blotted(words: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if len(secret.strip()) >= 4:  # shorter ones are parts of ordinary words
            words = words.replace(secret, "…")
    return words


def _retry_after(answer: Answer) -> float | None:
    seconds = str(answer.headers.get("Retry-After", ""))
    return min(float(seconds), LONGEST_RETRY_AFTER) if seconds.isascii() and seconds.isdigit() else None


def _accepted(data: dict[str, Any]) -> Accepted:
    """Meta's promise is the id: a success without one proves nothing, so it counts as no answer."""
    external_id = _first(data, "messages").get("id")
    if not isinstance(external_id, str) or not external_id:
        raise Unknown("WhatsApp answered without a message id")
    contact = _first(data, "contacts")
    who = person(contact.get("wa_id"), contact.get("user_id"))
    return Accepted(external_id, who if named(who) else None)


def _first(data: dict[str, Any], key: str) -> dict[str, Any]:
    items = data.get(key)
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}
