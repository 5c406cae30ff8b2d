"""Meta's error codes as one table: what each means for the message, its recipient and its number.

One table serves a refused call and a failed status alike: Meta reports most of these codes either way, some in both. It
branches on the code, never on the HTTP status (the same code comes with different ones). Meta's "Error codes" page, mid-2026.
"""

import re
from functools import partial
from typing import Any, Callable

from frontdesk.channels import ProviderError
from frontdesk.channels.cloud_people import readable
from frontdesk.errors import NumberStopped, Permanent, SendError, Temporary, Throttled, WindowClosed

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LONGEST_WORDS = 500  # of Meta's words about an error, kept on the message's row
# "Unsupported post request. Object with ID … does not exist": the number was deleted, or its id is wrong, or not the token's to
# use. Meta reports it as a code of its own or as the subcode of 100.
NO_SUCH_NUMBER = 33
_TOKEN = re.compile(r"EAA[A-Za-z0-9]{20,}")  # Meta quotes a malformed token back

_wait = partial(Throttled, scope="number")
# 131048 and 131064 limit the whole number because people block or report it. An ordinary answer inside an open conversation
# is what mends that rating, so it waits, at the longest step of the retry rule, rather than failing or stopping the
# number; campaigns are what feeds the limit, so `pause_broadcasts` holds them until a person has looked.
_disliked = partial(Throttled, scope="number", delay_seconds=5 * MINUTE, pause_broadcasts=True)

_Build = Callable[..., SendError]


def _table() -> dict[int, _Build]:
    groups: list[tuple[_Build, tuple[int, ...]]] = [
        # token and permissions, then account, policy, payment and registration: a person has to mend these
        (NumberStopped, (0, 190, 3, 10, 131005, *range(200, 300))),
        (NumberStopped, (131031, 368, 130497, 131037, 131042, 131045, 133000, 133006, 133010, NO_SUCH_NUMBER)),
        # Meta's own trouble, media uploads that may go through the second time, throttled flows
        (Temporary, (1, 2, 131000, 131016, 133004, 131053)),
        (partial(Temporary, delay_seconds=HOUR), (132069,)),
        (partial(Temporary, delay_seconds=DAY), (131049,)),  # the person's own limit of marketing, counted by day
        # rates
        (partial(_wait, delay_seconds=MINUTE), (4, 80007, 131057)),
        (_wait, (130429,)),
        (partial(Throttled, scope="pair"), (131056,)),
        (_disliked, (131048, 131064)),
        # about this message or this person
        (WindowClosed, (131047,)),
        (partial(Permanent, opted_out=True), (131050,)),
        (partial(Permanent, fall_back_to_phone=True), (131062, 131063)),
        (Permanent, (131026, 131021, 131030, 131051, 130472, 137000, 131052)),  # undeliverable, not allowed, identity …
        (Permanent, (100, 131008, 131009, 135000)),  # a wrong or missing parameter: our mistake
        (Permanent, (132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068)),  # templates and flows
    ]
    return {code: build for build, codes in groups for code in codes}


TABLE: dict[int, _Build] = _table()

# Of failed messages: the person cannot be written to at all. 131026: not on WhatsApp, or too old an app; 131021: the number itself.
UNREACHABLE = (131026, 131021)


def error_for(error: ProviderError, *, is_transient: bool = False) -> SendError:
    """The `SendError` of Meta's error. A code outside the table is Permanent, with the code and Meta's words kept.

    `is_transient` is Meta's own flag on Graph errors: it decides only where the table is silent.
    """
    unlisted = Temporary if is_transient else Permanent
    build = TABLE.get(error.code, unlisted)
    return build(error.title[:LONGEST_WORDS], code=error.code, details=error.details[:LONGEST_WORDS])


def error_for_status(errors: tuple[ProviderError, ...]) -> SendError:
    """The `SendError` of a failed status. Of several errors the first that the table knows decides, else the first."""
    if not errors:
        return Permanent("failed, and Meta gave no reason")
    return error_for(next((error for error in errors if error.code in TABLE), errors[0]))


def provider_error(raw: Any) -> ProviderError:
    """Meta's error object, from an API answer (`message`) or a webhook (`title`), in one shape. Never raises.

    What looks like an access token is blotted out of Meta's words.
    """
    if not isinstance(raw, dict):
        return ProviderError(None, "an error Meta did not describe")
    data = raw.get("error_data")
    details = data.get("details") if isinstance(data, dict) else data
    title = _words(raw.get("title")) or _words(raw.get("message")) or "an error Meta did not describe"
    code = _code(raw.get("code"))
    if code == 100 and _code(raw.get("error_subcode")) == NO_SUCH_NUMBER:
        code = NO_SUCH_NUMBER
    return ProviderError(code, title, _words(details) or _words(raw.get("details")))


def _code(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


def _words(value: Any) -> str:
    return _TOKEN.sub("…", readable(value))
