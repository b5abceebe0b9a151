"""`examine`: a centre that is as it should be, and one that was altered (law L12)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

import syncline
from syncline.errors import BreakingChange, SchemaError
from syncline.hub.contract import Tuning
from tests.support.postgres import PostgresCentre


@dataclass
class Place:
    """A centre of either kind, with a way to change a type as no device can follow."""

    url: str
    file: Path | None

    def run(self, *statements: str) -> None:
        if self.file is None:
            PostgresCentre(self.url).run(*statements)
            return
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def narrow(self) -> None:
        if self.file is None:
            self.run("ALTER TABLE t ALTER COLUMN a TYPE smallint")
        else:
            self.run(
                "CREATE TABLE n (id BIGINT PRIMARY KEY, a BLOB)", "DROP TABLE t", "ALTER TABLE n RENAME TO t"
            )

    def demand(self) -> None:
        """A column that must have a value, of which devices do not know."""
        if self.file is None:
            self.run(
                "ALTER TABLE t ADD COLUMN c text NOT NULL DEFAULT ''", "ALTER TABLE t ALTER c DROP DEFAULT"
            )
        else:
            self.run(
                "CREATE TABLE n (id BIGINT PRIMARY KEY, a BIGINT, c TEXT NOT NULL)",
                "DROP TABLE t",
                "ALTER TABLE n RENAME TO t",
            )


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "postgresql":
        return Place(request.getfixturevalue("postgres_url"), None)
    return Place(f"sqlite:///{tmp_path}/place.db", tmp_path / "place.db")


def troubles(hub: syncline.Hub) -> set[str]:
    return {finding.code for finding in hub.examine() if finding.level == "trouble"}


def test_l12_postgresql_says_what_was_altered(postgres_url: str) -> None:
    centre = PostgresCentre(postgres_url)
    centre.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE keyless (id int)")
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        assert troubles(hub) == set()
        assert any("keyless: has no primary key" in finding.sentence for finding in hub.examine())
        centre.run("ALTER TABLE t DISABLE TRIGGER ALL")
        assert troubles(hub) == {"trigger_disabled", "not_current"}
        centre.run("ALTER TABLE t ENABLE TRIGGER ALL")
        assert troubles(hub) == {"trigger_disabled", "not_current"}
        hub.init()
        assert troubles(hub) == set()


def test_what_servers_follow_by_themselves_is_no_trouble_and_what_needs_init_is_said(place: Place) -> None:
    place.run("CREATE TABLE t (id BIGINT PRIMARY KEY, a BIGINT)", "CREATE TABLE u (id BIGINT PRIMARY KEY)")
    with syncline.Hub(place.url, tables={"t": syncline.Table()}) as hub:
        hub.init()
        assert troubles(hub) == set()
        place.run("ALTER TABLE t ADD COLUMN more BIGINT", "ALTER TABLE t RENAME COLUMN a TO b")
        (found,) = [one for one in hub.examine() if one.code == "not_followed_yet"]
        assert (found.level, troubles(hub)) == ("fact", set()) and "verify" not in found.remedy
        hub.look()
        assert "not_followed_yet" not in {one.code for one in hub.examine()}
    with syncline.Hub(place.url, tables={"t": syncline.Table(), "u": syncline.Table()}) as hub:
        (found,) = [one for one in hub.examine() if one.level == "trouble"]
        assert (found.code, found.remedy) == ("not_current", "Run: syncline init syncline.toml")
        assert "u" in found.sentence
        hub.init()
        assert troubles(hub) == set()


def test_a_change_that_devices_cannot_follow_is_one_trouble_before_a_server_has_looked(place: Place) -> None:
    place.run("CREATE TABLE t (id BIGINT PRIMARY KEY, a BIGINT)")
    with syncline.Hub(place.url) as hub:
        hub.init()
        place.narrow()
        (found,) = [one for one in hub.examine() if one.level == "trouble"]
        assert found.code == "breaking_change" and "init syncline.toml --yes" in found.remedy
        assert any("by itself" in one.sentence for one in hub.examine() if one.code == "not_followed_yet")
        hub.look()
        assert troubles(hub) == {"breaking_change"}


def test_a_column_that_must_have_a_value_is_one_trouble_and_each_remedy_can_be_followed(
    place: Place, tmp_path: Path
) -> None:
    """`init` refuses as long as it is there: no remedy says to run it, and a server needs none to go on."""
    place.run("CREATE TABLE t (id BIGINT PRIMARY KEY, a BIGINT)", "CREATE TABLE u (id BIGINT PRIMARY KEY)")
    with syncline.Hub(place.url, tables={"t": syncline.Table()}) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "device.db").close()
        place.demand()
        with pytest.raises(BreakingChange):
            hub.init()
        found = {one.code: one for one in hub.examine() if one.level == "trouble"}
        assert found.keys() == (
            {"value_demanded"} if place.file is None else {"value_demanded", "not_current"}
        )
        if place.file is None:
            assert any("by itself" in one.sentence for one in hub.examine() if one.code == "not_followed_yet")
        else:  # where the table was made anew its triggers went
            assert "A server that looks" in found["not_current"].remedy
            assert "syncline init" not in found["not_current"].remedy
        hub.look()
    with syncline.Hub(place.url, tables={"t": syncline.Table(), "u": syncline.Table()}) as hub:
        hub.look()
        (further,) = [one for one in hub.examine() if one.code == "not_current"]
        assert "u" in further.sentence and "value_demanded" in further.remedy
        if place.file is None:
            place.run("ALTER TABLE t DROP COLUMN c")
            hub.init()
            assert troubles(hub) == set()


def test_only_tables_that_are_prepared_are_counted_as_taking_part(place: Place) -> None:
    place.run("CREATE TABLE t (id BIGINT PRIMARY KEY)", "CREATE TABLE u (id BIGINT PRIMARY KEY)")
    with syncline.Hub(place.url, tables={"t": syncline.Table()}) as hub:
        hub.init()
    with syncline.Hub(place.url, tables={"t": syncline.Table(), "u": syncline.Table()}) as hub:
        for count in (1, 2):
            (found,) = [one.sentence for one in hub.examine() if one.code == "tables"]
            assert found == f"tables that take part: {count}"
            hub.init()


def test_l12_a_partition_that_was_attached_or_detached_is_noticed_and_the_remedy_works(
    postgres_url: str, tmp_path: Path
) -> None:
    """No trigger fires for the rows that move with it."""
    centre, file = PostgresCentre(postgres_url), tmp_path / "device.db"
    centre.run(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE p2 (id int PRIMARY KEY)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO p2 VALUES (11)",
    )
    with syncline.Hub(postgres_url, tables={"p": syncline.Table()}) as hub:
        hub.init()
        with syncline.clone(hub, file) as replica, closing(sqlite3.connect(file)) as device:
            for move, left in (
                ("ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)", [(1,), (11,)]),
                ("ALTER TABLE p DETACH PARTITION p1", [(11,)]),
            ):
                assert troubles(hub) == set()
                centre.run(move)
                found = [finding for finding in hub.examine() if finding.level == "trouble"]
                assert {finding.code for finding in found} == {"not_current"}
                assert all("syncline init" in finding.remedy for finding in found)
                assert all("syncline verify" in finding.remedy for finding in found)
                hub.init()
                assert replica.verify(repair=True).equal
                assert device.execute("SELECT id FROM p ORDER BY id").fetchall() == left


def test_l12_sqlite_says_what_was_altered(tmp_path: Path) -> None:
    file = tmp_path / "central.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with syncline.Hub(f"sqlite:///{file}") as hub:
        hub.init()
        assert troubles(hub) == set()
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("DROP TRIGGER _sync_hub_0_insert")
        assert troubles(hub) == {"not_current"}


def test_a_mistyped_table_is_told_which_may_be_meant(place: Place) -> None:
    place.run("CREATE TABLE region (id BIGINT PRIMARY KEY)")
    for written, meant in (("regionn", "region meant?"), ("zzz", "")):
        with syncline.Hub(place.url, tables={written: syncline.Table()}) as hub:
            with pytest.raises(SchemaError, match=f"{written}: there is no such table.*{meant}") as caught:
                hub.init()
            assert ("meant" in caught.value.detail) == bool(meant)


def test_l13_a_sqlite_centre_is_examined_and_served_while_somebody_writes(tmp_path: Path) -> None:
    """Who looks takes no write lock: neither waits for the other."""
    path = tmp_path / "place.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        with syncline.Hub(f"sqlite:///{path}") as hub:
            hub.init()
            syncline.clone(hub, tmp_path / "a.db").close()
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO t VALUES (1, 'x')")
        with syncline.Hub(f"sqlite:///{path}", tuning=Tuning(lock_timeout=0.1)) as hub:
            assert {finding.code for finding in hub.examine() if finding.level != "fact"} == set()
            assert [one.behind for one in hub.replicas()] == [0]
            with syncline.connect(tmp_path / "a.db", hub) as replica:
                assert replica.pull().written == 0
        other.execute("COMMIT")
        with syncline.Hub(f"sqlite:///{path}") as hub:
            assert troubles(hub) == set()
            other.execute("DROP TRIGGER _sync_hub_0_insert")
            assert troubles(hub) == {"not_current"}


def test_l12_a_table_that_comes_with_another_key_is_made_once_ones_own_is_renamed(tmp_path: Path) -> None:
    from syncline.replica.examine import examine
    from tests.support.application import sql

    central, file = tmp_path / "c.db", tmp_path / "d.db"
    sql(central, "CREATE TABLE task (a INT NOT NULL, b INT NOT NULL, w TEXT, PRIMARY KEY (a, b))")
    with syncline.Hub(f"sqlite:///{central}") as hub:
        hub.init()
        with syncline.clone(hub, file) as replica:
            sql(
                central,
                "DROP TABLE task",
                "CREATE TABLE task (id TEXT PRIMARY KEY NOT NULL, a INT, b INT, w TEXT)",
            )
            sql(central, "INSERT INTO task (id) VALUES ('x')")
            hub.init(yes=True)
            replica.sync()
            (found,) = (one for one in examine(file) if one.code == "table_not_made")
            assert found.remedy.startswith("Rename yours, then sync") and "track" not in found.remedy
            sql(file, "ALTER TABLE task RENAME TO task_old")
            replica.sync()
            assert sql(file, "SELECT id FROM task") == [("x",)]
