"""What others have named as Syncline names its own: their table alone is out of service, and nothing of
theirs is dropped; where Syncline's own tables could not be made, that is said (laws L12 and L13)."""

from __future__ import annotations

from pathlib import Path

import pytest

import syncline
from syncline.errors import NameTaken
from tests.support.application import sql
from tests.support.either import centre_with, run
from tests.support.postgres import PostgresCentre

TABLES = tuple(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v TEXT)" for name in ("good", "odd"))
NOTHING = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
PARTITIONED = (
    "DROP TABLE odd",
    "CREATE TABLE odd (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    "CREATE TABLE part PARTITION OF odd FOR VALUES FROM (0) TO (100)",
)


def make(kind: str, name: str, table: str) -> tuple[str, ...]:
    """Statements that make somebody's trigger."""
    if kind == "sqlite":
        return (f"CREATE TRIGGER {name} AFTER INSERT ON {table} BEGIN SELECT 1; END",)
    made = f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION nothing()"
    return NOTHING, made, f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"


def theirs(url: str, name: str) -> bool:
    """Whether somebody's trigger of this name is there."""
    if url.startswith("sqlite:///"):
        text = "SELECT count(*) FROM sqlite_master WHERE name = ? AND sql LIKE '%SELECT 1; END'"
        return sql(url.removeprefix("sqlite:///"), text.replace("?", f"'{name}'")) == [(1,)]
    text = f"SELECT FROM pg_trigger WHERE tgname = '{name}' AND tgfoid = to_regproc('public.nothing')"
    with PostgresCentre(url).connect() as other:
        return len(other.execute(text.encode()).fetchall()) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("name", "when"),
    [(name, "before") for name in ("insert_0", "insert_1", "update_1")] + [("delete_9", "after")],
)
def test_l13_a_trigger_named_like_one_of_ours(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, name: str, when: str
) -> None:
    """Before the first `init`, and when devices have the table."""
    n = name[-1]
    name = f"_sync_hub_{n}_{name[:-2]}" if kind == "sqlite" else f"syncline_{name}"
    url = centre_with(
        request, kind, tmp_path, *TABLES, *(make(kind, name, "odd") if when == "before" else ())
    )
    with syncline.Hub(url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as replica:
            if when == "after":
                run(url, *make(kind, name, "odd"))
                hub._follower.look_now()
            sql(tmp_path / "d.db", "INSERT INTO good VALUES (1, 'mine')")
            run(url, "INSERT INTO good VALUES (2, 'news')")
            replica.sync()
            assert replica.verify().equal
            assert sql(tmp_path / "d.db", "SELECT v FROM good") == [("mine",), ("news",)]
        (said,) = [note for note in hub.init().notes if note.startswith("left out")]
        assert f"odd: has a trigger, {name}, of somebody else's, with a name" in said
        assert ("RENAME TO" if kind == "postgresql" else "another name") in said
        assert [table.name for table in hub.schema.tables] == ["good"]
        assert theirs(url, name)
        run(url, "INSERT INTO odd VALUES (5, 'theirs')")
        hub.remove()
    assert theirs(url, name)


def test_l13_a_table_takes_part_when_the_trigger_is_renamed(postgres_url: str, tmp_path: Path) -> None:
    run(postgres_url, *TABLES, *make("postgresql", "syncline_insert_1", "odd"))
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        run(postgres_url, "ALTER TRIGGER syncline_insert_1 ON odd RENAME TO theirs")
        hub.init()
        assert [table.name for table in hub.schema.tables] == ["good", "odd"]


def test_l13_a_trigger_of_a_partition_named_like_one_of_ours(postgres_url: str) -> None:
    run(postgres_url, *TABLES, *PARTITIONED, *make("postgresql", "syncline_insert_1", "part"))
    with syncline.Hub(postgres_url) as hub:
        assert any(note.startswith("left out public.odd: has a trigger") for note in hub.init().notes)


def test_l4_what_a_trigger_with_such_a_name_writes_is_captured(postgres_url: str, tmp_path: Path) -> None:
    """It is one of the user's, whatever it is called."""
    run(
        postgres_url,
        *TABLES,
        "CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$",
        "CREATE TRIGGER syncline_loud BEFORE INSERT OR UPDATE ON good FOR EACH ROW EXECUTE FUNCTION loud()",
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as replica:
            sql(tmp_path / "d.db", "INSERT INTO good VALUES (1, 'mine')")
            replica.sync()
            replica.sync()
            assert sql(tmp_path / "d.db", "SELECT v FROM good") == [("MINE",)]


@pytest.mark.parametrize(
    ("kind", "object_"),
    [
        ("sqlite", "INDEX _sync_hub_log ON odd (v)"),
        ("sqlite", "TABLE _sync_hub_settings (id INTEGER PRIMARY KEY)"),
        ("sqlite", "VIEW _sync_hub AS SELECT 1 AS id"),
        ("sqlite", "TABLE _sync_hub (id INTEGER PRIMARY KEY)"),
        ("postgresql", "SCHEMA syncline"),
        ("postgresql", "SCHEMA syncline CREATE TABLE state (id INTEGER PRIMARY KEY)"),
    ],
)
def test_l12_what_has_the_name_of_syncline_s_own_tables(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, object_: str
) -> None:
    """It is named, and stays."""
    url = centre_with(request, kind, tmp_path, *TABLES, f"CREATE {object_}")
    with syncline.Hub(url) as hub:
        with pytest.raises(NameTaken, match=object_.split()[1]) as caught:
            hub.init()
        assert "already" in caught.value.detail
        hub.remove()
        with pytest.raises(NameTaken):
            hub.init()
