"""Which tables are tried together, and what is asked of the database for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from syncline.databases.base import inturn
from syncline.databases.base.inturn import InTurn
from syncline.databases.base.preparing import Changes, Turn, mixed
from syncline.hub.contract import Locked, Prepared
from syncline.model.numbering import renumbered
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema, arrange


def table(name: str, *parents: str, more: bool = False) -> TableSchema:
    names = ["id", *parents, *(["more"] if more else [])]
    keys = tuple(ForeignKey((parent,), parent, ("id",)) for parent in parents)
    columns = tuple(ColumnSchema(column, "integer", "INTEGER") for column in names)
    return TableSchema(name, columns, ("id",), keys, central_schema="public", central_name=name)


class Base:
    """A database in which some tables are held; what is recorded in it, after each try that went well."""

    def __init__(self, was: Schema, now: Schema, held: Collection[str]) -> None:
        self.was, self.now, self.held = was, now, set(held)
        self.tries: list[Turn] = []
        self.recorded: list[Schema] = []

    def look(self) -> Changes:
        after = renumbered(self.now, self.was)
        numbers = {n for n, one in after.by_number.items() if self.was.by_number.get(n) != one}
        gone = self.was.by_number.keys() - after.by_number.keys()
        return Changes(self.was, after, frozenset(numbers | gone))

    def attempt(self, schema: Schema, turn: Turn) -> Prepared:
        self.tries.append(turn)
        whole = renumbered(schema, self.was)
        after = mixed(whole, self.was, self.was.by_number.keys() & turn.left)
        changed = [t.name for t in after.tables if self.was.by_number.get(t.number) != t]
        changed += [t.name for n, t in self.was.by_number.items() if n not in after.by_number]
        if self.held.intersection(changed):
            raise Locked("held")
        before, self.was = self.was, after
        self.recorded.append(after)
        return Prepared([f"take {name}" for name in changed], [], after, before)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inturn, "PAUSE_SECONDS", 0.0)


@pytest.mark.usefixtures("hurried")
def test_each_table_that_is_free_is_taken_and_the_others_stay_as_they_are_recorded() -> None:
    was = arrange([table("a"), table("b", "a"), table("c"), table("gone")])
    now = arrange([table("a", more=True), table("b", "a", more=True), table("c"), table("new", "b")])
    base = Base(was, now, {"a", "gone"})
    work = InTurn(now, base.attempt, base.look)
    with pytest.raises(Locked):
        work.run(0.0)
    assert {one.name for one in work.left} == {"a", "gone"}
    assert base.was.by_number[was.number_of("a")] == was.table("a")
    assert base.was.by_number[was.number_of("gone")] == was.table("gone")
    assert "more" in [column.name for column in base.was.table("b").columns]
    assert {t.name for t in base.was.tables} == {"a", "b", "c", "new", "gone"}
    base.held.clear()
    done = InTurn(now, base.attempt, base.look).run(0.0)
    assert done.schema == base.was
    assert {t.name: [c.name for c in t.columns] for t in base.was.tables} == {
        t.name: [c.name for c in t.columns] for t in now.tables
    }


@pytest.mark.usefixtures("hurried")
def test_what_is_free_is_one_try() -> None:
    was, now = arrange([table("a"), table("b")]), arrange([table("a", more=True), table("b", more=True)])
    base = Base(was, now, ())
    InTurn(now, base.attempt, base.look).run(0.0)
    assert base.tries == [Turn()]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("held", ["b", "c"])
def test_new_tables_that_point_at_each_other_are_one(held: str) -> None:
    now = arrange([table("a"), table("b", "c"), table("c", "b"), table("d", "b")])
    base = Base(Schema(()), now, {held})
    work = InTurn(now, base.attempt, base.look)
    with pytest.raises(Locked):
        work.run(0.0)
    assert {one.name for one in work.left} == {"b", "c", "d"}
    assert [one.name for one in base.was.tables] == ["a"]
    assert any(turn.alone for turn in base.tries)


@pytest.mark.parametrize("name", ["b", "B"])
def test_a_name_that_two_tables_would_have_is_not_recorded(name: str) -> None:
    """Somebody has renamed one since it was looked at."""
    was = arrange([table("a"), table("b")])
    renamed = [replace(one, name=name) if one.name == "a" else one for one in was.tables if one.name != "b"]
    with pytest.raises(Locked):
        mixed(Schema(tuple(renamed), was.used), was, {was.number_of("b")})
