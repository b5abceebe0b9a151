"""A database with something of everything in the centre, owned by an ordinary role: cloned, edited on two
devices and by other programs in every way there is, synced, compared value by value (laws L2, L4, L5, L8,
L9), and taken out again without a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.databases.postgresql import open_database
from syncline.replica.store import quote
from syncline.testing.conforms.centre import World
from tests.support.dump import dump
from tests.support.postgres import PostgresCentre

PRACTICE = Path(__file__).parent / "practice"
COW = "00000000-0000-4000-8000-0000000000"


@pytest.fixture
def centre(postgres_url: str) -> Iterator[PostgresCentre]:
    """The practice, made and filled by a role without any special right."""
    name = postgres_url.rpartition("/")[2]
    PostgresCentre(postgres_url).run(
        "DROP ROLE IF EXISTS practice",
        "CREATE ROLE practice LOGIN",
        f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO practice",
    )
    centre = PostgresCentre(postgres_url.replace("postgres@", "practice@"))
    centre.run((PRACTICE / "schema.sql").read_text("utf-8"), (PRACTICE / "rows.sql").read_text("utf-8"))
    yield centre
    PostgresCentre(postgres_url).run("DROP OWNED BY practice CASCADE", "DROP ROLE practice")


def run(file: Path, *statements: str) -> None:
    """What an application does on a device, in one transaction."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            for statement in statements:
                connection.execute(statement)


def assert_equal(centre: PostgresCentre, *files: Path) -> None:
    """Every table, every row, every value and its class, in portable form."""
    database = open_database(centre.url)
    try:
        world = World(centre, database, database.catalogue.load())
        for table in world.schema.tables:
            names = ", ".join(quote(column.name) for column in (*table.keys, *table.values.values()))
            expected = sorted(map(repr, world.rows(table.name)))
            for file in files:
                with closing(sqlite3.connect(file)) as device:
                    assert device.execute("PRAGMA foreign_key_check").fetchall() == []
                    rows = device.execute(f"SELECT {names} FROM {quote(table.name)}").fetchall()
                assert sorted(repr(list(row)) for row in rows) == expected, (table.name, file.name)
    finally:
        database.close()


LEFT = (
    f"""UPDATE "Animal" SET name = 'Rosa', "Weight kg" = '612.50',
        traits = '{{"a":1}}' WHERE "Id" = '{COW}01'""",
    f"""UPDATE "Animal" SET "Mother" = NULL, sex = 'castrated', weight = '1.00' WHERE "Id" = '{COW}12'""",
    f"""INSERT INTO "Visit" (id, "Animal", vet, during, spoken, urgency, lasting) VALUES
        (9001, '{COW}03', 2, '["2027-01-01 08:00:00+00","2027-01-01 09:00:00+00")', 'calf', 'NOW', 'PT1H')""",
    f"""DELETE FROM "Animal" WHERE "Id" = '{COW}40'""",
    """UPDATE "Item" SET "SKU" = 'PEN-20', tags = '["x","y"]' WHERE "SKU" = 'PEN-10'""",
    """UPDATE "Line" SET quantity = '9.50' WHERE "year" = 2026 AND "no" = 2 AND "column" = 1""",
    """INSERT INTO "Herd" (id, name) VALUES (7, 'Moor')""",
    f"""INSERT INTO "Member" VALUES ('{COW}30', 7)""",
    f"""UPDATE "Herd" SET leader = '{COW}30' WHERE id = 7""",
)
RIGHT = (
    """UPDATE "user" SET "group" = 'night', "from" = '10.0.0.1' WHERE id = 2""",
    f"""INSERT INTO "Reading" ("Animal", at, pulse) VALUES ('{COW}05', '2025-07-01T00:00:00.5Z', 77),
        ('{COW}05', '2026-07-01T00:00:00Z', 78), ('{COW}05', '1999-07-01T00:00:00Z', 79)""",
    """UPDATE "order_Note" SET body = 'changed there' """,
    """DELETE FROM "table" WHERE "year" = 2026 AND "no" = 9""",
    """INSERT INTO "Owner" ("Name", "E-Mail", "Balance") VALUES ('New', 'n@example.org', '1.5')""",
)
REFUSED = (
    f"""INSERT INTO "Visit" (id, lasting, "Animal", vet, during, spoken) VALUES
        (9101, 'PT1H', '{COW}04', 2, '["2026-05-01 09:10:00+00","2026-05-01 12:00:00+00")', 'overlap')""",
    f"""INSERT INTO "Visit" (id, lasting, "Animal", spoken) VALUES (9102, 'PT1H', '{COW}04', 'forbidden')""",
    f"""INSERT INTO "Visit" (id, lasting, "Animal", fever) VALUES (9103, 'PT1H', '{COW}04', '77.0')""",
)
OTHERS = (
    """MERGE INTO "order"."Item" i USING (VALUES ('KET', 5), ('NEW', 1)) AS s (sku, n) ON i."SKU" = s.sku
       WHEN MATCHED THEN UPDATE SET stock = s.n
       WHEN NOT MATCHED THEN INSERT ("SKU", "primary", stock, price) VALUES (s.sku, 'made', s.n, 1)""",
    """UPDATE "Field Practice"."Urgent" SET spoken = 'through the view'""",
    """UPDATE "Field Practice"."Visit" SET urgency = 'NOW' WHERE id = 11""",
    """UPDATE "Field Practice"."Urgent" SET spoken = 'through the view' WHERE id = 11""",
    """UPDATE "order"."Roster" SET "Name" = 'Instead' WHERE id = 3""",
    """UPDATE "Field Practice"."Species" SET "Code" = 'ovis aries' WHERE "Code" = 'ovis'""",
    f"""DELETE FROM "Field Practice"."Animal" WHERE "Id" = '{COW}39'""",
    """DELETE FROM "order"."user" WHERE id = 3""",
    """TRUNCATE "Field Practice"."Reading 2026 a" """,
    """TRUNCATE "Field Practice"."Stay" """,
)


def copy(centre: PostgresCentre) -> None:
    with centre.connect() as session, session.cursor().copy('COPY "order"."Note" FROM STDIN') as stream:
        stream.write("44444444-4444-4444-8444-444444444444\tby COPY\n")


def test_everything_at_once_ends_up_equal(centre: PostgresCentre, tmp_path: Path) -> None:
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    with syncline.Hub(centre.url) as hub:
        hub.init()
        with syncline.clone(hub, one) as left, syncline.clone(hub, two) as right:
            assert_equal(centre, one, two)
            run(one, *LEFT, *REFUSED)
            run(two, *RIGHT)
            centre.run(*OTHERS)
            copy(centre)
            for replica in (left, right, left):
                replica.sync()
            assert_equal(centre, one, two)
            for replica in (left, right):
                assert replica.verify().differences == ()
            codes = {edit.key[0]: edit.code for edit in left.rejected()}
            assert set(codes) == {9101, 9102, 9103}, codes
            assert right.rejected() == []


def test_it_is_taken_out_without_a_trace(centre: PostgresCentre, postgres_url: str) -> None:
    before = dump(postgres_url)
    with syncline.Hub(centre.url) as hub:
        said = "\n".join(hub.init().notes)
        for words in (
            "Urgent: is a view",
            "Scratch: has no primary key",
            "Form: inherits",
            "Session: is unlogged",
        ):
            assert words in said
        assert dump(postgres_url) != before
        hub.remove()
    assert dump(postgres_url) == before
