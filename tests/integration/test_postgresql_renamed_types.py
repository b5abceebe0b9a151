"""Types of a PostgreSQL centre that get another name or schema while columns have them (L12, L13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_postgresql_dropped import World
from tests.integration.test_restored_schema import PostgresCentre

DDL = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
CREATE TYPE app.point AS (x int, y int);
CREATE TYPE app.span AS RANGE (subtype = int);
CREATE DOMAIN app.named AS app.mood;
CREATE TABLE app.person (
    id int PRIMARY KEY, mood app.mood NOT NULL DEFAULT 'ok', moods app.mood[], place app.point,
    span app.span, named app.named, points app.point[], word text
);
CREATE TABLE app.by_mood (mood app.mood PRIMARY KEY, word text);
INSERT INTO app.person VALUES (1, 'ok', '{sad,ok}', '(1,2)', '[1,3)', 'sad', '{"(1,2)"}', 'a'),
    (2, 'sad', NULL, NULL, NULL, NULL, NULL, 'b');
INSERT INTO app.by_mood VALUES ('ok', 'a');
"""

RENAMED = {
    "an enum": ["ALTER TYPE app.mood RENAME TO feeling"],
    "an enum that is moved": ["CREATE SCHEMA types", "ALTER TYPE app.mood SET SCHEMA types"],
    "composite and range": ["ALTER TYPE app.point RENAME TO place", "ALTER TYPE app.span RENAME TO extent"],
    "a domain": ["ALTER DOMAIN app.named RENAME TO called"],
    "a schema": ["ALTER SCHEMA app RENAME TO application"],
}


@pytest.fixture
def centre(postgres_database: Callable[[], str]) -> PostgresCentre:
    return PostgresCentre(postgres_database)


@pytest.fixture
def worlds(tmp_path: Path, centre: PostgresCentre) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(script: str) -> World:
        made.append(World(tmp_path, centre, script))
        return made[-1]

    yield make
    for world in made:
        for hub in world.servers.hubs:
            hub.close()


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("what", RENAMED)
def test_l12_a_type_under_another_name_is_the_same_one(
    worlds: Callable[..., World], what: str, looks: bool
) -> None:
    world = worlds(DDL)
    a, b = world.device("a.db"), world.device("b.db")
    a.run(
        "UPDATE person SET word = 'mine', mood = 'sad' WHERE id = 1",
        "INSERT INTO person (id, mood, place) VALUES (3, 'sad', '(5,6)')",
        "UPDATE by_mood SET word = 'mine'",
        "INSERT INTO by_mood VALUES ('sad', 'new')",
    )
    world.directly(*RENAMED[what])
    place = "application" if what == "a schema" else "app"
    world.directly(  # L13: with a function that nobody has compiled before
        f"UPDATE {place}.person SET mood = 'ok' WHERE id = 2",
        f"UPDATE {place}.by_mood SET word = word",
    )
    if looks:
        world.look_now()
    for device in (a, b, a):
        device.sync()
        assert device.replica.verify().equal
    assert world.rows(f"SELECT id, mood::text, word FROM {place}.person ORDER BY id") == [
        (1, "sad", "mine"), (2, "ok", "b"), (3, "sad", None),
    ]  # fmt: skip
    assert world.rows(f"SELECT mood::text, word FROM {place}.by_mood ORDER BY word") == [
        ("ok", "mine"), ("sad", "new"),
    ]  # fmt: skip
    assert not a.replica.rejected()
    world.directly(
        f"DELETE FROM {place}.by_mood WHERE mood = 'ok'", f"UPDATE {place}.by_mood SET mood = 'ok'"
    )
    b.sync()
    assert b.rows("by_mood", "*") == [("ok", "new")]
    world.directly(f"TRUNCATE {place}.by_mood")
    b.sync()
    assert b.rows("by_mood", "*") == [] and b.replica.verify().equal
    assert not [one for one in world.servers.hubs[0].examine() if one.code != "fact" and one.level != "fact"]


OF_NEW = [
    "CREATE TYPE app.mood AS ENUM ('new', 'ok', 'sad')",
    "ALTER TABLE app.person ALTER mood DROP DEFAULT",
    "ALTER TABLE app.person ALTER mood TYPE app.mood USING mood::text::app.mood",
    "ALTER TABLE app.person ALTER mood SET DEFAULT 'ok'",
    "ALTER TABLE app.by_mood ALTER mood TYPE app.mood USING mood::text::app.mood",
]


def test_l12_an_enum_is_replaced_by_one_with_more_labels_and_looked_at_in_between(
    worlds: Callable[..., World],
) -> None:
    world = worlds(DDL)
    a, b = world.device("a.db"), world.device("b.db")
    a.run("UPDATE person SET word = 'mine', mood = 'sad' WHERE id = 1", "UPDATE by_mood SET word = 'mine'")
    world.directly("ALTER TYPE app.mood RENAME TO former")
    for step in OF_NEW:
        world.look_now()
        world.directly(step, "UPDATE app.by_mood SET word = word || '!'")
    world.look_now()
    for device in (a, b, a):
        device.sync()
        assert device.replica.verify().equal and not device.replica.rejected()
    a.run("UPDATE person SET mood = 'new' WHERE id = 2", "INSERT INTO by_mood VALUES ('new', 'n')")
    for device in (a, b):
        device.sync()
        assert device.replica.verify().equal and not device.replica.rejected()
    assert world.rows("SELECT mood::text FROM app.person ORDER BY id") == [("sad",), ("new",)]


def test_l12_one_with_fewer_labels_is_another_one(worlds: Callable[..., World]) -> None:
    world = worlds(DDL)
    a = world.device("a.db")
    a.run("UPDATE person SET word = 'mine' WHERE id = 1", "UPDATE by_mood SET word = 'mine'")
    world.directly(
        "CREATE TYPE app.fewer AS ENUM ('ok', 'new')",
        "ALTER TABLE app.person ALTER mood DROP DEFAULT",
        "UPDATE app.person SET mood = 'ok'",
        "ALTER TABLE app.person ALTER mood TYPE app.fewer USING mood::text::app.fewer",
    )
    world.look_now()
    a.sync()
    assert list(a.replica.status().changed) == ["person"]
    assert world.rows("SELECT word FROM app.by_mood") == [("mine",)]
    world.directly(
        "ALTER TABLE app.person ALTER mood TYPE app.mood USING mood::text::app.mood",
        "ALTER TYPE app.mood RENAME TO feeling",
    )
    world.look_now()
    a.sync()
    assert not a.replica.status().changed
    assert [(one.table, one.values) for one in a.replica.rejected()] == [("person", {"word": "mine"})]
    assert a.replica.verify().equal
