"""Tables whose columns have types of their own, and one log for all of them: what base says of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from syncline.databases.base import Ledger, softly, statements
from syncline.databases.base.compacting import Compaction
from syncline.databases.base.logtable import since
from syncline.databases.base.ordered import Upto
from syncline.databases.base.typedlog import TypedLogTable
from syncline.databases.postgresql.dialect import PostgresDialect, PostgresLedgerSession
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import Session
from syncline.hub.contract import Former
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.conforms.centre import World
from tests.support.postgres import Make

TABLES: Mapping[str, tuple[str, list[Value]]] = {
    "number": ("bigint", [2**62 + 1]),
    "named": ("text", ["é 'x'"]),
    "marked": ("uuid", ["00000000-0000-4000-8000-0000000000ff"]),
    "raw": ("bytea", [b"\x00\xff"]),
    "dated": ("timestamptz", ["2024-02-29T01:02:03.5Z"]),
    "exact": ("numeric(9, 3)", ["1.500"]),
    "ratio": ("double precision", [0.1]),
}
LOG = (
    "CREATE SCHEMA one",
    "CREATE TABLE one.state (floor bigint, floor_hlc bigint, lost bigint, compacted bigint)",
    "INSERT INTO one.state VALUES (0, 0, 0, 0)",
    "CREATE TABLE one.mark (seq bigint, mark bigint)",
    "CREATE TABLE one.log (seq bigserial PRIMARY KEY, tbl bigint, op text, hlc bigint, origin text, old json,"
    " nonce bigint NOT NULL DEFAULT 7, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), k0 text, k1 text,"
    " mask bigint)",
)


class OneLogShape(Shape):
    """A table of PostgreSQL's whose entries are in the log of all, with keys as texts."""

    @property
    def log(self) -> str:
        return "one.log"

    def is_own(self, entry: str) -> str:
        return f"{entry}.xid = pg_current_xact_id() AND {entry}.tbl = {self.n}"

    def into_log(self, place: int, value: str) -> str:
        return f"({value})::text"

    def from_log(self, place: int, logged: str) -> str:
        return f"({logged})::{self.keys[place].central}"


class OneLogDialect(PostgresDialect):
    def table(self, name: str) -> str:
        return f"one.{name}"


class OneLogSession(PostgresLedgerSession):
    dialect = OneLogDialect()


class OneLog(TypedLogTable[OneLogShape]):
    """It keeps old values as PostgreSQL's own logs do."""

    unreadable = psycopg.DataError

    @property
    def verbs(self) -> Session:
        session: Any = self._session
        return session

    def compaction(self, keys: Sequence[str], words: Sequence[str]) -> Compaction:
        raise AssertionError("nothing is compacted here")


@pytest.fixture
def world(make: Make) -> World:
    tables = (f"CREATE TABLE {name} (id {type_} PRIMARY KEY, v text)" for name, (type_, _) in TABLES.items())
    pair = "CREATE TABLE pair (a uuid, b integer, v text, PRIMARY KEY (a, b))"
    world = make(*tables, pair)
    world.run(*LOG)
    return world


@contextmanager
def opened(world: World) -> Iterator[tuple[Session, Mapping[int, OneLogShape], OneLog]]:
    """A transaction of the hub's, and the log that all tables have in it."""
    shapes = {table.number: OneLogShape(table) for table in world.schema.tables}
    with world.database.write(UNBOUNDED) as transaction:
        ledger: Any = transaction.ledger
        session = OneLogSession(ledger.session.connection)
        yield session, shapes, OneLog(Ledger(session), shapes, (2, 1))


def staged(session: Session, shape: OneLogShape, keys: Sequence[Sequence[Value]], op: str) -> None:
    """Entries of rows that are given, as a push writes them."""
    given = {"tbl": str(shape.n), "op": f"'{op}'", "origin": "'r1'", "hlc": "1", "mask": "1"}
    source = statements.over(
        statements.entries(shape, shape.log, given, statements.SOURCE, old=False), shape.given
    )
    session.count(source, *shape.arrays([tuple(key) for key in keys]))


def test_l8_keys_of_every_type_are_read_from_a_log_of_texts_as_from_their_tables(world: World) -> None:
    key: list[Value] = ["00000000-0000-4000-8000-0000000000aa", 7]
    keys = {name: key for name, (_, key) in TABLES.items()} | {"pair": key}
    for name, one in keys.items():
        assert world.push(world.stage("insert", name, [[*one, "x"]])) == []
    with opened(world) as (session, shapes, log):
        for name, one in keys.items():
            staged(session, shapes[world.number(name)], [one], "I")
        page = log.entries(Upto(0), "r2", 100)
        touched = {world.schema.by_number[n].name: rows for n, rows in page.touched.items()}
        assert log.entries(Upto(0), "r1", 100).touched == {}
    assert {name: [list(key) for key, _ in rows] for name, rows in touched.items()} == {
        name: [row[:-1] for row in world.rows(name)] for name in keys
    }


def test_l4_pages_of_such_a_log_lose_nothing(world: World) -> None:
    numbers: list[list[Value]] = [[n] for n in range(10)]
    with opened(world) as (session, shapes, log):
        staged(session, shapes[world.number("number")], numbers, "U")
        staged(session, shapes[world.number("dated")], [TABLES["dated"][1]], "U")
        found, after, more = [], Upto(0), True
        while more:
            page = log.entries(after, "", 3)
            after, more = page.end, page.more  # type: ignore[assignment]
            found += [key for rows in page.touched.values() for key, _ in rows]
    assert len(found) == 11
    assert set(found) == {(n,) for n in range(10)} | {tuple(TABLES["dated"][1])}


def test_rivals_are_found_in_such_a_log_by_the_key_to_the_letter(world: World) -> None:
    with opened(world) as (session, shapes, _):
        for name, (_, key) in TABLES.items():
            shape = shapes[world.number(name)]
            staged(session, shape, [key], "U")
            query = (
                since(shape, shape.log, shape.given)
                .replace("l.seq > ?", "l.seq > 0")
                .replace("?", str(shape.n))
            )
            rows = session.run(query, *shape.arrays([tuple(key)]))
            assert [(row[0], row[2], row[4]) for row in rows] == [(1, "U", "r1")], name


def test_what_rows_were_like_is_told_by_such_a_log(world: World) -> None:
    """Of the oldest entry; a value that the present type cannot read is not known."""
    with opened(world) as (session, shapes, log):
        for name, (_, key) in TABLES.items():
            shape = shapes[world.number(name)]
            (v,) = shape.table.values
            shape.before = (v,)
            staged(session, shape, [key], "U")
            session.count(
                f"UPDATE one.log SET old = json_build_object('{v}', 'before') WHERE tbl = {shape.n}"
            )
            staged(session, shape, [key], "D")
            found = log.former(Upto(0), shape.n, [tuple(key)])
            assert found == {tuple(key): Former(existed=True, values={v: "before"})}, name
            assert log.former(log.now(), shape.n, [tuple(key)]) == {}
    world.run("CREATE TABLE later (id bigint PRIMARY KEY, day date)")
    world.renew(new=["later"])
    with opened(world) as (session, shapes, log):
        shape = shapes[world.number("later")]
        (day,) = shape.table.values
        shape.before = (day,)
        for key, old in ((1, "2026-01-31"), (2, "no day")):
            staged(session, shape, [[key]], "U")
            session.count(
                f"UPDATE one.log SET old = json_build_object('{day}', '{old}') WHERE tbl = {shape.n}"
                f" AND k0 = '{key}'"
            )
        found = log.former(Upto(0), shape.n, [(1,), (2,)])
        assert found[1,].values == {day: "2026-01-31"}
        assert found[2,].values != {day: "no day"}


def test_a_delete_that_became_an_update_takes_no_entry_of_another_table(world: World) -> None:
    """Rows of two tables have the same key; the delete of one of them became an update."""
    world.run("CREATE TABLE other (id bigint PRIMARY KEY, v text)")
    world.renew(new=["other"])
    keys: list[list[Value]] = [[1], [2]]
    for name in ("number", "other"):
        world.push(world.stage("insert", name, [[*key, "x"] for key in keys]))
    with opened(world) as (session, shapes, _):
        soft, hard = (shapes[world.number(name)] for name in ("number", "other"))
        for shape in (soft, hard):
            staged(session, shape, keys, "D")
        session.count(
            f"INSERT INTO one.log (tbl, op, hlc, origin, k0, mask) VALUES ({soft.n}, 'U', 2, 'hub', '1', 1)"
        )
        for shape in (soft, hard):
            session.count(statements.over(softly.unlog(shape), shape.given), *shape.arrays([(1,), (2,)]))
        left = session.run("SELECT tbl, op, k0 FROM one.log ORDER BY seq")
    assert [tuple(row) for row in left] == [
        (soft.n, "D", "2"), (hard.n, "D", "1"), (hard.n, "D", "2"), (soft.n, "U", "1")
    ]  # fmt: skip
