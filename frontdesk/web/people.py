"""What is kept of one person: looked at, handed over as a file, erased for ever. For owners."""

import tempfile

from flask import Blueprint, abort, render_template, send_file

from frontdesk.flows import erasing, personal_export
from frontdesk.flows.context import Context
from frontdesk.store import clients, erasures, listing, personal
from frontdesk.store.counters import MOST_COUNTED
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import counted, flash, see_other

IN_MEMORY_BYTES = 8 * 2**20
WORD = "erase"

# Tables in the words of the page; what is not here is put together with these.
SHOWN = {
    "messages": "messages",
    "conversations": "conversations",
    "contact_aliases": "numbers and ids",
    "contact_tags": "tags",
    "notes": "notes",
    "schedules": "schedules",
    "audience_members": "places in audiences",
}


def people_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("people", __name__), role=access.OWNER)

    @pages.get("/people/<int:contact_id>")
    def show(contact_id: int):
        return _page(context, contact_id, Form())

    @pages.post("/people/<int:contact_id>/export")
    def export(contact_id: int):
        """Not by GET: it is recorded."""
        file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)
        if not personal_export.write(context, contact_id, file):
            _nobody()
        file.seek(0)
        return send_file(file, "application/zip", as_attachment=True, download_name=f"person-{contact_id}.zip")

    @pages.post("/people/<int:contact_id>/erase")
    def erase(contact_id: int):
        form = Form()
        if form.text("word", "The word").lower() != WORD:
            form.wrong("word", f"Write “{WORD}” if you mean it.")
        if not form:
            return _page(context, contact_id, form), 422
        if erasing.erase(context, contact_id) is None:
            _nobody()
        flash("Erased: nothing here knows this person any more. The last traces in files go within minutes.", "success")
        return see_other("inbox.inbox_page")

    return pages


def _page(context: Context, contact_id: int, form: Form) -> str:
    person = listing.contact(context.db, contact_id, client_id=None)
    if person is None:
        was = erasures.of_contact(context.db, contact_id)
        abort(404, "This person was erased." if was else "There is no such person.")
    of = erasing.subject(context.db, contact_id)
    counts = personal.counts(context.db, of, SHOWN, MOST_COUNTED + 1)
    kept = [(words, counted(counts[table])) for table, words in SHOWN.items() if counts[table]]
    if files := personal.count_files(context.db, of, MOST_COUNTED):
        kept.append(("files", f"{files:,}+" if counts["messages"] > MOST_COUNTED else f"{files:,}"))
    return render_template(
        "desk/person.html",
        person=person,
        client=dict(clients.names(context.db))[person["client_id"]],
        conversation_id=of.conversations[0] if of.conversations else None,
        kept=kept,
        word=WORD,
        form=form,
        backups=context.settings.backup_dir is not None,
        backup_days=context.settings.backup_keep,
    )


def _nobody():
    abort(404, "There is no such person, or no longer.")
