"""What `doctor` says of a device file: as it should be, altered, damaged, or none at all (law L12)."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncline.errors import StoreBusy, StoreError
from syncline.model.finding import Finding
from syncline.protocol.messages import ConflictNote
from syncline.replica.conflicts import keep_conflicts
from syncline.replica.examine import examine
from syncline.replica.freeze import freeze
from syncline.replica.hydrate import building_path
from syncline.replica.lost import notice
from syncline.replica.store import SAFE_CHECKPOINTS
from tests.support.device import Bench

DDL = """
CREATE TABLE team (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, team INTEGER REFERENCES team (id));
"""
HARMLESS = {"version", "replica", "tables", "wal_reset"}
FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL)
    made.store.set_state(hub_url="http://hub")
    yield made
    made.close()


def found(bench: Bench) -> dict[str, Finding]:
    """The findings by code, without what is always said."""
    return {finding.code: finding for finding in examine(bench.store.path) if finding.code not in HARMLESS}


def with_numbers(bench: Bench, text: str) -> str:
    """The text with the numbers of the tables `<team>` and `<person>`."""
    for table in bench.schema.tables:
        text = text.replace(f"<{table.name}>", str(table.number))
    return text


def codes(path: Path) -> set[str]:
    return {finding.code for finding in examine(path) if finding.level == "trouble"}


def test_l12_a_replica_that_is_as_it_should_be(bench: Bench) -> None:
    assert found(bench) == {}
    said = {finding.code: finding.sentence for finding in examine(bench.store.path)}
    assert said["replica"] == "replica replica-1 of http://hub"
    assert said["tables"] == "tables that take part: 2"


def test_an_sqlite_that_can_lose_writes_is_a_warning(bench: Bench) -> None:
    warned = [finding for finding in examine(bench.store.path) if finding.code == "wal_reset"]
    assert bool(warned) == (sqlite3.sqlite_version_info < SAFE_CHECKPOINTS)
    assert all(finding.level == "warning" and finding.remedy for finding in warned)


def test_an_examination_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.app.execute(with_numbers(bench, 'DROP TRIGGER "_sync_<person>_insert"'))
    bench.close()
    file = Path(bench.store.path)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    before, beside = file.read_bytes(), sorted(tmp_path.iterdir())
    assert codes(file) == {"capture_missing"}
    assert any(finding.code == "not_wal" for finding in examine(file))
    assert (file.read_bytes(), sorted(tmp_path.iterdir())) == (before, beside)


@pytest.mark.parametrize(
    ("statement", "code", "level"),
    [
        ('DROP TRIGGER "_sync_<team>_update"', "capture_missing", "trouble"),
        ("CREATE UNIQUE INDEX more ON person (name)", "capture_outdated", "warning"),
        (
            "CREATE TRIGGER mine AFTER INSERT ON person BEGIN SELECT 1; END",
            "capture_not_newest",
            "warning",
        ),
        ("UPDATE _sync_state SET suppressed = 1", "capture_suppressed", "trouble"),
        ("DROP TABLE _sync_log_<person>", "log_missing", "trouble"),
        ("DROP TABLE _sync_outbox", "store_damaged", "trouble"),
        ("DROP TABLE person", "table_missing", "trouble"),
        ("ALTER TABLE person ADD COLUMN colour TEXT", "column_local", "warning"),
        ("UPDATE _sync_state SET hydrate = '{}'", "track_unfinished", "warning"),
        ("UPDATE _sync_state SET hydrate = '{}', watermark = NULL", "hydrate_unfinished", "trouble"),
        ("UPDATE _sync_state SET recovery = '{}'", "recovery_unfinished", "warning"),
        (
            "INSERT INTO _sync_sent (number, at, made, bases, digest, body)"
            " VALUES (1, '2026', 0, '', 'd', x'01')",
            "kept_pushes",
            "fact",
        ),
        (
            "INSERT INTO _sync_rejected (n, key, op, edit, code, detail, remedy, at)"
            " VALUES (<team>, x'', 'I', x'', 'c', 'd', 'r', '2026')",
            "rejected",
            "trouble",
        ),
    ],
)
def test_l12_what_is_not_as_it_should_be(bench: Bench, statement: str, code: str, level: str) -> None:
    bench.app.execute(with_numbers(bench, statement))
    finding = found(bench)[code]
    assert finding.level == level
    assert bool(finding.remedy) == (level != "fact" and code != "column_local")


def test_what_the_application_renames_is_no_trouble(bench: Bench) -> None:
    bench.app.execute("ALTER TABLE person RENAME COLUMN name TO label")
    bench.app.execute("ALTER TABLE person RENAME TO human")
    assert {code for code, finding in found(bench).items() if finding.level != "fact"} == set()


def test_what_the_centre_has_changed_is_said(bench: Bench) -> None:
    bench.store.set_state(
        names=json.dumps({"tables": {bench.schema.number_of("person"): "human"}, "columns": {}})
    )
    bench.app.execute("ALTER TABLE person RENAME TO human")
    assert found(bench)["upgrade_waits"].level == "fact"
    assert "names that the centre has changed, of human;" in found(bench)["upgrade_waits"].sentence


def test_a_table_that_differs_from_the_centres_in_more_than_names_waits_for_no_upgrade(
    bench: Bench,
) -> None:
    state = json.loads(bench.store.state().schema or "")
    for table in state["tables"]:
        for column in table["columns"]:
            column["form"] = "asked"  # what the hub asks for is not what the file has
    bench.store.set_state(schema=json.dumps(state))
    assert "upgrade_waits" not in found(bench)


def test_an_altered_trigger_is_told_from_an_index_that_came(bench: Bench) -> None:
    name = with_numbers(bench, "_sync_<person>_insert")
    (sql,) = bench.app.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    bench.app.execute(f'DROP TRIGGER "{name}"')
    bench.app.execute(sql.replace("suppressed = 0", "suppressed = 7"))
    assert found(bench).keys() == {"capture_altered"}


def test_a_column_that_every_row_must_have_stops_what_comes_from_the_centre(bench: Bench) -> None:
    bench.app.execute("PRAGMA writable_schema = ON")
    bench.app.execute("UPDATE sqlite_master SET sql = replace(sql, 'name TEXT,', 'name TEXT, x NOT NULL,')")
    bench.app.execute("PRAGMA writable_schema = RESET")
    assert found(bench)["column_required"].level == "trouble"


def test_rows_without_a_parent_are_counted_by_table_and_parent(bench: Bench) -> None:
    bench.app.execute("PRAGMA foreign_keys = OFF")
    bench.app.execute("INSERT INTO person VALUES (1, 'a', 7), (2, 'b', 8), (3, 'c', NULL)")
    assert found(bench)["parent_missing"].sentence == "table person: 2 rows refer to no row of team"


def test_what_waits_is_told_with_the_oldest_edit(bench: Bench) -> None:
    bench.app.execute("INSERT INTO team VALUES (1, 'a')")
    bench.app.execute(f"UPDATE {bench.log('team')} SET at = julianday('2026-01-02 03:04:05')")
    bench.app.execute("INSERT INTO team VALUES (2, 'b')")
    waits = "2 edits wait to be sent, the oldest since 2026-01-02T03:04:05.000Z"
    assert found(bench)["pending"].sentence == waits
    assert freeze(bench.device) is not None
    assert found(bench)["in_flight"].sentence.startswith("push 1 of ")


def test_conflicts_that_wait_need_a_person(bench: Bench) -> None:
    note = ConflictNote(1, "team", [1], "name", "open", "r", 1, "hub", 2, "a", "b", "c", "2026-01-01")
    keep_conflicts(bench.store, [note])
    assert found(bench)["open_conflicts"].level == "trouble"


# Files that are not whole -------------------------------------------------------------------------------


def test_a_file_with_overwritten_pages_is_damaged_and_the_rest_is_told(bench: Bench) -> None:
    bench.app.execute("INSERT INTO team VALUES (1, 'a')")
    (root,) = bench.app.execute("SELECT rootpage FROM sqlite_master WHERE name = 'team'").fetchone()
    (size,) = bench.app.execute("PRAGMA page_size").fetchone()
    bench.close()
    with open(bench.store.path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * 100)
    said = {finding.code for finding in examine(bench.store.path)}
    assert {"store_damaged", "replica", "pending"} <= said


def test_a_file_whose_beginning_is_gone_is_no_database(bench: Bench) -> None:
    bench.close()
    with open(bench.store.path, "r+b") as file:
        file.write(b"\0" * 100)
    assert codes(Path(bench.store.path)) == {"store_damaged"}


def test_a_file_that_was_cut_off_is_damaged(bench: Bench) -> None:
    bench.close()
    with open(bench.store.path, "r+b") as file:
        file.truncate(3 * 4096)
    assert "store_damaged" in codes(Path(bench.store.path))


def test_a_replica_without_its_state(bench: Bench) -> None:
    bench.app.execute("DELETE FROM _sync_state")
    assert found(bench).keys() == {"state_missing"}


def test_a_plain_sqlite_file_is_no_replica(tmp_path: Path) -> None:
    file = tmp_path / "plain.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
    assert codes(file) == {"not_a_replica"}


def test_a_file_of_a_newer_or_an_older_layout_is_of_no_use_here(bench: Bench, tmp_path: Path) -> None:
    bench.app.execute("UPDATE _sync_state SET format = 99")
    assert found(bench).keys() == {"store_layout"}
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript((FIXTURES / "replica_uncounted.sql").read_text())
    assert codes(old) == {"store_layout"}


def test_a_missing_file_is_an_error_unless_its_clone_was_cut_off(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with pytest.raises(StoreError) as caught:
        examine(file)
    assert caught.value.code == "store_missing"
    bench.close()
    shutil.copy(bench.store.path, building_path(str(file)))
    assert codes(file) == {"clone_unfinished"}


def test_a_file_that_another_program_has_locked_is_an_error_to_try_again(tmp_path: Path) -> None:
    file = tmp_path / "plain.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy):
            examine(file, busy_seconds=0)


def test_a_table_that_was_made_anew_has_one_code_before_and_after_that_is_noted(bench: Bench) -> None:
    bench.app.execute(with_numbers(bench, 'DROP TRIGGER "_sync_<person>_insert"'))
    file = Path(bench.store.path)
    before = codes(file)
    notice(bench.device)
    assert {"capture_missing"} == before & {"capture_missing", "capture_lost"}
    assert {"capture_missing"} == codes(file) & {"capture_missing", "capture_lost"}
