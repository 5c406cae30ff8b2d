"""What the Graph API says of a number and its account: asked by a person's hand, so plain GETs that may be repeated."""

import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from frontdesk.channels import Sender
from frontdesk.channels.cloud_errors import error_for, provider_error
from frontdesk.channels.wire import Bearer
from frontdesk.errors import Temporary


TEMPLATE_FIELDS = "id,name,language,status,category,parameter_format,components,rejected_reason,quality_score"
MOST_TEMPLATE_PAGES = 100  # of 100; an account has 6,000 templates at most
MOST_PEOPLE = 10**10  # more than there are


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """`server_time`: the provider's clock when it answered (UTC epoch seconds), None where it did not say."""

    display_phone: str
    verified_name: str
    quality: str
    server_time: float | None


def number_facts(sender: Sender, timeout_seconds: float = 10) -> NumberFacts:
    """Proves the token and the number's id. Raises SendError."""
    data, headers = _get(sender, sender.number_external_id, "display_phone_number,verified_name,quality_rating", timeout_seconds)
    return NumberFacts(
        display_phone=str(data.get("display_phone_number", "")),
        verified_name=str(data.get("verified_name", "")),
        quality=str(data.get("quality_rating", "")),
        server_time=_time(headers.get("Date", "")),
    )


def reach(sender: Sender, timeout_seconds: float = 10) -> float | None:
    """People whom the number's portfolio may begin a conversation with in 24 hours. None where Meta does not say. Raises SendError."""
    data, _ = _get(sender, sender.number_external_id, "whatsapp_business_manager_messaging_limit", timeout_seconds)
    return people_of(data.get("whatsapp_business_manager_messaging_limit"))


def people_of(said: Any) -> float | None:
    """Meta's messaging limit: TIER_250, TIER_2K, TIER_UNLIMITED, or a plain number, below zero for none."""
    if isinstance(said, int) and not isinstance(said, bool):
        return float(said) if 0 <= said < MOST_PEOPLE else math.inf
    word = said.upper().removeprefix("TIER_") if isinstance(said, str) else ""
    if word == "UNLIMITED":
        return math.inf
    found = re.fullmatch(r"([0-9]{1,7})(K?)", word)
    return float(found[1]) * (1000 if found[2] else 1) if found else None


def subscribed_apps(sender: Sender, timeout_seconds: float = 10) -> list[str]:
    """The apps that get this account's webhooks; none: nothing will ever arrive. Raises SendError."""
    data, _ = _get(sender, f"{sender.account_id}/subscribed_apps", "", timeout_seconds)
    apps = data.get("data")
    return [str(app.get("whatsapp_business_api_data", app).get("name", "")) for app in apps or [] if isinstance(app, dict)]


def message_templates(sender: Sender, timeout_seconds: float = 20) -> list[dict[str, Any]]:
    """Every template of the account, in the columns of store/templates.py. Raises SendError.

    Half a list is none: the templates it lacks would look deleted.
    """
    found, after = [], ""
    for _ in range(MOST_TEMPLATE_PAGES):
        data, _ = _get(sender, f"{sender.account_id}/message_templates", TEMPLATE_FIELDS, timeout_seconds, after=after, limit="100")
        found += [template for raw in _list(data, "data") if (template := _template(raw))]
        paging = data.get("paging") if isinstance(data.get("paging"), dict) else {}
        following = (paging.get("cursors") or {}).get("after") if "next" in paging else None
        if not following:
            return found
        after = str(following)
    raise Temporary(f"the list of templates has more than {MOST_TEMPLATE_PAGES} pages")


def _template(raw: Any) -> dict[str, Any] | None:
    if not isinstance(raw, dict) or not all(isinstance(raw.get(key), str) for key in ("name", "language", "status")):
        return None
    quality = raw.get("quality_score")
    return {
        "external_id": str(raw.get("id") or "") or None,
        "name": raw["name"],
        "language": raw["language"],
        "status": raw["status"].upper(),
        "category": str(raw.get("category") or "").upper(),
        "parameter_format": str(raw.get("parameter_format") or "POSITIONAL").upper(),
        "components": [part for part in _list(raw, "components") if isinstance(part, dict)],
        "reason": reason if (reason := str(raw.get("rejected_reason") or "")) not in ("", "NONE") else None,
        "quality": str(quality.get("score") or "") or None if isinstance(quality, dict) else None,
    }


def _list(data: dict[str, Any], key: str) -> list[Any]:
    return data[key] if isinstance(data.get(key), list) else []


def _get(sender: Sender, path: str, fields: str, timeout_seconds: float, **more: str) -> tuple[dict[str, Any], Any]:
    try:
        response = requests.get(
            f"{sender.base_url.rstrip('/')}/{sender.version}/{path}",
            params={name: value for name, value in {"fields": fields, **more}.items() if value},
            auth=Bearer(sender.access_token),
            timeout=timeout_seconds,
            allow_redirects=False,
        )
        data = response.json()
    except (requests.RequestException, ValueError) as error:
        raise Temporary(f"the Graph API at {sender.base_url} gave no usable answer ({type(error).__name__})") from None
    error = provider_error(data.get("error") if isinstance(data, dict) else None)
    if error.code is not None:
        raise error_for(error)
    if response.status_code != 200 or not isinstance(data, dict):
        raise Temporary(f"the Graph API answered HTTP {response.status_code}")
    return data, response.headers


def _time(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None
