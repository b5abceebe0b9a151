"""A `prepare` that was cut short where every statement is committed by itself: the next one runs it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import pytest

from syncline.databases.base import Ledger
from syncline.databases.base.dialect import Dialect
from syncline.databases.postgresql.dialect import PostgresDialect, PostgresLedgerSession
from syncline.databases.postgresql.prepare import PostgresPreparation
from syncline.databases.postgresql.session import Connection, Session
from syncline.errors import NotPrepared
from syncline.hub.contract import Prepared
from syncline.testing.conforms.centre import World
from tests.support.postgres import PostgresCentre

TABLES = (
    "CREATE TABLE one (id integer PRIMARY KEY, v text)",
    "CREATE TABLE two (id text PRIMARY KEY, w integer)",
)

AGAIN = (
    (r"^CREATE (TABLE|SCHEMA|SEQUENCE|INDEX|UNIQUE INDEX) ", r"CREATE \1 IF NOT EXISTS "),
    (r"^CREATE UNLOGGED TABLE ", "CREATE UNLOGGED TABLE IF NOT EXISTS "),
    (r"^CREATE FUNCTION ", "CREATE OR REPLACE FUNCTION "),
    (r"^CREATE TRIGGER ", "CREATE OR REPLACE TRIGGER "),
    (r"^(INSERT INTO syncline.state .*)", r"\1 ON CONFLICT DO NOTHING"),
)
"""What makes statements bear to be run twice."""


class Cut(Exception):
    """The process has died here."""


class CommittingDialect(PostgresDialect):
    ddl_commits: ClassVar[bool] = True


class CommittingSession(PostgresLedgerSession):
    dialect = CommittingDialect()


class CommittingPreparation(PostgresPreparation):
    """One that commits each statement, and dies after some of them."""

    left = 10_000

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.ledger = Ledger(CommittingSession(session.connection))

    def is_ours(self) -> bool | None:
        found: bool | None = self._session.value(
            "SELECT true WHERE to_regclass('syncline.state') IS NOT NULL"
        )
        return found

    def own_tables(self) -> list[str]:
        """The row of `state`, and what is written into it, comes last."""
        made = super().own_tables()
        last = [text for text in made if "syncline.state" in text and text.startswith(("INSERT", "UPDATE"))]
        return [*(text for text in made if text not in last), *last]

    def run(self, statements: Sequence[str]) -> None:
        for statement in statements:
            if self.left == 0:
                raise Cut
            self.left -= 1
            text = statement.strip()
            for pattern, other in AGAIN:
                text = re.sub(pattern, other, text)
            self._session.count(text)


@contextmanager
def preparing(url: str) -> Iterator[CommittingPreparation]:
    with Connection.connect(url) as connection:
        connection.ready(10.0, 0.0)
        connection.execute("SET check_function_bodies = off")  # else for the transaction alone
        yield CommittingPreparation(Session(connection))


def prepare(centre: PostgresCentre, left: int = 10_000) -> Prepared:
    """Prepare, and die after so many statements."""
    database = centre.open()
    try:
        schema = database.catalogue.reflect(["one", "two"])
    finally:
        database.close()
    with preparing(centre.url) as preparation:
        preparation.left = left
        return preparation.prepare(schema, None)


def is_right(centre: PostgresCentre) -> None:
    """Everything is there once, and what others write is captured."""
    database = centre.open()
    world = World(centre, database, database.catalogue.load())
    start = world.now()
    centre.run("INSERT INTO one VALUES (1, 'x')", "INSERT INTO two VALUES ('a', 1)")
    assert world.since(start) == {"one": {(1,): {"v"}}, "two": {("a",): {"w"}}}
    assert world.push(world.stage("update", "one", [[1, "y"]])) == []
    assert database.catalogue.uncaptured() == []
    assert database.catalogue.prepare(world.schema).statements == []
    database.catalogue.remove()
    with pytest.raises(NotPrepared):
        database.catalogue.load()
    centre.run("DELETE FROM one", "DELETE FROM two")
    database.close()


def test_l12_a_prepare_that_was_cut_short_anywhere_is_run_again(postgres_url: str) -> None:
    centre = PostgresCentre(postgres_url)
    centre.run(*TABLES)
    count = len(prepare(centre).statements)
    is_right(centre)
    for left in sorted({*range(0, count, 4), *range(count - 4, count)}):
        with pytest.raises(Cut):
            prepare(centre, left)
        with preparing(centre.url) as preparation:
            assert preparation.in_force() is None, left
        prepare(centre)
        is_right(centre)


def test_tables_that_are_made_again_come_with_their_indexes() -> None:
    first, second = PostgresDialect(), CommittingDialect()
    made: Sequence[str] = second.create()
    assert [text for text in made if text.startswith("CREATE INDEX")] == []
    assert all(" IF NOT EXISTS " in text for text in made if text.startswith("CREATE"))
    indexes = [text for text in Dialect.create(first) if text.startswith("CREATE INDEX")]
    assert sum(text.count("    INDEX ") for text in made) == len(indexes) > 2
