"""Media are handed to the provider once for each number; what becomes of an upload is judged like a send, and never unknown."""

import os
import threading

import pytest

from frontdesk.channels.cloud import CloudChannel
from frontdesk.errors import NumberStopped, Permanent, Temporary
from frontdesk.flows import media
from frontdesk.flows.first_run import SIMULATOR_NUMBER
from frontdesk.store import clients, numbers
from tests import media_bodies as bodies
from tests.standins.raw_http import RawServer, answer, cut, reset
from tests.test_media import DAY, kept


@pytest.fixture
def client_id(db):
    return clients.find(db, "Corner Bakery")


@pytest.fixture
def graph(context, monkeypatch):
    """A Graph API that takes uploads and numbers them, and the real channel before it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ids = iter(range(1, 1000))

    def take(connection):
        return answer(200, {"id": f"media-{next(ids)}"})(connection)

    with RawServer(take) as server:
        context.db.execute("UPDATE numbers SET base_url = ?", (server.url,))
        channel = CloudChannel(2.0)
        context.channel = lambda kind: channel
        yield server


@pytest.fixture
def number(db, graph):
    return numbers.find(db, "cloud", SIMULATOR_NUMBER)


def test_an_upload_is_a_form_as_meta_wants_it(context, client_id, number, graph):
    made = kept(context, client_id, bodies.PDF, 'Menü "spring".pdf', "application/pdf")
    assert media.external_id(context, number, made) == "media-1"
    [request] = graph.requests
    assert request.line == f"POST /v25.0/{SIMULATOR_NUMBER}/media HTTP/1.1"
    assert request.headers["authorization"] == "Bearer simulator"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert int(request.headers["content-length"]) == len(request.body)
    assert b'name="messaging_product"\r\n\r\nwhatsapp\r\n' in request.body
    assert b'name="type"\r\n\r\napplication/pdf\r\n' in request.body
    assert 'filename="Menü %22spring%22.pdf"\r\nContent-Type: application/pdf\r\n\r\n'.encode() + bodies.PDF + b"\r\n--" in request.body
    assert request.body.endswith(b"--\r\n")


def test_an_upload_is_made_once_for_each_number_and_reused_for_29_days(context, client_id, number, graph, clock, settings):
    one, same = kept(context, client_id), kept(context, client_id, filename="again.jpg")
    other_id = numbers.put(
        context.db, settings, client_id=client_id, channel="cloud", external_id="2", access_token="x", base_url=graph.url, now=clock()
    )
    other = numbers.get(context.db, other_id)
    assert [media.external_id(context, number, each) for each in (one, same, one)] == ["media-1"] * 3
    assert media.external_id(context, other, one) == "media-2"
    clock.forward(29 * DAY - 1)
    assert media.external_id(context, number, one) == "media-1"
    clock.forward(2)
    assert media.external_id(context, number, one) == "media-3"
    assert media.external_id(context, number, same) == "media-3"
    assert len(graph.requests) == 3


def test_an_upload_that_the_provider_lost_is_made_again(context, client_id, number):
    made = kept(context, client_id)
    first = media.external_id(context, number, made)
    media.forget_upload(context, number.id, made, first)
    assert media.external_id(context, number, made) == "media-2"
    media.forget_upload(context, number.id, made, first)
    assert media.external_id(context, number, made) == "media-2", "who speaks of the first upload does not mean the second"


def test_which_errors_say_that_an_upload_is_lost():
    assert media.upload_is_lost(Temporary("Media upload error", code=131053))
    assert media.upload_is_lost(Permanent("Param image['id'] is not a valid whatsapp business account media attachment ID", code=100))
    assert not media.upload_is_lost(Permanent("Invalid parameter", code=100))


def test_threads_that_want_the_same_upload_make_one(context, client_id, number, graph):
    made, found = kept(context, client_id), []
    threads = [threading.Thread(target=lambda: found.append(media.external_id(context, number, made))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["media-1"] * 8
    assert len(graph.requests) == 1


def meta_error(code, status=400):
    return answer(status, {"error": {"message": "Words of Meta", "code": code}})


@pytest.mark.parametrize(
    ("turn", "error"),
    [
        (meta_error(131053), Temporary),
        (meta_error(190, 401), NumberStopped),
        (meta_error(100), Permanent),
        (answer(500), Temporary),
        (answer(413), Temporary),
        (answer(200, {}), Temporary),
        (cut, Temporary),
        (reset, Temporary),
    ],
)
def test_an_upload_that_fails_is_judged_like_a_send_and_never_unknown(context, client_id, number, graph, turn, error):
    graph.turns[:] = [turn]
    made = kept(context, client_id)
    with pytest.raises(error) as caught:
        media.external_id(context, number, made)
    assert type(caught.value) is error
    assert context.db.execute("SELECT COUNT(*) FROM media_uploads").fetchone()[0] == 0


def test_a_large_file_is_sent_as_it_is_read(context, client_id, number, graph):
    body = bodies.PDF + os.urandom(1024) * 4096
    made = kept(context, client_id, body, "menu.pdf", "application/pdf")
    media.external_id(context, number, made)
    assert body in graph.requests[0].body


def test_media_that_are_not_there_cannot_be_uploaded(context, client_id, number):
    made = kept(context, client_id)
    os.unlink(media.path(context, made))
    with pytest.raises(Permanent, match="gone"):
        media.external_id(context, number, made)
    wanted = media.keep_from_url(context, "http://127.0.0.1:9/", client_id=client_id)
    with pytest.raises(Permanent, match="not there yet"):
        media.external_id(context, number, wanted)
