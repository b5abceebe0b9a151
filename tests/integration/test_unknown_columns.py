"""What a device knows nothing of is not NULL: columns that it never had keep what they hold, or get the
default of the centre, whatever brings or replaces the row, and whoever decides (laws L2 and L6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import syncline
from syncline.cli.conflicts import conflicts
from syncline.model.actor import Actor
from syncline.protocol.messages import Push, Request, Response
from tests.support.application import sql
from tests.support.either import centre_with, run

ROWS = "INSERT INTO t VALUES ('k1', 'x'), ('k2', 'y'), ('k3', 'z')"
PRICE = "ALTER TABLE t ADD COLUMN price INTEGER DEFAULT 7"
TOKEN = {
    "sqlite": (
        "CREATE TABLE u (id TEXT PRIMARY KEY, a TEXT,"
        " token TEXT NOT NULL DEFAULT ('tok-' || hex(randomblob(4))))",
        "INSERT INTO u (id, a) SELECT id, a FROM t",
        "DROP TABLE t",
        "ALTER TABLE u RENAME TO t",
    ),
    "postgresql": (
        "CREATE FUNCTION mk() RETURNS text LANGUAGE sql AS $$ SELECT 'tok-' || gen_random_uuid() $$",
        "ALTER TABLE t ADD COLUMN token text NOT NULL DEFAULT mk()",
    ),
}
"""A column whose default the centre makes: where a device cannot, an application that names no token writes
NULL."""


class World:
    """A centre of either kind with one table, and one device of it."""

    def __init__(self, url: str, folder: Path, kind: str, table: syncline.Table) -> None:
        self.url, self.kind = url, kind
        self.hub = syncline.Hub(url, tables={"t": table})
        self.hub.init()
        self.device = syncline.clone(self.hub, folder / "d.db")

    def centre(self, *statements: str) -> None:
        run(self.url, *statements)

    def alter(self, *statements: str) -> None:
        run(self.url, *statements)
        self.hub.init()

    def app(self, *statements: str) -> None:
        sql(self.device.file, *statements)

    def rows(self) -> list[tuple[Any, ...]]:
        """Of the centre, as a new device is given them."""
        with syncline.clone(self.hub, Path(self.device.file).with_name("look.db")) as look:
            found = sql(look.file, "SELECT * FROM t ORDER BY id")
        for path in Path(self.device.file).parent.glob("look.db*"):
            path.unlink()
        return found

    def note(self) -> Any:
        (note,) = self.hub.conflicts()
        return note

    def close(self) -> None:
        self.device.close()
        self.hub.close()


Make = Callable[..., World]


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[World] = []

    def world(**rules: Any) -> World:
        ddl = "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT)"
        url = centre_with(request, request.param, tmp_path, ddl, ROWS)
        made.append(World(url, tmp_path, request.param, syncline.Table(**rules)))
        return made[-1]

    yield world
    for one in made:
        one.close()


def behind(world: World, *edits: str) -> None:
    """The device edits without knowing of the price, which the centre sets."""
    world.app(*edits)
    world.alter(PRICE)
    world.centre("UPDATE t SET a = 'centre', price = 99 WHERE id = 'k1'")
    world.device.sync()


# A row that competes as a whole ---------------------------------------------------------------------------


@pytest.mark.parametrize(("take", "a"), [("sent", "device"), ("base", "x"), ("hub", "centre")])
def test_l2_to_take_a_row_of_a_device_that_is_a_schema_behind_changes_only_what_it_had(
    make: Make, take: str, a: str
) -> None:
    world = make(merge="review")
    behind(world, "UPDATE t SET a = 'device' WHERE id = 'k1'")
    note = world.note()
    assert (note.base, note.sent, note.hub) == (["x", None], ["device", None], ["centre", 99])
    assert note.unknown == {"base": [1], "sent": [1]}
    done = world.hub.resolve(note.id, take)
    assert done.resolution == [a, 99]
    assert world.note() == done
    assert world.rows()[0] == ("k1", a, 99)
    world.device.sync()
    assert sql(world.device.file, "SELECT * FROM t WHERE id = 'k1'") == [("k1", a, 99)]
    assert world.device.verify().equal


def test_a_person_who_writes_a_row_says_all_of_it(make: Make) -> None:
    world = make(merge="review")
    behind(world, "UPDATE t SET a = 'device' WHERE id = 'k1'")
    world.hub.resolve(world.note().id, "value", ["ours", None])
    assert world.rows()[0] == ("k1", "ours", None)


def test_l2_a_row_that_is_replaced_or_deleted_a_schema_behind_is_taken_back_with_what_others_set(
    make: Make,
) -> None:
    world = make(merge="review")
    behind(world, "INSERT OR REPLACE INTO t VALUES ('k1', 'device')")
    note = world.note()
    assert (note.sent, note.unknown["sent"]) == (["device", None], [1])
    world.hub.resolve(note.id, "sent")
    assert world.rows()[0] == ("k1", "device", 99)


@pytest.mark.parametrize("take", ["sent", "base"])
def test_l2_a_row_that_was_deleted_comes_back_with_the_defaults_of_what_nobody_knows(
    make: Make, take: str
) -> None:
    world = make(merge="review")
    world.app("UPDATE t SET a = 'device' WHERE id = 'k1'")
    world.alter(PRICE)
    world.centre("DELETE FROM t WHERE id = 'k1'")
    world.device.sync()
    note = world.note()
    assert (note.hub, note.unknown) == (None, {"base": [1], "sent": [1]})
    a = {"sent": "device", "base": "x"}[take]
    assert world.hub.resolve(note.id, take).resolution == [a, 7]
    assert world.rows()[0] == ("k1", a, 7)


def test_l2_the_base_of_a_delete_a_schema_behind_leaves_what_others_set(make: Make) -> None:
    world = make(merge="hub_wins")
    behind(world, "DELETE FROM t WHERE id = 'k1'")
    note = world.note()
    assert (note.base, note.sent, note.hub) == (["x", None], None, ["centre", 99])
    assert note.unknown == {"base": [1]}
    world.hub.resolve(note.id, "base")
    assert world.rows()[0] == ("k1", "x", 99)


def test_l12_what_nobody_knows_is_shown_as_that(make: Make) -> None:
    world = make(merge="review")
    behind(world, "UPDATE t SET a = 'device' WHERE id = 'k1'")
    listed = CliRunner().invoke(conflicts, [str(world.device.file)])
    shown = CliRunner().invoke(conflicts, [str(world.device.file), "show", str(world.note().id)])
    for text in (listed.output, shown.output):
        assert "('x', ?)" in text
        assert "('device', ?)" in text
        assert "('centre', 99)" in text


# A default that the centre alone can make -----------------------------------------------------------------


def is_made(token: Any) -> bool:
    return isinstance(token, str) and token.startswith("tok-")


def tokens(world: World) -> dict[str, tuple[Any, Any]]:
    return {key: (a, token) for key, a, token in world.rows()}


def with_token(make: Make, **rules: Any) -> World:
    """The device knows of the column, and cannot make its default."""
    world = make(**rules)
    world.alter(*TOKEN[world.kind])
    world.device.sync()
    return world


def agreed(world: World) -> None:
    """Nothing was rejected, and the device has what the centre has."""
    world.device.sync()
    assert world.device.rejected() == []
    assert sql(world.device.file, "SELECT * FROM t ORDER BY id") == world.rows()
    assert world.device.verify().equal


def test_l2_a_row_that_replaces_another_keeps_what_the_centre_made_for_it(make: Make) -> None:
    world = with_token(make)
    before = tokens(world)
    assert all(is_made(token) for _, token in before.values())
    world.app(
        "INSERT INTO t VALUES ('k9', 'new', NULL)",
        "INSERT OR REPLACE INTO t VALUES ('k1', 'replaced', NULL)",
        "DELETE FROM t WHERE id = 'k2'",
        "INSERT INTO t VALUES ('k2', 'again', NULL)",
    )
    world.device.sync()
    after = tokens(world)
    assert {key: a for key, (a, _) in after.items()} == {
        "k1": "replaced",
        "k2": "again",
        "k3": "z",
        "k9": "new",
    }
    assert is_made(after["k9"][1])
    assert [after[key][1] for key in ("k1", "k2", "k3")] == [before[key][1] for key in ("k1", "k2", "k3")]
    agreed(world)


def test_l2_a_row_that_replaces_one_which_is_gone_gets_the_default(make: Make) -> None:
    world = with_token(make, merge="replica_wins")
    before = tokens(world)
    world.app("INSERT OR REPLACE INTO t VALUES ('k1', 'replaced', NULL)")
    world.centre("DELETE FROM t WHERE id = 'k1'")
    world.device.sync()
    a, token = tokens(world)["k1"]
    assert a == "replaced"
    assert is_made(token) and token != before["k1"][1]
    agreed(world)


class Meanwhile:
    """A hub before whose first push something else happens."""

    def __init__(self, hub: syncline.Hub, happens: Callable[[], None]) -> None:
        self._hub, self._happens = hub, [happens]

    def handle(self, actor: Actor, request: Request) -> Response:
        if isinstance(request, Push) and self._happens:
            self._happens.pop()()
        return self._hub.handle(actor, request)


BAD = {
    "sqlite": (
        "CREATE TRIGGER bad BEFORE INSERT ON t WHEN new.a = 'bad' BEGIN SELECT RAISE(ABORT, 'bad'); END",
    ),
    "postgresql": ("ALTER TABLE t ADD CONSTRAINT bad CHECK (a <> 'bad')",),
}


@pytest.mark.parametrize(
    ("merge", "is_there"), [({}, False), ("replica_wins", False), ("replica_wins", True)]
)
def test_l2_an_edit_that_brings_a_row_gets_or_leaves_what_the_device_could_not_make(
    make: Make, merge: Any, is_there: bool
) -> None:
    """The insert is rejected, and the row had been edited by then: its image holds no token."""
    world = with_token(make, merge=merge, deletes="update_wins", inserts="same_row")
    world.centre(*BAD[world.kind])
    world.hub.init()
    file = world.device.file
    world.app("INSERT INTO t VALUES ('k9', 'bad', NULL)")
    world.device.close()
    edited = Meanwhile(world.hub, lambda: world.app("UPDATE t SET a = 'good' WHERE id = 'k9'"))
    with syncline.connect(file, edited) as device:  # type: ignore[arg-type]
        device.push()
        assert [edit.op for edit in device.rejected()] == ["I"]
        device.discard(device.rejected()[0].id)
    if is_there:
        world.centre("INSERT INTO t VALUES ('k9', 'centre', 'tok-centre')")
    world.device = syncline.connect(file, world.hub)
    agreed(world)
    a, token = tokens(world)["k9"]
    assert a == "good"
    assert token == "tok-centre" if is_there else is_made(token)


@pytest.mark.parametrize("merge", [{}, "replica_wins"])
def test_l2_a_null_that_was_written_is_no_default(make: Make, merge: Any) -> None:
    world = with_token(make, merge=merge, deletes="update_wins")
    world.app("UPDATE t SET token = NULL WHERE id = 'k1'")
    world.centre("DELETE FROM t WHERE id = 'k1'")
    world.device.sync()
    (kept,) = world.device.rejected()
    assert (kept.values, kept.code) == ({"token": None}, "not_null_violation")


def test_l2_a_row_without_a_default_that_a_person_takes_keeps_or_gets_it(make: Make) -> None:
    world = with_token(make, merge="review", inserts="same_row")
    world.app("INSERT OR REPLACE INTO t VALUES ('k1', 'one', NULL), ('k2', 'two', NULL)")
    world.centre("UPDATE t SET a = 'centre', token = 'tok-centre' WHERE id IN ('k1', 'k2')")
    world.device.sync()
    world.centre("DELETE FROM t WHERE id = 'k2'")
    for note in world.hub.conflicts():
        assert note.unknown == {"sent": [1]}
        world.hub.resolve(note.id, "sent")
    assert tokens(world)["k1"] == ("one", "tok-centre")
    a, token = tokens(world)["k2"]
    assert a == "two"
    assert is_made(token) and token != "tok-centre"
    agreed(world)
