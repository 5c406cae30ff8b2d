"""The few errors that cross module borders. Each carries the data its catcher decides with, never user text or secrets."""


class FrontdeskError(Exception):
    """Anything Frontdesk raises on purpose; `str()` is fit for an operator to read."""


class SettingsError(FrontdeskError):
    """A setting is missing or wrong: `key`, what it `got` (never a secret's value) and what it `wants`."""

    def __init__(self, key: str, got: str, wants: str):
        self.key, self.got, self.wants = key, got, wants
        super().__init__(f"{key} is {got}; it wants {wants}")


# --- what a channel's send can end in, besides being accepted --------------------------------------------------


class SendError(FrontdeskError):
    """A provider did not take a message. `code` is the provider's own (None where it gave none).

    `title` and `details` are the provider's words about the error, kept on the message's row.
    """

    def __init__(self, title: str, *, code: int | None = None, details: str = ""):
        self.title, self.code, self.details = title, code, details
        super().__init__(f"{title} ({code})" if code is not None else title)


class Throttled(SendError):
    """Too fast. `scope` says for whom: "number" (everything it sends), "pair" (this recipient alone).

    `delay_seconds` is the provider's own minimum, None where the retry rule of the scope decides.
    `pause_broadcasts`: people block or report this number; its campaigns must wait until somebody has looked.
    """

    def __init__(
        self,
        title: str,
        *,
        scope: str,
        delay_seconds: float | None = None,
        pause_broadcasts: bool = False,
        code=None,
        details="",
    ):
        self.scope, self.delay_seconds, self.pause_broadcasts = scope, delay_seconds, pause_broadcasts
        super().__init__(title, code=code, details=details)


class Temporary(SendError):
    """Nothing was taken; the same call may succeed later (after `delay_seconds` where the provider names a time)."""

    def __init__(self, title: str, *, delay_seconds: float | None = None, code=None, details=""):
        self.delay_seconds = delay_seconds
        super().__init__(title, code=code, details=details)


class Permanent(SendError):
    """This message will never go out as it is. `opted_out`: the person no longer wants marketing (131050).

    `fall_back_to_phone`: the user id cannot be used; a call with the phone number alone may succeed (131062, 131063).
    """

    def __init__(
        self, title: str, *, opted_out: bool = False, fall_back_to_phone: bool = False, code=None, details=""
    ):
        self.opted_out, self.fall_back_to_phone = opted_out, fall_back_to_phone
        super().__init__(title, code=code, details=details)


class WindowClosed(Permanent):
    """Over 24 hours since the customer's last message: only a template may go out."""


class NumberStopped(SendError):
    """Nothing of this number goes out until a person mends it (token, account, payment, registration)."""


class Unknown(SendError):
    """The request went out and no answer came: the provider may have taken it."""


# --- what an import of recipients can end in ---------------------------------------------------------------------------------


class UnreadableFile(FrontdeskError):
    """Not a list of recipients at all; the words are for who uploaded it."""


class BadRow(FrontdeskError):
    """A line that is no recipient; the words are for who gave it."""


class BadPhone(BadRow):
    """Not a phone number that exists, as far as is known. `digits`: of what looks like one all the same."""

    def __init__(self, words: str, digits: str = ""):
        self.digits = digits
        super().__init__(words)


class BadFilter(FrontdeskError):
    """Not a filter of contacts. `field` is the part that is wrong."""

    def __init__(self, field: str, words: str):
        self.field = field
        super().__init__(words)


class BadCheck(FrontdeskError):
    """Not a question with what its answer must say. `field` is the part that is wrong."""

    def __init__(self, field: str, words: str):
        self.field = field
        super().__init__(words)


# --- what a model call can end in, besides an answer --------------------------------------------------------------


class ModelError(FrontdeskError):
    """A model call that gave no answer."""


class ModelAway(ModelError):
    """No usable server: refused, unreachable, a proxy's error page, or too slow. Wait and try again later."""


class ModelBusy(ModelAway):
    """503, the server's own queue is full: put the work back and try again with jitter."""


class ModelSlow(ModelAway):
    """The server is there, but this answer took longer than it may."""


class ModelCrashed(ModelAway):
    """The runner died or could not load, also on the one retry: open the circuit and alert."""


class ModelMissing(ModelError):
    """404: the model is not there. `mend` is the exact command to type."""

    def __init__(self, model: str):
        self.model, self.mend = model, f"ollama pull {model}"
        super().__init__(f"the model {model} is not on the Ollama server; run: {self.mend}")


class ModelRefused(ModelError):
    """400: this request can never succeed (`status`, the server's words in `reason`)."""

    def __init__(self, status: int, reason: str):
        self.status, self.reason = status, reason
        super().__init__(f"Ollama refused the request ({status}): {reason}")


class ContextExceeded(ModelRefused):
    """The prompt is longer than the context: trim the history once and try once more."""


class ModelInterrupted(ModelError):
    """The answer broke off twice (error line, cut, no `done`): what came was discarded."""


class ModelSilent(ModelError):
    """The model finished with nothing to say, also with thinking switched off."""


# --- what fetching from an address that somebody named can end in ---------------------------------------------------------


class FetchError(FrontdeskError):
    """Nothing was fetched."""


class FetchRefused(FetchError):
    """It will never work: `code` is one word for programs, `words` name what is wrong (never the address itself)."""

    def __init__(self, code: str, words: str):
        self.code, self.words = code, words
        super().__init__(words)


class MediaRefused(FrontdeskError):
    """A file that cannot be sent: `code` is one word for programs, `words` say what is wrong and what would do."""

    def __init__(self, code: str, words: str):
        self.code, self.words = code, words
        super().__init__(words)


class FetchFailed(FetchError):
    """It did not work this time, and may later."""

    def __init__(self, words: str):
        self.words = words
        super().__init__(words)
