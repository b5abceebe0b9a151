"""Tables that the application makes anew: what it does meanwhile is found by comparing with the centre."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import syncline
from syncline.cli.verbs import application
from syncline.errors import SchemaError, TransportError, UsageError
from syncline.model.scope import UNBOUNDED
from syncline.protocol.messages import Pull, Push, Request, Response, Snapshot
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport

COLUMNS = "id INTEGER PRIMARY KEY, name TEXT, city TEXT, visits INTEGER"
DDL = f"""
CREATE TABLE customer ({COLUMNS});
CREATE TABLE visit (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer (id), note TEXT);
INSERT INTO customer VALUES (1,'a','x',0), (2,'b','y',0), (3,'c','z',0), (4,'d','z',0), (5,'e','z',0);
INSERT INTO visit VALUES (1, 1, 'first'), (2, 2, 'second');
"""

Rebuild = Callable[[sqlite3.Connection], None]


def by_copy(app: sqlite3.Connection, columns: str = COLUMNS, rest: str = "") -> None:
    """As Django, Alembic, sqlite-utils and DB Browser do it."""
    app.executescript(
        f"""PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE new__customer ({columns}){rest};
        INSERT INTO new__customer SELECT * FROM customer; DROP TABLE customer;
        ALTER TABLE new__customer RENAME TO customer; COMMIT; PRAGMA foreign_keys = ON;"""
    )


def by_renaming_first(app: sqlite3.Connection) -> None:
    app.executescript(
        f"""PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON; BEGIN;
        ALTER TABLE customer RENAME TO customer__old; CREATE TABLE customer ({COLUMNS});
        INSERT INTO customer SELECT * FROM customer__old; DROP TABLE customer__old; COMMIT;
        PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON;"""
    )


def keeping_the_old_one(app: sqlite3.Connection) -> None:
    app.executescript(
        f"""PRAGMA legacy_alter_table = ON; ALTER TABLE customer RENAME TO customer_backup;
        CREATE TABLE customer ({COLUMNS}); INSERT INTO customer SELECT * FROM customer_backup;
        PRAGMA legacy_alter_table = OFF;"""
    )


def without_rowid(app: sqlite3.Connection) -> None:
    by_copy(app, "id INTEGER PRIMARY KEY NOT NULL, name TEXT, city TEXT, visits INTEGER", " WITHOUT ROWID")


def test_l13_a_unique_index_is_made_again_where_the_file_is_filled_again(world: World) -> None:
    world.centre.execute("CREATE UNIQUE INDEX customer_name ON customer (name)")
    world.hub.init()
    world.sync()
    by_copy(world.app)
    forget_the_past(world)
    assert world.sync().recovered is not None
    world.app.execute("INSERT INTO customer (id, name, visits) VALUES (9, 'nine', 1)")
    world.app.execute("REPLACE INTO customer (id, name, visits) VALUES (10, 'nine', 7)")  # removes row 9
    world.sync()
    assert [row[0] for row in rows(world.centre)] == [1, 2, 3, 4, 5, 10]
    world.agree()


@pytest.mark.parametrize("how", ["restored", "copied"])
@pytest.mark.parametrize("is_edited", [False, True])
def test_l2_what_was_not_captured_is_found_where_the_file_is_filled_again_as_well(
    world: World, how: str, is_edited: bool
) -> None:
    """The centre was put back, or the file was copied: the log still tells what others have changed since
    something that the file has seen. Of a counter of which others have changed something that is lost nobody
    can tell, so that what it holds here is kept."""
    other = world.folder / "other.db"
    syncline.clone(world.hub, other).close()
    world.centre.execute("UPDATE customer SET city = 'seen' WHERE id = 1")
    world.sync()
    kept, twin = sqlite3.connect(world.folder / "kept.db"), world.folder / "twin.db"
    world.centre.backup(kept)
    world.app.execute(f"VACUUM INTO '{twin}'")
    if how == "restored":
        world.app.execute("INSERT INTO customer VALUES (8, 'lost', NULL, 0)")
        world.sync()
        world.hub.close()
        kept.backup(world.centre)
        world.hub = syncline.Hub(f"sqlite:///{world.folder}/centre.db", tables=RULES)
    else:
        run(twin, "INSERT INTO customer VALUES (8, 'lost', NULL, 0)")
        with syncline.connect(twin, hub=world.hub) as replica:
            replica.sync()
    kept.close()
    by_copy(world.app)
    if is_edited:
        edit(world.app)
    run(other, "DELETE FROM customer WHERE id = 5", "UPDATE customer SET name = 'theirs' WHERE id = 4")
    with syncline.connect(other, hub=world.hub) as replica:
        replica.sync()
    with world.open() as replica:
        done = replica.sync()
        notes = {note.key[0]: (note.sent, note.policy) for note in replica.conflicts()}
        assert replica.status().uncaptured == ()
    assert done.recovered is not None and (done.recovered.reason, done.pending) == (how, 0)
    (found,) = done.regained
    assert (found.inserted, found.updated, found.deleted) == ((1, 1, 1) if is_edited else (0, 0, 0))
    counted = 0 if how == "restored" else 2
    assert rows(world.centre) == [
        (1, "a", "seen", 0),
        (2, "after", "y", counted) if is_edited else (2, "b", "y", 0),
        *([] if is_edited else [(3, "c", "z", 0)]),
        (4, "theirs", "z", 0),
        (8, "lost", None, 0),
        *([(9, "nine", None, 1)] if is_edited else []),
    ]
    unsure = {2: (["after", "y", 2], "capture")} if is_edited and how == "restored" else {}
    assert notes == unsure | {4: (["d", "z", 0], "capture"), 5: (["e", "z", 0], "capture")}
    world.agree()


def test_l3_what_another_has_counted_counts_once_where_a_centre_put_back_does_not_know_the_file(
    world: World,
) -> None:
    """The hub says that it does not know it, before it looks at where the file is."""
    kept, late = sqlite3.connect(world.folder / "kept.db"), world.folder / "late.db"
    world.centre.backup(kept)
    syncline.clone(world.hub, late).close()
    world.app.execute("UPDATE customer SET visits = visits + 2 WHERE id = 2")
    world.sync()
    with syncline.connect(late, hub=world.hub) as replica:
        replica.sync()
    world.hub.close()
    kept.backup(world.centre)
    kept.close()
    world.hub = syncline.Hub(f"sqlite:///{world.folder}/centre.db", tables=RULES)
    app = sqlite3.connect(late, isolation_level=None)
    by_copy(app)
    with syncline.connect(late, hub=world.hub) as replica:
        done = replica.sync()
        assert done.recovered is not None and done.recovered.reason == "restored"
        assert [(note.key, note.sent) for note in replica.conflicts()] == [([2], ["b", "y", 2])]
    world.sync()
    with syncline.connect(late, hub=world.hub) as replica:
        replica.sync()
    assert rows(world.centre)[1] == rows(app)[1] == (2, "b", "y", 2)
    app.close()
    world.agree()


def run(file: Path, *statements: str) -> None:
    app = sqlite3.connect(file, isolation_level=None)
    for statement in statements:
        app.execute(statement)
    app.close()


def with_other_types(app: sqlite3.Connection) -> None:
    by_copy(app, "id BIGINT NOT NULL, name VARCHAR(20), city TEXT, visits NUMERIC, PRIMARY KEY (id)")


def with_more_columns(app: sqlite3.Connection) -> None:
    by_copy(app)
    app.execute("ALTER TABLE customer ADD COLUMN own TEXT DEFAULT 'mine'")


def without_triggers(app: sqlite3.Connection) -> None:
    for (name,) in app.execute("SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='customer'"):
        app.execute(f'DROP TRIGGER "{name}"')


def by_writable_schema(app: sqlite3.Connection) -> None:
    app.execute("PRAGMA writable_schema = ON")
    app.execute("DELETE FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'customer'")
    app.execute("PRAGMA writable_schema = RESET")


REBUILDS: list[Rebuild] = [
    by_copy,
    by_renaming_first,
    keeping_the_old_one,
    without_rowid,
    with_other_types,
    with_more_columns,
    without_triggers,
    by_writable_schema,
]


RULES = {"customer": syncline.Table(merge={"visits": "sum"}), "visit": syncline.Table()}


class World:
    """A centre, its hub, a device and the application on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.centre = sqlite3.connect(folder / "centre.db", isolation_level=None)
        self.centre.executescript(DDL)
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db", tables=RULES)
        self.hub.init()
        self.file = folder / "device.db"
        syncline.clone(self.hub, self.file).close()
        self.app = sqlite3.connect(self.file, isolation_level=None)
        self.app.execute("PRAGMA foreign_keys = ON")

    def open(self) -> Replica:
        return syncline.connect(self.file, hub=self.hub)

    def sync(self) -> syncline.SyncReport:
        with self.open() as replica:
            return replica.sync()

    def shown(self) -> list[tuple[Any, ...]]:
        return rows(self.app)

    def agree(self) -> None:
        assert self.shown() == rows(self.centre)
        with self.open() as replica:
            assert replica.verify().equal


def rows(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT id, name, city, visits FROM customer ORDER BY id").fetchall()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.app.close()
    world.hub.close()
    world.centre.close()


def edit(app: sqlite3.Connection) -> None:
    app.execute("UPDATE customer SET name = 'after', visits = visits + 2 WHERE id = 2")
    app.execute("DELETE FROM customer WHERE id = 3")
    app.execute("INSERT INTO customer (id, name, visits) VALUES (9, 'nine', 1)")


EDITED = [
    (1, "a", "x", 0),
    (2, "after", "y", 2),
    (4, "d", "z", 0),
    (5, "e", "z", 0),
    (9, "nine", None, 1),
]


@pytest.mark.parametrize("rebuild", REBUILDS)
def test_l13_edits_after_a_rebuild_reach_the_centre(world: World, rebuild: Rebuild) -> None:
    rebuild(world.app)
    edit(world.app)
    with world.open() as replica:
        assert replica.status().uncaptured == ("customer",)
    done = world.sync()
    (found,) = done.regained
    assert (found.table, found.inserted, found.updated, found.deleted) == ("customer", 1, 1, 1)
    assert (found.returned, found.kept, done.pending) == (0, 0, 0)
    assert world.shown() == EDITED
    world.agree()
    world.app.execute("UPDATE customer SET city = 'captured' WHERE id = 1")
    assert (world.sync().push.sent, world.sync().regained) == (1, ())
    world.agree()


@pytest.mark.parametrize("rebuild", [by_copy, by_renaming_first])
def test_l13_a_unique_index_of_the_hub_that_went_with_the_table_is_made_again(
    world: World, rebuild: Rebuild
) -> None:
    world.centre.execute("CREATE UNIQUE INDEX customer_name ON customer (name)")
    world.hub.init()
    world.sync()
    rebuild(world.app)
    edit(world.app)
    assert (
        world.sync().regained[0].updated == 1
    )  # at once: the index is not taken for one of the application's
    assert world.shown() == EDITED
    world.app.execute("REPLACE INTO customer (id, name, visits) VALUES (10, 'nine', 7)")  # removes row 9
    world.sync()
    world.agree()


def test_l13_edits_that_were_captured_before_and_after_stay_what_they_are(world: World) -> None:
    world.app.execute("UPDATE customer SET visits = visits + 1, city = 'before' WHERE id = 2")
    world.app.execute("UPDATE customer SET visits = visits + 1 WHERE id = 4")
    world.app.execute("INSERT INTO customer VALUES (8, 'eight', NULL, 0)")
    world.app.execute("DELETE FROM customer WHERE id = 5")
    by_copy(world.app)
    world.app.execute("UPDATE customer SET visits = visits + 2 WHERE id IN (1, 2)")
    world.app.execute("DELETE FROM customer WHERE id = 8")
    world.app.execute("INSERT INTO customer VALUES (5, 'again', NULL, 0)")
    world.open().close()  # from here on it is captured again
    world.app.execute("UPDATE customer SET visits = visits + 4 WHERE id IN (1, 2, 3)")
    world.centre.execute("UPDATE customer SET visits = visits + 100")
    world.sync()
    assert [(row[0], row[3]) for row in rows(world.centre)] == [
        (1, 104),
        (2, 107),
        (3, 104),
        (4, 101),
        (5, 0),
    ]
    with world.open() as replica:  # whether 2 were added to row 1 nobody can tell: others added to it, too
        kept = {note.key[0]: note.sent[2] for note in replica.conflicts() if note.policy == "capture"}
    assert kept == {1: 6, 3: 4}
    world.agree()


def test_l2_a_row_that_others_deleted_is_kept_as_it_was_here_though_a_part_of_it_was_captured(
    world: World,
) -> None:
    world.app.execute("UPDATE customer SET city = 'captured' WHERE id = 4")
    by_copy(world.app)
    world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = 4")
    world.centre.execute("DELETE FROM customer WHERE id = 4")
    (found,) = world.sync().regained
    assert found.kept == 1
    with world.open() as replica:
        kept = [note.sent for note in replica.conflicts() if note.policy == "capture"]
    assert kept == [["unseen", "captured", 0]]
    world.agree()


def test_what_others_changed_meanwhile_is_not_undone_and_what_stood_here_is_kept(world: World) -> None:
    by_copy(world.app)
    world.app.execute("UPDATE customer SET name = 'mine', city = 'mine' WHERE id = 1")
    world.centre.execute("UPDATE customer SET name = 'theirs' WHERE id IN (1, 2)")
    world.centre.execute("DELETE FROM customer WHERE id = 4")
    world.centre.execute("INSERT INTO customer VALUES (7, 'new', NULL, 0)")
    done = world.sync()
    assert [row[:3] for row in world.shown()] == [
        (1, "theirs", "mine"),
        (2, "theirs", "y"),
        (3, "c", "z"),
        (5, "e", "z"),
        (7, "new", None),
    ]
    assert done.regained[0].updated == 1
    world.agree()
    with world.open() as replica:
        kept = {
            note.key[0]: (note.sent, note.hub and note.hub[0], note.policy) for note in replica.conflicts()
        }
    assert kept[1] == (["mine", "mine", 0], "theirs", "capture")
    assert kept[4] == (["d", "z", 0], None, "capture")


@pytest.mark.parametrize("left", [0, 2])
def test_l2_a_table_made_anew_without_its_rows_gets_them_back(world: World, left: int) -> None:
    kept = world.app.execute("SELECT * FROM customer WHERE id <= ?", (left,)).fetchall()
    world.app.executescript(
        f"PRAGMA foreign_keys = OFF; DROP TABLE customer; CREATE TABLE customer ({COLUMNS})"
    )
    world.app.executemany("INSERT INTO customer VALUES (?, ?, ?, ?)", kept)
    world.app.execute("INSERT INTO customer VALUES (9, 'nine', NULL, 0)")
    (found,) = world.sync().regained
    assert (found.inserted, found.deleted, found.returned) == (1, 0, 5 - left)
    assert [row[0] for row in rows(world.centre)] == [1, 2, 3, 4, 5, 9]
    world.agree()


def test_l2_edits_that_went_with_their_table_are_named(world: World) -> None:
    world.app.execute("UPDATE customer SET name = 'gone' WHERE id = 2")
    world.app.executescript(
        f"PRAGMA foreign_keys = OFF; DROP TABLE customer; CREATE TABLE customer ({COLUMNS})"
    )
    world.sync()
    with world.open() as replica:
        (lost,) = replica.rejected()
    assert (lost.code, lost.table, lost.key, lost.base) == ("row_lost", "customer", (2,), {"name": "b"})
    assert len(rows(world.centre)) == 5
    world.agree()


def make_empty(app: sqlite3.Connection) -> None:
    app.executescript(f"PRAGMA foreign_keys = OFF; DROP TABLE customer; CREATE TABLE customer ({COLUMNS})")


@pytest.mark.parametrize("edited", [1, 3, 5])
@pytest.mark.parametrize("tracks", [False, True])
def test_l2_no_row_is_deleted_in_the_centre_for_its_edits_were_pending(
    world: World, edited: int, tracks: bool
) -> None:
    world.app.execute("UPDATE customer SET name = 'gone' WHERE id <= ?", (edited,))
    world.app.execute("INSERT INTO customer VALUES (9, 'nine', NULL, 0)")
    if tracks:
        world.app.executescript("PRAGMA foreign_keys = OFF; DROP TABLE customer")
        with world.open() as replica:
            replica.track("customer")
    else:
        make_empty(world.app)
    (found,) = world.sync().regained
    assert (found.deleted, found.returned, found.kept) == (0, 5, edited + 1)
    assert [row[:2] for row in rows(world.centre)] == [(n, "abcde"[n - 1]) for n in range(1, 6)]
    with world.open() as replica:
        named = {(edit.key[0], edit.op, edit.code) for edit in replica.rejected()}
    assert named == {(n, "U", "row_lost") for n in range(1, edited + 1)} | {(9, "I", "row_lost")}
    world.agree()


def test_l2_an_edit_whose_values_went_with_its_row_is_not_retried_and_claims_no_null(world: World) -> None:
    world.app.execute("UPDATE customer SET name = 'gone' WHERE id = 2")
    world.app.execute("INSERT INTO customer VALUES (9, 'nine', NULL, 0)")
    make_empty(world.app)
    world.sync()
    with world.open() as replica:
        kept = replica.rejected()
        assert [(edit.op, edit.values, edit.base) for edit in kept] == [
            ("U", {}, {"name": "b"}),
            ("I", {}, {}),
        ]
        for edit in kept:
            with pytest.raises(UsageError) as refused:
                replica.retry(edit.id)
            assert (refused.value.code, refused.value.remedy) == ("values_gone", edit.remedy)
        assert replica.rejected() == kept
    said = CliRunner().invoke(application, ["rejected", str(world.file), "show", str(kept[0].id)]).stdout
    assert [line.split() for line in said.splitlines()][3] == ["column", "before"]
    assert "NULL" not in said
    world.sync()
    assert rows(world.centre)[1][1] == "b"
    world.agree()


def test_l2_a_row_that_was_replaced_and_went_with_its_table_is_named_as_such(world: World) -> None:
    world.app.execute("DELETE FROM visit")
    world.app.execute("DELETE FROM customer WHERE id = 3")
    world.app.execute("INSERT INTO customer VALUES (3, 'again', NULL, 0)")
    make_empty(world.app)
    world.sync()
    with world.open() as replica:
        (lost,) = replica.rejected()
        assert (lost.op, lost.values, lost.base) == ("R", {}, {"name": "c", "city": "z", "visits": 0})
        with pytest.raises(UsageError, match="values"):
            replica.retry(lost.id)
    world.agree()


def test_l2_deletes_that_were_captured_before_a_rebuild_are_edits_and_do_not_count_as_missing(
    world: World,
) -> None:
    world.app.execute("DELETE FROM visit")
    world.app.execute("DELETE FROM customer WHERE id >= 3")
    make_empty(world.app)
    (found,) = world.sync().regained
    assert (found.deleted, found.returned) == (0, 2)
    assert [row[0] for row in rows(world.centre)] == [1, 2]
    world.agree()
    world.app.execute("DELETE FROM customer WHERE id = 1")
    by_copy(world.app)
    (found,) = world.sync().regained
    assert (found.deleted, found.returned) == (0, 0)
    assert [row[0] for row in rows(world.centre)] == [2]
    world.agree()


def test_l2_rows_that_others_have_added_meanwhile_do_not_count_as_present(world: World) -> None:
    make_empty(world.app)
    world.centre.executescript(
        "INSERT INTO customer (id, visits) VALUES (11,0), (12,0), (13,0), (14,0), (15,0), (16,0)"
    )
    assert world.sync().regained[0].deleted == 0
    assert len(rows(world.centre)) == 11
    world.agree()


def test_l2_a_new_unique_index_before_a_rebuild_does_not_make_it_a_deletion(world: World) -> None:
    world.app.execute("CREATE UNIQUE INDEX own ON customer (name)")
    world.app.execute("REPLACE INTO customer VALUES (7, 'e', 'x', 0)")
    with world.open() as replica:
        assert replica.status().uncaptured == ("customer",)
    make_empty(world.app)
    assert world.sync().regained[0].deleted == 0
    assert len(rows(world.centre)) == 5
    world.agree()


def test_l12_a_table_that_is_gone_is_said_until_it_is_made_again(world: World) -> None:
    world.app.execute("UPDATE customer SET name = 'mine' WHERE id = 2")
    world.app.executescript("PRAGMA foreign_keys = OFF; DROP TABLE customer")
    with world.open() as replica:
        assert replica.status().pending == {"customer": 1}
        with pytest.raises(SchemaError, match="captured edits of it wait: 1") as caught:
            replica.sync()
        assert caught.value.code == "table_missing"
        replica.track("customer")
        replica.sync()
    assert [row[0] for row in rows(world.centre)] == [1, 2, 3, 4, 5]
    world.agree()


def test_l12_a_table_without_its_key_says_so_and_goes_on_with_a_unique_index(world: World) -> None:
    world.app.executescript(
        """PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON; ALTER TABLE customer RENAME TO old;
        CREATE TABLE customer (id INTEGER, name TEXT, city TEXT, visits INTEGER);
        INSERT INTO customer SELECT id, 'pandas', city, visits FROM old; DROP TABLE old;"""
    )
    for verb in ("sync", "pull", "push", "verify", "preview"):
        with world.open() as replica, pytest.raises(SchemaError) as caught:
            getattr(replica, verb)()
        assert caught.value.code == "key_missing"
    statement = caught.value.remedy.split(": ", 1)[1].split(";")[0]
    world.app.execute(statement)
    assert world.sync().regained[0].updated == 5
    assert {row[1] for row in rows(world.centre)} == {"pandas"}
    world.app.execute("UPDATE customer SET name = 'later' WHERE id = 1")
    world.centre.execute("UPDATE customer SET name = 'other' WHERE id = 2")
    world.sync()
    world.agree()


def test_l12_a_key_column_that_was_renamed_unseen_is_named_and_comes_back_by_its_name(world: World) -> None:
    world.app.executescript(
        """PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON; ALTER TABLE customer RENAME TO old;
        CREATE TABLE customer (id INTEGER, name TEXT, city TEXT, visits INTEGER);
        INSERT INTO customer SELECT id, 'pandas', city, visits FROM old; DROP TABLE old;
        CREATE UNIQUE INDEX customer_key ON customer (id); ALTER TABLE customer RENAME COLUMN id TO number;"""
    )
    with world.open() as replica, pytest.raises(SchemaError, match="lacks the hub's columns id") as caught:
        replica.sync()
    assert caught.value.code == "table_altered" and "CREATE UNIQUE INDEX" not in caught.value.remedy
    world.app.execute("ALTER TABLE customer RENAME COLUMN number TO id")
    assert world.sync().regained[0].updated == 5
    world.agree()


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ("id TEXT PRIMARY KEY, name TEXT, city TEXT, visits INTEGER", "table_altered"),
        ("id INTEGER PRIMARY KEY, name INTEGER, city TEXT, visits INTEGER", "table_altered"),
        ("id INTEGER, name TEXT PRIMARY KEY, city TEXT, visits INTEGER", "key_missing"),
    ],
)
def test_l8_a_table_that_would_change_values_is_refused(world: World, columns: str, code: str) -> None:
    by_copy(world.app, columns)
    with world.open() as replica, pytest.raises(SchemaError) as caught:
        replica.sync()
    assert caught.value.code == code
    by_copy(world.app)
    world.sync()
    world.agree()


def test_a_rebuild_and_a_change_of_the_centres_schema_at_once(world: World) -> None:
    world.centre.execute("ALTER TABLE customer ADD COLUMN more TEXT DEFAULT 'new'")
    world.hub.init()
    by_copy(world.app)
    edit(world.app)
    world.centre.execute("UPDATE customer SET more = 'theirs' WHERE id = 1")
    done = world.sync()
    assert [(one.inserted, one.updated, one.deleted) for one in done.regained] == [(1, 1, 1)]
    assert world.shown() == EDITED
    assert world.app.execute("SELECT more FROM customer WHERE id = 1").fetchone() == ("theirs",)
    world.agree()


def test_l2_a_comparison_that_is_cut_off_is_begun_again(world: World) -> None:
    by_copy(world.app)
    edit(world.app)

    def nothing() -> None:
        pass

    for kind in (Snapshot, Pull):
        with through(world, kind, nothing, loses=True) as replica, pytest.raises(TransportError):
            replica.sync()
        with world.open() as replica:
            assert replica.status().uncaptured == ("customer",)
    world.sync()
    assert world.shown() == EDITED
    world.agree()


def test_indexes_that_went_with_the_table_are_made_again(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "centre.db") as centre:
        centre.executescript(
            """CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT, name TEXT);
            CREATE UNIQUE INDEX item_code ON item (code); CREATE INDEX item_name ON item (name);
            INSERT INTO item VALUES (1, 'a', 'x'), (2, 'b', 'y');"""
        )
    with syncline.Hub(f"sqlite:///{tmp_path}/centre.db", tables={"item": syncline.Table()}) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "device.db").close()
        with sqlite3.connect(tmp_path / "device.db") as app:
            app.executescript(
                """CREATE TABLE copy (id INTEGER PRIMARY KEY, code TEXT, name TEXT);
                INSERT INTO copy SELECT * FROM item; DROP TABLE item; ALTER TABLE copy RENAME TO item;
                CREATE INDEX item_name ON item (name)"""
            )
        with syncline.connect(tmp_path / "device.db", hub=hub) as replica:
            replica.sync()
        names = app.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'item'")
        assert sorted(name for (name,) in names) == ["item_code", "item_name"]


class Lossy(LocalTransport):
    """Does something before or after the first request of a kind, and may lose its answer."""

    def __init__(
        self, hub: syncline.Hub, kind: type[Request], action: Callable[[], None], *, loses: bool
    ) -> None:
        super().__init__(hub)
        self._kind, self._action, self._loses, self._done = kind, action, loses, False

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        if isinstance(request, self._kind) and not self._done:
            self._done = True
            self._action()
            if self._loses:
                raise TransportError("the answer was lost")
        return answer


def through(world: World, kind: type[Request], action: Callable[[], None], *, loses: bool) -> Replica:
    return Replica(Store.open(world.file), lambda: Lossy(world.hub, kind, action, loses=loses))


def test_l3_a_rebuild_while_a_push_is_in_flight(world: World) -> None:
    world.app.execute("UPDATE customer SET visits = visits + 1, name = 'pushed' WHERE id = 2")

    def rebuild() -> None:
        by_copy(world.app)
        world.app.execute("UPDATE customer SET visits = visits + 10, city = 'unseen' WHERE id = 2")

    with through(world, Push, rebuild, loses=True) as replica, pytest.raises(TransportError):
        replica.sync()
    world.sync()
    assert rows(world.centre)[1] == (2, "pushed", "unseen", 11)
    world.agree()


@pytest.mark.parametrize("pending", [False, True], ids=["", "another-column-pending"])
@pytest.mark.parametrize("edit", ["insert", "update"])
def test_l2_what_was_written_unseen_over_a_refused_edit_in_flight_is_kept(
    world: World, edit: str, pending: bool
) -> None:
    for event in ("INSERT", "UPDATE"):
        world.centre.execute(
            f"CREATE TRIGGER refuse_{event} BEFORE {event} ON customer WHEN NEW.city = '!'"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    world.hub.init()
    key = 6 if edit == "insert" else 2
    if edit == "insert":
        world.app.execute("INSERT INTO customer VALUES (6, 'sent', '!', 0), (7, 'sent', '!', 0)")
    else:
        world.app.execute("UPDATE customer SET name = 'sent', city = '!' WHERE id IN (1, 2)")

    def rebuild() -> None:
        if pending:
            world.app.execute("UPDATE customer SET visits = visits + 1 WHERE id = ?", (key,))
        by_copy(world.app)
        world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = ?", (key,))

    with through(world, Push, rebuild, loses=True) as replica, pytest.raises(TransportError):
        replica.sync()
    world.sync()
    with world.open() as replica:
        refused = {one.key[0]: one.values["name"] for one in replica.rejected() if "name" in one.values}
        kept = [(note.key[0], note.sent[0]) for note in replica.conflicts()]
    assert refused == dict.fromkeys((6, 7) if edit == "insert" else (1, 2), "sent")
    assert kept == [(key, "unseen")]
    assert rows(world.centre)[1] == (2, "b", "y", int(pending and edit == "update"))
    world.agree()


class Dead(LocalTransport):
    """No push comes to the hub."""

    def send(self, request: Request) -> Response:
        if isinstance(request, Push):
            raise TransportError("the request was lost")
        return super().send(request)


def test_l12_a_row_that_was_sent_and_deleted_unseen_stops_no_sync(world: World) -> None:
    """The hub asks for the row, which it has no more, and the file has it no more either."""
    world.app.execute("INSERT INTO customer VALUES (9, 'i', 'z', 0)")
    world.sync()
    world.app.execute("UPDATE customer SET name = 'sent' WHERE id = 9")
    with Replica(Store.open(world.file), lambda: Dead(world.hub)) as replica, pytest.raises(TransportError):
        replica.push()
    world.centre.execute("DELETE FROM customer WHERE id = 9")
    by_copy(world.app)
    world.app.execute("DELETE FROM customer WHERE id = 9")
    world.sync()
    world.sync()
    world.agree()


def delete_a_parent(world: World) -> None:
    """Customer 2 is deleted on the device, and shown again for the sake of a visit that others have added."""
    world.app.execute("DELETE FROM visit WHERE customer = 2")
    world.app.execute("DELETE FROM customer WHERE id = 2")
    world.centre.execute("INSERT INTO visit VALUES (7, 2, 'theirs')")
    with world.open() as replica:
        replica.pull()
    assert world.shown()[1] == (2, "b", "y", 0)


@pytest.mark.parametrize("place", ["known", "lost"])
@pytest.mark.parametrize("is_edited", [False, True])
def test_l2_what_was_written_unseen_into_a_deleted_row_that_is_shown_for_a_childs_sake_is_sent(
    world: World, place: str, is_edited: bool
) -> None:
    """Without an edit the row stays deleted, which the centre refuses."""
    delete_a_parent(world)
    by_copy(world.app)
    if is_edited:
        world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = 2")
    if place == "lost":
        forget_the_past(world)
    done = world.sync()
    assert (done.recovered is not None) == (place == "lost")
    assert sum(found.updated for found in done.regained) == int(is_edited)
    assert rows(world.centre)[1] == (2, "unseen" if is_edited else "b", "y", 0)
    with world.open() as replica:
        assert [(one.key, one.op) for one in replica.rejected()] == ([] if is_edited else [((2,), "D")])
    world.agree()


@pytest.mark.parametrize("place", ["known", "lost"])
@pytest.mark.parametrize("is_edited", [False, True])
def test_l2_a_row_that_both_have_deleted_comes_back_only_with_what_was_written_unseen(
    world: World, place: str, is_edited: bool
) -> None:
    delete_a_parent(world)
    by_copy(world.app)
    if is_edited:
        world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = 2")
    world.centre.execute("DELETE FROM visit WHERE customer = 2")
    world.centre.execute("DELETE FROM customer WHERE id = 2")
    if place == "lost":
        forget_the_past(world)
    world.sync()
    assert [row[:2] for row in rows(world.centre) if row[0] == 2] == ([(2, "unseen")] if is_edited else [])
    world.agree()


def test_l2_what_was_written_unseen_into_such_a_row_while_its_delete_was_in_flight_is_kept(
    world: World,
) -> None:
    delete_a_parent(world)

    def rebuild() -> None:
        by_copy(world.app)
        world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = 2")

    with through(world, Push, rebuild, loses=True) as replica, pytest.raises(TransportError):
        replica.sync()
    world.sync()
    with world.open() as replica:
        kept = [note.sent for note in replica.conflicts()]
        assert [(one.key, one.op) for one in replica.rejected()] == [((2,), "D")]
    assert kept == [["unseen", "y", 0]]
    world.agree()


@pytest.mark.parametrize("place", ["known", "lost"])
def test_l2_what_was_written_unseen_into_a_row_that_the_centre_has_deleted_and_a_row_here_keeps_is_kept(
    world: World, place: str
) -> None:
    world.app.execute("CREATE TABLE own (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer (id))")
    world.app.execute("INSERT INTO own VALUES (1, 5)")
    world.centre.execute("DELETE FROM customer WHERE id = 5")
    world.sync()
    with world.open() as replica:
        assert [row.key for row in replica.waiting()] == [(5,)]
    by_copy(world.app)
    world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = 5")
    if place == "lost":
        forget_the_past(world)
    world.sync()
    assert [row[0] for row in rows(world.centre)] == [1, 2, 3, 4]
    world.app.execute("DELETE FROM own")
    world.sync()
    with world.open() as replica:
        assert [note.sent for note in replica.conflicts() if note.key == [5]] == [["unseen", "z", 0]]
    world.agree()


def test_l2_what_was_written_unseen_into_a_row_whose_news_wait_is_kept(world: World) -> None:
    guard = """CREATE TRIGGER guard BEFORE UPDATE ON customer WHEN NEW.city = 'no'
        BEGIN SELECT RAISE(ABORT, 'no'); END"""
    world.app.execute(guard)
    world.centre.execute("UPDATE customer SET name = 'theirs', city = 'no' WHERE id = 5")
    world.sync()
    with world.open() as replica:
        assert [row.key for row in replica.waiting()] == [(5,)]
    by_copy(world.app)
    world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = 5")
    world.sync()
    with world.open() as replica:
        assert [note.sent for note in replica.conflicts()] == [["unseen", "z", 0]]
    world.agree()


@pytest.mark.parametrize("others", ["cascade", "keep"])
def test_l2_what_was_written_unseen_below_a_row_that_a_verdict_deletes_is_kept(
    world: World, others: str
) -> None:
    """The table below was made anew: which of its rows have been edited is not known yet. `others`: what was
    done in the centre with the row that was there."""
    world.app.execute("UPDATE customer SET name = 'sent' WHERE id = 2")

    with Replica(Store.open(world.file), lambda: Dead(world.hub)) as replica, pytest.raises(TransportError):
        replica.sync()
    world.app.executescript(
        """PRAGMA foreign_keys = OFF; BEGIN;
        CREATE TABLE fresh (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer (id), note TEXT);
        INSERT INTO fresh SELECT * FROM visit; DROP TABLE visit; ALTER TABLE fresh RENAME TO visit;
        COMMIT; PRAGMA foreign_keys = ON;"""
    )
    world.app.execute("INSERT INTO visit VALUES (9, 2, 'made unseen')")
    world.app.execute("UPDATE visit SET note = 'unseen' WHERE id = 2")
    how = "DELETE FROM visit" if others == "cascade" else "UPDATE visit SET customer = NULL"
    world.centre.execute(f"{how} WHERE customer = 2")
    world.centre.execute("DELETE FROM customer WHERE id = 2")
    world.sync()
    world.sync()
    with world.open() as replica:
        refused = {(one.table, one.key[0]): one.values.get("note") for one in replica.rejected()}
        kept = {(note.table, note.key[0]): note.sent for note in replica.conflicts()}
    assert refused == {("visit", 9): "made unseen"}
    visits = "SELECT * FROM visit ORDER BY id"
    found = world.centre.execute(visits).fetchall()
    if others == "cascade":
        assert kept["visit", 2] == [2, "unseen"] and found == [(1, 1, "first")]
    else:
        assert found == [(1, 1, "first"), (2, None, "unseen")]
    assert world.app.execute(visits).fetchall() == found
    world.agree()


def test_l3_the_centre_changes_again_while_the_verdict_of_before_a_rebuild_is_taken_in(world: World) -> None:
    world.app.execute("UPDATE customer SET visits = visits + 1 WHERE id = 2")
    world.centre.execute("UPDATE customer SET visits = visits + 5 WHERE id = 2")

    def rebuild() -> None:
        by_copy(world.app)
        world.app.execute("UPDATE customer SET visits = visits + 10, city = 'unseen' WHERE id = 2")

    def alter(name: str) -> None:
        world.centre.execute(f"ALTER TABLE customer ADD COLUMN {name} TEXT")
        world.hub.init()

    with through(world, Push, rebuild, loses=True) as replica, pytest.raises(TransportError):
        replica.sync()
    alter("more")
    with through(world, Push, lambda: alter("most"), loses=False) as replica:
        replica.sync()
        assert [note.sent for note in replica.conflicts()] == [["b", "unseen", 11]]
    assert rows(world.centre)[1] == (2, "b", "y", 6)  # what the verdict overwrites is kept
    world.agree()


def test_l2_a_rebuild_while_a_pull_is_on_its_way(world: World) -> None:
    world.centre.execute("UPDATE customer SET name = 'theirs' WHERE id = 2")

    def rebuild() -> None:
        by_copy(world.app)
        world.app.execute("UPDATE customer SET name = 'unseen' WHERE id IN (1, 2)")

    with through(world, Pull, rebuild, loses=False) as replica:
        (found,) = replica.sync().regained
        assert (found.updated, found.kept) == (1, 1)
        assert [note.sent[0] for note in replica.conflicts()] == ["unseen"]
    assert [row[1] for row in rows(world.centre)][:2] == ["unseen", "theirs"]
    world.agree()


def test_a_copy_by_vacuum_into_has_lost_nothing(world: World) -> None:
    world.app.execute("VACUUM INTO ?", (str(world.folder / "copy.db"),))
    with syncline.connect(world.folder / "copy.db", hub=world.hub) as replica:
        assert replica.status().uncaptured == ()
        assert replica.sync().regained == ()


def test_verify_finds_what_was_not_captured_and_repair_keeps_what_it_overwrites(world: World) -> None:
    by_copy(world.app)
    edit(world.app)
    with world.open() as replica:
        assert replica.verify(repair=True).equal
    assert rows(world.centre) == EDITED

    world.app.execute("UPDATE _sync_state SET suppressed = 1")
    world.app.execute("UPDATE customer SET name = 'past' WHERE id = 1")
    world.app.execute("INSERT INTO customer VALUES (6, 'own', NULL, 0)")
    world.app.execute("UPDATE _sync_state SET suppressed = 0")
    with world.open() as replica:
        assert replica.verify(repair=True).left == ()
        kept = [(note.key, note.sent, note.policy) for note in replica.conflicts()]
    assert kept == [([1], ["past", "x", 0], "repair"), ([6], ["own", None, 0], "repair")]
    world.agree()


@pytest.mark.parametrize("edited", [1, 5])
def test_l2_no_row_is_deleted_in_the_centre_where_the_place_is_lost_too(world: World, edited: int) -> None:
    world.app.execute("DELETE FROM visit")
    world.centre.execute("DELETE FROM visit")
    world.sync()
    world.app.execute("UPDATE customer SET name = 'gone' WHERE id <= ?", (edited,))
    make_empty(world.app)
    forget_the_past(world)
    with world.open() as replica:
        done = replica.sync()
        assert done.recovered is not None
        assert {edit.key[0]: edit.code for edit in replica.rejected()} == dict.fromkeys(
            range(1, edited + 1), "row_lost"
        )
    assert [row[1] for row in rows(world.centre)] == ["a", "b", "theirs", "d", "e"]
    world.agree()


def forget_the_past(world: World) -> None:
    """The centre's log is pruned past what the device has seen."""
    for name in ("other", "theirs"):
        world.centre.execute("UPDATE customer SET name = ? WHERE id = 3", (name,))
        syncline.clone(world.hub, world.folder / f"{name}.db").close()
    with world.hub.database.write(UNBOUNDED) as transaction:
        transaction.log.prune([], 0.0, None, 1000)


def test_l2_a_device_whose_place_is_lost_too_keeps_both(world: World) -> None:
    by_copy(world.app)
    world.app.execute("UPDATE customer SET name = 'unseen' WHERE id = 2")
    world.app.execute("INSERT INTO customer VALUES (9, 'own', NULL, 0)")
    forget_the_past(world)
    with world.open() as replica:
        done = replica.sync()
        assert done.recovered is not None and (done.recovered.reason, done.pending) == ("pruned", 0)
        kept = {note.key[0]: note.sent[0] for note in replica.conflicts()}
        assert replica.status().uncaptured == ()
    assert kept == {2: "unseen", 3: "c"}
    assert [row[1] for row in rows(world.centre)] == ["a", "b", "theirs", "d", "e", "own"]
    world.agree()
