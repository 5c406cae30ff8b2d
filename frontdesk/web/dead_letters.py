"""Dead letters and rejected events: look, retry, dismiss. For owners."""

import json

from flask import Blueprint, g, render_template, request

from frontdesk import queues
from frontdesk.flows import dead_letters as flow
from frontdesk.flows.context import Context
from frontdesk.store import dead_letters, events
from frontdesk.web import access
from frontdesk.web.pages import flash, see_other

SHOWN = 50
LONGEST_REASON = 300
PAGE = 30


def dead_letter_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("dead_letters", __name__), role=access.OWNER)

    @pages.get("/dead-letters")
    def letters():
        return _letters_page(context)

    @pages.post("/dead-letters/retry")
    def retry():
        message_ids, conversation_ids = _chosen(context)
        if not message_ids and not conversation_ids:
            flash("Choose at least one.", "warning")
            return see_other(".letters")
        if request.form.get("anyway") != "yes" and (standing := _standing(context, message_ids, conversation_ids)):
            return _letters_page(context, standing=standing, message_ids=message_ids, conversation_ids=conversation_ids)
        sent = flow.retry(context, message_ids)
        answered = flow.answer_left_over(context, conversation_ids)
        _tell(sent.retried + answered.retried, sent.refused + answered.refused)
        return see_other(".letters")

    @pages.post("/dead-letters/dismiss")
    def dismiss():
        message_ids, conversation_ids = _chosen(context)
        reason = request.form.get("reason", "").strip()[:LONGEST_REASON]
        if not reason:
            flash("Write why: whoever looks later will want to know.", "warning")
        elif count := flow.dismiss(context, message_ids, conversation_ids, g.user.id, reason):
            flash(f"Dismissed: {count}.", "success")
        return see_other(".letters")

    @pages.get("/rejected")
    def rejected():
        found = events.rejected(context.db, before=request.args.get("before", type=int), limit=PAGE + 1)
        return render_template(
            "desk/rejected.html",
            rejected=[(event, _pretty(event.body)) for event in found[:PAGE]],
            older=found[PAGE - 1].id if len(found) > PAGE else None,
            **_tab_counts(context),
        )

    @pages.post("/rejected/<int:event_id>/replay")
    def replay(event_id: int):
        if flow.replay(context, event_id):
            flash("Taken in again. If it is still not understood, it comes back here in a moment.", "success")
        else:
            flash("It was settled already, or its whole webhook was not kept.", "warning")
        return see_other(".rejected")

    @pages.post("/rejected/<int:event_id>/dismiss")
    def dismiss_rejected(event_id: int):
        events.dismiss_rejected(context.db, event_id, context.now())
        flash("Dismissed.", "success")
        return see_other(".rejected")

    return pages


def _letters_page(context: Context, **asked):
    groups = flow.groups(context)
    return render_template(
        "desk/dead_letters.html",
        groups=groups,
        shown=SHOWN,
        hindrance=lambda letter: flow.hindrance(letter, context.now()),
        failed_jobs=_failed_jobs(context),
        **{"standing": {}, "message_ids": [], "conversation_ids": []} | asked,
        **_tab_counts(context, sum(group.count for group in groups)),
    )


def _tab_counts(context: Context, letters: int | None = None) -> dict:
    if letters is None:
        letters = dead_letters.count(context.db) + len(dead_letters.left_over(context.db))
    return {"letter_count": letters, "rejected_count": events.count_rejected(context.db)}


def _failed_jobs(context: Context) -> dict[str, int]:
    try:
        return context.queues.failed_jobs()
    except queues.RedisError:
        return {}


def _chosen(context: Context) -> tuple[list[int], list[int]]:
    """Message ids and conversation ids: the ticked ones, or all of a group."""
    wanted = request.form.get("group")
    if request.form.get("all") == "yes" and wanted:
        group = next((group for group in flow.groups(context) if group.cause.name == wanted), None)
        if group is None:
            return [], []
        return [letter.id for letter in group.letters], [each.conversation_id for each in group.left_over]
    return request.form.getlist("message", type=int), request.form.getlist("conversation", type=int)


def _standing(context: Context, message_ids: list[int], conversation_ids: list[int]) -> dict[str, int]:
    """Reason → how many of these would fail again or wait."""
    letters = [letter for id_ in message_ids if (letter := dead_letters.get(context.db, id_))]
    found: dict[str, int] = {}
    for why in filter(None, (flow.hindrance(letter, context.now()) for letter in letters)):
        found[why] = found.get(why, 0) + 1
    if conversation_ids and flow.models_away(context):
        found["the model is still away"] = len(conversation_ids)
    return found


def _tell(retried: int, refused: dict[str, int]) -> None:
    if retried:
        flash(f"On their way again: {retried}.", "success")
    for why, count in refused.items():
        flash(f"Left alone: {count}, because {why}.", "warning")


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body
