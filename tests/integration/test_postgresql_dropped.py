"""Tables and partitions of a PostgreSQL centre that go while devices have edits of them (L2, L12, L13)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import TransportError
from tests.integration.test_restored_schema import Device, Line, PostgresCentre, Servers

DDL = """
CREATE TABLE team (id int PRIMARY KEY, name text);
CREATE TABLE person (id int PRIMARY KEY, team int NOT NULL REFERENCES team ON DELETE CASCADE, name text);
CREATE TABLE visit (
    id int PRIMARY KEY, host int REFERENCES person, team int REFERENCES team ON DELETE SET NULL
);
CREATE TABLE place (id int PRIMARY KEY, name text);
CREATE VIEW teams AS SELECT name FROM team;
INSERT INTO team VALUES (1, 'red'), (2, 'blue');
INSERT INTO person VALUES (1, 1, 'Ada'), (2, 2, 'Bob');
INSERT INTO visit VALUES (1, 1, 2);
INSERT INTO place VALUES (1, 'Hill');
"""


class World:
    """A centre, two servers of its hub, and devices."""

    def __init__(self, folder: Path, centre: PostgresCentre, script: str, *tables: str) -> None:
        self.folder, self.centre, self.servers = folder, centre, Servers()
        self.tables = {name: syncline.Table() for name in tables} or None
        centre.run(script)
        self.servers.hubs = [self.server(), self.server()]
        self.servers.hubs[0].init()

    def server(self) -> syncline.Hub:
        return syncline.Hub(self.centre.url, tables=self.tables)

    def look_now(self) -> None:
        for hub in self.servers.hubs:
            hub._follower.look_now()

    def device(self, name: str) -> Device:
        path = self.folder / name
        syncline.clone(self.servers, path).close()  # type: ignore[arg-type]
        return Device(path, Line(self.servers))

    def directly(self, *statements: str) -> None:
        """What other programs do, one transaction each: none of it fails or waits (law L13)."""
        for statement in statements:
            self.centre.run(
                f"SET lock_timeout = '1s'; {statement}" if " CONC" not in statement else statement
            )

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.centre.run(sql)]

    def agree(self, *devices: Device, **tables: str) -> None:
        for table, columns in tables.items():
            wanted = self.rows(f"SELECT {columns} FROM {table} ORDER BY 1")
            for device in devices:
                assert device.rows(table, columns) == wanted


def kept(device: Device) -> list[tuple[str, tuple[object, ...], dict[str, object]]]:
    """The edits that were rejected: code, key and values."""
    found = device.replica.rejected()
    return sorted(((one.code, one.key, dict(one.values)) for one in found), key=lambda one: one[1])


@pytest.fixture
def centre(postgres_database: Callable[[], str]) -> PostgresCentre:
    return PostgresCentre(postgres_database)


@pytest.fixture(params=[True, False], ids=["configured", "all"])
def world(request: pytest.FixtureRequest, tmp_path: Path, centre: PostgresCentre) -> Iterator[World]:
    made = World(tmp_path, centre, DDL, *(("team", "person", "visit", "place") if request.param else ()))
    yield made
    for hub in made.servers.hubs:
        hub.close()


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "at once"])
def test_l2_a_table_that_is_dropped_with_what_depends_on_it_stops_no_other(
    world: World, noticed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, idle = world.device("a.db"), world.device("b.db"), world.device("idle.db")
    edits = (
        "INSERT INTO team VALUES ({0}, 'new')",
        "UPDATE team SET name = 'mine' WHERE id = 1",
        "INSERT INTO person VALUES ({0}, {0}, 'of the new one')",
        "UPDATE person SET name = 'Eve {0}' WHERE id = 1",
        "INSERT INTO visit VALUES ({0}, {0}, {0})",
        "INSERT INTO place VALUES ({0}, 'far')",
    )
    a.run(*(one.format(10) for one in edits))
    a.line.loses = "request"
    with pytest.raises(TransportError):
        a.sync()
    a.line.loses = ""
    a.run("UPDATE team SET name = 'later' WHERE id = 2")
    b.run(*(one.format(20) for one in edits))
    with caplog.at_level(logging.INFO, "syncline.hub"):
        world.directly(
            "DROP TABLE team CASCADE",
            "INSERT INTO person VALUES (30, 99, 'direct')",
            "UPDATE person SET team = 98 WHERE id = 2",
            "INSERT INTO visit VALUES (30, 30, 97)",
            "DELETE FROM visit WHERE id = 1",
            "UPDATE place SET name = name || '!'",
        )
        if noticed:
            world.look_now()
        for _ in range(2):
            for device in (a, b, idle):
                device.sync()
    assert any('"public"."team"' in record.message for record in caplog.records)
    world.agree(a, b, idle, person="*", visit="*", place="*")
    assert [row[0] for row in world.rows("SELECT id FROM person ORDER BY 1")] == [1, 2, 10, 20, 30]
    assert [row[0] for row in world.rows("SELECT id FROM visit ORDER BY 1")] == [10, 20, 30]
    mine = [("table_dropped", (1,), {"name": "mine"}), ("table_dropped", (10,), {"name": "new"})]
    later = ("table_dropped", (2,), {"name": "later"})
    assert kept(a) == [mine[0], later, mine[1]]
    assert kept(b) == [mine[0], ("table_dropped", (20,), {"name": "new"})]
    for device in (a, b, idle):
        assert not device.replica.status().pending and device.replica.verify().equal
        assert (2,) in device.rows("team", "id")  # what the file has stays
    with world.server() as late:  # one that starts afterwards answers, too
        others, world.servers.hubs = world.servers.hubs, [late]
        a.run("UPDATE place SET name = 'near' WHERE id = 10")
        a.sync()
        world.servers.hubs = others
    world.agree(a, place="*")


PARTS = """
CREATE TABLE reading (region int, id int, value int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE reading_1 PARTITION OF reading FOR VALUES IN (1);
CREATE TABLE reading_2 PARTITION OF reading FOR VALUES IN (2);
CREATE TABLE remark (id int PRIMARY KEY, word text);
INSERT INTO reading VALUES (1, 1, 10), (1, 2, 11), (2, 1, 20), (2, 2, 21);
INSERT INTO remark VALUES (1, 'fine')
"""
GOING = {
    "detached": "ALTER TABLE reading DETACH PARTITION reading_2",
    "concurrently": "ALTER TABLE reading DETACH PARTITION reading_2 CONCURRENTLY",
    "dropped": "DROP TABLE reading_2",
}


@pytest.fixture(params=[True, False], ids=["configured", "all"])
def parts(request: pytest.FixtureRequest, tmp_path: Path, centre: PostgresCentre) -> Iterator[World]:
    """Where all tables take part, a partition that was detached does so by itself."""
    made = World(tmp_path, centre, PARTS, *(("reading", "remark") if request.param else ()))
    yield made
    for hub in made.servers.hubs:
        hub.close()


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "later"])
@pytest.mark.parametrize("how", GOING)
def test_l5_rows_of_a_partition_that_goes_go_from_devices_and_l2_edits_of_them_are_kept(
    parts: World, how: str, noticed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world = parts
    a, b, idle = world.device("a.db"), world.device("b.db"), world.device("idle.db")
    for device, n in ((a, 30), (b, 40)):
        device.run(
            f"UPDATE reading SET value = {n} WHERE id = 1",
            "DELETE FROM reading WHERE region = 2 AND id = 2",
            f"INSERT INTO reading VALUES (1, {n}, 0), (2, {n}, 0)",
            f"INSERT INTO remark VALUES ({n}, 'new')",
        )
    a.line.loses = "request"
    with pytest.raises(TransportError):
        a.sync()
    a.line.loses = ""
    world.directly(
        GOING[how],
        "INSERT INTO reading VALUES (1, 50, 0)",
        "UPDATE reading SET value = value + 1 WHERE id = 2",
    )
    if how != "dropped":
        world.directly(
            "INSERT INTO reading_2 VALUES (2, 60, 0)",
            "UPDATE reading_2 SET value = value + 1",
            "ALTER TABLE reading_2 DROP COLUMN id",
            "TRUNCATE reading_2",
        )
    with world.server() as hub:
        said = [one.sentence for one in hub.examine() if one.code == "not_current"]
    assert any('a partition of "public"."reading" is gone' in one for one in said)
    with caplog.at_level(logging.INFO, "syncline.hub"):
        for device in () if noticed else (a, b, idle):  # two seconds may pass before a server looks
            device.sync()
        world.look_now()
    assert any('a partition of "public"."reading" is gone' in record.message for record in caplog.records)
    for _ in range(2):
        for device in (a, b, idle):
            device.sync()
    world.agree(a, b, idle, reading="*", remark="*")
    assert {(1, 30), (1, 40), (1, 50)} <= set(world.rows("SELECT region, id FROM reading"))
    for device, n in ((a, 30), (b, 40)):
        assert device.replica.verify().equal and not device.replica.status().pending
        refused = {one.key: one for one in device.replica.rejected()}
        overruled = {tuple(one.key): one for one in device.replica.conflicts()}
        assert refused[2, n].code == "check_violation" and "reading" in refused[2, n].detail
        assert (2, 1) in refused.keys() | overruled.keys()
    left = world.rows(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass('reading_2') AND NOT tgisinternal"
    )
    assert left == []


AGAIN = "ALTER TABLE reading ATTACH PARTITION reading_2 FOR VALUES IN (2)"
MEANWHILE = ("UPDATE reading_2 SET value = 99 WHERE id = 1", "DELETE FROM reading_2 WHERE id = 2")
TREE = """
CREATE TABLE reading (region int, id int, value int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE reading_1 PARTITION OF reading FOR VALUES IN (1);
CREATE TABLE reading_2 PARTITION OF reading FOR VALUES IN (2) PARTITION BY RANGE (id);
CREATE TABLE reading_2_low PARTITION OF reading_2 FOR VALUES FROM (0) TO (100);
INSERT INTO reading VALUES (1, 1, 10), (1, 2, 11), (2, 1, 20), (2, 2, 21);
"""
SUB = "ALTER TABLE reading_2 ATTACH PARTITION reading_2_low FOR VALUES FROM (0) TO (100)"
RETURNS = {
    "partition": (PARTS, GOING["detached"], MEANWHILE, AGAIN),
    "branch": (TREE, GOING["detached"], MEANWHILE, AGAIN),
    "leaf of a branch": (
        TREE,
        "ALTER TABLE reading_2 DETACH PARTITION reading_2_low",
        [one.replace("reading_2", "reading_2_low") for one in MEANWHILE],
        SUB,
    ),
    "new name": (
        PARTS,
        GOING["detached"],
        (*MEANWHILE, "ALTER TABLE reading_2 RENAME TO renewed"),
        AGAIN.replace("reading_2", "renewed"),
    ),
}


@pytest.fixture
def returns(tmp_path: Path, centre: PostgresCentre) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(script: str, *tables: str) -> World:
        made.append(World(tmp_path, centre, script, *tables))
        return made[-1]

    yield make
    for world in made:
        for hub in world.servers.hubs:
            hub.close()


@pytest.mark.parametrize("when", ["in one transaction", "one by one", "while no hub runs"])
@pytest.mark.parametrize("what", RETURNS)
def test_l4_what_is_changed_in_a_partition_that_was_away_reaches_devices(
    returns: Callable[..., World], what: str, when: str
) -> None:
    """Afterwards it has the same oid, and its triggers are there: PostgreSQL made them anew."""
    script, going, meanwhile, coming = RETURNS[what]
    world = returns(script, "reading")
    a, idle = world.device("a.db"), world.device("idle.db")
    a.run("UPDATE reading SET value = 77 WHERE region = 2 AND id = 1", "INSERT INTO reading VALUES (2, 3, 0)")
    steps = going, *meanwhile, coming
    if when == "while no hub runs":
        for hub in world.servers.hubs:
            hub.close()
    world.directly(*(["; ".join(["BEGIN", *steps, "COMMIT"])] if when == "in one transaction" else steps))
    if when == "while no hub runs":
        world.servers.hubs = [world.server(), world.server()]
        notes = world.servers.hubs[0].init().notes
        assert any('a partition of "public"."reading" is gone' in note for note in notes)
    else:
        world.look_now()
    for device in (idle, a, idle):
        device.sync()
    world.agree(a, idle, reading="*")
    assert world.rows("SELECT * FROM reading WHERE region = 2 ORDER BY id") in (
        [(2, 1, 77), (2, 3, 0)],
        [(2, 1, 99), (2, 3, 0)],
    )
    for device in (a, idle):
        assert device.replica.verify().equal and not device.replica.status().pending
    for hub in world.servers.hubs:  # once: afterwards everything is as it was prepared
        assert not [one for one in hub.examine() if one.code == "not_current"]


def test_l13_devices_compare_nothing_when_partitions_are_as_they_were(parts: World) -> None:
    """What alters a partitioned table otherwise, and renews its triggers, is no reason."""
    device = parts.device("a.db")
    parts.directly(
        "ALTER TABLE reading ADD COLUMN word text",
        "ALTER TABLE reading_2 RENAME TO renamed",
        "CREATE INDEX of_value ON reading (value)",
        "UPDATE reading SET value = value + 1",
    )
    parts.rows("VACUUM FULL FREEZE pg_inherits")
    parts.look_now()
    for hub in parts.servers.hubs:
        hub.init()
    assert device.replica.sync().recovered is None
    parts.agree(device, reading="*")


def test_l4_a_table_that_took_part_by_itself_becomes_a_partition_with_all_its_rows(
    returns: Callable[..., World],
) -> None:
    """... and a partition of one table that of another: what was written on the way is told of both."""
    world = returns(
        f"""{PARTS};
        CREATE TABLE other (region int, id int, value int, PRIMARY KEY (region, id))
            PARTITION BY LIST (region);
        CREATE TABLE single (region int, id int, value int, PRIMARY KEY (region, id));
        INSERT INTO single VALUES (3, 1, 30), (3, 2, 31)""",
    )
    device = world.device("a.db")
    world.directly(
        "BEGIN; UPDATE single SET value = 0 WHERE id = 2;"
        " ALTER TABLE reading ATTACH PARTITION single FOR VALUES IN (3);"
        " INSERT INTO reading VALUES (3, 3, 33); DELETE FROM single WHERE id = 1; COMMIT",
        f"BEGIN; {GOING['detached']}; UPDATE reading_2 SET value = 5;"
        " ALTER TABLE other ATTACH PARTITION reading_2 FOR VALUES IN (2);"
        " DELETE FROM other WHERE id = 2; COMMIT",
    )
    world.look_now()
    for _ in range(2):
        device.sync()
    world.agree(device, reading="*", other="*")
    world.directly("UPDATE reading SET value = value + 1", "TRUNCATE reading_2", "TRUNCATE single")
    device.sync()
    world.agree(device, reading="*", other="*")


OWN = """
CREATE TABLE plain (id int PRIMARY KEY, value int);
CREATE TABLE other (id int PRIMARY KEY, value int);
CREATE TABLE whole (id int PRIMARY KEY, value int) PARTITION BY RANGE (id);
CREATE TABLE whole_low PARTITION OF whole FOR VALUES FROM (0) TO (100);
INSERT INTO plain VALUES (1, 10), (2, 20);
INSERT INTO other VALUES (1, 1);
INSERT INTO whole VALUES (1, 10), (2, 20);
"""
EVERY = "FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"
LIVE = {
    "a live table": (
        "plain",
        ["ALTER TABLE plain RENAME TO former",
         "CREATE TABLE plain (id int PRIMARY KEY, value int) PARTITION BY RANGE (id)",
         f"ALTER TABLE plain ATTACH PARTITION former {EVERY}"],
    ),
    "the whole first": (
        "plain",
        ["CREATE TABLE beside (id int PRIMARY KEY, value int) PARTITION BY RANGE (id)",
         f"ALTER TABLE beside ATTACH PARTITION plain {EVERY}",
         "ALTER TABLE plain RENAME TO former", "ALTER TABLE beside RENAME TO plain"],
    ),
    "a partitioned table": (
        "whole",
        ["ALTER TABLE whole RENAME TO whole_sub",
         "CREATE TABLE whole (id int PRIMARY KEY, value int) PARTITION BY RANGE (id)",
         "ALTER TABLE whole ATTACH PARTITION whole_sub FOR VALUES FROM (0) TO (1000)"],
    ),
    "through a branch": (
        "plain",
        ["ALTER TABLE plain RENAME TO former",
         "CREATE TABLE plain (id int PRIMARY KEY, value int) PARTITION BY RANGE (id)",
         f"CREATE TABLE a_branch PARTITION OF plain {EVERY} PARTITION BY RANGE (id)",
         f"ALTER TABLE a_branch ATTACH PARTITION former {EVERY}"],
    ),
    "triggers that no longer always fire": (
        "plain",
        ["ALTER TABLE plain DISABLE TRIGGER ALL", "ALTER TABLE plain ENABLE TRIGGER ALL",
         "ALTER TABLE plain RENAME TO former",
         "CREATE TABLE plain (id int PRIMARY KEY, value int) PARTITION BY RANGE (id)",
         f"ALTER TABLE plain ATTACH PARTITION former {EVERY}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("what", LIVE)
def test_l12_a_table_that_is_partitioned_while_it_takes_part_goes_on(
    returns: Callable[..., World], what: str, named: bool
) -> None:
    """What it had of triggers by itself is not in the way of those of the whole, and stops nobody."""
    table, steps = LIVE[what]
    world = returns(OWN, *(["plain", "other", "whole"] if named else []))
    a, b = world.device("a.db"), world.device("b.db")
    a.run(f"UPDATE {table} SET value = 11 WHERE id = 1", "UPDATE other SET value = 2")
    world.directly("; ".join(["BEGIN", *steps, f"UPDATE {table} SET value = 21 WHERE id = 2", "COMMIT"]))
    world.look_now()
    for device in (a, b, a):
        device.sync()
    world.agree(a, b, **{table: "*", "other": "*"})
    assert world.rows(f"SELECT id, value FROM {table} ORDER BY id") == [(1, 11), (2, 21)]
    assert world.rows("SELECT value FROM other") == [(2,)]
    world.directly(f"INSERT INTO {table} VALUES (3, 30)", f"DELETE FROM {table} WHERE id = 2")
    b.sync()
    world.agree(b, **{table: "*"})
    assert not world.servers.hubs[0].init().notes
    world.directly(f"TRUNCATE {table}")
    b.sync()
    world.agree(b, **{table: "*"})


def test_l12_one_that_is_partitioned_by_and_by_is_taken_apart_again(returns: Callable[..., World]) -> None:
    world = returns(OWN)
    device = world.device("a.db")
    for step in (*LIVE["a live table"][1], "ALTER TABLE plain DETACH PARTITION former",
                 "ALTER TABLE plain RENAME TO beside", "ALTER TABLE former RENAME TO plain",
                 f"ALTER TABLE beside ATTACH PARTITION plain {EVERY}",
                 "ALTER TABLE plain RENAME TO former", "ALTER TABLE beside RENAME TO plain"):  # fmt: skip
        world.directly(step, "UPDATE other SET value = value + 1")
        world.look_now()
        device.sync()
        assert device.replica.verify().equal, step
    world.agree(device, other="*")
