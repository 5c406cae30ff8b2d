"""A desk as it looks on a busy morning: conversations in several languages and every state, for pictures and for pages' tests."""

import json
import sqlite3
import uuid

from frontdesk.flows.first_run import SIMULATOR_NUMBER
from frontdesk.store import canned, clients, conversations, messages, notes, numbers, outbox
from frontdesk.store.contacts import resolve
from frontdesk.channels import InboundMessage, Media, Person
from frontdesk.settings import Settings

MINUTE, HOUR, DAY = 60, 3600, 86400


class Demo:
    """Writes rows as the flows would, at times of its own."""

    def __init__(self, db: sqlite3.Connection, settings: Settings, now: float):
        self.db, self.settings, self.now = db, settings, now
        self.number = numbers.find(db, "cloud", SIMULATOR_NUMBER)
        self.serial = 0

    def conversation(self, name: str, phone: str) -> int:
        contact_id = resolve(self.db, self.number.client_id, Person(phone=phone, name=name), self.now - 40 * DAY)
        return conversations.of(self.db, self.number.id, contact_id, self.now - 40 * DAY)

    def says(self, conversation_id: int, text: str, ago: float, state: str = "answered", kind: str = "text", **fields) -> str:
        self.serial += 1
        external_id = fields.pop("external_id", f"wamid.demo{self.serial}")
        raw = fields.pop("raw", {})
        message = InboundMessage(
            SIMULATOR_NUMBER, Person(), external_id, self.now - ago, kind, text, state == "waiting", raw, **fields
        )
        at = self.now - ago
        messages.add_inbound(self.db, conversation_id, self.number.id, message, state, at, at)
        self.db.execute(
            "UPDATE conversations SET window_closes_at = ?, waiting_since = CASE WHEN ? THEN ? ELSE waiting_since END WHERE id = ?",
            (at + DAY, state == "waiting", at, conversation_id),
        )
        return external_id

    def answers(self, conversation_id: int, text: str, ago: float, state: str = "read", purpose: str = "answer", **fields) -> int:
        at = self.now - ago
        reply_to, user_id = fields.pop("reply_to", None), fields.pop("user_id", None)
        id_ = outbox.queue_text(
            self.db, conversation_id, self.number.id, text, purpose=purpose, now=at, reply_to_external_id=reply_to, user_id=user_id
        )
        if purpose == "answer":
            fields = {"waited_seconds": 2 + self.serial % 7, "model_seconds": 6 + self.serial * 3 % 17, **fields}
        columns = {"state": state, "attempt": 1, "due_at": None, "external_id": f"wamid.{uuid.uuid4().hex[:12]}", "sent_at": at, **fields}
        marks = ", ".join(f"{name} = ?" for name in columns)
        self.db.execute(f"UPDATE messages SET {marks} WHERE id = ?", (*columns.values(), id_))
        return id_

    def set(self, conversation_id: int, **columns) -> None:
        marks = ", ".join(f"{name} = ?" for name in columns)
        self.db.execute(f"UPDATE conversations SET {marks} WHERE id = ?", (*columns.values(), conversation_id))


def fill(db: sqlite3.Connection, settings: Settings, user_id: int, now: float) -> None:
    demo = Demo(db, settings, now)
    read = {"delivered_at": now, "read_at": now}
    clients.add(db, "Harbour Dental", "You are the assistant of a dental practice.", now)
    canned.put(db, None, "hours", "We are open Tuesday to Saturday from 7:00 to 18:00, on Sunday until 12:00.")
    canned.put(db, None, "thanks", "Thank you for writing to us. Have a lovely day!")
    canned.put(db, None, "allergens", "Our list of allergens: gluten, milk, egg, nuts. Vegan cakes are made on a table of their own.")

    ana = demo.conversation("Ana Silveira", "4915112345678")
    demo.says(ana, "Good morning! Do you still have the sourdough with walnuts?", DAY + 3 * HOUR)
    demo.answers(ana, "Good morning, Ana! We bake it on Tuesdays and Saturdays. Shall we put one aside for you?", DAY + 3 * HOUR - 20, **read)
    demo.says(ana, "Yes please, two. I'll come on Saturday", DAY + 2 * HOUR)
    demo.answers(ana, "Noted: two walnut sourdoughs for *Saturday*. They are ready from 7:00.", DAY + 2 * HOUR - 25, **read)
    asked = demo.says(ana, "One more thing: can you make a birthday cake without nuts? My son is allergic.", 3 * HOUR)
    demo.answers(ana, "We can, two days ahead. May I ask a colleague to confirm the details about nuts?", 3 * HOUR - 30, **read)
    demo.says(ana, "", 2.9 * HOUR, "answered", "image", media=Media("m1", "image/jpeg", filename="cake-idea.jpg"))
    demo.says(ana, "Like this one, for 12 people", 2.9 * HOUR - 5)
    notes.add(db, ana, user_id, "Asked Marta: yes, on the separate table. 42.00 for twelve.", now - 2.5 * HOUR)
    last = demo.answers(
        ana, "Hello Ana, this is Mina. Yes, we bake it on a table that never sees nuts. For twelve people it is 42.00.",
        2.4 * HOUR, purpose="person", user_id=user_id, reply_to=asked, **read,
    )  # fmt: skip
    target = db.execute("SELECT external_id FROM messages WHERE id = ?", (last,)).fetchone()[0]
    demo.says(ana, "❤️", 2.3 * HOUR, "noted", "reaction", reply_to_external_id=target, raw={"reaction": {"message_id": target, "emoji": "❤️"}})
    demo.says(ana, "Perfect, thank you so much! 🎂", 4 * MINUTE, "waiting")
    demo.set(ana, state="human", taken_by=user_id, taken_at=now - 2.4 * HOUR, resumes_at=now + 9.6 * HOUR)

    tarek = demo.conversation("طارق منصور", "201001234567")
    demo.says(tarek, "مرحبا، هل لديكم خبز بدون جلوتين؟", 12 * MINUTE)
    demo.answers(tarek, "مرحباً طارق! نعم، لدينا خبز خالٍ من الجلوتين كل يوم سبت.", 11.5 * MINUTE, "delivered", delivered_at=now)
    demo.says(tarek, "أريد التحدث مع شخص", 2 * MINUTE, "waiting")
    demo.set(tarek, needs_person_at=now - 2 * MINUTE, needs_person_reason="asked", state="human", resumes_at=now + 12 * HOUR)

    yuki = demo.conversation("田中 由紀", "819012345678")
    demo.says(yuki, "明日の朝、クロワッサンは何時に焼けますか？", 40, "waiting")

    jo = demo.conversation("Jo van der Meer-Oosterhuis-Van Leeuwenhoek", "31612345678")
    demo.says(jo, "Is my order ready?", 25 * HOUR)
    demo.answers(
        jo, "Your order is ready, Jo. See you soon!", HOUR, "failed", failed_at=now - HOUR, external_id=None, error_code=131047,
        error_title="Re-engagement message", error_details="More than 24 hours have passed since the customer last replied to this number.",
    )  # fmt: skip
    demo.set(jo, needs_person_at=now - HOUR, needs_person_reason="send_failed", unread=0)

    lea = demo.conversation("Léa", "33612345678")
    demo.says(lea, "Bonjour, vous livrez à domicile ?", 22.6 * HOUR)
    demo.answers(lea, "Bonjour Léa ! Pas encore, mais vous pouvez commander ici et venir chercher.", 22.5 * HOUR, **read)
    demo.set(lea, needs_person_at=now - 20 * HOUR, needs_person_reason="model_failed", unread=0)

    for n, (name, words) in enumerate(
        [("Priya Raman", "Thank you!"), ("<b>Bobby</b> Tables", "<script>alert(1)</script>"), (None, "ok"), ("Marek", "A baguette costs?"),
         ("Olu Adeyemi", "https://example.com/" + "x" * 80), ("Sofie", "👍👍👍"), ("Grandma Ruth", "What is the wifi password?")]
    ):  # fmt: skip
        other = demo.conversation(name, f"4917700000{n:02}")
        demo.says(other, words, (n + 2) * 5 * HOUR)
        demo.answers(other, "You are welcome!" if n != 3 else "A baguette is 1.90.", (n + 2) * 5 * HOUR - 20, "sent" if n % 2 else "read")
        demo.set(other, unread=0, state="closed" if n > 4 else "bot")
    db.execute("UPDATE conversations SET unread = 0 WHERE id = ?", (jo,))
    _interactive(demo)


def _interactive(demo: Demo) -> None:
    nina = demo.conversation("Nina", "4366012345678")
    demo.says(nina, "I want to order a cake", 30 * HOUR)
    buttons = [{"type": "reply", "reply": {"id": str(n), "title": title}} for n, title in enumerate(["Chocolate", "Lemon", "Carrot"])]
    raw = {"type": "interactive", "interactive": {"type": "button", "action": {"buttons": buttons}}}
    demo.answers(demo_id := nina, "Which cake shall it be?", 29.9 * HOUR, raw=json.dumps(raw))
    demo.says(demo_id, "Lemon", 29.8 * HOUR, kind="interactive")
    demo.set(nina, unread=0)
