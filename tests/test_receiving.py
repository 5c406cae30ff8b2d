"""What customers send besides text: fetched from a Graph API over real HTTP, kept, read, and then answered. On a real SQLite and Redis."""

import dataclasses
import threading
from pathlib import Path

import pytest

from frontdesk.channels import Media, Sender
from frontdesk.channels.cloud import CloudChannel
from frontdesk.channels.wati import WatiChannel
from frontdesk.errors import Permanent
from frontdesk.flows import diagnosis, receiving, sweep
from frontdesk.store import conversations, files, media as media_rows, received_files as rows
from tests import media_bodies as bodies, webhooks
from tests.made_files import docx, pdf
from tests.standins.raw_http import RawServer, answer, raw
from tests.standins.transcription import Transcriptions
from tests.test_inbound import queued, receive

FILES = Path(__file__).parent / "files"
VOICE, PICTURE = (FILES / "voice.ogg").read_bytes(), (FILES / "picture.jpg").read_bytes()
MINUTES = 60


class Graph:
    """A Graph API: addresses for every id, and behind them what `turns` say; the last one again and again."""

    def __init__(self, server: RawServer):
        self.server, self.turns, self.address = server, [], None

    def serve(self, *turns) -> None:
        self.turns = list(turns)

    def turn(self, connection) -> bool:
        if "/v25.0/" in self.server.requests[-1].line:
            url = self.address or f"{self.server.url}/files/1"
            return answer(200, url if callable(url) else {"url": url, "mime_type": "image/jpeg", "id": "1"})(connection)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        return (answer(200, turn) if isinstance(turn, bytes) else turn)(connection)

    def lines(self) -> list[str]:
        return [request.line.split()[1].split("?")[0] for request in self.server.requests]


@pytest.fixture
def graph(context, db, settings, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = []
    with RawServer(lambda connection: made[0].turn(connection)) as server:
        made.append(Graph(server))
        db.execute("UPDATE numbers SET base_url = ?", (server.url,))
        channel = CloudChannel(2.0)
        context.channel = lambda kind: channel
        yield made[0]


def file_comes(context, kind="image", sender="4915112345678", **content) -> int:
    """A customer's message with a file; returns its row's id."""
    message = {**webhooks.text(sender=sender, at=context.now()), "type": kind, kind: {"id": "7001", "mime_type": "x/y", **content}}
    del message["text"]
    receive(context, webhooks.texts(message))
    return context.db.execute("SELECT MAX(id) FROM messages").fetchone()[0]


def received(context, message_id) -> rows.ReceivedFile:
    return rows.get(context.db, message_id)


def serve(context) -> None:
    receiving.serve(context)


def on_disk(settings) -> list[Path]:
    return [path for path in settings.media_dir.rglob("*") if path.is_file()]


def text_of(context, message_id) -> str:
    return context.db.execute("SELECT text FROM messages WHERE id = ?", (message_id,)).fetchone()[0]


# --- fetching ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_with_the_token_and_kept_by_its_content(context, graph, settings):
    graph.serve(PICTURE)
    message_id = file_comes(context, caption="this one")
    assert "receive" in queued(context, "bulk")
    serve(context)
    assert received(context, message_id).state == "done"
    assert graph.lines() == ["/v25.0/7001", "/files/1"]
    assert [request.headers["authorization"] for request in graph.server.requests] == ["Bearer simulator"] * 2
    kept = media_rows.get(context.db, rows.origin(context.db, message_id).media_id)
    assert (kept.state, kept.mime_type, kept.size_bytes, kept.filename) == ("ready", "image/jpeg", len(PICTURE), "image.jpg")
    assert files.path_of(settings.media_dir, kept.sha256).read_bytes() == PICTURE


def test_the_same_picture_from_two_customers_is_one_file(context, graph, settings):
    graph.serve(PICTURE)
    file_comes(context), file_comes(context, sender="4915199999999")
    serve(context)
    assert len(on_disk(settings)) == 1


def test_a_redelivered_webhook_fetches_nothing_again(context, graph, db):
    graph.serve(PICTURE)
    message = {**webhooks.text(id="wamid.1"), "type": "image", "image": {"id": "7001"}}
    for _ in range(3):
        receive(context, webhooks.texts(message))
        serve(context)
    assert graph.lines() == ["/v25.0/7001", "/files/1"]


def test_an_address_that_is_over_is_asked_for_anew(context, graph):
    graph.serve(answer(404), PICTURE)
    message_id = file_comes(context)
    serve(context)
    assert received(context, message_id).state == "done"
    assert graph.lines() == ["/v25.0/7001", "/files/1"] * 2


def test_a_file_that_whatsapp_no_longer_has_is_told_and_can_be_tried_again(context, graph):
    graph.address = {"error": {"code": 100, "error_subcode": 33, "message": "Unsupported get request"}}.copy
    graph.server.turns = [lambda connection: answer(400, graph.address())(connection)]
    message_id = file_comes(context)
    serve(context)
    failed = received(context, message_id)
    assert (failed.state, failed.error_code, failed.error_words) == ("failed", "expired", "WhatsApp no longer has it")
    graph.address, graph.server.turns = None, [graph.turn]
    graph.serve(PICTURE)
    assert receiving.want_again(context, message_id)
    serve(context)
    assert received(context, message_id).state == "done"
    assert not receiving.want_again(context, message_id)


def test_a_server_that_fails_is_asked_again_at_growing_intervals_and_then_given_up(context, graph, clock):
    graph.serve(answer(500))
    message_id = file_comes(context)
    for pause in receiving.PAUSES_SECONDS:
        serve(context)
        assert received(context, message_id).state == "wanted"
        assert received(context, message_id).due_at == clock() + pause
        serve(context)
        clock.forward(pause)
    serve(context)
    assert (received(context, message_id).state, received(context, message_id).error_code) == ("failed", "unreachable")
    assert len(graph.lines()) == 2 * (len(receiving.PAUSES_SECONDS) + 1)


def test_with_the_number_stopped_it_is_looked_again_for_seven_days(context, graph, clock):
    graph.server.turns = [answer(401, {"error": {"code": 190, "message": "expired"}})]
    message_id = file_comes(context)
    for _ in range(30):
        serve(context)
        assert received(context, message_id).state == "wanted" and received(context, message_id).attempts == 0
        clock.forward(receiving.STOPPED_SECONDS)
    clock.forward(receiving.KEPT_BY_PROVIDER_SECONDS)
    serve(context)
    assert received(context, message_id).error_code == "expired"


# --- hostile ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x", "http://lookaside.fbsbx.com/x", "https://lookaside.fbsbx.com.evil.example/x", "https://notfbsbx.com/",
        "https://lookaside.fbsbx.com@evil.example/x", "https://user@lookaside.fbsbx.com/x", "https://lookaside.fbsbx.com:8080/",
        "http://169.254.169.254/latest", "file:///etc/passwd", "http://127.0.0.1:1/", "//x", "https://[::1]/",
    ],
)  # fmt: skip
def test_no_address_but_the_provider_s_own_is_shown_the_token(context, graph, address):
    graph.address = address
    message_id = file_comes(context)
    serve(context)
    assert received(context, message_id).state == "failed"
    assert received(context, message_id).error_words == "WhatsApp named an address that is not its own"
    assert graph.lines() == ["/v25.0/7001"]


def test_meta_s_own_hosts_are_believed_and_must_be_public(context, graph, db):
    graph.address = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1"
    origin = rows.origin(db, file_comes(context))
    address = context.channel("cloud").media_address(_sender(context), origin.media)
    assert (address.url, address.trusted) == (graph.address, False)
    graph.address = "https://x@evil"
    with pytest.raises(Permanent):
        context.channel("cloud").media_address(_sender(context), origin.media)


@pytest.mark.parametrize(
    ("place", "url", "token"),
    [
        ("https://wati.example/7/files/a.jpg", "https://wati.example/7/files/a.jpg", True),
        ("data/images/a b.jpg", "https://wati.example/7/api/v1/getMedia?fileName=data%2Fimages%2Fa%20b.jpg", True),
        ("https://elsewhere.example/a.jpg", "https://elsewhere.example/a.jpg", False),
        ("http://elsewhere.example/a.jpg", None, False),
        ("http://wati.example/a.jpg", None, False),
    ],
)
def test_wati_s_files_are_where_its_webhook_says_and_only_its_server_is_shown_the_token(place, url, token):
    sender = Sender("7", "secret", base_url="https://wati.example/7")
    media = Media(None, "image/jpeg", url=place)
    if url is None:
        with pytest.raises(Permanent):
            WatiChannel().media_address(sender, media)
        return
    address = WatiChannel().media_address(sender, media)
    assert (address.url, address.trusted, "Bearer secret" in address.headers.values()) == (url, token, token)


def _sender(context):
    from frontdesk.store import numbers

    return context.sender(numbers.get(context.db, 1))


def test_the_token_does_not_follow_a_redirect(context, graph):
    with RawServer(answer(200, PICTURE)) as elsewhere:
        graph.serve(answer(302, b"", {"Location": elsewhere.url}))
        message_id = file_comes(context)
        serve(context)
        assert elsewhere.requests == []
    assert received(context, message_id).state == "wanted"


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("image", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n" + bodies.JPEG), "too_large"),
        ("image", raw(b"HTTP/1.1 200 OK\r\n\r\n" + bodies.JPEG + b"j" * 6 * 1024 * 1024), "too_large"),
        ("sticker", bodies.WEBP + b"w" * 600 * 1024, "too_large"),
        ("image", b"", "empty"),
        ("image", bodies.SVG, "type_mismatch"),
        ("image", bodies.HTML, "type_mismatch"),
        ("image", bodies.PDF, "type_mismatch"),
        ("audio", bodies.EXE, "type_mismatch"),
        ("audio", PICTURE, "type_mismatch"),
        ("video", VOICE, "type_mismatch"),
        ("sticker", bodies.PDF, "type_mismatch"),
    ],
)
def test_what_is_not_what_it_came_as_or_too_large_is_not_kept(context, graph, settings, kind, body, code):
    graph.serve(body)
    message_id = file_comes(context, kind)
    serve(context)
    assert (received(context, message_id).state, received(context, message_id).error_code) == ("failed", code)
    assert on_disk(settings) == []


@pytest.mark.parametrize("body", [bodies.SVG, bodies.HTML, bodies.EXE, bodies.ZIP, b"GIF89a/*<script>alert(1)</script>*/=1;" + b"g" * 300])
def test_a_document_of_no_known_kind_is_kept_as_bytes_that_no_browser_opens(context, graph, body, owner):
    graph.serve(body)
    message_id = file_comes(context, "document", filename="bill.html")
    serve(context)
    kept = media_rows.get(context.db, rows.origin(context.db, message_id).media_id)
    assert kept.mime_type == "application/octet-stream"
    shown = owner.get(f"/media/{kept.public_id}")
    assert shown.data == body and shown.mimetype == "application/octet-stream"
    assert shown.headers["Content-Disposition"].startswith("attachment") and shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in shown.headers["Content-Security-Policy"]


def test_a_polyglot_is_shown_as_what_it_begins_with(context, graph, owner):
    graph.serve(PICTURE + b"<script>alert(1)</script>%PDF-1.7")
    message_id = file_comes(context, mime_type="text/html")
    serve(context)
    kept = media_rows.get(context.db, rows.origin(context.db, message_id).media_id)
    shown = owner.get(f"/media/{kept.public_id}")
    assert shown.mimetype == "image/jpeg" and shown.headers["X-Content-Type-Options"] == "nosniff"


def test_a_slow_drip_ends_with_its_time_and_holds_up_nobody(context, graph, monkeypatch):
    monkeypatch.setattr(receiving, "USUAL_FETCH_SECONDS", 1)
    graph.serve(graph.server.trickle, PICTURE)
    slow = file_comes(context)
    quick = file_comes(context, sender="4915199999999")
    serve(context)
    states = sorted([received(context, slow).state, received(context, quick).state])
    assert states == ["done", "wanted"]
    assert any("longer than 1 seconds" in (received(context, id_).error_words or "") for id_ in (slow, quick))


# --- the answer waits ---------------------------------------------------------------------------------------------------------


def conversation(context) -> conversations.Conversation:
    return conversations.get(context.db, 1)


def bell(context) -> float:
    return context.bells.redis.zscore(context.bells.ENTRIES, "reply-1")


def test_the_answer_waits_for_a_file_and_no_longer_than_the_setting(context, graph, clock):
    graph.serve(answer(500))
    file_comes(context)
    due_at = clock() + context.settings.file_wait_seconds
    assert conversation(context).answer_due_at == due_at == bell(context)
    clock.forward(10)
    serve(context)
    assert conversations.due(context.db, clock(), 30) == []
    assert conversations.claim(context.db, 1, "me", clock(), 30) is None
    clock.at = due_at
    assert conversations.due(context.db, clock(), 30) == [1]
    assert conversations.claim(context.db, 1, "me", clock(), 30)


def test_once_the_last_file_is_here_only_the_quiet_period_counts(context, graph, clock):
    graph.serve(PICTURE)
    file_comes(context), file_comes(context)
    serve(context)
    assert conversation(context).files_until is None
    assert conversation(context).answer_due_at == clock() + context.settings.quiet_seconds == bell(context)
    clock.forward(3)
    assert conversations.due(context.db, clock(), 30) == [1]


def test_a_file_after_the_quiet_period_rings_for_the_answer_at_once(context, graph, clock):
    graph.serve(PICTURE)
    file_comes(context)
    clock.forward(5)
    serve(context)
    assert "reply" in queued(context, "default")


def test_more_files_do_not_make_the_wait_longer(context, graph, clock):
    graph.serve(answer(500))
    file_comes(context)
    first = conversation(context).files_until
    clock.forward(30)
    file_comes(context)
    assert conversation(context).files_until == first


def test_a_text_alone_waits_for_no_file(context, clock):
    receive(context, webhooks.texts(webhooks.text("Hello", at=clock())))
    assert conversation(context).files_until is None
    assert conversation(context).answer_due_at == clock() + context.settings.quiet_seconds


def test_a_failed_file_ends_the_wait(context, graph, clock):
    graph.serve(bodies.SVG)
    file_comes(context)
    serve(context)
    assert conversation(context).files_until is None


# --- dying ------------------------------------------------------------------------------------------------------------------


def test_what_a_worker_that_died_had_begun_is_found_by_the_sweep_and_done_once(context, graph, clock):
    graph.serve(PICTURE)
    message_id = file_comes(context)
    context.queues.redis.flushall()
    assert rows.claim(context.db, "dead", clock(), context.settings.lease_seconds).message_id == message_id
    sweep.sweep(context)
    assert queued(context, "bulk") == []
    clock.forward(context.settings.lease_seconds + 1)
    sweep.sweep(context)
    assert queued(context, "bulk") == ["receive"]
    serve(context)
    assert received(context, message_id).state == "done"
    assert context.db.execute("SELECT COUNT(*) FROM media").fetchone()[0] == 1


def test_a_worker_that_wakes_up_late_changes_nothing(context, graph, clock, settings):
    graph.serve(PICTURE)
    message_id = file_comes(context)
    late = rows.claim(context.db, "late", clock(), context.settings.lease_seconds)
    clock.forward(context.settings.lease_seconds + 1)
    serve(context)
    media_id = rows.origin(context.db, message_id).media_id
    receiving.receive(context, late)
    assert rows.origin(context.db, message_id).media_id == media_id
    assert context.db.execute("SELECT COUNT(*) FROM media").fetchone()[0] == 1


def test_a_file_that_kills_every_worker_is_given_up(context, graph, clock):
    message_id = file_comes(context)
    for _ in range(receiving.MOST_ATTEMPTS):
        assert rows.claim(context.db, "dying", clock(), context.settings.lease_seconds)
        clock.forward(context.settings.lease_seconds + 1)
    serve(context)
    assert received(context, message_id).error_code == "given_up"
    assert conversation(context).files_until is None


def test_asked_to_stop_it_gives_back_what_it_has(context, graph, clock):
    graph.serve(graph.server.trickle)
    message_id = file_comes(context)
    threading.Timer(0.5, context.stopping.set).start()
    serve(context)
    assert received(context, message_id).lease_owner is None and received(context, message_id).attempts == 0
    assert received(context, message_id).state == "wanted"


def test_a_message_that_is_deleted_while_its_file_is_fetched_leaves_nothing(context, graph, db, settings):
    message_id = file_comes(context)

    def delete(connection):
        db.execute("UPDATE conversations SET last_message_id = NULL")
        db.execute("DELETE FROM messages WHERE id = ?", (message_id,))
        return answer(200, PICTURE)(connection)

    graph.serve(delete)
    serve(context)
    assert received(context, message_id) is None and on_disk(settings) == []
    assert db.execute("SELECT COUNT(*) FROM media").fetchone()[0] == 0


# --- hearing ----------------------------------------------------------------------------------------------------------------


def listening(context, server, **more) -> None:
    context.settings = dataclasses.replace(context.settings, transcription_url=server.url, **more)


def test_a_voice_message_becomes_its_words(context, graph):
    graph.serve(VOICE)
    with Transcriptions(" When do you open\x00 on Sunday? ") as server:
        listening(context, server, transcription_token="secret", transcription_model="small")
        message_id = file_comes(context, "audio", voice=True, mime_type="audio/ogg; codecs=opus")
        serve(context)
        [asked] = server.asked
    assert (asked.path, asked.authorization) == ("/v1/audio/transcriptions", "Bearer secret")
    assert asked.fields == {"model": "small", "response_format": "json"}
    assert (asked.filename, asked.mime_type, asked.sound) == ("message.ogg", "audio/ogg", VOICE)
    assert received(context, message_id).text == "When do you open on Sunday?"
    assert text_of(context, message_id) == "[voice message] When do you open on Sunday?"


@pytest.mark.parametrize("ending", ["", "/v1", "/v1/audio/transcriptions"])
def test_the_server_s_address_may_be_given_short_or_whole_and_without_a_token(context, graph, ending):
    graph.serve(VOICE)
    with Transcriptions("Hello") as server:
        listening(context, server)
        context.settings = dataclasses.replace(context.settings, transcription_url=server.url + ending)
        file_comes(context, "audio", voice=True)
        serve(context)
        assert (server.asked[0].path, server.asked[0].authorization) == ("/v1/audio/transcriptions", None)


def test_a_transcript_is_found_by_the_search(context, graph):
    from frontdesk.store import search

    graph.serve(VOICE)
    with Transcriptions("the walnut bread please") as server:
        listening(context, server)
        message_id = file_comes(context, "audio", voice=True)
        serve(context)
    assert [found.message_id for found in search.find(context.db, "walnut")] == [message_id]


def test_a_transcript_is_bounded(context, graph):
    graph.serve(VOICE)
    with Transcriptions("word " * 20_000) as server:
        listening(context, server)
        message_id = file_comes(context, "audio", voice=True)
        serve(context)
    assert len(received(context, message_id).text) == 8_000


def test_a_server_that_fails_is_asked_three_times_and_then_it_is_answered_without(context, graph, clock):
    graph.serve(VOICE)
    with Transcriptions(500, 503, 500, "too late") as server:
        listening(context, server)
        message_id = file_comes(context, "audio", voice=True)
        for pause in (2, 10):
            serve(context)
            assert received(context, message_id).state == "fetched" and conversation(context).files_until
            clock.forward(pause)
        serve(context)
        assert len(server.asked) == 3
    file = received(context, message_id)
    assert (file.state, file.error_code, file.text) == ("done", "unreadable", None)
    assert conversation(context).files_until is None
    assert graph.lines().count("/files/1") == 1
    with Transcriptions("now it works") as server:
        listening(context, server)
        receiving.want_again(context, message_id)
        serve(context)
    assert text_of(context, message_id) == "[voice message] now it works"


def test_a_sound_that_the_server_cannot_read_is_not_sent_again(context, graph):
    graph.serve(VOICE)
    with Transcriptions(400) as server:
        listening(context, server)
        message_id = file_comes(context, "audio")
        serve(context)
        serve(context)
        assert len(server.asked) == 1
    assert received(context, message_id).error_code == "not_transcribed"


def test_no_transcript_enters_a_log(context, graph, caplog):
    graph.serve(VOICE)
    caplog.set_level("DEBUG", "frontdesk")
    with Transcriptions("very private words") as server:
        listening(context, server)
        file_comes(context, "audio", voice=True)
        serve(context)
    assert "private" not in caplog.text


def test_who_asks_for_a_person_by_voice_gets_one(context, graph, db):
    graph.serve(VOICE)
    with Transcriptions("I want to talk to a human, please.") as server:
        listening(context, server)
        file_comes(context, "audio", voice=True)
        serve(context)
    assert conversation(context).state == "human" and conversation(context).needs_person_reason == "asked"


def test_faster_whisper_is_asked_in_a_process_of_its_own(context, graph, tmp_path, monkeypatch):
    (tmp_path / "faster_whisper.py").write_text(
        "class WhisperModel:\n"
        "    def __init__(self, folder, **options): self.folder, self.options = folder, options\n"
        "    def transcribe(self, path, **options):\n"
        "        from types import SimpleNamespace as S\n"
        "        size = len(open(path, 'rb').read())\n"
        "        return iter([S(text=f' {size} bytes'), S(text=f' by {self.folder} offline={self.options[\"local_files_only\"]} ')]), None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    context.settings = dataclasses.replace(context.settings, whisper_model="a-folder")
    graph.serve(VOICE)
    message_id = file_comes(context, "audio", voice=True)
    serve(context)
    assert received(context, message_id).text == f"{len(VOICE)} bytes by a-folder offline=True"


def test_a_faster_whisper_that_dies_harms_nothing(context, graph, tmp_path, monkeypatch):
    (tmp_path / "faster_whisper.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    context.settings = dataclasses.replace(context.settings, whisper_model="a-folder")
    graph.serve(VOICE)
    message_id = file_comes(context, "audio", voice=True)
    serve(context)
    assert received(context, message_id).error_words == "faster-whisper could not transcribe it"
    assert received(context, message_id).state == "fetched"


def test_doctor_says_whether_the_transcription_server_answers(settings):
    assert list(diagnosis._speech(settings)) == []
    with Transcriptions("Hello") as server:
        [finding] = diagnosis._speech(dataclasses.replace(settings, transcription_url=server.url))
        assert finding.ok and "whisper-1" in finding.words
    [finding] = diagnosis._speech(dataclasses.replace(settings, transcription_url="http://127.0.0.1:9"))
    assert finding.mend == "start it, or correct TRANSCRIPTION_URL"


# --- reading ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "filename", "says"),
    [
        (pdf([["Invoice 4711", "Total 12 euros"]]), "bill.pdf", "Total 12 euros"),
        (docx([("", "We want forty rolls.")]), "order.docx", "We want forty rolls."),
        ("Zwölf Brötchen\n".encode(), "note.txt", "Zwölf Brötchen"),
    ],
)
def test_a_document_s_text_is_read(context, graph, body, filename, says):
    graph.serve(body)
    message_id = file_comes(context, "document", filename=filename)
    serve(context)
    assert says in received(context, message_id).text
    assert text_of(context, message_id) == f"[document: {filename}]"


def test_a_document_that_cannot_be_read_is_kept_and_told(context, graph):
    graph.serve(bodies.PDF)
    message_id = file_comes(context, "document", filename="bill.pdf")
    serve(context)
    file = received(context, message_id)
    assert (file.state, file.error_code, file.text) == ("done", "unreadable", None)
    assert rows.origin(context.db, message_id).media_id is not None


def test_a_document_is_read_up_to_a_bound(context, graph, monkeypatch):
    graph.serve(b"bread and butter\n" * 100_000)
    message_id = file_comes(context, "document", filename="long.txt")
    serve(context)
    assert len(received(context, message_id).text) == receiving.LONGEST_DOCUMENT


def test_a_message_of_a_kind_with_files_but_without_one_waits_for_none(context, db):
    receive(context, webhooks.texts({**webhooks.text(), "type": "image", "image": {}}))
    assert db.execute("SELECT COUNT(*) FROM received_files").fetchone()[0] == 0
    assert conversation(context).files_until is None
