"""An HTTP session for calls that must not happen twice: it never repeats a request and knows whether one went out.

No provider here has an idempotency key, so a request that is silently sent again is a customer reading everything twice.
Three things follow, and they are all this module does:

- urllib3's retries are off, redirects are never followed, proxies' and servers' cookies are never kept.
- Whatever fails before the first byte of the request (DNS, refused, connect time-out, TLS, proxy) raises `NotSent`; whatever
  fails later raises `NoAnswer`. requests alone cannot tell: a time-out or a reset within the TLS handshake looks to it like one
  after the request. So our connections turn every failure of `connect()` into one type.
- A kept-alive connection that the server has closed fails like a cut after the request, and is `NoAnswer` as well, for nobody
  can tell the two apart. urllib3 sees a close that has already arrived (`is_connection_dropped`: an idle socket that is
  readable) and reconnects; the race that is left, a close on its way while we write, is avoided by dropping connections
  idle for `IDLE_SECONDS`.
"""

import copy
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, LocationParseError, NewConnectionError, ProxyError
from urllib3.util import parse_url

from frontdesk.channels.multipart import FileForm

# Shorter than the shortest keep-alive of common front ends (Apache's 5 s); Meta publishes none. It costs a TLS handshake for
# an answer that comes after a pause, and nothing in a campaign, whose connections are never idle.
IDLE_SECONDS = 4.0
POOL_SIZE = 160  # connections kept for each host: the threads of the bulk worker
CONNECT_SECONDS = 5.0
MOST_PREPARED = 100  # addresses of numbers; WATI has one for each message, and these are forgotten together
HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}  # identity: so that ANSWER_BYTES bounds memory as well
ANSWER_BYTES = 256 * 1024  # an answer of Meta's is under 2 kB


_of_thread = threading.local()


@contextmanager
def held_until(wait: Callable[[], None]) -> Iterator[None]:
    """For a call made inside, in this thread: all of it is made ready and connected, then `wait` says when its first byte may go."""
    _of_thread.wait = wait
    try:
        yield
    finally:
        _of_thread.wait = None


class NotSent(Exception):
    """Nothing of the request left this machine: the same call may be made again."""


class NoAnswer(Exception):
    """The request, or a part of it, went out, and no whole answer came: it may have been carried out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is at most ANSWER_BYTES; a longer answer is cut and `whole` is False."""

    status: int
    headers: Any
    body: bytes
    whole: bool


class Wire:
    """POSTs JSON, and files. One instance serves all threads of a process.

    One requests.Session behind it: its connection pools are thread-safe, and what is not (cookies, redirects) is off. After
    a fork the child gets a session of its own, so no socket is ever shared between processes.
    """

    def __init__(self, timeout_seconds: float):
        self._timeout_seconds = timeout_seconds
        self._session, self._owner = _session(), os.getpid()
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._prepared: dict[tuple[str, str, str], requests.PreparedRequest] = {}

    def post(self, url: str, body: bytes, token: str) -> Answer:
        """One request, sent once. Raises NotSent or NoAnswer, with no part of the request in their words."""
        return self._call("POST", url, body, HEADERS, token, self._timeout_seconds)

    def upload(self, url: str, form: FileForm, token: str, timeout_seconds: float) -> Answer:
        """The same with a file, read as it is sent; `timeout_seconds` for the answer once it is there, and for each part of the way."""
        return self._call("POST", url, form, {**HEADERS, "Content-Type": form.content_type}, token, timeout_seconds)

    def get(self, url: str, token: str) -> Answer:
        """May be asked again whatever it raises."""
        return self._call("GET", url, None, HEADERS, token, self._timeout_seconds)

    def _call(
        self, method: str, url: str, body: bytes | FileForm | None, headers: dict[str, str], token: str, timeout_seconds: float
    ) -> Answer:
        try:
            session = self._own_session()
            response = session.send(
                self._request(session, method, url, body, headers, token),
                timeout=(min(CONNECT_SECONDS, timeout_seconds), timeout_seconds),
                allow_redirects=False,
                **self._surroundings(session, url),
            )
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise (NotSent if _before_sending(error) else NoAnswer)(_cause(error)) from None
        with response:
            return _read(response, time.monotonic() + timeout_seconds)

    def _request(
        self, session: requests.Session, method: str, url: str, body: bytes | FileForm | None, headers: dict[str, str], token: str
    ) -> requests.PreparedRequest:
        """What is the same for every message to an address is prepared once: it costs a third of a call."""
        if not isinstance(body, bytes):
            return session.prepare_request(requests.Request(method, url, data=body, headers=headers, auth=Bearer(token)))
        key = (method, url, token)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = session.prepare_request(requests.Request(method, url, data=b"", headers=headers, auth=Bearer(token)))
            if len(self._prepared) >= MOST_PREPARED:
                self._prepared.clear()
            self._prepared[key] = prepared
        request = copy.copy(prepared)
        request.body = body
        request.headers = {**prepared.headers, "Content-Length": str(len(body))}
        return request

    def _own_session(self) -> requests.Session:
        if self._owner != os.getpid():
            self._session, self._owner, self._known, self._prepared = _session(), os.getpid(), {}, {}
        return self._session

    def _surroundings(self, session: requests.Session, url: str) -> dict[str, Any]:
        """Proxies and certificates as the environment has them: read once for each server, for that costs as much as a call."""
        parts = urlsplit(url)
        server = (parts.scheme, parts.netloc)
        if server not in self._known:
            self._known[server] = session.merge_environment_settings(url, {}, True, None, None)
        return self._known[server]


def is_at(url: str, base_url: str) -> bool:
    """Whether this is an address at that very server. Read by the parser that the request is made with: two could read two hosts."""
    try:
        one, other = parse_url(url), parse_url(base_url)
    except LocationParseError:
        return False
    return one.auth is None and bool(one.host) and (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _read(response: requests.Response, deadline: float) -> Answer:
    """The answer's body, within the deadline: a server that trickles bytes holds no thread for ever."""
    body = bytearray()
    try:
        while chunk := response.raw.read1(65536, decode_content=True):
            body += chunk
            if len(body) > ANSWER_BYTES:
                return Answer(response.status_code, response.headers, bytes(body[:ANSWER_BYTES]), whole=False)
            if time.monotonic() > deadline:
                raise NoAnswer("the answer took too long")
    except (HTTPError, OSError) as error:
        raise NoAnswer(f"the answer broke off ({type(error).__name__})") from None
    return Answer(response.status_code, response.headers, bytes(body), whole=True)


def _before_sending(error: Exception) -> bool:
    """Did the call fail before its first byte? Only what is sure counts: an InvalidHeader may be the answer's."""
    if isinstance(error, (InvalidURL, InvalidSchema, MissingSchema)):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, (NewConnectionError, ProxyError))


def _cause(error: Exception) -> str:
    """A few words without address, header or body."""
    if isinstance(error, requests.Timeout):
        return "timed out"
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    cause = getattr(reason, "__cause__", None) or reason or error
    return getattr(cause, "strerror", None) or type(cause).__name__


class Bearer(AuthBase):
    """Sets the token, where there is one. As `auth`, for a plain header would be overwritten by an entry of ~/.netrc for the same host."""

    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


# --- connections that tell a failure to connect from everything later -----------------------------------------------


class _Connecting:
    """Every failure of connect(), TLS included, becomes NewConnectionError: nothing of the request was sent."""

    idle_since = 0.0

    def connect(self) -> None:
        try:
            super().connect()
        except NewConnectionError:
            raise
        except (HTTPError, OSError) as error:
            raise NewConnectionError(self, type(error).__name__) from error

    def send(self, data) -> None:
        wait = getattr(_of_thread, "wait", None)
        if wait is not None:
            _of_thread.wait = None
            if self.sock is None:
                self.connect()
            wait()
        super().send(data)


class _Connection(_Connecting, HTTPConnection):
    pass


class _SecureConnection(_Connecting, HTTPSConnection):
    pass


class _Fresh:
    """A pool that hands out no connection which was idle for IDLE_SECONDS."""

    def _get_conn(self, timeout=None):
        connection = super()._get_conn(timeout)
        if connection.sock is not None and time.monotonic() - connection.idle_since > IDLE_SECONDS:
            connection.close()  # like urllib3 with a dropped one: the next request connects anew
        return connection

    def _put_conn(self, connection):
        if connection is not None:
            connection.idle_since = time.monotonic()
        super()._put_conn(connection)


class _Pool(_Fresh, HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(_Fresh, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy, **kwargs):
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager


def _session() -> requests.Session:
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(pool_maxsize=POOL_SIZE, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
