"""Questions that the documents did not answer, most asked first: dismissed, or answered here once and for all. For owners."""

from flask import Blueprint, abort, render_template, request

from frontdesk.flows import question_answers as answering, retrieval
from frontdesk.flows.context import Context
from frontdesk.flows.extraction import Unreadable
from frontdesk.store import clients, knowledge, questions
from frontdesk.store.database import transaction
from frontdesk.store.passages import letters_of
from frontdesk.store.questions import Group
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.knowledge import chosen_client, found_by_words
from frontdesk.web.pages import flash, see_other

SHOWN = 25
ASKED_IN = 3  # conversations named under a question
ANSWERED_SHOWN = 10
FURTHEST = 10_000


def question_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("questions", __name__), role=access.OWNER)

    @pages.get("/knowledge/questions")
    def all_questions():
        return _page(context, chosen_client(context, request.args.get("client")), Form())

    @pages.post("/knowledge/questions/<int:group_id>/dismiss")
    def dismiss(group_id: int):
        group = _known(context, group_id)
        with transaction(context.db) as db:
            questions.dismiss(db, group.id)
        flash("Dismissed. It is not shown again, also when it is asked again.", "success")
        return see_other(".all_questions", client=group.client_id)

    @pages.post("/knowledge/questions/<int:group_id>/answer")
    def answer(group_id: int):
        group, form = _known(context, group_id), Form()
        question = form.words("question", "The question", answering.LONGEST_QUESTION)
        words = form.words("answer", "The answer", answering.LONGEST_ANSWER)
        if form:
            try:
                answering.answer(context, group, question, words)
            except Unreadable as error:
                form.wrong("answer", f"{str(error)[:1].upper()}{str(error)[1:]}.")
        if not form:
            return _page(context, group.client_id, form, group), 422
        flash("Your answer is being put into the knowledge.", "success")
        return see_other(".all_questions", client=group.client_id)

    return pages


def _known(context: Context, group_id: int) -> Group:
    return questions.group(context.db, group_id) or abort(404, "This question is not there, or no longer.")


def _page(context: Context, client_id: int, form: Form, wrong: Group | None = None) -> str:
    """`wrong`: the question whose answer `form` holds."""
    db, start = context.db, min(max(0, request.args.get("from", 0, type=int)), FURTHEST)
    groups = questions.open_groups(db, client_id, start, SHOWN + 1)
    more = start + SHOWN if len(groups) > SHOWN else None
    shown = groups[:SHOWN]
    if wrong and wrong.id not in {group.id for group in shown}:
        shown.insert(0, wrong)
    return render_template(
        "desk/questions.html", client_id=client_id, names=clients.names(db), start=start, before=max(0, start - SHOWN) if start else None, more=more,
        groups=[(group, questions.of_group(db, group.id, ASKED_IN)) for group in shown],
        forms={group.id: form if wrong and wrong.id == group.id else Form(question=" ".join(group.text.split())) for group in shown},
        wrong_id=wrong.id if wrong else None,
        answered=[(group, *_now_found(context, group)) for group in questions.answered_groups(db, client_id, ANSWERED_SHOWN)],
        limits=answering,
    )  # fmt: skip


def _now_found(context: Context, group: Group) -> tuple[retrieval.Passage | None, int, bool]:
    """The passage that answers it now and its place among those found (0: not among them), and whether that may still change."""
    found = found_by_words(context, group.client_id, group.text)
    asked = letters_of(group.text)
    for place, passage in enumerate(found, start=1):
        if passage.name == answering.NAME and passage.headings and letters_of(passage.headings[-1]) == asked:
            return passage, place, False
    document = knowledge.get(context.db, group.document_id)
    return None, 0, bool(document and document.wanted and not document.live)
