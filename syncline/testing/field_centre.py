"""The centre of the world `field`: its tables, what it refuses, and how."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction

from syncline.merge.rules import Table
from syncline.testing.accounts import Counter, exact
from syncline.testing.field_device import SYNCED
from syncline.testing.office import Office

COUNTERS = ("price", "weight")
"""Columns of `tally` to which devices add what tells their edits apart."""
SQLITE_REFUSALS = ("abort", "fail", "after")
POSTGRESQL_REFUSALS = (
    "P0001", "40001", "40P01", "42P01", "XX000", "54001", "57014", "55000", "55P03", "23514", "22003",
    "25006", "0A000", "late",
)  # fmt: skip
"""States with which a trigger may raise; `late` is at the commit."""


def tables_of(office: Office, cascades: bool) -> Iterator[str]:
    """The statements that make tables, rows, and the triggers that refuse some."""
    text, number, ratio = (
        ("VARCHAR(40)", "NUMERIC(30,4)", "DOUBLE PRECISION")
        if office.can_alter
        else ("TEXT", "DECIMAL(30,4)", "REAL")
    )
    then = "ON DELETE CASCADE" if cascades else ""
    yield (f"CREATE TABLE job (id INTEGER PRIMARY KEY, title {text}, note TEXT, code TEXT, state TEXT)")
    yield "CREATE UNIQUE INDEX job_code ON job (code)"
    yield f"""CREATE TABLE part (id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES job (id) {then},
        title {text}, note TEXT, state TEXT)"""
    yield f"""CREATE TABLE tool (id TEXT PRIMARY KEY, part INTEGER REFERENCES part (id) ON DELETE SET NULL,
        title {text}, note TEXT, state TEXT)"""
    yield f"""CREATE TABLE tally (id INTEGER PRIMARY KEY, price {number} NOT NULL DEFAULT 0,
        weight {ratio} NOT NULL DEFAULT 0, ratio {ratio} NOT NULL DEFAULT 0, title {text}, note TEXT)"""
    yield "INSERT INTO job (id, title) VALUES (1, 'first'), (2, 'second')"
    yield "INSERT INTO part (id, job) VALUES (1, 1), (2, 2)"
    yield "INSERT INTO tool (id, part) VALUES ('t1', 1)"
    yield "INSERT INTO tally (id) VALUES (1), (2)"
    yield from _refusing_in_postgresql() if office.can_alter else _refusing_in_sqlite()


def _refusing_in_sqlite() -> Iterator[str]:
    for table in SYNCED:
        for event in ("INSERT", "UPDATE"):
            for how in SQLITE_REFUSALS:
                when, raises = ("AFTER", "ABORT") if how == "after" else ("BEFORE", how.upper())
                yield f"""CREATE TRIGGER refuse_{table}_{event}_{how} {when} {event} ON {table}
                    WHEN NEW.note = '!{how}' BEGIN SELECT RAISE({raises}, 'refused'); END"""


def _refusing_in_postgresql() -> Iterator[str]:
    yield """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.note LIKE '!_____' THEN
            RAISE EXCEPTION USING MESSAGE = 'refused', ERRCODE = substr(NEW.note, 2);
        END IF;
        RETURN NEW; END $$"""
    yield """CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'refused at the commit'; END $$"""
    for table in SYNCED:
        yield f"""CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse()"""
        yield f"""CREATE CONSTRAINT TRIGGER refuse_late AFTER INSERT OR UPDATE ON {table}
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.note = '!late')
            EXECUTE FUNCTION refuse_late()"""
    yield "CREATE UNIQUE INDEX lower_title ON tool (lower(title))"


def refusals(office: Office) -> Sequence[str]:
    """Notes that the centre does not take."""
    return [f"!{how}" for how in (POSTGRESQL_REFUSALS if office.can_alter else SQLITE_REFUSALS)]


def rules(rng: random.Random) -> dict[str, Table]:
    """How the tables are merged. Whole numbers as keys are counted up on each device, and clash."""
    merge = {"title": rng.choice(["lww", "lww", "review", "hub_wins", "replica_wins"])}
    deletes = rng.choice(["newer_wins", "delete_wins", "update_wins"])
    return {
        "job": Table(merge, deletes=deletes),
        "part": Table(deletes=deletes, inserts=rng.choice([None, "same_row"])),
        "tool": Table(merge, inserts=rng.choice([None, None, "key_taken"])),
        "tally": Table({"price": "sum", "weight": "sum", "ratio": "sum"}),
    }


def write(office: Office, rng: random.Random, serial: int) -> str:
    """One statement of another program. Raises Refused."""
    word, number, code = f"c{serial}", rng.randint(1, 12), rng.choice([None, "k1", "K2"])
    sql, parameters = rng.choice(
        [
            (
                "INSERT INTO job (id, title, code) VALUES (?, ?, ?)",
                (number, word, rng.choice([None, "k1", "K2"])),
            ),
            ("INSERT INTO part (id, job, title) VALUES (?, ?, ?)", (number, rng.randint(1, 5), word)),
            ("INSERT INTO tool (id, title) VALUES (?, ?)", (f"t{number}", word)),
            ("UPDATE job SET title = ? WHERE id = ?", (word, number)),
            ("UPDATE job SET code = ?, state = 'x1' WHERE id = ?", (code, number)),
            ("UPDATE part SET state = ? WHERE job = ?", (rng.choice(["x1", "x2", "x3"]), number)),
            ("UPDATE part SET job = ? WHERE id = ?", (rng.randint(1, 3), number)),
            ("UPDATE tool SET title = ?, part = NULL WHERE id = ?", (word, f"t{number}")),
            ("UPDATE tally SET ratio = ratio + 0.1, title = ? WHERE id = ?", (word, rng.randint(1, 2))),
            ("DELETE FROM job WHERE id = ?", (number,)),
            ("DELETE FROM part WHERE id = ?", (number,)),
            ("DELETE FROM tool WHERE id = ?", (f"t{number}",)),
        ]
    )
    office.run(sql, *parameters)
    return f"{sql} {parameters}"


def texts(office: Office) -> Iterator[str]:
    """All texts in the tables."""
    for table in SYNCED:
        for row in office.rows(f"SELECT * FROM {table}"):
            yield from (value for value in row if isinstance(value, str))


def totals(office: Office) -> dict[Counter, Fraction]:
    """What the counters hold."""
    rows = office.rows(f"SELECT id, {', '.join(COUNTERS)} FROM tally")
    return {
        (key, name): exact(value) for key, *found in rows for name, value in zip(COUNTERS, found, strict=True)
    }
