"""The audit log: who did what, found by person, deed and time, and taken along as a file. For owners."""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, render_template, request, stream_with_context, url_for

from frontdesk.flows import audit_export
from frontdesk.flows.context import Context
from frontdesk.store import audit
from frontdesk.store.database import transaction
from frontdesk.web import access

PAGE = 50
FORMATS = {"csv": ("text/csv", audit_export.as_csv), "jsonl": ("application/x-ndjson", audit_export.as_lines)}


def audit_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("audit", __name__), role=access.OWNER)

    @pages.get("/audit")
    def log():
        before = request.args.get("before", type=int)
        found = audit.newest(context.db, before=before, limit=PAGE + 1, **_which(request.args))
        chosen = {name: request.args.get(name, "") for name in ("by", "deed", "from", "to")}
        older = url_for(".log", before=found[PAGE - 1].id, **{name: value for name, value in chosen.items() if value}) if len(found) > PAGE else ""
        return render_template(
            "desk/audit.html",
            entries=found[:PAGE],
            older=older,
            deeds=audit.DEEDS,
            kinds=sorted({deed.partition(".")[0] for deed in audit.DEEDS if "." in deed}),
            actors=audit.actors(context.db),
            chosen=chosen,
            said=_said,
            keep_days=context.settings.audit_keep_days,
        )

    @pages.post("/audit/export")
    def export():
        """Not by GET: it is recorded."""
        name = request.form.get("format") if request.form.get("format") in FORMATS else "csv"
        media, written = FORMATS[name]
        with transaction(context.db) as db:
            audit.record(db, "audit.exported", None, context.now(), format=name)
        lines = written(audit.oldest_first(context.db, **_which(request.form)))
        headers = {"Content-Disposition": f'attachment; filename="audit.{name}"'}
        return Response(stream_with_context(lines), mimetype=media, headers=headers)

    return pages


def _which(given) -> dict:
    """Days are UTC's, the last one included. What cannot be read is left out: a filter never hides the log."""
    deed = given.get("deed", "")
    since, until = _day(given.get("from", "")), _day(given.get("to", ""))
    return {
        "actor": given.get("by") or None,
        "deed": deed if deed in audit.DEEDS or deed.endswith(".") else None,
        "since": since and since.timestamp(),
        "until": until and (until + timedelta(days=1)).timestamp(),
    }


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _said(entry: audit.Entry) -> str:
    """What is worth telling beside the deed: 'user 3 · role: owner'."""
    words = [entry.subject or ""]
    for name, value in entry.details.items():
        if value not in (None, "", [], False):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else "yes" if value is True else value
            words.append(f"{name.replace('_', ' ')}: {shown}")
    return " · ".join(filter(None, words))
