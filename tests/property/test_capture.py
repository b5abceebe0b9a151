"""Whatever SQL the application runs, the change log leads back from the rows as they are to the rows as
they were (law L2: what is not in the log would be lost)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.model.values import identical
from syncline.replica.pending import log_entries, settle
from tests.support.device import Bench
from tests.support.numbering import NUMBERINGS, using

DDL = """
CREATE TABLE parent (id TEXT PRIMARY KEY, name TEXT UNIQUE, x);
CREATE TABLE child (
    id INTEGER PRIMARY KEY,
    parent TEXT REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE,
    v,
    w REAL,
    UNIQUE (parent, v) ON CONFLICT REPLACE
);
CREATE UNIQUE INDEX child_by_length ON child (lower(v) || 'x', w) WHERE w > 1;
CREATE TABLE pair (a, b TEXT COLLATE NOCASE, "v""v" BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TRIGGER follow AFTER UPDATE OF x ON parent BEGIN
    UPDATE child SET w = w + 1 WHERE parent = NEW.id;
END;
CREATE TRIGGER spread AFTER INSERT ON pair WHEN NEW.b = 'c' BEGIN
    INSERT OR REPLACE INTO parent VALUES (NEW.b, NEW.a, NEW."v""v");
END;
"""
ROWS = """
DELETE FROM child; DELETE FROM parent; DELETE FROM pair;
INSERT INTO parent VALUES ('a', 'x', 1), ('b', 'y', 2), ('c', 'z', 3);
INSERT INTO child VALUES (1, 'a', 1, 1.0), (2, 'a', 2, 2.5), (3, 'b', 'v', NULL);
INSERT INTO pair VALUES (0, 'a', 1), (1, 'A', 1.0), ('', 'b', x'00');
"""
STATEMENTS = [
    "INSERT {} INTO parent VALUES (?1, ?2, ?3)",
    "INSERT {} INTO child VALUES (?4, ?1, ?2, ?5)",
    "INSERT {} INTO child (parent, v, w) VALUES (?1, ?3, ?5)",
    "INSERT {} INTO pair VALUES (?3, ?1, ?2)",
    "INSERT INTO parent VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET x = ?2, name = name || 'n'",
    "INSERT INTO pair VALUES (?3, ?1, ?2) ON CONFLICT (a, b) DO UPDATE SET a = ?2",
    "UPDATE {} parent SET id = ?1, x = ?3 WHERE id = ?2",
    "UPDATE {} parent SET name = ?2, x = ?3 WHERE id >= ?1",
    "UPDATE {} child SET id = ?4, v = ?2 WHERE parent = ?1",
    "UPDATE {} child SET rowid = ?4 WHERE v = ?2",
    "UPDATE {} child SET parent = ?1, w = ?5",
    'UPDATE {} pair SET a = ?3, "v""v" = ?2 WHERE b = ?1',
    "UPDATE {} pair SET b = ?1",
    "UPDATE OR REPLACE parent SET id = ?1 WHERE id <> ?1",
    "UPDATE OR REPLACE parent SET name = ?2",
    "UPDATE OR REPLACE child SET id = ?4",
    "UPDATE OR REPLACE pair SET a = ?3, b = ?1",
    "DELETE FROM parent WHERE id = ?1",
    "DELETE FROM child WHERE id > ?4",
    "DELETE FROM pair WHERE a = ?3",
    "SAVEPOINT here",
    "ROLLBACK TO here",
]
KEYS = st.sampled_from(["a", "A", "b", "c"])
VALUES = st.sampled_from([None, 0, 1, 1.0, 0.5, "", "1", "a", "A", b"1", b"", 2**63 - 1])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(STATEMENTS),
        st.sampled_from(["", "OR REPLACE", "OR IGNORE", "OR FAIL"]),
        st.tuples(KEYS, VALUES, VALUES, st.integers(-1, 4), st.sampled_from([None, 1.0, 2.5])),
    ),
    min_size=1,
    max_size=25,
)
Table = dict[tuple[Any, ...], dict[str, Any]]


def contents(bench: Bench) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for t in bench.device.tables.values():
        names = [column.name for column in t.table.values.values()]
        rows = bench.rows(f"SELECT {', '.join([*t.keys, *t.value_names])} FROM {t.name}")
        found[t.table.name] = {row[: t.arity]: dict(zip(names, row[t.arity :], strict=True)) for row in rows}
    return found


def run(app: sqlite3.Connection, steps: list[Any]) -> None:
    app.execute("BEGIN")
    app.execute("SAVEPOINT here")
    for text, way, values in steps:
        count = max([int(mark) for mark in "12345" if f"?{mark}" in text], default=0)
        try:
            app.execute(text.format(way), values[:count])
        except sqlite3.IntegrityError:
            pass
    app.execute("COMMIT")


def undo(bench: Bench, tables: dict[str, Table]) -> None:
    for entry in reversed(list(log_entries(bench.device))):
        rows = tables[entry.table]
        if entry.op == "I":
            assert entry.old == {}
            del rows[entry.key]
        elif entry.op == "D":
            assert entry.key not in rows
            rows[entry.key] = entry.old
        else:
            assert entry.op == "U" and entry.old
            for name, value in entry.old.items():
                assert not identical(rows[entry.key][name], value), "an unchanged column was logged"
                rows[entry.key][name] = value


def spelled(tables: dict[str, Table]) -> Any:
    return {
        name: sorted((repr(key), repr(row)) for key, row in rows.items()) for name, rows in tables.items()
    }


@pytest.fixture(scope="module", params=NUMBERINGS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with using(request.param):
        made = Bench(tmp_path_factory.mktemp("capture") / "device.db", DDL)
    made.app.execute("PRAGMA synchronous = OFF")
    yield made
    made.close()


@settings(max_examples=200, deadline=None)
@given(before=STEPS, steps=STEPS, recursive=st.booleans())
def test_the_change_log_undoes_any_sql(
    bench: Bench, before: list[Any], steps: list[Any], recursive: bool
) -> None:
    bench.app.execute(f"PRAGMA recursive_triggers = {recursive:d}")
    bench.app.executescript(ROWS)
    run(bench.app, before)
    for t in bench.device.tables.values():
        bench.app.execute(f"DELETE FROM {t.log}")
    first = contents(bench)
    run(bench.app, steps)
    tables = contents(bench)
    undo(bench, tables)
    assert spelled(tables) == spelled(first)
    listed = list(log_entries(bench.device))
    with bench.store.transaction() as store:
        for t in bench.device.tables.values():
            settle(store, [t])
    assert list(log_entries(bench.device)) == listed
