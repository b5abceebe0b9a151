"""One edit on a device, pushed and pulled by another: how much each side asks for it, over every centre."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline.databases.sqlite.connections import Connections

PUSH_ON_DEVICE, PULL_ON_DEVICE = 131, 50
"""Statements in the device file that a sync takes at most: one edit is pushed, one row has come."""

NOTHING_ON_DEVICE = 22
"""Statements in the device file that a sync with nothing to do takes, whatever the number of tables."""

PUSH_OVER_SQLITE, PULL_OVER_SQLITE = 37, 10
"""Statements in the centre, where that is SQLite."""

PUSH_OVER_POSTGRESQL, PULL_OVER_POSTGRESQL = 31, 10
"""Waits for an answer of PostgreSQL."""

ROUNDS = 8
"""The fewest of so many: a hub looks every two seconds whether tables were altered."""

TABLE = "CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT, n INTEGER)"
ROWS = "INSERT INTO item VALUES (1, 'a', 1), (2, 'b', 2)"


class Desk:
    """A device that writes, `left`, one that reads, `right`, and what their hub asks."""

    def __init__(self, hub: syncline.Hub, folder: Path) -> None:
        self.left = syncline.clone(hub, folder / "left.db")
        self.right = syncline.clone(hub, folder / "right.db")
        self.number = 0

    def edit(self) -> None:
        self.number += 1
        with closing(sqlite3.connect(self.left.file)) as connection, connection:
            connection.execute("UPDATE item SET a = ? WHERE id = 1", (f"edit {self.number}",))

    def exchange(self) -> None:
        self.edit()
        assert self.left.sync().push.sent == 1
        assert self.right.sync().pull.written == 1


@contextmanager
def desk(url: str, folder: Path) -> Iterator[Desk]:
    """Everything that is remembered from one time to the next is."""
    with syncline.Hub(url) as hub:
        hub.init()
        place = Desk(hub, folder)
        with place.left, place.right:
            for _ in range(8):
                place.exchange()
            yield place


def sqlite_url(folder: Path) -> str:
    file = folder / "centre.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(TABLE)
        connection.execute(ROWS)
    return f"sqlite:///{file}"


def asked_of(replica: syncline.Replica) -> list[str]:
    """The statements that are run in the file of a device from now on."""
    asked: list[str] = []
    replica._store._connection.set_trace_callback(asked.append)
    return asked


@pytest.mark.parametrize("tables", [1, 120])
def test_a_sync_with_nothing_to_do_asks_the_file_a_few_things_and_writes_nothing(
    tmp_path: Path, tables: int
) -> None:
    url = sqlite_url(tmp_path)
    with closing(sqlite3.connect(tmp_path / "centre.db")) as connection, connection:
        for number in range(1, tables):
            connection.execute(f"CREATE TABLE more_{number} (id INTEGER PRIMARY KEY, a TEXT)")
    with syncline.Hub(url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "device.db") as replica:
            replica.sync()
            asked, wal = asked_of(replica), tmp_path / "device.db-wal"
            before = wal.read_bytes()
            replica.sync()
            assert 0 < len(asked) <= NOTHING_ON_DEVICE
            assert not any(statement.startswith(("BEGIN", "SAVEPOINT", "ROLLBACK")) for statement in asked)
            assert wal.read_bytes() == before


def test_one_edit_asks_the_files_and_a_centre_of_sqlite_a_few_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    make = Connections._connect

    def noted(self: Connections) -> sqlite3.Connection:
        opened.append(make(self))
        return opened[-1]

    monkeypatch.setattr(Connections, "_connect", noted)
    with desk(sqlite_url(tmp_path), tmp_path) as place:
        centre: list[str] = []
        for connection in opened:
            connection.set_trace_callback(centre.append)
        left, right = asked_of(place.left), asked_of(place.right)
        found = []
        for _ in range(ROUNDS):
            for asked in (centre, left, right):
                asked.clear()
            place.edit()
            place.left.sync()
            pushed = len(centre)
            place.right.sync()
            found.append((len(left), len(right), pushed, len(centre) - pushed))
        fewest = tuple(map(min, zip(*found, strict=True)))
        most = (PUSH_ON_DEVICE, PULL_ON_DEVICE, PUSH_OVER_SQLITE, PULL_OVER_SQLITE)
        assert all(0 < number <= bound for number, bound in zip(fewest, most, strict=True)), fewest


def test_one_edit_waits_for_postgresql_a_few_times(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(TABLE)
        connection.execute(ROWS)
    waits = 0
    wait = psycopg.Connection.wait

    def counted(self: psycopg.Connection[object], *arguments: object, **named: object) -> object:
        nonlocal waits
        waits += 1
        return wait(self, *arguments, **named)  # type: ignore[arg-type]

    with desk(postgres_url, tmp_path) as place:
        monkeypatch.setattr(psycopg.Connection, "wait", counted)
        pushes, pulls = [], []
        for _ in range(ROUNDS):
            place.edit()
            waits = 0
            place.left.sync()
            pushes.append(waits)
            waits = 0
            place.right.sync()
            pulls.append(waits)
        assert 0 < min(pushes) <= PUSH_OVER_POSTGRESQL
        assert 0 < min(pulls) <= PULL_OVER_POSTGRESQL


def schemas(connections: list[sqlite3.Connection]) -> list[object]:
    """How often the temporary schema of each connection has changed."""
    return [connection.execute("PRAGMA temp.schema_version").fetchone() for connection in connections]


EXPIRING = ("PRAGMA defer_foreign_keys", "PRAGMA foreign_keys")
"""What has SQLite prepare every statement of a connection anew."""


def test_one_edit_has_no_statement_prepared_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary table that is made anew would, too."""
    opened: list[sqlite3.Connection] = []
    make = Connections._connect

    def noted(self: Connections) -> sqlite3.Connection:
        opened.append(make(self))
        return opened[-1]

    monkeypatch.setattr(Connections, "_connect", noted)
    with ExitStack() as stack:
        place = stack.enter_context(desk(sqlite_url(tmp_path), tmp_path))
        everything = [*opened, place.left._store._connection, place.right._store._connection]
        asked: list[str] = []
        for connection in everything:
            connection.set_trace_callback(asked.append)
        before = schemas(everything)
        place.exchange()
        assert schemas(everything) == before
        assert [
            sql for sql in asked if sql.startswith(("DROP", "CREATE")) and "IF NOT EXISTS" not in sql
        ] == []
        assert [sql for sql in asked if sql.startswith(EXPIRING)] == []
