"""Tables of a device that take part no longer since the centre was changed: named as long as they are there,
and until the application drops or renames them (law L12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import syncline
from syncline.cli import output, run
from tests.support.application import sql
from tests.support.serving import Served

MADE = (
    "CREATE TABLE part (code TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL)",
    "CREATE TABLE used (id TEXT PRIMARY KEY NOT NULL, part TEXT REFERENCES part (code), n INT)",
    "CREATE TABLE place (id TEXT PRIMARY KEY NOT NULL, used TEXT REFERENCES used (id))",
    "CREATE TABLE other (id INTEGER PRIMARY KEY)",
    "INSERT INTO part VALUES ('a', 'A')",
    "INSERT INTO used VALUES ('u1', 'a', 1)",
)
KEYED = (
    "BEGIN",
    "CREATE TABLE p2 (code TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (code, name))",
    "INSERT INTO p2 SELECT * FROM part",
    "DROP TABLE part",
    "ALTER TABLE p2 RENAME TO part",
    "COMMIT",
)
"""Another key, which no device can follow."""
GONE = ["part", "used", "place"]


@dataclass
class World:
    """A centre that is served, a device of it, and the command line."""

    folder: Path
    url: str
    capsys: pytest.CaptureFixture[str]

    @property
    def file(self) -> Path:
        return self.folder / "a.db"

    def centre(self, *statements: str) -> None:
        sql(self.folder / "c.db", *statements)

    def run(self, verb: str, code: int = output.DONE) -> str:
        self.capsys.readouterr()
        got = run([verb, str(self.file)])
        said = "".join(self.capsys.readouterr())
        assert got == code, said
        return said

    def status(self) -> syncline.Status:
        with syncline.connect(self.file) as replica:
            return replica.status()


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    sql(tmp_path / "c.db", *MADE)
    toml = tmp_path / "syncline.toml"
    toml.write_text('[hub]\ndatabase = "sqlite:///c.db"\n')
    with Served(toml) as served:
        syncline.clone(served.url, tmp_path / "a.db").close()
        yield World(tmp_path, served.url, capsys)


def test_l12_every_table_that_goes_with_a_changed_one_is_named(world: World) -> None:
    world.centre(*KEYED)
    for n in (2, 3):  # what was pending is rejected, what is written since is not captured
        sql(world.file, f"UPDATE used SET n = {n}")
        said = world.run("sync", output.PERSON_NEEDED)
        for name in GONE:
            assert f"not captured: what is written to {name}" in said
    assert list(world.status().changed) == GONE and world.status().person_needed["changed"] == 3
    assert "refers to used" in world.status().changed["place"]
    for verb, code in {"status": 0, "verify": 0, "doctor": 3, "push": 3}.items():
        said = world.run(verb, code)
        for name in GONE:
            assert any(f"{name}{rest}" in said for rest in (" is not", " takes", ", which takes")), said


@pytest.mark.parametrize("way", ["DROP TABLE {}", "ALTER TABLE {} RENAME TO old_{}"])
@pytest.mark.parametrize("is_dropped", [False, True], ids=["changed", "dropped in the centre, too"])
def test_l12_what_doctor_says_of_a_changed_table_ends_it(world: World, way: str, is_dropped: bool) -> None:
    world.centre(*KEYED)
    world.run("sync", output.PERSON_NEEDED)
    if is_dropped:
        world.centre("DROP TABLE place", "DROP TABLE used", "DROP TABLE part")
        world.run("sync", output.PERSON_NEEDED)
    said = world.run("doctor", output.PERSON_NEEDED)
    for name in GONE:
        assert f'DROP TABLE "{name}"' in said and f'ALTER TABLE "{name}" RENAME TO' in said
    sql(world.file, *(way.format(name, name) for name in reversed(GONE)))
    assert not world.status().changed
    world.run("sync")
    world.run("doctor")
    sql(world.file, "CREATE TABLE place (mine TEXT)")  # the application's own, of that name
    assert "place" not in world.status().changed
    world.run("sync")


def test_l12_a_table_that_keeps_its_former_name_here_is_named_though_the_centres_is_back(
    world: World,
) -> None:
    world.centre("ALTER TABLE part RENAME TO piece")
    world.run("sync")
    world.centre(*(text.replace("part", "piece") for text in KEYED))
    assert run(["init", str(world.folder / "syncline.toml"), "--yes"]) == output.DONE
    world.run("sync", output.PERSON_NEEDED)
    sql(world.file, "UPDATE part SET name = 'of the application'")
    assert "written to part" in world.run("sync", output.PERSON_NEEDED)
    assert "piece" in world.status().tables
    world.run("doctor", output.PERSON_NEEDED)
    sql(world.file, *(f"DROP TABLE {name}" for name in reversed(GONE)))
    world.run("sync")
    world.run("doctor")


def test_l12_a_table_that_the_centre_drops_is_named_as_well(world: World) -> None:
    world.centre("DROP TABLE other")
    assert "not captured: what is written to other" in world.run("sync")
    assert world.status().left == ("other",) and "left       other" in world.run("status")
    sql(world.file, "DROP TABLE other")
    assert "other" not in world.run("sync") and world.status().left == ()
