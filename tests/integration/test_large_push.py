"""Pushes that do not fit one request: one transaction, resumed where they broke, foretold by a dry run
(laws L1, L2, L3, L9), over SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import SynclineError, TransportError, UnknownUpload
from syncline.model.actor import ANYONE
from syncline.protocol import messages as m
from syncline.protocol.messages import Limits, Request, Response
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from tests.support.network import Network

DDL = (
    "CREATE TABLE shelf (id INTEGER PRIMARY KEY, name TEXT UNIQUE, above INTEGER REFERENCES shelf (id),"
    " height INTEGER CHECK (height < 100))",
    "CREATE TABLE book (id INTEGER PRIMARY KEY, shelf INTEGER NOT NULL REFERENCES shelf (id), title TEXT,"
    " lent INTEGER)",
)


class World:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.run(*DDL)
        tables = {"shelf": syncline.Table(), "book": syncline.Table(merge={"lent": "sum", "title": "review"})}
        self.hub = syncline.Hub(url, tables=tables, limits=Limits(push_rows=10))
        self.hub.init()
        syncline.clone(self.hub, folder / "a.db").close()
        self.app = sqlite3.connect(folder / "a.db", isolation_level=None)
        self.app.execute("PRAGMA foreign_keys = ON")
        self.replica, self.network = self.opened()

    def opened(self) -> tuple[Replica, Network]:
        network = Network(self.hub)
        return Replica(Store.open(self.folder / "a.db"), lambda: network), network

    def restart(self) -> None:
        """The device's process ends and another one begins."""
        self.replica.close()
        self.replica, self.network = self.opened()

    def run(self, *statements: str) -> list[Any]:
        """In the centre, as another program."""
        if self.url.startswith("sqlite"):
            with sqlite3.connect(self.url.removeprefix("sqlite:///")) as connection:
                rows = [connection.execute(statement).fetchall() for statement in statements][-1]
            connection.close()
            return rows
        import psycopg

        with psycopg.connect(self.url) as pg:
            cursors = [pg.execute(statement.encode()) for statement in statements]
            return cursors[-1].fetchall() if cursors[-1].description else []

    def ids(self, table: str) -> list[int]:
        return [key for (key,) in self.run(f"SELECT id FROM {table} ORDER BY id")]

    def fill(self, count: int = 35) -> None:
        """A shelf, and books on it: four chunks and more."""
        self.app.execute("INSERT INTO shelf VALUES (1, 'one', NULL, 1)")
        self.app.executemany("INSERT INTO book VALUES (?, 1, 'x', 0)", [(i,) for i in range(count)])

    def close(self) -> None:
        self.replica.close()
        self.app.close()
        self.hub.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    centre = tmp_path / "centre.db"
    sqlite = request.param == "sqlite"
    made = World(tmp_path, f"sqlite:///{centre}" if sqlite else request.getfixturevalue("postgres_url"))
    yield made
    made.close()


def counts(network: Network) -> Counter[str]:
    return Counter(network.seen)


def test_a_backlog_is_one_push_and_the_sync_pulls_with_the_commit(world: World) -> None:
    world.fill()
    report = world.replica.sync()
    assert (report.push.sent, report.push.pushes, report.pending) == (36, 1, 0)
    kinds = counts(world.network)
    chunks = kinds["PushChunk"]
    assert chunks >= 4
    assert kinds == {"BeginPush": 1, "PushChunk": chunks, "CommitPush": 1, "ForgetPush": 1}
    assert (world.ids("shelf"), len(world.ids("book"))) == ([1], 35)
    assert world.replica.status().in_flight is None


def test_a_small_push_is_one_request_as_ever(world: World) -> None:
    world.fill(3)
    world.replica.sync()
    assert world.network.seen == ["Push"]


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_l3_a_lost_connection_is_resumed_at_the_chunk_where_it_broke(world: World, lost: str) -> None:
    world.fill()
    setattr(world.network, f"lose_{lost}", 3)
    with pytest.raises(TransportError):
        world.replica.push()
    assert world.network.seen == ["BeginPush", "PushChunk", "PushChunk", "PushChunk"]
    assert world.ids("book") == []
    world.app.execute("UPDATE book SET title = 'later' WHERE id = 1")
    assert world.replica.status().in_flight == 1
    world.restart()
    world.replica.push()
    again = ["BeginPush", *["PushChunk"] * (3 if lost == "request" else 2), "CommitPush", "ForgetPush"]
    assert world.network.seen[: len(again)] == again, "of five chunks the hub had two or three"
    assert len(world.ids("book")) == 35
    assert world.run("SELECT title FROM book WHERE id = 1") == [("later",)]


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_l3_every_request_of_a_large_push_may_be_lost(world: World, lost: str) -> None:
    world.fill()
    for number in range(30):
        world.restart()
        setattr(world.network, f"lose_{lost}", number)
        try:
            world.replica.push()
        except TransportError:
            continue
        if len(world.network.seen) <= number:
            break
    world.restart()
    world.app.execute("UPDATE book SET lent = lent + 1")
    world.replica.sync()
    assert world.replica.status().pending == {}
    assert (len(world.ids("book")), world.run("SELECT sum(lent) FROM book")[0][0]) == (35, 35)


def test_l3_counters_are_counted_once_when_the_answer_to_a_commit_is_lost(world: World) -> None:
    world.fill()
    world.replica.sync()
    world.app.execute("UPDATE book SET lent = lent + 2")
    world.restart()
    world.network.lose_answer = 1 + 4
    with pytest.raises(TransportError):
        world.replica.push()
    assert world.network.seen[-1] == "CommitPush"
    world.run("UPDATE book SET lent = lent + 100 WHERE id = 3")
    world.restart()
    world.replica.sync()
    assert counts(world.network)["PushChunk"] == 0
    assert world.app.execute("SELECT lent FROM book WHERE id IN (3, 4)").fetchall() == [(102,), (2,)]
    assert world.run("SELECT lent FROM book WHERE id IN (3, 4) ORDER BY id") == [(102,), (2,)]


def test_a_hub_that_has_forgotten_the_upload_is_given_it_again(world: World) -> None:
    world.fill()
    world.network.lose_request = 4
    with pytest.raises(TransportError):
        world.replica.push()
    world.hub.handle(ANYONE, m.ForgetPush(world.replica.id or "", 1))
    world.restart()
    report = world.replica.push()
    assert report.sent == len(world.ids("book")) + 1


def test_an_upload_forgotten_before_the_commit_begins_again_within_the_same_push(world: World) -> None:
    world.fill()
    send, forgotten = world.network.inner.send, []

    def forgetting(request: Request) -> Response:
        if isinstance(request, m.CommitPush) and not forgotten:
            forgotten.append(True)
            world.hub.handle(ANYONE, m.ForgetPush(request.replica, request.number))
            with pytest.raises(UnknownUpload):
                send(request)
        return send(request)

    world.network.inner.send = forgetting  # type: ignore[method-assign]
    assert world.replica.push().sent == 36
    assert counts(world.network)["BeginPush"] == 2


def test_l2_a_rejected_row_in_the_middle_does_not_keep_the_others_back(world: World) -> None:
    world.fill()
    world.app.execute("INSERT INTO shelf VALUES (2, 'two', 1, 1)")
    world.run("INSERT INTO shelf VALUES (99, 'two', NULL, 1)")
    world.app.execute("INSERT INTO book VALUES (500, 2, 'on a shelf that is rejected', 0)")
    report = world.replica.sync()
    found = sorted((edit.table, edit.key, edit.code) for edit in report.push.rejected)
    assert found == [("book", (500,), "parent_rejected"), ("shelf", (2,), "unique_violation")]
    assert (world.ids("shelf"), len(world.ids("book"))) == ([1, 99], 35)
    assert [edit.values["title"] for edit in world.replica.rejected() if edit.table == "book"] == [
        "on a shelf that is rejected"
    ]
    assert world.app.execute("SELECT count(*) FROM book").fetchone() == (35,)


def test_l9_a_tree_whose_parents_come_later_arrives_whole(world: World) -> None:
    world.app.execute("PRAGMA foreign_keys = OFF")
    rows = [(i, f"s{i}", i + 1 if i < 60 else None) for i in range(1, 61)]
    world.app.executemany("INSERT INTO shelf VALUES (?, ?, ?, 1)", rows)
    report = world.replica.sync()
    assert (report.push.sent, report.push.rejected) == (60, ())
    assert len(world.ids("shelf")) == 60
    world.app.execute("DELETE FROM shelf")
    assert world.replica.sync().push.rejected == ()
    assert world.ids("shelf") == []


def test_more_details_than_fit_the_commit_travel_with_their_chunks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.replica.upload.FEW", 5)
    world.fill()
    world.replica.sync()
    world.run("UPDATE book SET title = 'theirs'")
    world.app.execute("UPDATE book SET title = 'mine'")
    report = world.replica.sync()
    assert report.push.conflicts == 35
    assert {note.base for note in world.replica.conflicts()} == {"x"}
    assert {title for (title,) in world.run("SELECT DISTINCT title FROM book")} == {"theirs"}
    assert world.app.execute("SELECT DISTINCT title FROM book").fetchall() == [("theirs",)]


def snapshot(world: World) -> list[Any]:
    found = []
    names = [name for (name,) in world.app.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in sorted(names):
        found.append((name, world.app.execute(f"SELECT * FROM {name}").fetchall()))
    return found


@pytest.mark.parametrize("count", [3, 35], ids=["small", "large"])
def test_a_preview_shows_the_verdict_and_changes_nothing(world: World, count: int) -> None:
    world.fill(count)
    world.replica.sync()
    world.app.execute("UPDATE book SET title = 'mine', lent = lent + 1")
    world.app.execute("INSERT INTO shelf VALUES (2, 'two', 1, 1)")
    world.run(
        "INSERT INTO shelf VALUES (99, 'two', NULL, 1)", "UPDATE book SET title = 'theirs' WHERE id = 2"
    )
    before, centre = snapshot(world), [world.run(f"SELECT * FROM {t} ORDER BY id") for t in ("shelf", "book")]
    shown = world.replica.preview()
    assert snapshot(world) == before
    assert [world.run(f"SELECT * FROM {table} ORDER BY id") for table in ("shelf", "book")] == centre
    assert (shown.rows, shown.accepted) == (count + 1, count - 1)
    assert [(row.table, row.key, row.code) for row in shown.rejected] == [("shelf", (2,), "unique_violation")]
    assert [(row.table, row.key) for row in shown.overruled] == [("book", (2,))]
    assert shown.overruled[0].values == {"shelf": 1, "title": "theirs", "lent": 1}
    assert [(note.base, note.sent, note.hub) for note in shown.conflicts] == [("x", "mine", "theirs")]
    assert world.network.seen[-1] == "ForgetPush"
    done = world.replica.sync().push
    assert [(edit.table, edit.key, edit.code) for edit in done.rejected] == [
        (row.table, row.key, row.code) for row in shown.rejected
    ]
    assert (done.sent, done.overruled, done.conflicts) == (count + 1, 1, 1)


def test_a_preview_of_nothing_asks_nobody(world: World) -> None:
    assert world.replica.preview() == syncline.PushPreview()
    assert world.network.seen == []


def test_a_preview_shows_what_cannot_even_be_sent(world: World) -> None:
    world.app.execute("INSERT INTO shelf VALUES (1, CAST(x'ff' AS TEXT), NULL, 1)")
    shown = world.replica.preview()
    assert [(row.table, row.key, row.code) for row in shown.rejected] == [("shelf", (1,), "value_refused")]
    assert world.replica.rejected() == []


@pytest.mark.parametrize("count", [3, 35], ids=["small", "large"])
def test_a_preview_of_a_push_in_flight_is_of_that_push(world: World, count: int) -> None:
    world.fill(count)
    world.network.lose_answer = 0 if count == 3 else 2
    with pytest.raises(TransportError):
        world.replica.push()
    world.app.execute("INSERT INTO book VALUES (999, 1, 'later', 0)")
    assert world.replica.preview().rows == count + 1
    if count == 3:  # it had arrived, and only its answer was lost
        assert len(world.ids("book")) == count
    world.restart()
    world.replica.sync()
    assert len(world.ids("book")) == count + 1
    if count == 35:
        assert counts(world.network)["PushChunk"] == 0, "the preview has uploaded the rest"


def test_a_preview_that_fails_leaves_nothing_behind(world: World) -> None:
    world.fill()
    world.network.lose_answer = 3
    before = snapshot(world)
    with pytest.raises(SynclineError):
        world.replica.preview()
    assert world.network.seen[-1] == "ForgetPush"
    assert snapshot(world) == before
    world.replica.sync()
    assert len(world.ids("book")) == 35


def test_l2_a_copy_of_a_file_with_a_large_push_takes_an_id_of_its_own(world: World) -> None:
    world.fill()
    world.network.lose_request = 2
    with pytest.raises(TransportError):
        world.replica.push()
    world.app.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (world.folder / "copy.db").write_bytes((world.folder / "a.db").read_bytes())
    world.restart()
    world.replica.sync()
    world.app.execute("INSERT INTO book VALUES (1000, 1, 'a', 0)")
    world.replica.sync()
    with syncline.connect(world.folder / "copy.db", hub=world.hub) as copy:
        with sqlite3.connect(world.folder / "copy.db") as app:
            app.execute("INSERT INTO book VALUES (2000, 1, 'copy', 0)")
        app.close()
        copy.sync()
        assert copy.id != world.replica.id
    assert world.ids("book") == [*range(35), 1000, 2000]


def test_two_hundred_thousand_rows_are_one_transaction_but_for_a_rejected_one(world: World) -> None:
    """L2, L11."""
    world.hub.limits = Limits()
    with closing(Store.open(world.folder / "a.db")) as store, store.transaction():
        store.set_state(limits=None)
    total = 200_000
    world.app.execute("BEGIN")
    world.app.execute("INSERT INTO shelf VALUES (1, 'one', NULL, 1), (2, 'taken', 1, 1), (3, 'three', 1, 1)")
    world.app.executemany(
        "INSERT INTO book VALUES (?, ?, 'x', 0)", ((i, 2 if i == total // 2 else 1) for i in range(total))
    )
    world.app.execute("COMMIT")
    world.run("INSERT INTO shelf VALUES (99, 'taken', NULL, 1)")
    report = world.replica.sync()
    found = sorted((edit.table, edit.key, edit.code) for edit in report.push.rejected)
    assert found == [("book", (total // 2,), "parent_rejected"), ("shelf", (2,), "unique_violation")]
    assert (report.push.sent, report.push.pushes, report.pending) == (total + 3, 1, 0)
    assert world.run("SELECT count(*) FROM book") == [(total - 1,)]
    if not world.url.startswith("sqlite"):
        logs = [name for (name,) in world.run("SELECT 'syncline.log_' || n FROM syncline.tables")]
        sets = " UNION ".join(f"SELECT xid::text FROM {name} WHERE origin <> 'hub'" for name in logs)
        assert len(world.run(sets)) == 1, "one transaction has logged everything"
