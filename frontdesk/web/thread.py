"""One conversation on the desk: what was said, the composer, and what people do with it."""

import logging

from flask import Blueprint, abort, g, redirect, render_template, request, url_for

from frontdesk import queues
from frontdesk.flows import live_answer, mends, receiving, suggest, take_over, waits
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.store import canned, conversations, inbox, notes, numbers, received_files, seen, suggestions, thread, tool_calls, users, widgets
from frontdesk.store.conversations import Conversation
from frontdesk.web import access, attachments, offers
from frontdesk.web.inbox import if_changed, list_values

log = logging.getLogger(__name__)

PAGE = 50
MOST = 400  # lines to read anew with each poll: what one scrolled back to stays on the page


def thread_pages(context: Context) -> Blueprint:
    pages = Blueprint("thread", __name__)
    pages.before_request(attachments.take_files)
    access.protect(pages)
    pages.add_app_template_global(lambda code: mends.cause_of(code).mend, "mend")

    @pages.get("/inbox/<int:conversation_id>")
    def show(conversation_id: int):
        conversation = _conversation(context, conversation_id)
        inbox.mark_read(context.db, conversation_id)
        around = request.args.get("at", type=int)
        since = thread.start_of_page_around(context.db, conversation_id, around) if around else None
        before = thread.end_of_page_from(context.db, conversation_id, since, MOST, PAGE) if since else None
        values = _recent(context, conversation, since, before)
        return render_template(
            "desk/thread.html",
            **{**list_values(context), **values},
            chosen=conversation_id,
            around=around,
            canned=canned.of(context.db, values["customer"].client_id),
            **_offered(context, conversation),
            others=thread.other_conversations(context.db, conversation_id),
            known="",
        )

    @pages.get("/inbox/<int:conversation_id>/recent")
    def recent(conversation_id: int):
        """The part of the thread that is looked at and everything about its state, 204 where it is what `known` says."""
        conversation = _conversation(context, conversation_id)
        inbox.mark_read(context.db, conversation_id)
        since, before = request.args.get("since", type=int), request.args.get("before", type=int)
        return if_changed("desk/_recent.html", **_recent(context, conversation, since, before))

    @pages.get("/inbox/<int:conversation_id>/older")
    def older(conversation_id: int):
        _conversation(context, conversation_id)
        before = request.args.get("before", type=int)
        lines = thread.page(context.db, conversation_id, before=before, limit=PAGE)
        values = _lines(context, conversation_id, lines, end=thread.written_at(context.db, conversation_id, before))
        return render_template("desk/_older.html", conversation_id=conversation_id, **values)

    @pages.post("/inbox/<int:conversation_id>/answer")
    def answer(conversation_id: int):
        _conversation(context, conversation_id)
        try:
            _send(context, conversation_id)
        except CannotSend as error:
            return _composer(context, conversation_id, error)
        return _composer(context, conversation_id)

    @pages.post("/inbox/<int:conversation_id>/note")
    def note(conversation_id: int):
        _conversation(context, conversation_id)
        try:
            take_over.add_note(context, conversation_id, g.user.id, request.form.get("text", ""))
        except CannotSend as error:
            return _composer(context, conversation_id, error)
        return _composer(context, conversation_id)

    @pages.post("/inbox/<int:conversation_id>/<action>")
    def act(conversation_id: int, action: str):
        _conversation(context, conversation_id)
        if action == "unread":
            inbox.mark_unread(context.db, conversation_id)
            return redirect(url_for("inbox.inbox_page"), 303)
        if action not in _ACTIONS:
            abort(404)
        _ACTIONS[action](context, conversation_id)
        return redirect(url_for(".show", conversation_id=conversation_id), 303)

    @pages.post("/inbox/<int:conversation_id>/files/<int:message_id>/again")
    def receive_again(conversation_id: int, message_id: int):
        _conversation(context, conversation_id)
        if received_files.get(context.db, message_id) is None or received_files.origin(context.db, message_id).conversation_id != conversation_id:
            abort(404, "This file is not here.")
        receiving.want_again(context, message_id)
        return redirect(url_for(".show", conversation_id=conversation_id, at=message_id), 303)

    @pages.post("/inbox/<int:conversation_id>/suggest")
    def ask_model(conversation_id: int):
        _conversation(context, conversation_id)
        suggestion_id = suggest.ask_for_draft(context, conversation_id, g.user.id, request.form.get("text", ""))
        return _suggestion(context, conversation_id, suggestion_id)

    @pages.get("/inbox/<int:conversation_id>/suggestions/<int:suggestion_id>")
    def suggestion(conversation_id: int, suggestion_id: int):
        return _suggestion(context, conversation_id, suggestion_id)

    return pages


_ACTIONS = {
    "take": lambda context, id_: take_over.take_over(context, id_, g.user.id),
    "hand-back": take_over.hand_back,
    "close": lambda context, id_: take_over.close(context, id_, seen_message_id=request.form.get("seen", type=int)),
    "reopen": take_over.hand_back,
    "settle": lambda context, id_: conversations.person_is_there(context.db, id_),
}


def _send(context: Context, conversation_id: int) -> None:
    """What the composer holds: a reaction, a file with what goes with it, or a text. Raises CannotSend."""
    form, file = request.form, request.files.get("file")
    seen = {"seen_message_id": form.get("seen", type=int), "anyway": form.get("anyway") == "yes"}
    reply_to = form.get("reply_to") or None
    if form.get("emoji"):
        take_over.react(context, conversation_id, g.user.id, attachments.reaction(context, reply_to, form["emoji"]))
    elif file and file.filename:
        prepare = attachments.file(context, conversation_id, file, form.get("text", ""), reply_to)
        take_over.send_by_person(context, conversation_id, g.user.id, prepare, **seen)
    else:
        take_over.answer_by_person(context, conversation_id, g.user.id, form.get("text", ""), reply_to_external_id=reply_to, **seen)


def _conversation(context: Context, conversation_id: int) -> Conversation:
    return conversations.get(context.db, conversation_id) or abort(404, "This conversation is not here.")


def _offered(context: Context, conversation: Conversation) -> dict:
    """What the composer may offer here: pages for more than a text, and kinds of content."""
    channel = context.channel(numbers.get(context.db, conversation.number_id).channel)
    return {"offered": offers.of(channel), "carries": channel.carries}


def _recent(context: Context, conversation: Conversation, since: int | None, before: int | None) -> dict:
    """`before`: the message at which an older part of the thread ends, with a link to what follows. None: up to the newest."""
    db = context.db
    lines = thread.page(db, conversation.id, since=since, before=before, limit=MOST if since else PAGE)
    people = {user.id: user.name for user in users.all_of_them(db)}
    return {
        **_lines(context, conversation.id, lines, end=thread.written_at(db, conversation.id, before)),
        "before": before,
        "conversation": conversation,
        "conversation_id": conversation.id,
        "customer": thread.customer(db, conversation.id),
        "details": widgets.details(db, conversation.contact_id),
        "joined": widgets.joined(db, conversation.id),
        "expects": waits.expected_seconds(context).get(conversation.id),
        "people": people,
        "others_here": _others_here(context, conversation.id, people),
        "window_open": (conversation.window_closes_at or 0) > context.now(),
        "now": context.now(),
    }


def _lines(context: Context, conversation_id: int, lines: list[thread.Line], end: float | None = None) -> dict:
    """Messages and the notes between them (before `end`, where the next page begins), in the order in which they came."""
    first = lines[0].id if lines else 0
    has_older = bool(lines) and bool(thread.page(context.db, conversation_id, before=first, limit=1))
    begin = lines[0].created_at if has_older else 0
    of_bot = [line.id for line in lines if line.purpose in ("answer", "holding")]
    noted = notes.between(context.db, conversation_id, begin, end)
    return {
        "entries": sorted([*lines, *noted], key=lambda entry: entry.created_at),
        "seen": seen.of_several(context.db, of_bot),
        "called": tool_calls.of_several(context.db, of_bot),
        "first": first,
        "newest": lines[-1].id if lines else 0,
        "has_older": has_older,
    }


def _others_here(context: Context, conversation_id: int, people: dict[int, str]) -> list[str]:
    """'Ana is writing', 'Ben is here'. Nobody while Redis is away: it is a courtesy."""
    writing = request.args.get("writing") == "yes"
    if writing:
        live_answer.person_types(context, conversation_id)
    try:
        others = context.presence.seen(conversation_id, g.user.id, context.now(), writing=writing)
    except queues.RedisError as error:
        log.debug("no presence: %s", type(error).__name__)
        return []
    here = [f"{people.get(id_, 'Somebody')} is {'writing' if writes else 'here'}" for id_, writes in sorted(others.items())]
    return [*here, "the visitor is writing"] if live_answer.visitor_is_typing(context, conversation_id) else here


def _composer(context: Context, conversation_id: int, error: CannotSend | None = None):
    """After sending: an empty composer; after a refusal: the same words, and the reason beside them."""
    conversation = _conversation(context, conversation_id)
    html = render_template(
        "desk/_composer.html",
        conversation=conversation,
        conversation_id=conversation_id,
        window_open=(conversation.window_closes_at or 0) > context.now(),
        customer=thread.customer(context.db, conversation_id),
        newest=request.form.get("seen", type=int) or 0,
        canned=canned.of(context.db, numbers.get(context.db, conversation.number_id).client_id),
        **_offered(context, conversation),
        error=error,
        typed=request.form.get("text", "") if error else "",
        as_note=request.path.endswith("/note"),
        now=context.now(),
    )
    return html, 422 if error else 200


def _suggestion(context: Context, conversation_id: int, suggestion_id: int):
    found = suggestions.get(context.db, suggestion_id)
    if found is None or found.conversation_id != conversation_id:
        abort(404)
    return render_template("desk/_suggestion.html", suggestion=found, used=tool_calls.read(found.tools), waited=context.now() - found.created_at)
