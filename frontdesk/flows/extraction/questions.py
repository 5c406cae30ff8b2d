"""CSV of questions and answers: each row is a section whose heading is the question."""

import csv
import io
from pathlib import Path

from frontdesk.flows.extraction import Unreadable
from frontdesk.flows.extraction.plain import decoded, tidy

QUESTION = {"question", "questions", "q", "frage", "fragen", "pregunta", "preguntas", "domanda", "pergunta", "vraag", "質問", "问题", "問題"}
ANSWER = {"answer", "answers", "a", "antwort", "antworten", "respuesta", "respuestas", "réponse", "risposta", "resposta", "antwoord", "回答", "答え", "答案"}
MOST_ROWS = 20_000
MOST_NOTES = 10


def read(path: str, kind: str, tell) -> None:
    csv.field_size_limit(200_000)
    text = decoded(Path(path).read_bytes()).lstrip("\ufeff")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    question_column, answer_column, notes, found = 0, 1, 0, 0
    for count, row in enumerate(_rows(rows), start=1):
        cells = [cell.strip() for cell in row]
        if count == 1 and (columns := _columns(cells)):
            question_column, answer_column = columns
            continue
        if count > MOST_ROWS:
            raise Unreadable(f"it has more than {MOST_ROWS:,} rows; split it")
        if not any(cells):
            continue
        if len(cells) <= max(question_column, answer_column) or not cells[question_column] or not cells[answer_column]:
            notes += 1
            if notes <= MOST_NOTES:
                tell(note=f"row {count} was left out: it wants a question and an answer")
            continue
        found += 1
        tell(headings=[" ".join(tidy(cells[question_column]).split())[:500]], page=None, text=tidy(cells[answer_column]))
    if notes > MOST_NOTES:
        tell(note=f"… and {notes - MOST_NOTES} more rows")
    if not found:
        raise Unreadable("no row has a question and an answer; the first two columns are taken, or those named so")


def _rows(rows):
    try:
        yield from rows
    except csv.Error as error:
        raise Unreadable(f"it is not a table ({error}); save it as CSV in UTF-8 and try that file") from None


def _delimiter(text: str) -> str:
    first = text[:2000].partition("\n")[0]
    return max(",;\t|", key=lambda mark: (first.count(mark), mark == ","))


def _columns(cells: list[str]) -> tuple[int, int] | None:
    names = [cell.casefold() for cell in cells]
    question = next((place for place, name in enumerate(names) if name in QUESTION), None)
    answer = next((place for place, name in enumerate(names) if name in ANSWER), None)
    return None if question is None or answer is None else (question, answer)
