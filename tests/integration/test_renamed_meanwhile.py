"""The application renames a table of its device, or a column, while a verb is at work: the verb goes on under
the new name, and nothing that was written before or after is lost (L2, L12, L13)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.model.actor import Actor
from syncline.protocol.messages import Request, Response
from syncline.replica import lost, noticed
from syncline.replica.device import Device
from tests.support.application import sql

TABLES = (
    "CREATE TABLE visit (id TEXT NOT NULL PRIMARY KEY, note TEXT)",
    "CREATE TABLE photo (id TEXT NOT NULL PRIMARY KEY, visit TEXT REFERENCES visit (id))",
    "CREATE TABLE other (id TEXT NOT NULL PRIMARY KEY)",
)
RENAMES = (
    "ALTER TABLE visit RENAME TO call",
    "ALTER TABLE call RENAME COLUMN note TO remark",
    "INSERT INTO call (id, remark) VALUES ('after', 'written under the new names')",
)


class Interrupted:
    """A hub that does something else before it answers the request of a number."""

    def __init__(self, hub: syncline.Hub, number: int, do: Callable[[], Any]) -> None:
        self._hub, self._number, self._do, self.asked = hub, number, do, 0

    def handle(self, actor: Actor, request: Request) -> Response:
        if self.asked == self._number:
            self._do()
        self.asked += 1
        return self._hub.handle(actor, request)


class World:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.centre, self.device = folder / "centre.db", folder / "device.db"
        sql(self.centre, *TABLES, "INSERT INTO visit VALUES ('a', 'x'), ('b', 'y')")
        self.hub = syncline.Hub(f"sqlite:///{self.centre}")
        self.hub.init()
        syncline.clone(self.hub, self.device).close()
        sql(
            self.device,
            "UPDATE visit SET note = 'offline' WHERE id = 'a'",
            "DELETE FROM visit WHERE id = 'b'",
        )

    def connect(self, hub: Any = None) -> syncline.Replica:
        return syncline.connect(self.device, hub=hub or self.hub)

    def agrees(self) -> None:
        """All is sent, under whatever name, and both have the same."""
        with self.connect() as replica:
            report = replica.sync()
            assert not report.unable and not report.pending and not replica.rejected()
            assert replica.verify().equal
        rows = [("a", "offline"), ("after", "written under the new names")]
        assert sql(self.centre, "SELECT id, note FROM visit ORDER BY id") == rows
        assert sql(self.device, "SELECT id, remark FROM call ORDER BY id") == rows


CENTRES: dict[str, tuple[str, ...]] = {
    "rows": ("INSERT INTO other VALUES ('new')",),
    "schema": ("ALTER TABLE other RENAME TO others", "ALTER TABLE visit ADD COLUMN more TEXT"),
    "lost": ("ALTER TABLE photo ADD COLUMN more TEXT", "DROP TABLE other", TABLES[2]),
}
"""What happens in the centre: the sync pulls, follows the schema, or fills the file again."""


@pytest.mark.parametrize("happens", CENTRES)
@pytest.mark.parametrize("verb", ["sync", "push", "pull", "verify"])
def test_a_verb_goes_on_under_the_new_names_whenever_they_come(
    tmp_path: Path, verb: str, happens: str
) -> None:
    for number in count():
        world = World(tmp_path / str(number))
        sql(world.centre, *CENTRES[happens])
        line = Interrupted(world.hub, number, partial(sql, world.device, *RENAMES))
        with world.connect(line) as replica:
            report = getattr(replica, verb)()
            assert not getattr(report, "unable", ())
        if line.asked <= number:
            break
        world.agrees()
    assert number


def test_a_rename_between_two_looks_sets_no_table_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, look = World(tmp_path / "w"), lost.notice
    renames = [*RENAMES]

    def renamed_before(device: Device, is_renamed: Callable[[Device], bool]) -> bool:
        while renames:
            sql(world.device, renames.pop(0))
        return look(device, is_renamed)

    monkeypatch.setattr(noticed, "notice_lost", renamed_before)
    with world.connect() as replica:
        report = replica.sync()
        assert not report.unable and not report.regained
    world.agrees()


def test_a_table_that_was_set_aside_is_found_under_its_new_name(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    sql(world.device, "ALTER TABLE visit RENAME TO gone_for_now")
    with world.connect() as replica:
        replica.sync()
    sql(world.device, "INSERT INTO photo VALUES ('p', 'a')")
    sql(world.device, "CREATE TABLE kept AS SELECT * FROM gone_for_now", "DROP TABLE gone_for_now")
    with world.connect() as replica:
        assert {one.code for one in replica.sync().unable} == {"table_missing", "parent_unable"}
    sql(world.device, "ALTER TABLE photo RENAME TO picture", "INSERT INTO picture VALUES ('q', 'a')")
    with world.connect() as replica:
        found = {one.table: one.code for one in replica.sync().unable}
        assert found == {"gone_for_now": "table_missing", "picture": "parent_unable"}
    make = "CREATE TABLE gone_for_now (id TEXT NOT NULL PRIMARY KEY, note TEXT)"
    sql(world.device, make, "INSERT INTO gone_for_now SELECT * FROM kept")
    with world.connect() as replica:
        replica.sync()
        report = replica.sync()
        assert not report.unable and not report.pending and replica.verify().equal
    assert sql(world.centre, "SELECT id FROM photo ORDER BY id") == [("p",), ("q",)]


def made_anew(device: Path, columns: str) -> None:
    """As a tool does it that copies the table."""
    sql(
        device,
        "PRAGMA foreign_keys = OFF",
        f"CREATE TABLE made ({columns})",
        "INSERT INTO made SELECT id, note FROM visit",
        "DROP TABLE visit",
        "ALTER TABLE made RENAME TO visit",
    )


SAME = "id TEXT NOT NULL PRIMARY KEY, note TEXT"
OTHER = "id TEXT NOT NULL PRIMARY KEY, remark TEXT"


@pytest.mark.parametrize("happens", CENTRES)
def test_a_table_that_is_compared_is_followed_whenever_it_is_renamed(tmp_path: Path, happens: str) -> None:
    for number in count():
        world = World(tmp_path / str(number))
        made_anew(world.device, SAME)
        sql(world.centre, *CENTRES[happens])
        line = Interrupted(world.hub, number, partial(sql, world.device, *RENAMES))
        with world.connect(line) as replica:
            assert not replica.sync().unable
        if line.asked <= number:
            break
        world.agrees()
    assert number


@pytest.mark.parametrize("happens", CENTRES)
@pytest.mark.parametrize("was_captured", [True, False])
def test_l12_a_table_that_is_made_anew_without_a_column_meanwhile_is_named(
    tmp_path: Path, happens: str, was_captured: bool
) -> None:
    for number in count():
        world = World(tmp_path / str(number))
        if not was_captured:
            made_anew(world.device, SAME)
        sql(world.centre, *CENTRES[happens])
        line = Interrupted(world.hub, number, partial(made_anew, world.device, OTHER))
        with world.connect(line) as replica:
            try:
                replica.sync()
            except syncline.SynclineError as error:
                assert error.code == "store_busy", (number, error)
        if line.asked <= number:
            break
        with world.connect() as replica:
            assert replica.sync().unable
        sql(world.device, "ALTER TABLE visit RENAME COLUMN remark TO note")
        with world.connect() as replica:
            if replica.sync().unable:  # it had the centre's new column, and its tool has dropped that
                sql(world.device, "ALTER TABLE visit ADD COLUMN more TEXT")
                replica.sync()
            assert not replica.sync().unable and replica.verify().equal
        assert sql(world.centre, "SELECT id, note FROM visit ORDER BY id") == [("a", "offline")], number
    assert number
