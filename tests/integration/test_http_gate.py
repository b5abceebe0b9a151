"""Who may use which path of a hub that knows its users (law L10): every path, every kind of caller."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthenticationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

import syncline
from syncline import Actor, errors
from syncline.errors import Forbidden, ReplicaOfAnother, SynclineError, Unauthenticated
from syncline.model.actor import ANYONE
from syncline.model.scope import UNBOUNDED
from syncline.protocol import codec, filebody
from syncline.protocol import messages as m
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import PLAIN, ROUTES
from syncline.server import Snapshots, create_app, door, serving
from syncline.transports.http import HttpTransport
from syncline.transports.open import clone_over
from tests.support.requests import requests_of

USERS = {"ann-token": Actor("ann"), "bob-token": Actor("bob"), "root-token": Actor("root", operator=True)}
MINE, LOCKED, UNKNOWN = "mine", "locked", "unheard"
WHO = {
    "nobody": (None, MINE),
    "a stranger's token": ("mallory-token", MINE),
    "wrong actor": ("bob-token", MINE),
    "revoked replica": ("ann-token", LOCKED),
    "unknown replica": ("ann-token", UNKNOWN),
    "right actor": ("ann-token", MINE),
    "operator": ("root-token", MINE),
}
"""Token, and the replica in whose name is asked."""

REFUSED = {
    "nobody": "unauthenticated",
    "a stranger's token": "unauthenticated",
    "wrong actor": "replica_of_another",
    "revoked replica": "replica_revoked",
    "unknown replica": "unknown_replica",
}
GATE = {"unauthenticated": 401, "replica_of_another": 403, "replica_revoked": 403, "unknown_replica": 404,
        "forbidden": 403, "operators_only": 403, "route_closed": 403}  # fmt: skip


def bearer(request: Request) -> Actor | None:
    return USERS.get(request.headers.get("authorization", "").removeprefix("Bearer "))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[syncline.Hub]:
    with sqlite3.connect(tmp_path / "centre.db") as centre:
        centre.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT)")
        centre.execute("INSERT INTO item VALUES (1, 'x')")
    centre.close()
    with syncline.Hub(f"sqlite:///{tmp_path / 'centre.db'}") as hub:
        hub.init()
        yield hub


@pytest.fixture
def url(hub: syncline.Hub, tmp_path: Path) -> Iterator[str]:
    snapshots = Snapshots(hub, tmp_path / "files", least_rows=0)
    for replica in (MINE, LOCKED):
        hub.handle(USERS["ann-token"], m.Register(replica))
    hub.revoke(LOCKED)
    with serving(create_app(hub, authenticate=bearer, snapshots=snapshots)) as url:
        yield url
        snapshots.wait()


def sent(url: str, method: str, path: str, token: str | None, **rest: Any) -> tuple[int, str]:
    """Status and, for a problem, its code."""
    headers = {"accept-encoding": "zstd", **({} if token is None else {"authorization": f"Bearer {token}"})}
    answer = httpx2.request(method, url + path, headers=headers | rest.pop("headers", {}), **rest)
    problem = method != "HEAD" and "problem+json" in answer.headers.get("content-type", "")
    return answer.status_code, answer.json()["code"] if problem else ""


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.request.__name__)
def test_every_message_is_for_those_of_whom_its_route_says_so(
    hub: syncline.Hub, url: str, route: Any, who: str
) -> None:
    assert route.who == "replica", "a route of another kind needs another expectation here"
    token, replica = WHO[who]
    request = requests_of(hub, replica)[route.request]
    path, query = route.locate(request)
    rest: dict[str, Any] = {"params": query}
    if route.body:
        rest = {"content": codec.encode(request, Form.JSON), "headers": {"content-type": Form.JSON.value}}
    status, code = sent(url, route.method, path, token, **rest)
    if who in REFUSED and not (route.registers and who == "unknown replica"):
        assert (status, code) == (GATE[REFUSED[who]], REFUSED[who])
    else:
        assert code not in GATE
        assert status in (200, 404)  # a handler may know no such upload or conflict
    with hub.database.read(UNBOUNDED) as transaction:
        # A file that is reconciled takes an id of its own, whatever it was called before.
        expected = route.request is m.Register and who == "unknown replica"
        assert (transaction.ledger.client(UNKNOWN) is not None) == expected


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("entry", PLAIN, ids=lambda entry: entry.path)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_other_path_too(hub: syncline.Hub, url: str, entry: Any, who: str, method: str) -> None:
    token, replica = WHO[who]
    params = {"replica": replica, "schema": hub.schema.fingerprint} if entry.path == filebody.PATH else {}
    status, code = sent(url, method, entry.path, token, params=params)
    if entry.who == "anyone":
        assert status == 200
    elif who in REFUSED:
        assert status == GATE[REFUSED[who]]
        assert method == "HEAD" or code == REFUSED[who]
    else:
        assert status in (200, 503)  # 503: it is being built


@pytest.mark.parametrize("token", [None, "ann-token", "root-token"])
def test_a_route_that_says_nothing_is_closed_to_everybody(
    hub: syncline.Hub, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    (state,) = [route for route in ROUTES if route.request is m.StateQuery]
    silent = type(state)("GET", "/sync/silent", m.StateQuery, m.StateAnswer, "Who?")
    hidden = type(PLAIN[0])("GET", "/health", "Who?")
    monkeypatch.setattr("syncline.server.app.ROUTES", (silent,))
    monkeypatch.setattr("syncline.server.app.PLAIN", (hidden,))
    with serving(create_app(hub, authenticate=bearer)) as url:
        for path in ("/sync/silent", "/health"):
            assert sent(url, "GET", path, token, params={"replica": MINE}) == (403, "route_closed")


def test_an_operators_route_is_closed_to_others(hub: syncline.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.server.app.PLAIN", (type(PLAIN[0])("GET", "/health", "?", "operator"),))
    with serving(create_app(hub, authenticate=bearer)) as url:
        assert sent(url, "GET", "/health", None) == (401, "unauthenticated")
        assert sent(url, "GET", "/health", "ann-token") == (403, "operators_only")
        assert sent(url, "GET", "/health", "root-token") == (200, "")
    with serving(create_app(hub)) as url:
        assert sent(url, "GET", "/health", "root-token") == (403, "operators_only")


def test_what_concerns_everybody_is_for_operators(url: str) -> None:
    assert sent(url, "GET", "/sync/conflicts", "ann-token") == (403, "operators_only")
    assert sent(url, "GET", "/sync/conflicts", "root-token") == (200, "")
    assert sent(url, "GET", "/sync/schema", "ann-token") == (403, "operators_only")
    assert sent(url, "GET", "/sync/schema", "root-token") == (200, "")


# The same on a device ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "replica", "kind"),
    [
        (None, MINE, Unauthenticated),
        ("bob-token", MINE, ReplicaOfAnother),
        ("ann-token", LOCKED, errors.ReplicaRevoked),
    ],
)
def test_the_device_raises_what_the_gate_raised(
    url: str, token: str | None, replica: str, kind: type[SynclineError]
) -> None:
    with HttpTransport(url, token) as transport, pytest.raises(kind) as caught:
        transport.send(m.StateQuery(replica))
    assert caught.type is kind
    assert (caught.value.code, caught.value.retry) == (kind.code, False)
    with HttpTransport(url, token) as transport, pytest.raises(kind), transport.snapshot(replica, "whatever"):
        pytest.fail("it was answered")


def test_a_device_clones_syncs_and_resolves_with_its_token_and_not_with_anothers(
    hub: syncline.Hub, url: str, tmp_path: Path
) -> None:
    for _ in range(2):  # by rows while the file is built or not worth it, then by file
        file = tmp_path / "a.db"
        file.unlink(missing_ok=True)
        with syncline.clone(url, file, "ann-token") as replica:
            assert replica.sync().pending == 0
    with sqlite3.connect(file) as application:
        application.execute("UPDATE item SET a = 'mine'")
    application.close()
    for token, kind in (("bob-token", ReplicaOfAnother), (None, Unauthenticated), ("old", Unauthenticated)):
        with syncline.connect(file, url, token) as replica, pytest.raises(kind):
            replica.sync()
    with syncline.connect(file, url, "ann-token") as replica:
        assert replica.status().pending == {"item": 1}
        assert replica.sync().pending == 0
        hub.revoke(str(replica.id))
        with pytest.raises(errors.ReplicaRevoked):
            replica.sync()
    with pytest.raises(Unauthenticated):
        syncline.clone(url, tmp_path / "b.db")
    assert not (tmp_path / "b.db").exists()


def test_somebody_else_begins_a_clone_anew_that_was_cut_off(hub: syncline.Hub, tmp_path: Path) -> None:
    """What the first one had fetched is not the second one's to see."""

    class Cut(HttpTransport):
        def send(self, request: m.Request) -> m.Response:
            answer = super().send(request)
            if isinstance(request, m.Snapshot):
                raise errors.TransportError("the network is gone")
            return answer

    file = tmp_path / "a.db"
    with serving(create_app(hub, authenticate=bearer)) as url:
        with Cut(url, "ann-token") as transport, pytest.raises(errors.TransportError):
            clone_over(transport, file)
        before = {one.client.replica for one in hub.replicas()}
        with syncline.clone(url, file, "bob-token") as replica:
            assert str(replica.id) not in before
    assert [one.client.actor for one in hub.replicas() if one.client.replica not in before] == ["bob"]
    assert [path.name for path in tmp_path.glob("a.db.hydrating*")] == []


def test_a_device_that_is_cut_off_before_its_file_came_goes_on_under_the_id_it_registered(
    hub: syncline.Hub, url: str, tmp_path: Path
) -> None:
    class Cut(HttpTransport):
        def snapshot(self, *_: Any, **__: Any) -> Any:
            raise errors.TransportError("the network is gone", code="not_a_hub")

    file, before = tmp_path / "a.db", len(hub.replicas())
    for _ in range(2):
        with Cut(url, "ann-token") as transport, pytest.raises(errors.TransportError):
            clone_over(transport, file)
    syncline.clone(url, file, "ann-token").close()
    assert len(hub.replicas()) == before + 1


def test_a_clone_into_a_folder_that_is_not_there_says_so_and_registers_nothing(
    hub: syncline.Hub, url: str, tmp_path: Path
) -> None:
    before = len(hub.replicas())
    with pytest.raises(errors.StoreError, match="there is no folder"):
        syncline.clone(url, tmp_path / "nowhere" / "a.db", "ann-token")
    assert len(hub.replicas()) == before


def test_half_an_id_that_a_kill_has_left_is_made_anew(hub: syncline.Hub, url: str, tmp_path: Path) -> None:
    (tmp_path / "a.db.hydrating.id").write_text("7f3c")
    syncline.clone(url, tmp_path / "a.db", "ann-token").close()
    assert [path.name for path in tmp_path.glob("a.db*")] == ["a.db"]


# Authenticators ------------------------------------------------------------------------------------------


async def later(request: Request) -> Actor | None:
    return bearer(request)


class ByMethod:
    async def __call__(self, request: Request) -> Actor | None:
        return bearer(request)


def raising(error: BaseException) -> Callable[[Request], Actor | None]:
    def authenticate(request: Request) -> Actor | None:
        raise error

    return authenticate


def answering(answer: Any) -> Callable[[Request], Any]:
    return lambda request: answer


@pytest.mark.parametrize("authenticate", [bearer, later, ByMethod(), lambda request: later(request)])
def test_an_authenticator_may_be_any_kind_of_callable(hub: syncline.Hub, authenticate: Any) -> None:
    with serving(create_app(hub, authenticate=authenticate)) as url:
        assert sent(url, "POST", "/sync/clients", "ann-token", json={"replica": "r"}) == (200, "")
        assert sent(url, "GET", "/sync/state", "ann-token", params={"replica": "r"}) == (200, "")
        assert sent(url, "GET", "/sync/state", None, params={"replica": "r"})[0] == 401
        assert sent(url, "GET", "/sync/state", "bob-token", params={"replica": "r"})[0] == 403
    assert [one.client.actor for one in hub.replicas()] == ["ann"]


def test_one_that_waits_holds_up_nobody_else(hub: syncline.Hub) -> None:
    waiting, go = threading.Event(), threading.Event()

    def slow(request: Request) -> Actor | None:
        waiting.set()
        assert go.wait(30)
        return None

    with serving(create_app(hub, authenticate=slow)) as url:
        asking = threading.Thread(target=sent, args=(url, "GET", "/sync/state", None))
        asking.start()
        assert waiting.wait(30)
        assert sent(url, "GET", "/health", None) == (200, "")
        go.set()
        asking.join()


async def ending(_: Request) -> Actor:
    sys.exit(3)


def test_an_authenticator_that_hangs_is_given_up_and_holds_up_nobody_else(
    hub: syncline.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SECONDS", 0.3)
    go = threading.Event()

    def hanging(request: Request) -> Actor | None:
        return (
            USERS["ann-token"] if "ann" in request.headers.get("authorization", "") or go.wait(60) else None
        )

    async def hanging_too(_: Request) -> Actor | None:
        await anyio.sleep(60)
        return None

    try:
        with serving(create_app(hub, authenticate=hanging)) as url:
            for _ in range(3):
                assert sent(url, "GET", "/sync/state?replica=r", "bob") == (503, "authenticator_failed")
            assert sent(url, "POST", "/sync/clients", "ann-token", json={"replica": "r"})[0] == 200
            monkeypatch.setattr(door, "THREADS", 3)
            assert sent(url, "GET", "/sync/state?replica=r", "bob") == (503, "authenticator_failed")
    finally:
        go.set()
    with serving(create_app(hub, authenticate=hanging_too)) as url:
        assert sent(url, "GET", "/sync/state?replica=r", "bob") == (503, "authenticator_failed")


@pytest.mark.parametrize(
    ("authenticate", "status", "code"),
    [
        (answering(None), 401, "unauthenticated"),
        (raising(Unauthenticated("the token is of yesterday")), 401, "unauthenticated"),
        (raising(AuthenticationError("no")), 401, "unauthenticated"),
        (raising(HTTPException(401)), 401, "unauthenticated"),
        (raising(HTTPException(403)), 403, "forbidden"),
        (raising(Forbidden("not on a Sunday")), 403, "forbidden"),
        (raising(errors.DatabaseUnavailable("the directory is down")), 503, "authenticator_failed"),
        (raising(errors.HubBusy("later")), 503, "authenticator_failed"),
        (raising(errors.SynclineError("a plain one")), 503, "authenticator_failed"),
        (lambda request: Actor("two\nlines"), 503, "authenticator_failed"),
        (raising(KeyError("sub")), 503, "authenticator_failed"),
        (raising(SystemExit(3)), 503, "authenticator_failed"),
        (ending, 503, "authenticator_failed"),
        (raising(HTTPException(302)), 503, "authenticator_failed"),
        (answering("ann"), 503, "authenticator_failed"),
        (answering(True), 503, "authenticator_failed"),
        (answering(Actor("anyone")), 503, "authenticator_failed"),
        (answering(ANYONE), 503, "authenticator_failed"),
    ],
)
def test_whatever_goes_wrong_with_an_authenticator_nobody_gets_in(
    hub: syncline.Hub, authenticate: Any, status: int, code: str
) -> None:
    with serving(create_app(hub, authenticate=authenticate)) as url:
        assert sent(url, "POST", "/sync/clients", "ann-token", json={"replica": "r"}) == (status, code)
        answer = httpx2.get(f"{url}/sync/state?replica=r")
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert hub.replicas() == []


class Ending(BaseException):
    """What no `except Exception` takes."""


def raising_later(error: BaseException) -> Callable[[Request], Awaitable[Actor | None]]:
    async def authenticate(request: Request) -> Actor | None:
        await anyio.sleep(0)
        raise error

    return authenticate


@pytest.mark.parametrize("make", [raising, raising_later])
@pytest.mark.parametrize(
    "kind",
    [
        Ending,
        KeyboardInterrupt,
        GeneratorExit,
        asyncio.CancelledError,
        StopIteration,
        MemoryError,
        errors.SynclineError,
        errors.ConfigurationError,
        errors.DatabaseError,
        errors.Malformed,
    ],
)
def test_l12_whatever_an_authenticator_ends_with_is_told_as_a_problem(
    hub: syncline.Hub, make: Callable[[BaseException], Any], kind: type[BaseException]
) -> None:
    """And the next request finds the hub as it was."""
    failing = make(kind("password=SECRET"))

    def authenticate(request: Request) -> Any:
        return USERS["ann-token"] if "ann" in request.headers.get("authorization", "") else failing(request)

    with serving(create_app(hub, authenticate=authenticate)) as url:
        answer = httpx2.get(f"{url}/sync/state?replica=r")
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "authenticator_failed")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "SECRET" not in answer.text
        assert sent(url, "POST", "/sync/clients", "ann-token", json={"replica": "r"}) == (200, "")


def test_what_is_no_authenticator_and_no_scope_is_said_at_once(hub: syncline.Hub) -> None:
    with pytest.raises(errors.ConfigurationError, match="not str"):
        create_app(hub, authenticate="ann")  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigurationError, match="is a Scope, not str"):
        Actor("ann", scope="all")  # type: ignore[arg-type]


def test_a_large_body_of_somebody_unknown_is_not_read(hub: syncline.Hub) -> None:
    with serving(create_app(hub, authenticate=answering(None))) as url:
        body = b"\0" * 40_000_000
        try:
            answer = httpx2.post(
                f"{url}/sync/changes", content=body, headers={"content-type": Form.MSGPACK.value}
            )
        except httpx2.HTTPError:  # hung up upon before all of it was sent
            return
        assert answer.status_code == 401


class Session:
    """A host application's own way to know its users: middleware that puts them into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookies = Request(scope).cookies if scope["type"] == "http" else {}
        await self.app({**scope, "session": {"user": cookies.get("user")}}, receive, send)


def test_a_host_applications_own_session_can_answer(hub: syncline.Hub) -> None:
    def of_session(request: Request) -> Actor | None:
        user = request.session["user"]
        return Actor(user) if user else None

    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.session["user"]))

    app = create_app(hub, authenticate=of_session)
    host = Starlette(routes=[Mount("/hub", app), Route("/", home)], middleware=[Middleware(Session)])
    with serving(host) as url:
        with httpx2.Client(base_url=url, cookies={"user": "ann"}) as web:
            assert web.get("/").text == "ann"
            assert web.post("/hub/sync/clients", json={"replica": "r"}).status_code == 200
        assert httpx2.get(f"{url}/hub/sync/state?replica=r").status_code == 401
    assert [one.client.actor for one in hub.replicas()] == ["ann"]


def test_a_long_push_of_a_replica_that_is_locked_out_meanwhile_is_refused(
    hub: syncline.Hub, url: str
) -> None:
    ann = USERS["ann-token"]
    requests = requests_of(hub, MINE)
    assert isinstance(hub.handle(ann, requests[m.BeginPush]), m.PushBegun)
    hub.revoke(MINE)
    for kind in (m.PushChunk, m.PreparePush, m.CommitPush, m.ForgetPush, m.Snapshot, m.Verify):
        with pytest.raises(errors.ReplicaRevoked), HttpTransport(url, "ann-token") as transport:
            transport.send(requests[kind])
