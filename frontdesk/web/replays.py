"""Replays on the desk: what the bot would say today, or with another prompt or model, to what customers asked before. For owners."""

from flask import Blueprint, abort, g, redirect, render_template, request, url_for

from frontdesk.flows import documents, replays
from frontdesk.flows.context import Context
from frontdesk.flows.expected import judged
from frontdesk.flows.word_differences import differences
from frontdesk.store import checks, clients, past_turns, seen
from frontdesk.store import conversations as conversation_rows
from frontdesk.store import replays as rows
from frontdesk.store.clients import Client
from frontdesk.store.names import names_of_conversations
from frontdesk.store.numbers import get as number
from frontdesk.store.replays import Item, Replay
from frontdesk.web import access, replay_forms
from frontdesk.web.forms import Form
from frontdesk.web.inbox import if_changed
from frontdesk.web.pages import flash, known_client, see_other, wants_fragment
from frontdesk.web.text_differences import lines_of

PAGE, ITEMS_PAGE = 30, 20

CHANGES = {"pause": replays.pause, "resume": replays.resume, "cancel": replays.cancel, "retry": replays.retry}

# Filter → its label; of turns, of checks.
SHOWN = {
    "turns": {"all": "All", "unmarked": "Not marked", "better": "Better", "same": "Same", "worse": "Worse", "declined": "Refusals changed"},
    "checks": {"all": "All", "wrong": "Failed", "passed": "Passed"},
}


def replay_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("replays", __name__), role=access.OWNER)

    @pages.get("/replays")
    def all_replays():
        client_id = request.args.get("client", type=int)
        found = rows.newest(context.db, client_id=client_id, before=request.args.get("before", type=int), limit=PAGE + 1)
        shown = [(each, counts := rows.counts(context.db, each.id), documents.status_of(counts)) for each in found[:PAGE]]
        return render_template(
            "desk/replays.html",
            replays=[(*each, rows.filter_counts(context.db, each[0].id)) for each in shown],
            older=found[PAGE - 1].id if len(found) > PAGE else None,
            names=dict(clients.names(context.db)),
            client_id=client_id,
        )

    @pages.get("/replays/new")
    def new():
        conversation_id = request.args.get("conversation", type=int)
        client_id = _client_of(context, conversation_id) if conversation_id else request.args.get("client", type=int)
        names = clients.names(context.db)
        if client_id is None and len(names) == 1:
            client_id = names[0][0]
        if client_id is None:
            return render_template("desk/replay_client.html", names=names)
        known_client(context, client_id)
        form = replay_forms.empty(context, client_id, conversation_id)
        values = (form.values[name] for name in ("period", "first", "last", "words", "conversation"))
        return _form(context, form, client_id, replay_forms.choice(context, form, client_id, *values))

    @pages.post("/replays/found")
    def found():
        form = Form()
        client_id = _client_chosen(context)
        choice = replay_forms.read_choice(context, form, client_id)
        return render_template("desk/_replay_found.html", form=form, choice=choice, most=replays.MOST_TURNS)

    @pages.post("/replays")
    def start():
        form, client_id = Form(), _client_chosen(context)
        kind = form.choice("kind", ("turns", "checks"))
        candidate = replay_forms.read_candidate(form)
        choice = replay_forms.read_choice(context, form if kind == "turns" else Form(), client_id)
        if "show" in request.form:
            form.errors.clear()
            return _form(context, form, client_id, choice)
        if kind == "turns" and form and not choice.chosen:
            form.wrong("period", "Nothing was answered then. Choose another time, or other words.")
        if kind == "checks" and not checks.count(context.db, client_id):
            form.wrong("kind", "There are no checks yet. Write some first.")
        if not form:
            return _form(context, form, client_id, choice), 422
        if kind == "checks":
            return see_other(".show", replay_id=replays.start_checks(context, client_id, candidate, g.user.id))
        return see_other(".show", replay_id=replays.start_turns(context, client_id, choice.chosen, candidate, choice.words, g.user.id))

    @pages.get("/replays/<int:replay_id>")
    def show(replay_id: int):
        replay = _found(context, replay_id)
        stored = clients.as_stored(context.db, replay.client_id)
        changed = {replays.TRIED[column]: each for column, each in replays.changes(context, replay).items()}
        prompt = changed.pop("Prompt", None)
        return render_template(
            "desk/replay.html",
            **_standing(context, replay),
            **_items(context, replay),
            known="",
            client=stored,
            changed=changed,
            prompt_lines=lines_of(*prompt) if prompt else None,
            seen=replays.seen_of(stored),
            other_model=replay.model != clients.get(context.db, replay.client_id, context.settings).model,
            expires_at=replay.created_at + replays.KEPT_SECONDS,
        )

    @pages.get("/replays/<int:replay_id>/standing")
    def standing(replay_id: int):
        return if_changed("desk/_replay_standing.html", **_standing(context, _found(context, replay_id)))

    @pages.get("/replays/<int:replay_id>/more")
    def more(replay_id: int):
        replay = _found(context, replay_id)
        items = _items(context, replay)
        if not items["entries"] and items["unfinished"]:
            return "", 204
        return render_template("desk/_replay_items.html", replay=replay, show=_shown(replay), **items)

    @pages.post("/replays/<int:replay_id>/<change>")
    def change(replay_id: int, change: str):
        if change not in CHANGES:
            abort(404)
        if not CHANGES[change](context, _found(context, replay_id).id):
            flash("There was nothing left to change.", "warning")
        return see_other(".show", replay_id=replay_id)

    @pages.post("/replays/<int:replay_id>/delete")
    def delete(replay_id: int):
        replays.delete(context, _found(context, replay_id).id)
        flash("The replay is deleted.", "success")
        return see_other(".all_replays")

    @pages.post("/replays/<int:replay_id>/adopt")
    def adopt(replay_id: int):
        replay = _found(context, replay_id)
        if not replays.adopt(context, replay, g.user.id, request.form.get("seen", "")):
            flash("Somebody saved this client meanwhile. Look at the differences as they are now, then adopt again.", "warning")
            return see_other(".show", replay_id=replay_id)
        flash("Adopted: it counts from the next answer on. The prompt before is kept under Versions.", "success")
        return see_other("clients.show", client_id=replay.client_id)

    @pages.post("/replays/<int:replay_id>/items/<int:item_id>/mark")
    def mark(replay_id: int, item_id: int):
        replay, item = _found(context, replay_id), rows.item(context.db, item_id)
        wanted = request.form.get("mark")
        if item is None or item.replay_id != replay_id or wanted not in rows.MARKS:
            abort(404)
        rows.mark(context.db, item_id, None if item.mark == wanted else wanted)
        if not wants_fragment():
            show = request.form.get("show")
            after = request.form.get("after", type=int)
            return redirect(url_for(".show", replay_id=replay_id, show=show, after=after or None, _anchor=f"t{item_id}"), 303)
        [entry] = _entries(context, replay, [rows.item(context.db, item_id)])
        return render_template("desk/_replay_marked.html", entry=entry, **_standing(context, replay), known="")

    return pages


def _found(context: Context, replay_id: int) -> Replay:
    return rows.get(context.db, replay_id) or abort(404, "There is no such replay. After 90 days they are deleted.")


def _client_chosen(context: Context) -> int:
    client_id = request.form.get("client", type=int) or abort(404)
    return known_client(context, client_id)["id"]


def _client_of(context: Context, conversation_id: int) -> int:
    conversation = conversation_rows.get(context.db, conversation_id) or abort(404, "There is no such conversation.")
    return number(context.db, conversation.number_id).client_id


def _form(context: Context, form: Form, client_id: int, choice: replay_forms.Choice) -> str:
    return render_template(
        "desk/replay_new.html",
        form=form,
        choice=choice,
        client=known_client(context, client_id),
        names=clients.names(context.db),
        check_count=checks.count(context.db, client_id),
        periods=replays.PERIODS,
        most=replays.MOST_TURNS,
        defaults=context.settings,
    )


def _standing(context: Context, replay: Replay) -> dict:
    counts = rows.counts(context.db, replay.id)
    left = sum(counts[state] for state in rows.UNFINISHED)
    return {
        "replay": replay,
        "counts": counts,
        "status": documents.status_of(counts),
        "over": counts.total() - left,
        "summary": replays.summary(context, replay.id),
        "left_seconds": replays.seconds_left(context, replay.id, left),
        "filters": SHOWN[replay.kind],
        "filter_counts": rows.filter_counts(context.db, replay.id),
        "show": _shown(replay),
    }


def _shown(replay: Replay) -> str:
    asked = request.values.get("show", "all")
    return asked if asked in SHOWN[replay.kind] else "all"


def _items(context: Context, replay: Replay) -> dict:
    after = request.values.get("after", 0, type=int)
    found = rows.finished(context.db, replay.id, _shown(replay), after=after, limit=ITEMS_PAGE + 1)
    counts = rows.counts(context.db, replay.id)
    shown = found[:ITEMS_PAGE]
    return {
        "entries": _entries(context, replay, shown),
        "after": after,
        "last": shown[-1].sequence if shown else after,
        "following": len(found) > ITEMS_PAGE,
        "unfinished": any(counts[state] for state in ("queued", "working")),
    }


def _entries(context: Context, replay: Replay, items: list[Item]) -> list[dict]:
    client = clients.get(context.db, replay.client_id, context.settings)
    if replay.kind == "checks":
        return [{"item": item, "findings": judged(item.question, item.text or "", item.figures.get("declined", [0, 0])[1])} for item in items]
    ids = [item.message_id for item in items if item.message_id]
    turns, saw = past_turns.get(context.db, ids), seen.of_several(context.db, ids)
    names = names_of_conversations(context.db, {turn.conversation_id for turn in turns.values()})
    return [_entry(item, turns[item.message_id], client, saw, names) for item in items if item.message_id in turns]


def _entry(item: Item, turn: past_turns.PastTurn, client: Client, saw: dict, names: dict[int, str]) -> dict:
    old = replays.answer_given(turn, client)
    before = {(each.place, each.text) for each in saw.get(turn.id, [])}
    now = {(place, text) for place, text in item.passages}
    sides = differences(old, item.text) if item.text is not None else ([(old, False)], [])
    return {
        "item": item,
        "turn": turn,
        "name": names.get(turn.conversation_id, ""),
        "old": sides[0],
        "new": sides[1],
        "added": sorted(now - before) if item.text is not None else [],
        "lost": sorted(before - now) if item.text is not None else [],
        "kept": sorted(now & before),
    }
