"""A device of the world `field`: a file on the disk, with objects that its application has made.

Its application works with the file through a connection of its own. Whatever it does is done to a copy of the
file without Syncline as well, and has to end in the same way there (law L13).
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from syncline.replica.store import Store
from syncline.testing.accounts import Held
from syncline.testing.faults import CrashingStore, julianday

DAY = 86_400_000
SYNCED = ("job", "part", "tool", "tally")
SKEWS = (0, 0, -5000, 7000, 1_000_000, 30 * DAY, -365 * DAY)
"""By how many milliseconds a clock may be wrong."""
Statement = tuple[str, tuple[Any, ...]]
Contents = dict[str, list[tuple[Any, ...]]]

OBJECTS: tuple[tuple[str, str], ...] = (
    (
        "journal",
        """CREATE TABLE own_journal (n INTEGER PRIMARY KEY, said TEXT);
        CREATE TRIGGER own_journal_job AFTER UPDATE ON job
        BEGIN INSERT INTO own_journal (said) VALUES (NEW.title); END;
        CREATE TRIGGER own_journal_part AFTER INSERT ON part
        BEGIN INSERT INTO own_journal (said) VALUES (NEW.title); END""",
    ),
    (
        "follows",
        """CREATE TRIGGER own_follows AFTER UPDATE OF state ON job WHEN NEW.state IS NOT OLD.state
        BEGIN UPDATE part SET state = NEW.state WHERE job = NEW.id; END""",
    ),
    (
        "guard",
        """CREATE TRIGGER own_guard BEFORE INSERT ON part WHEN NEW.state = 'x3'
        BEGIN SELECT RAISE(ABORT, 'not x3'); END;
        CREATE TRIGGER own_guard_update BEFORE UPDATE ON job WHEN NEW.state = 'x3'
        BEGIN SELECT RAISE(ABORT, 'not x3'); END""",
    ),
    (
        "ignores",
        """CREATE TRIGGER own_ignores BEFORE UPDATE ON tool WHEN NEW.state = 'x2'
        BEGIN SELECT RAISE(IGNORE); END""",
    ),
    ("unique", "CREATE UNIQUE INDEX own_unique ON part (job, state) WHERE state = 'x1'"),
    ("unique-expression", "CREATE UNIQUE INDEX own_lower ON job (lower(code))"),
    ("index", "CREATE INDEX own_index ON job (state, title)"),
    (
        "favourite",
        """CREATE TABLE own_favourite (id INTEGER PRIMARY KEY,
        job INTEGER NOT NULL REFERENCES job (id))""",
    ),
    (
        "mark",
        """CREATE TABLE own_mark (id INTEGER PRIMARY KEY,
        tool TEXT REFERENCES tool (id) ON DELETE CASCADE)""",
    ),
    (
        "seat",
        """CREATE TABLE own_seat (id INTEGER PRIMARY KEY,
        part INTEGER REFERENCES part (id) ON DELETE SET NULL)""",
    ),
)
"""What an application may add to its file, and the statements that do."""


class Device:
    """One file. `skew`: by how many milliseconds its clock is ahead of `now`."""

    def __init__(self, name: str, path: Path, skew: int, now: Callable[[], int]) -> None:
        self.name, self.path, self.skew, self.now = name, path, skew, now
        self.held = Held()
        self.backup: tuple[Path, Held] | None = None
        """A copy of the file, and what it held."""
        self.counts = True
        """Whether counters are captured now: not after their table was made anew, up to the next sync."""

    def open(self) -> None:
        """The application has the file open."""
        self.app = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        self.app.create_function("julianday", 1, julianday(self._clock))
        self.app.execute("PRAGMA foreign_keys = ON")
        self.app.execute("PRAGMA synchronous = OFF")

    def _clock(self) -> int:
        return self.now() + self.skew

    def store(self) -> CrashingStore:
        """The file as Syncline opens it."""
        store = CrashingStore.open_file(self.path)
        self.set_clock(store)
        return store

    def set_clock(self, store: Store) -> None:
        """Let the device's clock stand in for that of this machine."""
        store.define("julianday", 1, julianday(self._clock))

    def close(self) -> None:
        self.app.close()

    # Copies

    def copy_to(self, target: Path) -> None:
        """A copy of the whole file."""
        for side in ("", "-wal", "-shm", "-sync"):
            target.with_name(target.name + side).unlink(missing_ok=True)
        with closing(sqlite3.connect(target)) as other:
            self.app.backup(other)

    def twin(self, name: str, skew: int) -> Device:
        """Another device with a copy of the file."""
        twin = Device(name, self.path.with_name(f"{name}.db"), skew, self.now)
        self.copy_to(twin.path)
        twin.held, twin.counts = self.held.copy(), self.counts
        twin.open()
        twin.app.execute("PRAGMA journal_mode = WAL")
        return twin

    def keep(self) -> None:
        kept = self.path.with_suffix(".kept")
        self.copy_to(kept)
        self.backup = kept, self.held.copy()

    def put_back(self) -> None:
        """The file is what it was at the backup."""
        assert self.backup is not None
        kept, held = self.backup
        self.app.close()
        for side in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + side).unlink(missing_ok=True)
        with closing(sqlite3.connect(kept)) as one, closing(sqlite3.connect(self.path)) as other:
            one.backup(other)
        self.held = held.copy()
        self.open()
        self.app.execute("PRAGMA journal_mode = WAL")
        self.counts = (
            self.app.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'tally'"
            ).fetchone()
            is not None
        )

    # What is in it

    def contents(self, own: bool = True) -> Contents:
        """All tables of the application, or only those that are synced."""
        return contents(self.app, None if own else SYNCED)

    def objects(self) -> list[str]:
        """The names of the objects that the application has made."""
        rows = self.app.execute("SELECT name FROM sqlite_master WHERE name GLOB 'own_*' ORDER BY rowid")
        return [name for (name,) in rows]

    def texts(self) -> Counter[str]:
        """All texts in synced tables, and how often each is there: a rejected insert that is brought in under
        another key is shown under its former one, too, as long as something points at that."""
        found = self.contents(own=False).values()
        return Counter(value for rows in found for row in rows for value in row if isinstance(value, str))

    # What the application does

    def write(self, statements: Sequence[Statement]) -> str:
        """One transaction; why it was refused, or an empty text. What came of it must be what comes of it
        without Syncline."""
        with closing(self._without_syncline()) as plain:
            expected = _written(plain, statements), contents(plain, None)
            found = _written(self.app, statements), self.contents()
        assert found == expected, f"{statements}: {_difference(found, expected)}"
        return found[0]

    def _without_syncline(self) -> sqlite3.Connection:
        """A copy of the file in memory, without Syncline's tables and triggers."""
        plain = sqlite3.connect(":memory:", isolation_level=None)
        rows = self.app.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT GLOB '_sync_*'"
            " AND name NOT GLOB '_sync_*' AND name NOT GLOB 'sqlite_*' ORDER BY type <> 'table', rowid"
        ).fetchall()
        for kind, name, sql in rows:
            if kind == "table":
                plain.execute(sql)
                copied = self.app.execute(f"SELECT * FROM {name}").fetchall()
                if copied:
                    plain.executemany(
                        f"INSERT INTO {name} VALUES ({', '.join('?' * len(copied[0]))})", copied
                    )
        for kind, _, sql in rows:
            if kind != "table":
                plain.execute(sql)
        plain.execute("PRAGMA foreign_keys = ON")
        return plain

    def make(self, rng: random.Random) -> str:
        """The application adds an object of its own, or drops one."""
        name, script = rng.choice(OBJECTS)
        try:
            self.app.executescript(f"BEGIN; {script}; COMMIT")
        except (
            sqlite3.OperationalError,
            sqlite3.IntegrityError,
        ) as error:  # it is there, or rows are against it
            self.app.execute("ROLLBACK")
            made = self.objects()
            if not made or rng.random() < 0.5:
                return f"{name}: {error}"
            self.drop(made[-1:])
            return f"dropped {made[-1]}"
        return f"made {name}"

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            kind = self.app.execute("SELECT type FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            if kind is not None:
                self.app.execute(f"DROP {kind[0]} {name}")

    def rebuild(self, table: str, rng: random.Random) -> str:
        """The application makes a table anew, as ORMs do to alter it; what it has made on it goes."""
        (sql,) = self.app.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        body = sql[sql.index("(") :]
        first = rng.random() < 0.3
        lines = (
            [
                f"ALTER TABLE {table} RENAME TO fresh_{table}",
                f"CREATE TABLE {table} {body}",
                f"INSERT INTO {table} SELECT * FROM fresh_{table}",
                f"DROP TABLE fresh_{table}",
            ]
            if first
            else [
                f"CREATE TABLE fresh_{table} {body}",
                f"INSERT INTO fresh_{table} SELECT * FROM {table}",
                f"DROP TABLE {table}",
                f"ALTER TABLE fresh_{table} RENAME TO {table}",
            ]
        )
        with closing(self._without_syncline()) as plain:
            expected = _rebuilt(plain, lines, first), contents(plain, None)
            found = _rebuilt(self.app, lines, first), self.contents()
        assert found == expected, f"{lines}: {_difference(found, expected)}"
        if not found[0]:
            self.counts = self.counts and table != "tally"
        return f"made {table} anew{', renamed first' if first else ''} {found[0]}"


def _rebuilt(connection: sqlite3.Connection, lines: Sequence[str], first: bool) -> str:
    """Why it was refused, or an empty text."""
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"PRAGMA legacy_alter_table = {'ON' if first else 'OFF'}")
    try:
        connection.executescript(f"BEGIN; {'; '.join(lines)}; COMMIT")
    except sqlite3.OperationalError as error:  # a trigger names what is not there meanwhile
        connection.execute("ROLLBACK")
        return str(error)
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
    return ""


def contents(connection: sqlite3.Connection, tables: Sequence[str] | None) -> Contents:
    """All rows, in an order that does not depend on how they came."""
    if tables is None:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_sync_*'"
            " AND name NOT GLOB 'sqlite_*'"
        )
        tables = sorted(name for (name,) in names)
    return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}


def _written(connection: sqlite3.Connection, statements: Sequence[Statement]) -> str:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for sql, parameters in statements:
            connection.execute(sql, parameters)
        connection.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return str(error)
    return ""


def _difference(found: tuple[str, Contents], expected: tuple[str, Contents]) -> str:
    if found[0] != expected[0]:
        return f"{found[0]!r}, without Syncline {expected[0]!r}"
    tables = [name for name in expected[1] if found[1].get(name) != expected[1][name]]
    return "; ".join(f"{name}: {found[1].get(name)}, without Syncline {expected[1][name]}" for name in tables)
