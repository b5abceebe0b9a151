"""Tables of Syncline in a central database that have another layout: refused with a clear word, taken out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncline.databases.base import LAYOUT
from syncline.databases.sqlite import open_database
from syncline.errors import NotPrepared
from syncline.hub.contract import Database
from tests.support.postgres import PostgresCentre

FIXTURES = Path(__file__).parent.parent / "fixtures"
TABLE = "CREATE TABLE thing (id integer PRIMARY KEY, name text)"


def old_sqlite(path: Path) -> Database:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLE + ";" + (FIXTURES / "layout_1_sqlite.sql").read_text())
        connection.execute("INSERT INTO _sync_hub (id, layout, hub) VALUES (1, 1, 'the-hub')")
    return open_database(f"sqlite:///{path}")


def old_postgresql(url: str) -> Database:
    centre = PostgresCentre(url)
    text = (FIXTURES / "layout_1_postgresql.sql").read_text()
    centre.run(TABLE, *(piece.partition("\n")[2] for piece in text.split("-- name: ")[1:]))
    return centre.open()


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database as a preview left it."""
    if request.param == "sqlite":
        database = old_sqlite(tmp_path / "old.db")
    else:
        database = old_postgresql(request.getfixturevalue("postgres_url"))
    yield database
    database.close()


def test_an_old_layout_is_refused_and_the_remedy_works(old: Database) -> None:
    attempts: list[Callable[[], object]] = [
        old.catalogue.load,
        lambda: old.catalogue.prepare(old.catalogue.reflect(None)),
    ]
    for attempt in attempts:
        with pytest.raises(
            NotPrepared, match=f"the layout of a preview, this version layout {LAYOUT}"
        ) as caught:
            attempt()
        assert "syncline init syncline.toml --remove" in caught.value.remedy
    assert old.catalogue.remove().statements
    old.catalogue.prepare(old.catalogue.reflect(None))
    assert [table.name for table in old.catalogue.load().tables] == ["thing"]


@pytest.fixture(params=["sqlite", "postgresql"])
def former(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of layout 5, in which a column had a name that MariaDB reserves."""
    if request.param == "sqlite":
        path = tmp_path / "former.db"
        database = open_database(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(TABLE)
        database.catalogue.prepare(database.catalogue.reflect(None))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute('ALTER TABLE _sync_hub RENAME COLUMN kept_old TO "before"')
            connection.execute("UPDATE _sync_hub SET layout = 5")
        database.close()
        database = open_database(f"sqlite:///{path}")
    else:
        centre = PostgresCentre(request.getfixturevalue("postgres_url"))
        centre.run(TABLE)
        first = centre.open()
        first.catalogue.prepare(first.catalogue.reflect(None))
        first.close()
        centre.run(
            'ALTER TABLE syncline.state RENAME COLUMN kept_old TO "before"',
            "UPDATE syncline.state SET layout = 5",
        )
        database = centre.open()
    yield database
    database.close()


def test_the_layout_before_is_refused_by_its_number_and_the_remedy_works(former: Database) -> None:
    def look() -> None:
        with former.reading_ledger():
            pass

    attempts: list[Callable[[], object]] = [
        former.catalogue.load,
        former.catalogue.renamed,
        lambda: former.catalogue.prepare(former.catalogue.reflect(None)),
        look,
    ]
    for attempt in attempts:
        with pytest.raises(NotPrepared, match=f"have layout 5, this version layout {LAYOUT}"):
            attempt()
    assert former.catalogue.remove().statements
    former.catalogue.prepare(former.catalogue.reflect(None))
    assert [table.name for table in former.catalogue.load().tables] == ["thing"]
