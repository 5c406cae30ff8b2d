"""What people choose for a replay: which past answers, or the checks, and the candidate that they are put to."""

from dataclasses import dataclass, field

from flask import request

from frontdesk.flows import replays
from frontdesk.flows.context import Context
from frontdesk.store import clients, past_turns
from frontdesk.store.names import names_of_conversations
from frontdesk.store.past_turns import Found
from frontdesk.web.forms import Form

LONGEST_PROMPT, LONGEST_TEXT = 40_000, 1_000
SHOWN_CONVERSATIONS = 100


@dataclass(slots=True)
class Choice:
    """`turns`: the newest ones that were found, oldest first, of `total`. `conversations`: id, name, how many, newest; newest first."""

    turns: list[Found] = field(default_factory=list)
    total: int = 0
    conversations: list[tuple[int, str, int, float]] = field(default_factory=list)
    ticked: list[int] = field(default_factory=list)
    words: str = ""

    @property
    def chosen(self) -> list[int]:
        """Of the ticked conversations, or all."""
        return [turn.id for turn in self.turns if not self.ticked or turn.conversation_id in self.ticked]


def empty(context: Context, client_id: int, conversation_id: int | None) -> Form:
    """As the client is now."""
    candidate = replays.present(context, client_id)
    values = {name: "" if value is None else f"{value:g}" if isinstance(value, float) else value for name, value in candidate.items()}
    values["prompt"] = values.pop("system_prompt")
    period = "30" if conversation_id else "7"
    return Form(kind=request.args.get("kind", "turns"), period=period, first="", last="", words="", conversation=str(conversation_id or ""), **values)


def read_candidate(form: Form) -> dict:
    prompt = form.words("prompt", "The prompt", LONGEST_PROMPT)
    persona = form.words("persona", "The persona", LONGEST_TEXT, required=False)
    language = form.values["language"] = " ".join(request.form.get("language", "").split())[:60]
    model = form.words("model", "The model", 200, required=False) or None
    temperature = form.number("temperature", "Temperature", 0, 2)
    return {"system_prompt": prompt, "persona": persona, "language": language, "model": model, "temperature": temperature}


def read_choice(context: Context, form: Form, client_id: int) -> Choice:
    """Which past answers; what is wrong with that stands in the form. One conversation alone where the form is of one."""
    period = form.choice("period", tuple(replays.PERIODS))
    first, last = (_typed(form, name, 10) for name in ("first", "last"))
    words, one = _typed(form, "words", 200), _typed(form, "conversation", 12)
    return choice(context, form, client_id, period, first, last, words, one)


def choice(context: Context, form: Form, client_id: int, period: str, first: str, last: str, words: str, one: str) -> Choice:
    zone = clients.get(context.db, client_id, context.settings).time_zone
    try:
        since, until = replays.period(period, zone, context.now(), first, last)
    except ValueError:
        form.wrong("first", "Say from which day until which, such as 2026-03-01 and 2026-03-07.")
        return Choice()
    only = [int(one)] if one.isdecimal() else []
    turns, total = past_turns.find(
        context.db, client_id, since=since, until=until, words=words, conversation_ids=only, limit=replays.MOST_TURNS
    )
    found = Choice(turns, total, _conversations(context, turns), [int(each) for each in request.form.getlist("ticked") if each.isdecimal()])
    found.words = _in_words(period, first, last, words, bool(only), bool(found.ticked))
    return found


def _typed(form: Form, name: str, most: int) -> str:
    value = form.values[name] = request.form.get(name, "").strip()[:most]
    return value


def _conversations(context: Context, turns: list[Found]) -> list[tuple[int, str, int, float]]:
    found: dict[int, tuple[int, float]] = {}
    for turn in turns:
        found[turn.conversation_id] = (found.get(turn.conversation_id, (0, 0.0))[0] + 1, turn.at)
    names = names_of_conversations(context.db, set(found))
    listed = [(id_, names.get(id_, ""), count, at) for id_, (count, at) in found.items()]
    return sorted(listed, key=lambda each: -each[3])[:SHOWN_CONVERSATIONS]


def _in_words(period: str, first: str, last: str, words: str, of_one: bool, of_some: bool) -> str:
    text = f"from {first} to {last}" if period == "days" else replays.PERIODS[period]
    if words:
        text += f", with “{words}”"
    if of_one:
        text += ", of one conversation"
    return f"{text}, of chosen conversations" if of_some else text
