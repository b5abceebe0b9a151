"""Every pair of ON DELETE and ON UPDATE actions: edited on a device, in PostgreSQL, and on both at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import product
from pathlib import Path

import pytest

import syncline
from syncline.hub.contract import codes
from tests.support.postgres import PostgresCentre

ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
PAIRS = list(product(ACTIONS, ACTIONS))
NUMBERS = range(len(PAIRS))
REFUSING = ("NO ACTION", "RESTRICT")


def tables(reference: str, timing: str) -> list[str]:
    """For each pair a parent with the rows 0 (the default) to 9, and a child of each but 0, 7 and 8."""
    made, unique = [], "UNIQUE" if reference == "mark" else ""
    for n, (on_delete, on_update) in enumerate(PAIRS):
        made += [
            f"CREATE TABLE parent_{n} (id int PRIMARY KEY, mark int NOT NULL {unique}, word text)",
            f"CREATE TABLE child_{n} (id int PRIMARY KEY, word text, up int DEFAULT 0 REFERENCES parent_{n}"
            f" ({reference}) ON DELETE {on_delete} ON UPDATE {on_update} {timing})",
            f"INSERT INTO parent_{n} SELECT i, i, 'p' || i FROM generate_series(0, 9) i",
            f"INSERT INTO child_{n} SELECT i, 'c' || i, i FROM generate_series(1, 9) i WHERE i NOT IN (7, 8)",
        ]
    return made


def edit_device(device: sqlite3.Connection, reference: str) -> None:
    """On parents 1 and 2 alone; on the others what the centre changes too. Law L5: at once, as the centre."""
    for n, (on_delete, on_update) in enumerate(PAIRS):
        for action, statement in (
            (on_delete, f"DELETE FROM parent_{n} WHERE id = 1"),
            (on_update, f"UPDATE parent_{n} SET {reference} = 20 WHERE id = 2"),
        ):
            if action in REFUSING:
                with pytest.raises(sqlite3.IntegrityError):
                    device.execute(statement)
            else:
                device.execute(statement)
        device.execute(f"UPDATE child_{n} SET word = 'mine' WHERE id IN (5, 6)")
        device.execute(f"DELETE FROM parent_{n} WHERE id = 7")
        device.execute(f"INSERT INTO child_{n} VALUES (80, 'new', 8)")
        with suppress(sqlite3.IntegrityError):
            device.execute(f"UPDATE parent_{n} SET {reference} = 90 WHERE id = 9")


def edit_centre(centre: PostgresCentre, reference: str) -> None:
    """Parents 3 and 4 alone; 5 and 6, whose children the device edits; 7, which it deletes; 8, to which it
    adds a child; 9, which it gives another value."""
    statements = []
    for n, (on_delete, on_update) in enumerate(PAIRS):
        if on_delete not in REFUSING:
            statements.append(f"DELETE FROM parent_{n} WHERE id IN (3, 5)")
        if on_update not in REFUSING:
            statements.append(f"UPDATE parent_{n} SET {reference} = {reference} + 26 WHERE id IN (4, 6)")
            statements.append(f"UPDATE parent_{n} SET {reference} = 91 WHERE id = 9")
        statements.append(f"INSERT INTO child_{n} VALUES (70, 'late', 7)")
        statements.append(f"DELETE FROM parent_{n} WHERE id = 8")
    centre.run(*statements)


def assert_equal(device: sqlite3.Connection, centre: PostgresCentre) -> None:
    with centre.connect() as connection:
        for table in (f"{kind}_{n}" for n in NUMBERS for kind in ("parent", "child")):
            select = f"SELECT * FROM {table} ORDER BY id"
            here, there = device.execute(select).fetchall(), connection.execute(select.encode()).fetchall()
            assert here == there, (table, PAIRS[int(table.partition("_")[2])])
    assert device.execute("PRAGMA foreign_key_check").fetchall() == []


def assert_acted(device: sqlite3.Connection) -> None:
    """What the device's own edits did to the children 1 and 2 holds."""
    acted = {"NO ACTION": None, "RESTRICT": None, "CASCADE": None, "SET NULL": (None,), "SET DEFAULT": (0,)}
    for n, (on_delete, on_update) in enumerate(PAIRS):
        ups = [
            device.execute(f"SELECT up FROM child_{n} WHERE id = ?", (child,)).fetchone() for child in (1, 2)
        ]
        deleted = (1,) if on_delete in REFUSING else acted[on_delete]
        updated = (2,) if on_update in REFUSING else acted[on_update] or (20,)
        assert ups == [deleted, updated], PAIRS[n]


def settle(replica: syncline.Replica) -> Sequence[str]:
    """Sync; drop what the centre refused; return why it did."""
    replica.sync()
    refused = replica.rejected()
    for edit in refused:
        replica.discard(edit.id)
    replica.sync()
    assert sum(replica.status().pending.values()) == 0
    return [edit.code for edit in refused]


@pytest.mark.parametrize(
    ("reference", "timing"), [("mark", ""), ("id", "DEFERRABLE INITIALLY DEFERRED")], ids=["unique", "key"]
)
def test_l6_l9_all_actions_end_alike_on_devices_and_in_the_centre(
    postgres_url: str, tmp_path: Path, reference: str, timing: str
) -> None:
    centre = PostgresCentre(postgres_url)
    centre.run(*tables(reference, timing))
    with syncline.Hub(postgres_url) as hub:
        assert not any("in the centre alone" in note for note in hub.init().notes)
        with (
            syncline.clone(hub, tmp_path / "a.db") as replica,
            syncline.clone(hub, tmp_path / "b.db") as other,
            closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as device,
            closing(sqlite3.connect(tmp_path / "b.db")) as witness,
        ):
            device.execute("PRAGMA foreign_keys = ON")
            edit_device(device, reference)
            edit_centre(centre, reference)
            assert set(settle(replica)) == {codes.FOREIGN_KEY}
            assert_equal(device, centre)
            assert_acted(device)
            other.sync()
            assert_equal(witness, centre)


def test_l3_children_of_a_row_that_gets_another_key_and_keeps_a_unique_value_are_not_lost(
    postgres_url: str, tmp_path: Path
) -> None:
    """It is deleted before it is inserted, because of the value: ON DELETE CASCADE must spare them."""
    centre, file = PostgresCentre(postgres_url), tmp_path / "a.db"
    centre.run(
        "CREATE TABLE parent (id int PRIMARY KEY, mark text UNIQUE)",
        "CREATE TABLE child (id int PRIMARY KEY, up int REFERENCES parent ON DELETE CASCADE"
        " ON UPDATE CASCADE, word text CHECK (word <> 'bad'))",
        "INSERT INTO parent VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO child VALUES (1, 1, 'x'), (2, 1, 'x'), (3, 2, 'x'), (4, 2, 'x')",
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        with syncline.clone(hub, file) as replica, closing(sqlite3.connect(file)) as device:
            device.execute("PRAGMA foreign_keys = ON")
            device.execute("UPDATE parent SET id = 10 WHERE id = 1")
            device.execute("UPDATE child SET word = 'bad' WHERE id = 3")
            device.execute("DELETE FROM child WHERE id = 4")
            device.commit()
            assert settle(replica) == ["check_violation"]
            with centre.connect() as connection:
                rows = connection.execute("SELECT * FROM child ORDER BY id").fetchall()
            assert rows == [(1, 10, "x"), (2, 10, "x"), (3, 2, "x")]
            assert device.execute("SELECT * FROM child ORDER BY id").fetchall() == rows
