"""`bin/frontdesk check`: a client's saved questions, asked here and now, without queue or worker."""

import json
import sys
import time

import click

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError, ModelAway, ModelCrashed, ModelError, ModelMissing, ModelSlow
from frontdesk.flows import replaying, replays
from frontdesk.flows.context import Context
from frontdesk.flows.context import make as make_context
from frontdesk.store import checks, clients, database
from frontdesk.store.checks import Check
from frontdesk.store.clients import Client


@frontdesk.command(with_appcontext=False)
@click.argument("client")
@click.option("--model", help="Another model than the client's, as `ollama list` names it.")
@click.option("--json", "as_json", is_flag=True, help="The results as one JSON object.")
def check(client: str, model: str | None, as_json: bool) -> None:
    """Ask CLIENT's checks; exit 0 if all passed, 1 if some failed, 2 if nothing could be asked."""
    settings = settings_module.load()
    database.migrate(settings)
    context = make_context(settings, queues.connect(settings.redis_address))
    client_id = clients.find(context.db, client)
    if client_id is None:
        raise FrontdeskError(f"there is no client {client!r}; see: bin/frontdesk clients list")
    known = checks.of_client(context.db, client_id)
    if not known:
        raise FrontdeskError(f"{client} has no checks yet; write some on the desk: Clients, {client}, Checks")
    candidate = replays.present(context, client_id)
    tried = replays.as_tried(clients.get(context.db, client_id, settings), candidate, model or candidate["model"] or settings.ollama_model)
    results = [_asked(context, tried, each, place, len(known), as_json) for place, each in enumerate(known, 1)]
    failed = sum(not each["passed"] for each in results)
    if as_json:
        told = {"client": client, "model": tried.model, "passed": len(results) - failed, "failed": failed, "checks": results}
        click.echo(json.dumps(told, ensure_ascii=True, indent=2))
    else:
        click.echo(f"{len(results) - failed} of {len(results)} passed ({tried.model})")
    sys.exit(1 if failed else 0)


def _asked(context: Context, client: Client, check: Check, place: int, total: int, as_json: bool) -> dict:
    """One check's result. What is failed is told at once, in a line; progress goes where it disturbs no program."""
    if sys.stderr.isatty():
        click.echo(f"\r{place} of {total} …\x1b[K", nl=False, err=True)
    began = time.monotonic()
    result = {"id": check.id, "question": check.asked.question, "passed": False, "missing": [], "must_not_say": [], "not_declined": False}
    try:
        asked, findings = replaying.put(context, client, check.asked, lambda: None)
    except ModelError as error:
        if isinstance(error, ModelMissing | ModelAway) and not isinstance(error, ModelSlow | ModelCrashed):
            raise
        result |= {"answer": None, "error": str(error)}
        why = f"no answer: {error}"
    else:
        result |= {"passed": findings.passed, "missing": findings.missing, "must_not_say": findings.unwanted}
        result |= {"not_declined": findings.not_declined, "answer": asked.text, "error": None}
        why = str(findings)
    result["seconds"] = round(time.monotonic() - began, 3)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    if not result["passed"]:
        click.echo(f"FAILED  {' '.join(check.asked.question.split())}  →  {why}", err=as_json)
    elif not as_json:
        click.echo(f"ok      {' '.join(check.asked.question.split())}")
    return result
