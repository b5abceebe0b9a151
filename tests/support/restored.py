"""A database put back to what it was at a backup."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.application import sql
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
