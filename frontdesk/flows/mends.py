"""What a failure means in words, and what mends it. By Meta's code, as in channels/cloud_errors.py: the one table for people."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """`hopeless`: sending the same message again cannot succeed, whatever anybody does. `place`: "number" or "client", where it is mended."""

    name: str
    title: str
    mend: str
    hopeless: bool = False
    place: str = ""


TOKEN = Cause("token", "Token or account", "Give the number a new token, or mend the account with Meta; then retry.", place="number")
NUMBER_ID = Cause(
    "number_id",
    "No such phone number id",
    "Compare the number's phone number id with Meta's dashboard, and give the token's system user access to its account; then retry.",
    place="number",
)
WINDOW = Cause(
    "window", "24-hour window closed", "Only a template may go out until the customer writes again. Then answer in the conversation."
)
UNDELIVERABLE = Cause(
    "undeliverable", "Undeliverable", "The person has no WhatsApp there, has an old version, or has not accepted Meta's terms. Reach them in another way."
)
OPTED_OUT = Cause("opted_out", "Opted out", "This person does not want marketing from you. Dismiss it.", hopeless=True)
TEMPLATE = Cause("template", "Template", "Meta does not know, has paused or refused this template, or its variables do not fit. Mend it in the WhatsApp Manager, then retry.", place="number")
RATE = Cause("rate", "Too fast", "Meta asked to slow down for too long. Retry later, or lower the number's messages a second.", place="number")
MEDIA = Cause("media", "Media", "Meta could not take or fetch the file: wrong type, too large, or gone. Send it anew.")
META = Cause("meta", "Trouble at Meta", "Meta had a fault of its own for longer than we tried. Retry.")
UNPROVEN = Cause("unproven", "No answer from the provider", "It may have arrived: look whether the customer reacted. Retry only if they did not.")
CODE = Cause("code", "Refused as wrong", "Meta calls the request itself wrong. The words below name the part; if you cannot see why, report it to us.")
MODEL = Cause("model", "No answer from the model", "See that Ollama runs and the model is there; then retry, and the bot answers. Or answer yourself.", place="client")
OTHER = Cause("other", "Other", "The provider's words below say more.")

_CODES = {
    TOKEN: {0, 190, 3, 10, 131005, *range(200, 300), 131031, 368, 130497, 131037, 131042, 131045, 133000, 133006, 133010},
    NUMBER_ID: {33},
    WINDOW: {131047},
    UNDELIVERABLE: {131026, 131021, 131030, 131051, 130472, 137000, 131062, 131063},
    OPTED_OUT: {131050},
    TEMPLATE: {132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068, 132069},
    RATE: {4, 80007, 131057, 130429, 131056, 131048, 131064, 131049},
    MEDIA: {131052, 131053},
    META: {1, 2, 131000, 131016, 133004},
    CODE: {100, 131008, 131009, 135000},
}
CAUSES = (TOKEN, NUMBER_ID, MODEL, WINDOW, UNDELIVERABLE, TEMPLATE, MEDIA, RATE, META, UNPROVEN, CODE, OPTED_OUT, OTHER)


def cause_of(code: int | None) -> Cause:
    """None: the provider never answered."""
    if code is None:
        return UNPROVEN
    return next((cause for cause, codes in _CODES.items() if code in codes), OTHER)


# --- jobs of our own that ended in an error: by the exception's class ------------------------------------------------------------

REDIS = Cause("redis", "Redis", "Redis was away or full. Look at its memory and disk; the work is found again by itself.")
DATABASE = Cause("database", "Database", "SQLite was busy or could not write. Look at the disk; the work is found again by itself.")
KILLED = Cause("killed", "Process ended", "A worker was killed or ran out of memory or time. The work is found again by itself.")
FAULT = Cause("fault", "Code error", "A fault of ours: the log has the whole of it. Report it, with the class named here.")


def cause_of_job(exception: str) -> Cause:
    """`exception`: a class as a traceback names it, '' where there was none."""
    name = exception.rpartition(".")[2]
    if exception.startswith("redis."):
        return REDIS
    if exception.startswith("sqlite3."):
        return DATABASE
    if not name or name in ("AbandonedJobError", "JobTimeoutException", "ShutDownImminentException", "MemoryError"):
        return KILLED
    return FAULT
