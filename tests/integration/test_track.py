"""Tables of an existing file that are made to take part: what differs, what is refused, kills in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline.errors import SchemaError, StoreError, TransportError
from syncline.protocol.messages import Register
from syncline.replica import join, track
from syncline.replica.apply import Answer, Applied, Step, run_steps
from syncline.replica.device import Device

COLUMNS = "id INTEGER PRIMARY KEY, name TEXT, price TEXT"


class Killed(Exception):
    """In place of a kill."""


class World:
    """A centre with its hub, and a file of the application's with rows of its own."""

    def __init__(self, folder: Path) -> None:
        self.centre = sqlite3.connect(folder / "centre.db", isolation_level=None)
        self.centre.executescript(
            f"""CREATE TABLE item ({COLUMNS});
            INSERT INTO item VALUES (1, 'same', '1'), (2, 'hub', '2'), (3, 'new', '3')"""
        )
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db", tables={"item": syncline.Table()})
        self.hub.init()
        self.file = folder / "device.db"
        self.app = sqlite3.connect(self.file, isolation_level=None)

    def fill(self, columns: str = COLUMNS) -> None:
        self.app.executescript(
            f"""CREATE TABLE item ({columns});
            INSERT INTO item VALUES (1, 'same', '1'), (2, 'mine', '2'), (9, 'own', '9')"""
        )

    def open(self) -> Any:
        return syncline.connect(self.file, hub=self.hub)

    def close(self) -> None:
        self.app.close()
        self.hub.close()
        self.centre.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def one_row_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is written in a transaction a row."""
    monkeypatch.setattr(join, "CHUNK", 1)
    monkeypatch.setattr(track, "PAUSE", 0)


def killed_after(most: int) -> Callable[[Device, Answer, Sequence[Step]], Applied]:
    """`run_steps` of a process that is killed after so many transactions."""
    left = iter(range(most))

    def until(device: Device, answer: Answer, steps: Sequence[Step]) -> Applied:
        if next(left, None) is None:
            raise Killed
        return run_steps(device, answer, steps)

    return until


def test_a_first_track_of_a_table_that_does_not_fit_leaves_no_replica_at_the_hub(world: World) -> None:
    world.fill("id INTEGER PRIMARY KEY, name TEXT, cost TEXT")
    for _ in range(2):
        with world.open() as replica, pytest.raises(SchemaError, match="price"):
            replica.track("item")
        assert world.hub.replicas() == []
    world.app.execute("ALTER TABLE item RENAME COLUMN cost TO price")
    with world.open() as replica:
        replica.track("item")
        assert len(world.hub.replicas()) == 1
        replica.sync()
        assert replica.verify().equal


def test_l12_a_refusal_that_the_hub_is_not_told_of_is_said_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network goes away in between: the file is as before, and is listed until another track goes on."""
    world.fill()

    def refused(device: Device, tables: object) -> None:
        raise SchemaError("it does not fit")

    def handle(actor: Any, request: Any) -> Any:
        if isinstance(request, Register) and request.tentative and world.hub.replicas():
            raise TransportError("the network is away")
        return plain(actor, request)

    plain = world.hub.handle
    with monkeypatch.context() as patched:
        patched.setattr(world.hub, "handle", handle)
        patched.setattr(track, "respell_all", refused)
        with world.open() as replica, pytest.raises(SchemaError, match="it does not fit"):
            replica.track("item")
    assert len(world.hub.replicas()) == 1
    with world.open() as replica:
        replica.track("item")
        replica.sync()
        assert replica.verify().equal
    assert len(world.hub.replicas()) == 1


@pytest.mark.parametrize("killed", range(4))
def test_l2_a_track_that_is_killed_goes_on_and_keeps_what_was_edited_in_between(
    world: World, killed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    one_row_at_a_time(monkeypatch)
    with monkeypatch.context() as patch, world.open() as replica, pytest.raises(Killed):
        patch.setattr(track, "run_steps", killed_after(killed))
        replica.track("item")
    world.app.execute("INSERT INTO item VALUES (8, 'meanwhile', NULL)")
    world.app.execute("UPDATE item SET price = 'edited' WHERE id = 1")
    with world.open() as replica:
        with pytest.raises(StoreError, match="has not been filled"):
            replica.sync()
        replica.track("item")
        assert replica.conflicts() == []
        (kept,) = replica.rejected()
        assert (kept.code, kept.key, kept.values) == ("key_taken", (2,), {"name": "mine", "price": "2"})
        replica.sync()
        assert replica.verify().equal
    rows = world.centre.execute("SELECT * FROM item ORDER BY id").fetchall()
    assert rows == [
        (1, "same", "edited"),
        (2, "hub", "2"),
        (3, "new", "3"),
        (8, "meanwhile", None),
        (9, "own", "9"),
    ]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("id INTEGER PRIMARY KEY, name TEXT, price DECIMAL(10,2)", "price is TEXT at the hub and DECIMAL"),
        ("id TEXT PRIMARY KEY, name TEXT, price TEXT", "id is INTEGER at the hub and TEXT in this file"),
        ("id INTEGER, name TEXT, price TEXT", "the key is id at the hub and none in this file"),
    ],
)
def test_l8_a_type_that_would_change_values_is_refused_before_anything_is_changed(
    world: World, columns: str, said: str
) -> None:
    world.fill(columns)
    with world.open() as replica, pytest.raises(SchemaError, match=said):
        replica.track("item")
    assert world.app.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE '_sync%'").fetchone() == (0,)
    assert world.centre.execute("SELECT count(*) FROM item").fetchone() == (3,)


def test_a_unique_index_will_do_for_a_key(world: World) -> None:
    world.fill("id INTEGER, name TEXT, price TEXT")
    world.app.execute("CREATE UNIQUE INDEX item_key ON item (id)")
    with world.open() as replica:
        replica.track("item")
        world.app.execute("UPDATE item SET name = 'later' WHERE id = 3")
        world.app.execute("INSERT OR REPLACE INTO item VALUES (1, 'replaced', '1')")
        world.centre.execute("UPDATE item SET name = 'theirs' WHERE id = 2")
        replica.sync()
        assert replica.verify().equal
    rows = world.centre.execute("SELECT id, name FROM item ORDER BY id").fetchall()
    assert rows == [(1, "replaced"), (2, "theirs"), (3, "later"), (9, "own")]


FAMILY = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT);"
    " CREATE TABLE visit (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), what TEXT);"
    " CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, colour TEXT);"
)


@pytest.fixture
def families(tmp_path: Path) -> Iterator[tuple[syncline.Hub, sqlite3.Connection, sqlite3.Connection]]:
    """A centre and a file, of one application that has counted keys up in both."""
    centre = sqlite3.connect(tmp_path / "central.db", isolation_level=None)
    app = sqlite3.connect(tmp_path / "own.db", isolation_level=None)
    centre.executescript(
        f"{FAMILY} INSERT INTO p VALUES (1, 'Bert'), (2, 'both'); INSERT INTO tag VALUES ('x', 'red');"
        " INSERT INTO visit VALUES (1, 1, 'of Bert'), (2, 2, 'both')"
    )
    app.executescript(
        f"{FAMILY} INSERT INTO p VALUES (1, 'Anna'), (2, 'both'), (3, 'only here');"
        " INSERT INTO visit VALUES (1, 1, 'of Anna'), (2, 2, 'both'), (3, 1, 'again of Anna'), (4, 3, 'x');"
        " INSERT INTO tag VALUES ('x', 'blue')"
    )
    with syncline.Hub(f"sqlite:///{tmp_path}/central.db") as hub:
        hub.init()
        yield hub, centre, app
    centre.close()
    app.close()


@pytest.mark.parametrize("calls", [("p", "visit", "tag"), ("p visit tag",), ("visit p", "tag")])
def test_l2_a_row_under_another_s_integer_key_is_another_thing_and_comes_in_under_a_free_number(
    families: tuple[syncline.Hub, sqlite3.Connection, sqlite3.Connection],
    calls: Sequence[str],
    tmp_path: Path,
) -> None:
    """Its children are never given to the other's row, and go with it; text keys name one row."""
    hub, centre, app = families
    with syncline.connect(tmp_path / "own.db", hub=hub) as replica:
        for call in calls:
            replica.track(*call.split())
        assert [(note.table, note.key) for note in replica.conflicts()] == [("tag", ["x"])]
        kept = sorted((one.table, one.key[0], one.code) for one in replica.rejected())
        assert kept == [("p", 1, "key_taken"), ("visit", 1, "key_taken"), ("visit", 3, "parent_rejected")]
        report = replica.sync()
        assert report.push.rejected == () and replica.verify().equal
        assert centre.execute("SELECT * FROM visit").fetchall() == [
            (1, 1, "of Bert"),
            (2, 2, "both"),
            (4, 3, "x"),
        ]
        (anna,) = [one for one in replica.rejected() if one.table == "p"]
        replica.retry(anna.id, new_key=True)
        assert replica.rejected() == []
        replica.sync()
        assert replica.verify().equal
    assert centre.execute("SELECT * FROM p").fetchall() == [
        (1, "Bert"), (2, "both"), (3, "only here"), (4, "Anna"),
    ]  # fmt: skip
    visits = {(p, what) for _, p, what in centre.execute("SELECT * FROM visit")}
    assert visits == {(1, "of Bert"), (2, "both"), (3, "x"), (4, "of Anna"), (4, "again of Anna")}
    assert app.execute("SELECT count(*) FROM visit").fetchone() == (5,)


# A file of which other tables take part already -----------------------------------------------------------

CLINIC = """
CREATE TABLE patient (id uuid PRIMARY KEY, name text);
CREATE TABLE allergy (patient uuid REFERENCES patient, code text, PRIMARY KEY (patient, code));
CREATE TABLE drug (code text PRIMARY KEY, stock int);
INSERT INTO drug VALUES ('A', 1), ('B', 1), ('C', 1), ('D', 1)
"""
ID = "A0EEBC999C0B4EF8BB6D6BB9BD380A11"


class Clinic:
    """A PostgreSQL centre, and a file with keys in a spelling that is not the centre's."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.run(CLINIC)
        self.hub = syncline.Hub(url)
        self.hub.init()
        self.file = folder / "device.db"
        self.app = sqlite3.connect(self.file, isolation_level=None)
        self.app.executescript(
            f"""CREATE TABLE drug (code TEXT PRIMARY KEY, stock INTEGER);
            CREATE TABLE patient (id CHAR(32) PRIMARY KEY, name TEXT, local TEXT);
            CREATE TABLE allergy (
                patient CHAR(32) REFERENCES patient, code TEXT, PRIMARY KEY (patient, code));
            INSERT INTO patient (id) VALUES ('{ID}'); INSERT INTO allergy VALUES ('{ID}', 'nut')"""
        )

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def open(self) -> Any:
        return syncline.connect(self.file, hub=self.hub)

    def edit(self, updated: str, deleted: str) -> None:
        self.app.execute("UPDATE drug SET stock = 2 WHERE code = ?", (updated,))
        self.app.execute("DELETE FROM drug WHERE code = ?", (deleted,))

    def objects(self) -> set[tuple[str, str]]:
        """What there is in the file."""
        return set(self.app.execute("SELECT type, name FROM sqlite_master"))

    def close(self) -> None:
        self.app.close()
        self.hub.close()


@pytest.fixture
def clinic(tmp_path: Path, postgres_url: str) -> Iterator[Clinic]:
    clinic = Clinic(tmp_path, postgres_url)
    yield clinic
    clinic.close()


def test_l12_a_track_that_is_refused_changes_nothing_and_what_takes_part_goes_on(clinic: Clinic) -> None:
    with clinic.open() as replica:
        replica.track("drug", forms="sqlalchemy")
        clinic.edit("A", "B")
        before = clinic.objects()
        for _ in range(2):
            with pytest.raises(SchemaError, match="takes no part point at them, or are what") as refused:
                replica.track("allergy")
            assert refused.value.code == "forms_misfit" and clinic.objects() == before
    clinic.edit("C", "D")
    with clinic.open() as replica:
        assert len(replica.log()) == 4 and replica.status().tables == ("drug",)
        assert replica.rejected() == []
        replica.sync()
        assert replica.verify().equal
        assert clinic.run("SELECT * FROM drug ORDER BY code") == [("A", 2), ("C", 2)]
        replica.track("allergy", "patient")  # as the remedy says
        replica.sync()
        assert replica.verify().equal
    assert clinic.run("SELECT code FROM allergy") == [("nut",)]


def test_l12_after_a_first_track_that_is_refused_the_file_is_as_before(clinic: Clinic) -> None:
    with clinic.open() as replica:
        for _ in range(2):
            with pytest.raises(SchemaError):
                replica.track("allergy", forms="sqlalchemy")
            assert clinic.hub.replicas() == []
    assert not [name for kind, name in clinic.objects() if kind == "trigger" or "_log_" in name]
    with clinic.open() as replica:
        with pytest.raises(StoreError, match="tracks no tables"):
            replica.sync()
        replica.track("drug")
        clinic.edit("A", "B")
        replica.sync()
        assert replica.verify().equal and replica.status().tables == ("drug",)
    assert clinic.run("SELECT stock FROM drug WHERE code = 'A'") == [(2,)]
    assert len(clinic.hub.replicas()) == 1


def test_l2_a_track_that_was_cut_off_and_is_refused_then_keeps_nothing_from_syncing(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with clinic.open() as replica:
        replica.track("drug", forms="sqlalchemy")
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(track, "respell_all", _killed)
            replica.track("allergy")
    clinic.edit("A", "B")
    with clinic.open() as replica:
        replica.push()
        assert replica.status().tables == ("drug",) and "forms_misfit" in caplog.text
    assert clinic.run("SELECT * FROM drug ORDER BY code") == [("A", 2), ("C", 1), ("D", 1)]


def _killed(*_: Any) -> None:
    raise Killed


@pytest.mark.parametrize("killed", ["fetched", "staged", 0, 1, 2, 3])
def test_l2_while_a_track_is_cut_off_what_took_part_before_goes_on(
    tmp_path: Path, killed: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.centre.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
    with syncline.Hub(f"sqlite:///{tmp_path}/centre.db") as world.hub:
        world.hub.init()
        world.fill()
        world.app.executescript(
            "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO note VALUES (1, 'first')"
        )
        one_row_at_a_time(monkeypatch)
        with world.open() as replica:
            replica.track("note")
            replica.sync()
            with monkeypatch.context() as patch, pytest.raises(Killed):
                place = {"fetched": "copy_chunks", "staged": "_start_capture"}.get(str(killed), "run_steps")
                patch.setattr(track, place, _killed if isinstance(killed, str) else killed_after(killed))
                replica.track("item")
        world.app.execute("UPDATE note SET text = 'second'")
        world.app.execute("INSERT INTO item VALUES (8, 'meanwhile', NULL)")
        world.app.execute("DELETE FROM item WHERE id = 1")
        with world.open() as replica:
            assert [entry.table for entry in replica.log("note")] == ["note"]
            replica.sync()
            assert world.centre.execute("SELECT text FROM note").fetchall() == [("second",)]
            replica.track("item")
            replica.sync()
            assert replica.verify().equal
        kept = [1, 2, 3, 8, 9] if isinstance(killed, str) else [2, 3, 8, 9]
        assert [number for (number,) in world.centre.execute("SELECT id FROM item ORDER BY id")] == kept
    world.app.close()
    world.centre.close()


@pytest.mark.parametrize("place", ["copy_chunks", "_start_capture", "respell_all"])
def test_l2_a_file_that_is_open_while_a_track_is_cut_off_goes_on(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.centre.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
    with syncline.Hub(f"sqlite:///{tmp_path}/centre.db") as world.hub, world.open() as other:
        world.hub.init()
        world.fill()
        world.app.executescript(
            "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO note VALUES (1, 'first')"
        )
        with world.open() as replica:
            replica.track("note")
            replica.sync()
            other.sync()
            with monkeypatch.context() as patch, pytest.raises(Killed):
                patch.setattr(track, place, _killed)
                replica.track("item")
            world.centre.execute("INSERT INTO note VALUES (2, 'theirs')")
            world.app.execute("UPDATE note SET text = 'second' WHERE id = 1")
            (other if place == "_start_capture" else replica).sync()
            replica.track("item")
            replica.sync()
            assert replica.verify().equal and other.verify().equal
        assert world.centre.execute("SELECT * FROM note").fetchall() == [(1, "second"), (2, "theirs")]
    world.app.close()
    world.centre.close()
