"""A file in the forms of its application's ORM: the same rows as in the centre, edits both ways (law L8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline import Hub, Replica, Table
from syncline.errors import ConfigurationError, SynclineError, UsageError
from syncline.replica.examine import examine

DDL = """
CREATE TABLE author (id uuid PRIMARY KEY, name text UNIQUE);
CREATE TABLE book (
    id uuid PRIMARY KEY, author uuid REFERENCES author ON DELETE CASCADE, at timestamptz, local timestamp,
    clock time, price numeric(10,2), exact numeric(30,10), sold boolean NOT NULL DEFAULT false, pages int);
CREATE TABLE event (
    at timestamptz, price numeric(6,2), sold boolean, note text, PRIMARY KEY (at, price, sold));
INSERT INTO author VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'old');
INSERT INTO book SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-02-29 10:00:00Z'::timestamptz + n * interval '0.5 seconds',
    '2024-02-29 10:00:00'::timestamp + n * interval '100 days', '12:34:56.5', n * 1.25,
    12345678901234567890.0123456789 + n, n % 2 = 0, n FROM generate_series(1, 30) n;
INSERT INTO book (id, at, local) VALUES
    ('ffffffff-0000-4000-8000-000000000000', 'infinity', '0044-03-15 00:00:00 BC'),
    ('ffffffff-0000-4000-8000-000000000001', '9999-12-31 23:59:59.999999Z', NULL);
INSERT INTO event SELECT '2024-01-01Z'::timestamptz + n * interval '1 day', n * 10, n % 3 = 0, 'n' || n
    FROM generate_series(-5, 50) n;
"""
OLD, NEW = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b1eebc99-9c0b-4ef8-bb6d-6bb9bd380a22"
PLAIN: dict[str, str] = {}
DJANGO = {"timestamps": "space", "uuids": "hex", "decimals": "real", "intervals": "microseconds"}
ODD = {"timestamps": "unix", "uuids": "blob", "decimals": "real", "booleans": "text"}
ALCHEMY = {"timestamps": "space6", "uuids": "hex", "booleans": "text"}


@dataclass
class World:
    url: str
    folder: Path
    hub: Hub
    opened: list[Any] = field(default_factory=list)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            self.url, autocommit=True, options="-c timezone=UTC -c datestyle=ISO"
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def clone(self, forms: Mapping[str, str] | str | None) -> tuple[Replica, sqlite3.Connection]:
        file = self.folder / f"device{len(self.opened)}.db"
        return self.open(syncline.clone(self.hub, file, forms=forms))

    def open(self, replica: Replica) -> tuple[Replica, sqlite3.Connection]:
        app = sqlite3.connect(replica.file, isolation_level=None)
        app.execute("PRAGMA foreign_keys = ON")
        self.opened += [replica, app]
        return replica, app


@pytest.fixture
def make(postgres_url: str, tmp_path: Path) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def made(**arguments: Any) -> World:
        hub = Hub(postgres_url, **arguments)
        world = World(postgres_url, tmp_path, hub)
        if not worlds:
            world.run(DDL)
        worlds.append(world)
        hub.init()
        return world

    yield made
    for world in worlds:
        for one in world.opened:
            one.close()
        world.hub.close()


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    return make()


def assert_equal(*devices: Replica) -> None:
    for device in devices:
        device.sync()
    for device in devices:
        found = device.verify()
        assert found.equal, found.differences


def test_values_are_in_the_forms_that_were_chosen(world: World) -> None:
    _, app = world.clone(DJANGO)
    row = app.execute("SELECT id, author, at, local, clock, price, sold FROM book WHERE pages = 1").fetchone()
    assert row == (
        "00000000000040008000000000000001",
        OLD.replace("-", ""),
        "2024-02-29 10:00:00.500000",
        "2024-06-08 10:00:00",
        "12:34:56.500000",
        1.25,
        0,
    )
    assert app.execute("SELECT count(*) FROM book WHERE price > '9.00'").fetchone() == (23,)
    _, app = world.clone(ODD)
    row = app.execute("SELECT id, at, local, clock, price, sold FROM book WHERE pages = 2").fetchone()
    assert row == (
        bytes.fromhex("00000000000040008000000000000002"),
        1709200801,
        1726480800,
        "12:34:56.5",
        2.5,
        "true",
    )
    assert app.execute("SELECT at, local FROM book WHERE pages IS NULL ORDER BY id").fetchall() == [
        ("infinity", "0044-03-15 00:00:00 BC"),
        ("9999-12-31T23:59:59.999999Z", None),
    ]


@pytest.mark.parametrize("forms", [PLAIN, DJANGO, ODD, ALCHEMY], ids=["plain", "django", "odd", "alchemy"])
def test_edits_of_a_file_in_any_forms_meet_those_of_others(world: World, forms: dict[str, str]) -> None:
    device, app = world.clone(forms)
    other, plain = world.clone(None)
    author = app.execute("SELECT author FROM book WHERE pages = 1").fetchone()[0]
    app.execute("INSERT INTO author VALUES (?, 'new')", (NEW.upper(),))
    app.execute(
        "INSERT INTO book (id, author, at, price, sold) VALUES (?, ?, '2025-01-01 00:00+01:00', 3, 'yes')",
        (NEW, author),
    )
    app.execute("UPDATE book SET price = price + 1, at = local WHERE pages BETWEEN 5 AND 9")
    app.execute("DELETE FROM book WHERE pages = 10")
    app.execute("UPDATE event SET note = 'mine' WHERE note IN ('n1', 'n2')")
    app.execute("UPDATE event SET price = price + 5 WHERE note = 'n3'")
    app.execute("DELETE FROM event WHERE note = 'n4'")
    plain.execute("UPDATE book SET pages = 100, price = '99.00' WHERE pages = 5")
    plain.execute("UPDATE event SET note = 'theirs' WHERE note = 'n2'")
    plain.execute("DELETE FROM book WHERE pages = 11")
    other.sync()
    report = device.sync()
    assert report.push.rejected == ()
    assert_equal(device, other)
    assert world.run("SELECT at, price, sold FROM book WHERE author IS NOT NULL AND pages IS NULL")[0][
        1:
    ] == (3, True)
    assert world.run("SELECT count(*) FROM event WHERE note IN ('mine', 'theirs')") == [(2,)]
    mine = "SELECT id = (SELECT id FROM author WHERE name = 'new') FROM book WHERE CAST(price AS REAL) = 3"
    assert app.execute(mine).fetchall() == [(1,)]
    assert device.conflicts(), "both have edited one price"
    assert app.execute("SELECT count(*) FROM book").fetchone() == world.run("SELECT count(*) FROM book")[0]


@pytest.mark.parametrize("forms", [DJANGO, ODD, ALCHEMY], ids=["django", "odd", "alchemy"])
def test_what_is_rejected_is_kept_in_the_forms_of_the_file(world: World, forms: dict[str, str]) -> None:
    device, app = world.clone(forms)
    key = app.execute("SELECT id FROM author").fetchone()[0]
    app.execute("DROP INDEX author_name_unique")
    other = bytes.fromhex("ab" * 16) if isinstance(key, bytes) else "ab" * 16
    app.execute("INSERT INTO author VALUES (?, 'old')", (other,))
    app.execute("INSERT INTO book (id, author, price) VALUES (?, ?, 1.5)", (other, other))
    found = {edit.table: edit for edit in device.sync().push.rejected}
    assert found["author"].key == found["book"].key == (other,)
    assert found["book"].parent == ("author", (other,))
    assert found["book"].values["author"] == other
    assert_equal(device)
    world.run("UPDATE author SET name = 'former'")
    device.sync()
    device.retry(found["author"].id)
    device.retry(found["book"].id)
    assert device.sync().push.rejected == ()
    assert_equal(device)


def test_a_row_deleted_here_and_changed_there_and_the_other_way_round(world: World) -> None:
    device, app = world.clone(ODD)
    other, plain = world.clone(DJANGO)
    app.execute("DELETE FROM book WHERE pages IN (1, 2)")
    plain.execute("UPDATE book SET price = 77 WHERE pages IN (1, 2)")
    other.sync()
    app.execute("UPDATE book SET price = 78, at = 5 WHERE pages IN (3, 4)")
    plain.execute("DELETE FROM book WHERE pages IN (3, 4)")
    plain.execute("DELETE FROM author")
    app.execute("INSERT INTO book (id, author) SELECT randomblob(16), id FROM author")
    other.sync()
    device.pull()
    assert_equal(device, other)
    assert_equal(device, other)


def change_unseen(app: sqlite3.Connection) -> None:
    app.execute("UPDATE book SET price = 1000.5 WHERE pages = 7")
    app.execute("DELETE FROM event WHERE note = 'n40'")
    app.execute("INSERT INTO event SELECT at, 9, sold, 'odd' FROM event WHERE note = 'n41'")


@pytest.mark.parametrize("forms", [DJANGO, ODD], ids=["django", "odd"])
def test_verify_finds_and_mends_what_is_not_the_centres(world: World, forms: dict[str, str]) -> None:
    device, app = world.clone(forms)
    app.execute("UPDATE _sync_state SET suppressed = 1")
    change_unseen(app)
    app.execute("UPDATE _sync_state SET suppressed = 0")
    found = device.verify()
    assert sorted((one.table, one.kind) for one in found.differences) == [
        ("book", "differs"),
        ("event", "missing_here"),
        ("event", "not_in_centre"),
    ]
    repaired = device.verify(repair=True)
    assert (repaired.repaired, repaired.left) == (3, ())
    assert device.verify().equal


@pytest.mark.parametrize("forms", [DJANGO, ODD], ids=["django", "odd"])
def test_what_was_not_captured_is_found_in_the_forms_of_the_file(world: World, forms: dict[str, str]) -> None:
    device, app = world.clone(forms)
    device.close()
    triggers = app.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        app.execute(f"DROP TRIGGER {name}")
    change_unseen(app)
    device, app = world.open(syncline.connect(device.file, hub=world.hub))
    report = device.sync()
    assert (report.push.sent, report.push.rejected, device.conflicts()) == (3, (), [])
    assert world.run("SELECT price::text FROM book WHERE pages = 7") == [("1000.50",)]
    assert world.run("SELECT note FROM event WHERE note IN ('n40', 'odd')") == [("odd",)]
    assert_equal(device)


def test_the_hub_asks_for_forms_by_table_and_a_device_counts_for_more(make: Callable[..., World]) -> None:
    world = make(
        tables={"author": Table(), "book": Table(forms={"timestamps": "unix"}), "event": Table()},
        forms="django",
    )
    _, app = world.clone(None)
    assert app.execute("SELECT id, at, local FROM book WHERE pages = 1").fetchone() == (
        "00000000000040008000000000000001",
        1709200800.5,
        1717840800,
    )
    assert app.execute("SELECT at FROM event WHERE note = 'n1'").fetchone() == ("2024-01-02 00:00:00",)
    device, app = world.clone({"uuids": "blob"})
    assert app.execute("SELECT id, typeof(id), at FROM book WHERE pages = 1").fetchone()[1:] == (
        "blob",
        1709200800.5,
    )
    assert_equal(device)


def test_what_the_hub_asks_for_later_changes_no_file_that_is_there(make: Callable[..., World]) -> None:
    first = make()
    device, app = first.clone(DJANGO)
    first.hub.close()
    world = make(forms={"uuids": "blob", "timestamps": "unix"})
    later = syncline.connect(device.file, hub=world.hub)
    app.execute("UPDATE book SET pages = 50 WHERE pages = 1")
    later.sync()
    assert app.execute("SELECT id, at FROM book WHERE pages = 50").fetchone() == (
        "00000000000040008000000000000001",
        "2024-02-29 10:00:00.500000",
    )
    world.run(
        "ALTER TABLE event ADD seen timestamptz DEFAULT '2024-02-29 10:00:00Z'",
        "CREATE TABLE late (id uuid PRIMARY KEY)",
        f"INSERT INTO late VALUES ('{OLD}')",
    )
    world.hub.init()
    later.sync()
    assert app.execute("SELECT DISTINCT seen FROM event").fetchall() == [("2024-02-29 10:00:00",)]
    assert app.execute("SELECT id FROM late").fetchall() == [(OLD.replace("-", ""),)]
    app.execute("UPDATE event SET seen = '2025-01-01 00:00:00.5' WHERE note = 'n1'")
    assert_equal(later)
    later.upgrade()
    assert_equal(later)
    later.close()


def test_a_file_whose_place_is_lost_is_filled_again_in_its_forms(world: World) -> None:
    device, app = world.clone(ODD)
    app.execute("UPDATE book SET pages = 60, at = 1700000000.25 WHERE pages = 1")
    world.run("UPDATE book SET price = 5.5 WHERE pages = 2", "DELETE FROM book WHERE pages = 3")
    with closing(sqlite3.connect(device.file)) as file, file:
        file.execute("UPDATE _sync_state SET recovery = ?", ('{"reason": "pruned", "step": "fill"}',))
    report = device.sync()
    assert report.recovered is not None
    assert app.execute("SELECT typeof(id), typeof(at) FROM book WHERE pages = 60").fetchone() == (
        "blob",
        "real",
    )
    assert world.run("SELECT count(*) FROM book WHERE at = to_timestamp(1700000000.25)") == [(1,)]
    assert_equal(device)


def test_tables_of_the_applications_own_take_part_in_their_forms(world: World) -> None:
    file = world.folder / "own.db"
    with closing(sqlite3.connect(file)) as own:
        own.executescript(
            "CREATE TABLE author (id CHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(80) UNIQUE);"
            "CREATE TABLE book (id CHAR(32) NOT NULL PRIMARY KEY, author CHAR(32) REFERENCES author (id),"
            " at DATETIME, local DATETIME, clock TIME, price DECIMAL(10, 2), exact DECIMAL(30, 10),"
            " sold BOOL NOT NULL DEFAULT 0, pages INTEGER);"
        )
        own.execute("INSERT INTO author VALUES (?, 'old')", (OLD.replace("-", ""),))
        own.execute("INSERT INTO author VALUES (?, 'new')", (NEW,))  # in the wrong form
        own.execute(
            "INSERT INTO book (id, author, at, price, sold, pages)"
            " VALUES (?, ?, '2024-02-29 10:00:00.500000', 2.00,"
            " 0, 5)",
            (NEW.replace("-", ""), NEW),
        )
        own.execute(
            "INSERT INTO book SELECT '00000000000040008000000000000001', ?, '2024-02-29 10:00:00.500000',"
            " '2024-06-08 10:00:00', '12:34:56.500000', 1.25, 12345678901234567891.0123456789, 0, 1",
            (OLD.replace("-", ""),),
        )
        own.commit()
    with syncline.connect(file, hub=world.hub) as replica:
        replica.track("author", "book", forms="django")
        assert replica.conflicts() == []
        assert replica.status().pending == {"author": 1, "book": 1}
    replica, app = world.open(syncline.connect(file, hub=world.hub))
    assert app.execute("SELECT id FROM author WHERE name = 'new'").fetchone() == (NEW.replace("-", ""),)
    report = replica.sync()
    assert (report.push.sent, report.push.rejected) == (2, ())
    assert_equal(replica)
    assert world.run(f"SELECT price, at FROM book WHERE author = '{NEW}'")[0][0] == 2
    assert app.execute("SELECT count(*) FROM book").fetchone() == (33,)


def test_rounded_digits_are_warned_of_and_equal_as_far_as_the_file_can_hold_them(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    device, app = world.clone({"decimals": "real"})
    assert "book.exact hold decimals as real" in caplog.text
    warned = [one for one in examine(device.file) if one.code == "forms_lossy"]
    assert [one.level for one in warned] == ["warning"]
    app.execute("UPDATE book SET pages = pages + 1000, exact = 0.1 WHERE pages = 1")
    app.execute("UPDATE book SET sold = 1 - sold WHERE pages = 2")
    assert_equal(device)
    kept = world.run("SELECT exact::text FROM book WHERE pages IN (2, 1001) ORDER BY pages")
    assert kept == [("12345678901234567892.0123456789",), ("0.1000000000",)]


def test_l12_what_is_warned_of_names_the_kind_of_value_that_loses_something(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run("CREATE TABLE shift (id int PRIMARY KEY, length interval)")
    world.hub.init()
    device, _ = world.clone("django")
    said = [one.getMessage() for one in caplog.records if getattr(one, "action", "") == "forms"]
    assert sorted(text.partition(":")[0] for text in said) == [
        "book.exact hold decimals as real",
        "shift.length hold intervals as microseconds",
    ]
    found = {one.sentence: one.remedy for one in examine(device.file) if one.code == "forms_lossy"}
    assert set(found) == set(said)
    (remedy,) = [text for sentence, text in found.items() if "shift" in sentence]
    assert "intervals=iso" in remedy and "decimals" not in remedy


def test_what_cannot_be_chosen_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        syncline.clone(world.hub, tmp_path / "x.db", forms={"uuids": "braces"})
    assert refused.value.code == "form_unknown"
    assert not (tmp_path / "x.db").exists()
    central = tmp_path / "central.db"
    with closing(sqlite3.connect(central)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with Hub(f"sqlite:///{central}") as hub:
        hub.init()
        with pytest.raises(UsageError) as untyped:
            syncline.clone(hub, tmp_path / "x.db", forms="django")
    assert untyped.value.code == "forms_untyped"
    with Hub(f"sqlite:///{central}", forms="django") as hub, pytest.raises(SynclineError) as asked:
        hub.init()
    assert asked.value.code == "forms_untyped"


@pytest.mark.parametrize(
    ("forms", "there", "new"),
    [
        ("django", [10_800_000_000, 90_000_000_000, "P1M"], 5_400_000_000),
        (
            "sqlalchemy",
            ["1970-01-01 03:00:00.000000", "1970-01-02 01:00:00.000000", "P1M"],
            "1970-01-01 01:30:00.000000",
        ),
        (None, ["PT3H", "P1DT1H", "P1M"], "1:30"),
    ],
)
def test_durations_are_what_the_orm_makes_of_them(
    world: World, forms: str | None, there: list[Any], new: Any
) -> None:
    world.run(
        "CREATE TABLE job (id int PRIMARY KEY, name text, took interval)",
        "INSERT INTO job VALUES (1, 'a', '3 hours'), (2, 'b', '25 hours'), (3, 'c', '1 month')",
        "UPDATE job SET took = '1 day 1 hour' WHERE id = 2",
    )
    world.hub.init()
    device, app = world.clone(forms)
    assert [took for (took,) in app.execute("SELECT took FROM job ORDER BY id")] == there
    app.execute("UPDATE job SET took = ? WHERE id = 1", (new,))
    app.execute("INSERT INTO job VALUES (4, 'd', ?)", (new,))
    app.execute("UPDATE job SET name = 'edited' WHERE id IN (2, 3)")
    assert device.sync().push.rejected == ()
    assert world.run("SELECT id, took::text FROM job ORDER BY id") == [
        (1, "01:30:00"),
        (2, "1 day 01:00:00"),
        (3, "1 mon"),
        (4, "01:30:00"),
    ]
    assert device.verify().equal and not device.conflicts()


GOODS = """
CREATE TABLE goods (sku text PRIMARY KEY, price numeric(10,2) NOT NULL, stock int NOT NULL DEFAULT 0);
INSERT INTO goods VALUES ('P1', 1.5, 3), ('P2', 2.25, 4)
"""
BOTH, OTHERS = {"author": Table(), "goods": Table()}, {"author": Table()}


def with_goods(make: Callable[..., World]) -> World:
    world = make(tables=OTHERS)
    world.hub.close()
    world.run(GOODS)
    world.hub = Hub(world.url, BOTH)
    world.hub.init()
    return world


@pytest.mark.parametrize("how", ["set apart", "taken out"])
@pytest.mark.parametrize("made", ["cloned", "tracked"])
def test_a_table_that_comes_back_is_taken_back_in_the_forms_that_it_had(
    make: Callable[..., World], how: str, made: str
) -> None:
    world = with_goods(make)
    if made == "cloned":
        device, app = world.clone("django")
    else:
        app = sqlite3.connect(world.folder / "own.db", isolation_level=None)
        app.execute("CREATE TABLE goods (sku TEXT PRIMARY KEY, price DECIMAL(10,2) NOT NULL, stock INTEGER)")
        device = syncline.connect(world.folder / "own.db", hub=world.hub)
        device.track("goods", forms="sqlalchemy")
        device.sync()
        world.opened += [device, app]
    assert [one for one in examine(device.file) if one.code in ("upgrade_waits", "table_not_made")] == []
    if how == "set apart":
        world.run("ALTER TABLE goods ALTER COLUMN stock TYPE smallint")
        world.hub._follower.look_now()
    else:
        with Hub(world.url, OTHERS) as hub:
            hub.init()
        world.hub._follower.look_now()
    device.sync()
    assert device.status().tables == (("author",) if made == "cloned" else ())
    app.execute("UPDATE goods SET price = 7.25 WHERE sku = 'P2'")
    if how == "set apart":
        world.hub.init(yes=True)
    else:
        with Hub(world.url, BOTH, forms={"decimals": "text"}) as hub:
            hub.init()
        world.hub._follower.look_now()
    device.sync()
    assert "goods" in device.status().tables and device.status().left_out == ()
    app.execute("UPDATE goods SET price = 9.75, stock = 77 WHERE sku = 'P1'")
    device.sync()
    assert world.run("SELECT price::text, stock FROM goods WHERE sku = 'P1'") == [("9.75", 77)]
    assert app.execute("SELECT sku, price, typeof(price) FROM goods ORDER BY 1").fetchall() == [
        ("P1", 9.75, "real"),
        ("P2", 2.25, "real"),
    ]
    assert [note.sent for note in device.conflicts()] == [[7.25, 4]]
    assert [one.code for one in examine(device.file) if one.level == "trouble"] == []
    assert_equal(device)


def test_a_table_that_was_altered_while_it_took_no_part_is_told_what_does_not_fit_its_form(
    make: Callable[..., World],
) -> None:
    world = with_goods(make)
    device, app = world.clone("django")
    with Hub(world.url, OTHERS) as hub:
        hub.init()
    world.hub._follower.look_now()
    device.sync()
    app.execute("ALTER TABLE goods RENAME COLUMN stock TO held")
    with Hub(world.url, BOTH) as hub:
        hub.init()
    world.hub._follower.look_now()
    device.sync()
    (found,) = [one for one in examine(device.file) if one.code == "table_not_made"]
    assert "lacks the hub's columns stock" in found.sentence and "price" not in found.sentence
    app.execute("ALTER TABLE goods RENAME COLUMN held TO stock")
    device.sync()
    assert device.status().left_out == () and device.verify().equal


SCALARS = ["5", "-7.25", "1000", "100000000000000000000", "5.0", "0.1234567890123456789", "true", "null"]
DOCUMENTS = [*SCALARS, '"5"', '{"a": 5.0}', "[1, 2.50]"]


@pytest.mark.parametrize("when", ["tracked", "made anew", "cloned"])
@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_l8_json_in_a_column_that_makes_numbers_of_bare_numbers_is_what_it_means(
    postgres_url: str, tmp_path: Path, kind: str, when: str
) -> None:
    """SQLAlchemy declares JSON, whose affinity in SQLite is NUMERIC."""
    path = tmp_path / "a.db"
    with psycopg.connect(postgres_url, autocommit=True) as centre, Hub(postgres_url) as hub:
        centre.execute(f"CREATE TABLE doc (id int PRIMARY KEY, n text, j {kind})".encode())
        centre.cursor().executemany("INSERT INTO doc VALUES (%s, '', %s)", enumerate(DOCUMENTS))
        hub.init()
        made = "CREATE TABLE {} (id INTEGER NOT NULL PRIMARY KEY, n TEXT, j JSON)"
        if when == "tracked":
            with closing(sqlite3.connect(path)) as app:
                app.execute(made.format("doc"))
            replica = syncline.connect(path, hub=hub)
            replica.track("doc", forms="sqlalchemy")
        else:
            replica = syncline.clone(hub, path)
        with replica, closing(sqlite3.connect(path, isolation_level=None)) as app:
            if when == "made anew":
                app.executescript(
                    f"{made.format('fresh')}; INSERT INTO fresh SELECT * FROM doc; DROP TABLE doc;"
                    " ALTER TABLE fresh RENAME TO doc"
                )
            replica.sync()
            assert not replica.status().pending and replica.verify().equal
            before = centre.execute("SELECT id, j::text FROM doc ORDER BY id").fetchall()
            app.execute("UPDATE doc SET n = 'mine'")
            app.execute("UPDATE doc SET j = '8' WHERE id = 9")
            app.execute("UPDATE doc SET j = '2.5' WHERE id = 10")
            app.execute("INSERT INTO doc VALUES (90, 'new', '6'), (91, 'new', '[6]')")
            centre.execute("UPDATE doc SET j = '77' WHERE id = 0")
            report = replica.sync()
            assert report.push is not None and report.push.rejected == () and report.pending == 0
            after = centre.execute("SELECT id, j::text FROM doc ORDER BY id").fetchall()
            changed = {0: "77", 9: "8", 10: "2.5"}
            assert after == [(n, changed.get(n, j)) for n, j in before] + [(90, "6"), (91, "[6]")]
            assert app.execute("SELECT j FROM doc WHERE id IN (0, 90)").fetchall() == (
                [("77",), ("6",)] if when == "cloned" else [(77,), (6,)]
            )
            assert not replica.conflicts() and replica.verify().equal
            replica.sync()
            assert not replica.status().pending
