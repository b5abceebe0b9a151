"""A mirror fed by the log alone equals the central tables, whatever statements other programs run."""

from __future__ import annotations

import random
import sqlite3
from contextlib import suppress

import pytest

from syncline.databases.sqlite import SqliteDatabase, open_database
from syncline.hub.contract import Position, Stage
from syncline.model.schema import Schema
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.outside import outside

DDL = """
CREATE TABLE a (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v, w INTEGER DEFAULT 3, UNIQUE (v, w));
CREATE TABLE b (x TEXT, y INTEGER, a INTEGER REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (x, y)) WITHOUT ROWID;
CREATE TABLE c (id TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, up TEXT REFERENCES c ON DELETE SET NULL,
    name TEXT DEFAULT 'n');
CREATE UNIQUE INDEX c_name ON c (lower(name)) WHERE name <> 'n';
CREATE TABLE d (id INTEGER PRIMARY KEY, n INTEGER);
CREATE TRIGGER a_d AFTER UPDATE ON a BEGIN REPLACE INTO d VALUES (NEW.w % 3, NEW.id); END;
CREATE TRIGGER d_d AFTER INSERT ON d WHEN NEW.n > 2 BEGIN UPDATE d SET n = 0 WHERE id = NEW.id; END;
"""
STATEMENTS = (
    "INSERT {or} INTO a (id, u, v) VALUES ({n}, {t}, {n})",
    "INSERT {or} INTO a (u, v, w) VALUES ({t}, {f}, {n})",
    "INSERT INTO a (id, u) VALUES ({n}, {t}) ON CONFLICT (id) DO UPDATE SET u = excluded.u",
    "UPDATE {or} a SET u = {t}, v = {f} WHERE id = {n}",
    "UPDATE {or} a SET id = {n} WHERE id = {n}",
    "UPDATE a SET rowid = {n} WHERE id = {n}",
    "UPDATE {or} a SET w = w + 1 WHERE id > {n}",
    "DELETE FROM a WHERE id = {n}",
    "INSERT {or} INTO b VALUES ({t}, {n}, {n})",
    "UPDATE {or} b SET x = {t} WHERE y = {n}",
    "UPDATE {or} b SET y = y + 1, a = {n}",
    "DELETE FROM b WHERE y < {n}",
    "INSERT {or} INTO c (id, up) VALUES ({t}, {t})",
    "UPDATE {or} c SET id = upper(id) WHERE id = {t}",
    "UPDATE {or} c SET name = {t} WHERE id = {t}",
    "DELETE FROM c WHERE id = {t}",
    "INSERT {or} INTO d VALUES ({n}, {n})",
    "DELETE FROM d",
)
Rows = dict[tuple[Value, ...], list[Value]]


class Mirror:
    """What a replica would hold: fed by pages, positions and rows of the contract."""

    def __init__(self, database: SqliteDatabase, schema: Schema, name: str) -> None:
        self.database, self.schema, self.name = database, schema, name
        self.tables: list[Rows] = [{} for _ in schema.tables]
        with database.read(UNBOUNDED) as reading:
            self.position: Position = reading.log.now()

    def pull(self, limit: int) -> None:
        more = True
        while more:
            with self.database.read(UNBOUNDED) as reading:
                page = reading.log.entries(self.position, self.name, limit)
                for number, touched in page.touched.items():
                    self._apply(number, touched, reading)
            self.position, more = page.end, page.more

    def _apply(self, number: int, touched: list[tuple[tuple[Value, ...], int]], reading: object) -> None:
        table = self.schema.tables[number]
        arity = len(table.key)
        every = list(range(len(table.values)))
        found = reading.rows.find(number, [key for key, _ in touched], every)  # type: ignore[attr-defined]
        present = {tuple(row[:arity]): row[arity:] for row in found}
        for key, mask in touched:
            if key not in present:
                self.tables[number].pop(key, None)
            elif key in self.tables[number]:
                row = self.tables[number][key]
                for index in every:
                    if mask >> index & 1:
                        row[index] = present[key][index]
            else:
                self.tables[number][key] = list(present[key])

    def differences(self) -> list[str]:
        wrong = []
        with self.database.read(UNBOUNDED) as reading:
            for number, table in enumerate(self.schema.tables):
                arity = len(table.key)
                central = {tuple(r[:arity]): list(r[arity:]) for r in reading.rows.chunk(number, None, 1000)}
                if repr(sorted(central.items(), key=repr)) != repr(
                    sorted(self.tables[number].items(), key=repr)
                ):
                    wrong.append(f"{table.name}: centre {central}, mirror {self.tables[number]}")
        return wrong


def random_statement(rng: random.Random) -> str:
    values = {
        "{n}": lambda: str(rng.randint(0, 6)),
        "{t}": lambda: rng.choice(["'a'", "'A'", "'b'", "'bb'", "NULL", "'c'"]),
        "{f}": lambda: rng.choice(["1", "1.5", "'1'", "x'31'", "NULL", "2"]),
        "{or}": lambda: rng.choice(["", "OR REPLACE", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ABORT"]),
    }
    statement = rng.choice(STATEMENTS)
    for mark, make in values.items():
        while mark in statement:
            statement = statement.replace(mark, make(), 1)
    return statement


def run_elsewhere(connection: sqlite3.Connection, rng: random.Random) -> None:
    """Another program: some statements in one transaction, which may be rolled back."""
    connection.execute(f"PRAGMA recursive_triggers = {rng.randint(0, 1)}")
    connection.execute(f"PRAGMA foreign_keys = {rng.choice(['ON', 'ON', 'OFF'])}")
    connection.execute("BEGIN")
    for _ in range(rng.randint(1, 5)):
        with suppress(sqlite3.IntegrityError):
            connection.execute(random_statement(rng))
    try:
        connection.execute(rng.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))
    except sqlite3.IntegrityError:
        connection.execute("ROLLBACK")
    connection.execute("PRAGMA foreign_keys = ON")


def push(mirror: Mirror, rng: random.Random) -> None:
    """The replica behind the mirror pushes edits of its own; what is refused stays out."""
    number = rng.randrange(len(mirror.schema.tables))
    table, rows = mirror.schema.tables[number], mirror.tables[number]
    if not rows:
        return
    keys = rng.sample(sorted(rows, key=repr), k=min(len(rows), rng.randint(1, 3)))
    deleting = rng.random() < 0.4
    if deleting:
        stage = Stage(number, "delete", "D", [], [list(key) for key in keys], [1 << 20] * len(keys))
    else:
        column = rng.randrange(len(table.values))
        values = [rng.choice([1, 2, "a", "bb", None]) for _ in keys]
        pushed = [[*key, value] for key, value in zip(keys, values, strict=True)]
        stage = Stage(number, "update", "U", [column], pushed, [1 << 20] * len(keys))
    with mirror.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        transaction.rows.discard(stage, transaction.rows.lock([stage])[0])
        kept = set(stage.handle.live)
        while refused := transaction.rows.apply([stage], mirror.name):
            transaction.rows.discard(stage, [refusal.row for refusal in refused])
            kept -= {refusal.row for refusal in refused}
        differing = set(transaction.rows.differing(stage)) if not deleting else set()
    for row in kept:
        if deleting:
            rows.pop(keys[row], None)
        elif row not in differing:
            rows[keys[row]][stage.columns[0]] = stage.rows[row][-1]
    if differing:  # the engine answers these as overrides: whole rows
        with mirror.database.read(UNBOUNDED) as reading:
            mirror._apply(number, [(keys[row], table.all_mask) for row in differing & kept], reading)


@pytest.mark.parametrize("block", range(6))
def test_l4_a_mirror_fed_by_the_log_equals_the_centre(block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        rng = random.Random(seed)
        database = open_database("sqlite:///:memory:", clock=lambda: 1_000_000)
        with outside(database) as connection:
            connection.executescript(DDL)
        database.catalogue.prepare(database.catalogue.reflect(None))
        schema = database.catalogue.load()
        mirrors = [Mirror(database, schema, name) for name in ("r1", "r2")]
        for _ in range(15):
            with outside(database) as connection:
                run_elsewhere(connection, rng)
            mirror = rng.choice(mirrors)
            if rng.random() < 0.5:
                mirror.pull(rng.choice([1, 3, 100]))
                if rng.random() < 0.6:
                    push(mirror, rng)
        for mirror in mirrors:
            mirror.pull(100)
            assert mirror.differences() == [], f"seed {seed}, {mirror.name}"
        database.close()
