"""Dead letters: look, retry, dismiss. For owners. Both are asked about first where that is needed: nothing happens blindly."""

from dataclasses import dataclass
from itertools import groupby

from flask import Blueprint, abort, g, render_template, request

from frontdesk import queues
from frontdesk.flows import dead_letters as flow
from frontdesk.flows import mends
from frontdesk.flows.context import Context
from frontdesk.store import dead_letters, events
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other

SHOWN = 8  # of each cause where all causes are shown
PAGE = 50
LONGEST_REASON = 300


def dead_letter_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("dead_letters", __name__), role=access.OWNER)

    @pages.get("/dead-letters")
    def letters():
        return _letters_page(context)

    @pages.get("/dead-letters/cause/<name>")
    def cause(name: str):
        group = _group(context, name)
        if group is None:
            return see_other(".letters")  # the last of them was settled meanwhile
        found = dead_letters.with_codes(context.db, group.codes, request.args.get("before", type=int), PAGE + 1)
        older = f"/dead-letters/cause/{name}?before={found[PAGE - 1].id}" if len(found) > PAGE else ""
        return _letters_page(context, only=name, shown={name: found[:PAGE]}, older=older)

    @pages.get("/dead-letters/<int:message_id>")
    def letter(message_id: int):
        return _inside_page(context, message_id)

    @pages.post("/dead-letters/retry")
    def retry():
        chosen = _chosen(context)
        if not chosen:
            flash("Choose at least one.", "warning")
            return see_other(".letters")
        anyway = request.form.get("anyway") == "yes"
        standing = flow.standing(context, chosen.message_ids, chosen.conversation_ids)
        if standing and not anyway:
            return _ask_page(context, "retry", chosen, standing=standing)
        sent = flow.retry(context, chosen.message_ids, anyway=anyway)
        answered = flow.answer_left_over(context, chosen.conversation_ids)
        _tell(sent.retried + answered.retried, sent.refused + answered.refused, answered.held)
        return see_other(".letters")

    @pages.post("/dead-letters/dismiss")
    def dismiss():
        chosen = _chosen(context)
        if not chosen:
            flash("Choose at least one.", "warning")
            return see_other(".letters")
        form = Form()
        if "reason" not in request.form:
            return _ask_page(context, "dismiss", chosen, form=form)
        reason = form.text("reason", "The reason", LONGEST_REASON)
        if not form:
            return _ask_page(context, "dismiss", chosen, form=form), 422
        count = flow.dismiss(context, chosen.message_ids, chosen.conversation_ids, g.user.id, reason)
        flash(f"Dismissed: {count}." if count else "Somebody has settled it.", "success" if count else "warning")
        return see_other(".letters")

    return pages


@dataclass
class Chosen:
    """`group`: all of this cause was meant, so that a second page need not repeat every id."""

    message_ids: list[int]
    conversation_ids: list[int]
    group: str = ""

    def __len__(self) -> int:
        return len(self.message_ids) + len(self.conversation_ids)


def _chosen(context: Context) -> Chosen:
    if request.form.get("all") != "yes":
        return Chosen(request.form.getlist("message", type=int), request.form.getlist("conversation", type=int))
    group = _group(context, request.form.get("group", ""))
    if group is None:
        return Chosen([], [])
    message_ids = dead_letters.ids_with_codes(context.db, group.codes) if group.codes else []
    return Chosen(message_ids, [each.conversation_id for each in group.left_over], group.cause.name)


def _group(context: Context, name: str) -> flow.Group | None:
    return next((group for group in flow.groups(context) if group.cause.name == name), None)


def _letters_page(context: Context, only: str = "", shown: dict | None = None, older: str = ""):
    groups = flow.groups(context)
    return render_template(
        "desk/dead_letters.html",
        groups=[group for group in groups if not only or group.cause.name == only],
        only=only,
        shown=shown or {group.cause.name: dead_letters.with_codes(context.db, group.codes, None, SHOWN) for group in groups},
        most_left_over=PAGE if only else SHOWN,
        older=older,
        places=lambda group: flow.places(context, group),
        hindrance=lambda letter: flow.hindrance(letter, context.now()),
        failed_jobs=[] if only else _failed_jobs(context),
        **tab_counts(context, sum(group.count for group in groups)),
    )


def _ask_page(context: Context, what: str, chosen: Chosen, **asked):
    return render_template("desk/dead_letters_ask.html", what=what, chosen=chosen, **asked)


def _inside_page(context: Context, message_id: int):
    row = dead_letters.inside(context.db, message_id)
    if row is None:
        abort(404)
    [letter] = dead_letters.these(context.db, [message_id]) or [None]
    return render_template(
        "desk/dead_letter.html",
        row=row,
        cause=mends.cause_of(row["error_code"]),
        is_open=letter is not None,
        window_is_open=(row["window_closes_at"] or 0) > context.now(),
        hindrance=flow.hindrance(letter, context.now()) if letter else None,
    )


def tab_counts(context: Context, letters: int | None = None) -> dict:
    if letters is None:
        letters = dead_letters.count(context.db) + len(dead_letters.left_over(context.db))
    return {"letter_count": letters, "rejected_count": events.count_rejected(context.db)}


def _failed_jobs(context: Context) -> list[tuple[mends.Cause, list[queues.FailedJobs]]]:
    """RQ's own failed jobs by cause. Nothing while Redis is away: the banner says that already."""
    try:
        found = context.queues.failed_jobs()
    except queues.RedisError:
        return []
    by_cause = sorted(found, key=lambda jobs: mends.cause_of_job(jobs.exception).name)
    return [(cause, list(jobs)) for cause, jobs in groupby(by_cause, key=lambda jobs: mends.cause_of_job(jobs.exception))]


def _tell(retried: int, refused: dict[str, int], held: int) -> None:
    if retried:
        flash(f"On their way again: {retried}.", "success")
    if held:
        flash(f"A person has the conversation, so the bot is silent: {held}. It answers when it is handed back.", "warning")
    for why, count in refused.items():
        flash(f"Left alone: {count}, because {why}.", "warning")
