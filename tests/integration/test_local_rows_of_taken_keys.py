"""Rows of the application's own tables follow a row that is brought in under a new number (L2, L13)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import syncline
from syncline.cli.rejected import rejected
from syncline.errors import UsageError
from tests.support.application import sql

DDL = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE office (p INTEGER REFERENCES p (id), place TEXT, PRIMARY KEY (p, place))",
    "CREATE TABLE visit (id TEXT PRIMARY KEY NOT NULL, p INTEGER REFERENCES p (id))",
    "CREATE TABLE errand (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), what TEXT,"
    " o INTEGER, place TEXT, FOREIGN KEY (o, place) REFERENCES office (p, place))",
    "CREATE TABLE report (id TEXT PRIMARY KEY NOT NULL, visit TEXT REFERENCES visit (id))",
    "INSERT INTO p VALUES (1, 'One')",
)
FAVOURITE = (
    "CREATE TABLE favourite (id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES p (id), why TEXT)",
    "INSERT INTO favourite VALUES (1, 2, 'Bo'), (2, 1, 'One'), (3, 2, 'Bo, too')",
)
POINTS = "SELECT why, p FROM favourite ORDER BY id"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[syncline.Hub]:
    sql(tmp_path / "central.db", *DDL)
    with closing(syncline.Hub(f"sqlite:///{tmp_path}/central.db")) as made:
        made.init()
        yield made


@pytest.fixture
def bo(hub: syncline.Hub, tmp_path: Path) -> Iterator[syncline.Replica]:
    """A device with a new row 2, of Bo, and favourites of its own. The centre has another of that number."""
    sql(tmp_path / "central.db", "INSERT INTO p VALUES (2, 'Ana')")
    with closing(syncline.clone(hub, str(tmp_path / "bo.db"))) as made:
        sql(tmp_path / "central.db", "INSERT INTO p VALUES (3, 'Cleo')")
        sql(made.file, "INSERT INTO p VALUES (3, 'Bo')")
        yield made


def taken(replica: syncline.Replica, *statements: str) -> syncline.RejectedEdit:
    sql(replica.file, *(one.replace(", 2, ", ", 3, ") for one in FAVOURITE), *statements)
    replica.sync()
    (edit, *_) = replica.rejected()
    assert edit.code == "key_taken"
    return edit


def test_local_rows_that_meant_the_row_follow_it(bo: syncline.Replica) -> None:
    edit = taken(bo)
    assert edit.local == (("favourite", (1,)), ("favourite", (3,)))
    assert sql(bo.file, POINTS) == [("Bo", 3), ("One", 1), ("Bo, too", 3)]
    (done,) = bo.retry(edit.id, new_key=True)
    assert (done.new_key, done.local, done.left) == ((4,), edit.local, ())
    assert sql(bo.file, POINTS) == [("Bo", 4), ("One", 1), ("Bo, too", 4)]
    bo.sync()
    assert sql(bo.file, "SELECT * FROM p WHERE id > 2") == [(3, "Cleo"), (4, "Bo")]
    assert bo.verify().equal and bo.rejected() == []


@pytest.mark.parametrize(
    "since",
    [
        "INSERT INTO favourite VALUES (4, 3, 'Cleo')",
        "UPDATE favourite SET why = 'Cleo' WHERE id = 3",
        "INSERT OR REPLACE INTO favourite VALUES (3, 3, 'Cleo')",
    ],
)
def test_what_was_written_since_the_rejection_arrived_stays_with_the_others_row_and_is_told(
    bo: syncline.Replica, since: str
) -> None:
    """It may mean the row that is there."""
    edit = taken(bo)
    sql(bo.file, since)
    (done,) = bo.retry(edit.id, new_key=True)
    assert list(done.left) == [("favourite", (4 if "(4" in since else 3,))]
    assert ("Cleo", 3) in sql(bo.file, POINTS) and ("Bo", 4) in sql(bo.file, POINTS)
    assert set(done.local) == set(edit.local) - set(done.left)


def test_what_refers_elsewhere_by_now_or_is_gone_is_left_alone(bo: syncline.Replica) -> None:
    edit = taken(bo)
    sql(bo.file, "UPDATE favourite SET p = 1 WHERE id = 1", "DELETE FROM favourite WHERE id = 3")
    (done,) = bo.retry(edit.id, new_key=True)
    assert (done.local, done.left) == ((), ())
    assert sql(bo.file, POINTS) == [("Bo", 1), ("One", 1)]


def test_local_rows_that_cannot_follow_refuse_the_retry(bo: syncline.Replica) -> None:
    """Nothing is changed then, and the remedy works."""
    guard = "CREATE TRIGGER mine BEFORE UPDATE ON favourite BEGIN SELECT RAISE(ABORT, 'fixed'); END"
    edit = taken(bo, guard)
    with pytest.raises(UsageError, match=r"favourite, key \[1\], cannot follow it: fixed") as found:
        bo.retry(edit.id, new_key=True)
    assert found.value.code == "retry_refused"
    assert (bo.rejected(), list(bo.log())) == ([edit], [])
    sql(bo.file, "DELETE FROM favourite WHERE p = 3")
    bo.retry(edit.id, new_key=True)
    assert sql(bo.file, "SELECT * FROM p WHERE id > 2") == [(3, "Cleo"), (4, "Bo")]


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE note (p INTEGER PRIMARY KEY REFERENCES p, why TEXT) WITHOUT ROWID",
        "CREATE TABLE note (p INTEGER REFERENCES P (ID) ON DELETE CASCADE, why TEXT)",
        "CREATE TABLE note (key TEXT PRIMARY KEY DEFAULT 'a', p INTEGER REFERENCES p (id), why BLOB)",
    ],
    ids=["its key", "no key", "text key"],
)
def test_local_tables_of_every_shape_follow(bo: syncline.Replica, ddl: str) -> None:
    edit = taken(bo, ddl, "INSERT INTO note (p, why) VALUES (3, CAST(x'ff41' AS TEXT))")
    assert [table for table, _ in edit.local].count("note") == 1
    (done,) = bo.retry(edit.id, new_key=True)
    assert len(done.local) == 3 and done.left == ()
    assert sql(bo.file, "SELECT p, hex(why) FROM note") == [(4, "FF41")]


def test_a_local_row_that_meant_the_row_twice_follows_by_both_keys(bo: syncline.Replica) -> None:
    pair = "CREATE TABLE pair (one INTEGER REFERENCES p (id), two INTEGER REFERENCES p (id), three INTEGER)"
    edit = taken(bo, pair, "INSERT INTO pair VALUES (3, 3, 3), (1, 3, 3)")
    (done,) = bo.retry(edit.id, new_key=True)
    assert [table for table, _ in done.local].count("pair") == 2 and done.left == ()
    assert sql(bo.file, "SELECT * FROM pair") == [(4, 4, 3), (1, 4, 3)]


def test_local_rows_of_a_row_that_goes_along_under_a_new_key_follow_it(bo: syncline.Replica) -> None:
    local = "CREATE TABLE desk (id INTEGER PRIMARY KEY, p, place, FOREIGN KEY (p, place) REFERENCES office)"
    edit = taken(bo, "INSERT INTO office VALUES (3, 'HQ')", local, "INSERT INTO desk VALUES (7, 3, 'HQ')")
    _, second = bo.retry(edit.id, new_key=True)
    assert (second.table, second.new_key, second.local) == ("office", (4, "HQ"), (("desk", (7,)),))
    assert sql(bo.file, "SELECT p, place FROM desk") == [(4, "HQ")]
    bo.sync()
    assert sql(bo.file, "SELECT p FROM office") == [(4,)]
    assert bo.waiting() == [] and bo.verify().equal


@pytest.mark.parametrize("pinned", [False, True], ids=["gone meanwhile", "kept in the file meanwhile"])
def test_local_rows_follow_while_all_levels_go_along(bo: syncline.Replica, pinned: bool) -> None:
    """Those of a row that comes back under the key that it had refer to it as before."""
    local = "CREATE TABLE pin (id INTEGER PRIMARY KEY, report TEXT REFERENCES report (id))"
    pin = ["INSERT INTO pin VALUES (1, 'r')"] if pinned else []
    rows = "INSERT INTO visit VALUES ('v', 3)", "INSERT INTO report VALUES ('r', 'v')"
    edit = taken(bo, *rows, local, *pin)
    assert [one.table for one in bo.waiting()] == ["visit", "report"] * pinned
    first, *others = bo.retry(edit.id, new_key=True)
    assert (first.new_key, first.local) == ((4,), (("favourite", (1,)), ("favourite", (3,))))
    assert [(one.table, one.key, one.new_key) for one in others] == [
        ("visit", ("v",), None),
        ("report", ("r",), None),
    ]
    assert [one for one in others if one.local or one.left] == []
    assert sql(bo.file, POINTS) == [("Bo", 4), ("One", 1), ("Bo, too", 4)]
    bo.sync()
    assert sql(bo.file, "SELECT * FROM visit JOIN report ON visit = visit.id") == [("v", 4, "r", "v")]
    assert sql(bo.file, "SELECT report FROM pin") == [("r",)] * pinned
    assert bo.rejected() == [] and bo.waiting() == [] and bo.verify().equal


PIN = (
    "INSERT INTO office VALUES (3, 'HQ')",
    "INSERT INTO errand VALUES (7, 3, 'post', 3, 'HQ')",
    "CREATE TABLE pin (id INTEGER PRIMARY KEY, errand INTEGER REFERENCES errand (id))",
    "INSERT INTO pin VALUES (1, 7)",
)


def test_a_row_that_the_file_keeps_goes_along_under_its_own_number(bo: syncline.Replica) -> None:
    """Also one that points at two rows that have other keys by now."""
    edit = taken(bo, *PIN)
    _, office, errand = bo.retry(edit.id, new_key=True)
    assert (office.table, office.new_key) == ("office", (4, "HQ"))
    assert (errand.table, errand.key, errand.new_key, errand.left) == ("errand", (7,), None, ())
    assert sql(bo.file, "SELECT * FROM pin") == [(1, 7)]
    bo.sync()
    assert sql(bo.file, "SELECT * FROM errand") == [(7, 4, "post", 4, "HQ")]
    assert sql(bo.file, "SELECT p FROM office") == [(4,)]
    assert bo.rejected() == [] and bo.waiting() == [] and bo.verify().equal


def test_what_was_written_since_into_a_row_that_the_file_keeps_is_not_lost(bo: syncline.Replica) -> None:
    """It may be another thing by now; the rejected one gets a number of its own."""
    edit = taken(bo, *PIN)
    sql(bo.file, "UPDATE errand SET what = 'bank' WHERE id = 7")
    *_, errand = bo.retry(edit.id, new_key=True)
    assert (errand.key, errand.new_key) == ((7,), (8,))
    assert sql(bo.file, "SELECT * FROM errand") == [(7, 3, "bank", 3, "HQ"), (8, 4, "post", 4, "HQ")]


def test_more_rows_than_can_be_noted_stay_and_are_told(
    bo: syncline.Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.replica.meant.MOST", 1)
    edit = taken(bo)
    assert edit.local == ()
    (done,) = bo.retry(edit.id, new_key=True)
    assert done.left == (("favourite", (1,)), ("favourite", (3,)))
    assert sql(bo.file, POINTS) == [("Bo", 3), ("One", 1), ("Bo, too", 3)]


def test_local_rows_follow_a_row_of_a_file_that_was_tracked(hub: syncline.Hub, tmp_path: Path) -> None:
    sql(tmp_path / "central.db", "INSERT INTO p VALUES (2, 'Ana')")
    sql(tmp_path / "own.db", DDL[0], "INSERT INTO p VALUES (1, 'One'), (2, 'Bo')", *FAVOURITE)
    with closing(syncline.connect(tmp_path / "own.db", hub=hub)) as replica:
        replica.track("p")
        (edit,) = replica.rejected()
        assert (edit.code, edit.local) == ("key_taken", (("favourite", (1,)), ("favourite", (3,))))
        replica.retry(edit.id, new_key=True)
        assert sql(replica.file, POINTS) == [("Bo", 3), ("One", 1), ("Bo, too", 3)]
        replica.sync()
        assert sql(tmp_path / "central.db", "SELECT * FROM p") == [(1, "One"), (2, "Ana"), (3, "Bo")]


def test_the_local_rows_are_named(bo: syncline.Replica) -> None:
    edit = taken(bo)
    shown = CliRunner().invoke(rejected, [bo.file, "show", str(edit.id)]).output
    assert "referred to it, in tables of this file alone: favourite 1, favourite 3" in shown
    sql(bo.file, "UPDATE favourite SET why = '' WHERE id = 3")
    said = CliRunner().invoke(rejected, [bo.file, "retry", str(edit.id), "--new-key"]).output
    assert "refer to it now, in tables of this file alone: favourite 1\n" in said
    assert "still refer to p 3, for they were written or changed since: favourite 3\n" in said
