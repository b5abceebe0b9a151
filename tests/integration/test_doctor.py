"""`examine`: a centre that is as it should be, and one that was altered (law L12)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import syncline
from tests.support.postgres import PostgresCentre


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
        centre.run("ALTER TABLE t ADD COLUMN more int")
        assert troubles(hub) == {"not_current"}


def test_l12_sqlite_says_what_was_altered(tmp_path: Path) -> None:
    file = tmp_path / "central.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with syncline.Hub(f"sqlite:///{file}") as hub:
        hub.init()
        assert troubles(hub) == set()
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("DROP TRIGGER _sync_hub_1_insert")
        assert troubles(hub) == {"not_current"}
