""" "Nothing new" is told again without the hub while it is true, and not a moment longer (laws L4, L10)."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

import syncline
from syncline import Actor
from syncline.errors import SynclineError
from syncline.model.actor import ANYONE
from syncline.protocol import codec
from syncline.protocol import messages as m
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import route_of
from syncline.protocol.versions import HEADER
from syncline.server import create_app, serving

Run = Callable[[str], None]


class Desk:
    """A hub over HTTP that counts what it is asked, and devices that have all there is."""

    def __init__(self, url: str, run: Run) -> None:
        self.run, self.asked = run, Counter[str]()
        run("CREATE TABLE item (id integer PRIMARY KEY, a text)")
        run("INSERT INTO item VALUES (0, 'x')")
        self.hub = syncline.Hub(url)
        self.hub.init()
        answer = self.hub.handle

        def counted(actor: Actor, request: m.Request) -> m.Response:
            self.asked[type(request).__name__] += 1
            return answer(actor, request)

        self.direct, self.hub.handle = answer, counted  # type: ignore[method-assign]
        self.seen: dict[str, m.Pull] = {}

    def register(self, replica: str, actor: Actor = ANYONE) -> None:
        told = self.direct(actor, m.Register(replica))
        assert isinstance(told, m.Registered)
        self.seen[replica] = m.Pull(told.watermark, 100, replica, told.schema)

    def move(self, replica: str, actor: Actor = ANYONE) -> None:
        """The device has taken in what is new."""
        answer = self.direct(actor, self.seen[replica])
        assert isinstance(answer, m.Changes)
        if answer.watermark is not None:
            self.seen[replica] = m.Pull(answer.watermark, 100, replica, self.hub.schema.fingerprint)


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    if request.param == "sqlite":
        file = tmp_path / "centre.db"
        file.touch()

        def run(statement: str) -> None:
            with closing(sqlite3.connect(file, timeout=30)) as centre, centre:
                centre.execute(statement)

        made = Desk(f"sqlite:///{file}", run)
    else:
        url = request.getfixturevalue("postgres_url")

        def run(statement: str) -> None:
            with psycopg.connect(url, autocommit=True) as centre:
                centre.execute(statement)

        made = Desk(url, run)
    yield made
    made.hub.close()


def poll(client: httpx2.Client, pull: m.Pull, **headers: str) -> m.Changes | str:
    """What the hub says over HTTP; the code of a problem."""
    path, query = route_of(pull).locate(pull)
    answer = client.get(path, params=query, headers={"accept": Form.MSGPACK.value} | headers)
    if answer.status_code != 200:
        code: str = answer.json()["code"]
        return code
    return codec.decode(answer.content, m.Changes, Form.MSGPACK)


def test_the_third_question_in_the_same_words_does_not_reach_the_hub(desk: Desk) -> None:
    desk.register("one")
    with serving(create_app(desk.hub)) as url, httpx2.Client(base_url=url) as client:
        for _ in range(20):
            assert poll(client, desk.seen["one"]) == m.Changes()
        assert 2 <= desk.asked["Pull"] <= 10  # a server may have affairs of its own
        desk.run("INSERT INTO item VALUES (1, 'new')")
        news = poll(client, desk.seen["one"])
        assert isinstance(news, m.Changes) and news.watermark is not None
        assert poll(client, desk.seen["one"]) == news


@pytest.mark.parametrize("version", ["9", "0", "-1", "abc", ""])
def test_who_speaks_another_version_is_told_so_whoever_asked_before(desk: Desk, version: str) -> None:
    desk.register("one")
    with serving(create_app(desk.hub)) as url, httpx2.Client(base_url=url) as client:
        for _ in range(6):
            assert poll(client, desk.seen["one"]) == m.Changes()
        assert poll(client, desk.seen["one"], **{HEADER: version}) == "version_unsupported"
        assert poll(client, desk.seen["one"], **{HEADER: "1"}) == m.Changes()


def test_what_an_application_around_it_adds_to_an_answer_is_in_that_answer_alone(desk: Desk) -> None:
    desk.register("one")
    app, count = create_app(desk.hub), itertools.count()

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("x-number", str(next(count)))
                message["status"] += 1
            await send(message)

        await app(scope, receive, add if scope["type"] == "http" else send)

    path, query = route_of(desk.seen["one"]).locate(desk.seen["one"])
    with serving(around) as url, httpx2.Client(base_url=url) as client:
        answers = [client.get(path, params=query) for _ in range(6)]
    told = [(one.status_code, one.headers.get_list("x-number")) for one in answers]
    assert told == [(201, [str(number)]) for number in range(6)]
    assert desk.asked["Pull"] < 6


def test_every_answer_is_what_the_hub_itself_would_say_in_any_history(desk: Desk) -> None:
    dice = random.Random(7)
    devices = ["one", "two", "three"]
    for replica in devices:
        desk.register(replica)
    revoked: set[str] = set()
    asked = 0
    with serving(create_app(desk.hub)) as url, httpx2.Client(base_url=url) as client:
        for step in range(300):
            replica, kind = dice.choice(devices), dice.random()
            if kind < 0.06:
                desk.run(f"INSERT INTO item (id, a) VALUES ({step + 10}, 'w')")
            elif kind < 0.09:
                desk.run(f"UPDATE item SET a = 'v{step}' WHERE id = 0")
            elif kind < 0.11:
                desk.hub.revoke(replica, undo=replica in revoked)
                revoked ^= {replica}
            elif kind < 0.12:
                desk.run(f"ALTER TABLE item ADD c{step} text")
            else:
                if kind < 0.7 and replica not in revoked:
                    desk.move(replica)
                for _ in range(dice.randint(1, 4)):
                    asked += 1
                    heard, said = poll(client, desk.seen[replica]), _said(desk, desk.seen[replica])
                    if isinstance(said, m.Changes) and said.schema:  # a hub looks for that every two seconds
                        heard = poll(client, desk.seen[replica])
                    assert _without_mark(heard) == _without_mark(said), step
    assert desk.asked["Pull"] < asked * 0.9


def _without_mark(answer: m.Changes | str) -> object:
    """Two answers of one content may say in two ways how far they reach."""
    if isinstance(answer, str):
        return answer
    return answer.digest, answer.more, answer.schema, answer.watermark is None


def _said(desk: Desk, pull: m.Pull) -> m.Changes | str:
    try:
        answer = desk.direct(ANYONE, pull)
    except SynclineError as error:
        return error.code
    assert isinstance(answer, m.Changes)
    return answer


def test_whoever_asks_after_a_commit_hears_of_it_however_many_ask(desk: Desk) -> None:
    desk.register("one")
    pull, late, end = desk.seen["one"], [], threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=url) as client:
            while not end.is_set():
                poll(client, pull)

    with serving(create_app(desk.hub)) as url:
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        with httpx2.Client(base_url=url) as client:
            for number in range(1, 15):
                desk.register(f"device {number}")
                mine = desk.seen[f"device {number}"]
                for _ in range(4):
                    assert poll(client, mine) == m.Changes()
                desk.run(f"INSERT INTO item (id, a) VALUES ({number}, 'new')")
                late.append(poll(client, mine) == m.Changes())
        end.set()
        for thread in threads:
            thread.join()
    assert not any(late)


def test_altered_tables_are_noticed_by_those_who_only_ask(desk: Desk) -> None:
    desk.register("one")
    pull = desk.seen["one"]
    with serving(create_app(desk.hub)) as url, httpx2.Client(base_url=url) as client:
        for _ in range(4):
            assert poll(client, pull) == m.Changes()
        desk.run("ALTER TABLE item ADD more text")
        start, heard = time.monotonic(), m.Changes()
        while heard == m.Changes() and time.monotonic() - start < 25:
            answer = poll(client, pull)
            assert isinstance(answer, m.Changes)
            heard = answer
            time.sleep(0.05)
    assert heard.schema and heard.schema != pull.schema


def test_who_asks_is_found_out_each_time_and_once(desk: Desk) -> None:
    users: dict[str, Actor] = {"ann": Actor("ann"), "bob": Actor("bob")}
    found = Counter[str]()

    def authenticate(request: Request) -> Actor | None:
        token = request.headers.get("authorization", "")
        found[token] += 1
        return users.get(token)

    desk.register("one", users["ann"])
    app = create_app(desk.hub, authenticate=authenticate)
    with serving(app) as url, httpx2.Client(base_url=url) as client:

        def ask(token: str) -> Any:
            return poll(client, desk.seen["one"], authorization=token)

        for _ in range(6):
            assert ask("ann") == m.Changes()
        assert ask("bob") == "replica_of_another"
        assert ask("eve") == ask("") == "unauthenticated"
        before, ann = found["ann"], users.pop("ann")
        assert before == 6
        assert ask("ann") == "unauthenticated"
        users["ann"] = ann
        assert ask("ann") == m.Changes()
        desk.hub.revoke("one")
        assert ask("ann") == "replica_revoked"
