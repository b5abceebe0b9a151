"""A PostgreSQL centre that goes back in time is noticed, whatever numbers and stamps come again (L2, L4).

A data directory that is put back starts no timeline, gives out the same numbers of transactions again, and
where a clock was wrong the same stamps. Loading a dump into the same database changes neither cluster nor
timeline."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline import Hub, Replica, Table
from syncline.databases.postgresql.position import SnapshotPosition, parse
from syncline.model.scope import UNBOUNDED
from tests.support.dump import dump
from tests.support.postgres import PostgresServer, find_binaries, start_server, unprivileged
from tests.support.restored import put_data_back

RULES = {"t": Table(merge={"n": "sum"})}
TABLE = ("CREATE TABLE t (id integer PRIMARY KEY, v text, n bigint NOT NULL DEFAULT 0)",
         "INSERT INTO t SELECT i, 'as it was' FROM generate_series(1, 4) AS i")  # fmt: skip
SAFE = {"fsync": "on", "synchronous_commit": "on", "wal_level": "replica", "max_wal_senders": "4"}
DAY = 86_400_000

CLOCKS = {
    "right": (0, 0),
    "ahead and put right": (DAY, DAY),
    "ahead later": (0, DAY),
    "behind later": (DAY, 0),
}
"""How far all stamps known to the centre are ahead of its clock, before and after it is put back. Where they
are, every write made straight in the centre gets the same stamp, be it in the one past or in the other."""


@pytest.fixture(scope="module")
def lone(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server of which nobody else has data: it is put back as a whole."""
    if postgres_server.process is None:
        pytest.skip("the server given is not ours to put back")
    server = start_server(SAFE)
    yield server
    server.stop()


class Centre:
    """A central database in a server that is put back as a whole."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.url = server.database()
        self.run(*TABLE)
        with self.hub() as hub:
            hub.init()

    def hub(self) -> Hub:
        return Hub(self.url, tables=RULES)

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute("SELECT id, v, n FROM t ORDER BY id").fetchall()

    def advance_clock(self, milliseconds: int) -> None:
        """The centre knows of a stamp so far ahead; a device's clock was wrong."""
        if milliseconds:
            ahead = (int(time.time() * 1000) + milliseconds) // DAY * DAY << 16
            self.run(f"UPDATE syncline.state SET clock = {ahead}")

    def position(self) -> SnapshotPosition:
        with self.hub() as hub, hub.database.read(UNBOUNDED) as transaction:
            return parse(transaction.log.now().token())

    def copy(self) -> Path:
        """The data directory as a power cut would leave it."""
        assert self.server.folder is not None
        self.server.crash()
        shutil.copytree(self.server.folder / "data", self.folder / "copy", symlinks=True)
        self.server.start_again()
        return self.folder / "copy"

    def copy_while_it_runs(self) -> Path:
        """The same of a server with open transactions."""
        assert self.server.folder is not None
        binaries = find_binaries()
        assert binaries is not None
        target = self.server.folder / f"copy{time.monotonic_ns()}"
        command = [
            binaries / "pg_basebackup",
            "-d",
            self.server.url,
            "-D",
            target,
            "-c",
            "fast",
            "-X",
            "stream",
        ]
        folder = self.server.folder
        subprocess.run(command, check=True, cwd=folder, **unprivileged())  # type: ignore[call-overload]
        return target

    def put_back(self, copy: Path) -> None:
        self.server.crash()
        put_data_back(copy, self.server)
        self.server.start_again()


@pytest.fixture
def centre(lone: PostgresServer, tmp_path: Path) -> Centre:
    return Centre(lone, tmp_path)


def write(device: Replica, *statements: str) -> None:
    with closing(sqlite3.connect(device.file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def shown(device: Replica) -> list[Any]:
    with closing(sqlite3.connect(device.file)) as connection:
        return connection.execute("SELECT id, v, n FROM t ORDER BY id").fetchall()


def clones(centre: Centre, folder: Path, *names: str) -> None:
    with centre.hub() as hub:
        for name in names:
            syncline.clone(hub, folder / f"{name}.db").close()


@pytest.mark.parametrize("clocks", CLOCKS)
def test_the_same_numbers_and_stamps_with_other_content_are_another_past(
    centre: Centre, tmp_path: Path, clocks: str
) -> None:
    before, after = CLOCKS[clocks]
    clones(centre, tmp_path, "a")
    centre.advance_clock(before)
    copy = centre.copy()
    centre.run("UPDATE t SET v = 'lost' WHERE id = 1")
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        a.sync()
        assert shown(a)[0] == (1, "lost", 0)
    told = centre.position()
    centre.put_back(copy)
    centre.advance_clock(after)
    while centre.position().seen.xmax < told.seen.xmax:  # until the numbers come again
        centre.run("UPDATE t SET v = v || '.' WHERE id = 2")
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        report = a.sync()
        assert report.recovered is not None
        assert (report.recovered.reason, shown(a)) == ("restored", centre.rows())


@pytest.mark.parametrize("clocks", ["ahead later", "behind later"])
def test_between_two_pushes_of_two_devices(centre: Centre, tmp_path: Path, clocks: str) -> None:
    """What the lost one pushed is offered again, once; the other, who had seen it, gets no doubles."""
    before, after = CLOCKS[clocks]
    clones(centre, tmp_path, "a", "b")
    centre.advance_clock(before)
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        write(a, "UPDATE t SET n = n + 1 WHERE id = 1")
        a.sync()
    copy = centre.copy()
    with (
        centre.hub() as hub,
        syncline.connect(tmp_path / "a.db", hub) as a,
        syncline.connect(tmp_path / "b.db", hub) as b,
    ):
        write(b, "UPDATE t SET n = n + 10, v = 'b' WHERE id = 1")
        b.sync()
        a.sync()
    told = centre.position()
    centre.put_back(copy)
    centre.advance_clock(after)
    while centre.position().seen.xmax < told.seen.xmax:
        centre.run("UPDATE t SET v = v || '.' WHERE id = 2")
    with (
        centre.hub() as hub,
        syncline.connect(tmp_path / "a.db", hub) as a,
        syncline.connect(tmp_path / "b.db", hub) as b,
    ):
        write(a, "UPDATE t SET n = n + 100 WHERE id = 1")
        assert a.sync().recovered is not None
        found = b.sync().recovered
        assert found is not None
        assert found.offered == 1
        a.sync()
        assert shown(a) == shown(b) == centre.rows()
        assert centre.rows()[0] == (1, "b", 111)


def test_what_the_answer_to_a_push_tells_is_noticed_too(centre: Centre, tmp_path: Path) -> None:
    """A push that brings no pull tells rows that are later than the watermark."""
    clones(centre, tmp_path, "a")
    centre.run("UPDATE t SET v = 'soon' WHERE id = 1")
    centre.advance_clock(DAY)
    copy = centre.copy()
    centre.run("UPDATE t SET v = 'lost' WHERE id = 1")
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        write(a, "UPDATE t SET n = n + 5 WHERE id = 1")
        a.push()
        assert shown(a)[0] == (1, "lost", 5)
    centre.put_back(copy)
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        assert a.sync().recovered is not None
        assert shown(a) == centre.rows()
        assert centre.rows()[0] == (1, "soon", 5)


def test_a_transaction_that_began_earlier_and_committed_later_is_missed(
    centre: Centre, tmp_path: Path
) -> None:
    """The copy has the entry with the highest number, and not one below it."""
    clones(centre, tmp_path, "a")
    with psycopg.connect(centre.url) as early:
        early.execute("UPDATE t SET v = 'lost' WHERE id = 1")
        centre.run("UPDATE t SET v = 'kept' WHERE id = 2")
        copy = centre.copy_while_it_runs()
        early.commit()
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        a.sync()
        assert [v for _, v, _ in shown(a)][:2] == ["lost", "kept"]
    centre.put_back(copy)
    assert [v for _, v, _ in centre.rows()][:2] == ["as it was", "kept"]
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        assert a.sync().recovered is not None
        assert shown(a) == centre.rows()


def test_nothing_is_missed_where_nothing_was_lost(centre: Centre, tmp_path: Path) -> None:
    """A copy made after a device's last sync: it goes on as if nothing had been."""
    clones(centre, tmp_path, "a", "b")
    with (
        centre.hub() as hub,
        syncline.connect(tmp_path / "a.db", hub) as a,
        syncline.connect(tmp_path / "b.db", hub) as b,
    ):
        write(a, "UPDATE t SET n = n + 1 WHERE id = 1")
        a.sync()
        centre.run("UPDATE t SET v = 'theirs' WHERE id = 2")
        b.sync()
        a.sync()
    centre.put_back(centre.copy())
    centre.run("UPDATE t SET v = 'later' WHERE id = 3")
    with (
        centre.hub() as hub,
        syncline.connect(tmp_path / "a.db", hub) as a,
        syncline.connect(tmp_path / "b.db", hub) as b,
    ):
        assert [a.sync().recovered, b.sync().recovered] == [None, None]
        assert shown(a) == shown(b) == centre.rows()


def test_a_dump_that_is_loaded_into_the_same_database(centre: Centre, tmp_path: Path) -> None:
    """Neither cluster nor timeline tells it, and numbers of transactions go on. (The tables are other ones,
    so everybody compares.)"""
    clones(centre, tmp_path, "a", "b")
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        a.sync()
    text = dump(centre.url, "--clean", "--if-exists")
    centre.run("UPDATE t SET v = 'lost' WHERE id = 1")
    with centre.hub() as hub, syncline.connect(tmp_path / "a.db", hub) as a:
        write(a, "UPDATE t SET n = n + 7 WHERE id = 1")
        a.sync()
    binaries = find_binaries()
    assert binaries is not None
    command = [binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", centre.url]
    subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    centre.run("UPDATE t SET v = 'after' WHERE id = 2")
    with (
        centre.hub() as hub,
        syncline.connect(tmp_path / "a.db", hub) as a,
        syncline.connect(tmp_path / "b.db", hub) as b,
    ):
        found = a.sync().recovered
        assert found is not None
        assert (found.reason, found.offered) == ("restored", 1)
        b.sync()
        assert shown(a) == shown(b) == centre.rows()
        assert centre.rows()[:2] == [(1, "as it was", 7), (2, "after", 0)]
