"""Edits that a centre had taken, and rejects after it was put back: what their rows held before is not known
any more, and nothing says that they held NULL (laws L2 and L12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import syncline
from tests.support.application import sql
from tests.support.restored import Centre, PostgresCentre, SqliteCentre

DDL = "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, b TEXT DEFAULT 'none')"
ROWS = "INSERT INTO t VALUES ('k', 'x', 'y')"
SHUT = {
    "sqlite": "CREATE TRIGGER shut BEFORE {} ON t BEGIN SELECT RAISE(ABORT, 'shut')",
    "postgresql": "CREATE TRIGGER shut BEFORE {} ON t FOR EACH ROW EXECUTE FUNCTION shut()",
}
OPEN = {"sqlite": "DROP TRIGGER shut", "postgresql": "DROP TRIGGER shut ON t"}


class World:
    """A centre with one device, whose hub begins anew when the centre is put back."""

    def __init__(self, folder: Path, centre: Centre, kind: str, **rules: Any) -> None:
        self.centre, self.kind, self.file, self.rules = centre, kind, folder / "d.db", rules
        self.run(DDL, ROWS)
        if kind == "postgresql":
            body = "$$ BEGIN RAISE EXCEPTION 'shut'; END $$"
            self.run(f"CREATE FUNCTION shut() RETURNS trigger LANGUAGE plpgsql AS {body}")
        self.open()
        self.hub.init()
        self.device = syncline.clone(self.hub, self.file)

    def open(self) -> None:
        self.hub = syncline.Hub(self.centre.url, tables={"t": syncline.Table(**self.rules)})

    def run(self, *statements: str) -> None:
        for statement in statements:
            if isinstance(self.centre, SqliteCentre):
                sql(self.centre.path, statement)
            else:
                self.centre.run(statement)

    def shut(self, what: str) -> None:
        self.run(SHUT[self.kind].format(what) + ("; END" if self.kind == "sqlite" else ""))

    def put_back(self) -> None:
        self.device.close()
        self.hub.close()
        self.centre.restore()
        self.open()
        self.hub.init()
        self.device = syncline.connect(self.file, self.hub)

    def rows(self) -> list[tuple[Any, ...]]:
        found = [tuple(row) for row in self.centre.run("SELECT * FROM t ORDER BY id")]
        assert sql(self.file, "SELECT * FROM t ORDER BY id") == found
        return found

    def close(self) -> None:
        self.device.close()
        self.hub.close()


Make = Callable[..., World]


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[World] = []

    def world(**rules: Any) -> World:
        centre: Centre = SqliteCentre(tmp_path)
        if request.param == "postgresql":
            centre = PostgresCentre(request.getfixturevalue("postgres_database"))
        made.append(World(tmp_path, centre, request.param, **rules))
        return made[-1]

    yield world
    for one in made:
        one.close()


@pytest.fixture
def world(make: Make) -> World:
    return make()


EDITS = {
    "updated": ("UPDATE", "UPDATE t SET a = 'A', b = 'B'", {"a": "A", "b": "B"}, [("k", "A", "B")]),
    "deleted": ("DELETE", "DELETE FROM t", {}, []),
    "replaced": ("UPDATE", "REPLACE INTO t VALUES ('k', 'A', 'B')", {"a": "A", "b": "B"}, [("k", "A", "B")]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_l2_an_edit_that_a_centre_rejects_after_it_was_put_back_can_be_retried(
    world: World, edit: str
) -> None:
    shut, statement, values, result = EDITS[edit]
    world.shut(shut)
    world.centre.keep()
    world.run(OPEN[world.kind])
    sql(world.file, statement)
    world.device.sync()
    assert world.rows() == result
    world.put_back()
    world.device.sync()
    (kept,) = world.device.rejected()
    assert (kept.code, kept.values, kept.base) == ("rejected_by_trigger", values, {})
    assert world.rows() == [("k", "x", "y")]
    world.run(OPEN[world.kind])
    world.device.retry(kept.id)
    world.device.sync()
    assert world.rows() == result
    assert world.device.rejected() == []
    assert world.device.verify().equal


def test_l2_what_an_edit_had_seen_is_known_until_then_and_still_hinders_a_retry(world: World) -> None:
    world.shut("UPDATE")
    sql(world.file, "UPDATE t SET a = 'A', b = 'B'")
    world.device.sync()
    (kept,) = world.device.rejected()
    assert kept.base == {"a": "x", "b": "y"}
    world.run(OPEN[world.kind], "UPDATE t SET b = 'of another'")
    world.device.sync()
    with pytest.raises(syncline.SynclineError, match="changed since, in b") as refused:
        world.device.retry(kept.id)
    assert refused.value.code == "retry_refused"


@pytest.mark.parametrize("policy", ["review", "replica_wins"])
def test_l2_an_edit_of_a_row_that_is_gone_since_is_offered_without_what_nobody_knows(
    make: Make, policy: str
) -> None:
    """The device deleted the row later, and has nothing of its other columns."""
    world = make(merge=policy)
    world.centre.keep()
    sql(world.file, "UPDATE t SET a = 'A'")
    world.device.sync()
    sql(world.file, "DELETE FROM t")
    world.device.sync()
    world.put_back()
    world.run("UPDATE t SET b = 'centre'")
    world.device.sync()
    notes = [note for note in world.hub.conflicts() if note.sent is not None]
    assert [(note.sent, note.unknown.get("sent")) for note in notes] == [(["A", None], [1])]
    if policy == "review":
        world.hub.resolve(notes[0].id, "sent")
        world.device.sync()
        assert world.rows() == [("k", "A", "centre")]
