"""A push of which one row in five is refused: what it costs to find the bad rows and bring in the others."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import syncline
from bench.figures import Figure, most
from bench.timing import timed
from bench.world import World

SECTION = "refused"
SECONDS = 5.0
BAD = 5
"""One row in so many is refused."""

Row = tuple[int, str, Any]
PARTS = {
    "device: freeze": ["replica.ahead.freeze_pending"],
    "hub: all of it": ["hub.gate.Gate.answer"],
    "database: write": ["databases.{kind}.write.RowWriter.apply"],
    "device: take the verdict in": ["replica.follow.apply"],
}
"""Functions of the package whose processor time is told, without that of a database server."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of being refused: `column` declares the column `v`, `made` is what else a database of a
    kind, and `bad` the value of a row that is refused, by its number (`{}`)."""

    name: str
    column: str
    made: dict[str, Sequence[str]]
    bad: str = "-{}"
    on_sqlite: bool = True
    """A column of SQLite takes a value of any type."""


FUNCTION = (
    "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.v < 0 THEN"
    " RAISE EXCEPTION 'no negative %', NEW.v; END IF; RETURN NEW; END $$"
)
TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN NEW.v < 0"
        " BEGIN SELECT RAISE(ABORT, 'no negative'); END"
    ],
    "postgresql": [
        FUNCTION,
        "CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}
WAYS = (
    Way("CHECK", "INTEGER CHECK (v > 0)", {}),
    Way("trigger", "INTEGER", TRIGGERS),
    Way("unique", "INTEGER UNIQUE", {}),
    Way("foreign key", "INTEGER REFERENCES kind (id)", {}),
    Way("type", "INTEGER", {}, "text {}", on_sqlite=False),
)


def measure(world: World) -> list[Figure]:
    """Seconds of a push of 20,000 new rows, for each way of being refused."""
    found: list[Figure] = []
    for kind in world.kinds:
        for way in WAYS:
            if kind == "sqlite" and not way.on_sqlite:
                continue
            with _database(world, kind) as (url, program):
                found += _Measured(world, way, kind, url, program).figures()
    return found


class _Measured:
    """A centre whose table refuses some rows, and a device that has them."""

    def __init__(self, world: World, way: Way, kind: str, url: str, program: Any) -> None:
        """`program`: the connection of another program to the centre."""
        self._world, self._way, self._kind, self._url, self._program = world, way, kind, url, program
        self._mark = "?" if kind == "sqlite" else "%s"
        self._rows = [self._row(number) for number in range(1, world.size(20_000, 1_000) + 1)]

    def _row(self, number: int) -> Row:
        bad = self._way.bad.format(number)
        value: Any = number if number % BAD else int(bad) if bad.lstrip("-").isdigit() else bad
        return number, f"some text {number}", value

    def figures(self) -> list[Figure]:
        size, refused = len(self._rows), len(self._rows) // BAD
        self._prepare()
        with syncline.Hub(self._url, tables={"item": syncline.Table(), "kind": syncline.Table()}) as hub:
            hub.init()
            file = self._world.path("refused.db")
            with syncline.clone(hub, str(file)) as replica:
                self._occupy("item")
                with closing(sqlite3.connect(file, timeout=60)) as application, application:
                    application.execute("PRAGMA ignore_check_constraints = ON")  # the device has it too
                    application.executemany("INSERT INTO item VALUES (?, ?, ?)", self._rows)
                with timed(PARTS, self._kind, time.thread_time) as parts:
                    began, used = time.perf_counter(), time.process_time()
                    report = replica.push()
                    seconds, busy = time.perf_counter() - began, time.process_time() - used
        if len(report.rejected) != refused:
            raise RuntimeError(f"{len(report.rejected)} rows were refused, not {refused}")
        bare = self._bare()
        what = f"{size:,} rows, {refused:,} refused by {self._way.name}"
        self._world.say(f"{self._kind}: {what}: {seconds:.2f} s, processor {busy:.2f} s, bare {bare:.2f} s")
        figures = [
            Figure(
                SECTION, self._kind, what, "s", [seconds], [bare], [most(SECONDS)], "bare: a savepoint a row"
            ),
            Figure(SECTION, self._kind, f"{what}: processor time", "s", [busy]),
        ]
        for part, spent in parts.items():
            figures.append(Figure(SECTION, self._kind, f"{what}: - {part}", "s", [spent]))
        return figures

    def _prepare(self) -> None:
        self._program.execute("CREATE TABLE kind (id INTEGER PRIMARY KEY, a TEXT)")
        for table in ("item", "bare_item"):
            self._program.execute(
                f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, a TEXT, v {self._way.column})"
            )
            for statement in self._way.made.get(self._kind, ()):
                self._program.execute(statement.format(table=table))
        kinds = [(number, "kind") for number, _, _ in self._rows]
        self._program.cursor().executemany(f"INSERT INTO kind VALUES ({self._mark}, {self._mark})", kinds)
        self._program.commit()

    def _occupy(self, table: str) -> None:
        """Rows of the centre's own have the values of the bad ones, where these must be unique."""
        if self._way.column.endswith("UNIQUE"):
            first = 10 * len(self._rows)
            taken = [(first + number, value) for number, _, value in self._rows if number % BAD == 0]
            insert = f"INSERT INTO {table} (id, v) VALUES ({self._mark}, {self._mark})"
            self._program.cursor().executemany(insert, taken)
            self._program.commit()

    def _bare(self) -> float:
        """Seconds in which a program writes the same rows, each within a savepoint."""
        self._occupy("bare_item")
        program = self._program.cursor()
        insert = f"INSERT INTO bare_item VALUES ({', '.join([self._mark] * 3)})"
        begun = time.perf_counter()
        program.execute("BEGIN")
        for row in self._rows:
            program.execute("SAVEPOINT one")
            try:
                program.execute(insert, row)
            except self._errors():
                program.execute("ROLLBACK TO one")
            program.execute("RELEASE one")
        program.execute("COMMIT")
        return time.perf_counter() - begun

    def _errors(self) -> type[Exception]:
        if self._kind == "sqlite":
            return sqlite3.Error
        import psycopg

        return psycopg.Error


@contextmanager
def _database(world: World, kind: str) -> Iterator[tuple[str, Any]]:
    """The URL of an empty database of that kind, and a connection to it."""
    if kind == "sqlite":
        file = world.path("refused-centre.db")
        with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
            yield f"sqlite:///{file}", connection
        return
    import psycopg

    url = world.postgres().database()
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        yield url, connection
    world.postgres().drop(url)
