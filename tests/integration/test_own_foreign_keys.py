"""A device file has foreign keys between synced tables that the centre has not, or has dropped: they are the
application's own. A row that they keep back waits visibly, everything else goes on, and what they would do to
rows of the centre is not done (laws L2, L5, L12, L13)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.replica.examine import examine
from tests.support.application import sql

FARM = "CREATE TABLE farm (id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT, UNIQUE (code, name))"
VISIT = "id INTEGER PRIMARY KEY, farm INTEGER, code TEXT, name TEXT, above INTEGER, note TEXT"
ROWS = (
    "INSERT INTO farm VALUES (1, 'a', 'A'), (2, 'b', 'B'), (3, 'c', 'C')",
    "INSERT INTO visit VALUES (1, 1, 'a', 'A', NULL, ''), (2, 2, 'b', 'B', 1, ''), (3, 3, 'c', 'C', 2, '')",
)
WAYS = {
    "to the key": "FOREIGN KEY (farm) REFERENCES farm",
    "to a unique value": "FOREIGN KEY (code) REFERENCES farm (code)",
    "composite": "FOREIGN KEY (name, code) REFERENCES FARM (name, code)",
    "to itself": "FOREIGN KEY (above) REFERENCES visit (id)",
}
ACTIONS = ("NO ACTION", "CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT")
DEFERRED = ("", " DEFERRABLE INITIALLY DEFERRED")
EVERY = [
    pytest.param(way, f"ON DELETE {action} ON UPDATE {action}{deferred}", id=f"{name} {action}{deferred[:6]}")
    for name, way in WAYS.items()
    for action in ACTIONS
    for deferred in DEFERRED
]


class World:
    """A centre without foreign keys, a device whose program puts some into its file, and another one."""

    def __init__(self, folder: Path, *ddl: str) -> None:
        self.centre = folder / "central.db"
        sql(self.centre, *ddl, *ROWS)
        self.hub = syncline.Hub(f"sqlite:///{self.centre}")
        self.hub.init()
        self.device = syncline.clone(self.hub, folder / "device.db")
        self.other = syncline.clone(self.hub, folder / "other.db")

    def close(self) -> None:
        self.device.close()
        self.other.close()
        self.hub.close()

    def rebuild(self, way: str, table: str = "visit", columns: str = VISIT) -> None:
        """As Alembic's batch mode does it."""
        with closing(sqlite3.connect(self.device.file)) as app:
            app.executescript(
                f"""PRAGMA foreign_keys = OFF; BEGIN;
                CREATE TABLE _alembic_tmp_{table} ({columns}, {way});
                INSERT INTO _alembic_tmp_{table} SELECT * FROM {table}; DROP TABLE {table};
                ALTER TABLE _alembic_tmp_{table} RENAME TO {table}; COMMIT;"""
            )

    def edit(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.device.file)) as app:
            app.execute("PRAGMA foreign_keys = ON")
            with app:
                for statement in statements:
                    app.execute(statement)

    def waiting(self) -> dict[tuple[Any, ...], str]:
        for row in self.device.waiting():
            assert row.code == "device_constraint" and row.object in row.detail
        return {(row.table, *row.key): row.object for row in self.device.waiting()}

    def shown(self, table: str) -> list[Any]:
        return sql(self.device.file, f"SELECT * FROM {table} ORDER BY id")

    def differing(self) -> set[tuple[Any, ...]]:
        """The rows of which the device has something else than the centre."""
        found = set()
        for table in ("farm", "visit"):
            here = {row[0]: row for row in self.shown(table)}
            there = {row[0]: row for row in sql(self.centre, f"SELECT * FROM {table}")}
            found |= {(table, key) for key in {*here, *there} if here.get(key) != there.get(key)}
        return found

    def goes_on(self) -> None:
        """Rows come and go, and an edit is sent; another sync changes nothing."""
        sql(self.centre, "INSERT OR REPLACE INTO farm VALUES (70, 'z' || random(), 'Z')")
        self.edit("UPDATE farm SET name = 'mine' || random() WHERE id = 70")
        self.device.sync()
        before = self.waiting()
        self.device.sync()
        assert self.waiting() == before
        assert self.differing() == set(before)
        self.other.sync()
        assert self.other.verify().equal


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, FARM, f"CREATE TABLE visit ({VISIT})")
    yield made
    made.close()


@pytest.mark.parametrize(("way", "rest"), EVERY)
def test_l12_whatever_the_centre_does_rows_of_the_file_wait_and_sync_goes_on(
    world: World, way: str, rest: str
) -> None:
    world.rebuild(f"{way} {rest}")
    world.device.sync()
    assert world.waiting() == {}
    sql(
        world.centre,
        "INSERT INTO visit VALUES (4, 44, 'd', 'D', 44, 'new'), (5, 3, 'c', 'C', 4, 'below it')",
        "DELETE FROM farm WHERE id = 1",  # visit 1 stays there
        "UPDATE farm SET code = 'x' WHERE id = 2",  # visit 2 goes on saying b
        "DELETE FROM visit WHERE id = 1",
        "INSERT INTO visit VALUES (1, 1, 'a', 'A', NULL, 'again')",
        "DELETE FROM visit WHERE id = 2",  # visit 3 is below it
    )
    world.device.sync()
    waiting = world.waiting()
    assert waiting and world.differing() == set(waiting)
    world.goes_on()
    sql(
        world.centre,
        "INSERT INTO farm VALUES (44, 'd', 'D'), (1, 'a', 'A')",
        "INSERT INTO visit VALUES (44, 44, 'd', 'D', NULL, ''), (2, 2, 'x', 'B', NULL, '')",
    )
    world.device.sync()
    assert world.waiting() == {} and world.device.verify().equal
    world.goes_on()
    assert world.device.verify().equal and world.other.verify().equal


FARMS = "FOREIGN KEY (farm) REFERENCES farm (id)"


@pytest.mark.parametrize("rest", ["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON DELETE RESTRICT"])
def test_l2_a_row_whose_parent_the_centre_rejects_is_sent_and_stays(world: World, rest: str) -> None:
    """The centre has accepted the child: nothing here may take it along."""
    sql(
        world.centre,
        "CREATE TRIGGER no BEFORE INSERT ON farm WHEN NEW.name = 'bad'"
        " BEGIN SELECT RAISE (ABORT, 'bad'); END",
    )
    world.rebuild(FARMS + rest)
    world.device.sync()
    world.edit("INSERT INTO farm VALUES (9, 'n', 'bad')", "INSERT INTO visit VALUES (9, 9, '', '', NULL, '')")
    assert [edit.key for edit in world.device.sync().push.rejected] == [(9,)]
    assert sql(world.centre, "SELECT farm FROM visit WHERE id = 9") == [(9,)]
    assert world.shown("visit")[-1] == (9, 9, "", "", None, "")
    assert world.waiting() == {("farm", 9): "foreign key of visit to farm"}
    world.goes_on()
    world.edit("UPDATE visit SET farm = 3 WHERE id = 9")
    world.device.sync()
    assert world.waiting() == {} and world.device.verify().equal


@pytest.mark.parametrize("rest", ["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON DELETE RESTRICT"])
def test_l2_what_cannot_travel_leaves_without_taking_rows_of_the_centre_along(
    world: World, rest: str
) -> None:
    """An edit of this file that is set aside was what rows of the centre refer to here."""
    world.rebuild(FARMS + rest)
    world.device.sync()
    sql(world.centre, "INSERT INTO visit VALUES (8, 8, '', '', NULL, '')")
    world.edit("INSERT INTO farm VALUES (8, 'n', CAST(x'ff' AS TEXT))")
    world.edit("INSERT INTO visit VALUES (7, 8, '', '', NULL, '')")
    world.device.pull()
    assert world.waiting() == {} and (8, 8, "", "", None, "") in world.shown("visit")
    world.device.sync()
    assert [edit.key for edit in world.device.rejected()] == [(8,)]
    assert [row[0] for row in world.shown("farm")] == [1, 2, 3]
    assert sql(world.centre, "SELECT farm FROM visit WHERE id = 7") == [(8,)]  # the centre takes it
    assert world.waiting() == {("visit", n): "foreign key of visit to farm" for n in (7, 8)}
    world.goes_on()
    sql(world.centre, "INSERT INTO farm VALUES (8, 'n', 'good')")
    world.device.sync()
    assert world.waiting() == {} and world.device.verify().equal


BAD = "CAST(x'ff' AS TEXT)"


@pytest.mark.parametrize("rest", ["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON DELETE RESTRICT"])
def test_l2_rows_that_cannot_travel_and_refer_to_each_other_leave_together(world: World, rest: str) -> None:
    """A new row of another table, two of the same one; one that can travel is below them."""
    world.rebuild(f"{FARMS}{rest}, FOREIGN KEY (above) REFERENCES visit (id){rest}")
    world.device.sync()
    world.edit(f"INSERT INTO farm VALUES (8, 'n', {BAD})")
    world.edit(
        f"INSERT INTO visit VALUES (21, 8, {BAD}, '', NULL, '')",
        f"INSERT INTO visit VALUES (22, 8, '', {BAD}, 21, '')",
        "INSERT INTO visit VALUES (23, 8, '', '', 22, '')",
    )
    world.device.sync()
    assert sorted(edit.key for edit in world.device.rejected()) == [(8,), (21,), (22,)]
    assert [row[0] for row in world.shown("farm")] == [1, 2, 3]
    assert world.shown("visit") == [*sql(world.centre, "SELECT * FROM visit WHERE id < 4 ORDER BY id")]
    assert sql(world.centre, "SELECT * FROM visit WHERE id > 3") == [(23, 8, "", "", 22, "")]
    assert world.waiting() == {("visit", 23): world.waiting()["visit", 23]}
    world.goes_on()


def test_l2_rows_of_the_centre_that_new_ones_which_go_below_each_other_refer_to_stay(tmp_path: Path) -> None:
    """Of two that go for one reason the upper one refers to the lower one by a foreign key of the file."""
    tree = "id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree, best INTEGER, name TEXT"
    world = World(tmp_path, FARM, f"CREATE TABLE visit ({VISIT})", f"CREATE TABLE tree ({tree})")
    with closing(world):
        world.rebuild("FOREIGN KEY (best) REFERENCES tree (id) ON DELETE CASCADE", "tree", tree)
        world.device.sync()
        sql(world.centre, "INSERT INTO tree VALUES (1, NULL, NULL, 'one'), (5, 1, 3, 'of the centre')")
        world.edit(
            f"INSERT INTO tree VALUES (2, NULL, NULL, {BAD})",
            "INSERT INTO tree VALUES (3, 2, NULL, 'below')",
            "UPDATE tree SET best = 3 WHERE id = 2",
        )
        world.device.pull()
        assert sql(world.device.file, "SELECT id FROM tree ORDER BY id") == [(1,), (2,), (3,), (5,)]
        world.device.sync()
        assert sorted(edit.key for edit in world.device.rejected()) == [(2,), (3,)]
        assert world.shown("tree") == [(1, None, None, "one")]
        assert world.waiting() == {("tree", 5): "foreign key of tree to tree"}
        sql(world.centre, "INSERT INTO tree VALUES (3, 1, NULL, 'another one')")
        world.device.sync()
        assert world.waiting() == {} and world.device.verify().equal


@pytest.mark.parametrize("rest", ["", " ON DELETE CASCADE", " ON DELETE RESTRICT"])
def test_l12_what_the_file_refers_to_by_a_column_that_it_alone_has_stays(world: World, rest: str) -> None:
    with closing(sqlite3.connect(world.device.file)) as app:
        app.executescript(
            "ALTER TABLE farm ADD COLUMN local TEXT; UPDATE farm SET local = code;"
            "CREATE UNIQUE INDEX farm_local ON farm (local);"
        )
    world.rebuild(f"FOREIGN KEY (code) REFERENCES farm (LOCAL){rest}")
    world.device.sync()
    world.edit("DELETE FROM visit WHERE id = 3", "DELETE FROM farm WHERE id = 3")
    sql(
        world.centre,
        "DELETE FROM farm WHERE id = 1",
        "INSERT INTO visit VALUES (4, 3, 'c', '', NULL, ''), (5, 3, 'd', '', 4, '')",
    )
    world.device.sync()
    assert world.waiting().keys() == {("farm", 1), ("visit", 4), ("visit", 5)}


@pytest.mark.parametrize("many", [4, 30])
@pytest.mark.parametrize("rest", ["", " ON DELETE CASCADE", " DEFERRABLE INITIALLY DEFERRED"])
def test_l12_a_chain_of_rows_waits_for_its_first_one_however_long(world: World, many: int, rest: str) -> None:
    world.rebuild(f"FOREIGN KEY (ABOVE) REFERENCES visit (ID){rest}")
    world.device.sync()
    chain = ", ".join(f"({n}, NULL, '', '', {n - 1}, '')" for n in range(11, 11 + many))
    sql(world.centre, f"INSERT INTO visit VALUES {chain}", "INSERT INTO visit VALUES (5, 1, '', '', 5, 'me')")
    world.device.sync()
    assert world.waiting() == {("visit", n): "foreign key of visit to visit" for n in range(11, 11 + many)}
    world.goes_on()
    sql(world.centre, "INSERT INTO visit VALUES (10, NULL, '', '', NULL, '')")
    world.device.sync()
    assert world.waiting() == {} and world.device.verify().equal


def test_l5_rows_that_trade_the_values_others_refer_to_leave_these_as_the_centre_has_them(
    world: World,
) -> None:
    world.rebuild("FOREIGN KEY (code) REFERENCES farm (code) ON UPDATE CASCADE ON DELETE CASCADE")
    world.device.sync()
    sql(
        world.centre,
        "UPDATE farm SET code = 'x' WHERE id = 1",
        "UPDATE farm SET code = 'a' WHERE id = 2",
        "UPDATE farm SET code = 'b' WHERE id = 1",
    )
    world.device.sync()
    assert world.waiting() == {} and world.device.verify().equal


def test_l2_what_is_pending_keeps_its_parent_and_is_sent(world: World) -> None:
    world.rebuild(FARMS + " ON DELETE CASCADE")
    world.device.sync()
    world.edit(
        "UPDATE visit SET note = 'mine' WHERE id = 1", "INSERT INTO visit VALUES (6, 1, '', '', 1, '')"
    )
    sql(world.centre, "DELETE FROM farm WHERE id = 1")
    world.device.sync()
    assert sql(world.centre, "SELECT id, note FROM visit WHERE farm = 1") == [(1, "mine"), (6, "")]
    assert world.waiting() == {("farm", 1): "foreign key of visit to farm"}
    world.goes_on()
    world.edit("DELETE FROM farm WHERE id = 1")  # by its own foreign key the program deletes both visits
    world.device.sync()
    assert world.waiting() == {} and world.device.verify().equal
    assert sql(world.centre, "SELECT id FROM visit ORDER BY id") == [(2,), (3,)]


@pytest.mark.parametrize("rest", ["", " ON DELETE CASCADE", " ON DELETE SET NULL"])
@pytest.mark.parametrize("upgrades", [False, True])
def test_l12_a_foreign_key_that_the_centre_has_dropped_is_made_again(
    tmp_path: Path, rest: str, upgrades: bool
) -> None:
    """As the centre had it, by a program that still knows it so, also after `upgrade` to new names."""
    world = World(tmp_path, FARM, f"CREATE TABLE visit ({VISIT}, {FARMS})")
    with closing(world):
        with closing(sqlite3.connect(world.centre)) as centre:
            centre.executescript(
                f"""PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE fresh ({VISIT});
                INSERT INTO fresh SELECT * FROM visit; DROP TABLE visit;
                ALTER TABLE fresh RENAME TO visit; COMMIT;"""
            )
        world.hub.init()
        world.device.sync()
        assert sql(world.device.file, "SELECT * FROM pragma_foreign_key_list('visit')") == []
        world.rebuild(FARMS + rest)
        world.device.sync()
        if upgrades:
            sql(world.centre, "ALTER TABLE farm RENAME COLUMN name TO title")
            world.hub.init()
            world.device.sync()
            world.device.upgrade()
        sql(
            world.centre,
            "DELETE FROM farm WHERE id = 2",
            "INSERT INTO visit VALUES (4, 44, 'd', 'D', NULL, 'new')",
        )
        world.device.sync()
        assert world.waiting() == dict.fromkeys([("farm", 2), ("visit", 4)], "foreign key of visit to farm")
        assert world.differing() == set(world.waiting())
        with closing(sqlite3.connect(world.device.file)) as app:  # the program lets go of it, too
            app.executescript(
                f"""PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE fresh ({VISIT});
                INSERT INTO fresh SELECT * FROM visit; DROP TABLE visit;
                ALTER TABLE fresh RENAME TO visit; COMMIT;"""
            )
        world.device.sync()
        assert world.waiting() == {} and world.device.verify().equal


def test_l12_a_foreign_key_to_a_table_that_takes_no_part_beside_one_that_does(world: World) -> None:
    sql(
        world.device.file,
        "CREATE TABLE local (id INTEGER PRIMARY KEY)",
        "INSERT INTO local VALUES (1), (2), (3)",
    )
    world.rebuild(f"{FARMS}, FOREIGN KEY (above) REFERENCES local (id) ON DELETE CASCADE")
    world.device.sync()
    sql(
        world.centre,
        "INSERT INTO visit VALUES (4, 44, 'd', 'D', 1, ''), (5, 3, 'c', 'C', 9, ''), (6, 3, '', '', 3, '')",
    )
    world.device.sync()
    assert world.waiting() == {
        ("visit", 4): "foreign key of visit to farm",
        ("visit", 5): "foreign key of visit to local",
    }
    world.goes_on()


def test_doctor_warns_of_a_foreign_key_that_the_file_alone_has(world: World) -> None:
    assert not [found for found in examine(world.device.file) if found.code == "foreign_key_local"]
    world.rebuild(FARMS)
    (found,) = [found for found in examine(world.device.file) if found.code == "foreign_key_local"]
    assert found.level == "warning" and "table visit" in found.sentence and "farm" in found.sentence
