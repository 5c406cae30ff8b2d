"""What asks for a person and what does not: flows/person_words.py."""

import pytest

from frontdesk.flows.person_words import asks_for_person


@pytest.mark.parametrize(
    "text",
    [
        "human", "HUMAN!!", "a human please", "Can I speak to a person?", "I'd like to talk to a human about my order, please",
        "Mensch bitte", "Ich möchte mit einem Menschen sprechen", "Mitarbeiter", "quiero hablar con una persona por favor",
        "Parler à un humain", "parler a un humain", "operatore", "falar com uma pessoa", "оператор", "موظف", "转人工", "我要人工客服谢谢",
        "担当者お願いします", "insan",
    ],
)  # fmt: skip
def test_these_ask_for_a_person(text):
    assert asks_for_person(text, None)


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "my travel agent told me that you are open on Sunday", "der Mensch am Telefon war sehr nett zu mir gestern",
        "are humane treats available", "humanity", "x" * 5000, "agentur in Berlin", "Is the cake made by humans or machines, I wonder",
    ],
)  # fmt: skip
def test_these_do_not(text):
    assert not asks_for_person(text, None)


def test_a_client_s_empty_list_switches_it_off():
    assert not asks_for_person("human", "")
