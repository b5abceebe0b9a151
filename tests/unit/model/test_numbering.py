"""Who keeps a number, and who gets a new one."""

from __future__ import annotations

from syncline.model.numbering import Renamed, renumbered
from syncline.model.schema import ColumnSchema, Schema, TableSchema


def table(name: str, *columns: str) -> TableSchema:
    made = tuple(ColumnSchema(column, "text", "TEXT") for column in ("id", *columns))
    return TableSchema(name, made, ("id",), central_schema="s", central_name=name)


def numbers(schema: Schema, name: str) -> dict[str, int]:
    return {column.name: column.number for column in schema.table(name).columns}


BEFORE = Schema((table("a", "x", "y"), table("b", "z")))


def test_without_knowledge_names_decide() -> None:
    found = renumbered(Schema((table("b", "z"), table("c"), table("a", "y", "new"))), BEFORE)
    assert {name: found.number_of(name) for name in "abc"} == {"a": 0, "b": 1, "c": 2}
    assert numbers(found, "a") == {"id": 2, "y": 1, "new": 3}


def test_numbers_of_what_is_gone_are_not_used_again() -> None:
    without = renumbered(Schema((table("a", "x"),)), BEFORE)
    again = renumbered(Schema((table("a", "x", "y"), table("b", "z"))), without)
    assert numbers(again, "a") == {"id": 2, "x": 0, "y": 3}
    assert again.number_of("b") == 2


def test_identity_goes_before_the_name() -> None:
    known = Renamed({("s", "b"): 0, ("s", "a"): 1}, {0: {"id": 2, "y": 0, "x": 1}})
    found = renumbered(Schema((table("a", "z"), table("b", "x", "y"))), BEFORE, known)
    assert (found.number_of("a"), found.number_of("b")) == (1, 0)
    assert numbers(found, "b") == {"id": 2, "x": 1, "y": 0}


def test_a_column_that_is_not_known_again_is_new_whatever_its_name() -> None:
    known = Renamed({("s", "a"): 0}, {0: {"id": 2, "x": 0}})
    found = renumbered(Schema((table("a", "x", "y"), table("b", "z"))), BEFORE, known)
    assert numbers(found, "a") == {"id": 2, "x": 0, "y": 3}


def test_a_table_in_the_place_of_one_that_takes_no_part_any_more_has_its_number_and_columns_by_name() -> None:
    known = Renamed({("s", "old"): 0}, {0: {"id": 2, "x": 0, "y": 1}})
    found = renumbered(Schema((table("a", "x", "w"),)), BEFORE, known)
    assert found.number_of("a") == 0
    assert numbers(found, "a") == {"id": 2, "x": 0, "w": 3}


def test_a_table_in_the_place_of_one_that_takes_part_under_another_name_is_new() -> None:
    known = Renamed({("s", "old"): 0}, {0: {"id": 2, "x": 0, "y": 1}})
    found = renumbered(Schema((table("a", "x"), table("old", "x", "y"))), BEFORE, known)
    assert (found.number_of("old"), found.number_of("a")) == (0, 2)
