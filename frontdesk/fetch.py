"""Calls to addresses that other people name, so that none of them reaches this machine or its neighbours.

A host is resolved once; every address it has must be public (public_addresses.py), and the connection is made to those very
addresses, so an answer of DNS that changes in between helps nobody. Each redirect is checked anew. The name still decides
the Host header, SNI and the certificate. No proxy, cookie or .netrc of the environment is used, for a proxy would resolve again.
"""

import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from ipaddress import ip_address
from typing import Any, BinaryIO
from urllib.parse import unquote, urljoin

from requests import certs
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, NewConnectionError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url
from urllib3.util.connection import create_connection

from frontdesk.errors import FetchFailed, FetchRefused
from frontdesk.public_addresses import is_public, looks_numeric

MOST_REDIRECTS = 5
CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
MOST_ADDRESSES = 4  # of a host, that are tried
CHUNK_BYTES = 64 * 1024
ANSWER_BYTES = 256 * 1024
LONGEST_URL = 2048
PORTS = {"http": 80, "https": 443}
PRIVATE = ("private_address", "the address leads to a private network")
MAY_PASS = (408, 425, 429)  # of the 4xx: time-out, too early, too many
_AUTHORITY = re.compile(r"[^:]*:?//([^/?#]*).*")
# identity: a packed body could unpack to a thousand times what Content-Length says
HEADERS = {"User-Agent": "Frontdesk", "Accept": "*/*", "Accept-Encoding": "identity"}

Resolve = Callable[..., list[tuple]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """`content_type`: the header as it was, '' without one. `filename`: what the server calls it, else the address's last part."""

    final_url: str
    content_type: str
    filename: str
    size: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Whatever the server answered, also a redirect or an error."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Place:
    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]


def fetch(
    url: str,
    into: BinaryIO,
    *,
    most_bytes: int,
    timeout_seconds: float,
    headers: Mapping[str, str] | None = None,
    allow_private: bool = False,
    resolve: Resolve = socket.getaddrinfo,
) -> Fetched:
    """GETs what is there `into` a file, within `timeout_seconds` in all. After an error `into` may hold a part.

    `headers` may hold secrets: with any, no redirect is followed.

    Raises FetchRefused for what will never work and FetchFailed for what may work later.
    """
    with _Watch(timeout_seconds) as watch:
        for _ in range(MOST_REDIRECTS + 1):
            place = _checked(url, allow_private, resolve, watch)
            with _asked("GET", place, None, {**HEADERS, **(headers or {})}, watch) as response:
                leads_to = response.get_redirect_location() if headers is None else None
                if not leads_to:
                    _judge(response.status)
                    size = _copy(response, into, most_bytes, watch)
                    return Fetched(url, response.headers.get("Content-Type", "").strip(), _filename(response, place.path), size)
            url = urljoin(url, _as_utf_8(leads_to))
    raise FetchRefused("too_many_redirects", f"the address leads on more than {MOST_REDIRECTS} times")


def call(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float,
    most_bytes: int = ANSWER_BYTES,
    whole: bool = True,
    allow_private: bool = False,
    resolve: Resolve = socket.getaddrinfo,
) -> Reply:
    """One request, made once and never redirected: its headers may hold secrets. Raises like fetch(), for no status though.

    `whole` False: where the answer is longer than `most_bytes`, its beginning is enough.
    """
    with _Watch(timeout_seconds) as watch:
        place = _checked(url, allow_private, resolve, watch)
        with _asked(method, place, body, {**HEADERS, **(headers or {})}, watch) as response:
            answer = b"".join(_chunks(response, most_bytes, watch)) if whole else _beginning(response, most_bytes, watch)
            return Reply(response.status, response.headers, answer)


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float, **options: Any) -> Reply:
    """A POST by call(), which names the `options`."""
    return call("POST", url, body=body, headers=headers, timeout_seconds=timeout_seconds, **options)


def check(url: str, *, allow_private: bool = True) -> None:
    """Raises FetchRefused for what is no address of the web's, or holds a password. Asks nobody where its host is.

    `allow_private` False: an address that is private by its own words is refused too.
    """
    host = _taken_apart(url).host.lower().rstrip(".")
    if not allow_private and (host == "localhost" or host.endswith(".localhost") or (_is_address(host) and not is_public(host))):
        raise FetchRefused(*PRIVATE)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


# --- where to ------------------------------------------------------------------------------------------------------------


def _checked(url: str, allow_private: bool, resolve: Resolve, watch: "_Watch") -> _Place:
    place = _taken_apart(url)
    addresses = watch.within(lambda: _addresses(place, resolve))
    if not allow_private and not all(map(is_public, addresses)):
        raise FetchRefused(*PRIVATE)
    return _Place(place.scheme, place.host, place.port, place.path, addresses[:MOST_ADDRESSES])


def _taken_apart(url: str) -> _Place:
    """By urllib3's own parser, which the request is made with too: two parsers could read two hosts."""
    if len(url) > LONGEST_URL or any(letter <= " " or letter in "\\\x7f" for letter in url):
        raise FetchRefused("bad_url", f"an address has no spaces or backslashes, and at most {LONGEST_URL} characters")
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise FetchRefused("bad_url", "this is not a web address") from None
    if parts.scheme not in PORTS:
        raise FetchRefused("scheme", "the address must begin with http:// or https://")
    if parts.auth is not None or "@" in _AUTHORITY.sub(r"\1", url):
        raise FetchRefused("credentials", "the address must hold no user name or password")
    host = (parts.host or "").removeprefix("[").removesuffix("]")
    if not host or parts.port == 0 or "%" in host or not host.isascii():
        raise FetchRefused("bad_url", "this is not a web address")
    if looks_numeric(host):
        raise FetchRefused("bad_url", "an IP address must be written in its usual form")
    return _Place(parts.scheme, host, parts.port or PORTS[parts.scheme], parts.request_uri, ())


def _addresses(place: _Place, resolve: Resolve) -> tuple[str, ...]:
    try:
        found = resolve(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchFailed(f"the host {place.host} was not found") from None
    if not found:
        raise FetchFailed(f"the host {place.host} was not found")
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


# --- one request -----------------------------------------------------------------------------------------------------------


@contextmanager
def _asked(method: str, place: _Place, body: bytes | None, headers: Mapping[str, str], watch: "_Watch") -> Iterator[BaseHTTPResponse]:
    seconds = watch.remaining()
    with _pool(place, watch) as pool:
        with _told(watch):
            response = pool.urlopen(
                method,
                place.path,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=Timeout(connect=min(CONNECT_SECONDS, seconds), read=min(READ_SECONDS, seconds)),
                preload_content=False,
                decode_content=False,
            )
        try:
            yield response
        finally:
            response.close()


def _pool(place: _Place, watch: "_Watch") -> HTTPConnectionPool:
    if place.scheme == "http":
        return _Pool(place.host, place.port, maxsize=1, addresses=place.addresses, watch=watch)
    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or certs.where()
    return _SecurePool(place.host, place.port, maxsize=1, addresses=place.addresses, watch=watch, ca_certs=authorities)


@contextmanager
def _told(watch: "_Watch") -> Iterator[None]:
    """Whatever goes wrong on the way, in words without the address."""
    try:
        yield
    except (HTTPError, OSError) as error:
        watch.remaining()
        raise FetchFailed(f"the server could not be reached or broke off ({_cause(error)})") from None
    except ValueError:
        raise FetchRefused("bad_request", "the address or a header holds characters that cannot be sent") from None


def _cause(error: Exception) -> str:
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or type(cause).__name__


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if 400 <= status < 500 and status not in MAY_PASS:
        raise FetchRefused(f"http_{status}", f"the server refuses it (HTTP {status})")
    raise FetchFailed(f"the server answered HTTP {status}")


def _copy(response: BaseHTTPResponse, into: BinaryIO, most_bytes: int, watch: "_Watch") -> int:
    size = 0
    for chunk in _chunks(response, most_bytes, watch):
        into.write(chunk)
        size += len(chunk)
    return size


def _beginning(response: BaseHTTPResponse, most_bytes: int, watch: "_Watch") -> bytes:
    """As it came: one that is packed all the same is none."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return b""
    found = b""
    while len(found) < most_bytes:
        with _told(watch):
            chunk = response.read1(most_bytes - len(found))
        watch.remaining()
        if not chunk:
            break
        found += chunk
    return found


def _chunks(response: BaseHTTPResponse, most_bytes: int, watch: "_Watch") -> Iterator[bytes]:
    too_large = FetchRefused("too_large", f"it is larger than {most_bytes} bytes")
    declared = response.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > most_bytes:
        raise too_large
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise FetchRefused("encoded", "the server sends it packed, though it was asked not to")
    size = 0
    while True:
        with _told(watch):
            chunk = response.read1(CHUNK_BYTES)
        watch.remaining()  # a connection that the watch cut looks like the end of a body without a length
        if not chunk:
            return
        size += len(chunk)
        if size > most_bytes:
            raise too_large
        yield chunk


def _filename(response: BaseHTTPResponse, path: str) -> str:
    header = Message()
    header["Content-Disposition"] = _as_utf_8(response.headers.get("Content-Disposition", ""))
    return header.get_filename("") or unquote(path.partition("?")[0].rpartition("/")[2], errors="replace")


def _as_utf_8(header: str) -> str:
    """What http.client read as Latin-1, and servers write as UTF-8."""
    return header.encode("latin-1", "replace").decode("utf-8", "replace")


# --- time ------------------------------------------------------------------------------------------------------------------


class _Watch:
    """Ends everything when its time is over. Time-outs of reads alone would let a server drip headers for hours."""

    def __init__(self, seconds: float):
        self._seconds, self._ends_at = seconds, time.monotonic() + seconds
        self._lock, self._connected = threading.Lock(), None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "_Watch":
        self._timer.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._timer.cancel()

    def remaining(self) -> float:
        seconds = self._ends_at - time.monotonic()
        if seconds <= 0:
            raise FetchFailed(f"it took longer than {self._seconds:g} seconds")
        return seconds

    def hold(self, connected: socket.socket) -> None:
        """From now on this is the connection that is cut."""
        with self._lock:
            self._connected = connected
        if time.monotonic() >= self._ends_at:
            self._cut()

    def within(self, work: Callable[[], Any]) -> Any:
        """What `work` returns or raises, unless time is over first: resolving has no time-out of its own."""
        results: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=lambda: results.put(_result(work)), daemon=True).start()
        try:
            result, error = results.get(timeout=self.remaining())
        except queue.Empty:
            result, error = None, FetchFailed(f"it took longer than {self._seconds:g} seconds")
        if error:
            raise error
        return result

    def _cut(self) -> None:
        with self._lock:
            if self._connected is None:
                return
            try:
                socket.socket.shutdown(self._connected, socket.SHUT_RDWR)  # SSLSocket's own would first forget its TLS
            except OSError:
                pass  # it is closed already


def _result(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


# --- connections to the addresses that were checked ----------------------------------------------------------------------


class _Pinned:
    def __init__(self, *args: Any, addresses: tuple[str, ...], watch: _Watch, **options: Any):
        super().__init__(*args, **options)
        self._addresses, self._watch = addresses, watch

    def connect(self) -> None:
        super().connect()
        self._watch.hold(self.sock)

    def _new_conn(self) -> socket.socket:
        for address in self._addresses:
            try:
                return create_connection((address, self.port), min(CONNECT_SECONDS, self._watch.remaining()))
            except OSError as error:
                failure = error
        raise NewConnectionError(self, "no address of the host answered") from failure


class _Connection(_Pinned, HTTPConnection):
    pass


class _SecureConnection(_Pinned, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
