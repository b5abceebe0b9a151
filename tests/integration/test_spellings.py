"""Whatever spelling an application uses is accepted, in keys too, and is no edit that was overruled (L8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline import Hub, Replica, Table

DDL = """
CREATE TABLE author (id uuid PRIMARY KEY, name text);
CREATE TABLE book (
    id uuid PRIMARY KEY, author uuid NOT NULL REFERENCES author ON DELETE CASCADE, at timestamptz, day date,
    price numeric(10,2), weight double precision, sold boolean, pages int, notes jsonb, span interval);
CREATE TABLE event (at timestamp, price numeric(6,2), note text, PRIMARY KEY (at, price));
CREATE TABLE account (id int PRIMARY KEY, money numeric(14,2), plain numeric, f double precision);
INSERT INTO author VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'old');
INSERT INTO event VALUES ('2024-01-01 10:00:00', 5, 'there');
INSERT INTO account VALUES (1, 0, 0, 0), (2, 0.10, 0.10, 0.1), (3, 10, 10, 0);
"""
OLD = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
NEW = "B1EEBC99-9C0B-4EF8-BB6D-6BB9BD380A22"
BOOK = "{c2eebc999c0b4ef8bb6d6bb9bd380a33}"


@dataclass
class Centre:
    url: str
    hub: Hub
    device: Replica
    app: sqlite3.Connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            self.url, autocommit=True, options="-c timezone=UTC -c datestyle=ISO"
        ) as connection:
            return connection.execute(query).fetchall()

    def assert_equal(self) -> None:
        found = self.device.verify()
        assert found.equal, found.differences


@pytest.fixture
def centre(postgres_url: str, tmp_path: Path) -> Iterator[Centre]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(DDL)
    hub = Hub(
        postgres_url,
        {
            "author": Table(),
            "book": Table(),
            "event": Table(),
            "account": Table({"money": "sum", "plain": "sum", "f": "sum"}),
        },
    )
    hub.init()
    file = tmp_path / "device.db"
    with syncline.clone(hub, file) as device:
        app = sqlite3.connect(file, isolation_level=None)
        app.execute("PRAGMA foreign_keys = ON")
        yield Centre(postgres_url, hub, device, app)
        app.close()
    hub.close()


def write_book(centre: Centre) -> None:
    centre.app.execute("INSERT INTO author VALUES (?, 'new')", (NEW,))
    centre.app.execute(
        "INSERT INTO book VALUES (?, ?, '2024-02-29 10:00:00.500000', '2024-02-29 00:00', 5, '1.5', 'true',"
        " '12', '{\"b\":1,\"a\":1e1}', '1 day')",
        (BOOK, NEW),
    )


def test_whatever_a_type_reads_is_taken_and_comes_back_in_the_one_spelling(centre: Centre) -> None:
    write_book(centre)
    report = centre.device.sync()
    assert (report.push.sent, report.push.overruled, report.push.rejected, report.push.conflicts) == (
        2,
        0,
        (),
        0,
    )
    assert centre.app.execute("SELECT * FROM book").fetchall() == [
        (
            "c2eebc99-9c0b-4ef8-bb6d-6bb9bd380a33",
            NEW.lower(),
            "2024-02-29T10:00:00.5Z",
            "2024-02-29",
            "5.00",
            1.5,
            1,
            12,
            '{"a": 10, "b": 1}',
            "P1D",
        )
    ]
    assert centre.rows("SELECT id::text, author::text, weight, sold, pages FROM book") == [
        ("c2eebc99-9c0b-4ef8-bb6d-6bb9bd380a33", NEW.lower(), 1.5, True, 12)
    ]
    centre.assert_equal()


def test_a_dry_run_says_the_same(centre: Centre) -> None:
    write_book(centre)
    found = centre.device.preview()
    assert (found.rows, found.accepted, found.overruled, found.rejected) == (2, 2, (), ())
    assert centre.app.execute("SELECT id FROM book").fetchall() == [(BOOK,)], "nothing was done"


def test_an_edit_that_spells_a_value_otherwise_is_none(centre: Centre) -> None:
    write_book(centre)
    centre.device.sync()
    centre.app.execute("UPDATE book SET at = '2024-02-29 15:45:00.5+05:45', price = 5.0")
    assert sum(centre.device.status().pending.values()) == 1
    assert centre.device.sync().push.sent == 0
    assert centre.device.status().pending == {}
    centre.app.execute("UPDATE book SET at = '2024-02-29 10:00:00.5', price = '6'")
    report = centre.device.sync()
    assert (report.push.sent, report.push.overruled) == (1, 0)
    assert centre.app.execute("SELECT at, price FROM book").fetchone() == ("2024-02-29T10:00:00.5Z", "6.00")
    centre.assert_equal()


def test_a_respelled_value_loses_nothing_of_what_others_wrote(centre: Centre) -> None:
    write_book(centre)
    centre.device.sync()
    with psycopg.connect(centre.url, autocommit=True) as connection:
        connection.execute("UPDATE book SET price = 7, at = '2025-01-01Z'")
    centre.app.execute("UPDATE book SET price = 5, at = '2024-02-29 10:00:00.5', pages = 13")
    report = centre.device.sync()
    assert (report.push.sent, report.push.overruled, report.push.conflicts) == (1, 0, 0)
    expected = ("7.00", "2025-01-01T00:00:00Z", 13)
    assert centre.app.execute("SELECT price, at, pages FROM book").fetchone() == expected
    centre.assert_equal()


def test_keys_are_respelled_with_their_children_and_their_deletes(centre: Centre) -> None:
    write_book(centre)
    centre.app.execute("UPDATE book SET pages = 1 WHERE id = ?", (BOOK,))
    centre.app.execute("UPDATE author SET id = upper(id) WHERE name = 'old'")
    centre.app.execute("INSERT INTO event VALUES ('2024-01-01 11:00', 7, 'new'), ('2024-01-02', 8, 'brief')")
    centre.app.execute("DELETE FROM event WHERE note = 'brief'")
    report = centre.device.sync()
    assert (report.push.rejected, report.push.overruled) == ((), 0)
    assert centre.app.execute("SELECT at, price, note FROM event ORDER BY at").fetchall() == [
        ("2024-01-01T10:00:00", "5.00", "there"),
        ("2024-01-01T11:00:00", "7.00", "new"),
    ]
    assert centre.app.execute("SELECT id FROM author ORDER BY id").fetchall() == [(OLD,), (NEW.lower(),)]
    assert centre.rows("SELECT count(*) FROM book JOIN author ON author.id = book.author")[0] == (1,)
    centre.assert_equal()


def test_a_key_that_is_there_already_under_its_own_spelling_is_rejected_and_kept(centre: Centre) -> None:
    centre.app.execute("INSERT INTO author VALUES (?, 'twice')", (OLD.upper(),))
    centre.app.execute("INSERT INTO author VALUES (?, 'other')", (NEW,))
    report = centre.device.sync()
    assert [(edit.key, edit.values["name"]) for edit in report.push.rejected] == [((OLD.upper(),), "twice")]
    assert "spelled otherwise" in report.push.rejected[0].detail
    assert centre.rows("SELECT name FROM author ORDER BY name") == [("old",), ("other",)]
    centre.assert_equal()


def test_what_arrives_finds_an_edited_row_by_whatever_spelling_of_its_key(centre: Centre) -> None:
    centre.app.execute("INSERT INTO author VALUES (?, 'mine')", (NEW,))
    with psycopg.connect(centre.url, autocommit=True) as connection:
        connection.execute("INSERT INTO author VALUES (%s, 'theirs')", (NEW,))
    centre.device.pull()
    assert centre.app.execute("SELECT id, name FROM author WHERE name <> 'old'").fetchall() == [
        (NEW.lower(), "mine")
    ]
    centre.device.sync()
    centre.assert_equal()


def test_sums_of_decimals_and_floats_are_what_the_hub_computed(centre: Centre) -> None:
    centre.app.execute("UPDATE account SET money = money + 5, plain = plain + 5 WHERE id = 1")
    centre.app.execute(
        "UPDATE account SET money = money + 0.2, plain = plain + 0.2, f = f + 0.2 WHERE id = 2"
    )
    centre.app.execute("UPDATE account SET money = '12.5', plain = '12.50', f = 1e10 / 3 WHERE id = 3")
    for _ in range(2):
        assert centre.device.sync().push.overruled == 0
    assert centre.rows("SELECT money::text, plain::text, f FROM account ORDER BY id") == [
        ("5.00", "5", 0.0),
        ("0.30", "0.30", 0.30000000000000004),
        ("12.50", "12.50", 1e10 / 3),
    ]
    here = centre.app.execute("SELECT money, plain, f FROM account ORDER BY id").fetchall()
    assert here == centre.rows("SELECT money::text, plain::text, f FROM account ORDER BY id")
    centre.assert_equal()


MADE_TWICE = {
    "jsonb": ('{"b":1,"a":[1.0]}', '{"a": [1.0], "b":1}'),
    "int[]": ("[1,2]", "[1, 2]"),
    "char(5)": ("ab", "ab   "),
    "real": (0.1, "0.1"),
    "numeric(10,2)": ("1.5", "1.50"),
    "timestamptz": ("2024-02-29 11:00+01", "2024-02-29T10:00:00Z"),
    "uuid": (NEW, NEW.lower()),
    "timetz": ("10:00+01", "10:00:00+01:00"),
    "money": ("$5", "5.00"),
    "time": ("24:00", "24:00:00"),
    "interval": ("1 day 2 hours", "1 day 02:00:00"),
    "inet": ("10.0.0.1/32", "10.0.0.1"),
}
"""By type: one value in two spellings."""


@pytest.mark.parametrize("policy", ["lww", "review", "row"])
def test_two_devices_that_write_one_value_are_in_no_conflict_however_it_is_spelled(
    postgres_url: str, tmp_path: Path, policy: str
) -> None:
    columns = [f"c{place}" for place in range(len(MADE_TWICE))]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        types = ", ".join(f"{name} {kind}" for name, kind in zip(columns, MADE_TWICE, strict=True))
        connection.execute(f"CREATE TABLE v (id int PRIMARY KEY, {types})")
        connection.execute("INSERT INTO v VALUES (1)")
    merge = policy if policy == "row" else dict.fromkeys(columns, policy)
    with syncline.Hub(postgres_url, {"v": Table(merge, inserts="same_row")}) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as a, syncline.clone(hub, tmp_path / "b.db") as b:
            for place, device in enumerate((a, b)):
                values = [spellings[place] for spellings in MADE_TWICE.values()]
                with closing(sqlite3.connect(device.file)) as app, app:
                    if policy != "row":
                        app.execute(f"UPDATE v SET {', '.join(f'{name} = ?' for name in columns)}", values)
                    app.execute(f"INSERT INTO v VALUES (2{', ?' * len(columns)})", values)
            for device in (a, b, a):
                report = device.sync()
                assert (report.push.overruled, report.push.conflicts, report.push.rejected) == (0, 0, ())
            assert (hub.conflicts(), a.conflicts(), b.conflicts()) == ([], [], [])
            assert a.verify().equal and b.verify().equal


# A hidden row and the spelling of its key ------------------------------------------------------------------

INVOICES = """
CREATE TABLE invoice (id uuid PRIMARY KEY, who text);
CREATE TABLE line (invoice uuid REFERENCES invoice, n int, qty int, PRIMARY KEY (invoice, n));
"""
SAME = "b1eebc99-9c0b-4ef8-bb6d-6bb9bd380a22"
"""`NEW`, spelled as the centre does."""


@pytest.mark.parametrize(
    "lines",
    [
        f"('{NEW}', 1, 5), ('{SAME}', 1, 6)",
        f"('{SAME}', 1, 6), ('{NEW}', 1, 5)",
        f"('{NEW}', 1, 5), ('{SAME}', 1, 6), ('{NEW.replace('-', '')}', 1, 7)",
    ],
)
@pytest.mark.parametrize("tracked", [True, False], ids=["in the file before", "written later"])
def test_l2_one_key_in_two_spellings_beside_a_row_without_a_key_stops_no_push(
    postgres_url: str, tmp_path: Path, lines: str, tracked: bool
) -> None:
    rows = f"""INSERT INTO invoice VALUES ('{NEW}', 'ana'), (NULL, 'no key');
        INSERT INTO line VALUES {lines}"""
    with _invoices(postgres_url, tmp_path, rows if tracked else "") as (replica, app, run):
        app.executescript("" if tracked else rows)
        replica.sync()
        kept = [edit for edit in replica.rejected() if edit.table == "line"]
        assert {edit.code for edit in kept} == {"value_refused"} and len(kept) == lines.count("(") - 1
        app.executescript("DELETE FROM invoice WHERE id IS NULL; INSERT INTO other VALUES (1)")
        replica.sync()
        assert run("SELECT count(*) FROM line") == [(1,)] and run("SELECT id FROM other") == [(1,)]
        assert {edit.values["qty"] for edit in kept} | {run("SELECT qty FROM line")[0][0]} == {
            int(line.rsplit(" ", 1)[1]) for line in lines.replace(")", "").split(", (")
        }
        assert replica.verify().equal and replica.status().hidden == 0


def test_l2_a_row_that_was_hidden_under_another_spelling_of_its_key_is_sent(
    postgres_url: str, tmp_path: Path
) -> None:
    with _invoices(postgres_url, tmp_path, f"INSERT INTO invoice VALUES ('{SAME}', 'ana')") as world:
        replica, app, run = world
        replica.sync()
        app.executescript(
            f"INSERT INTO line VALUES ('{NEW}', 1, 5); INSERT INTO invoice VALUES (NULL, 'no key')"
        )
        replica.sync()
        assert run("SELECT n, qty FROM line") == [(1, 5)]
        assert [edit.table for edit in replica.rejected()] == ["invoice"]
        assert replica.verify().equal and replica.status().hidden == 0


def test_l2_what_is_under_another_spelling_of_a_hidden_row_s_key_is_kept(
    postgres_url: str, tmp_path: Path
) -> None:
    lone = "c1eebc99-9c0b-4ef8-bb6d-6bb9bd380a33"
    with _invoices(postgres_url, tmp_path, "") as (replica, app, run):
        app.executescript(
            f"INSERT INTO line VALUES ('{lone}', 1, 5); INSERT INTO invoice VALUES (NULL, 'no key')"
        )
        replica.pull()
        hub_says = replica.preview()
        assert hub_says.rows == 1
        app.executescript(f"INSERT INTO line VALUES ('{lone.upper()}', 1, 6)")
        replica.sync()
        kept = {edit.values["qty"] for edit in replica.rejected() if edit.table == "line"}
        assert kept == {5, 6} and run("SELECT * FROM line") == []
        assert replica.verify().equal and replica.status().hidden == 0


@contextmanager
def _invoices(url: str, folder: Path, rows: str) -> Iterator[tuple[Any, Any, Any]]:
    """A replica of these rows, with a connection to its file and one that asks the centre."""
    with psycopg.connect(url, autocommit=True) as centre, Hub(url) as hub:
        centre.execute(f"{INVOICES}; CREATE TABLE other (id int PRIMARY KEY)".encode())
        hub.init()
        with closing(sqlite3.connect(folder / "device.db", isolation_level=None)) as app:
            app.executescript(
                f"""CREATE TABLE invoice (id TEXT PRIMARY KEY, who TEXT);
                CREATE TABLE line (
                    invoice TEXT REFERENCES invoice (id), n INTEGER, qty INTEGER, PRIMARY KEY (invoice, n));
                CREATE TABLE other (id INTEGER PRIMARY KEY); {rows}"""
            )
            with syncline.connect(folder / "device.db", hub=hub) as replica:
                replica.track("invoice", "line", "other")
                yield replica, app, lambda sql: centre.execute(sql.encode()).fetchall()
