"""Does a customer ask for a person? By words, not by the model: it must also work while the model is away.

A phrase asks wherever it stands in a short message. A single word asks only where nothing but courtesy stands around it: "human
please" does, "human hair extensions" does not. Chinese, Japanese, Korean and Thai part no words by spaces: there three characters
are a phrase, and fewer must be the whole message.
"""

import re
import unicodedata
from functools import lru_cache

USUAL = """
human, person, real person, agent, live agent, representative, operator, talk to someone, speak to someone, speak with someone
talk to a human, talk to a person, talk to an agent, speak to a human, speak to a person, speak to an agent
talk with a human, talk with a person, speak with a human, speak with a person
mensch, menschen, mitarbeiter, berater, mit einem menschen, mit einem mitarbeiter, echte person, mit jemandem sprechen
humano, persona real, agente, asesor, hablar con una persona, hablar con alguien, hablar con un humano
humain, conseiller, vraie personne, parler à quelqu'un, parler à un humain, parler à une personne, parler avec quelqu'un
umano, operatore, persona vera, parlare con una persona, parlare con qualcuno
atendente, humano, pessoa real, falar com uma pessoa, falar com alguém, falar com um atendente
medewerker, met een mens, echt persoon, met een medewerker, met iemand spreken, iemand spreken
człowiek, człowiekiem, konsultant, konsultantem, rozmawiać z człowiekiem
temsilci, insan, canlı destek, müşteri temsilcisi, insanla konuşmak
оператор, человек, человека, живой человек, поговорить с человеком
موظف, الموظف, إنسان, التحدث مع شخص, التحدث إلى شخص, خدمة العملاء
इंसान, एजेंट, किसी व्यक्ति से बात, किसी इंसान से बात
manusia, petugas, orang asli, bicara dengan orang
人工, 真人, 转人工, 我要人工, 找人工, 人工客服, 人工服务, 真人客服
担当者, オペレーター, 人と話したい
상담원, 사람과 통화
"""

# What may stand beside a single word without changing what it asks for, in the same languages.
COURTESY = """
a an the please pls plz now hello hi hey thanks thank you i me want need would like to talk speak with get can could real live ok
ein eine einen einem einer der die das den bitte ich will möchte brauche mit sprechen hallo jetzt danke
un una uno el quiero necesito hablar con por favor hola gracias
je veux voudrais parler à avec s'il vous plaît svp bonjour merci
vorrei voglio preferisco parlare per favore ciao grazie
um uma o quero preciso falar com olá obrigado obrigada
een ik wil graag met spreken alstublieft aub alsjeblieft
proszę chcę z rozmawiać
bir ile lütfen istiyorum konuşmak merhaba
пожалуйста хочу нужен мне с позовите
أريد مع من فضلك التحدث
मुझे चाहिए कृपया अभी से बात करनी है
saya mau dengan tolong bicara
"""

LONGEST_REQUEST = 300
SHORTEST_UNSPACED_PHRASE = 3

_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Python's \w leaves out the vowel signs of the scripts of India and its neighbours.
_BETWEEN_WORDS = re.compile("[^\\w\u0900-\u0963\u0966-\u109f\u1780-\u17ff]+")
# Letters that people write without their mark and that Unicode does not take apart; U+0640 only stretches a word.
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ى": "ي", "ة": "ه", "\u0640": None})


def asks_for_person(text: str, words: str | None) -> bool:
    """`words`: the client's own, one on each line or parted by commas; None: USUAL."""
    if not text or len(text) > LONGEST_REQUEST:
        return False
    phrases, singles = _entries(USUAL if words is None else words)
    said = _folded(text)
    padded = f" {said} "
    if any(phrase in padded for phrase in phrases):
        return True
    asked = set(said.split()) - _courtesy()
    return bool(asked) and asked <= singles


@lru_cache(maxsize=64)
def _entries(words: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Phrases as they are found in a padded message, and single words."""
    phrases, singles = set(), set()
    for entry in {_folded(entry) for entry in re.split(r"[\n,]", words)} - {""}:
        if _UNSPACED.search(entry) and len(entry) >= SHORTEST_UNSPACED_PHRASE:
            phrases.add(entry)
        elif " " in entry:
            phrases.add(f" {entry} ")
        else:
            singles.add(entry)
    return tuple(sorted(phrases)), frozenset(singles)


@lru_cache(maxsize=1)
def _courtesy() -> frozenset[str]:
    return frozenset(_folded(COURTESY).split())


def _folded(text: str) -> str:
    """Words alone, without case and accents, one space between them."""
    text = text.casefold()
    if not text.isascii():
        apart = unicodedata.normalize("NFKD", text)
        kept = "".join(character for character in apart if not unicodedata.combining(character))
        text = unicodedata.normalize("NFC", kept).translate(_PLAIN)
    return _BETWEEN_WORDS.sub(" ", text).strip()
