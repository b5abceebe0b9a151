"""Columns that the application has made on its device, and that the centre gets too, become one. What was
written into them here is kept where the centre has another value (L2), also when the file is filled again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import TransportError
from syncline.model.actor import Actor
from syncline.protocol.messages import Request, Response, Snapshot
from tests.support.application import sql

TABLE = "CREATE TABLE visit (id TEXT NOT NULL PRIMARY KEY, note TEXT, old TEXT)"
OTHER = "CREATE TABLE other (id TEXT NOT NULL PRIMARY KEY)"


class Cut:
    """A hub whose rows cannot be fetched while `is_cut`."""

    def __init__(self, hub: syncline.Hub) -> None:
        self._hub, self.is_cut = hub, False

    def handle(self, actor: Actor, request: Request) -> Response:
        if self.is_cut and isinstance(request, Snapshot):
            raise TransportError("the line was cut")
        return self._hub.handle(actor, request)


class World:
    """A centre, and a device whose application has written into a column of its own, `weather`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.centre, self.device = folder, folder / "centre.db", folder / "device.db"
        rows = "INSERT INTO visit (id, note) VALUES ('same', 'n'), ('edited', 'n')"
        sql(self.centre, TABLE, OTHER, rows)
        self.hub = syncline.Hub(f"sqlite:///{self.centre}")
        self.hub.init()
        syncline.clone(self.hub, self.device).close()
        self.line: Any = Cut(self.hub)
        sql(
            self.device,
            "INSERT INTO visit (id, note) VALUES ('new', 'offline')",
            "ALTER TABLE visit ADD COLUMN weather TEXT",
            "UPDATE visit SET note = 'offline' WHERE id = 'edited'",
            "UPDATE visit SET weather = 'rain on ' || id",
        )

    def remake(self) -> None:
        """The centre gets the column and another table in place of one: the file has to be filled again."""
        sql(self.centre, "ALTER TABLE visit ADD COLUMN weather TEXT", "DROP TABLE other", OTHER)

    def drop_a_column(self) -> None:
        """As the documentation says for a column that is captured."""
        with closing(sqlite3.connect(self.centre, isolation_level=None)) as centre:
            centre.execute("BEGIN")
            found = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'visit'"
            for (name,) in centre.execute(found).fetchall():
                centre.execute(f'DROP TRIGGER "{name}"')
            centre.execute("ALTER TABLE visit DROP COLUMN old")
            centre.execute("ALTER TABLE visit ADD COLUMN weather TEXT DEFAULT 'dry'")
            centre.execute("UPDATE visit SET weather = 'rain on same' WHERE id = 'same'")
            centre.execute("COMMIT")
        self.hub.init()

    def kept(self) -> dict[str, tuple[object, object]]:
        """What is kept of the column: by key what was written here and what the hub has."""
        with syncline.connect(self.device, hub=self.hub) as replica:
            assert replica.verify().equal
            found = [one for one in replica.conflicts() if one.policy == "track"]
            assert {one.column for one in found} == {"weather"}
            assert len(found) == len({one.key[0] for one in found})
            return {str(one.key[0]): (one.sent, one.hub) for one in found}

    def sync(self) -> syncline.SyncReport:
        with syncline.connect(self.device, hub=self.line) as replica:
            return replica.sync()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_own_values_are_kept_when_the_file_is_filled_again(world: World) -> None:
    world.remake()
    report = world.sync()
    assert report.recovered is not None and report.recovered.reason == "lost"
    assert world.kept() == {key: (f"rain on {key}", None) for key in ("same", "edited", "new")}


def test_own_values_are_kept_when_a_column_of_an_sqlite_centre_was_dropped(world: World) -> None:
    world.drop_a_column()
    report = world.sync()
    assert report.recovered is not None and report.recovered.reason == "lost"
    assert world.kept() == {key: (f"rain on {key}", "dry") for key in ("edited", "new")}


def test_own_values_are_kept_by_a_filling_that_was_cut_off_after_the_columns_became_one(world: World) -> None:
    world.remake()
    world.line.is_cut = True
    for _ in range(2):
        with pytest.raises(TransportError):
            world.sync()
    sql(world.device, "UPDATE visit SET weather = 'sun' WHERE id = 'edited'")  # it is captured by now
    sql(world.centre, "ALTER TABLE visit ADD COLUMN more TEXT")  # and the schema changes once more
    world.line.is_cut = False
    world.sync()
    world.sync()
    assert world.kept() == {key: (f"rain on {key}", None) for key in ("same", "new")}
    with closing(sqlite3.connect(world.centre)) as centre:
        assert centre.execute("SELECT weather FROM visit WHERE id = 'edited'").fetchall() == [("sun",)]


def test_own_values_are_kept_when_the_hub_does_not_know_the_file_any_more(world: World) -> None:
    with syncline.connect(world.device, hub=world.hub) as replica:
        replica.push()
    sql(world.centre, "ALTER TABLE visit ADD COLUMN weather TEXT", "DELETE FROM _sync_hub_clients")
    report = world.sync()
    assert report.recovered is not None
    assert world.kept() == {key: (f"rain on {key}", None) for key in ("same", "edited", "new")}
