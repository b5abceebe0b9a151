"""A device that is killed, or loses its network, at any step of a recovery goes on where it was.

Nothing pending is lost, nothing is sent twice: counters tell (laws L2, L3).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

import syncline
from syncline.errors import TransportError
from syncline.model.actor import Actor
from syncline.protocol.flows import run
from syncline.protocol.messages import Request, Response
from syncline.replica import sync as verbs
from syncline.replica.device import Device
from syncline.replica.progress import silent
from syncline.testing.faults import Crash, CrashingStore
from syncline.transports.local import LocalTransport
from tests.faults.test_kill import Device as Phone
from tests.faults.test_kill import (
    Server,
    centre,
    rows_in_centre,
    run_in_centre,
    server,
    settle,
    sqlite_centre,
)
from tests.faults.test_kill import check as check_all
from tests.support.restored import put_back

__all__ = ["centre", "server", "sqlite_centre"]

DDL = """
CREATE TABLE visit (id INTEGER PRIMARY KEY, state TEXT, total INTEGER NOT NULL, number INTEGER UNIQUE);
CREATE TABLE note (id TEXT PRIMARY KEY, visit INTEGER NOT NULL REFERENCES visit (id), body TEXT);
INSERT INTO visit VALUES (1, 'new', 0, 1), (2, 'new', 0, 2), (3, 'new', 0, 3);
INSERT INTO note VALUES ('n1', 1, 'x'), ('n2', 2, 'y');
"""
RULES = {"visit": syncline.Table(merge={"total": "sum"}), "note": syncline.Table()}
STEP = 5
"""Every so many statements the device is killed once."""


class Cut:
    """A hub whose n-th answer is lost."""

    def __init__(self, hub: syncline.Hub, number: int) -> None:
        self.hub, self.left = hub, number

    def handle(self, actor: Actor, request: Request) -> Response:
        answer = self.hub.handle(actor, request)
        self.left -= 1
        if self.left == -1:
            raise TransportError("the answer was lost")
        return answer


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A folder with a centre that has lost three pushes of the device beside it, which has edits pending."""
    folder = tmp_path / "before"
    folder.mkdir()
    centre, file = folder / "centre.db", folder / "a.db"
    with closing(sqlite3.connect(centre)) as made:
        made.executescript(DDL)
    with syncline.Hub(f"sqlite:///{centre}", tables=RULES) as hub:
        hub.init()
        syncline.clone(hub, file).close()
        with closing(sqlite3.connect(centre)) as made:
            made.execute("VACUUM INTO ?", (str(folder / "backup.db"),))
        with syncline.connect(file, hub) as replica, closing(application(file)) as app:
            app.execute("UPDATE visit SET total = total + 1 WHERE id = 1")
            replica.sync()
            app.execute("INSERT INTO visit VALUES (4, 'made', 10, 4)")
            app.execute("UPDATE visit SET total = total + 10 WHERE id = 1")
            replica.sync()
            app.execute("INSERT INTO note VALUES ('n4', 4, 'z')")
            app.execute("DELETE FROM note WHERE id = 'n2'")
            replica.sync()
            app.execute("UPDATE visit SET total = total + 100, state = 'seen' WHERE id = 1")
            app.execute("INSERT INTO note VALUES ('n5', 4, 'pending')")
    put_back(folder / "backup.db", centre)
    with closing(application(centre)) as made:
        for number, row in ((-1, 2), (2, 3), (3, 2)):
            made.execute("UPDATE visit SET number = ? WHERE id = ?", (number, row))
    return folder


def application(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@pytest.fixture
def folders(before: Path) -> Iterator[Iterator[Path]]:
    """Copies of that folder, one after the other."""

    def copies() -> Iterator[Path]:
        for number in count():
            folder = before.parent / f"run{number}"
            shutil.copytree(before, folder)
            yield folder
            shutil.rmtree(folder)

    made = copies()
    yield made
    made.close()


def check(folder: Path) -> None:
    """The device and the centre agree, with everything that was lost and that was pending, once."""
    for name in ("centre.db", "a.db"):
        with closing(sqlite3.connect(folder / name)) as file:
            assert file.execute("SELECT * FROM visit ORDER BY id").fetchall() == [
                (1, "seen", 111, 1),
                (2, "new", 0, 3),
                (3, "new", 0, 2),
                (4, "made", 10, 4),
            ]
            notes = file.execute("SELECT * FROM note ORDER BY id").fetchall()
            assert notes == [("n1", 1, "x"), ("n4", 4, "z"), ("n5", 4, "pending")]
    assert not list(folder.glob("*.refilling*"))


def finish(folder: Path, hub: syncline.Hub) -> None:
    with syncline.connect(folder / "a.db", hub) as replica:
        report = replica.sync()
        assert report.pending == 0
        assert replica.rejected() == []
    check(folder)


def test_a_device_killed_before_any_statement_goes_on(folders: Iterator[Path]) -> None:
    for statement, folder in zip(count(0, STEP), folders, strict=False):
        with syncline.Hub(f"sqlite:///{folder}/centre.db", tables=RULES) as hub:
            store = CrashingStore.open(folder / "a.db")
            store.countdown = statement
            with closing(store):
                try:
                    run(verbs.sync(Device.load(store), silent), LocalTransport(hub))
                    crashed = False
                except Crash:
                    crashed = True
            finish(folder, hub)
        if not crashed:
            break
    assert statement > 10 * STEP


def test_a_device_that_loses_any_answer_goes_on(folders: Iterator[Path]) -> None:
    for number, folder in zip(count(), folders, strict=False):
        with syncline.Hub(f"sqlite:///{folder}/centre.db", tables=RULES) as hub:
            with closing(CrashingStore.open(folder / "a.db")) as store:
                try:
                    run(verbs.sync(Device.load(store), silent), LocalTransport(Cut(hub, number)))
                    lost = False
                except TransportError:
                    lost = True
            finish(folder, hub)
        if not lost:
            break
    assert number > 8


class Backup:
    """The central database as it was, to be put in its place again. The server is stopped meanwhile."""

    def __init__(self, url: str, server: Server, folder: Path) -> None:
        self.url, self.server = url, server
        self.file = None if url.startswith("postgresql") else Path(url.removeprefix("sqlite:///"))
        self.kept = folder / "backup.db"

    def keep(self) -> None:
        self.server.kill()
        if self.file is not None:
            run_in_centre(self.url, [f"VACUUM INTO '{self.kept}'"])
        else:
            self._run("CREATE DATABASE {kept} TEMPLATE {name}")
        self.server.start()

    def restore(self) -> None:
        self.server.kill()
        if self.file is not None:
            put_back(self.kept, self.file)
        else:
            self._run("DROP DATABASE {name} WITH (FORCE)", "CREATE DATABASE {name} TEMPLATE {kept}")
        self.server.start()

    def _run(self, *statements: str) -> None:
        import psycopg
        from psycopg import sql

        base, _, name = self.url.rpartition("/")
        with closing(psycopg.connect(f"{base}/postgres", autocommit=True)) as admin:
            for statement in statements:
                text = sql.SQL(statement).format(
                    name=sql.Identifier(name), kept=sql.Identifier(f"{name}_kept")
                )
                admin.execute(text)


def test_killed_processes_on_either_side_recover_from_a_centre_that_went_back(
    server: Server, centre: str, tmp_path: Path
) -> None:
    rng = random.Random(40)
    values = ", ".join(f"({i}, 'patient {i}', 'new', 0)" for i in range(1, 5_001))
    run_in_centre(centre, [f"INSERT INTO visit VALUES {values}"])
    phones = []
    for number in range(2):
        syncline.clone(server.url, tmp_path / f"device{number}.db").close()
        phones.append(Phone(tmp_path / f"device{number}.db", number, rng))
    backup = Backup(centre, server, tmp_path)
    for round_ in range(4):
        for phone in phones:
            phone.edit()
        settle(phones)
        if round_ == 1:
            backup.keep()
    for phone in phones:
        phone.edit()
    backup.restore()
    for kill in range(8):
        process = phones[kill % 2].start("sync")
        time.sleep(rng.uniform(0, 0.5))
        if kill % 3:
            os.kill(process.pid, signal.SIGKILL)
        else:
            server.restart()
        process.communicate(timeout=60)
    settle(phones)
    check_all(phones, centre)
    assert len(rows_in_centre(centre, "visit")) == 5_000
