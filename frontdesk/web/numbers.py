"""Numbers: adding, changing, stopping, resuming and testing them. For owners. A token is never shown again."""

from flask import Blueprint, abort, render_template, request

from frontdesk.channels import wati_account
from frontdesk.flows import diagnosis, webhook_address
from frontdesk.flows.context import Context
from frontdesk.store import audit, clients, numbers, outbox, widgets
from frontdesk.store.database import transaction
from frontdesk.web import access, webhook
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other, wants_fragment

# Meta's highest throughput tier.
MOST_PER_SECOND = 1000
# Before anybody says otherwise: Meta's usual tier, and WATI's smallest plan (30 calls in 10 seconds).
USUAL_PER_SECOND = {"cloud": "80", "wati": "3"}
WATI_EVENTS = (
    "Message Received",
    "Session Message Sent v2",
    "Sent Message is DELIVERED v2",
    "Sent Message is READ v2",
    "Session Message Failed",
)


def number_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("numbers", __name__), role=access.OWNER)

    @pages.get("/numbers/new")
    def new():
        channel = request.args.get("channel", "cloud")
        form = Form(
            external_id=request.args.get("phone_number_id", ""),
            client=request.args.get("client", ""),
            messages_per_second=USUAL_PER_SECOND.get(channel, ""),
        )
        return _new_page(context, form, channel)

    @pages.post("/numbers")
    def add():
        form, channel = Form(), request.form.get("channel", "cloud")
        if channel not in USUAL_PER_SECOND:
            abort(404, "There is no such channel.")
        where, token = _where(context, form, channel), _token(form)
        values = _read(context, form)
        if form and numbers.find(context.db, channel, where["external_id"]):
            form.wrong("endpoint" if channel == "wati" else "external_id", "This number is here already.")
        if not form:
            return _new_page(context, form, channel), 422
        with transaction(context.db) as db:
            number_id = numbers.put(
                db,
                context.settings,
                client_id=values["client_id"],
                channel=channel,
                **where,
                access_token=token,
                webhook_key=webhook_address.new_key() if channel == "wati" else None,
                account_id=values["account_id"],
                display_phone=values["display_phone"],
                now=context.now(),
            )
            numbers.change(db, number_id, **values)
            audit.record(db, "number.added", f"number {number_id}", context.now(), external_id=where["external_id"], client_id=values["client_id"])
        if channel == "cloud":
            with context.ringing():
                context.queues.refresh_templates()
        flash("The number is there. Test it next.", "success")
        return see_other(".show", number_id=number_id)

    @pages.get("/numbers/<int:number_id>")
    def show(number_id: int):
        if _known(context, number_id).channel == widgets.CHANNEL:
            return see_other("widgets.show", number_id=number_id)
        return _number_page(context, number_id)

    @pages.post("/numbers/<int:number_id>")
    def save(number_id: int):
        number = _known(context, number_id)
        form = Form()
        where = _where(context, form, "wati") if number.channel == "wati" else None
        values, token = _read(context, form), _typed_token()
        if form and where and (other := numbers.find(context.db, "wati", where["external_id"])) and other.id != number_id:
            form.wrong("endpoint", "Another number here has it.")
        if not form:
            return _number_page(context, number_id, form), 422
        with transaction(context.db) as db:
            numbers.change(db, number_id, **values)
            if where:
                numbers.relocate(db, number_id, **where)
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
        """Asks the provider while the browser waits: two calls of ten seconds at most."""
        findings = diagnosis.number_findings(context.settings, _known(context, number_id))
        if wants_fragment():
            return render_template("desk/_number_test.html", findings=findings)
        return _number_page(context, number_id, findings=findings)

    @pages.post("/numbers/<int:number_id>/address")
    def address(number_id: int):
        """A new address for its webhooks: for one that came into the wrong hands."""
        if _known(context, number_id).webhook_key is None:
            abort(404, "This number has no address of its own.")
        with transaction(context.db) as db:
            numbers.move(db, number_id, webhook_address.new_key())
            audit.record(db, "number.changed", f"number {number_id}", context.now(), new_address=True)
        flash("The old address is refused from now on. Copy the new one into WATI.", "warning")
        return see_other(".show", number_id=number_id)

    return pages


def _known(context: Context, number_id: int) -> numbers.Number:
    if not numbers.known(context.db, number_id):
        abort(404, "There is no such number.")
    return numbers.get(context.db, number_id)


def _typed_token() -> str:
    """WATI shows its tokens with the word in front."""
    return request.form.get("access_token", "").strip().removeprefix("Bearer ").strip()


def _token(form: Form) -> str:
    token = _typed_token()
    if not token:
        form.wrong("access_token", "The access token is missing.")
    return token


def _where(context: Context, form: Form, channel: str) -> dict:
    """What the provider knows the number by."""
    if channel == "cloud":
        return {"external_id": form.digits("external_id", "The phone number id")}
    typed = form.text("endpoint", "The API endpoint", most=200)
    phone = form.values["channel_phone"] = request.form.get("channel_phone", "").strip()
    if phone and not (phone.lstrip("+").isascii() and phone.lstrip("+").isdigit()):
        form.wrong("channel_phone", "The phone number is digits, with the country code.")
    try:
        found = wati_account.endpoint(typed, anywhere=context.settings.fetch_private_addresses)
    except wati_account.BadEndpoint as error:
        form.wrong("endpoint", str(error))
        return {"external_id": "", "base_url": ""}
    return {"external_id": "/".join(filter(None, (found.account, phone.lstrip("+")))), "base_url": found.base_url}


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


def _new_page(context: Context, form: Form, channel: str) -> str:
    template = "desk/number_new_wati.html" if channel == "wati" else "desk/number_new.html"
    return render_template(template, form=form, clients=_choices(context), client=form.values.get("client", ""))


def _choices(context: Context) -> list[tuple[str, str]]:
    return [(str(id_), name) for id_, name in clients.names(context.db)]


def _number_page(context: Context, number_id: int, form: Form | None = None, findings: list[diagnosis.Finding] | None = None) -> str:
    number = _known(context, number_id)
    form = form if form is not None else Form(
        client=str(number.client_id),
        account_id=number.account_id or "",
        display_phone=number.display_phone or "",
        messages_per_second=f"{number.messages_per_second:g}",
        endpoint=number.base_url or "",
        channel_phone=number.external_id.partition("/")[2],
    )
    here = request.url_root.rstrip("/")
    passkey = webhook_address.secret(context.settings, number) if number.webhook_key else None
    return render_template(
        "desk/number_wati.html" if number.channel == "wati" else "desk/number.html",
        number=number,
        form=form,
        findings=findings,
        clients=_choices(context),
        waiting=numbers.waiting(context.db, number_id),
        callback_url=here + (f"{webhook.WATI_PATH}/{passkey}" if passkey else webhook.PATH),
        passkey_url=here + webhook.WATI_PATH,
        passkey=passkey,
        events=WATI_EVENTS,
        verify_token=context.settings.verify_token,
        mend=diagnosis.mend_of_stop(number),
    )
