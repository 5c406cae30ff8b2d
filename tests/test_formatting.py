"""A model's Markdown becomes WhatsApp's marks, plain text stays itself, and long texts are cut without loss."""

import random
import re
import time

import pytest

from frontdesk.flows.formatting import split_text, whatsapp_text


def units(text):
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def bare(text):
    return re.sub(r"\s", "", text)


# --- marks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("**fett** und __fett__", "*fett* und *fett*"),
        ("*kursiv* und _kursiv_", "_kursiv_ und _kursiv_"),
        ("***beides***", "_*beides*_"),
        ("~~weg~~ ~x~", "~weg~ ~x~"),
        ("`a_b` ``c`d``", "```a_b``` ```c`d```"),
        ("```python\nprint('*a*')\n\nx\n```", "```print('*a*')\n\nx```"),
        ("```\nnie geschlossen", "```nie geschlossen```"),
        ("# Öffnungs**zeiten**", "*Öffnungszeiten*"),
        ("### *Neu*: `x` #", "*_Neu_: ```x```*"),
        ("#hashtag #1", "#hashtag #1"),
        ("[Karte](https://x.de/a_b_)", "Karte (https://x.de/a_b_)"),
        ("[https://x.de/_a_](https://x.de/_a_)", "https://x.de/_a_"),
        ("[x.de](https://www.x.de/)", "https://www.x.de/"),
        ("[**Karte**](https://x.de/ö?a=1&b=2 'Titel')", "*Karte* (https://x.de/ö?a=1&b=2)"),
        ("<https://x.de/a_b> <info@x.de>", "https://x.de/a_b info@x.de"),
        ("[Mail](mailto:info@x.de) [Tel](tel:+4930)", "Mail (info@x.de) Tel (+4930)"),
        ("![Plan](https://x.de/p.png) ![](https://x.de/q.png)", "Plan (https://x.de/p.png) https://x.de/q.png"),
        ("> Zitat\n> **zwei**\n>\n> drei", "> Zitat\n> *zwei*\n>\n> drei"),
        ("oben\n\n---\n\nunten", "oben\n\nunten"),
        ("eins  \nzwei\\\ndrei\nvier", "eins\nzwei\ndrei\nvier"),
        ("&amp; &copy; &lt;b&gt; AT&T", "& © <b> AT&T"),
        (r"\*kein Stern\* 1986\. a\_b", "*kein Stern* 1986. a_b"),
        ("**zwei\nZeilen**", "*zwei*\n*Zeilen*"),
        ("**[Karte](https://x.de) und *mehr***", "*Karte (https://x.de) und _mehr_*"),
    ],
)
def test_markdown_becomes_the_marks_of_whatsapp(markdown, shown):
    assert whatsapp_text(markdown) == shown


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("- eins\n- zwei\n  - drei\n    - vier\n- fünf", "• eins\n• zwei\n  • drei\n    • vier\n• fünf"),
        ("* eins\n\n* zwei", "• eins\n\n• zwei"),
        ("1. eins\n1. zwei\n1. drei", "1. eins\n2. zwei\n3. drei"),
        ("3. eins\n4) zwei", "3. eins\n4) zwei"),
        ("1. eins\n   - a\n\n     b\n2. zwei", "1. eins\n   • a\n\n     b\n2. zwei"),
        ("- [ ] offen\n- [x] fertig", "• [ ] offen\n• [x] fertig"),
        ("Liste:\n- **a**: 1\n- b\n\nEnde", "Liste:\n• *a*: 1\n• b\n\nEnde"),
        ("- a\n\n\n- b\n\n\nc", "• a\n\n\n• b\n\n\nc"),
        ("- \n- a", "•\n• a"),
        ("24. Dezember\n24. Januar", "24. Dezember\n24. Januar"),
        ("+ 5 € Versand", "+ 5 € Versand"),
    ],
)
def test_lists_keep_their_numbers_their_nesting_and_their_gaps(markdown, shown):
    assert whatsapp_text(markdown) == shown


def test_a_table_becomes_lines():
    markdown = "| Tag | **Zeit** |\n|---|:-:|\n| Mo | 9–18 |\n| *So* | `zu` \\| Notdienst |\n| | |\n\nBis bald"
    assert whatsapp_text(markdown) == "*Tag | Zeit*\nMo | 9–18\n_So_ | ```zu``` | Notdienst\n\nBis bald"


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("<b>fett</b> <span class='x'>a</span>", "fett a"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<!-- weg -->\n\nda", "da"),
        ("<details>\n<summary>mehr</summary>\n\nText\n</details>", "mehr\n\nText"),
        ("<script>x</script>", "<script>x</script>"),
        ("wenn 3 <x und y> 4, <Name eingeben>", "wenn 3 <x und y> 4, <Name eingeben>"),
    ],
)
def test_tags_go_and_their_text_stays(markdown, shown):
    assert whatsapp_text(markdown) == shown


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("**Preis:**5 €", "Preis:5 €"),
        ("a **Preis:** 5 €", "a *Preis:* 5 €"),
        ("这是**重点：**内容", "这是重点：内容"),
        ("这是**重点**内容", "这是重点内容"),
        ("## **Preis:**5 €", "*Preis:5 €*"),
        ("**Montag**s", "Montags"),
        ("(**Montag**, _Dienstag_)", "(*Montag*, _Dienstag_)"),
    ],
)
def test_marks_that_whatsapp_would_show_raw_are_left_out(markdown, shown):
    assert whatsapp_text(markdown) == shown


PLAIN = [
    "2 * 3 * 4 = 24",
    "3*4*5 und 2**3**4",
    "snake_case_name und __dunder_in__wort",
    "Preis: 5,00 € - 10 % = 4,50 €, $5 * 2, 3 > 2 < 4",
    "https://x.de/_foo_/bar?a=1&b_c_=2 und http://y.de/a_b_c/__x__/.",
    "(https://de.wikipedia.org/wiki/Tee_(Getränk)_x_)",
    "+49 30 123456\n-5 °C\n#1",
    "Grüße 👩‍👩‍👧‍👦 ❤️ 👍🏽 🇩🇪",
    "مرحبا، هل المتجر مفتوح؟",
    "שָׁלוֹם עולם",
    "营业时间：周一至周五。欢迎！",
    "Hallo\n\n\n  eingerückt\n\tTab\n    vier\nEnde",
    "Zeile\n===\nZeile",
    "[a]: http://x.de\n\n[1] Quelle, [x] und [y][z]",
    "(*_*) ^_^ <3 :-) *",
    "a | b | c",
    "C:\\Users\\name, 10\\2",
    "AT&T, R&D; &nichts;",
    "1) erstens\n2) zweitens",
    "12. Mai\n13. Mai",
    "\u00a0geschützt\u2028anders",
    "5 Sterne*\n*inkl. MwSt.",
]


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_markdown_comes_out_exactly(text):
    assert whatsapp_text(text) == text


def test_any_plain_text_comes_out_exactly_but_for_space_at_line_ends():
    choose = random.Random(7)
    words = "Hallo 5,00 € snake_case a*b 2 * (x) ä. 👩‍👧 שלום 重点。 x_y_z ? http://a.b/_c_ <3 & 3*4".split()
    for _ in range(500):
        lines = [" ".join(["Wort", *choose.choices(words, k=choose.randint(0, 8))]) for _ in range(choose.randint(1, 6))]
        text = "".join(line + choose.choice(["\n", "\n\n", "\n\n\n", " \n", "\r\n"]) for line in lines)
        expected = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).rstrip("\n")
        assert whatsapp_text(text) == expected, text


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t", "---", "<br>", "#"])
def test_what_shows_nothing_becomes_nothing(text):
    assert whatsapp_text(text) == ""


def test_no_letter_and_no_digit_is_ever_lost():
    choose = random.Random(11)
    pieces = [
        "*", "**", "_", "__", "~~", "`", "\n```\n", "\n", "\n\n", "- ", "1. ", "> ", "# ", "| ", "|---|\n", "[", "](", ")",
        "!", "\\", " ", "    ", "<", ">", "&", ";", ":", "://", "wort", "ä", "7", "👩‍👧", "重", "ש", "\u0301", "---\n", "+ ", "\t", "==\n",
    ]  # fmt: skip
    for _ in range(3000):
        text = "".join(choose.choices(pieces, k=choose.randint(1, 40)))
        text = re.sub(r"([`~])\1{2,}(?!\n)", r"\1\1", text)  # the name of a language behind ``` is dropped on purpose
        written = [character for character in text if character.isalpha()]
        shown = [character for character in whatsapp_text(text) if character.isalpha()]
        assert shown == written, text


@pytest.mark.parametrize(
    "text",
    ["*a " * 5000, "[" * 5000, ">" * 3000 + "x", "**a" * 3000, "- " * 2000 + "x", "![[" * 2000, "_a_ " * 5000, "<a " * 3000],
)
def test_no_text_is_too_odd_or_takes_long(text):
    started = time.perf_counter()
    assert whatsapp_text(text)
    assert time.perf_counter() - started < 3


# --- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n \t\n", "\u2003"])
def test_nothing_has_no_parts(text):
    assert split_text(text) == []


def test_a_text_that_fits_is_one_part():
    assert split_text("a" * 4096) == ["a" * 4096]
    assert split_text("👍" * 2048) == ["👍" * 2048]
    assert [units(part) for part in split_text("👍" * 2049)] == [4096, 2]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Eins zwei.\n\nDrei. Vier\nfünf sechs", ["Eins zwei.", "Drei. Vier", "fünf sechs"]),
        ("Eins zwei\ndrei. Vier fünf", ["Eins zwei", "drei. Vier fünf"]),
        ("Eins zwei. Drei vier", ["Eins zwei.", "Drei vier"]),
        ("Eins zwei drei vier", ["Eins zwei drei", "vier"]),
        ("营业时间周一。欢迎光临我们的店铺哦", ["营业时间周一。", "欢迎光临我们的店铺哦"]),
        ("Einszweidreivierfünf", ["Einszweidreivie", "rfünf"]),
        ("Ja.\n\nEins zwei drei vier", ["Ja.\n\nEins zwei", "drei vier"]),
        ("eins zwei drei\n  • vier fünf", ["eins zwei drei", "  • vier fünf"]),
        ("eins zwei drei.            vier", ["eins zwei drei.", "vier"]),
    ],
)
def test_a_text_is_cut_at_the_best_place_that_fits(text, parts):
    assert split_text(text, 15) == parts


@pytest.mark.parametrize("cluster", ["👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "é̂", "❤️", "1️⃣", "\ud83d\ude00", "각", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"])
def test_what_belongs_together_is_not_cut(cluster):
    size = units(cluster)
    for offset in range(size + 1):
        text = "x" * offset + cluster * 9
        parts = split_text(text, 2 * size)
        assert "".join(parts) == text
        assert all(part.lstrip("x").replace(cluster, "") == "" for part in parts), parts


def test_a_cluster_over_the_limit_is_cut_but_never_within_a_character():
    assert split_text("👩‍👩‍👧‍👦", 2) == ["👩", "\u200d", "👩", "\u200d", "👧", "\u200d", "👦"]
    assert split_text("a" + "\u0301" * 50, 10) == ["a" + "\u0301" * 9, *["\u0301" * 10] * 4, "\u0301"]


def test_a_limit_that_no_emoji_fits_is_refused():
    with pytest.raises(ValueError, match="2 or more"):
        split_text("a", 1)


def test_parts_fit_and_lose_nothing_and_double_nothing():
    choose = random.Random(3)
    pieces = ["Wort", "a", ". ", "! ", "\n", "\n\n", " ", "  ", "\t", "\r\n", "\u00a0", "x" * 30]
    pieces += ["👩‍👩‍👧", "🇩🇪", "e\u0301", "重点。", "שלום", "\ud83d"]
    for _ in range(3000):
        text = "".join(choose.choices(pieces, k=choose.randint(0, 80)))
        limit = choose.choice([2, 3, 7, 20, 64, 500])
        parts = split_text(text, limit)
        assert all(units(part) <= limit and part.strip() for part in parts), (text, limit)
        assert bare("".join(parts)) == bare(text), (text, limit)
        position = 0
        for part in parts:  # each part is a piece of the text as it stands
            position = text.index(part, position) + len(part)


def test_a_megabyte_is_cut_in_no_time():
    text = "Ein Satz mit Wörtern. " * 50_000
    started = time.perf_counter()
    assert len(split_text(text)) > 250
    assert time.perf_counter() - started < 3
