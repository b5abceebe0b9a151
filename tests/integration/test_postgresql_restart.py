"""PostgreSQL ends and comes back: a clear error meanwhile, no gap afterwards (laws L3, L4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncline.errors import DatabaseUnavailable
from syncline.model.scope import UNBOUNDED
from tests.support.postgres import PostgresServer, prepared, start_server


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    if postgres_server.process is None:
        pytest.skip("the server given is not ours to crash")
    server = start_server({"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"})
    yield server
    server.stop()


def test_l4_after_a_crash_everything_committed_is_there_and_positions_go_on(server: PostgresServer) -> None:
    world = prepared(server.database(), "CREATE TABLE t (id int PRIMARY KEY, a int)")
    start = world.now()
    world.run("INSERT INTO t VALUES (1, 1)")
    assert world.push(world.stage("insert", "t", [[2, 2]])) == []
    seen = world.now()
    with pytest.raises(DatabaseUnavailable), world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("insert", "t", [[3, 3]])
        transaction.rows.stage(stage)
        assert transaction.rows.apply([stage], "r1") == []
        server.crash()
    server.start_again()
    assert [row[0] for row in world.rows("t")] == [1, 2]
    assert set(world.since(start)["t"]) == {(1,), (2,)}
    assert world.since(seen) == {}
    world.run("INSERT INTO t VALUES (4, 4)")
    assert set(world.since(seen)["t"]) == {(4,)}
    world.database.close()
