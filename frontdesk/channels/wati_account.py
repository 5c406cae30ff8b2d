"""What WATI says of an account: asked by a person's hand, so a plain GET that may be repeated. And where an account lives."""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from frontdesk.channels import Sender
from frontdesk.channels.wire import Bearer
from frontdesk.errors import FrontdeskError, NumberStopped, Temporary, Throttled

_HOST = re.compile(r"([a-z0-9-]+\.)+wati\.io")
_TENANT = re.compile(r"/[A-Za-z0-9_-]{1,64}")


class BadEndpoint(FrontdeskError):
    """Not the address of an account at WATI; the words are for who typed it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base_url` with the account in it, `account` its name: the tenant, or the host of an older account that has a server of its own."""

    base_url: str
    account: str


def endpoint(typed: str, *, anywhere: bool = False) -> Endpoint:
    """What WATI shows under API Docs as "API Endpoint". Only WATI's own hosts, unless `anywhere`. Raises BadEndpoint."""
    text = typed.strip() if "://" in typed else f"https://{typed.strip()}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadEndpoint("This is no address.") from None
    if not anywhere and (parts.scheme != "https" or port not in (None, 443) or parts.username or not _HOST.fullmatch(host)):
        raise BadEndpoint("An endpoint of WATI's looks like https://live-mt-server.wati.io/123456.")
    path = re.sub(r"/api(/.*)?$", "", parts.path).rstrip("/")
    if path and not _TENANT.fullmatch(path):
        raise BadEndpoint("Behind the host stands only the number of the account: https://live-mt-server.wati.io/123456.")
    if not path and host == "live-mt-server.wati.io":
        raise BadEndpoint("The number of the account is missing: https://live-mt-server.wati.io/123456.")
    return Endpoint(f"{parts.scheme}://{parts.netloc}{path}", path.lstrip("/") or host)


def server_time(sender: Sender, timeout_seconds: float = 10) -> float | None:
    """Proves the token and the account; WATI's clock, None where it did not say. Raises SendError."""
    try:
        response = requests.get(
            f"{sender.base_url.rstrip('/')}/api/v1/getContacts",
            params={"pageSize": 1, "pageNumber": 1},
            auth=Bearer(sender.access_token),
            timeout=timeout_seconds,
            allow_redirects=False,
        )
    except (requests.RequestException, ValueError) as error:
        raise Temporary(f"WATI could not be reached ({type(error).__name__})") from None
    if response.status_code in (401, 403):
        raise NumberStopped(f"HTTP {response.status_code}", code=response.status_code)
    if response.status_code in (404, 405):
        raise NumberStopped("no such account at this address", code=response.status_code)
    if response.status_code == 429:
        raise Throttled("asked too often", scope="number", code=429)
    if response.status_code != 200:
        raise Temporary(f"HTTP {response.status_code} from WATI", code=response.status_code)
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return None
