"""A broadcast's message to one phone, before it goes to everybody: with the first recipient's words, as any other message."""

from frontdesk.channels import Person
from frontdesk.errors import BadPhone
from frontdesk.flows import audience_source, broadcasts as control, outgoing, phones
from frontdesk.flows.broadcasts import CannotBroadcast
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import Outgoing
from frontdesk.store import audit, contacts, conversations
from frontdesk.store.broadcasts import Broadcast
from frontdesk.store.database import transaction


def send(context: Context, broadcast: Broadcast, phone: str, user_id: int) -> int:
    """The conversation in which it goes. Raises CannotSend, `field` phone where the number is wrong."""
    try:
        read = phones.read(phone, audience_source.home_region(context, broadcast.client_id, broadcast.number_id))
    except BadPhone as error:
        raise CannotBroadcast("invalid", f"{str(error)[:1].upper()}{str(error)[1:]}.", "phone") from None
    samples = control.samples(context, broadcast)
    filled = next((sample.filled for sample in samples if sample.filled), None)
    if filled is None:
        words = samples[0].problem if samples else "The template is not there any more."
        raise CannotBroadcast("bad_variable", f"None of the first recipients' messages can go: {words}")
    with transaction(context.db) as db:
        contact_id = contacts.resolve(db, broadcast.client_id, Person(phone=read.digits), context.now())
        conversation_id = conversations.of(db, broadcast.number_id, contact_id, context.now(), state="closed")
        message = Outgoing(filled.content, broadcast.media_id, control.shown(broadcast))
        outgoing.queue(context, db, conversations.get(db, conversation_id), message, purpose="person", user_id=user_id)
        audit.record(db, "broadcast.tested", f"broadcast {broadcast.id}", context.now(), contact_id=contact_id)
    with context.ringing():
        context.queues.send([conversation_id])
    return conversation_id
