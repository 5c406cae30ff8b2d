"""Does a message ask nothing? Greetings, thanks, farewells, yes and no need no document, and are no question that went unanswered.

By words, in the languages of person_words.py: every word must be known here, so "thanks, and on Sundays?" asks something. Messages
without a letter or digit, an emoji or "!!", ask nothing either.
"""

import re
from functools import lru_cache

from frontdesk.store.passages import letters_of

# Parted by commas; several words count only together.
KNOWN = """
hi, hello, hey, hiya, howdy, greetings, good morning, good afternoon, good evening, good day, good night, morning, evening, how are you
how are you doing, hope you are well, nice to meet you, hi there, hello there, hey there, thanks, thank you, thank you very much, thx, ty
thank u, many thanks, thanks a lot, thanks so much, thank you so much, so much, cheers, much appreciated, that helps, that helped
great, super, perfect, wonderful, awesome, excellent, cool, nice, lovely, fine, good, ok, okay, k, kk, alright, all right, got it, i see
understood, will do, sounds good, no problem, no worries, you are welcome, youre welcome, you re welcome, welcome, yes, yeah, yep, yup, no
nope, sure, of course, please, bye, goodbye, bye bye, see you, see you soon, see you later, see you tomorrow, take care
have a nice day, have a good day, have a great day, have a nice weekend, have a good one, you too, same to you, and, haha, lol, wow, oh, ah
for your help, for the help, for the info, for the information, for the quick answer, for the quick reply, very much, everyone, all, again
hallo, moin, servus, gruezi, guten tag, guten morgen, guten abend, gute nacht, gruß gott, tag, wie geht es ihnen, wie geht s, wie gehts
danke, danke schon, dankeschon, danke sehr, vielen dank, herzlichen dank, vielen lieben dank, lieben dank, besten dank, tausend dank, merci
alles klar, klar, prima, toll, sehr gut, gut, perfekt, verstanden, ja, nein, ne, jo, bitte, bitte schon, gern, gerne, tschuss
auf wiedersehen, bis bald, bis dann, bis morgen, schonen tag, schonen tag noch, einen schonen tag, schonen abend, schones wochenende
ihnen auch, mfg, lg, liebe grusse, viele grusse, fur die hilfe, fur die info, fur die schnelle antwort, und
hola, buenos dias, buenas tardes, buenas noches, buenas, que tal, como estas, como esta, gracias, muchas gracias, mil gracias
vale, perfecto, genial, muy bien, bien, de acuerdo, entendido, si, por favor, de nada, adios, hasta luego, hasta pronto, hasta manana, y
bonjour, bonsoir, salut, coucou, comment allez vous, ca va, merci beaucoup, merci bien, d accord, parfait, tres bien, super merci
oui, non, s il vous plait, svp, au revoir, a bientot, bonne journee, bonne soiree, bon week end, et
ciao, buongiorno, buonasera, buonanotte, salve, come va, come stai, grazie, grazie mille, molte grazie, perfetto, va bene, ottimo, si
prego, per favore, arrivederci, a presto, buona giornata, buona serata
ola, oi, bom dia, boa tarde, boa noite, tudo bem, obrigado, obrigada, muito obrigado, muito obrigada, valeu, perfeito, otimo, certo
sim, nao, tchau, ate logo, ate mais, ate amanha, tenha um bom dia
hoi, goedemorgen, goedemiddag, goedenavond, goeden dag, goedendag, hoe gaat het, dank je, dank u, dank je wel, dank u wel, dankjewel, bedankt
hartelijk dank, prima, oke, goed, ja, nee, graag, graag gedaan, doei, tot ziens, tot straks, fijne dag
czesc, dzien dobry, dobry wieczor, hej, dziekuje, dziekuje bardzo, dzieki, super, dobrze, tak, nie, prosze, do widzenia, pa, milego dnia
merhaba, selam, gunaydin, iyi aksamlar, iyi gunler, nasilsiniz, tesekkurler, tesekkur ederim, cok tesekkurler, sag olun, tamam, evet, hayir
lutfen, gorusuruz, hosca kalin, kolay gelsin, rica ederim
привет, здравствуйте, добрый день, доброе утро, добрыи день, добрыи вечер, добрый вечер, спасибо, большое спасибо, спасибо большое, хорошо
отлично, понятно, ок, да, нет, пожалуйста, до свидания, пока, хорошего дня, как дела
مرحبا, أهلا, اهلا, السلام عليكم, وعليكم السلام, صباح الخير, مساء الخير, كيف حالك, شكرا, شكرا جزيلا, شكرًا, تمام, حسنا, نعم, لا, ممتاز
مع السلامة, من فضلك
नमस्ते, नमस्कार, हेलो, हैलो, धन्यवाद, बहुत धन्यवाद, शुक्रिया, ठीक है, अच्छा, हां, हाँ, नहीं, जी, कृपया, अलविदा
halo, hai, selamat pagi, selamat siang, selamat sore, selamat malam, apa kabar, terima kasih, makasih, terima kasih banyak, baik, oke, ya
tidak, tolong, sampai jumpa, sama sama
你好, 您好, 嗨, 早上好, 下午好, 晚上好, 谢谢, 谢谢你, 谢谢您, 多谢, 非常感谢, 好的, 好, 行, 可以, 是, 是的, 不是, 不用, 没问题, 再见, 拜拜, 辛苦了
こんにちは, こんばんは, おはよう, おはようございます, はじめまして, ありがとう, ありがとうございます, ありがとうございました, どうも, お世話になります
お世話になっております, よろしく, よろしくお願いします, よろしくお願いいたします, わかりました, 分かりました, 了解です, 了解, 承知しました, はい, いいえ, すみません, さようなら, では, また
안녕하세요, 안녕, 감사합니다, 고맙습니다, 네, 예, 아니요, 알겠습니다, 좋아요, 수고하세요, 안녕히 계세요
"""

LONGEST = 200  # characters: whoever writes more has something to ask
_STRETCHED = re.compile(r"([^\W\d])\1{2,}")


def asks_nothing(text: str) -> bool:
    if len(text) > LONGEST:
        return False
    said = letters_of(text)
    return not said.strip() or any(_nothing_left(each) for each in (said, _STRETCHED.sub(r"\1", said)))


def _nothing_left(said: str) -> bool:
    spaced, unspaced = _phrases()
    for phrase in unspaced:
        said = said.replace(phrase, " ")
    if not _words().issuperset(said.split()):
        return False
    said = " ".join(said.split()).join("  ")
    for phrase in spaced:
        while f" {phrase} " in said:
            said = said.replace(f" {phrase} ", " ")
    return not said.strip()


@lru_cache(maxsize=1)
def _phrases() -> tuple[list[str], list[str]]:
    """Longest first: those that spaces part from others, and those of languages without them."""
    entries = {" ".join(letters_of(entry).split()) for entry in re.split(r"[\n,]", KNOWN)} - {""}
    longest_first = sorted(entries, key=lambda entry: (-len(entry), entry))
    unspaced = [entry for entry in longest_first if "\u3040" <= entry[0] <= "\u9fff"]
    return [entry for entry in longest_first if entry not in unspaced], unspaced


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    """Of all phrases that spaces part from others."""
    spaced, _ = _phrases()
    return frozenset(word for phrase in spaced for word in phrase.split())
