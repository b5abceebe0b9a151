"""SQL in names and values stays what it is: names are quoted, values bound, on both sides (law L12)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline

TABLE = 'we"ird; DROP TABLE item; --'
KEY = "select"
COLUMNS = ("from'", 'a"b', "naïve; x", "?1", ":name", "%s", "日本")
VALUES = ("'); DROP TABLE item; --", '"', "\\", "%s %(x)s", ":name ?", "\x01\t\r\n", "שלום 😀")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def ddl() -> list[str]:
    columns = ", ".join(f"{quoted(name)} TEXT" for name in COLUMNS)
    return [
        f"CREATE TABLE {quoted(TABLE)} ({quoted(KEY)} INTEGER PRIMARY KEY, {columns})",
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)",
        "INSERT INTO item VALUES (1, 'still here')",
    ]


@pytest.fixture
def sqlite_hub(tmp_path: Path) -> syncline.Hub:
    file = tmp_path / "central.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in ddl():
            connection.execute(statement)
    return syncline.Hub(f"sqlite:///{file}")


@pytest.fixture
def postgresql_hub(postgres_url: str) -> syncline.Hub:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        for statement in ddl():
            connection.execute(statement.encode())
    return syncline.Hub(postgres_url)


@pytest.mark.parametrize("fixture", ["sqlite_hub", "postgresql_hub"])
def test_names_and_values_full_of_sql_pass_from_device_to_device(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    hub: syncline.Hub = request.getfixturevalue(fixture)
    with hub:
        hub.init()
        files = [tmp_path / "one.db", tmp_path / "two.db"]
        one, two = (syncline.clone(hub, file) for file in files)
        with one, two:
            with closing(sqlite3.connect(files[0])) as connection, connection:
                marks = ", ".join("?" * (len(VALUES) + 1))
                connection.execute(f"INSERT INTO {quoted(TABLE)} VALUES ({marks})", (1, *VALUES))
                connection.execute(f"INSERT INTO {quoted(TABLE)} VALUES ({marks})", (2, *VALUES))
            one.sync()
            two.sync()
            with closing(sqlite3.connect(files[1])) as connection, connection:
                connection.execute(f"UPDATE {quoted(TABLE)} SET {quoted(COLUMNS[0])} = ?", (VALUES[3],))
                connection.execute(f"DELETE FROM {quoted(TABLE)} WHERE {quoted(KEY)} = 2")
            assert not two.sync().push.rejected
            one.sync()
        for file in files:
            with closing(sqlite3.connect(file)) as connection:
                rows = connection.execute(f"SELECT * FROM {quoted(TABLE)}").fetchall()
                assert rows == [(1, VALUES[3], *VALUES[1:])]
                assert connection.execute("SELECT * FROM item").fetchall() == [(1, "still here")]
