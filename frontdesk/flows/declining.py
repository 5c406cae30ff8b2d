"""Whether an answer says that the bot does not know, or leaves the question to a person. By its words, in some languages.

The prompt's rules ask the model to say so and to offer a person; how it does is the model's own. What is not recognised counts as an answer.
"""

import re

from frontdesk.flows.expected import folded

_WORDS = [
    # English
    r"\bi (do not|don't|dont) (really |actually |currently )?(know|have (\w+ ){0,3}(information|details|answer))",
    r"\b(i'm|i am|we're|we are) not (sure|certain|able)\b",
    r"\b(i|we) (cannot|can not|can't|could not|couldn't|am unable to|are unable to|won't be able to) (\w+ )?(answer|find|say|tell|confirm)",
    r"\b(no|not have any|don't have any) information (about|on|for)\b",
    r"\b(person|colleague|human|someone|somebody|staff|team( member)?) (will|can|would|should) (\w+ )?(answer|reply|get back|respond)",
    # German
    r"\b(weiss ich|ich weiss( \w+)?|wissen wir|wir wissen( \w+)?) (leider |das |es |gerade )*nicht\b",
    r"\b(kann ich|ich kann) (\w+ ){0,4}nicht (\w+ )?(sagen|beantworten|bestatigen)\b|\bkeine (information|auskunft|angabe)",
    r"\b(mensch|mitarbeiter\w*|kolleg\w+|jemand) (\w+ ){0,3}(antworte|beantworte|melde)",
    # French
    r"\b(je ne sais pas|je l'ignore|je n'ai pas (\w+ |d'|l'){0,3}information)|\bje ne (peux|suis) pas (\w+ )?(repondre|dire|confirmer|certain|sur)",
    r"\b(personne|collegue) (vous |de \w+ )*repondra",
    # Spanish, Portuguese, Italian
    r"\bno (lo )?se\b(?! (preocupe|olvide))|\bno tengo (\w+ ){0,3}informacion|\bno puedo (\w+ )?(responder|decir|confirmar)|\bno estoy segur",
    r"\b(persona|colega|companer\w|colleg\w|pessoa) (\w+ ){0,2}(respondera|contestara|rispondera|ira responder|vai responder)",
    r"\bnao sei\b|\bnao tenho (\w+ ){0,3}(informac|certeza)|\bnao posso (\w+ )?(responder|dizer|confirmar)",
    r"\bnon (lo )?so\b|\bnon ho (\w+ |l'){0,3}informazion|\bnon posso (\w+ )?(rispondere|dire|confermare)|\bnon sono sicur",
    # Dutch, Turkish, Polish
    r"\b(weet ik|ik weet( \w+)?) (helaas |het |dat )*niet\b|\bgeen informatie\b",
    r"\bbilmiyor(um|uz)\b|\bbilgim yok\b|\bnie wiem\b|\bnie mam (\w+ ){0,2}informacji",
    # Russian, Ukrainian, Arabic, Chinese, Japanese
    r"\bне знаю\b|\bнет информации\b|\bне маю інформаціі\b|لا اعرف|لا اعلم|我不知道|不清楚|わかりません|分かりません",
]
_DECLINES = re.compile("|".join(_WORDS))


def declines(text: str) -> bool:
    return bool(_DECLINES.search(folded(text)))
