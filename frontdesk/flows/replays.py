"""Replays as people make them: past turns or checks, asked again of a candidate. What asks the model: replaying.py.

A candidate is a client's prompt, persona, language, model and temperature, as they might become. Knowledge is always the present one.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any

from frontdesk.flows.context import Context
from frontdesk.flows.hours import zone
from frontdesk.store import audit, checks, clients, past_turns, replays
from frontdesk.store.clients import Client
from frontdesk.store.database import transaction
from frontdesk.store.past_turns import PastTurn
from frontdesk.store.replays import Replay

MOST_TURNS = 500
KEPT_SECONDS = 90 * 24 * 3600

# Columns of a client, and what the desk calls them.
TRIED = {"system_prompt": "Prompt", "persona": "Persona", "language": "Language", "model": "Model", "temperature": "Temperature"}

PERIODS = {"week": "all of last week", "today": "today", "7": "the last 7 days", "30": "the last 30 days", "days": "these days"}


# --- which ------------------------------------------------------------------------------------------------------------------


def period(name: str, time_zone: str, now: float, first: str = "", last: str = "") -> tuple[float, float]:
    """From when until when, by the client's own clock. `first` and `last`: days of the period 'days'. Raises ValueError."""
    here = zone(time_zone)
    today = datetime.fromtimestamp(now, here).date()
    if name == "week":
        monday = today - timedelta(days=today.weekday() + 7)
        days = monday, monday + timedelta(days=7)
    elif name == "days":
        days = datetime.strptime(first, "%Y-%m-%d").date(), datetime.strptime(last, "%Y-%m-%d").date() + timedelta(days=1)
        if days[0] >= days[1]:
            raise ValueError("the last day is before the first")
    elif name == "today":
        days = today, today + timedelta(days=1)
    else:
        return now - int(name) * 24 * 3600, now
    begin, end = (datetime.combine(day, time(), here).timestamp() for day in days)
    return begin, end


def present(context: Context, client_id: int) -> dict[str, Any]:
    """The candidate that changes nothing."""
    stored = clients.as_stored(context.db, client_id)
    return {column: stored[column] for column in TRIED}


def start_turns(context: Context, client_id: int, message_ids: Sequence[int], candidate: dict, chosen: str, user_id: int | None) -> int:
    """The newest MOST_TURNS of them at most. `message_ids`: oldest first."""
    return _start(context, client_id, "turns", chosen, candidate, list(message_ids)[-MOST_TURNS:], user_id)


def start_checks(context: Context, client_id: int, candidate: dict, user_id: int | None) -> int:
    """All of the client's, as they are now."""
    asked = [check.asked for check in checks.of_client(context.db, client_id)]
    return _start(context, client_id, "checks", f"{len(asked)} checks" if len(asked) != 1 else "1 check", candidate, asked, user_id)


def _start(context: Context, client_id: int, kind: str, chosen: str, candidate: dict, items: Sequence, user_id: int | None) -> int:
    model = candidate["model"] or context.settings.ollama_model
    with transaction(context.db) as db:
        replay_id = replays.add(db, client_id, kind, chosen, candidate, model, items, user_id=user_id, now=context.now())
    ring(context)
    return replay_id


def ring(context: Context) -> None:
    with context.ringing():
        context.queues.replays()


# --- the candidate ----------------------------------------------------------------------------------------------------------


def tried(context: Context, replay: Replay) -> Client:
    """The client as the replay has it."""
    return as_tried(clients.get(context.db, replay.client_id, context.settings), replay.candidate, replay.model)


def as_tried(client: Client, candidate: dict, model: str) -> Client:
    return replace(client, **{**candidate, "model": model})


def changes(context: Context, replay: Replay) -> dict[str, tuple[Any, Any]]:
    """Columns in which the candidate differs from the client as it is now: what it is, what it would become."""
    now = present(context, replay.client_id)
    return {column: (now[column], value) for column, value in replay.candidate.items() if now[column] != value}


def adopt(context: Context, replay: Replay, user_id: int, seen: str) -> bool:
    """The candidate becomes the client's own; a changed prompt is a new version. False: somebody saved the client since `seen`."""
    now = context.now()
    with transaction(context.db) as db:
        if seen != seen_of(clients.as_stored(db, replay.client_id)):
            return False
        clients.set_prompt(db, replay.client_id, replay.candidate["system_prompt"], now, user_id)
        others = {column: value for column, value in replay.candidate.items() if column != "system_prompt"}
        clients.change(db, replay.client_id, others, now)
        replays.adopted(db, replay.id, now)
        audit.record(db, "client.prompt", f"client {replay.client_id}", now, as_in_replay=replay.id)
    return True


def seen_of(stored: dict) -> str:
    """What a page remembers of the client that it showed."""
    return repr(stored["updated_at"])


# --- what came of it --------------------------------------------------------------------------------------------------------


def answer_given(turn: PastTurn, client: Client) -> str:
    """Without the apology that stands before late answers: the model did not say it."""
    return turn.answer.removeprefix(client.apology_text).strip() if client.apology_text else turn.answer


def past(context: Context, message_ids: Sequence[int]) -> dict[int, PastTurn]:
    return past_turns.get(context.db, message_ids)


@dataclass(frozen=True, slots=True)
class Summary:
    """Before and now: medians of characters and of model seconds (None: not known), refusals; and how many changed.

    `now_seconds`: the median of all that are done, also where the time before is not known.
    """

    turns: int
    length: tuple[float | None, float | None]
    seconds: tuple[float | None, float | None]
    now_seconds: float | None
    declined: tuple[int, int]
    passages: int
    same_words: int


def summary(context: Context, replay_id: int) -> Summary:
    figures = replays.figures(context.db, replay_id)

    def medians(name: str) -> tuple[float | None, float | None]:
        """Of turns for which both are known."""
        pairs = [each[name] for each in figures if None not in each[name]]
        return tuple(statistics.median(side) for side in zip(*pairs, strict=True)) if pairs else (None, None)

    return Summary(
        turns=len(figures),
        length=medians("length"),
        seconds=medians("seconds"),
        now_seconds=statistics.median(each["seconds"][1] for each in figures) if figures else None,
        declined=(sum(each["declined"][0] for each in figures), sum(each["declined"][1] for each in figures)),
        passages=sum(bool(each["added"] or each["lost"]) for each in figures),
        same_words=sum(each["same"] for each in figures),
    )


def seconds_left(context: Context, replay_id: int, items: int) -> float | None:
    """Of the model's time, by what it took so far; None: nothing is known yet. Customers' answers go first and are not part of it."""
    took = [each["seconds"][1] for each in replays.figures(context.db, replay_id)]
    return items * statistics.mean(took) if took else None


# --- changes to a replay ----------------------------------------------------------------------------------------------------


def pause(context: Context, replay_id: int) -> int:
    """How many items it concerned, as with the following. An inference under way is broken off."""
    with transaction(context.db) as db:
        return replays.pause(db, replay_id)


def resume(context: Context, replay_id: int) -> int:
    with transaction(context.db) as db:
        count = replays.resume(db, replay_id, context.now())
    ring(context)
    return count


def cancel(context: Context, replay_id: int) -> int:
    with transaction(context.db) as db:
        return replays.cancel(db, replay_id)


def retry(context: Context, replay_id: int) -> int:
    with transaction(context.db) as db:
        count = replays.retry_failed(db, replay_id, context.now())
    ring(context)
    return count


def delete(context: Context, replay_id: int) -> int:
    with transaction(context.db) as db:
        return replays.delete(db, replay_id)
