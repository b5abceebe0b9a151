"""Rows that a device has never seen go in the centre with what it deletes: each is kept as a conflict of the
push (laws L2, L12), in one piece and in chunks, over every centre."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.cli.conflicts import explained
from syncline.protocol.messages import Limits
from tests.support.application import sql
from tests.support.either import centre_with, run

KEY, BELOW = "id TEXT NOT NULL PRIMARY KEY", "ON DELETE CASCADE ON UPDATE CASCADE"
DEFAULT = "ON DELETE SET DEFAULT ON UPDATE CASCADE"
DDL = (
    "CREATE TABLE farm (id TEXT NOT NULL PRIMARY KEY, code TEXT UNIQUE)",
    f"CREATE TABLE visit ({KEY}, farm TEXT REFERENCES farm (id) {BELOW}, note TEXT)",
    f"CREATE TABLE remark ({KEY}, visit TEXT REFERENCES visit (id) {BELOW}, note TEXT)",
    f"CREATE TABLE badge ({KEY}, code TEXT REFERENCES farm (code) {BELOW})",
    f"CREATE TABLE tree ({KEY}, above TEXT REFERENCES tree (id) {BELOW}, note TEXT)",
    "CREATE TABLE loose (id TEXT NOT NULL PRIMARY KEY, farm TEXT REFERENCES farm (id) ON DELETE SET NULL)",
    f"CREATE TABLE pin ({KEY}, farm TEXT DEFAULT 'g' REFERENCES farm (id) {DEFAULT}, note TEXT)",
    f"CREATE TABLE plate ({KEY}, code TEXT REFERENCES farm (code) ON DELETE SET NULL ON UPDATE SET NULL)",
    "CREATE TABLE lot (a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b))",
    f"CREATE TABLE bid ({KEY}, a TEXT, b TEXT, FOREIGN KEY (a, b) REFERENCES lot ON DELETE SET NULL)",
    f"CREATE TABLE note ({KEY}, visit TEXT REFERENCES visit (id) ON DELETE SET NULL)",
    f"CREATE TABLE tally (id INTEGER PRIMARY KEY, farm TEXT REFERENCES farm (id) {BELOW}, note TEXT)",
    f"CREATE TABLE stay ({KEY}, farm TEXT REFERENCES farm (id) {BELOW}, code TEXT UNIQUE, note TEXT,"
    " other TEXT REFERENCES farm (id) ON DELETE SET NULL)",
    f"CREATE TABLE bill ({KEY}, stay TEXT REFERENCES stay (id) {BELOW}, note TEXT, more TEXT)",
    f"CREATE TABLE slip ({KEY}, code TEXT REFERENCES stay (code) {BELOW}, note TEXT)",
    f"CREATE TABLE label ({KEY}, farm TEXT REFERENCES farm (id) ON DELETE SET NULL, code TEXT UNIQUE,"
    " mark TEXT REFERENCES farm (code) ON DELETE SET NULL ON UPDATE SET NULL)",
    "INSERT INTO farm VALUES ('f', 'F'), ('g', 'G')",
    "INSERT INTO stay VALUES ('s', 'g', '1', 'seen', NULL), ('t', 'g', '2', 'seen', NULL)",
    "INSERT INTO bill VALUES ('b', 's', 'seen', ''), ('d', 't', 'seen', '')",
    "INSERT INTO slip VALUES ('x', '2', 'seen')",
    "INSERT INTO label VALUES ('l', 'g', '1', NULL), ('m', 'g', '2', NULL)",
    "INSERT INTO lot VALUES ('1', '2')",
    "INSERT INTO pin VALUES ('p', 'f', 'seen')",
    "INSERT INTO plate VALUES ('p', 'F')",
    "INSERT INTO visit VALUES ('v', 'f', 'seen'), ('w', 'g', 'seen')",
    "INSERT INTO remark VALUES ('r', 'v', 'seen')",
    "INSERT INTO tree VALUES ('t', NULL, ''), ('u', 't', ''), ('s', 'u', '')",
)
TABLES = ("farm", "visit", "remark", "badge", "tree", "loose", "pin", "plate", "lot", "bid", "note",
          "tally", "stay", "bill", "slip", "label")  # fmt: skip
EMPTIED = {
    "loose": "set_null",
    "pin": "set_default",
    "plate": "set_null",
    "bid": "set_null",
    "note": "set_null",
    "label": "set_null",
}


def edit(file: str, *statements: str) -> None:
    """As an application does that lets its foreign keys work."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            for statement in statements:
                connection.execute(statement)


class Desk:
    """A centre, the device `one` that deletes, and `two`, which writes what the other has not seen."""

    def __init__(self, hub: syncline.Hub, folder: Path) -> None:
        self.hub = hub
        self.one, self.two = (syncline.clone(hub, folder / f"{name}.db") for name in ("one", "two"))

    def meet_later(self, theirs: Sequence[str], mine: Sequence[str]) -> list[tuple[Any, ...]]:
        """As `meet`, but `one` edits last, too. The keys of its rejected edits, with the tables and codes."""
        edit(self.two.file, *theirs)
        assert self.two.sync().push.rejected == ()
        self.meet([], mine)
        return sorted((edit.table, *edit.key, edit.code) for edit in self.one.rejected())

    def meet(self, theirs: Sequence[str], mine: Sequence[str]) -> None:
        """Both edit, unseen by the other; `one` is the last to push. What its preview said has come true."""
        edit(self.one.file, *mine)
        edit(self.two.file, *theirs)
        assert self.two.sync().push.rejected == ()
        preview = self.one.preview()
        report = self.one.sync().push
        assert len(preview.conflicts) == report.conflicts == len(self.kept())
        self.two.sync()
        assert self.one.verify().equal and self.two.verify().equal
        assert self.two.conflicts() == []

    def kept(self) -> dict[tuple[Any, ...], Any]:
        """The conflicts, of which the operator is told the same: the values of the centre, by table and key,
        and by column, if it is a reference that was emptied."""
        mine, theirs = map(self._by_place, (self.one.conflicts(), self.hub.conflicts()))
        assert mine == theirs and len(mine) == len(self.one.conflicts())
        for note in self.one.conflicts():
            policy = "cascade" if note.column is None else EMPTIED[note.table]
            assert (note.outcome, note.policy) == ("replica", policy)
        return mine

    def _by_place(self, notes: Iterable[Any]) -> dict[tuple[Any, ...], Any]:
        return {(note.table, *note.key, *([note.column] if note.column else [])): note.hub for note in notes}

    def left(self, table: str) -> list[Any]:
        return [key for (key,) in sql(self.two.file, f"SELECT id FROM {table} ORDER BY id")]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return centre_with(request, request.param, tmp_path, *DDL)


@pytest.fixture(params=[1000, 1], ids=["in one piece", "in chunks"])
def desk(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Desk]:
    with syncline.Hub(url, limits=Limits(push_rows=request.param)) as hub:
        hub.init()
        place = Desk(hub, tmp_path)
        with closing(place.one), closing(place.two):
            yield place


def test_l2_what_others_put_below_a_deleted_row_is_kept_however_deep(desk: Desk) -> None:
    desk.meet(
        [
            "INSERT INTO visit VALUES ('x', 'f', 'new')",
            "INSERT INTO remark VALUES ('y', 'x', 'new'), ('z', 'v', 'new'), ('o', 'w', 'stays')",
            "UPDATE visit SET farm = 'f', note = 'moved' WHERE id = 'w'",
            "INSERT INTO badge VALUES ('b', 'F'), ('c', 'G')",
            "INSERT INTO loose VALUES ('l', 'f')",
        ],
        ["DELETE FROM farm WHERE id = 'f'"],
    )
    assert desk.kept() == {
        ("visit", "x"): ["f", "new"],
        ("visit", "w"): ["f", "moved"],
        ("remark", "y"): ["x", "new"],
        ("remark", "z"): ["v", "new"],
        ("remark", "o"): ["w", "stays"],
        ("badge", "b"): ["F"],
        ("loose", "l", "farm"): "f",
    }
    two = str(desk.two.id)
    assert {note.rival for note in desk.one.conflicts()} == {two}
    assert [desk.left(name) for name in TABLES[:4]] == [["g"], [], [], ["c"]]
    assert desk.left("loose") == ["l"]


def test_l2_a_changed_key_leaves_what_others_put_under_the_old_one_to_a_conflict(desk: Desk) -> None:
    desk.meet(
        ["INSERT INTO visit VALUES ('x', 'f', 'new')"],
        ["UPDATE farm SET id = 'h' WHERE id = 'f'"],
    )
    emptied: dict[tuple[Any, ...], Any] = {
        ("plate", "p", "code"): "F"
    }  # the device had left it, for the new row has the same code
    assert desk.kept() == {("visit", "x"): ["f", "new"], **emptied}
    assert desk.left("visit") == ["v", "w"] and desk.left("remark") == ["r"]


def test_l2_what_others_put_into_a_tree_goes_with_a_branch_and_is_kept(desk: Desk) -> None:
    desk.meet(
        ["INSERT INTO tree VALUES ('n', 's', 'new'), ('m', 'n', 'new')", "UPDATE visit SET note = 'other'"],
        ["DELETE FROM tree WHERE id = 'u'"],
    )
    assert desk.kept() == {("tree", "n"): ["s", "new"], ("tree", "m"): ["n", "new"]}
    assert desk.left("tree") == ["t"]


def test_a_delete_of_what_was_seen_is_no_conflict(desk: Desk) -> None:
    desk.meet(
        ["UPDATE farm SET code = 'other' WHERE id = 'g'"],
        ["DELETE FROM farm WHERE id = 'f'", "DELETE FROM tree WHERE id = 't'"],
    )
    assert desk.kept() == {}
    assert [desk.left(name) for name in ("farm", "visit", "remark", "tree")] == [["g"], ["w"], [], []]


def test_a_row_that_the_push_moves_away_first_is_no_conflict(desk: Desk) -> None:
    desk.meet(
        ["INSERT INTO remark VALUES ('y', 'v', 'new')"],
        ["UPDATE visit SET farm = 'g' WHERE id = 'v'", "DELETE FROM farm WHERE id = 'f'"],
    )
    assert desk.kept() == {}
    assert desk.left("visit") == ["v", "w"] and desk.left("remark") == ["r", "y"]


@pytest.mark.parametrize("rows", [1000, 1])
def test_l2_an_update_that_won_over_a_delete_and_goes_with_the_parent_is_not_said_to_stay(
    url: str, tmp_path: Path, rows: int
) -> None:
    rule = syncline.Table(deletes="update_wins")
    limits = Limits(push_rows=rows)
    with syncline.Hub(url, tables=dict.fromkeys(TABLES, rule), limits=limits) as hub:
        hub.init()
        desk = Desk(hub, tmp_path)
        with closing(desk.one), closing(desk.two):
            desk.meet(
                [
                    "UPDATE visit SET note = 'theirs' WHERE id = 'v'",
                    "UPDATE tree SET note = 't' WHERE id = 's'",
                ],
                ["DELETE FROM farm WHERE id = 'f'", "DELETE FROM tree WHERE id = 't'"],
            )
            assert desk.kept() == {("visit", "v"): ["f", "theirs"], ("tree", "s"): ["u", "t"]}
            assert desk.left("visit") == ["w"] and desk.left("tree") == []


def test_l2_a_delete_that_is_refused_takes_nothing_and_notes_nothing(url: str, tmp_path: Path) -> None:
    run(url, "CREATE TABLE seal (id TEXT NOT NULL PRIMARY KEY, farm TEXT REFERENCES farm (id))")
    with syncline.Hub(url) as hub:
        hub.init()
        desk = Desk(hub, tmp_path)
        with closing(desk.one), closing(desk.two):
            sql(
                desk.two.file,
                "INSERT INTO visit VALUES ('x', 'f', 'new')",
                "INSERT INTO seal VALUES ('k', 'f')",
            )
            edit(desk.one.file, "DELETE FROM farm WHERE id = 'f'")
            desk.two.sync()
            assert [edit.key for edit in desk.one.sync().push.rejected] == [("f",)]
            assert list(hub.conflicts()) == []
            assert "x" in desk.left("visit")


def test_l12_references_that_others_set_and_a_delete_empties_are_kept(desk: Desk) -> None:
    desk.meet(
        [
            "INSERT INTO loose VALUES ('l', 'f'), ('m', 'g'), ('n', NULL)",
            "INSERT INTO pin VALUES ('q', 'f', 'new'), ('r', 'g', 'new')",
            "INSERT INTO plate VALUES ('q', 'F')",
            "INSERT INTO bid VALUES ('b', '1', '2'), ('c', '1', NULL)",
            "INSERT INTO visit VALUES ('x', 'f', 'new')",
            "INSERT INTO note VALUES ('n', 'x'), ('o', 'w')",
        ],
        ["DELETE FROM farm WHERE id = 'f'", "DELETE FROM lot"],
    )
    assert desk.kept() == {
        ("loose", "l", "farm"): "f",
        ("pin", "q", "farm"): "f",
        ("plate", "q", "code"): "F",
        ("bid", "b", "a"): "1",
        ("bid", "b", "b"): "2",
        ("visit", "x"): ["f", "new"],
        ("note", "n", "visit"): "x",
    }
    two = str(desk.two.id)
    assert {note.rival for note in desk.one.conflicts()} == {two}
    assert {note.table: note.sent for note in desk.one.conflicts() if note.column} == {
        "loose": None, "pin": "g", "plate": None, "bid": None, "note": None,
    }  # fmt: skip
    assert sql(desk.two.file, "SELECT id, farm FROM pin ORDER BY id") == [("p", "g"), ("q", "g"), ("r", "g")]


def test_a_reference_that_the_deleting_device_had_seen_is_no_conflict(desk: Desk) -> None:
    """It has emptied it itself; of others only another column was edited."""
    desk.meet(
        ["UPDATE pin SET note = 'theirs'"],
        ["DELETE FROM farm WHERE id = 'f'", "INSERT INTO loose VALUES ('l', 'g')"],
    )
    assert desk.kept() == {}
    assert sql(desk.two.file, "SELECT id, farm, note FROM pin") == [("p", "g", "theirs")]
    assert sql(desk.two.file, "SELECT id, code FROM plate") == [("p", None)]


def test_l12_an_edit_of_a_reference_that_had_won_is_said_to_be_lost(desk: Desk) -> None:
    """The device empties it with its delete; the other set it later, away and back."""
    edit(desk.one.file, "DELETE FROM farm WHERE id = 'f'")
    desk.one.preview()  # notes nothing, and sends nothing
    edit(
        desk.two.file, "UPDATE pin SET farm = 'g' WHERE id = 'p'", "UPDATE pin SET farm = 'f' WHERE id = 'p'"
    )
    desk.two.sync()
    desk.meet(["INSERT INTO loose VALUES ('l', 'f')"], [])
    assert desk.kept() == {("pin", "p", "farm"): "f", ("loose", "l", "farm"): "f"}
    assert sql(desk.two.file, "SELECT id, farm FROM pin") == [("p", "g")]


def test_l12_what_a_changed_value_empties_is_kept_as_well(desk: Desk) -> None:
    desk.meet(
        ["INSERT INTO plate VALUES ('q', 'F'), ('r', 'G')", "INSERT INTO badge VALUES ('b', 'F')"],
        ["UPDATE farm SET code = 'H' WHERE id = 'f'"],
    )
    assert desk.kept() == {("plate", "q", "code"): "F"}
    assert sql(desk.two.file, "SELECT id, code FROM plate ORDER BY id") == [
        ("p", None), ("q", None), ("r", "G"),
    ]  # fmt: skip
    assert sql(desk.two.file, "SELECT code FROM badge") == [("H",)]  # it follows, and refers to the same


def test_l12_a_delete_that_is_refused_empties_nothing_and_notes_nothing(url: str, tmp_path: Path) -> None:
    run(url, "CREATE TABLE seal (id TEXT NOT NULL PRIMARY KEY, farm TEXT REFERENCES farm (id))")
    with syncline.Hub(url) as hub:
        hub.init()
        desk = Desk(hub, tmp_path)
        with closing(desk.one), closing(desk.two):
            sql(desk.two.file, "INSERT INTO loose VALUES ('l', 'f')", "INSERT INTO seal VALUES ('k', 'f')")
            edit(desk.one.file, "DELETE FROM farm WHERE id = 'f'")
            desk.two.sync()
            assert ("f",) in [edit.key for edit in desk.one.sync().push.rejected]
            assert list(hub.conflicts()) == []
            assert sql(desk.two.file, "SELECT farm FROM loose") == [("f",)]


def test_what_was_emptied_is_explained_and_given_back_when_its_row_is(desk: Desk) -> None:
    desk.meet(["INSERT INTO loose VALUES ('l', 'f')"], ["DELETE FROM farm WHERE id = 'f'"])
    (note,) = desk.one.conflicts()
    said = " ".join(explained(note, {}))
    assert "referred to what" in said and "Policy set_null (a foreign key of the centre empties" in said
    edit(desk.two.file, "INSERT INTO farm VALUES ('f', 'F')")
    desk.two.sync()
    desk.one.resolve(note.id, "value", "f")
    desk.one.sync()
    desk.two.sync()
    assert sql(desk.two.file, "SELECT farm FROM loose") == [("f",)]


def test_l2_a_row_goes_and_is_kept_though_the_push_has_an_insert_of_its_key_rejected(desk: Desk) -> None:
    rejected = desk.meet_later(
        ["INSERT INTO tally VALUES (5, 'f', 'theirs')"],
        ["INSERT INTO tally VALUES (5, 'g', 'mine')", "DELETE FROM farm WHERE id = 'f'"],
    )
    assert rejected == [("tally", 5, "key_taken")]
    assert desk.kept() == {("tally", 5): ["f", "theirs"]}
    assert desk.left("tally") == []


MOVED = ("UPDATE stay SET farm = 'f', note = 'theirs' WHERE id = 's'", "UPDATE bill SET note = 'theirs'")
DELETED = "DELETE FROM farm WHERE id = 'f'"


@pytest.mark.parametrize(
    "mine",
    [
        ["UPDATE stay SET code = '9' WHERE id = 's'", "UPDATE bill SET more = 'mine'"],
        [
            "UPDATE stay SET code = '9', note = 'mine' WHERE id = 's'",
            "UPDATE bill SET note = 'mine' WHERE id = 'b'",
        ],
    ],
    ids=["other columns", "the same column"],
)
def test_l2_a_row_that_goes_is_kept_though_the_push_edits_it(desk: Desk, mine: Sequence[str]) -> None:
    """However deep; with the values that others had there, not those of the rejected edit."""
    rejected = desk.meet_later(MOVED, [*mine, DELETED])
    assert [(table, key) for table, key, _ in rejected] == [("bill", "b"), ("stay", "s")]
    assert desk.kept() == {
        ("stay", "s"): ["f", "1", "theirs", None],
        ("bill", "b"): ["s", "theirs", ""],
    }
    assert desk.left("stay") == ["t"] and desk.left("bill") == ["d"]


def test_l2_a_row_that_goes_is_kept_though_the_push_has_an_edit_of_it_refused(desk: Desk) -> None:
    rejected = desk.meet_later(
        [*MOVED, "UPDATE stay SET code = '9' WHERE id = 't'"],
        ["UPDATE stay SET code = '9' WHERE id = 's'", DELETED],
    )
    assert [(table, key) for table, key, _ in rejected] == [("stay", "s")]
    assert desk.kept() == {
        ("stay", "s"): ["f", "1", "theirs", None],
        ("bill", "b"): ["s", "theirs", ""],
    }


@pytest.mark.parametrize("code", ["1", "9"], ids=["as it was", "changed too"])
def test_l2_a_row_that_the_push_moves_below_one_that_goes_is_kept(desk: Desk, code: str) -> None:
    """By the key, and by another column, which the push may change as well."""
    changed = "UPDATE stay SET code = '9' WHERE id = 's'"
    rejected = desk.meet_later(
        [*MOVED, "UPDATE slip SET note = 'theirs'"],
        [
            *([changed] if code == "9" else []),
            "UPDATE bill SET stay = 's' WHERE id = 'd'",
            f"UPDATE slip SET code = '{code}'",
            DELETED,
        ],
    )
    assert {(table, key) for table, key, _ in rejected} >= {("bill", "d"), ("slip", "x")}
    assert desk.kept() == {
        ("stay", "s"): ["f", "1", "theirs", None],
        ("bill", "b"): ["s", "theirs", ""],
        ("bill", "d"): ["t", "theirs", ""],
        ("slip", "x"): ["2", "theirs"],
    }


def test_l2_what_another_program_did_is_kept_though_the_push_edits_the_row(desk: Desk, url: str) -> None:
    run(url, "UPDATE stay SET farm = 'f', note = 'theirs' WHERE id = 's'")
    rejected = desk.meet_later([], ["UPDATE stay SET code = '9' WHERE id = 's'", DELETED])
    assert [(table, key) for table, key, _ in rejected] == [("stay", "s")]
    assert desk.kept() == {("stay", "s"): ["f", "1", "theirs", None], ("bill", "b"): ["s", "seen", ""]}


def test_a_row_that_the_push_put_there_itself_is_rejected_and_no_conflict(desk: Desk) -> None:
    """The new row of the device goes with the row of others that it was put below: nobody else had it."""
    rejected = desk.meet_later(MOVED, ["INSERT INTO bill VALUES ('n', 's', 'mine', '')", DELETED])
    assert [(table, key) for table, key, _ in rejected] == [("bill", "n")]
    assert desk.kept().keys() == {("stay", "s"), ("bill", "b")}


TAKEN = "UPDATE label SET code = '9' WHERE id = 'm'"


@pytest.mark.parametrize("also", ["", ", farm = NULL"], ids=["another column", "the reference, too"])
def test_l12_a_reference_is_kept_that_goes_though_the_push_has_an_edit_of_its_row_refused(
    desk: Desk, also: str
) -> None:
    rejected = desk.meet_later(
        ["UPDATE label SET farm = 'f' WHERE id = 'l'", TAKEN],
        [f"UPDATE label SET code = '9'{also} WHERE id = 'l'", DELETED],
    )
    assert rejected == [("label", "l", "unique_violation")]
    assert desk.kept() == {("label", "l", "farm"): "f"}


def test_l12_a_reference_that_a_changed_value_empties_is_kept_though_an_edit_of_it_is_refused(
    desk: Desk,
) -> None:
    rejected = desk.meet_later(
        ["UPDATE label SET mark = 'F' WHERE id = 'l'", TAKEN],
        [
            "UPDATE label SET code = '9', mark = 'G' WHERE id = 'l'",
            "UPDATE farm SET code = 'H' WHERE id = 'f'",
        ],
    )
    assert rejected == [("label", "l", "unique_violation")]
    assert desk.kept() == {("label", "l", "mark"): "F"}


def test_a_reference_of_a_row_that_the_push_moves_away_from_what_it_deletes_is_kept(desk: Desk) -> None:
    """The row would have gone, were it not moved: it stays, and what it referred to goes."""
    edit(desk.two.file, "UPDATE stay SET farm = 'f' WHERE id = 's'")
    desk.two.sync(), desk.one.sync()
    edit(desk.one.file, "UPDATE stay SET farm = 'g' WHERE id = 's'", DELETED)
    edit(desk.two.file, "UPDATE stay SET other = 'f' WHERE id = 's'")
    desk.two.sync()
    desk.one.sync()
    assert [(one.key, one.column, one.hub) for one in desk.one.conflicts()] == [(["s"], "other", "f")]


def test_a_reference_that_the_push_sets_when_a_unique_value_is_free_is_its_own_edit(desk: Desk) -> None:
    """The value is that of a row which goes at last; in chunks the edit waits for that, and the reference has
    been emptied by then: it was decided, and is noted once."""
    edit(desk.two.file, "INSERT INTO farm VALUES ('h', 'H')")
    desk.two.sync(), desk.one.sync()
    edit(desk.two.file, "UPDATE stay SET farm = 'h', code = '9' WHERE id = 't'")
    edit(desk.two.file, "UPDATE stay SET other = 'f' WHERE id = 's'")
    desk.two.sync()
    edit(desk.one.file, "UPDATE stay SET other = 'g', code = '9' WHERE id = 's'")
    edit(desk.one.file, DELETED, "DELETE FROM farm WHERE id = 'h'")
    assert desk.one.sync().push.rejected == ()
    kept = [one for one in desk.one.conflicts() if one.table == "stay"]
    assert sorted((one.key[0], one.column or "", one.policy) for one in kept) == [
        ("s", "other", "lww"),
        ("t", "", "cascade"),
    ]
    assert sql(desk.one.file, "SELECT id, other, code FROM stay") == [("s", "g", "9")]
