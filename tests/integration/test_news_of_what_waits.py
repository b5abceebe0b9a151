"""A table that a program made anew waits while others write to it: when it takes part again, the hub's log
says what they did since, and the rest was done here (L2, L5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.errors import TransportError
from tests.integration.test_altered_on_both_sides import CHANGES, World, copy
from tests.integration.test_restored_schema import Device, PostgresCentre, SqliteCentre

MANY = "INSERT INTO item VALUES (4, 4, 'd'), (5, 5, 'e'), (6, 6, 'f'), (7, 7, 'g'), (8, 8, 'h')"
KEY = "CREATE UNIQUE INDEX item_id ON item (id)"


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "sqlite":
        made = World(tmp_path, SqliteCentre(tmp_path))
    else:
        made = World(tmp_path, PostgresCentre(request.getfixturevalue("postgres_database")))
    made.centre.run(MANY)
    yield made
    made.hub.close()


def without_key(a: Device) -> None:
    a.app.executescript(
        "BEGIN; CREATE TABLE made AS SELECT * FROM item; DROP TABLE item;"
        " ALTER TABLE made RENAME TO item; COMMIT"
    )


def written(a: Device, qty: str = "qty") -> None:
    """What its application does while nothing is captured."""
    a.run(f"UPDATE item SET {qty} = 40, note = 'mine' WHERE id = 4", "DELETE FROM item WHERE id = 7")
    a.run("INSERT INTO item VALUES (50, 50, 'new')")


def test_l2_a_migration_on_both_sides_keeps_edits_though_others_have_written(world: World) -> None:
    a = world.device("a.db")
    copy(a, CHANGES["renamed column"])
    written(a, "amount")
    world.centre.run("UPDATE item SET note = 'theirs' WHERE id = 2")
    world.alter(CHANGES["renamed column"].centre)
    (found,) = a.sync().regained
    assert (found.inserted, found.updated, found.deleted, found.returned) == (1, 1, 1, 0)
    a.sync()
    there = {row[0]: row[1:] for row in world.rows("item")}
    assert there[4] == (40, "mine") and 7 not in there and there[50] == (50, "new")
    assert there[2] == (2, "theirs")
    assert a.rows("item", "*") == world.rows("item") and a.replica.verify().equal


def test_l2_a_table_that_gets_its_key_back_keeps_edits_though_others_have_written(world: World) -> None:
    a = world.device("a.db")
    without_key(a)
    written(a)
    assert [one.code for one in a.sync().unable] == ["key_missing"]
    world.centre.run("UPDATE item SET note = 'theirs' WHERE id IN (2, 5)")
    world.centre.run("DELETE FROM item WHERE id = 3")
    a.sync()
    a.run("UPDATE item SET note = 'mine' WHERE id = 5", KEY)
    (found,) = a.sync().regained
    assert (found.inserted, found.updated, found.deleted, found.returned) == (1, 1, 1, 0)
    a.sync()
    there = {row[0]: row[1:] for row in world.rows("item")}
    assert there[4] == (40, "mine") and there[50] == (50, "new") and not {3, 7} & there.keys()
    assert there[2] == (2, "theirs") and there[5] == (5, "theirs")
    kept = {(*note.key,): note.sent for note in a.replica.conflicts()}
    assert kept[5,] == [5, "mine"]
    assert a.rows("item", "*") == world.rows("item") and a.replica.verify().equal


def test_l2_where_the_log_tells_it_no_more_what_differs_is_kept(world: World) -> None:
    a = world.device("a.db")
    without_key(a)
    written(a)
    a.sync()
    world.centre.run("UPDATE item SET note = 'theirs' WHERE id = 2")
    a.sync()
    a.run(KEY, "UPDATE _sync_lost SET since = 'of a log that is no more'")
    (found,) = a.sync().regained
    assert (found.inserted, found.updated, found.deleted, found.returned) == (1, 0, 0, 1)
    a.sync()
    assert {(*note.key,) for note in a.replica.conflicts()} == {(2,), (4,)}
    assert a.rows("item", "*") == world.rows("item") and a.replica.verify().equal


def test_l6_an_edit_that_was_overruled_while_its_table_waited_is_not_made_again(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    a.run("UPDATE item SET note = 'older' WHERE id = 1")
    (number,) = a.app.execute("SELECT n FROM _sync_table WHERE name = 'item'").fetchone()
    a.run(f"UPDATE _sync_log_{number} SET at = at - 0.01")  # days
    b.run("UPDATE item SET note = 'newer' WHERE id = 1")
    b.sync()
    a.replica.pull()
    a.line.loses = "answer"
    with pytest.raises(TransportError):
        a.sync()
    a.line.loses = ""
    without_key(a)
    a.sync()
    world.centre.run("UPDATE item SET note = 'theirs' WHERE id = 2")
    a.sync()
    a.run(KEY)
    a.sync()
    a.sync()
    assert world.rows("item")[0] == (1, 1, "newer")
    assert a.rows("item", "*") == world.rows("item") and a.replica.verify().equal
