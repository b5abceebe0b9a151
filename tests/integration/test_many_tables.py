"""However many tables there are: what a file holds altogether is read a few times, not for each of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import syncline
from syncline.databases.sqlite.connections import Connections
from syncline.model.scope import UNBOUNDED

FEW, MANY = 3, 30


class Centre:
    """A centre of so many tables, each with an index and a trigger of its own, and what is asked of it."""

    def __init__(self, file: Path, tables: int, where: str = "WHERE a <> ''") -> None:
        self.file, self.url, self.asked = file, f"sqlite:///{file}", list[str]()
        for n in range(tables):
            self.run(
                f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, a TEXT, b TEXT)",
                f"CREATE UNIQUE INDEX u{n} ON t{n} (a) {where}",
                f"CREATE TRIGGER before_{n} AFTER INSERT ON t{n} BEGIN SELECT 1; END",
            )

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def put_triggers(self, name: str) -> None:
        """The user makes a trigger on every table, and so the newest there is."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE name GLOB 't[0-9]*'").fetchall()
            for (table,) in tables:
                connection.execute(
                    f"CREATE TRIGGER {name}_{table} AFTER INSERT ON {table} BEGIN SELECT 1; END"
                )

    @contextmanager
    def looks(self) -> Iterator[list[str]]:
        """The statements meanwhile that look through all that the file holds."""
        self.asked.clear()
        found: list[str] = []
        yield found
        found += [sql for sql in self.asked if sql.startswith("SELECT") and "sqlite_master" in sql]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Centre]]:
    """Centres of few and of many tables."""
    centres = [Centre(tmp_path / f"{tables}.db", tables) for tables in (FEW, MANY)]
    opened = Connections.open

    def traced(connections: Connections) -> sqlite3.Connection:
        connection = opened(connections)
        of = next(one for one in centres if str(one.file) == connections.path)
        connection.set_trace_callback(of.asked.append)
        return connection

    monkeypatch.setattr(Connections, "open", traced)
    yield centres


def counts(centre: Centre) -> dict[str, int]:
    """How often each of these looks through everything."""
    found: dict[str, int] = {}
    with syncline.Hub(centre.url) as hub:
        with centre.looks() as init:
            hub.init()
        found["init"] = len(init)
    with syncline.Hub(centre.url) as hub:
        with centre.looks() as first:
            hub.ready()
        found["first request"] = len(first)
        centre.run("ALTER TABLE t1 ADD COLUMN c TEXT")
        with centre.looks() as following:
            hub.look()
        found["following"] = len(following)
        centre.put_triggers("newest")
        with centre.looks() as writing, hub.database.write(UNBOUNDED):
            pass
        found["writing beside newer triggers"] = len(writing)
        assert hub.schema.table("t1").column("c")
    return found


def test_l13_what_a_sqlite_centre_holds_is_not_read_again_for_each_table(make: list[Centre]) -> None:
    few, many = map(counts, make)
    assert few == many
    assert all(few.values())


def test_l13_what_a_device_file_holds_is_not_read_again_for_each_table(tmp_path: Path) -> None:
    looks = []
    for tables in (FEW, MANY):
        centre = Centre(tmp_path / f"{tables}.db", tables, where="")
        with syncline.Hub(centre.url) as hub:
            hub.init()
            file, asked = tmp_path / f"device_{tables}.db", list[str]()
            with syncline.clone(hub, file) as replica:
                with closing(sqlite3.connect(file)) as application:
                    application.execute("CREATE TABLE own (a)")
                replica._store._connection.set_trace_callback(asked.append)
                replica.sync()
        looks.append(sum("FROM sqlite_master" in sql for sql in asked))
    assert 0 < looks[0] == looks[1]
