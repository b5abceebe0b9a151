"""The conformance suite over PostgreSQL."""

from __future__ import annotations

from typing import ClassVar

import psycopg
import pytest

from syncline.databases.postgresql import open_database
from syncline.hub.contract import Database
from syncline.testing.conformance import Centre, DatabaseConformance, Words

CYCLE = (
    "CREATE TABLE hen (id integer PRIMARY KEY, egg integer)",
    "CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen (id))",
    "ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg (id)",
)
TRIGGER = (
    "CREATE FUNCTION contact_before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF NEW.name = 'forbidden' THEN RAISE EXCEPTION 'this name is not welcome'; END IF;"
    " IF TG_OP = 'INSERT' OR OLD.name IS DISTINCT FROM NEW.name THEN NEW.shown := upper(NEW.name); END IF;"
    " RETURN NEW; END $$",
    "CREATE FUNCTION contact_after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO noted VALUES (NEW.id); RETURN NULL; END $$",
    "CREATE TRIGGER contact_before BEFORE INSERT OR UPDATE ON contact"
    " FOR EACH ROW EXECUTE FUNCTION contact_before()",
    "CREATE TRIGGER contact_after AFTER INSERT ON contact FOR EACH ROW EXECUTE FUNCTION contact_after()",
)


class PostgresCentre:
    """A fresh database, and another program that writes to it with a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> Database:
        return open_database(self.url)

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())


class PostgresWords(Words):
    blob = key_blob = "bytea"


class TestPostgresql(DatabaseConformance):
    CYCLE: ClassVar = CYCLE
    TRIGGER: ClassVar = TRIGGER
    WORDS: ClassVar = PostgresWords()

    @pytest.fixture
    def centre(self, postgres_url: str) -> Centre:
        return PostgresCentre(postgres_url)
