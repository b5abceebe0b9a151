"""The transport in bad networks: what it repeats, what it does not, and what it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from msgspec import Raw

from syncline import errors
from syncline.errors import ConfigurationError, Malformed, SynclineError, TransportError, VersionUnsupported
from syncline.protocol import codec, compression, messages
from syncline.protocol.body import seal
from syncline.protocol.messages import Changes, Pull, Push, Request
from syncline.protocol.negotiation import PROBLEM, Form
from syncline.protocol.status import to_problem
from syncline.transports import http
from syncline.transports.http import HttpTransport
from tests.support.bombs import bomb_of

PULL = Pull("w", 10, "r", "f")
GROUPS, DIGEST = seal([])
PUSH = Push("r", 1, "f", [], DIGEST, Raw(GROUPS))
CHANGES = codec.encode(Changes(), Form.MSGPACK)
VERDICT = codec.encode(messages.Verdict(1), Form.MSGPACK)


def answer(
    body: bytes,
    media: str = Form.MSGPACK.value,
    status: int = 200,
    protocol: str | None = "1",
    more: str = "",
    *,
    last: bool = True,
) -> bytes:
    """An answer as it travels. After the `last` one of a connection the server closes it, and says so: a
    client that was not told may send its next request into the connection while it is being closed."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n{more}"
    if last:
        head += "connection: close\r\n"
    if protocol is not None:
        head += f"syncline-protocol: {protocol}\r\n"
    return head.encode() + b"\r\n" + body


def problem(error: SynclineError) -> bytes:
    content = to_problem(error)
    return answer(msgspec.json.encode(content), PROBLEM, content["status"])


@contextmanager
def network(script: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads one request a connection and answers with the next bytes of the script.

    Fewer bytes than announced, or none, is an answer that was lost on its way.
    """
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            for said in script:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    heard.append(read_request(connection))
                    connection.sendall(said)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def read_request(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65_536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def send(url: str, request: Request) -> object:
    with HttpTransport(url, timeout=5, pauses=(0.0, 0.0)) as transport:
        return transport.send(request)


def test_a_question_is_asked_again_when_its_answer_was_lost() -> None:
    with network([b"", answer(CHANGES)[:-3], answer(CHANGES)]) as (url, heard):
        assert isinstance(send(url, PULL), Changes)
    assert len(heard) == 3
    assert heard[0] == heard[1] == heard[2]


def test_it_gives_up_at_some_time() -> None:
    with network([b"", b"", b"", answer(CHANGES)]) as (url, heard), pytest.raises(TransportError) as caught:
        send(url, PULL)
    assert (len(heard), caught.value.code) == (3, "hub_unreachable")


def test_a_push_whose_answer_was_lost_is_left_to_the_next_sync() -> None:
    """L3: the flow sends the same push again; the transport sends at most once a call."""
    with network([b"", answer(VERDICT)]) as (url, heard), pytest.raises(TransportError):
        send(url, PUSH)
    assert len(heard) == 1


def test_a_push_that_met_a_busy_hub_is_sent_again() -> None:
    with network([problem(errors.Conflict("busy")), answer(VERDICT)]) as (url, heard):
        assert isinstance(send(url, PUSH), messages.Verdict)
    assert heard[0] == heard[1]


def test_l11_a_hub_that_has_no_room_for_ever_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BUSY_PAUSES", (0.0, 0.0, 0.0))
    script = [problem(errors.HubBusy("no room"))] * 20
    with network(script) as (url, heard), pytest.raises(errors.HubBusy):
        send(url, PUSH)
    assert len(heard) == 1 + 2 + 3


def test_a_hub_that_is_not_there_is_said_to_be_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(TransportError) as caught:
        send(f"http://127.0.0.1:{port}", PUSH)
    assert (caught.value.code, caught.value.retry) == ("hub_unreachable", True)
    assert str(port) in caught.value.detail


def test_a_hub_that_comes_back_while_it_is_tried_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    started = threading.Event()

    def come_back() -> None:
        with socket.create_server(("127.0.0.1", port)) as back:
            started.set()
            connection, _ = back.accept()
            with connection:
                read_request(connection)
                connection.sendall(answer(VERDICT))

    thread = threading.Thread(target=come_back, daemon=True)

    class Returning(HttpTransport):
        """Starts the hub when the first attempt has failed."""

        def _once(self, *arguments: object) -> messages.Record:
            try:
                return super()._once(*arguments)  # type: ignore[arg-type]
            except TransportError:
                thread.start()
                started.wait(10)
                raise

    with Returning(f"http://127.0.0.1:{port}", pauses=(0.0,)) as transport:
        assert isinstance(transport.send(PUSH), messages.Verdict)
    thread.join(10)


@pytest.mark.parametrize(
    "said",
    [
        answer(b"<html>Log in to the hotel's network", "text/html", protocol=None),
        answer(CHANGES, protocol=None),
        answer(b"<html>No such page", "text/html", 404, protocol=None),
        answer(b"", "text/plain", 302, protocol=None, more="location: http://example.invalid/\r\n"),
        answer(b"{}", "application/json"),
    ],
)
def test_what_no_hub_says_is_not_taken_for_an_answer(said: bytes) -> None:
    with network([said] * 3) as (url, heard), pytest.raises(TransportError) as caught:
        send(url, PULL)
    assert (caught.value.code, len(heard)) == ("not_a_hub", 1)


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_a_proxy_that_does_not_get_through_is_asked_again_and_may_be_later(status: int) -> None:
    refused = answer(b"<html>Bad gateway", "text/html", status, protocol=None)
    with network([refused] * 3) as (url, heard), pytest.raises(TransportError) as caught:
        send(url, PULL)
    assert (caught.value.code, caught.value.retry, len(heard)) == ("hub_unreachable", True, 3)
    with network([refused, answer(CHANGES)]) as (url, heard):
        assert isinstance(send(url, PULL), messages.Changes)


def test_a_proxy_that_takes_no_such_body_is_told_from_a_hub_that_does_not() -> None:
    said = answer(b"<html>Too large", "text/html", 413, protocol=None)
    with network([said]) as (url, heard), pytest.raises(errors.BodyRefused) as caught:
        send(url, PULL)
    assert (caught.value.code, caught.value.retry, len(heard)) == ("body_refused", False, 1)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("coding", "body", "code"),
    [
        ("gzip", bomb_of(b"x" * 1_100_000, "gzip"), "unfolds_too_far"),
        ("br", b"rows", "coding_unsupported"),
        ("identity", b"x" * 200_000, "too_large"),
    ],
    ids=["unfolds too far", "coding", "large"],
)
def test_an_answer_that_the_device_does_not_take_is_said_to_be_the_hub_s(
    monkeypatch: pytest.MonkeyPatch, coding: str, body: bytes, code: str, status: int
) -> None:
    """Who reads the remedy cannot send anything in another way."""
    limit = 100_000 if coding == "identity" else 2_000_000
    for name in ("ANSWER_LIMIT", "PROBLEM_LIMIT"):
        monkeypatch.setattr(f"syncline.transports.http.{name}", limit)
    media = Form.MSGPACK.value if status == 200 else PROBLEM
    said = answer(body, media, status, more=f"content-encoding: {coding}\r\n")
    with network([said]) as (url, _), pytest.raises(errors.ProtocolError) as caught:
        send(url, PULL)
    assert (caught.value.code, "whoever runs the hub" in caught.value.remedy) == (code, True)


@pytest.mark.parametrize("version", ["0", "2"])
def test_an_answer_of_another_version_is_refused(version: str) -> None:
    with network([answer(CHANGES, protocol=version)]) as (url, _), pytest.raises(VersionUnsupported):
        send(url, PULL)


@pytest.mark.parametrize("body", [b"", b"\xc1", CHANGES[:-1], CHANGES + b"\0", b"\x92\x01\x02"])
def test_an_answer_that_cannot_be_read_is_malformed(body: bytes) -> None:
    with network([answer(body)]) as (url, _), pytest.raises(Malformed) as caught:
        send(url, PULL)
    assert "whoever runs the hub" in caught.value.remedy  # not what is said to who writes requests


def test_a_bomb_from_a_hub_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """L11."""
    monkeypatch.setattr("syncline.transports.http.ANSWER_LIMIT", 100_000)
    bomb = bomb_of(b"\0" * 10_000_000, "zstd")
    large = answer(b"\0" * 200_000)
    for said in (answer(bomb, more="content-encoding: zstd\r\n"), large):
        with network([said]) as (url, _), pytest.raises(errors.TooLarge):
            send(url, PULL)


@pytest.mark.parametrize(
    "raised",
    [
        errors.WatermarkRefused("of another hub"),
        errors.PushOutOfStep("3 after 1", code="replica_copied", remedy="take a new id"),
        errors.NotPrepared("run init"),
        errors.DatabaseUnavailable("down"),
        errors.SynclineError("incident 5"),
    ],
    ids=lambda raised: raised.code,
)
def test_the_error_of_the_hub_is_the_error_of_the_replica(raised: SynclineError) -> None:
    with network([problem(raised)]) as (url, heard), pytest.raises(type(raised)) as caught:
        send(url, PULL)
    arrived = caught.value
    assert (arrived.code, arrived.detail, arrived.remedy) == (raised.code, raised.detail, raised.remedy)
    assert len(heard) == 1


def test_the_token_and_the_version_are_sent() -> None:
    with network([answer(CHANGES)]) as (url, heard), HttpTransport(url, token="abc") as transport:
        transport.send(PULL)
    head = heard[0].lower()
    assert b"authorization: bearer abc\r\n" in head
    assert b"syncline-protocol: 1\r\n" in head


def test_large_requests_are_compressed_and_small_ones_are_not() -> None:
    details = [messages.Detail(0, [1], [0], ["x" * 5000], None)]
    large = msgspec.structs.replace(PUSH, details=details)
    with network([answer(VERDICT), answer(VERDICT)]) as (url, heard):
        send(url, large)
        send(url, PUSH)
    coding = compression.CODINGS[0]
    assert f"content-encoding: {coding}".encode() in heard[0].lower()
    assert len(heard[0]) < 2000
    body = heard[0].partition(b"\r\n\r\n")[2]
    assert codec.decode(compression.decompress(body, coding, 10_000), Push, Form.MSGPACK).details == details
    assert b"content-encoding" not in heard[1].lower()


def test_one_connection_is_used_again() -> None:
    accepted = 0
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            nonlocal accepted
            connection, _ = listening.accept()
            accepted += 1
            with connection:
                for _ in range(3):
                    read_request(connection)
                    connection.sendall(answer(CHANGES, last=False))
                done.wait(10)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        with HttpTransport(f"http://127.0.0.1:{listening.getsockname()[1]}", pauses=()) as transport:
            for _ in range(3):
                transport.send(PULL)
        done.set()
        thread.join(10)
    assert accepted == 1


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "http://x/?a=1", "file:///etc"])
def test_what_is_no_url_of_a_hub_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        HttpTransport(url)
