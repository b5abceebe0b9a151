"""Conflicts are kept with both values and the base, and resolved by a person (law L2)."""

from __future__ import annotations

from typing import Any

import pytest

from syncline import SynclineError, Table
from syncline.errors import ConfigurationError, Malformed
from syncline.protocol import messages as m
from tests.unit.hub.desk import Desk

SCRIPT = "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT, size INTEGER CHECK (size > 0), pic BLOB);"
REVIEW = {"note": Table(merge={"body": "review", "size": "review", "pic": "review"})}


def contested(rules: dict[str, Table], name: str, base: Any, hub: Any, sent: Any) -> Desk:
    """A centre where `name` of note 1 was changed by both sides."""
    desk = Desk(SCRIPT, rules)
    desk.sql("INSERT INTO note VALUES (1, 'old', 1, NULL)")
    desk.sql(f"UPDATE note SET {name} = ?", base)
    device = desk.device("one")
    desk.sql(f"UPDATE note SET {name} = ?", hub, at=5)
    device.update("note", [1], {name: sent}, at=9)
    device.detail("note", [1], {name: base}, [None, None, None])
    device.push()
    return desk


@pytest.mark.parametrize(
    ("take", "value", "result"),
    [("hub", None, "theirs"), ("sent", None, "mine"), ("base", None, "old"), ("value", "both", "both")],
)
def test_a_person_takes_one_of_the_values_or_another(take: str, value: Any, result: str) -> None:
    desk = contested(REVIEW, "body", "old", "theirs", "mine")
    (note,) = desk.hub.conflicts(open_only=True)
    assert note.outcome == "open" and desk.sql("SELECT body FROM note") == [("theirs",)]
    resolved = desk.hub.resolve(note.id, take, value)
    assert (resolved.outcome, resolved.resolution) == ("resolved", result)
    assert desk.sql("SELECT body FROM note") == [(result,)]
    assert desk.hub.conflicts(open_only=True) == [] and desk.hub.conflicts() == [resolved]


def test_a_resolution_reaches_every_replica_and_beats_what_came_before() -> None:
    desk = contested(REVIEW, "body", "old", "theirs", "mine")
    other = desk.device("two")
    desk.now += 60_000
    desk.hub.resolve(desk.hub.conflicts()[0].id, "sent")
    (group,) = other.pull()
    assert group.rows == [[1, "mine"]]


def test_blobs_and_nulls_survive_in_a_conflict() -> None:
    desk = contested(REVIEW, "pic", b"\x00\xff", None, b"\x01")
    (note,) = desk.hub.conflicts()
    assert (note.base, note.hub, note.sent) == (b"\x00\xff", None, b"\x01")
    desk.hub.resolve(note.id, "base")
    assert desk.sql("SELECT pic FROM note") == [(b"\x00\xff",)]


def test_a_whole_row_in_conflict_is_taken_as_a_whole() -> None:
    desk = Desk(SCRIPT, {"note": Table(merge="review")})
    desk.sql("INSERT INTO note VALUES (1, 'old', 1, NULL)")
    device = desk.device("one")
    desk.sql("UPDATE note SET body = 'theirs'", at=5)
    device.update("note", [1], {"size": 7}, at=9)
    device.detail("note", [1], {"size": 1}, ["old", 7, None])
    device.push()
    (note,) = desk.hub.conflicts()
    assert (note.column, note.base, note.sent) == (None, ["old", 1, None], ["old", 7, None])
    assert note.hub == ["theirs", 1, None]
    with pytest.raises(Malformed):
        desk.hub.resolve(note.id, "value", ["too", "short"])
    desk.hub.resolve(note.id, "sent")
    assert desk.sql("SELECT * FROM note") == [(1, "old", 7, None)]


def test_a_deleted_row_can_be_brought_back() -> None:
    desk = Desk(SCRIPT, {"note": Table(merge="hub_wins")})
    desk.sql("INSERT INTO note VALUES (1, 'old', 1, NULL)")
    device = desk.device("one")
    desk.sql("DELETE FROM note", at=5)
    device.update("note", [1], {"size": 7}, at=9)
    device.detail("note", [1], {"size": 1}, ["old", 7, None])
    device.push()
    assert desk.sql("SELECT * FROM note") == []
    desk.hub.resolve(desk.hub.conflicts()[0].id, "sent")
    assert desk.sql("SELECT * FROM note") == [(1, "old", 7, None)]
    (group,) = device.pull()
    assert group.rows == [[1, "old", 7, None]]


def code_of(desk: Desk, number: int, take: str, value: Any = None) -> str:
    with pytest.raises(SynclineError) as caught:
        desk.hub.resolve(number, take, value)
    return caught.value.code


def test_what_cannot_be_resolved_is_said() -> None:
    """L12."""
    desk = contested(REVIEW, "size", 1, 2, 3)
    number = desk.hub.conflicts()[0].id
    assert code_of(desk, number + 1, "hub") == "unknown_conflict"
    assert code_of(desk, number, "value", -1) == "resolution_refused"
    assert code_of(desk, number, "value", [1]) == "malformed"
    assert code_of(desk, number, "value", {"a": 1}) == "value_refused"
    assert code_of(desk, number, "value", object()) == "value_refused"
    assert desk.hub.conflicts(open_only=True) and desk.sql("SELECT size FROM note") == [(2,)]
    desk.hub.resolve(number, "sent")
    assert desk.sql("SELECT size FROM note") == [(3,)]
    desk.hub.resolve(number, "hub")
    assert desk.sql("SELECT size FROM note") == [(2,)], "anew"
    with pytest.raises(ConfigurationError):
        desk.hub.resolve(number, "mine")


def test_a_value_for_a_row_that_is_gone_is_refused() -> None:
    desk = contested(REVIEW, "size", 1, 2, 3)
    desk.sql("DELETE FROM note")
    assert code_of(desk, desk.hub.conflicts()[0].id, "sent") == "conflict_gone"


@pytest.mark.parametrize("take", ["hub", "base", "sent"])
def test_l12_what_was_settled_is_decided_anew_as_often_as_one_likes(take: str) -> None:
    desk = contested({"note": Table(merge={"body": "replica_wins"})}, "body", "old", "theirs", "mine")
    (note,) = desk.hub.conflicts()
    assert note.outcome == "replica" and desk.sql("SELECT body FROM note") == [("mine",)]
    desk.hub.resolve(note.id, "value", "other")
    wanted = {"hub": "theirs", "base": "old", "sent": "mine"}[take]
    for _ in range(2):
        assert desk.hub.resolve(note.id, take).resolution == wanted
        assert desk.sql("SELECT body FROM note") == [(wanted,)]


def test_l12_the_row_that_a_delete_took_comes_back_with_what_the_hub_had() -> None:
    desk = Desk(SCRIPT, {"note": Table(merge="replica_wins")})
    desk.sql("INSERT INTO note VALUES (1, 'old', 1, NULL)")
    device = desk.device("one")
    desk.sql("UPDATE note SET body = 'theirs'", at=5)
    device.delete("note", 1, at=9)
    device.detail("note", [1], {"body": "old", "size": 1, "pic": None}, None)
    device.push()
    (note,) = desk.hub.conflicts()
    assert note.outcome == "replica" and note.sent is None and desk.sql("SELECT * FROM note") == []
    desk.hub.resolve(note.id, "hub")
    assert desk.sql("SELECT * FROM note") == [(1, "theirs", 1, None)]
    desk.hub.resolve(note.id, "sent")
    assert desk.sql("SELECT * FROM note") == []


def test_l12_what_the_hub_had_is_refused_by_name_while_its_parent_is_gone() -> None:
    desk = Desk(
        "CREATE TABLE farm (id TEXT PRIMARY KEY NOT NULL);"
        "CREATE TABLE cow (id TEXT PRIMARY KEY NOT NULL, n INT,"
        " farm TEXT NOT NULL REFERENCES farm (id) ON DELETE CASCADE);"
    )
    desk.sql("INSERT INTO farm VALUES ('f')")
    desk.sql("INSERT INTO cow VALUES ('c', 1, 'f')")
    device = desk.device("one")
    desk.sql("UPDATE cow SET n = 2", at=5)
    device.delete("farm", "f", at=9)
    device.push()
    (note,) = desk.hub.conflicts()
    assert note.policy == "cascade" and desk.sql("SELECT * FROM cow") == []
    assert code_of(desk, note.id, "hub") == "resolution_refused"
    assert desk.hub.conflicts()[0].outcome == "replica", "it is not closed"
    desk.sql("INSERT INTO farm VALUES ('f')")
    desk.hub.resolve(note.id, "hub")
    assert desk.sql("SELECT * FROM cow") == [("c", 2, "f")]


def test_an_open_conflict_of_a_row_that_is_gone_can_be_closed_as_it_is() -> None:
    desk = contested(REVIEW, "size", 1, 2, 3)
    desk.sql("DELETE FROM note")
    assert desk.hub.resolve(desk.hub.conflicts()[0].id, "hub").resolution is None
    assert not desk.hub.conflicts(open_only=True) and desk.sql("SELECT * FROM note") == []


def test_what_the_centre_has_already_is_not_written_again() -> None:
    desk = contested(REVIEW, "body", "old", "theirs", "mine")
    device = desk.device("two")
    desk.hub.resolve(desk.hub.conflicts()[0].id, "hub")
    assert not device.pull()


def test_conflicts_are_listed_by_page_and_by_replica() -> None:
    desk = Desk(SCRIPT, {"note": Table(merge={"body": "hub_wins"})})
    for key in range(1, 8):
        desk.sql("INSERT INTO note VALUES (?, 'old', 1, NULL)", key)
    device = desk.device("one")
    desk.sql("UPDATE note SET body = 'theirs'", at=5)
    for key in range(1, 8):
        device.update("note", [key], {"body": "mine"})
        device.detail("note", [key], {"body": "old"}, [None, None, None])
    device.push()
    seen: list[int] = []
    after = 0
    while True:
        answer = device.send(m.ConflictsQuery("one", False, after, 3))
        assert isinstance(answer, m.ConflictsAnswer)
        if not answer.conflicts:
            break
        assert len(answer.conflicts) <= 3
        seen += [int(str(note.key[0])) for note in answer.conflicts]
        after = answer.conflicts[-1].id
    assert seen == list(range(1, 8))
    answer = desk.device("two").send(m.ConflictsQuery("two"))
    assert isinstance(answer, m.ConflictsAnswer) and answer.conflicts == []


def test_l2_an_update_that_follows_a_rejected_insert_is_kept() -> None:
    desk = Desk(SCRIPT, {"note": Table(deletes="delete_wins")})
    device = desk.device("one")
    device.insert("note", 1, "mine", -1, None)
    assert device.push().rejected
    device.update("note", [1], {"body": "more"}, at=9)
    device.detail("note", [1], {"body": "mine"}, ["more", -1, None])
    device.push()
    (note,) = desk.hub.conflicts()
    assert (note.outcome, note.sent, note.hub) == ("hub", ["more", -1, None], None)
