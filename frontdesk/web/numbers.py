"""Numbers: adding, changing, stopping, resuming and testing them. For owners. A token is never shown again."""

from flask import Blueprint, abort, render_template, request

from frontdesk.flows import diagnosis
from frontdesk.flows.context import Context
from frontdesk.store import audit, clients, numbers, outbox
from frontdesk.store.database import transaction
from frontdesk.web import access, webhook
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other, wants_fragment

# Meta's highest throughput tier.
MOST_PER_SECOND = 1000


def number_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("numbers", __name__), role=access.OWNER)

    @pages.get("/numbers/new")
    def new():
        form = Form(
            external_id=request.args.get("phone_number_id", ""), client=request.args.get("client", ""), messages_per_second="80"
        )
        return _new_page(context, form)

    @pages.post("/numbers")
    def add():
        form = Form()
        external_id, token = form.digits("external_id", "The phone number id"), _token(form)
        values = _read(context, form)
        if form and numbers.find(context.db, "cloud", external_id):
            form.wrong("external_id", "This number is here already.")
        if not form:
            return _new_page(context, form), 422
        with transaction(context.db) as db:
            number_id = numbers.put(
                db,
                context.settings,
                client_id=values["client_id"],
                channel="cloud",
                external_id=external_id,
                access_token=token,
                account_id=values["account_id"],
                display_phone=values["display_phone"],
                now=context.now(),
            )
            numbers.change(db, number_id, **values)
            audit.record(db, "number.added", f"number {number_id}", context.now(), external_id=external_id, client_id=values["client_id"])
        with context.ringing():
            context.queues.refresh_templates()
        flash("The number is there. Test it next.", "success")
        return see_other(".show", number_id=number_id)

    @pages.get("/numbers/<int:number_id>")
    def show(number_id: int):
        return _number_page(context, number_id)

    @pages.post("/numbers/<int:number_id>")
    def save(number_id: int):
        _known(context, number_id)
        form = Form()
        values = _read(context, form)
        token = request.form.get("access_token", "").strip()
        if not form:
            return _number_page(context, number_id, form), 422
        with transaction(context.db) as db:
            numbers.change(db, number_id, **values)
            if token:
                numbers.set_token(db, context.settings, number_id, token)
            audit.record(db, "number.changed", f"number {number_id}", context.now(), new_token=bool(token))
        with context.ringing():
            context.queues.refresh_templates()
        flash("Saved. A new token counts from the next message on." if token else "Saved.", "success")
        return see_other(".show", number_id=number_id)

    @pages.post("/numbers/<int:number_id>/stop")
    def stop(number_id: int):
        _known(context, number_id)
        with transaction(context.db) as db:
            if numbers.stop(db, number_id, numbers.BY_HAND, None, context.now()):
                audit.record(db, "number.stopped", f"number {number_id}", context.now())
        flash("Stopped. What is written waits until you resume it.", "success")
        return see_other(".show", number_id=number_id)

    @pages.post("/numbers/<int:number_id>/resume")
    def resume(number_id: int):
        _known(context, number_id)
        with transaction(context.db) as db:
            resumed = numbers.resume(db, number_id)
            if resumed:
                audit.record(db, "number.resumed", f"number {number_id}", context.now())
        if resumed:
            with context.ringing():
                context.queues.send(outbox.to_send(context.db, context.now()))
            flash("Resumed. What waited goes out now.", "success")
        return see_other(".show", number_id=number_id)

    @pages.post("/numbers/<int:number_id>/test")
    def test(number_id: int):
        """Asks Graph while the browser waits: two calls of ten seconds at most."""
        findings = list(diagnosis.cloud_number(context.settings, _known(context, number_id)))
        if wants_fragment():
            return render_template("desk/_number_test.html", findings=findings)
        return _number_page(context, number_id, findings=findings)

    return pages


def _known(context: Context, number_id: int) -> numbers.Number:
    if not numbers.known(context.db, number_id):
        abort(404, "There is no such number.")
    return numbers.get(context.db, number_id)


def _token(form: Form) -> str:
    token = request.form.get("access_token", "").strip()
    if not token:
        form.wrong("access_token", "The access token is missing.")
    return token


def _read(context: Context, form: Form) -> dict:
    names = dict(clients.names(context.db))
    client = form.choice("client", tuple(map(str, names)))
    phone = form.values["display_phone"] = " ".join(request.form.get("display_phone", "").split())[:40]
    account_id = form.digits("account_id", "The account id", required=False)
    rate = form.number("messages_per_second", "Messages a second", 0.1, MOST_PER_SECOND)
    return {
        "client_id": int(client) if client.isdigit() else 0,
        "account_id": account_id,
        "display_phone": phone or None,
        "messages_per_second": rate or 80,
    }


def _new_page(context: Context, form: Form) -> str:
    return render_template("desk/number_new.html", form=form, clients=_choices(context))


def _choices(context: Context) -> list[tuple[str, str]]:
    return [(str(id_), name) for id_, name in clients.names(context.db)]


def _number_page(context: Context, number_id: int, form: Form | None = None, findings: list[diagnosis.Finding] | None = None) -> str:
    number = _known(context, number_id)
    form = form if form is not None else Form(
        client=str(number.client_id),
        account_id=number.account_id or "",
        display_phone=number.display_phone or "",
        messages_per_second=f"{number.messages_per_second:g}",
    )
    return render_template(
        "desk/number.html",
        number=number,
        form=form,
        findings=findings,
        clients=_choices(context),
        waiting=numbers.waiting(context.db, number_id),
        callback_url=request.url_root.rstrip("/") + webhook.PATH,
        verify_token=context.settings.verify_token,
        mend=diagnosis.mend_of_stop(number),
    )
