"""Checks on the desk: a client's questions with what their answers must say, by hand or as CSV, and asking them all. For owners."""

from flask import Blueprint, Response, abort, g, render_template, request

from frontdesk.errors import BadCheck
from frontdesk.flows import checks, replays
from frontdesk.flows.context import Context
from frontdesk.store import checks as rows
from frontdesk.store import past_turns
from frontdesk.store import replays as replay_rows
from frontdesk.store.checks import Check, Question
from frontdesk.store.database import transaction
from frontdesk.web import access, errors
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, known_client, see_other


def check_pages(context: Context) -> Blueprint:
    pages = Blueprint("checks", __name__)

    @pages.before_request
    def take_files():
        """Before anything reads the form, and of this one address alone."""
        if request.endpoint == "checks.take_in":
            request.max_content_length = checks.LARGEST_FILE_BYTES + 10_000

    access.protect(pages, role=access.OWNER)

    @pages.errorhandler(413)
    def too_large(error):
        return errors.shown(413, f"A file of checks may have {checks.LARGEST_FILE_BYTES // 10**6} MB.")

    @pages.get("/clients/<int:client_id>/checks")
    def of_client(client_id: int):
        return _list(context, client_id, _prefilled(context, client_id))

    @pages.post("/clients/<int:client_id>/checks")
    def add(client_id: int):
        known_client(context, client_id)
        form, asked = _read()
        if form:
            try:
                checks.add(context, client_id, asked)
            except BadCheck as error:
                form.wrong(error.field, str(error))
        if not form:
            return _list(context, client_id, form), 422
        flash("The check is there.", "success")
        return see_other(".of_client", client_id=client_id)

    @pages.get("/clients/<int:client_id>/checks/<int:check_id>")
    def edit(client_id: int, check_id: int):
        check = _check(context, client_id, check_id)
        return render_template("desk/check.html", client=known_client(context, client_id), check=check, form=_typed(check.asked))

    @pages.post("/clients/<int:client_id>/checks/<int:check_id>")
    def save(client_id: int, check_id: int):
        check = _check(context, client_id, check_id)
        form, asked = _read()
        if not form:
            return render_template("desk/check.html", client=known_client(context, client_id), check=check, form=form), 422
        with transaction(context.db) as db:
            rows.change(db, check_id, asked, context.now())
        flash("Saved.", "success")
        return see_other(".of_client", client_id=client_id)

    @pages.post("/clients/<int:client_id>/checks/<int:check_id>/remove")
    def remove(client_id: int, check_id: int):
        _check(context, client_id, check_id)
        with transaction(context.db) as db:
            rows.remove(db, check_id)
        flash("The check is removed.", "success")
        return see_other(".of_client", client_id=client_id)

    @pages.post("/clients/<int:client_id>/checks/run")
    def run(client_id: int):
        known_client(context, client_id)
        if not rows.count(context.db, client_id):
            flash("There are no checks yet.", "warning")
            return see_other(".of_client", client_id=client_id)
        replay_id = replays.start_checks(context, client_id, replays.present(context, client_id), g.user.id)
        return see_other("replays.show", replay_id=replay_id)

    @pages.post("/clients/<int:client_id>/checks/import")
    def take_in(client_id: int):
        known_client(context, client_id)
        form, file = _typed(Question("")), request.files.get("file")
        if not file or not file.filename:
            form.wrong("file", "Choose a file.")
        else:
            try:
                added, changed = checks.take_in(context, client_id, file.read(checks.LARGEST_FILE_BYTES + 1))
            except BadCheck as error:
                form.wrong("file", str(error))
        if not form:
            return _list(context, client_id, form), 422
        flash(f"{added} added, {changed} changed.", "success")
        return see_other(".of_client", client_id=client_id)

    @pages.get("/clients/<int:client_id>/checks.csv")
    def take_along(client_id: int):
        known_client(context, client_id)
        body = checks.as_csv(rows.of_client(context.db, client_id))
        return Response("\ufeff" + body, mimetype="text/csv", headers={"Content-Disposition": "attachment; filename=checks.csv"})

    return pages


def _check(context: Context, client_id: int, check_id: int) -> Check:
    found = rows.get(context.db, check_id)
    return found if found and found.client_id == client_id else abort(404, "There is no such check any more.")


def _list(context: Context, client_id: int, form: Form) -> str:
    newest = replay_rows.newest_of_checks(context.db, client_id)
    return render_template(
        "desk/checks.html",
        client=known_client(context, client_id),
        checks=rows.of_client(context.db, client_id),
        form=form,
        newest=newest,
        newest_counts=replay_rows.filter_counts(context.db, newest.id) if newest else None,
        total=replay_rows.counts(context.db, newest.id).total() if newest else 0,
    )


def _read() -> tuple[Form, Question | None]:
    form = Form(**{name: request.form.get(name, "") for name in ("question", "must", "must_not", "must_decline")})
    try:
        return form, checks.question(
            form.values["question"], form.values["must"], form.values["must_not"], form.values["must_decline"] == "yes"
        )
    except BadCheck as error:
        form.wrong(error.field, str(error))
        return form, None


def _typed(asked: Question) -> Form:
    decline = "yes" if asked.must_decline else ""
    return Form(question=asked.question, must="\n".join(asked.must), must_not="\n".join(asked.must_not), must_decline=decline)


def _prefilled(context: Context, client_id: int) -> Form:
    """With the customer's words of a replay's turn, where the address names one."""
    item = replay_rows.item(context.db, request.args.get("item", 0, type=int))
    replay = item and replay_rows.get(context.db, item.replay_id)
    if not replay or replay.client_id != client_id or item.message_id is None:
        return _typed(Question(""))
    turn = past_turns.get(context.db, [item.message_id]).get(item.message_id)
    return _typed(Question("\n".join(turn.asked)[: checks.LONGEST_QUESTION] if turn else ""))
