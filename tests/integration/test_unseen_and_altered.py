"""What was written into a device's table while nothing captured it, and the centre changes its columns
meanwhile: it is found, or kept (L2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.cli import run
from syncline.protocol.messages import Request, Response, SchemaQuery
from syncline.replica.examine import examine
from tests.integration.test_restored_schema import Device, Line, PostgresCentre, Servers, SqliteCentre


class World:
    def __init__(self, folder: Path, centre: SqliteCentre | PostgresCentre, ddl: str) -> None:
        self.folder, self.centre, self.servers = folder, centre, Servers()
        centre.run(ddl)
        self.hub = syncline.Hub(centre.url)
        self.servers.hubs = [self.hub]
        self.hub.init()

    def alter(self, script: str) -> None:
        self.centre.run(script)
        self.hub.close()
        self.hub = syncline.Hub(self.centre.url)
        self.servers.hubs = [self.hub]
        self.hub.init()

    def device(self) -> Device:
        path = self.folder / "a.db"
        syncline.clone(self.servers, path).close()  # type: ignore[arg-type]
        return Device(path, Line(self.servers))

    def rows(self) -> list[Any]:
        return [tuple(row) for row in self.centre.run("SELECT * FROM item ORDER BY 1")]


class Make:
    """Makes worlds, and ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, list[World]()

    def __call__(self, centre: SqliteCentre | PostgresCentre, ddl: str) -> World:
        self.made.append(World(self.folder, centre, ddl))
        return self.made[-1]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    maker = Make(tmp_path)
    yield maker
    for world in maker.made:
        world.hub.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteCentre | PostgresCentre:
    if request.param == "sqlite":
        return SqliteCentre(tmp_path)
    return PostgresCentre(request.getfixturevalue("postgres_database"))


def copy(device: Device, columns: str) -> None:
    """As a program does that alters a table by copying it: what follows is not captured."""
    device.app.executescript(
        f"BEGIN; CREATE TABLE made ({columns}); INSERT INTO made SELECT * FROM item; DROP TABLE item;"
        " ALTER TABLE made RENAME TO item; COMMIT"
    )


@dataclass(frozen=True)
class Wider:
    """`type`: the centre's, and the wider one; `declared`: the device's; `values`: of the two rows, the one
    that is written unseen, and the three as the centre has them then."""

    type: tuple[str, str]
    declared: str
    values: tuple[Any, Any, Any]
    after: tuple[str, str]


WIDER = [
    Wider(("int", "bigint"), "BIGINT", (1, 2, 33), ("1", "33")),
    Wider(("varchar(9)", "text"), "TEXT", ("a", "b", "mine"), ("a", "mine")),
    Wider(("char(3)", "text"), "TEXT", ("a", "b", "own"), ("a", "own")),
    Wider(("real", "double precision"), "FLOAT", (1.0, 2.0, 33.5), ("1", "33.5")),
    Wider(("numeric(6,2)", "numeric(12,4)"), "DECIMAL_TEXT", ("1.00", "2.00", "33.5"), ("1.0000", "33.5000")),
]


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("what", WIDER, ids=[one.type[0] for one in WIDER])
def test_l2_what_was_written_unseen_into_a_column_that_the_centre_widens_is_sent(
    postgres_url: str, make: Make, what: Wider, pending: bool
) -> None:
    """The new type's values are fetched; they are not laid over what has not been compared yet."""
    centre = PostgresCentre(lambda: postgres_url)
    one, two, mine = what.values
    ddl = f"CREATE TABLE item (id int PRIMARY KEY, note text, x {what.type[0]})"
    world = make(centre, f"{ddl}; INSERT INTO item VALUES (1, 'n', '{one}'), (2, 'n', '{two}')")
    a = world.device()
    if pending:
        a.run("UPDATE item SET note = 'DEV' WHERE id = 1")
    copy(a, f"id INTEGER NOT NULL PRIMARY KEY, note TEXT, x {what.declared}")
    a.app.execute("UPDATE item SET x = ? WHERE id = 2", (mine,))
    world.alter(f"ALTER TABLE item ALTER x TYPE {what.type[1]}")
    report = a.sync()
    assert [(one.updated, one.kept) for one in report.regained] == [(1, 0)]
    assert report.push is not None and report.push.sent == 1 + pending
    a.sync()
    assert world.centre.run("SELECT x::text FROM item ORDER BY id") == [(one,) for one in what.after]
    assert [str(note) for (note,) in world.centre.run("SELECT note FROM item ORDER BY id")] == [
        "DEV" if pending else "n",
        "n",
    ]
    assert a.replica.verify().equal and not a.replica.conflicts() and not a.replica.rejected()


def test_l2_what_was_written_unseen_into_a_column_that_the_centre_drops_is_kept(
    postgres_url: str, make: Make
) -> None:
    """Also where it gets another column of that name at once. Nobody can tell what was written unseen."""
    ddl = "CREATE TABLE item (id int PRIMARY KEY, note text, x int)"
    rows = "INSERT INTO item VALUES (1, 'n', 1), (2, 'n', 2)"
    world = make(PostgresCentre(lambda: postgres_url), f"{ddl}; {rows}")
    a = world.device()
    a.run("UPDATE item SET x = 11 WHERE id = 1")
    copy(a, "id INTEGER NOT NULL PRIMARY KEY, note TEXT, x INTEGER")
    a.run("UPDATE item SET x = 33, note = 'mine' WHERE id = 2")
    world.alter("ALTER TABLE item DROP x, ADD x int")
    a.sync()
    a.sync()
    assert a.replica.verify().equal and world.rows() == [(1, "n", None), (2, "mine", None)]
    a.replica.upgrade()
    assert a.rows("item", "*") == world.rows()
    assert [(note.key, note.column, note.sent) for note in a.replica.conflicts()] == [([2], "x", 33)]
    assert a.rejected() == [("item", "column_dropped", {"x": 11})]


class Meanwhile(Line):
    """The centre's row is written as the device asks for the schema: it has pulled by then."""

    def __init__(self, world: World, sql: str) -> None:
        super().__init__(world.servers)
        self._world, self._sql = world, sql

    def send(self, request: Request) -> Response:
        if isinstance(request, SchemaQuery) and self._sql:
            sql, self._sql = self._sql, ""
            self._world.centre.run(sql)
        return super().send(request)


@pytest.mark.parametrize("edit", ["UPDATE item SET x = 5 WHERE id = 2", "DELETE FROM item WHERE id = 2"])
def test_l2_what_others_write_while_the_centres_change_is_followed_is_not_laid_over_what_is_unseen(
    centre: SqliteCentre | PostgresCentre, make: Make, tmp_path: Path, edit: str
) -> None:
    ddl = "CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT, x INTEGER)"
    world = make(centre, f"{ddl}; INSERT INTO item VALUES (1, 'n', 1), (2, 'n', 2)")
    a = world.device()
    copy(a, "id INTEGER NOT NULL PRIMARY KEY, note TEXT, x INTEGER")
    a.run("UPDATE item SET x = 33 WHERE id = 2")
    world.alter("ALTER TABLE item ADD COLUMN more TEXT")
    line = Meanwhile(world, edit)
    late = Device(tmp_path / "a.db", line)
    late.sync()
    assert not line._sql, "it was asked"
    late.sync()
    assert late.rows("item", "*") == world.rows() and late.replica.verify().equal
    (kept,) = late.replica.conflicts()
    assert kept.key == [2] and isinstance(kept.sent, list) and 33 in kept.sent


REPLACED = (
    "CREATE TABLE made (id INTEGER PRIMARY KEY, note TEXT, w INTEGER NOT NULL);"
    " INSERT INTO made SELECT id, note, x FROM item; DROP TABLE item; ALTER TABLE made RENAME TO item"
)


@pytest.mark.parametrize("first", ["before", "after"])
def test_l12_a_replica_that_stays_open_goes_on_with_a_table_that_both_sides_made_anew(
    make: Make, tmp_path: Path, first: str
) -> None:
    """What is done about a table depends on the file's schema and on the hub's as it is noted in the file: a
    sync brings another one of these, and the table that was aside fits."""
    ddl = "CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT, x INTEGER NOT NULL)"
    world = make(SqliteCentre(tmp_path), f"{ddl}; INSERT INTO item VALUES (1, 'n', 1), (2, 'n', 2)")
    a = world.device()
    a.sync()
    edit = "UPDATE item SET note = 'mine' WHERE id = 2"
    if first == "before":
        a.run(edit)
    world.centre.run(REPLACED)
    a.app.executescript(f"BEGIN; {REPLACED}; COMMIT")
    if first == "after":
        a.run(edit)
    for _ in range(2):
        a.sync()
    assert a.replica.status().pending == {} and not a.replica.status().unable
    if first == "before":
        assert world.rows() == [(1, "n", 1), (2, "mine", 2)] and not a.replica.conflicts()
    else:
        assert [note.sent for note in a.replica.conflicts()] == [["mine"]]
    a.run("UPDATE item SET note = 'later' WHERE id = 1")
    a.sync()
    assert world.rows()[0] == (1, "later", 1)
    found = a.replica.verify()
    assert [one.name for one in found.tables] == ["item"]
    assert found.equal == (a.rows("item", "*") == world.rows())


def test_l12_verify_is_not_equal_where_a_table_that_takes_part_was_not_compared(
    centre: SqliteCentre | PostgresCentre, make: Make
) -> None:
    ddl = "CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT); CREATE TABLE other (id INTEGER PRIMARY KEY)"
    world = make(centre, ddl)
    a = world.device()
    a.app.executescript("ALTER TABLE item RENAME TO kept; DROP TRIGGER _sync_1_insert")
    a.app.executescript("DROP TABLE kept")
    found = a.replica.verify()
    assert not found.equal and [one.table for one in found.unable] == ["item"]
    a.app.executescript("CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT)")
    assert a.replica.verify().equal


DEMANDING = (
    "CREATE TABLE made (id INTEGER PRIMARY KEY, note TEXT, w INTEGER NOT NULL);"
    " INSERT INTO made SELECT id, note, 7 FROM item; DROP TABLE item; ALTER TABLE made RENAME TO item"
)


def test_l12_a_row_that_is_here_takes_what_the_centre_has_though_a_column_that_is_not_synced_has_no_default(
    centre: SqliteCentre | PostgresCentre, make: Make
) -> None:
    """Whole rows come where the file is filled, or a table compared: the row here has its value already."""
    rows = "INSERT INTO item VALUES (1, 'n'), (2, 'n'), (3, 'n')"
    world = make(centre, f"CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT); {rows}")
    a = world.device()
    a.app.executescript(f"BEGIN; {DEMANDING}; COMMIT")
    a.sync()
    if isinstance(centre, SqliteCentre):
        centre.run(DEMANDING)
    else:
        centre.run("ALTER TABLE item ADD w int; UPDATE item SET w = 7; ALTER TABLE item ALTER w SET NOT NULL")
    centre.run("UPDATE item SET note = 'theirs' WHERE id = 1; DELETE FROM item WHERE id = 3")
    a.run("UPDATE item SET note = 'mine' WHERE id = 2")
    for _ in range(2):
        report = a.sync()
        assert report.pull is not None and not report.pull.waiting
    centre.run("INSERT INTO item VALUES (4, 'new', 8); UPDATE item SET note = 'later' WHERE id = 1")
    report = a.sync()
    assert report.pull is not None and [one.key for one in report.pull.waiting] == [(4,)]
    assert a.rows("item", "*") == [(1, "later", 7), (2, "mine", 7)]
    assert world.rows() == [(1, "later", 7), (2, "mine", 7), (4, "new", 8)]
    assert not a.replica.conflicts() and not a.replica.rejected()


def test_l12_what_is_said_of_a_file_with_a_hub_in_process_and_edits_of_a_table_that_waits(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ddl = "CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO item VALUES (1, 'n')"
    world = make(SqliteCentre(tmp_path), ddl)
    a = world.device()
    a.run("UPDATE item SET note = 'mine'")
    a.app.executescript("CREATE TABLE kept AS SELECT * FROM item; DROP TABLE item")
    with pytest.raises(syncline.errors.SchemaError):
        a.sync()
    for verb in ("status", "doctor"):
        run([verb, str(tmp_path / "a.db")])
        said = capsys.readouterr().out
        assert "None" not in said and ("the oldest since 2" in said) == (verb == "doctor")


def test_l12_doctor_warns_of_columns_that_have_traded_names_in_the_centre(
    centre: SqliteCentre | PostgresCentre, make: Make, tmp_path: Path
) -> None:
    ddl = "CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT, b TEXT)"
    world = make(centre, f"{ddl}; INSERT INTO item VALUES (1, 'a1', 'b1')")
    a = world.device()

    def codes() -> set[str]:
        return {finding.code for finding in examine(tmp_path / "a.db")}

    assert "names_traded" not in codes()
    renames = ("a TO t", "b TO a", "t TO b")
    world.alter("; ".join(f"ALTER TABLE item RENAME COLUMN {one}" for one in renames))
    a.sync()
    assert "names_traded" in codes()
    a.replica.upgrade()
    assert "names_traded" not in codes()
    assert a.rows("item", "id, a, b") == [(1, "b1", "a1")] and a.replica.verify().equal
