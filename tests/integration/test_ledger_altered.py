"""What the hub keeps in the central database, altered by hand: a code and a remedy, and no error of Python's
(law L12)."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

import syncline
from syncline.errors import SynclineError
from syncline.server import create_app, serving
from tests.support.application import sql
from tests.support.either import run

ALTERED = [
    "UPDATE _sync_hub_conflicts SET data = 'null'",
    "UPDATE _sync_hub_conflicts SET data = '{\"a\": 1}'",
    "UPDATE _sync_hub_conflicts SET data = 'garbage'",
    "UPDATE _sync_hub_clients SET last_pull = '{}'",
    "UPDATE _sync_hub_clients SET push = 'many'",
    "UPDATE _sync_hub_clients SET push = 9223372036854775807",
    "UPDATE _sync_hub SET kept_old = 'null'",
    "UPDATE _sync_hub_versions SET body = 'x'",
]


@pytest.fixture
def centre(tmp_path: Path) -> Path:
    """A centre with a replica and an open conflict of it."""
    file = tmp_path / "centre.db"
    sql(file, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'x')")
    with hub_of(file) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "device.db").close()
        sql(file, "UPDATE t SET v = 'theirs'")
        sql(tmp_path / "device.db", "UPDATE t SET v = 'mine'")
        with syncline.connect(tmp_path / "device.db", hub) as replica:
            replica.sync()
    return file


def hub_of(file: Path) -> syncline.Hub:
    return syncline.Hub(f"sqlite:///{file}", {"t": syncline.Table(merge={"v": "review"})})


def sync(centre: Path, hub: syncline.Hub) -> None:
    with syncline.connect(centre.parent / "device.db", hub) as replica:
        replica.sync()


@pytest.mark.parametrize("statement", ALTERED)
def test_l12_what_a_hub_keeps_was_altered(centre: Path, statement: str) -> None:
    assert sql(centre, "SELECT count(*) FROM _sync_hub_conflicts") == [(1,)]
    sql(centre, statement)
    codes = []
    with hub_of(centre) as hub:
        for ask in (lambda: list(hub.replicas()), lambda: list(hub.conflicts()), lambda: sync(centre, hub)):
            try:
                ask()
            except SynclineError as error:
                codes.append(error.code)
                assert "altered" in error.detail and error.remedy
    assert "ledger_damaged" in codes


def test_l12_a_server_answers_with_the_code_and_not_with_an_incident(centre: Path) -> None:
    sql(centre, "UPDATE _sync_hub_conflicts SET data = 'null'")
    (replica,) = sql(centre, "SELECT replica FROM _sync_hub_conflicts")[0]
    with hub_of(centre) as hub, serving(create_app(hub)) as url:
        answer = httpx2.get(f"{url}/sync/conflicts", params={"replica": replica})
        assert answer.status_code == 500
        assert answer.json()["code"] == "ledger_damaged"
        assert "incident" not in answer.text


GARBAGE = (
    "NULL", "-1", "0", "9223372036854775807", "1.5", "''", "'x'", "'null'", "'[]'", "'{\"a\": 1}'", "x'00ff'",
    "CAST(x'ff' AS TEXT)", "zeroblob(8)",
)  # fmt: skip
VERBS: dict[str, Callable[[Path, syncline.Hub], Any]] = {
    "check": lambda centre, hub: hub.check(),
    "init": lambda centre, hub: hub.init(),
    "replicas": lambda centre, hub: list(map(str, hub.replicas())),
    "conflicts": lambda centre, hub: list(map(str, hub.conflicts())),
    "sync": lambda centre, hub: sync(centre, hub),
    "reconcile": lambda centre, hub: reconcile(centre, hub),
    "clone": lambda centre, hub: clone(centre, hub),
    "examine": lambda centre, hub: list(map(str, hub.examine())),
    "prune": lambda centre, hub: hub.prune(),
    "resolve": lambda centre, hub: hub.resolve(1, "sent"),
}


def reconcile(centre: Path, hub: syncline.Hub) -> None:
    """The device asks what became of its edits, as one does that was copied."""
    sql(centre.parent / "device.db", "UPDATE _sync_state SET watermark = 'garbled', horizon = NULL")
    sync(centre, hub)


def clone(centre: Path, hub: syncline.Hub) -> None:
    other = centre.parent / "other.db"
    other.unlink(missing_ok=True)
    syncline.clone(hub, other).close()


RULES = (
    "",
    "garbage",
    "null",
    "[]",
    '{"tables": {}}',
    '{"tables": [], "forms": {}}',
    '{"tables": {"t": null}, "forms": {}}',
    '{"tables": {"t": {"merge": {"v": "review"}}}, "forms": {}}',
    '{"tables": {"t": {"merge": {"v": 3}, "inserts": null, "deletes": "newer_wins", "local_rows": null,'
    ' "key": [], "forms": {}}}, "forms": {}}',
    '{"tables": {"t": {"merge": {"v": {}}, "inserts": null, "deletes": "newer_wins", "local_rows": null,'
    ' "key": [], "forms": {}}}, "forms": {}}',
    '{"tables": {"t": {"merge": {}, "inserts": null, "deletes": 1, "local_rows": null,'
    ' "key": 7, "forms": {}, "more": 1}}, "forms": {}}',
    '{"tables": null, "forms": 5}',
    '{"tables": null, "forms": {"datetime": 5}}',
)


@pytest.mark.parametrize("content", RULES)
def test_l12_the_rules_that_a_hub_keeps_were_altered(centre: Path, content: str) -> None:
    """Whatever they are like now, what cannot work with them says which setting it is."""
    with closing(sqlite3.connect(centre)) as connection, connection:
        sql = "UPDATE _sync_hub_settings SET content = ? WHERE name = 'rules'"
        assert connection.execute(sql, (content,)).rowcount == 1
    codes = set()
    for ask in ("check", "replicas", "sync", "clone", "examine", "conflicts"):
        with hub_of(centre) as hub:
            try:
                VERBS[ask](centre, hub)
            except SynclineError as error:
                codes.add(error.code)
                assert "_sync_hub_settings" in error.detail and "rules" in error.detail, (ask, error.detail)
    assert codes == ({"ledger_damaged"} if content else set())


@pytest.fixture
def busy(centre: Path) -> Path:
    """The same with something in every table: a rejected edit, a large push that was begun, settings."""
    folder = centre.parent
    with hub_of(centre) as hub:
        sql(
            centre,
            "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.id = 7 BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        sql(folder / "device.db", "INSERT INTO t VALUES (7, 'bad'), (8, 'good')")
        sync(centre, hub)
        hub.prune()
        sql(folder / "device.db", "UPDATE t SET v = 'pending' WHERE id = 8")
        (replica,) = sql(centre, "SELECT replica FROM _sync_hub_clients")[0]
        sql(
            centre,
            "INSERT INTO _sync_hub_settings VALUES ('told', '5'), ('forgotten', '7')",
            f"INSERT INTO _sync_hub_claims VALUES ('{replica}', 5, 6, 7)",
            f"INSERT INTO _sync_hub_uploads VALUES ('{replica}', 9, 'd', 'f', 1, 1, '[]', 1)",
            f"INSERT INTO _sync_hub_chunks VALUES ('{replica}', 1, 'd', 1, x'', x'00')",
            "INSERT OR IGNORE INTO _sync_hub_moments VALUES (1, 1)",
            "INSERT OR IGNORE INTO _sync_hub_mark VALUES (1, 1)",
        )
    for end in ("-wal", "-shm"):
        Path(f"{centre}{end}").unlink(missing_ok=True)
    return centre


def cells(centre: Path) -> list[tuple[str, str]]:
    """Every column of Syncline's own tables that have rows."""
    names = sql(centre, "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '_sync_hub*'")
    found = []
    for (table,) in names:
        columns = [name for (name,) in sql(centre, f"SELECT name FROM pragma_table_info('{table}')")]
        if sql(centre, f"SELECT count(*) FROM {table}") != [(0,)]:
            found += [(table, column) for column in columns]
    return found


def alter(centre: Path, table: str, column: str, value: str) -> bool:
    """Whether SQLite lets it be done."""
    with closing(sqlite3.connect(centre, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        try:
            connection.execute(f"UPDATE {table} SET {column} = {value}")
        except sqlite3.Error:
            return False
    return True


@pytest.mark.parametrize("part", range(4))
def test_l12_every_cell_of_what_a_hub_keeps_was_altered(busy: Path, tmp_path: Path, part: int) -> None:
    """No verb ends in an error of Python's; what is damaged is named by table and column."""
    kept = tmp_path / "kept"
    kept.mkdir()
    files = [busy, busy.parent / "device.db"]
    for file in files:
        with closing(sqlite3.connect(file)) as whole, closing(sqlite3.connect(kept / file.name)) as copy:
            whole.backup(copy)
    r, named = random.Random(part), set[str]()
    for table, column in cells(busy)[part::4]:
        for value in r.sample(GARBAGE, 3):
            for file in files:
                for end in ("-wal", "-shm"):
                    Path(f"{file}{end}").unlink(missing_ok=True)
                shutil.copy(kept / file.name, file)
            if not alter(busy, table, column, value):
                continue
            for verb in r.sample(sorted(VERBS), len(VERBS)):
                with hub_of(busy) as hub:
                    try:
                        VERBS[verb](busy, hub)
                    except SynclineError as error:
                        assert error.code != "internal" and error.remedy, (table, column, value, verb)
                        if error.code == "ledger_damaged":
                            assert f"{table}" in error.detail, (table, column, value, verb, error.detail)
                            assert f"the column {column} was altered" in error.detail, (error.detail, column)
                            named.add(table)
                    except Exception as error:
                        error.add_note(f"{table}.{column} = {value}, {verb}")
                        raise
    assert named


@pytest.mark.parametrize(
    ("column", "statement"),
    [
        ("data", "UPDATE syncline.conflicts SET data = 'null'"),
        ("content", "UPDATE syncline.settings SET content = '[]' WHERE name = 'secret'"),
        ("body", "UPDATE syncline.versions SET body = '{}'"),
        ("last_pull", "UPDATE syncline.clients SET last_pull = 9223372036854775807"),
    ],
)
def test_l12_a_cell_altered_in_postgresql_is_named(
    postgres_url: str, tmp_path: Path, column: str, statement: str
) -> None:
    run(postgres_url, "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'x')")
    device, codes = tmp_path / "device.db", set[str]()
    with syncline.Hub(postgres_url, {"t": syncline.Table(merge={"v": "review"})}) as hub:
        hub.init()
        syncline.clone(hub, device).close()
        run(postgres_url, "UPDATE t SET v = 'theirs'")
        sql(device, "UPDATE t SET v = 'mine'")
        with syncline.connect(device, hub) as replica:
            replica.sync()
    run(postgres_url, statement)
    with syncline.Hub(postgres_url, {"t": syncline.Table(merge={"v": "review"})}) as hub:
        for ask in (lambda: list(hub.replicas()), lambda: list(hub.conflicts()), hub.examine):
            try:
                ask()
            except SynclineError as error:
                codes.add(error.code)
                assert f"the column {column} was altered" in error.detail
    assert codes == {"ledger_damaged"}
