"""Every verb of the command line, over a real server, on real files; both forms of what it prints."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.cli import run
from syncline.cli.demo import processes
from tests.support.damage import damage_device

TABLES = """
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, city TEXT, visits INTEGER, photo BLOB);
CREATE TABLE badge (
    person INTEGER NOT NULL REFERENCES person (id), kind TEXT NOT NULL, serial TEXT UNIQUE,
    PRIMARY KEY (person, kind)
);
INSERT INTO person VALUES (1, 'Ada', 'Porto', 3, x'00FF'), (2, 'Bob', 'Oslo', 0, NULL),
    (-3, 'Cyd', '', 1, NULL);
INSERT INTO badge VALUES (1, 'door', 's-1'), (2, 'door', NULL);
"""
TOML = """
[hub]
database = "sqlite:///central.db"
[tables.badge]
[tables.person]
merge = { visits = "sum", city = "review" }
"""


def execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def cell(file: Path, query: str) -> Any:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchone()[0]


@dataclass(frozen=True)
class World:
    folder: Path
    url: str
    capsys: pytest.CaptureFixture[str]

    @property
    def central(self) -> Path:
        return self.folder / "central.db"

    def clone(self, name: str) -> Path:
        file = self.folder / name
        self.run("clone", self.url, file)
        return file

    def run(self, *words: object, code: int = 0) -> str:
        """Run a verb, check its exit code, return what it printed as its result."""
        self.capsys.readouterr()
        got = run([str(word) for word in words])
        said = self.capsys.readouterr()
        assert got == code, (words, got, said.out, said.err)
        return said.out

    def json(self, *words: object, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    with closing(sqlite3.connect(tmp_path / "central.db")) as connection:
        connection.executescript(TABLES)
    toml = tmp_path / "syncline.toml"
    toml.write_text(TOML, encoding="utf-8")
    assert run(["init", str(toml)]) == 0
    with processes.hub(toml) as hub:
        yield World(tmp_path, hub.url, capsys)


def test_init_says_what_it_did_and_does_nothing_twice(world: World) -> None:
    toml = world.folder / "syncline.toml"
    again = world.json("init", toml)
    assert again["tables"] == ["person", "badge"]
    assert again["statements"] == []
    assert "nothing was to be done" in world.run("init", toml)


def test_remove_asks_first_says_its_sql_and_leaves_nothing(world: World) -> None:
    toml = world.folder / "syncline.toml"
    planned = world.json("init", toml, "--remove", "--dry-run")
    assert (planned["dry_run"], planned["removed"]) == (True, False)
    assert "DROP TRIGGER" in world.run("init", toml, "--remove", "--dry-run")
    world.run("init", toml, "--remove", code=2)
    assert world.json("init", toml)["statements"] == []
    done = world.json("init", toml, "--remove", "--yes")
    assert (done["removed"], done["tables"]) == (True, [])
    assert done["statements"] == planned["statements"]
    assert "nothing was to be done" in world.run("init", toml, "--remove", "--yes")
    assert (
        cell(world.central, "SELECT count(*) FROM sqlite_master WHERE name LIKE '\\_sync%' ESCAPE '\\'") == 0
    )
    assert cell(world.central, "SELECT count(*) FROM person") == 3
    assert "prepared: 2 tables" in world.run("init", toml)


def test_clone_sync_and_status_from_end_to_end(world: World) -> None:
    here, there = world.clone("here.db"), world.clone("there.db")
    execute(here, "UPDATE person SET name = 'Ada L.' WHERE id = 1", "DELETE FROM badge WHERE person = 2")
    status = world.json("status", here)
    assert status["pending"] == {"person": 1, "badge": 1} | {
        k: 0 for k, v in status["pending"].items() if not v
    }
    assert set(status) == {
        "id", "file", "hub", "hub_url", "tables", "pending", "in_flight", "watermark", "schema", "last_sync",
        "conflicts", "open_conflicts", "rejected", "hidden", "left_out", "uncaptured", "unable", "changed",
        "waiting", "waiting_count", "hub_id", "left",
    }  # fmt: skip
    assert (status["hub_id"], status["hub_url"]) == (status["hub"], world.url)
    done = world.json("sync", here)
    assert done["push"]["sent"] == 2
    assert not any(done["person_needed"].values()) and done["person_needed"] == done["waiting"]
    assert "received 1 row, removed 1" in world.run("sync", there)
    assert cell(there, "SELECT name FROM person WHERE id = 1") == "Ada L."
    assert cell(there, "SELECT hex(photo) FROM person WHERE id = 1") == "00FF"
    assert "pending    nothing" in world.run("status", here)


def test_the_url_of_the_hub_has_one_name_in_whatever_tells_it(world: World) -> None:
    here, own = world.folder / "here.db", world.folder / "own.db"
    execute(
        own, "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, city TEXT, visits INTEGER, photo BLOB)"
    )
    told = [world.json("clone", world.url, here), world.json("track", own, "person", "--hub", world.url)]
    told += [world.json("status", file) for file in (here, own)]
    assert [one["hub_url"] for one in told] == [world.url] * 4


def test_what_python_tells_is_what_json_tells_but_for_what_the_page_names(world: World) -> None:
    """docs/python.md: the fields of a report are those of `--json`; three verbs have more."""
    here = world.clone("here.db")
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
    assert (
        "`person_needed` (`replica.status().person_needed`)" in page
        and "`waiting` (`replica.waiting()`)" in page
    )
    told = {verb: world.json(verb, here) for verb in ("sync", "push", "pull", "status", "verify")}
    with syncline.connect(here) as replica:
        person, waiting = replica.status().person_needed, [row.as_dict() for row in replica.waiting()]
        more: dict[str, dict[str, Any]] = {
            "sync": {"person_needed": person, "waiting": person},
            "push": {"person_needed": person, "waiting": person},
            "status": {"waiting": waiting},
        }
        for verb, said in told.items():
            found = getattr(replica, verb)().as_dict()
            added = more.get(verb, {})
            assert said.keys() == found.keys() | added.keys(), verb
            assert {name: said[name] for name in added} == added, verb
            assert {type(said[name]) for name in found} == {type(value) for value in found.values()}, verb
    execute(here, "INSERT INTO badge VALUES (1, 'car', NULL)")
    listed = world.json("push", here)
    helped = " ".join(world.run("push", "--help").split())
    assert "{" + ", ".join(listed["person_needed"]) + "}" in helped


def test_push_and_pull_do_one_half_each(world: World) -> None:
    here = world.clone("here.db")
    execute(here, "UPDATE person SET visits = visits + 1 WHERE id = 1")
    execute(world.central, "UPDATE person SET visits = visits + 10 WHERE id = 1")
    assert world.json("pull", here)["written"] == 1
    assert cell(here, "SELECT visits FROM person WHERE id = 1") == 14
    assert cell(world.central, "SELECT visits FROM person WHERE id = 1") == 13
    done = world.json("push", here)
    assert done["sent"] == 1 and not any(done["person_needed"].values())
    assert cell(world.central, "SELECT visits FROM person WHERE id = 1") == 14


def test_a_dry_run_shows_the_verdict_and_does_nothing(world: World) -> None:
    here = world.clone("here.db")
    execute(
        here, "UPDATE person SET name = 'Ada L.' WHERE id = 1", "INSERT INTO badge VALUES (2, 'car', 's-2')"
    )
    execute(world.central, "INSERT INTO badge VALUES (1, 'lift', 's-2')")
    shown = world.json("push", here, "--dry-run", code=3)
    assert set(shown) == {"rows", "accepted", "overruled", "rejected", "conflicts"}
    assert (shown["rows"], shown["accepted"], shown["overruled"]) == (2, 1, [])
    (row,) = shown["rejected"]
    assert set(row) == {"table", "key", "code", "detail", "remedy", "parent"}
    assert (row["table"], row["key"], row["code"]) == ("badge", [2, "car"], "unique_violation")
    said = world.run("push", here, "--dry-run", code=3)
    assert "would send 2 rows, 1 accepted as sent, 1 would be rejected" in said
    assert world.json("status", here)["in_flight"] is None
    assert cell(world.central, "SELECT name FROM person WHERE id = 1") == "Ada"
    assert world.json("push", here, code=3)["sent"] == 2
    assert "would send 0 rows" in world.run("push", here, "--dry-run")


def test_log_shows_what_is_captured_by_table_and_key(world: World) -> None:
    here = world.clone("here.db")
    execute(here, "UPDATE person SET name = 'C' WHERE id = -3", "INSERT INTO badge VALUES (1, 'car', NULL)",
            "UPDATE person SET name = 'B' WHERE id = 2")  # fmt: skip
    assert len(world.json("log", here)["entries"]) == 3
    assert len(world.json("log", here, "person")["entries"]) == 2
    [entry] = world.json("log", here, "person", "-3")["entries"]
    assert (entry["op"], entry["key"], entry["old"]) == ("U", [-3], {"name": "Cyd"})
    [entry] = world.json("log", here, "badge", "1", "car")["entries"]
    assert entry["op"] == "I"
    assert "'Bob'" in world.run("log", here, "person", "2")
    world.run("log", here, "persona", code=2)
    world.run("log", here, "person", "2", "3", code=2)
    world.run("log", here, "badge", "1", code=2)
    assert world.json("log", here, "person", "02")["entries"] == []


def open_conflict(world: World) -> tuple[Path, int]:
    here, there = world.clone("here.db"), world.clone("there.db")
    execute(here, "UPDATE person SET city = 'Lund' WHERE id = 1")
    execute(there, "UPDATE person SET city = 'Graz' WHERE id = 1")
    world.run("sync", here)
    assert world.json("sync", there, code=3)["person_needed"]["open_conflicts"] == 1
    [note] = world.json("conflicts", there, "--open")["conflicts"]
    with syncline.connect(there) as replica:
        assert [kept.as_dict() for kept in replica.conflicts()] == [note]
    assert (note["base"], note["sent"], note["hub"], note["outcome"]) == ("Porto", "Graz", "Lund", "open")
    return there, note["id"]


@pytest.mark.parametrize(
    ("choice", "city"),
    [
        (["sent"], "Graz"),
        (["hub"], "Lund"),
        (["base"], "Porto"),
        (["value", "--value", "Bern"], "Bern"),
        (["value", "--value", "12"], "12"),
        (["value", "--value", "null"], None),
    ],
)
def test_an_open_conflict_is_shown_and_resolved(world: World, choice: list[str], city: str | None) -> None:
    there, number = open_conflict(world)
    shown = world.run("conflicts", there, "show", number)
    assert "neither had seen the other's edit" in shown
    assert "To be decided by a person" in shown
    resolved = world.json("conflicts", there, "resolve", number, "--take", *choice)
    assert resolved["conflict"]["outcome"] == "resolved"
    assert cell(world.central, "SELECT city FROM person WHERE id = 1") == city
    assert world.json("conflicts", there, "--open")["conflicts"] == []
    world.run("sync", there)
    assert cell(there, "SELECT city FROM person WHERE id = 1") == city


def test_resolving_wrongly_is_refused_and_changes_nothing(world: World) -> None:
    there, number = open_conflict(world)
    for words in (["resolve"], ["resolve", number], ["resolve", number, "--take", "both"], ["show", 999],
                  ["resolve", number, "--take", "hub", "--value", "x"], ["resolve", -1, "--take", "hub"],
                  ["resolve", number, "--take", "value"]):  # fmt: skip
        world.run("conflicts", there, *words, code=2)
    assert run(["conflicts", str(there), "show", "999"]) == 2
    assert "[unknown_conflict]" in world.capsys.readouterr().err
    assert len(world.json("conflicts", there, "--open")["conflicts"]) == 1


def rejected_edit(world: World) -> tuple[Path, int]:
    here = world.clone("here.db")
    execute(here, "INSERT INTO badge VALUES (1, 'car', 's-9')")
    execute(world.central, "INSERT INTO badge VALUES (2, 'car', 's-9')")
    done = world.json("sync", here, code=3)
    [edit] = done["push"]["rejected"]
    assert (edit["table"], edit["key"], edit["op"]) == ("badge", [1, "car"], "I")
    return here, edit["id"]


def test_a_rejected_edit_is_shown_and_retried(world: World) -> None:
    here, number = rejected_edit(world)
    assert "badge 1 car" in world.run("rejected", here)
    shown = world.run("rejected", here, "show", number)
    assert "why: " in shown
    assert "try: " in shown
    execute(world.central, "DELETE FROM badge WHERE serial = 's-9'")
    world.run("sync", here, code=3)
    world.run("rejected", here, "retry", number)
    assert world.json("sync", here)["push"]["sent"] == 1
    assert cell(world.central, "SELECT person FROM badge WHERE serial = 's-9'") == 1
    assert world.json("rejected", here)["rejected"] == []


def test_discarding_needs_yes_because_it_cannot_be_undone(world: World) -> None:
    here, number = rejected_edit(world)
    world.run("rejected", here, "discard", number, code=2)
    assert run(["rejected", str(here), "retry", "99"]) == 2
    assert "[no_such_edit]" in world.capsys.readouterr().err
    assert len(world.json("rejected", here)["rejected"]) == 1
    assert world.json("rejected", here, "discard", number, "--yes")["action"] == "discard"
    assert world.json("rejected", here)["rejected"] == []


def test_track_brings_an_existing_file_in(world: World) -> None:
    file = world.folder / "own.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES + "INSERT INTO person VALUES (7, 'Eve', 'Rom', 0, NULL);")
    tracked = world.json("track", file, "person", "badge", "--hub", world.url)
    assert tracked["tables"] == ["person", "badge"]
    assert tracked["pending"]["person"] == 1
    world.run("sync", file)
    assert cell(world.central, "SELECT name FROM person WHERE id = 7") == "Eve"


def test_l12_a_table_that_cannot_be_tracked_says_what_would_help_it(world: World) -> None:
    own = world.folder / "own.db"
    execute(own, "CREATE TABLE note (id INTEGER PRIMARY KEY)", "CREATE TABLE badge (id INTEGER PRIMARY KEY)")

    def remedy(*tables: str) -> str:
        assert run(["track", str(own), *tables, "--hub", world.url, "--json"]) == 2
        said: str = json.loads(world.capsys.readouterr().err.splitlines()[-1])["error"]["remedy"]
        return said

    world.capsys.readouterr()
    absent, uncreated, misfit = remedy("note"), remedy("person"), remedy("badge")
    assert "Name tables as the hub does" in absent and "syncline init syncline.toml" in absent
    assert uncreated == "Create the table in the file first, then track it, or leave it out."
    assert misfit.startswith("Make the table fit")
    assert remedy("note", "person", "badge", "note") == f"{absent} {uncreated} {misfit}"


def test_a_tracked_file_was_synced_when_it_was_tracked(world: World) -> None:
    own = world.folder / "own.db"
    execute(
        own, "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, city TEXT, visits INTEGER, photo BLOB)"
    )
    world.run("track", own, "person", "--hub", world.url)
    assert "never" not in world.run("status", own)
    first = world.json("status", own)["last_sync"]
    execute(own, "CREATE TABLE badge (person INTEGER NOT NULL REFERENCES person, kind TEXT NOT NULL,"
            " serial TEXT UNIQUE, PRIMARY KEY (person, kind))")  # fmt: skip
    world.run("track", own, "badge")
    assert world.json("status", own)["last_sync"] == first, "what took part before was not fetched"


def test_l12_a_table_that_came_back_as_another_one_is_told_once(world: World) -> None:
    here, toml = world.clone("here.db"), world.folder / "syncline.toml"
    execute(world.central, "DROP TABLE badge", "CREATE TABLE badge (person TEXT PRIMARY KEY, kind TEXT)")
    world.run("init", toml, "--yes")
    world.run("sync", here, code=3)
    lines = world.run("status", here).splitlines()
    assert not any(line.startswith("left out") for line in lines)
    (at,) = [i for i, line in enumerate(lines) if line.startswith("changed    badge")]
    assert (
        lines[at + 1].split()
        == f"the centre has a badge, which can take part: see `syncline doctor {here}`".split()
    )


def test_cloning_over_an_existing_file_is_refused(world: World) -> None:
    here = world.clone("here.db")
    before = here.read_bytes()
    assert run(["clone", world.url, str(here)]) in (1, 2)
    assert here.read_bytes() == before


def test_without_a_hub_the_file_still_answers_and_sync_says_what_to_do(tmp_path: Path, world: World) -> None:
    here = world.clone("here.db")
    execute(here, "UPDATE person SET name = 'X' WHERE id = 1")
    world.run("sync", here, "--hub", "http://127.0.0.1:1", code=1)
    assert run(["sync", str(here), "--hub", "http://127.0.0.1:1", "--json"]) == 1
    assert json.loads(world.capsys.readouterr().err)["error"]["retry"] is True
    assert world.json("status", here)["pending"]["person"] == 1
    assert world.json("sync", here)["push"]["sent"] == 1


def test_verify_says_what_differs_and_repairs_just_that(world: World) -> None:
    file = world.clone("a.db")
    assert world.run("verify", file).splitlines()[-1] == "equal (1 request)"
    assert world.json("verify", file)["equal"] is True
    damage_device(
        file,
        "UPDATE person SET visits = 4, name = NULL WHERE id = 1",
        "DELETE FROM badge WHERE person = 2",
        "INSERT INTO person VALUES (-4, 'Ghost', NULL, NULL, x'00')",
    )
    said = world.run("verify", file, code=3)
    for line in (
        "person -4: not in the centre",
        "  id -4, name 'Ghost', city NULL, visits NULL, photo blob of 1 bytes",
        "person 1: differs",
        "  name: here NULL, in the centre 'Ada'",
        "  visits: here 4, in the centre 3",
        "badge 2 door: missing here",
        "3 rows differ (3 requests)",
    ):
        assert line in said.splitlines()
    report = world.json("verify", file, "--repair")
    assert (report["equal"], report["repaired"], report["left"]) == (True, 3, [])
    assert [(d["table"], d["key"], d["kind"]) for d in report["differences"]] == [
        ("person", [-4], "not_in_centre"),
        ("person", [1], "differs"),
        ("badge", [2, "door"], "missing_here"),
    ]
    assert world.run("verify", file).splitlines()[-1] == "equal (1 request)"
    assert world.json("status", file)["pending"] == {}


def test_doctor_examines_the_centre_or_a_device_file_by_what_is_in_it(world: World) -> None:
    toml, file = world.folder / "syncline.toml", world.clone("a.db")
    assert world.json("doctor", toml)["database"].endswith("central.db")
    bare = world.folder / "bare.toml"
    bare.write_text('[hub]\ndatabase = "sqlite:///bare.db"', encoding="utf-8")
    assert "trouble  " in world.run("doctor", bare, code=3)
    execute(world.folder / "bare.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    assert world.run("doctor", bare, code=3).splitlines()[0].endswith("[not_prepared]")
    assert all(finding["level"] != "trouble" for finding in world.json("doctor", file)["findings"])
    number = cell(file, "SELECT n FROM _sync_table WHERE name = 'person'")
    execute(file, "UPDATE person SET name = 'X' WHERE id = 1", f'DROP TRIGGER "_sync_{number}_delete"')
    said = world.run("doctor", file, code=3).splitlines()
    assert any(line.startswith("fact     1 edit waits to be sent, the oldest since 20") for line in said)
    assert any(line.startswith("trouble  table ") and line.endswith("[capture_missing]") for line in said)
    assert world.json("doctor", file, code=3)["file"] == str(file)
    world.json("sync", file)
    assert "capture_missing" not in world.run("doctor", file)
    (world.folder / "text.db").write_text("these are words\n")
    assert "store_damaged" in world.run("doctor", world.folder / "text.db", code=3)
    (world.folder / "text.toml").write_text("these are words\n")
    world.run("doctor", world.folder / "text.toml", code=2)
    world.run("doctor", world.folder / "nothing.db", code=1)
    world.run("doctor", world.folder / "nothing.toml", code=2)
    (world.folder / "plain.db").touch()
    assert "not_a_replica" in world.run("doctor", world.folder / "plain.db", code=3)
