"""A device file is replaced beneath a program that has it open: that goes on with what is at the path (laws
L2, L3 and L12)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import StoreError
from syncline.model.actor import Actor
from syncline.protocol.messages import Push, Request, Response
from tests.support.application import sql
from tests.support.either import centre_with
from tests.support.restored import keep


class World:
    """A centre of either kind, and a program that keeps a device file of it open."""

    def __init__(self, url: str, folder: Path) -> None:
        self.hub, self.file, self.backup = syncline.Hub(url), folder / "d.db", folder / "backup.db"
        self.hub.init()
        self.replica = syncline.clone(self.hub, self.file)

    def keep(self) -> None:
        keep(self.file, self.backup)

    def replace(self) -> None:
        """The backup is put where the file is."""
        os.replace(self.backup, self.file)
        for side in ("-wal", "-shm"):
            Path(f"{self.file}{side}").unlink(missing_ok=True)

    def app(self, *statements: str) -> list[tuple[Any, ...]]:
        return sql(self.file, *statements)

    def centre(self) -> list[tuple[Any, ...]]:
        """As a new device is given it."""
        look = self.file.with_name("look.db")
        syncline.clone(self.hub, look).close()
        found = sql(look, "SELECT * FROM item ORDER BY id")
        for path in look.parent.glob("look.db*"):
            path.unlink()
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = "CREATE TABLE item (id VARCHAR(40) PRIMARY KEY, qty INT NOT NULL)"
    url = centre_with(request, request.param, tmp_path, made, "INSERT INTO item VALUES ('a', 1), ('b', 1)")
    found = World(url, tmp_path)
    yield found
    found.replica.close()
    found.hub.close()


def test_l12_what_is_in_a_backup_that_was_put_in_the_files_place_is_sent(world: World) -> None:
    world.keep()
    world.replace()
    world.app("UPDATE item SET qty = 100", "INSERT INTO item VALUES ('m', 0)")
    assert world.replica.status().pending
    report = world.replica.sync()
    assert report.push.sent == 3 and report.pending == 0
    assert world.centre() == world.app("SELECT * FROM item ORDER BY id") == [("a", 100), ("b", 100), ("m", 0)]
    assert world.replica.verify().equal


def test_l2_l3_a_backup_from_before_pushes_loses_nothing_and_counts_nothing_twice(world: World) -> None:
    former = world.replica.id
    world.app("UPDATE item SET qty = 2 WHERE id = 'a'")
    world.keep()
    world.replica.sync()
    world.app("INSERT INTO item VALUES ('n', 3)")
    world.replica.sync()
    world.replace()
    world.app("INSERT INTO item VALUES ('m', 4)")
    report = world.replica.sync()
    assert report.recovered is not None and world.replica.id != former
    world.replica.sync()
    expected = [("a", 2), ("b", 1), ("m", 4), ("n", 3)]
    assert world.centre() == world.app("SELECT * FROM item ORDER BY id") == expected
    assert world.replica.verify().equal
    assert not world.replica.rejected() and not world.replica.conflicts()


def test_l2_a_file_that_is_replaced_while_the_hub_is_waited_for_gets_nothing_of_the_former(
    world: World,
) -> None:
    class Line:
        is_due = True

        def handle(self, actor: Actor, request: Request) -> Response:
            answer = world.hub.handle(actor, request)
            if isinstance(request, Push) and self.is_due:
                self.is_due = False
                world.replace()
                world.app("UPDATE item SET qty = 5 WHERE id = 'b'")
            return answer

    world.keep()
    world.app("UPDATE item SET qty = 2 WHERE id = 'a'")
    line: Any = Line()
    with syncline.connect(world.file, hub=line) as replica:
        with pytest.raises(StoreError) as refused:
            replica.sync()
        assert refused.value.code == "store_busy" and refused.value.retry
        replica.sync()
        replica.sync()
        assert replica.verify().equal
    assert world.centre() == world.app("SELECT * FROM item ORDER BY id") == [("a", 2), ("b", 5)]


def test_l12_a_file_that_is_gone_is_said_and_found_again(world: World) -> None:
    aside = world.file.with_name("aside.db")
    os.rename(world.file, aside)
    for verb in (world.replica.sync, world.replica.status, world.replica.rejected):
        with pytest.raises(StoreError) as refused:
            verb()
        assert refused.value.code == "store_missing" and "put the file back" in refused.value.remedy
    os.rename(aside, world.file)
    world.app("UPDATE item SET qty = 7 WHERE id = 'a'")
    assert world.replica.sync().push.sent == 1


def test_l12_a_file_that_is_no_replica_in_its_place_is_said(world: World) -> None:
    sql(world.backup, "CREATE TABLE item (id TEXT PRIMARY KEY, qty INT)")
    world.replace()
    for verb in (world.replica.sync, world.replica.status, world.replica.conflicts):
        with pytest.raises(StoreError) as refused:
            verb()
        assert refused.value.code == "not_a_replica"


def test_l12_a_folder_that_the_program_has_left_does_not_matter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.file.parent)
    with syncline.connect(world.file.name, hub=world.hub) as replica:
        world.app("UPDATE item SET qty = 7 WHERE id = 'a'")
        monkeypatch.chdir("/")
        assert replica.status().pending == {"item": 1}
