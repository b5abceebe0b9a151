"""`Replica.verify` over both kinds of centre: every way to differ is found and repaired, nothing else is.

Laws: L5 (compared as of one instant), L6 (pending edits stay on top), L1 (the application goes on writing).
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline import Difference, Hub, Table
from syncline.errors import StoreBusy
from syncline.protocol.flows import run
from syncline.protocol.messages import Request, Response, Verify
from syncline.replica import sync as verbs
from syncline.replica import verify as verifying
from syncline.replica.device import Device
from syncline.replica.progress import silent
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport
from tests.support.damage import Statement, damage_device, damage_postgres, damage_sqlite

ROWS = 3000
COMMON = (
    "CREATE TABLE maker (id text NOT NULL PRIMARY KEY, name text, country text UNIQUE)",
    "CREATE TABLE item (id integer PRIMARY KEY, maker text REFERENCES maker (id), title text, qty integer,"
    " price double precision, raw {blob})",
    "CREATE TABLE part (item integer NOT NULL REFERENCES item (id) ON DELETE CASCADE, n integer NOT NULL,"
    " kind text NOT NULL, note text, PRIMARY KEY (kind, item, n))",
    "INSERT INTO maker VALUES ('a', 'Ada', 'x'), ('B', 'Bob', 'y'), ('é', 'Éva', NULL)",
)


class World:
    """A centre with a hub, and one replica file."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.file = folder, url, folder / "device.db"
        self.is_sqlite = url.startswith("sqlite")
        self.run(*(statement.format(blob="blob" if self.is_sqlite else "bytea") for statement in COMMON))
        self.run(*(f"INSERT INTO item VALUES {', '.join(map(self.item, chunk))}" for chunk in _chunks()))
        self.run(*(f"INSERT INTO part VALUES ({i % 9 + 1}, {i}, 'k{i % 3}', NULL)" for i in range(50)))
        self.hub = Hub(url)
        self.hub.init()
        syncline.clone(self.hub, self.file).close()

    def item(self, number: int) -> str:
        raw = f"x'{number:04x}'" if self.is_sqlite else f"'\\x{number:04x}'"
        return f"({number}, 'a', 'item {number}', {number % 7}, {number * 0.5}, {raw})"

    def run(self, *statements: str) -> None:
        """Another program writes to the centre."""
        if self.is_sqlite:
            with closing(sqlite3.connect(self._central, isolation_level=None, timeout=20)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("BEGIN IMMEDIATE")
                for statement in statements:
                    connection.execute(statement)
                connection.execute("COMMIT")
        else:
            with psycopg.connect(self.url) as session:
                for statement in statements:
                    session.execute(statement.encode())

    def damage(self, *statements: str) -> None:
        """The centre changes and its log does not say so."""
        if self.is_sqlite:
            damage_sqlite(self._central, *statements)
        else:
            damage_postgres(self.url, *statements)

    @property
    def _central(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))

    def device(self, *statements: Statement) -> None:
        damage_device(self.file, *statements)

    def edit(self, *statements: str) -> None:
        """The application writes to the device."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            for statement in statements:
                connection.execute(statement)

    def show(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(sql).fetchall()

    def open(self, between: Callable[[str], None] | None = None) -> Replica:
        """The replica; `between` runs before each question is answered and after, with its name."""
        transport = LocalTransport(self.hub) if between is None else _Interrupted(self.hub, between)
        return Replica(Store.open(self.file), lambda: transport)

    def sync_unlocked(self) -> None:
        """A sync of another program that does not know the lock: no right answer rests on it."""
        with closing(Store.open(self.file)) as store:
            run(verbs.sync(Device.load(store), silent), LocalTransport(self.hub))

    def verify(self, repair: bool = False) -> syncline.VerifyReport:
        with self.open() as replica:
            return replica.verify(repair)


class _Interrupted(LocalTransport):
    def __init__(self, hub: Hub, between: Callable[[str], None]) -> None:
        super().__init__(hub)
        self._between = between

    def send(self, request: Request) -> Response:
        if isinstance(request, Verify):
            self._between("before")
        answer = super().send(request)
        if isinstance(request, Verify):
            self._between("after")
        return answer


def _chunks() -> list[range]:
    return [range(start, min(start + 500, ROWS + 1)) for start in range(1, ROWS + 1, 500)]


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "sqlite":
        (tmp_path / "centre.db").touch()
        url = f"sqlite:///{tmp_path}/centre.db"
    else:
        url = request.getfixturevalue("postgres_url")
    made = World(tmp_path, url)
    yield made
    made.hub.close()


def test_a_fresh_clone_is_equal_in_one_request(world: World) -> None:
    report = world.verify()
    assert (report.equal, report.complete, report.requests, report.differences) == (True, True, 1, ())
    assert [(t.name, t.rows, t.centre_rows, t.equal) for t in report.tables] == [
        ("maker", 3, 3, True), ("item", ROWS, ROWS, True), ("part", 50, 50, True),
    ]  # fmt: skip


DAMAGES: list[tuple[Statement, Difference]] = [
    ("UPDATE item SET title = 'bad' WHERE id = 1500",
     Difference("item", (1500,), "differs", {"title": "bad"}, {"title": "item 1500"})),
    ("UPDATE item SET qty = NULL WHERE id = 1",
     Difference("item", (1,), "differs", {"qty": None}, {"qty": 1})),
    ("DELETE FROM maker WHERE id = 'B'",
     Difference("maker", ("B",), "missing_here", {}, {"id": "B", "name": "Bob", "country": "y"})),
    ("INSERT INTO maker VALUES ('C', 'Cleo', NULL)",
     Difference("maker", ("C",), "not_in_centre", {"id": "C", "name": "Cleo", "country": None}, {})),
    ("INSERT INTO item (id) VALUES (-7)",
     Difference("item", (-7,), "not_in_centre",
                {"id": -7, "maker": None, "title": None, "qty": None, "price": None, "raw": None}, {})),
    ("UPDATE item SET raw = CAST(raw AS TEXT) WHERE id = 65",
     Difference("item", (65,), "differs", {"raw": "\0A"}, {"raw": b"\0A"})),
    ("UPDATE item SET title = CAST(title AS BLOB) WHERE id = 3000",
     Difference("item", (3000,), "differs", {"title": b"item 3000"}, {"title": "item 3000"})),
    ("UPDATE item SET title = CAST(x'61ff' AS TEXT) WHERE id = 9",
     Difference("item", (9,), "differs", {"title": b"a\xff"}, {"title": "item 9"})),
    ("INSERT INTO maker VALUES (CAST(x'ff' AS TEXT), 'No text', NULL)",
     Difference("maker", (b"\xff",), "not_in_centre",
                {"id": b"\xff", "name": "No text", "country": None}, {})),
    ("UPDATE part SET note = 'lost' WHERE kind = 'k1' AND n = 10",
     Difference("part", ("k1", 2, 10), "differs", {"note": "lost"}, {"note": None})),
    ("UPDATE part SET n = 77 WHERE kind = 'k0' AND n = 0",
     Difference("part", ("k0", 1, 0), "missing_here", {}, {"kind": "k0", "item": 1, "n": 0, "note": None})),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_one_damaged_row_is_found_and_repaired(world: World, number: int) -> None:
    statement, expected = DAMAGES[number]
    world.device(statement)
    found = world.verify()
    assert not found.equal
    assert expected in found.differences
    assert len(found.differences) == (2 if "SET n = 77" in statement else 1)
    assert found.requests <= 4
    repaired = world.verify(repair=True)
    assert (repaired.equal, repaired.differences, repaired.left) == (True, found.differences, ())
    assert repaired.repaired == len(found.differences)
    assert world.verify().equal
    with world.open() as replica:
        assert replica.status().pending == {}


def test_many_damages_are_repaired_at_once_and_foreign_keys_hold(world: World) -> None:
    with closing(sqlite3.connect(world.file)) as connection:
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (0,)
    world.device(
        "DELETE FROM part WHERE item = 3", "DELETE FROM item WHERE id = 3",
        "DELETE FROM maker WHERE id = 'a'",
        "INSERT INTO maker VALUES ('D', NULL, 'z')", "INSERT INTO item (id, maker) VALUES (9001, 'D')",
        "INSERT INTO part VALUES (9001, 1, 'k9', NULL)",
        "UPDATE maker SET country = 'w' WHERE id = 'B'", "INSERT INTO maker VALUES ('E', NULL, 'y')",
    )  # fmt: skip
    report = world.verify(repair=True)
    assert report.equal
    assert report.left == ()
    kinds = sorted(difference.kind for difference in report.differences)
    assert (kinds.count("not_in_centre"), kinds.count("differs")) == (4, 1)
    assert world.show("SELECT count(*) FROM part WHERE item = 3") == [(6,)]
    assert world.show("PRAGMA foreign_key_check") == []


def test_what_the_centre_did_behind_its_own_log_is_found_and_fetched(world: World) -> None:
    world.damage(
        "UPDATE item SET qty = 99 WHERE id = 10",
        "DELETE FROM item WHERE id = 2999",
        "INSERT INTO item (id, title) VALUES (123456, 'silent')",
    )
    with world.open() as replica:
        assert replica.sync().pull.written == 0
    report = world.verify(repair=True)
    assert [(d.key, d.kind) for d in report.differences] == [
        ((10,), "differs"), ((2999,), "not_in_centre"), ((123456,), "missing_here"),
    ]  # fmt: skip
    assert report.equal
    assert world.show("SELECT qty FROM item WHERE id = 10") == [(99,)]
    assert world.show("SELECT id FROM item WHERE id > 2998 ORDER BY 1") == [(3000,), (123456,)]


def test_l6_pending_edits_are_sent_first_and_set_aside_when_made_meanwhile(world: World) -> None:
    world.edit("UPDATE item SET title = 'mine' WHERE id = 5", "DELETE FROM part WHERE n = 4")

    def edit(when: str) -> None:
        world.edit(
            f"UPDATE item SET qty = qty + 1, title = '{when}' WHERE id IN (6, 1501)",
            "INSERT INTO maker (id) SELECT count(*) || 'new' FROM maker",
            "DELETE FROM part WHERE rowid = (SELECT max(rowid) FROM part)",
        )

    world.device("UPDATE item SET price = -1 WHERE id = 1502")
    with world.open(edit) as replica:
        report = replica.verify()
        assert [d.key for d in report.differences] == [(1502,)]
        assert report.pending > 0
        fixed = replica.verify(repair=True)
        assert [d.key for d in fixed.differences] == [(1502,)]
    with world.open() as replica:
        assert replica.status().pending
    assert world.show("SELECT title FROM item WHERE id = 6") == [("after",)]
    assert world.verify().equal


@pytest.mark.parametrize("seed", range(6))
def test_l5_writers_on_both_sides_give_no_false_alarm(world: World, seed: int) -> None:
    dice = random.Random(seed)
    world.device("UPDATE item SET title = 'bad' WHERE id IN (700, 2100)")

    def write(when: str) -> None:
        number = dice.randrange(1, ROWS)
        others = "id NOT IN (700, 2100)"
        choices = [
            f"UPDATE item SET qty = {dice.randrange(100)} WHERE id > {number} AND {others}",
            f"DELETE FROM item WHERE id = {number} AND {others}",
            f"INSERT INTO item (id, title) VALUES ({dice.randrange(10**4, 10**9)}, 'new')",
            f"UPDATE part SET note = '{number}'",
        ]
        if dice.random() < 0.7:
            centre = f"UPDATE item SET price = {dice.random()} WHERE id IN (700, 2100, {number})"
            world.run(*dice.sample([*choices, centre], 3))
        else:
            world.edit(*dice.sample(choices, 2))

    with world.open(write) as replica:
        report = replica.verify()
        assert [d.key for d in report.differences] == [(700,), (2100,)], report.differences
        assert all(d.here["title"] == "bad" for d in report.differences)
        assert replica.verify(repair=True).left == ()
    assert world.verify().equal


def test_another_program_that_syncs_the_file_meanwhile_gives_no_false_alarm(world: World) -> None:
    world.device("UPDATE item SET title = 'bad' WHERE id = 700")
    rounds = 0

    def interfere(when: str) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            world.run("UPDATE item SET qty = 2 WHERE id BETWEEN 690 AND 710")
            world.edit("UPDATE item SET price = 2 WHERE id = 2")
            world.sync_unlocked()

    with world.open(interfere) as replica:
        with pytest.raises(StoreBusy, match="another process synced"):
            replica.verify(repair=True)
        assert replica.verify().differences[0].key == (700,)
        report = replica.verify(repair=True)
    assert [d.key for d in report.differences] == [(700,)]
    assert report.equal
    assert world.verify().equal


def test_a_row_that_an_edit_hides_is_set_aside_and_one_that_waits_behind_it_is_told(world: World) -> None:
    def edit(when: str) -> None:
        if when == "before":
            world.edit("UPDATE maker SET country = 'taken' WHERE id = 'é'")
            world.edit("UPDATE item SET title = 'kept' WHERE id = 40")
            world.run("UPDATE maker SET country = 'taken' WHERE id = 'B'")
            world.run("DELETE FROM item WHERE id = 40")

    with world.open(edit) as replica:
        report = replica.verify()
        assert [(found.kind, found.key) for found in report.differences] == [("differs", ("B",))]
        assert replica.status().hidden


def test_l11_a_file_full_of_differences_ends_the_search(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "MOST", 100)
    world.device("UPDATE item SET qty = -1")
    report = world.verify()
    assert not report.equal
    assert not report.complete
    assert 100 < len(report.differences) < ROWS


def test_a_table_that_is_too_large_for_one_answer_is_compared_in_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncline.hub import verify as answering

    monkeypatch.setattr(answering, "ANSWER_ROWS", 1200)
    monkeypatch.setattr(answering.Budget.__init__, "__defaults__", (1200, 1 << 30))
    assert world.verify().equal
    assert [(t.rows, t.centre_rows) for t in world.verify().tables] == [(3, 3), (ROWS, ROWS), (50, 50)]
    world.device("UPDATE item SET qty = -1 WHERE id IN (5, 2500)")
    report = world.verify(repair=True)
    assert [d.key for d in report.differences] == [(5,), (2500,)]
    assert report.equal


def test_every_row_of_a_table_can_be_wrong(world: World) -> None:
    world.device("UPDATE item SET qty = -1", "DELETE FROM part")
    report = world.verify(repair=True)
    assert len(report.differences) == ROWS + 50
    assert report.equal
    assert report.requests <= 12


def test_a_centre_that_went_back_in_time_is_synced_with_before_it_is_compared(tmp_path: Path) -> None:
    central, backup, file = (tmp_path / name for name in ("centre.db", "backup.db", "device.db"))
    (tmp_path / "centre.db").touch()
    world = World(tmp_path, f"sqlite:///{central}")
    with closing(sqlite3.connect(central)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    world.run("UPDATE item SET qty = -5 WHERE id < 100")
    with world.open() as replica:
        assert replica.sync().pull.written == 99
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(central)) as target:
        source.backup(target)
    report = world.verify()
    assert (report.equal, report.differences) == (True, ())
    assert world.show("SELECT count(*) FROM item WHERE qty < 0") == [(0,)]
    assert world.file == file
    world.hub.close()


LOOSE = """
CREATE TABLE loose (k PRIMARY KEY NOT NULL, v) WITHOUT ROWID;
CREATE TABLE word (w TEXT PRIMARY KEY COLLATE NOCASE, n REAL);
CREATE TABLE bare (a TEXT, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE child (id INTEGER PRIMARY KEY, k REFERENCES loose (k), w TEXT REFERENCES word (w));
INSERT INTO loose VALUES (1, 1), (2.5, -0.0), ('1', 'x'), (x'31', x'00'), (-9e999, 9e999);
INSERT INTO word VALUES ('Ada', 0.0), ('bob', 1), ('Cy', 2), (NULL, 7);
INSERT INTO bare VALUES ('x', 1), ('y', 2), ('X', 1);
INSERT INTO child VALUES (1, 1, 'ada'), (2, '1', 'BOB'), (3, 2.5, NULL);
"""


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE loose SET k = 1.0 WHERE k = 1", [("loose", (1,), "differs", {"k": 1.0}, {"k": 1})]),
        ("UPDATE loose SET v = 1.0 WHERE k = 1", [("loose", (1,), "differs", {"v": 1.0}, {"v": 1})]),
        ("UPDATE loose SET v = 0.0 WHERE k = 2.5", [("loose", (2.5,), "differs", {"v": 0.0}, {"v": -0.0})]),
        ("UPDATE loose SET v = -v WHERE k < 0",
         [("loose", (-math.inf,), "differs", {"v": -math.inf}, {"v": math.inf})]),
        ("UPDATE loose SET k = x'3131' WHERE k = x'31'",
         [("loose", (b"1",), "missing_here", {}, {"k": b"1", "v": b"\0"}),
          ("loose", (b"11",), "not_in_centre", {"k": b"11", "v": b"\0"}, {})]),
        ("UPDATE word SET w = 'ADA' WHERE w = 'ada'",
         [("word", ("ADA",), "not_in_centre", {"w": "ADA", "n": 0.0}, {}),
          ("word", ("Ada",), "missing_here", {}, {"w": "Ada", "n": 0.0})]),
        ("DELETE FROM word WHERE w = 'BOB'",
         [("word", ("bob",), "missing_here", {}, {"w": "bob", "n": 1.0})]),
        ("DELETE FROM bare WHERE a = 'x'", [("bare", ("x", 1), "missing_here", {}, {"a": "x", "b": 1})]),
        ("INSERT INTO word VALUES (NULL, 8)", []),
    ],
)  # fmt: skip
def test_keys_of_any_class_and_collation_are_told_apart_and_repaired(
    tmp_path: Path, damage: str, expected: list[tuple[Any, ...]]
) -> None:
    central, file = tmp_path / "centre.db", tmp_path / "device.db"
    with closing(sqlite3.connect(central)) as connection:
        connection.executescript(LOOSE)
    with Hub(f"sqlite:///{central}") as hub:
        hub.init()
        with syncline.clone(hub, file) as replica:
            assert replica.verify().equal
            damage_device(file, damage)
            found = replica.verify()
            assert repr(found.differences) == repr(tuple(Difference(*row) for row in expected))
            assert found.equal == (not expected)
            assert replica.verify(repair=True).equal
            assert replica.verify().equal
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("SELECT k, w FROM child ORDER BY id").fetchall() == [
            (1, "ada"), ("1", "BOB"), (2.5, None),
        ]  # fmt: skip


def test_l12_a_table_that_is_left_out_of_the_file_is_named_and_the_file_is_not_equal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/centre.db"

    def served(*names: str) -> Hub:
        hub = Hub(url, tables={name: Table() for name in names})
        hub.init()
        return hub

    with closing(sqlite3.connect(tmp_path / "centre.db", isolation_level=None)) as centre:
        centre.executescript(
            "CREATE TABLE visit (id TEXT PRIMARY KEY NOT NULL, note TEXT);"
            "CREATE TABLE drug (code TEXT PRIMARY KEY NOT NULL)"
        )
        with served("visit", "drug") as hub:
            syncline.clone(hub, tmp_path / "device.db").close()
        with served("drug") as hub, syncline.connect(tmp_path / "device.db", hub=hub) as replica:
            replica.sync()
            assert replica.verify().equal and replica.verify().left_out == ()  # it was taken out on purpose
        centre.execute("ALTER TABLE visit RENAME COLUMN note TO remark")
        with served("visit", "drug") as hub, syncline.connect(tmp_path / "device.db", hub=hub) as replica:
            replica.sync()
            centre.execute("INSERT INTO visit VALUES ('1', 'only in the centre')")
            for found in (replica.verify(), replica.verify(repair=True)):
                assert found.left_out == ("visit",) and not found.equal
                assert [table.name for table in found.tables] == ["drug"] and found.tables[0].equal
