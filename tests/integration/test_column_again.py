"""The centre drops a column and adds another one of the same name: what was written into the first never gets
into the second, on no way (L2, L8, L12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import syncline
from tests.integration.test_altered_on_both_sides import World
from tests.integration.test_restored_schema import Device, PostgresCentre

AGAIN = "ALTER TABLE item DROP COLUMN note; ALTER TABLE item ADD COLUMN note TEXT"
NEW = "UPDATE item SET note = 'new meaning'"


@pytest.fixture
def world(postgres_database: Callable[[], str], tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, PostgresCentre(postgres_database))
    yield made
    made.hub.close()


def made_anew(a: Device, columns: str, name: str = "item") -> None:
    """The table as a tool makes it that copies rows and no key."""
    a.app.executescript(
        f"BEGIN; CREATE TABLE made AS SELECT {columns} FROM item; DROP TABLE item;"
        f" ALTER TABLE made RENAME TO {name}; COMMIT"
    )


@pytest.mark.parametrize("known", [False, True])
def test_l2_a_table_that_waits_keeps_both_apart_and_can_be_upgraded(world: World, known: bool) -> None:
    a = world.device("a.db")
    a.run(
        "UPDATE item SET note = 'old meaning' WHERE id = 1", "INSERT INTO item VALUES (9, 9, 'old meaning')"
    )
    made_anew(a, "*")
    a.run("UPDATE item SET note = 'old meaning' WHERE id = 2")
    if known:
        a.sync()
    world.alter(f"{AGAIN}; {NEW}")
    assert [one.code for one in a.sync().unable] == ["key_missing"]
    a.run("CREATE UNIQUE INDEX item_id ON item (id)")
    assert a.sync().unable == ()
    a.sync()
    assert world.rows("item") == [
        (1, 1, "new meaning"),
        (2, 2, "new meaning"),
        (3, 3, "new meaning"),
        (9, 9, None),
    ]
    assert ("item", (1,), "column_dropped") in [(e.table, e.key, e.code) for e in a.replica.rejected()]
    a.replica.upgrade()
    assert a.rows("item", "*") == world.rows("item")
    assert a.replica.verify().equal
    a.run("UPDATE item SET note = 'later' WHERE id = 2")
    a.sync()
    assert world.rows("item")[1] == (2, 2, "later")


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_l12_a_hub_whose_schema_was_looked_up_by_two_threads_answers_by_the_newer_one(
    world: World, verb: str
) -> None:
    a = world.device("a.db")
    a.run("INSERT INTO item VALUES (9, 9, 'mine')")
    with syncline.Hub(world.centre.url) as other:
        world.centre.run(f"{AGAIN}; {NEW}")
        other.init()
    catalogue = world.hub._central.database.catalogue
    catalogue.load()  # type: ignore[attr-defined]
    a.replica.push() if verb == "push" else a.replica.pull()
    a.sync()
    assert a.replica.verify().equal
    assert world.rows("item")[3] == (9, 9, None)


def taken(world: World) -> Device:
    """A device with a new row whose key another row has in the centre."""
    a = world.device("a.db")
    world.centre.run("INSERT INTO item VALUES (7, 7, 'of the centre')")
    a.run("INSERT INTO item VALUES (7, 70, 'old meaning')")
    return a


def test_l8_a_row_that_is_anothers_shows_nothing_of_a_column_that_was_dropped_since(world: World) -> None:
    a = taken(world)
    world.alter("ALTER TABLE item DROP COLUMN note")
    a.sync()
    assert a.rows("item", "id, qty, note")[3] == (7, 7, None)
    (kept,) = a.replica.rejected()
    assert (kept.code, kept.values) == ("key_taken", {"qty": 70, "note": "old meaning"})


def test_l8_a_retry_writes_nothing_into_a_column_that_has_a_dropped_ones_name(world: World) -> None:
    a = taken(world)
    world.alter("ALTER TABLE item DROP COLUMN note")
    a.replica.pull()
    a.sync()
    (number,) = (edit.id for edit in a.replica.rejected() if edit.code == "key_taken")
    world.alter(f"ALTER TABLE item ADD COLUMN note TEXT; {NEW}")
    a.sync()
    a.replica.upgrade()
    a.replica.retry(number, new_key=True)
    a.sync()
    assert world.rows("item")[3:] == [(7, 7, "new meaning"), (8, 70, None)]
    assert a.rows("item", "*") == world.rows("item")
    assert a.replica.verify().equal


def test_l2_a_retry_brings_back_what_a_dropped_column_held_where_the_file_has_it_still(world: World) -> None:
    a = taken(world)
    world.alter("ALTER TABLE item DROP COLUMN note")
    a.replica.pull()
    a.sync()
    (number,) = (edit.id for edit in a.replica.rejected() if edit.code == "key_taken")
    world.alter(f"ALTER TABLE item ADD COLUMN note TEXT; {NEW}")
    a.sync()
    a.replica.retry(number, new_key=True)
    a.sync()
    assert a.rows("item", "id, qty, note, note_2")[3:] == [
        (7, 7, None, "new meaning"),
        (8, 70, "old meaning", None),
    ]


def with_both(world: World) -> Device:
    """A device that has the dropped column and, under another name, the one that was added again."""
    a = world.device("a.db")
    world.alter(f"{AGAIN}; {NEW} WHERE id < 3")
    a.sync()
    assert a.rows("item", "id, note_2") == [(1, "new meaning"), (2, "new meaning"), (3, None)]
    return a


COPIED = (
    "BEGIN; CREATE TABLE made (id INTEGER PRIMARY KEY, qty INTEGER, note TEXT); {}; DROP TABLE item;"
    " ALTER TABLE made RENAME TO item; COMMIT"
)
"""The same migration by a tool that copies the table: one column of the name, the new one."""


def test_l2_the_same_migration_on_a_device_that_has_followed_already_is_one(world: World) -> None:
    a = with_both(world)
    a.run("UPDATE item SET note_2 = 'mine' WHERE id = 3")
    a.sync()
    a.app.executescript(COPIED.format("INSERT INTO made (id, qty) SELECT id, qty FROM item"))
    assert a.sync().unable == ()
    assert a.rows("item", "*") == [(1, 1, "new meaning"), (2, 2, "new meaning"), (3, 3, "mine")]
    assert a.replica.conflicts() == [] and a.replica.rejected() == []
    a.run("UPDATE item SET note = 'written later' WHERE id = 1", "INSERT INTO item VALUES (9, 9, 'new')")
    assert a.sync().push.sent == 2
    assert world.rows("item")[0][2] == "written later" and world.rows("item")[-1] == (9, 9, "new")
    assert not any(a.replica.upgrade().as_dict().values()) and a.replica.verify().equal


def test_l2_what_stands_in_the_column_of_that_name_then_is_kept_and_not_sent(world: World) -> None:
    """It may be of the dropped column, or written since: nobody can tell."""
    a = with_both(world)
    before = world.rows("item")
    a.app.executescript(COPIED.format("INSERT INTO made SELECT id, qty, 'doubtful ' || id FROM item"))
    report = a.sync()
    assert report.unable == () and report.push.sent == 0 and report.regained[0].kept == 3
    assert a.rows("item", "*") == before == world.rows("item")
    kept = sorted((one.key, one.sent[-1]) for one in a.replica.conflicts())
    assert kept == [([number], f"doubtful {number}") for number in (1, 2, 3)]
    assert a.replica.verify().equal


def test_l2_an_edit_of_a_column_that_went_so_is_named_and_a_later_one_sent(world: World) -> None:
    a = with_both(world)
    a.run("UPDATE item SET note_2 = 'lost' WHERE id = 1")
    a.app.executescript(COPIED.format("INSERT INTO made (id, qty) SELECT id, qty FROM item"))
    a.replica._ready()  # as any verb does
    assert a.rows("item", "id, note") == [(1, None), (2, None), (3, None)]
    a.run("UPDATE item SET note = 'later' WHERE id = 2")
    a.sync()
    assert [row[2] for row in world.rows("item")] == ["new meaning", "later", None]
    assert [(one.code, one.key) for one in a.replica.rejected()] == [("value_lost", (1,))]
    assert a.replica.verify().equal
