"""What devices write to columns that a PostgreSQL centre computes, or did until now (L2, L5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_postgresql_dropped import World
from tests.integration.test_restored_schema import Device, PostgresCentre

DDL = """
CREATE TABLE item (
    id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED,
    ticket int GENERATED ALWAYS AS IDENTITY, word text
);
INSERT INTO item (id, a) VALUES (1, 1), (2, 2), (3, 3);
"""


@pytest.fixture
def centre(postgres_database: Callable[[], str]) -> PostgresCentre:
    return PostgresCentre(postgres_database)


@pytest.fixture
def world(tmp_path: Path, centre: PostgresCentre) -> Iterator[World]:
    made = World(tmp_path, centre, DDL)
    yield made
    for hub in made.servers.hubs:
        hub.close()


def agree(world: World, *devices: Device) -> None:
    world.agree(*devices, item="*")
    for device in devices:
        assert device.replica.verify().equal
        assert not device.replica.status().pending and not device.replica.rejected()


@pytest.mark.parametrize(
    "edits",
    [
        ["UPDATE item SET twice = 88 WHERE id = 2"],
        ["UPDATE item SET ticket = NULL"],
        ["UPDATE item SET twice = 88, word = 'mine' WHERE id = 2"],
        ["UPDATE item SET twice = 88, a = 5 WHERE id = 2", "UPDATE item SET ticket = 7 WHERE id = 2"],
        ["UPDATE item SET twice = 88 WHERE id = 2", "UPDATE item SET word = 'mine' WHERE id <> 3"],
        [
            "INSERT INTO item (id, a, twice, ticket) VALUES (9, 9, 1, 1)",
            "UPDATE item SET twice = 2 WHERE id = 9",
        ],
        ["UPDATE item SET twice = 88 WHERE id = 2", "DELETE FROM item WHERE id = 2"],
        ["UPDATE item SET twice = 88 WHERE id = 2", "UPDATE item SET id = 20 WHERE id = 2"],
        ["REPLACE INTO item (id, a, twice, word) VALUES (2, 4, 1, 'new')"],
    ],
)
@pytest.mark.parametrize("meanwhile", ["", "UPDATE item SET a = 50, word = 'theirs'", "DELETE FROM item"])
def test_l5_what_is_written_to_a_computed_column_comes_back_as_it_is_computed(
    world: World, edits: list[str], meanwhile: str
) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    a.run(*edits)
    if meanwhile:
        world.directly(meanwhile)
        a.replica.pull()
    for device in (a, b, a):
        device.sync()
    agree(world, a, b)
    assert a.sync().push is None or a.sync().push.sent == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("looks", [True, False])
def test_l2_what_is_written_to_a_column_that_is_computed_no_longer_is_sent(world: World, looks: bool) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    a.run("UPDATE item SET twice = 77 WHERE id = 1")
    world.directly(
        "ALTER TABLE item ALTER twice DROP EXPRESSION, ALTER ticket DROP IDENTITY, ALTER ticket DROP NOT NULL"
    )
    if looks:
        world.look_now()
    a.run(
        "UPDATE item SET twice = 88, ticket = 99 WHERE id = 2",
        "INSERT INTO item (id, a, word) VALUES (9, 9, 'new')",
    )
    for device in (a, b, a):
        device.sync()
    agree(world, a, b)
    assert world.rows("SELECT id, twice, ticket FROM item ORDER BY id") == [
        (1, 77, 1), (2, 88, 99), (3, 6, 3), (9, None, None),
    ]  # fmt: skip


def test_l2_what_was_written_to_a_column_that_is_computed_from_now_on_is_kept(world: World) -> None:
    a = world.device("a.db")
    a.run("UPDATE item SET word = 'mine', twice = 3 WHERE id = 1")
    world.directly("ALTER TABLE item DROP word, ADD word text GENERATED ALWAYS AS ('x' || a) STORED")
    world.look_now()
    a.sync()
    assert [(one.code, one.values) for one in a.replica.rejected()] == [("column_dropped", {"word": "mine"})]
    assert world.rows("SELECT twice FROM item WHERE id = 1") == [(2,)]
    assert a.rows("item", "twice")[0] == (2,)
