"""A program alters the device's table by copying it, as the centre alters its own: in either order, with or
without a sync in between, the table takes part as the centre has it now, and stops no other (L2, L5, L12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import syncline
from tests.integration.test_restored_schema import Centre, Device, Line, PostgresCentre, Servers, SqliteCentre

DDL = """
CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER, note TEXT);
CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO item VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')
"""
ORDERS = ["centre first", "device first", "centre, sync, device", "device, sync, centre"]


class World:
    def __init__(self, folder: Path, centre: Centre) -> None:
        self.folder, self.centre, self.servers = folder, centre, Servers()
        self.centre.run(DDL)
        self.hub = syncline.Hub(centre.url)
        self.servers.hubs = [self.hub]
        self.hub.init()

    def alter(self, script: str, yes: bool = False) -> None:
        self.centre.run(script)
        self.hub.close()
        self.hub = syncline.Hub(self.centre.url)
        self.servers.hubs = [self.hub]
        self.hub.init(yes=yes)

    def device(self, name: str) -> Device:
        path = self.folder / name
        syncline.clone(self.servers, path).close()  # type: ignore[arg-type]
        return Device(path, Line(self.servers))

    def rows(self, table: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.centre.run(f"SELECT * FROM {table} ORDER BY 1")]


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "sqlite":
        made = World(tmp_path, SqliteCentre(tmp_path))
    else:
        made = World(tmp_path, PostgresCentre(request.getfixturevalue("postgres_database")))
    yield made
    made.hub.close()


@dataclass(frozen=True)
class Change:
    """`copy`: the table as the device's program makes it anew, with its rows; `name`: its name then."""

    centre: str
    copy: Sequence[str]
    name: str = "item"


CHANGES = {
    "renamed column": Change(
        "ALTER TABLE item RENAME COLUMN qty TO amount",
        ["(id INTEGER PRIMARY KEY, amount INTEGER, note TEXT)", "SELECT id, qty, note FROM item"],
    ),
    "added column": Change(
        "ALTER TABLE item ADD COLUMN x TEXT",
        ["(id INTEGER PRIMARY KEY, qty INTEGER, note TEXT, x TEXT)", "SELECT id, qty, note, NULL FROM item"],
    ),
    "renamed table": Change(
        "ALTER TABLE item RENAME TO thing",
        ["(id INTEGER PRIMARY KEY, qty INTEGER, note TEXT)", "SELECT * FROM item"],
        "thing",
    ),
    "dropped column": Change(
        "ALTER TABLE item DROP COLUMN qty",
        ["(id INTEGER PRIMARY KEY, note TEXT)", "SELECT id, note FROM item"],
    ),
}


def copy(device: Device, change: Change) -> None:
    device.app.executescript(
        f"BEGIN; CREATE TABLE made {change.copy[0]}; INSERT INTO made {change.copy[1]}; DROP TABLE item;"
        f" ALTER TABLE made RENAME TO {change.name}; COMMIT"
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("what", CHANGES)
def test_l2_a_table_that_fits_the_centre_as_it_is_now_takes_part(world: World, what: str, order: str) -> None:
    if what == "dropped column" and isinstance(world.centre, SqliteCentre):
        pytest.skip("an SQLite centre refuses to drop a captured column")
    change, a = CHANGES[what], world.device("a.db")
    a.run("UPDATE item SET qty = 10, note = 'mine' WHERE id = 1", "DELETE FROM item WHERE id = 3")
    a.run("INSERT INTO other VALUES (1, 'pending')")
    for step in order.replace(" first", "").split(", "):
        if step == "centre":
            world.alter(change.centre)
            world.centre.run("INSERT INTO other VALUES (50, 'news')")
        elif step == "device":
            copy(a, change)
        else:
            a.sync()
    if order == "centre first":
        copy(a, change)
    elif order == "device first":
        world.alter(change.centre)
        world.centre.run("INSERT INTO other VALUES (50, 'news')")
    done = a.sync()
    assert done.unable == ()
    a.sync()
    assert a.rows("other", "*") == world.rows("other") == [(1, "pending"), (50, "news")]
    a.replica.upgrade()
    kept = {(edit.table, edit.key, edit.code, *edit.base.items()) for edit in a.replica.rejected()}
    if what == "dropped column":
        mine: list[tuple[object, ...]] = [(1, "mine"), (2, "b")]
        sent = order == "device, sync, centre" or "sync" not in order
        assert not sent or kept == {("item", (1,), "column_dropped", ("qty", 1))}
        for edit in a.replica.rejected():  # what it says is so
            assert edit.values == ({} if "the value with it" in edit.remedy else {"qty": 10})
    else:
        mine = [(1, 10, "mine"), (2, 2, "b")]
        assert not kept
    assert [row[: len(mine[0])] for row in world.rows(change.name)] == mine
    names = [row[1] for row in a.app.execute(f"PRAGMA table_info({change.name})")]
    assert a.rows(change.name, "*") == world.rows(change.name) and len(names) == len(
        world.rows(change.name)[0]
    )
    assert a.replica.verify().equal and not a.replica.conflicts()
    a.run(f"UPDATE {change.name} SET note = 'later' WHERE id = 2")
    a.sync()
    assert a.rows(change.name, "*") == world.rows(change.name)


def test_l2_of_columns_that_are_gone_the_values_are_kept_that_the_file_still_has(world: World) -> None:
    if isinstance(world.centre, SqliteCentre):
        pytest.skip("an SQLite centre refuses to drop a captured column")
    a = world.device("a.db")
    a.run("UPDATE item SET qty = 10, note = 'mine' WHERE id = 1", "INSERT INTO item VALUES (4, 40, 'new')")
    copy(a, CHANGES["dropped column"])
    world.alter("ALTER TABLE item DROP COLUMN qty, DROP COLUMN note")
    a.sync()
    kept = sorted((edit.key, [*edit.values.items()], "stays" in edit.remedy) for edit in a.replica.rejected())
    assert kept == [
        ((1,), [], False), ((1,), [("note", "mine")], True),
        ((4,), [], False), ((4,), [("note", "new")], True),
    ]  # fmt: skip
    a.sync()
    assert [row[0] for row in world.rows("item")] == [1, 2, 3, 4] and a.replica.verify().equal


@pytest.mark.parametrize("order", ORDERS)
def test_l2_a_table_that_both_have_dropped_is_gone(world: World, order: str) -> None:
    a = world.device("a.db")
    a.run("UPDATE item SET qty = 10 WHERE id = 1", "INSERT INTO other VALUES (1, 'pending')")
    if order.startswith("device"):
        a.run("DROP TABLE item")
    else:
        world.alter("DROP TABLE item")
    if "sync" in order:
        a.sync()
    if order.startswith("device"):
        world.alter("DROP TABLE item")
    else:
        a.run("DROP TABLE item")
    world.centre.run("INSERT INTO other VALUES (50, 'news')")
    assert a.sync().unable == ()
    assert a.rows("other", "*") == world.rows("other") == [(1, "pending"), (50, "news")]
    if order != "device, sync, centre" or a.replica.rejected():
        assert [(edit.code, edit.key) for edit in a.replica.rejected()] == [("table_dropped", (1,))]
    assert a.replica.verify().equal


@pytest.mark.parametrize("order", ["centre", "device"])
@pytest.mark.parametrize("synced", [False, True])
def test_l2_a_column_of_another_type_on_both_sides(world: World, order: str, synced: bool) -> None:
    if isinstance(world.centre, SqliteCentre):
        pytest.skip("an SQLite centre cannot give a column another type")
    change = Change(
        "ALTER TABLE item ALTER qty TYPE text",
        ["(id INTEGER PRIMARY KEY, qty TEXT, note TEXT)", "SELECT * FROM item"],
    )
    a = world.device("a.db")
    a.run("UPDATE item SET qty = 10 WHERE id = 1", "INSERT INTO other VALUES (1, 'pending')")
    if order == "device":
        copy(a, change)
        if synced:
            a.sync()
    world.centre.run(f"{change.centre}; INSERT INTO other VALUES (50, 'news')")
    if order == "centre":
        if synced:
            a.sync()
        copy(a, change)
    a.sync()
    assert a.rows("other", "*") == world.rows("other") == [(1, "pending"), (50, "news")]
    world.alter("SELECT 1", yes=True)
    for _ in range(2):
        a.sync()
    assert a.rows("item", "*") == world.rows("item")
    edited = [edit.code for edit in a.replica.rejected()]
    assert edited == ["table_changed"] or world.rows("item")[0] == (1, "10", "a")
    assert a.replica.verify().equal and not a.replica.status().left_out


@pytest.mark.parametrize("synced", [False, True])
def test_l12_the_centre_changes_a_table_that_is_aside(world: World, synced: bool) -> None:
    a = world.device("a.db")
    a.run("UPDATE item SET qty = 10, note = 'mine' WHERE id = 1")
    a.app.executescript("CREATE TABLE kept AS SELECT * FROM item; DROP TABLE item")
    if synced:
        a.sync()
    world.alter(
        "ALTER TABLE item ADD COLUMN kind TEXT DEFAULT 'k'; ALTER TABLE item RENAME COLUMN note TO remark;"
        " UPDATE item SET kind = 'plain'; ALTER TABLE other ADD COLUMN w TEXT"
    )
    a.run("INSERT INTO other (id, v) VALUES (1, 'pending')")
    for _ in range(2):
        assert [one.code for one in a.sync().unable] == ["table_missing"]
    assert a.rows("other", "*") == world.rows("other") == [(1, "pending", None)]
    assert a.replica.upgrade().tables == {} and not a.replica.verify().equal
    a.app.executescript(  # as the application knows it
        "CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER, note TEXT);"
        " INSERT INTO item SELECT * FROM kept"
    )
    a.sync()
    a.sync()
    assert not a.replica.status().unable
    assert a.rows("item", "id, qty, note, kind") == world.rows("item")
    assert world.rows("item")[0] == (1, 10, "mine", "plain")
    a.replica.upgrade()
    assert a.rows("item", "*") == world.rows("item")
    assert a.replica.verify().equal and not a.replica.rejected()


LINE = "CREATE TABLE line (id INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES item (id), qty INTEGER)"
COPY = (
    "CREATE TABLE made ({}); INSERT INTO made SELECT {} FROM line; DROP TABLE line;"
    " ALTER TABLE made RENAME TO line"
)
REFERS = "INTEGER NOT NULL REFERENCES item (id)"
UNFIT = {
    "column taken": ("ALTER TABLE line ADD COLUMN crop TEXT", "ALTER TABLE line RENAME COLUMN crop TO own"),
    "no key": (
        COPY.format(f"id INTEGER, item {REFERS}, qty INTEGER", "*"),
        "CREATE UNIQUE INDEX line_key ON line (id)",
    ),
    "lacks a column": (
        COPY.format(f"id INTEGER PRIMARY KEY, item {REFERS}", "id, item"),
        "ALTER TABLE line ADD COLUMN qty INTEGER",
    ),
    "renamed, no key": (
        COPY.format(f"id INTEGER, thing {REFERS}, qty INTEGER", "*"),
        "CREATE UNIQUE INDEX line_key ON line (id)",
    ),
}
"""What makes a table wait, and what has it take part again."""


def loosen(world: World, column: str) -> None:
    """The centre asks less of `line`, and has rows that use it; and it gets a column."""
    if isinstance(world.centre, SqliteCentre):
        world.alter(
            f"CREATE TABLE made (id INTEGER PRIMARY KEY, {column} INTEGER, qty INTEGER);"
            " INSERT INTO made SELECT * FROM line; DROP TABLE line; ALTER TABLE made RENAME TO line"
        )
    else:
        world.alter(f"ALTER TABLE line DROP CONSTRAINT line_item_fkey, ALTER {column} DROP NOT NULL")
    world.alter(
        "ALTER TABLE line ADD COLUMN crop INTEGER; INSERT INTO line VALUES (5, 77, 5, 1), (6, NULL, 6, 1)"
    )


@pytest.mark.parametrize("what", UNFIT)
def test_l12_what_the_centre_no_longer_asks_of_a_table_that_waits_the_file_does_not_ask_either(
    world: World, what: str
) -> None:
    """NOT NULL, foreign keys: rows that use it come when the table takes part again, and no sync fails."""
    world.alter(f"{LINE}; INSERT INTO line VALUES (1, 1, 1)")
    a = world.device("a.db")
    before, after = UNFIT[what]
    column = "thing" if "renamed" in what else "item"
    a.app.executescript(before)
    a.sync()
    if column == "thing":
        world.alter("ALTER TABLE line RENAME COLUMN item TO thing")
    loosen(world, column)
    assert [one.table for one in a.sync().unable] == ["line"]
    a.app.executescript(after)
    for _ in range(3):
        a.sync()
    assert a.rows("line", f"id, {column}, qty, crop") == world.rows("line")
    assert not a.replica.status().unable and not a.replica.rejected() and a.replica.verify().equal


def test_what_the_centre_still_asks_of_a_table_that_waits_the_file_asks_too(world: World) -> None:
    """Though it calls it otherwise: a foreign key whose column, and whose parent, was renamed."""
    world.alter(f"{LINE}; INSERT INTO line VALUES (1, 1, 1)")
    a = world.device("a.db")
    before, after = UNFIT["renamed, no key"]
    a.app.executescript(f"ALTER TABLE item RENAME TO part; {before.replace('item (id)', 'part (id)')}")
    a.sync()
    world.alter("ALTER TABLE item RENAME TO part; ALTER TABLE line RENAME COLUMN item TO thing")
    a.sync()
    a.app.executescript(after)
    a.sync()
    (key,) = a.app.execute("PRAGMA foreign_key_list(line)").fetchall()
    assert key[2:4] == ("part", "thing")
    assert not a.replica.status().unable and a.replica.verify().equal


def test_a_file_with_that_table_alone_comes_back(world: World) -> None:
    path = world.folder / "one.db"
    change = CHANGES["renamed column"]
    a = world.device("all.db")
    a.app.executescript(
        f"ATTACH '{path}' AS one; CREATE TABLE one.item (id INTEGER PRIMARY KEY, qty INTEGER, note TEXT)"
    )
    with syncline.connect(path, hub=world.servers) as replica:  # type: ignore[arg-type]
        replica.track("item")
        replica.sync()
    one = Device(path, Line(world.servers))
    one.run("UPDATE item SET qty = 10 WHERE id = 1")
    world.alter(change.centre)
    copy(one, change)
    one.sync()
    one.sync()
    assert one.rows("item", "*") == world.rows("item")
    assert world.rows("item")[0] == (1, 10, "a")
