"""The routes, and every way to send something bad to them. No database: a desk notes what reaches it."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import msgspec
import pytest
from msgspec import Raw
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from syncline import errors
from syncline.model.actor import ANYONE, Actor
from syncline.protocol import codec, compression, messages
from syncline.protocol.body import seal
from syncline.protocol.messages import Limits, Pull, Push, PushGroup, Register, Request, Response
from syncline.protocol.negotiation import Form
from syncline.server import connections, create_app, incoming, serving
from syncline.transports.http import HttpTransport
from tests.support.bombs import bomb_of

PACK = Form.MSGPACK.value
NOTE = messages.ConflictNote(7, "t", [1], "c", "open", "r", 5, "hub", 6, None, 1, 2, "now")


class Desk:
    """Answers every request with the plainest answer there is and keeps what reached it."""

    def __init__(self) -> None:
        self.limits = Limits(bytes=4 * 1024 * 1024, push_rows=1000, bases=10)
        self.seen: list[tuple[Actor, Request]] = []
        self.failure: Exception | None = None

    def ready(self) -> None:
        if self.failure is not None:
            raise self.failure

    def scope_of(self, actor: Actor) -> str:
        return actor.scope.fingerprint

    def handle(self, actor: Actor, request: Request) -> Response:
        self.seen.append((actor, request))
        if self.failure is not None:
            raise self.failure
        answers: dict[type, Response] = {
            messages.Register: messages.Registered("h", "f", "all", ["t"], self.limits, "w", 0, 0),
            messages.SchemaQuery: messages.SchemaAnswer("f", [{"name": "t" * 2000}], 1),
            messages.Pull: messages.Changes(),
            messages.Push: messages.Verdict(1),
            messages.BeginPush: messages.PushBegun(4, [1]),
            messages.PushChunk: messages.ChunkKept(4, 2),
            messages.PreparePush: messages.Verdict(4),
            messages.CommitPush: messages.Verdict(4),
            messages.ForgetPush: messages.PushForgotten(4),
            messages.Snapshot: messages.SnapshotPage("w", None, 0, "", Raw(b"\x90")),
            messages.Spell: messages.Spelled([["x"]]),
            messages.StateQuery: messages.StateAnswer("h", "r", False, 0, None, None, "w", "f"),
            messages.ConflictsQuery: messages.ConflictsAnswer([NOTE]),
            messages.Resolve: NOTE,
        }
        return answers[type(request)]

    @property
    def last(self) -> Request:
        return self.seen[-1][1]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Desk, str]]:
    desk = Desk()
    with serving(create_app(desk)) as url:
        yield desk, url


@pytest.fixture
def desk(served: tuple[Desk, str]) -> Iterator[Desk]:
    desk, _ = served
    desk.seen.clear()
    yield desk
    desk.failure = None


@pytest.fixture
def web(served: tuple[Desk, str]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=served[1]) as client:
        yield client


def push_of(count: int = 1, **changes: Any) -> Push:
    body, digest = seal([PushGroup(0, "D", [], [[n] for n in range(count)], [1] * count)])
    push = Push("r", 1, "f", ["w"], digest, Raw(body))
    return msgspec.structs.replace(push, **changes)


REQUESTS: list[Request] = [
    Register("r", None, "tablet"),
    messages.SchemaQuery(),
    Pull("w|1 &=?#/", 10, "r", "f"),
    push_of(pull=Pull("w", 5, "r", "f")),
    messages.Snapshot("r", "f"),
    messages.Snapshot("r", "f", "t|5", 7),
    messages.Spell("r", 0, [["x"], [b"y"], [1.5]]),
    messages.StateQuery("r"),
    messages.ConflictsQuery(None, True, 3, 4),
    messages.Resolve(7, "value", 1.5),
]


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_reaches_the_hub_as_it_was_sent_and_the_answer_comes_back(
    desk: Desk, served: tuple[Desk, str], request_: Request, form: Form
) -> None:
    with HttpTransport(served[1], form=form) as transport:
        answer = transport.send(request_)
    actor, reached = desk.seen[-1]
    packed = codec.encode(reached, Form.MSGPACK)
    assert (actor, packed) == (ANYONE, codec.encode(request_, Form.MSGPACK))
    assert codec.encode(answer, Form.MSGPACK) == codec.encode(desk.handle(ANYONE, request_), Form.MSGPACK)


def test_a_pull_with_nothing_new_is_one_small_answer(desk: Desk, web: httpx2.Client) -> None:
    query = {"after": "w", "limit": "10", "replica": "r", "schema": "f"}
    answer = web.get("/sync/changes", params=query, headers={"accept": PACK})
    assert (answer.status_code, len(answer.content)) == (200, 8)
    assert len(web.get("/sync/changes", params=query).content) <= 100


def test_every_answer_tells_its_protocol_version(desk: Desk, web: httpx2.Client) -> None:
    for path in ("/health", "/ready", "/sync/schema", "/openapi.json", "/nowhere", "/sync/changes"):
        assert web.get(path).headers["syncline-protocol"] == "1"


@pytest.mark.parametrize("version", ["0", "2", "x"])
def test_another_protocol_version_is_refused_and_nothing_is_done(
    desk: Desk, web: httpx2.Client, version: str
) -> None:
    answer = web.get("/sync/schema", headers={"Syncline-Protocol": version})
    assert (answer.status_code, answer.json()["code"], desk.seen) == (400, "version_unsupported", [])


def test_large_answers_are_compressed_as_the_client_wishes(desk: Desk, web: httpx2.Client) -> None:
    for wish, coding in (("zstd", "zstd"), ("gzip", "gzip"), ("identity", None), ("gzip, zstd", "zstd")):
        with web.stream("GET", "/sync/schema", headers={"accept-encoding": wish, "accept": PACK}) as answer:
            body = b"".join(answer.iter_raw())
        assert answer.headers.get("content-encoding") == coding
        plain = compression.decompress(body, coding, 10_000)
        assert codec.decode(plain, messages.SchemaAnswer, Form.MSGPACK).fingerprint == "f"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("GET", "/sync/schema/", {}, 404, "not_found"),
        ("DELETE", "/sync/changes", {}, 405, "method_not_allowed"),
        ("PATCH", "/health", {}, 405, "method_not_allowed"),
        ("GET", "/sync/schema", {"accept": "text/html"}, 406, "not_acceptable"),
        ("POST", "/sync/changes", {"content-type": "text/plain"}, 415, "media_type_unsupported"),
        (
            "POST",
            "/sync/changes",
            {"content-type": PACK, "content-encoding": "br"},
            415,
            "coding_unsupported",
        ),
        ("POST", "/sync/changes", {"content-type": PACK}, 400, "malformed"),
        ("POST", "/sync/clients", {"content-type": PACK, "content-encoding": "zstd"}, 400, "malformed"),
        ("GET", "/sync/changes?after=w", {}, 400, "malformed"),
        ("GET", "/sync/state?replica=r&replica=s", {}, 400, "malformed"),
        ("GET", "/sync/state?replica=r&version=1", {}, 400, "malformed"),
        ("GET", "/sync/state?replica=r&table=x", {}, 400, "malformed"),
        ("GET", "/sync/state?replica=" + "r" * 61_000, {}, 413, "too_large"),
    ],
)
def test_a_bad_request_is_a_problem_with_a_code_and_reaches_nothing(
    desk: Desk, web: httpx2.Client, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    """L12."""
    answer = web.request(method, path, headers=headers)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert all(problem[field] for field in ("type", "title", "detail", "remedy"))
    assert desk.seen == []


def test_a_refused_method_is_told_which_are_allowed(web: httpx2.Client) -> None:
    allowed = web.delete("/sync/changes").headers["allow"]
    assert {name.strip() for name in allowed.split(",")} == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "9" * 30, "٣"])
def test_a_conflict_has_a_number(desk: Desk, web: httpx2.Client, number: str) -> None:
    answer = web.post(f"/sync/conflicts/{number}", json={"take": "hub"})
    assert (answer.status_code, answer.json()["code"], desk.seen) == (400, "malformed", [])


def test_in_json_the_number_of_a_conflict_may_stand_in_the_path_alone(desk: Desk, web: httpx2.Client) -> None:
    assert web.post("/sync/conflicts/7", json={"take": "hub"}).status_code == 200
    assert desk.last == messages.Resolve(7, "hub")
    assert web.post("/sync/conflicts/7", json={"id": 8, "take": "hub"}).json()["code"] == "malformed"


@pytest.mark.parametrize("path", ["/sync/pushes/x", "/sync/pushes/-1", f"/sync/pushes/{'9' * 30}"])
def test_a_push_has_a_number(desk: Desk, web: httpx2.Client, path: str) -> None:
    answer = web.delete(path, params={"replica": "r1"})
    assert (answer.status_code, answer.json()["code"], desk.seen) == (400, "malformed", [])


def test_the_numbers_of_a_large_push_in_path_and_body_must_agree(desk: Desk, web: httpx2.Client) -> None:
    body = {"replica": "r1", "number": 4, "chunk": 2, "push": "d", "groups": []}
    assert web.put("/sync/pushes/4/chunks/2", json=body).status_code == 200
    last = desk.last
    assert isinstance(last, messages.PushChunk) and (last.number, last.chunk) == (4, 2)
    for path in ("/sync/pushes/5/chunks/2", "/sync/pushes/4/chunks/3"):
        assert web.put(path, json=body).json()["code"] == "malformed"
    assert web.delete("/sync/pushes/4", params={"replica": "r1"}).status_code == 200
    assert desk.last == messages.ForgetPush("r1", 4)
    twice = web.delete("/sync/pushes/4", params={"replica": "r1", "number": 4})
    assert twice.json()["code"] == "malformed"


@pytest.mark.parametrize("coding", [None, *compression.CODINGS])
def test_more_rows_than_allowed_are_refused(desk: Desk, web: httpx2.Client, coding: str | None) -> None:
    """L11."""
    body = codec.encode(push_of(1001), Form.MSGPACK)
    headers = {"content-type": PACK}
    if coding:
        compressed = compression.compress(body, coding)
        assert compressed is not None
        body, headers["content-encoding"] = compressed, coding
    answer = web.post("/sync/changes", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"], desk.seen) == (413, "too_large", [])


@pytest.mark.parametrize("coding", compression.CODINGS)
def test_a_decompression_bomb_is_refused(desk: Desk, web: httpx2.Client, coding: str) -> None:
    """L11."""
    bomb = bomb_of(b"\0" * 40_000_000, coding)
    answer = web.post(
        "/sync/changes", content=bomb, headers={"content-type": PACK, "content-encoding": coding}
    )
    assert (answer.status_code, desk.seen) == (413, [])
    assert answer.json()["code"] in ("too_large", "unfolds_too_far")


def test_a_body_in_pieces_without_a_length_is_counted_as_it_arrives(desk: Desk, web: httpx2.Client) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"\0" * 65_536

    try:
        answer = web.post("/sync/changes", content=pieces(), headers={"content-type": PACK})
        assert answer.status_code == 413
    except httpx2.NetworkError:
        pass  # the hub hung up on us in the middle of it, which is as good
    assert sent < 1000
    assert desk.seen == []


def raw(url: str, head: str, body: bytes = b"", *, wait: bool = True) -> bytes:
    """Send bytes as they are; what comes back until the other side closes or says nothing more."""
    address = httpx2.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        return connection.recv(65_536) if wait else b""


def test_a_length_beyond_the_limit_is_refused_before_a_byte_of_it_is_sent(served: tuple[Desk, str]) -> None:
    head = f"POST /sync/changes HTTP/1.1\nHost: x\nContent-Type: {PACK}\nContent-Length: 99999999999\n"
    answer = raw(served[1], head)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"too_large"' in answer


def test_a_body_that_is_cut_off_reaches_nothing_and_harms_nobody(
    desk: Desk, served: tuple[Desk, str], web: httpx2.Client
) -> None:
    body = codec.encode(push_of(), Form.MSGPACK)
    head = f"POST /sync/changes HTTP/1.1\nHost: x\nContent-Type: {PACK}\nContent-Length: {len(body)}\n"
    raw(served[1], head, body[:-5], wait=False)
    assert web.get("/health").status_code == 200
    assert desk.seen == []


def test_a_sender_that_falls_silent_is_told_so(
    desk: Desk, served: tuple[Desk, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "WINDOW", 0.05)
    head = f"POST /sync/changes HTTP/1.1\nHost: x\nContent-Type: {PACK}\nContent-Length: 100\n"
    answer = raw(served[1], head, b"\x99")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"request_timeout"' in answer
    assert desk.seen == []


def test_a_sender_that_is_too_slow_is_told_so(
    desk: Desk, served: tuple[Desk, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then is no sending."""
    monkeypatch.setattr(incoming, "WINDOW", 0.3)
    head = f"POST /sync/changes HTTP/1.1\nHost: x\nContent-Type: {PACK}\nContent-Length: 3000000\n"
    address = httpx2.URL(served[1])
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + b"x" * 1_500_000)
        connection.settimeout(0.05)
        answer = b""
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65_536)
                break
            connection.sendall(b"y")
    assert answer.startswith(b"HTTP/1.1 408")
    assert desk.seen == []


def test_l11_large_bodies_that_arrive_slowly_delay_no_other(desk: Desk, served: tuple[Desk, str]) -> None:
    head = f"POST /sync/changes HTTP/1.1\nHost: x\nContent-Type: {PACK}\nContent-Length: 3000000\n"
    address = httpx2.URL(served[1])
    details = [messages.Detail(0, [1], [0], ["x" * 2_000_000], None)]
    body = codec.encode(push_of(details=details), Form.MSGPACK)
    with contextlib.ExitStack() as open_ones:
        for _ in range(30):
            one = socket.create_connection((address.host, address.port or 80), timeout=10)
            open_ones.enter_context(one)
            one.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + b"x" * 1_100_000)
        answer = httpx2.post(
            served[1] + "/sync/changes", content=body, headers={"content-type": PACK}, timeout=5
        )
        assert answer.status_code == 200


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nhost: x\r\nx-a: "])
def test_a_connection_that_sends_no_whole_head_is_closed(
    served: tuple[Desk, str], monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    address = httpx2.URL(served[1])
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(begun)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""


@pytest.mark.parametrize(
    "lines",
    [b"x-a: " + b"a" * 200_000, b"".join(b"x-%d: a\r\n" % n for n in range(200)) + b"x: y"],
    ids=["long", "many"],
)
def test_a_head_that_is_too_large_is_refused(served: tuple[Desk, str], lines: bytes) -> None:
    address = httpx2.URL(served[1])
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"nonsense\r\n\r\n", "Invalid HTTP request"),
        (
            b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "Unsupported upgrade",
        ),
    ],
    ids=["invalid", "upgrade"],
)
def test_a_stranger_does_not_fill_the_log(
    served: tuple[Desk, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sent: bytes,
    said: str,
) -> None:
    """What anybody can make the server warn of is said once a minute, with how often it was."""
    address = httpx2.URL(served[1])
    fresh = connections.Strangers()
    logger = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(logger, "filters", [fresh])
    for last in (False, True):
        if last:
            monkeypatch.setattr(connections, "TELL_SECONDS", 0.0)
        for _ in range(1 if last else 5):
            with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
                connection.sendall(sent)
                assert connection.recv(1000).startswith(b"HTTP/1.1 ")
    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"]
    assert len(lines) == 2
    assert all(line.startswith(said) for line in lines)
    assert "4 more" in lines[1]


def test_the_rest_of_a_body_that_was_refused_is_waited_for_a_bounded_time(
    served: tuple[Desk, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DRAIN_SECONDS", 0.2)
    head = b"POST /sync/changes HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    address = httpx2.URL(served[1])
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 4")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(65_536) == b""


def test_of_too_many_connections_without_a_request_the_oldest_goes(
    served: tuple[Desk, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WAITING", 3)
    address = httpx2.URL(served[1])
    with contextlib.ExitStack() as open_ones:
        found = [
            open_ones.enter_context(socket.create_connection((address.host, address.port or 80), timeout=10))
            for _ in range(5)
        ]
        with contextlib.suppress(ConnectionResetError):
            assert found[0].recv(1) == b""
        found[-1].sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert found[-1].recv(100).startswith(b"HTTP/1.1 200")


def test_a_request_that_would_end_the_process_ends_nothing(desk: Desk, web: httpx2.Client) -> None:
    """A merge function of the user's may call sys.exit()."""
    desk.failure = SystemExit(3)  # type: ignore[assignment]
    assert web.get("/sync/schema").status_code == 500
    assert web.get("/ready").status_code == 500
    desk.failure = None
    assert web.get("/sync/schema").status_code == 200


def test_an_unexpected_failure_is_logged_and_tells_nothing_of_the_inside(
    desk: Desk, web: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    desk.failure = RuntimeError("password=hunter2")
    with caplog.at_level(logging.ERROR, "syncline.server"):
        answer = web.get("/sync/schema")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    incident = answer.json()["detail"].split("incident ")[1].rstrip(")")
    assert incident in caplog.text
    assert web.get("/ready").status_code == 500


def test_ready_says_why_it_is_not(desk: Desk, web: httpx2.Client) -> None:
    assert web.get("/ready").json() == {"status": "ready"}
    desk.failure = errors.NotPrepared("no tables of Syncline in it")
    answer = web.get("/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_prepared")
    desk.failure = errors.DatabaseUnavailable("connection refused")
    assert web.get("/ready").headers["retry-after"] == "5"
    assert web.get("/health").status_code == 200


def test_head_is_answered_without_a_body(web: httpx2.Client) -> None:
    answer = web.head("/sync/schema")
    assert (answer.status_code, answer.content) == (200, b"")


def test_only_so_many_requests_are_inside_the_hub_at_once() -> None:
    """L11."""
    inside, most, lock, full, go = 0, 0, threading.Lock(), threading.Event(), threading.Event()

    class Slow(Desk):
        def handle(self, actor: Actor, request: Request) -> Response:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
                if inside == 3:
                    full.set()
            go.wait(20)
            with lock:
                inside -= 1
            return super().handle(actor, request)

    def ask(url: str) -> int:
        return httpx2.get(url + "/sync/schema").status_code

    with serving(create_app(Slow(), threads=3)) as url, ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(ask, url) for _ in range(10)]
        assert full.wait(20)
        assert httpx2.get(url + "/health").status_code == 200
        assert httpx2.get(url + "/ready").status_code == 200
        go.set()
        assert [each.result() for each in asked] == [200] * 10
    assert most == 3


def test_large_bodies_wait_for_a_place_and_all_arrive(served: tuple[Desk, str], desk: Desk) -> None:
    """L11."""
    details = [messages.Detail(0, [1], [0], ["x" * 2_000_000], None)]
    body = codec.encode(push_of(details=details), Form.MSGPACK)

    def send(_: int) -> int:
        return httpx2.post(
            served[1] + "/sync/changes", content=body, headers={"content-type": PACK}
        ).status_code

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(send, range(12))) == [200] * 12
    assert len(desk.seen) == 12


def test_it_can_be_mounted_in_another_application(desk: Desk) -> None:
    host = Starlette(routes=[Mount("/some/where", create_app(desk))])
    with serving(host) as url, HttpTransport(url + "/some/where/") as transport:
        assert transport.send(messages.SchemaQuery()) == desk.handle(ANYONE, messages.SchemaQuery())
        assert httpx2.get(url + "/some/where/nope").json()["code"] == "not_found"
        assert httpx2.get(url + "/some/where/openapi.json").status_code == 200


def test_it_can_be_reached_through_a_plain_asgi_dispatcher(desk: Desk) -> None:
    """As in a Django project's asgi.py."""
    app = create_app(desk)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"].startswith("/hub/")
        await app({**scope, "root_path": "/hub"}, receive, send)

    with serving(dispatch) as url, HttpTransport(url + "/hub") as transport:
        assert transport.send(messages.StateQuery("r")) == desk.handle(ANYONE, messages.StateQuery("r"))


SERVER = """
import socket
from syncline.protocol.messages import Limits
from syncline.server import create_app, serve

class Desk:
    limits = Limits()
    def ready(self):
        pass
    def handle(self, actor, request):
        raise AssertionError

with socket.create_server(("127.0.0.1", 0)) as listening:
    serve(create_app(Desk()), listening, lambda url: print(url, flush=True))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_good_order(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx2.get(url + "/health").status_code == 200
        process.send_signal(number)
        assert process.stdout.readline() == "ended\n"
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["__init__", "run", "serve", "startup", "main_loop"])
def test_a_signal_that_comes_while_the_server_starts_ends_it(moment: str, number: signal.Signals) -> None:
    """It comes just before uvicorn does this step; in the first three, before it listens for signals."""
    early = f"""
import os, uvicorn
step = uvicorn.Server.{moment}
def interrupted(*arguments, **named):
    os.kill(os.getpid(), {int(number)})
    return step(*arguments, **named)
uvicorn.Server.{moment} = interrupted
"""
    done = subprocess.run(
        [sys.executable, "-c", early + SERVER], stdout=subprocess.PIPE, text=True, timeout=20, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["ended"]
    assert done.returncode == 0


WORKERS = """
import os, signal, socket, sys, threading
from syncline.cli.workers import Workers
from tests.support.bombs import bomb_of

with socket.create_server(("127.0.0.1", 0)) as listening:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    Workers([sys.executable, "-c", "import time; time.sleep(60)"], listening, 2).run(print)
print("ended", flush=True)
"""


def test_a_signal_ends_workers_that_have_not_come_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS], stdout=subprocess.PIPE, text=True, timeout=20, check=False
    )
    assert (done.stdout, done.returncode) == ("ended\n", 0)
