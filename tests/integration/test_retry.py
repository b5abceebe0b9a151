"""A rejected edit that is tried again never overwrites silently what others wrote since (L2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import UsageError
from syncline.protocol.messages import Push, Request, Response
from syncline.replica.device import Device
from syncline.replica.recovery import begin
from syncline.replica.rejected import Reason, keep_rejected
from syncline.transports.local import LocalTransport
from tests.support.application import sql

DDL = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT, note TEXT, CHECK (name <> 'bad' OR note IS 'may'))",
    "CREATE TABLE visit (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), what TEXT)",
    "CREATE TABLE fixed (id INTEGER PRIMARY KEY, word TEXT)",
    "CREATE TRIGGER fixed BEFORE DELETE ON fixed BEGIN SELECT RAISE(ABORT, 'fixed'); END",
    "INSERT INTO p VALUES (1, 'x', NULL)",
    "INSERT INTO fixed VALUES (1, 'a')",
)


class Two:
    """A centre and two devices of it."""

    def __init__(self, folder: Path) -> None:
        self.centre = folder / "central.db"
        sql(self.centre, *DDL)
        self.hub = syncline.Hub(f"sqlite:///{self.centre}")
        self.hub.init()
        self.a, self.b = (syncline.clone(self.hub, str(folder / name)) for name in ("a.db", "b.db"))

    def close(self) -> None:
        for one in (self.a, self.b, self.hub):
            one.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    made = Two(tmp_path)
    yield made
    made.close()


def refused(replica: syncline.Replica, number: int, *, new_key: bool = False) -> str:
    """The remedy of a retry that is refused; the edit is still kept then."""
    kept = replica.rejected()
    with pytest.raises(UsageError) as found:
        replica.retry(number, new_key=new_key)
    assert (found.value.code, replica.rejected()) == ("retry_refused", kept)
    return found.value.remedy


def taken(two: Two) -> None:
    """Ana's row 5 and its visit are in the centre; Bo's are rejected on `b`."""
    for replica, name in ((two.a, "Ana"), (two.b, "Bo")):
        sql(replica.file, f"INSERT INTO p VALUES (5, '{name}', NULL)")
    sql(two.b.file, "INSERT INTO visit VALUES (7, 5, 'of Bo')")
    two.a.sync()
    two.b.sync()
    assert [edit.code for edit in two.b.rejected()] == ["key_taken", "parent_rejected"]


def test_an_insert_whose_key_is_anothers_is_not_put_over_its_row(two: Two) -> None:
    taken(two)
    remedy = refused(two.b, 1)
    assert "--new-key" in remedy
    assert "iscard" in remedy
    two.b.sync()
    assert sql(two.centre, "SELECT name FROM p WHERE id = 5") == [("Ana",)]


def test_a_child_is_not_given_to_the_row_that_has_its_parents_key(two: Two) -> None:
    taken(two)
    assert "--new-key" in refused(two.b, 2)
    two.b.retry(1, new_key=True)
    two.b.sync()
    assert sql(two.centre, "SELECT v.what, p.name FROM visit v JOIN p ON p.id = v.p") == [("of Bo", "Bo")]


@pytest.mark.parametrize("is_discarded", [False, True])
def test_a_child_whose_own_key_is_taken_too_gets_no_new_one_before_its_parent(
    two: Two, is_discarded: bool
) -> None:
    """Under a new key of its own it would hang on the row that has its parent's key."""
    for replica, name in ((two.a, "Ana"), (two.b, "Bo")):
        sql(
            replica.file,
            f"INSERT INTO p VALUES (5, '{name}', NULL)",
            f"INSERT INTO visit VALUES (7, 5, 'of {name}')",
        )
    two.a.sync()
    two.b.sync()
    assert [edit.code for edit in two.b.rejected()] == ["key_taken", "key_taken"]
    if is_discarded:
        two.b.discard(1)
    assert ("again" if is_discarded else "retry edit 1 with --new-key") in refused(two.b, 2, new_key=True)
    if not is_discarded:
        two.b.retry(1, new_key=True)
        two.b.sync()
        found = sql(two.centre, "SELECT v.what, p.name FROM visit v JOIN p ON p.id = v.p ORDER BY v.id")
        assert found == [("of Ana", "Ana"), ("of Bo", "Bo")]


def test_a_child_of_a_discarded_parent_is_not_given_to_the_row_that_has_its_key(two: Two) -> None:
    taken(two)
    two.b.discard(1)
    assert "again" in refused(two.b, 2)
    two.b.sync()
    assert sql(two.centre, "SELECT count(*) FROM visit") == [(0,)]
    sql(two.centre, "DELETE FROM p WHERE id = 5")
    two.b.sync()
    sql(two.b.file, "INSERT INTO p VALUES (5, 'Bo', NULL)")
    two.b.discard(2)
    assert two.b.rejected() == []


def test_a_child_whose_key_was_taken_later_follows_under_a_new_one(two: Two) -> None:
    taken(two)
    sql(two.centre, "INSERT INTO visit VALUES (7, 5, 'of Ana')")
    two.b.sync()
    two.b.retry(1, new_key=True)
    two.b.sync()
    found = sql(two.centre, "SELECT v.what, p.name FROM visit v JOIN p ON p.id = v.p ORDER BY v.id")
    assert found == [("of Ana", "Ana"), ("of Bo", "Bo")]
    assert two.b.rejected() == []


def test_an_insert_whose_key_is_free_again_is_put_back_with_its_child(two: Two) -> None:
    taken(two)
    sql(two.centre, "DELETE FROM p WHERE id = 5")
    two.b.sync()
    two.b.retry(1)
    two.b.retry(2)
    two.b.sync()
    assert sql(two.centre, "SELECT name FROM p WHERE id = 5") == [("Bo",)]
    assert sql(two.centre, "SELECT p FROM visit") == [(5,)]
    assert two.b.rejected() == []


def test_an_edit_of_the_row_that_turned_out_to_be_anothers_is_not_tried_on_it(two: Two) -> None:
    sql(two.centre, "INSERT INTO p VALUES (5, 'Ana', NULL)")
    sql(two.b.file, "INSERT INTO p VALUES (5, 'Bo', NULL)")
    two.b.push()
    sql(two.b.file, "UPDATE p SET note = 'of Bo' WHERE id = 5")
    two.b.sync()
    assert [(edit.op, edit.code) for edit in two.b.rejected()] == [("I", "key_taken"), ("U", "key_taken")]
    refused(two.b, 2)
    assert sql(two.b.file, "SELECT note FROM p WHERE id = 5") == [(None,)]


OTHERS: list[tuple[str, str, str]] = [
    (
        "UPDATE p SET name = 'bad' WHERE id = 1",
        "UPDATE p SET name = 'new', note = 'may'",
        "SELECT name FROM p",
    ),
    (
        "INSERT INTO p VALUES (4, 'bad', '')",
        "INSERT INTO p VALUES (4, 'new', '')",
        "SELECT name FROM p WHERE id = 4",
    ),
    ("DELETE FROM fixed", "UPDATE fixed SET word = 'new'", "SELECT word FROM fixed"),
]


@pytest.mark.parametrize(("edit", "others", "shown"), OTHERS, ids=["update", "insert", "delete"])
def test_what_others_wrote_since_is_not_overwritten(two: Two, edit: str, others: str, shown: str) -> None:
    sql(two.b.file, "PRAGMA ignore_check_constraints = ON", edit)
    two.b.sync()
    (kept,) = two.b.rejected()
    sql(two.a.file, others)
    two.a.sync()
    two.b.sync()
    refused(two.b, kept.id)
    two.b.sync()
    assert sql(two.centre, shown) == [("new",)]


def test_what_others_wrote_into_other_columns_does_not_hinder(two: Two) -> None:
    sql(two.b.file, "PRAGMA ignore_check_constraints = ON", "UPDATE p SET name = 'bad' WHERE id = 1")
    two.b.sync()
    sql(two.centre, "UPDATE p SET note = 'may' WHERE id = 1")
    two.b.sync()
    two.b.retry(1)
    two.b.sync()
    assert sql(two.centre, "SELECT name, note FROM p") == [("bad", "may")]


def stocked(two: Two) -> None:
    """A counter that must not become negative, and of which `b` holds a rejected difference."""
    two.close()
    sql(
        two.centre,
        "CREATE TABLE stock (id INTEGER PRIMARY KEY, amount INTEGER, note TEXT)",
        "CREATE TRIGGER enough BEFORE UPDATE ON stock WHEN new.amount < 0"
        " BEGIN SELECT RAISE(ABORT, 'too little'); END",
        "INSERT INTO stock VALUES (1, 10, 'x')",
    )
    two.hub = syncline.Hub(f"sqlite:///{two.centre}", {"stock": syncline.Table(merge={"amount": "sum"})})
    two.hub.init()
    two.a, two.b = (syncline.clone(two.hub, f"{two.centre}-{name}") for name in ("a", "b"))
    sql(two.b.file, "UPDATE stock SET amount = amount - 500")
    two.b.sync()
    assert [edit.code for edit in two.b.rejected()] == ["rejected_by_trigger"]


OWN = [
    ("UPDATE stock SET amount = amount + 5", [(15, "x")]),
    ("UPDATE stock SET note = 'good'", [(10, "good")]),
]


@pytest.mark.parametrize(("good", "expected"), OWN, ids=["counter", "value"])
def test_a_retry_does_not_take_a_pending_edit_of_the_row_with_it(
    two: Two, good: str, expected: list[tuple[object, ...]]
) -> None:
    """A push has one change a row: rejected once more, it would take the other edit with it."""
    stocked(two)
    sql(two.b.file, good)
    assert "sync" in refused(two.b, 1).lower()
    two.b.sync()
    assert sql(two.centre, "SELECT amount, note FROM stock") == expected
    two.b.retry(1)
    two.b.sync()
    assert sql(two.centre, "SELECT amount, note FROM stock") == expected
    assert [edit.values for edit in two.b.rejected()] == [{"amount": -500}]


def test_a_difference_is_put_back_once_the_other_one_is_in_the_centre(two: Two) -> None:
    stocked(two)
    sql(two.b.file, "UPDATE stock SET amount = amount + 600")
    refused(two.b, 1)
    two.b.sync()
    two.b.retry(1)
    two.b.sync()
    assert two.b.rejected() == []
    assert sql(two.centre, "SELECT amount FROM stock") == [(110,)]


def test_several_rejected_edits_of_a_row_can_be_put_back_together(two: Two) -> None:
    stocked(two)
    sql(two.b.file, "UPDATE stock SET amount = amount - 20")
    two.b.sync()
    sql(two.centre, "UPDATE stock SET amount = 1000")
    two.b.sync()
    for edit in two.b.rejected():
        two.b.retry(edit.id)
    two.b.sync()
    assert sql(two.centre, "SELECT amount FROM stock") == [(480,)]


def test_a_row_that_is_hidden_for_a_rejected_insert_is_not_put_back_over_its_pending_edits(two: Two) -> None:
    """What was written while the insert was under way is the newer: it is sent by itself, with the row."""

    class Between(LocalTransport):
        def send(self, request: Request) -> Response:
            answer = super().send(request)
            if isinstance(request, Push):
                sql(two.b.file, "UPDATE visit SET what = 'good' WHERE id = 9")
            return answer

    refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
    sql(two.centre, f"CREATE TRIGGER bad BEFORE INSERT ON visit WHEN new.what = 'bad' {refuse}")
    sql(two.b.file, "INSERT INTO visit VALUES (9, 1, 'bad')")
    with syncline.connect(two.b.file, two.hub) as replica:
        replica._open_transport = lambda: Between(two.hub)
        replica.push()
    assert sql(two.b.file, "SELECT * FROM visit WHERE id = 9") == []
    assert "sync" in refused(two.b, 1).lower()
    two.b.sync()
    for file in (two.centre, two.b.file):
        assert sql(file, "SELECT * FROM visit WHERE id = 9") == [(9, 1, "good")]
    assert "yourself" in refused(two.b, 1)


def test_what_a_lock_refused_is_tried_again_when_the_file_has_found_its_place_again(two: Two) -> None:
    """Not before: its row may show it still, and to write it again would be no edit."""
    with syncline.connect(two.b.file, two.hub) as replica:
        store = replica._store
        device = Device.load(store)
        t = device.named("p")
        assert t is not None
        (note,) = (i for i, column in t.table.values.items() if column.name == "note")
        with store.transaction():
            reason = Reason("row_locked", "held", "wait")
            keep_rejected(device, t.n, [1], "U", ([note], ["again"], [None]), reason)
        begin(store, "copied")
        refused(replica, 1)
        assert replica.sync().recovered is not None
        assert replica.rejected() == []
        replica.sync()
    assert sql(two.centre, "SELECT note FROM p WHERE id = 1") == [("again",)]


def test_of_a_retried_insert_what_was_written_into_a_column_that_is_gone_is_kept_with_that_reason(
    tmp_path: Path,
) -> None:
    """Nothing is left over where nothing was written there."""
    centre = tmp_path / "central.db"
    sql(
        centre,
        "CREATE TABLE visit (id INTEGER PRIMARY KEY, note TEXT, fee REAL)",
        "CREATE TRIGGER closed BEFORE INSERT ON visit BEGIN SELECT RAISE(ABORT, 'closed'); END",
    )
    with syncline.Hub(f"sqlite:///{centre}") as hub:
        hub.init()
        with syncline.clone(hub, str(tmp_path / "a.db")) as a:
            sql(a.file, "INSERT INTO visit VALUES (1, 'x', NULL), (2, 'y', 7.5)")
            a.sync()
            assert {edit.code for edit in a.rejected()} == {"rejected_by_trigger"}
            sql(centre, "CREATE TABLE fresh (id INTEGER PRIMARY KEY, note TEXT)", "DROP TABLE visit")
            sql(centre, "ALTER TABLE fresh RENAME TO visit")
            a.sync()
            for edit in a.rejected():
                a.retry(edit.id)
            (rest,) = a.rejected()
            assert (rest.key, rest.op, rest.code, rest.values) == ((2,), "U", "column_dropped", {"fee": 7.5})
            assert rest.detail == "table visit: the centre has no column fee any more"
            assert "closed" not in rest.remedy and "discard" in rest.remedy
            a.sync()
            assert len(a.rejected()) == 1
    assert sql(centre, "SELECT * FROM visit ORDER BY id") == [(1, "x"), (2, "y")]


NO = "CREATE TRIGGER no BEFORE INSERT ON p WHEN new.note = 'no' BEGIN SELECT RAISE(ABORT, 'no'); END"


def refused_below(two: Two) -> None:
    """Row 5 of `p`, and its visit, are rejected on `b`, and the centre has none of that key."""
    sql(two.centre, NO)
    sql(two.b.file, "INSERT INTO p VALUES (5, 'Bo', 'no')", "INSERT INTO visit VALUES (7, 5, 'of Bo')")
    two.b.sync()
    assert [edit.code for edit in two.b.rejected()] == ["rejected_by_trigger", "parent_rejected"]


def test_l12_a_retry_whose_parent_is_missing_names_table_key_and_parent(two: Two) -> None:
    refused_below(two)
    edits = {edit.table: edit.id for edit in two.b.rejected()}
    for new_key in (False, True):
        with pytest.raises(UsageError) as found:
            two.b.retry(edits["visit"], new_key=new_key)
        key = [8] if new_key else [7]
        said = (
            f"table visit: the edit of {key} cannot be put back: the row of p that it points at, id 5, is not"
        )
        assert found.value.detail == f"{said} here"
        assert found.value.remedy.startswith(f"Retry edit {edits['p']} first")


def test_l12_a_delete_that_is_retried_and_has_rows_below_it_names_their_table(two: Two) -> None:
    t = two.b._device.named("p")
    assert t is not None
    sql(two.centre, "INSERT INTO visit VALUES (7, 1, 'of x')")
    two.b.sync()
    with two.b._device.store.transaction():
        number = keep_rejected(two.b._device, t.n, (1,), "D", ([], [], []), Reason("check", "no", "Mend it."))
    with pytest.raises(UsageError) as found:
        two.b.retry(number)
    said = "table p: the edit of [1] cannot be put back: rows of visit point at it, by p"
    assert (found.value.code, found.value.detail) == ("retry_refused", said)


@pytest.mark.parametrize("new_key", [False, True])
def test_l12_a_retry_in_a_table_that_cannot_take_part_now_says_that_it_waits_and_why(
    two: Two, new_key: bool
) -> None:
    refused_below(two)
    sql(
        two.b.file,
        "CREATE TABLE q AS SELECT id, name FROM p",
        "DROP TABLE p",
        "ALTER TABLE q RENAME TO p",
    )
    kept = two.b.rejected()
    for edit in kept:
        with pytest.raises(UsageError) as found:
            two.b.retry(edit.id, new_key=new_key)
        assert found.value.code == "retry_refused"
        assert found.value.detail.startswith("the edit waits, for its table cannot take part now: table ")
        assert "syncline status FILE" in found.value.remedy
    assert two.b.rejected() == kept
