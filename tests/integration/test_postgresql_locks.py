"""A row that another program holds delays its own edit alone, once, and everybody says who holds it (laws
L12, L13)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import syncline
from tests.support.application import sql
from tests.support.held import PATIENCE, Session, centre, patient_hub

ITEM = (
    "CREATE TABLE item (id int PRIMARY KEY, qty int)",
    "CREATE TABLE part (id int PRIMARY KEY, item int REFERENCES item, qty int)",
    "INSERT INTO item SELECT i, 0 FROM generate_series(1, 2000) i",
)


@pytest.fixture
def hub(postgres_url: str) -> Iterator[syncline.Hub]:
    with patient_hub(postgres_url, *ITEM) as hub:
        yield hub


@pytest.fixture
def device(tmp_path: Path, hub: syncline.Hub) -> syncline.Replica:
    return syncline.clone(hub, tmp_path / "a.db")


@pytest.fixture
def other(postgres_url: str) -> Iterator[Session]:
    with psycopg.connect(postgres_url, application_name="till 3") as connection:
        yield connection


def warnings(hub: syncline.Hub) -> list[str]:
    return [found.sentence for found in hub.examine() if found.level != "fact"]


def test_a_held_row_waits_the_others_go_and_who_holds_it_is_said(
    postgres_url: str,
    hub: syncline.Hub,
    device: syncline.Replica,
    other: Session,
) -> None:
    other.execute("UPDATE item SET qty = 1 WHERE id = 1")
    sql(device.file, "UPDATE item SET qty = 9 WHERE id IN (1, 5)")
    begun = time.monotonic()
    done = device.sync()
    assert PATIENCE <= time.monotonic() - begun < PATIENCE + 8
    (edit,) = done.push.rejected
    assert (edit.code, edit.table, edit.key) == ("row_locked", "item", (1,))
    assert f"item [1] is held by session {other.info.backend_pid} of postgres (till 3" in edit.detail
    assert centre(postgres_url, "SELECT qty FROM item WHERE id IN (1, 5) ORDER BY id") == [(0,), (9,)]
    (warning,) = warnings(hub)
    assert f"session {other.info.backend_pid}" in warning
    assert '"public"."item" with the keys [1]' in warning
    assert sql(device.file, "SELECT qty FROM item WHERE id = 1") == [(9,)]
    assert (device.status().pending, device.rejected()) == ({"item": 1}, [])
    other.rollback()
    assert device.sync().push.rejected == ()
    assert centre(postgres_url, "SELECT qty FROM item WHERE id = 1") == [(9,)]
    assert warnings(hub) == []


def test_a_forgotten_prepared_transaction_is_named(
    postgres_url: str,
    hub: syncline.Hub,
    device: syncline.Replica,
    other: Session,
) -> None:
    gid = f"orphan {postgres_url[-12:]}"
    other.execute("DELETE FROM item WHERE id = 1")
    other.execute(f"PREPARE TRANSACTION '{gid}'")  # type: ignore[arg-type]
    other.commit()
    other.autocommit = True
    try:
        sql(device.file, "UPDATE item SET qty = 9 WHERE id IN (1, 5)")
        (edit,) = device.sync().push.rejected
        assert f"the prepared transaction {gid!r}" in edit.detail
        assert any(gid in warning and "[1]" in warning for warning in warnings(hub))
    finally:
        other.execute(f"ROLLBACK PREPARED '{gid}'")  # type: ignore[arg-type]
    assert device.sync().push.rejected == ()


def test_what_cannot_be_locked_beforehand_is_isolated_too(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    """A row that another session is about to insert, and one whose parent it is about to delete; the child
    of a row that waits waits with it."""
    other.execute("INSERT INTO item VALUES (5001, 1)")
    other.execute("DELETE FROM item WHERE id = 7")
    sql(device.file, "INSERT INTO item VALUES (5001, 9), (5002, 9)")
    sql(device.file, "INSERT INTO part VALUES (1, 5001, 1), (2, 7, 1), (3, 8, 1)")
    done = device.sync().push.rejected
    codes = {(edit.table, edit.key): edit.code for edit in done}
    assert codes == {
        ("item", (5001,)): "row_locked",
        ("part", (1,)): "parent_rejected",
        ("part", (2,)): "row_locked",
    }
    assert all(str(other.info.backend_pid) in edit.detail for edit in done if edit.code == "row_locked")
    assert centre(postgres_url, "SELECT id FROM part") == [(3,)]
    assert centre(postgres_url, "SELECT id FROM item WHERE id > 5000") == [(5002,)]
    other.rollback()
    assert device.sync().push.rejected == ()
    assert centre(postgres_url, "SELECT id FROM part ORDER BY 1") == [(1,), (2,), (3,)]


def test_of_a_large_push_only_the_held_rows_wait(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    other.execute("SELECT FROM item WHERE id IN (3, 1500) FOR UPDATE")
    sql(device.file, "UPDATE item SET qty = 9")
    assert {edit.key for edit in device.sync().push.rejected} == {(3,), (1500,)}
    assert centre(postgres_url, "SELECT count(*) FROM item WHERE qty = 9") == [(1998,)]


def test_a_table_that_somebody_holds_does_not_hold_up_the_others(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    sql(device.file, "UPDATE item SET qty = 9 WHERE id = 1", "INSERT INTO part VALUES (1, NULL, 1)")
    other.execute("LOCK TABLE item IN SHARE MODE")
    (edit,) = device.push().rejected
    assert (edit.code, edit.table) == ("row_locked", "item")
    assert str(other.info.backend_pid) in edit.detail
    assert centre(postgres_url, "SELECT id FROM part") == [(1,)]


def test_nobody_waits_long_behind_a_push_that_waits(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    """Law L13: it gives back what it holds between two tries."""
    other.execute("UPDATE item SET qty = 1 WHERE id = 900")
    sql(device.file, "UPDATE item SET qty = 9 WHERE id IN (1, 900)")
    with psycopg.connect(postgres_url, autocommit=True) as third:
        waits, stop = [], []

        def write() -> None:
            while not stop:
                begun = time.monotonic()
                third.execute("UPDATE item SET qty = qty + 1 WHERE id = 1")
                waits.append(time.monotonic() - begun)

        writer = threading.Thread(target=write)
        writer.start()
        device.push()
        stop.append(True)
        writer.join()
    assert len(waits) > 3
    assert max(waits) < 1
