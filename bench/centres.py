"""The central databases that are measured: a fresh one each time, with the table, prepared and served."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench import rows
from bench.server import Server

RULES = '[hub]\ndatabase = "{url}"\n{hub}\n[tables.item]\nmerge = {{ quantity = "sum" }}\n'


class Centre(ABC):
    """One central database with the tables `item` (tracked) and `bare_item` (the same, untouched)."""

    kind: str
    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def fill(self, count: int) -> None:
        """Put the first `count` rows into `item`, as fast as the database can."""

    @abstractmethod
    def run(self, *statements: str) -> None:
        """Run SQL in one transaction, as another program would."""

    @abstractmethod
    def count(self) -> int:
        """How many rows `item` has."""

    @abstractmethod
    def bare_push(self, items: Sequence[rows.Item]) -> float:
        """Seconds of the fastest bare upsert of these rows into `bare_item`."""

    @abstractmethod
    def lengthen_log(self, times: int) -> None:
        """Enter an update of every row into the change log, `times` times, as if it had been made."""

    @contextmanager
    def served(self, hub: str = "") -> Iterator[Server]:
        """Prepare the database and serve it; `hub` is more of the section [hub]."""
        configuration = self.folder / f"{self.kind}.toml"
        configuration.write_text(RULES.format(url=self.url, hub=hub))
        command = [sys.executable, "-m", "syncline.cli", "init", str(configuration)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with Server(configuration) as server:
            yield server


class SqliteCentre(Centre):
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.file = folder / "central.db"
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        self.url = f"sqlite:///{self.file}"
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        self.run(rows.SQLITE.format(name="item"), rows.SQLITE.format(name="bare_item"))

    def fill(self, count: int) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            for chunk in rows.chunks(count, 50_000):
                connection.executemany(rows.ITEM_INSERT, chunk)

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.file, timeout=60)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def lengthen_log(self, times: int) -> None:
        for _ in range(times):
            self.run(
                "INSERT INTO _sync_hub_log (tbl, op, hlc, origin, k0, mask)"
                " SELECT n, 'U', hlc, 'hub', item.id, 2 FROM item,"
                " (SELECT CAST(substr(name, 11) AS INTEGER) AS n FROM sqlite_master"
                "  WHERE tbl_name = 'item' AND name GLOB '_sync_hub_[0-9]*_insert'),"
                " (SELECT max(hlc) + 1 AS hlc FROM _sync_hub_log)"
            )

    def count(self) -> int:
        with closing(sqlite3.connect(self.file)) as connection:
            return int(connection.execute("SELECT count(*) FROM item").fetchone()[0])

    def bare_push(self, items: Sequence[rows.Item]) -> float:
        with closing(sqlite3.connect(self.file, timeout=60)) as connection:
            start = time.perf_counter()
            with connection:
                connection.executemany(rows.BARE_UPSERT, items)
            return time.perf_counter() - start


class PostgresCentre(Centre):
    kind = "postgresql"
    TYPES = ("uuid", "int8", "text", "text", "numeric", "int4", "bool", "float8", "timestamptz")

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url = url
        self.run(rows.POSTGRESQL.format(name="item"), rows.POSTGRESQL.format(name="bare_item"))

    def fill(self, count: int) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            for chunk in rows.chunks(count, 50_000):
                self._copy(cursor, "item", self._typed(chunk))
        with self._connect(autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE item")

    def run(self, *statements: str) -> None:
        with self._connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def lengthen_log(self, times: int) -> None:
        with self._connect() as connection:
            (n,) = connection.execute("SELECT n FROM syncline.tables WHERE central_name = 'item'").fetchone()
        for _ in range(times):
            self.run(
                f"INSERT INTO syncline.log_{n} (op, mask, hlc, origin, k0)"
                " SELECT 'U', 2, syncline.direct_hlc(), 'hub', id FROM item"
            )
        with self._connect(autocommit=True) as connection:
            connection.execute(f"VACUUM ANALYZE syncline.log_{n}")

    def count(self) -> int:
        with self._connect() as connection:
            return int(connection.execute("SELECT count(*) FROM item").fetchone()[0])

    def bare_push(self, items: Sequence[rows.Item]) -> float:
        """Binary COPY into a temporary table, then INSERT ... ON CONFLICT."""
        typed = self._typed(items)
        updates = ", ".join(f"{name} = excluded.{name}" for name in rows.COLUMNS[1:])
        with self._connect() as connection, connection.cursor() as cursor:
            start = time.perf_counter()
            cursor.execute("CREATE TEMPORARY TABLE arriving (LIKE bare_item) ON COMMIT DROP")
            self._copy(cursor, "arriving", typed)
            cursor.execute(
                f"INSERT INTO bare_item SELECT * FROM arriving ON CONFLICT (id) DO UPDATE SET {updates}"
            )
            connection.commit()
            return time.perf_counter() - start

    def _connect(self, **options: Any) -> Any:
        import psycopg

        return psycopg.connect(self.url, **options)

    def _copy(self, cursor: Any, table: str, items: Sequence[tuple[Any, ...]]) -> None:
        with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(self.TYPES)
            for item in items:
                copy.write_row(item)

    @staticmethod
    def _typed(items: Sequence[rows.Item]) -> list[tuple[Any, ...]]:
        """The rows as Python objects that binary COPY takes; not part of any time."""
        from datetime import datetime
        from decimal import Decimal
        from uuid import UUID

        return [
            (UUID(i), c, t, n, Decimal(a), q, bool(act), w, datetime.fromisoformat(at))
            for i, c, t, n, a, q, act, w, at in items
        ]
