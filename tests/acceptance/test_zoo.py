"""Every odd type and key: cloned, edited on both sides, synced and equal, in every form of a file (L8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline.replica.store import quote

ZOO = Path(__file__).parent / "zoo"
FORMS = {
    "plain": None,
    "django": "django",
    "sqlalchemy": "sqlalchemy",
    "odd": {"timestamps": "unix", "uuids": "blob", "booleans": "text"},
}
WRITTEN = [
    "UPDATE cage SET code = 'edited', scaled = 5, docb = '{\"z\":1,\"a\":2}', span = '1 day', double = '2.5',"
    " moment = '2024-01-01 10:00:00+02', flag = 'false', mail = 'New@x', padded = 'z', host = '10.1.2.3/32'",
    "INSERT INTO cage (id, note, scaled, wall, flag) VALUES"
    " ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'new', '7', '2024-01-01 10:00', 'true')",
    "INSERT INTO key_number VALUES ('7.0', 'a'), (' 8', 'b'), (20, 'c')",
    "INSERT INTO key_price VALUES ('7', 'a'), (8.5, 'b')",
    "INSERT INTO key_float VALUES ('2.5', 'a'), (3, 'b')",
    "INSERT INTO key_moment VALUES ('2024-01-01 10:00:00+01', 'a'), ('2024-01-01', 'b')",
    "INSERT INTO key_wall VALUES ('2024-01-01 10:00', '2024-01-01 00:00:00', 'a')",
    "INSERT INTO key_flag VALUES ('yes', '11:00', 'a')",
    "INSERT INTO key_ci VALUES ('zZ', 'a')",
    "INSERT INTO only_key VALUES (20), (21)",
    "INSERT INTO pair VALUES (20, 21)",
    "DELETE FROM only_key WHERE id = 1",
    "UPDATE keeper SET nr = 5 WHERE firm = 2",
    "INSERT INTO given (id, who, span) VALUES (2, 'me', '2 days')",
    "UPDATE part SET region = 'eu' WHERE id = 1",
    'UPDATE "Odd Table" SET "select" = \'x\', "with space" = 6, "100%" = NULL',
]


@pytest.fixture
def hub(postgres_url: str) -> Iterator[syncline.Hub]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for part in ("schema.sql", "rows.sql"):
            connection.execute((ZOO / part).read_text("utf-8"))
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        yield hub


def edit(file: str) -> None:
    """Every row of every table with a key of some type, and what is written above in odd spellings."""
    with closing(sqlite3.connect(file, isolation_level=None)) as app:
        app.execute("PRAGMA foreign_keys = ON")
        for (name,) in app.execute("SELECT name FROM sqlite_master WHERE name GLOB 'key_*'").fetchall():
            app.execute(f"UPDATE {quote(name)} SET v = v || 'x'")
        for statement in WRITTEN:
            app.execute(statement)


def test_the_zoo_is_equal_on_both_sides_in_every_form(
    hub: syncline.Hub, postgres_url: str, tmp_path: Path
) -> None:
    devices = {
        name: syncline.clone(hub, tmp_path / f"{name}.db", forms=forms) for name, forms in FORMS.items()
    }
    for device in devices.values():
        found = device.verify()
        assert found.equal, found.differences
    for name, device in devices.items():
        edit(device.file)
        report = device.sync()
        assert (report.push.rejected, report.push.overruled) == ((), 0), name
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE cage SET note = note || '!', code = 'x'; DELETE FROM key_ci WHERE v = 'a'"
            )
            connection.execute("DELETE FROM cage WHERE note LIKE 'new%'; DELETE FROM keeper WHERE nr = 5")
            connection.execute("INSERT INTO keeper VALUES (2, 1, 1, 2, 'c'); DELETE FROM given WHERE id = 2")
            for table in ("number", "price", "float", "moment", "wall", "flag"):
                connection.execute(f"DELETE FROM key_{table} WHERE v ~ '^[abc]$'")
            connection.execute("DELETE FROM only_key WHERE id >= 20; INSERT INTO only_key VALUES (1)")
            connection.execute("UPDATE part SET region = 'us' WHERE id = 1")
    for device in devices.values():
        device.sync()
        found = device.verify()
        assert found.equal, found.differences
        device.close()
