"""Law L4: a table that a logical replication fills is captured, once `init` knows of the subscription."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from syncline.testing.conforms.centre import World
from tests.support.postgres import PostgresServer, prepared, start_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    try:
        server = start_server({"wal_level": "logical"})
    except RuntimeError as error:
        pytest.skip(f"NOT TESTED: {error}")
    yield server
    server.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the replication did not arrive"


def changed(world: World, source: psycopg.Connection[tuple[object, ...]], statement: str) -> set[object]:
    """The keys in the log of the subscriber after a statement at the publisher has been applied."""
    start = world.now()
    source.execute(statement.encode())
    ((lsn,),) = source.execute("SELECT pg_current_wal_insert_lsn()").fetchall()
    wait_for(
        lambda: source.execute(
            "SELECT confirmed_flush_lsn >= %s::text::pg_lsn FROM pg_replication_slots", [lsn]
        ).fetchone() == (True,)
    )  # fmt: skip
    return {key for rows in world.since(start).values() for key in rows}


def test_l4_what_a_subscription_applies_is_captured(server: PostgresServer) -> None:
    publisher, subscriber = server.database(), server.database()
    table = "CREATE TABLE t (id int PRIMARY KEY, a text)"
    world = prepared(subscriber, table)
    with psycopg.connect(publisher, autocommit=True) as source, psycopg.connect(
        subscriber, autocommit=True
    ) as target:  # fmt: skip
        source.execute(table.encode())
        source.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        source.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        target.execute(
            f"CREATE SUBSCRIPTION s CONNECTION '{publisher}' PUBLICATION everything"
            " WITH (create_slot = false, slot_name = 's', copy_data = false)".encode()
        )
        found = world.database.catalogue.examine(world.schema)
        assert {"subscription", "not_current"} <= {finding.code for finding in found}
        world.database.catalogue.prepare(world.schema)
        world.database.catalogue.load()
        assert changed(world, source, "INSERT INTO t VALUES (1, 'x'), (2, 'y')") == {(1,), (2,)}
        assert changed(world, source, "UPDATE t SET a = 'z' WHERE id = 1") == {(1,)}
        assert changed(world, source, "DELETE FROM t WHERE id = 2") == {(2,)}
        assert changed(world, source, "TRUNCATE t") == {(1,)}
        target.execute("DROP SUBSCRIPTION s")
    world.database.close()
