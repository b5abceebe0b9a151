"""A database put back to what it was at a backup."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.support.application import sql
from tests.support.dump import dump, load
from tests.support.postgres import PostgresServer


def keep(file: Path, backup: Path) -> None:
    """A backup of a SQLite file as it is now."""
    backup.unlink(missing_ok=True)
    sql(file, f"VACUUM INTO '{backup}'")


def put_back(backup: Path, file: Path) -> None:
    """The SQLite file is its backup again. Nobody has it open."""
    for side in ("-wal", "-shm"):
        Path(f"{file}{side}").unlink(missing_ok=True)
    shutil.copy(backup, file)


def put_data_back(copy: Path, server: PostgresServer) -> None:
    """The data directory of a PostgreSQL that stands still is its copy, which goes."""
    assert server.folder is not None
    data = server.folder / "data"
    shutil.rmtree(data)
    shutil.move(copy, data)
    subprocess.run(["chown", "-R", f"--reference={server.folder}", str(data)], check=True)
    data.chmod(0o700)


class SqliteCentre:
    """A file, and its backup."""

    def __init__(self, folder: Path) -> None:
        self.path, self.backup = folder / "centre.db", folder / "backup.db"
        self.url = f"sqlite:///{self.path}"

    def run(self, script: str) -> list[Any]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=20)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            found = [connection.execute(sql).fetchall() for sql in script.split(";") if sql.strip()]
        return found[-1]

    def keep(self) -> None:
        keep(self.path, self.backup)

    def restore(self) -> None:
        put_back(self.backup, self.path)


class PostgresCentre:
    """A database, and its dump: restored, every table is another relation."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self.url, self.kept = make(), ""

    def run(self, script: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(script)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def keep(self) -> None:
        self.kept = dump(self.url)

    def restore(self) -> None:
        self.url = self._make()
        load(self.kept, self.url)


Centre = SqliteCentre | PostgresCentre
