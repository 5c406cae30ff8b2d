"""The overview: what is going on now, and the last hour, day or week as figures and plots."""

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, render_template, request

from frontdesk import queues
from frontdesk.flows import digest_days, hours, mends, model_hosts
from frontdesk.flows.context import Context
from frontdesk.histogram import Histogram, added, percentile
from frontdesk.store import canary, clients, dead_letters, digests, documents, inbox, measures, models, numbers
from frontdesk.store.measures import Counted
from frontdesk.web import access
from frontdesk.web.inbox import if_changed
from frontdesk.web.plots import Series, bar_plot, line_plot

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Span:
    """How far back, in which steps (seconds), and how a step is called (strftime)."""

    label: str
    seconds: int
    step: int
    clock: str


SPANS = {
    "hour": Span("Hour", HOUR, 5 * MINUTE, "%H:%M"),
    "day": Span("Day", DAY, HOUR, "%H:%M"),
    "week": Span("Week", 7 * DAY, 6 * HOUR, "%a %H:%M"),
}


def overview_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("overview", __name__))

    @pages.get("/overview")
    def overview():
        return render_template("desk/overview.html", **_values(context), known="")

    @pages.get("/overview/figures")
    def figures():
        return if_changed("desk/_overview.html", **_values(context))

    return pages


def _values(context: Context) -> dict:
    name = request.args.get("span", "day")
    name = name if name in SPANS else "day"
    span, client_id = SPANS[name], request.args.get("client", type=int)
    end = (context.now() // span.step + 1) * span.step
    begin = end - span.seconds
    counted = measures.between(context.db, begin, end, span.step, client_id)
    total = Counted()
    for one in counted.values():
        total.add(one)
    return {
        "which": name,
        "spans": SPANS,
        "client_id": client_id,
        "clients": clients.names(context.db),
        **_digest(context, client_id),
        "now": _now(context, client_id),
        "total": total,
        "split": _split(total),
        "failures": _failures(total),
        "plots": _plots(span, counted) + _plots_of_redis(context, span, begin, end),
    }


def _digest(context: Context, client_id: int | None) -> dict:
    newest = next(iter(digests.newest(context.db, client_id)), None)
    return {"digest": newest, "digest_day": digest_days.in_words(newest.day) if newest else ""}


def _now(context: Context, client_id: int | None) -> dict:
    """The tiles: how it stands at this moment. Who waits or needs a person is of the client; the rest is of the house."""
    db, now = context.db, context.now()
    counts = inbox.counts(db, now=now, user_id=0, client_id=client_id)
    longest = inbox.page(db, "waiting", now=now, user_id=0, client_id=client_id, limit=1)
    hosts = model_hosts.reply_hosts(context)
    states = [(model, models.best(db, hosts, model)) for model in clients.models_in_use(db, context.settings)]
    return {
        "waiting": counts["waiting"],
        "longest": longest[0].waiting_since if longest else None,
        "person": counts["person"],
        "dead": dead_letters.count(db) + len(dead_letters.left_over(db)),
        "stopped": sum(number.stopped_at is not None for number in numbers.all_of_them(db)),
        "documents": documents.open_count(db),
        "canary": canary.get(db) if context.settings.canary_minutes else None,
        "queues": _depths(context),
        "models": states,
        "hosts": model_hosts.standing(context),
    }


def _depths(context: Context) -> dict[str, int] | None:
    """None: Redis does not answer."""
    try:
        return {"inbox": context.inbox.length()} | {name: context.queues.depth(name) for name in queues.QUEUES}
    except queues.RedisError:
        return None


def _split(total: Counted) -> list[tuple[str, float | None, float | None]]:
    """Of an answer: what, p50, p95 in seconds."""
    names = {
        "answer": "Answer, from the first message to WhatsApp", "waited": "Waiting and quiet time",
        "retrieval": "Searching the documents", "model": "The model", "send": "Sending",
    }  # fmt: skip
    found = total.durations
    return [(label, percentile(found[name], 0.5), percentile(found[name], 0.95)) for name, label in names.items()]


def _failures(total: Counted) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for code, count in total.failures.items():
        title = mends.cause_of(code).title
        found[title] = found.get(title, 0) + count
    return sorted(found.items(), key=lambda pair: -pair[1])


def _plots(span: Span, counted: dict[float, Counted]) -> list:
    labels = _labels(span, counted)
    steps = list(counted.values())
    answers = [one.durations["answer"] for one in steps]
    return [
        bar_plot("Messages", "", labels, [
            Series("from customers", "a", [one.received for one in steps]),
            Series("from the bot", "b", [one.bot for one in steps]),
            Series("from people", "c", [one.person for one in steps]),
        ]),
        line_plot("Time to the answer", " s", labels, [
            Series("half are quicker (p50)", "a", [percentile(one, 0.5) for one in answers]),
            Series("95 of 100 are quicker (p95)", "c", [percentile(one, 0.95) for one in answers]),
        ]),
        bar_plot("Not delivered", "", labels, [Series("failed", "d", [sum(one.failures.values()) for one in steps])]),
    ]  # fmt: skip


def _plots_of_redis(context: Context, span: Span, begin: float, end: float) -> list:
    """What is told there alone, and for every client together; nothing while Redis is away."""
    kept = min(span.step, HOUR)
    starts = [begin + n * kept for n in range(int((end - begin) / kept))]
    steps = starts[:: span.step // kept]
    try:
        found = context.acknowledgements.read(starts, kept)
        speeds = context.speeds.read(steps, span.step)
    except queues.RedisError:
        return []
    per_step = span.step // kept
    acknowledged: list[Histogram] = [added(found[n : n + per_step]) for n in range(0, len(found), per_step)]
    labels = _labels(span, steps)

    def milliseconds(share: float) -> list[float | None]:
        return [1000 * value if (value := percentile(one, share)) is not None else None for one in acknowledged]

    return [
        line_plot("Speed of the model", "", labels, [Series("tokens a second", "a", speeds)]),
        line_plot("Acknowledging a webhook", " ms", labels, [
            Series("p50", "a", milliseconds(0.5)),
            Series("p95", "c", milliseconds(0.95)),
        ]),
    ]  # fmt: skip


def _labels(span: Span, starts) -> list[str]:
    """In the reader's time zone, which their browser keeps in a cookie."""
    zone = hours.zone(request.cookies.get("zone", "UTC"))
    return [datetime.fromtimestamp(at, zone).strftime(span.clock) for at in starts]
