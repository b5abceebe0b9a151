"""Who else has changed a row since what it was made on."""

from __future__ import annotations

from functools import cached_property

from syncline.databases.base.bases import Bases
from syncline.databases.base.ordered import Upto
from syncline.databases.base.shape import BaseShape
from syncline.hub.contract import Rival
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import EVERYTHING, mask_of


class Shape(BaseShape):
    """No statement is built of it."""

    @cached_property
    def name(self) -> str:
        raise NotImplementedError

    def matches(self, alias: str = "t") -> str:
        raise NotImplementedError

    def staged_keys(self) -> list[str]:
        raise NotImplementedError

    def staged_values(self, columns: object) -> list[str]:
        raise NotImplementedError

    def old_values(self, row: str) -> str:
        raise NotImplementedError


COLUMNS = tuple(ColumnSchema(name, "any", "", number=number) for number, name in enumerate(["id", "a", "b"]))
SHAPE = Shape(TableSchema("t", COLUMNS, ("id",), number=1))
WHOLE = SHAPE.table.all_mask
A = mask_of([1])


def rivals(bases: Bases, *entries: list[object]) -> list[Rival]:
    return bases.rivals(SHAPE, entries)


def test_entries_that_the_base_has_seen_and_the_replica_s_own_are_none() -> None:
    bases = Bases([Upto(4)], (), "me")
    seen, own, new = [0, 4, "U", 9, "you", A], [0, 5, "U", 9, "me", A], [0, 6, "U", 9, "hub", A]
    assert rivals(bases, seen, own, new) == [Rival(0, 6, "U", A, 9, "hub")]


def test_each_row_has_the_base_that_it_was_made_on() -> None:
    bases = Bases([Upto(4), Upto(6), Upto(1)], (1, 0), "me")
    assert sorted(position.seq for position in bases.used if isinstance(position, Upto)) == [4, 6]
    found = rivals(bases, [0, 5, "U", 9, "you", A], [1, 5, "U", 9, "you", A])
    assert [rival.row for rival in found] == [1]


def test_what_is_no_update_touches_all_columns_that_there_are() -> None:
    bases = Bases([Upto(0)], (), "me")
    found = rivals(
        bases, [0, 1, "D", 9, "you", A], [0, 2, "I", 9, "you", EVERYTHING], [0, 3, "U", 9, "you", A]
    )
    assert [rival.mask for rival in found] == [WHOLE, WHOLE, A]


def test_without_a_base_nothing_was_used() -> None:
    assert Bases([], (), "me").used == []
    assert Bases([Upto(3), Upto(5)], (), "me").used == [Upto(3)]
