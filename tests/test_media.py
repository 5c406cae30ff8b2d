"""Media for sending: kept once, refused by content, fetched by a job, gone when nobody needs them. Uploads: test_media_uploads.py."""

import hashlib
import io
import signal
import subprocess
import sys
import threading

import pytest

from frontdesk import queues
from frontdesk.channels import Content
from frontdesk.errors import FetchRefused, MediaRefused
from frontdesk.flows import media, sweep
from frontdesk.store import clients, files, media as rows, numbers, outbox, schedules
from tests import media_bodies as bodies, webhooks
from tests.standins.raw_http import RawServer, answer, cut, raw
from tests.stack import ROOT
from tests.test_inbound import receive

DAY = 24 * 3600


@pytest.fixture
def client_id(db):
    return clients.find(db, "Corner Bakery")


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings):
    """The web of these tests is on loopback; test_fetch.py is where private addresses are refused."""
    object.__setattr__(settings, "fetch_private_addresses", True)


def kept(context, client_id, body=bodies.JPEG, filename="cake.jpg", declared_type="image/jpeg"):
    return media.keep(context, io.BytesIO(body), client_id=client_id, filename=filename, declared_type=declared_type)


def on_disk(settings) -> list[str]:
    """Every file under DATA_DIR/media, by its path there."""
    return sorted(str(path.relative_to(settings.media_dir)) for path in settings.media_dir.rglob("*") if path.is_file())


def place(body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    return f"{digest[:2]}/{digest}"


# --- keeping ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_kept_under_its_hash_with_what_is_known_of_it(context, client_id, settings, clock):
    made = kept(context, client_id, bodies.PNG, "../../Café\n.png", "image/png")
    assert (made.state, made.mime_type, made.size_bytes, made.filename) == ("ready", "image/png", len(bodies.PNG), "Café .png")
    assert (made.sha256, made.created_at, made.url) == (hashlib.sha256(bodies.PNG).hexdigest(), clock(), None)
    assert on_disk(settings) == [place(bodies.PNG)]
    assert media.path(context, made).read_bytes() == bodies.PNG
    assert media.path(context, made).stat().st_mode & 0o777 == 0o600
    assert rows.by_public_id(context.db, made.public_id) == made == rows.get(context.db, made.id)
    assert media.kinds(made) == ["image", "document"]


def test_a_file_is_kept_once_however_often_it_is_sent(context, client_id, settings):
    one, other = kept(context, client_id), kept(context, client_id, filename="another name.jpg")
    assert one.id != other.id and one.sha256 == other.sha256
    assert on_disk(settings) == [place(bodies.JPEG)]


def test_a_file_that_was_damaged_is_mended_by_the_next_of_its_content(context, client_id):
    made = kept(context, client_id)
    media.path(context, made).write_bytes(b"")
    kept(context, client_id)
    assert media.path(context, made).read_bytes() == bodies.JPEG


@pytest.mark.parametrize(
    ("body", "declared_type", "code"),
    [
        (b"", "image/png", "empty"),
        (bodies.EXE, "image/png", "type_not_taken"),
        (bodies.PNG, "image/jpeg", "type_mismatch"),
        (bodies.WEBP + b"w" * 100 * 1024, "image/webp", "too_large"),
        (bodies.ANIMATED_WEBP + b"w" * 500 * 1024, "image/webp", "too_large"),
    ],
)
def test_what_whatsapp_does_not_take_is_not_kept(context, client_id, settings, body, declared_type, code):
    with pytest.raises(MediaRefused) as caught:
        kept(context, client_id, body, "x", declared_type)
    assert caught.value.code == code
    assert on_disk(settings) == []
    assert context.db.execute("SELECT COUNT(*) FROM media").fetchone()[0] == 0


def test_a_stream_without_end_is_cut_at_the_largest_limit(context, client_id, settings, monkeypatch):
    monkeypatch.setattr(media.media_types, "MOST_BYTES", 1024 * 1024)

    class Endless:
        given = 0

        def read(self, size):
            self.given += size
            return b"x" * size

    stream = Endless()
    with pytest.raises(MediaRefused, match="1 MB at most"):
        media.keep(context, stream, client_id=client_id, filename="x", declared_type="")
    assert stream.given < 2 * 1024 * 1024
    assert on_disk(settings) == []


def test_a_caller_who_goes_away_in_the_middle_leaves_nothing(context, client_id, settings):
    class Gone:
        def read(self, size):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        media.keep(context, Gone(), client_id=client_id, filename="x", declared_type="")
    assert on_disk(settings) == []


def test_a_large_picture_is_kept_for_it_can_go_as_a_document(context, client_id):
    made = kept(context, client_id, bodies.JPEG + b"j" * 6 * 1024 * 1024)
    assert media.kinds(made) == ["document"]
    number = numbers.get(context.db, 1)
    media.check(context, made, "document", number)
    with pytest.raises(MediaRefused, match="a picture may have 5 MB"):
        media.check(context, made, "image", number)


def test_a_sticker_has_meta_s_width_and_height_and_any_in_a_channel_that_asks_for_none(context, client_id, channel, monkeypatch):
    number, photo = numbers.get(context.db, 1), kept(context, client_id, bodies.webp(800, 600), "cake.webp", "image/webp")
    for sticker in (bodies.webp(512, 512), bodies.WEBP):  # the header of the second says no size: Meta is asked
        media.check(context, kept(context, client_id, sticker, "cake.webp", "image/webp"), "sticker", number)
    with pytest.raises(MediaRefused, match="a sticker has 512 × 512 pixels; this one has 800 × 600"):
        media.check(context, photo, "sticker", number)
    monkeypatch.setattr(channel, "sticker_pixels", None)
    media.check(context, photo, "sticker", number)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("C:\\cakes\\a.jpg", "a.jpg"),
        ("a/", ""),
        ("..", ""),
        ("x" * 300 + ".pdf", "x" * 180 + ".pdf"),
        ("a\x00\u202eb.jpg", "a  b.jpg"),
        ("\udc80.txt", "?.txt"),
    ],
)
def test_a_filename_is_made_harmless(given, name):
    assert media.clean_name(given) == name


HALFWAY = """
import sys, time
from frontdesk import queues, settings as settings_module
from frontdesk.flows import media
from frontdesk.flows.context import make

settings = settings_module.load({"DATA_DIR": sys.argv[1]}, env_file="none")

class Slow:
    parts = [%r, b"more"]

    def read(self, size):
        if len(self.parts) == 1:
            print("halfway", flush=True)
            time.sleep(60)
        return self.parts.pop(0)

media.keep(make(settings, queues.connect("unix:///nowhere/redis.sock")), Slow(), client_id=1, filename="x.jpg", declared_type="")
"""


def test_kill_9_in_the_middle_of_keeping_leaves_no_half_file_and_the_leftover_goes(context, client_id, settings):
    before = kept(context, client_id, bodies.PNG, "x.png", "image/png")
    process = subprocess.Popen([sys.executable, "-c", HALFWAY % bodies.JPEG, str(settings.data_dir)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"halfway\n"
    assert files.forget_leftovers(settings.media_dir) == 0, "somebody writes it"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    [leftover, good] = on_disk(settings)
    assert good == place(bodies.PNG) and leftover.startswith(".unfinished/")
    assert files.forget_leftovers(settings.media_dir) == 1
    assert on_disk(settings) == [place(bodies.PNG)]
    assert rows.get(context.db, before.id).state == "ready"
    assert context.db.execute("SELECT COUNT(*) FROM media").fetchone()[0] == 1


# --- fetching --------------------------------------------------------------------------------------------------------------


def test_a_url_is_wanted_then_fetched_by_the_job(context, client_id, settings):
    headers = {"Content-Type": "image/jpeg", "Content-Disposition": 'inline; filename="a cake.jpg"'}
    with RawServer(answer(200, bodies.JPEG, headers)) as server:
        wanted = media.keep_from_url(context, server.url + "/x", client_id=client_id)
        assert (wanted.state, wanted.url, wanted.sha256) == ("wanted", server.url + "/x", None)
        [job] = context.queues.rq_queues(["bulk"])[0].jobs
        assert (job.func_name, list(job.args)) == ("jobs.fetch_media", [wanted.id])
        made = media.fetch(context, wanted.id)
        assert (made.state, made.filename, made.mime_type, made.attempts) == ("ready", "a cake.jpg", "image/jpeg", 1)
        assert (made.lease_owner, made.due_at, made.error_words) == (None, None, None)
        assert on_disk(settings) == [place(bodies.JPEG)]
        assert media.fetch(context, wanted.id) is None, "a job that comes twice does nothing"
        assert len(server.requests) == 1


def test_an_address_that_is_none_is_refused_at_once(context, client_id):
    for url in ("file:///etc/passwd", "http://u:p@example.com/", "http://2130706433/"):
        with pytest.raises(FetchRefused):
            media.keep_from_url(context, url, client_id=client_id)
    assert context.db.execute("SELECT COUNT(*) FROM media").fetchone()[0] == 0


def test_a_private_address_fails_for_good(context, client_id, settings):
    object.__setattr__(settings, "fetch_private_addresses", False)
    with RawServer(answer(200, bodies.JPEG)) as server:
        wanted = media.keep_from_url(context, server.url, client_id=client_id)
        made = media.fetch(context, wanted.id)
        assert (made.state, made.error_code) == ("failed", "private_address")
        assert server.connections == 0
    with pytest.raises(MediaRefused, match="private network"):
        media.check(context, made, "image", numbers.get(context.db, 1))


@pytest.mark.parametrize(
    ("turn", "code"),
    [
        (answer(404), "http_404"),
        (answer(200, bodies.HTML, {"Content-Type": "text/html"}), "type_not_taken"),
        (answer(200, bodies.PNG, {"Content-Type": "image/jpeg"}), "type_mismatch"),
        (answer(200, b""), "empty"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 104857601\r\n\r\n"), "too_large"),
    ],
)
def test_what_will_never_work_is_not_tried_again(context, client_id, settings, turn, code):
    with RawServer(turn) as server:
        wanted = media.keep_from_url(context, server.url, client_id=client_id)
        made = media.fetch(context, wanted.id)
    assert (made.state, made.error_code) == ("failed", code)
    assert made.error_words and "127.0.0.1" not in made.error_words
    assert media.due(context) == [] and on_disk(settings) == []


def test_what_may_work_later_is_tried_three_times_more(context, client_id, clock):
    with RawServer(answer(503)) as server:
        wanted = media.keep_from_url(context, server.url, client_id=client_id)
        for delay in context.settings.send_retry_seconds:
            made = media.fetch(context, wanted.id)
            assert (made.state, made.due_at, made.error_words) == ("wanted", clock() + delay, "the server answered HTTP 503")
            assert media.fetch(context, wanted.id) is None and media.due(context) == []
            clock.forward(delay)
            assert media.due(context) == [wanted.id]
        made = media.fetch(context, wanted.id)
        assert (made.state, made.error_code) == ("failed", "unreachable")
        assert len(server.requests) == 4


def test_a_server_that_comes_back_is_fetched_from(context, client_id, clock):
    with RawServer(cut, answer(200, bodies.JPEG)) as server:
        wanted = media.keep_from_url(context, server.url, client_id=client_id)
        assert media.fetch(context, wanted.id).state == "wanted"
        clock.forward(10)
        made = media.fetch(context, wanted.id)
        assert (made.state, made.error_words) == ("ready", None)


def test_a_full_disk_is_tried_again_later(context, client_id, settings):
    settings.media_dir.write_text("no folder")
    with RawServer(answer(200, bodies.JPEG)) as server:
        wanted = media.keep_from_url(context, server.url, client_id=client_id)
        made = media.fetch(context, wanted.id)
    assert made.state == "wanted" and made.error_words.startswith("this machine could not keep it")


def test_the_sweep_rings_once_for_what_is_due(context, client_id, redis):
    wanted = media.keep_from_url(context, "http://127.0.0.1:9/", client_id=client_id)
    assert context.queues.depth("bulk") == 1
    sweep.sweep(context)
    assert context.queues.depth("bulk") == 1, "its job still stands in line"
    redis.flushall()
    sweep.sweep(context)
    [job] = context.queues.rq_queues(["bulk"])[0].jobs
    assert list(job.args) == [wanted.id]


def test_without_redis_it_is_wanted_all_the_same(context, client_id):
    context.queues = queues.Queues(queues.connect("unix:///nowhere/redis.sock"))
    assert media.keep_from_url(context, "http://127.0.0.1:9/", client_id=client_id).state == "wanted"
    assert len(media.due(context)) == 1


KILLED = """
import sys
from frontdesk import queues, settings as settings_module
from frontdesk.flows import media
from frontdesk.flows.context import make

settings = settings_module.load({"DATA_DIR": sys.argv[1], "FETCH_PRIVATE_ADDRESSES": "yes"}, env_file="none")
context = make(settings, queues.connect("unix:///nowhere/redis.sock"))
context.now = lambda: float(sys.argv[3])
media.fetch(context, int(sys.argv[2]))
"""


def test_a_fetch_that_was_killed_is_found_by_the_sweep(context, client_id, settings, clock, redis):
    asked = threading.Event()

    def half(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bodies.JPEG)
        asked.set()
        return server.silence(connection)

    with RawServer(half, answer(200, bodies.JPEG)) as server:
        wanted = media.keep_from_url(context, server.url, client_id=client_id)
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(settings.data_dir), str(wanted.id), str(clock())], cwd=ROOT)
        assert asked.wait(20)
        assert media.fetch(context, wanted.id) is None and media.due(context) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        redis.flushall()
        clock.forward(media.lease_seconds(context) + 1)
        sweep.sweep(context)
        [job] = context.queues.rq_queues(["bulk"])[0].jobs
        assert list(job.args) == [wanted.id]
        made = media.fetch(context, wanted.id)
        assert (made.state, made.attempts) == ("ready", 2)
    media.clean(context)
    assert on_disk(settings) == [place(bodies.JPEG)]


def test_a_lease_from_a_clock_that_was_set_back_is_not_believed(context, client_id, clock):
    wanted = media.keep_from_url(context, "http://127.0.0.1:9/", client_id=client_id)
    rows.claim(context.db, wanted.id, "who died", clock(), media.lease_seconds(context))
    clock.forward(-2 * 3600)
    assert media.due(context) == [wanted.id]


def test_an_owner_who_lost_its_lease_changes_nothing(context, client_id, clock):
    wanted = media.keep_from_url(context, "http://127.0.0.1:9/", client_id=client_id)
    slow = rows.claim(context.db, wanted.id, "slow", clock(), 10)
    clock.forward(11)
    rows.claim(context.db, wanted.id, "other", clock(), 10)
    assert not rows.failed(context.db, slow, "x", "y")
    assert not rows.renew(context.db, slow, clock(), 10)
    assert rows.get(context.db, wanted.id).lease_owner == "other"


def test_a_worker_that_is_asked_to_stop_hands_the_fetch_back(context, client_id, settings):
    with RawServer(answer(200, bodies.JPEG)) as server:
        wanted = media.keep_from_url(context, server.url, client_id=client_id)
        context.stopping.set()
        made = media.fetch(context, wanted.id)
    assert (made.state, made.attempts, made.lease_owner) == ("wanted", 0, None)
    assert media.due(context) == [wanted.id] and on_disk(settings) == []


def test_a_fetch_that_always_takes_its_process_along_ends(context, client_id, clock):
    wanted = media.keep_from_url(context, "http://127.0.0.1:9/", client_id=client_id)
    for _ in range(media.MOST_ATTEMPTS):
        assert rows.claim(context.db, wanted.id, "dies", clock(), 10)
        clock.forward(11)
    assert media.fetch(context, wanted.id).error_code == "unreachable"


# --- cleaning --------------------------------------------------------------------------------------------------------------


def test_what_nobody_used_for_ninety_days_goes(context, client_id, settings, clock):
    old = kept(context, client_id)
    clock.forward(50 * DAY)
    young = kept(context, client_id, bodies.PNG, "x.png", "image/png")
    clock.forward(41 * DAY)
    media.clean(context)
    assert on_disk(settings) == [place(bodies.PNG)]
    gone = rows.get(context.db, old.id)
    assert (gone.state, gone.error_code, gone.filename) == ("failed", "expired", "cake.jpg")
    assert rows.get(context.db, young.id).state == "ready"


def test_a_file_stays_while_one_of_its_rows_is_young_or_used(context, client_id, settings, clock):
    kept(context, client_id)
    used = kept(context, client_id, bodies.PDF, "x.pdf", "application/pdf")
    clock.forward(80 * DAY)
    kept(context, client_id)
    rows.used(context.db, [used.id], clock())
    clock.forward(20 * DAY)
    media.clean(context)
    assert on_disk(settings) == sorted(map(place, (bodies.JPEG, bodies.PDF)))


def test_what_a_message_waits_to_take_along_stays(context, client_id, settings, clock):
    receive(context, webhooks.texts(webhooks.text()))
    made, db = kept(context, client_id), context.db
    outbox.queue(db, 1, 1, Content("image", "", {"caption": "x"}), purpose="api", now=clock(), media_id=made.id)
    clock.forward(1000 * DAY)
    media.clean(context)
    assert on_disk(settings) == [place(bodies.JPEG)]
    db.execute("UPDATE messages SET state = 'sent' WHERE direction = 'out'")
    media.clean(context)
    assert on_disk(settings) == []


def test_what_a_schedule_is_to_take_along_stays(context, client_id, settings, clock):
    made = kept(context, client_id)
    schedule_id = schedules.add(
        context.db,
        client_id=client_id,
        number_id=1,
        conversation_id=None,
        phone="4915112345",
        name="",
        content={"media_id": made.id},
        rule=None,
        time_zone="UTC",
        next_at=clock() + 200 * DAY,
        late_limit_seconds=60,
        created_by=None,
        now=clock(),
    )
    clock.forward(199 * DAY)
    media.clean(context)
    assert on_disk(settings) == [place(bodies.JPEG)]
    context.db.execute("UPDATE schedules SET state = 'cancelled' WHERE id = ?", (schedule_id,))
    media.clean(context)
    assert on_disk(settings) == []


def test_a_file_that_no_row_knows_goes(context, client_id, settings):
    kept(context, client_id)
    context.db.execute("DELETE FROM media")
    media.clean(context)
    assert on_disk(settings) == []


def test_keeping_and_cleaning_at_once_lose_nothing(context, client_id):
    ended = threading.Event()

    def clean_again_and_again():
        while not ended.is_set():
            media.clean(context)

    cleaner = threading.Thread(target=clean_again_and_again)
    cleaner.start()
    try:
        for _ in range(20):
            made = kept(context, client_id)
            assert media.path(context, made).read_bytes() == bodies.JPEG
            context.db.execute("DELETE FROM media WHERE id = ?", (made.id,))
    finally:
        ended.set()
        cleaner.join()
