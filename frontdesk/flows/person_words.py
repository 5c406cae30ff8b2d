"""Does a customer ask for a person? By words, not by the model: it must also work while the model is away."""

import re
import unicodedata
from functools import lru_cache

# One idea in each line. A short message that consists of such words, or holds a phrase of two words and more, asks for a person.
USUAL = """
human, real person, a person, agent, live agent, talk to a human, speak to someone, talk to a person, speak to a person, representative
mensch, mitarbeiter, mit einem menschen, mit einem mitarbeiter, echte person, berater
humano, persona real, agente, hablar con una persona, hablar con alguien, asesor
humain, une personne, conseiller, parler à quelqu'un, parler à un humain, parler à une personne
umano, operatore, parlare con una persona, parlare con qualcuno
atendente, falar com uma pessoa, falar com alguém, pessoa real
medewerker, mens, met een mens, echt persoon
człowiek, konsultant, rozmawiać z człowiekiem
temsilci, insan, canlı destek, müşteri temsilcisi
оператор, человек, живой человек, поговорить с человеком
موظف, إنسان, التحدث مع شخص, خدمة العملاء
इंसान, एजेंट, किसी व्यक्ति से बात
manusia, orang asli, bicara dengan orang, petugas
人工, 真人, 转人工, 人工客服
担当者, オペレーター, 人と話したい
상담원, 사람과 통화
"""

# A single word asks only when little else is said: "my agent told me …" does not.
FEW_WORDS = 4


def asks_for_person(text: str, words: str | None) -> bool:
    """`words`: the client's own, one on each line or parted by commas; None: USUAL."""
    if len(text) > 300:
        return False
    said = _folded(text)
    phrases, singles = _patterns(USUAL if words is None else words)
    if phrases and phrases.search(said):
        return True
    return bool(singles and len(said.split()) <= FEW_WORDS and singles.search(said))


@lru_cache(maxsize=64)
def _patterns(words: str) -> tuple[re.Pattern | None, re.Pattern | None]:
    entries = {_folded(entry).strip() for entry in re.split(r"[\n,]", words)} - {""}
    phrases = {entry for entry in entries if " " in entry or _unspaced(entry)}
    return _any_of(phrases), _any_of(entries - phrases)


def _any_of(entries: set[str]) -> re.Pattern | None:
    if not entries:
        return None
    ways = [re.escape(entry) if _unspaced(entry) else rf"(?<!\w){re.escape(entry)}(?!\w)" for entry in sorted(entries)]
    return re.compile("|".join(ways))


def _unspaced(entry: str) -> bool:
    """Chinese, Japanese and Thai put no spaces between words."""
    return any("\u0e00" <= character <= "\u0e7f" or "\u3040" <= character <= "\u9fff" for character in entry)


def _folded(text: str) -> str:
    """Without case, accents and doubled spaces."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(part for part in parts if not unicodedata.combining(part)).split())
