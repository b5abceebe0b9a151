"""From a push to its verdict, over SQLite in memory (laws L2, L3, L6 and L9)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syncline import Reject, Table
from syncline.databases.sqlite.write import RowWriter
from syncline.errors import Conflict, DigestMismatch, Malformed, PushOutOfStep, SchemaChanged, UnknownReplica
from syncline.hub import receive
from syncline.hub.commit import commit_stages
from syncline.model.clock import stamp
from syncline.model.values import Value
from syncline.protocol import messages as m
from tests.unit.hub.desk import Desk, hlc, overrides

SHOP = """
CREATE TABLE customer (
    id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE, boss INTEGER REFERENCES customer
);
CREATE TABLE item (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, qty INTEGER CHECK (qty >= 0),
    customer INTEGER REFERENCES customer ON DELETE CASCADE
);
CREATE TABLE tag (item INTEGER REFERENCES item, word TEXT, PRIMARY KEY (item, word));
"""


@pytest.fixture
def desk() -> Desk:
    return Desk(SHOP, {"customer": Table(), "item": Table(merge={"qty": "sum"}), "tag": Table()})


def test_what_was_sent_is_written_and_nothing_is_said_about_it(desk: Desk) -> None:
    device = desk.device("one")
    device.insert("customer", 1, "Ann", "ann@x", None)
    device.insert("item", 10, "nut", 5, 1)
    device.insert("tag", 10, "small")
    verdict = device.push()
    assert (verdict.number, verdict.rejected, verdict.conflicts, overrides(verdict)) == (1, [], [], [])
    assert desk.sql("SELECT * FROM item") == [(10, "nut", 5, 1)]
    assert desk.sql("SELECT * FROM tag") == [(10, "small")]


def test_own_edits_are_not_pulled_back_and_others_get_them(desk: Desk) -> None:
    one, two = desk.device("one"), desk.device("two")
    one.insert("customer", 1, "Ann", None, None)
    one.push()
    assert one.pull() == []
    (group,) = two.pull()
    assert (group.op, group.rows) == ("U", [[1, "Ann", None, None]])


def test_groups_in_any_order_are_written_parents_first(desk: Desk) -> None:
    """L9: parents exist before children, the self-reference within a table included."""
    device = desk.device("one")
    device.insert("tag", 10, "small")
    device.insert("item", 10, "nut", 5, 2)
    device.insert("customer", 2, "Bob", None, 3)
    device.insert("customer", 3, "Cid", None, 2)
    verdict = device.push()
    assert verdict.rejected == []
    device.delete("customer", 3)
    device.delete("customer", 2)
    device.delete("item", 10)
    device.delete("tag", 10, "small")
    assert device.push().rejected == []
    assert desk.sql("SELECT count(*) FROM customer") == [(0,)]


def test_a_unique_value_moves_between_rows_in_one_push(desk: Desk) -> None:
    device = desk.device("one")
    device.insert("customer", 1, "Ann", "a@x", None)
    device.insert("customer", 2, "Bob", "b@x", None)
    device.push()
    device.delete("customer", 1)
    device.insert("customer", 3, "New", "a@x", None)
    assert device.push().rejected == []
    device.update("customer", [2], {"email": "c@x"})
    device.insert("customer", 4, "Dee", "b@x", None)
    assert device.push().rejected == []
    assert desk.sql("SELECT id, email FROM customer ORDER BY id") == [(2, "c@x"), (3, "a@x"), (4, "b@x")]


def test_refused_rows_are_isolated_and_the_rest_is_written(desk: Desk) -> None:
    """L2: poison does not block."""
    desk.sql("INSERT INTO customer VALUES (9, 'Zoe', 'z@x', NULL)")
    device = desk.device("one")
    device.insert("customer", 1, "Ann", "z@x", None)
    device.insert("customer", 2, "Bob", "b@x", None)
    device.insert("item", 10, None, 1, 2)
    device.insert("item", 11, "nut", -1, 2)
    device.insert("item", 12, "bolt", 1, 77)
    device.insert("item", 13, "cog", 1, 2)
    verdict = device.push()
    codes = {(r.table, r.key[0]): r.code for r in verdict.rejected}
    assert codes == {
        (0, 1): "unique_violation",
        (1, 10): "not_null_violation",
        (1, 11): "check_violation",
        (1, 12): "foreign_key_violation",
    }
    assert all(rejection.remedy for rejection in verdict.rejected)
    assert desk.sql("SELECT id FROM item") == [(13,)]
    gone = {(table, row[0]) for table, op, rows in overrides(verdict) for row in rows if op == "D"}
    assert gone == codes.keys()


def test_rows_that_depend_on_a_rejected_row_are_rejected_with_it_and_say_so(desk: Desk) -> None:
    desk.sql("INSERT INTO customer VALUES (9, 'Zoe', 'z@x', NULL)")
    device = desk.device("one")
    device.insert("tag", 10, "small")
    device.insert("customer", 1, "Ann", "z@x", None)
    device.insert("item", 10, "nut", 1, 1)
    verdict = device.push()
    found = {(r.table, tuple(r.key)): (r.code, r.parent) for r in verdict.rejected}
    assert found == {
        (0, (1,)): ("unique_violation", None),
        (1, (10,)): ("parent_rejected", [0, [1]]),
        (2, (10, "small")): ("parent_rejected", [1, [10]]),
    }


def test_a_rejected_update_is_answered_with_the_row_as_the_centre_has_it(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    device = desk.device("one")
    device.update("item", [10], {"qty": -6})
    verdict = device.push()
    assert [r.code for r in verdict.rejected] == ["check_violation"]
    assert overrides(verdict) == [(1, "U", [[10, "nut", 5, None]])]


def test_a_delete_that_a_child_forbids_is_rejected(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    desk.sql("INSERT INTO tag VALUES (10, 'small')")
    device = desk.device("one")
    device.delete("item", 10)
    verdict = device.push()
    assert [r.code for r in verdict.rejected] == ["foreign_key_violation"]
    assert overrides(verdict) == [(1, "U", [[10, "nut", 5, None]])]


def test_what_cascades_in_the_centre_reaches_the_pusher_too(desk: Desk) -> None:
    desk.sql("INSERT INTO customer VALUES (1, 'Ann', NULL, NULL)")
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, 1)")
    device = desk.device("one")
    device.delete("customer", 1)
    device.push()
    (group,) = device.pull()
    assert (group.table, group.op, group.rows) == (1, "D", [[10]])


def test_increments_add_up(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    one, two = desk.device("one"), desk.device("two")
    for device, step in ((one, 3), (two, 4)):
        device.update("item", [10], {"qty": step})
    assert overrides(one.push()) == []
    assert overrides(two.push()) == [(1, "U", [[10, "nut", 12, None]])]


def test_a_key_alone_can_be_removed_and_made_again(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    desk.sql("INSERT INTO tag VALUES (10, 'small')")
    one, two = desk.device("one"), desk.device("two")
    one.insert("tag", 10, "small", op="R")
    one.push()
    two.delete("tag", 10, "small", at=2)
    two.detail("tag", [10, "small"], {}, None)
    two.push()
    one.insert("tag", 10, "small", op="R", at=3)
    one.detail("tag", [10, "small"], {}, [])
    assert one.push().rejected == []
    assert desk.sql("SELECT * FROM tag") == [(10, "small")]


def test_a_conflict_is_asked_for_then_decided_and_kept(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    device = desk.device("one")
    desk.sql("UPDATE item SET name = 'nail' WHERE id = 10", at=5)
    device.update("item", [10], {"name": "bolt"}, at=3)
    assert device.push().wanted == [[1, [10]]]
    device.detail("item", [10], {"name": "nut"}, ["bolt", 5, None])
    verdict = device.push()
    (note,) = verdict.conflicts
    assert (note.table, note.key, note.column, note.outcome) == ("item", [10], "name", "hub")
    assert (note.base, note.sent, note.hub) == ("nut", "bolt", "nail")
    assert (note.replica, note.hlc, note.rival, note.rival_hlc >> 16) == ("one", hlc(3), "hub", hlc(5) >> 16)
    assert overrides(verdict) == [(1, "U", [[10, "nail", 5, None]])]
    assert desk.hub.conflicts() == [note]


def test_wanting_details_changes_nothing(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    device = desk.device("one")
    desk.sql("DELETE FROM item WHERE id = 10", at=5)
    device.insert("customer", 1, "Ann", None, None)
    device.update("item", [10], {"name": "bolt"}, at=6)
    assert device.push().wanted
    assert desk.sql("SELECT count(*) FROM customer") == [(0,)]
    device.detail("item", [10], {"name": "nut"}, ["bolt", 5, None])
    assert not device.push().wanted
    assert desk.sql("SELECT * FROM item") == [(10, "bolt", 5, None)]


def test_a_rule_that_refuses_rejects_one_edit_and_keeps_no_conflict() -> None:
    def no(base: Value, ours: Value, theirs: Value) -> Value:
        raise Reject(f"{ours} stays")

    desk = Desk(SHOP, {"customer": Table(), "item": Table(merge={"name": no}), "tag": Table()})
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL), (11, 'cog', 1, NULL)")
    device = desk.device("one")
    desk.sql("UPDATE item SET name = 'nail' WHERE id = 10", at=5)
    device.update("item", [10], {"name": "bolt"})
    device.update("item", [11], {"name": "gear"})
    device.detail("item", [10], {"name": "nut"}, ["bolt", 5, None])
    verdict = device.push()
    assert [(r.code, r.detail) for r in verdict.rejected] == [("rejected_by_rule", "nail stays")]
    assert verdict.conflicts == [] and overrides(verdict) == [(1, "U", [[10, "nail", 5, None]])]
    assert desk.sql("SELECT name FROM item ORDER BY id") == [("nail",), ("gear",)]


def test_a_push_with_a_pull_answers_both(desk: Desk) -> None:
    device = desk.device("one")
    desk.sql("INSERT INTO customer VALUES (1, 'Ann', NULL, NULL)")
    device.insert("customer", 2, "Bob", None, None)
    pull = m.Pull(device.watermark, 100, "one", device.schema.fingerprint)
    verdict = device.send(device.message(pull=pull))
    assert isinstance(verdict, m.Verdict) and verdict.changes is not None
    assert verdict.changes.watermark not in (None, device.watermark)


@pytest.mark.parametrize("after", ["x", "", "\ud800.a.b", "9" * 1000])
def test_l3_a_push_that_is_done_is_answered_whatever_is_wrong_with_its_pull(desk: Desk, after: str) -> None:
    device = desk.device("one")
    device.insert("customer", 2, "Bob", None, None)
    verdict = device.send(device.message(pull=m.Pull(after, 100, "one", device.schema.fingerprint)))
    assert isinstance(verdict, m.Verdict) and verdict.changes is None
    assert desk.sql("SELECT name FROM customer") == [("Bob",)]


def test_a_clock_that_runs_ahead_is_clamped_and_later_writes_win(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    one, two = desk.device("one"), desk.device("two")
    one.update("item", [10], {"name": "future"}, at=86_400)
    one.push()
    desk.now += 400_000
    two.update("item", [10], {"name": "later"}, at=400)
    two.detail("item", [10], {"name": "nut"}, ["later", 5, None])
    two.push()
    assert desk.sql("SELECT name FROM item") == [("later",)]


@pytest.mark.parametrize("met", [False, True])
def test_l7_a_cut_stamp_finds_its_place_however_often_the_push_is_tried(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, met: bool
) -> None:
    """A second attempt begins with the stamps that were sent, not with those that the first has made."""
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    one, two = desk.device("one"), desk.device("two")
    one.update("item", [10], {"name": "a day ahead"}, at=86_400)
    one.push()
    two.update("item", [10], {"name": "two days ahead"}, at=2 * 86_400)
    two.detail("item", [10], {"name": "nut"}, ["two days ahead", 5, None])
    trouble = [Conflict("another was quicker")] if met else []

    def commit(*arguments: Any) -> Any:
        done = commit_stages(*arguments)
        if trouble:
            raise trouble.pop()
        return done

    monkeypatch.setattr(receive, "commit_stages", commit)
    two.push()
    assert not trouble and desk.sql("SELECT name FROM item") == [("two days ahead",)]
    kept = desk.sql("SELECT hlc, claim FROM _sync_hub_claims WHERE origin = 'two'")
    highest = hlc(0) + stamp(desk.hub._central.tolerance)
    assert kept == [(highest + 1, hlc(2 * 86_400))]


def test_only_the_first_attempt_at_a_push_hopes_that_new_rows_are_new(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each later one looks: where a row of the same key is there, it would meet it again."""
    hopes: list[bool] = []
    look = RowWriter.present

    def present(rows: RowWriter, stages: Any, *, hopeful: bool) -> Any:
        hopes.append(hopeful)
        if len(hopes) < 3:
            raise Conflict("another was quicker")
        return look(rows, stages, hopeful=hopeful)

    monkeypatch.setattr(RowWriter, "present", present)
    device = desk.device("one")
    device.insert("customer", 1, "Ann", None, None)
    device.push()
    assert hopes == [True, False, False] and desk.sql("SELECT name FROM customer") == [("Ann",)]


def test_l7_of_two_cut_stamps_the_lower_loses_also_where_it_arrives_later(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    one, two = desk.device("one"), desk.device("two")
    one.update("item", [10], {"name": "two days ahead"}, at=2 * 86_400)
    one.push()
    two.update("item", [10], {"name": "a day ahead"}, at=86_400)
    two.detail("item", [10], {"name": "nut"}, ["a day ahead", 5, None])
    verdict = two.push()
    assert [conflict.outcome for conflict in verdict.conflicts] == ["hub"]
    assert desk.sql("SELECT name FROM item") == [("two days ahead",)]
    highest = hlc(0) + stamp(desk.hub._central.tolerance)
    kept = desk.sql("SELECT hlc, claim FROM _sync_hub_claims WHERE origin = 'two'")
    assert kept == [(highest - 1, hlc(86_400))]


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_l7_of_two_stamps_that_are_equal_before_they_are_cut_the_origin_decides_whichever_arrives_first(
    desk: Desk, order: tuple[str, str]
) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    devices = {name: desk.device(name) for name in order}
    for name, device in devices.items():
        device.update("item", [10], {"name": name}, at=86_400)
        device.detail("item", [10], {"name": "nut"}, [name, 5, None])
        assert not device.push().wanted
    assert desk.sql("SELECT name FROM item") == [("two",)]


@pytest.mark.parametrize("order", ["one two", "two one"])
def test_l7_of_a_row_each_column_has_its_own_cut_stamp_and_the_later_one_wins(desk: Desk, order: str) -> None:
    desk.sql("INSERT INTO customer VALUES (1, 'Ann', 'a@x', NULL)")
    devices = {name: desk.device(name) for name in order.split()}
    for name, device in devices.items():
        days = [2, 1] if name == "one" else [1, 2]
        device.update("customer", [1], {"name": name, "email": name}, at=2 * 86_400)
        (group,) = device.groups
        own = [[hlc(day * 86_400) for day in days]]
        device.groups = [msgspec.structs.replace(group, column_hlc=own, column_base=[[0, 0]])]
        device.detail("customer", [1], {"name": "Ann", "email": "a@x"}, [name, name, None])
        assert not device.push().wanted
    assert desk.sql("SELECT name, email FROM customer") == [("one", "two")]


# Repeats


def test_a_push_that_arrives_twice_has_the_effect_of_one(desk: Desk) -> None:
    """L3."""
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL)")
    device = desk.device("one")
    device.update("item", [10], {"qty": 3})
    message = device.message()
    for repeat in (False, True, True):
        verdict = device.send(message)
        assert isinstance(verdict, m.Verdict) and verdict.repeat is repeat
    assert desk.sql("SELECT qty FROM item") == [(8,)]


def test_a_repeat_has_the_same_verdict_with_rows_as_they_are_now(desk: Desk) -> None:
    desk.sql("INSERT INTO item VALUES (10, 'nut', 5, NULL), (11, 'cog', 5, NULL)")
    device = desk.device("one")
    desk.sql("UPDATE item SET name = 'nail' WHERE id = 10", at=5)
    device.update("item", [10], {"name": "bolt"}, at=3)
    device.update("item", [11], {"qty": -9}, at=3)
    device.insert("customer", 1, "Ann", None, None)
    device.detail("item", [10], {"name": "nut"}, ["bolt", 5, None])
    message = device.message()
    first = device.send(message)
    desk.sql("UPDATE item SET qty = 50 WHERE id = 11", at=6)
    desk.sql("UPDATE customer SET name = 'Anna' WHERE id = 1", at=6)
    second = device.send(message)
    assert isinstance(first, m.Verdict) and isinstance(second, m.Verdict)
    assert second.rejected == first.rejected and len(first.rejected) == 1
    assert second.conflicts == first.conflicts and len(first.conflicts) == 1
    assert second.repeat and second.made == first.made > 0
    assert overrides(first) == [(1, "U", [[10, "nail", 5, None], [11, "cog", 5, None]])]
    rows = {(table, row[0]): row[1:] for table, _, group in overrides(second) for row in group}
    assert rows == {
        (0, 1): ["Anna", None, None],
        (1, 10): ["nail", 5, None],
        (1, 11): ["cog", 50, None],
    }


def test_the_same_number_with_other_content_is_a_copied_file(desk: Desk) -> None:
    device, copy = desk.device("one"), desk.device("one")
    device.insert("customer", 1, "Ann", None, None)
    device.push()
    copy.insert("customer", 2, "Bob", None, None)
    with pytest.raises(PushOutOfStep) as caught:
        copy.push()
    assert caught.value.code == "replica_copied"


@pytest.mark.parametrize(("number", "code"), [(3, "push_ahead"), (1, None)])
def test_push_numbers_follow_each_other(desk: Desk, number: int, code: str | None) -> None:
    device = desk.device("one")
    device.insert("customer", 1, "Ann", None, None)
    if code is None:
        device.push()
        device.insert("customer", 2, "Bob", None, None)
        device.push()
    with pytest.raises(PushOutOfStep) as caught:
        device.insert("customer", 3, "Cid", None, None)
        device.send(device.message(number=number))
    assert caught.value.code == (code or "push_behind")
    assert desk.sql("SELECT count(*) FROM customer") == [(0 if code else 2,)]


# What is refused before it is looked at


def test_an_unknown_replica_an_old_schema_and_a_wrong_digest_are_refused(desk: Desk) -> None:
    device = desk.device("one")
    device.insert("customer", 1, "Ann", None, None)
    good = device.message()
    stranger = m.Push("nobody", 1, good.schema, good.bases, good.digest, good.groups)
    for message, error in (
        (stranger, UnknownReplica),
        (m.Push("one", 1, "old", good.bases, good.digest, good.groups), SchemaChanged),
        (m.Push("one", 1, good.schema, good.bases, "0" * 64, good.groups), DigestMismatch),
        (m.Push("one", 1, good.schema, [], good.digest, good.groups), Malformed),
    ):
        with pytest.raises(error):
            device.send(message)
    assert desk.sql("SELECT count(*) FROM customer") == [(0,)]


@pytest.mark.parametrize("name", ["", "hub", "x" * 101])
def test_a_replica_id_is_short_and_not_the_hubs(desk: Desk, name: str) -> None:
    with pytest.raises(Malformed):
        desk.device(name)


def test_l7_columns_of_one_push_that_were_edited_at_different_times_are_logged_apart() -> None:
    """Whoever comes later must meet each with its own clock, not with the row's last."""
    desk = Desk("CREATE TABLE two (id INTEGER PRIMARY KEY, a, b); INSERT INTO two VALUES (1, 0, 0)")
    first, second = desk.device("r1"), desk.device("r2")
    first.update("two", [1], {"a": 1, "b": 1}, at=3)
    (group,) = first.groups
    own = [[hlc(1), hlc(3)]]
    first.groups = [msgspec.structs.replace(group, column_hlc=own, column_base=[[0, 0]])]
    assert not first.push().wanted
    second.update("two", [1], {"a": 2, "b": 2}, at=2)
    second.detail("two", [1], {"a": 0, "b": 0}, [2, 2])
    assert not second.push().wanted
    assert desk.sql("SELECT a, b FROM two") == [(2, 1)]


def test_columns_that_were_edited_on_either_side_of_a_pull_meet_what_was_unseen_then(desk: Desk) -> None:
    desk.sql("INSERT INTO customer VALUES (1, 'Ann', 'a@x', NULL)")
    device = desk.device("one")
    desk.sql("UPDATE customer SET name = 'Eve', email = 'e@x'", at=5)
    device.pull()
    device.update("customer", [1], {"name": "Bea", "email": "b@x"}, at=4)
    (group,) = device.groups
    own = [[hlc(4), hlc(3)]]  # the name since the pull, the email before it
    device.groups = [msgspec.structs.replace(group, base=[0], column_hlc=own, column_base=[[1, 0]])]
    device.detail("customer", [1], {"name": "Eve", "email": "a@x"}, ["Bea", "b@x", None])
    verdict = device.push()
    assert desk.sql("SELECT name, email FROM customer") == [("Bea", "e@x")]
    assert [(one.column, one.outcome) for one in verdict.conflicts] == [("email", "hub")]


def test_what_is_deleted_twice_is_told_once(desk: Desk) -> None:
    desk.sql("INSERT INTO customer VALUES (1, 'Ann', NULL, NULL)")
    one, two = desk.device("one"), desk.device("two")
    desk.sql("DELETE FROM customer", at=1)
    assert [group.op for group in two.pull()] == ["D"]
    one.delete("customer", 1, at=2)
    verdict = one.push()
    assert (verdict.wanted, verdict.rejected, verdict.conflicts) == ([], [], [])
    assert two.pull() == []


def test_a_refused_delete_says_which_rejected_row_it_would_take_along() -> None:
    """The trigger speaks of a row of another table, and none is on that of the delete."""
    script = f"""{SHOP}
    CREATE TRIGGER kept BEFORE DELETE ON item WHEN old.qty = 7 BEGIN SELECT RAISE(ABORT, 'qty is kept'); END;
    """
    desk = Desk(script)
    for customer, item, qty in ((1, 10, 7), (2, 20, 7), (3, 30, 5)):
        desk.sql("INSERT INTO customer VALUES (?, 'Ann', NULL, NULL)", customer)
        desk.sql("INSERT INTO item VALUES (?, 'nut', ?, ?)", item, qty, customer)
    device = desk.device("one")
    device.update("item", [10], {"qty": -1}, at=3)
    for customer in (1, 2, 3):
        device.delete("customer", customer, at=4)
    found = {(one.table, one.key[0]): one.detail for one in device.push().rejected}
    assert found.keys() == {(1, 10), (0, 1), (0, 2)}
    assert found[0, 1].endswith("; it would take along the row of item with key [10], rejected too")
    assert "qty is kept" in found[0, 1] and found[0, 2].endswith("qty is kept")
