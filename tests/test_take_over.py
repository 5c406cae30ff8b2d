"""Who answers, the bot or a person, and how it passes from one to the other: flows/take_over.py."""

import threading

import pytest

from frontdesk.flows import early, reply, sending, suggest, sweep, take_over
from frontdesk.store import conversations, outbox, suggestions
from tests import webhooks
from tests.standins.ollama_replies import Reply
from tests.test_inbound import queued, receive, rows
from tests.test_reply import answer, context, customer_writes, inbound_states, model, outbound, while_writing  # noqa: F401

ANA, BEN = 1, 2


def sent_states(context) -> list[tuple[str, str]]:
    found = rows(context.db, "SELECT purpose, state FROM messages WHERE direction = 'out' ORDER BY id")
    return [(row["purpose"], row["state"]) for row in found]


def conversation(context):
    return conversations.get(context.db, 1)


def test_a_person_s_answer_pauses_the_bot_and_answers_what_waited(context, clock):
    customer_writes(context, "Hi", "are you there?")
    take_over.answer_by_person(context, 1, ANA, "Yes, here I am.")
    assert inbound_states(context) == ["answered"] * 2
    assert sent_states(context) == [("person", "queued")]
    assert list(context.queues.take_sends()) == [1]
    now = conversation(context)
    assert (now.state, now.taken_by, now.waiting_since, now.resumes_at) == ("human", ANA, None, clock() + 12 * 3600)


def test_while_a_person_has_it_the_bot_is_silent_and_the_customer_waits(context, model):
    customer_writes(context, "Hi")
    take_over.answer_by_person(context, 1, ANA, "Here I am.")
    customer_writes(context, "Thanks, one more thing")
    answer(context)
    sweep.sweep(context)
    assert model.chats == [] and queued(context, "default") == []
    assert inbound_states(context) == ["answered", "waiting"]


def test_an_answer_that_the_model_is_writing_is_not_sent(context, model):
    model.enqueue(Reply("a long answer " * 50, tokens_per_second=20))
    customer_writes(context, "Hi")
    thread = while_writing(model, lambda: take_over.answer_by_person(context, 1, ANA, "Me first."))
    answer(context)
    thread.join()
    model.wait_for(lambda standin: standin.cancelled_count == 1)
    assert outbound(context) == ["Me first."]
    assert inbound_states(context) == ["answered"]


def test_an_answer_that_was_ready_just_then_is_not_kept(context, model, monkeypatch):
    customer_writes(context, "Hi")
    model.enqueue("the bot's answer")
    ask = reply.ask
    monkeypatch.setattr(reply, "ask", lambda work: (ask(work), take_over.take_over(context, 1, ANA))[0])
    answer(context)
    assert outbound(context) == []
    assert inbound_states(context) == ["waiting"], "the person still owes an answer"


def test_the_bot_s_answer_that_nobody_has_begun_to_send_is_withdrawn(context, model, channel):
    customer_writes(context, "Hi")
    answer(context)
    take_over.answer_by_person(context, 1, ANA, "Let me.")
    assert sent_states(context) == [("answer", "withdrawn"), ("person", "queued")]
    sending.send_conversation(context, 1)
    assert [text for _, text, _ in channel.sent] == ["Let me."]


def test_what_is_being_sent_can_no_longer_be_withdrawn(context, model, channel):
    customer_writes(context, "Hi")
    answer(context)
    head = outbox.head(context.db, 1, context.now())
    assert outbox.claim(context.db, head, "sender", context.now(), 30)
    take_over.take_over(context, 1, ANA)
    assert sent_states(context) == [("answer", "sending")]


def test_a_draft_written_early_is_thrown_away(context, model, clock):
    customer_writes(context, "Hi")
    early.begin_early(context, 1)
    take_over.take_over(context, 1, ANA)
    clock.forward(10)
    reply.answer(context, 1, may_ask=False)
    assert outbound(context) == [] and rows(context.db, "SELECT * FROM drafts") == []


def test_handed_back_what_waits_is_due_at_once(context, model):
    customer_writes(context, "Hi")
    take_over.take_over(context, 1, ANA)
    context.queues.redis.delete("rq:queue:default")
    assert take_over.hand_back(context, 1)
    assert queued(context, "default") == ["reply"]
    reply.answer_due(context)
    assert len(outbound(context)) == 1
    assert not take_over.hand_back(context, 1), "it is the bot's already"


def test_handed_back_with_nothing_waiting_nothing_is_said(context, model):
    customer_writes(context, "Hi")
    take_over.answer_by_person(context, 1, ANA, "Done.")
    take_over.hand_back(context, 1)
    reply.answer_due(context)
    assert outbound(context) == ["Done."]


def test_after_the_client_s_hours_it_goes_back_by_itself_and_every_answer_prolongs_them(context, clock):
    customer_writes(context, "Hi")
    take_over.answer_by_person(context, 1, ANA, "one")
    clock.forward(11 * 3600)
    customer_writes(context, "Hm")
    take_over.answer_by_person(context, 1, ANA, "two")
    clock.forward(11 * 3600)
    sweep.sweep(context)
    assert conversation(context).state == "human"
    clock.forward(2 * 3600)
    sweep.sweep(context)
    assert (conversation(context).state, conversation(context).taken_by) == ("bot", None)


def test_an_answer_from_the_phone_app_pauses_the_bot_too_and_its_redelivery_does_not_pause_it_again(context):
    customer_writes(context, "Hi")
    body = webhooks.echo("On my phone: yes", to="4915112345678", id="wamid.echo")
    receive(context, body)
    assert (conversation(context).state, conversation(context).taken_by) == ("human", None)
    assert inbound_states(context) == ["answered"]
    take_over.hand_back(context, 1)
    receive(context, body)
    assert conversation(context).state == "bot"


def test_closed_it_opens_by_itself_when_the_customer_writes(context):
    customer_writes(context, "Hi")
    take_over.close(context, 1)
    assert (conversation(context).state, inbound_states(context)) == ("closed", ["answered"])
    customer_writes(context, "Hi again")
    assert conversation(context).state == "bot" and conversation(context).waiting_since is not None


@pytest.mark.parametrize(("text", "code"), [("  ", "empty"), ("x" * 4097, "too_long")])
def test_what_cannot_be_sent_is_refused_and_changes_nothing(context, text, code):
    customer_writes(context, "Hi")
    with pytest.raises(take_over.CannotSend) as refused:
        take_over.answer_by_person(context, 1, ANA, text)
    assert refused.value.code == code
    assert outbound(context) == [] and conversation(context).state == "bot"


def test_outside_the_window_an_answer_is_refused_with_the_reason(context, clock):
    customer_writes(context, "Hi")
    clock.forward(24 * 3600 + 1)
    with pytest.raises(take_over.CannotSend, match="template") as refused:
        take_over.answer_by_person(context, 1, ANA, "Hello?")
    assert refused.value.code == "window_closed"


def test_two_agents_do_not_answer_over_one_another_unknowingly(context):
    customer_writes(context, "Hi")
    take_over.answer_by_person(context, 1, ANA, "I can help.", seen_message_id=1)
    with pytest.raises(take_over.SomebodyAnswered):
        take_over.answer_by_person(context, 1, BEN, "So can I.", seen_message_id=1)
    take_over.answer_by_person(context, 1, ANA, "And more.", seen_message_id=1)
    take_over.answer_by_person(context, 1, BEN, "So can I.", seen_message_id=1, anyway=True)
    assert outbound(context) == ["I can help.", "And more.", "So can I."]


def test_two_agents_who_answer_in_the_same_moment_are_not_both_unknowing(context):
    customer_writes(context, "Hi")
    refused = []

    def send(user_id):
        try:
            take_over.answer_by_person(context, 1, user_id, f"from {user_id}", seen_message_id=1)
        except take_over.SomebodyAnswered:
            refused.append(user_id)

    threads = [threading.Thread(target=send, args=(user_id,)) for user_id in (ANA, BEN)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outbound(context)) == 1 and len(refused) == 1


def test_a_customer_who_asks_for_a_person_hears_so_once_and_the_bot_keeps_still(context, model):
    customer_writes(context, "I want to talk to a human please")
    customer_writes(context, "human!!")
    now = conversation(context)
    assert (now.state, now.needs_person_reason) == ("human", "asked")
    assert outbound(context) == ["Thank you. A person will answer you here."], "no time is promised while none is known"
    assert sent_states(context) == [("holding", "queued")]
    assert list(context.queues.take_sends()) == [1]
    assert inbound_states(context) == ["waiting"] * 2


def test_outside_opening_hours_they_hear_when_somebody_is_there_again(context, clock):
    hours = '{"tue": [["09:00", "18:00"]]}'  # the clock stands on a Monday
    context.db.execute("UPDATE clients SET hours = ?, time_zone = 'Europe/Berlin'", (hours,))
    customer_writes(context, "agent")
    [text] = outbound(context)
    assert text.startswith("Thank you. A person will answer you here. We are open again from ") and text.endswith(" 09:00.")


def test_a_time_is_promised_from_how_long_people_lately_took(context, clock):
    for n in range(4):
        customer_writes(context, "Hi", sender=f"49177{n}")
    clock.forward(600)
    for conversation_id in range(1, 5):
        take_over.answer_by_person(context, conversation_id, ANA, "Hello")
    customer_writes(context, "a person please", sender="491779")
    assert " by " in outbound(context)[-1] and "{when}" not in outbound(context)[-1]


def test_a_client_s_own_words_replace_the_usual_ones(context):
    context.db.execute("UPDATE clients SET person_words = 'baker, chef de cuisine'")
    customer_writes(context, "human")
    assert conversation(context).state == "bot"
    customer_writes(context, "the baker please")
    assert conversation(context).state == "human"


def test_a_draft_that_an_agent_asks_for_is_written_and_not_sent(context, model):
    model.enqueue("We are **open**.")
    customer_writes(context, "Hi")
    take_over.take_over(context, 1, ANA)
    suggestion_id = suggest.ask_for_draft(context, 1, ANA, "say that we are open")
    assert queued(context, "documents")[0] == "suggest"
    suggest.write(context, suggestion_id)
    found = suggestions.get(context.db, suggestion_id)
    assert (found.state, found.text) == ("ready", "We are *open*.")
    assert outbound(context) == [] and inbound_states(context) == ["waiting"]
    assert "say that we are open" in model.chats[0]["body"]["messages"][-2]["content"]


def test_a_draft_that_comes_to_nothing_says_why(context, model):
    model.enqueue(Reply.busy(), Reply.busy())
    customer_writes(context, "Hi")
    suggestion_id = suggest.ask_for_draft(context, 1, ANA)
    suggest.write(context, suggestion_id)
    assert suggestions.get(context.db, suggestion_id).state == "failed"


def test_a_draft_whose_job_was_lost_is_rung_for_again(context, clock):
    customer_writes(context, "Hi")
    suggest.ask_for_draft(context, 1, ANA)
    context.queues.redis.delete("rq:queue:documents")
    clock.forward(121)
    sweep.sweep(context)
    assert queued(context, "documents") == ["suggest"]


def test_who_looks_is_seen_by_the_others_and_forgotten_after_a_while(context, clock):
    seen = context.presence.seen
    assert seen(1, ANA, clock(), writing=True) == {}
    assert seen(1, BEN, clock(), writing=False) == {ANA: True}
    clock.forward(16)
    assert seen(1, BEN, clock(), writing=False) == {}
