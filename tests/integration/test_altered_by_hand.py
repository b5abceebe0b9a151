"""Syncline's own tables of a device file, altered by hand in every column: each verb does what it can, or
says under a code what is wrong and what to do (law L12). None ends in an error of Python's, and nothing is
lost."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import StoreDamaged, SynclineError
from syncline.replica.examine import examine
from syncline.replica.sound import RULES, unsound
from syncline.replica.store import Store, pack
from tests.support.application import sql

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0, v TEXT)"
TRIGGER = "CREATE TRIGGER no BEFORE UPDATE ON t WHEN new.v = 'bad' BEGIN SELECT RAISE(ABORT, 'no bad'); END"
REVIEWED = {"t": syncline.Table(merge={"n": "sum", "v": "review"})}
LOG = "_sync_log_0"

GARBAGE = (
    *(
        "NULL",
        "-1",
        "0",
        "7",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "9e999",
        "''",
        "'x'",
        "'1'",
    ),
    *("'[]'", "'{}'", "'[1]'", "'null'", "'[null]'", "'{\"a\": 1}'", "char(7)", "CAST(x'ff' AS TEXT)"),
    *(
        "x''",
        "x'00'",
        "x'c0'",
        "x'c1ff'",
        "x'80'",
        "x'90'",
        "x'9101'",
        "x'929101'",
        "zeroblob(7)",
        "zeroblob(16)",
    ),
)

Verb = Callable[[syncline.Replica], Any]
VERBS: dict[str, Verb] = {
    "sync": lambda replica: replica.sync(),
    "push": lambda replica: replica.push(),
    "pull": lambda replica: replica.pull(),
    "status": lambda replica: replica.status(),
    "log": lambda replica: list(map(str, replica.log())),
    "preview": lambda replica: replica.preview(),
    "doctor": lambda replica: examine(replica.file),
    "verify": lambda replica: replica.verify(),
    "rejected": lambda replica: list(map(str, replica.rejected())),
    "waiting": lambda replica: list(map(str, replica.waiting())),
    "conflicts": lambda replica: list(map(str, replica.conflicts())),
    "retry": lambda replica: [replica.retry(one.id) for one in replica.rejected()],
    "discard": lambda replica: [replica.discard(one.id) for one in replica.rejected()],
    "reopen": lambda replica: replica.reopen(),
    "upgrade": lambda replica: replica.upgrade(),
    "repair": lambda replica: replica.verify(repair=True),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a centre and a file of it that has pending, rejected, retried and conflicting edits."""
    folder = tmp_path_factory.mktemp("kept")
    sql(folder / "centre.db", TABLE, TRIGGER, "INSERT INTO t VALUES (1, 0, 'x'), (2, 0, 'y'), (3, 0, 'z')")
    device = folder / "device.db"
    with hub_of(folder) as hub:
        hub.init()
        syncline.clone(hub, device).close()
        sql(device, "UPDATE t SET v = 'bad' WHERE id > 1", "INSERT INTO t VALUES (9, 1, 'nine')")
        sql(folder / "centre.db", "UPDATE t SET v = 'theirs' WHERE id = 1")
        sql(device, "UPDATE t SET v = 'mine' WHERE id = 1")
        with syncline.connect(device, hub) as replica:
            replica.sync()
            replica.retry(replica.rejected()[0].id)
    sql(device, "UPDATE t SET n = n + 5 WHERE id = 1", "INSERT INTO t VALUES (20, 1, 'q')")
    return folder


def hub_of(folder: Path) -> syncline.Hub:
    return syncline.Hub(f"sqlite:///{folder}/centre.db", REVIEWED)


class Altered:
    """Copies of the kept files, one of which is altered."""

    def __init__(self, kept: Path, folder: Path) -> None:
        self.kept, self.folder, self.device = kept, folder, folder / "device.db"

    def renew(self) -> None:
        for name in ("centre.db", "device.db"):
            for end in ("", "-wal", "-shm"):
                (self.folder / f"{name}{end}").unlink(missing_ok=True)
            with (
                closing(sqlite3.connect(self.kept / name)) as whole,
                closing(sqlite3.connect(self.folder / name)) as copy,
            ):
                whole.backup(copy)

    def alter(self, statement: str) -> bool:
        """Whether SQLite lets it be done."""
        with closing(sqlite3.connect(self.device, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            try:
                connection.execute(statement)
            except sqlite3.Error:
                return False
        return True

    def codes(self, verbs: list[str]) -> list[str]:
        """What each of the verbs comes to: a code, or nothing. Any other error comes out."""
        found = []
        with hub_of(self.folder) as hub:
            for verb in verbs:
                try:
                    with syncline.connect(self.device, hub, wait=1) as replica:
                        VERBS[verb](replica)
                        found.append("")
                except SynclineError as error:
                    assert error.code != "internal" and error.remedy, (verb, str(error))
                    found.append(error.code)
        return found

    def has_all(self) -> bool:
        """Whether what was written here is here, or in the centre."""
        rows = [sql(self.folder / name, "SELECT id FROM t") for name in ("device.db", "centre.db")]
        return all(any((key,) in some for some in rows) for key in (9, 20))


@pytest.fixture
def altered(kept: Path, tmp_path: Path) -> Altered:
    return Altered(kept, tmp_path)


def alterations(table: str, columns: list[str], choice: random.Random) -> Iterator[str]:
    """Of every column some, of the whole table its loss, and rows of nothing but rubbish."""
    for column in columns:
        for value in choice.sample(GARBAGE, 2):
            yield f"UPDATE {table} SET {column} = {value}"
    yield f"DELETE FROM {table}"
    for value in choice.sample(GARBAGE, 2):
        yield f"INSERT INTO {table} VALUES ({', '.join([value] * len(columns))})"
        yield f"INSERT INTO {table} VALUES ({', '.join(['0'] + [value] * (len(columns) - 1))})"


@pytest.mark.parametrize("table", [*RULES, LOG])
def test_l12_no_table_of_syncline_altered_by_hand_ends_a_verb_in_an_error_of_python(
    altered: Altered, table: str
) -> None:
    altered.renew()
    choice = random.Random(f"altered {table}")
    columns = [name for (name,) in sql(altered.device, f"SELECT name FROM pragma_table_info('{table}')")]
    done = 0
    for statement in alterations(table, columns, choice):
        altered.renew()
        if altered.alter(statement):
            done += 1
            verbs = choice.sample(list(VERBS), 4)
            try:
                altered.codes(verbs)
            except Exception as error:
                raise AssertionError(f"{statement}: {verbs}: {error!r}") from error
            assert table == LOG or altered.has_all(), (statement, verbs)
    assert done > len(columns)


def test_a_file_that_nobody_has_altered_is_sound(altered: Altered) -> None:
    altered.renew()
    with closing(Store.open_reading(altered.device)) as store:
        assert not list(unsound(store))


def test_every_column_of_every_table_of_syncline_has_a_rule(altered: Altered) -> None:
    altered.renew()
    columns = sql(
        altered.device,
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name GLOB '_sync_*' AND m.name NOT GLOB '_sync_log_*'",
    )
    ruled = {(table, column) for table, rules in RULES.items() for column in rules}
    assert set(columns) - ruled == {("_sync_state", "format")}, "the layout is looked at by itself"
    assert not ruled - set(columns)


def test_a_row_that_is_held_for_a_reason_is_sound(altered: Altered) -> None:
    altered.renew()
    held = [pack([1]), pack([[0], [5]]), pack(["trigger no", "it says no"])]
    values = ", ".join(f"x'{one.hex()}'" for one in held[:2])
    sql(altered.device, f"INSERT INTO _sync_held VALUES (0, {values}, 1, x'{held[2].hex()}')")
    sql(altered.device, f"INSERT INTO _sync_parked VALUES (0, {values})")
    with closing(Store.open_reading(altered.device)) as store:
        assert not list(unsound(store))


KNOWN = [
    ("retry", "UPDATE _sync_rejected SET edit = x'c0'"),
    ("retry", "UPDATE _sync_rejected SET op = x''"),
    ("discard", "UPDATE _sync_rejected SET op = x''"),
    ("verify", "UPDATE _sync_state SET push = -1"),
    ("sync", "UPDATE _sync_state SET push = 9223372036854775807"),
    ("sync", "UPDATE _sync_log_0 SET checkpoint = 0"),
    ("sync", "UPDATE _sync_state SET recovery = '[]'"),
    ("log", "UPDATE _sync_log_0 SET mask1 = '1'"),
    ("push", "UPDATE _sync_log_0 SET mask1 = 4"),
    ("preview", "INSERT INTO _sync_held VALUES (0, x'00', x'00', x'00', x'00')"),
    ("status", "UPDATE _sync_conflict SET note = '{\"a\": 1}'"),
    ("log", "INSERT INTO _sync_outbox_cut VALUES (0, x'00')"),
    ("sync", "UPDATE _sync_state SET chunk_bytes = x'90'"),
    ("sync", "UPDATE _sync_state SET fingerprint = x'0102030405060708'"),
    ("sync", "DELETE FROM _sync_checkpoint"),
    ("sync", "DELETE FROM _sync_table"),
]


@pytest.mark.parametrize(("verb", "statement"), KNOWN)
def test_l12_what_was_altered_is_said_by_its_place(altered: Altered, verb: str, statement: str) -> None:
    altered.renew()
    before = sql(altered.device, "SELECT * FROM _sync_log_0")
    assert altered.alter(statement)
    with (
        hub_of(altered.folder) as hub,
        pytest.raises(StoreDamaged) as caught,
        syncline.connect(altered.device, hub) as replica,
    ):
        VERBS[verb](replica)
    assert "altered" in caught.value.detail
    assert "copy" in caught.value.remedy
    assert [one for one in examine(altered.device) if one.code == "store_damaged"]
    if LOG not in statement:
        assert sql(altered.device, "SELECT * FROM _sync_log_0") == before, "what is pending stays"
