"""Capture of what other programs write straight into the central database."""

from __future__ import annotations

import pytest

from syncline.errors import SchemaError
from syncline.model.clock import stamp
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World

ALL = {"name", "city", "balance"}


class CaptureConformance:
    """Law L4: no committed change is ever skipped, whoever made it."""

    def test_l4_an_insert_is_captured_with_every_column(self, world: World) -> None:
        start = world.now()
        world.run("INSERT INTO customer (id, name) VALUES ('a', 'Ada')")
        assert world.since(start) == {"customer": {("a",): ALL}}

    def test_l4_an_update_is_captured_with_the_columns_that_changed(self, world: World) -> None:
        world.insert("customer", "('a', 'Ada', NULL, 1)", "('b', 'Bob', 'x', 1)")
        start = world.now()
        world.run("UPDATE customer SET name = name, city = coalesce(city, 'Rome'), balance = balance")
        assert world.since(start) == {"customer": {("a",): {"city"}}}

    def test_l4_a_change_of_case_or_to_null_is_a_change(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('a', 'Ada', 'x', 1)")
        start = world.now()
        world.run("UPDATE customer SET name = 'ADA'", "UPDATE customer SET balance = NULL")
        assert world.since(start) == {"customer": {("a",): {"name", "balance"}}}

    def test_l4_a_delete_is_captured(self, world: World) -> None:
        world.insert("customer (id)", "('a')", "('b')")
        start = world.now()
        world.run("DELETE FROM customer WHERE id = 'a'")
        assert list(world.since(start)["customer"]) == [("a",)]
        assert [row[0] for row in world.rows("customer")] == ["b"]

    def test_l4_a_delete_of_all_rows_is_captured_row_by_row(self, world: World) -> None:
        world.insert("customer (id)", "('a')", "('b')")
        start = world.now()
        world.run("DELETE FROM customer")
        assert set(world.since(start)["customer"]) == {("a",), ("b",)}

    def test_l4_a_change_of_key_is_a_delete_and_an_insert(self, world: World) -> None:
        world.run("INSERT INTO tree VALUES (1, NULL)")
        start = world.now()
        world.run("UPDATE tree SET id = 2")
        assert set(world.since(start)["tree"]) == {(1,), (2,)}

    def test_l4_keys_that_trade_places_are_captured(self, world: World) -> None:
        world.insert("customer", "('a', 'Ada', NULL, 1)", "('b', 'Bob', NULL, 2)")
        start = world.now()
        world.run(
            "UPDATE customer SET id = 'c' WHERE id = 'a'",
            "UPDATE customer SET id = 'a' WHERE id = 'b'",
            "UPDATE customer SET id = 'b' WHERE id = 'c'",
        )
        touched = world.since(start)["customer"]
        assert touched[("a",)] == touched[("b",)] == ALL

    def test_l4_an_upsert_is_captured_as_what_it_did(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('a', 'Ada', NULL, 1)")
        start = world.now()
        world.run(world.words.upsert("customer (id, name)", "id", "name", "('a', 'New')"))
        world.run(world.words.upsert("customer (id, name)", "id", "name", "('b', 'New')"))
        world.run(world.words.insert_missing("customer (id)", "('a')"))
        assert world.since(start) == {"customer": {("a",): {"name"}, ("b",): ALL}}

    def test_l4_cascades_are_captured(self, world: World) -> None:
        world.needs_cascades()
        world.run(
            "INSERT INTO customer (id) VALUES ('a')",
            "INSERT INTO invoice VALUES (1, 'a', 5, '')",
            world.words.insert("line", "(1, 1, 1)", "(1, 2, 1)"),
        )
        start = world.now()
        world.run("DELETE FROM invoice WHERE id = 1")
        touched = world.since(start)
        assert set(touched["line"]) == {(1, 1), (1, 2)}
        assert set(touched["invoice"]) == {(1,)}

    def test_l4_a_table_whose_rows_go_with_others_takes_part_only_where_that_is_captured(
        self, world: World
    ) -> None:
        integer = world.words.integer
        world.run(
            f"CREATE TABLE leaf (id {integer} PRIMARY KEY, twig {integer},"
            " FOREIGN KEY (twig) REFERENCES tree (id) ON DELETE CASCADE)"
        )
        if not world.words.captures_cascades:
            with pytest.raises(SchemaError, match="leaf"):
                world.renew(new=["leaf"])
            return
        world.renew(new=["leaf"])
        world.run("INSERT INTO tree VALUES (1, NULL)", "INSERT INTO leaf VALUES (7, 1)")
        start = world.now()
        world.run("DELETE FROM tree")
        assert {name: set(keys) for name, keys in world.since(start).items()} == {
            "tree": {(1,)},
            "leaf": {(7,)},
        }

    def test_l4_what_a_users_trigger_writes_is_captured(self, world: World) -> None:
        start = world.now()
        world.run("INSERT INTO contact (id, name) VALUES (1, 'ada')")
        touched = world.since(start)
        assert set(touched) == {"contact", "noted"}
        assert world.rows("contact") == [[1, "ada", "ADA"]]

    def test_l4_what_was_rolled_back_is_not_captured(self, world: World) -> None:
        start = world.now()
        with pytest.raises(Exception):  # noqa: B017 - whatever the driver raises
            world.run("INSERT INTO customer (id) VALUES ('a')", "INSERT INTO customer (id) VALUES ('a')")
        assert world.since(start) == {}

    def test_l4_a_row_that_came_and_went_is_named(self, world: World) -> None:
        start = world.now()
        world.run("INSERT INTO customer (id) VALUES ('a')", "DELETE FROM customer")
        assert list(world.since(start)["customer"]) == [("a",)]

    def test_a_direct_write_carries_an_hlc_above_every_one_known(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            ahead = stamp(transaction.ledger.milliseconds() + 3_600_000) + 17
            transaction.ledger.raise_clock(ahead, 7_200_000)
            assert transaction.ledger.clock() >= ahead
        start = world.now()
        world.run("INSERT INTO customer (id) VALUES ('a')")
        page = world.read(lambda transaction: transaction.log.entries(start, "", 10))
        assert page.hlc > ahead

    def test_a_direct_write_carries_the_databases_wall_clock(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            before = transaction.ledger.milliseconds()
        start = world.now()
        world.run("INSERT INTO customer (id) VALUES ('a')")
        page = world.read(lambda transaction: transaction.log.entries(start, "", 10))
        assert stamp(before) <= page.hlc < stamp(before + 60_000)
