"""Saved questions: how they are written, their CSV, and `bin/frontdesk check`."""

import json
import os
import subprocess
import sys

import pytest

from frontdesk.errors import BadCheck
from frontdesk.flows import checks
from frontdesk.store import checks as rows
from frontdesk.store import clients
from frontdesk.store.checks import Question
from tests.standins.ollama_replies import Reply
from tests.stack import ROOT
from tests.test_reply import context, model  # noqa: F401

CLIENT = 1


def asked(context) -> list[Question]:
    return [check.asked for check in rows.of_client(context.db, CLIENT)]


def test_facts_are_lines_or_parted_by_bars_each_once():
    found = checks.question(" When do\r\nyou open? ", "7:00\n\n 12  Mill Lane | 7:00", "free", False)
    assert found == Question("When do\nyou open?", ("7:00", "12 Mill Lane"), ("free",), False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (("", "7", "", False), "question"),
        (("x" * 1001, "7", "", False), "question"),
        (("When?", "", "", False), "must"),
        (("When?", "***", "", False), "must"),
        (("When?", "", "x" * 201, False), "must_not"),
        (("When?", "\n".join(map(str, range(21))), "", False), "must"),
    ],
)
def test_what_is_no_check_is_refused_with_its_field(fields, field):
    with pytest.raises(BadCheck) as raised:
        checks.question(*fields)
    assert raised.value.field == field


def test_a_table_is_taken_along_and_in_again_without_doubling(context):
    written = [
        Question("When do you open?", ("7:00 / 7 am", "Sunday"), ("24 hours",)),
        Question('=HYPERLINK("x")', ("a, b",), ("-5",)),
        Question("'quoted'", ("+49",), (), True),
        Question("Zwei\nZeilen; größer", ("größe",)),
    ]
    for each in written:
        checks.add(context, CLIENT, each)
    table = checks.as_csv(rows.of_client(context.db, CLIENT))
    assert "\n\"'=HYPERLINK" in table.replace("\r", "")
    assert checks.take_in(context, CLIENT, table.encode("utf-8-sig")) == (0, 0) and asked(context) == written
    for check in rows.of_client(context.db, CLIENT):
        rows.remove(context.db, check.id)
    assert checks.take_in(context, CLIENT, table.encode("utf-16")) == (4, 0) and asked(context) == written


def test_a_question_that_is_there_gets_the_file_s_facts(context):
    checks.add(context, CLIENT, Question("When do you OPEN?", ("7:00",)))
    file = "Question;Must;Must not;Must decline\nwhen do you open?;8:00 | Sunday;;\nWho is the mayor?;;;YES\n"
    assert checks.take_in(context, CLIENT, file.encode()) == (1, 1)
    assert asked(context) == [Question("when do you open?", ("8:00", "Sunday")), Question("Who is the mayor?", must_decline=True)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no column"),
        (b"a,b\n1,2", "no column"),
        (b"question,must\n", "holds no question"),
        (b"question,must\nWhen?,7\nWhere?,\n", "Line 3: Say what the answer must say"),
        (b"question,must,must_decline\nWhen?,7,perhaps\n", "Line 2: must_decline is yes or no"),
        (b"\x89PNG\0", "not a text file"),
    ],
)
def test_a_table_that_is_wrong_changes_nothing_and_says_where(context, data, words):
    checks.add(context, CLIENT, Question("When?", ("9",)))
    with pytest.raises(BadCheck, match=words) as raised:
        checks.take_in(context, CLIENT, data)
    assert raised.value.field == "file" and asked(context) == [Question("When?", ("9",))]


def test_a_client_has_at_most_five_hundred(context):
    table = "question,must\n" + "".join(f"Question {n},7\n" for n in range(500))
    checks.take_in(context, CLIENT, table.encode())
    for data in (b"question,must\nOne more,7\n",):
        with pytest.raises(BadCheck, match="at most 500"):
            checks.take_in(context, CLIENT, data)
    with pytest.raises(BadCheck, match="at most 500"):
        checks.add(context, CLIENT, Question("One more", ("7",)))


# --- the command line ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(context, model, tmp_path):
    """`bin/frontdesk check`, with no Redis at all."""
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "DATA_DIR": str(context.settings.data_dir), "OLLAMA_HOST": model.url,
        "REDIS_URL": "redis://127.0.0.1:9/0", "PYTHONPATH": str(ROOT),
    }  # fmt: skip

    def run(*arguments: str) -> subprocess.CompletedProcess:
        code = "from frontdesk.cli import main; main()"
        return subprocess.run([sys.executable, "-c", code, "check", *arguments], env=environ, cwd=tmp_path, text=True, capture_output=True, timeout=60)

    return run


def test_all_passed_is_status_0(context, model, run):
    checks.add(context, CLIENT, Question("When do you open?", ("7:00",)))
    model.enqueue("From **7:00**.")
    found = run("Corner Bakery")
    assert (found.returncode, found.stderr) == (0, "") and found.stdout == "ok      When do you open?\n1 of 1 passed (llama3.2:3b)\n"


def test_some_failed_is_status_1_with_a_line_for_each(context, model, run):
    checks.add(context, CLIENT, Question("When do\nyou open?", ("7:00", "Sunday")))
    checks.add(context, CLIENT, Question("Who is the mayor?", must_decline=True))
    checks.add(context, CLIENT, Question("Where?", ("Mill Lane",)))
    model.enqueue("From 7:00.", "I do not know.", Reply("half", end="cut"), Reply("half", end="cut"))
    found = run("Corner Bakery", "--model", "llama3.2:3b")
    assert found.returncode == 1
    first, second, third, last = found.stdout.splitlines()
    assert first == "FAILED  When do you open?  →  missing: Sunday" and second == "ok      Who is the mayor?"
    assert third.startswith("FAILED  Where?  →  no answer: ") and last == "1 of 3 passed (llama3.2:3b)"


def test_as_json_for_programs(context, model, run):
    checks.add(context, CLIENT, Question("Größe?", ("7:00",), ("free",)))
    model.enqueue("It is free.")
    found = run("Corner Bakery", "--json")
    told = json.loads(found.stdout)
    assert found.returncode == 1 and found.stderr.startswith("FAILED  Größe?")
    assert (told["client"], told["model"], told["passed"], told["failed"]) == ("Corner Bakery", "llama3.2:3b", 0, 1)
    [check] = told["checks"]
    assert check["missing"] == ["7:00"] and check["must_not_say"] == ["free"] and check["answer"] == "It is free." and check["error"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Nobody",), "there is no client 'Nobody'"),
        (("Empty",), "Empty has no checks yet"),
        ((), "Missing argument 'CLIENT'"),
        (("Corner Bakery", "--model", "llama99:1b"), "ollama pull llama99:1b"),
    ],
)
def test_what_cannot_be_asked_is_status_2_and_one_line(context, model, run, arguments, words):
    clients.add(context.db, "Empty", "Nothing.", context.now())
    checks.add(context, CLIENT, Question("When?", ("7",)))
    found = run(*arguments)
    assert found.returncode == 2 and words in found.stderr and found.stderr.count("\n") == 1 and found.stdout == ""


def test_a_model_that_is_away_is_status_2(context, model, run):
    checks.add(context, CLIENT, Question("When?", ("7",)))
    model.stop()
    found = run("Corner Bakery")
    model.start()
    assert found.returncode == 2 and "no Ollama server" in found.stderr
