"""Edits that a file made before it took its present id: who did what under the former one (laws L2, L3, L7).

A file was copied. One of the two pushes under their id, so the other takes a new one; then the first has to,
too. Both carry along what they had captured before.
"""

from __future__ import annotations

from typing import Any

import pytest

from syncline import Table
from syncline.errors import PushOutOfStep
from syncline.hub.bases import not_own
from syncline.merge.decide import Base, Entry
from syncline.protocol import messages as m
from syncline.protocol.body import chained, sealed
from tests.unit.hub.desk import NOW, Desk, Device, Row, overrides

ITEM = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER);
CREATE TABLE part (id INTEGER PRIMARY KEY, item INTEGER REFERENCES item);
INSERT INTO item VALUES (1, 'nut', 5), (2, 'cog', 5);
"""
OLD: dict[str, Any] = {"name": "nut", "qty": 5}


class Carrying(Device):
    """A file after it took another id: `number` pushes and a chain as before."""

    chain = ""

    def message(self, number: int | None = None, **fields: Any) -> m.Push:
        told = {"carried": NOW - 1000, "before": self.chain, **fields}
        return super().message(number, **told)

    def push(self) -> m.Verdict:
        message = self.message()
        verdict = super().push()
        if not verdict.wanted:
            self.chain = sealed(chained(self.chain, message.digest), verdict.seal)
        return verdict


def renamed(
    desk: Desk, file: Device, name: str, chain: str, number: int, former: tuple[str, ...] = ()
) -> Carrying:
    """The file under its new id, as the hub answers it; it has seen what it had."""
    answer = file.send(m.Reconcile(name, file.name, list(former), number, chain))
    assert isinstance(answer, m.Reconciled) and answer.replica == name
    after = Carrying(desk.hub, name)
    placed = file.send(
        m.Register(name, file.schema.fingerprint, previous=file.name, watermark=file.bases[-1])
    )
    assert isinstance(placed, m.Registered)
    after.bases, after.watermark = [placed.watermark], placed.watermark
    after.number, after.chain = number, chain
    return after


@pytest.fixture
def desk() -> Desk:
    return Desk(ITEM, {"item": Table(), "part": Table()})


@pytest.fixture
def two(desk: Desk) -> tuple[Carrying, Carrying]:
    """Two files that were one: what the second had pushed under the common id, and has not seen since, is
    `qty` of item 1, which is 8 now, and item 7."""
    file = desk.device("one")
    file.pull()
    file.update("item", [1], {"qty": 8}, at=5)
    file.insert("item", 7, "own", 1, at=5)
    pushed = file.message()
    seal = file.push().seal
    copy = renamed(desk, file, "copy", "", 0)
    return copy, renamed(desk, file, "three", sealed(chained("", pushed.digest), seal), 1)


def test_l3_what_a_file_has_done_itself_under_its_former_id_is_no_rival_of_its_edits(
    desk: Desk, two: tuple[Carrying, Carrying]
) -> None:
    file = two[1]
    file.update("item", [1], {"qty": 9}, at=3)  # older than what it had pushed
    verdict = file.push()
    assert (verdict.wanted, verdict.conflicts, overrides(verdict)) == ([], [], [])
    assert desk.sql("SELECT qty FROM item WHERE id = 1") == [(9,)]


def test_l7_what_another_has_done_since_is_a_rival_of_a_file_whose_id_changed(
    desk: Desk, two: tuple[Carrying, Carrying]
) -> None:
    file = two[1]
    desk.sql("UPDATE item SET qty = 30 WHERE id = 1", at=6)
    file.update("item", [1], {"qty": 9}, at=4)
    assert file.push().wanted == [[0, [1]]]
    file.detail("item", [1], {"qty": 8}, None)
    verdict = file.push()
    assert [conflict.outcome for conflict in verdict.conflicts] == ["hub"]
    assert desk.sql("SELECT qty FROM item WHERE id = 1") == [(30,)]


@pytest.mark.parametrize(
    ("before", "at", "result", "notes"),
    [
        (8, 3, 9, []),  # made knowing of it: this may be the file that did it
        (5, 3, 8, ["hub"]),
        (5, 9, 9, ["replica"]),
    ],
)
def test_l2_whether_a_copy_knew_what_was_done_under_the_common_id_shows_in_what_its_edit_started_from(
    desk: Desk, two: tuple[Carrying, Carrying], before: int, at: float, result: int, notes: list[str]
) -> None:
    file = two[0]
    file.update("item", [1], {"qty": 9}, at=at)
    assert file.push().wanted == [[0, [1]]]
    file.detail("item", [1], {"qty": before}, None)
    assert [conflict.outcome for conflict in file.push().conflicts] == notes
    assert desk.sql("SELECT qty FROM item WHERE id = 1") == [(result,)]


@pytest.mark.parametrize("row", [[7, "own", 1], [7, "other", 2]])
def test_an_insert_that_a_copy_had_made_before_the_two_parted_is_the_same_row(
    desk: Desk, two: tuple[Carrying, Carrying], row: Row
) -> None:
    """Unless it says something else: then it is another thing, whose key is taken."""
    file = two[0]
    file.insert("item", *row, at=9)
    rejected = [one.code for one in file.push().rejected]
    assert rejected == ([] if row[1] == "own" else ["key_taken"])
    assert desk.sql("SELECT * FROM item WHERE id = 7") == [(7, "own", 1)]


def test_an_edit_of_a_row_that_a_copy_knows_as_its_own_meets_no_other_thing_of_its_key(
    desk: Desk, two: tuple[Carrying, Carrying]
) -> None:
    """The insert of the row was done under the common id: to a copy it is no insert of somebody else's."""
    file = two[0]
    file.update("item", [7], {"qty": 4}, at=9)
    assert file.push().wanted == [[0, [7]]]
    file.detail("item", [7], {"qty": 3}, ["own", 4])
    verdict = file.push()
    assert verdict.rejected == []
    assert desk.sql("SELECT qty FROM item WHERE id = 7") == [(4,)]


def test_an_edit_of_a_strangers_row_of_the_same_key_is_rejected(desk: Desk) -> None:
    one, two = desk.device("one"), desk.device("two")
    for device in (one, two):
        device.pull()
    one.insert("item", 7, "own", 1)
    one.push()
    two.update("item", [7], {"qty": 4}, at=9)
    assert [rejection.code for rejection in two.push().rejected] == ["key_taken"]


def test_whether_a_copy_is_one_does_not_hang_on_its_present_id(
    desk: Desk, two: tuple[Carrying, Carrying]
) -> None:
    """What a copy has pushed under an id of its own is compared, too: the two have one root."""
    copy, file = two
    copy.update("item", [2], {"qty": 6}, at=5)
    copy.push()
    file.update("item", [2], {"qty": 7}, at=4)
    assert file.push().wanted == [[0, [2]]]
    file.detail("item", [2], {"qty": 6}, None)
    assert file.push().conflicts == []
    assert desk.sql("SELECT qty FROM item WHERE id = 2") == [(7,)]


def test_edits_of_a_file_that_carries_none_along_are_compared_with_all_that_others_did(
    desk: Desk, two: tuple[Carrying, Carrying]
) -> None:
    file = two[0]
    file.update("item", [1], {"qty": 9}, at=3)
    file.detail("item", [1], {"qty": 8}, None)
    verdict = file.send(file.message(carried=0))
    assert isinstance(verdict, m.Verdict)
    assert [conflict.outcome for conflict in verdict.conflicts] == ["hub"]


def test_l3_carried_edits_that_are_older_than_the_hub_remembers_are_refused(
    desk: Desk, two: tuple[Carrying, Carrying]
) -> None:
    file = two[1]
    file.update("item", [1], {"qty": 9}, at=3)
    with pytest.raises(PushOutOfStep):
        file.send(file.message(carried=1))


# What is one's own, row by row -------------------------------------------------------------------------


def entry(op: str, mask: int, origin: str, hlc: int) -> Entry:
    return Entry(op, mask, (hlc, origin), mask)


A, B, C = 0b001, 0b010, 0b100
HERE = {0: 1, 1: 2, 2: 3}
LINEAGE = frozenset({"one", "copy"})
CASES: list[tuple[list[Entry], Base, list[Entry]]] = [
    # Everything is as the edits started from: nothing of the lineage is a rival.
    ([entry("U", A | B, "one", 1)], Base({0: 1, 1: 2}, None), []),
    ([entry("I", A | B | C, "copy", 1)], Base({}, {0: 1, 1: 2, 2: 3}), []),
    # One column is another: the entry is a rival for that one alone.
    ([entry("U", A | B, "one", 1)], Base({0: 1, 1: 9}, None), [Entry("U", B, (1, "one"), A | B)]),
    # Of columns that the edits do not know nothing is said.
    ([entry("U", A | C, "one", 1)], Base({0: 1}, None), []),
    # A stranger's entry stays, but for what one of the lineage decided after it.
    (
        [entry("U", A | B, "zed", 1), entry("U", A, "one", 2)],
        Base({0: 1, 1: 2}, None),
        [Entry("U", B, (1, "zed"), A | B)],
    ),
    ([entry("U", A, "zed", 1), entry("U", A, "one", 2)], Base({0: 1}, None), []),
    # What a stranger did after it, nobody has decided.
    (
        [entry("U", A, "zed", 1), entry("U", A, "one", 2), entry("U", A, "zed", 3)],
        Base({0: 1}, None),
        [entry("U", A, "zed", 1), entry("U", A, "zed", 3)],
    ),
    # What the edit had before says more of a column than the row as it was sent.
    ([entry("U", A, "one", 1)], Base({0: 1}, {0: 7}), []),
    # The image may have columns that the present row has not.
    ([entry("U", A, "one", 1)], Base({0: 1}, {0: 1, 5: 7}), []),
    # Who is nobody of the lineage is a rival in all that it did.
    ([entry("U", A | C, "zed", 1)], Base({0: 1}, None), [entry("U", A | C, "zed", 1)]),
]


@pytest.mark.parametrize(("entries", "base", "left"), CASES)
def test_of_the_rivals_of_a_row_what_the_file_or_a_copy_did_goes_where_the_row_is_as_the_edits_had_it(
    entries: list[Entry], base: Base, left: list[Entry]
) -> None:
    assert not_own(entries, base, HERE, LINEAGE) == left


def test_of_a_row_that_is_gone_all_rivals_stay() -> None:
    entries = [entry("U", A, "one", 1), entry("D", A | B | C, "copy", 2)]
    assert not_own(entries, Base({0: 1}, None), None, LINEAGE) == entries


def test_a_write_of_columns_that_the_capture_could_not_tell_is_nobodys_of_the_file() -> None:
    untold = Entry("U", 0, (9, "hub"), 0)
    assert not_own([untold], Base(HERE, None), HERE, LINEAGE) == [untold]
