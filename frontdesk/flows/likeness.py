"""Cosines of any embedding model on one scale, that of the model with which this program's thresholds were measured.

Of some models two texts that have nothing to do with each other have a cosine of 0.05, of others 0.7. So each model is asked once for
vectors of questions and of statements that answer none of them: their mean cosine becomes the measured model's, 1 stays 1. It is taken of
the language that the model tells apart best: all-minilm, an English model, has 0.06 in English, 0.37 to 0.51 in the others.
"""

import math
import statistics
from collections.abc import Callable, Sequence

# What `measure` says of all-minilm, whose name Ollama also writes all-minilm:latest, :22m or :l6-v2.
MEASURED_WITH, UNRELATED = "all-minilm", 0.061
HIGHEST = 0.95  # above that nothing can be told apart

UNRELATED_TEXTS = (
    (
        ("Do you deliver on Sundays?", "How do I reset my password?", "Is the pool open in winter?", "Can I bring my dog?"),
        (
            "Steel rusts where the paint is scratched and water stays.",
            "The violin was tuned a fifth too low for the second movement.",
            "Wheat is sown in October and harvested at the end of July.",
            "The moon is full every twenty-nine and a half days.",
        ),
    ),
    (
        ("Liefern Sie auch sonntags?", "Wie setze ich mein Passwort zurück?", "Ist das Schwimmbad im Winter offen?", "Darf mein Hund mit?"),
        (
            "Stahl rostet, wo der Lack zerkratzt ist und Wasser steht.",
            "Die Geige war für den zweiten Satz eine Quinte zu tief gestimmt.",
            "Weizen wird im Oktober gesät und Ende Juli geerntet.",
            "Alle neunundzwanzigeinhalb Tage ist Vollmond.",
        ),
    ),
    (
        ("¿Entregan los domingos?", "¿Cómo cambio mi contraseña?", "¿Abre la piscina en invierno?", "¿Puedo llevar a mi perro?"),
        (
            "El acero se oxida donde la pintura está rayada y queda agua.",
            "El violín estaba afinado una quinta más bajo en el segundo movimiento.",
            "El trigo se siembra en octubre y se cosecha a finales de julio.",
            "Hay luna llena cada veintinueve días y medio.",
        ),
    ),
    (
        ("日曜日も配達していますか？", "パスワードを再設定するには？", "プールは冬も開いていますか？", "犬を連れて行ってもいいですか？"),
        (
            "塗装に傷があり水がたまる所では鋼がさびます。",
            "第二楽章ではバイオリンが五度低く調弦されていました。",
            "小麦は十月にまかれ、七月の終わりに収穫されます。",
            "満月は二十九日半ごとに巡ってきます。",
        ),
    ),
)


def needs_measuring(name: str) -> bool:
    return name.rpartition("/")[2].partition(":")[0] != MEASURED_WITH


def measure(embed_questions: Callable[[list[str]], list[list[float]]], embed_passages: Callable[[list[str]], list[list[float]]]) -> float:
    """The mean cosine of texts that have nothing to do with each other, in the language where it is lowest. Two inferences."""
    asked = embed_questions([text for questions, _ in UNRELATED_TEXTS for text in questions])
    said = embed_passages([text for _, statements in UNRELATED_TEXTS for text in statements])
    means = []
    for questions, statements in UNRELATED_TEXTS:
        here, asked = asked[: len(questions)], asked[len(questions) :]
        there, said = said[: len(statements)], said[len(statements) :]
        means.append(statistics.fmean(_cosine(one, other) for one in here for other in there))
    return min(means)


def comparable(cosine: float, unrelated: float | None) -> float:
    """`unrelated`: what `measure` said of the model; None leaves the cosine as it is."""
    if unrelated is None:
        return cosine
    return UNRELATED + (cosine - unrelated) * (1 - UNRELATED) / (1 - min(unrelated, HIGHEST))


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    length = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / length if length else 0.0
