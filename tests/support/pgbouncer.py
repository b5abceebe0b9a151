"""Debian's PgBouncer before the tests' PostgreSQL: few sessions for many clients, by transaction."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.postgres import PostgresServer, free_port, unprivileged

CONFIGURATION = """
[databases]
* = host={host} port={server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
"""


def find_pgbouncer() -> str | None:
    """The program, also where it is on root's path alone."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@pytest.fixture
def pooled_url(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """The URL of the test's own database by way of a pooler with two sessions of the server."""
    program = find_pgbouncer()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no PgBouncer, and CI=true wants it")
        pytest.skip("NOT TESTED: no PgBouncer (on Debian: apt-get install pgbouncer)")
    at, port, user = conninfo_to_dict(postgres_url), free_port(), unprivileged()
    with tempfile.TemporaryDirectory(prefix="syncline-pgbouncer-") as name:
        folder = Path(name)
        values = {"host": at["host"], "server": at["port"], "user": at["user"], "port": port, "sessions": 2}
        (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(**values))
        if user:
            os.chown(folder, int(str(user["user"])), int(str(user["group"])))
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(  # type: ignore[call-overload]
                [program, str(folder / "pgbouncer.ini")], stdout=log, stderr=log, cwd=folder, **user
            )
        try:
            url = f"postgresql://{at['user']}@127.0.0.1:{port}/{at['dbname']}"
            _wait_for(url, folder / "log")
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(url: str, log: Path) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > end:
                raise RuntimeError("PgBouncer did not start: " + log.read_text()[-2000:]) from error
            time.sleep(0.05)
