"""Names of the centre, when the application wants them; and what the application alters itself (L2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.errors import UsageError
from syncline.model.schema import ColumnSchema, Schema, TableSchema
from syncline.replica.pending import pending_edits
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.replica.upgrade import rename
from tests.support.changing import Changing
from tests.support.device import schema_of

__all__ = ["schema_of"]  # these tests run under every numbering


class World(Changing):
    """With an open replica."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.replica = Replica(self.store, lambda: self.peer)

    def names(self, table: str) -> list[str]:
        return [row[1] for row in self.app.execute(f'PRAGMA table_info("{table}")')]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "device.db")
    yield world
    world.close()


def rename_much(world: World) -> None:
    """A table and its columns trade names in the centre, one column is dropped."""
    world.alter(
        "ALTER TABLE thing RENAME COLUMN note TO x; ALTER TABLE thing RENAME COLUMN title TO note;"
        "ALTER TABLE thing RENAME COLUMN x TO title; ALTER TABLE thing RENAME TO item;"
        "ALTER TABLE owner DROP COLUMN name; ALTER TABLE owner RENAME COLUMN id TO code",
        {"item": {"title": "note", "note": "title"}, "owner": {"code": "id"}},
        item="thing",
    )


def test_l2_an_upgrade_takes_on_the_names_of_the_centre_and_keeps_edits(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    rename_much(world)
    world.pull()
    planned = world.replica.preview_upgrade()
    assert world.names("thing") == ["id", "owner", "title", "note"]
    report = world.replica.upgrade()
    assert report == planned
    assert (report.tables, report.dropped) == ({"thing": "item"}, {"owner": ("name",)})
    assert report.columns == {"thing": {"title": "note", "note": "title"}, "owner": {"id": "code"}}
    assert world.names("item") == ["id", "owner", "note", "title"]
    assert world.names("owner") == ["code", "score"]
    assert world.all("item")[0] == {"id": 1, "owner": "a", "note": "one", "title": "mine"}
    world.app.execute("UPDATE item SET note = 'eins' WHERE id = 1")
    world.app.execute("UPDATE owner SET score = 11 WHERE code = 'a'")
    assert [(entry.table, entry.old) for entry in world.replica.log()] == [
        ("owner", {"score": 10}), ("item", {"title": "n1"}), ("item", {"note": "one"}),
    ]  # fmt: skip
    assert world.replica.upgrade().as_dict() == {"tables": {}, "columns": {}, "dropped": {}, "indexes": [],
                                                 "foreign_keys": [], "left": {}}  # fmt: skip
    assert world.app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    world.replica.sync()
    assert pending_edits(world.device) == {}


def test_a_name_that_is_taken_is_said_and_nothing_is_changed(world: World) -> None:
    world.alter("ALTER TABLE thing RENAME COLUMN note TO remark", {"thing": {"remark": "note"}})
    world.sync()
    world.app.execute("ALTER TABLE thing ADD COLUMN Remark TEXT")
    with pytest.raises(UsageError) as caught:
        world.replica.upgrade()
    assert caught.value.code == "name_taken"
    assert world.names("thing") == ["id", "owner", "title", "note", "Remark"]
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    assert world.replica.status().pending == {"thing": 1}


def test_a_view_in_the_way_is_said_and_nothing_is_changed(world: World) -> None:
    world.alter("ALTER TABLE thing DROP COLUMN note; ALTER TABLE owner RENAME TO person", person="owner")
    world.sync()
    world.app.execute("CREATE VIEW noted AS SELECT id, note FROM thing")
    with pytest.raises(UsageError) as caught:
        world.replica.upgrade()
    assert caught.value.code == "upgrade_refused" and "noted" in caught.value.detail
    assert "note" in world.names("thing") and set(world.replica.status().tables) == {"owner", "thing"}
    world.app.execute("DROP VIEW noted")
    world.replica.upgrade()
    assert "note" not in world.names("thing") and "name" in world.names("person")


def test_a_dropped_column_is_kept_where_its_table_calls_it_unique(world: World) -> None:
    world.alter("ALTER TABLE owner DROP COLUMN name")
    world.sync()
    world.app.execute("CREATE UNIQUE INDEX own ON owner (name)")
    with pytest.raises(UsageError):
        world.replica.upgrade()
    world.app.execute("DROP INDEX own")
    world.replica.upgrade()
    assert world.names("owner") == ["id", "score"]


def test_l2_what_the_application_renames_goes_on_being_captured_and_synced(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'before' WHERE id = 1")
    world.app.execute("ALTER TABLE thing RENAME COLUMN note TO title_2")
    world.app.execute("ALTER TABLE thing RENAME TO item")
    world.app.execute("ALTER TABLE owner RENAME COLUMN id TO code")
    world.app.execute("UPDATE item SET title_2 = 'after' WHERE id = 2")
    assert [(entry.table, entry.old) for entry in world.replica.log()] == [
        ("item", {"title_2": "n1"}), ("item", {"title_2": "n2"}),
    ]  # fmt: skip
    world.replica.sync()
    world.write("UPDATE thing SET note = 'theirs' WHERE id = 3", "thing")
    world.replica.pull()
    assert world.all("item")[2]["title_2"] == "theirs"
    assert set(world.replica.status().tables) == {"item", "owner"}
    assert world.replica.upgrade().tables == {"item": "thing"}
    assert world.names("thing") == ["id", "owner", "title", "note"]


def test_what_the_application_adds_is_its_own(world: World) -> None:
    world.app.execute("ALTER TABLE thing ADD COLUMN mine TEXT")
    world.app.execute("UPDATE thing SET mine = 'x', title = 'uno' WHERE id = 1")
    assert [entry.old for entry in world.replica.log()] == [{"title": "one"}]
    world.replica.sync()
    assert world.all("thing")[0]["mine"] == "x"


def test_a_column_may_take_the_name_that_another_one_gives_up() -> None:
    def schema(*names: str) -> Schema:
        columns = tuple(ColumnSchema(name, "any", "TEXT", number=n) for n, name in enumerate(names))
        return Schema((TableSchema("t", columns, names[:1], number=0),))

    store = Store.open_private(":memory:")
    store.execute("CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT, c TEXT)")
    with store.transaction():
        rename(store, schema("a", "b", "c"), schema("b", "b_2", "a"), [0])
    assert [name for _, name, *_ in store.rows("PRAGMA table_info(t)")] == ["b", "b_2", "a"]
    store.close()
