"""What asks for a person and what does not: flows/person_words.py."""

import pytest

from frontdesk.flows.person_words import asks_for_person


@pytest.mark.parametrize(
    "text",
    [
        "human", "HUMAN!!", "a human please", "Can I speak to a person?", "I'd like to talk to a human about my order, please",
        "Mensch bitte", "Ich möchte mit einem Menschen sprechen", "Mitarbeiter", "quiero hablar con una persona por favor",
        "Parler à un humain", "parler a un humain", "operatore", "falar com uma pessoa", "оператор", "موظف", "转人工", "我要人工客服谢谢",
        "担当者お願いします", "insan", "human agent", "speak to agent", "I need a human", "can I talk to someone", "EIN MENSCH, BITTE!",
        "CANLI DESTEK", "İNSAN", "canli destek", "czlowiek", "preferisco un operatore", "wil een medewerker spreken", "الموظف",
        "اريد التحدث مع شخص", "अभी एजेंट चाहिए", "인사드려요, 상담원이랑 통화하고 싶어요", "人工", "人工！", "我要人工",
    ],
)  # fmt: skip
def test_these_ask_for_a_person(text):
    assert asks_for_person(text, None)


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "my travel agent told me that you are open on Sunday", "der Mensch am Telefon war sehr nett zu mir gestern",
        "mens shoes size 9", "human hair extensions", "cleaning agent price", "Human Resources email?", "is it 20 euros a person?",
        "une personne", "une table pour une personne", "les droits humains", "agente inmobiliario precio", "insan kaynakları",
        "इंसानियत क्या है", "你是人工智能吗？", "人工草坪多少钱", "真人秀几点", "please", "?!", "are humane treats available", "humanity", "x" * 5000, "agentur in Berlin", "Is the cake made by humans or machines, I wonder",
    ],
)  # fmt: skip
def test_these_do_not(text):
    assert not asks_for_person(text, None)


def test_a_client_s_empty_list_switches_it_off():
    assert not asks_for_person("human", "")


def test_a_client_s_own_words_hold_in_any_script_and_spelling():
    assert asks_for_person("Die BÄCKERIN bitte", "Bäckerin\nChef de Cuisine")
    assert asks_for_person("could the chef de cuisine call me", "Bäckerin\nChef de Cuisine")
    assert not asks_for_person("human", "Bäckerin")
    assert asks_for_person("店长在吗，我想找店长说话", "找店长") and not asks_for_person("店长推荐", "店长")
