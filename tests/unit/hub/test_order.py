"""In which order a push is written shows to the centre's own triggers (law L9)."""

from __future__ import annotations

import pytest

from syncline import Table
from tests.unit.hub.desk import Desk

SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, customer INTEGER REFERENCES customer);
CREATE TABLE line (id INTEGER PRIMARY KEY, item INTEGER REFERENCES item);
CREATE TABLE seen (number INTEGER PRIMARY KEY, what TEXT);
"""
WORDS = {"INSERT": "new.id", "UPDATE": "new.id", "DELETE": "old.id"}


@pytest.fixture
def desk() -> Desk:
    """A centre that notes what is written, in the order in which it is."""
    notes = (
        f"CREATE TRIGGER {table}_{word} AFTER {word} ON {table}"
        f" BEGIN INSERT INTO seen (what) VALUES ('{word.lower()} {table} ' || {key}); END;"
        for table in ("customer", "item", "line")
        for word, key in WORDS.items()
    )
    tables = {name: Table(inserts="same_row") for name in ("customer", "item", "line")}
    return Desk(SHOP + "\n".join(notes), tables)


def seen(desk: Desk) -> list[str]:
    found = [what for (what,) in desk.sql("SELECT what FROM seen ORDER BY number")]
    desk.sql("DELETE FROM seen")
    return found


def test_parents_are_written_before_children_and_children_deleted_before_parents(desk: Desk) -> None:
    device = desk.device("one")
    device.insert("line", 5, 3)
    device.insert("customer", 1, "Ann")
    device.insert("item", 3, "nut", 1)
    device.push()
    assert seen(desk) == ["insert customer 1", "insert item 3", "insert line 5"]
    device.delete("customer", 1)
    device.delete("line", 5)
    device.insert("customer", 2, "Bob")
    device.delete("item", 3)
    device.insert("item", 4, "cog", 2)
    assert device.push().rejected == []
    assert seen(desk) == [
        *("insert customer 2", "insert item 4"),
        *("delete line 5", "delete item 3", "delete customer 1"),
    ]


def test_of_one_table_new_rows_are_written_before_old_ones_change(desk: Desk) -> None:
    device = desk.device("one")
    device.insert("customer", 1, "Ann")
    device.push()
    seen(desk)
    device.update("customer", [1], {"name": "Eve"}, at=3)
    device.insert("customer", 2, "Bob", at=3)
    device.push()
    assert seen(desk) == ["insert customer 2", "update customer 1"]


def test_where_a_unique_value_moves_what_is_deleted_goes_first(desk: Desk) -> None:
    desk.sql("CREATE UNIQUE INDEX named ON customer (name)")
    device = desk.device("one")
    device.insert("customer", 1, "Ann")
    device.push()
    seen(desk)
    device.insert("customer", 2, "Ann")
    device.delete("customer", 1)
    assert device.push().rejected == []
    assert seen(desk) == ["delete customer 1", "insert customer 2"]


def test_of_a_unique_value_that_does_not_become_free_what_can_be_written_is(desk: Desk) -> None:
    """The delete is refused, and so is the new row whose unique value it was to set free."""
    desk.sql("CREATE UNIQUE INDEX named ON customer (name)")
    device = desk.device("one")
    device.insert("customer", 1, "Ann")
    device.insert("item", 3, "nut", 1)
    device.push()
    desk.sql("INSERT INTO line VALUES (5, 3)")
    device.insert("customer", 2, "Ann")
    device.delete("customer", 1)
    device.insert("item", 4, "cog", 2)
    codes = {(one.table, *one.key): one.code for one in device.push().rejected}
    number = desk.hub.schema.number_of
    assert codes == {
        (number("customer"), 2): "unique_violation",
        (number("customer"), 1): "foreign_key_violation",
        (number("item"), 4): "parent_rejected",
    }
