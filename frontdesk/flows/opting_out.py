"""STOP and START: a customer ends offers of a number, and takes that back, by one word of their own. Nobody else can take it back.

WhatsApp's own switch (`user_preferences`, 131050) comes by the channel; this is for who writes the word, as people do.
"""

import re
import sqlite3
import unicodedata

from frontdesk.flows.context import Context
from frontdesk.store import conversations, opt_outs, outbox
from frontdesk.store.clients import Client

# The whole message, whatever its case, marks and signs around it. Words that also mean other things ("end", "cancel") are left out.
STOP = frozenset(
    """
    stop, stopp, stop all, unsubscribe, opt out, no more offers, abmelden, abbestellen, keine werbung, baja, darme de baja, alto, cancelar suscripción,
    arret, arrêt, désabonner, stop pub, disiscrivi, cancellami, sair, parar, descadastrar, afmelden, uitschrijven, wypisz, rezygnuję, dur, iptal et,
    отписаться, стоп, الغاء الاشتراك, إلغاء الاشتراك, توقف, रोकें, बंद करो, berhenti, 退订, 取消订阅, 配信停止, 停止, 수신거부, 그만
    """.replace("\n", " ").split(",")
)
START = frozenset(
    """
    start, unstop, subscribe, opt in, anmelden, wieder anmelden, alta, suscribir, commencer, réabonner, iscrivi, voltar, aanmelden, zapisz, başla,
    подписаться, старт, اشتراك, ابدأ, शुरू करें, mulai, 订阅, 配信開始, 수신동의
    """.replace("\n", " ").split(",")
)
LONGEST = 40


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^\w\s]", " ", unicodedata.normalize("NFC", kept)).split())


_STOP, _START = frozenset(map(_plain, STOP)), frozenset(map(_plain, START))


def read(text: str) -> str | None:
    """'stop', 'start', or None for everything else."""
    if not text or len(text) > LONGEST:
        return None
    said = _plain(text)
    return "stop" if said in _STOP else "start" if said in _START else None


def obey(context: Context, db: sqlite3.Connection, conversation_id: int, client: Client, word: str) -> bool:
    """The customer's wish, confirmed to them. False where the word changes nothing: then it is a message like any other.

    Inside the drain's transaction.
    """
    conversation = conversations.get(db, conversation_id)
    stopped = opt_outs.wants_none(db, conversation.contact_id, conversation.number_id)
    if word == "start" and not stopped:
        return False
    if word == "stop":
        opt_outs.put(db, conversation.contact_id, conversation.number_id, context.now())
    else:
        opt_outs.take_back(db, conversation.contact_id, conversation.number_id)
    text = client.stop_text if word == "stop" else client.start_text
    if text and (conversation.window_closes_at or 0) > context.now():
        outbox.queue_text(db, conversation_id, conversation.number_id, text, purpose="holding", now=context.now())
    return True
