"""What is written to a table whose key was altered, with what its transactions wrote to others (L4, L5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from syncline.errors import SynclineError
from tests.integration.test_postgresql_dropped import World
from tests.integration.test_restored_schema import PostgresCentre

DDL = """
CREATE TABLE place (id int PRIMARY KEY, v int);
CREATE TABLE visit (id int PRIMARY KEY, place int NOT NULL REFERENCES place, v int);
CREATE TABLE word (id varchar(3) PRIMARY KEY, v int);
INSERT INTO place VALUES (1, 0); INSERT INTO visit VALUES (1, 1, 0); INSERT INTO word VALUES ('a', 0);
"""

ALTERED = {
    "renamed": ("ALTER TABLE place RENAME id TO place_id", "ALTER TABLE word RENAME id TO word_id"),
    "wider": ("ALTER TABLE place ALTER id TYPE bigint", "ALTER TABLE word ALTER id TYPE text"),
}


@pytest.fixture
def centre(postgres_database: Callable[[], str]) -> PostgresCentre:
    return PostgresCentre(postgres_database)


@pytest.fixture
def world(tmp_path: Path, centre: PostgresCentre) -> Iterator[World]:
    made = World(tmp_path, centre, DDL)
    yield made
    for hub in made.servers.hubs:
        hub.close()


@pytest.mark.parametrize("what", ALTERED)
def test_l5_a_transaction_that_writes_a_table_with_an_altered_key_arrives_whole(
    world: World, what: str
) -> None:
    device = world.device("a.db")
    device.sync()
    world.directly(*ALTERED[what])
    for v in (1, 2):
        world.directly(
            f"BEGIN; UPDATE place SET v = {v}; UPDATE visit SET v = {v}; UPDATE word SET v = {v};"
            f" INSERT INTO place VALUES ({v + 1}, {v});"
            f" INSERT INTO visit VALUES ({v + 1}, {v + 1}, {v}); COMMIT"
        )
        device.sync()
        assert device.rows("place", "v") == [(v,)] * (v + 1)
        assert device.rows("visit", "v") == [(v,)] * (v + 1)
        assert device.rows("word", "v") == [(v,)]
    world.directly("BEGIN; TRUNCATE visit, place; UPDATE word SET v = 9; COMMIT")
    device.sync()
    assert (device.rows("place", "*"), device.rows("visit", "*")) == ([], [])
    assert device.rows("word", "v") == [(9,)]
    assert device.replica.verify().equal


def test_l5_while_somebody_keeps_the_table_the_rest_of_it_is_not_told(world: World) -> None:
    """Who has written to it since keeps the hub from preparing it: nobody is shown the half meanwhile."""
    device = world.device("a.db")
    device.sync()
    world.directly(ALTERED["renamed"][0], "BEGIN; UPDATE place SET v = 1; UPDATE visit SET v = 1; COMMIT")
    with psycopg.connect(world.centre.url) as other:
        other.execute("INSERT INTO place VALUES (7, 7)")
        with pytest.raises(SynclineError) as held:
            device.sync()
        assert held.value.retry and "place" in held.value.detail
        assert device.rows("visit", "v") == [(0,)]
    device.sync()
    assert device.rows("place", "v") == [(1,), (7,)] and device.rows("visit", "v") == [(1,)]
    assert device.replica.verify().equal


def test_l5_a_push_is_done_once_though_the_pull_with_it_has_to_look(world: World) -> None:
    device, other = world.device("a.db"), world.device("b.db")
    for one in (device, other):
        one.sync()
    world.directly(ALTERED["renamed"][0], "BEGIN; UPDATE place SET v = 5; UPDATE word SET v = 5; COMMIT")
    device.run("INSERT INTO visit VALUES (20, 1, 8)")
    report = device.sync()
    assert report.push is not None and (report.push.sent, report.push.rejected) == (1, ())
    other.sync()
    for one in (device, other):
        assert one.rows("place", "v") == one.rows("word", "v") == [(5,)]
        assert one.rows("visit", "id") == [(1,), (20,)]
