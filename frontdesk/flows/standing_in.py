"""With the model away, a passage of the documents may stand in: said to be no more than that, and only where it is clear which."""

from frontdesk.flows import fit
from frontdesk.flows.formatting import whatsapp_text
from frontdesk.flows.small_talk import asks_nothing
from frontdesk.flows.splitting import split_text
from frontdesk.flows.watch import Work
from frontdesk.store import numbers
from frontdesk.store.seen import Shown

LONGEST_PASSAGE = 700  # UTF-16 units: more is no message to read while waiting


def passage(work: Work) -> Shown | None:
    """None where the client does not want one, nothing was asked, or none is clear."""
    if not work.client.passage_when_away:
        return None
    question = "\n".join(message.text.strip() for message in work.waiting if not asks_nothing(message.text))
    return fit.clear(work.context, work.client.id, question)


def holding_text(work: Work, shown: Shown | None) -> str:
    if shown is None:
        return work.client.holding_text
    whole = whatsapp_text(shown.text)
    begun = split_text(whole, LONGEST_PASSAGE)[:1]
    quoted = f"{begun[0]} …" if begun and len(begun[0]) < len(whole.rstrip()) else whole
    text = "\n\n".join(part for part in (work.client.holding_text, f"{work.client.passage_text}\n{quoted}\n({shown.place})") if part)
    channel = work.context.channel(numbers.get(work.context.db, work.conversation.number_id).channel)
    return text if len(split_text(text)) == 1 and channel.fits(text) else work.client.holding_text
