"""Fetching from addresses that other people name: nothing of this machine or its neighbours is ever reached, and all of it ends."""

import io
import socket
import threading
import time

import pytest

from frontdesk import fetch as fetching
from frontdesk.errors import FetchFailed, FetchRefused
from frontdesk.fetch import call, fetch, post
from frontdesk.public_addresses import is_public
from tests.standins.certificates import own_certificate
from tests.standins.raw_http import RawServer, answer, cut, raw, reset


def get(url, *, most_bytes=1000, timeout_seconds=5.0, **more):
    """What was fetched, and the bytes of it."""
    into = io.BytesIO()
    return fetch(url, into, most_bytes=most_bytes, timeout_seconds=timeout_seconds, **more), into.getvalue()


def names(**hosts):
    """A resolver that knows these hosts alone; each a list of addresses. It counts its answers."""

    def resolve(host, port, **_):
        resolve.asked.append(host)
        if host not in hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts[host]]

    resolve.asked = []
    return resolve


def refusal(url, **more) -> FetchRefused:
    with pytest.raises(FetchRefused) as caught:
        get(url, **more)
    return caught.value


@pytest.fixture
def public_loopback(monkeypatch):
    """127.0.0.1 alone counts as public, so that a server of the test can stand for one out there; 127.0.0.2 does not."""
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.1" or is_public(address))


# --- which addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    """0.0.0.0 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.9 168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8
    192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 100::1
    2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
    fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1 nonsense""".split(),
)
def test_an_address_that_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", "8.8.8.8 1.1.1.1 172.32.0.1 100.128.0.1 223.255.255.1 2606:4700::1111 2a00:1450:4001::200e 64:ff9b::808:808".split())
def test_an_address_that_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    """127.0.0.1 localhost 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 127.1 127.0.0.1. 0 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1]
    [::127.0.0.1] [64:ff9b::127.0.0.1] [2002:7f00:1::] [fe80::1] [fe80::1%25lo] 169.254.169.254 10.0.0.1 0.0.0.0 %31%32%37.0.0.1
    １２７.0.0.1 127。0。0。1 ①②⑦.0.0.1""".split(),
)
def test_no_way_of_writing_this_machine_leads_to_it(host):
    with RawServer(answer(200, b"secret")) as server:
        port = server.url.rpartition(":")[2]
        error = refusal(f"http://{host}:{port}/")
        assert error.code in ("private_address", "bad_url")
        assert server.connections == 0


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///etc/passwd", "scheme"),
        ("ftp://example.com/x", "scheme"),
        ("gopher://127.0.0.1:6379/_INFO", "scheme"),
        ("unix:///run/redis.sock", "scheme"),
        ("data:text/plain,x", "scheme"),
        ("example.com/x", "scheme"),
        ("//example.com/x", "scheme"),
        ("http://user:password@example.com/", "credentials"),
        ("http://user@example.com/", "credentials"),
        ("http://@example.com/", "credentials"),
        ("http://example.com\\@127.0.0.1/", "bad_url"),
        ("http://example.com\r\nX: y/", "bad_url"),
        ("http://exa mple.com/", "bad_url"),
        ("http://:@example.com", "credentials"),
        ("http:///x", "bad_url"),
        ("http://", "bad_url"),
        ("http://[::1", "bad_url"),
        ("http://example.com:0/", "bad_url"),
        ("http://example.com:99999/", "bad_url"),
        ("http://example.com:port/", "bad_url"),
        ("http://example.com/" + "x" * 2048, "bad_url"),
        ("", "scheme"),
    ],
)
def test_an_address_that_is_none_of_the_web_s(url, code):
    resolve = names(**{"example.com": ["127.0.0.1"]})
    assert refusal(url, resolve=resolve, allow_private=True).code == code
    assert resolve.asked == []


def test_a_name_of_which_one_address_is_private_is_refused_whole():
    resolve = names(**{"both.example": ["93.184.215.14", "10.0.0.7"]})
    assert refusal("http://both.example/", resolve=resolve).code == "private_address"


def test_a_name_that_leads_elsewhere_when_asked_again_is_asked_once(public_loopback):
    answers = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]]

    def resolve(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in answers.pop(0)]

    with RawServer(answer(200, b"cake", keep=False)) as server:
        port = server.url.rpartition(":")[2]
        _, data = get(f"http://turning.example:{port}/", resolve=resolve)
        assert data == b"cake", "the address that was checked is the one that was connected to"
        assert len(answers) == 2
        assert refusal(f"http://turning.example:{port}/", resolve=resolve).code == "private_address"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("leads_to", "code"),
    [
        ("http://127.0.0.2:{port}/admin", "private_address"),
        ("http://[::1]:{port}/", "private_address"),
        ("http://2130706434:{port}/", "bad_url"),
        ("//inside.example:{port}/", "private_address"),
        ("http://user:pw@127.0.0.1:{port}/", "credentials"),
        ("file:///etc/passwd", "scheme"),
        ("http://169.254.169.254/latest/meta-data/", "private_address"),
    ],
)
def test_a_redirect_is_checked_like_the_address_itself(public_loopback, leads_to, code):
    literal = {address: [address] for address in ("127.0.0.2", "::1", "169.254.169.254")}
    resolve = names(**{"outside.example": ["127.0.0.1"], "inside.example": ["127.0.0.2"]}, **literal)
    with RawServer(cut) as server:
        port = server.url.rpartition(":")[2]
        server.turns[:] = [answer(302, headers={"Location": leads_to.format(port=port)}), answer(200, b"secret")]
        assert refusal(f"http://outside.example:{port}/", resolve=resolve).code == code
        assert len(server.requests) == 1


def test_a_redirect_is_followed_five_times_and_no_more():
    with RawServer(*[answer(302, headers={"Location": "/on"})] * 5, answer(200, b"there", keep=False)) as server:
        fetched, data = get(server.url + "/from", allow_private=True)
        assert data == b"there" and fetched.final_url == server.url + "/on"
    with RawServer(answer(301, headers={"Location": "/on"})) as server:
        assert refusal(server.url, allow_private=True).code == "too_many_redirects"
        assert len(server.requests) == 6


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    with RawServer(answer(200, b"from the proxy")) as proxy, RawServer(answer(200, b"cake")) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert get(server.url, allow_private=True)[1] == b"cake"
        assert proxy.connections == 0


def test_the_name_stays_the_host_and_the_certificate_s(tmp_path, monkeypatch):
    resolve = names(**{"bakery.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    certificate = own_certificate(tmp_path, "bakery.example")
    with RawServer(answer(200, b"cake", keep=False), tls=certificate) as server:
        port = server.url.rpartition(":")[2]
        with pytest.raises(FetchFailed):
            get(f"https://bakery.example:{port}/", resolve=resolve, allow_private=True)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "own.pem"))
        assert get(f"https://bakery.example:{port}/x?y=1", resolve=resolve, allow_private=True)[1] == b"cake"
        assert server.requests[0].headers["host"] == f"bakery.example:{port}"
        assert server.requests[0].line == "GET /x?y=1 HTTP/1.1"
        with pytest.raises(FetchFailed):
            get(f"https://other.example:{port}/", resolve=resolve, allow_private=True)
        assert len(server.requests) == 1


# --- what comes ------------------------------------------------------------------------------------------------------------


def test_what_was_fetched_is_told():
    headers = {"Content-Type": "image/png; x=y", "Content-Disposition": "attachment; filename*=UTF-8''K%C3%A4se.png"}
    with RawServer(answer(200, b"12345", headers)) as server:
        fetched, data = get(server.url + "/a/b.bin?c=d", allow_private=True)
    assert (data, fetched.size) == (b"12345", 5)
    assert fetched.content_type == "image/png; x=y"
    assert fetched.filename == "Käse.png"


@pytest.mark.parametrize(
    ("path", "filename"), [("/a/b%20c.pdf?x=/y.exe", "b c.pdf"), ("/", ""), ("", ""), ("/..%2F..%2Fetc", "../../etc"), ("/k%C3%A4se", "käse")]
)
def test_without_a_name_it_is_called_like_the_address(path, filename):
    with RawServer(answer(200, b"x")) as server:
        assert get(server.url + path, allow_private=True)[0].filename == filename


def test_a_huge_content_length_is_refused_before_a_byte_is_read():
    with RawServer(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nxx")) as server:
        assert refusal(server.url, allow_private=True).code == "too_large"


def endless(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 1000)


def endless_chunks(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n")
    while True:
        connection.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")


@pytest.mark.parametrize("turn", [endless, endless_chunks])
def test_a_body_without_end_is_cut_at_the_limit(turn):
    with RawServer(turn) as server:
        into = io.BytesIO()
        with pytest.raises(FetchRefused, match="larger than 100000 bytes"):
            fetch(server.url, into, most_bytes=100_000, timeout_seconds=5, allow_private=True)
        assert len(into.getvalue()) <= 100_000


def test_a_body_of_exactly_the_limit_is_taken():
    with RawServer(answer(200, b"x" * 1000)) as server:
        assert get(server.url, most_bytes=1000, allow_private=True)[0].size == 1000


def drip(head: bytes):
    """This, then a byte at a time for as long as somebody reads."""

    def turn(connection):
        connection.sendall(head)
        while True:
            time.sleep(0.02)
            connection.sendall(b"x")

    return turn


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Header: ",
        b"",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ],
)
def test_a_drip_beyond_the_deadline_is_cut(head):
    with RawServer(drip(head)) as server:
        with pytest.raises(FetchFailed, match="longer than 0.5 seconds"):
            get(server.url, timeout_seconds=0.5, allow_private=True)


def test_the_deadline_is_of_all_redirects_together():
    def slow(connection):
        time.sleep(0.2)
        return answer(302, headers={"Location": "/on"})(connection)

    with RawServer(slow) as server:
        with pytest.raises(FetchFailed, match="longer than 0.5 seconds"):
            get(server.url, timeout_seconds=0.5, allow_private=True)
        assert len(server.requests) <= 3


def test_a_drip_over_tls_is_cut_and_so_is_a_handshake_that_never_comes(tmp_path, monkeypatch):
    certificate = own_certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "own.pem"))
    with RawServer(drip(b"HTTP/1.1 200 OK\r\n\r\n"), tls=certificate) as server:
        with pytest.raises(FetchFailed, match="longer than 0.5 seconds"):
            get(server.url, timeout_seconds=0.5, allow_private=True)
    with RawServer(cut, on_accept=lambda connection: time.sleep(1)) as server:
        with pytest.raises(FetchFailed):
            get(server.url, timeout_seconds=0.5, allow_private=True)


def test_a_resolver_that_hangs_is_not_waited_for():
    wake = threading.Event()
    with pytest.raises(FetchFailed, match="longer than 0.2 seconds"):
        get("http://slow.example/", timeout_seconds=0.2, resolve=lambda *_, **__: wake.wait(10))
    wake.set()


@pytest.mark.parametrize("status", [404, 401, 403, 410, 451])
def test_a_status_that_will_stay(status):
    with RawServer(answer(status, b"no")) as server:
        assert refusal(server.url, allow_private=True).code == f"http_{status}"


@pytest.mark.parametrize("status", [408, 429, 500, 503, 304])
def test_a_status_that_may_pass(status):
    with RawServer(answer(status, b"no")) as server, pytest.raises(FetchFailed, match=str(status)):
        get(server.url, allow_private=True)


@pytest.mark.parametrize(
    "turn",
    [
        cut,
        reset,
        raw(b"nonsense\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
    ],
)
def test_a_server_that_breaks_off_may_be_asked_again(turn):
    with RawServer(turn) as server, pytest.raises(FetchFailed, match="broke off"):
        get(server.url, allow_private=True)


def test_a_host_that_is_not_known_or_not_there_may_come_back():
    with pytest.raises(FetchFailed, match="nowhere.example was not found"):
        get("http://nowhere.example/", resolve=names())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchFailed, match="could not be reached"):
        get(f"http://127.0.0.1:{port}/", allow_private=True)


def test_the_second_address_is_tried_where_the_first_is_deaf():
    with RawServer(answer(200, b"cake")) as server:
        port = server.url.rpartition(":")[2]
        resolve = names(**{"two.example": ["127.0.0.3", "127.0.0.1"]})
        assert get(f"http://two.example:{port}/", resolve=resolve, allow_private=True)[1] == b"cake"


def test_what_comes_packed_is_refused():
    with RawServer(answer(200, b"x", {"Content-Encoding": "gzip"})) as server:
        assert refusal(server.url, allow_private=True).code == "encoded"


def test_a_full_disk_is_no_fault_of_the_server_s():
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    with RawServer(answer(200, b"x")) as server, pytest.raises(OSError, match="No space left"):
        fetch(server.url, Full(), most_bytes=10, timeout_seconds=5, allow_private=True)


# --- posting ---------------------------------------------------------------------------------------------------------------


def test_a_post_is_made_once_with_its_headers_and_its_answer_told_whatever_it_is():
    with RawServer(answer(302, b"elsewhere", {"Location": "/on"})) as server:
        reply = post(server.url + "/hook", b'{"a":1}', {"X-Signature": "abc", "Content-Type": "application/json"}, timeout_seconds=5, allow_private=True)
        [request] = server.requests
    assert (reply.status, reply.body, reply.headers["location"]) == (302, b"elsewhere", "/on")
    assert request.line == "POST /hook HTTP/1.1" and request.body == b'{"a":1}'
    assert request.headers["x-signature"] == "abc"


def test_a_post_to_a_private_address_is_refused_and_a_long_answer_too():
    with RawServer(answer(200, b"x" * 100)) as server:
        with pytest.raises(FetchRefused, match="private network"):
            post(server.url, b"", {}, timeout_seconds=5)
        with pytest.raises(FetchRefused, match="larger than 99 bytes"):
            call("GET", server.url, timeout_seconds=5, most_bytes=99, allow_private=True)
        assert len(server.requests) == 1


def test_a_header_that_cannot_be_sent_is_refused():
    with RawServer(answer(200)) as server:
        with pytest.raises(FetchRefused) as caught:
            post(server.url, b"", {"X": "a\r\nHost: other"}, timeout_seconds=5, allow_private=True)
        assert caught.value.code == "bad_request" and server.requests == []
