"""Edits whose base the log no longer knows: the hub compares the replica's old values (laws L2, L7)."""

from __future__ import annotations

from typing import Any

import pytest

from syncline import Table
from syncline.errors import ReplicaRevoked, WatermarkRefused
from syncline.hub import clients
from syncline.model.actor import ANYONE
from syncline.model.scope import UNBOUNDED
from syncline.protocol import messages as m
from syncline.testing.outside import outside
from tests.unit.hub.desk import NOW, Desk, Device, hlc, overrides

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER, hits INTEGER)"


@pytest.fixture
def desk() -> Desk:
    desk = Desk(ITEM, {"item": Table(merge={"hits": "sum"})})
    desk.sql("INSERT INTO item VALUES (1, 'one', 10, 5), (2, 'two', 20, 5)", at=0)
    return desk


def synced(desk: Desk) -> Device:
    device = desk.device("r1")
    device.pull()
    return device


def prune(desk: Desk) -> None:
    """Everything that can go, whoever needs it."""
    with desk.database.write(UNBOUNDED) as transaction:
        transaction.log.prune([], 0, None, 1000)


def lose_base(desk: Desk, *statements: str, at: float = 5) -> None:
    """Other programs' writes that the log forgets."""
    for statement in statements:
        desk.sql(statement, at=at)
    desk.sql("INSERT INTO item VALUES (99, 'end', 0, 0)", at=at + 1)
    prune(desk)


def item(desk: Desk, key: int = 1) -> list[Any]:
    return [list(row) for row in desk.sql("SELECT name, qty, hits FROM item WHERE id = ?", key)]


OLD = {"name": "one", "qty": 10, "hits": 5}


def test_a_pull_below_the_floor_is_told_so(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk, "UPDATE item SET qty = 11 WHERE id = 1")
    with pytest.raises(WatermarkRefused) as caught:
        device.pull()
    assert caught.value.code == "watermark_pruned"
    assert "ync again" in caught.value.remedy


def test_columns_that_nobody_changed_are_taken_as_sent(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk, "UPDATE item SET name = 'other' WHERE id = 1")
    device.update("item", [1], {"qty": 12}, at=3)
    assert device.push().wanted == [[0, [1]]]
    device.detail("item", [1], {"qty": 10}, ["one", 12, 5])
    verdict = device.push()
    assert (verdict.conflicts, verdict.rejected) == ([], [])
    assert item(desk) == [["other", 12, 5]]


@pytest.mark.parametrize(("at", "winner"), [(3, 11), (100, 12)])
def test_l7_a_column_that_somebody_changed_is_decided_by_the_floors_stamp(
    desk: Desk, at: float, winner: int
) -> None:
    device = synced(desk)
    lose_base(desk, "UPDATE item SET qty = 11 WHERE id = 1")
    device.update("item", [1], {"qty": 12}, at=at)
    device.detail("item", [1], {"qty": 10}, ["one", 12, 5])
    verdict = device.push()
    assert [(note.base, note.sent, note.hub) for note in verdict.conflicts] == [(10, 12, 11)]
    assert item(desk) == [["one", winner, 5]]


def test_l7_what_the_log_still_tells_says_it_better(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk, at=5)
    desk.sql("UPDATE item SET qty = 11 WHERE id = 1", at=50)
    device.update("item", [1], {"qty": 12}, at=40)
    device.detail("item", [1], {"qty": 10}, ["one", 12, 5])
    (note,) = device.push().conflicts
    assert note.rival_hlc == hlc(50)
    assert item(desk) == [["one", 11, 5]]


def test_increments_are_added_whatever_happened(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk, "UPDATE item SET hits = 9 WHERE id = 1")
    device.update("item", [1], {"hits": 3}, at=3)
    device.detail("item", [1], {"hits": 5}, ["one", 10, 8])
    assert device.push().conflicts == []
    assert item(desk) == [["one", 10, 12]]


@pytest.mark.parametrize(("at", "there"), [(3, False), (100, True)])
def test_a_row_that_was_deleted_meanwhile(desk: Desk, at: float, there: bool) -> None:
    device = synced(desk)
    lose_base(desk, "DELETE FROM item WHERE id = 1")
    device.update("item", [1], {"qty": 12}, at=at)
    device.detail("item", [1], {"qty": 10}, ["one", 12, 5])
    verdict = device.push()
    assert len(verdict.conflicts) == 1
    assert item(desk) == ([["one", 12, 5]] if there else [])


def test_a_delete_of_a_row_that_nobody_changed(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk)
    device.delete("item", 1, at=3)
    device.detail("item", [1], OLD, None)
    assert device.push().conflicts == []
    assert item(desk) == []


@pytest.mark.parametrize(("at", "there"), [(3, True), (100, False)])
def test_a_delete_of_a_row_that_somebody_changed(desk: Desk, at: float, there: bool) -> None:
    device = synced(desk)
    lose_base(desk, "UPDATE item SET name = 'other' WHERE id = 1")
    device.delete("item", 1, at=at)
    device.detail("item", [1], OLD, None)
    verdict = device.push()
    assert len(verdict.conflicts) == 1
    assert bool(item(desk)) is there
    assert bool(overrides(verdict)) is there


def test_an_edit_that_is_offered_again_is_not_compared(desk: Desk) -> None:
    """What it started from was a past that the centre has lost."""
    device = synced(desk)
    lose_base(desk, "UPDATE item SET name = 'other', qty = 11 WHERE id = 1", at=1)
    device.update("item", [1], {"qty": 12}, at=3)
    verdict = device.send(device.message(offered=True))
    assert isinstance(verdict, m.Verdict)
    assert (verdict.wanted, verdict.conflicts, verdict.rejected) == ([], [], [])
    assert item(desk) == [["other", 12, 5]]


def test_an_insert_needs_no_comparison(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk)
    device.insert("item", 3, "three", 1, 1, at=3)
    verdict = device.push()
    assert (verdict.wanted, verdict.conflicts) == ([], [])
    assert item(desk, 3) == [["three", 1, 1]]


def test_l3_a_repeat_of_a_push_with_a_lost_base_answers_its_rows(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk)
    device.update("item", [1], {"qty": 12}, at=100)
    device.detail("item", [1], {"qty": 10}, ["one", 12, 5])
    message = device.message()
    first, again = device.send(message), device.send(message)
    assert isinstance(first, m.Verdict)
    assert isinstance(again, m.Verdict)
    assert again.repeat
    assert overrides(again) == [(0, "U", [[1, "one", 12, 5]])]


def test_a_base_of_another_time_is_compared_too(desk: Desk) -> None:
    device = synced(desk)
    with outside(desk.database) as connection:
        connection.execute("UPDATE _sync_hub_log SET nonce = nonce / 2 WHERE seq = 2")
    desk.sql("UPDATE item SET qty = 11 WHERE id = 1", at=5)
    device.update("item", [1], {"qty": 12, "name": "mine"}, at=6)
    assert device.push().wanted == [[0, [1]]]
    device.detail("item", [1], {"qty": 10, "name": "one"}, ["mine", 12, 5])
    (note,) = device.push().conflicts
    assert note.column == "qty"
    assert item(desk) == [["mine", 12, 5]]
    with pytest.raises(WatermarkRefused) as caught:
        device.pull()
    assert caught.value.code == "centre_restored"


def test_registration_says_where_the_log_begins(desk: Desk) -> None:
    synced(desk)
    lose_base(desk)
    answer: Any = desk.hub.handle(ANYONE, m.Register("r2"))
    pulled: Any = desk.hub.handle(ANYONE, m.Pull(answer.floor, 100, "r2", desk.hub.schema.fingerprint))
    assert isinstance(pulled, m.Changes)
    assert answer.limits.keep_sent == 7 * 86_400


def test_a_revoked_replica_gets_nothing_until_it_is_let_in_again(desk: Desk) -> None:
    device = synced(desk)
    desk.hub.revoke("r1")
    schema = desk.hub.schema.fingerprint
    device.update("item", [1], {"qty": 12})
    requests: list[m.Request] = [
        m.Register("r1"),
        m.Pull(device.watermark, 10, "r1", schema),
        device.message(),
        m.Snapshot("r1", schema),
        m.StateQuery("r1"),
    ]
    for request in requests:
        with pytest.raises(ReplicaRevoked):
            device.send(request)
    desk.hub.revoke("r1", undo=True)
    for request in requests:
        device.send(request)


def test_l3_a_forgotten_replica_goes_on_with_its_push_numbers(desk: Desk) -> None:
    device = synced(desk)
    device.update("item", [1], {"qty": 12})
    device.push()
    desk.hub.forget("r1")
    assert clients.listing(desk.hub._central, 86_400) == []
    device.update("item", [1], {"qty": 13}, at=2)
    device.push()
    (listed,) = clients.listing(desk.hub._central, 86_400)
    assert (listed.client.number, listed.state) == (2, "live")


def test_the_listing_says_who_lags_and_who_holds_the_log_back(desk: Desk) -> None:
    desk.now = NOW
    desk.device("slow")
    desk.sql("UPDATE item SET qty = 1", at=1)
    desk.device("quick")
    first, second = clients.listing(desk.hub._central, 1e12)
    assert (first.client.replica, first.behind, first.holds) == ("slow", 2, True)
    assert (second.client.replica, second.behind, second.holds) == ("quick", 0, False)
    assert {one.state for one in clients.listing(desk.hub._central, 0)} <= {"live", "stale"}


def test_who_registers_again_after_the_log_was_pruned_holds_back_what_comes_from_then_on(desk: Desk) -> None:
    device = synced(desk)
    lose_base(desk)
    device.send(m.Register("r1"))
    desk.sql("UPDATE item SET qty = 1", at=9)
    (listed,) = clients.listing(desk.hub._central, 1e12)
    assert (listed.behind, listed.holds) == (3, True)
