"""A change of one table that devices cannot follow: that table is out of service, everything else goes on."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.errors import BreakingChange, TransportError, UsageError
from syncline.hub.contract.codes import REMEDIES
from syncline.hub.retention import Retention
from syncline.replica.examine import examine
from tests.integration.test_restored_schema import Centre, Device, Line, PostgresCentre, Servers, SqliteCentre

DDL = """
CREATE TABLE farm (id BIGINT PRIMARY KEY, name TEXT NOT NULL, size BIGINT, note TEXT);
CREATE TABLE visit (id TEXT PRIMARY KEY, farm BIGINT REFERENCES farm (id), remark TEXT);
CREATE TABLE crop (id BIGINT PRIMARY KEY, name TEXT);
INSERT INTO farm VALUES (1, 'Hill', 3, 'steep'), (2, 'Dale', 5, 'wet');
INSERT INTO visit VALUES ('v1', 1, 'first');
INSERT INTO crop VALUES (1, 'rye')
"""
POSTGRESQL = {
    "type": (
        "ALTER TABLE farm ALTER COLUMN size TYPE smallint",
        "ALTER TABLE farm ALTER COLUMN size TYPE bigint",
    ),
    "key": (
        "ALTER TABLE crop DROP CONSTRAINT crop_pkey; ALTER TABLE crop ADD PRIMARY KEY (name)",
        "ALTER TABLE crop DROP CONSTRAINT crop_pkey; ALTER TABLE crop ALTER COLUMN name DROP NOT NULL;"
        " ALTER TABLE crop ADD PRIMARY KEY (id)",
    ),
}


def made_anew(table: str, columns: str) -> str:
    names = ", ".join(part.split()[0] for part in columns.split(", "))
    return (
        f"PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE fresh ({columns}); INSERT INTO fresh SELECT {names}"
        f" FROM {table}; DROP TABLE {table}; ALTER TABLE fresh RENAME TO {table}; COMMIT"
    )


SQLITE = {
    "type": (
        made_anew("farm", "id BIGINT PRIMARY KEY, name TEXT NOT NULL, size BLOB, note TEXT"),
        made_anew("farm", "id BIGINT PRIMARY KEY, name TEXT NOT NULL, size BIGINT, note TEXT"),
    ),
    "key": (
        made_anew("crop", "id BIGINT, name TEXT PRIMARY KEY"),
        made_anew("crop", "id BIGINT PRIMARY KEY, name TEXT"),
    ),
}


class World:
    """A centre, two servers of its hub, and a breaking change of each kind with what undoes it."""

    def __init__(self, folder: Path, centre: Centre, is_configured: bool) -> None:
        self.folder, self.centre, self.servers = folder, centre, Servers()
        self.is_configured = is_configured
        self.changes = SQLITE if isinstance(centre, SqliteCentre) else POSTGRESQL
        centre.run(DDL)
        self.servers.hubs = [self.server(), self.server()]
        self.servers.hubs[0].init()

    def server(self) -> syncline.Hub:
        names = ("farm", "visit", "crop")
        tables = {name: syncline.Table() for name in names} if self.is_configured else None
        return syncline.Hub(self.centre.url, tables=tables)

    def look_now(self) -> None:
        """PostgreSQL is looked at every two seconds; this time it is not waited for."""
        for hub in self.servers.hubs:
            hub._follower.look_now()

    def change(self, script: str) -> None:
        self.centre.run(script)
        self.look_now()

    def device(self, name: str) -> Device:
        path = self.folder / name
        syncline.clone(self.servers, path).close()  # type: ignore[arg-type]
        return Device(path, Line(self.servers))


@pytest.fixture(params=["sqlite", "postgresql"])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Centre:
    if request.param == "sqlite":
        return SqliteCentre(tmp_path)
    return PostgresCentre(request.getfixturevalue("postgres_database"))


@pytest.fixture(params=[True, False], ids=["configured", "all"])
def world(request: pytest.FixtureRequest, tmp_path: Path, centre: Centre) -> Iterator[World]:
    made = World(tmp_path, centre, request.param)
    yield made
    for hub in made.servers.hubs:
        hub.close()


@pytest.fixture
def all_world(tmp_path: Path, centre: Centre) -> Iterator[World]:
    """A world whose hub was not told which tables take part."""
    made = World(tmp_path, centre, is_configured=False)
    yield made
    for hub in made.servers.hubs:
        hub.close()


def edit(device: Device, n: int) -> None:
    device.run(
        f"INSERT INTO farm (id, name, size) VALUES ({n}, 'F', {n})",
        f"INSERT INTO crop VALUES ({n}, 'c{n}')",
        f"INSERT INTO visit VALUES ('v{n}', 1, 'here')",
    )


@pytest.mark.parametrize("kind", ["type", "key"])
def test_l12_a_table_that_devices_cannot_follow_stops_no_other(
    world: World, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    table, others = ("farm", ["crop", "visit"]) if kind == "type" else ("crop", ["farm", "visit"])
    a, b = world.device("a.db"), world.device("b.db")
    edit(a, 10)
    a.line.loses = "request"
    with pytest.raises(TransportError):
        a.sync()  # a push in flight has edits of all of them
    a.line.loses = ""
    edit(b, 20)
    with caplog.at_level(logging.WARNING, "syncline.hub"):
        world.change(world.changes[kind][0] + "; ALTER TABLE visit ADD COLUMN mood TEXT DEFAULT 'good'")
    said = [record.message for record in caplog.records]
    assert any(f"table {table}" in text and "everything else goes on" in text for text in said)
    for _ in range(2):
        a.sync()
        b.sync()
    new = world.device("new.db")
    for other in others:
        columns = "id, farm, remark, mood" if other == "visit" else "id, name"
        wanted = [tuple(row) for row in world.centre.run(f"SELECT {columns} FROM {other} ORDER BY 1")]
        assert {10, 20} <= {row[0] for row in wanted} or {"v10", "v20"} <= {row[0] for row in wanted}
        for device in (a, b, new):
            assert device.rows(other, columns) == wanted
    for device, n in ((a, 10), (b, 20)):
        (kept,) = device.replica.rejected()
        assert (kept.table, kept.code, kept.key) == (table, "table_changed", (n,))
        assert f"table {table}" in kept.detail and kept.remedy
        assert f"table {table}" in device.replica.status().changed[table]
        assert device.rows(table, "id")[-1] == (n,)  # what it has stays
        with pytest.raises(UsageError, match=f"table {table} takes no part: table {table}") as refused:
            device.replica.retry(kept.id)
        assert (refused.value.code, refused.value.remedy) == ("table_changed", REMEDIES["table_changed"])
        found = device.replica.verify()  # it is named, and does not count
        assert found.equal and set(found.changed) == {table}
    with world.server() as hub:
        (finding,) = [one for one in hub.examine() if one.code == "breaking_change"]
    assert f"table {table}" in finding.sentence


def test_a_server_says_once_what_devices_cannot_follow(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def said(hub: syncline.Hub, looks: int) -> int:
        caplog.clear()
        for _ in range(looks):
            hub._follower.look()
            assert hub.schema.tables
        return sum("devices cannot follow" in record.message for record in caplog.records)

    hubs = world.servers.hubs
    for hub in hubs:
        hub._follower._pause = 0
        assert said(hub, 3) == 0
    world.centre.run(world.changes["type"][0])
    assert [said(hub, 3) for hub in hubs] == [1, 1]
    with world.server() as late:
        late._follower._pause = 0
        assert said(late, 3) == 1
    world.centre.run(world.changes["type"][1])
    assert [said(hub, 3) for hub in hubs] == [0, 0]
    world.centre.run(world.changes["type"][0])
    assert [said(hub, 3) for hub in hubs] == [1, 1]


@pytest.mark.parametrize("kind", ["type", "key"])
def test_l5_a_change_that_is_undone_brings_the_table_back(world: World, kind: str) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    world.change(world.changes[kind][0])
    a.sync()
    edit(a, 10)
    world.change(world.changes[kind][1])
    for _ in range(2):
        a.sync()
        b.sync()
    for name in ("farm", "crop"):
        wanted = [tuple(row) for row in world.centre.run(f"SELECT id, name FROM {name} ORDER BY 1")]
        assert [row[0] for row in wanted][-1] == 10  # written while it was out of service
        assert a.rows(name, "id, name") == b.rows(name, "id, name") == wanted
    assert a.replica.verify().equal and b.replica.verify().equal
    assert not a.replica.status().changed


@pytest.mark.parametrize("apart", ["farm", "visit"])
def test_a_table_that_comes_back_has_the_foreign_keys_again_to_it_and_from_it(
    world: World, apart: str
) -> None:
    def keys(device: Device) -> list[tuple[object, ...]]:
        return device.app.execute("SELECT * FROM pragma_foreign_key_list('visit')").fetchall()

    a = world.device("a.db")
    before = keys(a)
    assert len(before) == 1
    if apart == "farm":
        change, undo = world.changes["type"]
    elif isinstance(world.centre, PostgresCentre):
        change, undo = (
            f"ALTER TABLE visit ALTER COLUMN remark TYPE {kind}" for kind in ("varchar(9)", "text")
        )
    else:
        columns = "id TEXT PRIMARY KEY, farm BIGINT REFERENCES farm (id), remark"
        change, undo = (made_anew("visit", f"{columns} {kind}") for kind in ("BLOB", "TEXT"))
    world.change(change)
    a.sync()
    assert a.replica.status().changed and keys(a) == []
    between = world.device("between.db")
    world.change(undo)
    for name, device in (("a.db", a), ("between.db", between)):
        device.sync()
        assert keys(device) == before
        with pytest.raises(sqlite3.IntegrityError):
            device.run("INSERT INTO visit VALUES ('lost', 99, '')")
        with pytest.raises(sqlite3.IntegrityError):
            device.run("DELETE FROM farm WHERE id = 1")
        device.run(f"INSERT INTO visit VALUES ('{device.replica.id}', 2, 'there')")
        device.sync()
        assert device.replica.verify().equal and not device.replica.rejected()
        assert [one for one in examine(world.folder / name) if one.level == "trouble"] == []
    assert keys(world.device("new.db")) == before


def test_l2_rejected_edits_can_be_retried_when_their_table_takes_part_again(world: World) -> None:
    a = world.device("a.db")
    a.run("UPDATE farm SET size = 30, note = 'mine' WHERE id = 1", "DELETE FROM farm WHERE id = 2")
    world.change(world.changes["type"][0])
    a.sync()
    assert [(one.op, one.code) for one in a.replica.rejected()] == [
        ("U", "table_changed"),
        ("D", "table_changed"),
    ]
    for kept in a.replica.rejected():
        with pytest.raises(UsageError, match=r"table farm takes no part: .*now: not every value"):
            a.replica.retry(kept.id)
    world.change(world.changes["type"][1])
    a.sync()
    assert a.rows("farm", "id, size, note") == [(1, 3, "steep"), (2, 5, "wet")]
    for kept in a.replica.rejected():
        a.replica.retry(kept.id)
    a.sync()
    assert a.replica.rejected() == []
    assert [tuple(row) for row in world.centre.run("SELECT id, size, note FROM farm")] == [(1, 30, "mine")]
    assert a.replica.verify().equal


def test_l2_what_others_wrote_meanwhile_into_a_table_that_takes_part_again_is_not_overwritten(
    world: World,
) -> None:
    a = world.device("a.db")
    a.run("UPDATE farm SET note = 'mine' WHERE id = 1", "UPDATE farm SET size = 50 WHERE id = 2")
    world.change(world.changes["type"][0])
    a.sync()
    world.change(world.changes["type"][1])
    world.centre.run("UPDATE farm SET note = 'theirs', size = 6")
    a.sync()
    for kept in a.replica.rejected():
        with pytest.raises(UsageError, match="the row was changed since"):
            a.replica.retry(kept.id)
    assert len(a.replica.rejected()) == 2


def test_l3_a_rejected_edit_whose_row_comes_back_as_a_pending_insert_is_not_there_twice(world: World) -> None:
    a = world.device("a.db")
    edit(a, 10)
    a.run("UPDATE farm SET size = size + 30 WHERE id = 2")
    world.change(world.changes["type"][0])
    a.sync()
    assert [one.code for one in a.replica.rejected()] == ["table_changed"] * 2
    world.centre.run("DELETE FROM farm WHERE id = 2")
    world.change(world.changes["type"][1])
    a.sync()
    assert a.replica.rejected() == []
    a.sync()
    assert [tuple(row) for row in world.centre.run("SELECT id, size FROM farm ORDER BY id")] == [
        (1, 3),
        (2, 35),
        (10, 10),
    ]


def test_a_retry_of_a_column_that_the_table_lacks_now_says_so(world: World) -> None:
    a = world.device("a.db")
    a.run(
        "UPDATE farm SET size = 30, note = 'mine' WHERE id = 1", "UPDATE farm SET note = 'mine' WHERE id = 2"
    )
    world.change(world.changes["type"][0])
    a.sync()
    world.change(world.changes["type"][1] + "; ALTER TABLE farm DROP COLUMN note")
    a.run("ALTER TABLE farm DROP COLUMN note")
    a.sync()
    first, second = sorted(a.replica.rejected(), key=lambda one: str(one.key))
    a.replica.retry(first.id)
    (rest,) = (one for one in a.replica.rejected() if one.id == first.id)
    assert (rest.code, rest.values) == ("column_dropped", {"note": "mine"})
    with pytest.raises(UsageError, match="no column note any more"):
        a.replica.retry(second.id)
    a.sync()
    assert [tuple(row) for row in world.centre.run("SELECT size FROM farm WHERE id = 1")] == [(30,)]


@pytest.mark.parametrize("here", ["nothing", "add", "rename"])
def test_l2_what_a_pending_insert_does_not_have_of_a_rejected_edit_stays_kept(
    world: World, here: str
) -> None:
    """The table comes back without a column, or with another name of it, and the remedy of `doctor` is
    followed: what nobody has written is no conflict, what was written and is not sent is not forgotten."""
    a = world.device("a.db")
    a.run(
        "INSERT INTO farm VALUES (10, 'Fen', 7, 'mine')",
        "INSERT INTO farm (id, name, size) VALUES (11, 'Moor', 9)",
        "UPDATE farm SET note = NULL, size = 4 WHERE id = 2",
    )
    world.change(world.changes["type"][0])
    a.sync()
    assert [one.code for one in a.replica.rejected()] == ["table_changed"] * 3
    lacks = "DROP COLUMN note" if here == "nothing" else "RENAME COLUMN note TO remark"
    world.change(f"{world.changes['type'][1]}; DELETE FROM farm WHERE id = 2; ALTER TABLE farm {lacks}")
    a.sync()
    (finding,) = [one for one in examine(world.folder / "a.db") if one.code == "table_not_made"]
    if here != "nothing":
        assert "RENAME COLUMN" in finding.remedy and "ADD COLUMN" in finding.remedy
    if here == "add":
        a.run("ALTER TABLE farm ADD COLUMN remark TEXT DEFAULT 'none'")
        world.centre.run("INSERT INTO farm VALUES (3, 'Low', 1, 'theirs')")
        a.run("INSERT INTO farm (id, name, size, remark) VALUES (3, 'Low', 1, 'written')")
        a.run("UPDATE farm SET remark = NULL WHERE id = 10")
    elif here == "rename":
        a.run("ALTER TABLE farm RENAME COLUMN note TO remark")
    a.replica.track("farm")
    a.sync()
    left = [] if here == "rename" else [((2,), {"note": None}), ((10,), {"note": "mine"})]
    kept = a.replica.rejected()
    assert sorted((one.key, one.values) for one in kept) == left
    assert {one.code for one in kept} <= {"column_dropped"}
    assert [tuple(one.key) for one in a.replica.conflicts()] == ([(3,)] if here == "add" else [])
    wanted = {"nothing": "id, size", "add": "id, size, remark", "rename": "id, size, remark"}[here]
    assert [tuple(row) for row in world.centre.run(f"SELECT {wanted} FROM farm ORDER BY id")] == {
        "nothing": [(1, 3), (2, 4), (10, 7), (11, 9)],
        "add": [(1, 3, "steep"), (2, 4, "none"), (3, 1, "theirs"), (10, 7, None), (11, 9, "none")],
        "rename": [(1, 3, "steep"), (2, 4, None), (10, 7, "mine"), (11, 9, None)],
    }[here]
    assert a.replica.verify().equal


def test_l2_an_edit_of_a_table_that_was_made_again_under_its_name_can_be_retried(world: World) -> None:
    """The other remedy of `doctor`: the application's table is renamed, and the centre's is made."""
    a = world.device("a.db")
    a.run(
        "UPDATE farm SET size = 30, note = 'mine' WHERE id = 1",
        "INSERT INTO farm VALUES (10, 'Fen', 7, 'new')",
        "DELETE FROM farm WHERE id = 2",
    )
    world.change(world.changes["type"][0])
    a.sync()
    world.change(
        f"{world.changes['type'][1]}; ALTER TABLE farm ADD COLUMN kind TEXT;"
        " ALTER TABLE farm RENAME COLUMN size TO area"
    )
    a.sync()
    assert a.replica.status().left_out == ("farm",)
    a.run("ALTER TABLE farm RENAME TO farm_mine")
    for _ in range(2):
        a.sync()
    assert sorted(one.op for one in a.replica.rejected()) == ["D", "I", "U"]
    for kept in a.replica.rejected():
        a.replica.retry(kept.id)
    a.sync()
    left = sorted(a.replica.rejected(), key=lambda one: one.key)
    assert [(one.key, one.code, one.values) for one in left] == [
        ((1,), "column_dropped", {"size": 30}),
        ((10,), "column_dropped", {"size": 7}),
    ]
    assert [tuple(row) for row in world.centre.run("SELECT id, area, note FROM farm ORDER BY id")] == [
        (1, 3, "mine"),
        (10, None, "new"),
    ]
    assert a.replica.verify().equal


def test_l12_an_edit_of_a_table_that_has_another_key_now_cannot_be_retried_and_says_so(world: World) -> None:
    a = world.device("a.db")
    a.run("UPDATE crop SET name = 'oats' WHERE id = 1")
    world.change(world.changes["key"][0])
    a.sync()
    with world.server() as hub:
        hub.init(yes=True)
    world.look_now()
    a.sync()
    a.run("ALTER TABLE crop RENAME TO crop_mine")
    a.sync()
    (kept,) = a.replica.rejected()
    with pytest.raises(UsageError, match=r"takes part again, .*: its key is name now") as refused:
        a.replica.retry(kept.id)
    assert refused.value.code == "table_again" and "compared" not in refused.value.remedy
    assert a.replica.rejected() == [kept]


def test_l12_a_row_without_a_value_that_devices_cannot_give_says_who_can(all_world: World) -> None:
    """Written once more it would be refused once more."""
    world = all_world
    a = world.device("a.db")
    world.change(requires(world.centre, "crop", CROP))
    a.run("INSERT INTO crop (id, name) VALUES (7, 'oats')")
    a.sync()
    (kept,) = a.replica.rejected()
    assert kept.code == "not_null_violation" and "kind" in kept.detail
    assert "whoever runs the hub" in kept.remedy and "value_demanded" in kept.remedy
    if isinstance(world.centre, PostgresCentre):
        world.change("ALTER TABLE crop ALTER COLUMN kind SET DEFAULT 'later'")
    else:
        world.change(respelled("crop", "kind TEXT NOT NULL", "kind TEXT NOT NULL DEFAULT ''later''"))
    a.sync()
    a.replica.retry(kept.id)
    a.sync()
    assert not a.replica.rejected() and a.replica.verify().equal
    assert tuple(world.centre.run("SELECT name, kind FROM crop WHERE id = 7")[0]) == ("oats", "later")


def test_a_hub_whose_tables_are_all_out_of_service_goes_on_with_everything_else(
    centre: Centre, tmp_path: Path
) -> None:
    centre.run("CREATE TABLE farm (id BIGINT PRIMARY KEY, size BIGINT); INSERT INTO farm VALUES (1, 3)")
    servers = Servers()
    with syncline.Hub(centre.url, retention=Retention(keep=0)) as hub:
        servers.hubs = [hub]
        hub.init()
        syncline.clone(servers, tmp_path / "a.db").close()  # type: ignore[arg-type]
        a = Device(tmp_path / "a.db", Line(servers))
        a.run("INSERT INTO farm VALUES (2, 4)")
        a.sync()
        if isinstance(centre, SqliteCentre):
            centre.run(made_anew("farm", "id BIGINT PRIMARY KEY, size BLOB"))
        else:
            centre.run("ALTER TABLE farm ALTER COLUMN size TYPE smallint")
        hub._follower.look_now()
        assert hub.schema.tables == ()
        a.run("INSERT INTO farm VALUES (3, 5)")
        a.sync()
        assert [one.code for one in a.replica.rejected()] == ["table_changed"]
        assert [one.behind for one in hub.replicas()] == [0]
        for dry_run in (True, False):
            assert hub.prune(dry_run=dry_run).more is False
        assert [one.code for one in hub.examine() if one.level == "trouble"] == ["breaking_change"]
        syncline.clone(servers, tmp_path / "new.db").close()  # type: ignore[arg-type]
        assert Device(tmp_path / "new.db", Line(servers)).sync() is not None
        assert a.replica.verify().equal and hub.conflicts() == []
        with closing(hub.hints()) as news:
            assert news.wait(0.1) in (True, False)


@pytest.mark.parametrize("kind", ["type", "key"])
def test_servers_notice_by_themselves_that_a_change_was_undone(world: World, kind: str) -> None:
    a = world.device("a.db")
    world.change(world.changes[kind][0])
    a.sync()
    for hub in world.servers.hubs:
        hub.schema  # noqa: B018  # both know what is set apart
    assert a.replica.status().changed
    world.centre.run(world.changes[kind][1])
    end = time.monotonic() + 60
    while a.replica.status().changed and time.monotonic() < end:
        time.sleep(0.2)
        a.sync()
    assert not a.replica.status().changed


@pytest.mark.parametrize("kind", ["type", "key"])
def test_init_asks_and_then_the_table_is_another_one_for_old_devices(world: World, kind: str) -> None:
    table = "farm" if kind == "type" else "crop"
    a = world.device("a.db")
    edit(a, 10)
    world.change(world.changes[kind][0])
    with world.server() as hub:
        asked = f"table {table}.*devices that cannot go on with these tables: 1"
        with pytest.raises(BreakingChange, match=asked):
            hub.init()
        for looked in (False, True):
            foreseen = hub.init(dry_run=True)
            assert foreseen.asks and foreseen.warnings and not foreseen.before.by_number.keys() - {0, 1, 2}
            assert [one.name for one in foreseen.schema.tables if one.number > 2] == [table]
            assert any("tracking" in note or "Installed" in note for note in foreseen.notes)
            if not looked:
                world.look_now()
        done = hub.init(yes=True)
        assert done.warnings
        assert {one.name: one.number for one in hub.schema.tables} == {
            one.name: one.number for one in foreseen.schema.tables
        }
    new = world.device("new.db")
    new.run("INSERT INTO crop VALUES (30, 'oats')", "INSERT INTO farm (id, name, size) VALUES (30, 'G', 7)")
    for _ in range(2):
        new.sync()
        a.sync()
    assert {(30,)} < set(map(tuple, world.centre.run(f"SELECT id FROM {table}")))
    # Where the file's own table fits and has that key, the row was a pending insert of it.
    goes = kind == "type" and "farm" in a.replica.status().tables
    assert [one.code for one in a.replica.rejected()] == ([] if goes else ["table_changed"])
    assert new.replica.verify().equal
    others = {"farm", "crop", "visit"} - {table}
    for name in others:
        assert a.rows(name, "id") == [
            tuple(row) for row in world.centre.run(f"SELECT id FROM {name} ORDER BY 1")
        ]
    with world.server() as hub:
        assert hub.init().warnings == []  # nothing to agree to any more


REQUIRED = "ALTER TABLE {0} ADD COLUMN kind TEXT NOT NULL DEFAULT 'old'"
UNTOLD = "ALTER TABLE {0} ALTER COLUMN kind DROP DEFAULT"
"""A column that must have a value and has no default, in PostgreSQL in two steps."""


def requires(centre: Centre, table: str, columns: str) -> str:
    """What adds such a column to a table with these columns."""
    if isinstance(centre, PostgresCentre):
        return f"{REQUIRED.format(table)}; {UNTOLD.format(table)}"
    names = ", ".join(part.split()[0] for part in columns.split(", "))
    return (
        f"PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE fresh ({columns}, kind TEXT NOT NULL);"
        f" INSERT INTO fresh SELECT {names}, 'old' FROM {table}; DROP TABLE {table};"
        f" ALTER TABLE fresh RENAME TO {table}; COMMIT"
    )


CROP = "id BIGINT PRIMARY KEY, name TEXT"
THEN = {
    "column": "ALTER TABLE crop RENAME COLUMN name TO title",
    "table": "ALTER TABLE crop RENAME TO plant",
    "added": "ALTER TABLE crop ADD COLUMN colour TEXT DEFAULT 'green'",
    "wider": "ALTER TABLE crop ALTER COLUMN name TYPE text",
    "dropped": "ALTER TABLE crop DROP COLUMN size",
    "loose": "ALTER TABLE crop ALTER COLUMN size DROP NOT NULL",
}
"""What devices can follow, made with a table that has a column without a default already."""


def respelled(table: str, before: str, after: str) -> str:
    """The definition of an SQLite centre's table with other words, which everybody reads anew."""
    return (
        f"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '{before}', '{after}')"
        f" WHERE name = '{table}'; PRAGMA writable_schema = RESET; CREATE TABLE bump (x); DROP TABLE bump"
    )


@pytest.mark.parametrize(("then", "first"), [*((then, "new") for then in THEN), ("column", "known")])
def test_l2_a_table_with_a_column_without_a_default_follows_what_devices_can_follow(
    all_world: World, then: str, first: str
) -> None:
    world = all_world
    is_postgres = isinstance(world.centre, PostgresCentre)
    if not is_postgres and then in ("wider", "dropped", "loose"):
        pytest.skip("an SQLite centre has no such statement for a captured column")
    columns = f"{CROP}, size BIGINT, kind TEXT" if first == "known" else CROP
    if is_postgres:
        world.change(
            "ALTER TABLE crop ALTER COLUMN name TYPE varchar(5);"
            " ALTER TABLE crop ADD COLUMN size BIGINT NOT NULL DEFAULT 1"
            + ("; ALTER TABLE crop ADD COLUMN kind TEXT" if first == "known" else "")
        )
        with world.server() as hub:
            hub.init(yes=True)
        world.look_now()
    elif first == "known":
        world.change("ALTER TABLE crop ADD COLUMN size BIGINT; ALTER TABLE crop ADD COLUMN kind TEXT")
    a = world.device("a.db")
    world.centre.run("INSERT INTO crop (id, name) VALUES (2, 'oats')")
    if first == "new":
        world.change(requires(world.centre, "crop", columns))
    elif is_postgres:
        world.change("UPDATE crop SET kind = 'old'; ALTER TABLE crop ALTER COLUMN kind SET NOT NULL")
    else:
        world.change("UPDATE crop SET kind = 'old'; " + respelled("crop", "kind TEXT", "kind TEXT NOT NULL"))
    a.sync()
    a.run("UPDATE crop SET name = 'mine' WHERE id = 2")
    world.change(THEN[then])
    for _ in range(2):
        a.sync()
    table, name = "plant" if then == "table" else "crop", "title" if then == "column" else "name"
    assert not a.replica.rejected() and not a.replica.status().pending
    assert not a.replica.status().changed and not a.replica.status().left_out
    mine = world.centre.run(f"SELECT {name}, kind FROM {table} WHERE id = 2")
    assert [tuple(row) for row in mine] == [("mine", "old")]
    assert a.replica.verify().equal
    assert ("colour" in [row[1] for row in a.app.execute("PRAGMA table_info(crop)")]) == (then == "added")
    new = world.device("new.db")
    assert new.replica.verify().equal
    assert ("kind" in [row[1] for row in new.app.execute(f"PRAGMA table_info({table})")]) == (
        first == "known"
    )
    new.run(f"INSERT INTO {table} (id, {name}) VALUES (9, 'none')")
    new.sync()
    assert [one.code for one in new.replica.rejected()] == ["not_null_violation"]
    if is_postgres:
        world.change(f"ALTER TABLE {table} ALTER COLUMN kind SET DEFAULT 'later'")
    else:
        world.change(respelled(table, "kind TEXT NOT NULL", "kind TEXT NOT NULL DEFAULT ''later''"))
    for _ in range(2):
        a.sync()
    a.replica.upgrade()
    a.run(f"INSERT INTO {table} (id, {name}) VALUES (3, 'rye')")
    a.sync()
    assert a.rows(table, f"id, {name}, kind")[1:3] == [(2, "mine", "old"), (3, "rye", "later")]
    assert not a.replica.rejected() and not a.replica.status().left_out and a.replica.verify().equal


def test_l5_a_table_that_is_narrower_no_more_comes_back_though_a_column_has_no_default(
    world: World,
) -> None:
    """What it was out of service for is undone, and the column that devices cannot give waits."""
    a = world.device("a.db")
    world.centre.run("INSERT INTO farm (id, name, size) VALUES (3, 'Moor', 7)")
    farm = "id BIGINT PRIMARY KEY, name TEXT NOT NULL, size BIGINT, note TEXT"
    narrow, wide = world.changes["type"]
    if isinstance(world.centre, SqliteCentre):
        world.change(requires(world.centre, "farm", farm.replace("size BIGINT", "size BLOB")))
        wide = made_anew("farm", f"{farm}, kind TEXT NOT NULL")
    else:
        world.change(f"{requires(world.centre, 'farm', farm)}; {narrow}")
    a.sync()
    assert "kind" not in a.replica.status().changed["farm"]  # what devices could do without is not why
    a.run("UPDATE farm SET size = 8 WHERE id = 2")
    world.change(wide)
    for _ in range(2):
        a.sync()
    assert not a.replica.status().changed and not a.replica.status().left_out
    assert a.rows("farm", "id")[-1] == (3,)
    assert a.replica.verify().equal
    a.run("UPDATE farm SET note = 'mine' WHERE id = 3")
    a.sync()
    assert world.centre.run("SELECT note, kind FROM farm WHERE id = 3")[0][:] == ("mine", "old")


@pytest.mark.parametrize("kind", ["rename", "schema"])
def test_a_table_that_has_another_name_and_a_column_without_a_default_goes_on(
    world: World, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is served where it is now, without what devices do not know of."""
    if kind == "schema" and isinstance(world.centre, SqliteCentre):
        pytest.skip("an SQLite centre has one schema")
    a = world.device("a.db")
    edit(a, 10)
    if isinstance(world.centre, SqliteCentre):
        # a column that is there, with another constraint, is the same column under the table's new name
        move = (
            "ALTER TABLE crop RENAME TO plant; PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql ="
            " replace(sql, 'name TEXT', 'name TEXT NOT NULL') WHERE name = 'plant';"
            " PRAGMA writable_schema = RESET"
        )
    else:
        move = requires(world.centre, "crop", "") + "; "
        move += (
            "ALTER TABLE crop RENAME TO plant"
            if kind == "rename"
            else "CREATE SCHEMA other; ALTER TABLE crop SET SCHEMA other"
        )
    with caplog.at_level(logging.WARNING, "syncline.hub"):
        world.change(move)
    assert any("everything else goes on" in record.message for record in caplog.records)
    for _ in range(2):
        a.sync()
    assert [(one.table, one.code) for one in a.replica.rejected()] == (
        [] if isinstance(world.centre, SqliteCentre) else [("crop", "not_null_violation")]
    )
    assert not a.replica.status().left_out and not a.replica.status().changed
    for name in ("farm", "visit"):
        wanted = [tuple(row) for row in world.centre.run(f"SELECT id FROM {name} ORDER BY 1")]
        assert a.rows(name, "id") == wanted and len(wanted) > 1


@pytest.mark.parametrize("what", ["table", "column", "gone"])
def test_a_table_with_a_column_without_a_default_is_served_when_its_parent_is_another(
    world: World, what: str
) -> None:
    if what == "gone" and isinstance(world.centre, SqliteCentre):
        pytest.skip("in SQLite the foreign key stays, and the table cannot take part without its parent")
    a = world.device("a.db")
    edit(a, 10)
    a.sync()
    visit = "id TEXT PRIMARY KEY, farm BIGINT REFERENCES farm (id), remark TEXT"
    world.centre.run(requires(world.centre, "visit", visit))
    other = f"ALTER TABLE farm RENAME {'' if what == 'table' else 'COLUMN id'} TO other"
    world.change("DROP TABLE farm CASCADE" if what == "gone" else other)
    a.run("UPDATE visit SET remark = 'again' WHERE id = 'v10'", "UPDATE crop SET name = 'oats' WHERE id = 10")
    for _ in range(2):
        a.sync()
    assert [tuple(row) for row in world.centre.run("SELECT remark, kind FROM visit ORDER BY id")] == [
        ("first", "old"), ("again", "old"),
    ]  # fmt: skip
    assert [tuple(row) for row in world.centre.run("SELECT name FROM crop WHERE id = 10")] == [("oats",)]
    assert not a.replica.rejected() and not a.replica.status().pending
    assert a.replica.verify().equal
    new = world.device("new.db")
    new.run(f"INSERT INTO visit (id, farm) VALUES ('v20', {'NULL' if what == 'gone' else 2})")
    new.sync()
    assert new.replica.verify().equal and new.replica.rejected()[0].code == "not_null_violation"


def test_a_table_that_can_be_served_as_before_is_and_changes_of_others_are_followed(world: World) -> None:
    """A column that must have a value and has no default: Django adds one like that."""
    a = world.device("a.db")
    edit(a, 10)
    if isinstance(world.centre, SqliteCentre):
        columns = "id BIGINT PRIMARY KEY, name TEXT, kind TEXT NOT NULL"
        change = (
            f"BEGIN; CREATE TABLE fresh ({columns}); INSERT INTO fresh SELECT id, name, 'old' FROM crop;"
            " DROP TABLE crop; ALTER TABLE fresh RENAME TO crop; COMMIT"
        )
    else:
        change = (
            "ALTER TABLE crop ADD COLUMN kind TEXT NOT NULL DEFAULT 'old';"
            " ALTER TABLE crop ALTER COLUMN kind DROP DEFAULT"
        )
    world.change(
        change + "; ALTER TABLE farm RENAME COLUMN note TO words; ALTER TABLE visit ADD COLUMN mood TEXT"
    )
    a.run("UPDATE crop SET name = 'oats' WHERE id = 1", "UPDATE farm SET note = 'high' WHERE id = 1")
    for _ in range(2):
        a.sync()
    assert world.centre.run("SELECT words FROM farm WHERE id = 1")[0][0] == "high"
    assert [tuple(row) for row in world.centre.run("SELECT name, kind FROM crop")] == [("oats", "old")]
    assert [(one.table, one.code) for one in a.replica.rejected()] == [("crop", "not_null_violation")]
    assert "mood" in [row[1] for row in a.app.execute("PRAGMA table_info(visit)")]
    assert not a.replica.status().changed
    assert a.replica.verify().equal


@pytest.mark.parametrize("looked", [False, True])
def test_l12_what_is_said_of_a_column_without_a_default_begins_with_the_harmless_way(
    all_world: World, caplog: pytest.LogCaptureFixture, looked: bool
) -> None:
    """An operator who was told of devices that cannot go on took a table down that went on."""
    world = all_world
    for name in ("a.db", "b.db"):
        world.device(name)
    world.centre.run(requires(world.centre, "crop", CROP))
    with caplog.at_level(logging.WARNING, "syncline.hub"):
        if looked:
            world.look_now()
    with world.server() as hub:
        examined = {one.code: one for one in hub.examine()}
        found = examined["value_demanded"]
        assert "breaking_change" not in examined and "column kind" in found.sentence
        with pytest.raises(BreakingChange) as refused:
            hub.init()
        said = [found.remedy, refused.value.remedy, *(record.getMessage() for record in caplog.records)]
        assert len(said) == 2 + 2 * looked
        for words in said:
            assert "Nothing is out of service" in words
            assert words.index("SET DEFAULT") < words.index("--yes")
        for words in (refused.value.detail, *hub.init(dry_run=True).warnings[-1:]):
            assert "cannot go on" not in words and "that go on with these tables" in words
            assert "has a default: 2;" in words
        done = hub.init(yes=True)
        assert "other ones from now on: 2;" in done.warnings[-1] and "crop" in done.warnings[0]


def test_a_column_that_an_upgrade_of_the_application_brings_first_is_agreed_to_without_loss(
    all_world: World,
) -> None:
    """The other way that is named: nothing is set aside where devices have the column and have synced."""
    world = all_world
    a = world.device("a.db")
    world.change(requires(world.centre, "crop", CROP))
    a.run("ALTER TABLE crop ADD COLUMN kind TEXT", "UPDATE crop SET kind = 'old', name = 'mine' WHERE id = 1")
    a.sync()
    with world.server() as hub:
        hub.init(yes=True)
    world.look_now()
    a.run("INSERT INTO crop VALUES (7, 'oats', 'new')")
    for _ in range(2):
        a.sync()
    assert not a.replica.rejected() and not a.replica.conflicts() and not a.replica.status().left_out
    assert [tuple(row) for row in world.centre.run("SELECT id, name, kind FROM crop ORDER BY id")] == [
        (1, "mine", "old"), (7, "oats", "new"),
    ]  # fmt: skip
    assert a.replica.verify().equal


def test_l12_a_table_that_is_narrower_and_has_a_column_without_a_default_is_out_of_service(
    world: World,
) -> None:
    """The others go on in part, and the sentences tell the two apart."""
    world.device("a.db")
    if isinstance(world.centre, SqliteCentre):
        farm = "id BIGINT PRIMARY KEY, name TEXT NOT NULL, size BLOB, note TEXT"
        world.centre.run(f"{requires(world.centre, 'crop', CROP)}; {requires(world.centre, 'farm', farm)}")
    else:
        world.centre.run(
            f"{requires(world.centre, 'crop', '')}; {requires(world.centre, 'farm', '')};"
            f" {world.changes['type'][0]}"
        )
    with world.server() as hub, pytest.raises(BreakingChange) as refused:
        hub.init()
    detail = refused.value.detail
    assert refused.value.remedy == BreakingChange.remedy
    assert "devices that cannot go on with these tables: 1;" in detail
    assert "devices that go on with tables with a column that must have a value" in detail
    assert detail.index("farm: column kind") < detail.index("crop: column kind")


def test_l12_init_and_doctor_say_what_becomes_of_edits_of_what_was_dropped(all_world: World) -> None:
    world = all_world
    a = world.device("a.db")
    a.run("UPDATE farm SET note = 'flat' WHERE id = 1", "UPDATE crop SET name = 'oats'")
    if isinstance(world.centre, SqliteCentre):
        world.centre.run(made_anew("farm", "id BIGINT PRIMARY KEY, name TEXT NOT NULL, size BIGINT"))
    else:
        world.centre.run("ALTER TABLE farm DROP COLUMN note")
    world.centre.run("DROP TABLE crop")
    with world.server() as hub:
        foreseen = {one.sentence for one in hub.examine() if one.code == "not_followed_yet"}
        done = hub.init()
    said = [note for note in done.notes if "kept as rejected ones" in note]
    assert set(said) < foreseen
    assert [words.split(":")[0] for words in said] == ["table crop takes part no longer", "table farm"]
    assert "column note is gone" in said[1]
    world.look_now()
    a.sync()
    assert sorted(one.code for one in a.replica.rejected()) == ["column_dropped", "table_dropped"]
    assert all(any(f"({one.code})" in words for words in said) for one in a.replica.rejected())


@pytest.mark.parametrize("remedy", ["track", "rename"])
def test_l12_rows_whose_parent_is_in_a_table_left_out_wait_and_stop_nothing(
    world: World, remedy: str
) -> None:
    def wanted(table: str, columns: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in world.centre.run(f"SELECT {columns} FROM {table} ORDER BY 1")]

    a = world.device("a.db")
    farm = "id BIGINT PRIMARY KEY, name TEXT NOT NULL, size BIGINT, note TEXT"
    world.change(requires(world.centre, "farm", farm))
    with world.server() as hub:
        assert hub.init(yes=True).warnings
    world.look_now()
    a.run("INSERT INTO visit VALUES ('v2', 2, 'here')", "INSERT INTO crop VALUES (2, 'oats')")
    a.sync()
    assert "table_not_made" in {one.code for one in examine(world.folder / "a.db")}
    world.change(
        "INSERT INTO farm (id, name, kind) VALUES (3, 'Moor', 'new');"
        " INSERT INTO visit VALUES ('v3', 3, 'there');"
        " INSERT INTO visit VALUES ('v4', 1, 'again'); UPDATE visit SET farm = 3 WHERE id = 'v1';"
        " INSERT INTO crop VALUES (3, 'wheat')"
    )
    a.run("UPDATE crop SET name = 'barley' WHERE id = 2")
    for _ in range(2):
        a.sync()
        assert [(row.table, row.key, row.object) for row in a.replica.waiting()] == [
            ("visit", (key,), "foreign key of visit to farm") for key in ("v1", "v3")
        ]
        assert a.rows("visit", "id, farm") == [("v1", 1), ("v2", 2), ("v4", 1)]
        assert a.rows("crop", "id, name") == wanted("crop", "id, name")
        assert wanted("crop", "name")[0] == ("barley",) and not a.replica.status().pending
    assert not a.replica.verify().equal
    world.change(
        "UPDATE visit SET remark = 'later' WHERE id = 'v3'; INSERT INTO visit VALUES ('v5', 3, 'new')"
    )
    a.sync()
    assert [row.key for row in a.replica.waiting()] == [("v1",), ("v3",), ("v5",)]
    if remedy == "track":
        a.run("ALTER TABLE farm ADD COLUMN kind TEXT")
        a.replica.track("farm")
    else:
        a.run("ALTER TABLE farm RENAME TO farm_old")  # the foreign key of visit follows it
    for _ in range(2):
        a.sync()
    assert a.rows("visit", "id, farm, remark") == wanted("visit", "id, farm, remark")
    assert a.rows("farm", "id, kind") == wanted("farm", "id, kind")
    assert not a.replica.waiting() and a.replica.verify().equal
    assert [row[2] for row in a.app.execute("PRAGMA foreign_key_list(visit)")] == ["farm"]
    assert "table_not_made" not in {one.code for one in examine(world.folder / "a.db")}
