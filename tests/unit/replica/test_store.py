"""The device file: settings, transactions, and what each trouble with it is called."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from syncline.errors import (
    StoreBusy,
    StoreConstraint,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreReadOnly,
    ValueRefused,
)
from syncline.replica.store import LAYOUT, Store, quote, wal
from syncline.replica.store.store import SPARE_CHECKPOINTS
from syncline.replica.store.text import read_sql
from syncline.replica.store.wal import LARGE_LOG, Wal

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store.open_private(path)) as made:
        with made.transaction():
            made.prepare("replica-1")
        yield made


def test_a_new_replica_has_one_state_and_one_checkpoint(store: Store) -> None:
    state = store.state()
    assert (state.replica, state.suppressed, state.push, state.hlc) == ("replica-1", 0, 0, 0)
    assert store.checkpoint().id == state.checkpoint == 1


def test_preparing_a_replica_again_changes_nothing(store: Store) -> None:
    with store.transaction():
        store.prepare("replica-2")
    assert store.state().replica == "replica-1"


def test_the_connection_logs_ahead_and_keeps_foreign_keys_on(store: Store) -> None:
    assert store.value("PRAGMA journal_mode") == "wal"
    assert store.value("PRAGMA foreign_keys") == 1
    assert store.value("PRAGMA synchronous") == 2


def test_no_checkpoint_begins_by_itself(store: Store, path: Path) -> None:
    with closing(Store.open(path)) as beside:
        assert beside.value("PRAGMA wal_autocheckpoint") == 0


@pytest.fixture
def reader(store: Store, path: Path) -> Iterator[sqlite3.Connection]:
    """The application, which has the file open and no transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE filler (body BLOB)")
        connection.execute("SELECT * FROM filler").fetchall()
        yield connection


def _grow(store: Store, transactions: int) -> list[int]:
    """Write half a megabyte again and again; the sizes of the write-ahead log after each time."""
    sizes = []
    for _ in range(transactions):
        with store.transaction():
            store.execute("INSERT INTO filler VALUES (zeroblob(500000))")
        sizes.append(Path(f"{store.path}-wal").stat().st_size)
    return sizes


def test_the_log_stays_small_while_the_application_has_the_file_open_l11(
    path: Path, reader: sqlite3.Connection
) -> None:
    with closing(Store.open(path)) as store:
        assert max(_grow(store, 20)) < 3_000_000
        assert store.value("PRAGMA busy_timeout") == 5000


def test_a_log_that_a_reader_needs_is_left_until_it_has_gone(path: Path, reader: sqlite3.Connection) -> None:
    with closing(Store.open(path)) as store:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM filler").fetchall()
        assert _grow(store, 8)[-1] > 4_000_000
        reader.execute("COMMIT")
        _grow(store, 8)
    assert Path(f"{path}-wal").stat().st_size < 3_000_000


def test_a_large_log_is_taken_over_before_the_file_is_closed(path: Path, reader: sqlite3.Connection) -> None:
    log = Path(f"{path}-wal")
    with closing(Store.open(path)) as store:
        for _ in range(3):
            with store.transaction():
                store.execute("INSERT INTO filler VALUES (zeroblob(?))", (2 * LARGE_LOG,))
    assert log.stat().st_size == 0
    assert reader.execute("SELECT count(*), sum(length(body)) FROM filler").fetchone() == (3, 6 * LARGE_LOG)


def test_whoever_waited_for_a_large_transaction_writes_before_its_log_is_taken_over(
    path: Path, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "MOMENT", 2.0)
    reader.execute("PRAGMA wal_autocheckpoint = 0")
    with closing(Store.open(path)) as store:
        with store.transaction():
            store.execute("INSERT INTO filler VALUES (zeroblob(?))", (LARGE_LOG,))
        time.sleep(0.3)  # whoever waits looks now and then
        reader.execute("BEGIN IMMEDIATE")
        reader.execute("DELETE FROM filler")
        file, logged = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert len(logged) > LARGE_LOG
    assert path.read_bytes() == file
    assert Path(f"{path}-wal").read_bytes() == logged
    reader.execute("COMMIT")


def test_a_file_is_closed_within_a_transaction_while_its_log_is_large(
    path: Path, reader: sqlite3.Connection
) -> None:
    store = Store.open(path)
    with store.transaction():
        store.execute("INSERT INTO filler VALUES (zeroblob(?))", (LARGE_LOG,))
    with pytest.raises(sqlite3.ProgrammingError), store.transaction():
        store.execute("DELETE FROM filler")
        store.close()
    assert reader.execute("SELECT count(*) FROM filler").fetchone() == (1,)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_blobs_are_joined_byte_for_byte_and_in_order(path: Path, encoding: str) -> None:
    blobs = [bytes([*range(first, first + 8)]) for first in (0, 0xF8, 0x7C, 0xD8, 0)] + [b"\0\0", b"\xff"]
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE stamp (id INTEGER PRIMARY KEY, body)")
        connection.execute("CREATE INDEX by_body ON stamp (body)")
        connection.executemany("INSERT INTO stamp (body) VALUES (?)", [(blob,) for blob in blobs])
        connection.commit()
    with closing(Store.open_file(other)) as store:
        plain, turned = (
            "stamp NOT INDEXED WHERE id <= ?",
            "SELECT * FROM stamp WHERE id <= ? ORDER BY id DESC",
        )
        assert store.joined("body", plain, (100,)) == b"".join(blobs)
        assert store.joined("body", f"({turned})", (3,)) == b"".join(reversed(blobs[:3]))
        assert store.joined("body", plain, (0,)) == b""


def test_no_checkpoint_is_begun_while_another_program_writes(path: Path, reader: sqlite3.Connection) -> None:
    log = Path(f"{path}-wal")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as own:
        reader.execute("INSERT INTO filler VALUES (zeroblob(3000000))")
        reader.execute("PRAGMA wal_autocheckpoint = 0")
        reader.execute("BEGIN IMMEDIATE")
        reader.execute("INSERT INTO filler VALUES (zeroblob(3000000))")
        wal, file = Wal(str(path), own, 5.0), path.read_bytes()
        wal.bound()
        wal.close()
        assert path.read_bytes() == file
        reader.execute("COMMIT")
        again = Wal(str(path), own, 5.0)
        again.bound()
        again.close()
        assert log.stat().st_size == 0


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.set_state(push=7)
        raise ZeroDivisionError
    assert store.state().push == 0
    assert not store.in_transaction


def test_a_foreign_key_that_is_broken_at_the_commit_rolls_everything_back(store: Store) -> None:
    store.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    store.execute("CREATE TABLE c (p REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(StoreConstraint) as caught, store.transaction():
        store.execute("INSERT INTO c VALUES (1)")
    assert caught.value.kind == "foreign_key"
    assert store.rows("SELECT * FROM c") == []


def test_a_read_transaction_sees_one_instant(store: Store, path: Path) -> None:
    with closing(Store.open(path)) as other, store.read():
        before = store.state()
        other.set_state(push=5)
        assert store.state() == before
    assert store.state().push == 5


def test_a_transaction_reads_the_state_again_only_after_it_has_set_it(store: Store) -> None:
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    with store.transaction():
        assert [store.state().push, store.state().push] == [0, 0]
        store.set_state(push=3)
        assert [store.state().push, store.state().push] == [3, 3]
        with pytest.raises(ZeroDivisionError), store.savepoint():
            store.set_state(push=4)
            assert store.state().push == 4
            raise ZeroDivisionError
        assert store.state().push == 3
        store.advance("mark", 7)
        assert (store.state().watermark, store.state().checkpoint) == ("mark", store.checkpoint().id)
    store._connection.set_trace_callback(None)
    assert len([sql for sql in asked if sql.startswith("SELECT replica")]) <= 5
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.set_state(push=9)
        assert store.state().push == 9
        raise ZeroDivisionError
    assert store.state().push == 3


def test_what_another_program_sets_is_seen_between_transactions(store: Store, path: Path) -> None:
    with store.transaction():
        assert store.state().push == 0
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE _sync_state SET push = 5")
    assert store.state().push == 5
    with store.transaction():
        assert store.state().push == 5


def test_only_columns_of_the_state_can_be_set(store: Store) -> None:
    with pytest.raises(TypeError):
        store.set_state(pushes=1)


def test_tables_keep_their_numbers(store: Store) -> None:
    store.number(7, 'odd "name')
    store.number(0, "b")
    assert store.numbers() == {"b": 0, 'odd "name': 7}
    store.forget_number(7)
    store.number(0, "b")
    assert store.numbers() == {"b": 0}
    with pytest.raises(StoreConstraint):
        store.number(1, "b")


def test_the_clock_floor_never_goes_back(store: Store) -> None:
    with store.transaction():
        store.advance("w1", 50)
        store.advance("w2", 20)
    assert (store.state().watermark, store.state().hlc) == ("w2", 50)
    assert (store.checkpoint().watermark, store.checkpoint().hlc) == ("w2", 50)


def test_a_checkpoint_that_an_edit_stands_on_is_kept_for_ever(store: Store) -> None:
    store.execute("CREATE TABLE _sync_log_1 (seq INTEGER PRIMARY KEY, checkpoint)")
    with store.transaction():
        store.advance("kept", 1)
        store.execute("INSERT INTO _sync_log_1 VALUES (1, ?)", (store.checkpoint().id,))
        for number in range(3 * SPARE_CHECKPOINTS):
            store.advance(f"w{number}", 1)
    assert store.value("SELECT count(*) FROM _sync_checkpoint WHERE watermark = 'kept'") == 1
    assert store.value("SELECT count(*) FROM _sync_checkpoint") <= SPARE_CHECKPOINTS


@pytest.mark.parametrize("name", ["plain", 'a"b', "select", "ж 'x'", "[x]", ""])
def test_any_name_can_be_quoted(store: Store, name: str) -> None:
    store.execute(f"CREATE TABLE t ({quote(name)})")
    assert store.rows("SELECT name FROM pragma_table_info('t')") == [(name,)]


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError):
        quote("a\0b")


# Trouble (L12) -----------------------------------------------------------------------------------------


def test_a_missing_file_is_said_and_not_made(path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(path)
    assert caught.value.code == "store_missing"
    assert not path.exists()


def test_a_file_that_is_no_database_is_said(path: Path) -> None:
    path.write_bytes(b"something else entirely, and long enough to be read as a page header" * 20)
    with pytest.raises(StoreDamaged):
        Store.open(path)


def test_a_database_that_is_no_replica_is_said(path: Path) -> None:
    with closing(sqlite3.connect(path)) as app:
        app.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError) as caught:
        Store.open(path)
    assert caught.value.code == "not_a_replica"


def test_the_number_of_the_layout_is_raised_when_the_layout_changes() -> None:
    lines = read_sql("syncline.replica.store", "layout.sql").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    known = {11: "cbe56e61c2d57398"}
    assert sha256(text.encode()).hexdigest()[:16] == known.get(LAYOUT), "raise LAYOUT; enter the new digest"


def test_a_file_of_another_layout_is_refused(store: Store, path: Path) -> None:
    store.execute(f"UPDATE _sync_state SET format = {LAYOUT + 98}")
    with pytest.raises(StoreError, match=f"has layout {LAYOUT + 98}") as caught:
        Store.open(path)
    assert caught.value.code == "store_layout"


@pytest.mark.parametrize("layout", [1, 2])
def test_a_file_from_before_layouts_were_counted_anew_is_refused_and_left_as_it_was(
    path: Path, layout: int
) -> None:
    with closing(sqlite3.connect(path)) as old:
        old.executescript((FIXTURES / "replica_uncounted.sql").read_text())
        old.execute("UPDATE _sync_state SET layout = ?", (layout,))
        old.commit()
        before = list(old.iterdump())
    with pytest.raises(StoreError, match="an earlier Syncline") as caught:
        Store.open(path)
    assert caught.value.code == "store_layout" and caught.value.remedy
    with closing(sqlite3.connect(path)) as old:
        assert list(old.iterdump()) == before


def test_a_locked_file_is_busy_and_may_be_tried_again(store: Store, path: Path) -> None:
    with closing(Store.open(path, busy_seconds=0)) as other, store.transaction():
        with pytest.raises(StoreBusy) as caught, other.transaction():
            pass
        assert caught.value.retry


def test_a_file_that_an_interrupted_block_has_left_attached_is_attached_anew(
    store: Store, path: Path
) -> None:
    for name in ("one.db", "two.db"):
        with closing(sqlite3.connect(path.parent / name)) as other:
            other.execute("CREATE TABLE t AS SELECT ? AS name", (name,))
            other.commit()
    with pytest.raises(StoreError, match="is locked"), store.attached(str(path.parent / "one.db"), "beside"):
        store.execute("BEGIN")
        store.row("SELECT name FROM beside.t")  # within a transaction SQLite detaches nothing
    store.execute("ROLLBACK")
    with store.attached(str(path.parent / "two.db"), "beside"):
        assert store.value("SELECT name FROM beside.t") == "two.db"
    with pytest.raises(StoreError, match="no such table"):
        store.value("SELECT name FROM beside.t")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any file")
def test_a_read_only_file_is_said(store: Store, path: Path) -> None:
    store.close()
    path.chmod(stat.S_IRUSR)
    with pytest.raises(StoreReadOnly), closing(Store.open(path)) as opened:
        opened.set_state(push=1)


def test_a_write_where_none_is_allowed_is_said(store: Store) -> None:
    store.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreReadOnly):
        store.set_state(push=1)


def test_a_full_disk_is_said_and_nothing_is_changed(store: Store) -> None:
    store.execute("CREATE TABLE t (x)")
    pages = store.value("PRAGMA page_count")
    store.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull) as caught, store.transaction():
        store.set_state(push=1)
        store.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert caught.value.retry
    assert store.state().push == 0


OPENED = """
import resource, signal, sys
from pathlib import Path
from syncline.errors import SynclineError
from syncline.replica.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    Store.open(Path(sys.argv[1])).state()
except SynclineError as error:
    print(error.code, "IOERR_SHMSIZE" in error.detail)
"""


def test_a_disk_without_room_for_what_the_users_of_a_file_share_is_full(store: Store, path: Path) -> None:
    """SQLite makes a file of 32 KiB beside the database, even to read it. Here no file grows beyond 8."""
    store.set_state(push=1)
    store.close()
    ran = subprocess.run(
        [sys.executable, "-c", OPENED, str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["store_full", "True"]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("INSERT INTO t VALUES (1, 'x', 1)", "unique"),
        ("INSERT INTO t VALUES (2, 'a', 1)", "unique"),
        ("INSERT INTO t VALUES (2, NULL, 1)", "not_null"),
        ("INSERT INTO t VALUES (2, 'x', -1)", "check"),
    ],
)
def test_a_broken_constraint_says_of_which_kind(store: Store, sql: str, kind: str) -> None:
    store.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT NOT NULL UNIQUE, v CHECK (v > 0))")
    store.execute("INSERT INTO t VALUES (1, 'a', 1)")
    with pytest.raises(StoreConstraint) as caught:
        store.execute(sql)
    assert caught.value.kind == kind


def test_text_that_is_not_utf8_is_refused_and_can_be_looked_at(store: Store) -> None:
    sql = "SELECT CAST(x'61ff' AS TEXT), 'ж'"
    with pytest.raises(ValueRefused):
        store.rows(sql)
    with store.undecoded():
        assert store.rows(sql) == [("a\udcff", "ж")]
    assert store.rows("SELECT 'ж'") == [("ж",)]
