"""What workers run, in the order a message meets it. Each job calls one flow, and may safely run twice.

RQ's results and retries decide nothing here: the rows do, and the sweep finds whatever a lost job leaves undone.
"""

from functools import cache

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.flows import alerting, audience, broadcasting, callbacks, canary as canaries, digests as daily, document_reading, document_work, early, embedding
from frontdesk.flows import erasing, firing, forgetting, knowledge, media, model_away, question_groups, receiving, reindexing, replaying
from frontdesk.flows import reply as replying, rounds, sending, suggest as suggesting, sweep as sweeping
from frontdesk.flows import templates as reading_templates, trying
from frontdesk.flows.context import Context, make as make_context
from frontdesk.store import outbox


@cache
def context() -> Context:
    """This process's doors. Made before a worker forks, so that its children find everything in place."""
    settings = settings_module.load()
    return make_context(settings, queues.connect(settings.redis_address))


@cache
def senders() -> sending.Senders:
    return sending.Senders(context())


def drain() -> None:
    """high · the inbox becomes rows, what they owe gets its bells, and what is queued goes out: see rounds.py."""
    rounds.go(context(), senders().submit)


def reply() -> None:
    """default · the model's answers to everything that is due, longest waiting first."""
    replying.answer_due(context())


def begin_early(conversation_id: int) -> None:
    """documents · the answer as a draft, while the model is idle and the customer's quiet period lasts."""
    early.begin_early(context(), conversation_id)


def suggest(suggestion_id: int) -> None:
    """documents · a draft that an agent asked for."""
    suggesting.write(context(), suggestion_id)


def try_prompt(try_id: int) -> None:
    """documents · a question of an owner's, with a prompt that may not be saved yet."""
    trying.write(context(), try_id)


def read_document(document_id: int) -> None:
    """bulk · a business's document is read and put into the indexes, or taken out of them."""
    knowledge.read_document(context(), document_id)


def index_document(document_id: int) -> None:
    """documents · the next batch of a document's vectors."""
    embedding.index_document(context(), document_id)


def check_page(document_id: int) -> None:
    """bulk · what stands at a document's address now is read, and becomes a new version if it says something else."""
    reindexing.check_page(context(), document_id)


def reindex() -> None:
    """bulk · nightly: documents from the web are to be looked at again, and what is not in the indexes is taken up."""
    reindexing.begin_night(context())


def group_questions() -> None:
    """documents · questions that the documents did not answer are put with those like them."""
    question_groups.put_together(context())


def documents() -> None:
    """documents · what is to be summarised, classified or extracted, an inference at a time, while no customer waits."""
    document_work.serve(context())


def replays() -> None:
    """documents · one past turn or check is asked again, while no customer waits."""
    replaying.serve(context())


def read_document_files() -> None:
    """bulk · the texts of PDFs and the like."""
    document_reading.read_all(context())


def keep_draft(conversation_id: int) -> None:
    """high · the quiet period is over: the draft becomes the answer."""
    replying.answer(context(), conversation_id, may_ask=False)


def send() -> None:
    """high · the same, rung for by who has queued something."""
    rounds.go(context(), senders().submit)


def fire_schedules() -> None:
    """high · what people scheduled and is due becomes messages."""
    firing.fire_due(context(), firing.TURN_SECONDS)


def read_audience(audience_id: int) -> None:
    """bulk · an uploaded list or a choice of contacts becomes recipients."""
    audience.read(context(), audience_id)


def fetch_media(media_id: int) -> None:
    """bulk · what a caller named by a URL is fetched and kept."""
    found = media.fetch(context(), media_id)
    if found and found.state != "wanted":
        context().queues.send(outbox.waiting_for(context().db, media_id))


def receive_files() -> None:
    """bulk · what customers sent besides text is fetched and read."""
    receiving.serve(context())


def broadcasts() -> None:
    """bulk · what runs goes out, at its number's rate."""
    broadcasting.serve(context())


def digests() -> None:
    """bulk · yesterday of each client that wants to be told, once."""
    daily.serve(context())


def call_back(callback_id: int) -> None:
    """bulk · a program is told what it asked to be told."""
    callbacks.deliver(context(), callback_id)


def forget_old() -> None:
    """bulk · messages and conversations past their time go, a little at a time."""
    forgetting.forget_old(context())


def finish_erasures() -> None:
    """bulk · what Redis, files and logs still have of people who were erased goes."""
    erasing.finish_all(context())


def sweep() -> None:
    """high · rings for everything that is due and that no job carries."""
    sweeping.sweep(context())


def judge_alerts() -> None:
    """high and bulk · what needs a person is told once, and once when it is over."""
    alerting.judge(context())


def canary() -> None:
    """bulk · a message of our own goes the whole way, and what became of it is written down."""
    canaries.turn(context())


def warm_up() -> None:
    """default · the models are loaded with the options that the answers use."""
    model_away.warm_up(context())


def backup() -> None:
    """bulk · nightly: everything in one file of BACKUP_DIR."""
    from frontdesk.flows import backup as backing_up  # once a day, and no other process wants it

    backing_up.nightly(context())


def refresh_templates() -> None:
    """bulk · the accounts' templates as Meta has them now."""
    context().queues.silence_templates()
    reading_templates.refresh_all(context())


def clean() -> None:
    """high · nightly: what is no longer of use goes."""
    sweeping.clean(context())
