"""The session under every send: nothing goes out twice, and a failure says whether the request had gone out."""

import os
import socket
import threading
import time

import pytest

from frontdesk.channels import wire
from frontdesk.channels.wire import NoAnswer, NotSent, Wire
from tests.standins.certificates import own_certificate
from tests.standins.raw_http import RawServer, answer, cut, raw, reset

TAKEN = answer(200, {"messages": [{"id": "wamid.1"}]})


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def post(server, *, timeout_seconds=2.0, session=None):
    """POSTs to a RawServer or an address, through `session` or one of its own."""
    url = server if isinstance(server, str) else server.url + "/x"
    return (session or Wire(timeout_seconds)).post(url, b'{"a": 1}', "token")


def test_a_refused_connection_is_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(NotSent, match="Connection refused"):
        post(url)


def test_a_host_that_does_not_exist_is_not_sent(monkeypatch):
    def no_such_name(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(NotSent, match="Name or service not known"):
        post("http://graph.invalid")


@pytest.mark.parametrize("url", ["graph.facebook.com", "ftp://127.0.0.1", "http://", "http://[::1"])
def test_an_address_that_is_none_is_not_sent_and_no_crash(url):
    with pytest.raises(NotSent):
        post(url)


def test_a_connection_that_is_never_accepted_is_not_sent():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        with pytest.raises(NotSent):
            post(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.3)
        for filler in fillers:
            filler.close()


def test_a_certificate_nobody_vouches_for_is_not_sent(tmp_path):
    with RawServer(TAKEN, tls=own_certificate(tmp_path)) as server, pytest.raises(NotSent, match="certificate verify failed"):
        post(server)
    assert server.requests == []


def test_over_tls_calls_share_a_connection_and_a_cut_is_no_answer(tmp_path, monkeypatch):
    session = Wire(2.0)
    with RawServer(TAKEN, TAKEN, cut, TAKEN, tls=own_certificate(tmp_path)) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "own.pem"))
        assert post(server, session=session).status == post(server, session=session).status == 200
        with pytest.raises(NoAnswer):
            post(server, session=session)
        assert post(server, session=session).status == 200
    assert [request.connection for request in server.requests] == [1, 1, 1, 2]


@pytest.mark.parametrize("ending", [cut, reset, raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")])
def test_a_tls_handshake_that_fails_is_not_sent(ending):
    def hang_up(connection):
        connection.recv(100)
        return ending(connection)

    with RawServer(on_accept=hang_up) as server, pytest.raises(NotSent):
        post(server)


def test_a_tls_handshake_that_hangs_is_not_sent():
    ended = threading.Event()
    with RawServer(on_accept=lambda connection: ended.wait(5)) as server, pytest.raises(NotSent):
        post(server, timeout_seconds=0.3)
    ended.set()


def test_a_proxy_that_is_away_is_not_sent(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
    for url in ("https://graph.invalid", "http://graph.invalid"):
        with pytest.raises(NotSent):
            post(url)


@pytest.mark.parametrize(
    "turn",
    [
        cut,
        reset,
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
        raw(b"HTTP/1.1 2"),
        raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    ],
)
def test_whatever_breaks_after_the_request_has_no_answer_and_is_never_sent_again(turn):
    with RawServer(turn) as server:
        with pytest.raises(NoAnswer):
            post(server)
        assert len(server.requests) == 1


def test_silence_after_the_request_is_no_answer():
    with RawServer() as server:
        server.turns = [server.silence]
        with pytest.raises(NoAnswer, match="timed out"):
            post(server, timeout_seconds=0.3)
        assert len(server.requests) == 1


def test_an_answer_that_trickles_holds_nobody_for_ever():
    with RawServer() as server:
        server.turns = [server.trickle]
        with pytest.raises(NoAnswer):
            post(server, timeout_seconds=0.3)


# --- connections ----------------------------------------------------------------------------------------------------


def test_calls_share_one_connection():
    session = Wire(2.0)
    with RawServer(TAKEN) as server:
        for _ in range(3):
            post(server, session=session)
    assert [request.connection for request in server.requests] == [1, 1, 1]


def test_a_kept_connection_that_the_server_closed_meanwhile_is_not_used():
    session = Wire(2.0)
    with RawServer(answer(200, {"messages": [{"id": "wamid.1"}]}, keep=False), TAKEN) as server:
        post(server, session=session)
        _until_closed(session, server.url)
        assert post(server, session=session).status == 200
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_kept_connection_that_is_cut_under_the_request_is_no_answer():
    session = Wire(2.0)
    with RawServer(TAKEN, cut, TAKEN) as server:
        post(server, session=session)
        with pytest.raises(NoAnswer):
            post(server, session=session)
        assert len(server.requests) == 2  # not a third: nothing was sent again
        assert post(server, session=session).status == 200
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_connection_idle_for_long_is_given_up_before_the_server_does(monkeypatch):
    session = Wire(2.0)
    with RawServer(TAKEN) as server:
        post(server, session=session)
        monkeypatch.setattr(wire, "IDLE_SECONDS", -1.0)
        post(server, session=session)
    assert [request.connection for request in server.requests] == [1, 2]


def test_thirty_two_threads_send_at_the_same_time(caplog):
    session, taken = Wire(5.0), []
    together = threading.Barrier(32)

    def slow(connection):
        together.wait(5)
        return TAKEN(connection)

    with RawServer(slow) as server:
        threads = [threading.Thread(target=lambda: taken.append(post(server, session=session))) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(taken) == len(server.requests) == 32
    assert "pool is full" not in caplog.text


def test_a_forked_process_gets_connections_of_its_own():
    session = Wire(2.0)
    with RawServer(TAKEN) as server:
        post(server, session=session)
        child = os.fork()
        if child == 0:
            os._exit(0 if post(server, session=session).status == 200 else 1)
        assert os.waitpid(child, 0)[1] == 0
        post(server, session=session)
    assert [request.connection for request in server.requests] == [1, 2, 1]


def test_cookies_are_not_kept():
    session = Wire(2.0)
    body = {"messages": [{"id": "wamid.1"}]}
    with RawServer(answer(200, body, {"Set-Cookie": "a=b; Path=/"})) as server:
        post(server, session=session)
        post(server, session=session)
    assert all("cookie" not in request.headers for request in server.requests)


def _until_closed(session, url):
    """Wait until the server's close has reached the one idle connection of the session's pool."""
    pools = session._session.get_adapter(url).poolmanager.pools
    idle = pools[next(iter(pools.keys()))].pool.queue[-1]
    deadline = time.monotonic() + 2
    while idle.is_connected and time.monotonic() < deadline:
        time.sleep(0.005)


# --- held until its moment ----------------------------------------------------------------------------------------------


def test_a_held_request_is_connected_and_not_begun_before_its_moment():
    seen = []
    with RawServer(TAKEN) as server:

        def wait():
            while not server.connections:
                time.sleep(0.005)
            seen.append(len(server.requests))

        with wire.held_until(wait):
            assert post(server).status == 200
    assert seen == [0]


def test_only_the_next_call_of_its_own_thread_is_held():
    waits = []
    with RawServer(TAKEN, TAKEN, TAKEN) as server, wire.held_until(lambda: waits.append(threading.current_thread())):
        other = threading.Thread(target=post, args=(server,))
        other.start()
        other.join()
        assert waits == []
        post(server)
        post(server)
    assert waits == [threading.current_thread()]


def test_a_held_request_that_cannot_connect_waits_for_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    waits = []
    with wire.held_until(lambda: waits.append(1)), pytest.raises(NotSent, match="Connection refused"):
        post(url)
    assert waits == []
    with RawServer(TAKEN) as server:
        assert post(server).status == 200
    assert waits == [], "the next call is not held"
