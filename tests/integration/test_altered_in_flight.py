"""A device file whose push is in flight, or whose log waits, altered by hand to what could be true: no edit
counts twice and none is dropped in silence (laws L2, L3 and L12)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import HubBusy, StoreDamaged, SynclineError
from syncline.protocol import messages as m
from tests.support.application import sql

ROWS = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INTEGER DEFAULT 0)"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[syncline.Hub]:
    sql(tmp_path / "centre.db", ROWS, "INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 2), (3, 'c', 3)")
    with syncline.Hub(
        f"sqlite:///{tmp_path / 'centre.db'}", {"t": syncline.Table(merge={"n": "sum"})}
    ) as made:
        made.init()
        syncline.clone(made, tmp_path / "d.db").close()
        yield made


def push_without_answer(
    hub: syncline.Hub, file: Path, monkeypatch: pytest.MonkeyPatch, *, arrives: bool = True
) -> None:
    """The hub takes the push, or does not, and nobody hears of it."""
    handle = hub.handle

    def cut_off(actor: Any, request: Any) -> Any:
        is_push = isinstance(request, (m.Push, m.CommitPush))
        answer = handle(actor, request) if arrives or not is_push else None
        if is_push:
            raise HubBusy("the line is dead")
        return answer

    with monkeypatch.context() as patch, syncline.connect(file, hub) as replica:
        patch.setattr(hub, "handle", cut_off)
        with pytest.raises(HubBusy):
            replica.push()


def alter(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(statement)


CUTS = [
    "DELETE FROM _sync_outbox_cut",
    "UPDATE _sync_outbox_cut SET n = n + 7",
    "UPDATE _sync_outbox_cut SET seq = 0",
    "UPDATE _sync_outbox_cut SET seq = 1",
    "UPDATE _sync_outbox_cut SET seq = seq + 9",
]


@pytest.mark.parametrize("statement", CUTS)
def test_l3_a_push_that_covers_other_edits_than_it_has_is_not_sent(
    hub: syncline.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    file = tmp_path / "d.db"
    sql(file, "UPDATE t SET n = n + 7 WHERE id = 1", "UPDATE t SET n = n + 7 WHERE id = 2")
    push_without_answer(hub, file, monkeypatch)
    sql(file, "UPDATE t SET v = 'later' WHERE id = 3")
    kept = sql(file, "SELECT * FROM _sync_outbox_cut")
    alter(file, statement)
    with syncline.connect(file, hub) as replica:
        with pytest.raises(StoreDamaged, match="_sync_outbox_cut was altered") as caught:
            replica.sync()
        assert "copy" in caught.value.remedy
        alter(file, "DELETE FROM _sync_outbox_cut")
        alter(file, "INSERT INTO _sync_outbox_cut VALUES ({}, {})".format(*kept[0]))
        replica.sync()
    found = sql(tmp_path / "centre.db", "SELECT n, v FROM t")
    assert found == [(17, "a"), (9, "b"), (3, "later")] == sql(file, "SELECT n, v FROM t")


ENTRIES = [
    *(f"op = {value}" for value in ("'x'", "''", "NULL", "7", "x'ff'", "'M '", "'i'")),
    *(f"mask1 = {value}" for value in ("0", "-1", "NULL", "7", "'x'", "1.5")),
]


@pytest.mark.parametrize("rows", [1, 1_500], ids=["few", "many"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_l2_an_entry_of_the_log_that_is_none_is_not_left_out(
    hub: syncline.Hub, tmp_path: Path, entry: str, rows: int
) -> None:
    """Also where a large log is read by the run."""
    file = tmp_path / "d.db"
    numbers = f"WITH RECURSIVE c(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM c WHERE i < {99 + rows})"
    sql(
        file,
        f"{numbers} INSERT INTO t (id, v) SELECT i, 'new' FROM c",
        "UPDATE t SET v = 'mine' WHERE id = 1",
    )
    last = "max" if entry.startswith("mask") else "min"
    alter(file, f"UPDATE _sync_log_0 SET {entry} WHERE seq = (SELECT {last}(seq) FROM _sync_log_0)")
    before = sql(file, "SELECT count(*) FROM _sync_log_0")
    with syncline.connect(file, hub) as replica, pytest.raises(StoreDamaged, match="_sync_log_0"):
        replica.sync()
    assert sql(file, "SELECT count(*) FROM _sync_log_0") == before
    assert sql(tmp_path / "centre.db", "SELECT count(*) FROM t") == [(3,)]


@pytest.mark.parametrize("edits", [1, 2], ids=["one edit", "several"])
@pytest.mark.parametrize("value", ["9e999", "-9e999"])
def test_l12_a_counter_that_was_beyond_all_bounds_adds_nothing_up(
    hub: syncline.Hub, tmp_path: Path, value: str, edits: int
) -> None:
    file = tmp_path / "d.db"
    sql(file, *["UPDATE t SET n = n + 7 WHERE id = 1"] * edits)
    number = sql(
        file, "SELECT name FROM pragma_table_info('_sync_log_0') WHERE name GLOB 'o[0-9]*' ORDER BY 1"
    )[-1][0]
    alter(file, f"UPDATE _sync_log_0 SET {number} = {value}")
    with syncline.connect(file, hub) as replica:
        replica.sync()
        (rejected,) = replica.rejected()
    assert rejected.code == "value_refused" and "nothing can be added up" in rejected.detail
    assert sql(tmp_path / "centre.db", "SELECT n FROM t WHERE id = 1") == [(10,)]


PLACES = [
    ("UPDATE _sync_state SET chain = printf('%0300d', 1)", ["sync", "pull", "push"]),
    ("UPDATE _sync_outbox SET fingerprint = NULL", ["sync", "preview", "push"]),
    ("UPDATE _sync_outbox SET body = x'ff'", ["reopen", "sync", "push"]),
    ("INSERT INTO _sync_held VALUES (3, x'9101', x'c0', 1, NULL)", ["sync"]),
    (
        "UPDATE sqlite_master SET sql = CAST(sql AS BLOB)"
        " WHERE type = 'trigger' AND name GLOB '_sync_*_rekey'",
        ["sync", "status", "verify", "waiting", "preview"],
    ),
]


@pytest.mark.parametrize(("statement", "verb"), [(one, verb) for one, verbs in PLACES for verb in verbs])
def test_l12_what_ended_in_an_error_of_python_is_said_by_its_place(
    hub: syncline.Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    verb: str,
) -> None:
    file = tmp_path / "d.db"
    sql(file, "UPDATE t SET n = n + 7 WHERE id = 1")
    push_without_answer(hub, file, monkeypatch, arrives=False)
    alter(file, statement)
    with pytest.raises(SynclineError) as caught, syncline.connect(file, hub) as replica:
        getattr(replica, verb)()
    assert caught.value.code == "store_damaged" and "altered" in caught.value.detail
